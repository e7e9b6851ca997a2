//! The client's side: answers a challenge. Simulated phones and trunks use it.

use std::fmt::{self, Write as _};

use super::{Algorithm, Ha1, Parts, Protection, respond};

/// One challenge header, read. Of several the topmost that [`Algorithm::parse`] knows is to be
/// taken (RFC 8760 §2.4); an absent `algorithm` means MD5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Realm.
    pub realm: &'a str,
    /// Nonce.
    pub nonce: &'a str,
    /// Algorithm.
    pub algorithm: Algorithm,
    /// Whether `qop` offers `auth`.
    pub qop_auth: bool,
    /// Opaque, to be echoed.
    pub opaque: Option<&'a str>,
}

/// One answer to a challenge; its `Display` is the value of the `Authorization` header.
///
/// The caller counts: `nc` starts at 1 for a fresh nonce and rises by one with every request.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The challenge.
    pub challenge: Challenge<'a>,
    /// User name.
    pub user: &'a str,
    /// H(A1) for `user`, the challenge's realm and its algorithm.
    pub ha1: &'a Ha1,
    /// Method of the request.
    pub method: &'a str,
    /// Text of the `uri` directive: the Request-URI.
    pub uri: &'a str,
    /// Nonce count, from 1.
    pub nc: u32,
    /// Client nonce: letters and digits.
    pub cnonce: &'a str,
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.challenge;
        let nc = NcText::new(self.nc);
        let protection = if c.qop_auth {
            Protection::Auth { nc: nc.as_str(), cnonce: self.cnonce }
        } else {
            Protection::None
        };
        let parts = Parts { method: self.method, uri: self.uri, nonce: c.nonce, protection };
        f.write_str("Digest username=")?;
        quoted(f, self.user)?;
        f.write_str(", realm=")?;
        quoted(f, c.realm)?;
        f.write_str(", nonce=")?;
        quoted(f, c.nonce)?;
        f.write_str(", uri=")?;
        quoted(f, self.uri)?;
        write!(f, ", response=\"{}\", algorithm={}", respond(self.ha1, &parts), c.algorithm.token())?;
        if c.qop_auth {
            f.write_str(", cnonce=")?;
            quoted(f, self.cnonce)?;
            write!(f, ", qop=auth, nc={}", nc.as_str())?;
        }
        if let Some(opaque) = c.opaque {
            f.write_str(", opaque=")?;
            quoted(f, opaque)?;
        }
        Ok(())
    }
}

/// A quoted-string: backslash and quote become quoted pairs (RFC 3261 §25.1).
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

/// The 8 lower-case digits of an `nc` directive.
struct NcText([u8; 8]);

impl NcText {
    fn new(nc: u32) -> Self {
        let mut text = [0; 8];
        for (i, digit) in text.iter_mut().enumerate() {
            let value = (nc >> (28 - 4 * i)) & 15;
            *digit = char::from_digit(value, 16).map_or(b'0', |c| c as u8);
        }
        Self(text)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}
