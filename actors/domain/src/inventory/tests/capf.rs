use serde_json::{Value, json};

use super::mutating::{change, code, how, unread};
use super::*;
use crate::profile::{CapfMode, KeyOrder};

const NAME: &str = "SEP00AABBCCDD01";

fn capf(inventory: &mut Inventory, fields: Value) -> Result<Mutated, RowError> {
    let body = json!({ "capf": fields });
    change(inventory, Step::Merge { kind: Kind::Phone, name: NAME.into(), body })
}

fn create(inventory: &mut Inventory, body: Value) -> Result<Mutated, RowError> {
    let kind = match body.get("model_of") {
        None if body.get("lines").is_some() => Kind::Phone,
        _ => Kind::SecurityProfile,
    };
    change(inventory, Step::Create { kind, body })
}

fn with_phone(profile: Option<&str>) -> Inventory {
    let mut inventory = Inventory::new();
    import(&mut inventory, &[LINE, DIGEST, ENCRYPTED]);
    let profile = profile.map(|p| format!(r#""security_profile":"{p}","#)).unwrap_or_default();
    import(&mut inventory, &[&phone_with(&format!(r#"{profile}"lines":["1001"]"#))]);
    inventory
}

fn profile_of(inventory: &Inventory) -> String {
    inventory.phone_named(NAME).unwrap().profile.name.clone()
}

#[test]
fn r104_a_phone_shows_the_capf_settings_of_its_profile() {
    let mut inventory = with_phone(Some("Digest"));
    let shown = inventory.capf_of(NAME).unwrap();
    assert_eq!((shown.authentication_mode, shown.rsa_key_size), (CapfMode::AuthenticationString, 2048));
    assert!(!shown.authentication_string_set);
    import(
        &mut inventory,
        &[r#"{"kind":"phone","name":"SEP00AABBCCDD09","model":"Third-party SIP Device (Basic)","lines":[]}"#],
    );
    assert_eq!(inventory.capf_of("SEP00AABBCCDD09"), None, "its model has none (R054)");
}

#[test]
fn r105_an_operation_needs_its_settings() {
    let mut inventory = with_phone(None);
    assert_eq!(code(capf(&mut inventory, json!({"operation": "install"}))), "capf_settings_missing");
    capf(&mut inventory, json!({"operation": "install", "authentication_string": "1234"})).unwrap();
    // What is set stays, whatever else is changed.
    let other = json!({"description": "lobby"});
    change(&mut inventory, Step::Merge { kind: Kind::Phone, name: NAME.into(), body: other }).unwrap();
    capf(&mut inventory, json!({"operation": "none"})).unwrap();
    capf(&mut inventory, json!({"operation": "upgrade"})).unwrap();
    let null = json!({"authentication_string": null});
    assert_eq!(code(capf(&mut inventory, null)), "capf_settings_missing");
    // A mode that needs none will do, too.
    capf(&mut inventory, json!({"authentication_string": null, "authentication_mode": "null_string"}))
        .unwrap();
    let other = r#"{"kind":"phone","name":"SEP00AABBCCDD09","model":"Third-party SIP Device (Basic)","capf":{"operation":"install","authentication_string":"1234"}}"#;
    assert_eq!(refused(&inventory, &[other]), [(0, "capf_unsupported")]);
}

#[test]
fn r106_r109_a_change_on_the_phone_makes_a_profile_and_applies_it() {
    let mut inventory = with_phone(Some("Digest"));
    let before = inventory.profile_id("Digest").unwrap();
    let done = capf(&mut inventory, json!({"rsa_key_size": 4096})).unwrap();
    assert_eq!(profile_of(&inventory), "Digest RSA-4096");
    let puts = done.changes.iter().filter(|c| matches!(c, Change::Put { .. })).count();
    assert_eq!(puts, 2, "profile and phone, in one change");
    let id = inventory.profile_id("Digest RSA-4096").unwrap();
    let (old, new) = (inventory.profile(before).unwrap(), inventory.profile(id).unwrap());
    assert!(new.settings.digest_authentication, "all but the CAPF settings are those of the old one");
    assert_eq!((old.settings.rsa_key_size, new.settings.rsa_key_size), (2048, 4096), "the old one stays");
    // Endings do not pile up, and a taken name is not taken twice.
    let taken = json!({"name": "Digest RSA-1024", "model": "Cisco 8845"});
    create(&mut inventory, taken).unwrap();
    capf(&mut inventory, json!({"rsa_key_size": 1024})).unwrap();
    assert_eq!(profile_of(&inventory), "Digest RSA-1024 (2)");
    capf(&mut inventory, json!({"authentication_mode": "existing_certificate_lsc"})).unwrap();
    assert_eq!(profile_of(&inventory), "Digest CAPF-LSC");
    // Null is the default again.
    capf(&mut inventory, json!({"authentication_mode": null, "rsa_key_size": null})).unwrap();
    assert_eq!(profile_of(&inventory), "Digest");
    let revert = capf(&mut inventory, json!({"rsa_key_size": 3072})).unwrap();
    inventory.revert(revert.undo);
    assert_eq!(profile_of(&inventory), "Digest");
    assert_eq!(inventory.profile_id("Digest RSA-3072"), None);
}

#[test]
fn r108_a_profile_that_matches_in_everything_is_applied() {
    let mut inventory = with_phone(Some("Digest"));
    let like = |name: &str, digest: bool, rsa: u32| {
        json!({"name": name, "model": "Cisco 8845", "protocol": "sip", "digest_authentication": digest,
               "rsa_key_size": rsa})
    };
    create(&mut inventory, like("Zeta", true, 4096)).unwrap();
    create(&mut inventory, like("Alpha", true, 4096)).unwrap();
    create(&mut inventory, like("No digest", false, 4096)).unwrap();
    capf(&mut inventory, json!({"rsa_key_size": 4096})).unwrap();
    assert_eq!(profile_of(&inventory), "Zeta", "the lowest number, not the first name");
    // What changes nothing changes nothing.
    capf(&mut inventory, json!({"rsa_key_size": 4096})).unwrap();
    assert_eq!(profile_of(&inventory), "Zeta");
}

#[test]
fn r108_a_predefined_profile_is_never_applied_by_accident() {
    let mut inventory = with_phone(None);
    let predefined = profile_of(&inventory);
    capf(&mut inventory, json!({"key_order": "ec_only"})).unwrap();
    let made = profile_of(&inventory);
    assert_eq!(made, format!("{predefined} EC-384"));
    // Back to the settings of the predefined one: another profile of its own, which can be changed.
    capf(&mut inventory, json!({"key_order": null})).unwrap();
    let back = profile_of(&inventory);
    assert_eq!(back, format!("{predefined} RSA-2048"));
    assert!(!inventory.phone_named(NAME).unwrap().profile.predefined);
    // A phone that names it, or none, and changes nothing keeps it.
    let mut inventory = with_phone(None);
    capf(&mut inventory, json!({"rsa_key_size": 2048})).unwrap();
    assert_eq!(profile_of(&inventory), predefined);
}

#[test]
fn r145_a_phone_added_with_key_order_and_size_gets_the_matching_profile() {
    let mut inventory = with_phone(Some("Digest"));
    let phone = |name: &str, capf: Value| json!({"name": name, "model": "Cisco 8845", "lines": [], "security_profile": "Digest", "capf": capf});
    let ec = || json!({"key_order": "ec_only", "ec_key_size": 256});
    create(&mut inventory, phone("SEP00AABBCCDD02", ec())).unwrap();
    let made = |inventory: &Inventory, name| inventory.phone_named(name).unwrap().profile.name.clone();
    assert_eq!(made(&inventory, "SEP00AABBCCDD02"), "Digest EC-256");
    let count = inventory.all_profiles().count();
    create(&mut inventory, phone("SEP00AABBCCDD03", ec())).unwrap();
    assert_eq!(made(&inventory, "SEP00AABBCCDD03"), "Digest EC-256");
    assert_eq!(inventory.all_profiles().count(), count, "the second one found it");
    let settings = inventory.phone_named("SEP00AABBCCDD03").unwrap().profile.settings.clone();
    assert_eq!((settings.key_order, settings.ec_key_size), (KeyOrder::EcOnly, 256));
}

#[test]
fn r107_r143_a_change_of_the_profile_changes_its_phones() {
    let mut inventory = with_phone(Some("Digest"));
    let body = json!({"rsa_key_size": 3072, "capf_authentication_mode": "null_string"});
    change(&mut inventory, Step::Merge { kind: Kind::SecurityProfile, name: "Digest".into(), body }).unwrap();
    let shown = inventory.capf_of(NAME).unwrap();
    assert_eq!((shown.authentication_mode, shown.rsa_key_size), (CapfMode::NullString, 3072));
}

#[test]
fn r136_an_operation_by_null_string_is_warned_of() {
    let mut inventory = with_phone(Some("Digest"));
    let warned = |done: Mutated| done.warnings.iter().any(|w| w.code == WarningCode::NullString);
    assert!(warned(capf(&mut inventory, json!({"authentication_mode": "null_string"})).unwrap()));
    assert!(warned(capf(&mut inventory, json!({"operation": "install"})).unwrap()), "and of each operation");
}

#[test]
fn r214_a_certificate_mode_needs_a_known_certificate_or_force() {
    for mode in ["existing_certificate_lsc", "existing_certificate_mic"] {
        let body = json!({"capf": {"operation": "upgrade", "authentication_mode": mode}});
        let step = Step::Merge { kind: Kind::Phone, name: NAME.into(), body };
        let with = |forced, known: bool| {
            let mut inventory = with_phone(Some("Digest"));
            let ops = inventory.plan(&step, &unread).unwrap();
            inventory
                .mutate(ops, Mutate { forced, has_certificate: &|_| known, ..how() })
                .map_err(|r| r.error)
        };
        assert_eq!(code(with(false, false)), "capf_certificate_unknown");
        let known = with(false, true).unwrap().warnings;
        assert!(known.iter().all(|w| w.code != WarningCode::CapfCertificateUnknown));
        let warned = with(true, false).unwrap().warnings;
        assert!(warned.iter().any(|w| w.code == WarningCode::CapfCertificateUnknown));
    }
}

#[test]
fn capf_fields_are_read_strictly() {
    let mut inventory = with_phone(Some("Digest"));
    assert_eq!(code(capf(&mut inventory, json!({"rsa_key_size": 1000}))), "out_of_range");
    assert_eq!(code(capf(&mut inventory, json!({"key_order": "none"}))), "field_invalid");
    assert_eq!(code(capf(&mut inventory, json!({"key_sort": "none"}))), "field_invalid");
    assert_eq!(code(capf(&mut inventory, json!({"authentication_string": "12"}))), "field_invalid");
}
