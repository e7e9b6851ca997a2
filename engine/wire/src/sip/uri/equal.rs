//! URI comparison (RFC 3261 §19.1.4).

use crate::sip::text::escape_at;
use crate::sip::{Param, Scheme, Uri};

/// Parameters that must be in both or in none.
const BOTH_OR_NONE: [&str; 5] = ["transport", "user", "ttl", "method", "maddr"];

pub(super) fn equivalent(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    // A name that stands twice (RFC 3261 §19.1.1 forbids it) would else not even agree with itself.
    if a.raw == b.raw {
        return true;
    }
    match (a.scheme, b.scheme) {
        (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips) => {
            opt_same(a.user, b.user, false)
                && opt_same(a.password, b.password, false)
                && a.host == b.host
                && a.port == b.port
                && params_agree(a, b)
                && headers_agree(a, b)
        }
        // RFC 3966 §4: visual separators do not count, parameters must agree.
        (Scheme::Tel, Scheme::Tel) => {
            let digits = |uri: &Uri<'_>| -> Vec<u8> {
                let number = uri.user.unwrap_or_default().bytes();
                number
                    .filter(|b| !matches!(b, b'-' | b'.' | b'(' | b')'))
                    .map(|b| b.to_ascii_lowercase())
                    .collect()
            };
            digits(a) == digits(b) && tel_params_subset(a, b) && tel_params_subset(b, a)
        }
        _ => a.raw == b.raw,
    }
}

fn params_agree(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let special = BOTH_OR_NONE.iter().all(|name| a.param(name).is_some() == b.param(name).is_some());
    special
        && a.params().all(|mine| match find(b.params(), mine.name) {
            Some(theirs) => opt_same(mine.value, theirs.value, true),
            None => true,
        })
}

fn headers_agree(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let subset = |x: &Uri<'_>, y: &Uri<'_>| {
        x.headers().all(|mine| {
            y.headers()
                .any(|theirs| same(mine.name, theirs.name, true) && opt_same(mine.value, theirs.value, false))
        })
    };
    subset(a, b) && subset(b, a)
}

fn tel_params_subset(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    a.params().all(|mine| {
        find(b.params(), mine.name).is_some_and(|theirs| opt_same(mine.value, theirs.value, true))
    })
}

fn find<'a>(mut params: impl Iterator<Item = Param<'a>>, name: &str) -> Option<Param<'a>> {
    params.find(|param| same(param.name, name, true))
}

fn opt_same(a: Option<&str>, b: Option<&str>, fold_case: bool) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same(a, b, fold_case),
        (None, None) => true,
        _ => false,
    }
}

/// Equal after resolving the escapes of characters that are not reserved.
fn same(a: &str, b: &str, fold_case: bool) -> bool {
    if a == b {
        return true;
    }
    let (mut a, mut b) = (Units::new(a, fold_case), Units::new(b, fold_case));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (x, y) if x == y => {}
            _ => return false,
        }
    }
}

/// The characters of a URI part; a reserved character that was escaped differs from the plain one.
struct Units<'a> {
    bytes: &'a [u8],
    at: usize,
    fold_case: bool,
}

impl<'a> Units<'a> {
    fn new(text: &'a str, fold_case: bool) -> Self {
        Units { bytes: text.as_bytes(), at: 0, fold_case }
    }
}

impl Iterator for Units<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<(u8, bool)> {
        let byte = *self.bytes.get(self.at)?;
        let decoded = if byte == b'%' { escape_at(self.bytes, self.at) } else { None };
        self.at += if decoded.is_some() { 3 } else { 1 };
        let value = decoded.unwrap_or(byte);
        // RFC 2396 `reserved`.
        let reserved = matches!(value, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',');
        let value = if self.fold_case { value.to_ascii_lowercase() } else { value };
        Some((value, reserved && decoded.is_some()))
    }
}
