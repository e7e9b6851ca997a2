//! Import: all or nothing, faults named by line, durable over kill -9, and fast.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Instant;

use keyline_loadtest::phone::Transport;
use keyline_tests::inventory::{CISCO, Inventory};
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::HEAVY;
use keyline_tests::wait;
use serde_json::{Value, json};

use crate::common::{CALLEE, CALLER, callee_device, caller_device, registered};

/// Users, lines and phones: three rows each.
fn fleet(phones: u32) -> String {
    let mut text = String::with_capacity(phones as usize * 300);
    for i in 0..phones {
        let dn = 1_000_000 + i;
        writeln!(text, r#"{{"kind":"end_user","id":"user{dn}","digest_credentials":"Secret{dn}"}}"#).unwrap();
        writeln!(text, r#"{{"kind":"line","dn":"{dn}"}}"#).unwrap();
        writeln!(
            text,
            r#"{{"kind":"phone","name":"SEP{:012X}","model":"{CISCO}","protocol":"sip","digest_user":"user{dn}","lines":["{dn}"]}}"#,
            u64::from(i) + 1
        )
        .unwrap();
    }
    text
}

/// Rows of the inventory by kind, as `export` writes them.
fn exported(node: &Node) -> BTreeMap<String, usize> {
    let out = node.run(&["export"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut kinds = BTreeMap::new();
    for line in String::from_utf8(out.stdout).expect("UTF-8").lines() {
        let row: Value = serde_json::from_str(line).expect("NDJSON");
        *kinds.entry(row["kind"].as_str().expect("a kind").to_owned()).or_insert(0) += 1;
    }
    kinds
}

fn refusal(node: &Node, text: &str) -> String {
    let out = node.import(text);
    let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{stderr}");
    stderr
}

#[test]
fn a_bad_line_is_named_and_nothing_is_half_applied() {
    let mut start = Inventory::new();
    start.plain_phone(&caller_device(1), CALLER);
    let node = Builder::new().inventory(&start).prepare();
    let before = exported(&node);
    let good = json!({"kind": "line", "dn": "5001"});
    for (bad, word) in [
        (r#"{"kind":"line"}"#.to_owned(), "dn"),
        ("{".to_owned(), "JSON"),
        (r#"{"kind":"lime","dn":"5002"}"#.to_owned(), "lime"),
        (r#"{"kind":"line","dn":"5002","colour":"red"}"#.to_owned(), "colour"),
        (json!({"kind": "phone", "name": "SEP0000000000FF", "model": "Cisco 1"}).to_string(), "Cisco 1"),
        (
            json!({"kind": "phone", "name": "SEP0000000000FF", "model": CISCO, "lines": ["404"]}).to_string(),
            "404",
        ),
        (json!({"kind": "phone", "name": "SEP12", "model": CISCO}).to_string(), "SEP12"),
        (json!({"kind": "parameter", "name": "no_answer_s", "value": "soon"}).to_string(), "no_answer_s"),
        (json!({"kind": "end_user", "id": "x", "digest_credentials": "with space"}).to_string(), "letter"),
    ] {
        let text = format!("{good}\n{bad}\n{}\n", json!({"kind": "line", "dn": "5003"}));
        let stderr = refusal(&node, &text);
        assert!(stderr.contains("line 2") || stderr.contains(":2"), "{stderr}");
        assert!(stderr.contains(word), "`{word}` is not in: {stderr}");
        assert!(!stderr.contains("with space"), "no secret is shown: {stderr}");
        assert_eq!(exported(&node), before);
    }
}

#[test]
fn an_import_while_the_node_runs_is_served_at_once() {
    let mut start = Inventory::new();
    start.plain_phone(&caller_device(2), CALLER);
    let node = Builder::new().shards(2).inventory(&start).start();
    let mut more = Inventory::new();
    more.digest_phone(&callee_device(2), CALLEE);
    let out = node.import(&more.ndjson());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    wait::run(async {
        let caller = registered(node.phone(Transport::Udp, &caller_device(2), CALLER)).await;
        let callee = registered(node.digest_phone(Transport::Tcp, &callee_device(2), CALLEE)).await;
        let (out, _) = crate::common::connect(&caller, &callee).await;
        out.hang_up().await.unwrap();
    });
    let stderr = refusal(&node, "{\"kind\":\"line\"}\n");
    assert!(stderr.contains("line 1") || stderr.contains(":1"), "{stderr}");
}

#[test]
fn what_is_exported_can_be_imported_and_holds_no_secret() {
    let mut inventory = Inventory::new();
    inventory.mixed().encrypted_phone(&caller_device(1), CALLER).plain_phone(&callee_device(1), CALLEE);
    inventory.end_user("alice", "VerySecret42");
    let node = Builder::new().inventory(&inventory).prepare();
    let first = node.run(&["export"]).stdout;
    assert!(!String::from_utf8_lossy(&first).contains("VerySecret42"));
    let other = Builder::new().prepare();
    let out = other.import(&String::from_utf8(first.clone()).unwrap());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(other.run(&["export"]).stdout, first);
    // The password lies sealed in the data folder.
    for entry in walk(&node.data()) {
        let bytes = std::fs::read(&entry).unwrap_or_default();
        let found = bytes.windows(12).any(|w| w == b"VerySecret42");
        assert!(!found, "the password is readable in {}", entry.display());
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn a_hundred_thousand_phones_are_imported_as_a_whole() {
    let _turn = HEAVY.lock();
    let node = Builder::new().prepare();
    let text = fleet(100_000);
    let began = Instant::now();
    let out = node.import(&text);
    let took = began.elapsed();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    println!("import of 100,000 phones with users and lines (300,000 rows): {took:.2?}");
    let rows = exported(&node);
    assert_eq!((rows["phone"], rows["line"], rows["end_user"]), (100_000, 100_000, 100_000));
    // One wrong row among as many, and the store stays as it was.
    let wrong = fleet(100_000).replacen(r#""lines":["1050000"]"#, r#""lines":["77"]"#, 1);
    let stderr = refusal(&node, &wrong);
    assert!(stderr.contains("150003"), "{stderr}");
    assert_eq!(exported(&node), rows);
}

/// Whenever the importing process dies, afterwards there is all of the file or nothing of it.
#[test]
fn kill9_in_the_middle_of_an_import_leaves_all_or_nothing() {
    let _turn = HEAVY.lock();
    const PHONES: u32 = 20_000;
    let text = fleet(PHONES);
    let measured = {
        let node = Builder::new().prepare();
        let began = Instant::now();
        assert!(node.import(&text).status.success());
        began.elapsed()
    };
    let mut seen = BTreeMap::new();
    for seed in 0..10_u32 {
        let mut node = Builder::new().prepare();
        assert!(node.run(&["init"]).status.success());
        let file = node.folder().join("fleet.ndjson");
        std::fs::write(&file, &text).unwrap();
        let mut child = node
            .command(&["import", file.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The moment is the experiment: spread over the time that a whole import takes.
        std::thread::sleep(measured * (2 * seed + 1) / 20);
        child.kill().unwrap();
        child.wait().unwrap();
        // A start that finds an intent without an end rolls forward before it is ready.
        node.start();
        let rows = exported(&node);
        let phones = rows.get("phone").copied().unwrap_or(0);
        assert!(phones == 0 || phones == PHONES as usize, "half applied: {rows:?}");
        assert_eq!(rows.get("line").copied().unwrap_or(0), phones);
        assert_eq!(rows.get("end_user").copied().unwrap_or(0), phones);
        *seen.entry(phones).or_insert(0) += 1;
        assert_eq!(node.terminate(), Some(0));
        let left = std::fs::read_dir(node.data().join("import")).map(Iterator::count).unwrap_or(0);
        assert_eq!(left, 0, "no copy stays behind");
    }
    println!("killed imports: phones found afterwards → times: {seen:?}");
}

#[test]
fn importing_a_row_again_replaces_it() {
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    inventory.plain_phone(&device, CALLER).row(json!({"kind": "line", "dn": CALLEE}));
    let node = Builder::new().inventory(&inventory).start();
    wait::run(async {
        let phone = registered(node.phone(Transport::Udp, &device, CALLER)).await;
        let row =
            json!({"kind": "phone", "name": device, "model": CISCO, "protocol": "sip", "lines": [CALLEE]});
        let out = node.import(&format!("{row}\n"));
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        // The line is gone from the phone: it can no longer register it.
        assert!(phone.refresh().await.is_err());
    });
}

/// Over HTTPS an inventory is taken as it is offline: all or nothing, bounded, by administrators.
#[test]
fn an_inventory_comes_and_goes_over_https_all_or_nothing() {
    let limit = "admin_import_bytes = 65536";
    let mut node = Builder::new().inventory(&Inventory::new()).setting("limits", limit).fixed_ports().start();
    let file = node.folder().join("rows.ndjson");
    let given = format!("@{}", file.display());
    let send = |node: &Node, token: &str, text: &str, query: &str| {
        std::fs::write(&file, text).unwrap();
        let bearer = format!("Authorization: Bearer {token}");
        let media = "Content-Type: application/x-ndjson";
        let with = ["-X", "POST", "-H", &bearer, "-H", media, "-H", "Expect:", "--data-binary", &given];
        node.admin(&format!("/import{query}"), &with)
    };
    let admin = node.token();
    let rows = fleet(50);
    let done = send(&node, &admin, &rows, "");
    assert_eq!((done.status, &done.json()["rows"]), (200, &json!(150)), "{done:?}");
    let all = node.admin("/export", &["-H", &format!("Authorization: Bearer {admin}")]);
    let (status, text) = (all.status, all.body);
    assert_eq!((status, text.lines().filter(|l| l.contains(r#""kind":"phone""#)).count()), (200, 50));
    assert!(!text.contains("Secret1000000"), "no secret");
    // What comes out goes in again, and changes nothing: credentials that are not told stay.
    let again = send(&node, &admin, &text, "");
    assert_eq!(again.status, 200, "{again:?}");
    // One wrong line, and nothing of it is stored.
    let bad = format!("{}\n{{\"kind\":\"line\",\"dn\":\"\"}}\n", json!({"kind": "line", "dn": "7777"}));
    let refused = send(&node, &admin, &bad, "");
    assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("import_refused")), "{refused:?}");
    assert_eq!(refused.json()["errors"][0]["row"], 2);
    node.ask("GET", "/lines/7777", None).expect(404);
    // It cannot be asked what it would do, which must not be taken for an order to do it.
    let line = json!({"kind": "line", "dn": "7777"}).to_string();
    assert_eq!(send(&node, &admin, &line, "?dry_run=true").status, 400);
    node.ask("GET", "/lines/7777", None).expect(404);
    let long = send(&node, &admin, &fleet(400), "");
    assert_eq!((long.status, &long.json()["code"]), (413, &json!("body_too_large")), "{long:?}");
    assert_eq!(node.metric("keyline_limits_refused_total", "limit=\"admin_import_bytes\""), 1.0);
    for role in ["operator", "read-only"] {
        let made = node.ask("POST", "/tokens", Some(&json!({"name": role, "role": role}))).expect(201);
        let token = made["token"].as_str().unwrap();
        assert_eq!(send(&node, token, &line, "").status, 403, "{role}");
        let bearer = format!("Authorization: Bearer {token}");
        assert_eq!(node.admin("/export", &["-H", &bearer]).status, 403, "{role}");
    }
    node.ask("GET", "/lines/7777", None).expect(404);
    let newest = node.ask("GET", "/audit?limit=1&filter=operation:is_exactly:import", None).expect(200);
    assert_eq!(
        (&newest["items"][0]["who"], &newest["items"][0]["result"]),
        (&json!("admin.token"), &json!("refused"))
    );
    // A 200 was committed.
    node.kill9_and_restart();
    assert_eq!(exported(&node)["phone"], 50);
    let roots = node.folder().join("node.pem");
    std::fs::write(&roots, node.server_certificates()).unwrap();
    let (url, token) = (format!("https://{}", node.address("admin")), node.data().join("admin.token"));
    let far = |what: &[&str]| {
        let mut command = std::process::Command::new(keyline_tests::node::binary());
        command.args(what).args(["--url", &url, "--token-file"]).arg(&token).arg("--ca-file").arg(&roots);
        command.current_dir(tempfile::tempdir().unwrap().path()).output().unwrap()
    };
    let told = far(&["export"]);
    assert_eq!(String::from_utf8_lossy(&told.stdout), text, "{}", String::from_utf8_lossy(&told.stderr));
    std::fs::write(&file, &line).unwrap();
    let told = far(&["import", file.to_str().unwrap()]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    node.ask("GET", "/lines/7777", None).expect(200);
    std::fs::write(&file, bad).unwrap();
    let told = far(&["import", file.to_str().unwrap()]);
    let why = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.status.code() == Some(1) && why.contains(":2:"), "{why}");
}
