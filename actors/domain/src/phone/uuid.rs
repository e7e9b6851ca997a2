//! Instances that are UUIDs, in 16 bytes.

use std::sync::Arc;

/// `urn:uuid:` instances in lower case, the usual kind, as 16 bytes (RFC 9562 §4).
pub(super) struct Uuid {
    pub(super) bits: u128,
    pub(super) bracketed: bool,
}

impl Uuid {
    pub(super) fn pack(instance: &str) -> Option<Self> {
        let inner = instance.strip_prefix('<').and_then(|i| i.strip_suffix('>'));
        let bracketed = inner.is_some();
        let text = inner.unwrap_or(instance).strip_prefix("urn:uuid:")?.as_bytes();
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
        Some(Self { bits, bracketed })
    }

    pub(super) fn unpack(&self) -> Arc<str> {
        let (open, close) = if self.bracketed { ("<", ">") } else { ("", "") };
        let mut urn = String::with_capacity(UUID_TEXT + 11);
        urn.push_str(open);
        urn.push_str("urn:uuid:");
        let mut left = 32;
        for at in 0..UUID_TEXT {
            if DASHES.contains(&at) {
                urn.push('-');
            } else {
                left -= 1;
                let digit = (self.bits >> (4 * left)) as u8 & 15;
                urn.push(char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
            }
        }
        urn.push_str(close);
        urn.into()
    }
}

/// Characters of a UUID, and where its dashes stand (RFC 9562 §4).
const UUID_TEXT: usize = 36;
const DASHES: [usize; 4] = [8, 13, 18, 23];
