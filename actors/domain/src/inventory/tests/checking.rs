use super::*;
use crate::mode::{ClusterMode, DeviceSecurityMode, Protocol};
use crate::profile::predefined_name;

#[test]
fn r001_a_fresh_cluster_is_non_secure() {
    let inventory = Inventory::new();
    assert_eq!(inventory.parameters().cluster_security_mode, ClusterMode::NonSecure);
    assert_eq!(&*inventory.parameters().sip_realm_station, "ccmsipline");
    assert_eq!(inventory.parameters().register_expires_default, 3600);
    assert_eq!(inventory.parameters().digest_algorithms.len(), 3);
}

#[test]
fn r002_a_bare_phone_is_non_secure() {
    let mut inventory = Inventory::new();
    import(&mut inventory, &[PHONE, LINE]);
    let device = inventory.device(&name("SEP00AABBCCDD01")).unwrap();
    let profile = inventory.profile(device.profile).unwrap();
    assert_eq!(profile.settings.device_security_mode, DeviceSecurityMode::NonSecure);
    assert_eq!(profile.name, "Cisco 8845 - Standard SIP Non-Secure Profile");
    assert_eq!((device.protocol, device.trusted()), (Protocol::Sip, true));
}

#[test]
fn r042_built_in_models_cannot_be_changed() {
    let inventory = Inventory::new();
    let text = r#"{"kind":"phone_model","name":"Third-party SIP Device (Basic)","vendor_class":"preferred","protocols":["sip"],"trusted":true}"#;
    assert_eq!(refused(&inventory, &[text]), [(0, "model_builtin")]);
}

#[test]
fn r094_r212_predefined_profiles_are_there_for_imported_models_too() {
    let mut inventory = Inventory::new();
    let acme = r#"{"kind":"phone_model","name":"Acme 1","vendor_class":"preferred","protocols":["sip"],"capabilities":["tls","device_security_mode"]}"#;
    import(&mut inventory, &[acme]);
    for model in ["Acme 1", "Cisco 8845", "Third-party SIP Device (Advanced)"] {
        let all = inventory.profiles_for(model, Protocol::Sip);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].name, predefined_name(model, Protocol::Sip));
        assert_eq!(inventory.profile_id(&all[0].name), Some(all[0].id));
        assert_eq!(inventory.profile(all[0].id), Some(all[0].clone()));
        assert!(inventory.profiles_for(model, Protocol::Sccp).is_empty());
    }
}

#[test]
fn r099_predefined_profiles_cannot_be_changed() {
    let inventory = Inventory::new();
    let acme = r#"{"kind":"phone_model","name":"Acme 1","vendor_class":"own","protocols":["sip"]}"#;
    for (model, texts) in [("Cisco 8845", vec![]), ("Acme 1", vec![acme])] {
        let text = format!(
            r#"{{"kind":"security_profile","name":"{model} - Standard SIP Non-Secure Profile","model":"{model}"}}"#
        );
        let mut all = vec![text.as_str()];
        all.extend(texts);
        assert_eq!(refused(&inventory, &all), [(0, "profile_predefined")]);
        if model == "Cisco 8845" {
            assert_eq!(Inventory::new().apply(row(&text), ONLINE).unwrap_err().code(), "profile_predefined");
        }
    }
}

#[test]
fn a_model_cannot_arrive_under_a_profile_that_bears_its_predefined_name() {
    let mut inventory = Inventory::new();
    let squatter = r#"{"kind":"security_profile","name":"Acme 1 - Standard SIP Non-Secure Profile","model":"Cisco 8845"}"#;
    import(&mut inventory, &[squatter]);
    let acme = r#"{"kind":"phone_model","name":"Acme 1","vendor_class":"own","protocols":["sip"]}"#;
    assert_eq!(refused(&inventory, &[acme]), [(0, "model_invalid")]);
}

#[test]
fn references_may_be_anywhere_in_the_file() {
    let inventory = Inventory::new();
    let phone = phone_with(
        r#""lines":["1001"],"digest_user":"alice","security_profile":"Digest","common_phone_profile":"Lobby""#,
    );
    let lobby = r#"{"kind":"common_phone_profile","name":"Lobby","hardening":{"pc_port":"disabled"}}"#;
    assert_eq!(refused(&inventory, &[&phone, DIGEST, ALICE, LINE, lobby]), []);
    for (missing, expected) in [
        (vec![DIGEST, ALICE, lobby], "line"),
        (vec![DIGEST, LINE, lobby], "digest"),
        (vec![ALICE, LINE, lobby], "profile"),
        (vec![DIGEST, ALICE, LINE], "common"),
    ] {
        let mut all = vec![phone.as_str()];
        all.extend(missing);
        assert_eq!(refused(&inventory, &all), [(0, "reference_missing")], "{expected}");
    }
    let strange = r#"{"kind":"phone","name":"SEP00AABBCCDD01","model":"Cisco 8846"}"#;
    assert_eq!(refused(&inventory, &[strange]), [(0, "reference_missing")]);
    let sccp = r#"{"kind":"phone","name":"SEP00AABBCCDD01","model":"Cisco 8845","protocol":"sccp"}"#;
    assert_eq!(refused(&inventory, &[sccp]), [(0, "model_protocol")]);
}

#[test]
fn r180_the_profile_must_be_of_the_phones_model_and_protocol() {
    let mut inventory = Inventory::new();
    let other = r#"{"kind":"security_profile","name":"Other","model":"Cisco 7975","protocol":"sip"}"#;
    let skinny = r#"{"kind":"security_profile","name":"Skinny","model":"Cisco 7975","protocol":"sccp"}"#;
    let phone = phone_with(r#""security_profile":"Other""#);
    assert_eq!(refused(&inventory, &[other, &phone]), [(1, "profile_of_other_model")]);
    import(&mut inventory, &[other, skinny]);
    assert_eq!(refused(&inventory, &[&phone]), [(0, "profile_of_other_model")]);
    let error = inventory.apply(row(&phone), ONLINE).unwrap_err();
    assert_eq!(error.code(), "profile_of_other_model");
    let of = |protocol| -> Vec<String> {
        inventory.profiles_for("Cisco 7975", protocol).iter().map(|p| p.name.clone()).collect()
    };
    assert_eq!(of(Protocol::Sip), ["Cisco 7975 - Standard SIP Non-Secure Profile", "Other"]);
    assert_eq!(of(Protocol::Sccp), ["Cisco 7975 - Standard SCCP Non-Secure Profile", "Skinny"]);
    let named = phone_with(r#""security_profile":"Cisco 7975 - Standard SIP Non-Secure Profile""#);
    assert_eq!(refused(&inventory, &[&named]), [(0, "profile_of_other_model")]);
    let own = phone_with(r#""security_profile":"Cisco 8845 - Standard SIP Non-Secure Profile""#);
    assert_eq!(refused(&inventory, &[&own]), []);
}

#[test]
fn r091_model_and_protocol_of_a_profile_never_change() {
    let mut inventory = Inventory::new();
    import(&mut inventory, &[DIGEST]);
    let moved = DIGEST.replace("8845", "8865");
    assert_eq!(refused(&inventory, &[&moved]), [(0, "profile_identity")]);
    assert_eq!(inventory.apply(row(&moved), ONLINE).unwrap_err().code(), "profile_identity");
}

#[test]
fn r062_r194_the_digest_user_needs_credentials() {
    let mut inventory = Inventory::new();
    let bare = r#"{"kind":"end_user","id":"alice"}"#;
    let phone = phone_with(r#""digest_user":"alice""#);
    assert_eq!(refused(&inventory, &[bare, &phone]), [(1, "digest_user_without_credentials")]);
    import(&mut inventory, &[bare]);
    assert_eq!(refused(&inventory, &[&phone]), [(0, "digest_user_without_credentials")]);
    assert_eq!(refused(&inventory, &[&phone, ALICE]), []);
    import(&mut inventory, &[ALICE, &phone]);
    let user = inventory.user("alice").unwrap();
    assert_eq!(user.credentials, Some(Secret::new("secret1")));
    assert_eq!(user.device, inventory.device_index(&name("SEP00AABBCCDD01")));
    // Without the field the credentials stay; they cannot be cleared under the phone.
    assert_eq!(refused(&inventory, &[bare]), []);
    let cleared = r#"{"kind":"end_user","id":"alice","digest_credentials":null}"#;
    assert_eq!(refused(&inventory, &[cleared]), [(0, "credentials_in_use")]);
    assert_eq!(refused(&inventory, &[cleared, &phone_with(r#""lines":[]"#)]), []);
}

#[test]
fn r196_each_phone_has_its_own_digest_user() {
    let mut inventory = Inventory::new();
    let first = phone_with(r#""digest_user":"alice""#);
    let second = first.replace("DD01", "DD02");
    assert_eq!(refused(&inventory, &[ALICE, &first, &second]), [(2, "digest_user_shared")]);
    import(&mut inventory, &[ALICE, &first]);
    assert_eq!(refused(&inventory, &[&second]), [(0, "digest_user_shared")]);
    assert_eq!(refused(&inventory, &[&first]), []);
    // One file may move the user, in either order of its rows.
    let without = phone_with(r#""lines":[]"#);
    assert_eq!(refused(&inventory, &[&second, &without]), []);
    import(&mut inventory, &[&second, &without]);
    let holder = inventory.devices_of_digest_user("alice").first().copied();
    assert_eq!(holder, inventory.device_index(&name("SEP00AABBCCDD02")));
    assert_eq!(refused(&inventory, &[&first]), [(0, "digest_user_shared")]);
}

#[test]
fn r197_users_of_both_stores_serve() {
    let mut inventory = Inventory::new();
    let app = r#"{"kind":"application_user","id":"pager","digest_credentials":"x1"}"#;
    import(&mut inventory, &[app, &phone_with(r#""digest_user":"pager""#)]);
    assert_eq!(inventory.user("pager").unwrap().store, UserStore::ApplicationUser);
    let twin = r#"{"kind":"end_user","id":"pager","digest_credentials":"x2"}"#;
    assert_eq!(refused(&inventory, &[twin]), [(0, "user_in_other_store")]);
    assert_eq!(refused(&Inventory::new(), &[app, twin]), [(0, "user_in_other_store")]);
}

#[test]
fn the_last_row_of_a_name_counts() {
    let mut inventory = Inventory::new();
    let without = phone_with(r#""lines":[],"description":"last""#);
    let second = phone_with(r#""digest_user":"alice""#).replace("DD01", "DD02");
    let first = phone_with(r#""digest_user":"alice""#);
    import(&mut inventory, &[ALICE, &first, &second, &without]);
    let details = inventory.phone_details(&name("SEP00AABBCCDD01")).unwrap();
    assert_eq!(&*details.description, "last");
}

#[test]
fn register_expiries_must_be_in_order() {
    let parameter = |n: &str, v: u32| format!(r#"{{"kind":"parameter","name":"{n}","value":{v}}}"#);
    let inventory = Inventory::new();
    let low = parameter("register_expires_max", 600);
    assert_eq!(refused(&inventory, &[&low]), [(0, "parameter_conflict")]);
    assert_eq!(refused(&inventory, &[&low, &parameter("register_expires_default", 300)]), []);
}

#[test]
fn warnings_are_counted_by_code() {
    let mut inventory = Inventory::new();
    let weak = ENCRYPTED.replace("Encrypted", "Weak").replace('}', r#","rsa_key_size":1024}"#);
    let phones: Vec<String> = (0..3)
        .map(|i| phone_with(r#""security_profile":"Encrypted""#).replace("DD01", &format!("DD0{i}")))
        .collect();
    let mut texts = vec![ENCRYPTED, &weak, DIGEST];
    texts.extend(phones.iter().map(String::as_str));
    let report = inventory.check(&rows(&texts), true);
    assert!(report.is_ok());
    let found: Vec<_> = report.warnings.iter().map(|w| (w.code.as_str(), w.first_row, w.rows)).collect();
    assert_eq!(
        found,
        [
            ("cluster_non_secure", 0, 2),
            ("credentials_in_plain_file", 2, 1),
            ("no_known_certificate", 3, 3),
            ("weak_rsa_key", 1, 1)
        ]
    );
    assert!(report.warnings.iter().all(|w| !w.code.text().is_empty()));
    let mixed = r#"{"kind":"parameter","name":"cluster_security_mode","value":"mixed"}"#;
    let report = inventory.check(&rows(&[ENCRYPTED, mixed]), true);
    assert!(report.warnings.is_empty());
    import(&mut inventory, &[DIGEST]);
    let report = inventory.check(&rows(&[&phone_with(r#""security_profile":"Digest""#)]), true);
    assert_eq!(report.warnings[0].code, WarningCode::DigestWithoutUser);
}

#[test]
fn r181_policy_refuses_a_secure_profile_without_a_certificate_unless_forced() {
    let inventory = Inventory::new();
    let refuse = r#"{"kind":"parameter","name":"certificate_before_secure_profile","value":"refuse"}"#;
    let phone = phone_with(r#""security_profile":"Encrypted""#);
    let all = rows(&[refuse, ENCRYPTED, &phone]);
    assert_eq!(codes(&inventory.check(&all, false)), [(2, "no_known_certificate")]);
    assert!(inventory.check(&all, true).is_ok());
    assert!(inventory.check_knowing(&all, false, &|_| true).warnings.len() == 1);
    assert!(inventory.check_knowing(&all, false, &|_| true).is_ok());
}

#[test]
fn certificates_need_facts_and_a_phone_that_exists() {
    let inventory = Inventory::new();
    let text = r#"{"kind":"certificate","purpose":"vendor-trust","phone":"SEP00AABBCCDD01","subject":"CN=x","pem":"-----BEGIN CERTIFICATE-----"}"#;
    assert_eq!(refused(&inventory, &[text]), [(0, "certificate_unread")]);
    let Row::Certificate(mut certificate) = row(text) else { panic!() };
    certificate.facts = Some(super::changing::facts("ab", "CN=x"));
    let read = Row::Certificate(certificate.clone());
    assert_eq!(codes(&inventory.check(std::slice::from_ref(&read), true)), [(0, "reference_missing")]);
    assert!(inventory.check(&[read, row(PHONE), row(LINE)], true).is_ok());
    certificate.facts = Some(super::changing::facts("ab", "CN=y"));
    let other = Row::Certificate(certificate);
    assert_eq!(codes(&inventory.check(&[other], true)), [(0, "certificate_subject")]);
    let tied = text.replace("vendor-trust", "CAPF-trust");
    assert_eq!(parse_row(&tied).unwrap_err().code(), "field_invalid");
}

#[test]
fn errors_are_bounded() {
    let all: Vec<Row> = (0..ERRORS_MAX + 10)
        .map(|i| row(&format!(r#"{{"kind":"phone","name":"SEP{i:012X}","model":"none"}}"#)))
        .collect();
    let report = Inventory::new().check(&all, true);
    assert_eq!((report.errors.len(), report.more_errors), (ERRORS_MAX, 10));
}

/// Whichever of the two is saved, and judged by both as they will be then.
#[test]
fn r128_r129_srtp_of_another_level_than_a_strongest_or_medium_tls_is_hinted_at() {
    let parameter =
        |name: &str, value: &str| format!(r#"{{"kind":"parameter","name":"{name}","value":"{value}"}}"#);
    for (tls, recommended) in [
        ("strongest_rsa_preferred", Some("strongest")),
        ("strongest_ecdsa_preferred", Some("strongest")),
        ("medium_rsa_preferred", Some("medium")),
        ("medium_ecdsa_preferred", Some("medium")),
        ("all_rsa_preferred", None),
        ("all_ecdsa_preferred", None),
    ] {
        for srtp in ["strongest", "medium", "all"] {
            let (tls_row, srtp_row) = (parameter("tls_ciphers", tls), parameter("srtp_ciphers", srtp));
            let wanted = usize::from(recommended.is_some_and(|r| r != srtp));
            let hints = |inventory: &Inventory, texts: &[&str]| {
                let report = inventory.check(&rows(texts), false);
                assert!(report.is_ok());
                report.warnings.iter().filter(|w| w.code == WarningCode::SrtpCiphersDiffer).count()
            };
            assert_eq!(hints(&Inventory::new(), &[&tls_row, &srtp_row]), wanted, "{tls} {srtp}");
            for (first, second) in [(&tls_row, &srtp_row), (&srtp_row, &tls_row)] {
                let mut inventory = Inventory::new();
                import(&mut inventory, &[first]);
                assert_eq!(hints(&inventory, &[second]), wanted, "{first} then {second}");
            }
            let other = parameter("no_answer_s", "20").replace("\"20\"", "20");
            let mut inventory = Inventory::new();
            import(&mut inventory, &[&tls_row, &srtp_row]);
            assert_eq!(hints(&inventory, &[&other]), 0);
        }
    }
}
