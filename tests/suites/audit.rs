//! The audit of a whole node: what has an entry, what is not in it, and what becomes of one that somebody changed.

use std::path::Path;
use std::process::{Command, Output};

use keyline_storage::{
    Commit, CommitBuilder, Consistency, NodeKey, Outcome, Page, RocksOptions, RocksStore, Store, Table,
};
use keyline_tests::inventory::{CISCO, Inventory};
use keyline_tests::node::{Builder, Node};
use serde_json::{Value, json};

const SECRETS: [&str; 4] = ["hunter2hunter2", "correcthorse9", "appsecret77", "4711081542"];

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn done(node: &Node, arguments: &[&str]) -> String {
    let output = node.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn inventory() -> Inventory {
    let mut inventory = Inventory::new();
    inventory.end_user("anna", SECRETS[0]).application_user("dialler", SECRETS[2]);
    inventory.profile("Digest", CISCO, json!({"digest_authentication": true}));
    let capf = json!({"operation": "install", "authentication_string": SECRETS[3]});
    inventory.phone(
        "SEP00AABBCCDD01",
        CISCO,
        &["1001"],
        json!({"digest_user": "anna", "security_profile": "Digest", "capf": capf}),
    );
    inventory
}

/// Entries as the command line lists them, oldest first.
fn entries(node: &Node) -> Vec<Value> {
    let listed = done(node, &["audit", "list", "--json", "--sort", "seq", "--all"]);
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn whole(node: &Node) -> Value {
    let found: Value = serde_json::from_str(&done(node, &["audit", "verify", "--json"])).unwrap();
    assert_eq!((&found["whole"], &found["fault"]), (&json!(true), &Value::Null), "{found}");
    found
}

/// A node that did a bit of everything, running.
fn busy() -> (Node, String) {
    let mut node = Builder::new().inventory(&inventory()).prepare();
    done(&node, &["token", "create", "--name", "nightly", "--role", "operator"]);
    node.start();
    let made = done(&node, &["token", "create", "--name", "grafana", "--role", "read-only"]);
    let bearer = format!("Authorization: Bearer {}", node.token());
    let put = [
        "-X",
        "PUT",
        "-H",
        &bearer,
        "-H",
        "Content-Type: application/json",
        "-H",
        "X-Request-Id: run-17",
        "-d",
    ];
    let waiting = |line: &str| {
        let all: Vec<&str> = put.iter().copied().chain([r#"{"new": 2}"#]).collect();
        node.admin(&format!("/lines/{line}/message-waiting"), &all).status
    };
    assert_eq!((waiting("1001"), waiting("9999")), (200, 404));
    let order = node.admin("/phones/SEP00AABBCCDD01/restart", &["-X", "POST", "-H", &bearer]);
    assert_eq!(order.status, 409, "{order:?}");
    let wrong =
        node.import("{\"kind\":\"end_user\",\"id\":\"anna\",\"digest_credential\":\"correcthorse9\"}\n");
    assert!(!wrong.status.success());
    let revoked = node.run(&["token", "revoke", "--yes", "--name", "nobody"]);
    assert_eq!(revoked.status.code(), Some(1), "{}", text(&revoked));
    done(&node, &["token", "revoke", "--yes", "--name", "nightly"]);
    let mut more = Inventory::new();
    more.end_user("anna", SECRETS[1]);
    assert!(node.import(&more.ndjson()).status.success());
    (node, made.trim().to_owned())
}

#[test]
fn every_change_and_every_refusal_has_an_entry_that_says_who_and_no_secret() {
    let (mut node, token) = busy();
    let all = entries(&node);
    let told: Vec<_> = all
        .iter()
        .map(|e| {
            let of = |field: &str| e[field].as_str().unwrap_or("-").to_owned();
            (of("operation"), of("name"), of("result"), of("code"), of("source"))
        })
        .collect();
    let expected = [
        ("import", "", "done", "-", "command line"),
        ("token_create", "nightly", "done", "-", "command line"),
        ("token_create", "grafana", "done", "-", "control socket"),
        ("message_waiting", "1001", "done", "-", "127.0.0.1"),
        ("message_waiting", "9999", "refused", "line_not_found", "127.0.0.1"),
        ("restart", "SEP00AABBCCDD01", "refused", "phone_not_registered", "127.0.0.1"),
        ("import", "", "refused", "import_refused", "control socket"),
        ("token_revoke", "nobody", "refused", "token_not_found", "control socket"),
        ("token_revoke", "nightly", "done", "-", "control socket"),
        ("import", "", "done", "-", "control socket"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, (operation, name, result, code, source)) in told.iter().zip(expected) {
        let (o, n, r, c, s) = told;
        assert_eq!((&**o, &**r, &**c, &**s), (operation, result, code, source), "{told:?}");
        // The name of an import is the hash of its text.
        assert!(if name.is_empty() { n.len() == 64 } else { n == name }, "{told:?}");
    }
    assert_eq!((&all[3]["who"], &all[3]["role"]), (&json!("admin.token"), &json!("admin")));
    assert_eq!((&all[3]["request"], &all[3]["after"]["new"]), (&json!("run-17"), &json!(2)));
    assert_eq!(all[0]["after"]["rows"], 5);
    assert_eq!(all[8]["before"]["role"], "operator");
    assert!(all.iter().enumerate().all(|(i, e)| e["seq"] == i + 1));
    let counted = |result: &str| node.metric("keyline_audit_entries_total", &format!("result=\"{result}\""));
    assert_eq!((counted("done"), counted("refused")), (4.0, 4.0), "since the start");

    // The API pages and filters it like any other list.
    let get = |path: &str| node.admin_get(path).json();
    let newest = get("/audit?limit=3");
    assert_eq!(newest["items"].as_array().unwrap().iter().map(|e| &e["seq"]).collect::<Vec<_>>(), [10, 9, 8]);
    let next = newest["next"].as_str().unwrap();
    assert_eq!(get(&format!("/audit?limit=3&cursor={next}"))["items"][0]["seq"], 7);
    let refused = get("/audit?filter=result:is_exactly:refused&filter=source:begins:127&sort=seq");
    assert_eq!(refused["items"].as_array().unwrap().iter().map(|e| &e["seq"]).collect::<Vec<_>>(), [5, 6]);
    let (from, to) = (all[2]["at"].as_str().unwrap(), all[5]["at"].as_str().unwrap());
    let span = get(&format!("/audit?from={from}&to={to}&sort=seq"));
    let span = span["items"].as_array().unwrap();
    assert!(!span.is_empty() && span.iter().all(|e| *from <= *e["at"].as_str().unwrap()));
    assert!(span.iter().all(|e| e["at"].as_str().unwrap() < to), "{span:?}");
    assert_eq!(get("/audit/4")["request"], "run-17");
    assert_eq!(get("/audit/11")["code"], "audit_entry_not_found");
    assert_eq!(node.admin("/audit", &[]).status, 401);
    let log = node.stderr();
    assert!(log.contains("run-17") && !log.contains("/api/v1/audit"), "changes are logged, reads are not");

    let mark = get("/audit/verify")["mark"].as_str().unwrap().to_owned();
    assert_eq!(get(&format!("/audit/verify?expect={mark}"))["mark_found"], true);
    node.terminate();
    let found = whole(&node);
    assert_eq!((&found["entries"], &found["mark"]), (&json!(10), &json!(mark)));
    let other = format!("10:{}", "00".repeat(32));
    let differs = node.run(&["audit", "verify", "--expect", &other]);
    assert_eq!(differs.status.code(), Some(1), "{}", text(&differs));

    // Not one byte of a secret, in whatever form of entry.
    let store = store_of(&node.data());
    let rows = store.scan(Table::Audit, b"", Page::FIRST, None).unwrap().rows;
    assert_eq!(rows.len(), 10);
    let admin = node.token();
    for (_, row) in rows {
        for secret in SECRETS.iter().copied().chain([&*token, &*admin]) {
            let bytes = secret.as_bytes();
            assert!(
                row.payload.windows(bytes.len()).all(|w| w != bytes),
                "{}",
                String::from_utf8_lossy(&row.payload)
            );
        }
    }
}

fn store_of(data: &Path) -> RocksStore {
    RocksStore::open(&data.join("store"), RocksOptions::default()).unwrap()
}

fn key(seq: u64) -> Vec<u8> {
    seq.to_be_bytes().to_vec()
}

fn row(store: &RocksStore, seq: u64) -> Vec<u8> {
    store.get(Table::Audit, &key(seq), Consistency::Local).unwrap().unwrap().payload.to_vec()
}

fn put(seq: u64, payload: Vec<u8>) -> CommitBuilder {
    Commit::build().put(Table::Audit, key(seq), 1, payload)
}

/// A change that somebody makes, and the words of the refusal that names it.
type Tampering = (&'static str, fn(&RocksStore) -> CommitBuilder, &'static str);

#[test]
fn what_somebody_did_to_the_audit_of_a_stopped_node_is_named() {
    let (mut node, _) = busy();
    node.terminate();
    whole(&node);
    let cases: [Tampering; 6] = [
        (
            "another name in an entry",
            |store| {
                let text = row(store, 4);
                let at = text.windows(6).position(|w| w == b"\"1001\"").unwrap();
                let mut text = text.clone();
                text[at + 1] = b'7';
                put(4, text)
            },
            "entry 4 was changed",
        ),
        ("an entry less", |_| Commit::build().delete(Table::Audit, key(5)), "entry 5 is missing"),
        (
            "two exchanged",
            |store| {
                let (a, b) = (row(store, 3), row(store, 8));
                put(3, b).put(Table::Audit, key(8), 1, a)
            },
            "entry 3 stands one that calls itself 8",
        ),
        (
            "the end cut off",
            |_| Commit::build().delete(Table::Audit, key(9)).delete(Table::Audit, key(10)),
            "entries 9 to 10 were removed",
        ),
        ("one more behind the end", |store| put(11, row(store, 10)), "entry 11 stands outside"),
        ("no head", |_| Commit::build().delete(Table::Meta, b"audit/head".to_vec()), "the head is missing"),
    ];
    for (n, (what, tamper, words)) in cases.into_iter().enumerate() {
        let copy = node.folder().join(format!("copy{n}"));
        let copied = Command::new("cp").arg("-a").arg(node.data()).arg(&copy).status().unwrap();
        assert!(copied.success());
        let store = store_of(&copy);
        let commit = tamper(&store).finish().unwrap();
        assert!(matches!(store.commit(&commit), Outcome::Committed(_)));
        drop(store);
        let verify = |form: &[&str]| {
            let all: Vec<&str> =
                ["audit", "verify", "--data", copy.to_str().unwrap()].iter().chain(form).copied().collect();
            node.run(&all)
        };
        let found = verify(&[]);
        assert_eq!(found.status.code(), Some(1), "{what}: {}", text(&found));
        assert!(text(&found).contains(words), "{what}: {}", text(&found));
        // Whatever is written to it afterwards does not make it whole.
        let data = copy.to_str().unwrap();
        done(&node, &["token", "create", "--name", "later", "--role", "admin", "--data", data]);
        let found = verify(&["--json"]);
        assert_eq!(found.status.code(), Some(1), "{what}: {}", text(&found));
        let told: Value = serde_json::from_slice(&found.stdout).unwrap();
        assert_eq!(told["whole"], false, "{what}");
        let newest = done(&node, &["audit", "list", "--json", "--limit", "1", "--data", data]);
        assert!(newest.contains("\"later\""), "{what}: {newest}");
    }
    // Another node key cannot have written the head.
    let copy = node.folder().join("copy_key");
    assert!(Command::new("cp").arg("-a").arg(node.data()).arg(&copy).status().unwrap().success());
    let key_file = copy.join("node.key");
    std::fs::remove_file(&key_file).unwrap();
    NodeKey::load_or_create(&key_file).unwrap();
    let found = node.run(&["audit", "verify", "--data", copy.to_str().unwrap()]);
    assert_eq!(found.status.code(), Some(1), "{}", text(&found));
}

#[test]
fn a_backup_brings_the_audit_along() {
    let (mut node, _) = busy();
    let file = node.folder().join("backup");
    done(&node, &["backup", file.to_str().unwrap()]);
    node.terminate();
    let before = whole(&node);
    let other = node.folder().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::copy(node.data().join("node.key"), other.join("node.key")).unwrap();
    done(&node, &["restore", file.to_str().unwrap(), "--data", other.to_str().unwrap()]);
    done(&node, &["init", "--data", other.to_str().unwrap()]);
    let found: Value =
        serde_json::from_str(&done(&node, &["audit", "verify", "--json", "--data", other.to_str().unwrap()]))
            .unwrap();
    assert_eq!((&found["whole"], &found["mark"]), (&json!(true), &before["mark"]));
}
