//! Changing the configuration over HTTPS: every kind of object, every rule that the API refuses by.

use keyline_tests::inventory::{CISCO, Inventory};
use keyline_tests::node::{Builder, Node};
use serde_json::{Value, json};

const PHONE: &str = "SEP00AABBCCDD01";

fn empty(shards: u16) -> Node {
    Builder::new().shards(shards).inventory(&Inventory::new()).start()
}

/// Adds an object; its answer.
fn add(node: &Node, list: &str, row: Value) -> Value {
    node.ask("POST", &format!("/{list}"), Some(&row)).expect(201)
}

on_one_and_three!(every_kind_is_made_read_replaced_changed_and_deleted);

/// Lists, with a row to make, another to replace it, a patch, and where the object stands.
fn every_kind_is_made_read_replaced_changed_and_deleted(shards: u16) {
    let node = empty(shards);
    let cases = [
        ("lines", json!({"dn": "1001"}), json!({"dn": "1001"}), json!({}), "1001"),
        (
            "end-users",
            json!({"id": "alice", "digest_credentials": "secret1"}),
            json!({"digest_credentials": "secret2"}),
            json!({"digest_credentials": null}),
            "alice",
        ),
        (
            "application-users",
            json!({"id": "app"}),
            json!({"digest_credentials": "secret3"}),
            json!({"digest_credentials": "secret4"}),
            "app",
        ),
        (
            "common-phone-profiles",
            json!({"name": "Lobby", "hardening": {"pc_port": "disabled"}}),
            json!({"hardening": {"web_access": "disabled"}}),
            json!({"hardening": {"web_access": null, "headset": "disabled"}}),
            "Lobby",
        ),
        (
            "phone-models",
            json!({"name": "Acme 1", "vendor_class": "preferred", "protocols": ["sip"]}),
            json!({"vendor_class": "preferred", "protocols": ["sip"], "trusted": true}),
            json!({"capabilities": ["srtp", "tls"]}),
            "Acme%201",
        ),
        (
            "security-profiles",
            json!({"name": "Ours", "model": CISCO, "protocol": "sip"}),
            json!({"model": CISCO, "protocol": "sip", "digest_authentication": true}),
            json!({"description": "Zürich", "nonce_validity_s": 60}),
            "Ours",
        ),
        (
            "phones",
            json!({"name": PHONE, "model": CISCO, "protocol": "sip", "lines": ["1001"]}),
            json!({"model": CISCO, "protocol": "sip", "description": "desk"}),
            json!({"description": null, "hardening": {"pc_port": "disabled"}}),
            PHONE,
        ),
    ];
    for (list, row, other, patch, key) in &cases {
        let path = format!("/{list}/{key}");
        node.ask("GET", &path, None).expect(404);
        node.ask("PUT", &path, Some(other)).expect(404);
        node.ask("PATCH", &path, Some(patch)).expect(404);
        let dry = node.ask("POST", &format!("/{list}?dry_run=true"), Some(row));
        assert_eq!(dry.expect(200)["dry_run"], true);
        node.ask("GET", &path, None).expect(404);
        let made = node.ask("POST", &format!("/{list}"), Some(row));
        let told = made.expect(201);
        assert_eq!(made.header("location"), Some(&*format!("/api/v1{path}")));
        assert_eq!(told["etag"].as_str(), made.header("etag"));
        assert_eq!((&told["before"], told["after"].is_object()), (&Value::Null, true));
        node.ask("POST", &format!("/{list}"), Some(row)).refused(409, "exists");
        let first = node.ask("GET", &path, None);
        first.expect(200);
        let replaced = node.ask("PUT", &path, Some(other)).expect(200);
        assert_eq!(replaced["before"], told["after"]);
        let changed = node.ask("PATCH", &path, Some(patch)).expect(200);
        assert_eq!(changed["before"], replaced["after"]);
        // What was read at first is no longer so, unless nothing of it can change.
        let late = node.ask_with("DELETE", &path, None, &[("If-Match", first.header("etag").unwrap())]);
        if *list != "lines" {
            let refused = late.refused(412, "precondition_failed");
            assert_eq!(refused["etag"], changed["etag"], "{list}");
            let now = node.ask("GET", &path, None);
            let tag = now.header("etag").unwrap();
            assert_eq!(node.ask_with("GET", &path, None, &[("If-None-Match", tag)]).status, 304);
            let gone = node.ask_with("DELETE", &path, None, &[("If-Match", tag)]).expect(200);
            assert_eq!((&gone["before"], &gone["after"]), (&changed["after"], &Value::Null));
        }
        node.ask("GET", &path, None).expect(404);
        node.ask("DELETE", &path, None).expect(404);
        if *list == "lines" {
            add(&node, list, row.clone());
        }
    }
    // Those of which there is a fixed number.
    for (path, patch, field) in [
        ("/parameters/no_answer_s", json!({"value": 12}), "value"),
        ("/enterprise-phone", json!({"hardening": {"pc_port": "disabled"}}), "hardening"),
    ] {
        let before = node.ask("GET", path, None).expect(200);
        node.ask("PUT", path, Some(&patch)).expect(200);
        assert_eq!(node.ask("GET", path, None).expect(200)[field], patch[field]);
        node.ask("DELETE", path, None).expect(200);
        assert_eq!(node.ask("GET", path, None).expect(200)[field], before[field]);
    }
}
