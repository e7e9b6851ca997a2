use super::*;
use crate::media::{LegMedia, StreamProtection};
use crate::mode::{ClusterMode, DeviceSecurityMode, SecurityClass};

const A: &str = "SEP00AABBCCDD01";
const B: &str = "SEP00AABBCCDD02";
const C: &str = "SEP00AABBCCDD03";

fn causes(impact: &Impact) -> Vec<(&str, &str)> {
    impact.would_fail.first.iter().map(|f| (f.phone.as_str(), f.cause)).collect()
}

fn secure() -> (Inventory, World) {
    let inventory = inventory(&[
        mixed(),
        line("1001"),
        line("1002"),
        user("ann"),
        user("bob"),
        profile("Plain", "non_secure", false),
        profile("Digest", "non_secure", true),
        profile("Encrypted", "encrypted", false),
        profile("Authenticated", "authenticated", false),
        phone(A, Some("Encrypted"), None, &["1001"]),
        phone(B, Some("Encrypted"), None, &["1001", "1002"]),
        phone(C, Some("Authenticated"), None, &["1002"]),
    ]);
    let mut world = World::default();
    world.register(&inventory, A, &tls(SuiteKind::Encrypting, A));
    world.register(&inventory, B, &tls(SuiteKind::Encrypting, &format!("CP-8845-{B}")));
    world.register(&inventory, C, &tls(SuiteKind::IntegrityOnly, C));
    (inventory, world)
}

#[test]
fn a_mode_that_the_phones_do_not_speak_names_them_with_the_cause() {
    let (mut inventory, world) = secure();
    let body = json!({"device_security_mode": "non_secure"});
    let impact = ask(&mut inventory, &world, &[merge(Kind::SecurityProfile, "Encrypted", body)]);
    assert_eq!((impact.phones, impact.registered), (2, 2));
    assert_eq!(causes(&impact), [(A, "tls_not_in_profile"), (B, "tls_not_in_profile")]);
    assert_eq!(impact.would_fail_by_cause["tls_not_in_profile"], 2);
    let changes: Vec<_> =
        impact.mode_changes.first.iter().map(|c| (c.phone.as_str(), c.from, c.to)).collect();
    let (from, to) = (DeviceSecurityMode::Encrypted, DeviceSecurityMode::NonSecure);
    assert_eq!(changes, [(A, from, to), (B, from, to)]);
    // What changes nothing for anybody says so.
    let harmless =
        ask(&mut inventory, &world, &[merge(Kind::SecurityProfile, "Plain", json!({"description": "x"}))]);
    assert!(harmless.is_harmless() && harmless.phones == 0);
}

#[test]
fn r015_a_line_that_becomes_mixed_is_named_with_who_offends() {
    let (mut inventory, world) = secure();
    // 1002 is mixed already, by C: that is nobody's news.
    let other = ask(&mut inventory, &world, &[merge(Kind::Phone, A, json!({"description": "lobby"}))]);
    assert!(other.mixed_lines.is_empty());
    let impact = ask(&mut inventory, &world, &[merge(Kind::Phone, A, json!({"security_profile": "Plain"}))]);
    let lines: Vec<_> =
        impact.mixed_lines.first.iter().map(|m| (m.line.as_str(), &m.offending.first)).collect();
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].0, lines[0].1[0].as_str()), ("1001", A));
    assert!(impact.notes.iter().any(|n| n.code == "shared_line_mixed"));
    // All of them set to encrypted: the line is mixed no more.
    let both = [
        merge(Kind::Phone, C, json!({"security_profile": "Encrypted"})),
        merge(Kind::Phone, A, json!({"description": "lobby"})),
    ];
    assert!(ask(&mut inventory, &world, &both).mixed_lines.is_empty());
}

#[test]
fn r059_leaving_mixed_mode_names_every_secure_phone() {
    let (mut inventory, world) = secure();
    let step = merge(Kind::Parameter, "cluster_security_mode", json!({"value": "non_secure"}));
    let impact = ask(&mut inventory, &world, &[step]);
    assert_eq!(causes(&impact), [(A, "cluster_mode"), (B, "cluster_mode"), (C, "cluster_mode")]);
}

#[test]
fn r111_r113_refusing_manufacturers_certificates_names_who_has_no_other() {
    let (mut inventory, world) = secure();
    let step = merge(Kind::Parameter, "mic_tls_policy", json!({"value": "refuse"}));
    let impact = ask(&mut inventory, &world, &[step]);
    assert_eq!(causes(&impact), [(B, "mic_refused")]);
}

#[test]
fn r130_a_menu_without_integrity_only_suites_names_authenticated_phones() {
    let (mut inventory, world) = secure();
    for menu in ["strongest_rsa_preferred", "medium_ecdsa_preferred"] {
        let impact =
            ask(&mut inventory, &world, &[merge(Kind::Parameter, "tls_ciphers", json!({"value": menu}))]);
        assert_eq!(causes(&impact), [(C, "cipher_policy")]);
        assert_eq!(impact.cipher_policy.first.iter().map(|n| n.as_str()).collect::<Vec<_>>(), [C]);
    }
    let all = merge(Kind::Parameter, "tls_ciphers", json!({"value": "all_ecdsa_preferred"}));
    assert!(ask(&mut inventory, &world, &[all]).is_harmless());
}

#[test]
fn r195_other_credentials_and_other_users_stop_a_phone_that_has_the_old_ones() {
    let mut inventory = inventory(&[
        line("1001"),
        user("ann"),
        user("bob"),
        profile("Digest", "non_secure", true),
        phone(A, Some("Digest"), Some("ann"), &["1001"]),
    ]);
    let mut world = World::default();
    world.register(&inventory, A, &udp(true));
    let new = |secret: &str| merge(Kind::EndUser, "ann", json!({"digest_credentials": secret}));
    assert_eq!(causes(&ask(&mut inventory, &world, &[new("another1")])), [(A, "digest_wrong")]);
    assert!(ask(&mut inventory, &world, &[new("annsecret")]).is_harmless(), "the same once more");
    let login = merge(Kind::Phone, A, json!({"em_user": "bob"}));
    assert_eq!(causes(&ask(&mut inventory, &world, &[login])), [(A, "digest_of_other_user")]);
    let nobody = merge(Kind::Phone, A, json!({"digest_user": null}));
    assert_eq!(causes(&ask(&mut inventory, &world, &[nobody])), [(A, "digest_wrong")]);
    let gone = Step::Remove { kind: Kind::Phone, name: A.into() };
    assert_eq!(causes(&ask(&mut inventory, &world, &[gone])), [(A, "phone_removed")]);
}

#[test]
fn a_digest_that_was_never_shown_is_asked_for_and_not_held_against_the_phone() {
    let mut inventory = inventory(&[
        line("1001"),
        user("ann"),
        profile("Plain", "non_secure", false),
        phone(A, Some("Plain"), Some("ann"), &["1001"]),
    ]);
    let mut world = World::default();
    world.register(&inventory, A, &udp(false));
    let on = merge(Kind::SecurityProfile, "Plain", json!({"digest_authentication": true}));
    let impact = ask(&mut inventory, &world, &[on]);
    assert_eq!((impact.would_fail.count, impact.asked_for_digest.count), (0, 1));
    let tcp = merge(Kind::SecurityProfile, "Plain", json!({"transport": "tcp"}));
    assert_eq!(causes(&ask(&mut inventory, &world, &[tcp])), [(A, "transport_not_in_profile")]);
    let line = merge(Kind::Phone, A, json!({"lines": []}));
    assert_eq!(causes(&ask(&mut inventory, &world, &[line])), [(A, "line_of_other_device")]);
}

#[test]
fn a_certificate_that_was_not_seen_since_the_start_is_not_guessed_at() {
    let (mut inventory, mut world) = secure();
    let index = inventory.phone_named(A).unwrap().index;
    world.phones.get_mut(&index).unwrap().shown = None;
    let step = merge(Kind::Parameter, "mic_tls_policy", json!({"value": "refuse"}));
    let impact = ask(&mut inventory, &world, &[step]);
    assert_eq!((impact.unknown.first[0].as_str(), impact.unknown.count), (A, 1));
}

#[test]
fn a_call_in_progress_that_loses_its_lock_is_named() {
    let (mut inventory, mut world) = secure();
    let leg = |name: &str| LegFacts {
        device: name.parse().unwrap(),
        model: "Cisco 8845".into(),
        trusted: true,
        transport: Transport::Tls,
        suite: SuiteKind::Encrypting,
        proof: PeerProof::Certificate,
        profile: "Encrypted".into(),
        applied_mode: DeviceSecurityMode::Encrypted,
        digest_authentication: false,
        cluster: ClusterMode::Mixed,
        answered: true,
        media: LegMedia { streams: [StreamProtection::Sdes].into_iter().collect(), ..LegMedia::default() },
    };
    world.calls.push(("c1".into(), vec![leg(A), leg(B)]));
    let step = merge(Kind::Phone, B, json!({"security_profile": "Plain"}));
    let impact = ask(&mut inventory, &world, &[step]);
    let loss = &impact.calls_losing_class.first[0];
    assert_eq!(
        (loss.call.as_str(), loss.from, loss.to),
        ("c1", SecurityClass::Encrypted, SecurityClass::NonSecure)
    );
    assert_eq!(loss.devices.iter().map(|d| d.as_str()).collect::<Vec<_>>(), [B]);
    // A phone that is on no call loses none.
    let step = merge(Kind::Phone, C, json!({"security_profile": "Plain"}));
    assert!(ask(&mut inventory, &world, &[step]).calls_losing_class.is_empty());
}

#[test]
fn r023_web_access_off_names_the_phones_and_what_stops_working() {
    let (mut inventory, world) = secure();
    let off = json!({"hardening": {"web_access": "disabled"}});
    let impact = ask(&mut inventory, &world, &[merge(Kind::Phone, A, off.clone())]);
    assert_eq!(impact.web_access_off.count, 1);
    assert!(impact.notes.iter().any(|n| n.text.contains("quality report tool")));
    let all = merge(Kind::EnterprisePhone, "enterprise_phone", off);
    assert_eq!(ask(&mut inventory, &world, &[all]).web_access_off.count, 3);
}

#[test]
fn an_answer_is_bounded() {
    let mut rows = vec![line("1001"), profile("Many", "non_secure", false)];
    let names: Vec<String> = (0..NAMES_MAX + 7).map(|i| format!("SEP{i:012X}")).collect();
    rows.extend(names.iter().map(|n| phone(n, Some("Many"), None, &["1001"])));
    let mut inventory = inventory(&rows);
    let mut world = World::default();
    for name in &names {
        world.register(&inventory, name, &udp(false));
    }
    let step = merge(Kind::SecurityProfile, "Many", json!({"transport": "tcp"}));
    let impact = ask(&mut inventory, &world, &[step]);
    assert_eq!(impact.would_fail.count, (NAMES_MAX + 7) as u64);
    assert_eq!(impact.would_fail.first.len(), NAMES_MAX);
}

/// Names and lengths of a list of keys.
fn keys(list: &Some1000<KeyOfPhone>) -> Vec<(&str, u32, Option<bool>)> {
    list.first.iter().map(|k| (k.phone.as_str(), k.bits, k.supported)).collect()
}

fn notes(impact: &Impact) -> Vec<&str> {
    impact.notes.iter().map(|n| n.code).collect()
}

#[test]
fn r064_r144_ec_only_names_the_phones_for_which_no_file_can_be_encrypted() {
    let (mut inventory, world) = secure();
    let save = |body| [merge(Kind::SecurityProfile, "Encrypted", body)];
    let bad = save(json!({"key_order": "ec_only", "tftp_encrypted_config": true}));
    let impact = ask(&mut inventory, &world, &bad);
    let named: Vec<_> = impact.encrypted_config_needs_rsa.first.iter().map(|n| n.as_str()).collect();
    assert_eq!((named, notes(&impact)), (vec![A, B], vec!["encrypted_config_needs_rsa"]));
    for good in [
        json!({"key_order": "ec_only"}),
        json!({"tftp_encrypted_config": true}),
        json!({"key_order": "ec_preferred_rsa_backup", "tftp_encrypted_config": true}),
    ] {
        assert!(ask(&mut inventory, &world, &save(good)).is_harmless());
    }
    // What is so already is nobody's news; a phone that gets such a profile is.
    let _ = change(&mut inventory, &bad);
    assert!(ask(&mut inventory, &world, &save(json!({"nonce_validity_s": 9}))).is_harmless());
    let moved =
        ask(&mut inventory, &world, &[merge(Kind::Phone, C, json!({"security_profile": "Encrypted"}))]);
    assert_eq!(moved.encrypted_config_needs_rsa.first[0].as_str(), C);
    assert_eq!(moved.encrypted_config_needs_rsa.count, 1);
}

#[test]
fn r146_r148_weak_keys_and_long_ones_are_named_with_their_phones() {
    let (mut inventory, world) = secure();
    for (bits, weak) in [(512, true), (1024, true), (2048, false), (3072, false), (4096, false)] {
        let step = merge(Kind::SecurityProfile, "Encrypted", json!({"rsa_key_size": bits}));
        let impact = ask(&mut inventory, &world, &[step]);
        let expected = vec![(A, bits, None), (B, bits, None)];
        let (none, long) = (vec![], bits > 2048);
        assert_eq!(keys(&impact.weak_rsa_keys), if weak { expected.clone() } else { none.clone() }, "{bits}");
        assert_eq!(keys(&impact.long_rsa_keys), if long { expected } else { none }, "{bits}");
        assert_eq!(impact.is_harmless(), bits == 2048, "{bits}");
    }
}

#[test]
fn r147_models_that_bear_no_long_server_key_are_named_when_they_say_so_and_when_it_comes() {
    let model = |features: Value| {
        json!({"kind": "phone_model", "name": "Acme 1", "vendor_class": "preferred", "protocols": ["sip"],
               "features": features})
    };
    let own = json!({"kind": "phone", "name": A, "model": "Acme 1", "lines": []});
    let other = json!({"kind": "phone", "name": B, "model": "Cisco 8845", "lines": []});
    let mut inventory = inventory(&[model(json!({})), own, other]);
    assert!(small_server_keys(&inventory).is_empty(), "nothing is known of either");
    let body = json!({"features": {"small_server_key_only": true}});
    let steps = [merge(Kind::PhoneModel, "Acme 1", body)];
    let impact = ask(&mut inventory, &World::default(), &steps);
    assert_eq!(impact.small_server_key_only.first.iter().map(|n| n.as_str()).collect::<Vec<_>>(), [A]);
    assert_eq!(notes(&impact), ["small_server_key_only"]);
    let _ = change(&mut inventory, &steps);
    assert_eq!(small_server_keys(&inventory), [("Acme 1".to_owned(), 1)]);
}
