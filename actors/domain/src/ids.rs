//! Names and numbers that identify things: parsed once, then trusted.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Number of fixed partitions that every device hashes into (design §3). Never changes.
pub const PARTITIONS: usize = 256;

/// Longest device name, in characters.
pub const DEVICE_NAME_MAX: usize = 50;

/// Longest directory number, in characters.
pub const DN_MAX: usize = 32;

/// Longest user id, in characters.
pub const USER_ID_MAX: usize = 128;

/// Why a name was refused. The text names the value, the rule and the limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing between the quotes.
    #[error("{what} is empty")]
    Empty {
        /// Which id.
        what: &'static str,
    },
    /// Longer than the limit.
    #[error("{what} has {length} characters; at most {limit} are allowed")]
    TooLong {
        /// Which id.
        what: &'static str,
        /// Characters given.
        length: usize,
        /// Characters allowed.
        limit: usize,
    },
    /// A character that the id may not hold.
    #[error("{what} `{value}` holds {bad:?}; allowed are {allowed}")]
    Character {
        /// Which id.
        what: &'static str,
        /// The refused value (already within the length limit).
        value: String,
        /// The first offending character.
        bad: char,
        /// The allowed set, in words.
        allowed: &'static str,
    },
    /// `SEP` that is not followed by 12 hexadecimal digits.
    #[error(
        "device name `{0}` begins with SEP, so 12 hexadecimal digits (the MAC address) must follow and nothing else"
    )]
    NotAMac(String),
}

fn checked(
    what: &'static str,
    value: &str,
    limit: usize,
    allowed: &'static str,
    ok: impl Fn(char) -> bool,
) -> Result<(), IdError> {
    // Nearly all are: a look at each byte and no more.
    let plain = |byte: u8| byte.is_ascii() && ok(char::from(byte));
    if (1..=limit).contains(&value.len()) && value.bytes().all(plain) {
        return Ok(());
    }
    if value.is_empty() {
        return Err(IdError::Empty { what });
    }
    let length = value.chars().count();
    if length > limit {
        return Err(IdError::TooLong { what, length, limit });
    }
    match value.chars().find(|c| !ok(*c)) {
        Some(bad) => Err(IdError::Character { what, value: value.to_owned(), bad, allowed }),
        None => Ok(()),
    }
}

// One text, however many tables it stands in: a clone shares it.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a string")
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::parse(text).map_err(E::custom)
                    }
                }
                d.deserialize_str(Text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(value: String) -> Result<Self, IdError> {
                Self::parse(&value)
            }
        }
        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(value: &str) -> Result<Self, IdError> {
                Self::parse(value)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                (*value.0).to_owned()
            }
        }
    };
}

name! {
    /// A device: `SEP` + MAC in upper case for hardware phones, else a soft client's name.
    DeviceName
}
name! {
    /// A directory number: the user part of a line's address of record.
    Dn
}
name! {
    /// An end or application user.
    UserId
}

impl DeviceName {
    /// Parses a device name. `sep00aabbccdd01` becomes `SEP00AABBCCDD01`.
    pub fn parse(value: &str) -> Result<Self, IdError> {
        checked("device name", value, DEVICE_NAME_MAX, "letters, digits, `.`, `_` and `-`", |c| {
            c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
        })?;
        if value.len() >= 3 && value[..3].eq_ignore_ascii_case("SEP") {
            let mac = &value[3..];
            if mac.len() != 12 || !mac.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(IdError::NotAMac(value.to_owned()));
            }
        }
        Ok(Self(match value.bytes().any(|b| b.is_ascii_lowercase()) {
            true => value.to_ascii_uppercase().into(),
            false => value.into(),
        }))
    }

    /// The fixed partition of this device: FNV-1a of the name, folded to 8 bits.
    pub fn partition(&self) -> Partition {
        Partition::of(self.as_str())
    }
}

impl Dn {
    /// Parses a directory number. Case is kept: a SIP user part is case-sensitive.
    pub fn parse(value: &str) -> Result<Self, IdError> {
        checked("directory number", value, DN_MAX, "letters, digits and `+ * # . _ -`", |c| {
            c.is_ascii_alphanumeric() || matches!(c, '+' | '*' | '#' | '.' | '_' | '-')
        })?;
        Ok(Self(value.into()))
    }
}

impl UserId {
    /// Parses a user id: printable ASCII without space, quote, backslash, colon, comma or angle
    /// brackets (a colon would be ambiguous inside A1, RFC 7616 §3.4.2).
    pub fn parse(value: &str) -> Result<Self, IdError> {
        checked("user id", value, USER_ID_MAX, "printable ASCII but space \" \\ : , < >", |c| {
            c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ':' | ',' | '<' | '>')
        })?;
        Ok(Self(value.into()))
    }
}

/// One of the 256 fixed partitions (design §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partition(pub u8);

impl Partition {
    /// FNV-1a (64 bit) of the bytes, folded to 8 bits.
    pub fn of(name: &str) -> Self {
        let mut h: u64 = 0xcbf2_9ce4_8422_2325;
        for b in name.bytes() {
            h = (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let h = h ^ (h >> 32);
        let h = h ^ (h >> 16);
        Self((h ^ (h >> 8)) as u8)
    }
}

/// A device's place in the node's directory, stable while the node runs, never reused for another
/// device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceIndex(pub u32);

/// Stable number of a security profile, kept in its record; names may change (R103).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProfileId(pub u32);

/// Version of a saved profile, counted from 1 (design §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProfileVersion(pub u32);

/// Wall-clock time as milliseconds since the Unix epoch; always an argument in this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This instant plus whole seconds.
    pub fn plus_secs(self, s: u64) -> Self {
        Self(self.0.saturating_add(s.saturating_mul(1000)))
    }
    /// Whole seconds from `now` until this instant, rounded up; 0 when past.
    pub fn secs_after(self, now: Self) -> u64 {
        self.0.saturating_sub(now.0).div_ceil(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_canonical() {
        assert_eq!(DeviceName::parse("sep00aabbccdd01").unwrap().as_str(), "SEP00AABBCCDD01");
        assert!(matches!(DeviceName::parse("SEP123"), Err(IdError::NotAMac(_))));
        assert!(matches!(DeviceName::parse(""), Err(IdError::Empty { .. })));
        assert!(matches!(DeviceName::parse("a b"), Err(IdError::Character { bad: ' ', .. })));
        assert!(DeviceName::parse(&"x".repeat(51)).is_err());
    }

    #[test]
    fn partitions_never_change() {
        // Persisted placement depends on these values: a failing line means lost phones.
        // Computed by hand from the definition of FNV-1a, not by this code.
        let known =
            [("SEP00AABBCCDD01", 146), ("SEP001122334455", 215), ("CSFALICE", 25), ("SEPFFFFFFFFFFFF", 79)];
        for (name, number) in known {
            assert_eq!(Partition::of(name), Partition(number), "{name}");
        }
        let spread: std::collections::HashSet<_> =
            (0..4096).map(|i| Partition::of(&format!("SEP{i:012X}"))).collect();
        assert_eq!(spread.len(), PARTITIONS);
    }
}
