//! What a UAS must refuse before it looks at the meaning (RFC 3261 §8.1.1, §8.2, §16.3, §20).

use super::kept::{Kept, KeptAddress, KeptUri, KeptVia, Span};
use crate::sip::header::address::NameAddr;
use crate::sip::header::number::Cseq;
use crate::sip::header::via::Via;
use crate::sip::limits::MAX_CONTACTS;
use crate::sip::text::{Elements, decimal};
use crate::sip::uri::{Scheme, Uri};
use crate::sip::{HeaderError, HeaderName, Limits, Message, ParseError, UriError};

/// Headers that may stand once. Content-Length may be repeated with the same value, and is judged apart.
const SINGLE: [HeaderName; 18] = [
    HeaderName::CallId,
    HeaderName::ContentType,
    HeaderName::Cseq,
    HeaderName::Date,
    HeaderName::Event,
    HeaderName::Expires,
    HeaderName::From,
    HeaderName::MaxForwards,
    HeaderName::MinExpires,
    HeaderName::MinSe,
    HeaderName::Rack,
    HeaderName::ReferTo,
    HeaderName::ReferredBy,
    HeaderName::Replaces,
    HeaderName::RetryAfter,
    HeaderName::SessionExpires,
    HeaderName::SubscriptionState,
    HeaderName::To,
];

const fn bit(name: HeaderName) -> u128 {
    1 << (name as u8)
}

const SINGLE_BITS: u128 = {
    let (mut bits, mut i) = (0, 0);
    while i < SINGLE.len() {
        bits |= bit(SINGLE[i]);
        i += 1;
    }
    bits
};

/// The first fault of a message whose head could be read; else what was read of it.
pub(super) fn check(message: &Message<'_>, limits: &Limits) -> Result<Kept, ParseError> {
    let mut kept = Kept::default();
    let head = &*message.head;
    kept.uri = request_uri(message)?;
    let present = repetition(message)?;
    let has = |name| present & bit(name) != 0;
    for name in [HeaderName::Via, HeaderName::CallId, HeaderName::From, HeaderName::To, HeaderName::Cseq] {
        if !has(name) {
            return Err(ParseError::Missing(name));
        }
    }
    kept.via = Some(vias(message, limits)?);
    for name in [HeaderName::From, HeaderName::To] {
        let value = message.first(name).unwrap_or_default();
        let address = NameAddr::parse(value).map_err(|e| ParseError::Invalid(name, e))?;
        let tag = address.tag().map(|tag| Span::of(head, tag));
        let address = Some(KeptAddress::of(head, &address));
        if name == HeaderName::From {
            (kept.from, kept.from_tag) = (address, tag);
        } else {
            (kept.to, kept.to_tag) = (address, tag);
        }
    }
    let call_id = message.first(HeaderName::CallId).unwrap_or_default();
    if call_id.is_empty() || call_id.bytes().any(|b| matches!(b, b' ' | b'\t')) {
        return Err(ParseError::Invalid(HeaderName::CallId, HeaderError::Token));
    }
    let cseq = Cseq::parse(message.first(HeaderName::Cseq).unwrap_or_default())
        .map_err(|e| ParseError::Invalid(HeaderName::Cseq, e))?;
    if let Some(method) = message.method() {
        if method != cseq.method {
            return Err(ParseError::CseqMethod);
        }
        kept.cseq = Some(cseq.number);
    }
    if has(HeaderName::MaxForwards) {
        max_forwards(message.first(HeaderName::MaxForwards).unwrap_or_default())
            .map_err(|e| ParseError::Invalid(HeaderName::MaxForwards, e))?;
    }
    if has(HeaderName::Contact) {
        kept.contact = contacts(message).map_err(|e| ParseError::Invalid(HeaderName::Contact, e))?;
    }
    for name in [HeaderName::Route, HeaderName::RecordRoute] {
        if has(name) {
            addresses(message, name).map_err(|e| ParseError::Invalid(name, e))?;
        }
    }
    Ok(kept)
}

fn request_uri(message: &Message<'_>) -> Result<Option<KeptUri>, ParseError> {
    let Some(text) = message.request_uri() else { return Ok(None) };
    let uri = Uri::parse(text).map_err(ParseError::RequestUri)?;
    match uri.scheme {
        Scheme::Other(_) => Err(ParseError::Scheme),
        _ if uri.has_headers() => Err(ParseError::RequestUri(UriError::Params)),
        _ => Ok(Some(KeptUri::of(&message.head, &uri))),
    }
}

/// The set of known headers present, as bits; an error when a single one is repeated.
fn repetition(message: &Message<'_>) -> Result<u128, ParseError> {
    let (mut seen, mut twice) = (0u128, None);
    for name in message.names() {
        if seen & bit(name) & SINGLE_BITS != 0 {
            twice = twice.or(Some(name));
        }
        seen |= bit(name);
    }
    match twice {
        Some(name) => Err(ParseError::Repeated(name)),
        None => Ok(seen),
    }
}

fn vias(message: &Message<'_>, limits: &Limits) -> Result<KeptVia, ParseError> {
    let mut values = message.values(HeaderName::Via);
    let invalid = |e| ParseError::Invalid(HeaderName::Via, e);
    let top = Via::parse(values.next().unwrap_or_default()).map_err(invalid)?;
    top.params.check().map_err(invalid)?;
    // Only the topmost matters to us; of the rest only the number.
    if values.take(limits.vias).count() >= limits.vias {
        return Err(ParseError::TooManyVias { limit: limits.vias });
    }
    Ok(KeptVia::of(&message.head, &top))
}

fn max_forwards(value: &str) -> Result<(), HeaderError> {
    let number = decimal(value).ok_or(HeaderError::Number)?;
    if number > 255 { Err(HeaderError::Range) } else { Ok(()) }
}

/// Checks all; gives the one that there is, of several none.
fn contacts(message: &Message<'_>) -> Result<Option<KeptAddress>, HeaderError> {
    let (mut count, mut star, mut one) = (0, false, None);
    for value in message.values(HeaderName::Contact) {
        count += 1;
        if value == "*" {
            star = true;
        } else {
            one = Some(NameAddr::parse(value)?);
        }
        if count > MAX_CONTACTS || (star && count > 1) {
            return Err(HeaderError::List);
        }
    }
    Ok(one.filter(|_| count == 1).map(|address| KeptAddress::of(&message.head, &address)))
}

fn addresses(message: &Message<'_>, name: HeaderName) -> Result<(), HeaderError> {
    for (count, value) in message.values(name).enumerate() {
        NameAddr::parse(value)?;
        if count >= MAX_CONTACTS {
            return Err(HeaderError::List);
        }
    }
    Ok(())
}

/// The body's length by Content-Length; `None` when the header is absent.
///
/// Anything but one value made of digits, said as often as one likes, is refused: a receiver that
/// guesses lets a sender smuggle a second message.
pub(super) fn content_length<'m>(
    values: impl Iterator<Item = &'m str>,
    limits: &Limits,
) -> Result<Option<usize>, ParseError> {
    let mut length = None;
    for value in values.flat_map(Elements::new) {
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseError::Invalid(HeaderName::ContentLength, HeaderError::Number));
        }
        let number = decimal(value).and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        if length.is_some_and(|known| known != number) {
            return Err(ParseError::Repeated(HeaderName::ContentLength));
        }
        length = Some(number);
    }
    match length {
        Some(length) if length > limits.body_bytes => {
            Err(ParseError::BodyTooLarge { length, limit: limits.body_bytes })
        }
        length => Ok(length),
    }
}
