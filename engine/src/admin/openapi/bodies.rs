//! Shapes of what is sent: the rows of each kind with their limits. Rules that need other rows or the model
//! are the catalog's; a row that fits here may still be refused.

use keyline_domain::hardening::switches as hardening_switches;
use keyline_domain::ids::{DEVICE_NAME_MAX, DN_MAX, USER_ID_MAX};
use keyline_domain::inventory::SECURE_CALL_FEATURES_MAX;
use keyline_domain::inventory::{
    CREDENTIALS_MAX, Kind, LINES_MAX, NODE_NAME_MAX, PEM_MAX, Purpose, REALM_MAX, SUBJECT_MAX, TEXT_MAX,
};
use keyline_domain::model::{Capability, MODEL_NAME_MAX, Topic};
use keyline_domain::profile::{DESCRIPTION_MAX, EC_KEY_SIZES, NAME_MAX, NONCE_VALIDITY_S, RSA_KEY_SIZES};
use serde_json::{Map, Value, json};

/// Fields of a kind that a new row must have.
fn required(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Parameter => &["value"],
        Kind::PhoneModel => &["name", "vendor_class", "protocols"],
        Kind::SecurityProfile | Kind::Phone => &["name", "model"],
        Kind::CommonPhoneProfile => &["name"],
        Kind::ApplicationUser | Kind::EndUser => &["id"],
        Kind::Line => &["dn"],
        Kind::SipRealm => &["realm", "user"],
        Kind::TrunkSecurityProfile => &["name"],
        Kind::Trunk => &["name", "destination"],
        Kind::Certificate => &["purpose", "pem"],
        _ => &[],
    }
}

/// Name of the schema of a whole row.
pub(super) fn row(kind: Kind) -> String {
    format!("Row_{}", kind.as_str())
}

/// Name of the schema of a merge patch.
pub(super) fn patch(kind: Kind) -> String {
    format!("Patch_{}", kind.as_str())
}

/// The schemas of all kinds: a row to create or replace, and a merge patch, of which every field may be null.
pub(super) fn all() -> Map<String, Value> {
    let mut out = Map::new();
    for kind in Kind::rows() {
        let mut whole = Map::new();
        let mut some = Map::new();
        whole.insert("kind".to_owned(), json!({ "const": kind.as_str() }));
        for (name, schema) in fields(kind) {
            some.insert(name.to_owned(), json!({ "anyOf": [schema, { "type": "null" }] }));
            whole.insert(name.to_owned(), schema);
        }
        out.insert(
            row(kind),
            json!({
                "type": "object", "properties": whole, "required": required(kind),
                "additionalProperties": false,
            }),
        );
        out.insert(
            patch(kind),
            json!({ "type": "object", "properties": some, "additionalProperties": false }),
        );
    }
    out
}

/// The merge patch of one kind.
pub(super) fn patch_of(kind: Kind) -> Value {
    all().remove(&patch(kind)).unwrap_or_default()
}

fn text(max: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": max })
}

fn choice<'a>(of: impl IntoIterator<Item = &'a str>) -> Value {
    json!({ "type": "string", "enum": of.into_iter().collect::<Vec<_>>() })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn nullable(of: Value) -> Value {
    json!({ "anyOf": [of, { "type": "null" }] })
}

fn protocol() -> Value {
    choice(["sip", "sccp"])
}

fn secret() -> Value {
    nullable(json!({
        "type": "string", "minLength": 1, "maxLength": CREDENTIALS_MAX, "pattern": "^[A-Za-z0-9]+$",
        "writeOnly": true,
    }))
}

fn hardening() -> Value {
    let switch = || nullable(choice(["enabled", "disabled"]));
    let properties: Map<_, _> = hardening_switches().map(|name| (name.to_owned(), switch())).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn fields(kind: Kind) -> Vec<(&'static str, Value)> {
    match kind {
        Kind::Parameter => vec![
            ("name", text(TEXT_MAX)),
            ("node", nullable(text(NODE_NAME_MAX))),
            (
                "value",
                json!({
                    "description": "What the parameter takes: see `takes` of GET /parameters",
                    "type": ["boolean", "integer", "string", "array"], "items": { "type": "string" },
                }),
            ),
        ],
        Kind::PhoneModel => vec![
            ("name", text(MODEL_NAME_MAX)),
            ("vendor_class", choice(["own", "preferred"])),
            (
                "protocols",
                json!({ "type": "array", "items": protocol(), "minItems": 1, "uniqueItems": true }),
            ),
            ("trusted", boolean()),
            (
                "capabilities",
                json!({
                    "type": "array", "items": choice(Capability::ALL.iter().map(|c| c.as_str())),
                }),
            ),
            ("tls_certificate", choice(["per_device", "shared"])),
            ("features", {
                let stated = Topic::ALL.into_iter().filter(|t| t.is_stated());
                let names: Map<_, _> = stated.map(|t| (t.as_str().to_owned(), boolean())).collect();
                json!({ "type": "object", "properties": names, "additionalProperties": false })
            }),
            (
                "secure_call_features",
                json!({ "type": "array", "items": text(MODEL_NAME_MAX), "maxItems": SECURE_CALL_FEATURES_MAX }),
            ),
        ],
        Kind::SecurityProfile => profile(),
        Kind::CommonPhoneProfile => vec![("name", text(TEXT_MAX)), ("hardening", hardening())],
        Kind::EnterprisePhone => vec![("hardening", hardening())],
        Kind::ApplicationUser | Kind::EndUser => vec![
            ("id", text(USER_ID_MAX)),
            ("digest_credentials", secret()),
            ("digest_credentials_confirm", secret()),
        ],
        Kind::Line => vec![("dn", text(DN_MAX))],
        Kind::SipRealm => vec![
            ("realm", text(REALM_MAX)),
            ("user", text(USER_ID_MAX)),
            ("digest_credentials", secret()),
            ("digest_credentials_confirm", secret()),
        ],
        Kind::TrunkSecurityProfile => vec![
            ("name", text(TEXT_MAX)),
            ("description", json!({ "type": "string", "maxLength": DESCRIPTION_MAX })),
            ("device_security_mode", choice(["non_secure", "authenticated", "encrypted"])),
            ("digest_authentication", boolean()),
            ("x509_subject", nullable(text(SUBJECT_MAX))),
        ],
        Kind::Trunk => vec![
            ("name", text(TEXT_MAX)),
            ("description", json!({ "type": "string", "maxLength": TEXT_MAX })),
            ("destination", text(REALM_MAX)),
            ("security_profile", nullable(text(TEXT_MAX))),
        ],
        Kind::Phone => vec![
            ("name", text(DEVICE_NAME_MAX)),
            ("model", text(MODEL_NAME_MAX)),
            ("protocol", nullable(protocol())),
            ("description", json!({ "type": "string", "maxLength": TEXT_MAX })),
            ("security_profile", nullable(text(NAME_MAX))),
            ("digest_user", nullable(text(USER_ID_MAX))),
            (
                "lines",
                json!({ "type": "array", "maxItems": LINES_MAX, "uniqueItems": true, "items": text(DN_MAX) }),
            ),
            ("common_phone_profile", nullable(text(TEXT_MAX))),
            ("hardening", hardening()),
            ("capf", nullable(capf())),
            ("em_user", nullable(text(USER_ID_MAX))),
        ],
        Kind::Certificate => vec![
            ("purpose", choice(Purpose::ALL.iter().map(|p| p.as_str()))),
            ("pem", json!({ "type": "string", "minLength": 1, "maxLength": PEM_MAX })),
            ("phone", nullable(text(DEVICE_NAME_MAX))),
            ("subject", nullable(text(SUBJECT_MAX))),
        ],
        _ => kind.fields().iter().map(|field| (*field, json!({}))).collect(),
    }
}

/// CAPF of a phone: the order, and the settings, which are its profile's.
pub(super) fn capf() -> Value {
    json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "operation": nullable(choice(["none", "install", "upgrade", "delete", "troubleshoot"])),
            "authentication_string": nullable(json!({
                "type": "string", "pattern": "^[0-9]{4,10}$", "writeOnly": true,
            })),
            "authentication_mode": nullable(capf_mode()),
            "key_order": nullable(key_order()),
            "rsa_key_size": nullable(json!({ "type": "integer", "enum": RSA_KEY_SIZES })),
            "ec_key_size": nullable(json!({ "type": "integer", "enum": EC_KEY_SIZES })),
        },
    })
}

fn capf_mode() -> Value {
    choice(["authentication_string", "null_string", "existing_certificate_lsc", "existing_certificate_mic"])
}

fn key_order() -> Value {
    choice(["rsa_only", "ec_only", "ec_preferred_rsa_backup"])
}

fn profile() -> Vec<(&'static str, Value)> {
    let flag = || nullable(boolean());
    vec![
        ("name", text(NAME_MAX)),
        (
            "description",
            json!({
                "type": "string", "maxLength": DESCRIPTION_MAX,
                "description": "Any language; not \" % & \\ < > (R116, R117)",
            }),
        ),
        ("model", text(MODEL_NAME_MAX)),
        ("protocol", nullable(protocol())),
        ("device_security_mode", nullable(choice(["non_secure", "authenticated", "encrypted"]))),
        ("transport", nullable(choice(["tcp", "udp", "tcp_udp", "tls"]))),
        ("digest_authentication", flag()),
        (
            "nonce_validity_s",
            nullable(json!({
                "type": "integer", "minimum": NONCE_VALIDITY_S.0, "maximum": NONCE_VALIDITY_S.1,
            })),
        ),
        ("tftp_encrypted_config", flag()),
        ("oauth_authentication", flag()),
        ("exclude_digest_credentials", flag()),
        ("capf_authentication_mode", nullable(capf_mode())),
        ("key_order", nullable(key_order())),
        ("rsa_key_size", nullable(json!({ "type": "integer", "enum": RSA_KEY_SIZES }))),
        ("ec_key_size", nullable(json!({ "type": "integer", "enum": EC_KEY_SIZES }))),
        ("sip_phone_port", nullable(json!({ "type": "integer", "minimum": 1, "maximum": 65535 }))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the catalog takes is described, and nothing else but the second credentials.
    #[test]
    fn every_field_of_every_kind_is_described() {
        for kind in Kind::rows() {
            let mut described: Vec<_> = fields(kind).into_iter().map(|(name, _)| name).collect();
            described.retain(|name| *name != "digest_credentials_confirm");
            assert_eq!(described, kind.fields(), "{kind}");
            assert!(required(kind).iter().all(|name| described.contains(name)), "{kind}");
        }
    }
}
