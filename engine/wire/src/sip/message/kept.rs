//! What the check of a message has read, kept as offsets into its head: views of the headers that everybody asks
//! for come without reading them again. Offsets, as the head may be a copy that the message owns.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::sip::Params;
use crate::sip::header::address::NameAddr;
use crate::sip::header::via::Via;
use crate::sip::uri::{Host, Scheme, Uri};

/// Views by offsets. Empty until the whole message has passed its check.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub uri: Option<KeptUri>,
    pub via: Option<KeptVia>,
    pub from: Option<KeptAddress>,
    pub to: Option<KeptAddress>,
    pub from_tag: Option<Span>,
    pub to_tag: Option<Span>,
    /// The one Contact; of several none is kept.
    pub contact: Option<KeptAddress>,
    /// Number in CSeq, which bears the method of the request.
    pub cseq: Option<u32>,
}

/// A piece of the head.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// Where `part`, which was cut out of `head`, stands in it.
    pub(super) fn of(head: &str, part: &str) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize);
        let end = start.wrapping_add(part.len());
        // Heads are shorter than 2^16; an empty part may lie anywhere.
        match (u16::try_from(start), u16::try_from(end)) {
            (Ok(start), Ok(end)) if !part.is_empty() => Span { start, end },
            _ => Span::default(),
        }
    }

    #[inline]
    pub(super) fn text(self, head: &str) -> &str {
        head.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy)]
enum KeptHost {
    Name(Span),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl KeptHost {
    fn of(head: &str, host: Host<'_>) -> KeptHost {
        match host {
            Host::Name(name) => KeptHost::Name(Span::of(head, name)),
            Host::V4(ip) => KeptHost::V4(ip),
            Host::V6(ip) => KeptHost::V6(ip),
        }
    }

    #[inline]
    fn view<'h>(&self, head: &'h str) -> Host<'h> {
        match *self {
            KeptHost::Name(name) => Host::Name(name.text(head)),
            KeptHost::V4(ip) => Host::V4(ip),
            KeptHost::V6(ip) => Host::V6(ip),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum KeptScheme {
    Sip,
    Sips,
    Tel,
    Other(Span),
}

/// A [`Uri`] by offsets.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeptUri {
    raw: Span,
    scheme: KeptScheme,
    user: Option<Span>,
    password: Option<Span>,
    host: Option<KeptHost>,
    port: Option<u16>,
    params: Span,
    headers: Option<Span>,
}

impl KeptUri {
    pub(super) fn of(head: &str, uri: &Uri<'_>) -> KeptUri {
        let scheme = match uri.scheme {
            Scheme::Sip => KeptScheme::Sip,
            Scheme::Sips => KeptScheme::Sips,
            Scheme::Tel => KeptScheme::Tel,
            Scheme::Other(text) => KeptScheme::Other(Span::of(head, text)),
        };
        KeptUri {
            raw: Span::of(head, uri.raw),
            scheme,
            user: uri.user.map(|text| Span::of(head, text)),
            password: uri.password.map(|text| Span::of(head, text)),
            host: uri.host.map(|host| KeptHost::of(head, host)),
            port: uri.port,
            params: Span::of(head, uri.params),
            headers: uri.headers.map(|text| Span::of(head, text)),
        }
    }

    pub(super) fn view<'h>(&self, head: &'h str) -> Uri<'h> {
        let scheme = match self.scheme {
            KeptScheme::Sip => Scheme::Sip,
            KeptScheme::Sips => Scheme::Sips,
            KeptScheme::Tel => Scheme::Tel,
            KeptScheme::Other(text) => Scheme::Other(text.text(head)),
        };
        Uri {
            raw: self.raw.text(head),
            scheme,
            user: self.user.map(|span| span.text(head)),
            password: self.password.map(|span| span.text(head)),
            host: self.host.map(|host| host.view(head)),
            port: self.port,
            params: self.params.text(head),
            headers: self.headers.map(|span| span.text(head)),
        }
    }
}

/// A [`NameAddr`] by offsets.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeptAddress {
    raw: Span,
    display: Span,
    uri: KeptUri,
    params: Option<Span>,
}

impl KeptAddress {
    pub(super) fn of(head: &str, address: &NameAddr<'_>) -> KeptAddress {
        KeptAddress {
            raw: Span::of(head, address.raw),
            display: Span::of(head, address.display_text()),
            uri: KeptUri::of(head, &address.uri),
            params: address.params.some_raw().map(|text| Span::of(head, text)),
        }
    }

    pub(super) fn view<'h>(&self, head: &'h str) -> NameAddr<'h> {
        let params = Params::new(self.params.map(|span| span.text(head)));
        NameAddr::of_parts(self.raw.text(head), self.display.text(head), self.uri.view(head), params)
    }
}

/// A [`Via`] by offsets.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeptVia {
    raw: Span,
    transport: Span,
    host: KeptHost,
    port: Option<u16>,
    params: Option<Span>,
}

impl KeptVia {
    pub(super) fn of(head: &str, via: &Via<'_>) -> KeptVia {
        KeptVia {
            raw: Span::of(head, via.raw),
            transport: Span::of(head, via.transport),
            host: KeptHost::of(head, via.host),
            port: via.port,
            params: via.params.some_raw().map(|text| Span::of(head, text)),
        }
    }

    pub(super) fn view<'h>(&self, head: &'h str) -> Via<'h> {
        Via {
            raw: self.raw.text(head),
            transport: self.transport.text(head),
            host: self.host.view(head),
            port: self.port,
            params: Params::new(self.params.map(|span| span.text(head))),
        }
    }
}
