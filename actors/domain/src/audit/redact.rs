//! Rows without secrets.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Members that hold secrets, in whatever row and at whatever depth.
pub const SECRET_FIELDS: [&str; 12] = [
    "authentication_string",
    "confirm",
    "confirm_digest_credentials",
    "digest_credentials",
    "digest_credentials_confirm",
    "passphrase",
    "password",
    "pin",
    "private_key",
    "secret",
    "symmetric_key",
    "token",
];

/// A row before and after a change, with `set`, `not set` and `changed` in place of secrets, and the digest of
/// a certificate in place of its text.
pub fn redacted(before: Option<&Value>, after: Option<&Value>) -> (Option<Value>, Option<Value>) {
    (before.map(|row| clean(row, None)), after.map(|row| clean(row, before)))
}

fn clean(value: &Value, before: Option<&Value>) -> Value {
    match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let old = before.and_then(|b| b.get(name));
                let shown = if SECRET_FIELDS.contains(&name.as_str()) {
                    state(value, old).into()
                } else if name == "pem" {
                    digest(value)
                } else {
                    clean(value, old)
                };
                (name.clone(), shown)
            };
            let mut shown: Map<String, Value> = members.iter().map(member).collect();
            // A row leaves out what is not set: what was set before is said to be gone.
            let gone = before.and_then(Value::as_object).into_iter().flatten().filter(|(name, old)| {
                SECRET_FIELDS.contains(&name.as_str()) && !old.is_null() && !members.contains_key(*name)
            });
            shown.extend(gone.map(|(name, _)| (name.clone(), "not set".into())));
            Value::Object(shown)
        }
        Value::Array(items) => {
            let old = |i: usize| before.and_then(|b| b.get(i));
            Value::Array(items.iter().enumerate().map(|(i, item)| clean(item, old(i))).collect())
        }
        other => other.clone(),
    }
}

/// What may be said of a secret. A row that was redacted before says it already.
fn state(value: &Value, before: Option<&Value>) -> &'static str {
    const STATES: [&str; 3] = ["set", "not set", "changed"];
    match (value, before) {
        (Value::Null | Value::Bool(false), _) => "not set",
        (Value::Bool(true), _) => "set",
        (Value::String(text), _) if STATES.contains(&text.as_str()) => {
            STATES.into_iter().find(|s| s == text).unwrap_or("set")
        }
        (new, Some(old)) if !old.is_null() && old != new => "changed",
        _ => "set",
    }
}

/// A file may hold a private key beside the certificate: its text never goes into an entry.
fn digest(pem: &Value) -> Value {
    match pem {
        Value::String(text) if !text.starts_with("sha256:") => {
            let sum = Sha256::digest(text.as_bytes());
            format!("sha256:{}", sum.iter().map(|b| format!("{b:02x}")).collect::<String>()).into()
        }
        Value::String(text) => text.chars().take(71).collect::<String>().into(),
        other => clean(other, None),
    }
}
