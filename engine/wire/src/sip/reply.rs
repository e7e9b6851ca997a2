//! What a response repeats from its request, kept after the request is gone (RFC 3261 §8.2.6, §18.2).

use std::net::{Ipv4Addr, SocketAddr};

use crate::sip::header::via::Via;
use crate::sip::text::{push_ip, push_number};
use crate::sip::{HeaderName, Host, Message, Method, Printer};

/// Where a response goes (RFC 3261 §18.2.2, RFC 3581 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyRoute {
    /// Over UDP: the source when `rport` was asked for, else the source address with the port of the
    /// topmost Via. `maddr` is not followed: it would let a sender aim our answers at a third party.
    pub udp: SocketAddr,
    /// Over a stream the same connection; this only when it is gone, where opening one is allowed.
    pub stream: SocketAddr,
    /// `rport` decided.
    pub by_rport: bool,
}

/// The echo part of a request: Via values in order, From, To, Call-ID, CSeq, Record-Route, Timestamp.
///
/// One allocation; header text is copied as sent, only the topmost Via gets `received` and `rport`.
#[derive(Debug, Clone)]
pub struct ReplyHead {
    /// Ready lines: Via…, From, Call-ID, CSeq | Record-Route… | Timestamp | To without its line end.
    lines: String,
    record_route: usize,
    timestamp: usize,
    to: usize,
    to_has_tag: bool,
    method: Method<'static>,
    source: SocketAddr,
    route: ReplyRoute,
}

impl ReplyHead {
    /// Captures a request that came from `source`. `force_rport` answers to the source port even when
    /// the sender did not ask for it (phones behind NAT that lack RFC 3581).
    ///
    /// `None` for a response and for a request without a readable topmost Via.
    pub fn capture(request: &Message<'_>, source: SocketAddr, force_rport: bool) -> Option<ReplyHead> {
        let method = request.method()?;
        let via = request.top_via()?;
        let mut lines = String::with_capacity(512);
        push_vias(&mut lines, request, &via, source);
        for name in [HeaderName::From, HeaderName::CallId, HeaderName::Cseq] {
            push_lines(&mut lines, name, request.first(name).into_iter());
        }
        let record_route = lines.len();
        push_lines(&mut lines, HeaderName::RecordRoute, request.all(HeaderName::RecordRoute));
        let timestamp = lines.len();
        push_lines(&mut lines, HeaderName::Timestamp, request.first(HeaderName::Timestamp).into_iter());
        let to = lines.len();
        if let Some(value) = request.first(HeaderName::To) {
            push_lines(&mut lines, HeaderName::To, std::iter::once(value));
            lines.truncate(lines.len() - 2);
        }
        let by_rport = force_rport || via.has_rport();
        let sent_by = SocketAddr::new(source.ip(), via.answer_port());
        Some(ReplyHead {
            lines,
            record_route,
            timestamp,
            to,
            to_has_tag: request.to().is_some_and(|to| to.params.has("tag")),
            method: method.known().unwrap_or(Method::Other("")),
            source,
            route: ReplyRoute { udp: if by_rport { source } else { sent_by }, stream: sent_by, by_rport },
        })
    }

    /// Begins a response; more headers may be added before it is finished.
    ///
    /// `to_tag` is added when the request's To had none and `status` is above 100. Record-Route is
    /// repeated in 101 to 299, Timestamp in 100.
    pub fn response(&self, status: u16, reason: &str, to_tag: Option<&str>) -> Printer {
        let mut printer = Printer::response(status, reason);
        printer.push_lines(&self.lines[..self.record_route]);
        if (101..300).contains(&status) {
            printer.push_lines(&self.lines[self.record_route..self.timestamp]);
        }
        if status == 100 {
            printer.push_lines(&self.lines[self.timestamp..self.to]);
        }
        let to = &self.lines[self.to..];
        if !to.is_empty() {
            printer.push_lines(to);
            if let Some(tag) =
                to_tag.filter(|tag| status > 100 && !self.to_has_tag && crate::sip::is_token(tag))
            {
                printer.push_lines(";tag=");
                printer.push_lines(tag);
            }
            printer.push_lines("\r\n");
        }
        printer
    }

    /// A whole response. `headers` are added as they are; `body` is media type and bytes.
    pub fn respond(
        &self,
        status: u16,
        reason: &str,
        to_tag: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<(&str, &[u8])>,
    ) -> Vec<u8> {
        let mut printer = self.response(status, reason, to_tag);
        for (name, value) in headers {
            printer.header(name, value);
        }
        match body {
            Some((content_type, body)) => printer.finish_with(content_type, body),
            None => printer.finish(),
        }
    }

    /// Lets go of the text, once no other response will be made of it. Route, source and method stay.
    pub fn spend(&mut self) {
        self.lines = String::new();
        (self.record_route, self.timestamp, self.to) = (0, 0, 0);
    }

    /// Stands for requests that have their answer: no other response can be made of it.
    pub fn answered(method: Method<'static>) -> ReplyHead {
        let nobody = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        ReplyHead {
            lines: String::new(),
            record_route: 0,
            timestamp: 0,
            to: 0,
            to_has_tag: false,
            method,
            source: nobody,
            route: ReplyRoute { udp: nobody, stream: nobody, by_rport: false },
        }
    }

    /// Where responses go.
    pub fn reply_to(&self) -> ReplyRoute {
        self.route
    }

    /// Where the request came from.
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// Method of the request; an unknown one is `Other("")`.
    pub fn method(&self) -> Method<'static> {
        self.method
    }

    /// Whether the request's To had a tag: it was sent inside a dialog.
    pub fn to_has_tag(&self) -> bool {
        self.to_has_tag
    }
}

fn push_vias(out: &mut String, request: &Message<'_>, top: &Via<'_>, source: SocketAddr) {
    out.push_str("Via: ");
    push_top(out, top, source);
    out.push_str("\r\n");
    // Lower values stay as they are: one value a line means the same as commas (RFC 3261 §7.3.1).
    push_lines(out, HeaderName::Via, request.values(HeaderName::Via).skip(1));
}

/// The topmost Via with the source filled in; what the sender wrote into those parameters is dropped.
fn push_top(out: &mut String, via: &Via<'_>, source: SocketAddr) {
    let mut rport = false;
    let front = via.raw.len() - via.params.raw().len();
    out.push_str(via.raw[..front].trim_end_matches([';', ' ', '\t']));
    for param in via.params.iter() {
        if param.name.eq_ignore_ascii_case("rport") {
            rport = true;
            continue;
        }
        if param.name.eq_ignore_ascii_case("received") {
            continue;
        }
        out.push(';');
        out.push_str(param.name);
        if let Some(value) = param.value {
            out.push('=');
            out.push_str(value);
        }
    }
    let address = source.ip().to_canonical();
    if rport || via.host != Host::of_ip(address) {
        out.push_str(";received=");
        push_ip(out, address);
    }
    if rport {
        out.push_str(";rport=");
        push_number(out, u64::from(source.port()));
    }
}

fn push_lines<'m>(out: &mut String, name: HeaderName, values: impl Iterator<Item = &'m str>) {
    for value in values {
        out.push_str(name.as_str());
        out.push_str(": ");
        out.push_str(value);
        out.push_str("\r\n");
    }
}
