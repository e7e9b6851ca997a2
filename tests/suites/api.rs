//! The read API over HTTPS, asked by curl: tokens, lists, paging, filters, problems, single objects.

use std::process::Command;

use keyline_loadtest::phone::Transport;
use keyline_tests::inventory::{DIGEST_PROFILE, Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use serde_json::{Value, json};

use crate::common::{CALLEE, CALLER, caller_device, connect, pair, registered};

fn started(shards: u16, phones: u32) -> Node {
    let mut inventory = Inventory::new();
    for n in 0..phones {
        inventory.plain_phone(&format!("SEP{n:012X}"), &(2000 + n).to_string());
    }
    inventory.digest_phone(&caller_device(shards), CALLER);
    inventory
        .row(json!({"kind": "common_phone_profile", "name": "Lobby", "hardening": {"pc_port": "disabled"}}));
    Builder::new().shards(shards).inventory(&inventory).start()
}

/// All names of a list under a query, page by page.
fn names(node: &Node, list: &str, query: &str) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = node.admin_get(&format!("/{list}?limit=7{query}{cursor}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        let rows = body["items"].as_array().unwrap();
        names.extend(rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()));
        match body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return names,
        }
    }
}

fn assert_problem(node: &Node, path: &str, status: u16, code: &str, parameter: Option<&str>) {
    let answer = node.admin_get(path);
    assert_eq!(answer.status, status, "{path}: {answer:?}");
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{path}");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["parameter"].as_str(), parameter, "{path}");
}

on_shards!(a_phone_is_shown_with_its_registration);

fn a_phone_is_shown_with_its_registration(shards: u16) {
    let node = started(shards, 3);
    let device = caller_device(shards);
    let before = node.admin_get(&format!("/phones/{device}")).json();
    assert_eq!((&before["registered"], &before["registration"]), (&json!(false), &json!([])));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let phone = registered(node.digest_phone(Transport::Tcp, &device, CALLER)).await;
        let shown = node.admin_get(&format!("/phones/{device}")).json();
        assert_eq!(shown["registered"], true, "{shown}");
        let binding = &shown["registration"][0];
        assert_eq!(binding["aor"], format!("sip:{CALLER}@keyline.local"));
        assert!(binding["flow"].as_str().unwrap().starts_with("tcp 127.0.0.1:"), "{binding}");
        assert_eq!((&shown["applied"], &shown["pending"]), (
            &json!({"security_profile": DIGEST_PROFILE, "version": 1, "device_security_mode": "non_secure"}),
            &json!(false),
        ));
        assert_eq!(names(&node, "phones", "&filter=registered:is_exactly:true"), std::slice::from_ref(&device));
        drop(phone);
    });
    // Whoever digs finds no password.
    for path in
        ["/phones", "/end-users", &format!("/end-users/{}", user_of(CALLER)), &format!("/phones/{device}")]
    {
        let answer = node.admin_get(path);
        assert_eq!(answer.status, 200);
        assert!(!answer.body.contains(&password_of(CALLER)), "{path}");
    }
    let user = node.admin_get(&format!("/end-users/{}", user_of(CALLER))).json();
    assert_eq!((&user["digest_credentials_set"], &user["phone"]), (&json!(true), &json!(device)));
    let nodes = node.admin_get("/nodes").json();
    assert_eq!(nodes["items"][0]["shards"].as_array().unwrap().len(), usize::from(shards));
}

/// Rows that come and go between pages are shown or not; all others are shown once.
#[test]
fn r178_paging_is_stable_while_rows_come_and_go() {
    let node = started(2, 40);
    let all = names(&node, "phones", "");
    assert_eq!(all.len(), 41);
    assert!(all.is_sorted());
    let mut backwards = names(&node, "phones", "&sort=-name");
    backwards.reverse();
    assert_eq!(backwards, all);
    let first = node.admin_get("/phones?limit=20").json();
    let mut more = Inventory::new();
    more.plain_phone("SEP0000000000FF", "3000").plain_phone("AAA", "3001");
    assert!(node.import(&more.ndjson()).status.success());
    let next = first["next"].as_str().unwrap();
    let second = node.admin_get(&format!("/phones?limit=1000&cursor={next}")).json();
    let rows = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect()
    };
    let joined = [rows(&first), rows(&second)].concat();
    let unchanged: Vec<_> = joined.iter().filter(|n| *n != "SEP0000000000FF").cloned().collect();
    assert_eq!(unchanged, all);
    assert!(joined.contains(&"SEP0000000000FF".to_owned()) && !joined.contains(&"AAA".to_owned()));
}

#[test]
fn r176_filters_combine_and_wrong_ones_are_named() {
    let node = started(1, 20);
    assert_eq!(names(&node, "phones", "&filter=name:begins:sep00000000001").len(), 4);
    assert_eq!(names(&node, "phones", "&filter=name:begins:SEP&filter=line:ends:13"), ["SEP00000000000D"]);
    assert_eq!(names(&node, "phones", "&filter=digest_user:is_not_empty"), [caller_device(1)]);
    let digest = format!("&filter=security_profile:is_exactly:{DIGEST_PROFILE}");
    assert_eq!(names(&node, "phones", &digest), [caller_device(1)]);
    for (query, parameter) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("filter=colour:begins:x", "filter"),
        ("filter=name:like:x", "filter"),
        ("sort=colour", "sort"),
        ("cursor=forged", "cursor"),
        ("offset=1", "offset"),
    ] {
        assert_problem(&node, &format!("/phones?{query}"), 400, "bad_request", Some(parameter));
    }
    let other = node.admin_get("/lines?limit=1").json()["next"].as_str().unwrap().to_owned();
    assert_problem(&node, &format!("/phones?cursor={other}"), 400, "bad_request", Some("cursor"));
    for (path, code) in [
        ("/phones/SEPNOBODY", "phone_not_found"),
        ("/security-profiles/none", "security_profile_not_found"),
        ("/end-users/none", "user_not_found"),
        ("/lines/none", "line_not_found"),
        ("/parameters/none", "parameter_not_found"),
        ("/phone-models/none", "phone_model_not_found"),
        ("/certificates/own/none", "certificate_not_found"),
        ("/calls/none", "call_not_found"),
        ("/nothing", "not_found"),
    ] {
        assert_problem(&node, path, 404, code, None);
    }
}

#[test]
fn methods_forms_and_entity_tags_are_http_s() {
    let node = started(1, 1);
    let token = format!("Authorization: Bearer {}", node.token());
    let ask = |arguments: &[&str]| {
        let all: Vec<_> = ["-H", &token].iter().chain(arguments).copied().collect();
        node.admin("/phones/SEP000000000000", &all)
    };
    assert_eq!(ask(&["-X", "POST"]).status, 405);
    assert_eq!(ask(&["-X", "OPTIONS"]).status, 204);
    assert_eq!(ask(&["-I"]).status, 200);
    assert_eq!(ask(&["-H", "Accept: text/html"]).status, 406);
    assert_eq!(ask(&["-X", "GET", "-d", "{}"]).status, 415);
    let head = ask(&["-i"]).body;
    let tag = head.lines().find_map(|l| l.strip_prefix("etag: ")).expect("an entity tag");
    assert_eq!(ask(&["-H", &format!("If-None-Match: {tag}")]).status, 304);
    assert_eq!(ask(&["-H", "If-None-Match: \"other\""]).status, 200);
    // No HTTP in the clear.
    let plain = Command::new("curl")
        .args(["-sS", "--max-time", "10", "-o", "/dev/null", "-H", &token])
        .arg(format!("http://{}/api/v1/phones", node.address("admin")))
        .output()
        .unwrap();
    assert!(!plain.status.success());
}

#[test]
fn a_call_is_listed_with_its_caller_and_found_after_its_end() {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let pair = pair(2).await;
        let (out, _inn) = connect(&pair.caller, &pair.callee).await;
        let id = pair.node.answered_call();
        let row = &pair.node.calls()[0];
        assert_eq!((&row["caller"], &row["called"]), (&json!(caller_device(2)), &json!(CALLEE)));
        let shown = pair.node.admin_get(&format!("/calls/{id}")).json();
        assert_eq!((&shown["state"], shown["devices"].as_array().unwrap().len()), (&json!("answered"), 2));
        let filter = format!("/calls?filter=caller:is_exactly:{}", caller_device(2));
        assert_eq!(pair.node.admin_get(&filter).json()["items"].as_array().unwrap().len(), 1);
        out.hang_up().await.unwrap();
        keyline_tests::wait::until("end of the call", || pair.node.calls().is_empty().then_some(()));
        assert_eq!(pair.node.admin_get(&format!("/calls/{id}")).json()["state"], "ended");
    });
}
