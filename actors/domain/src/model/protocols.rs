//! The protocols that a model speaks.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::mode::Protocol;

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
