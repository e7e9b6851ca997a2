//! Packages of phone models (R066–R071).

use super::*;
use crate::mode::Protocol;
use crate::model::{Capability, Package, Signature, judge_package};
use crate::profile::{Field, options};

fn package(version: &str, types: &str) -> Box<Package> {
    let text = format!(r#"{{"name":"Acme phones","version":"{version}","types":[{types}]}}"#);
    Box::new(judge_package(text.as_bytes(), Signature::Good("ab".into())).unwrap())
}

fn step(inventory: &mut Inventory, step: &Step) -> Result<Mutated, RowError> {
    let how = Mutate { sealer: &Mask, offline: false, forced: false, has_certificate: &|_| false };
    let ops = inventory.plan(step, &|_| Err("no parser".to_owned()))?;
    inventory.mutate(ops, how).map_err(|refused| refused.error)
}

fn install(inventory: &mut Inventory, package: Box<Package>) -> Result<Mutated, RowError> {
    step(inventory, &Step::Install(package))
}

const PLAIN: &str = r#"{"name":"Acme 1"}"#;
const SECURE: &str =
    r#"{"name":"Acme 2","security_encryption":true,"trusted":true,"tls_certificate":"per_device"}"#;

#[test]
fn r066_r068_an_install_adds_its_types_in_one_change_and_outlives_a_restart() {
    let mut inventory = Inventory::new();
    let done = install(&mut inventory, package("1.0", &format!("{PLAIN},{SECURE}"))).unwrap();
    let names: Vec<_> = inventory.models().map(|m| m.name.to_string()).collect();
    assert!(names.contains(&"Acme 1".to_owned()) && names.contains(&"Acme 2".to_owned()));
    let mut again = Inventory::new();
    for change in done.changes {
        if let Change::Put { kind, key, value } = change {
            again.load(kind, &key, &value, &Mask).unwrap();
        }
    }
    assert_eq!(again.packages().collect::<Vec<_>>(), inventory.packages().collect::<Vec<_>>());
    assert_eq!(again.model("Acme 2"), inventory.model("Acme 2"));
    assert!(install(&mut again, package("1.0", PLAIN)).is_err(), "it is installed after the restart too");
}

#[test]
fn r066_the_same_and_an_older_version_are_refused() {
    let mut inventory = Inventory::new();
    install(&mut inventory, package("1.9", PLAIN)).unwrap();
    for (version, expected) in [("1.9", false), ("1.8", false), ("1.9.0", false), ("1.10", true)] {
        let result = install(&mut inventory, package(version, PLAIN));
        match expected {
            true => assert!(result.is_ok(), "{version}"),
            false => assert_eq!(result.unwrap_err().code(), "package_not_newer", "{version}"),
        }
    }
    assert_eq!(inventory.packages().next().unwrap().version.to_string(), "1.10");
}

#[test]
fn r067_r070_a_type_without_security_shows_no_mode() {
    let mut inventory = Inventory::new();
    install(&mut inventory, package("1.0", &format!("{PLAIN},{SECURE}"))).unwrap();
    for (name, mode) in [("Acme 1", false), ("Acme 2", true)] {
        let model = inventory.model(name).unwrap();
        assert_eq!(options(model, Protocol::Sip).has(Field::DeviceSecurityMode), mode, "{name}");
        assert_eq!((model.can(Capability::Tls), model.trusted), (mode, mode), "{name}");
        assert!(model.can(Capability::Digest));
    }
    let profile = |model: &str, mode: &str| {
        let text = format!(
            r#"{{"kind":"security_profile","name":"p","model":"{model}","device_security_mode":"{mode}"}}"#
        );
        let row = parse_row(&text).unwrap();
        inventory.check(&[row], true).errors.first().map(|(_, e)| e.code())
    };
    assert_eq!(profile("Acme 1", "encrypted"), Some("mode_unsupported"));
    assert_eq!(profile("Acme 2", "encrypted"), None);
    assert_eq!(profile("Acme 2", "authenticated"), Some("mode_unsupported"));
}

#[test]
fn r066_a_name_that_is_taken_is_refused_and_nothing_is_installed() {
    let mut inventory = Inventory::new();
    install(&mut inventory, package("1.0", PLAIN)).unwrap();
    let other = |types: &str| {
        let text = format!(r#"{{"name":"Other","version":"1","types":[{types}]}}"#);
        Box::new(judge_package(text.as_bytes(), Signature::Good("cd".into())).unwrap())
    };
    let before: Vec<_> = inventory.export(true).collect();
    let refused = install(&mut inventory, other(&format!(r#"{{"name":"Other 1"}},{PLAIN}"#))).unwrap_err();
    assert_eq!(refused.code(), "package_type_taken");
    assert_eq!(inventory.export(true).collect::<Vec<_>>(), before);
    // A row that says something else; one that says the same is taken over, as after an import.
    for (trusted, expected) in [(true, "package_type_taken"), (false, "ok")] {
        let text = format!(
            r#"{{"kind":"phone_model","name":"Third 1","vendor_class":"preferred","protocols":["sip"],"trusted":{trusted}}}"#
        );
        let mut inventory = Inventory::new();
        inventory.apply(parse_row(&text).unwrap(), Apply { sealer: &Mask, offline: true }).unwrap();
        let result = install(&mut inventory, other(r#"{"name":"Third 1"}"#));
        assert_eq!(result.map_or_else(|e| e.code(), |_| "ok"), expected);
    }
}

#[test]
fn r042_r066_only_the_package_changes_its_types() {
    let mut inventory = Inventory::new();
    install(&mut inventory, package("1.0", SECURE)).unwrap();
    let body = serde_json::json!({ "trusted": false });
    let change = Step::Merge { kind: Kind::PhoneModel, name: "Acme 2".to_owned(), body };
    assert_eq!(step(&mut inventory, &change).unwrap_err().code(), "model_of_package");
    // What was exported imports again.
    let rows: Vec<_> = inventory.export(false).map(|line| parse_row(&line).unwrap()).collect();
    assert!(rows.len() == 1 && inventory.check(&rows, true).is_ok());
    let untrusted = SECURE.replace("true,\"tls", "false,\"tls");
    assert_ne!(untrusted, SECURE);
    install(&mut inventory, package("1.1", &untrusted)).unwrap();
    assert!(!inventory.model("Acme 2").unwrap().trusted);
    let write = Step::Create { kind: Kind::Package, body: serde_json::json!({ "name": "x" }) };
    assert_eq!(step(&mut inventory, &write).unwrap_err().code(), "kind_unknown");
}

#[test]
fn a_new_version_may_not_take_away_what_profiles_use() {
    let mut inventory = Inventory::new();
    install(&mut inventory, package("1.0", SECURE)).unwrap();
    let profile =
        r#"{"kind":"security_profile","name":"p","model":"Acme 2","device_security_mode":"encrypted"}"#;
    inventory.apply(parse_row(profile).unwrap(), Apply { sealer: &Mask, offline: true }).unwrap();
    let plain = r#"{"name":"Acme 2"}"#;
    assert_eq!(install(&mut inventory, package("1.1", plain)).unwrap_err().code(), "in_use");
    assert_eq!(inventory.packages().next().unwrap().version.to_string(), "1.0");
}

#[test]
fn an_install_that_is_taken_back_leaves_nothing() {
    let mut inventory = Inventory::new();
    let done = install(&mut inventory, package("1.0", PLAIN)).unwrap();
    inventory.revert(done.undo);
    assert_eq!((inventory.packages().count(), inventory.model("Acme 1")), (0, None));
    let done = install(&mut inventory, package("1.0", PLAIN)).unwrap();
    drop(done);
    let newer = install(&mut inventory, package("2.0", SECURE)).unwrap();
    inventory.revert(newer.undo);
    assert_eq!(inventory.packages().next().unwrap().version.to_string(), "1.0");
    assert!(inventory.model("Acme 2").is_none());
}

#[test]
fn a_package_goes_when_its_types_are_gone() {
    let mut inventory = Inventory::new();
    install(&mut inventory, package("1.0", PLAIN)).unwrap();
    let remove = |kind, name: &str| Step::Remove { kind, name: name.to_owned() };
    assert_eq!(step(&mut inventory, &remove(Kind::Package, "Acme phones")).unwrap_err().code(), "in_use");
    step(&mut inventory, &remove(Kind::PhoneModel, "Acme 1")).unwrap();
    step(&mut inventory, &remove(Kind::Package, "Acme phones")).unwrap();
    assert_eq!(inventory.packages().count(), 0);
}

#[test]
fn r071_the_other_tls_mode_is_refused() {
    for (mode, expected) in [("per_device", None), ("shared", Some("certificate_mode"))] {
        let mut inventory = Inventory::new();
        install(&mut inventory, package("1.0", &SECURE.replace("per_device", mode))).unwrap();
        let phone = parse_row(r#"{"kind":"phone","name":"SEP000000000001","model":"Acme 2"}"#).unwrap();
        let text = r#"{"kind":"certificate","purpose":"vendor-trust","phone":"SEP000000000001","pem":"-----BEGIN CERTIFICATE-----"}"#;
        let mut certificate = parse_row(text).unwrap();
        if let Row::Certificate(row) = &mut certificate {
            row.facts = Some(facts_of("SEP000000000001"));
        }
        let report = inventory.check(&[phone, certificate], true);
        assert_eq!(report.errors.first().map(|(_, e)| e.code()), expected, "{mode}");
    }
}

fn facts_of(name: &str) -> CertificateFacts {
    CertificateFacts {
        fingerprint: "ab".into(),
        subject: format!("CN={name}").into(),
        common_name: name.into(),
        dns_names: Vec::new(),
        other_names: false,
        is_ca: false,
        not_before: crate::ids::UnixMillis(0),
        not_after: crate::ids::UnixMillis(u64::MAX),
    }
}
