//! Numeric headers.

use crate::sip::text::{decimal, split_outside, trim};
use crate::sip::{HeaderError, Method, Params};

/// CSeq (RFC 3261 §20.16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cseq<'a> {
    /// Sequence number, below 2^31.
    pub number: u32,
    /// Method.
    pub method: Method<'a>,
}

impl<'a> Cseq<'a> {
    /// Parses a value.
    pub fn parse(value: &'a str) -> Result<Cseq<'a>, HeaderError> {
        let value = trim(value);
        let gap = value.bytes().position(|b| matches!(b, b' ' | b'\t')).ok_or(HeaderError::Number)?;
        let method = trim(&value[gap..]);
        if !value[..gap].bytes().all(|b| b.is_ascii_digit()) {
            return Err(HeaderError::Number);
        }
        let number = decimal(&value[..gap]).filter(|n| *n < 1 << 31).ok_or(HeaderError::Range)?;
        if !crate::sip::is_token(method) {
            return Err(HeaderError::Token);
        }
        Ok(Cseq { number: number as u32, method: Method::of(method) })
    }
}

/// A lifetime: the Expires header or the `expires` parameter of a Contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expires {
    /// Seconds; values above 2^32 - 1 are cut to it, malformed ones are 3600 (RFC 3261 §20.19).
    pub seconds: u32,
    /// The text was no number.
    pub malformed: bool,
}

impl Expires {
    /// Reads a value; never fails.
    pub fn parse(value: &str) -> Expires {
        let value = trim(value);
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
            return Expires { seconds: 3600, malformed: true };
        }
        // Only digits: what does not fit is too large.
        let seconds = decimal(value).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
        Expires { seconds, malformed: false }
    }
}

/// Retry-After (RFC 3261 §20.33).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter {
    /// Seconds to wait.
    pub seconds: u32,
    /// Seconds for which the peer will be reachable then.
    pub duration: Option<u32>,
}

impl RetryAfter {
    /// Parses a value; a comment in parentheses is passed over.
    pub fn parse(value: &str) -> Result<RetryAfter, HeaderError> {
        let (front, params) = split_outside(trim(value), b';', false);
        let digits = trim(front.split('(').next().unwrap_or_default());
        let seconds = number(digits)?;
        let duration = Params::new(params).value("duration").map(number).transpose()?;
        Ok(RetryAfter { seconds, duration })
    }
}

/// Session-Expires (RFC 4028 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionExpires {
    /// Interval in seconds.
    pub seconds: u32,
    /// `Some(true)`: the UAC refreshes; `Some(false)`: the UAS; `None`: not said.
    pub refresher_uac: Option<bool>,
}

impl SessionExpires {
    /// Parses a value.
    pub fn parse(value: &str) -> Result<SessionExpires, HeaderError> {
        let (front, params) = split_outside(trim(value), b';', false);
        let seconds = number(trim(front))?;
        let refresher_uac = match Params::new(params).value("refresher") {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(true),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(false),
            Some(_) => return Err(HeaderError::Param),
            None => None,
        };
        Ok(SessionExpires { seconds, refresher_uac })
    }
}

/// A decimal number of 32 bits.
pub(crate) fn number(text: &str) -> Result<u32, HeaderError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(HeaderError::Number);
    }
    decimal(text).and_then(|n| u32::try_from(n).ok()).ok_or(HeaderError::Range)
}
