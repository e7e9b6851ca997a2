//! Typed views of a message's headers.

use smallvec::SmallVec;

use crate::sip::header::address::NameAddr;
use crate::sip::header::auth::{Challenge, Credentials};
use crate::sip::header::event::{ContentType, Event, Reason, Replaces, SubscriptionState};
use crate::sip::header::number::{Cseq, Expires, RetryAfter, SessionExpires, number};
use crate::sip::header::via::Via;
use crate::sip::text::{decimal, trim};
use crate::sip::uri::Uri;
use crate::sip::{HeaderError, HeaderName, Message};

/// One header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'m> {
    /// The known name, or `Other`.
    pub name: HeaderName,
    /// The name as written.
    pub text: &'m str,
    /// The value, unfolded and trimmed.
    pub value: &'m str,
}

/// What the Contact headers of a message say.
#[derive(Debug, Clone)]
pub enum Contacts<'m> {
    /// No Contact header.
    None,
    /// `Contact: *`
    Star,
    /// One or more addresses, in order.
    List(SmallVec<[NameAddr<'m>; 1]>),
}

/// Views. `None` means that the header is absent or can not be read; after a successful
/// [`Message::parse`] the mandatory ones are always there.
impl Message<'_> {
    /// The Request-URI, parsed.
    pub fn uri(&self) -> Option<Uri<'_>> {
        if let Some(kept) = &self.kept.uri {
            return Some(kept.view(&self.head));
        }
        Uri::parse(self.request_uri()?).ok()
    }

    /// All Via values over lines and commas, topmost first; unreadable lower ones are passed over.
    pub fn vias(&self) -> impl Iterator<Item = Via<'_>> {
        self.values(HeaderName::Via).filter_map(|value| Via::parse(value).ok())
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Option<Via<'_>> {
        if let Some(kept) = &self.kept.via {
            return Some(kept.view(&self.head));
        }
        Via::parse(self.values(HeaderName::Via).next()?).ok()
    }

    /// From.
    pub fn from(&self) -> Option<NameAddr<'_>> {
        if let Some(kept) = &self.kept.from {
            return Some(kept.view(&self.head));
        }
        self.address(HeaderName::From)
    }

    /// To.
    pub fn to(&self) -> Option<NameAddr<'_>> {
        if let Some(kept) = &self.kept.to {
            return Some(kept.view(&self.head));
        }
        self.address(HeaderName::To)
    }

    /// Tag of From.
    pub fn from_tag(&self) -> Option<&str> {
        if self.kept.from.is_some() {
            return self.kept.from_tag.map(|span| span.text(&self.head));
        }
        self.from()?.tag()
    }

    /// Tag of To.
    pub fn to_tag(&self) -> Option<&str> {
        if self.kept.to.is_some() {
            return self.kept.to_tag.map(|span| span.text(&self.head));
        }
        self.to()?.tag()
    }

    /// The first address in that header: Refer-To, Referred-By, P-Asserted-Identity, …
    pub fn address(&self, name: HeaderName) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.first(name)?).ok()
    }

    /// All addresses of that header over lines and commas: Route, Record-Route, Path, …
    pub fn addresses(&self, name: HeaderName) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.values(name).map(NameAddr::parse)
    }

    /// Call-ID; compares with case.
    pub fn call_id(&self) -> Option<&str> {
        self.first(HeaderName::CallId)
    }

    /// CSeq.
    pub fn cseq(&self) -> Option<Cseq<'_>> {
        if let (Some(number), Some(method)) = (self.kept.cseq, self.method()) {
            return Some(Cseq { number, method });
        }
        Cseq::parse(self.first(HeaderName::Cseq)?).ok()
    }

    /// Max-Forwards, 0 to 255; 70 when absent (RFC 3261 §16.3).
    pub fn max_forwards(&self) -> u8 {
        self.first(HeaderName::MaxForwards).and_then(decimal).and_then(|n| u8::try_from(n).ok()).unwrap_or(70)
    }

    /// Contact headers: none, `*`, or the addresses. Addresses that can not be read do not appear; a
    /// parsed message has none such.
    pub fn contacts(&self) -> Contacts<'_> {
        if let Some(kept) = &self.kept.contact {
            return Contacts::List(SmallVec::from_buf([kept.view(&self.head)]));
        }
        let mut values = self.values(HeaderName::Contact).peekable();
        match values.peek() {
            None => Contacts::None,
            Some(&"*") => Contacts::Star,
            Some(_) => Contacts::List(values.filter_map(|value| NameAddr::parse(value).ok()).collect()),
        }
    }

    /// The first Contact address.
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        if let Some(kept) = &self.kept.contact {
            return Some(kept.view(&self.head));
        }
        NameAddr::parse(self.values(HeaderName::Contact).next()?).ok()
    }

    /// The Expires header.
    pub fn expires(&self) -> Option<Expires> {
        self.first(HeaderName::Expires).map(Expires::parse)
    }

    /// Min-Expires in seconds.
    pub fn min_expires(&self) -> Option<u32> {
        number(self.first(HeaderName::MinExpires)?).ok()
    }

    /// Retry-After.
    pub fn retry_after(&self) -> Option<RetryAfter> {
        RetryAfter::parse(self.first(HeaderName::RetryAfter)?).ok()
    }

    /// Session-Expires.
    pub fn session_expires(&self) -> Option<SessionExpires> {
        SessionExpires::parse(self.first(HeaderName::SessionExpires)?).ok()
    }

    /// Content-Type.
    pub fn content_type(&self) -> Option<ContentType<'_>> {
        ContentType::parse(self.first(HeaderName::ContentType)?).ok()
    }

    /// Event.
    pub fn event(&self) -> Option<Event<'_>> {
        Event::parse(self.first(HeaderName::Event)?).ok()
    }

    /// Subscription-State.
    pub fn subscription_state(&self) -> Option<SubscriptionState<'_>> {
        SubscriptionState::parse(self.first(HeaderName::SubscriptionState)?).ok()
    }

    /// Reason values; malformed ones are passed over.
    pub fn reasons(&self) -> impl Iterator<Item = Reason<'_>> {
        self.values(HeaderName::Reason).filter_map(|value| Reason::parse(value).ok())
    }

    /// Replaces.
    pub fn replaces(&self) -> Option<Replaces<'_>> {
        Replaces::parse(self.first(HeaderName::Replaces)?).ok()
    }

    /// Tokens of a list header (Require, Supported, Allow, Unsupported, …) over all its lines; empty
    /// elements are passed over.
    pub fn tokens(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.values(name).filter(|token| !token.is_empty())
    }

    /// Whether a list header names that token: option tags compare without case.
    pub fn lists(&self, name: HeaderName, token: &str) -> bool {
        self.tokens(name).any(|have| trim(have).eq_ignore_ascii_case(token))
    }

    /// Values of Authorization, one a line, each parsed or with its fault.
    pub fn authorizations(&self) -> impl Iterator<Item = Result<Credentials<'_>, HeaderError>> {
        self.all(HeaderName::Authorization).map(Credentials::parse)
    }

    /// Values of Proxy-Authorization, one a line.
    pub fn proxy_authorizations(&self) -> impl Iterator<Item = Result<Credentials<'_>, HeaderError>> {
        self.all(HeaderName::ProxyAuthorization).map(Credentials::parse)
    }

    /// Challenges of WWW-Authenticate and then Proxy-Authenticate, one a line, topmost first.
    pub fn challenges(&self) -> impl Iterator<Item = Result<Challenge<'_>, HeaderError>> {
        let proxy = self.all(HeaderName::ProxyAuthenticate);
        self.all(HeaderName::WwwAuthenticate).chain(proxy).map(Challenge::parse)
    }
}
