//! What an announced import leaves in the store for the start that may have to finish it.

use keyline_domain::audit::{Draft, Happened, NODE, Who};
use serde_json::json;

/// The entry of a finished import.
pub(super) fn imported(who: &Who, hash: &str, rows: usize, written: usize) -> Draft {
    let what = json!({ "rows": rows, "records_written": written });
    Draft::new(who, "import", "inventory", hash, Happened::Done).with(None, Some(&what))
}

/// An announced import.
pub(super) struct Intent {
    /// No node ran.
    pub(super) offline: bool,
    /// Hash of its text.
    pub(super) hash: String,
    /// Who asked for it.
    pub(super) who: Who,
}

impl Intent {
    /// Hexadecimal digits of a hash.
    const DIGITS: usize = 64;

    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.offline)];
        bytes.extend_from_slice(self.hash.as_bytes());
        // Texts can always be written.
        bytes.extend(serde_json::to_vec(&self.who).unwrap_or_default());
        bytes
    }

    /// Earlier releases wrote nobody.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let rest = bytes.get(1..).unwrap_or_default();
        let (hash, who) = rest.split_at(rest.len().min(Self::DIGITS));
        Self {
            offline: bytes.first() == Some(&1),
            hash: String::from_utf8_lossy(hash).into_owned(),
            who: serde_json::from_slice(who).unwrap_or_else(|_| Who::local(NODE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_of_an_earlier_release_is_read_too() {
        let who = Who::token("ops", "admin", "192.0.2.1", Some("7"));
        let intent = Intent { offline: true, hash: "ab".repeat(32), who: who.clone() };
        let again = Intent::read(&intent.write());
        assert_eq!((again.offline, &again.hash, again.who), (true, &intent.hash, who));
        let mut old = vec![0];
        old.extend_from_slice("cd".repeat(32).as_bytes());
        let old = Intent::read(&old);
        assert_eq!((old.offline, &*old.hash, &*old.who.source), (false, &*"cd".repeat(32), NODE));
        for any in [&b""[..], b"x", b"\x01abc"] {
            assert_eq!(&*Intent::read(any).who.source, NODE);
        }
    }
}
