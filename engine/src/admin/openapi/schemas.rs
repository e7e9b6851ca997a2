//! Shapes of the answers.

use super::super::changes::OPERATIONS_MAX;
use keyline_domain::inventory::Kind;
use keyline_domain::profile::NAME_MAX;
use serde_json::{Value, json};

/// An object with all its members: required unless the name ends with `?`.
pub(super) fn object(members: &[(&str, Value)]) -> Value {
    let required: Vec<_> = members.iter().map(|(n, _)| *n).filter(|n| !n.ends_with('?')).collect();
    let properties: serde_json::Map<_, _> =
        members.iter().map(|(n, v)| (n.trim_end_matches('?').to_owned(), v.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

pub(super) fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

pub(super) fn page(row: Value) -> Value {
    object(&[("items", list(row)), ("next", maybe_text())])
}

pub(super) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn maybe_text() -> Value {
    json!({ "type": ["string", "null"] })
}

pub(super) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

pub(super) fn boolean() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn maybe_boolean() -> Value {
    json!({ "type": ["boolean", "null"] })
}

fn instant() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

pub(super) fn choice(of: &[&str]) -> Value {
    json!({ "type": "string", "enum": of })
}

pub(super) fn nullable(of: Value) -> Value {
    json!({ "anyOf": [of, { "type": "null" }] })
}

pub(super) fn class() -> Value {
    choice(&["non_secure", "authenticated", "encrypted"])
}

pub(super) fn icon() -> Value {
    choice(&["lock", "shield", "none"])
}

pub(super) fn protocol() -> Value {
    choice(&["sip", "sccp"])
}

fn transport() -> Value {
    text()
}

fn audit_entry() -> Value {
    let row = || json!({ "description": "The object without secrets; none where there was none, or it was not looked at" });
    object(&[
        ("seq", count()),
        ("at", nullable(instant())),
        ("who", text()),
        ("role", text()),
        ("source", text()),
        ("request", maybe_text()),
        ("operation", text()),
        ("kind", text()),
        ("name", text()),
        ("before", row()),
        ("after", row()),
        ("also", list(text())),
        ("result", choice(&["done", "refused", "unreadable"])),
        ("code", maybe_text()),
        ("hash", text()),
    ])
}

/// All schemas by name.
pub(super) fn all() -> Value {
    let mut out = json!({
        "Description": { "type": "object", "required": ["openapi", "paths"] },
        "Health": object(&[
            ("status", choice(&["ok", "failing"])), ("storage_ok", boolean()), ("storage_detail?", text()),
            ("shards_alive", count()), ("shards", count()), ("uptime_s", count()), ("version", text()),
            ("warnings", list(text())),
        ]),
        "Readiness": object(&[("ready", boolean()), ("reasons", list(text()))]),
        "Nodes": page(object(&[
            ("name", text()), ("version", text()), ("started", instant()), ("uptime_s", count()),
            ("ready", boolean()), ("shards_alive", count()), ("calls", count()), ("devices", count()),
            ("shards", list(object(&[("shard", count()), ("queue", count()), ("queue_max", count())]))),
            ("storage", object(&[
                ("ok", boolean()), ("commits", count()), ("conflicts", count()), ("failures", count()),
                ("queued", count()),
            ])),
        ])),
        "AuditEntry": audit_entry(),
        "AuditEntries": page(reference("AuditEntry")),
        "AuditVerification": object(&[
            ("whole", boolean()), ("entries", nullable(count())), ("first", nullable(count())),
            ("last", nullable(count())), ("mark", maybe_text()), ("mark_found", maybe_boolean()),
            ("fault", nullable(object(&[
                ("code", text()), ("entry", nullable(count())), ("detail", text()),
            ]))),
        ]),
        "TraceLine": object(&[
            ("event?", choice(&["tracing", "dropped"])), ("messages?", count()), ("time?", instant()),
            ("time_us?", count()), ("direction?", choice(&["in", "out"])), ("transport?", text()),
            ("local?", text()), ("remote?", text()), ("first_line?", text()), ("message?", text()),
            ("bytes_base64?", text()),
        ]),
        "Problem": object(&[
            ("type", text()), ("title", text()), ("status", count()), ("detail", text()),
            ("code", json!({ "type": "string", "description": "Stable; see docs/PROBLEMS.md" })),
            ("field?", json!({ "type": "string", "description": "The field that is wrong" })),
            ("step?", count()),
            ("etag?", maybe_text()),
            ("parameter?", json!({ "type": "string", "description": "The parameter that is wrong" })),
        ]),
    });
    for part in [calls(), configured(), super::catalogue::schemas()] {
        if let (Some(all), Value::Object(more)) = (out.as_object_mut(), part) {
            all.extend(more);
        }
    }
    if let Some(all) = out.as_object_mut() {
        all.extend(super::bodies::all());
        all.extend(changed());
        all.extend(crate::admin::oauth::schemas());
    }
    out
}

/// What a change answers, and the bodies of the orders of security profiles.
fn changed() -> serde_json::Map<String, Value> {
    let row = || json!({ "type": ["object", "null"], "description": "As exported, without secrets" });
    let warning = object(&[("code", text()), ("text", text()), ("name", text())]);
    let name = json!({ "type": "string", "minLength": 1, "maxLength": NAME_MAX });
    let mut copy = super::bodies::patch_of(Kind::SecurityProfile);
    copy["properties"]["name"] = name.clone();
    copy["required"] = json!(["name"]);
    let all = [
        (
            "Changed",
            object(&[
                ("dry_run", boolean()),
                ("kind", text()),
                ("name", text()),
                ("before", row()),
                ("after", row()),
                ("etag", maybe_text()),
                ("warnings", list(warning)),
                ("impact", nullable(reference("Impact"))),
            ]),
        ),
        ("Impact", super::impact::schema()),
        ("ImportDone", super::super::inventory::schema()),
        ("CapfOfPhone", super::bodies::capf()),
        (
            "Login",
            json!({
                "type": "object", "properties": { "user": { "type": "string", "minLength": 1 } },
                "required": ["user"], "additionalProperties": false,
            }),
        ),
        ("CopyOf", copy),
        ("Bulk", bulk()),
        ("BulkReport", bulk_report()),
        (
            "Selection",
            json!({
                "type": "object", "additionalProperties": false,
                "properties": {
                    "names": { "type": "array", "items": text(), "minItems": 1, "maxItems": 1000 },
                    "filter": { "type": "array", "items": text(), "minItems": 1, "maxItems": 8 },
                    "all": boolean(), "confirm": text(),
                },
            }),
        ),
        (
            "Dependents",
            object(&[
                ("count", count()),
                ("next", maybe_text()),
                ("items", list(object(&[("kind", text()), ("name", text())]))),
            ]),
        ),
        ("Token", token(false)),
        ("NewToken", token(true)),
        ("Tokens", page(reference("Token"))),
        ("RevokedToken", object(&[("name", text())])),
        (
            "WantedToken",
            json!({
                "type": "object", "additionalProperties": false, "required": ["name", "role"],
                "properties": {
                    "name": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
                    "role": choice(&["read-only", "operator", "admin"]),
                    "expires_s": { "type": ["integer", "null"], "minimum": 0 },
                },
            }),
        ),
        (
            "NewName",
            json!({
                "type": "object", "properties": { "name": name }, "required": ["name"],
                "additionalProperties": false,
            }),
        ),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// What a change would do to phones and calls; every list is cut after a thousand.
fn token(new: bool) -> Value {
    let mut members =
        vec![("name", text()), ("role", text()), ("created", instant()), ("expires", nullable(instant()))];
    if new {
        members.push(("token", text()));
    }
    object(&members)
}

fn bulk() -> Value {
    let operation = json!({
        "type": "object", "additionalProperties": false, "required": ["op", "kind"],
        "properties": {
            "op": choice(&["create", "replace", "merge", "delete", "rename", "copy"]),
            "kind": { "type": "string", "enum": Kind::rows().map(Kind::as_str).collect::<Vec<_>>() },
            "name": text(), "to": text(), "body": { "type": "object" },
        },
    });
    json!({
        "type": "object", "additionalProperties": false, "required": ["operations"],
        "properties": {
            "atomic": boolean(),
            "operations": { "type": "array", "minItems": 1, "maxItems": OPERATIONS_MAX, "items": operation },
        },
    })
}

fn bulk_report() -> Value {
    let result = object(&[
        ("step", count()),
        ("status", count()),
        ("changed", nullable(reference("Changed"))),
        ("problem", nullable(reference("Problem"))),
        ("replayed", boolean()),
    ]);
    object(&[
        ("dry_run", boolean()),
        ("atomic", boolean()),
        ("done", count()),
        ("refused", count()),
        ("results", list(result)),
        ("more?", boolean()),
    ])
}

fn calls() -> Value {
    let call = [
        ("id", text()),
        ("started", instant()),
        ("caller", json!({ "type": "string", "description": "Device that called" })),
        ("called", json!({ "type": "string", "description": "Number that was called" })),
        ("class", json!({ "anyOf": [class(), { "type": "null" }], "description": "null before the answer" })),
    ];
    let mut detail = call.to_vec();
    detail.extend([
        ("state", choice(&["early", "answered", "ended"])),
        ("icon", nullable(icon())),
        ("devices", list(text())),
    ]);
    let binding = [
        ("aor", text()),
        ("contact", text()),
        ("expires_at", instant()),
        ("transport", choice(&["udp", "tcp", "tls", "oauth", "ws", "wss"])),
        ("flow", json!({ "type": "string", "description": "`lost` when the phone must come back first" })),
        ("suite", maybe_text()),
    ];
    let mut row = binding.to_vec();
    row.extend([("device", text()), ("profile", text())]);
    let mut calls = page(object(&call));
    calls["properties"]["more"] = boolean();
    calls["required"] = json!(["items", "next", "more"]);
    let criterion = object(&[
        ("name", choice(&["trusted", "signaling", "media"])),
        ("pass", boolean()),
        ("cause", maybe_text()),
        ("setting", maybe_text()),
        ("also?", list(object(&[("cause", text()), ("setting", text())]))),
    ]);
    json!({
        "Calls": calls,
        "Call": object(&detail),
        "CallSecurity": object(&[
            ("id", text()), ("class", class()), ("icon", icon()),
            ("legs", list(object(&[("device", text()), ("class", class()), ("criteria", list(criterion))]))),
        ]),
        "Binding": object(&{
            let mut all = binding.to_vec();
            all.extend([("proof", text()), ("instance", maybe_text()), ("reg_id", json!({ "type": ["integer", "null"] }))]);
            all
        }),
        "Registrations": page(object(&row)),
    })
}

fn rollout() -> Value {
    let counts = |names: &[&str]| object(&names.iter().map(|n| (*n, count())).collect::<Vec<_>>());
    object(&[
        ("id", count()),
        ("profile", text()),
        ("version", count()),
        ("order", choice(&["apply", "restart", "reset"])),
        ("state", choice(&keyline_domain::rollout::RolloutState::ALL.map(|s| s.as_str()))),
        ("reason", maybe_text()),
        ("per_second", count()),
        ("gate", counts(&["failed_percent", "of_at_least", "window_s"])),
        ("chosen", boolean()),
        ("by", text()),
        ("started", instant()),
        ("ended", nullable(instant())),
        (
            "phones",
            counts(&[
                "total",
                "reached",
                "left",
                "unregistered",
                "signalled",
                "confirmed",
                "failed",
                "waiting",
                "unknown",
                "skipped",
                "deferred",
            ]),
        ),
        ("failures", counts(&keyline_domain::rollout::Failure::ALL.map(|f| f.as_str()))),
        ("failed_phones", list(text())),
    ])
}

fn configured() -> Value {
    let phone = [
        ("name", text()),
        ("description", text()),
        ("model", text()),
        ("protocol", protocol()),
        ("security_profile", text()),
        ("device_security_mode", class()),
        ("lines", list(text())),
        ("digest_user", maybe_text()),
        ("em_user", maybe_text()),
        ("common_phone_profile", maybe_text()),
        ("registered", maybe_boolean()),
        ("pending", maybe_boolean()),
    ];
    let version = [("security_profile", text()), ("version", count())];
    let mut applied = version.to_vec();
    applied.push(("device_security_mode", class()));
    let switch = object(&[
        ("value", choice(&["enabled", "disabled"])),
        ("origin", choice(&["phone", "common_phone_profile", "enterprise_phone", "default"])),
    ]);
    let mut detail = phone.to_vec();
    detail.extend([
        (
            "trusted",
            object(&[
                ("value", boolean()),
                ("setting", text()),
                ("text", choice(&["trusted", "not trusted"])),
                ("icon", icon()),
            ]),
        ),
        ("assigned", object(&version)),
        ("applied", nullable(object(&applied))),
        ("registration", nullable(list(reference("Binding")))),
        (
            "certificates",
            object(&[
                ("uploaded", list(reference("Certificate"))),
                ("presented", nullable(reference("PresentedCertificate"))),
                ("lsc", nullable(reference("SeenCertificate"))),
                ("mic", nullable(reference("SeenCertificate"))),
                ("preferred", nullable(json!({ "type": "string", "enum": ["lsc", "mic"] }))),
            ]),
        ),
        ("refusals", nullable(list(reference("PhoneRefusal")))),
        ("hardening", json!({ "type": "object", "additionalProperties": switch })),
        (
            "capf",
            object(&[
                ("operation", text()),
                ("authentication_string_set", boolean()),
                ("authentication_mode", maybe_text()),
                ("key_order", maybe_text()),
                ("rsa_key_size", nullable(count())),
                ("ec_key_size", nullable(count())),
            ]),
        ),
    ]);
    let profile = [
        ("name", text()),
        ("description", text()),
        ("model", text()),
        ("protocol", protocol()),
        ("device_security_mode", class()),
        ("transport", transport()),
        ("predefined", boolean()),
        ("version", count()),
        ("phones", count()),
    ];
    let mut row = profile.to_vec();
    row.push(("digest_authentication", boolean()));
    json!({
        "Rollout": rollout(),
        "Rollouts": page(reference("Rollout")),
        "Phones": page(object(&phone)),
        "Phone": object(&detail),
        "SecurityProfiles": page(object(&row)),
        "SecurityProfile": object(&profile),
        "User": object(&[("id", text()), ("digest_credentials_set", boolean()), ("phone", maybe_text())]),
        "Users": page(reference("User")),
        "Line": object(&[("dn", text()), ("phones", list(text()))]),
        "Lines": page(reference("Line")),
        "Parameter": object(&[
            ("name", text()), ("node", maybe_text()), ("active", boolean()), ("value", json!({})), ("set", boolean()),
            ("takes", object(&[("type", choice(&["boolean", "seconds", "count", "choice", "choices", "text"]))])),
            ("default", json!({})), ("per_node", boolean()), ("help", text()),
        ]),
        "Parameters": page(reference("Parameter")),
        "CommonPhoneProfile": object(&[("name", text()), ("hardening", json!({ "type": "object" })), ("phones", count())]),
        "CommonPhoneProfiles": page(reference("CommonPhoneProfile")),
        "SipRealm": object(&[("realm", text()), ("user", text()), ("digest_credentials_set", boolean())]),
        "SipRealms": page(reference("SipRealm")),
        "TrunkSecurityProfile": object(&[
            ("name", text()), ("description", text()), ("device_security_mode", class()),
            ("digest_authentication", boolean()), ("x509_subject", maybe_text()),
        ]),
        "TrunkSecurityProfiles": page(reference("TrunkSecurityProfile")),
        "Trunk": object(&[
            ("name", text()), ("description", text()), ("destination", text()),
            ("security_profile", maybe_text()),
            ("connection", nullable(object(&[
                ("state", choice(&["open", "secured", "cipher_policy", "cipher_mismatch", "suite_refused", "down"])),
                ("carries_calls", boolean()), ("reason", text()), ("suite", maybe_text()), ("since", instant()),
            ]))),
        ]),
        "Trunks": page(reference("Trunk")),
        "EnterprisePhone": object(&[("hardening", json!({ "type": "object" }))]),
        "Certificate": object(&[
            ("purpose", text()), ("name", maybe_text()), ("fingerprint", text()), ("subject", text()),
            ("common_name", text()), ("dns_names", list(text())), ("is_ca", boolean()),
            ("not_before", instant()), ("not_after", instant()), ("phone", maybe_text()),
        ]),
        "Certificates": page(reference("Certificate")),
    })
}
