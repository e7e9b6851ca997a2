//! Authorization and challenge values: Digest (RFC 7616, RFC 8760) and Bearer (RFC 8898).

use std::borrow::Cow;
use std::fmt;

use crate::sip::limits::MAX_AUTH_FIELDS;
use memchr::memchr2;

use crate::sip::text::{is_token_byte, quoted_end, split_at_byte, split_outside, trim, trim_start, unquote};
use crate::sip::{HeaderError, is_token};

/// Value of Authorization or Proxy-Authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "short-lived, on the stack; a box would cost an allocation a request"
)]
pub enum Credentials<'a> {
    /// `Digest …`
    Digest(DigestCredentials<'a>),
    /// `Bearer …`
    Bearer(BearerToken<'a>),
    /// Another scheme, as written.
    Other(&'a str),
}

/// A bearer token; its text does not appear in `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BearerToken<'a>(
    /// The token as sent.
    pub &'a str,
);

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

/// Directives of a Digest answer, unquoted and with quoted pairs resolved; absent ones are `None`.
///
/// qop, nc and algorithm are accepted with and without quotes, as phones send both.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DigestCredentials<'a> {
    /// User name.
    pub username: Option<Cow<'a, str>>,
    /// Realm.
    pub realm: Option<Cow<'a, str>>,
    /// Nonce.
    pub nonce: Option<Cow<'a, str>>,
    /// The directive's text: what is hashed, whatever the Request-URI says.
    pub uri: Option<Cow<'a, str>>,
    /// Hex digest.
    pub response: Option<Cow<'a, str>>,
    /// Algorithm; MD5 when absent.
    pub algorithm: Option<Cow<'a, str>>,
    /// Client nonce.
    pub cnonce: Option<Cow<'a, str>>,
    /// Opaque.
    pub opaque: Option<Cow<'a, str>>,
    /// Quality of protection: `auth`, `auth-int`.
    pub qop: Option<Cow<'a, str>>,
    /// Nonce count as sent: 8 hex digits of either case.
    pub nc: Option<Cow<'a, str>>,
    /// `userhash=true` (RFC 7616 §3.4.4).
    pub userhash: bool,
}

impl DigestCredentials<'_> {
    /// The nonce count as a number; `None` when absent or not exactly 8 hex digits (RFC 7616 §3.4).
    pub fn nonce_count(&self) -> Option<u32> {
        let text = self.nc.as_deref()?;
        let hex = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| u32::from_str_radix(text, 16).ok()).flatten()
    }
}

/// Without the digest itself, which together with the nonce would allow guessing passwords offline.
impl fmt::Debug for DigestCredentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestCredentials")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .field("uri", &self.uri)
            .field("algorithm", &self.algorithm)
            .field("qop", &self.qop)
            .field("nc", &self.nc)
            .finish_non_exhaustive()
    }
}

impl<'a> Credentials<'a> {
    /// Parses one value. A repeated directive is an error: two readers could pick different ones.
    pub fn parse(value: &'a str) -> Result<Credentials<'a>, HeaderError> {
        let (scheme, rest) = scheme_of(value)?;
        if scheme.eq_ignore_ascii_case("Bearer") {
            let token = bearer_text(trim(rest))?;
            let fine = !token.is_empty() && !token.bytes().any(|b| b.is_ascii_whitespace() || b == b',');
            return if fine { Ok(Credentials::Bearer(BearerToken(token))) } else { Err(HeaderError::Token) };
        }
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Ok(Credentials::Other(scheme));
        }
        let mut digest = DigestCredentials::default();
        let mut seen_userhash = false;
        for field in fields(rest) {
            let (name, value) = field?;
            let slot = match () {
                () if name.eq_ignore_ascii_case("username") => &mut digest.username,
                () if name.eq_ignore_ascii_case("realm") => &mut digest.realm,
                () if name.eq_ignore_ascii_case("nonce") => &mut digest.nonce,
                () if name.eq_ignore_ascii_case("uri") => &mut digest.uri,
                () if name.eq_ignore_ascii_case("response") => &mut digest.response,
                () if name.eq_ignore_ascii_case("algorithm") => &mut digest.algorithm,
                () if name.eq_ignore_ascii_case("cnonce") => &mut digest.cnonce,
                () if name.eq_ignore_ascii_case("opaque") => &mut digest.opaque,
                () if name.eq_ignore_ascii_case("qop") => &mut digest.qop,
                () if name.eq_ignore_ascii_case("nc") => &mut digest.nc,
                () if name.eq_ignore_ascii_case("userhash") => {
                    if std::mem::replace(&mut seen_userhash, true) {
                        return Err(HeaderError::Param);
                    }
                    digest.userhash = value.eq_ignore_ascii_case("true");
                    continue;
                }
                () => continue,
            };
            if slot.replace(value).is_some() {
                return Err(HeaderError::Param);
            }
        }
        Ok(Credentials::Digest(digest))
    }
}

/// Value of WWW-Authenticate or Proxy-Authenticate, for the client side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge<'a> {
    /// `Digest …`
    Digest(DigestChallenge<'a>),
    /// `Bearer …`
    Bearer(BearerChallenge<'a>),
    /// Another scheme, as written.
    Other(&'a str),
}

/// Directives of a Digest challenge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DigestChallenge<'a> {
    /// Realm.
    pub realm: Option<Cow<'a, str>>,
    /// Nonce.
    pub nonce: Option<Cow<'a, str>>,
    /// Opaque, to be sent back unchanged.
    pub opaque: Option<Cow<'a, str>>,
    /// Algorithm; MD5 when absent.
    pub algorithm: Option<Cow<'a, str>>,
    /// The list of qop values as sent: `auth,auth-int`.
    pub qop: Option<Cow<'a, str>>,
    /// Domain.
    pub domain: Option<Cow<'a, str>>,
    /// The answer was right but its nonce is no longer good.
    pub stale: bool,
}

impl DigestChallenge<'_> {
    /// Whether `auth` is among the qop values.
    pub fn offers_auth(&self) -> bool {
        let list = self.qop.as_deref().unwrap_or_default();
        list.split(',').any(|qop| trim(qop).eq_ignore_ascii_case("auth"))
    }
}

/// Directives of a Bearer challenge (RFC 8898 §4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BearerChallenge<'a> {
    /// Realm.
    pub realm: Option<Cow<'a, str>>,
    /// Scope.
    pub scope: Option<Cow<'a, str>>,
    /// Authorization server, an https URI.
    pub authz_server: Option<Cow<'a, str>>,
    /// Error code such as `invalid_token`.
    pub error: Option<Cow<'a, str>>,
}

impl<'a> Challenge<'a> {
    /// Parses one value.
    pub fn parse(value: &'a str) -> Result<Challenge<'a>, HeaderError> {
        let (scheme, rest) = scheme_of(value)?;
        if scheme.eq_ignore_ascii_case("Bearer") {
            let mut bearer = BearerChallenge::default();
            for field in fields(rest) {
                let (name, value) = field?;
                match name.to_ascii_lowercase().as_str() {
                    "realm" => bearer.realm = Some(value),
                    "scope" => bearer.scope = Some(value),
                    "authz_server" => bearer.authz_server = Some(value),
                    "error" => bearer.error = Some(value),
                    _ => {}
                }
            }
            return Ok(Challenge::Bearer(bearer));
        }
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Ok(Challenge::Other(scheme));
        }
        let mut digest = DigestChallenge::default();
        for field in fields(rest) {
            let (name, value) = field?;
            match name.to_ascii_lowercase().as_str() {
                "realm" => digest.realm = Some(value),
                "nonce" => digest.nonce = Some(value),
                "opaque" => digest.opaque = Some(value),
                "algorithm" => digest.algorithm = Some(value),
                "qop" => digest.qop = Some(value),
                "domain" => digest.domain = Some(value),
                "stale" => digest.stale = value.eq_ignore_ascii_case("true"),
                _ => {}
            }
        }
        Ok(Challenge::Digest(digest))
    }
}

/// The token as RFC 8898 writes it, or in the quotes of `token="…"` as Cisco's clients do. A token has no quotes
/// of its own (RFC 6750 §2.1), so the two cannot be confused.
fn bearer_text(value: &str) -> Result<&str, HeaderError> {
    let named = value.get(..6).filter(|name| name.eq_ignore_ascii_case("token="));
    match named.map(|_| trim(&value[6..])) {
        Some(quoted) if quoted.starts_with('"') => {
            let inner = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"'));
            inner.filter(|text| !text.contains(['"', '\\'])).ok_or(HeaderError::Quote)
        }
        _ => Ok(value),
    }
}

fn scheme_of(value: &str) -> Result<(&str, &str), HeaderError> {
    let value = trim(value);
    let (scheme, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
    if is_token(scheme) { Ok((scheme, rest)) } else { Err(HeaderError::Token) }
}

type Field<'a> = (&'a str, Cow<'a, str>);

/// The `name=value` directives of a list; values unquoted.
fn fields(list: &str) -> impl Iterator<Item = Result<Field<'_>, HeaderError>> {
    let mut rest = (!trim(list).is_empty()).then_some(list);
    let mut count = 0;
    std::iter::from_fn(move || {
        loop {
            if let Some((found, next)) = usual(rest?) {
                count += 1;
                rest = next;
                if count > MAX_AUTH_FIELDS {
                    rest = None;
                    return Some(Err(HeaderError::List));
                }
                return Some(Ok(found));
            }
            let (piece, next) = split_outside(rest?, b',', false);
            rest = next;
            let piece = trim(piece);
            if piece.is_empty() {
                continue;
            }
            count += 1;
            if count > MAX_AUTH_FIELDS {
                rest = None;
                return Some(Err(HeaderError::List));
            }
            return Some(field(piece));
        }
    })
}

/// The first directive of a list where it is written as almost all write it, `name="text"` or `name=token` without
/// quoted pairs, and what follows it; `None`: read it the long way.
fn usual(list: &str) -> Option<(Field<'_>, Option<&str>)> {
    let list = trim_start(list);
    let bytes = list.as_bytes();
    let cut = bytes.iter().position(|b| !is_token_byte(*b)).filter(|cut| *cut > 0)?;
    if bytes[cut] != b'=' {
        return None;
    }
    let from = cut + 1;
    let (value, end) = if bytes.get(from) == Some(&b'"') {
        let end = from + 1 + memchr2(b'"', b'\\', &bytes[from + 1..])?;
        if bytes[end] != b'"' {
            return None;
        }
        (&list[from + 1..end], end + 1)
    } else {
        let end = bytes[from..].iter().position(|b| !is_token_byte(*b)).map_or(bytes.len(), |n| from + n);
        (&list[from..end], end)
    };
    let next = match bytes.get(end) {
        None => None,
        Some(b',') => Some(&list[end + 1..]),
        Some(_) => return None,
    };
    Some(((&list[..cut], Cow::Borrowed(value)), next))
}

fn field(piece: &str) -> Result<Field<'_>, HeaderError> {
    let (name, value) = split_at_byte(piece, b'=').ok_or(HeaderError::Param)?;
    let (name, value) = (trim(name), trim(value));
    if !is_token(name) {
        return Err(HeaderError::Token);
    }
    if value.starts_with('"') {
        if quoted_end(value)? != value.len() {
            return Err(HeaderError::Quote);
        }
    } else if value.bytes().any(|b| matches!(b, b'"' | b' ' | b'\t')) {
        return Err(HeaderError::Quote);
    }
    Ok((name, unquote(value)))
}
