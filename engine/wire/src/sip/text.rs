//! Character classes, quoting, percent escapes and splitting that never breaks a quoted string.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use memchr::{memchr, memchr2};

use crate::sip::HeaderError;
use crate::sip::class::{self, class};

/// Whether `byte` may stand in a token (RFC 3261 §25.1).
#[inline]
pub const fn is_token_byte(byte: u8) -> bool {
    class(byte) & class::TOKEN != 0
}

/// Whether `text` is a non-empty token.
#[inline]
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Without spaces and tabs at both ends.
#[inline]
pub(crate) fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [first, .., last] if !is_blank(*first) && !is_blank(*last) => text,
        _ => trim_start(trim_end(text)),
    }
}

/// Without spaces and tabs in front. By bytes: values are short, and a search by characters costs more.
#[inline]
pub(crate) fn trim_start(text: &str) -> &str {
    let blanks = text.bytes().take_while(|b| is_blank(*b)).count();
    &text[blanks..]
}

/// Without spaces and tabs at the end.
#[inline]
pub(crate) fn trim_end(text: &str) -> &str {
    let blanks = text.bytes().rev().take_while(|b| is_blank(*b)).count();
    &text[..text.len() - blanks]
}

#[inline]
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The text before and behind the first `separator`, which must be ASCII.
#[inline]
pub(crate) fn split_at_byte(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|b| b == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// A number of decimal digits only (no sign, no space); `None` when it is none or does not fit.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let digit = |number: u64, byte: u8| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(u64::from(digit)) }
    };
    if text.is_empty() { None } else { text.bytes().try_fold(0, digit) }
}

/// Position after the closing quote of the quoted string that `text` begins with.
pub(crate) fn quoted_end(text: &str) -> Result<usize, HeaderError> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(step) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += step;
        if bytes[at] == b'"' {
            return Ok(at + 1);
        }
        at += 2;
    }
    Err(HeaderError::Quote)
}

/// Splits at the first `separator` outside quotes and, if asked, outside angle brackets.
#[inline]
pub(crate) fn split_outside(text: &str, separator: u8, brackets: bool) -> (&str, Option<&str>) {
    let bytes = text.as_bytes();
    let Some(first) = memchr(separator, bytes) else { return (text, None) };
    let simple = memchr2(b'"', if brackets { b'<' } else { b'"' }, &bytes[..first]).is_none();
    let cut = if simple { Some(first) } else { find_outside(text, separator, brackets) };
    match cut {
        Some(cut) => (&text[..cut], Some(&text[cut + 1..])),
        None => (text, None),
    }
}

fn find_outside(text: &str, separator: u8, brackets: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut inside = false;
    while at < bytes.len() {
        match bytes[at] {
            b'"' if !inside => {
                at += quoted_end(&text[at..]).ok()?;
                continue;
            }
            b'<' if brackets => inside = true,
            b'>' if brackets => inside = false,
            byte if byte == separator && !inside => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The elements of a comma-separated value; commas inside quotes and angle brackets do not separate.
/// Elements are trimmed; empty ones are kept.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    rest: Option<&'a str>,
}

impl<'a> Elements<'a> {
    /// Iterates over `value`.
    pub fn new(value: &'a str) -> Self {
        Elements { rest: Some(value) }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (element, rest) = split_outside(self.rest?, b',', true);
        self.rest = rest;
        Some(trim(element))
    }
}

/// The text of a quoted string without its quotes and escapes; any other text unchanged.
pub fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"') else { return Cow::Borrowed(text) };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    unescape(inner)
}

/// Resolves quoted pairs (`\x` is `x`).
pub(crate) fn unescape(inner: &str) -> Cow<'_, str> {
    if memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            out.extend(chars.next());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Appends `text` as a quoted string: `"` and `\` escaped, control characters become spaces.
pub fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    // In nearly all texts nothing has to be escaped.
    let odd = |b: u8| !(b' '..=b'~').contains(&b) || b == b'"' || b == b'\\';
    if !text.bytes().fold(false, |any, b| any | odd(b)) {
        out.push_str(text);
        out.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Appends an address, IPv6 without brackets. IPv4, which most are, without the formatting machinery.
pub fn push_ip(out: &mut String, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            for (place, octet) in ip.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push('.');
                }
                push_number(out, u64::from(octet));
            }
        }
        // Writing to a String can not fail.
        IpAddr::V6(ip) => drop(write!(out, "{ip}")),
    }
}

/// Appends a number in decimal digits.
pub fn push_number(out: &mut String, mut number: u64) {
    let (mut digits, mut at) = ([0u8; 20], 20);
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

/// `text` as a quoted string; see [`push_quoted`].
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// Decodes percent escapes.
///
/// `None` when an escape is broken, when the result is not UTF-8, or when it would hold NUL, CR, LF or
/// another control character: such text must never reach a log, a key or a file name.
pub fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    if memchr(b'%', text.as_bytes()).is_none() {
        return (!text.bytes().any(|b| b.is_ascii_control())).then_some(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = if bytes[at] == b'%' {
            let byte = escape_at(bytes, at)?;
            at += 3;
            byte
        } else {
            at += 1;
            bytes[at - 1]
        };
        if byte.is_ascii_control() {
            return None;
        }
        out.push(byte);
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// Appends `text` with everything escaped that may not stand in the user part of a SIP URI
/// (RFC 3261 §25.1 `user`).
pub fn push_user_escaped(out: &mut String, text: &str) {
    push_escaped(out, text, b"-_.!~*'()&=+$,;?/");
}

/// Appends `text` with everything escaped that may not stand in a header of a URI
/// (RFC 3261 §25.1 `hvalue`): what `Refer-To: <sip:…?Replaces=…>` needs.
pub fn push_hvalue_escaped(out: &mut String, text: &str) {
    push_escaped(out, text, b"-_.!~*'()[]/?:+$");
}

fn push_escaped(out: &mut String, text: &str, plain: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// The byte that the escape at `at` stands for.
pub(crate) fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let high = char::from(*bytes.get(at + 1)?).to_digit(16)?;
    let low = char::from(*bytes.get(at + 2)?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// The usual reason phrase of a status code; the class's phrase for an unknown one.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        430 => "Flow Failed",
        439 => "First Hop Lacks Outbound Support",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => match status / 100 {
            1 => "Progress",
            2 => "Success",
            3 => "Redirection",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}
