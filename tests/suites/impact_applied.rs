//! What a change would do, asked; then the change, brought to the phones by a roll-out: the phones that the answer named
//! are those that get another mode, or are refused, and no others are.

use std::collections::BTreeSet;

use keyline_loadtest::phone::{Phone, Transport};
use keyline_tests::inventory::{CISCO, Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::Authority;
use keyline_tests::wait;
use serde_json::{Value, json};

use crate::common::registered;

/// Own certificate and digest; digest alone; UDP; TCP; UDP under a profile of its own.
const PHONES: [(&str, &str, &str); 5] = [
    ("SEP00AABBCCDD01", "1001", "Secure"),
    ("SEP00AABBCCDD02", "1002", "Secure"),
    ("SEP00AABBCCDD03", "1003", "Desk"),
    ("SEP00AABBCCDD04", "1004", "Desk"),
    ("SEP00AABBCCDD05", "1005", "Other"),
];

type Names = BTreeSet<String>;

fn named(list: &Value) -> Names {
    let first = list["first"].as_array().unwrap().iter();
    let names: Names =
        first.map(|one| one.get("phone").unwrap_or(one).as_str().unwrap().to_owned()).collect();
    assert_eq!(list["count"], names.len(), "{list}");
    names
}

fn names(of: &[usize]) -> Names {
    of.iter().map(|n| PHONES[*n].0.to_owned()).collect()
}

async fn fleet() -> (Node, Vec<Phone>) {
    let capf = Authority::new("Test CAPF");
    let mut inventory = Inventory::new();
    inventory.mixed().parameter("apply_grace_s", 0).trust("CAPF-trust", &capf.pem());
    let secure =
        json!({"device_security_mode": "encrypted", "transport": "tls", "digest_authentication": true});
    inventory.profile("Secure", CISCO, secure);
    for name in ["Desk", "Other"] {
        inventory.profile(name, CISCO, json!({"transport": "tcp_udp"}));
    }
    for (device, dn, profile) in PHONES {
        inventory.end_user(&user_of(dn), &password_of(dn));
        let fields = json!({"security_profile": profile, "digest_user": user_of(dn)});
        inventory.phone(device, CISCO, &[dn], fields);
    }
    let node = Builder::new().shards(2).inventory(&inventory).start();
    let lsc = capf.issue(PHONES[0].0);
    let mut phones = Vec::new();
    for (n, (device, dn, _)) in PHONES.into_iter().enumerate() {
        let transport = match n {
            0 => Transport::Tls(Box::new(node.tls_options(Some(&lsc)))),
            1 => Transport::Tls(Box::new(node.tls_options(None))),
            3 => Transport::Tcp,
            _ => Transport::Udp,
        };
        phones.push(registered(node.digest_phone(transport, device, dn)).await);
    }
    (node, phones)
}

/// The mode by which each phone is judged now.
fn modes(node: &Node) -> Vec<Value> {
    let applied = |device| node.ask("GET", &format!("/phones/{device}"), None).expect(200)["applied"].clone();
    let modes = PHONES.iter().map(|(device, ..)| applied(device)["device_security_mode"].clone());
    modes.inspect(|mode| assert!(mode.is_string())).collect()
}

async fn refused(phones: &[Phone]) -> Names {
    let mut refused = Names::new();
    for (phone, (device, ..)) in phones.iter().zip(PHONES) {
        if phone.refresh().await.is_err() {
            refused.insert(device.to_owned());
        }
    }
    refused
}

/// Brings what is saved to all phones of a profile.
fn roll_out(node: &Node, profile: &str) -> Value {
    let path = format!("/security-profiles/{profile}/apply");
    let mut body = json!({"per_second": 1000, "gate": {"failed_percent": 100, "window_s": 1}});
    body["confirm"] =
        node.ask("POST", &path, Some(&body)).refused(428, "confirmation_required")["confirm"].clone();
    let id = node.ask("POST", &path, Some(&body)).expect(202)["id"].clone();
    wait::until("the end of the roll-out", || {
        let now = node.ask("GET", &format!("/rollouts/{id}"), None).expect(200);
        (now["state"] == "finished").then_some(now)
    })
}

#[test]
fn r130_r206_who_is_named_before_a_save_is_who_fails_or_changes_mode_once_it_is_rolled_out() {
    let cases: [(&str, Value, &[usize], &[usize]); 4] = [
        // What is saved, who is refused then, who has another mode then.
        ("Desk", json!({"transport": "tcp"}), &[2], &[]),
        ("Secure", json!({"digest_authentication": false}), &[1], &[]),
        ("Secure", json!({"device_security_mode": "non_secure", "transport": "tcp_udp"}), &[0, 1], &[0, 1]),
        ("Desk", json!({"device_security_mode": "encrypted", "transport": "tls"}), &[2, 3], &[2, 3]),
    ];
    wait::run(async {
        for (profile, body, fails, changes) in cases {
            let (node, phones) = fleet().await;
            let (path, before) = (format!("/security-profiles/{profile}"), modes(&node));
            let asked = node.ask("PATCH", &format!("{path}?dry_run=true"), Some(&body)).expect(200);
            let impact = &asked["impact"];
            assert_eq!((&impact["phones"], &impact["registered"]), (&json!(2), &json!(2)), "{asked:#}");
            assert_eq!(named(&impact["would_fail"]), names(fails), "{body}: {asked:#}");
            assert_eq!(named(&impact["mode_changes"]), names(changes), "{body}: {asked:#}");
            assert_eq!(refused(&phones).await, Names::new(), "{body}: nothing was done");
            // Save: nobody is touched.
            node.ask("PATCH", &path, Some(&body)).expect(200);
            assert_eq!(
                (refused(&phones).await, modes(&node)),
                (Names::new(), before.clone()),
                "{body}: saved"
            );
            let done = roll_out(&node, profile);
            assert_eq!(done["phones"]["signalled"], 2, "{done:#}");
            let now = modes(&node);
            let differ = (0..PHONES.len()).filter(|n| before[*n] != now[*n]).collect::<Vec<_>>();
            assert_eq!(differ, changes, "{body}: modes {before:?} {now:?}");
            assert_eq!(refused(&phones).await, names(fails), "{body}: applied");
        }
    });
}

#[test]
fn r064_r146_r147_keys_are_named_before_a_save_and_warned_of_with_it() {
    wait::run(async {
        let (node, _phones) = fleet().await;
        let path = "/security-profiles/Desk";
        let codes = |told: &Value| {
            let all =
                told["warnings"].as_array().unwrap().iter().map(|w| w["code"].as_str().unwrap().to_owned());
            all.collect::<Vec<_>>()
        };
        let (both, ec) = (names(&[2, 3]), json!({"key_order": "ec_only", "tftp_encrypted_config": true}));
        for (body, list, code) in [
            (ec, "encrypted_config_needs_rsa", "encrypted_config_needs_rsa"),
            (json!({"rsa_key_size": 4096}), "long_rsa_keys", "long_rsa_key"),
            (json!({"rsa_key_size": 512}), "weak_rsa_keys", "weak_rsa_key"),
        ] {
            let told = node.ask("PATCH", &format!("{path}?dry_run=true"), Some(&body)).expect(200);
            assert_eq!(
                (named(&told["impact"][list]), codes(&told)),
                (both.clone(), vec![code.to_owned()]),
                "{told:#}"
            );
            // Without any phone the profile itself is warned of.
            let mut row = json!({"name": "New", "model": CISCO, "protocol": "sip"});
            row.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            let told = node.ask("POST", "/security-profiles?dry_run=true", Some(&row)).expect(200);
            assert_eq!((named(&told["impact"][list]), codes(&told)), (Names::new(), vec![code.to_owned()]));
            let done = node.ask("PATCH", path, Some(&body)).expect(200);
            assert_eq!((codes(&done), &done["impact"]), (vec![code.to_owned()], &Value::Null), "{done:#}");
            let back = json!({"key_order": null, "tftp_encrypted_config": null, "rsa_key_size": null});
            node.ask("PATCH", path, Some(&back)).expect(200);
        }
        let said = node.run(&["profile", "set", "Desk", "rsa_key_size=4096", "--dry-run"]);
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(text.contains("2 phones would be asked for long RSA keys"), "{text}{said:?}");
    });
}
