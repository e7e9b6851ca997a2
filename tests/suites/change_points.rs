//! Changes over HTTPS, cut off where they are written, and racing each other: a state is the old one or the new one,
//! and the audit tells of it.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use keyline_tests::inventory::{CISCO, Inventory};
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::Authority;
use keyline_tests::place::HEAVY;
use keyline_tests::wait;
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::catalogue::{package, signer};

const PHONE: &str = "SEP00AABBCCDD01";

/// A phone with certificates of its own.
const CERTIFIED: &str = "SEP00AABBCCDD02";

/// What a start would find: rows, and how many entries the audit has.
fn state(node: &Node) -> (String, u64) {
    let export = node.run(&["export"]);
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    let verified = node.run(&["audit", "verify", "--json"]);
    let text = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success(), "{text}{}", String::from_utf8_lossy(&verified.stderr));
    let found: Value = serde_json::from_str(&text).unwrap();
    (String::from_utf8(export.stdout).unwrap(), found["last"].as_u64().unwrap())
}

/// A request whose connection may break.
pub fn try_ask(node: &Node, (method, path, body): (&str, &str, Option<&Value>), headers: &[&str]) {
    let bearer = format!("Authorization: Bearer {}", node.token());
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "30", "-o", "/dev/null", "-X", method, "-H", &bearer, "--cacert"]);
    curl.arg(node.folder().join("server.pem"));
    for header in headers {
        curl.args(["-H", header]);
    }
    if let Some(body) = body {
        curl.args(["-H", "Content-Type: application/json", "--data-binary", &body.to_string()]);
    }
    let address = node.address("admin");
    // Its status says nothing: the node may be gone before it answers.
    let _ = curl.arg(format!("https://{address}/api/v1{path}")).output().unwrap();
}

type Asking = (&'static str, &'static str, &'static str, Option<Value>);

/// Changes of more than one record.
fn askings(vendor: &KeyPair) -> Vec<Asking> {
    let profile = json!({"name": "Lobby", "model": CISCO, "digest_authentication": true});
    let capf = json!({"capf": {"key_order": "ec_only", "ec_key_size": 256}});
    let saved = json!({"nonce_validity_s": 77});
    let several = json!({"atomic": true, "operations": [
        {"op": "create", "kind": "line", "body": {"dn": "1009"}},
        {"op": "copy", "kind": "security_profile", "name": "Desk", "to": "Third"},
        {"op": "merge", "kind": "phone", "name": PHONE, "body": {"lines": ["1009"], "security_profile": "Third"}},
    ]});
    vec![
        ("create", "POST", "/security-profiles", Some(profile)),
        (
            "rename of an assigned profile",
            "POST",
            "/security-profiles/Desk/rename",
            Some(json!({"name": "Office"})),
        ),
        ("copy", "POST", "/security-profiles/Desk/copy", Some(json!({"name": "Desk 2"}))),
        ("save of an assigned profile", "PATCH", "/security-profiles/Desk", Some(saved)),
        ("CAPF settings that make a profile", "PATCH", "/phones/SEP00AABBCCDD01", Some(capf)),
        ("delete", "DELETE", "/phones/SEP00AABBCCDD01", None),
        ("delete of a phone with its certificates", "DELETE", "/phones/SEP00AABBCCDD02", None),
        ("install of a package", "POST", "/packages", Some(package(vendor, "1.0"))),
        ("several, all or none", "POST", "/bulk", Some(several)),
        ("another secret", "PATCH", "/end-users/anna", Some(json!({"digest_credentials": "secret2"}))),
    ]
}

fn desk(vendor: &str) -> Inventory {
    let mut inventory = Inventory::new();
    inventory.trust("package-trust", vendor);
    inventory.end_user("anna", "secret1");
    inventory.profile("Desk", CISCO, json!({"digest_authentication": true}));
    inventory.phone(PHONE, CISCO, &["1001"], json!({"security_profile": "Desk", "digest_user": "anna"}));
    // Two certificates of its own.
    inventory.row(
        json!({"kind": "phone_model", "name": "Maker 1", "vendor_class": "preferred", "protocols": ["sip"],
        "capabilities": ["tls", "device_security_mode", "security_encryption", "srtp"],
        "tls_certificate": "per_device"}),
    );
    inventory.phone(CERTIFIED, "Maker 1", &[], json!({}));
    for maker in ["Maker A", "Maker B"] {
        let pem = Authority::new(maker).issue(CERTIFIED).certificate_pem;
        inventory
            .row(json!({"kind": "certificate", "purpose": "vendor-trust", "pem": pem, "phone": CERTIFIED}));
    }
    inventory
}

const POINTS: [&str; 4] =
    ["change.before_commit", "writer.before_commit", "writer.after_commit", "change.after_commit"];

/// Asks, and the process ends at that point; then it is started again.
fn cut_off(node: &mut Node, point: &str, asked: (&str, &str, Option<&Value>), headers: &[&str]) {
    // The certificate of the server is read before the node is gone.
    assert_eq!(node.ask("GET", "/health", None).status, 200);
    node.fault(&format!("{point}=abort"));
    try_ask(node, asked, headers);
    wait::until("end of the node", || (!node.is_alive()).then_some(()));
    assert_eq!(node.wait_end(), None, "{asked:?}, {point}: it was a signal");
    node.start();
}

/// Each is the old state or the new one, wherever the process ended: every row, and the entries of the audit.
#[test]
fn a_change_that_the_process_does_not_outlive_is_whole_or_not_there() {
    let _turn = HEAVY.lock();
    let began = Instant::now();
    let (key, pem) = signer();
    let (askings, inventory) = (askings(&key), desk(&pem));
    let next = AtomicUsize::new(0);
    let begin = || Builder::new().inventory(&inventory).fixed_ports().faults().start();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((what, method, path, body)) = askings.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let asked = (*method, *path, body.as_ref());
                    let mut node = begin();
                    let (rows, entries) = state(&node);
                    for point in &POINTS[..2] {
                        cut_off(&mut node, point, asked, &[]);
                        assert_eq!(state(&node), (rows.clone(), entries), "{what}, {point}: nothing of it");
                    }
                    // What it does when nothing comes between.
                    let done = node.ask(method, path, body.as_ref());
                    assert!(matches!(done.status, 200 | 201), "{what}: {done:?}");
                    let (new, told) = state(&node);
                    // A secret is in no export: its entry tells.
                    assert_eq!(new != rows, *what != "another secret", "{what}");
                    assert!(told > entries, "{what}");
                    for point in &POINTS[2..] {
                        let mut node = begin();
                        cut_off(&mut node, point, asked, &[]);
                        assert_eq!(state(&node), (new.clone(), told), "{what}, {point}: all of it");
                        let newest = node.admin_get("/audit?limit=1").json()["items"][0].clone();
                        assert_eq!(
                            (&newest["result"], &newest["who"]),
                            (&json!("done"), &json!("admin.token"))
                        );
                    }
                }
            });
        }
    });
    println!("{} kills in {:?}", askings.len() * POINTS.len(), began.elapsed());
}

/// The answer to a POST with a key is stored with what it did: whoever got none repeats it, and gets that answer.
#[test]
fn a_post_under_a_key_is_done_once_and_answered_the_same_wherever_the_process_ended() {
    let _turn = HEAVY.lock();
    let (_, pem) = signer();
    let (inventory, path) = (desk(&pem), "/security-profiles");
    let body = json!({"name": "Lobby", "model": CISCO, "digest_authentication": true});
    let header = "Idempotency-Key: once-1";
    for point in POINTS {
        let mut node = Builder::new().inventory(&inventory).fixed_ports().faults().start();
        let entries = state(&node).1;
        cut_off(&mut node, point, ("POST", path, Some(&body)), &[header]);
        let there = node.ask("GET", "/security-profiles/Lobby", None).status == 200;
        assert_eq!(there, point.contains("after"), "{point}");
        let repeat = || node.ask_with("POST", path, Some(&body), &[("Idempotency-Key", "once-1")]);
        let first = repeat();
        assert_eq!(first.header("idempotent-replayed"), there.then_some("true"), "{point}");
        let told = first.expect(201);
        // Changed since, and asked again: still the answer of then.
        node.ask("PATCH", "/security-profiles/Lobby", Some(&json!({"description": "x"}))).expect(200);
        let again = repeat();
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{point}");
        assert_eq!(
            (again.expect(201), again.header("location")),
            (told, first.header("location")),
            "{point}"
        );
        assert_eq!(state(&node).1, entries + 2, "{point}: it was done once, and changed once");
    }
}

const ROUNDS: usize = 20;
const PHONES: usize = 200;

/// Two hundred assignments and a delete of the same profile at once, twenty times: never a phone whose profile is gone.
#[test]
fn r101_two_hundred_assignments_race_a_delete_over_https() {
    let mut inventory = Inventory::new();
    let device = |n: usize| format!("SEP{:012X}", 0x0011_2233_0000 + n);
    for n in 0..PHONES {
        inventory.phone(&device(n), CISCO, &[], json!({}));
    }
    let node = Builder::new()
        .inventory(&inventory)
        .setting("limits", "admin_requests_per_token = 1000000")
        .setting("limits", "admin_requests_per_source = 1000000")
        .start();
    assert_eq!(node.ask("GET", "/health", None).status, 200);
    let (address, token) = (node.address("admin"), node.token());
    let roots = node.folder().join("server.pem");
    let (began, mut deleted) = (Instant::now(), 0);
    for round in 0..ROUNDS {
        let name = format!("Race{round}");
        let row = json!({"name": name, "model": CISCO, "digest_authentication": true});
        assert_eq!(node.ask("POST", "/security-profiles", Some(&row)).status, 201);
        // curl sends them in parallel, in about this order.
        let place = round % 4 * 8;
        let mut text = String::new();
        for n in 0..=PHONES {
            let (method, path, body) = match n.cmp(&place) {
                std::cmp::Ordering::Equal => ("DELETE", format!("security-profiles/{name}"), String::new()),
                other => {
                    let phone = device(if other.is_lt() { n } else { n - 1 });
                    ("PATCH", format!("phones/{phone}"), format!(r#"{{\"security_profile\":\"{name}\"}}"#))
                }
            };
            writeln!(text, "url = \"https://{address}/api/v1/{path}\"\nrequest = \"{method}\"").unwrap();
            writeln!(text, "header = \"Authorization: Bearer {token}\"\ncacert = \"{}\"", roots.display())
                .unwrap();
            if !body.is_empty() {
                writeln!(text, "header = \"Content-Type: application/json\"\ndata-binary = \"{body}\"")
                    .unwrap();
            }
            writeln!(text, "output = \"/dev/null\"\nwrite-out = \"%{{method}} %{{http_code}}\\n\"\nnext")
                .unwrap();
        }
        let file = node.folder().join("race.curl");
        std::fs::write(&file, text.trim_end().trim_end_matches("next")).unwrap();
        let out = Command::new("curl")
            .args(["-sS", "-Z", "--parallel-max", "16", "-K"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8(out.stdout).unwrap();
        let count = |line: &str| said.lines().filter(|l| *l == line).count();
        let (taken, gone) = (count("PATCH 200"), count("DELETE 200"));
        assert_eq!(said.lines().count(), PHONES + 1, "{said}{}", String::from_utf8_lossy(&out.stderr));
        let there = node.ask("GET", &format!("/security-profiles/{name}"), None);
        let using =
            node.admin_get(&format!("/phones?limit=1000&filter=security_profile:is_exactly:{name}")).json();
        let using = using["items"].as_array().unwrap().len();
        match gone {
            1 => {
                assert_eq!((there.status, taken, using), (404, 0, 0), "round {round}: {said}");
                assert_eq!(count("PATCH 422"), PHONES, "round {round}: {said}");
            }
            _ => {
                assert_eq!((there.status, taken, using), (200, PHONES, PHONES), "round {round}: {said}");
                assert_eq!(
                    (count("DELETE 409"), &there.json()["phones"]),
                    (1, &json!(PHONES)),
                    "round {round}"
                );
            }
        }
        deleted += gone;
    }
    println!("{ROUNDS} rounds in {:?}: {deleted} deleted first", began.elapsed());
    // Every phone names a profile that is there, or none.
    let export = String::from_utf8(node.run(&["export"]).stdout).unwrap();
    let rows: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let profiles: Vec<_> =
        rows.iter().filter(|r| r["kind"] == "security_profile").map(|r| &r["name"]).collect();
    let phones: Vec<_> = rows.iter().filter(|r| r["kind"] == "phone").collect();
    assert_eq!(phones.len(), PHONES);
    assert!(
        phones.iter().all(|p| p["security_profile"].is_null() || profiles.contains(&&p["security_profile"]))
    );
    let verified = node.admin_get("/audit/verify").json();
    // The import, and all requests.
    assert_eq!((&verified["whole"], &verified["last"]), (&json!(true), &json!(1 + ROUNDS * (PHONES + 2))));
}
