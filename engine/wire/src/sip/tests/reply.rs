//! Responses: what they repeat, where they go, and which transaction they belong to.

use crate::sip::{HeaderName, Message, Method, Printer, ReplyHead, TransactionKey};

use super::request;

fn capture(bytes: &[u8], source: &str) -> ReplyHead {
    ReplyHead::capture(&Message::parse(bytes).unwrap(), source.parse().unwrap(), false).unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_response_repeats_the_request_and_fills_in_the_source() {
    let extra = "v: SIP/2.0/TCP lower;branch=z9;x=\"a,b\" ,SIP/2.0/TLS last\r\nRecord-Route: <sip:p;lr>\r\n\
        Timestamp: 54.2\r\n";
    let head = capture(&request("INVITE", extra, ""), "203.0.113.5:40000");
    let echo = "Via: SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bKabc;received=203.0.113.5;rport=40000\r\n\
        Via: SIP/2.0/TCP lower;branch=z9;x=\"a,b\"\r\nVia: SIP/2.0/TLS last\r\n\
        From: <sip:1001@example.com>;tag=f1\r\nCall-ID: c1@192.0.2.9\r\nCSeq: 7 INVITE\r\n";
    assert_eq!(
        text(head.respond(100, "Trying", Some("mine"), &[], None)),
        format!(
            "SIP/2.0 100 Trying\r\n{echo}Timestamp: 54.2\r\nTo: <sip:1001@example.com>\r\nContent-Length: 0\r\n\r\n"
        )
    );
    assert_eq!(
        text(head.respond(
            180,
            "Ringing",
            Some("mine"),
            &[("Contact", "<sip:s@h>")],
            Some(("text/plain", b"hi"))
        )),
        format!(
            "SIP/2.0 180 Ringing\r\n{echo}Record-Route: <sip:p;lr>\r\nTo: <sip:1001@example.com>;tag=mine\r\n\
             Contact: <sip:s@h>\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
        )
    );
    let refusal = text(head.respond(486, "Busy Here", Some("mine"), &[], None));
    assert!(!refusal.contains("Record-Route") && refusal.contains(";tag=mine"));
}

#[test]
fn a_to_tag_of_the_request_is_kept() {
    let bytes = text(request("BYE", "", ""))
        .replace("To: <sip:1001@example.com>", "To: <sip:1001@example.com>;tag=t1");
    let head = capture(bytes.as_bytes(), "192.0.2.9:5070");
    let answer = text(head.respond(200, "OK", Some("mine"), &[], None));
    assert!(head.to_has_tag() && answer.contains(";tag=t1\r\n") && !answer.contains("mine"));
}

#[test]
fn what_the_sender_claims_as_its_source_is_replaced() {
    for (via, top) in [
        ("h;branch=z9hG4bKa;received=9.9.9.9;rport=1", "h;branch=z9hG4bKa;received=203.0.113.5;rport=40000"),
        ("203.0.113.5;branch=z9hG4bKa", "203.0.113.5;branch=z9hG4bKa"),
        ("203.0.113.5;received=9.9.9.9", "203.0.113.5"),
        ("h", "h;received=203.0.113.5"),
        ("h;rport;alias", "h;alias;received=203.0.113.5;rport=40000"),
    ] {
        let bytes = text(request("OPTIONS", "", "")).replace("192.0.2.9:5070;branch=z9hG4bKabc;rport", via);
        let answer = text(capture(bytes.as_bytes(), "203.0.113.5:40000").respond(200, "OK", None, &[], None));
        assert!(answer.contains(&format!("Via: SIP/2.0/UDP {top}\r\n")), "{answer}");
    }
    // A dual-stack socket reports IPv4 sources as mapped IPv6.
    let answer = text(capture(&request("OPTIONS", "", ""), "[::ffff:203.0.113.5]:9").respond(
        200,
        "OK",
        None,
        &[],
        None,
    ));
    assert!(answer.contains(";received=203.0.113.5;rport=9\r\n"));
    let answer =
        text(capture(&request("OPTIONS", "", ""), "[2001:db8::7]:9").respond(200, "OK", None, &[], None));
    assert!(answer.contains(";received=2001:db8::7;rport=9\r\n"));
}

#[test]
fn responses_go_to_rport_or_to_the_port_of_via_at_the_source_address() {
    let route = capture(&request("OPTIONS", "", ""), "203.0.113.5:40000").reply_to();
    assert!(route.by_rport);
    assert_eq!((route.udp.port(), route.stream.port()), (40000, 5070));
    for (from, to, port) in [(";rport", "", 5070), (":5070;branch=z9hG4bKabc;rport", ";maddr=9.9.9.9", 5060)]
    {
        let bytes = text(request("OPTIONS", "", "")).replace(from, to);
        let route = capture(bytes.as_bytes(), "203.0.113.5:40000").reply_to();
        assert_eq!(route.udp, format!("203.0.113.5:{port}").parse().unwrap());
        let message = Message::parse(bytes.as_bytes()).unwrap();
        let forced = ReplyHead::capture(&message, "203.0.113.5:40000".parse().unwrap(), true).unwrap();
        assert_eq!(forced.reply_to().udp.port(), 40000);
    }
    let tls = text(request("OPTIONS", "", "")).replace("UDP 192.0.2.9:5070", "TLS 192.0.2.9");
    assert_eq!(capture(tls.as_bytes(), "203.0.113.5:40000").reply_to().stream.port(), 5061);
}

#[test]
fn nothing_handed_to_a_printer_can_add_a_line() {
    let mut printer = Printer::request("INVITE", "sip:a b\r\nVia: x@h");
    printer.header("Subject", "a\r\nVia: evil").header("Bad: x\r\nVia", "v").header_number("Expires", 0);
    printer.header_parts("X-A", &["\n", "b\0c", "\\\n"]).cseq(u32::MAX, "INVITE\r\nVia: z");
    assert_eq!(
        text(printer.finish()),
        "INVITE sip:a%20bVia:%20x@h SIP/2.0\r\nSubject: a  Via: evil\r\nExpires: 0\r\nX-A:  b c\\ \r\n\
         CSeq: 4294967295 INVITE  Via: z\r\nContent-Length: 0\r\n\r\n"
    );
    let head = capture(&request("OPTIONS", "", ""), "192.0.2.9:5070");
    let answer = text(head.respond(200, "O\r\nK", Some("t\r\nX: y"), &[("X\r\n", "y")], None));
    assert!(answer.starts_with("SIP/2.0 200 O  K\r\n") && !answer.contains("X"));
}

#[test]
fn ack_and_cancel_find_the_invite_and_only_theirs() {
    let key = |bytes: &[u8]| TransactionKey::server(&Message::parse(bytes).unwrap()).unwrap();
    let invite = request("INVITE", "", "");
    assert_eq!(key(&invite), key(&request("ACK", "", "")));
    let cancel = request("CANCEL", "", "");
    assert_ne!(key(&invite), key(&cancel));
    assert_eq!(TransactionKey::cancelled_invite(&Message::parse(&cancel).unwrap()), Some(key(&invite)));
    for (from, to) in
        [("z9hG4bKabc", "z9hG4bKabC"), ("192.0.2.9:5070", "192.0.2.9"), ("192.0.2.9:5070", "h:5070")]
    {
        let other = text(invite.clone()).replacen(from, to, 1);
        assert_ne!(key(&invite), key(other.as_bytes()), "{to}");
    }
}

#[test]
fn without_a_unique_branch_the_tuple_of_rfc_2543_decides() {
    let key = |text: &str| TransactionKey::server(&Message::parse(text.as_bytes()).unwrap()).unwrap();
    for branch in ["", ";branch=z9hG4bK", ";branch=1"] {
        let old = |method| text(request(method, "", "")).replace(";branch=z9hG4bKabc", branch);
        let invite = old("INVITE");
        // The ACK carries the tag of our response.
        let ack = old("ACK").replace("To: <sip:1001@example.com>", "To: <sip:1001@example.com>;tag=ours");
        assert_eq!(key(&invite), key(&ack), "{branch}");
        assert_eq!(key(&invite), key(&invite));
        for (from, to) in [
            ("c1@", "c2@"),
            ("tag=f1", "tag=f2"),
            ("CSeq: 7", "CSeq: 8"),
            ("5070", "5071"),
            ("sip:ex", "sip:a.ex"),
        ] {
            assert_ne!(key(&invite), key(&invite.replacen(from, to, 1)), "{to}");
        }
        assert_ne!(key(&old("BYE")), key(&old("BYE").replace("e.com>\r\n", "e.com>;tag=x\r\n")));
    }
}

#[test]
fn a_response_finds_its_client_transaction_by_branch_and_method() {
    let sent = TransactionKey::client("z9hG4bKabc", Method::Invite);
    let response =
        capture(&request("INVITE", "", ""), "192.0.2.9:5070").respond(200, "OK", Some("t"), &[], None);
    let response = Message::parse(&response).unwrap();
    assert_eq!(TransactionKey::from_response(&response), Some(sent.clone()));
    assert_ne!(sent, TransactionKey::client("z9hG4bKabc", Method::Cancel));
    assert_eq!(TransactionKey::server(&response), None);
    assert_eq!((response.status(), response.reason()), (Some(200), Some("OK")));
    assert_eq!(response.first(HeaderName::To), Some("<sip:1001@example.com>;tag=t"));
}
