//! What a change would do to phones and calls, in words.

use serde_json::Value;

/// Names of one kind that are told; the rest is counted. All are in the answer with `--json`.
const TOLD: usize = 20;

/// Lines of text; none where the answer says nothing of it.
pub(super) fn words(impact: &Value) -> Vec<String> {
    if !impact.is_object() {
        return Vec::new();
    }
    let number = |field: &str| impact[field].as_u64().unwrap_or_default();
    let mut out = vec![match number("phones") {
        0 => "no phone is concerned".to_owned(),
        phones => {
            format!(
                "it concerns {}, of which {} registered",
                counted(phones, "phone"),
                are(number("registered"))
            )
        }
    }];
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    each(&impact["mode_changes"], "would get another mode", &mut out, |one| {
        format!("{}: {} becomes {}", text(one, "phone"), text(one, "from"), text(one, "to"))
    });
    each(&impact["would_fail"], "could no longer register", &mut out, |one| {
        format!("{}: {} ({})", text(one, "phone"), text(one, "text"), text(one, "cause"))
    });
    each(
        &impact["asked_for_digest"],
        "would be asked for digest credentials that they have not shown",
        &mut out,
        name,
    );
    each(&impact["unknown"], "cannot be judged before they register again", &mut out, name);
    each(&impact["mixed_lines"], "would be mixed", &mut out, |one| {
        format!(
            "line {}: encrypted {}; not encrypted {}",
            text(one, "line"),
            some(&one["encrypted"]),
            some(&one["offending"])
        )
    });
    each(&impact["calls_losing_class"], "would lose lock or shield", &mut out, |one| {
        let devices =
            one["devices"].as_array().map(|all| all.iter().map(name).collect::<Vec<_>>().join(", "));
        format!(
            "call {}: {} becomes {} because of {}",
            text(one, "call"),
            text(one, "from"),
            text(one, "to"),
            devices.unwrap_or_default()
        )
    });
    each(&impact["cipher_policy"], "would have no cipher suite left for their mode", &mut out, name);
    each(&impact["web_access_off"], "would have their web pages off", &mut out, name);
    each(
        &impact["encrypted_config_needs_rsa"],
        "would have no RSA key for which their configuration file could be encrypted",
        &mut out,
        name,
    );
    let key = |one: &Value| {
        let known = match one["supported"].as_bool() {
            Some(true) => "makes them",
            Some(false) => "makes none",
            None => "is not known to make them",
        };
        format!("{}: RSA keys of {} bits; {} {known}", text(one, "phone"), one["bits"], text(one, "model"))
    };
    each(&impact["long_rsa_keys"], "would be asked for long RSA keys", &mut out, key);
    each(&impact["weak_rsa_keys"], "would be asked for weak RSA keys", &mut out, key);
    each(
        &impact["small_server_key_only"],
        "may not register with a server key above 2048 bits",
        &mut out,
        name,
    );
    for note in impact["notes"].as_array().into_iter().flatten() {
        out.push(format!("note: {} ({})", text(note, "text"), text(note, "code")));
    }
    out
}

/// A heading with the number, then the first ones, each on a line of its own.
fn each(list: &Value, what: &str, out: &mut Vec<String>, one: impl Fn(&Value) -> String) {
    let count = list["count"].as_u64().unwrap_or_default();
    if count == 0 {
        return;
    }
    let noun = match what {
        "would be mixed" => "line",
        "would lose lock or shield" => "call",
        _ => "phone",
    };
    out.push(format!("{} {what}:", counted(count, noun)));
    let first: Vec<_> = list["first"].as_array().into_iter().flatten().take(TOLD).collect();
    let left = count.saturating_sub(first.len() as u64);
    out.extend(first.into_iter().map(|value| format!("  {}", one(value))));
    if left > 0 {
        out.push(format!("  and {left} more"));
    }
}

fn name(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn some(list: &Value) -> String {
    let first: Vec<_> = list["first"].as_array().into_iter().flatten().take(TOLD).map(name).collect();
    let left = list["count"].as_u64().unwrap_or_default().saturating_sub(first.len() as u64);
    match left {
        0 => first.join(", "),
        left => format!("{} and {left} more", first.join(", ")),
    }
}

fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn are(count: u64) -> String {
    if count == 1 { "1 is".to_owned() } else { format!("{count} are") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_impact_is_told_in_words_and_long_lists_are_cut() {
        let names: Vec<_> = (0..1000).map(|n| format!("SEP{n:012}")).collect();
        let impact = json!({
            "phones": 2, "registered": 1,
            "mode_changes": { "count": 1, "first": [{ "phone": "A", "from": "non_secure", "to": "encrypted" }] },
            "would_fail": { "count": 1, "first": [{ "phone": "A", "cause": "tls_needed", "text": "TLS is needed" }] },
            "asked_for_digest": { "count": 0, "first": [] },
            "unknown": { "count": 5000, "first": names },
            "mixed_lines": { "count": 1, "first": [{ "line": "1001",
                "encrypted": { "count": 1, "first": ["A"] }, "offending": { "count": 3, "first": ["B", "C"] } }] },
            "calls_losing_class": { "count": 1, "first": [
                { "call": "07.1.1", "from": "encrypted", "to": "non_secure", "devices": ["A", "B"] }] },
            "long_rsa_keys": { "count": 1, "first": [
                { "phone": "A", "model": "Cisco 8845", "bits": 4096, "supported": null }] },
            "notes": [{ "code": "n", "text": "a note" }],
        });
        let lines = words(&impact);
        for line in [
            "it concerns 2 phones, of which 1 is registered",
            "  A: non_secure becomes encrypted",
            "1 phone could no longer register:",
            "  A: TLS is needed (tls_needed)",
            "5000 phones cannot be judged before they register again:",
            "  and 4980 more",
            "  line 1001: encrypted A; not encrypted B, C and 1 more",
            "  call 07.1.1: encrypted becomes non_secure because of A, B",
            "1 phone would be asked for long RSA keys:",
            "  A: RSA keys of 4096 bits; Cisco 8845 is not known to make them",
            "note: a note (n)",
        ] {
            assert!(lines.iter().any(|l| l == line), "{line:?} is not in {lines:#?}");
        }
        assert!(!lines.iter().any(|l| l.contains("digest")));
        assert!(words(&Value::Null).is_empty());
    }
}
