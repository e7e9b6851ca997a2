//! Cursors: where a page ended. Opaque to clients, and only ever a position: whatever is inside, nothing is
//! shown that the same query without it would not show. A checksum over position and query finds cursors that
//! were cut, made up, or belong to another query.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Longest cursor, in bytes.
pub const CURSOR_MAX: usize = 2048;

const CHECK: usize = 8;

/// The last row of a page. A page goes on behind it, whether the row still exists or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// Value of the field that is sorted by; empty where that is the key.
    pub value: String,
    /// Key of the row.
    pub key: String,
}

impl Position {
    /// At a key, where rows are sorted by it.
    pub fn key(key: impl Into<String>) -> Self {
        Self { value: String::new(), key: key.into() }
    }

    /// As a cursor of the query `scope`.
    pub fn encode(&self, scope: &str) -> String {
        let mut text = format!("{}\n{}", self.value, self.key).into_bytes();
        let check = check(scope, &text);
        text.splice(0..0, check);
        URL_SAFE_NO_PAD.encode(text)
    }

    /// From a cursor of the same query.
    pub fn decode(cursor: &str, scope: &str) -> Option<Self> {
        let bytes = (cursor.len() <= CURSOR_MAX).then(|| URL_SAFE_NO_PAD.decode(cursor).ok()).flatten()?;
        let (given, text) = bytes.split_at_checked(CHECK)?;
        if given != check(scope, text) {
            return None;
        }
        let (value, key) = std::str::from_utf8(text).ok()?.split_once('\n')?;
        Some(Self { value: value.to_owned(), key: key.to_owned() })
    }
}

fn check(scope: &str, text: &[u8]) -> [u8; CHECK] {
    let sum = Sha256::new().chain_update(scope).chain_update([0]).chain_update(text).finalize();
    std::array::from_fn(|i| sum[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_nothing_else_is_one() {
        let at = Position { value: "ü b".to_owned(), key: "SEP1\n".to_owned() };
        let cursor = at.encode("phones");
        assert_eq!(Position::decode(&cursor, "phones"), Some(at));
        assert_eq!(Position::decode(&cursor, "lines"), None);
        assert_eq!(Position::decode(&cursor[1..], "phones"), None);
        for wrong in ["", "x", "AAAA", "%", &"A".repeat(CURSOR_MAX + 4), &"A".repeat(64)] {
            assert_eq!(Position::decode(wrong, "phones"), None, "{wrong}");
        }
    }
}
