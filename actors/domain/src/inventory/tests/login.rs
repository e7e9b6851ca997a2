use proptest::prelude::*;
use serde_json::{Value, json};

use super::mutating::{change, code};
use super::*;

const OWNER: &str = r#"{"kind":"end_user","id":"owner","digest_credentials":"ownersecret"}"#;
const APP: &str = r#"{"kind":"application_user","id":"robot","digest_credentials":"secret2"}"#;
const BARE: &str = r#"{"kind":"end_user","id":"bare"}"#;
const NAME: &str = "SEP00AABBCCDD01";

fn phone(number: u8, digest_user: Option<&str>) -> String {
    let user = digest_user.map(|u| format!(r#","digest_user":"{u}""#)).unwrap_or_default();
    format!(
        r#"{{"kind":"phone","name":"SEP00AABBCCDD0{number}","model":"Cisco 8845","lines":["1001"],"security_profile":"Digest"{user}}}"#
    )
}

fn two_phones() -> Inventory {
    let mut inventory = Inventory::new();
    let (one, two) = (phone(1, Some("owner")), phone(2, None));
    import(&mut inventory, &[LINE, DIGEST, ENCRYPTED, OWNER, ALICE, APP, BARE, &one, &two]);
    inventory
}

fn merge(inventory: &mut Inventory, name: &str, body: Value) -> Result<Mutated, RowError> {
    change(inventory, Step::Merge { kind: Kind::Phone, name: name.into(), body })
}

#[test]
fn r195_a_login_takes_the_owners_place_until_the_logout() {
    let mut inventory = two_phones();
    merge(&mut inventory, NAME, json!({"em_user": "alice"})).unwrap();
    let users = |inventory: &Inventory| {
        let view = inventory.device(&name(NAME)).unwrap();
        (view.em_user.map(|u| u.to_string()), view.digest_user.map(|u| u.to_string()))
    };
    assert_eq!(users(&inventory), (Some("alice".into()), Some("owner".into())));
    // Whatever else is changed or imported again logs nobody out.
    merge(&mut inventory, NAME, json!({"description": "lobby"})).unwrap();
    import(&mut inventory, &[&phone(1, Some("owner"))]);
    let replace = json!({"model": "Cisco 8845", "lines": ["1001"], "digest_user": "owner"});
    change(&mut inventory, Step::Replace { kind: Kind::Phone, name: NAME.into(), body: replace }).unwrap();
    assert_eq!(users(&inventory).0.as_deref(), Some("alice"));
    merge(&mut inventory, NAME, json!({"em_user": null})).unwrap();
    assert_eq!(users(&inventory), (None, Some("owner".into())));
}

#[test]
fn r195_a_login_is_stored() {
    let mut inventory = two_phones();
    let done = merge(&mut inventory, NAME, json!({"em_user": "alice"})).unwrap();
    let record = done.changes.iter().find_map(|c| match c {
        Change::Put { kind: Kind::Phone, key, value } => Some((key.clone(), value.clone())),
        _ => None,
    });
    let (key, value) = record.unwrap();
    let mut again = Inventory::new();
    import(&mut again, &[LINE, DIGEST, OWNER, ALICE]);
    again.load(Kind::Phone, &key, &value, &Mask).unwrap();
    assert_eq!(again.device(&name(NAME)).unwrap().em_user.unwrap().as_str(), "alice");
    let gone = Step::Remove { kind: Kind::EndUser, name: "alice".into() };
    assert_eq!(code(change(&mut again, gone)), "in_use");
}

#[test]
fn r196_a_user_is_on_one_phone_unless_policy_allows_more() {
    let mut inventory = two_phones();
    let two = "SEP00AABBCCDD02";
    merge(&mut inventory, NAME, json!({"em_user": "alice"})).unwrap();
    assert_eq!(code(merge(&mut inventory, two, json!({"em_user": "alice"}))), "logged_in_elsewhere");
    assert_eq!(code(merge(&mut inventory, two, json!({"em_user": "owner"}))), "digest_user_shared");
    assert_eq!(code(merge(&mut inventory, two, json!({"digest_user": "alice"}))), "digest_user_shared");
    assert_eq!(code(merge(&mut inventory, two, json!({"digest_user": "owner"}))), "digest_user_shared");
    // On his own phone the owner may log in.
    merge(&mut inventory, NAME, json!({"em_user": "owner"})).unwrap();
    merge(&mut inventory, two, json!({"em_user": "alice"})).unwrap();
    merge(&mut inventory, two, json!({"em_user": null})).unwrap();
    import(&mut inventory, &[r#"{"kind":"parameter","name":"allow_shared_digest_user","value":true}"#]);
    let done = merge(&mut inventory, two, json!({"em_user": "owner", "digest_user": "owner"})).unwrap();
    assert_eq!(inventory.devices_of_digest_user("owner").len(), 2);
    inventory.revert(done.undo);
    assert_eq!(inventory.devices_of_digest_user("owner").len(), 1);
}

#[test]
fn r195_a_login_needs_an_end_user_with_credentials() {
    let mut inventory = two_phones();
    let login =
        |inventory: &mut Inventory, user: &str| code(merge(inventory, NAME, json!({"em_user": user})));
    assert_eq!(login(&mut inventory, "robot"), "reference_missing");
    assert_eq!(login(&mut inventory, "nobody"), "reference_missing");
    assert_eq!(login(&mut inventory, "bare"), "digest_user_without_credentials");
    merge(&mut inventory, NAME, json!({"em_user": "alice"})).unwrap();
    let clear = json!({"digest_credentials": null});
    let step = Step::Merge { kind: Kind::EndUser, name: "alice".into(), body: clear };
    assert_eq!(code(change(&mut inventory, step)), "credentials_in_use");
}

#[test]
fn r013_a_login_changes_nothing_of_the_devices_status() {
    for profile in ["Digest", "Encrypted"] {
        let mut inventory = two_phones();
        merge(&mut inventory, NAME, json!({"security_profile": profile})).unwrap();
        let status = |inventory: &Inventory| {
            let view = inventory.device(&name(NAME)).unwrap();
            let settings = inventory.profile(view.profile).unwrap().settings.clone();
            (view.profile, view.profile_version, view.trusted(), view.lines, settings)
        };
        let before = status(&inventory);
        let done = merge(&mut inventory, NAME, json!({"em_user": "alice"})).unwrap();
        assert_eq!(status(&inventory), before);
        // Nothing is to be applied either.
        let assigned = events(done.changes)
            .into_iter()
            .any(|e| matches!(e, Event::DeviceChanged { assigned: true, .. }));
        assert!(!assigned);
        merge(&mut inventory, NAME, json!({"em_user": null})).unwrap();
        assert_eq!(status(&inventory), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// R203: credentials, profile, digest user and realm in any order that is possible give one result.
    #[test]
    fn r203_any_order_of_the_digest_task_flow_gives_one_result(order in Just(vec![0_usize, 1, 2, 3, 4]).prop_shuffle()) {
        let base = || {
            let mut inventory = Inventory::new();
            let bare = phone(1, None).replace(r#","security_profile":"Digest""#, "");
            import(&mut inventory, &[LINE, BARE, &bare, &DIGEST.replace(":true", ":false")]);
            inventory
        };
        let tasks = [
            Step::Merge { kind: Kind::EndUser, name: "bare".into(), body: json!({"digest_credentials": "abc1"}) },
            Step::Merge { kind: Kind::SecurityProfile, name: "Digest".into(), body: json!({"digest_authentication": true}) },
            Step::Merge { kind: Kind::Phone, name: NAME.into(), body: json!({"security_profile": "Digest"}) },
            Step::Merge { kind: Kind::Phone, name: NAME.into(), body: json!({"digest_user": "bare"}) },
            Step::Merge { kind: Kind::Parameter, name: "sip_realm_station".into(), body: json!({"value": "branch"}) },
        ];
        let run = |order: &[usize]| {
            let mut inventory = base();
            // A digest user needs credentials (R062): such a task waits until it can be done.
            let mut left: Vec<usize> = order.to_vec();
            while !left.is_empty() {
                let before = left.len();
                left.retain(|task| change(&mut inventory, tasks[*task].clone()).is_err());
                assert!(left.len() < before, "no task can be done: {left:?}");
            }
            inventory
        };
        prop_assert!(run(&order) == run(&[0, 1, 2, 3, 4]));
    }
}
