//! Requests that come again, many changes in one, roles, tokens and limits of the admin API.

use keyline_tests::inventory::{CISCO, Inventory};
use keyline_tests::node::{Builder, Node};
use serde_json::{Value, json};

fn empty() -> Node {
    Builder::new().shards(1).inventory(&Inventory::new()).start()
}

fn keyed(node: &Node, path: &str, body: &Value, key: &str) -> keyline_tests::admin::Reply {
    node.ask_with("POST", path, Some(body), &[("Idempotency-Key", key)])
}

#[test]
fn a_request_under_a_key_is_done_once_also_after_kill_9() {
    let mut node = empty();
    let row = json!({"name": "Ours", "model": CISCO});
    let first = keyed(&node, "/security-profiles", &row, "k-1");
    let told = first.expect(201);
    assert_eq!(first.header("idempotent-replayed"), None);
    node.ask("PATCH", "/security-profiles/Ours", Some(&json!({"description": "x"}))).expect(200);
    for again in 0..2 {
        let repeated = keyed(&node, "/security-profiles", &row, "k-1");
        assert_eq!(repeated.expect(201), told, "{again}");
        assert_eq!(repeated.header("idempotent-replayed"), Some("true"));
        assert_eq!(repeated.header("location"), first.header("location"));
        if again == 0 {
            node.kill9_and_restart();
        }
    }
    assert_eq!(node.ask("GET", "/security-profiles/Ours", None).expect(200)["description"], "x");
    let other = json!({"name": "Theirs", "model": CISCO});
    keyed(&node, "/security-profiles", &other, "k-1").refused(422, "idempotency_key_reused");
    node.ask("GET", "/security-profiles/Theirs", None).expect(404);
    keyed(&node, "/security-profiles", &other, "k-2").expect(201);
    keyed(&node, "/security-profiles", &other, &"k".repeat(65)).refused(400, "bad_request");
    // A refusal is no answer to keep: what was wrong may be put right.
    let user = json!({"name": "SEP000000000001", "model": CISCO, "security_profile": "Later"});
    keyed(&node, "/phones", &user, "k-3").refused(422, "reference_missing");
    keyed(&node, "/security-profiles", &json!({"name": "Later", "model": CISCO}), "k-4").expect(201);
    keyed(&node, "/phones", &user, "k-3").expect(201);
    assert_eq!(node.metric("keyline_admin_idempotency_answers", ""), 4.0);
    assert_eq!(node.metric("keyline_admin_idempotency_replayed_total", ""), 1.0);
}

#[test]
fn many_changes_are_reported_one_by_one_or_done_as_a_whole() {
    let node = empty();
    let operations = json!([
        {"op": "create", "kind": "line", "body": {"dn": "1001"}},
        {"op": "create", "kind": "line", "body": {"dn": "1001"}},
        {"op": "create", "kind": "phone", "body": {"name": "sep000000000001", "model": CISCO, "lines": ["1001"]}},
        {"op": "merge", "kind": "phone", "name": "sep000000000001", "body": {"description": "desk"}},
        {"op": "delete", "kind": "line", "name": "1001"},
        {"op": "copy", "kind": "security_profile", "name": "Cisco 8845 - Standard SIP Non-Secure Profile", "to": "Mine"},
        {"op": "rename", "kind": "security_profile", "name": "Mine", "to": "Ours"},
    ]);
    let bulk = |operations: &Value, atomic: bool, query: &str| {
        node.ask("POST", &format!("/bulk{query}"), Some(&json!({"operations": operations, "atomic": atomic})))
    };
    let report = bulk(&operations, false, "").expect(200);
    let statuses: Vec<_> =
        report["results"].as_array().unwrap().iter().map(|r| r["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 409, 201, 200, 409, 201, 200]);
    assert_eq!((&report["done"], &report["refused"]), (&json!(5), &json!(2)));
    assert_eq!(report["results"][4]["problem"]["dependencies"]["count"], 1);
    assert_eq!(node.ask("GET", "/phones/SEP000000000001", None).expect(200)["description"], "desk");
    // All or none: the last one is refused, so the first is not there.
    let whole = json!([
        {"op": "create", "kind": "line", "body": {"dn": "1002"}},
        {"op": "delete", "kind": "line", "name": "1001"},
    ]);
    let refused = bulk(&whole, true, "").refused(409, "in_use");
    assert_eq!(refused["step"], 1);
    node.ask("GET", "/lines/1002", None).expect(404);
    let good = json!([
        {"op": "create", "kind": "line", "body": {"dn": "1002"}},
        {"op": "create", "kind": "phone", "body": {"name": "SEP000000000002", "model": CISCO, "lines": ["1002"]}},
    ]);
    bulk(&good, true, "?dry_run=true").expect(200);
    node.ask("GET", "/lines/1002", None).expect(404);
    assert_eq!(bulk(&good, true, "").expect(200)["done"], 2);
    node.ask("GET", "/phones/SEP000000000002", None).expect(200);
    for (operations, atomic, at) in [
        (json!([]), false, None),
        (json!(vec![json!({"op": "create", "kind": "line", "body": {"dn": "1"}}); 33]), true, None),
        (json!([{"op": "create", "kind": "line"}]), false, Some(0)),
        (json!([{"op": "rename", "kind": "line", "name": "1001", "to": "5"}]), false, Some(0)),
        (json!([{"op": "delete", "kind": "counter", "name": "x"}]), false, Some(0)),
    ] {
        let refused = bulk(&operations, atomic, "").refused(400, "bad_request");
        assert_eq!(refused["step"].as_u64(), at, "{operations}");
    }
}

/// Every method on every path that the description knows, with each role.
#[test]
fn a_reader_changes_nothing_and_nobody_gets_in_without_a_token() {
    let node = Builder::new()
        .shards(1)
        .setting("limits", "admin_wrong_tokens_per_minute = 1000000")
        .inventory(&Inventory::new())
        .start();
    let make = |name: &str, role: &str| {
        let made = node.ask("POST", "/tokens", Some(&json!({"name": name, "role": role})));
        let place = made.header("location").expect("a place").strip_prefix("/api/v1").expect("the prefix");
        let told = made.expect(201);
        // What stands there is the token without its text.
        let mut found = node.ask("GET", place, None).expect(200);
        assert_eq!(found["token"], Value::Null);
        found["token"] = told["token"].clone();
        assert_eq!(found, told);
        format!("Bearer {}", told["token"].as_str().expect("its text"))
    };
    let (reader, operator) = (make("reader", "read-only"), make("operator", "operator"));
    let before = node.run(&["export"]).stdout;
    let description = node.ask("GET", "/openapi.json", None).expect(200);
    let mut asked = 0;
    for (path, item) in description["paths"].as_object().expect("paths") {
        let path = path.strip_prefix("/api/v1").expect("the prefix");
        let mut url = path.to_owned();
        while let (Some(from), Some(to)) = (url.find('{'), url.find('}')) {
            url.replace_range(from..=to, "1");
        }
        for method in item.as_object().expect("methods").keys().filter(|m| *m != "parameters") {
            let method = method.to_ascii_uppercase();
            let as_whom = |token: &str| {
                let body = (method != "GET").then(|| json!({}));
                node.ask_with(&method, &url, body.as_ref(), &[("Authorization", token)]).status
            };
            asked += 1;
            let open = ["/health", "/ready", "/openapi.json", "/oauth/keys"].contains(&path);
            if !open {
                assert_eq!(as_whom("Bearer nobody-has-this"), 401, "{method} {path}");
            }
            let order =
                ["/apply", "/reset", "/restart", "/message-waiting"].iter().any(|end| path.ends_with(end));
            let secret = ["/trace/", "/tokens", "/export"].iter().any(|begin| path.starts_with(begin));
            if method == "GET" {
                assert_eq!(as_whom(&reader) == 403, secret, "{method} {path}");
            } else {
                assert_eq!(as_whom(&reader), 403, "{method} {path}");
                if !order {
                    assert!(as_whom(&operator) == 403 || operators(path), "{method} {path}");
                }
            }
        }
    }
    assert!(asked > 60, "{asked}");
    assert_eq!(node.run(&["export"]).stdout, before);
    // What the router undoes the guard undoes too.
    let sneaky = node.ask_with("GET", "/tr%61ce/phones/SEP000000000001", None, &[("Authorization", &reader)]);
    assert_eq!(sneaky.status, 403);
    node.ask("DELETE", "/tokens/reader", None).expect(200);
    node.ask("GET", "/tokens/reader", None).refused(404, "token_not_found");
    assert_eq!(node.ask_with("GET", "/phones", None, &[("Authorization", &reader)]).status, 401);
}

/// Further orders that an operator gives: roll-outs and Extension Mobility.
fn operators(path: &str) -> bool {
    path.contains("rollout") || path.contains("roll-out") || path.contains("login") || path.contains("logout")
}

#[test]
fn bodies_and_rates_have_limits_that_are_counted() {
    let node = Builder::new()
        .shards(1)
        .setting("limits", "admin_requests_per_token = 5")
        .setting("limits", "admin_body_bytes = 4096")
        .inventory(&Inventory::new())
        .start();
    let long = json!({"dn": "1".repeat(5000)});
    node.ask("POST", "/lines", Some(&long)).refused(413, "body_too_large");
    let token = format!("Authorization: Bearer {}", node.token());
    let address = node.address("admin");
    // In one connection, so that they come faster than five a second.
    let urls: Vec<_> = (0..40).map(|_| format!("https://{address}/api/v1/nodes")).collect();
    let mut arguments =
        vec!["-sS", "-k", "-o", "/dev/null", "-w", "%{http_code} %{header{retry-after}}\n", "-H", &token];
    for url in &urls {
        arguments.push(url);
        arguments.extend(["-o", "/dev/null"]);
    }
    let out = std::process::Command::new("curl").args(&arguments).output().expect("curl runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let refused = text.lines().filter(|line| line.starts_with("429")).count();
    let taken = text.lines().filter(|line| line.starts_with("200")).count();
    assert!(taken >= 1 && refused >= 10 && taken + refused == 40, "{text}");
    assert!(
        node.metric("keyline_limits_refused_total", "limit=\"admin_requests_per_token\"") >= refused as f64
    );
    assert_eq!(node.metric("keyline_limits_refused_total", "limit=\"admin_body_bytes\""), 1.0);
}
