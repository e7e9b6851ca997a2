//! What a model can do, as far as rules depend on it: a set of two bytes.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One ability of a model. Names in rows are in snake_case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Capability {
    /// Speaks TLS.
    Tls,
    /// Its profile has a device security mode (R070: then it speaks TLS).
    DeviceSecurityMode,
    /// Secure RTP.
    Srtp,
    /// Digest authentication; every SIP model has it (R069).
    Digest,
    /// Encrypted configuration files (R064, R164).
    EncryptedConfig,
    /// Bearer tokens on the OAuth port (R169).
    Oauth,
    /// A manufacturer certificate (R051).
    Mic,
    /// Certificates by CAPF (R053).
    Capf,
    /// On SIP, digest credentials are typed into the phone (R063), so they may be left out of its
    /// file (R170).
    ManualDigest,
    /// Plays a secure tone (R040).
    SecureTone,
    /// May register over WebSocket (RFC 7118), beside what its profile's transport says.
    Websocket,
    /// Signs its signaling: its profile offers the mode authenticated (R067).
    SecurityAuthentication,
    /// Encrypts signaling and media: its profile offers the mode encrypted (R067).
    SecurityEncryption,
    /// Shows the security icon of a call (R037).
    SecurityIcon,
}

impl Capability {
    /// All of them, in order.
    pub const ALL: [Self; 14] = [
        Self::Tls,
        Self::DeviceSecurityMode,
        Self::Srtp,
        Self::Digest,
        Self::EncryptedConfig,
        Self::Oauth,
        Self::Mic,
        Self::Capf,
        Self::ManualDigest,
        Self::SecureTone,
        Self::Websocket,
        Self::SecurityAuthentication,
        Self::SecurityEncryption,
        Self::SecurityIcon,
    ];

    /// Name in rows and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::DeviceSecurityMode => "device_security_mode",
            Self::Srtp => "srtp",
            Self::Digest => "digest",
            Self::EncryptedConfig => "encrypted_config",
            Self::Oauth => "oauth",
            Self::Mic => "mic",
            Self::Capf => "capf",
            Self::ManualDigest => "manual_digest",
            Self::SecureTone => "secure_tone",
            Self::Websocket => "websocket",
            Self::SecurityAuthentication => "security_authentication",
            Self::SecurityEncryption => "security_encryption",
            Self::SecurityIcon => "security_icon",
        }
    }
}

/// A set of [`Capability`], two bytes. In rows a list of names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(u16);

impl Capabilities {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The set of the given ones.
    pub const fn of(list: &[Capability]) -> Self {
        let mut set = 0;
        let mut i = 0;
        while i < list.len() {
            set |= 1 << list[i] as u16;
            i += 1;
        }
        Self(set)
    }

    /// This set and one more.
    pub const fn with(self, one: Capability) -> Self {
        Self(self.0 | 1 << one as u16)
    }

    /// Holds `one`.
    pub const fn has(self, one: Capability) -> bool {
        self.0 & (1 << one as u16) != 0
    }

    /// The members in order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |c| self.has(*c))
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Capability::as_str)).finish()
    }
}

impl Serialize for Capabilities {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Capabilities {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Capabilities;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of capability names")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Capabilities, A::Error> {
                let mut set = Capabilities::NONE;
                while let Some(one) = seq.next_element()? {
                    set = set.with(one);
                }
                Ok(set)
            }
        }
        d.deserialize_seq(List)
    }
}
