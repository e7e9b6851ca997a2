//! Modes, classes and transports: the small closed sets that every rule speaks of.

use serde::{Deserialize, Serialize};

/// Cluster security mode (R001, R059).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterMode {
    /// Secure profiles have no effect.
    #[default]
    NonSecure,
    /// Secure and non-secure phones side by side.
    Mixed,
}

/// Device security mode of a profile (R118–R120).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceSecurityMode {
    /// No TLS.
    #[default]
    NonSecure,
    /// TLS with integrity only.
    Authenticated,
    /// TLS with encryption.
    Encrypted,
}

impl DeviceSecurityMode {
    /// Name in rows and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NonSecure => "non_secure",
            Self::Authenticated => "authenticated",
            Self::Encrypted => "encrypted",
        }
    }
}

/// Class of a leg, a call or a conference, lowest first, so that the minimum is `Ord::min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityClass {
    /// No icon.
    NonSecure,
    /// Shield.
    Authenticated,
    /// Lock.
    Encrypted,
}

impl SecurityClass {
    /// The icon a phone shows (R058).
    pub fn icon(self) -> &'static str {
        match self {
            Self::NonSecure => "none",
            Self::Authenticated => "shield",
            Self::Encrypted => "lock",
        }
    }

    /// Name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NonSecure => "non_secure",
            Self::Authenticated => "authenticated",
            Self::Encrypted => "encrypted",
        }
    }
}

/// Transports that a profile admits (R158, R160).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileTransport {
    /// TCP only.
    Tcp,
    /// UDP only.
    Udp,
    /// Either of them.
    TcpUdp,
    /// TLS only.
    Tls,
}

impl ProfileTransport {
    /// Name in rows and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::TcpUdp => "tcp_udp",
            Self::Tls => "tls",
        }
    }
}

/// Protocol of a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// RFC 3261.
    #[default]
    Sip,
    /// Skinny Client Control Protocol.
    Sccp,
}

impl Protocol {
    /// Name in rows and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sip => "sip",
            Self::Sccp => "sccp",
        }
    }
}

impl Protocol {
    /// As written in the names of predefined profiles.
    pub fn label(self) -> &'static str {
        match self {
            Self::Sip => "SIP",
            Self::Sccp => "SCCP",
        }
    }
}

/// The listener that a request came in on: what the live connection proves by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// `sip_udp`.
    Udp,
    /// `sip_tcp`.
    Tcp,
    /// `sip_tls`.
    Tls,
    /// `sip_oauth`: TLS with a bearer token.
    Oauth,
    /// `sip_ws`: WebSocket (RFC 7118).
    Ws,
    /// `sip_wss`: WebSocket over TLS, without a client certificate.
    Wss,
}

impl Transport {
    /// Transports on which a retransmission is the transport's own business (RFC 3261 §17).
    pub fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }
    /// Carried by TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Oauth | Self::Wss)
    }
    /// Carried by WebSocket.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
    /// Via transport token (RFC 3261 §20.42, RFC 7118 §5.2).
    pub fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls | Self::Oauth => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }
}

/// What the negotiated cipher suite gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuiteKind {
    /// No TLS.
    #[default]
    None,
    /// Integrity without encryption (NULL-SHA, RFC 9150).
    IntegrityOnly,
    /// Encryption.
    Encrypting,
}

/// How the peer of a live connection proved its device; decides the class of a leg (design §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerProof {
    /// No proof was due and none was given.
    #[default]
    None,
    /// Digest; never raises a class (R163).
    Digest,
    /// A client certificate that names the device or its profile.
    Certificate,
    /// A bearer token on the OAuth port.
    Token,
}
