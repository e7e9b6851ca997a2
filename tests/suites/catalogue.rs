//! Packages of phone models, hardening and the catalogue, as an administrator uses them over the API.

use keyline_domain::model::{seal_package, signed_bytes};
use keyline_tests::inventory::{CISCO, Inventory};
use keyline_tests::node::{Builder, Node};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SigningKey};
use serde_json::{Value, json};

/// A vendor's key, and the certificate that goes with it.
pub fn signer() -> (KeyPair, String) {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let names = CertificateParams::new(vec!["packages.acme.example".to_owned()]).expect("names");
    let pem = names.self_signed(&key).expect("a certificate").pem();
    (key, pem)
}

/// A package file of one type without security and one with it.
pub fn package(key: &KeyPair, version: &str) -> Value {
    let manifest = json!({ "name": "Acme phones", "version": version, "types": [
        { "name": "Acme Plain" },
        { "name": "Acme Secure", "security_encryption": true, "trusted": true, "tls_certificate": "per_device" },
    ] })
    .to_string();
    let signature = key.sign(&signed_bytes(manifest.as_bytes())).expect("a signature");
    serde_json::from_str(&seal_package(manifest.as_bytes(), &[("", signature)])).expect("JSON")
}

fn model_names(node: &Node) -> Vec<String> {
    let page = node.ask("GET", "/phone-models?filter=name:begins:Acme", None).expect(200);
    page["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|m| m["name"].as_str())
        .map(str::to_owned)
        .collect()
}

#[test]
fn r066_r067_r068_a_signed_package_adds_its_types_and_nothing_else_does() {
    let mut node = Builder::new().inventory(&Inventory::new()).start();
    let (key, pem) = signer();
    let file = package(&key, "1.0");
    node.ask("POST", "/packages", Some(&file)).refused(422, "package_signer_unknown");
    node.ask("POST", "/certificates", Some(&json!({ "purpose": "package-trust", "pem": pem }))).expect(201);
    let mut changed = package(&key, "1.0");
    changed["payload"] = package(&key, "9.0")["payload"].clone();
    node.ask("POST", "/packages", Some(&changed)).refused(422, "package_signer_unknown");
    node.ask("POST", "/packages", Some(&json!({ "payload": "" }))).refused(422, "package_unreadable");
    assert!(model_names(&node).is_empty());
    let dry = node.ask("POST", "/packages?dry_run=true", Some(&file));
    dry.expect(200);
    assert!(model_names(&node).is_empty());

    let made = node.ask("POST", "/packages", Some(&file));
    made.expect(201);
    assert_eq!(made.header("location"), Some("/api/v1/packages/Acme%20phones"));
    assert_eq!(model_names(&node), ["Acme Plain", "Acme Secure"]);
    for version in ["1.0", "0.9"] {
        node.ask("POST", "/packages", Some(&package(&key, version))).refused(422, "package_not_newer");
    }
    // R067: the type without security shows no mode, and takes none.
    for (model, has_mode) in [("Acme%20Plain", false), ("Acme%20Secure", true)] {
        let options = node.ask("GET", &format!("/security-profile-options?model={model}"), None).expect(200);
        let fields = options["fields"].as_array().cloned().unwrap_or_default();
        assert_eq!(fields.iter().any(|f| f["name"] == "device_security_mode"), has_mode, "{model}");
        let row = json!({ "name": format!("of {model}"), "model": model.replace("%20", " "), "device_security_mode": "encrypted" });
        let answer = node.ask("POST", "/security-profiles", Some(&row));
        match has_mode {
            true => drop(answer.expect(201)),
            false => drop(answer.refused(422, "mode_unsupported")),
        }
    }
    // R042: trust is the type's and nobody's to set.
    let trusted = json!({ "trusted": false });
    node.ask("PATCH", "/phone-models/Acme%20Secure", Some(&trusted)).refused(422, "model_of_package");
    node.kill9_and_restart();
    let listed = node.ask("GET", "/packages", None).expect(200);
    assert_eq!(listed["items"][0]["version"], "1.0");
    node.ask("POST", "/packages", Some(&package(&key, "1.0"))).refused(422, "package_not_newer");
    node.ask("POST", "/packages", Some(&package(&key, "1.1"))).expect(201);
    node.ask("DELETE", "/packages/Acme%20phones", None).refused(409, "in_use");
}

/// Find phones by criteria, open one, disable the five switches, with or without speakerphone and headset, save.
#[test]
fn r016_r017_r034_r065_the_procedure_of_hardening() {
    let node = Builder::new().inventory(&Inventory::new()).start();
    for n in 1..=3 {
        let row = json!({ "name": format!("SEP0000000000{n:02}"), "model": CISCO, "description": "lobby" });
        node.ask("POST", "/phones", Some(&row)).expect(201);
    }
    let found = node.ask("GET", "/phones?filter=description:is_exactly:lobby", None).expect(200);
    let names: Vec<_> =
        found["items"].as_array().into_iter().flatten().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(names.len(), 3);
    let switches =
        |name: &str| node.ask("GET", &format!("/phones/{name}"), None).expect(200)["hardening"].clone();
    let before = switches(names[0]);
    let five = ["gratuitous_arp", "web_access", "pc_voice_vlan_access", "settings_access", "pc_port"];
    for switch in five.iter().chain(&["speakerphone", "headset"]) {
        assert_eq!(before[*switch], json!({ "value": "enabled", "origin": "default" }), "{switch}");
    }
    // The template has the five; speakerphone and headset are two flags beside them.
    let lobby = node.ask("GET", "/hardening-templates/lobby", None).expect(200)["hardening"].clone();
    for (name, more) in [
        (names[0], json!({})),
        (names[1], json!({ "speakerphone": "disabled" })),
        (names[2], json!({ "speakerphone": "disabled", "headset": "disabled" })),
    ] {
        let mut set = lobby.clone();
        if let (Some(set), Some(more)) = (set.as_object_mut(), more.as_object()) {
            set.extend(more.clone());
        }
        let changed =
            node.ask("PATCH", &format!("/phones/{name}"), Some(&json!({ "hardening": set }))).expect(200);
        let codes: Vec<_> =
            changed["warnings"].as_array().into_iter().flatten().filter_map(|w| w["code"].as_str()).collect();
        assert!(
            codes.contains(&"web_access_disabled") && codes.contains(&"settings_access_disabled"),
            "{codes:?}"
        );
        let after = switches(name);
        for switch in five {
            assert_eq!(after[switch], json!({ "value": "disabled", "origin": "phone" }), "{name} {switch}");
        }
        for flag in ["speakerphone", "headset"] {
            let expected = if more.get(flag).is_some() { "disabled" } else { "enabled" };
            assert_eq!(after[flag]["value"], expected, "{name} {flag}");
        }
    }
    // R017: the same switches on the other two levels.
    for switch in five {
        let set = json!({ "hardening": { (switch): "disabled" } });
        node.ask("PUT", "/common-phone-profiles/Level", Some(&set));
        node.ask("PATCH", "/enterprise-phone", Some(&set)).expect(200);
    }
    let row = json!({ "name": "SEP000000000099", "model": CISCO });
    node.ask("POST", "/phones", Some(&row)).expect(201);
    for switch in five {
        assert_eq!(switches("SEP000000000099")[switch]["origin"], "enterprise_phone", "{switch}");
    }
    // R032: a soft client has no PC port to disable.
    let client = json!({ "name": "CSFALICE", "model": "Cisco Unified Client Services Framework", "hardening": { "pc_port": "disabled" } });
    node.ask("POST", "/phones", Some(&client)).refused(422, "switch_meaningless");
}

#[test]
fn r042_r097_r146_what_a_type_does_not_have_is_refused() {
    let node = Builder::new().inventory(&Inventory::new()).start();
    let phone = json!({ "name": "SEP000000000001", "model": CISCO });
    node.ask("POST", "/phones", Some(&phone)).expect(201);
    for field in ["trusted", "trust", "icon", "security_icon"] {
        let body = json!({ (field): true });
        node.ask("PATCH", "/phones/SEP000000000001", Some(&body)).refused(422, "field_unknown");
    }
    let builtin = json!({ "trusted": false });
    node.ask("PATCH", "/phone-models/Cisco%208845", Some(&builtin)).refused(409, "model_builtin");
    for (fields, code) in [
        (json!({ "oauth_authentication": true }), "field_unsupported"),
        (json!({ "exclude_digest_credentials": true }), "field_unsupported"),
        (json!({ "rsa_key_size": 2047 }), "out_of_range"),
    ] {
        let mut row = json!({ "name": "p", "model": CISCO, "protocol": "sip" });
        if let (Some(row), Some(fields)) = (row.as_object_mut(), fields.as_object()) {
            row.extend(fields.clone());
        }
        node.ask("POST", "/security-profiles", Some(&row)).refused(422, code);
    }
    let weak = json!({ "name": "weak", "model": CISCO, "protocol": "sip", "rsa_key_size": 1024 });
    let made = node.ask("POST", "/security-profiles?dry_run=true", Some(&weak)).expect(200);
    assert_eq!(made["warnings"][0]["code"], "weak_rsa_key");
    node.ask("PUT", "/parameters/weak_keys", Some(&json!({ "value": "refuse" }))).expect(200);
    node.ask("POST", "/security-profiles", Some(&weak)).refused(422, "weak_key");
}

/// A closed store takes a package by the same rules as a running node.
#[test]
fn r066_a_package_is_installed_while_no_node_runs() {
    let (key, pem) = signer();
    let mut inventory = Inventory::new();
    let mut node = Builder::new().inventory(&inventory).prepare();
    let file = node.folder().join("acme.json");
    std::fs::write(&file, package(&key, "1.0").to_string()).expect("a file");
    let run = |node: &Node, line: &[&str]| {
        let out = node.run(line);
        let text =
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (out.status.code(), text)
    };
    let install = ["package", "install", file.to_str().expect("a path")];
    let (code, text) = run(&node, &install);
    assert!(code == Some(1) && text.contains("package_signer_unknown"), "{text}");
    inventory.trust("package-trust", &pem);
    assert!(node.import(&inventory.ndjson()).status.success());
    let (code, text) = run(&node, &[&install[..], &["--dry-run"]].concat());
    assert!(code == Some(0) && text.contains("would be installed"), "{text}");
    assert!(!run(&node, &["package", "list"]).1.contains("Acme"));
    let (code, text) = run(&node, &install);
    assert!(code == Some(0) && text.contains("is installed in version 1.0"), "{text}");
    let (code, text) = run(&node, &install);
    assert!(code == Some(1) && text.contains("package_not_newer"), "{text}");
    assert!(run(&node, &["package", "show", "Acme phones"]).1.contains("1.0"));
    node.start();
    assert_eq!(model_names(&node), ["Acme Plain", "Acme Secure"]);
    // Its models are in use by their own record, there as here.
    assert_eq!(node.terminate(), Some(0));
    let (code, text) = run(&node, &["package", "delete", "Acme phones"]);
    assert!(code == Some(1) && text.contains("in_use"), "{text}");
}
