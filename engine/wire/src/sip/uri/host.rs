//! Hosts: names and addresses, with an optional port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::sip::UriError;
use crate::sip::class::{self, class};
use crate::sip::text::{push_ip, trim};

/// A host of a URI or of a Via `sent-by`. Addresses compare by value, names without case.
#[derive(Debug, Clone, Copy, Eq)]
pub enum Host<'a> {
    /// A domain name, as written.
    Name(&'a str),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// Parses a host alone: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn parse(text: &'a str) -> Result<Host<'a>, UriError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(UriError::Host)?;
            return inner.parse().map(Host::V6).map_err(|_| UriError::Host);
        }
        if let Some(ip) = v4(text.as_bytes()) {
            return Ok(Host::V4(ip));
        }
        let mut letters = false;
        for byte in text.bytes() {
            match byte {
                b'0'..=b'9' | b'.' => {}
                b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' => letters = true,
                _ => return Err(UriError::Host),
            }
        }
        if letters {
            let empty_label = text.starts_with('.') || text.contains("..");
            return if empty_label { Err(UriError::Host) } else { Ok(Host::Name(text)) };
        }
        // Digits and dots only: an IPv4 address or nothing. "2001" or "1.2.3" is read as an address by
        // some resolvers and as a name by others.
        text.parse().map(Host::V4).map_err(|_| UriError::Host)
    }

    /// Parses `host [":" port]`; white space around the colon is allowed, as in Via.
    pub fn parse_with_port(text: &'a str) -> Result<(Host<'a>, Option<u16>), UriError> {
        let text = trim(text);
        match Host::usual(text) {
            Some((host, port, end)) if end == text.len() => Ok((host, port)),
            _ => Self::long_way(text),
        }
    }

    fn long_way(text: &'a str) -> Result<(Host<'a>, Option<u16>), UriError> {
        let host_end = match text.strip_prefix('[') {
            Some(_) => text.bytes().position(|b| b == b']').ok_or(UriError::Host)? + 1,
            None => text.bytes().position(|b| b == b':').unwrap_or(text.len()),
        };
        let host = Host::parse(trim(&text[..host_end]))?;
        let rest = trim(&text[host_end..]);
        if rest.is_empty() {
            return Ok((host, None));
        }
        let digits = trim(rest.strip_prefix(':').ok_or(UriError::Host)?);
        if digits.is_empty() || digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(UriError::Port);
        }
        digits.parse().map(|port| (host, Some(port))).map_err(|_| UriError::Port)
    }

    /// A name or an IPv4 address with an optional port that `text` begins with, no white space among them, and how
    /// many bytes that is; `None`: read it the long way, which may refuse it.
    #[inline]
    pub(super) fn usual(text: &'a str) -> Option<(Host<'a>, Option<u16>, usize)> {
        let bytes = text.as_bytes();
        // A point in front, or two of them one after the other, make an empty label.
        let (mut end, mut all, mut last, mut empty_label) = (0, 0, b'.', false);
        while let Some(byte) = bytes.get(end).copied().filter(|byte| class(*byte) & class::HOST != 0) {
            all |= class(byte);
            empty_label |= byte == b'.' && last == b'.';
            (last, end) = (byte, end + 1);
        }
        let host = match all & class::LETTER != 0 {
            true if !empty_label => Host::Name(&text[..end]),
            true => return None,
            false => Host::V4(v4(&bytes[..end])?),
        };
        if bytes.get(end) != Some(&b':') {
            return Some((host, None, end));
        }
        let (mut port, mut at) = (0u32, end + 1);
        while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
        {
            if at > end + 5 {
                return None;
            }
            (port, at) = (port * 10 + u32::from(digit), at + 1);
        }
        if at == end + 1 {
            return None;
        }
        Some((host, Some(u16::try_from(port).ok()?), at))
    }

    /// The address, when it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match *self {
            Host::Name(_) => None,
            Host::V4(ip) => Some(IpAddr::V4(ip)),
            Host::V6(ip) => Some(IpAddr::V6(ip)),
        }
    }

    /// The host of an address.
    pub fn of_ip(ip: IpAddr) -> Host<'static> {
        match ip {
            IpAddr::V4(ip) => Host::V4(ip),
            IpAddr::V6(ip) => Host::V6(ip),
        }
    }

    /// Appends the canonical text: names in lower case, IPv6 in brackets in its shortest form.
    pub fn push_canonical(&self, out: &mut String) {
        match *self {
            Host::Name(name) => {
                let from = out.len();
                out.push_str(name);
                out[from..].make_ascii_lowercase();
            }
            Host::V4(ip) => push_ip(out, IpAddr::V4(ip)),
            Host::V6(ip) => {
                out.push('[');
                push_ip(out, IpAddr::V6(ip));
                out.push(']');
            }
        }
    }
}

/// An IPv4 address as the standard library reads it, in one pass: four numbers of at most 255 without leading zeros.
fn v4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut octets, mut place, mut number, mut digits) = ([0u8; 4], 0, 0u16, 0);
    for byte in text {
        match byte {
            b'0'..=b'9' if digits == 0 || (number > 0 && digits < 3) => {
                number = number * 10 + u16::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && place < 3 => {
                octets[place] = u8::try_from(number).ok()?;
                (place, number, digits) = (place + 1, 0, 0);
            }
            _ => return None,
        }
    }
    octets[3] = u8::try_from(number).ok()?;
    (place == 3 && digits > 0).then(|| Ipv4Addr::from(octets))
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (Host::V4(a), Host::V4(b)) => a == b,
            (Host::V6(a), Host::V6(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(ip) => write!(f, "{ip}"),
            Host::V6(ip) => write!(f, "[{ip}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, v4};

    #[test]
    fn the_usual_form_is_read_like_any_other() {
        let hosts = [
            "",
            ".",
            "a",
            "a.b",
            "a..b",
            ".a",
            "a.",
            "1",
            "1.2",
            "1.2.3.4",
            "1.2.3.4.",
            "1.2.3.256",
            "a_b-c",
            "[::1]",
        ];
        let ports = [
            "", ":", ":0", ":5060", ":65535", ":65536", ":00001", ":000001", ":5a", " :5060", ": 5060",
            ":5060 ", ";x", "@",
        ];
        for host in hosts {
            for port in ports {
                let text = format!("{host}{port}");
                let long = Host::long_way(&text);
                match Host::usual(&text) {
                    Some((host, port, end)) if end == text.len() => {
                        assert_eq!(long, Ok((host, port)), "{text}")
                    }
                    Some((.., end)) => assert!(end < text.len()),
                    None => {}
                }
            }
        }
    }

    #[test]
    fn addresses_are_those_of_the_standard_library() {
        let parts =
            ["", "0", "00", "01", "9", "10", "99", "255", "256", "999", "1000", "a", "-1", "+1", " 1"];
        for a in parts {
            for b in parts {
                for text in [
                    format!("{a}.{b}.3.4"),
                    format!("1.2.{a}.{b}"),
                    format!("{a}.2.3.{b}"),
                    format!("{a}.{b}"),
                    format!("1.2.3.{a}.{b}"),
                    format!("1.2.3.4{a}{b}"),
                    format!("{a}{b}"),
                ] {
                    assert_eq!(v4(text.as_bytes()), text.parse().ok(), "{text}");
                }
            }
        }
    }
}
