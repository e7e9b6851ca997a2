//! Tests over whole messages.

mod pitfalls;
mod properties;
mod rejection;
mod reply;
mod stream;
mod torture;

use crate::sip::{Contacts, HeaderName, Message};

/// A small sound request; `extra` are further header lines, each with its line end.
pub(crate) fn request(method: &str, extra: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bKabc;rport\r\n\
         From: <sip:1001@example.com>;tag=f1\r\nTo: <sip:1001@example.com>\r\nCall-ID: c1@192.0.2.9\r\n\
         CSeq: 7 {method}\r\nMax-Forwards: 70\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Reads a message through every view, so that none of them can hide a panic.
pub(crate) fn touch(message: &Message<'_>) -> usize {
    let mut seen = message.body().len() + format!("{message:?}").len();
    for header in message.headers() {
        seen += header.text.len() + header.value.len() + usize::from(message.has(header.name));
        seen += usize::from(message.other(header.text).is_some());
    }
    for via in message.vias() {
        seen += via.params.iter().count() + usize::from(via.params.check().is_ok());
        seen +=
            usize::from(via.answer_port()) + usize::from(via.received().is_some() || via.rport().is_some());
    }
    if let Some(uri) = message.uri() {
        seen += uri.params().count() + uri.headers().count();
        seen += usize::from(uri.equivalent(&uri)) + uri.aor().map_or(0, |aor| aor.len());
        assert!(uri.equivalent(&uri), "{uri}");
    }
    if let Contacts::List(list) = message.contacts() {
        for contact in list {
            seen += contact.display().len() + usize::from(contact.q().unwrap_or(0));
            seen += contact.expires().map_or(0, |e| e.seconds as usize % 7);
            seen += contact.instance().map_or(0, |i| i.len()) + contact.reg_id().unwrap_or(0) as usize % 7;
            seen += contact.device_name().map_or(0, |n| n.len()) + contact.model().map_or(0, |n| n.len());
        }
    }
    for name in [HeaderName::From, HeaderName::To, HeaderName::ReferTo, HeaderName::ReferredBy] {
        seen += message.address(name).map_or(0, |a| a.display().len());
    }
    for name in [HeaderName::Route, HeaderName::RecordRoute, HeaderName::Path] {
        seen += message.addresses(name).filter(Result::is_ok).count();
    }
    seen += message.authorizations().chain(message.proxy_authorizations()).filter(Result::is_ok).count();
    seen += message.challenges().filter(Result::is_ok).count() + message.reasons().count();
    seen += usize::from(message.event().is_some()) + usize::from(message.subscription_state().is_some());
    seen += usize::from(message.replaces().is_some()) + usize::from(message.content_type().is_some());
    seen += usize::from(message.retry_after().is_some()) + usize::from(message.session_expires().is_some());
    seen += usize::from(message.max_forwards()) + message.reason().map_or(0, str::len);
    seen += message.tokens(HeaderName::Supported).count() + message.expires().map_or(0, |_| 1);
    seen
}
