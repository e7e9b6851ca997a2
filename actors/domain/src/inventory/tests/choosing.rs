//! What is chosen on a phone: its profile and its digest user.

use serde_json::{Value, json};

use super::mutating::{change, code};
use super::*;
use crate::mode::{DeviceSecurityMode, ProfileTransport};
use crate::profile::SecurityProfile;

const NAME: &str = "SEP00AABBCCDD01";

fn create(inventory: &mut Inventory, kind: Kind, body: Value) -> Result<Mutated, RowError> {
    change(inventory, Step::Create { kind, body })
}

fn merge(inventory: &mut Inventory, kind: Kind, name: &str, body: Value) -> Result<Mutated, RowError> {
    change(inventory, Step::Merge { kind, name: name.into(), body })
}

fn profile_of(inventory: &Inventory, phone: &str) -> SecurityProfile {
    (*inventory.phone_named(phone).unwrap().profile).clone()
}

fn profile(name: &str) -> Value {
    json!({"name": name, "model": "Cisco 8845", "protocol": "sip"})
}

#[test]
fn r061_r095_a_profile_is_configured_first_and_chosen_on_the_phone_then() {
    let mut inventory = Inventory::new();
    import(&mut inventory, &[LINE, PHONE]);
    let choose = || json!({"security_profile": "Desk"});
    let early = merge(&mut inventory, Kind::Phone, NAME, choose());
    assert_eq!(code(early), "reference_missing");
    create(&mut inventory, Kind::SecurityProfile, profile("Desk")).unwrap();
    assert!(profile_of(&inventory, NAME).predefined, "a profile that is there is chosen for nobody");
    merge(&mut inventory, Kind::Phone, NAME, choose()).unwrap();
    assert_eq!(profile_of(&inventory, NAME).name, "Desk");
}

#[test]
fn r092_r102_many_phones_have_one_profile_and_follow_its_change() {
    const PHONES: u32 = 2000;
    let mut inventory = Inventory::new();
    create(&mut inventory, Kind::SecurityProfile, profile("Desk")).unwrap();
    let name = |n: u32| format!("SEP{n:012X}");
    for n in 0..PHONES {
        let phone = json!({"name": name(n), "model": "Cisco 8845", "security_profile": "Desk", "lines": []});
        create(&mut inventory, Kind::Phone, phone).unwrap();
    }
    let id = inventory.profile_id("Desk").unwrap();
    assert_eq!(inventory.device_count_of(id), PHONES as usize);
    let before = profile_of(&inventory, &name(0)).version;
    let done = merge(&mut inventory, Kind::SecurityProfile, "Desk", json!({"nonce_validity_s": 77})).unwrap();
    // One save: no record of a phone is written, and the new version is there to be applied.
    let records = done.changes.iter().filter(|c| !matches!(c, Change::Publish(_))).count();
    assert_eq!(records, 1);
    let saved = events(done.changes);
    assert!(
        saved.iter().any(|e| matches!(e, Event::ProfileSaved { id: of, needs_apply: true, .. } if *of == id))
    );
    for n in [0, PHONES / 2, PHONES - 1] {
        let now = profile_of(&inventory, &name(n));
        assert!(now.settings.nonce_validity_s == 77 && now.version > before);
    }
}

#[test]
fn r093_a_profile_has_mode_digest_and_capf_settings() {
    let mut inventory = Inventory::new();
    let mut body = profile("All");
    for (field, value) in [
        ("device_security_mode", json!("encrypted")),
        ("digest_authentication", json!(true)),
        ("capf_authentication_mode", json!("existing_certificate_mic")),
        ("key_order", json!("ec_only")),
        ("ec_key_size", json!(521)),
    ] {
        body[field] = value;
    }
    create(&mut inventory, Kind::SecurityProfile, body.clone()).unwrap();
    let text = inventory.row_text(Kind::SecurityProfile, "All", false).unwrap();
    let stored: Value = serde_json::from_str(&text).unwrap();
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&stored[field], value, "{field}");
    }
    body["name"] = "Other".into();
    body["favourite_colour"] = "blue".into();
    assert_eq!(code(create(&mut inventory, Kind::SecurityProfile, body)), "field_unknown");
}

#[test]
fn r096_security_needs_a_profile_of_ones_own() {
    let mut inventory = Inventory::new();
    import(&mut inventory, &[LINE, PHONE]);
    let given = profile_of(&inventory, NAME);
    assert!(given.predefined && given.settings.device_security_mode == DeviceSecurityMode::NonSecure);
    let secure = json!({"device_security_mode": "encrypted"});
    let changed = merge(&mut inventory, Kind::SecurityProfile, &given.name, secure.clone());
    assert_eq!(code(changed), "profile_predefined");
    let mut own = profile("Own");
    own["device_security_mode"] = "encrypted".into();
    create(&mut inventory, Kind::SecurityProfile, own).unwrap();
    merge(&mut inventory, Kind::Phone, NAME, json!({"security_profile": "Own"})).unwrap();
    let now = profile_of(&inventory, NAME).settings;
    assert_eq!(
        (now.device_security_mode, now.transport),
        (DeviceSecurityMode::Encrypted, ProfileTransport::Tls)
    );
}

#[test]
fn r114_r150_a_profile_needs_a_name_of_its_own() {
    let mut inventory = Inventory::new();
    for protocol in ["sip", "sccp"] {
        let nameless = json!({"model": "Cisco 7962", "protocol": protocol});
        assert_eq!(code(create(&mut inventory, Kind::SecurityProfile, nameless.clone())), "field_missing");
        let mut empty = nameless.clone();
        empty["name"] = "".into();
        assert!(create(&mut inventory, Kind::SecurityProfile, empty).is_err());
        let mut named = nameless;
        named["name"] = format!("Desk {protocol}").into();
        create(&mut inventory, Kind::SecurityProfile, named.clone()).unwrap();
        assert_eq!(code(create(&mut inventory, Kind::SecurityProfile, named)), "exists");
    }
    let own = inventory.all_profiles().filter(|p| !p.predefined);
    let own: Vec<_> = own.map(|p| (p.name, p.model, p.protocol.as_str())).collect();
    let listed = |protocol: &'static str| (format!("Desk {protocol}"), "Cisco 7962".to_owned(), protocol);
    assert_eq!(own, [listed("sip"), listed("sccp")]);
}

#[test]
fn r151_the_description_of_a_sip_profile_has_the_limits_of_the_other() {
    let mut inventory = Inventory::new();
    for (n, protocol) in ["sip", "sccp"].into_iter().enumerate() {
        let with = |name: String, text: &str| json!({"name": name, "model": "Cisco 7962", "protocol": protocol, "description": text});
        create(&mut inventory, Kind::SecurityProfile, with(format!("Good {n}"), &"ü".repeat(50))).unwrap();
        let long = create(&mut inventory, Kind::SecurityProfile, with(format!("Long {n}"), &"ü".repeat(51)));
        let bad = create(&mut inventory, Kind::SecurityProfile, with(format!("Bad {n}"), "50 % off"));
        assert!(long.is_err() && bad.is_err(), "{protocol}");
    }
}

#[test]
fn r185_a_profile_can_be_deleted_once_its_phones_have_another() {
    let mut inventory = Inventory::new();
    import(&mut inventory, &[LINE, DIGEST, &phone_with(r#""lines":["1001"],"security_profile":"Digest""#)]);
    let delete = || Step::Remove { kind: Kind::SecurityProfile, name: "Digest".into() };
    assert_eq!(code(change(&mut inventory, delete())), "in_use");
    create(&mut inventory, Kind::SecurityProfile, profile("Other")).unwrap();
    merge(&mut inventory, Kind::Phone, NAME, json!({"security_profile": "Other"})).unwrap();
    change(&mut inventory, delete()).unwrap();
    assert_eq!(inventory.profile_id("Digest"), None);
}

#[test]
fn r199_the_digest_user_is_chosen_on_the_phone_and_must_be_there() {
    let mut inventory = Inventory::new();
    import(&mut inventory, &[LINE, ALICE, PHONE]);
    let nobody = merge(&mut inventory, Kind::Phone, NAME, json!({"digest_user": "bob"}));
    assert_eq!(code(nobody), "reference_missing");
    merge(&mut inventory, Kind::Phone, NAME, json!({"digest_user": "alice"})).unwrap();
    let user = inventory.phone_named(NAME).unwrap().digest_user.map(|u| u.as_str().to_owned());
    assert_eq!(user.as_deref(), Some("alice"));
    let away = Step::Remove { kind: Kind::EndUser, name: "alice".into() };
    assert_eq!(code(change(&mut inventory, away)), "in_use");
}

#[test]
fn r207_the_realm_is_ccmsipline_until_it_is_set_and_again_when_it_is_reset() {
    let mut inventory = Inventory::new();
    let realm = |inventory: &Inventory| inventory.parameters().sip_realm_station.to_string();
    assert_eq!(realm(&inventory), "ccmsipline");
    import(&mut inventory, &[r#"{"kind":"parameter","name":"sip_realm_station","value":"voice.example"}"#]);
    assert_eq!(realm(&inventory), "voice.example");
    change(&mut inventory, Step::Remove { kind: Kind::Parameter, name: "sip_realm_station".into() }).unwrap();
    assert_eq!(realm(&inventory), "ccmsipline");
}

#[test]
fn r208_a_node_has_a_realm_of_its_own_where_call_processing_is_active() {
    const KEY: &str = "sip_realm_station@alpha";
    let realm = |inventory: &Inventory| inventory.parameters().sip_realm_station.to_string();
    let own = |node: &str| {
        format!(r#"{{"kind":"parameter","name":"sip_realm_station","node":"{node}","value":"a"}}"#)
    };
    let mut inventory = Inventory::new();
    assert_eq!(refused(&inventory, &[&own("alpha")]), [(0, "node_inactive")], "no node is known yet");
    inventory.serve_on(&["alpha", "beta"]);
    let changes = import(&mut inventory, &[&own("alpha"), &own("beta").replace("\"a\"", "\"b\"")]);
    assert_eq!(realm(&inventory), "a");
    assert_eq!(refused(&inventory, &[&own("gamma")]), [(0, "node_inactive")]);
    for (name, node, code) in [
        ("no_answer_s", "alpha", "parameter_of_cluster"),
        ("sip_realm_station", "al pha", "node_name"),
        ("sip_realm_station@beta", "alpha", "parameter_conflict"),
        ("realm@alpha", "alpha", "parameter_unknown"),
    ] {
        let text = json!({"kind": "parameter", "name": name, "node": node, "value": "a"}).to_string();
        assert_eq!(parse_row(&text).unwrap_err().code(), code, "{name} {node}");
    }
    // What the cluster has holds where a node has nothing of its own, and nowhere else.
    import(&mut inventory, &[r#"{"kind":"parameter","name":"sip_realm_station","value":"all"}"#]);
    assert_eq!(realm(&inventory), "a");
    // As the same rows are read by another node, and by one that runs no longer.
    for (node, expected) in [("beta", "b"), ("alpha", "a"), ("gamma", "ccmsipline")] {
        let mut read = Inventory::new();
        read.serve_on(&[node]);
        for change in &changes {
            if let Change::Put { kind, key, value } = change {
                read.load(*kind, key, value, &Mask).unwrap();
            }
        }
        assert_eq!(realm(&read), expected, "{node}");
        let view = read.parameter_view(KEY).unwrap();
        assert_eq!((view.inactive, view.set), (node != "alpha", true));
    }
    let texts: Vec<_> = inventory.export(false).collect();
    let mut again = Inventory::new();
    again.serve_on(&["alpha", "beta"]);
    import(&mut again, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(again == inventory, "{texts:?}");
    change(&mut inventory, Step::Remove { kind: Kind::Parameter, name: KEY.into() }).unwrap();
    assert_eq!(realm(&inventory), "all");
    assert!(!inventory.parameter_view(KEY).unwrap().set);
    assert!(inventory.parameter_view("sip_realm_station@gamma").is_none());
}

#[test]
fn r210_credentials_are_there_and_no_row_shows_them() {
    let mut inventory = Inventory::new();
    import(&mut inventory, &[ALICE]);
    assert!(inventory.user("alice").unwrap().credentials.is_some());
    let shown = inventory.row_text(Kind::EndUser, "alice", false).unwrap();
    let stored =
        import(&mut inventory, &[r#"{"kind":"end_user","id":"bob","digest_credentials":"secret2"}"#]);
    assert!(!shown.contains("secret1") && !format!("{inventory:?}").contains("secret"));
    for change in stored {
        if let Change::Put { value, .. } = change {
            assert!(value.windows(7).all(|w| w != b"secret2"), "sealed at rest");
        }
    }
}
