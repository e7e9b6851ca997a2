//! From `field=value` pairs to the JSON body of a change.
//!
//! A value is text unless its field is known to be a number, a switch or a list; what does not fit is sent as
//! text, so that the refusal is the API's own. `field:=JSON` sends any JSON value.

use keyline_domain::inventory::{ParameterSpec, ParameterType};
use serde_json::{Map, Value};

/// Deepest dotted field.
const DEPTH_MAX: usize = 4;

/// What the pairs are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A whole object: a field without value is left out, so it has its default.
    Whole,
    /// Some fields (RFC 7396): a field without value is `null`, which puts it back to its default.
    Patch,
}

/// Fields that are numbers, by their last name.
const NUMBERS: [&str; 4] = ["nonce_validity_s", "rsa_key_size", "ec_key_size", "sip_phone_port"];

/// Fields that are true or false.
const FLAGS: [&str; 5] = [
    "digest_authentication",
    "tftp_encrypted_config",
    "oauth_authentication",
    "exclude_digest_credentials",
    "trusted",
];

/// Fields that are lists of texts.
const LISTS: [&str; 3] = ["lines", "protocols", "capabilities"];

/// Fields whose `null` says something in a whole object too: it removes a secret that would else stay.
const SECRETS: [&str; 2] = ["digest_credentials", "authentication_string"];

/// Puts `pairs` into `body`, which may have fields already.
///
/// # Errors
/// What was typed wrongly, on one line. No text holds a value.
pub(super) fn fill(body: &mut Map<String, Value>, pairs: &[String], purpose: Purpose) -> Result<(), String> {
    let mut seen: Vec<Vec<&str>> = Vec::new();
    for pair in pairs {
        let Some((field, text)) = pair.split_once('=') else {
            return Err(format!("{:?} is no field=value", shown(pair)));
        };
        let (field, json) = match field.strip_suffix(':') {
            Some(field) => (field, true),
            None => (field, false),
        };
        let path: Vec<&str> = field.split('.').collect();
        if path.iter().any(|part| part.is_empty()) || path.len() > DEPTH_MAX {
            return Err(format!("{:?} is no name of a field", shown(field)));
        }
        if seen.iter().any(|other| other.starts_with(&path) || path.starts_with(other)) {
            return Err(format!("field {:?} is given twice", shown(field)));
        }
        let name = path.last().copied().unwrap_or_default();
        let value = match json {
            true => serde_json::from_str(text).map_err(|e| format!("{field}:= takes JSON: {e}"))?,
            false => typed(name, text),
        };
        let left_out = value.is_null() && !json && purpose == Purpose::Whole && !SECRETS.contains(&name);
        put(body, &path, (!left_out).then_some(value));
        seen.push(path);
    }
    Ok(())
}

/// A field's value as JSON; nothing and `null` mean its default.
fn typed(field: &str, text: &str) -> Value {
    if matches!(text, "" | "null") {
        return Value::Null;
    }
    let as_text = || Value::from(text);
    if NUMBERS.contains(&field) {
        return text.parse::<i64>().map_or_else(|_| as_text(), Value::from);
    }
    if FLAGS.contains(&field) {
        return text.parse::<bool>().map_or_else(|_| as_text(), Value::from);
    }
    match LISTS.contains(&field) {
        true => list(text),
        false => as_text(),
    }
}

fn list(text: &str) -> Value {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// A parameter's value: what its type in the table of parameters says.
pub(super) fn parameter(name: &str, text: &str) -> Value {
    // `name@node` where nodes may differ (R208).
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    match ParameterSpec::named(name).map(|spec| spec.kind) {
        None | Some(ParameterType::Text(_) | ParameterType::Choice(_)) => text.into(),
        Some(ParameterType::Choices(_)) => list(text),
        Some(ParameterType::Bool) => text.parse::<bool>().map_or_else(|_| text.into(), Value::from),
        Some(_) => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
    }
}

/// Sets a field, or takes it out.
fn put(body: &mut Map<String, Value>, path: &[&str], value: Option<Value>) {
    let [field, rest @ ..] = path else { return };
    if rest.is_empty() {
        match value {
            Some(value) => body.insert((*field).to_owned(), value),
            None => body.remove(*field),
        };
        return;
    }
    let inner = body.entry(*field).or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    if let Some(inner) = inner.as_object_mut() {
        put(inner, rest, value);
    }
}

/// The beginning of what was typed up to its value: that may be a secret.
fn shown(text: &str) -> &str {
    let name = text.split('=').next().unwrap_or_default();
    name.char_indices().nth(40).map_or(name, |(at, _)| &name[..at])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(pairs: &[&str], purpose: Purpose) -> Result<Value, String> {
        let pairs: Vec<String> = pairs.iter().map(|p| (*p).to_owned()).collect();
        let mut body = Map::new();
        fill(&mut body, &pairs, purpose).map(|()| Value::Object(body))
    }

    #[test]
    fn pairs_become_typed_and_nested_fields() {
        let pairs = [
            "description=a = b, c",
            "lines=1001, 1002",
            "hardening.web_access=disabled",
            "hardening.pc_port=enabled",
            "digest_authentication=true",
            "nonce_validity_s=60",
            "digest_credentials=12345",
            "dn=1001",
            "extra:={\"a\":[1]}",
        ];
        let expected = json!({
            "description": "a = b, c", "lines": ["1001", "1002"],
            "hardening": { "web_access": "disabled", "pc_port": "enabled" },
            "digest_authentication": true, "nonce_validity_s": 60, "digest_credentials": "12345",
            "dn": "1001", "extra": { "a": [1] },
        });
        assert_eq!(of(&pairs, Purpose::Whole).unwrap(), expected);
        assert_eq!(of(&pairs, Purpose::Patch).unwrap(), expected);
    }

    #[test]
    fn nothing_is_the_default_and_in_a_whole_object_left_out() {
        let pairs = ["description=", "lines=null", "hardening.pc_port=", "digest_credentials="];
        assert_eq!(
            of(&pairs, Purpose::Patch).unwrap(),
            json!({ "description": null, "lines": null, "hardening": { "pc_port": null }, "digest_credentials": null })
        );
        assert_eq!(
            of(&pairs, Purpose::Whole).unwrap(),
            json!({ "hardening": {}, "digest_credentials": null })
        );
    }

    #[test]
    fn what_is_no_number_stays_text_for_the_api_to_refuse() {
        let body = of(&["nonce_validity_s=soon", "trusted=maybe"], Purpose::Whole).unwrap();
        assert_eq!(body, json!({ "nonce_validity_s": "soon", "trusted": "maybe" }));
    }

    #[test]
    fn wrong_pairs_are_named_without_their_values() {
        for (pairs, part) in [
            (&["description"][..], "no field=value"),
            (&["=x"], "no name"),
            (&["a..b=x"], "no name"),
            (&["a.b.c.d.e=x"], "no name"),
            (&["a=1", "a=2"], "twice"),
            (&["a=1", "a.b=2"], "twice"),
            (&["a.b=1", "a=2"], "twice"),
            (&["a:={"], "JSON"),
        ] {
            assert!(of(pairs, Purpose::Patch).unwrap_err().contains(part), "{pairs:?}");
        }
        let error = of(&["digest..credentials=Secret1"], Purpose::Patch).unwrap_err();
        assert!(!error.contains("Secret1"), "{error}");
    }

    #[test]
    fn a_parameter_has_the_type_of_its_table() {
        assert_eq!(parameter("no_answer_s", "20"), json!(20));
        assert_eq!(parameter("auto_registration", "true"), json!(true));
        assert_eq!(parameter("sip_realm_station", "1234"), json!("1234"));
        assert_eq!(parameter("digest_algorithms", "SHA-256,MD5"), json!(["SHA-256", "MD5"]));
        assert_eq!(parameter("no_answer_s", "soon"), json!("soon"));
        assert_eq!(parameter("unknown", "1"), json!("1"));
    }

    #[test]
    fn every_name_in_the_tables_is_a_field_of_some_kind() {
        let known: Vec<&str> =
            keyline_domain::inventory::Kind::rows().flat_map(|k| k.fields()).copied().collect();
        for name in LISTS.iter().chain(&FLAGS).chain(&NUMBERS) {
            assert!(known.contains(name), "{name}");
        }
    }
}
