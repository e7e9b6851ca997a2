//! Shapes of what is known of types of devices, of options, and of help.

use serde_json::{Value, json};

use super::schemas::{
    boolean, choice, count, icon, list, maybe_boolean, maybe_text, object, page, protocol, reference, text,
};

/// The schemas by name.
pub(super) fn schemas() -> Value {
    let certainty = || choice(&["documented", "family", "unknown"]);
    let model = [
        ("name", text()),
        ("vendor_class", choice(&["own", "preferred"])),
        ("protocols", list(protocol())),
        ("trusted", boolean()),
        ("capabilities", list(text())),
        ("tls_certificate", text()),
        ("built_in", boolean()),
    ];
    let mut detail = model.to_vec();
    let fact = [
        ("name", text()),
        (
            "value",
            json!({ "type": ["boolean", "null"], "description": "null: unknown, which is no capability" }),
        ),
        ("certainty", certainty()),
        ("source", maybe_text()),
    ];
    let mut explained = fact.to_vec();
    explained.push(("help", text()));
    detail.extend([
        ("trust", reference("Trust")),
        ("facts", list(object(&explained))),
        ("secure_call_features", list(text())),
        ("capf_operations", list(text())),
    ]);
    let feature = [
        ("name", text()),
        ("help", text()),
        ("capability", boolean()),
        ("yes", count()),
        ("no", count()),
        ("unknown", count()),
    ];
    let mut report = feature.to_vec();
    report.push(("models", list(object(&fact))));
    let any = || json!({});
    let needs = || list(object(&[("field", text()), ("one_of", list(any()))]));
    let size = object(&[("value", count()), ("supported", maybe_boolean()), ("weak", boolean())]);
    let values = json!({ "oneOf": [
        object(&[("type", json!({ "const": "boolean" }))]),
        object(&[("type", json!({ "const": "choice" })), ("of", list(text()))]),
        object(&[("type", json!({ "const": "range" })), ("min", count()), ("max", count())]),
        object(&[("type", json!({ "const": "sizes" })), ("of", list(size))]),
    ] });
    let field = object(&[
        ("name", text()),
        ("values", values),
        ("default", any()),
        ("legacy_default", any()),
        ("unit", maybe_text()),
        ("help", text()),
        ("conditions", list(object(&[("values", list(any())), ("needs", needs())]))),
        ("applies_when", needs()),
    ]);
    let switch = object(&[
        ("name", text()),
        ("values", list(text())),
        ("default", text()),
        ("known_on_model", maybe_boolean()),
        ("help", maybe_text()),
    ]);
    let state = json!({ "type": "string", "enum": ["enabled", "disabled"] });
    json!({
        "Trust": object(&[
            ("text", choice(&["trusted", "not trusted"])), ("icon", icon()), ("certainty", certainty()),
            ("source", maybe_text()),
        ]),
        "PhoneModel": object(&detail),
        "PhoneModels": page(object(&model)),
        "Gateway": object(&[
            ("name", text()), ("number", count()), ("trusted", boolean()), ("trust", reference("Trust")),
        ]),
        "Gateways": page(reference("Gateway")),
        "PresentedCertificate": object(&[
            ("proof", text()), ("kind", text()), ("suite", maybe_text()), ("fingerprint_begins", maybe_text()),
        ]),
        "SeenCertificate": object(&[
            ("subject", text()), ("issuer", text()), ("not_before", text()), ("not_after", text()),
            ("fingerprint", text()), ("seen", text()),
        ]),
        "Setup": object(&[("phone", text()), ("steps", list(object(&[
            ("step", text()),
            ("standing", choice(&["done", "next", "blocked", "not_needed", "unknown"])),
            ("blocked_by", maybe_text()), ("what_to_do", text()),
        ])))]),
        "Feature": object(&report),
        "Features": page(object(&feature)),
        "Hardening": { "type": "object", "additionalProperties": state },
        "HardeningTemplate": object(&[("name", text()), ("text", text()), ("hardening", reference("Hardening"))]),
        "HardeningTemplates": page(reference("HardeningTemplate")),
        "Package": object(&[
            ("name", text()), ("version", text()), ("signer", text()), ("types", list(text())),
        ]),
        "Packages": page(reference("Package")),
        "PackageFile": object(&[
            ("payloadType", text()), ("payload", text()),
            ("signatures", list(object(&[("keyid?", text()), ("sig", text())]))),
        ]),
        "Help": object(&[("kinds", list(object(&[
            ("kind", text()), ("help", text()),
            ("fields", list(object(&[
                ("name", text()), ("help", text()), ("values", text()), ("default", maybe_text()),
            ]))),
        ])))]),
        "SecurityProfileOptions": object(&[
            ("model", text()), ("protocol", protocol()), ("fields", list(field)),
            ("absent", list(object(&[
                ("name", text()), ("accepts", any()), ("in_force", any()), ("reason", text()),
            ]))),
            ("name_proposals", json!({ "type": "object", "additionalProperties": text() })),
            ("profiles", list(text())),
            ("phone", object(&[("hardening", list(switch)), ("capf_operations", list(text()))])),
        ]),
    })
}
