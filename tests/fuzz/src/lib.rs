//! What is done with arbitrary bytes: each function reads them as one kind of input and checks what must
//! hold for every input. Called by the libFuzzer targets beside it and, on the stable compiler, by the
//! suite `fuzz_corpus`, which replays the corpus with mutations.

use std::net::SocketAddr;

use keyline_wire::sdp::bridge::{BridgePolicy, LegSession, Role, rewrite};
use keyline_wire::sdp::{self, CryptoSuite, SuiteSet};
use keyline_wire::sip::stream::{Frame, Framer, Side};
use keyline_wire::sip::{
    Challenge, Contacts, Credentials, HeaderName, Limits, Message, NameAddr, ReplyHead, TransactionKey, Uri,
    Via, multipart, percent_decode, quoted, stun, unquote,
};

/// Where the bytes are said to come from.
fn source() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 5], 40_000))
}

/// A datagram.
pub fn message(bytes: &[u8]) {
    stun::answer(bytes, source());
    let (message, whole) = match Message::parse(bytes) {
        Ok(message) => (message, true),
        Err(rejected) => {
            assert!((400..600).contains(&rejected.status()), "{}", rejected.error);
            match rejected.message {
                Some(message) => (*message, false),
                None => return,
            }
        }
    };
    views(&message);
    if whole {
        assert!(message.cseq().is_some() && message.call_id().is_some_and(|id| !id.is_empty()));
        assert!(message.from().is_some() && message.to().is_some() && message.top_via().is_some());
        assert!(message.is_request() == message.status().is_none());
    }
    let server = TransactionKey::server(&message);
    assert!(server.is_none() || message.is_request());
    TransactionKey::from_response(&message);
    let owned = message.clone().into_owned();
    assert_eq!(owned.body(), message.body());
    assert_eq!(TransactionKey::server(&owned), server);
    for force in [false, true] {
        if let Some(head) = ReplyHead::capture(&message, source(), force) {
            answer(&message, &head, whole);
        }
    }
}

/// An answer echoes what it must and nothing that was smuggled in.
fn answer(request: &Message<'_>, head: &ReplyHead, whole: bool) {
    let bytes = head.respond(486, "Busy Here", Some("t4g"), &[("X-Own", "1")], None);
    let text = std::str::from_utf8(&bytes).expect("an answer is text");
    let vias = request.values(HeaderName::Via).count();
    let single = [HeaderName::From, HeaderName::CallId, HeaderName::Cseq, HeaderName::To];
    let echoed = vias + single.iter().filter(|name| request.has(**name)).count();
    // Start line, echo, X-Own, Content-Length, empty line.
    assert_eq!(text.matches("\r\n").count(), 1 + echoed + 1 + 1 + 1, "{text:?}");
    assert!(text.ends_with("\r\n\r\n"));
    if !whole {
        return;
    }
    let again = match Message::parse(&bytes) {
        Ok(again) => again,
        Err(rejected) => panic!("our own answer is refused: {}: {text:?}", rejected.error),
    };
    assert_eq!(again.status(), Some(486));
    assert_eq!(again.call_id(), request.call_id());
    assert_eq!(again.from_tag(), request.from_tag());
    assert_eq!(again.cseq().map(|c| c.number), request.cseq().map(|c| c.number));
    assert_eq!(again.values(HeaderName::Via).count(), vias);
    assert_eq!(again.top_via().and_then(|v| v.branch().map(str::to_owned)), branch(request));
    assert!(again.to_tag().is_some() || head.to_has_tag());
}

fn branch(message: &Message<'_>) -> Option<String> {
    message.top_via()?.branch().map(str::to_owned)
}

/// Every view of a message, so that none of them can hide a panic.
fn views(message: &Message<'_>) {
    let _ = format!("{message:?}");
    for header in message.headers() {
        assert!(!header.value.contains(['\r', '\n']), "a line end in {:?}", header.value);
        message.other(header.text);
    }
    for via in message.vias() {
        let _ = (via.params.check(), via.answer_port(), via.received(), via.rport(), via.unique_branch());
    }
    if let Contacts::List(list) = message.contacts() {
        for contact in &list {
            let _ = (contact.display(), contact.q(), contact.expires(), contact.instance());
            let _ = (contact.reg_id(), contact.device_name(), contact.model());
        }
    }
    for name in [HeaderName::From, HeaderName::To, HeaderName::ReferTo, HeaderName::ReferredBy] {
        message.address(name);
    }
    for name in [HeaderName::Route, HeaderName::RecordRoute, HeaderName::Path] {
        message.addresses(name).count();
    }
    message.authorizations().chain(message.proxy_authorizations()).count();
    message.challenges().count();
    message.reasons().count();
    message.tokens(HeaderName::Supported).count();
    let _ = (message.event(), message.subscription_state(), message.replaces(), message.retry_after());
    let _ = (message.session_expires(), message.max_forwards(), message.reason(), message.expires());
    if let Some(target) = message.request_uri() {
        uri(target.as_bytes());
    }
    if let Some(content_type) = message.first(HeaderName::ContentType) {
        let _ = multipart::parts(content_type, message.body());
    }
}

/// A URI, alone and in a header value.
pub fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = (NameAddr::parse(text), Via::parse(text), percent_decode(text), unquote(text).len());
    // Control characters may not stand in a header, escaped or not: quoting turns them into blanks.
    assert_eq!(blank(&unquote(&quoted(text))), blank(text), "quoting is undone");
    let Ok(uri) = Uri::parse(text) else { return };
    assert!(uri.equivalent(&uri), "{text:?} is not equivalent to itself");
    let _ = (uri.params().count(), uri.headers().count(), uri.has_headers(), uri.is_sip());
    if let Some(aor) = uri.aor() {
        let again = Uri::parse(&aor).unwrap_or_else(|e| panic!("own address of record {aor:?}: {e}"));
        assert_eq!(again.aor().as_deref(), Some(aor.as_str()), "canonical form changes again");
        assert_eq!(again.aor_user(), uri.aor_user(), "{text:?}");
    }
    // In angle brackets nothing of it may leak into the header's parameters.
    if uri.raw == text {
        let value = format!("<{text}>;tag=t");
        let address = NameAddr::parse(&value).unwrap_or_else(|e| panic!("{value:?}: {e}"));
        assert_eq!(address.tag(), Some("t"), "{value:?}");
        assert_eq!(address.uri.raw, text);
    }
}

fn blank(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Value of Authorization or WWW-Authenticate.
pub fn auth(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(Credentials::Digest(digest)) = Credentials::parse(text) {
        let _ = digest.nonce_count();
        for value in [&digest.username, &digest.realm, &digest.nonce, &digest.uri].into_iter().flatten() {
            assert!(value.len() <= text.len(), "unescaping made {value:?} longer");
        }
    }
    if let Ok(Challenge::Digest(digest)) = Challenge::parse(text) {
        let _ = (digest.offers_auth(), digest.stale);
    }
}

/// A session description.
pub fn sdp(bytes: &[u8]) {
    let Ok(first) = sdp::parse(bytes) else { return };
    let printed = first.to_bytes();
    let second = sdp::parse(&printed).unwrap_or_else(|e| panic!("own description refused: {e}"));
    assert_eq!(first.summary(), second.summary());
    assert_eq!(second.to_bytes(), printed, "printing is not stable");
    for carry_crypto in [false, true] {
        let suites = SuiteSet::of([CryptoSuite::AesCm128HmacSha1_80]);
        let policy = BridgePolicy { carry_crypto, suites };
        let mut leg = LegSession::new(7);
        if let Ok(out) = rewrite(first.clone(), Role::Offer, &mut leg, &policy) {
            let out_sdp = sdp::parse(&out).unwrap_or_else(|e| panic!("rewritten description refused: {e}"));
            assert_eq!(out_sdp.media.len(), first.media.len());
            let keys = out_sdp.media.iter().any(|m| !m.crypto.is_empty());
            assert!(carry_crypto || !keys, "keys left the call");
            let line_of_key =
                |line: &[u8]| line.get(..9).is_some_and(|l| l.eq_ignore_ascii_case(b"a=crypto:"));
            let as_text = out.split(|b| matches!(b, b'\r' | b'\n')).any(line_of_key);
            assert!(carry_crypto || !as_text, "keys left the call as text");
        }
    }
}

/// The bytes of a connection. The first byte sets the sizes of the chunks in which the others come.
pub fn stream(bytes: &[u8]) {
    let Some((seed, bytes)) = bytes.split_first() else { return };
    let limits =
        Limits { head_bytes: 2048, header_bytes: 512, headers: 24, body_bytes: 1024, ..Limits::DEFAULT };
    for side in [Side::Acceptor, Side::Opener] {
        let whole = frames(bytes, side, limits, |_| bytes.len().max(1));
        let mut state = u32::from(*seed) + 1;
        let chopped = frames(bytes, side, limits, |_| {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            1 + (state >> 16) as usize % 97
        });
        assert_eq!(whole, chopped, "frames depend on chunks");
    }
}

/// Frames as owned pieces; an error ends the list.
fn frames(bytes: &[u8], side: Side, limits: Limits, mut size: impl FnMut(usize) -> usize) -> Vec<Vec<u8>> {
    let mut framer = Framer::with_limits(side, limits);
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let end = bytes.len().min(at + size(at).max(1));
        framer.push(&bytes[at..end]);
        let chunk = end - at;
        at = end;
        loop {
            match framer.next() {
                Frame::Message(frame) => {
                    let _ = Message::parse(frame);
                    out.push(frame.to_vec());
                }
                Frame::Ping => out.push(b"ping".to_vec()),
                Frame::Pong => out.push(b"pong".to_vec()),
                Frame::NeedMore => break,
                Frame::Broken { error, head } => {
                    let _ = Message::parse(head);
                    // Of several faults the chunks decide which is seen first.
                    let _ = error.status();
                    out.push(b"broken".to_vec());
                    return out;
                }
            }
        }
        let most = limits.head_bytes + limits.body_bytes + 4 + chunk;
        assert!(framer.buffered() <= most, "{} bytes are held", framer.buffered());
    }
    out
}
