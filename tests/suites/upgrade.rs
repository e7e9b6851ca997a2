//! A store of an earlier schema, opened by this version: nothing that phones rely on changes.

use keyline_storage::{Commit, Outcome, Page, RocksOptions, RocksStore, Store, Table};
use keyline_tests::inventory::{CISCO, Inventory};
use keyline_tests::node::{Builder, Node};
use serde_json::{Value, json};

const PHONES: [(&str, &str); 3] = [
    ("SEP00AABBCCDD01", "non_secure"),
    ("SEP00AABBCCDD02", "authenticated"),
    ("SEP00AABBCCDD03", "encrypted"),
];

/// Three phones in three modes, as schema 0 had them: each with its mode, none with a profile.
fn store_of_schema_0() -> Node {
    let mut inventory = Inventory::new();
    for (i, (phone, _)) in (0..).zip(PHONES) {
        inventory.plain_phone(phone, &format!("{}", 1001 + i));
    }
    let node = Builder::new().inventory(&inventory).prepare();
    let store = RocksStore::open(&node.data().join("store"), RocksOptions::default()).unwrap();
    for (i, (phone, mode)) in (0..).zip(PHONES) {
        let row = json!({"name": phone, "model": CISCO, "protocol": "sip", "description": format!("desk {i}"),
                         "lines": [format!("{}", 1001 + i)], "device_security_mode": mode});
        let put =
            Commit::build().put(Table::Config, format!("phone/{phone}").into_bytes(), 0, row.to_string());
        assert!(matches!(store.commit(&put.finish().unwrap()), Outcome::Committed(_)));
    }
    node
}

fn phone(node: &Node, name: &str) -> Value {
    let answer = node.admin_get(&format!("/phones/{name}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn schemas(node: &Node) -> Vec<u8> {
    let store = RocksStore::open(&node.data().join("store"), RocksOptions::default()).unwrap();
    let page = store.scan(Table::Config, b"phone/", Page::FIRST, None).unwrap();
    page.rows.iter().map(|(_, record)| record.schema).collect()
}

#[test]
fn r003_r007_r110_phones_keep_their_mode_over_an_upgrade_and_certificates_stay() {
    let mut node = store_of_schema_0();
    assert_eq!(schemas(&node), [0, 0, 0]);
    let before = ["CallManager", "CallManager-EC", "TFTP"];
    node.start();
    let certificates = before.map(|name| node.certificate(name));
    for (i, (name, mode)) in PHONES.into_iter().enumerate() {
        let shown = phone(&node, name);
        assert_eq!(shown["device_security_mode"], mode, "{shown}");
        assert_eq!(shown["description"], format!("desk {i}"));
        let profile = shown["security_profile"].as_str().unwrap();
        let profile = node.admin_get(&format!("/security-profiles/{}", profile.replace(' ', "%20"))).json();
        assert_eq!((&profile["model"], &profile["protocol"]), (&json!(CISCO), &json!("sip")), "{profile}");
        assert_eq!(profile["predefined"], mode == "non_secure", "{profile}");
    }
    let entries = node.admin_get("/audit?filter=operation:is_exactly:upgrade").json();
    assert_eq!(entries["items"].as_array().unwrap().len(), 3, "{entries}");
    assert_eq!(entries["items"][0]["source"], "node");
    // The next starts find nothing to do, and everything as it was.
    node.kill9_and_restart();
    for (name, mode) in PHONES {
        assert_eq!(phone(&node, name)["device_security_mode"], mode);
    }
    assert_eq!(before.map(|name| node.certificate(name)), certificates);
    assert_eq!(
        node.admin_get("/audit?filter=operation:is_exactly:upgrade").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    node.terminate();
    assert_eq!(schemas(&node), [1, 1, 1]);
}

#[test]
fn a_schema_that_is_not_known_yet_is_refused_by_its_row() {
    let node = store_of_schema_0();
    let store = RocksStore::open(&node.data().join("store"), RocksOptions::default()).unwrap();
    let put = Commit::build().put(Table::Config, b"line/1001".to_vec(), 9, "{}");
    assert!(matches!(store.commit(&put.finish().unwrap()), Outcome::Committed(_)));
    drop(store);
    let (code, text) = node.fail_to_start();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("line/1001") && text.contains("schema is 9"), "{text}");
}
