use proptest::prelude::*;

use super::*;

fn switch() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![None, Some("enabled"), Some("disabled")])
}

fn hardening() -> impl Strategy<Value = serde_json::Value> {
    prop::array::uniform7(switch()).prop_map(|all| {
        let names = [
            "gratuitous_arp",
            "web_access",
            "pc_voice_vlan_access",
            "settings_access",
            "pc_port",
            "speakerphone",
            "headset",
        ];
        names
            .iter()
            .zip(all)
            .filter_map(|(n, s)| Some(((*n).to_owned(), serde_json::Value::from(s?))))
            .collect()
    })
}

/// A sound file: users, lines, profiles of all sorts, phones that name them.
pub(super) fn file() -> impl Strategy<Value = Vec<String>> {
    let profile = (0..3_usize, any::<[bool; 3]>(), 1..=86_400_u32, "[a-z é']{0,50}");
    let phone = (any::<bool>(), prop::option::of(0..6_usize), 0..4_usize, hardening(), any::<bool>());
    let phones = prop::collection::vec(phone, 0..8);
    (prop::collection::vec(profile, 0..6), phones, hardening(), 1..600_u32).prop_map(
        |(profiles, phones, common, grace)| {
            let mut all = vec![
                serde_json::json!({"kind":"parameter","name":"apply_grace_s","value":grace}),
                serde_json::json!({"kind":"phone_model","name":"Acme 1","vendor_class":"preferred",
                    "protocols":["sip"],"trusted":true,"capabilities":["tls","device_security_mode"],
                    "tls_certificate":"shared"}),
                serde_json::json!({"kind":"common_phone_profile","name":"Lobby","hardening":common}),
                serde_json::json!({"kind":"enterprise_phone","hardening":{"web_access":"disabled"}}),
            ];
            let mut count = 0;
            for (i, (mode, [digest, file, _], nonce, description)) in profiles.iter().enumerate() {
                let mode = ["non_secure", "authenticated", "encrypted"][*mode];
                all.push(serde_json::json!({"kind":"security_profile","name":format!("P{i}"),
                    "model":"Cisco 8845","device_security_mode":mode,"digest_authentication":digest,
                    "tftp_encrypted_config":file,"nonce_validity_s":nonce,"description":description}));
                count = i + 1;
            }
            for (i, (user, profile, lines, hardening, common)) in phones.into_iter().enumerate() {
                let dns: Vec<String> = (0..lines).map(|l| format!("{i}00{l}")).collect();
                all.extend(dns.iter().map(|dn| serde_json::json!({"kind":"line","dn":dn})));
                let mut phone = serde_json::json!({"kind":"phone","name":format!("SEP{i:012X}"),
                    "model":"Cisco 8845","lines":dns,"hardening":hardening});
                if user {
                    let kind = if i % 2 == 0 { "end_user" } else { "application_user" };
                    all.push(
                        serde_json::json!({"kind":kind,"id":format!("u{i}"),"digest_credentials":"pw1"}),
                    );
                    phone["digest_user"] = format!("u{i}").into();
                }
                match profile.filter(|p| *p < count) {
                    Some(p) => phone["security_profile"] = format!("P{p}").into(),
                    None if i % 3 == 0 => phone["model"] = "Acme 1".into(),
                    None => {}
                }
                if common {
                    phone["common_phone_profile"] = "Lobby".into();
                }
                all.push(phone);
            }
            all.iter().map(ToString::to_string).collect()
        },
    )
}

pub(super) fn texts(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn export_then_import_is_identity(file in file().prop_shuffle()) {
        let mut first = Inventory::new();
        let changes = import(&mut first, &texts(&file));
        let exported: Vec<String> = first.export(true).collect();
        let mut second = Inventory::new();
        import(&mut second, &texts(&exported));
        prop_assert_eq!(&exported, &second.export(true).collect::<Vec<_>>());
        // The stored records give the same inventory, whatever their order within a kind.
        let mut puts: Vec<_> = changes
            .into_iter()
            .filter_map(|c| match c {
                Change::Put { kind, key, value } => Some((kind, key, value)),
                _ => None,
            })
            .collect();
        puts.sort();
        let mut third = Inventory::new();
        for (kind, key, value) in &puts {
            third.load(*kind, key, value, &Mask).unwrap();
        }
        prop_assert_eq!(&exported, &third.export(true).collect::<Vec<_>>());
        // Nothing changes when the same file comes again, and no version moves.
        import(&mut first, &texts(&file));
        prop_assert_eq!(&exported, &first.export(true).collect::<Vec<_>>());
        prop_assert!(first.profiles_after(None).all(|p| p.version.0 == 1));
    }

    #[test]
    fn everything_can_be_removed_again(file in file()) {
        let mut inventory = Inventory::new();
        import(&mut inventory, &texts(&file));
        for kind in Kind::LOAD_ORDER.into_iter().rev() {
            for text in inventory.export(false).collect::<Vec<_>>() {
                let row = row(&text);
                if row.kind() == kind {
                    inventory.remove(kind, &row.name()).unwrap();
                }
            }
        }
        prop_assert_eq!(inventory.export(true).count(), 0);
        prop_assert!(inventory.profiles.is_empty() && inventory.names.is_empty());
        prop_assert!(inventory.phones.iter().all(Option::is_none));
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*", field in "[a-z_]{1,20}", n in any::<i64>()) {
        let _ = parse_row(&text);
        for kind in Kind::rows() {
            for name in kind.fields().iter().copied().chain([field.as_str()]) {
                let quoted = serde_json::to_string(&text).unwrap();
                for value in [quoted.as_str(), &n.to_string(), "null", "[[]]", "{}", "true"] {
                    let _ = parse_row(&format!(r#"{{"kind":"{kind}","{name}":{value}}}"#));
                }
            }
        }
    }

    #[test]
    fn damaged_rows_never_panic(file in file(), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let mut rows = Vec::new();
        for text in &file {
            let mut chars: Vec<char> = text.chars().collect();
            let place = at.index(chars.len());
            chars[place] = with;
            let damaged: String = chars.into_iter().collect();
            rows.extend(parse_row(&damaged).ok());
        }
        let mut inventory = Inventory::new();
        let sound = inventory.check(&rows, false).is_ok();
        for row in in_order(rows) {
            let applied = inventory.apply(row, ONLINE);
            prop_assert!(!sound || applied.is_ok(), "{:?}", applied);
        }
    }
}

#[test]
fn a_file_of_300_000_rows_is_checked_in_linear_time() {
    // A quadratic check would take hours here; a linear one takes moments even unoptimised.
    const PHONES: usize = 100_000;
    let mut all = Vec::with_capacity(3 * PHONES);
    for i in 0..PHONES {
        all.push(row(&format!(
            r#"{{"kind":"phone","name":"SEP{i:012X}","model":"Cisco 8845","security_profile":"Digest","digest_user":"u{i}","lines":["{i}"]}}"#
        )));
        all.push(row(&format!(r#"{{"kind":"line","dn":"{i}"}}"#)));
        all.push(row(&format!(r#"{{"kind":"end_user","id":"u{i}","digest_credentials":"pw{i}"}}"#)));
    }
    all.push(row(DIGEST));
    let mut inventory = Inventory::new();
    assert!(inventory.check(&all, true).is_ok());
    for row in in_order(all) {
        inventory.apply(row, ONLINE).unwrap();
    }
    assert_eq!(inventory.phone_count(), PHONES);
    let id = inventory.profile_id("Digest").unwrap();
    assert_eq!(inventory.device_count_of(id), PHONES);
}
