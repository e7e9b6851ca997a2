//! The command line as a process, beside a running node, against a node elsewhere, and without any.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use serde_json::Value;

fn inventory() -> Inventory {
    let mut inventory = Inventory::new();
    for n in 0..30 {
        inventory.plain_phone(&format!("SEP{n:012X}"), &(2000 + n).to_string());
    }
    inventory.digest_phone("SEP0000000000AA", "1001");
    inventory
}

fn text(out: &Output) -> String {
    String::from_utf8(out.stdout.clone()).unwrap()
}

fn done(node: &Node, line: &[&str]) -> String {
    let out = node.run(line);
    assert_eq!(out.status.code(), Some(0), "{line:?}: {}", String::from_utf8_lossy(&out.stderr));
    text(&out)
}

fn refused(node: &Node, line: &[&str], words: &[&str]) {
    let out = node.run(line);
    assert_eq!(out.status.code(), Some(1), "{line:?}");
    let error = String::from_utf8(out.stderr).unwrap();
    assert_eq!(error.lines().count(), 1, "{error}");
    for word in words {
        assert!(error.contains(word), "{word} is not in {error}");
    }
}

/// The same lists from a running node and from its store.
#[test]
fn lists_are_the_same_with_and_without_a_node() {
    let mut node = Builder::new().shards(2).inventory(&inventory()).start();
    let lines: [&[&str]; 10] = [
        &["feature", "list", "--all"],
        &["feature", "show", "srtp"],
        &["options", "Cisco 8845"],
        &["help-text", "phone"],
        &["user", "list"],
        &["line", "list", "--filter", "dn:begins:200", "--format", "csv"],
        &["profile", "list", "--json", "--all"],
        &["parameter", "list", "--sort", "-name"],
        &["model", "list", "--filter", "capability:is_exactly:srtp", "--all"],
        &["cert", "list"],
    ];
    let running: Vec<_> = lines.iter().map(|line| done(&node, line)).collect();
    let phones = done(&node, &["phone", "list", "--limit", "31"]);
    assert_eq!(phones.lines().count(), 32);
    assert!(phones.lines().nth(1).unwrap().contains("SEP000000000000  2000"), "{phones}");
    let some =
        node.run(&["phone", "list", "--filter", "name:ends:a", "--filter", "digest_user:is_empty", "--json"]);
    assert_eq!(text(&some).lines().count(), 2, "SEP…0A and SEP…1A: {}", text(&some));
    assert!(done(&node, &["health"]).contains("storage_ok"));
    assert!(done(&node, &["phone", "show", "SEP0000000000AA"]).contains("user1001"));
    let shown: Value =
        serde_json::from_str(&done(&node, &["phone", "show", "SEP0000000000AA", "--json"])).unwrap();
    assert_eq!(shown["registered"], false);
    refused(&node, &["phone", "show", "SEP1"], &["no phone", "SEP1"]);
    refused(&node, &["phone", "list", "--filter", "x:begins:y"], &["no field", "name, description"]);
    assert_eq!(node.run(&["phone", "list", "--format", "xml"]).status.code(), Some(2));
    assert_eq!(node.terminate(), Some(0));
    for (line, before) in lines.iter().zip(running) {
        assert_eq!(done(&node, line), before, "{line:?}");
    }
    for line in
        [&["calls"][..], &["registrations"], &["health"], &["call", "show", "x"], &["trace", "phone", "x"]]
    {
        refused(&node, line, &["no node runs on", "keyline serve"]);
    }
    refused(&node, &["phone", "show", "SEP1"], &["no phone"]);
    refused(&node, &["phone", "list", "--filter", "x:begins:y"], &["no field"]);
}

/// A token works at once, only as its role says, and not a moment longer than it may.
#[test]
fn tokens_are_made_used_and_revoked_with_and_without_a_node() {
    let mut node = Builder::new().shards(1).inventory(&inventory()).prepare();
    let before = done(&node, &["token", "create", "--name", "before", "--role", "read-only"]);
    node.start();
    let operator = done(&node, &["token", "create", "--name", "op", "--role", "operator", "--expires", "1h"]);
    let status = |token: &str, path: &str| {
        let header = format!("Authorization: Bearer {}", token.trim());
        node.admin(path, &["-H", &header]).status
    };
    for token in [&before, &operator] {
        assert!(token.starts_with("keyline_"), "{token}");
        assert_eq!(status(token, "/phones"), 200);
    }
    assert_eq!(status(&before, "/trace/phones/SEP000000000000?seconds=1"), 403);
    assert_eq!(status(&operator, "/trace/phones/SEP000000000000?seconds=1"), 200);
    assert_eq!(status(&operator, "/trace/phones/SEP1"), 404);
    assert_eq!(status("keyline_guess", "/phones"), 401);
    let list = done(&node, &["token", "list", "--json"]);
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(!list.contains(before.trim()) && !list.contains("hash"), "{list}");
    refused(&node, &["token", "create", "--name", "op", "--role", "admin"], &["already"]);
    refused(&node, &["token", "create", "--name", "a b", "--role", "admin"], &["letters"]);
    refused(&node, &["token", "revoke", "--name", "nobody", "--yes"], &["no token nobody"]);
    assert_eq!(node.run(&["token", "create", "--name", "x", "--role", "root"]).status.code(), Some(2));
    done(&node, &["token", "revoke", "--name", "before", "--yes"]);
    assert_eq!(status(&before, "/phones"), 401);
    let short = done(&node, &["token", "create", "--name", "short", "--role", "admin", "--expires", "1s"]);
    keyline_tests::wait::until("end of a token", || (status(&short, "/phones") == 401).then_some(()));
    // It survives a crash; its text is nowhere on the disk.
    node.kill9_and_restart();
    let header = format!("Authorization: Bearer {}", operator.trim());
    assert_eq!(node.admin("/phones", &["-H", &header]).status, 200);
    for entry in std::fs::read_dir(node.data().join("store")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let text = operator.trim().as_bytes();
        assert!(!bytes.windows(text.len()).any(|w| w == text));
    }
    assert!(node.stderr().contains("role=\"operator\""), "reads are logged with their role");
    assert!(!node.stderr().contains(operator.trim()));
    assert_eq!(node.terminate(), Some(0));
    assert_eq!(done(&node, &["token", "list", "--json"]).lines().count(), 2);
    done(&node, &["token", "revoke", "--name", "op", "--yes"]);
    assert_eq!(done(&node, &["token", "list", "--format", "csv"]).lines().count(), 2);
}

#[test]
fn wrong_tokens_are_counted_and_their_source_is_left_alone_for_a_while() {
    let node = Builder::new().setting("limits", "admin_wrong_tokens_per_minute = 5").start();
    let ask = |token: &str| {
        let header = format!("Authorization: Bearer {token}");
        node.admin("/phones", &["-H", &header]).status
    };
    assert_eq!((0..6).map(|n| ask(&format!("guess{n}"))).collect::<Vec<_>>(), [401, 401, 401, 401, 401, 429]);
    assert_eq!(ask(&node.token()), 429);
    // Who has the data directory is not locked out.
    done(&node, &["phone", "list"]);
}

/// Over HTTPS, with a token and the node's certificate.
#[test]
fn a_node_elsewhere_is_asked_over_https() {
    let node = Builder::new().shards(1).inventory(&inventory()).start();
    let token = node.folder().join("token");
    std::fs::write(&token, done(&node, &["token", "create", "--name", "t", "--role", "operator"])).unwrap();
    let roots = node.folder().join("node.pem");
    std::fs::write(&roots, node.server_certificates()).unwrap();
    let other = tempfile::tempdir().unwrap();
    let url = format!("https://{}", node.address("admin"));
    let run = |line: &[&str], url: &str| {
        let mut command = std::process::Command::new(keyline_tests::node::binary());
        command.args(line).args(["--url", url, "--token-file"]).arg(&token).arg("--ca-file").arg(&roots);
        command.current_dir(other.path()).output().unwrap()
    };
    let out = run(&["phone", "list", "--all", "--json"], &url);
    assert_eq!((out.status.code(), text(&out).lines().count()), (Some(0), 31), "{out:?}");
    assert_eq!(run(&["health"], &url).status.code(), Some(0));
    let traced = run(&["trace", "phone", "SEP000000000000", "--seconds", "1"], &url);
    assert_eq!(traced.status.code(), Some(0), "{traced:?}");
    for (line, wrong) in [
        (&["phone", "list"][..], url.replace("https", "http")),
        (&["phone", "list"], "https://127.0.0.1:1".to_owned()),
        (&["export"], url.clone()),
    ] {
        assert_eq!(run(line, &wrong).status.code(), Some(1), "{wrong}");
    }
    // Another node's certificate proves nothing.
    std::fs::write(&roots, Builder::new().start().server_certificates()).unwrap();
    let stranger = run(&["phone", "list"], &url);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(std::fs::read_dir(other.path()).unwrap().next().is_none(), "nothing was made here");
    assert_eq!(
        std::fs::metadata(node.data().join("control.sock")).unwrap().permissions().mode() & 0o777,
        0o600
    );
}
