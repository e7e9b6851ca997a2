//! One test for each fault that was found and mended on the running node, named after what a user saw.

use std::time::Duration;

use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::sip::{Line, Request, challenges, contact};
use keyline_wire::sip::{HeaderName, Message, ReplyHead, reason_phrase};

/// Longer than 64 × T1, the time after which a missing ACK ends a call.
const ACK_WAIT: Duration = Duration::from_secs(45);

const SDP: &str =
    "v=0\r\no=t 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// A phone of raw messages that needs no proof.
struct Raw {
    dn: &'static str,
    line: Line,
}

impl Raw {
    fn register(dn: &'static str, mut line: Line) -> Raw {
        let request = Request::register_from(dn, &line);
        assert_eq!(line.exchange(&request).status(), Some(200));
        Raw { dn, line }
    }

    fn invite(&self, called: &str) -> Request {
        let uri = format!("sip:{called}@keyline.local");
        let mut request =
            Request::new("INVITE", &uri, self.dn).header("Contact", &contact(self.dn, &self.line));
        request.body = Some(("application/sdp".into(), SDP.into()));
        request
    }

    /// The next request of that method; others are answered 200.
    fn expect(&mut self, method: &str, patience: Duration) -> Message<'static> {
        loop {
            let message = self.line.receive_within(patience).unwrap_or_else(|| panic!("no {method} came"));
            let Some(own) = message.method() else { continue };
            if own.as_str() == method {
                return message;
            }
            if own.as_str() != "ACK" {
                let bytes = self.answer_bytes(&message, 200);
                self.line.send(&bytes);
            }
        }
    }

    fn answer_bytes(&self, request: &Message<'_>, status: u16) -> Vec<u8> {
        let head = ReplyHead::capture(request, self.line.local(), false).unwrap();
        let own = contact(self.dn, &self.line);
        let invite = request.method().is_some_and(|m| m.as_str() == "INVITE");
        let body = (invite && status == 200).then_some(("application/sdp", SDP.as_bytes()));
        head.respond(status, reason_phrase(status), Some("raw"), &[("Contact", &own)], body)
    }

    fn answer(&mut self, request: &Message<'_>, status: u16) {
        let bytes = self.answer_bytes(request, status);
        self.line.send(&bytes);
    }
}

/// A node on two shards with plain phones 1001, 1002 and 1003.
fn node() -> Node {
    let mut inventory = Inventory::new();
    for (i, dn) in (0..).zip(["1001", "1002", "1003"]) {
        inventory.plain_phone(&device_on(i % 2, 2, 40 + u32::from(i)), dn);
    }
    Builder::new().shards(2).inventory(&inventory).start()
}

fn phones(node: &Node) -> (Raw, Raw) {
    let line = || Line::udp(node.udp());
    (Raw::register("1001", line()), Raw::register("1002", line()))
}

const SOON: Duration = Duration::from_secs(30);

/// An INVITE of `from` that `to` answers, and the 200 that the caller got.
fn answered(from: &mut Raw, to: &mut Raw) -> (Request, Message<'static>) {
    let invite = from.invite(to.dn);
    let bytes = invite.print(&from.line);
    from.line.send(&bytes);
    let rung = to.expect("INVITE", SOON);
    to.answer(&rung, 200);
    let ok = from.line.receive_final();
    assert_eq!(ok.status(), Some(200));
    (invite, ok)
}

/// A request in the dialog that the 200 made, as the caller would send it.
fn in_dialog(invite: &Request, ok: &Message<'_>, method: &str, cseq: u32) -> Request {
    let mut request = invite.clone().next();
    request.method = method.into();
    request.cseq = cseq;
    request.uri = ok.contact().unwrap().uri.raw.into();
    request.to = ok.first(HeaderName::To).unwrap().into();
    request.body = None;
    request
}

#[test]
fn a_missing_ack_ends_the_call_at_both_phones() {
    let node = node();
    let (mut a, mut b) = phones(&node);
    answered(&mut a, &mut b);
    let bye = b.expect("BYE", ACK_WAIT);
    b.answer(&bye, 200);
    let bye = a.expect("BYE", SOON);
    a.answer(&bye, 200);
}

#[test]
fn a_third_phone_that_knows_the_dialog_ends_nothing() {
    let node = node();
    let (mut a, mut b) = phones(&node);
    let mut third = Raw::register("1003", Line::udp(node.udp()));
    let (invite, ok) = answered(&mut a, &mut b);
    let ack = in_dialog(&invite, &ok, "ACK", invite.cseq).print(&a.line);
    a.line.send(&ack);
    let mut forged = in_dialog(&invite, &ok, "BYE", 77);
    let tag = forged.from.split(";tag=").nth(1).unwrap().to_owned();
    forged.from = format!("<sip:1003@keyline.local>;tag={tag}");
    assert_eq!(third.line.exchange(&forged).status(), Some(403));
    let own = in_dialog(&invite, &ok, "BYE", 2);
    assert_eq!(a.line.exchange(&own).status(), Some(200), "the call was still there");
    b.expect("BYE", SOON);
}

#[test]
fn a_response_from_another_address_is_nobodys() {
    let node = node();
    let (mut a, mut b) = phones(&node);
    let invite = a.invite("1002").print(&a.line);
    a.line.send(&invite);
    let rung = b.expect("INVITE", SOON);
    let mut stranger = Line::udp_from("127.0.0.66".parse().unwrap(), node.udp());
    let forged = b.answer_bytes(&rung, 200);
    stranger.send(&forged);
    // Answered in order of arrival by one worker or handed on: the phone's own refusal must be what counts.
    b.answer(&rung, 486);
    assert_eq!(a.line.receive_final().status(), Some(486));
}

#[test]
fn a_caller_whose_connection_closes_stops_the_ringing() {
    let node = node();
    let mut a = Raw::register("1001", Line::tcp(node.tcp()));
    let mut b = Raw::register("1002", Line::udp(node.udp()));
    let invite = a.invite("1002").print(&a.line);
    a.line.send(&invite);
    let rung = b.expect("INVITE", SOON);
    b.answer(&rung, 180);
    drop(a);
    let cancel = b.expect("CANCEL", SOON);
    b.answer(&cancel, 200);
    b.answer(&rung, 487);
}

#[test]
fn sips_and_tel_are_told_apart_from_what_is_served() {
    let node = node();
    let (mut a, _b) = phones(&node);
    for (uri, status) in
        [("sips:1002@keyline.local", 403), ("tel:+15551002", 416), ("sip:1002@elsewhere.example", 404)]
    {
        let mut request = a.invite("1002");
        request.uri = uri.into();
        assert_eq!(a.line.exchange(&request).status(), Some(status), "{uri}");
        a.line.send(&in_ack(&request, &a.line));
    }
    let mut zipped = a.invite("1002").header("Content-Encoding", "gzip");
    zipped.branch.push('z');
    let refused = a.line.exchange(&zipped);
    assert_eq!(refused.status(), Some(415));
    assert_eq!(refused.other("Accept-Encoding"), Some("identity"));
}

/// ACK to a refusal that kept no state: harmless, as a client sends it.
fn in_ack(invite: &Request, line: &Line) -> Vec<u8> {
    let mut ack = invite.clone();
    ack.method = "ACK".into();
    ack.body = None;
    ack.print(line)
}

#[test]
fn a_standby_keepalive_tells_nobody_which_phones_there_are() {
    let node = node();
    let mut line = Line::udp(node.udp());
    let mut ask = |dn: &str| {
        let own = contact(dn, &line);
        let request = Request::register(dn)
            .header("Contact", &format!("{own};expires=0;cisco-keep-alive"))
            .header("Expires", "0");
        let answer = line.exchange(&request);
        let names: Vec<String> = answer.headers().map(|h| h.text.to_owned()).collect();
        (answer.status(), names)
    };
    assert_eq!(ask("1001"), ask("7777"));
    assert_eq!(ask("1001").0, Some(200));
    assert_eq!(node.metric("keyline_phone_registered_devices", ""), 0.0);
}

#[test]
fn clients_that_give_up_on_sha_256_are_challenged_with_md5_alone() {
    let mut inventory = Inventory::new();
    inventory.digest_phone(&device_on(0, 1, 50), "1001");
    let node = Builder::new().inventory(&inventory).start();
    let mut line = Line::udp(node.udp());
    let mut algorithms = |agent: &str| {
        let request = Request::register_from("1001", &line).header("User-Agent", agent);
        let answer = line.exchange(&request);
        assert_eq!(answer.status(), Some(401));
        challenges(&answer).len()
    };
    assert_eq!(algorithms("baresip v1.0.0 (x86_64/linux)"), 1);
    assert_eq!(algorithms("Cisco-CP8845/14.1"), 3);
}

#[test]
fn a_phone_that_starts_anew_for_ever_is_never_locked_out() {
    let node = node();
    for i in 0..20 {
        let mut line = Line::udp(node.udp());
        let request = Request::register_from("1001", &line);
        assert_eq!(line.exchange(&request).status(), Some(200), "start {i}");
    }
}

#[test]
fn a_lost_node_key_is_refused_and_not_replaced() {
    let mut node = node();
    node.kill9();
    let key = node.data().join("node.key");
    std::fs::remove_file(&key).unwrap();
    let (code, said) = node.fail_to_start();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("node.key"), "{said}");
    assert!(!key.exists(), "a new key would only hide the loss");
}

#[test]
fn a_phone_that_was_deleted_and_imported_again_registers_at_once_and_inherits_nothing() {
    let device = device_on(1, 2, 41);
    let mut node = node();
    for restart in [false, true] {
        let mut line = Line::udp(node.udp());
        let request = Request::register_from("1002", &line);
        assert_eq!(line.exchange(&request).status(), Some(200));
        node.ask("DELETE", &format!("/phones/{device}"), None).expect(200);
        if restart {
            node.kill9_and_restart();
        }
        let mut again = Inventory::new();
        again.plain_phone(&device, "1002");
        assert!(node.import(&again.ndjson()).status.success());
        assert_eq!(node.registrations().len(), 0, "the bindings of the one before are not its own");
        let mut line = Line::udp(node.udp());
        let request = Request::register_from("1002", &line);
        assert_eq!(line.exchange(&request).status(), Some(200), "restart: {restart}");
        assert_eq!(node.registrations().len(), 1);
    }
}
