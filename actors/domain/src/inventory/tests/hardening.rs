//! What saving rows says about switches, models and keys.

use super::*;

fn warnings(inventory: &Inventory, texts: &[&str]) -> Vec<&'static str> {
    let rows: Vec<_> = texts.iter().map(|t| parse_row(t).unwrap()).collect();
    let report = inventory.check(&rows, false);
    assert!(report.is_ok(), "{:?}", report.errors);
    report.warnings.iter().map(|w| w.code.as_str()).collect()
}

fn refused(inventory: &Inventory, texts: &[&str]) -> Vec<&'static str> {
    let rows: Vec<_> = texts.iter().map(|t| parse_row(t).unwrap()).collect();
    inventory.check(&rows, true).errors.iter().map(|(_, e)| e.code()).collect()
}

#[test]
fn r023_r029_saving_a_level_says_what_stops_working() {
    let inventory = Inventory::new();
    for (switch, code) in [
        ("web_access", "web_access_disabled"),
        ("settings_access", "settings_access_disabled"),
        ("headset", "headset_alone"),
    ] {
        for state in ["disabled", "enabled"] {
            for level in [
                format!(
                    r#"{{"kind":"phone","name":"SEP000000000001","model":"Cisco 8845","hardening":{{"{switch}":"{state}"}}}}"#
                ),
                format!(
                    r#"{{"kind":"common_phone_profile","name":"Lobby","hardening":{{"{switch}":"{state}"}}}}"#
                ),
                format!(r#"{{"kind":"enterprise_phone","hardening":{{"{switch}":"{state}"}}}}"#),
            ] {
                let expected: &[&str] = if state == "disabled" { &[code] } else { &[] };
                assert_eq!(warnings(&inventory, &[&level]), expected, "{level}");
            }
        }
    }
    let text = |code: WarningCode| code.text();
    assert!(text(WarningCode::WebAccessDisabled).contains("quality report tool"));
    assert!(text(WarningCode::WebAccessDisabled).contains("serviceability"));
    assert!(text(WarningCode::SettingsAccessDisabled).contains("volume"));
}

#[test]
fn r032_a_switch_that_means_nothing_on_the_model_is_refused_on_the_phone() {
    let inventory = Inventory::new();
    let row = |model: &str, hardening: &str| {
        format!(r#"{{"kind":"phone","name":"SEP000000000001","model":"{model}","hardening":{hardening}}}"#)
    };
    let client = "Cisco Unified Client Services Framework";
    for (model, hardening, codes) in [
        (client, r#"{"pc_port":"disabled"}"#, &["switch_meaningless"][..]),
        (client, r#"{"pc_port":"enabled"}"#, &["switch_meaningless"]),
        (client, r#"{"web_access":"disabled"}"#, &[]),
        (client, "{}", &[]),
        ("Cisco 7942", r#"{"pc_port":"disabled"}"#, &[]),
        ("Cisco 8845", r#"{"pc_port":"disabled"}"#, &[]),
    ] {
        assert_eq!(refused(&inventory, &[&row(model, hardening)]), codes, "{model} {hardening}");
    }
    let acme = r#"{"kind":"phone_model","name":"Acme 1","vendor_class":"preferred","protocols":["sip"],"features":{"pc_port":false}}"#;
    assert_eq!(
        refused(&inventory, &[acme, &row("Acme 1", r#"{"pc_port":"disabled"}"#)]),
        ["switch_meaningless"]
    );
}

#[test]
fn r090_a_phone_of_a_model_without_maintenance_is_remarked_when_it_is_added() {
    let model = |end: &str| {
        format!(
            r#"{{"kind":"phone_model","name":"Acme 1","vendor_class":"own","protocols":["sip"],"features":{{"end_of_maintenance":{end}}}}}"#
        )
    };
    let phone = r#"{"kind":"phone","name":"SEP000000000001","model":"Acme 1"}"#;
    let mut inventory = Inventory::new();
    assert_eq!(warnings(&inventory, &[&model("true"), phone]), ["end_of_maintenance"]);
    assert!(warnings(&inventory, &[&model("false"), phone]).is_empty());
    let rows = [parse_row(&model("true")).unwrap(), parse_row(phone).unwrap()];
    for row in in_order(rows.to_vec()) {
        inventory.apply(row, Apply { sealer: &Mask, offline: true }).unwrap();
    }
    assert!(warnings(&inventory, &[phone]).is_empty(), "it is there already");
}

#[test]
fn r146_weak_keys_warn_or_are_forbidden() {
    let inventory = Inventory::new();
    let profile = |bits: u32| {
        format!(
            r#"{{"kind":"security_profile","name":"p","model":"Cisco 8845","protocol":"sip","rsa_key_size":{bits}}}"#
        )
    };
    let refuse = r#"{"kind":"parameter","name":"weak_keys","value":"refuse"}"#;
    for bits in [512, 1024, 2048, 3072, 4096] {
        let weak = bits <= 1024;
        let expected: &[&str] = match bits {
            2048 => &[],
            _ if weak => &["weak_rsa_key"],
            _ => &["long_rsa_key"],
        };
        assert_eq!(warnings(&inventory, &[&profile(bits)]), expected, "{bits}");
        let expected: &[&str] = if weak { &["weak_key"] } else { &[] };
        assert_eq!(refused(&inventory, &[refuse, &profile(bits)]), expected, "{bits}");
    }
}

#[test]
fn r165_digest_credentials_in_a_plain_file_are_remarked() {
    let inventory = Inventory::new();
    let row = |model: &str, more: &str| {
        format!(r#"{{"kind":"security_profile","name":"p","model":"{model}","protocol":"sip"{more}}}"#)
    };
    for (model, more, expected) in [
        ("Cisco 8845", r#","digest_authentication":true"#, &["credentials_in_plain_file"][..]),
        ("Cisco 8845", r#","digest_authentication":true,"tftp_encrypted_config":true"#, &[]),
        ("Cisco 7962", r#","digest_authentication":true,"exclude_digest_credentials":true"#, &[]),
        ("Cisco 8845", "", &[]),
    ] {
        assert_eq!(warnings(&inventory, &[&row(model, more)]), expected, "{model}{more}");
    }
}

#[test]
fn r056_r211_what_a_row_states_of_its_model_survives_storage_and_export() {
    let text = r#"{"kind":"phone_model","name":"Acme 1","vendor_class":"preferred","protocols":["sip"],"trusted":true,"capabilities":["tls","device_security_mode","security_encryption"],"features":{"pc_port":false,"rsa_4096":true},"secure_call_features":["voice print"]}"#;
    let mut inventory = Inventory::new();
    let row = parse_row(text).unwrap();
    let changes = inventory.apply(row, Apply { sealer: &Mask, offline: true }).unwrap();
    let mut again = Inventory::new();
    for change in changes {
        if let Change::Put { kind, key, value } = change {
            again.load(kind, &key, &value, &Mask).unwrap();
        }
    }
    for inventory in [&inventory, &again] {
        let model = inventory.model("Acme 1").unwrap();
        assert_eq!(model.fact(crate::model::Topic::PcPort).value, Some(false));
        assert_eq!(model.fact(crate::model::Topic::Rsa4096).value, Some(true));
        assert_eq!(model.fact(crate::model::Topic::Rsa3072).value, None);
        let features: Vec<_> = model.features_in(crate::mode::SecurityClass::Encrypted).collect();
        assert_eq!(features, ["voice print"]);
        let line = inventory.export(false).find(|l| l.contains("Acme 1")).unwrap();
        assert_eq!(parse_row(&line).unwrap(), parse_row(text).map(with_digest).unwrap());
    }
    for wrong in [
        r#""features":{"flight":true}"#,
        r#""features":{"tls":true}"#,
        r#""features":{"pc_port":1}"#,
        r#""secure_call_features":[""]"#,
        r#""capabilities":["security_encryption"]"#,
    ] {
        let text = format!(
            r#"{{"kind":"phone_model","name":"Acme 1","vendor_class":"preferred","protocols":["sip"],{wrong}}}"#
        );
        assert!(parse_row(&text).is_err(), "{wrong}");
    }
}

/// The row as it is stored: every SIP model answers digest (R069).
fn with_digest(row: Row) -> Row {
    match row {
        Row::PhoneModel(mut model) => {
            model.capabilities = model.capabilities.with(crate::model::Capability::Digest);
            Row::PhoneModel(model)
        }
        other => other,
    }
}

#[test]
fn r039_r041_trust_is_the_type_s_when_a_phone_is_added() {
    for model in crate::model::builtin_models() {
        let row = serde_json::json!({ "kind": "phone", "name": "SEP000000000001", "model": model.name });
        let mut inventory = Inventory::new();
        let row = parse_row(&row.to_string()).unwrap();
        inventory.apply(row, Apply { sealer: &Mask, offline: true }).unwrap();
        let device = inventory.devices_after(None).next().unwrap();
        assert_eq!(device.trusted(), model.trusted, "{}", model.name);
    }
}

#[test]
fn r064_the_encrypted_file_is_for_models_that_take_it() {
    for model in crate::model::builtin_models() {
        let known = model.fact(crate::model::Topic::EncryptedConfig).value == Some(true);
        for protocol in model.protocols.iter() {
            let row = serde_json::json!({
                "kind": "security_profile", "name": "p", "model": model.name, "protocol": protocol,
                "tftp_encrypted_config": true,
            });
            let expected: &[&str] = if known { &[] } else { &["field_unsupported"] };
            assert_eq!(refused(&Inventory::new(), &[&row.to_string()]), expected, "{}", model.name);
        }
    }
}

#[test]
fn r151_the_description_has_the_same_limits_on_both_protocols() {
    for protocol in ["sip", "sccp"] {
        let code = |description: &str| {
            let row = serde_json::json!({
                "kind": "security_profile", "name": "p", "model": "Cisco 7965", "protocol": protocol,
                "description": description,
            });
            parse_row(&row.to_string()).err().map(|e| e.code())
        };
        assert_eq!(code(&"é".repeat(50)), None, "{protocol}");
        assert_eq!(code(&"é".repeat(51)), Some("description_too_long"), "{protocol}");
        for bad in ['"', '%', '&', '\\', '<', '>'] {
            assert_eq!(code(&format!("a{bad}")), Some("description_character"), "{protocol} {bad}");
        }
    }
}
