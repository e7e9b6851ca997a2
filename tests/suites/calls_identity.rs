//! Who the phones of a call are told to be: RFC 3325, 3323, 4916.

use keyline_tests::inventory::CISCO;
use keyline_tests::node::Node;
use keyline_tests::place::device_on;
use keyline_tests::raw::{Dialog, Raw};
use keyline_tests::sip::{Line, Request, audio};
use keyline_wire::sip::{HeaderName, Message};
use serde_json::json;

use crate::common::raw_node_with;

on_shards!(
    only_what_was_proven_is_asserted,
    privacy_hides_the_caller,
    an_anonymous_caller_is_known_to_the_node_alone,
    the_answering_line_is_told_to_the_caller
);

/// Lines 1001 to 1004 of raw phones, and 1005 with 1006 on one that is called `Front "Desk"`.
fn node(shards: u16) -> Node {
    raw_node_with(shards, |rows| {
        let device = device_on(0, shards, 60);
        rows.phone(&device, CISCO, &["1005", "1006"], json!({"description": "Front Desk"}));
    })
}

fn phone(node: &Node, dn: &str) -> Raw {
    Raw::register(dn, Line::udp(node.udp()))
}

/// The INVITE that 1002 gets for one of that phone with those headers.
fn rung(
    a: &mut Raw,
    b: &mut Raw,
    from: Option<&str>,
    headers: &[(&str, &str)],
) -> (Request, Message<'static>) {
    let mut invite = a.invite("1002", &audio(40_000));
    if let Some(from) = from {
        invite.from = format!("{from};tag={}", a.tag);
    }
    for (name, value) in headers {
        invite.set(name, value);
    }
    a.send(&invite);
    let rung = b.expect("INVITE");
    (invite, rung)
}

fn asserted(message: &Message<'_>) -> Option<String> {
    assert!(message.all(HeaderName::PAssertedIdentity).count() <= 1, "{message:?}");
    message.first(HeaderName::PAssertedIdentity).map(str::to_owned)
}

/// Every header, and the body.
fn text(message: &Message<'_>) -> String {
    let lines: Vec<String> = message.headers().map(|h| format!("{}: {}", h.text, h.value)).collect();
    lines.join("\n") + &String::from_utf8_lossy(message.body())
}

fn refuse(a: &mut Raw, b: &mut Raw, rung: &Message<'_>) {
    b.answer(rung, 486, &[], "");
    a.status("INVITE", 486);
}

fn only_what_was_proven_is_asserted(shards: u16) {
    let node = node(shards);
    let (mut a, mut b) = (phone(&node, "1001"), phone(&node, "1002"));
    let forged = [
        ("P-Asserted-Identity", "<sip:1003@keyline.local>"),
        ("P-Preferred-Identity", "<sip:1003@keyline.local>"),
    ];
    let (_, invite) = rung(&mut a, &mut b, None, &forged);
    assert_eq!(
        asserted(&invite).as_deref(),
        Some("<sip:1001@keyline.local>"),
        "1003 is no line of that phone"
    );
    assert!(invite.first(HeaderName::PPreferredIdentity).is_none());
    refuse(&mut a, &mut b, &invite);
    let mut desk = phone(&node, "1005");
    let (_, invite) = rung(&mut desk, &mut b, None, &[("P-Preferred-Identity", "<sip:1006@keyline.local>")]);
    assert_eq!(asserted(&invite).as_deref(), Some("\"Front Desk\" <sip:1006@keyline.local>"));
    refuse(&mut desk, &mut b, &invite);
    // From names another's line: refused, whatever it prefers.
    let mut invite =
        desk.invite("1002", &audio(40_000)).header("P-Preferred-Identity", "<sip:1006@keyline.local>");
    invite.from = format!("<sip:1003@keyline.local>;tag={}", desk.tag);
    assert_eq!(desk.line.exchange(&invite).status(), Some(403));
}

fn privacy_hides_the_caller(shards: u16) {
    let node = node(shards);
    let (mut a, mut b) = (phone(&node, "1001"), phone(&node, "1002"));
    for (privacy, hidden) in
        [("id", true), ("user;header", true), ("header", false), ("none", false), ("id;none", false)]
    {
        let (_, invite) = rung(&mut a, &mut b, None, &[("Privacy", privacy)]);
        let whole = text(&invite);
        assert_eq!(!whole.contains("1001@"), hidden, "{privacy}: {whole}");
        assert_eq!(asserted(&invite).is_none(), hidden, "{privacy}");
        assert_eq!(
            whole.contains("From: \"Anonymous\" <sip:anonymous@anonymous.invalid>"),
            hidden,
            "{privacy}"
        );
        refuse(&mut a, &mut b, &invite);
    }
    let invite = a.invite("1002", &audio(40_000)).header("Privacy", "session;critical");
    assert_eq!(a.line.exchange(&invite).status(), Some(500));
}

fn an_anonymous_caller_is_known_to_the_node_alone(shards: u16) {
    let node = node(shards);
    let (mut a, mut b) = (phone(&node, "1001"), phone(&node, "1002"));
    let from = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
    let wish = [("P-Preferred-Identity", "<sip:1001@keyline.local>"), ("Privacy", "id")];
    let (invite, rung) = rung(&mut a, &mut b, Some(from), &wish);
    assert!(!text(&rung).contains("1001@"), "{rung:?}");
    b.answer(&rung, 200, &[], &audio(40_002));
    let mut dialog = Dialog::of(&invite, &a.status("INVITE", 200));
    a.send(&dialog.ack());
    b.expect("ACK");
    // BYE has neither Contact nor a line in From.
    let mut bye = dialog.request("BYE");
    bye.headers.clear();
    a.send(&bye);
    b.expect("BYE");
    a.status("BYE", 200);
    // Nobody is anonymous to the node: a stranger's preferred line is another's.
    let mut stranger = Raw { dn: "1001".into(), line: Line::udp(node.udp()), tag: "s".into() };
    let mut invite = stranger.invite("1002", &audio(40_000)).header(wish[0].0, wish[0].1);
    invite.from = format!("{from};tag=s");
    assert_eq!(stranger.line.exchange(&invite).status(), Some(403));
}

fn the_answering_line_is_told_to_the_caller(shards: u16) {
    let node = node(shards);
    let (mut a, mut desk) = (phone(&node, "1001"), phone(&node, "1005"));
    let invite = a.invite("1005", &audio(40_000));
    a.send(&invite);
    let rung = desk.expect("INVITE");
    desk.answer(&rung, 180, &[("P-Asserted-Identity", "<sip:1003@keyline.local>")], "");
    let own = Some("\"Front Desk\" <sip:1005@keyline.local>");
    assert_eq!(asserted(&a.status("INVITE", 180)).as_deref(), own);
    desk.answer(&rung, 200, &[], &audio(40_002));
    let ok = a.status("INVITE", 200);
    assert_eq!(asserted(&ok).as_deref(), own);
    let mut dialog = Dialog::of(&invite, &ok);
    a.send(&dialog.ack());
    a.send(&dialog.request("BYE"));
    desk.expect("BYE");
    a.status("BYE", 200);
    let invite = a.invite("1005", &audio(40_000));
    a.send(&invite);
    let rung = desk.expect("INVITE");
    desk.answer(&rung, 200, &[("Privacy", "id")], &audio(40_002));
    assert_eq!(asserted(&a.status("INVITE", 200)), None);
}
