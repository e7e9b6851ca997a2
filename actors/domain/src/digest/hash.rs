//! The hashes of RFC 7616 §3.4, fed part by part.

use std::fmt;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::Algorithm;

/// Bytes of the longest hash.
const MAX: usize = 32;

/// H(A1) of one user, realm and password under one algorithm: as good as the password for that
/// realm, hence redacted and wiped like one.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1 {
    algorithm: Algorithm,
    bytes: [u8; MAX],
}

impl Ha1 {
    /// H(user ":" realm ":" password) over UTF-8 (RFC 7616 §3.4.2), unescaped text; the same bytes for an
    /// algorithm and its `-sess` form, which takes in the nonces later.
    pub fn derive(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> Self {
        let parts = [user.as_bytes(), b":", realm.as_bytes(), b":", password.as_bytes()];
        Self { algorithm, bytes: hash(algorithm, &parts) }
    }

    /// The algorithm it was derived for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash itself, 16 or 32 bytes. A secret.
    pub fn expose(&self) -> &[u8] {
        &self.bytes[..self.algorithm.hash_len()]
    }

    /// Takes a hash back from its bytes; `None` when the length is not the algorithm's.
    pub(crate) fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != algorithm.hash_len() {
            return None;
        }
        let mut own = [0; MAX];
        own[..bytes.len()].copy_from_slice(bytes);
        Some(Self { algorithm, bytes: own })
    }
}

impl Drop for Ha1 {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({}, redacted)", self.algorithm.token())
    }
}

/// What the `qop` of the answer adds to the hash. All texts are the directives' own, unescaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection<'a> {
    /// No `qop` (the form of RFC 2069); admitted by `allow_digest_without_qop` only.
    None,
    /// `qop=auth`.
    Auth {
        /// The 8 digits as sent: they are hashed as text, so their case counts.
        nc: &'a str,
        /// Client nonce.
        cnonce: &'a str,
    },
}

/// Everything but the secret that goes into a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Method as in the request line.
    pub method: &'a str,
    /// The `uri` directive's text, not the Request-URI.
    pub uri: &'a str,
    /// Nonce.
    pub nonce: &'a str,
    /// Form of the response.
    pub protection: Protection<'a>,
}

/// Lower-case hexadecimal text of a hash, without allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hex {
    text: [u8; 2 * MAX],
    len: usize,
}

impl Hex {
    fn of(bytes: &[u8]) -> Self {
        let mut text = [0; 2 * MAX];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            // Arithmetic, so that the compiler may do many bytes at once.
            let digit = |value: u8| value + b'0' + u8::from(value > 9) * (b'a' - b'9' - 1);
            (pair[0], pair[1]) = (digit(byte >> 4), digit(byte & 15));
        }
        Self { text, len: 2 * bytes.len() }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    /// The text, 32 or 64 characters.
    pub fn as_str(&self) -> &str {
        // Only ASCII digits were ever written.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The `response` that `ha1` gives for `parts`: what a client sends (RFC 7616 §3.4.1).
pub fn respond(ha1: &Ha1, parts: &Parts<'_>) -> Hex {
    Hex::of(&response_bytes(ha1, parts)[..ha1.algorithm.hash_len()])
}

/// Whether `given` is the response of `parts` under `ha1`; upper-case digits pass too.
///
/// With `None` (no such user) a decoy is hashed, so that an unknown user costs the same time, and
/// the result is `false` whatever was given. The comparison takes constant time.
pub fn verify(algorithm: Algorithm, ha1: Option<&Ha1>, parts: &Parts<'_>, given: &str) -> bool {
    let usable = ha1.filter(|h| h.algorithm == algorithm);
    let decoy;
    let key = match usable {
        Some(key) => key,
        None => {
            decoy = Ha1 { algorithm, bytes: [0; MAX] };
            &decoy
        }
    };
    let right = response_bytes(key, parts);
    let len = algorithm.hash_len();
    let mut offered = [0; MAX];
    let readable = unhex(given.as_bytes(), &mut offered[..len]);
    let equal = right[..len].ct_eq(&offered[..len]);
    bool::from(equal) && readable && usable.is_some()
}

fn response_bytes(ha1: &Ha1, parts: &Parts<'_>) -> [u8; MAX] {
    let algorithm = ha1.algorithm;
    let a2 = hash(algorithm, &[parts.method.as_bytes(), b":", parts.uri.as_bytes()]);
    let a1 = session_key(ha1, parts);
    let a2 = Hex::of(&a2[..algorithm.hash_len()]);
    let nonce = parts.nonce.as_bytes();
    match parts.protection {
        Protection::None => hash(algorithm, &[a1.as_bytes(), b":", nonce, b":", a2.as_bytes()]),
        Protection::Auth { nc, cnonce } => hash(
            algorithm,
            &[
                a1.as_bytes(),
                b":",
                nonce,
                b":",
                nc.as_bytes(),
                b":",
                cnonce.as_bytes(),
                b":auth:",
                a2.as_bytes(),
            ],
        ),
    }
}

/// H(A1) as text: the stored one, or for `-sess` the one that takes in both nonces (RFC 7616 §3.4.2).
/// An answer in that form without a client nonce never gets here: it is malformed.
fn session_key(ha1: &Ha1, parts: &Parts<'_>) -> Hex {
    let plain = Hex::of(ha1.expose());
    match parts.protection {
        Protection::Auth { cnonce, .. } if ha1.algorithm.is_session() => {
            let texts = [plain.as_bytes(), b":", parts.nonce.as_bytes(), b":", cnonce.as_bytes()];
            Hex::of(&hash(ha1.algorithm, &texts)[..ha1.algorithm.hash_len()])
        }
        _ => plain,
    }
}

fn hash(algorithm: Algorithm, parts: &[&[u8]]) -> [u8; MAX] {
    let mut out = [0; MAX];
    match algorithm {
        Algorithm::Sha512_256 | Algorithm::Sha512_256Sess => {
            let mut h = Sha512_256::new();
            parts.iter().for_each(|p| h.update(p));
            out.copy_from_slice(&h.finalize());
        }
        Algorithm::Sha256 | Algorithm::Sha256Sess => {
            let mut h = Sha256::new();
            parts.iter().for_each(|p| h.update(p));
            out.copy_from_slice(&h.finalize());
        }
        Algorithm::Md5 | Algorithm::Md5Sess => {
            let mut h = Md5::new();
            parts.iter().for_each(|p| h.update(p));
            out[..16].copy_from_slice(&h.finalize());
        }
    }
    out
}

/// Decodes exactly `out.len()` bytes of hexadecimal text; `false` when it is anything else.
fn unhex(text: &[u8], out: &mut [u8]) -> bool {
    let mut seen = 0;
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        *byte = high << 4 | low & 15;
        seen |= high | low;
    }
    text.len() == 2 * out.len() && seen & NO_DIGIT == 0
}

/// Marks what is no digit in [`VALUES`].
const NO_DIGIT: u8 = 0x80;

/// Values of hexadecimal digits: a table, since branches on a stranger's digits are never foreseen.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value as usize] as usize] = value;
        values[DIGITS[value as usize].to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

const DIGITS: &[u8; 16] = b"0123456789abcdef";
