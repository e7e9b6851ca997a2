//! `a=crypto` (RFC 4568; suites of RFC 4568 §6.2, RFC 6188, RFC 7714).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::sip::text::push_number;

/// SDES suites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CryptoSuite {
    /// AES_CM_128_HMAC_SHA1_80.
    AesCm128HmacSha1_80,
    /// AES_CM_128_HMAC_SHA1_32.
    AesCm128HmacSha1_32,
    /// AES_256_CM_HMAC_SHA1_80.
    AesCm256HmacSha1_80,
    /// AES_256_CM_HMAC_SHA1_32.
    AesCm256HmacSha1_32,
    /// AEAD_AES_128_GCM.
    AeadAes128Gcm,
    /// AEAD_AES_256_GCM.
    AeadAes256Gcm,
}

impl CryptoSuite {
    /// All suites.
    pub const ALL: [Self; 6] = [
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::AesCm256HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// Name in the IANA registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Bytes of master key and master salt together (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §12).
    pub fn key_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 16 + 14,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 => 32 + 14,
            Self::AeadAes128Gcm => 16 + 12,
            Self::AeadAes256Gcm => 32 + 12,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }
}

/// A set of suites: what policy allows to be negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuiteSet(u8);

impl SuiteSet {
    /// Every suite.
    pub const ALL: Self = Self((1 << CryptoSuite::ALL.len()) - 1);

    /// These suites.
    pub fn of(suites: impl IntoIterator<Item = CryptoSuite>) -> Self {
        Self(suites.into_iter().fold(0, |set, suite| set | 1 << suite as u8))
    }

    /// The suite is in the set.
    pub fn contains(self, suite: CryptoSuite) -> bool {
        self.0 & (1 << suite as u8) != 0
    }
}

/// Master key and salt. No `Debug` and no `Display` of the bytes.
#[derive(Clone)]
pub struct KeyMaterial(Box<[u8]>);

impl KeyMaterial {
    /// The bytes, key first.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for KeyMaterial {
    /// Takes the same time wherever two keys of one length differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).fold(0, |d, (a, b)| d | (a ^ b)) == 0
    }
}

impl Eq for KeyMaterial {}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyMaterial({} bytes)", self.0.len())
    }
}

/// Packets that a master key may protect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Written `2^n`, n at most 48.
    PowerOfTwo(u8),
    /// Written as a number, 1 to 2^48.
    Packets(u64),
}

/// Session parameters that switch protection off (RFC 4568 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weakening {
    /// UNENCRYPTED_SRTP.
    pub unencrypted_srtp: bool,
    /// UNENCRYPTED_SRTCP.
    pub unencrypted_srtcp: bool,
    /// UNAUTHENTICATED_SRTP.
    pub unauthenticated_srtp: bool,
}

/// One usable line: known suite, one key of the right length, no MKI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CryptoLine {
    /// Tag, 1 to 9 digits.
    pub tag: u32,
    /// Suite.
    pub suite: CryptoSuite,
    /// Master key and salt of the line's sender.
    pub key: KeyMaterial,
    /// Lifetime, where written.
    pub lifetime: Option<Lifetime>,
    /// What the line switches off.
    pub weakening: Weakening,
}

impl CryptoLine {
    /// The line encrypts and authenticates: it may count as secure.
    pub fn protects(&self) -> bool {
        self.weakening == Weakening::default()
    }

    pub(super) fn push(&self, out: &mut String) {
        out.push_str("a=crypto:");
        push_number(out, self.tag.into());
        out.push(' ');
        out.push_str(self.suite.name());
        out.push_str(" inline:");
        STANDARD.encode_string(self.key.expose(), out);
        match self.lifetime {
            Some(Lifetime::PowerOfTwo(n)) => {
                out.push_str("|2^");
                push_number(out, n.into());
            }
            Some(Lifetime::Packets(n)) => {
                out.push('|');
                push_number(out, n);
            }
            None => {}
        }
        let w = self.weakening;
        let all = [w.unencrypted_srtp, w.unencrypted_srtcp, w.unauthenticated_srtp];
        for (_, name) in all.iter().zip(WEAKENING).filter(|(set, _)| **set) {
            out.push(' ');
            out.push_str(name);
        }
        out.push_str("\r\n");
    }
}

/// Why a line is left out. The m-line goes on with its other lines (RFC 4568 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoRefusal {
    /// Not `tag suite inline:…`.
    #[error("not of the form `tag suite inline:key`")]
    Syntax,
    /// Another line of the m-line has this tag.
    #[error("its tag is taken by an earlier line")]
    DuplicateTag,
    /// Not a suite that Keyline knows.
    #[error("unknown suite")]
    UnknownSuite,
    /// Key and salt of another length than the suite's, or broken base64.
    #[error("key and salt must be {expected} bytes in padded base64")]
    Key {
        /// Bytes that the suite needs.
        expected: usize,
    },
    /// 0, beyond 2^48 or not a number.
    #[error("lifetime outside 1 to 2^48")]
    Lifetime,
    /// A master key identifier.
    #[error("it uses a master key identifier (MKI)")]
    Mki,
    /// KDR, FEC_ORDER, FEC_KEY, WSH or an unknown mandatory one.
    #[error("a session parameter that is not supported")]
    SessionParameter,
}

/// Parses the value of `a=crypto:`.
pub(super) fn parse(value: &str) -> Result<CryptoLine, CryptoRefusal> {
    let mut fields = value.split_ascii_whitespace();
    let (Some(tag), Some(suite), Some(key)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(CryptoRefusal::Syntax);
    };
    if !(1..=9).contains(&tag.len()) || !tag.bytes().all(|b| b.is_ascii_digit()) {
        return Err(CryptoRefusal::Syntax);
    }
    let tag = tag.parse().map_err(|_| CryptoRefusal::Syntax)?;
    let suite = CryptoSuite::named(suite).ok_or(CryptoRefusal::UnknownSuite)?;
    let (key, lifetime) = inline(key, suite)?;
    let mut weakening = Weakening::default();
    for parameter in fields {
        let is = |name: &str| parameter.eq_ignore_ascii_case(name);
        let [unencrypted_srtp, unencrypted_srtcp, unauthenticated_srtp] = WEAKENING.map(is);
        weakening.unencrypted_srtp |= unencrypted_srtp;
        weakening.unencrypted_srtcp |= unencrypted_srtcp;
        weakening.unauthenticated_srtp |= unauthenticated_srtp;
        let known = unencrypted_srtp || unencrypted_srtcp || unauthenticated_srtp;
        // A leading dash marks an extension that may be ignored (RFC 4568 §6.3.7).
        if !known && !parameter.starts_with('-') {
            return Err(CryptoRefusal::SessionParameter);
        }
    }
    Ok(CryptoLine { tag, suite, key, lifetime, weakening })
}

/// `inline:key||salt[|lifetime][|MKI:length]`
fn inline(text: &str, suite: CryptoSuite) -> Result<(KeyMaterial, Option<Lifetime>), CryptoRefusal> {
    let (method, parameters) = text.split_once(':').ok_or(CryptoRefusal::Syntax)?;
    if !method.eq_ignore_ascii_case("inline") {
        return Err(CryptoRefusal::Syntax);
    }
    // Several keys need an MKI to tell them apart (RFC 4568 §6.1).
    if parameters.contains(';') {
        return Err(CryptoRefusal::Mki);
    }
    let mut parts = parameters.split('|');
    let expected = suite.key_bytes();
    let key = parts
        .next()
        .and_then(|text| STANDARD.decode(text).ok())
        .filter(|key| key.len() == expected)
        .ok_or(CryptoRefusal::Key { expected })?;
    let lifetime = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => None,
        (Some(first), None, _) if !first.contains(':') => Some(lifetime(first)?),
        (Some(_), None, _) | (Some(_), Some(_), None) => return Err(CryptoRefusal::Mki),
        _ => return Err(CryptoRefusal::Syntax),
    };
    Ok((KeyMaterial(key.into()), lifetime))
}

fn lifetime(text: &str) -> Result<Lifetime, CryptoRefusal> {
    let digits = |t: &str| !t.is_empty() && t.len() <= 15 && t.bytes().all(|b| b.is_ascii_digit());
    let lifetime = match text.strip_prefix("2^") {
        Some(power) if digits(power) => {
            power.parse().ok().filter(|n| *n <= LIFETIME_POWER_MAX).map(Lifetime::PowerOfTwo)
        }
        None if digits(text) => {
            text.parse().ok().filter(|n| (1..=1 << LIFETIME_POWER_MAX).contains(n)).map(Lifetime::Packets)
        }
        _ => None,
    };
    lifetime.ok_or(CryptoRefusal::Lifetime)
}

const WEAKENING: [&str; 3] = ["UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP", "UNAUTHENTICATED_SRTP"];

/// RFC 4568 §6.1 with RFC 3711 §9.2: at most 2^48 packets under one master key.
const LIFETIME_POWER_MAX: u8 = 48;
