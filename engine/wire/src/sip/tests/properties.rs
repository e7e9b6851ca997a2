//! Properties over random input.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::sip::stream::{Frame, Framer, Side};
use crate::sip::{
    Credentials, Cseq, HeaderName, Message, NameAddr, Printer, ReplyHead, TransactionKey, Uri, Via,
};
use crate::sip::{multipart, percent_decode, quoted, stun, unquote};

use super::torture::load;
use super::{request, touch};

/// Everything that a server does with bytes from outside.
fn exercise(bytes: &[u8]) {
    let source = "203.0.113.5:40000".parse().unwrap();
    stun::answer(bytes, source);
    let message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(rejected) => match rejected.message {
            Some(message) => *message,
            None => return,
        },
    };
    touch(&message);
    if let Some(content_type) = message.first(HeaderName::ContentType) {
        let _ = multipart::parts(content_type, message.body());
    }
    kept_views_are_those_of_the_text(&message);
    kept_views_are_those_of_the_text(&message.clone().into_owned());
    TransactionKey::server(&message);
    TransactionKey::from_response(&message);
    let owned = message.clone().into_owned();
    assert_eq!(owned.body(), message.body());
    if let Some(head) = ReplyHead::capture(&message, source, true) {
        let answer = head.respond(400, "Bad Request", Some("t"), &[("X", "y")], Some(("text/plain", b"z")));
        // Whatever came in, the answer has as many lines as it should and one end.
        let lines = answer.windows(2).filter(|pair| pair == b"\r\n").count();
        let vias = message.values(HeaderName::Via).count();
        let single = [HeaderName::From, HeaderName::CallId, HeaderName::Cseq, HeaderName::To];
        let echoed = vias + single.iter().filter(|name| message.has(**name)).count();
        assert_eq!(lines, 1 + echoed + 1 + 2 + 1);
        assert!(answer.ends_with(b"\r\n\r\nz"));
    }
}

/// What the check kept says the same as reading the header again.
fn kept_views_are_those_of_the_text(message: &Message<'_>) {
    let address = |a: Option<NameAddr<'_>>| a.map(|a| format!("{a:?} {}", a.display()));
    let read = |name| message.first(name).and_then(|value| NameAddr::parse(value).ok());
    for (kept, name) in [(message.from(), HeaderName::From), (message.to(), HeaderName::To)] {
        assert_eq!(address(kept), address(read(name)));
    }
    let tag = |name| read(name).and_then(|a| a.tag());
    assert_eq!((message.from_tag(), message.to_tag()), (tag(HeaderName::From), tag(HeaderName::To)));
    let via = message.values(HeaderName::Via).next().and_then(|value| Via::parse(value).ok());
    assert_eq!(message.top_via(), via);
    let uri = message.request_uri().and_then(|text| Uri::parse(text).ok());
    assert_eq!(format!("{:?}", message.uri()), format!("{uri:?}"));
    let contact = message.values(HeaderName::Contact).next().and_then(|value| NameAddr::parse(value).ok());
    assert_eq!(address(message.contact()), address(contact));
    let cseq = message.first(HeaderName::Cseq).and_then(|value| Cseq::parse(value).ok());
    assert_eq!(message.cseq(), cseq);
    if let Some(contact) = contact {
        let params = contact.contact_params();
        assert_eq!(
            (params.q, params.expires, params.reg_id),
            (contact.q(), contact.expires(), contact.reg_id())
        );
        assert_eq!((params.instance, params.model), (contact.instance(), contact.model()));
        assert_eq!(
            (params.device_name, params.keep_alive),
            (contact.device_name(), contact.cisco_keep_alive())
        );
    }
}

fn frames(stream: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut framer = Framer::new(Side::Acceptor);
    let mut out = Vec::new();
    let mut at = 0;
    let ends = cuts.iter().map(|cut| cut % (stream.len() + 1));
    let mut ends: Vec<usize> = ends.chain([stream.len()]).collect();
    ends.sort_unstable();
    for end in ends {
        framer.push(&stream[at..end]);
        at = end;
        loop {
            match framer.next() {
                Frame::Message(bytes) => out.push(bytes.to_vec()),
                Frame::Ping => out.push(b"ping".to_vec()),
                Frame::Pong => out.push(b"pong".to_vec()),
                Frame::NeedMore => break,
                Frame::Broken { error, .. } => {
                    out.push(format!("{error:?}").into_bytes());
                    return out;
                }
            }
        }
    }
    out
}

fn sip_noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("\r\n"),
        Just("\n "),
        Just("\r"),
        Just(":"),
        Just(";"),
        Just(","),
        Just("<"),
        Just(">"),
        Just("\""),
        Just("\\"),
        Just("="),
        Just("%00"),
        Just("%"),
        Just("@"),
        Just("?"),
        Just("["),
        Just("]"),
        Just(" "),
        Just("sip:"),
        Just("SIP/2.0"),
        Just("Via"),
        Just("From: "),
        Just("l: 4"),
        Just("Contact:*"),
        Just("a"),
        Just("9"),
        Just("é"),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), noise in sip_noise()) {
        exercise(&bytes);
        exercise(&noise);
        frames(&bytes, &[]);
        frames(&noise, &[3]);
        exercise(&[&b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n"[..], &noise].concat());
        let text = String::from_utf8_lossy(&noise);
        let _ = (NameAddr::parse(&text), Via::parse(&text), Credentials::parse(&text), percent_decode(&text));
    }

    #[test]
    fn mutated_torture_messages_never_panic(
        pick in any::<prop::sample::Index>(),
        edits in vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>(), sip_noise()), 1..6),
    ) {
        let all = load("rfc4475");
        let mut bytes = all[pick.index(all.len())].bytes.clone();
        for (at, kind, byte, noise) in edits {
            let at = at.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                2 => drop(bytes.splice(at..at, noise)),
                _ => {
                    if let Some(slot) = bytes.get_mut(at) {
                        *slot = byte;
                    }
                }
            }
        }
        exercise(&bytes);
    }

    #[test]
    fn what_is_printed_is_parsed_again(
        names in vec("X-[A-Za-z]{1,12}", 0..20),
        value in "\\PC{0,40}",
        dirt in any::<String>(),
        body in vec(any::<u8>(), 0..200),
    ) {
        let mut printer = Printer::request("MESSAGE", "sip:1001@example.com");
        printer.header("Via", "SIP/2.0/TCP h;branch=z9hG4bK1").header("From", "<sip:a@b>;tag=1");
        printer.header("To", "<sip:c@d>").header("Call-ID", "i").cseq(1, "MESSAGE");
        for name in &names {
            printer.header(name, &value);
        }
        printer.header("X-Dirt", &dirt);
        let bytes = printer.finish_with("text/plain", &body);
        let parsed = Message::parse(&bytes).map_err(|r| TestCaseError::fail(format!("{}", r.error)))?;
        prop_assert_eq!(parsed.body(), &body[..]);
        let with_body = usize::from(!body.is_empty());
        prop_assert_eq!(parsed.headers().count(), 5 + names.len() + 1 + 1 + with_body);
        for name in &names {
            prop_assert_eq!(parsed.other(name), Some(value.trim_matches([' ', '\t'])));
        }
        // On a stream the same bytes are one frame.
        prop_assert_eq!(frames(&bytes, &[]), vec![bytes.clone()]);
    }

    #[test]
    fn framing_does_not_depend_on_chunks(
        bodies in vec("[ -~]{0,40}", 1..5),
        pings in vec(0usize..5, 5),
        cuts in vec(any::<usize>(), 0..40),
        tail in sip_noise(),
    ) {
        let mut stream = Vec::new();
        for (body, line_ends) in bodies.iter().zip(&pings) {
            stream.extend_from_slice(&b"\r\n".repeat(*line_ends));
            stream.extend_from_slice(&request("MESSAGE", "", body));
        }
        let whole = frames(&stream, &[]);
        prop_assert_eq!(&frames(&stream, &cuts), &whole);
        let expected = bodies.len() + pings.iter().take(bodies.len()).map(|n| n / 2).sum::<usize>();
        prop_assert_eq!(whole.len(), expected);
        for frame in whole.iter().filter(|frame| *frame != b"ping") {
            prop_assert!(Message::parse(frame).is_ok());
        }
        // Behind sound messages comes anything: where the stream breaks does not depend on chunks.
        stream.extend_from_slice(&tail);
        let whole = frames(&stream, &[]);
        prop_assert_eq!(frames(&stream, &cuts).len(), whole.len());
    }

    #[test]
    fn quoting_is_undone_and_equality_is_symmetric(text in "\\PC{0,30}", a in "[a-zA-Z0-9%;=@:?.&]{0,24}", b in "[a-zA-Z0-9%;=@:?.&]{0,24}") {
        let in_quotes = quoted(&text);
        prop_assert_eq!(unquote(&in_quotes), text);
        let (a, b) = (format!("sip:{a}"), format!("sip:{b}"));
        if let (Ok(a), Ok(b)) = (Uri::parse(&a), Uri::parse(&b)) {
            prop_assert_eq!(a.equivalent(&b), b.equivalent(&a));
            prop_assert!(a.equivalent(&a));
            if let Some(aor) = a.aor() {
                let again = Uri::parse(&aor).map_err(|e| TestCaseError::fail(e.to_string()))?;
                prop_assert_eq!(again.aor(), Some(aor.clone()));
            }
        }
    }
}
