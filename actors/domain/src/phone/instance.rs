//! Instances (RFC 5626 §4.1), which are nearly always UUIDs: 16 bytes instead of a text of 47.

use std::fmt;
use std::sync::Arc;

/// A `+sip.instance` as it was given, letter for letter.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Instance(Form);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    Uuid(Uuid),
    /// Whatever reads back otherwise than it was written.
    Text(Arc<str>),
}

impl Instance {
    /// Bytes of the text.
    pub fn text_len(&self) -> usize {
        match &self.0 {
            Form::Uuid(uuid) => SCHEME.len() + UUID_TEXT + 2 * usize::from(uuid.bracketed),
            Form::Text(text) => text.len(),
        }
    }

    /// The same phone: instances are URNs, of which the scheme and a UUID's digits are compared without regard to case
    /// (RFC 8141 §3.1).
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Uuid(a), Form::Uuid(b)) => a == b,
            (Form::Text(a), Form::Text(b)) => a.eq_ignore_ascii_case(b),
            (Form::Uuid(uuid), Form::Text(text)) | (Form::Text(text), Form::Uuid(uuid)) => {
                text.eq_ignore_ascii_case(&uuid.to_string())
            }
        }
    }

    pub(super) fn uuid(&self) -> Option<&Uuid> {
        match &self.0 {
            Form::Uuid(uuid) => Some(uuid),
            Form::Text(_) => None,
        }
    }
}

impl From<&str> for Instance {
    fn from(text: &str) -> Self {
        Self(Uuid::pack(text).map_or_else(|| Form::Text(text.into()), Form::Uuid))
    }
}

impl From<Uuid> for Instance {
    fn from(uuid: Uuid) -> Self {
        Self(Form::Uuid(uuid))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Uuid(uuid) => uuid.fmt(f),
            Form::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// `urn:uuid:` instances in lower case, the usual kind (RFC 9562 §4).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Uuid {
    pub(super) bits: [u8; 16],
    pub(super) bracketed: bool,
}

impl Uuid {
    fn pack(instance: &str) -> Option<Self> {
        let inner = instance.strip_prefix('<').and_then(|i| i.strip_suffix('>'));
        let bracketed = inner.is_some();
        let text = inner.unwrap_or(instance).strip_prefix(SCHEME)?.as_bytes();
        // Only what reads back letter for letter: digits in lower case, dashes in their places.
        if text.len() != UUID_TEXT {
            return None;
        }
        let mut bits = 0u128;
        for (at, byte) in text.iter().enumerate() {
            let digit = match byte {
                b'-' if DASHES.contains(&at) => continue,
                _ if DASHES.contains(&at) => return None,
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            bits = bits << 4 | u128::from(digit);
        }
        Some(Self { bits: bits.to_be_bytes(), bracketed })
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'-'; UUID_TEXT];
        let digits = self.bits.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let places = text.iter_mut().enumerate().filter(|(at, _)| !DASHES.contains(at));
        for ((_, place), digit) in places.zip(digits) {
            *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        }
        let (open, close) = if self.bracketed { ("<", ">") } else { ("", "") };
        // Digits and dashes alone.
        let text = std::str::from_utf8(&text).unwrap_or_default();
        write!(f, "{open}{SCHEME}{text}{close}")
    }
}

const SCHEME: &str = "urn:uuid:";

/// Characters of a UUID, and where its dashes stand (RFC 9562 §4).
const UUID_TEXT: usize = 36;
const DASHES: [usize; 4] = [8, 13, 18, 23];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_reads_back_and_uuids_are_small() {
        for text in [
            "<urn:uuid:00000000-0000-0000-0000-00aabbccddee>",
            "urn:uuid:12345678-9abc-def0-1234-56789abcdef0",
            "<urn:uuid:00000000-0000-0000-0000-00AABBCCDDEE>",
            "<urn:uuid:00000000-0000-0000-0000-00aabbccdde>",
            "<urn:uuid:000000000000-0000-0000-0000aabbccddee>",
            "<urn:imei:90420156-025763-0>",
            "",
        ] {
            let instance = Instance::from(text);
            assert_eq!((&*instance.to_string(), instance.text_len()), (text, text.len()));
        }
        assert!(Instance::from("<urn:uuid:00000000-0000-0000-0000-00aabbccddee>").uuid().is_some());
        assert!(size_of::<Option<Instance>>() <= 24);
    }

    #[test]
    fn case_makes_no_other_phone() {
        let (lower, upper) =
            ("<urn:uuid:00000000-0000-0000-0000-00aabbccddee>", |t: &str| t.to_ascii_uppercase());
        let small = Instance::from(lower);
        for other in [lower.to_owned(), upper(lower)] {
            let other = Instance::from(&*other);
            assert!(small.is_same(&other) && other.is_same(&small));
        }
        assert_ne!(small, Instance::from(&*upper(lower)), "kept as it was given");
        let another = Instance::from("<urn:uuid:00000000-0000-0000-0000-00aabbccddef>");
        assert!(!small.is_same(&another) && !small.is_same(&Instance::from("x")));
        assert!(!small.is_same(&Instance::from(&lower[1..lower.len() - 1])), "brackets are part of it");
    }
}
