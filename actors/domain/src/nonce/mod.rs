//! Nonces that carry their own facts, and the windows that count their use (design §4 Digest, R152–R154).
//!
//! A nonce is 30 bytes in 40 characters of base64url: key number and algorithms (1), start number of
//! the node (4), issue time in seconds (4), a random id (8) and the first 13 bytes of an HMAC-SHA256
//! over the rest. So a challenge needs no memory, a forged nonce costs one HMAC and touches no table,
//! and a nonce outlives a restart as long as its key does.

#[cfg(test)]
mod tests;
mod windows;
#[cfg(test)]
mod windows_tests;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::digest::AlgorithmSet;
use crate::ids::UnixMillis;

pub use windows::{NC_LIMIT, NC_WINDOW, NcVerdict, SLOTS_MIN, Windows};

/// Characters of a nonce.
pub const NONCE_LEN: usize = 40;

/// Bytes of the secret of a nonce key.
pub const NONCE_SECRET_LEN: usize = 32;

/// Numbers that nonce keys run through; a key and its successor always differ.
pub const NONCE_KEY_IDS: u8 = 4;

/// A nonce may be this many seconds ahead of the clock that judges it: clocks of a cell's nodes differ.
/// One further ahead counts as expired, or a clock set back would prolong it.
pub const CLOCK_SKEW_S: u64 = 30;

const BODY_LEN: usize = 17;
const TAG_LEN: usize = 13;
const RAW_LEN: usize = BODY_LEN + TAG_LEN;
/// Tells these MACs apart from any other use of the key.
const PURPOSE: &[u8] = b"keyline nonce 1";
const PLACES: &[u8] = b"keyline nonce places 1";

/// One nonce key with its HMAC schedule ready.
#[derive(Clone)]
pub struct NonceKey {
    id: u8,
    mac: Hmac<Sha256>,
    /// Key of [`Self::place`].
    places: [u64; 2],
}

impl NonceKey {
    /// A key from its number (taken modulo [`NONCE_KEY_IDS`]) and its secret, 32 random bytes.
    pub fn new(id: u8, secret: &[u8; NONCE_SECRET_LEN]) -> Self {
        // A 64-byte block key cannot be refused: shorter secrets are padded with zeros (RFC 2104 §2).
        let mut block = [0u8; 64];
        block[..NONCE_SECRET_LEN].copy_from_slice(secret);
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        zeroize::Zeroize::zeroize(&mut block);
        let drawn = mac.clone().chain_update(PLACES).finalize().into_bytes();
        let half = |at: usize| drawn[at..at + 8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let places = [half(0), half(8)];
        mac.update(PURPOSE);
        Self { id: id % NONCE_KEY_IDS, mac, places }
    }

    /// Its number.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// HMAC of a nonce's body.
    fn seal(&self, body: &[u8; BODY_LEN]) -> [u8; TAG_LEN] {
        let full = self.mac.clone().chain_update(body).finalize().into_bytes();
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&full[..TAG_LEN]);
        tag
    }

    /// Where the window of the nonce with this id lives: SipHash-2-4 (Aumasson and Bernstein, 2012) of the id
    /// under a key of its own. Nobody without the key can foretell it, and it is known before a nonce is sealed.
    fn place(&self, id: u64) -> u64 {
        let [k0, k1] = self.places;
        let mut v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        // The id, and the last block: no byte is left over, the length is 8.
        for block in [id, 8 << 56] {
            v[3] ^= block;
            sip_round(&mut v);
            sip_round(&mut v);
            v[0] ^= block;
        }
        v[2] ^= 0xff;
        (0..4).for_each(|_| sip_round(&mut v));
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

fn sip_round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NonceKey({}, redacted)", self.id)
    }
}

/// The key that mints and the one before it, which still opens.
#[derive(Debug, Clone)]
pub struct NonceKeys {
    current: NonceKey,
    previous: Option<NonceKey>,
}

impl NonceKeys {
    /// Keys as the keyring holds them. A `previous` with the number of `current` is left out.
    pub fn new(current: NonceKey, previous: Option<NonceKey>) -> Self {
        let previous = previous.filter(|p| p.id != current.id);
        Self { current, previous }
    }

    /// The next key takes over and the current one becomes the previous. Rotate no oftener than the
    /// longest nonce validity, or living nonces end as forged ones.
    #[must_use]
    pub fn rotated(&self, secret: &[u8; NONCE_SECRET_LEN]) -> Self {
        let next = NonceKey::new(self.current.id.wrapping_add(1), secret);
        Self { current: next, previous: Some(self.current.clone()) }
    }

    /// The key that mints.
    pub fn current(&self) -> &NonceKey {
        &self.current
    }
}

/// The text of a nonce: fits a quoted string as it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NonceText([u8; NONCE_LEN]);

impl NonceText {
    /// The text.
    pub fn as_str(&self) -> &str {
        // Only base64url characters were ever written.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for NonceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NonceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a nonce of ours says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonceFacts {
    /// Random id.
    pub id: u64,
    /// Start number of the node that minted it.
    pub start: u32,
    /// Algorithms that were challenged with it; an answer must use one of them.
    pub algorithms: AlgorithmSet,
    /// Issue time, whole seconds since the Unix epoch.
    pub issued_s: u32,
    /// Where its window lives: secret, so that nobody can aim at another nonce's slot.
    place: u64,
}

impl NonceFacts {
    /// Whether it is older than `validity_s` (the applied profile's, R152) at `now`, or from the future.
    pub fn expired(&self, now: UnixMillis, validity_s: u32) -> bool {
        let now_s = now.0 / 1000;
        let issued_s = u64::from(self.issued_s);
        now_s > issued_s + u64::from(validity_s) || issued_s > now_s + CLOCK_SKEW_S
    }

    #[cfg(test)]
    pub(crate) fn for_test(place: u64, issued_s: u32) -> Self {
        Self { id: place, start: 1, algorithms: AlgorithmSet::all(), issued_s, place }
    }
}

/// The nonce is not ours, or was changed, or its key is gone. Nothing in it may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the nonce was not issued here")]
pub struct Forged;

/// Mints a nonce. `id` must be random: it is all that keeps two nonces of one second apart (R154).
/// One nonce serves every header of one challenge; `algorithms` are those of these headers. Ask
/// [`Windows::roomier`] for an id whose window has room.
pub fn mint(
    id: u64,
    start: u32,
    algorithms: AlgorithmSet,
    issued: UnixMillis,
    keys: &NonceKeys,
) -> NonceText {
    let key = &keys.current;
    let issued_s = u32::try_from(issued.0 / 1000).unwrap_or(u32::MAX);
    let mut raw = [0; RAW_LEN];
    raw[0] = key.id << 6 | algorithms.bits();
    raw[1..5].copy_from_slice(&start.to_be_bytes());
    raw[5..9].copy_from_slice(&issued_s.to_be_bytes());
    raw[9..17].copy_from_slice(&id.to_be_bytes());
    let mut body = [0; BODY_LEN];
    body.copy_from_slice(&raw[..BODY_LEN]);
    raw[BODY_LEN..].copy_from_slice(&key.seal(&body));
    let mut text = [b'A'; NONCE_LEN];
    // 30 bytes fill 40 characters exactly: there is no shorter or longer outcome.
    let _ = URL_SAFE_NO_PAD.encode_slice(raw, &mut text);
    NonceText(text)
}

/// Opens a nonce under the current or the previous key. Says nothing about its age.
pub fn open(text: &str, keys: &NonceKeys) -> Result<NonceFacts, Forged> {
    if text.len() != NONCE_LEN {
        return Err(Forged);
    }
    let mut raw = [0; RAW_LEN];
    if URL_SAFE_NO_PAD.decode_slice(text, &mut raw) != Ok(RAW_LEN) {
        return Err(Forged);
    }
    let mut body = [0; BODY_LEN];
    body.copy_from_slice(&raw[..BODY_LEN]);
    let key_id = body[0] >> 6;
    let key = std::iter::once(&keys.current).chain(&keys.previous).find(|k| k.id == key_id).ok_or(Forged)?;
    let tag = key.seal(&body);
    if !bool::from(tag[..].ct_eq(&raw[BODY_LEN..])) {
        return Err(Forged);
    }
    let word = |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
    let id = u64::from(word(9)) << 32 | u64::from(word(13));
    Ok(NonceFacts {
        id,
        start: word(1),
        algorithms: AlgorithmSet::from_bits(body[0]),
        issued_s: word(5),
        place: key.place(id),
    })
}
