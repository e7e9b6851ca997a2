//! Bad configurations end with one clear line and exit code 1; good ones serve.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node, binary};
use serde_json::json;

/// The node does not start; its last line holds all these words.
fn refuses(node: &Node, words: &[&str]) {
    let (code, text) = node.fail_to_start();
    assert_eq!(code, Some(1), "{text}");
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    for word in words {
        assert!(line.contains(word), "`{word}` is not in the line: {line}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
    let node = Builder::new().setting("listen", "sip_upd = \"127.0.0.1:0\"").prepare();
    refuses(&node, &["keyline.toml:", "sip_upd", "sip_udp"]);
    let node = Builder::new().setting("storage", "durabillity = \"process\"").prepare();
    refuses(&node, &["durabillity", "durability"]);
}

#[test]
fn a_wrong_value_is_named_with_what_is_allowed() {
    refuses(&Builder::new().setting("shards", "count = 0").prepare(), &["shards.count", "1 to 256"]);
    refuses(&Builder::new().setting("storage", "engine = \"paper\"").prepare(), &["paper", "rocksdb"]);
    refuses(&Builder::new().setting("listen", "sip_udp = \"here\"").prepare(), &["sip_udp", "here"]);
    let broken = Builder::new().setting("storage", "engine = ").prepare();
    refuses(&broken, &["keyline.toml:"]);
}

#[test]
fn a_taken_port_is_named() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    for (key, address) in [
        ("sip_udp", udp.local_addr().unwrap()),
        ("sip_tcp", tcp.local_addr().unwrap()),
        ("sip_tls", tcp.local_addr().unwrap()),
        ("admin", tcp.local_addr().unwrap()),
        ("metrics", tcp.local_addr().unwrap()),
    ] {
        let node = Builder::new().setting("listen", &format!("{key} = \"{address}\"")).prepare();
        refuses(&node, &[key, &address.port().to_string()]);
    }
}

/// A second node on the same port would share it unnoticed, since workers share theirs.
#[test]
fn a_port_of_another_node_is_not_shared() {
    let first = Builder::new().shards(2).start();
    for key in ["sip_udp", "sip_tcp", "sip_tls"] {
        let address = first.address(key);
        let line = format!("{key} = \"{address}\"");
        refuses(&Builder::new().shards(2).setting("listen", &line).prepare(), &[key]);
    }
}

#[test]
fn a_locked_data_folder_is_named() {
    let mut node = Builder::new().start();
    let folder = node.data().display().to_string();
    refuses(&node, &[&folder]);
    assert!(node.is_alive(), "the first one goes on");
    assert_eq!(node.terminate(), Some(0));
    node.start();
}

#[test]
fn a_folder_that_is_not_ours_is_left_alone() {
    let node = Builder::new().prepare();
    std::fs::write(node.data(), "a file, no folder").unwrap();
    refuses(&node, &["data"]);
    assert_eq!(std::fs::read_to_string(node.data()).unwrap(), "a file, no folder");
}

#[test]
fn an_unreadable_key_is_named() {
    let node = Builder::new().setting("node", "key_file = \"node.key\"").prepare();
    let key = node.folder().join("node.key");
    std::fs::write(&key, "no key at all").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    refuses(&node, &["node.key"]);
    // Readable by everybody: refused as well.
    std::fs::write(&key, "0".repeat(64)).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    refuses(&node, &["node.key", "600"]);
}

#[test]
fn an_unreadable_certificate_is_named() {
    let mut inventory = Inventory::new();
    let pem = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    inventory.row(json!({"kind": "line", "dn": "1001"})).trust("CallManager-trust", pem);
    let node = Builder::new().prepare();
    let out = node.import(&inventory.ndjson());
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.contains("line 2") || text.contains(":2"), "{text}");
    assert!(text.contains("certificate"), "{text}");
}

#[test]
fn the_environment_overrides_and_strange_variables_are_ignored() {
    let node = Builder::new().prepare();
    let out = node.command(&["serve"]).env("KEYLINE_SHARDS_COUNT", "none").output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("KEYLINE_SHARDS_COUNT"));
    let out = node.command(&["check-config"]).env("KEYLINE_NO_SUCH_THING", "1").output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn commands_have_exit_codes() {
    let node = Builder::new().prepare();
    assert_eq!(node.run(&["check-config"]).status.code(), Some(0));
    assert_eq!(node.run(&["init"]).status.code(), Some(0));
    assert_eq!(node.run(&["import", "/no/such/file"]).status.code(), Some(1));
    let usage = Command::new(binary()).arg("frobnicate").output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    let nothing = Command::new(binary()).output().unwrap();
    assert_eq!(nothing.status.code(), Some(2));
    let missing =
        Command::new(binary()).args(["check-config", "--config", "/no/such.toml"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/no/such.toml"));
}

#[test]
fn the_ready_line_names_what_is_served_and_metrics_tell_of_it() {
    let node = Builder::new().shards(3).setting("listen", "sip_tcp = \"\"").start();
    assert_eq!(node.listeners(), ["admin", "metrics", "sip_tls", "sip_udp"]);
    let metrics = node.http_get("/metrics");
    let check = node.folder().join("metrics.txt");
    std::fs::write(&check, &metrics).unwrap();
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&check).unwrap())
        .output()
        .expect("promtool runs");
    assert!(promtool.status.success(), "{}", String::from_utf8_lossy(&promtool.stderr));
    let own = metrics.lines().filter(|l| !l.starts_with('#') && !l.starts_with("process_"));
    for line in own {
        assert!(line.starts_with("keyline_"), "{line}");
    }
    assert!(node.http_get("/ready").contains("true"));
}
