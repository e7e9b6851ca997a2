//! Parameters behind a header value: `;name=value;flag`.

use std::borrow::Cow;

use memchr::memchr;
use smallvec::SmallVec;

use crate::sip::HeaderError;
use crate::sip::class;
use crate::sip::limits::MAX_PARAMS;
use crate::sip::text::{is_token, quoted_end, trim, unquote};

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// Name as written; compare without case.
    pub name: &'a str,
    /// Value as written, quotes included; `None` when there is no `=`.
    pub value: Option<&'a str>,
}

impl<'a> Param<'a> {
    /// The value without quotes and escapes; empty when there is none.
    pub fn text(&self) -> Cow<'a, str> {
        self.value.map_or(Cow::Borrowed(""), unquote)
    }
}

/// The parameters of one header value, read when asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Params<'a> {
    /// What follows the first semicolon; `None` without one.
    raw: Option<&'a str>,
}

impl<'a> Params<'a> {
    /// From the text after the first semicolon; `None` when there was none.
    pub fn new(raw: Option<&'a str>) -> Self {
        Params { raw }
    }

    /// From the text that follows a value: nothing, or `;` and parameters.
    pub(crate) fn after(text: &'a str) -> Result<Self, HeaderError> {
        let text = trim(text);
        match text.strip_prefix(';') {
            Some(raw) => Ok(Params { raw: Some(raw) }),
            None if text.is_empty() => Ok(Params { raw: None }),
            None => Err(HeaderError::Bracket),
        }
    }

    /// The text after the first semicolon; `None` when there was none.
    pub(in crate::sip) fn some_raw(&self) -> Option<&'a str> {
        self.raw
    }

    /// The text after the first semicolon, as written.
    pub fn raw(&self) -> &'a str {
        self.raw.unwrap_or_default()
    }

    /// All parameters in order; empty ones are left out.
    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        Pieces { rest: self.raw }.filter(|param| !param.name.is_empty() || param.value.is_some())
    }

    /// The first parameter of that name (without case).
    pub fn get(&self, name: &str) -> Option<Param<'a>> {
        self.iter().find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// The value as written of that parameter; `None` when absent or without `=`.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(|param| param.value)
    }

    /// The value of that parameter without quotes; `None` when absent or without `=`.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.value(name).map(unquote)
    }

    /// Whether a parameter of that name is there, with or without value.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Checks the grammar: token names, whole quoted strings, no empty and no repeated parameter, at
    /// most 64 of them (RFC 3261 §7.3.1).
    pub fn check(&self) -> Result<(), HeaderError> {
        let mut seen: SmallVec<[&str; 12]> = SmallVec::new();
        let mut pieces = Pieces { rest: self.raw };
        while let Some((param, usual)) = pieces.next_piece() {
            let fresh = !seen.iter().any(|name| name.eq_ignore_ascii_case(param.name));
            if !(usual || is_token(param.name)) || !fresh || seen.len() == MAX_PARAMS {
                return Err(HeaderError::Param);
            }
            if !usual {
                check_value(param.value.unwrap_or_default())?;
            }
            seen.push(param.name);
        }
        Ok(())
    }
}

fn check_value(value: &str) -> Result<(), HeaderError> {
    if value.starts_with('"') {
        return if quoted_end(value)? == value.len() { Ok(()) } else { Err(HeaderError::Param) };
    }
    // Tokens, hosts and bare IPv6 addresses: everything but delimiters that two readers may see
    // differently.
    let stray = |b: u8| matches!(b, b' ' | b'\t' | b'"' | b'<' | b'>' | b',' | b'\\') || b.is_ascii_control();
    match value.bytes().find(|b| stray(*b)) {
        Some(b'"') => Err(HeaderError::Quote),
        Some(_) => Err(HeaderError::Param),
        None => Ok(()),
    }
}

/// Parameters one after the other, empty ones included. Each byte is looked at once.
struct Pieces<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Param<'a>;

    #[inline]
    fn next(&mut self) -> Option<Param<'a>> {
        self.next_piece().map(|(param, _)| param)
    }
}

impl<'a> Pieces<'a> {
    /// The next one, and whether it was written as almost all are, which passes every check of its grammar:
    /// `name`, `name=value` or `name="text"` without blanks around.
    fn next_piece(&mut self) -> Option<(Param<'a>, bool)> {
        let text = self.rest?;
        if let Some((param, rest)) = usual(text) {
            self.rest = rest;
            return Some((param, true));
        }
        self.long_way(text).map(|param| (param, false))
    }

    fn long_way(&mut self, text: &'a str) -> Option<Param<'a>> {
        let bytes = text.as_bytes();
        let (mut at, mut equals) = (0, None);
        let end = loop {
            match bytes.get(at) {
                None | Some(b';') => break at,
                Some(b'=') if equals.is_none() => equals = Some(at),
                Some(b'"') => {
                    // A quote that nobody closes: all that follows is one piece.
                    let end = quoted_end(&text[at..]).map_or(bytes.len(), |length| at + length);
                    if equals.is_none() {
                        equals = memchr(b'=', &bytes[at..end]).map(|step| at + step);
                    }
                    at = end;
                    continue;
                }
                Some(_) => {}
            }
            at += 1;
        };
        self.rest = text.get(end + 1..).filter(|_| end < bytes.len());
        Some(match equals {
            Some(cut) => Param { name: trim(&text[..cut]), value: Some(trim(&text[cut + 1..end])) },
            None => Param { name: trim(&text[..end]), value: None },
        })
    }
}

/// The first parameter of a list where it is of the usual form, and what follows its semicolon.
#[inline]
fn usual(text: &str) -> Option<(Param<'_>, Option<&str>)> {
    let bytes = text.as_bytes();
    let cut = class::run(bytes, 0, class::TOKEN);
    if cut == 0 {
        return None;
    }
    let (end, value) = match bytes.get(cut) {
        Some(b'=') => {
            let from = cut + 1;
            let end = match bytes.get(from) {
                Some(b'"') => from + quoted_end(&text[from..]).ok()?,
                _ => from + class::run(bytes, from, class::VALUE),
            };
            (end, Some(&text[from..end]))
        }
        _ => (cut, None),
    };
    let rest = match bytes.get(end) {
        None => None,
        Some(b';') => Some(&text[end + 1..]),
        Some(_) => return None,
    };
    Some((Param { name: &text[..cut], value }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways of reading give the same parameters, and what the short one takes the checks take, too.
    #[test]
    fn the_usual_form_is_read_like_any_other() {
        let parts = [
            "",
            "a",
            "b=c",
            "a=\"x;y\\\"z\"",
            "A=\"",
            "x = y",
            " z",
            "=",
            "=v",
            "n=",
            "n==",
            "n=a=b",
            "q=\u{e9}",
            "q\u{e9}=1",
            "p=[::1]:5",
            "r=\"t\"u",
            "r=u\"t\"",
            "s=<>",
            "t=a,b",
            "u=\\",
            "w=\u{1}",
            "h=1 2",
            "flag ",
        ];
        for a in parts {
            for b in parts {
                for c in parts {
                    let text = format!("{a};{b};{c}");
                    let (mut short, mut long) = (Pieces { rest: Some(&text) }, Pieces { rest: Some(&text) });
                    loop {
                        let piece = short.next_piece();
                        let other = long.rest.and_then(|rest| long.long_way(rest));
                        assert_eq!(piece.map(|(param, _)| param), other, "{text:?}");
                        let Some((param, usual)) = piece else { break };
                        let fine =
                            is_token(param.name) && check_value(param.value.unwrap_or_default()).is_ok();
                        assert!(!usual || fine, "{text:?}");
                    }
                    assert_eq!(short.rest, long.rest);
                }
            }
        }
    }
}
