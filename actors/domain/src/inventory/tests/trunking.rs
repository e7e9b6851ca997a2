use serde_json::json;

use super::mutating::{change, code};
use super::*;

const REALM: &str = r#"{"kind":"sip_realm","realm":"far.example","user":"us","digest_credentials":"trunk1"}"#;
const SECURE: &str =
    r#"{"kind":"trunk_security_profile","name":"Secure","device_security_mode":"encrypted"}"#;
const TRUNK: &str =
    r#"{"kind":"trunk","name":"Carrier","destination":"far.example:5061","security_profile":"Secure"}"#;

#[test]
fn r201_the_realm_of_a_challenge_says_who_answers() {
    let mut inventory = Inventory::new();
    import(&mut inventory, &[REALM, r#"{"kind":"sip_realm","realm":"bare","user":"us"}"#]);
    let (user, secret) = inventory.answer_to("far.example").unwrap();
    assert_eq!((user.as_str(), secret.expose()), ("us", "trunk1"));
    // Realms are compared byte for byte; nobody's credentials go to a realm that was not meant.
    for (realm, fault) in [
        ("FAR.example", RealmFault::Unknown),
        ("near.example", RealmFault::Unknown),
        ("", RealmFault::Unknown),
        ("bare", RealmFault::NoCredentials),
    ] {
        assert_eq!(inventory.answer_to(realm).unwrap_err(), fault, "{realm}");
    }
    let merge = |body| Step::Merge { kind: Kind::SipRealm, name: "far.example".into(), body };
    change(&mut inventory, merge(json!({"user": "other"}))).unwrap();
    assert_eq!(inventory.answer_to("far.example").unwrap().1.expose(), "trunk1", "what is left out stays");
    change(&mut inventory, merge(json!({"digest_credentials": null}))).unwrap();
    assert_eq!(inventory.answer_to("far.example").unwrap_err(), RealmFault::NoCredentials);
    assert_eq!(
        code(change(&mut inventory, merge(json!({"digest_credentials": "no blanks"})))),
        "field_invalid"
    );
}

#[test]
fn r190_secure_trunks_need_the_permission() {
    let off = r#"{"kind":"parameter","name":"export_controlled_allowed","value":false}"#;
    let mut inventory = Inventory::new();
    assert_eq!(refused(&inventory, &[SECURE, off]), [(0, "export_controlled")]);
    import(&mut inventory, &[SECURE, TRUNK]);
    let mode = |mode: &str| SECURE.replace("encrypted", mode);
    import(&mut inventory, &[off]);
    assert_eq!(refused(&inventory, &[TRUNK]), [(0, "export_controlled")]);
    assert_eq!(refused(&inventory, &[&mode("authenticated")]), [(0, "export_controlled")]);
    assert_eq!(refused(&inventory, &[&mode("non_secure"), TRUNK]), []);
}

#[test]
fn trunks_are_stored_exported_and_not_left_dangling() {
    let mut inventory = Inventory::new();
    assert_eq!(refused(&inventory, &[TRUNK]), [(0, "reference_missing")]);
    let mut again = Inventory::new();
    for change in import(&mut inventory, &[TRUNK, SECURE, REALM]) {
        if let Change::Put { kind, key, value } = change {
            assert!(!String::from_utf8_lossy(&value).contains("trunk1"), "sealed at rest");
            again.load(kind, &key, &value, &Mask).unwrap();
        }
    }
    assert!(again == inventory);
    let texts: Vec<String> = inventory.export(true).collect();
    let mut other = Inventory::new();
    import(&mut other, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(other == inventory);
    assert!(inventory.export(false).all(|row| !row.contains("trunk1")));
    let remove = |kind, name: &str| Step::Remove { kind, name: name.into() };
    assert_eq!(code(change(&mut inventory, remove(Kind::TrunkSecurityProfile, "Secure"))), "in_use");
    let done = change(&mut inventory, remove(Kind::Trunk, "Carrier")).unwrap();
    inventory.revert(done.undo);
    assert!(other == inventory);
    change(&mut inventory, remove(Kind::Trunk, "Carrier")).unwrap();
    change(&mut inventory, remove(Kind::TrunkSecurityProfile, "Secure")).unwrap();
    change(&mut inventory, remove(Kind::SipRealm, "far.example")).unwrap();
    assert!(inventory == Inventory::new());
}
