//! Requests that a server must refuse, and with what.

use crate::sip::{HeaderError, HeaderName, Message, Method, ParseError, UriError};

use super::request;

fn changed(method: &str, from: &str, to: &str) -> String {
    let text = String::from_utf8(request(method, "", "")).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn each_fault_has_its_error() {
    use HeaderName as H;
    use ParseError as P;
    let to = "To: <sip:1001@example.com>";
    for (from, with, error) in [
        ("Via:", "Fia:", P::Missing(H::Via)),
        ("From:", "Fron:", P::Missing(H::From)),
        ("To:", "Too:", P::Missing(H::To)),
        ("Call-ID:", "Call:", P::Missing(H::CallId)),
        ("CSeq:", "CSek:", P::Missing(H::Cseq)),
        ("To:", "CSeq: 7 REGISTER\r\nTo:", P::Repeated(H::Cseq)),
        ("To:", "i: other\r\nTo:", P::Repeated(H::CallId)),
        ("To:", "To: <sip:x@y>\r\nTo:", P::Repeated(H::To)),
        ("To:", "Max-Forwards: 3\r\nTo:", P::Repeated(H::MaxForwards)),
        ("CSeq: 7 REGISTER", "CSeq: 7 register", P::CseqMethod),
        ("CSeq: 7", "CSeq: 2147483648", P::Invalid(H::Cseq, HeaderError::Range)),
        ("CSeq: 7", "CSeq: 36893488147419103232", P::Invalid(H::Cseq, HeaderError::Range)),
        ("CSeq: 7", "CSeq: -7", P::Invalid(H::Cseq, HeaderError::Number)),
        ("Max-Forwards: 70", "Max-Forwards: 256", P::Invalid(H::MaxForwards, HeaderError::Range)),
        ("Max-Forwards: 70", "Max-Forwards: x", P::Invalid(H::MaxForwards, HeaderError::Number)),
        (to, "To: \"x <sip:a@b>", P::Invalid(H::To, HeaderError::Quote)),
        (to, "To: x <sip:a@b", P::Invalid(H::To, HeaderError::Bracket)),
        (to, "To: <sip:a@b> x", P::Invalid(H::To, HeaderError::Bracket)),
        (to, "To: a, b <sip:a@b>", P::Invalid(H::To, HeaderError::Token)),
        (to, "To: < sip:a@b>", P::Invalid(H::To, HeaderError::Uri(UriError::Character))),
        (to, "To: sip:a@b?x=y", P::Invalid(H::To, HeaderError::Bracket)),
        (to, "To: sip:a@b,sip:c@d", P::Invalid(H::To, HeaderError::Bracket)),
        (to, "To: 1001", P::Invalid(H::To, HeaderError::Uri(UriError::Scheme))),
        (to, "To: <sip:a@b>;tag=1;tag=2", P::Invalid(H::To, HeaderError::Param)),
        (to, "To: <sip:a@b>;;", P::Invalid(H::To, HeaderError::Param)),
        (";rport", ";rport;;,;,,", P::Invalid(H::Via, HeaderError::Param)),
        (";rport", ";rport;branch=z9hG4bKother", P::Invalid(H::Via, HeaderError::Param)),
        ("SIP/2.0/UDP 192.0.2.9:5070", "SIP/2.0/UDP", P::Invalid(H::Via, HeaderError::Token)),
        ("To:", "Contact: *, <sip:a@b>\r\nTo:", P::Invalid(H::Contact, HeaderError::List)),
        ("To:", "Contact: <sip:a@b>\r\nContact: *\r\nTo:", P::Invalid(H::Contact, HeaderError::List)),
        ("To:", "Contact: sip:a@b?c=d\r\nTo:", P::Invalid(H::Contact, HeaderError::Bracket)),
        ("To:", "Route: nonsense\r\nTo:", P::Invalid(H::Route, HeaderError::Uri(UriError::Scheme))),
        ("To:", "no colon here\r\nTo:", P::HeaderLine),
        ("To:", "two words: x\r\nTo:", P::HeaderLine),
        ("To:", "Subject: a\0b\r\nTo:", P::Control),
        ("sip:example.com SIP", "<sip:example.com> SIP", P::RequestUri(UriError::Character)),
        ("sip:example.com SIP", "sip:example.com; lr SIP", P::RequestUri(UriError::Character)),
        ("sip:example.com SIP", " sip:example.com SIP", P::RequestUri(UriError::Character)),
        ("sip:example.com SIP", "sip:example.com?a=b SIP", P::RequestUri(UriError::Params)),
        ("sip:example.com SIP", "urn:service:sos SIP", P::Scheme),
        ("SIP/2.0\r\n", "SIP/2.0 \r\n", P::StartLine),
        ("SIP/2.0\r\n", "SIP/2.1\r\n", P::Version),
        ("SIP/2.0\r\n", "HTTP/1.1\r\n", P::StartLine),
        ("sip:example.com SIP/2.0\r\n", "sip:example.com\r\n SIP/2.0\r\n", P::StartLine),
    ] {
        let text = changed("REGISTER", from, with);
        let Err(rejected) = Message::parse(text.as_bytes()) else { panic!("{with}: must be refused") };
        assert_eq!(rejected.error, error, "{with}");
        // Everything but the loss of Via can be answered.
        let via_lost = matches!(error, P::Missing(H::Via) | P::Invalid(H::Via, HeaderError::Token));
        assert_eq!(rejected.answerable().is_none(), via_lost, "{with}");
    }
}

#[test]
fn statuses_follow_the_fault() {
    assert_eq!(ParseError::Version.status(), 505);
    assert_eq!(ParseError::Scheme.status(), 416);
    assert_eq!(ParseError::TooManyVias { limit: 1 }.status(), 513);
    assert_eq!(ParseError::CseqMethod.status(), 400);
}

#[test]
fn ack_and_responses_are_never_answered() {
    let ack = changed("ACK", "To:", "Too:");
    assert!(Message::parse(ack.as_bytes()).unwrap_err().answerable().is_none());
    let response =
        changed("INVITE", "INVITE sip:example.com SIP/2.0", "SIP/2.0 200 OK").replace("To:", "Too:");
    assert!(Message::parse(response.as_bytes()).unwrap_err().answerable().is_none());
    for status in ["99", "700", "4294967301", "20", "2x0", ""] {
        let response = changed("INVITE", "INVITE sip:example.com SIP/2.0", &format!("SIP/2.0 {status} OK"));
        let rejected = Message::parse(response.as_bytes()).unwrap_err();
        assert_eq!(
            (rejected.error, rejected.answerable().is_none()),
            (ParseError::StartLine, true),
            "{status}"
        );
    }
    for noise in [&b"\r\n\r\n"[..], b"\0\0\0\0", b"\x16\x03\x01\x02\0", b"hello", b"GET / HTTP/1.1\r\n\r\n"] {
        assert!(Message::parse(noise).unwrap_err().answerable().is_none());
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_and_can_be_answered() {
    let mut bytes = changed("REGISTER", "To:", "Subject: M?ller\r\nTo:").into_bytes();
    let at = bytes.iter().position(|b| *b == b'?').unwrap();
    bytes[at] = 0xfc;
    let rejected = Message::parse(&bytes).unwrap_err();
    assert_eq!((rejected.error, rejected.status()), (ParseError::Encoding, 400));
    assert_eq!(rejected.answerable().unwrap().call_id(), Some("c1@192.0.2.9"));
}

#[test]
fn unusual_but_sound_requests_pass() {
    // Quoted pairs of control characters, odd tokens, odd user parts, text beyond ASCII, tel URIs.
    let to = "To: <sip:1001@example.com>";
    for with in [
        "To: \"BEL:\\\x07 NUL:\\\0 DEL:\\\x7f\" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>",
        "To: token1~` token2'+_ token3*%!.- <sip:a@b>;fromParam''~+*_!.-%=\"\u{440}\"",
        "To:caller<sip:caller@example.com;user=phone>",
        "To: M\u{fc}ller (Sales) <sip:m@b>",
        "To: <tel:+1-201-555-0123>",
        "To: <sip:null-%00-null@example.com>",
        "To: sip:a@[2001:db8::1]:5070;x=y",
    ] {
        let text = changed("REGISTER", to, with);
        let message = Message::parse(text.as_bytes()).unwrap_or_else(|r| panic!("{with:?}: {}", r.error));
        assert!(!message.to().unwrap().display().contains(|c: char| c.is_control()));
    }
    let text = changed("REGISTER", "REGISTER sip", "!interesting-Method0123456789_*+`.%indeed'~ sip")
        .replace("7 REGISTER", "7 !interesting-Method0123456789_*+`.%indeed'~");
    let method = Message::parse(text.as_bytes()).unwrap();
    assert!(matches!(method.method(), Some(Method::Other(_))));
    assert_eq!(Method::of("options"), Method::Other("options"));
}

#[test]
fn a_missing_last_line_is_forgiven_only_to_a_message_that_says_it_has_no_body() {
    let text = changed("OPTIONS", "\r\n\r\n", "\r\n");
    assert!(Message::parse(text.as_bytes()).is_ok());
    for cut in [text.trim_end_matches("\r\n"), &text.replace("Content-Length: 0\r\n", "")] {
        assert_eq!(Message::parse(cut.as_bytes()).unwrap_err().error, ParseError::Unterminated);
    }
}
