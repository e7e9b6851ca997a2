//! Digest authentication: algorithms, HA1, the response and its check (RFC 7616, RFC 8760, RFC 3261 §22).
//!
//! Nothing here allocates: every hash is fed part by part, every result is a fixed array. The same
//! functions serve the server that checks and the client that answers ([`client`]).

pub mod client;
mod hash;
#[cfg(test)]
mod tests;

pub use hash::{Ha1, Hex, Parts, Protection, respond, verify};

/// Longest value of `username`, `nonce`, `uri` or `cnonce` that is looked at, in bytes. A longer one
/// makes the answer malformed: hashing is paid by the server, so its length is bounded here.
pub const DIRECTIVE_MAX: usize = 1024;

/// A digest algorithm, strongest first (RFC 8760 §2.3). The `-sess` forms hash the nonce and the client's
/// own nonce into A1 (RFC 7616 §3.4.2); since no state is kept for a session, an answer must repeat the
/// client nonce of its first or is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-512/256 of FIPS 180-4, which is not SHA-512 cut short.
    Sha512_256,
    /// SHA-512/256, session form.
    Sha512_256Sess,
    /// SHA-256.
    Sha256,
    /// SHA-256, session form.
    Sha256Sess,
    /// MD5, which every phone knows.
    Md5,
    /// MD5, session form.
    Md5Sess,
}

impl Algorithm {
    /// All of them, strongest first: the order of the challenges.
    pub const ALL: [Self; 6] =
        [Self::Sha512_256, Self::Sha512_256Sess, Self::Sha256, Self::Sha256Sess, Self::Md5, Self::Md5Sess];

    /// The token of the `algorithm` directive.
    pub fn token(self) -> &'static str {
        match self {
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
        }
    }

    /// Reads an `algorithm` directive, without regard to case. `None`: nobody knows it.
    pub fn parse(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| token.eq_ignore_ascii_case(a.token()))
    }

    /// Bytes of a hash.
    pub fn hash_len(self) -> usize {
        match self {
            Self::Md5 | Self::Md5Sess => 16,
            _ => 32,
        }
    }

    /// Whether A1 takes in the nonces (`-sess`). Such an answer needs `qop`: without it there is no `cnonce`.
    pub fn is_session(self) -> bool {
        matches!(self, Self::Sha512_256Sess | Self::Sha256Sess | Self::Md5Sess)
    }

    /// Its bit in a nonce. Never changes: nonces outlive a restart.
    fn bit(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Md5 => 2,
            Self::Sha512_256 => 4,
            Self::Sha256Sess => 8,
            Self::Md5Sess => 16,
            Self::Sha512_256Sess => 32,
        }
    }
}

/// A set of algorithms, as one challenge offers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AlgorithmSet(u8);

impl AlgorithmSet {
    /// Widest bit pattern that a nonce can carry.
    pub(crate) const BITS: u8 = 0x3f;

    /// No algorithm.
    pub const EMPTY: Self = Self(0);

    /// Every algorithm.
    pub fn all() -> Self {
        Algorithm::ALL.into_iter().fold(Self::EMPTY, Self::with)
    }

    /// Reads the values of the parameter `digest_algorithms`; unknown ones are left out, so the set may be
    /// empty: then nobody can be challenged, and the caller must say so.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        names.into_iter().filter_map(Algorithm::parse).fold(Self::EMPTY, Self::with)
    }

    /// This set and one more.
    #[must_use]
    pub fn with(self, algorithm: Algorithm) -> Self {
        Self(self.0 | algorithm.bit())
    }

    /// Whether `algorithm` is in it.
    pub fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & algorithm.bit() != 0
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The algorithms, strongest first: one challenge header each (RFC 8760 §2.3).
    pub fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(move |a| self.contains(*a))
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    pub(crate) fn from_bits(bits: u8) -> Self {
        Self(bits & Self::BITS)
    }
}

/// Reads an `nc` directive: exactly 8 hexadecimal digits in either case, not zero
/// (RFC 7616 §3.4). `None`: malformed.
pub fn parse_nc(text: &str) -> Option<u32> {
    if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(text, 16).ok().filter(|nc| *nc != 0)
}
