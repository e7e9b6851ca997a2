//! Why a criterion fails: a closed set, each with the highest class that it leaves.

use std::fmt;

use crate::mode::SecurityClass;

/// Something that speaks against a criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The catalogue does not trust the model (R046).
    DeviceNotTrusted,
    /// UDP or TCP.
    SignalingNotTls,
    /// TLS, but the client sent no certificate that proves the device; digest does not stand in (R163).
    NoDeviceCertificate,
    /// A bearer token on another port than the OAuth port.
    TokenOffOauthPort,
    /// The applied profile is non-secure.
    ProfileNonSecure,
    /// The cluster is non-secure (R059).
    ClusterNonSecure,
    /// TLS that does not encrypt (R119).
    IntegrityOnlySuite,
    /// No m-line is active: nothing was agreed that could be secure.
    NoMedia,
    /// An active stream that the answer left without SRTP; counted from 1.
    StreamNotSrtp {
        /// Number of the m-line.
        stream: usize,
    },
    /// UNENCRYPTED_SRTP, UNENCRYPTED_SRTCP or UNAUTHENTICATED_SRTP was agreed (RFC 4568 §6.3).
    StreamWeakened {
        /// Number of the m-line.
        stream: usize,
    },
    /// Somebody on the way could read the stream's keys.
    KeysExposed {
        /// Number of the m-line.
        stream: usize,
    },
    /// Held, and what the held side hears is plain RTP.
    PlainHoldSource,
}

impl Cause {
    /// The highest class that a leg can have with this cause. The minimum over all causes of a leg is
    /// its class; the order of the rules needs no other expression.
    pub fn at_most(self) -> SecurityClass {
        match self {
            Self::DeviceNotTrusted
            | Self::SignalingNotTls
            | Self::NoDeviceCertificate
            | Self::TokenOffOauthPort
            | Self::ProfileNonSecure
            | Self::ClusterNonSecure => SecurityClass::NonSecure,
            Self::IntegrityOnlySuite
            | Self::NoMedia
            | Self::StreamNotSrtp { .. }
            | Self::StreamWeakened { .. }
            | Self::KeysExposed { .. }
            | Self::PlainHoldSource => SecurityClass::Authenticated,
        }
    }

    /// Name for metrics and audit records, from a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeviceNotTrusted => "device_not_trusted",
            Self::SignalingNotTls => "signaling_not_tls",
            Self::NoDeviceCertificate => "no_device_certificate",
            Self::TokenOffOauthPort => "token_off_oauth_port",
            Self::ProfileNonSecure => "profile_non_secure",
            Self::ClusterNonSecure => "cluster_non_secure",
            Self::IntegrityOnlySuite => "integrity_only_suite",
            Self::NoMedia => "no_media",
            Self::StreamNotSrtp { .. } => "stream_not_srtp",
            Self::StreamWeakened { .. } => "stream_weakened",
            Self::KeysExposed { .. } => "keys_exposed",
            Self::PlainHoldSource => "plain_hold_source",
        }
    }
}

/// The text that the API and `keyline explain` show.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceNotTrusted => f.write_str("device model not trusted"),
            Self::SignalingNotTls => f.write_str("signaling not TLS"),
            Self::NoDeviceCertificate => f.write_str("no device certificate"),
            Self::TokenOffOauthPort => f.write_str("bearer token outside the OAuth port"),
            Self::ProfileNonSecure => f.write_str("profile mode non_secure"),
            Self::ClusterNonSecure => f.write_str("cluster non-secure"),
            Self::IntegrityOnlySuite => f.write_str("integrity-only suite"),
            Self::NoMedia => f.write_str("no active media stream"),
            Self::StreamNotSrtp { stream } => write!(f, "stream {stream} not under SRTP in the answer"),
            Self::StreamWeakened { stream } => {
                write!(
                    f,
                    "stream {stream} agreed on UNENCRYPTED_SRTP, UNENCRYPTED_SRTCP or UNAUTHENTICATED_SRTP"
                )
            }
            Self::KeysExposed { stream } => {
                write!(f, "stream {stream}: SDES keys crossed a non-encrypting hop")
            }
            Self::PlainHoldSource => f.write_str("hold source is plain RTP"),
        }
    }
}

/// A cause and the setting behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The cause.
    pub cause: Cause,
    /// Where it comes from: `kind `name`: field = value`, in the names of the inventory.
    pub setting: String,
}

impl Finding {
    /// A finding.
    pub fn new(cause: Cause, setting: String) -> Self {
        Self { cause, setting }
    }
}
