//! One test for each known pitfall of SIP parsers.

use crate::sip::stream::{Frame, Framer, Side};
use crate::sip::{Credentials, HeaderError, HeaderName, Limits, Message, ParseError};

use super::request;

#[test]
fn folded_headers_are_joined_by_one_space() {
    let bytes = request("OPTIONS", "Subject: one\r\n\ttwo\r\n   three\r\nSupported:\r\n path\r\n", "");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.first(HeaderName::Subject), Some("one two three"));
    assert!(message.lists(HeaderName::Supported, "PATH"));
    let text = String::from_utf8(request("OPTIONS", "", "")).unwrap().replace("CSeq: 7 ", "CSeq: 7\r\n ");
    assert_eq!(Message::parse(text.as_bytes()).unwrap().cseq().unwrap().number, 7);
}

#[test]
fn compact_forms_are_the_long_ones() {
    let bytes = b"OPTIONS sip:a@b SIP/2.0\r\nv: SIP/2.0/TCP h;branch=z9hG4bK1\r\nf: <sip:a@b>;tag=1\r\nt: <sip:c@d>\r\n\
        i: x\r\nCSeq: 1 OPTIONS\r\nm: <sip:a@h>\r\nk: 100rel, timer\r\nx: 90;refresher=uac\r\no: presence;id=4\r\n\
        r: <sip:z@y>\r\nb: <sip:q@y>\r\nc: application/sdp\r\nl: 3\r\n\r\nabc";
    let message = Message::parse(bytes).unwrap();
    assert_eq!(message.call_id(), Some("x"));
    assert_eq!(message.contact().unwrap().uri.raw, "sip:a@h");
    assert_eq!(message.tokens(HeaderName::Supported).collect::<Vec<_>>(), ["100rel", "timer"]);
    let session = message.session_expires().unwrap();
    assert_eq!((session.seconds, session.refresher_uac), (90, Some(true)));
    assert_eq!((message.event().unwrap().package, message.event().unwrap().id), ("presence", Some("4")));
    assert_eq!(message.address(HeaderName::ReferTo).unwrap().uri.raw, "sip:z@y");
    assert_eq!(message.address(HeaderName::ReferredBy).unwrap().uri.raw, "sip:q@y");
    assert!(message.content_type().unwrap().is("Application/SDP"));
    assert_eq!(message.body(), b"abc");
}

#[test]
fn delimiters_inside_quoted_strings_do_not_delimit() {
    let contact = "Contact: \"a, <b>; c=\\\"d\" <sip:x@h>;note=\"1,2;3<4>\";q=0.5, <sip:y,z@h;a=b>\r\n";
    let bytes = request("REGISTER", contact, "");
    let message = Message::parse(&bytes).unwrap();
    let values: Vec<_> = message.values(HeaderName::Contact).collect();
    assert_eq!(values.len(), 2);
    let first = message.contact().unwrap();
    assert_eq!(first.display(), "a, <b>; c=\"d");
    assert_eq!((first.uri.raw, first.q()), ("sip:x@h", Some(500)));
    assert_eq!(first.params.text("note").unwrap(), "1,2;3<4>");
}

#[test]
fn many_values_in_one_line_are_all_seen() {
    let extra = "Via: SIP/2.0/TCP a;branch=1, SIP/2.0/TLS b:9;branch=2\r\nRoute: <sip:r1;lr>,<sip:r2;lr>\r\n\
        Route: <sip:r3;lr>\r\nContact: <sip:a@h>;q=0.1,<sip:b@h>\r\n";
    let bytes = request("INVITE", extra, "");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.vias().map(|via| via.transport).collect::<Vec<_>>(), ["UDP", "TCP", "TLS"]);
    assert_eq!(message.vias().nth(2).unwrap().port, Some(9));
    let routes: Vec<_> = message.addresses(HeaderName::Route).map(|route| route.unwrap().uri.raw).collect();
    assert_eq!(routes, ["sip:r1;lr", "sip:r2;lr", "sip:r3;lr"]);
    assert_eq!(message.values(HeaderName::Contact).count(), 2);
}

#[test]
fn content_length_on_a_stream_is_never_guessed() {
    let sound = String::from_utf8(request("MESSAGE", "", "hello")).unwrap();
    for (from, to, error) in [
        ("Content-Length: 5\r\n", "", ParseError::Missing(HeaderName::ContentLength)),
        (": 5\r\n\r", ": -5\r\n\r", ParseError::Invalid(HeaderName::ContentLength, HeaderError::Number)),
        (": 5\r\n\r", ": five\r\n\r", ParseError::Invalid(HeaderName::ContentLength, HeaderError::Number)),
        (": 5\r\n\r", ": +5\r\n\r", ParseError::Invalid(HeaderName::ContentLength, HeaderError::Number)),
        (": 5\r\n\r", ": 5\r\nl: 6\r\n\r", ParseError::Repeated(HeaderName::ContentLength)),
        (": 5\r\n\r", ": 5, 6\r\n\r", ParseError::Repeated(HeaderName::ContentLength)),
    ] {
        let mut framer = Framer::new(Side::Acceptor);
        framer.push(sound.replace(from, to).as_bytes());
        let Frame::Broken { error: found, head } = framer.next() else { panic!("{to:?} was framed") };
        assert_eq!(found, error, "{to:?}");
        // What was read is enough to answer before closing.
        let answerable = match Message::parse(head) {
            Ok(message) => message.top_via().is_some(),
            Err(rejected) => rejected.answerable().is_some(),
        };
        assert!(answerable, "{to:?}");
        assert!(matches!(framer.next(), Frame::Broken { .. }));
    }
    let mut framer = Framer::new(Side::Acceptor);
    framer.push(sound.replace(": 5\r\n\r", ": 5\r\nContent-Length: 05\r\n\r").as_bytes());
    assert!(matches!(framer.next(), Frame::Message(_)));
}

#[test]
fn content_length_in_a_datagram_cuts_or_refuses() {
    let cut = String::from_utf8(request("MESSAGE", "", "hello")).unwrap();
    let longer = cut.replace("Length: 5", "Length: 6");
    let error = Message::parse(longer.as_bytes()).unwrap_err().error;
    assert_eq!(error, ParseError::BodyTruncated { length: 6, present: 5 });
    assert_eq!(Message::parse(cut.replace("Length: 5", "Length: 2").as_bytes()).unwrap().body(), b"he");
    assert_eq!(Message::parse(cut.replace("Content-Length: 5\r\n", "").as_bytes()).unwrap().body(), b"hello");
}

#[test]
fn bare_line_feeds_are_read_in_datagrams_and_refused_on_streams() {
    let bytes = String::from_utf8(request("OPTIONS", "", "")).unwrap().replace("\r\n", "\n");
    assert_eq!(Message::parse(bytes.as_bytes()).unwrap().call_id(), Some("c1@192.0.2.9"));
    let mut framer = Framer::new(Side::Acceptor);
    framer.push(bytes.as_bytes());
    assert!(matches!(framer.next(), Frame::Broken { error: ParseError::Control, .. }));
    // A carriage return alone ends no line anywhere.
    let bytes = String::from_utf8(request("OPTIONS", "Subject: a\rVia: b\r\n", "")).unwrap();
    let rejected = Message::parse(bytes.as_bytes()).unwrap_err();
    assert_eq!(rejected.error, ParseError::Control);
    assert_eq!(rejected.message.unwrap().first(HeaderName::Subject), Some("a Via: b"));
}

#[test]
fn over_long_lines_and_heads_are_refused_with_513() {
    let long = format!("Subject: {}\r\n", "x".repeat(Limits::DEFAULT.header_bytes));
    let lines = "X: y\r\n".repeat(300);
    let vias = "Via: SIP/2.0/UDP h;branch=z\r\n".repeat(200);
    let huge = format!("A: {}\r\n", "x".repeat(16_000)).repeat(5);
    let commas = format!("Via: {}\r\n", ["SIP/2.0/UDP h"; 128].join(","));
    for (extra, via_count) in [(&long, 1), (&lines, 1), (&vias, 201), (&huge, 1), (&commas, 129)] {
        let bytes = request("OPTIONS", extra, "");
        let rejected = Message::parse(&bytes).unwrap_err();
        assert_eq!((rejected.status(), rejected.answerable().is_some()), (513, true), "{}", rejected.error);
        assert!(rejected.message.unwrap().vias().count() <= via_count);
    }
    let body = "x".repeat(Limits::DEFAULT.body_bytes + 1);
    assert_eq!(Message::parse(&request("MESSAGE", "", &body)).unwrap_err().status(), 513);
}

#[test]
fn quoted_pairs_in_digest_fields_are_resolved() {
    let value =
        r#"Digest username="a\"b\\c",realm="x, y" , nonce="n",uri="sip:h;transport=udp", response="0f",
        algorithm="MD5",cnonce="c",qop="auth",nc="0000000A",opaque="""#
            .replace("\n        ", " ");
    let Credentials::Digest(digest) = Credentials::parse(&value).unwrap() else { panic!("not digest") };
    assert_eq!(digest.username.as_deref(), Some(r#"a"b\c"#));
    assert_eq!(digest.realm.as_deref(), Some("x, y"));
    assert_eq!(digest.uri.as_deref(), Some("sip:h;transport=udp"));
    assert_eq!((digest.qop.as_deref(), digest.algorithm.as_deref()), (Some("auth"), Some("MD5")));
    assert_eq!(digest.opaque.as_deref(), Some(""));
}

#[test]
fn nonce_counts_are_hex_of_either_case_and_exactly_eight_digits() {
    for (nc, count) in [
        ("0000000a", Some(10)),
        ("0000000A", Some(10)),
        ("\"00ABcdef\"", Some(0x00ab_cdef)),
        ("1", None),
        ("000000001", None),
        ("+0000001", None),
        ("0000000g", None),
    ] {
        let value = format!("Digest nonce=\"n\",qop=auth,nc={nc}");
        let Credentials::Digest(digest) = Credentials::parse(&value).unwrap() else { panic!("not digest") };
        assert_eq!(digest.nonce_count(), count, "{nc}");
    }
}

#[test]
fn keepalives_between_messages_are_answered_and_belong_to_none() {
    let message = request("OPTIONS", "", "");
    let mut framer = Framer::new(Side::Acceptor);
    framer.push(b"\r\n\r\n");
    framer.push(&message);
    framer.push(b"\r\n");
    assert_eq!(framer.next(), Frame::Ping);
    assert_eq!(framer.next(), Frame::Message(&message));
    assert_eq!(framer.next(), Frame::NeedMore);
    assert!(!framer.is_partial());
    framer.push(b"\r\n");
    assert_eq!(framer.next(), Frame::Ping);
    assert_eq!(framer.next(), Frame::NeedMore);
}
