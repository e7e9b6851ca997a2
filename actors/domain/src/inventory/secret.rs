//! Secrets in rows: redacted in every text, wiped from memory, sealed by whoever owns the key.

use std::fmt;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Longest digest credentials, in characters.
pub const CREDENTIALS_MAX: usize = 128;

/// A secret text. `Debug` prints no part of it, not even its length; it is wiped when dropped and
/// compared in constant time. There is no `Serialize`: [`Secret::expose`] is the only way out.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Takes a text over.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text; whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret field of a row. An export leaves secrets out, so a row without the field says nothing
/// about the secret, and importing it must not wipe what is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SecretField {
    /// The field is absent: what is stored stays.
    #[default]
    Keep,
    /// The field is `null`: what is stored is removed.
    Clear,
    /// A new secret.
    Set(Secret),
}

impl SecretField {
    /// The secret after this row, given the one before it.
    pub fn over(self, stored: Option<Secret>) -> Option<Secret> {
        match self {
            Self::Keep => stored,
            Self::Clear => None,
            Self::Set(new) => Some(new),
        }
    }

    /// Whether a secret is there after this row, given whether one was there before it.
    pub fn leaves_one(&self, stored: bool) -> bool {
        match self {
            Self::Keep => stored,
            Self::Clear => false,
            Self::Set(_) => true,
        }
    }
}

impl<'de> Deserialize<'de> for SecretField {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Field;
        impl Visitor<'_> for Field {
            type Value = SecretField;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or null")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretField, E> {
                Ok(SecretField::Set(Secret::new(text)))
            }
            fn visit_unit<E: serde::de::Error>(self) -> Result<SecretField, E> {
                Ok(SecretField::Clear)
            }
            // The default messages of serde quote the value: a secret typed as a number must not
            // come back in an error text.
            fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<SecretField, E> {
                Err(E::custom(QUOTES))
            }
            fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<SecretField, E> {
                Err(E::custom(QUOTES))
            }
            fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<SecretField, E> {
                Err(E::custom(QUOTES))
            }
            fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<SecretField, E> {
                Err(E::custom(QUOTES))
            }
        }
        d.deserialize_any(Field).map_err(|e| D::Error::custom(strip_position(&e.to_string())))
    }
}

const QUOTES: &str = "must be a text in quotes, or null";

fn strip_position(text: &str) -> &str {
    text.find(" at line ").map_or(text, |at| &text[..at])
}

/// Seals secrets for storage (design §5, Secrets). The implementation owns the key and the
/// randomness; this crate has neither.
pub trait Sealer {
    /// Encrypts and authenticates `plain`, bound to `context` (kind, key and field), so that a sealed
    /// secret cannot be moved to another row.
    fn seal(&self, plain: &[u8], context: &str) -> Vec<u8>;

    /// The inverse; `None` when the key, the context or the bytes are wrong.
    fn open(&self, sealed: &[u8], context: &str) -> Option<Zeroizing<Vec<u8>>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_shows_a_secret() {
        let field: SecretField = serde_json::from_str(r#""hunter2""#).unwrap();
        assert_eq!(field, SecretField::Set(Secret::new("hunter2")));
        assert!(!format!("{field:?}").contains("hunter2"));
        let refused = serde_json::from_str::<SecretField>("4711").unwrap_err().to_string();
        assert!(!refused.contains("4711"), "{refused}");
        let refused = serde_json::from_str::<SecretField>("4711.5").unwrap_err().to_string();
        assert!(!refused.contains("4711"), "{refused}");
        assert!(serde_json::from_str::<SecretField>(r#"["4711"]"#).is_err());
    }

    #[test]
    fn absent_keeps_and_null_clears() {
        let old = Some(Secret::new("old"));
        assert_eq!(SecretField::Keep.over(old.clone()), old);
        assert_eq!(serde_json::from_str::<SecretField>("null").unwrap().over(old.clone()), None);
        assert_eq!(SecretField::Set(Secret::new("new")).over(old), Some(Secret::new("new")));
    }
}
