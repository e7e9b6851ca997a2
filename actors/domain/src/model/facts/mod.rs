//! What is known of a model: each fact with its value, where it is written and how sure it is.
//!
//! A capability is a fact whose value is yes. What no source says is unknown; unknown is never a
//! capability, and it is told as unknown.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Capability, Model};

mod table;
mod topic;

pub(super) use table::{DESK, DESK_FAMILY, DESK_MANUAL, Family, GENERIC, JABBER, PLAIN, THIRD_PARTY};
pub use topic::Topic;

/// How sure a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Written of this model, or by the row that made it.
    Documented,
    /// Written of its family or category.
    Family,
    /// Written nowhere that we know of.
    Unknown,
}

/// One fact of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is about.
    pub name: Topic,
    /// Yes, no, or unknown (`null`).
    pub value: Option<bool>,
    /// Where it is written: a requirement, a section of a reference, or the model's row.
    pub source: Option<&'static str>,
    /// How sure it is.
    pub certainty: Certainty,
}

impl Fact {
    const fn unknown(name: Topic) -> Self {
        Self { name, value: None, source: None, certainty: Certainty::Unknown }
    }
}

/// What the row of an imported model says besides its capabilities: topics that are yes or no; the
/// others are unknown. In rows an object of names to booleans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stated {
    known: u64,
    yes: u64,
}

impl Stated {
    /// Nothing is said.
    pub const NONE: Self = Self { known: 0, yes: 0 };

    /// Says one thing more.
    pub const fn with(self, topic: Topic, value: bool) -> Self {
        let bit = 1 << topic as u64;
        let yes = if value { self.yes | bit } else { self.yes & !bit };
        Self { known: self.known | bit, yes }
    }

    /// What is said of a topic.
    pub const fn get(self, topic: Topic) -> Option<bool> {
        let bit = 1 << topic as u64;
        if self.known & bit == 0 { None } else { Some(self.yes & bit != 0) }
    }

    /// Nothing is said.
    pub fn is_empty(&self) -> bool {
        self.known == 0
    }

    /// What is said, in the order of topics.
    pub fn iter(self) -> impl Iterator<Item = (Topic, bool)> {
        Topic::ALL.into_iter().filter_map(move |topic| Some((topic, self.get(topic)?)))
    }
}

impl Serialize for Stated {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.iter().map(|(topic, value)| (topic.as_str(), value)))
    }
}

impl<'de> Deserialize<'de> for Stated {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Stated;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of feature names with true or false")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Stated, A::Error> {
                let mut said = Stated::NONE;
                while let Some((name, value)) = map.next_entry::<String, bool>()? {
                    let topic = Topic::parse(&name).filter(|t| t.is_stated());
                    let topic = topic.ok_or_else(|| {
                        let known = Topic::ALL.into_iter().filter(|t| t.is_stated());
                        let known: Vec<_> = known.map(Topic::as_str).collect();
                        A::Error::custom(format!(
                            "has no feature of this name; known are {}",
                            known.join(", ")
                        ))
                    })?;
                    said = said.with(topic, value);
                }
                Ok(said)
            }
        }
        d.deserialize_map(Names)
    }
}

/// Where the facts of an imported model are written.
const ROW: &str = "its phone_model row";

impl Model {
    /// What is known of one topic.
    pub fn fact(&self, topic: Topic) -> Fact {
        if self.is_builtin() {
            return table::of_builtin(self, topic);
        }
        let said = |value| Fact {
            name: topic,
            value: Some(value),
            source: Some(ROW),
            certainty: Certainty::Documented,
        };
        match topic {
            Topic::Trusted => said(self.trusted),
            Topic::Sip => said(self.protocols.sip),
            Topic::Sccp => said(self.protocols.sccp),
            _ => match topic.capability() {
                // A row lists what its model can do; what it leaves out was not claimed for it.
                Some(capability) => {
                    let modes = [Capability::SecurityAuthentication, Capability::SecurityEncryption];
                    let both = modes.contains(&capability)
                        && self.can(Capability::DeviceSecurityMode)
                        && !modes.iter().any(|c| self.can(*c));
                    said(self.can(capability) || both)
                }
                None => self.stated.get(topic).map_or(Fact::unknown(topic), said),
            },
        }
    }

    /// All that is known of the model, topic by topic.
    pub fn facts(&self) -> impl Iterator<Item = Fact> {
        Topic::ALL.into_iter().map(|topic| self.fact(topic))
    }
}

#[cfg(test)]
mod tests;
