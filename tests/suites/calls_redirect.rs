//! Phones that forward their calls by 302: followed to lines of this node, and nowhere else.

use keyline_tests::node::Node;
use keyline_tests::raw::{Dialog, Raw};
use keyline_tests::sip::{Line, audio};
use keyline_wire::sip::{HeaderName, Message};

use crate::common::raw_node;

on_shards!(a_forwarded_call_reaches_the_other_line, forwarding_in_a_circle_or_elsewhere_is_480);

fn phone(node: &Node, dn: &str) -> Raw {
    Raw::register(dn, Line::udp(node.udp()))
}

/// 302 to those addresses.
fn forward(phone: &mut Raw, rung: &Message<'_>, to: &str, more: &[(&str, &str)]) {
    let own = keyline_tests::sip::contact(&phone.dn, &phone.line);
    let head = keyline_wire::sip::ReplyHead::capture(rung, phone.line.local(), false).unwrap();
    assert_ne!(own, to);
    let mut headers = vec![("Contact", to)];
    headers.extend_from_slice(more);
    let bytes = head.respond(302, "Moved Temporarily", Some(&phone.tag), &headers, None);
    phone.line.send(&bytes);
    phone.expect("ACK");
}

fn a_forwarded_call_reaches_the_other_line(shards: u16) {
    let node = raw_node(shards);
    let (mut a, mut b) = (phone(&node, "1001"), phone(&node, "1002"));
    let (mut c, mut d) = (phone(&node, "1003"), phone(&node, "1004"));
    let invite = a.invite("1002", &audio(40_000));
    a.send(&invite);
    let rung = b.expect("INVITE");
    forward(&mut b, &rung, "<sip:1003@keyline.local>", &[("Diversion", "<sip:x@y>;reason=user-busy")]);
    // The second phone forwards too: back to the first, which is passed over, and to a fourth.
    let rung = c.expect("INVITE");
    forward(&mut c, &rung, "<sip:1002@keyline.local>;q=1, <sip:1004@keyline.local>;q=0.5", &[]);
    let rung = d.expect("INVITE");
    let diversions: Vec<&str> = rung.all(HeaderName::Diversion).collect();
    assert_eq!(
        diversions,
        [
            "<sip:1003@keyline.local>;reason=unconditional;counter=1",
            "<sip:1002@keyline.local>;reason=user-busy;counter=1"
        ]
    );
    assert!(
        rung.first(HeaderName::HistoryInfo)
            .is_some_and(|h| h.ends_with("<sip:1004@keyline.local>;index=1.1.1;mp=1"))
    );
    d.answer(&rung, 180, &[], "");
    a.status("INVITE", 180);
    d.answer(&rung, 200, &[], &audio(40_002));
    let ok = a.status("INVITE", 200);
    assert_eq!(ok.first(HeaderName::PAssertedIdentity), Some("<sip:1004@keyline.local>"));
    let mut dialog = Dialog::of(&invite, &ok);
    a.send(&dialog.ack());
    d.expect("ACK");
    a.send(&dialog.request("BYE"));
    d.expect("BYE");
    a.status("BYE", 200);
}

fn forwarding_in_a_circle_or_elsewhere_is_480(shards: u16) {
    let node = raw_node(shards);
    let (mut a, mut b) = (phone(&node, "1001"), phone(&node, "1002"));
    let elsewhere = [
        "<sip:1002@keyline.local>",
        "<sip:1003@elsewhere.example>",
        "<sip:9999@keyline.local>",
        "<tel:+15551003>",
    ];
    for to in elsewhere {
        let invite = a.invite("1002", &audio(40_000));
        a.send(&invite);
        let rung = b.expect("INVITE");
        forward(&mut b, &rung, to, &[]);
        let refused = a.status("INVITE", 480);
        let mut ack = invite.clone();
        ack.method = "ACK".into();
        ack.to = refused.first(HeaderName::To).unwrap().into();
        ack.body = None;
        a.send(&ack);
    }
    // 1003 is a line here, but nobody is registered on it.
    let invite = a.invite("1002", &audio(40_000));
    a.send(&invite);
    let rung = b.expect("INVITE");
    forward(&mut b, &rung, "<sip:1003@keyline.local>", &[]);
    a.status("INVITE", 480);
}
