//! A start reads everything on two threads, in batches: nothing of what was written down may be missing, doubled or
//! under another name afterwards, whatever kind it is of, and searches find it.

use keyline_domain::digest::Algorithm;
use keyline_tests::inventory::{Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::sip::{Line, Login, Request, contact};
use serde_json::json;

/// More than a batch of any kind.
const PHONES: u32 = 1_200;

fn dn(i: u32) -> String {
    format!("{}", 30_000 + i)
}

fn device(i: u32) -> String {
    format!("SEP00AABB{i:06X}")
}

fn inventory() -> Inventory {
    let mut all = Inventory::new();
    all.row(
        json!({"kind": "phone_model", "name": "Acme 1", "vendor_class": "preferred", "protocols": ["sip"],
        "capabilities": ["tls", "srtp"]}),
    );
    all.row(
        json!({"kind": "common_phone_profile", "name": "Lobby", "hardening": {"web_access": "disabled"}}),
    );
    all.application_user("operator", "Secret1");
    for i in 0..PHONES {
        match i % 4 {
            0 => all.digest_phone(&device(i), &dn(i)),
            // A line that all of these share.
            1 => all.phone(
                &device(i),
                "Cisco 8845",
                &[&dn(i), "39999"],
                json!({"description": format!("desk {i}")}),
            ),
            2 => all.phone(&device(i), "Acme 1", &[&dn(i)], json!({"description": "hall"})),
            _ => all.phone(&device(i), "Cisco 8845", &[&dn(i)], json!({"common_phone_profile": "Lobby"})),
        };
    }
    all
}

/// What an administrator sees of it.
fn shown(node: &Node) -> (String, u64, u64, Vec<String>) {
    let export = node.run(&["export"]);
    assert!(export.status.success());
    let count = |filter: &str| {
        let page = node.admin_get(&format!("/phones?limit=1000&filter={filter}")).json();
        page["items"].as_array().unwrap().len() as u64
    };
    let named = |filter: &str| -> Vec<String> {
        let page = node.admin_get(&format!("/phones?limit=3&sort=-description&filter={filter}")).json();
        page["items"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect()
    };
    (
        String::from_utf8(export.stdout).unwrap(),
        count("description:is_exactly:hall"),
        count("line:is_exactly:39999"),
        named("description:begins:desk"),
    )
}

#[test]
fn nothing_is_missing_after_kill9() {
    let mut node = Builder::new().shards(2).inventory(&inventory()).fixed_ports().start();
    let before = shown(&node);
    assert_eq!((before.1, before.2), (u64::from(PHONES / 4), u64::from(PHONES / 4)));
    assert_eq!(before.3, [device(997), device(993), device(989)]);
    let mut line = Line::udp(node.udp());
    let digest: Vec<u32> = (0..PHONES).filter(|i| i % 4 == 0).collect();
    let register = |line: &mut Line, i: u32| {
        let first = Request::register(&dn(i)).header("Contact", &contact(&dn(i), line));
        let challenged = line.exchange(&first);
        assert_eq!(challenged.status(), Some(401));
        let mut second = first.next();
        let login =
            Login { user: &user_of(&dn(i)), password: &password_of(&dn(i)), algorithm: Algorithm::Md5 };
        second.authorize(&challenged, &login, 1);
        line.exchange(&second).status()
    };
    for i in digest.iter().take(20) {
        assert_eq!(register(&mut line, *i), Some(200), "phone {i}");
    }
    node.kill9_and_restart();
    assert_eq!(shown(&node), before);
    let rows = node.registrations();
    assert_eq!(rows.len(), 20);
    assert!(rows.iter().all(|row| row["flow"] != "lost"), "a datagram flow outlives a restart");
    // Passwords are what they were, and users are those of their phones.
    for i in digest.iter().rev().take(20) {
        assert_eq!(register(&mut line, *i), Some(200), "phone {i} after the restart");
    }
    assert_eq!(node.registrations().len(), 40);
}
