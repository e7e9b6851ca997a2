//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966), read without copying.

mod equal;
mod host;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use crate::sip::class::{self, class};
use crate::sip::limits::MAX_PARAMS;
use crate::sip::text::{percent_decode, push_user_escaped, split_at_byte};
use crate::sip::{Param, UriError};

pub use self::host::Host;

/// Scheme of a URI; compares without case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other, as written.
    Other(&'a str),
}

/// A URI, split into its parts. All parts are as written: escapes are not resolved.
#[derive(Debug, Clone, Copy)]
pub struct Uri<'a> {
    /// The whole URI.
    pub raw: &'a str,
    /// Scheme.
    pub scheme: Scheme<'a>,
    /// User part of sip and sips, number of tel; `None` when absent.
    pub user: Option<&'a str>,
    /// Password behind the user part.
    pub password: Option<&'a str>,
    /// Host of sip and sips; `None` for all other schemes.
    pub host: Option<Host<'a>>,
    /// Port, where written.
    pub port: Option<u16>,
    /// Text of the parameters, without the first semicolon.
    pub(in crate::sip) params: &'a str,
    /// Text of the headers, without the question mark.
    pub(in crate::sip) headers: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Parses one URI (no angle brackets, no white space around it).
    ///
    /// sip and sips are checked whole; of tel the number and parameters are split; of any other scheme
    /// only the scheme and the absence of forbidden characters are checked.
    pub fn parse(raw: &'a str) -> Result<Uri<'a>, UriError> {
        if let Some(uri) = usual(raw) {
            return Ok(uri);
        }
        let forbidden = |b: u8| matches!(b, b' ' | b'<' | b'>' | b'"') || b.is_ascii_control();
        if raw.bytes().any(forbidden) {
            return Err(UriError::Character);
        }
        let (scheme, rest) = split_at_byte(raw, b':').ok_or(UriError::Scheme)?;
        let scheme = parse_scheme(scheme)?;
        let empty = Uri {
            raw,
            scheme,
            user: None,
            password: None,
            host: None,
            port: None,
            params: "",
            headers: None,
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => parse_sip(empty, rest),
            Scheme::Tel => {
                let (number, params) = rest.split_once(';').unwrap_or((rest, ""));
                let uri = Uri { user: Some(number), params, ..empty };
                if number.is_empty() { Err(UriError::User) } else { uri.checked() }
            }
            Scheme::Other(_) if rest.is_empty() => Err(UriError::Host),
            Scheme::Other(_) => Ok(empty),
        }
    }

    /// Whether the scheme is sip or sips.
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The parameters, as written.
    pub fn params(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        pairs(self.params, ';')
    }

    /// The first parameter of that name (without case).
    pub fn param(&self, name: &str) -> Option<Param<'a>> {
        self.params().find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// The headers behind `?`, as written: names and values still escaped.
    pub fn headers(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        pairs(self.headers.unwrap_or_default(), '&')
    }

    /// The decoded value of the first header of that name; `None` when absent or not decodable.
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        let header = self.headers().find(|header| header.name.eq_ignore_ascii_case(name))?;
        percent_decode(header.value.unwrap_or_default())
    }

    /// Whether headers stand behind the address (`?`), which no Request-URI may have.
    pub fn has_headers(&self) -> bool {
        self.headers.is_some()
    }

    /// The user part with its escapes resolved: the name that directories and digests know.
    ///
    /// `None` without a user part, or where an escape is broken or stands for a control character.
    pub fn aor_user(&self) -> Option<Cow<'a, str>> {
        percent_decode(self.user?)
    }

    /// The canonical address of record (RFC 3261 §10.3 step 5): scheme, user part escaped in one way,
    /// host in lower case; no password, port, parameters or headers. `None` where there is no host or
    /// the user part can not be decoded.
    pub fn aor(&self) -> Option<String> {
        let host = self.host?;
        let mut out = String::with_capacity(self.raw.len());
        out.push_str(if self.scheme == Scheme::Sips { "sips:" } else { "sip:" });
        if self.user.is_some() {
            push_user_escaped(&mut out, &self.aor_user()?);
            out.push('@');
        }
        host.push_canonical(&mut out);
        Some(out)
    }

    /// Whether both name the same resource by RFC 3261 §19.1.4.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        equal::equivalent(self, other)
    }

    fn checked(self) -> Result<Self, UriError> {
        if self.params.is_empty() && self.headers.is_none() {
            return Ok(self);
        }
        let params = self.params.bytes().filter(|b| *b == b';').count();
        let headers = self.headers.unwrap_or_default().bytes().filter(|b| *b == b'&').count();
        if params >= MAX_PARAMS || headers >= MAX_PARAMS {
            return Err(UriError::Params);
        }
        if self.params().chain(self.headers()).any(|param| param.name.is_empty()) {
            return Err(UriError::Params);
        }
        Ok(self)
    }
}

/// What most URIs are, `sip:[user@]host[:port][;params]` of plain characters, in one pass; `None`: read it the long
/// way.
fn usual(raw: &str) -> Option<Uri<'_>> {
    let rest = raw.strip_prefix("sip:")?;
    let bytes = rest.as_bytes();
    let first = class::run(bytes, 0, class::USER);
    let (user, address) = match bytes.get(first) {
        Some(b'@') if first > 0 => (Some(&rest[..first]), &rest[first + 1..]),
        Some(b'@') => return None,
        _ => (None, rest),
    };
    let (host, port, params) = match Host::usual(address) {
        Some((host, port, end)) => (host, port, usual_params(&address[end..])?),
        // An IPv6 address; where white space may stand depends on the header.
        None if address.bytes().any(|b| matches!(b, b' ' | b'\t')) => return None,
        None => {
            let (host, port) = Host::parse_with_port(address).ok()?;
            (host, port, "")
        }
    };
    Some(Uri {
        raw,
        scheme: Scheme::Sip,
        user,
        password: None,
        host: Some(host),
        port,
        params,
        headers: None,
    })
}

/// What follows the host of a usual URI: nothing, or a semicolon and parameters, each with a name.
fn usual_params(text: &str) -> Option<&str> {
    let params = match text.as_bytes() {
        [] => return Some(""),
        [b';', ..] => &text[1..],
        _ => return None,
    };
    let (mut begins, mut count) = (true, 1);
    for byte in params.bytes() {
        match byte {
            b';' if begins => return None,
            b';' => (begins, count) = (true, count + 1),
            b'=' if begins => return None,
            byte if class(byte) & class::URI_PARAM == 0 => return None,
            _ => begins = false,
        }
    }
    (!begins && count <= MAX_PARAMS).then_some(params)
}

fn parse_scheme(text: &str) -> Result<Scheme<'_>, UriError> {
    let mut bytes = text.bytes();
    let letter = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    if !letter || !bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) {
        return Err(UriError::Scheme);
    }
    Ok(match text {
        _ if text.eq_ignore_ascii_case("sip") => Scheme::Sip,
        _ if text.eq_ignore_ascii_case("sips") => Scheme::Sips,
        _ if text.eq_ignore_ascii_case("tel") => Scheme::Tel,
        other => Scheme::Other(other),
    })
}

fn parse_sip<'a>(mut uri: Uri<'a>, rest: &'a str) -> Result<Uri<'a>, UriError> {
    // A user part may hold `;` and `?` but no bare `@`, so the first one ends it.
    let address = match split_at_byte(rest, b'@') {
        Some((userinfo, address)) => {
            let (user, password) = match split_at_byte(userinfo, b':') {
                Some((user, password)) => (user, Some(password)),
                None => (userinfo, None),
            };
            if user.is_empty() {
                return Err(UriError::User);
            }
            (uri.user, uri.password) = (Some(user), password);
            address
        }
        None => rest,
    };
    let (address, headers) = match split_at_byte(address, b'?') {
        Some((address, headers)) => (address, Some(headers)),
        None => (address, None),
    };
    // A second `@` in front of the headers would let two readers see two different hosts.
    if address.bytes().any(|b| b == b'@') {
        return Err(UriError::User);
    }
    let (hostport, params) = split_at_byte(address, b';').map_or((address, None), |(h, p)| (h, Some(p)));
    let (host, port) = Host::parse_with_port(hostport)?;
    if params == Some("") || headers == Some("") {
        return Err(UriError::Params);
    }
    (uri.host, uri.port, uri.params, uri.headers) = (Some(host), port, params.unwrap_or_default(), headers);
    uri.checked()
}

fn pairs<'a>(text: &'a str, separator: char) -> impl Iterator<Item = Param<'a>> + use<'a> {
    let text = (!text.is_empty()).then_some(text);
    text.into_iter().flat_map(move |text| text.split(separator)).map(|piece| match piece.split_once('=') {
        Some((name, value)) => Param { name, value: Some(value) },
        None => Param { name: piece, value: None },
    })
}

/// By RFC 3261 §19.1.4, so `==` never takes two spellings of one address for two addresses.
impl PartialEq for Uri<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.equivalent(other)
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw)
    }
}
