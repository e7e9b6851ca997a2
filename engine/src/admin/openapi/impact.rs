//! The shape of what a change would do.

use serde_json::{Value, json};

use super::schemas::{boolean, class, count, list, nullable, object, text};

/// `Impact`.
pub(super) fn schema() -> Value {
    let some = |of: Value| object(&[("count", count()), ("first", list(of))]);
    let names = || some(text());
    let noted = || list(object(&[("code", text()), ("text", text())]));
    let keys = || {
        let supported = nullable(boolean());
        some(object(&[("phone", text()), ("model", text()), ("bits", count()), ("supported", supported)]))
    };
    object(&[
        ("phones", count()),
        ("registered", count()),
        ("mode_changes", some(object(&[("phone", text()), ("from", class()), ("to", class())]))),
        ("would_fail", some(object(&[("phone", text()), ("cause", text()), ("text", text())]))),
        ("would_fail_by_cause", json!({ "type": "object", "additionalProperties": count() })),
        ("asked_for_digest", names()),
        ("unknown", names()),
        ("mixed_lines", some(object(&[("line", text()), ("encrypted", names()), ("offending", names())]))),
        (
            "calls_losing_class",
            some(object(&[("call", text()), ("from", class()), ("to", class()), ("devices", list(text()))])),
        ),
        ("cipher_policy", names()),
        ("web_access_off", names()),
        ("encrypted_config_needs_rsa", names()),
        ("long_rsa_keys", keys()),
        ("weak_rsa_keys", keys()),
        ("small_server_key_only", names()),
        ("notes", noted()),
    ])
}
