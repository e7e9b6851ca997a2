//! Phone models: what a type of phone can do and whether it is trusted.
//!
//! Trust belongs to the model and to nothing else: no field of a phone sets it (R041, R042). Built-in
//! models are data of the program ([`builtin_models`]) and cannot be changed; other makers' types are
//! imported as `phone_model` rows.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::mode::Protocol;

mod builtin;

/// Longest model name, in characters.
pub const MODEL_NAME_MAX: usize = 64;

/// First number that an imported model can get; Cisco's own numbers are below.
pub const FIRST_IMPORTED_MODEL: u32 = 1_000_000;

/// Highest model number: it leaves room for the protocol bit and the mark of predefined profiles in
/// a [`crate::ids::ProfileId`].
pub const LAST_MODEL: u32 = (1 << 30) - 1;

/// Stable number of a model: for built-in ones Cisco's device type (621 is the 7821), for imported
/// ones counted from [`FIRST_IMPORTED_MODEL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelId(pub u32);

/// Phone category (R050).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VendorClass {
    /// Own-brand: may carry a manufacturer certificate, CAPF, encrypted configuration (R051).
    Own,
    /// Another maker's: no MIC, no CAPF (R054).
    Preferred,
}

/// How phones of a model get their TLS certificate (R071).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsCertificate {
    /// Each phone has its own, which names the phone (R073).
    #[default]
    PerDevice,
    /// All phones of a profile share one, which names the profile (R075).
    Shared,
}

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
}

impl Capability {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
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

/// The protocols of a model, never none. In rows a list of `sip`, `sccp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protocols {
    /// Speaks SIP.
    pub sip: bool,
    /// Speaks SCCP.
    pub sccp: bool,
}

impl Protocols {
    /// SIP only.
    pub const SIP: Self = Self { sip: true, sccp: false };
    /// SCCP only.
    pub const SCCP: Self = Self { sip: false, sccp: true };
    /// The firmware decides.
    pub const BOTH: Self = Self { sip: true, sccp: true };

    /// Speaks `protocol`.
    pub fn has(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Sip => self.sip,
            Protocol::Sccp => self.sccp,
        }
    }

    /// What a phone row without `protocol` gets: SIP where the model speaks it.
    pub fn default_protocol(self) -> Protocol {
        if self.sip { Protocol::Sip } else { Protocol::Sccp }
    }

    /// The members, SIP first.
    pub fn iter(self) -> impl Iterator<Item = Protocol> {
        [Protocol::Sip, Protocol::Sccp].into_iter().filter(move |p| self.has(*p))
    }
}

impl Serialize for Protocols {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut seq = s.serialize_seq(None)?;
        for p in self.iter() {
            seq.serialize_element(&p)?;
        }
        seq.end()
    }
}

impl<'de> Deserialize<'de> for Protocols {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Protocols;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of `sip`, `sccp`")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Protocols, A::Error> {
                let mut set = Protocols { sip: false, sccp: false };
                while let Some(one) = seq.next_element()? {
                    match one {
                        Protocol::Sip => set.sip = true,
                        Protocol::Sccp => set.sccp = true,
                    }
                }
                if !set.sip && !set.sccp {
                    return Err(A::Error::custom("name at least one of `sip`, `sccp`"));
                }
                Ok(set)
            }
        }
        d.deserialize_seq(List)
    }
}

/// A phone model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Stable number.
    pub id: ModelId,
    /// Name, unique: `Cisco 8845`.
    pub name: Cow<'static, str>,
    /// Protocols.
    pub protocols: Protocols,
    /// Category.
    pub vendor_class: VendorClass,
    /// Passed the security criteria, so that it may take part in a secure call (R039).
    pub trusted: bool,
    /// Abilities.
    pub capabilities: Capabilities,
    /// How its phones get a TLS certificate.
    pub tls_certificate: TlsCertificate,
}

impl Model {
    /// Has the capability.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.has(capability)
    }

    /// A built-in one, which cannot be changed (R042).
    pub fn is_builtin(&self) -> bool {
        self.id.0 < FIRST_IMPORTED_MODEL
    }

    /// The part of a built-in name that certificates carry: `CP-8845-SEP…` for `Cisco 8845`.
    pub fn short_name(&self) -> &str {
        self.name.strip_prefix("Cisco ").unwrap_or(&self.name)
    }
}

/// All built-in models, sorted by name.
pub fn builtin_models() -> &'static [Model] {
    builtin::MODELS
}

/// The built-in model of this exact name.
pub fn builtin(name: &str) -> Option<&'static Model> {
    let i = builtin::MODELS.binary_search_by(|m| (*m.name).cmp(name)).ok()?;
    builtin::MODELS.get(i)
}

/// The built-in model with Cisco's number, as a phone names it in its Contact
/// (`+u.sip!model.ccm.cisco.com`) or in an SCCP Register.
pub fn builtin_by_number(number: u32) -> Option<&'static Model> {
    let models = builtin::MODELS;
    let at = BY_NUMBER.binary_search_by(|i| models[usize::from(*i)].id.0.cmp(&number)).ok()?;
    models.get(usize::from(BY_NUMBER[at]))
}

/// Positions in the table, sorted by number; made by the compiler.
static BY_NUMBER: [u16; builtin::MODELS.len()] = {
    let mut order = [0_u16; builtin::MODELS.len()];
    let mut i = 0;
    while i < order.len() {
        let number = builtin::MODELS[i].id.0;
        let mut at = i;
        while at > 0 && builtin::MODELS[order[at - 1] as usize].id.0 > number {
            order[at] = order[at - 1];
            at -= 1;
        }
        order[at] = i as u16;
        i += 1;
    }
    order
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_numbers_are_unique() {
        let all = builtin_models();
        assert!(all.windows(2).all(|w| w[0].name < w[1].name));
        let numbers: std::collections::HashSet<_> = all.iter().map(|m| m.id).collect();
        assert_eq!(numbers.len(), all.len());
        assert!(all.iter().all(|m| m.is_builtin() && m.name.chars().count() <= MODEL_NAME_MAX));
        for m in all {
            assert_eq!(builtin(&m.name), Some(m));
            assert_eq!(builtin_by_number(m.id.0), Some(m));
        }
    }

    #[test]
    fn known_numbers_have_their_names() {
        for (number, name) in [
            (621, "Cisco 7821"),
            (36224, "Cisco 8845"),
            (437, "Cisco 7975"),
            (503, "Cisco Unified Client Services Framework"),
            (374, "Third-party SIP Device (Advanced)"),
        ] {
            assert_eq!(builtin_by_number(number).map(|m| &*m.name), Some(name));
        }
        assert!(builtin("Cisco 8846").is_none());
    }

    #[test]
    fn r070_a_security_mode_means_tls() {
        for m in builtin_models() {
            assert!(!m.can(Capability::DeviceSecurityMode) || m.can(Capability::Tls), "{}", m.name);
            assert!(!m.trusted || m.can(Capability::Tls), "{}", m.name);
        }
    }

    #[test]
    fn r054_other_makers_have_neither_mic_nor_capf() {
        for m in builtin_models().iter().filter(|m| m.vendor_class == VendorClass::Preferred) {
            assert!(!m.can(Capability::Mic) && !m.can(Capability::Capf) && !m.trusted, "{}", m.name);
        }
    }

    #[test]
    fn r069_every_sip_model_answers_digest() {
        for m in builtin_models() {
            assert_eq!(m.can(Capability::Digest), m.protocols.sip, "{}", m.name);
        }
    }

    #[test]
    fn capability_sets_survive_json() {
        let set = Capabilities::of(&[Capability::Tls, Capability::SecureTone]);
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(text, r#"["tls","secure_tone"]"#);
        assert_eq!(serde_json::from_str::<Capabilities>(&text).unwrap(), set);
        assert!(serde_json::from_str::<Capabilities>(r#"["flight"]"#).is_err());
        assert!(serde_json::from_str::<Protocols>("[]").is_err());
    }
}
