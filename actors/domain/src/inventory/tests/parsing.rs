use super::*;

fn error(text: &str) -> RowError {
    parse_row(text).expect_err(text)
}

fn code_and_text(text: &str) -> (&'static str, String) {
    let e = error(text);
    (e.code(), e.to_string())
}

#[test]
fn rows_are_objects_with_a_known_kind() {
    for (text, expected) in [
        ("", "json"),
        ("[]", "json"),
        (r#"["phone"]"#, "json"),
        ("{", "json"),
        ("{}", "kind_missing"),
        (r#"{"kind":7}"#, "json"),
        (r#"{"kind":"line","kind":"line","dn":"1"}"#, "json"),
        (r#"{"kind":"line","dn":"1"} x"#, "json"),
        (r#"{"kind":"counter"}"#, "kind_unknown"),
        (r#"{"kind":"phon"}"#, "kind_unknown"),
        (r#"{"kind":"trunk","name":"x"}"#, "field_missing"),
        (r#"{"kind":"sip_realm"}"#, "field_missing"),
        (r#"{"kind":"trunk_security_profile"}"#, "field_missing"),
    ] {
        assert_eq!(error(text).code(), expected, "{text}");
    }
    assert!(error(r#"{"kind":"phon"}"#).to_string().contains("did you mean `phone`"));
    assert!(error(r#"{"kind":"trink"}"#).to_string().contains("common_phone_profile"));
    let long = format!(r#"{{"kind":"line","dn":"1","x":"{}"}}"#, "y".repeat(ROW_BYTES_MAX));
    assert_eq!(error(&long).code(), "row_too_long");
}

#[test]
fn an_unknown_field_names_the_nearest_known_one() {
    let (code, text) = code_and_text(r#"{"kind":"phone","name":"SEP00AABBCCDD01","modell":"x"}"#);
    assert_eq!((code, text.contains("`model`")), ("field_unknown", true), "{text}");
    let (code, text) = code_and_text(r#"{"kind":"line","dn":"1","zzzzzzzz":1}"#);
    assert_eq!((code, text.contains("known are dn")), ("field_unknown", true), "{text}");
}

#[test]
fn r041_r042_no_field_of_a_phone_sets_trust() {
    for field in ["trusted", "trust", "icon", "security_icon"] {
        let text = phone_with(&format!(r#""{field}":true"#));
        assert_eq!(error(&text).code(), "field_unknown", "{field}");
    }
    assert!(error(&phone_with(r#""trusted":true"#)).to_string().contains("the model's"));
}

#[test]
fn a_wrong_value_names_its_field() {
    for (text, field) in [
        (phone_with(r#""lines":"1001""#), "lines"),
        (phone_with(r#""protocol":"h323","lines":[]"#), "protocol"),
        (phone_with(r#""hardening":{"web_acess":"disabled"},"lines":[]"#), "hardening"),
        (phone_with(r#""hardening":{"web_access":"off"}"#), "hardening"),
        (phone_with(r#""lines":["1001","1002","1001"]"#), "lines"),
        (phone_with(r#""lines":["10 01"]"#), "lines"),
        (phone_with(r#""capf":{"operation":"install","authentication_string":"12"}"#), "capf"),
        (r#"{"kind":"phone","name":"SEP1","model":"Cisco 8845"}"#.to_owned(), "name"),
        (r#"{"kind":"line","dn":""}"#.to_owned(), "dn"),
        (r#"{"kind":"certificate","purpose":"CAPF-trust","pem":"x"}"#.to_owned(), "pem"),
        (r#"{"kind":"certificate","purpose":"capf-trust","pem":"x"}"#.to_owned(), "purpose"),
    ] {
        match error(&text) {
            RowError::Field { field: found, .. } => assert_eq!(found, field, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let missing = error(r#"{"kind":"phone","name":"SEP00AABBCCDD01"}"#);
    assert!(matches!(missing, RowError::FieldMissing { field, .. } if field == "model"));
    // The place is found in rows of several lines and behind escapes too.
    let text = "{\"kind\":\"phone\",\n\"description\":\"a \\\" , \\\\\",\n\"name\":\"SEP00AABBCCDD01\",\n\"model\":5}";
    assert!(matches!(error(text), RowError::Field { field, .. } if field == "model"));
}

#[test]
fn r204_credentials_are_alphanumeric() {
    let user = |c: &str| format!(r#"{{"kind":"end_user","id":"alice","digest_credentials":"{c}"}}"#);
    for good in ["a", "Z9", &"x".repeat(128)] {
        assert!(parse_row(&user(good)).is_ok(), "{good}");
    }
    for bad in ["", "a b", "pass-word", "pässword", "a\\u0000b", &"x".repeat(129)] {
        let e = error(&user(bad));
        assert_eq!(e.code(), "field_invalid", "{bad}");
        assert!(bad.is_empty() || !e.to_string().contains(bad), "{e}");
    }
}

#[test]
fn no_error_or_debug_text_holds_a_secret() {
    for text in [
        r#"{"kind":"end_user","id":"alice","digest_credentials":48151623}"#,
        r#"{"kind":"end_user","id":"alice","digest_credentials":["48151623"]}"#,
        r#"{"kind":"end_user","id":"alice","digest_credentials":{"x":"48151623"}}"#,
        r#"{"kind":"end_user","id":"alice","digest_credentials":true,"x":"48151623"}"#,
        &phone_with(r#""capf":"48151623""#),
        &phone_with(r#""capf":48151623"#),
        &phone_with(r#""capf":{"authentication_string":48151623}"#),
        &phone_with(r#""capf":{"operation":"48151623"}"#).replace("48151623", "install2"),
    ] {
        let e = error(text);
        assert!(!e.to_string().contains("48151623") && !format!("{e:?}").contains("48151623"), "{e}");
    }
    let row = row(r#"{"kind":"end_user","id":"alice","digest_credentials":"48151623"}"#);
    assert!(!format!("{row:?}").contains("48151623"));
}

#[test]
fn r116_r117_descriptions_of_profiles() {
    let profile = |d: &str| {
        format!(
            r#"{{"kind":"security_profile","name":"p","model":"Cisco 8845","description":{}}}"#,
            serde_json::to_string(d).unwrap()
        )
    };
    assert!(parse_row(&profile(&"é".repeat(50))).is_ok());
    assert_eq!(error(&profile(&"é".repeat(51))).code(), "description_too_long");
    for bad in ['"', '%', '&', '\\', '<', '>'] {
        assert_eq!(error(&profile(&format!("x{bad}y"))).code(), "description_character");
    }
    assert!(parse_row(&profile("it's fine")).is_ok());
}

#[test]
fn parameters_have_types_and_ranges() {
    let parameter = |name: &str, value: &str| {
        parse_row(&format!(r#"{{"kind":"parameter","name":"{name}","value":{value}}}"#))
            .map_or_else(|e| e.code(), |_| "ok")
    };
    for (name, value, expected) in [
        ("cluster_security_mode", r#""mixed""#, "ok"),
        ("cluster_security_mode", r#""Mixed""#, "parameter_value"),
        ("register_expires_min", "60", "ok"),
        ("register_expires_min", "0", "parameter_value"),
        ("register_expires_min", "-1", "parameter_value"),
        ("register_expires_min", r#""60""#, "parameter_value"),
        ("register_expires_min", "4294967296", "parameter_value"),
        ("auto_registration", "true", "ok"),
        ("auto_registration", "1", "parameter_value"),
        ("auto_registration", "null", "parameter_value"),
        ("digest_algorithms", r#"["MD5"]"#, "ok"),
        ("digest_algorithms", r#"["MD5","MD5"]"#, "parameter_value"),
        ("digest_algorithms", "[]", "parameter_value"),
        ("sip_realm_station", r#""example.com""#, "ok"),
        ("sip_realm_station", r#""a\"b""#, "parameter_value"),
        ("sip_realm_station", r#""""#, "parameter_value"),
        ("sip_relm_station", r#""x""#, "parameter_unknown"),
        ("sip_relm_station", "-1", "parameter_unknown"),
    ] {
        assert_eq!(parameter(name, value), expected, "{name} {value}");
    }
    let e = error(r#"{"kind":"parameter","name":"sip_relm_station","value":"x"}"#);
    assert!(e.to_string().contains("`sip_realm_station`"));
}

#[test]
fn r209_every_parameter_has_help_and_a_default_in_range() {
    let mut names = std::collections::HashSet::new();
    for spec in PARAMETERS {
        assert!(names.insert(spec.name), "{} is there twice", spec.name);
        assert!(spec.takes(&spec.default_value()), "{}", spec.name);
        assert!(spec.help.len() > 20, "{}", spec.name);
    }
}

#[test]
fn the_list_of_fields_is_the_shape() {
    // Every listed field is known to the shape: a wrong value is refused for itself.
    for kind in Kind::rows() {
        for field in kind.fields() {
            let text = format!(r#"{{"kind":"{kind}","{field}":{{"\u0000":[]}}}}"#);
            let e = error(&text);
            assert_ne!(e.code(), "field_unknown", "{kind} {field}");
        }
    }
}

#[test]
fn models_must_not_contradict_themselves() {
    let model = |class: &str, capabilities: &str| {
        parse_row(&format!(
            r#"{{"kind":"phone_model","name":"Acme 1","vendor_class":"{class}","protocols":["sip"],"capabilities":[{capabilities}]}}"#
        ))
        .map_or_else(|e| e.code(), |_| "ok")
    };
    assert_eq!(model("preferred", r#""tls","device_security_mode","srtp""#), "ok");
    assert_eq!(model("preferred", r#""device_security_mode""#), "model_invalid");
    for own_only in ["mic", "capf", "encrypted_config"] {
        assert_eq!(model("preferred", &format!(r#""{own_only}""#)), "model_invalid");
        assert_eq!(model("own", &format!(r#""{own_only}""#)), "ok");
    }
    assert_eq!(model("preferred", r#""teleport""#), "field_invalid");
    assert_eq!(model("foreign", ""), "field_invalid");
}
