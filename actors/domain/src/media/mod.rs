//! What an SDP body says about each stream, without its keys: the facts that classification and SDES
//! policy need. The codec is `keyline-wire`'s; these are its findings in the rules' words.
//!
//! [`hold`] reads hold and resume out of directions, [`protect`] compares an answer with its offer, and
//! [`LegMedia`] is what a leg remembers of both for its class.

mod fit;
pub mod hold;
pub mod protect;
#[cfg(test)]
mod tests;

pub use hold::{HoldChange, hold_change};
pub use protect::{Hold, HoldSource, LegMedia, StreamProtection};

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Transport profile of an m-line (RFC 8866 §5.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaProto {
    /// RTP/AVP, RTP/AVPF.
    Rtp,
    /// RTP/SAVP, RTP/SAVPF: SRTP keyed by SDES.
    Srtp,
    /// UDP/TLS/RTP/SAVP(F): SRTP keyed by DTLS.
    DtlsSrtp,
    /// Anything else.
    Other,
}

/// Direction attribute as seen by the party that sent the SDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// Sends only: the peer is on hold.
    SendOnly,
    /// Receives only.
    RecvOnly,
    /// Neither.
    Inactive,
}

/// SDES suites (RFC 4568 §6.2, RFC 6188, RFC 7714).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// One usable `a=crypto` line, without its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CryptoFact {
    /// Tag of the line.
    pub tag: u32,
    /// Suite.
    pub suite: CryptoSuite,
    /// No UNENCRYPTED_SRTP, UNENCRYPTED_SRTCP, UNAUTHENTICATED_SRTP (RFC 4568 §6.3).
    pub protects: bool,
}

/// One m-line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StreamFacts {
    /// `audio`, `video`, `application`…
    pub kind: Box<str>,
    /// Port not 0.
    pub active: bool,
    /// Transport profile.
    pub proto: MediaProto,
    /// Direction, from the sender's side; `c=0.0.0.0` counts as held.
    pub direction: Direction,
    /// Usable crypto lines in order.
    pub crypto: SmallVec<[CryptoFact; 2]>,
}

/// All m-lines of one SDP in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct MediaFacts {
    /// The m-lines.
    pub streams: SmallVec<[StreamFacts; 2]>,
}

/// A message body as calls pass it on. `Debug` never prints the bytes: they may hold SRTP keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// Content-Type as sent.
    pub content_type: Cow<'static, str>,
    /// The bytes as they came from the phone; the engine rewrites them for the other leg.
    pub bytes: Arc<[u8]>,
    /// Set when the body is `application/sdp` and parsed.
    pub media: Option<Arc<MediaFacts>>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({}, {} bytes, media {:?})", self.content_type, self.bytes.len(), self.media)
    }
}
