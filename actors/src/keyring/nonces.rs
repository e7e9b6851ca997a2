//! The row of keys that rotate, nonce keys and token keys: the one that mints, the one before it, and since when.

use keyline_domain::ids::UnixMillis;
use keyline_domain::nonce::{NONCE_KEY_IDS, NONCE_SECRET_LEN, NonceKey, NonceKeys};
use zeroize::Zeroizing;

use crate::board::OauthSecrets;

type Secret = Zeroizing<[u8; NONCE_SECRET_LEN]>;

/// Number and time of the current key before its secret.
const HEAD: usize = 9;

/// Both nonce keys as they are kept. Unsealed bytes: number (1), time in milliseconds (8), secret (32), the
/// secret before it (32 or none). A row of 32 bytes is the one secret of the versions that did not rotate.
pub(crate) struct NonceRow {
    number: u8,
    since: UnixMillis,
    current: Secret,
    previous: Option<Secret>,
}

impl NonceRow {
    pub(super) fn first(secret: Secret, now: UnixMillis) -> Self {
        Self { number: 0, since: now, current: secret, previous: None }
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let secret = |at: usize| -> Option<Secret> {
            Some(Zeroizing::new(bytes.get(at..at + NONCE_SECRET_LEN)?.try_into().ok()?))
        };
        let since = || Some(UnixMillis(u64::from_be_bytes(bytes.get(1..HEAD)?.try_into().ok()?)));
        const ONE: usize = HEAD + NONCE_SECRET_LEN;
        const BOTH: usize = ONE + NONCE_SECRET_LEN;
        match bytes.len() {
            NONCE_SECRET_LEN => Some(Self::first(secret(0)?, UnixMillis(0))),
            ONE | BOTH => Some(Self {
                number: bytes[0],
                since: since()?,
                current: secret(HEAD)?,
                previous: if bytes.len() == BOTH { Some(secret(ONE)?) } else { None },
            }),
            _ => None,
        }
    }

    pub(super) fn write(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(HEAD + 2 * NONCE_SECRET_LEN));
        out.push(self.number);
        out.extend_from_slice(&self.since.0.to_be_bytes());
        out.extend_from_slice(self.current.as_ref());
        if let Some(previous) = &self.previous {
            out.extend_from_slice(previous.as_ref());
        }
        out
    }

    pub(crate) fn keys(&self) -> NonceKeys {
        let before = self.number.wrapping_add(NONCE_KEY_IDS - 1);
        let previous = self.previous.as_ref().map(|secret| NonceKey::new(before, secret));
        NonceKeys::new(NonceKey::new(self.number, &self.current), previous)
    }

    /// The same row as secrets of token keys.
    pub(crate) fn secrets(&self) -> OauthSecrets {
        OauthSecrets::new((self.number, self.since.0), self.current.clone(), self.previous.clone())
    }

    /// Whether the current key has minted for `period_s`. A clock set back makes it due at once: better a key
    /// too young than one that lasts until the clock has caught up.
    pub(crate) fn is_due(&self, now: UnixMillis, period_s: u64) -> bool {
        now.0 < self.since.0 || now.0 - self.since.0 >= period_s.saturating_mul(1000)
    }

    /// The row in which a new key mints and the present one still opens.
    pub(crate) fn rotated(&self, secret: Secret, now: UnixMillis) -> Self {
        let number = self.number.wrapping_add(1) % NONCE_KEY_IDS;
        Self { number, since: now, current: secret, previous: Some(self.current.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyline_domain::digest::AlgorithmSet;
    use keyline_domain::nonce::{mint, open};

    fn secret(byte: u8) -> Secret {
        Zeroizing::new([byte; NONCE_SECRET_LEN])
    }

    #[test]
    fn rows_come_back_as_written_and_the_old_form_is_read() {
        let first = NonceRow::first(secret(1), UnixMillis(7_000));
        let nonce = mint(9, 1, AlgorithmSet::all(), UnixMillis(8_000), &first.keys());
        let again = NonceRow::read(&first.write()).unwrap();
        assert!(open(nonce.as_str(), &again.keys()).is_ok());
        let second = NonceRow::read(&again.rotated(secret(2), UnixMillis(9_000)).write()).unwrap();
        assert!(open(nonce.as_str(), &second.keys()).is_ok(), "the key before still opens");
        let third = NonceRow::read(&second.rotated(secret(3), UnixMillis(9_500)).write()).unwrap();
        assert!(open(nonce.as_str(), &third.keys()).is_err());
        let old = NonceRow::read(&[1; 32]).unwrap();
        assert!(open(nonce.as_str(), &old.keys()).is_ok());
        for length in [0, 31, 33, 40, 42, 72, 74] {
            assert!(NonceRow::read(&vec![0; length]).is_none(), "{length}");
        }
    }

    #[test]
    fn a_key_is_due_after_its_period_and_when_the_clock_ran_backwards() {
        let row = NonceRow::first(secret(1), UnixMillis(100_000));
        assert!(!row.is_due(UnixMillis(100_000), 10));
        assert!(!row.is_due(UnixMillis(109_999), 10));
        assert!(row.is_due(UnixMillis(110_000), 10));
        assert!(row.is_due(UnixMillis(99_999), 10));
    }
}
