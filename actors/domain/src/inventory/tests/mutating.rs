use proptest::prelude::*;
use serde_json::json;

use super::properties::{file, texts};
use super::*;

pub(super) fn how() -> Mutate<'static> {
    Mutate { sealer: &Mask, offline: false, forced: true, has_certificate: &|_| false }
}

pub(super) fn unread(_: &str) -> Result<CertificateFacts, String> {
    Err("no certificate here".to_owned())
}

pub(super) fn change(inventory: &mut Inventory, step: Step) -> Result<Mutated, RowError> {
    let ops = inventory.plan(&step, &unread)?;
    inventory.mutate(ops, how()).map_err(|r| r.error)
}

fn profile(name: &str, rest: serde_json::Value) -> Step {
    let mut body = json!({"name": name, "model": "Cisco 8845"});
    for (k, v) in rest.as_object().unwrap() {
        body[k] = v.clone();
    }
    Step::Create { kind: Kind::SecurityProfile, body }
}

pub(super) fn code<T: std::fmt::Debug>(result: Result<T, RowError>) -> &'static str {
    result.unwrap_err().code()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever a change did, going back leaves exactly what was there: rows, indexes, counters.
    #[test]
    fn what_is_taken_back_leaves_no_trace(
        first in file(),
        second in file().prop_shuffle(),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        renamed in 0..6_usize,
    ) {
        let (mut inventory, mut same) = (Inventory::new(), Inventory::new());
        import(&mut inventory, &texts(&first));
        import(&mut same, &texts(&first));
        prop_assert!(inventory == same);
        let mut ops: Vec<Op> = Vec::new();
        let rows: Vec<Row> = first.iter().map(|t| row(t)).collect();
        ops.push(Op::Rename { name: format!("P{renamed}"), to: "another".to_owned() });
        ops.extend(second.iter().map(|t| Op::Put(Box::new(row(t)))));
        ops.extend(removed.iter().map(|at| {
            let row = &rows[at.index(rows.len())];
            Op::Remove { kind: row.kind(), name: row.name() }
        }));
        // As a whole it may be refused; then nothing may be left of it either.
        match inventory.mutate(ops.clone(), how()) {
            Ok(done) => inventory.revert(done.undo),
            Err(refused) => prop_assert!(refused.at <= ops.len()),
        }
        prop_assert!(inventory == same);
        // One by one whatever can be done is done, and all of it goes back.
        let mut back = Vec::new();
        for op in ops {
            back.extend(inventory.mutate(vec![op], how()).ok().map(|d| d.undo));
        }
        for undo in back.into_iter().rev() {
            inventory.revert(undo);
        }
        prop_assert!(inventory == same);
    }
}

#[test]
fn a_step_makes_changes_and_removes_one_object() {
    let mut inventory = Inventory::new();
    change(&mut inventory, profile("Branch", json!({"digest_authentication": true}))).unwrap();
    assert_eq!(code(change(&mut inventory, profile("Branch", json!({})))), "exists");
    let merge = |body| Step::Merge { kind: Kind::SecurityProfile, name: "Branch".into(), body };
    change(&mut inventory, merge(json!({"nonce_validity_s": 60}))).unwrap();
    let id = inventory.profile_id("Branch").unwrap();
    let saved = inventory.profile(id).unwrap();
    assert_eq!((saved.version.0, saved.settings.nonce_validity_s), (2, 60));
    assert!(saved.settings.digest_authentication, "what a merge does not name stays");
    // Another mode brings its transport; null brings the default.
    change(&mut inventory, merge(json!({"device_security_mode": "encrypted", "nonce_validity_s": null})))
        .unwrap();
    let saved = inventory.profile(id).unwrap();
    assert_eq!(saved.settings.transport, crate::mode::ProfileTransport::Tls);
    assert_eq!(saved.settings.nonce_validity_s, 600);
    let replace = Step::Replace {
        kind: Kind::SecurityProfile,
        name: "Branch".into(),
        body: json!({"model": "Cisco 8845"}),
    };
    change(&mut inventory, replace).unwrap();
    assert!(
        !inventory.profile(id).unwrap().settings.digest_authentication,
        "what a replacement leaves out is default"
    );
    let other = Step::Replace {
        kind: Kind::SecurityProfile,
        name: "Branch".into(),
        body: json!({"name": "X", "model": "Cisco 8845"}),
    };
    assert_eq!(code(change(&mut inventory, other)), "field_invalid");
    let wrong =
        Step::Merge { kind: Kind::SecurityProfile, name: "Branch".into(), body: json!({"kind": "line"}) };
    assert_eq!(code(change(&mut inventory, wrong)), "field_invalid");
    let gone = || Step::Remove { kind: Kind::SecurityProfile, name: "Branch".into() };
    change(&mut inventory, gone()).unwrap();
    assert_eq!(code(change(&mut inventory, gone())), "not_found");
}

#[test]
fn null_removes_a_secret_and_silence_keeps_it() {
    let mut inventory = Inventory::new();
    import(&mut inventory, &[ALICE]);
    let merge = |body| Step::Merge { kind: Kind::EndUser, name: "alice".into(), body };
    change(&mut inventory, merge(json!({}))).unwrap();
    assert!(inventory.user("alice").unwrap().credentials.is_some());
    change(&mut inventory, merge(json!({"digest_credentials": null}))).unwrap();
    assert!(inventory.user("alice").unwrap().credentials.is_none());
    let twice = Step::Create { kind: Kind::ApplicationUser, body: json!({"id": "alice"}) };
    assert_eq!(code(change(&mut inventory, twice)), "user_in_other_store");
}

#[test]
fn r103_an_assigned_profile_is_renamed_and_its_phones_follow() {
    let mut inventory = Inventory::new();
    import(
        &mut inventory,
        &[LINE, ENCRYPTED, &phone_with(r#""security_profile":"Encrypted","lines":["1001"]"#)],
    );
    let device = name("SEP00AABBCCDD01");
    let id = inventory.device(&device).unwrap().profile;
    let rename = |from: &str, to: &str| Step::Rename { name: from.into(), to: to.into() };
    let done = change(&mut inventory, rename("Encrypted", "Headquarters")).unwrap();
    assert!(matches!(&*events(done.changes), [Event::ProfileSaved { needs_apply: false, .. }]));
    assert_eq!(inventory.device(&device).unwrap().profile, id);
    assert_eq!(inventory.profile(id).unwrap().name, "Headquarters");
    assert!(inventory.row_text(Kind::Phone, device.as_str(), false).unwrap().contains("Headquarters"));
    assert!(inventory.profile_id("Encrypted").is_none(), "no name dangles");
    // Stored and loaded again it is the same.
    change(&mut inventory, profile("Taken", json!({}))).unwrap();
    for (to, refused) in [
        ("Taken", "exists"),
        ("", "profile_name"),
        ("Cisco 8845 - Standard SIP Non-Secure Profile", "exists"),
    ] {
        assert_eq!(code(change(&mut inventory, rename("Headquarters", to))), refused, "{to}");
    }
    let standard = "Cisco 8845 - Standard SIP Non-Secure Profile";
    assert_eq!(code(change(&mut inventory, rename(standard, "Mine"))), "profile_predefined");
    assert_eq!(code(change(&mut inventory, rename("Encrypted", "Mine"))), "not_found");
}

#[test]
fn r216_a_copy_of_a_predefined_profile_can_be_changed() {
    let mut inventory = Inventory::new();
    let standard = "Cisco 8845 - Standard SIP Non-Secure Profile";
    let copy = |to: &str, body| Step::Copy { name: standard.into(), to: to.into(), body };
    change(&mut inventory, copy("Mine", json!({}))).unwrap();
    let mine = inventory.profile(inventory.profile_id("Mine").unwrap()).unwrap();
    let given = inventory.profile(inventory.profile_id(standard).unwrap()).unwrap();
    assert_eq!((mine.predefined, &mine.settings), (false, &given.settings));
    change(
        &mut inventory,
        Step::Merge {
            kind: Kind::SecurityProfile,
            name: "Mine".into(),
            body: json!({"digest_authentication": true}),
        },
    )
    .unwrap();
    let refused = Step::Merge {
        kind: Kind::SecurityProfile,
        name: standard.into(),
        body: json!({"digest_authentication": true}),
    };
    assert_eq!(code(change(&mut inventory, refused)), "profile_predefined");
    assert_eq!(code(change(&mut inventory, copy("Mine", json!({})))), "exists");
}

#[test]
fn r179_new_copy_and_update_open_defaults_the_copied_and_the_existing() {
    let mut inventory = Inventory::new();
    change(&mut inventory, profile("One", json!({"nonce_validity_s": 77, "description": "first"}))).unwrap();
    change(&mut inventory, profile("New", json!({}))).unwrap();
    let copy = Step::Copy { name: "One".into(), to: "Two".into(), body: json!({"description": "second"}) };
    change(&mut inventory, copy).unwrap();
    let update = Step::Merge {
        kind: Kind::SecurityProfile,
        name: "One".into(),
        body: json!({"sip_phone_port": 5070}),
    };
    change(&mut inventory, update).unwrap();
    let of = |name: &str| {
        let p = inventory.profile(inventory.profile_id(name).unwrap()).unwrap();
        (p.settings.nonce_validity_s, p.settings.sip_phone_port, p.description.clone())
    };
    assert_eq!(of("New"), (600, 5060, String::new()));
    assert_eq!(of("Two"), (77, 5060, "second".to_owned()));
    assert_eq!(of("One"), (77, 5070, "first".to_owned()));
}

#[test]
fn several_operations_are_done_together_or_not_at_all() {
    let mut inventory = Inventory::new();
    let put = |text: &str| Op::Put(Box::new(row(text)));
    // The phone names the line and the profile that come beside it.
    let phone = phone_with(r#""security_profile":"Encrypted","lines":["1001"]"#);
    let refused = inventory.mutate(
        vec![put(&phone), put(LINE), put(ENCRYPTED), Op::Remove { kind: Kind::Line, name: "1001".into() }],
        how(),
    );
    let refused = refused.unwrap_err();
    assert_eq!((refused.at, refused.error.code()), (3, "in_use"));
    assert!(inventory == Inventory::new());
    inventory.mutate(vec![put(&phone), put(LINE), put(ENCRYPTED)], how()).unwrap();
    assert_eq!(inventory.phone_count(), 1);
}
