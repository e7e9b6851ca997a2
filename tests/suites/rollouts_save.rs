//! Saving a profile: no phone is touched, none is told, no verdict changes (design §5 Profile versions).

use std::time::Instant;

use keyline_tests::inventory::{CISCO, Inventory, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::raw::Raw;
use keyline_tests::sip::{Line, Request, challenges};
use serde_json::{Value, json};

on_one_and_three!(
    r035_r218_a_save_tells_no_phone_and_changes_no_verdict,
    r102_r183_phones_with_nothing_registered_get_it_at_once,
);

/// Profile of these phones.
pub const FLEET: &str = "Fleet";

/// The profile as it is first saved: no proof.
pub fn open_profile(inventory: &mut Inventory) {
    inventory.profile(FLEET, CISCO, json!({"transport": "tcp_udp"}));
}

/// Saves it with digest: registered phones go on without until that is applied.
pub fn save(node: &Node, fields: Value) {
    let mut change = Inventory::new();
    change.profile(FLEET, CISCO, fields);
    let done = node.import(&change.ndjson());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The settings that ask for digest.
pub fn with_digest(nonce_validity_s: u32) -> Value {
    json!({"transport": "tcp_udp", "digest_authentication": true, "nonce_validity_s": nonce_validity_s})
}

/// A phone of the profile.
pub fn add(inventory: &mut Inventory, device: &str, dn: &str) {
    inventory.end_user(&user_of(dn), &keyline_tests::inventory::password_of(dn));
    let fields = json!({"security_profile": FLEET, "digest_user": user_of(dn)});
    inventory.phone(device, CISCO, &[dn], fields);
}

/// `/phones/{name}`.
pub fn view(node: &Node, device: &str) -> Value {
    node.admin_get(&format!("/phones/{device}")).json()
}

/// Counters that a save must not move.
pub fn counters(node: &Node) -> [f64; 2] {
    ["keyline_catalog_devices_touched_total", "keyline_sip_requests_sent_total"].map(|m| node.metric(m, ""))
}

fn r035_r218_a_save_tells_no_phone_and_changes_no_verdict(shards: u16) {
    let device = device_on(shards - 1, shards, 1);
    let mut inventory = Inventory::new();
    open_profile(&mut inventory);
    add(&mut inventory, &device, "1001");
    let mut node = Builder::new().shards(shards).inventory(&inventory).start();
    let mut line = Line::udp(node.udp());
    let mut refresh = Request::register_from("1001", &line);
    assert_eq!(line.exchange(&refresh).status(), Some(200));
    assert_eq!(view(&node, &device)["pending"], json!(false));
    let before = counters(&node);
    // Many saves, none applied: only the version that the phone has and the saved one are kept.
    for validity in 601..=620 {
        save(&node, with_digest(validity));
    }
    assert_eq!(counters(&node), before);
    assert_eq!(node.metric("keyline_catalog_versions_collected_total", ""), 19.0);
    let shown = view(&node, &device);
    assert_eq!(
        (&shown["pending"], &shown["applied"]["version"], &shown["assigned"]["version"]),
        (&json!(true), &json!(1), &json!(21)),
        "{shown}"
    );
    let pending = node.admin_get("/phones?filter=pending:is_exactly:true").json();
    assert_eq!(pending["items"][0]["name"], json!(device));
    // The first thing that it hears is the answer to its refresh, and that asks for no proof.
    refresh = refresh.next();
    assert_eq!(line.exchange(&refresh).status(), Some(200));
    node.kill9_and_restart();
    let mut line = Line::udp(node.udp());
    let again = Request::register_from("1001", &line);
    assert_eq!(line.exchange(&again).status(), Some(200), "the old version outlives a restart");
    assert_eq!(view(&node, &device)["pending"], json!(true));
    // It goes away: nothing needs the old version any more, and it is judged by what is saved.
    let gone = Request::register("1001").header("Contact", "*").header("Expires", "0");
    let gone = Request { call_id: again.call_id.clone(), cseq: again.cseq + 1, ..gone };
    assert_eq!(line.exchange(&gone).status(), Some(200));
    assert_eq!(view(&node, &device)["pending"], json!(false));
    let back = line.exchange(&Request::register_from("1001", &line));
    assert_eq!((back.status(), challenges(&back).is_empty()), (Some(401), false));
    save(&node, with_digest(700));
    assert_eq!(node.metric("keyline_catalog_versions_collected_total", ""), 2.0, "of this start");
}

fn r102_r183_phones_with_nothing_registered_get_it_at_once(shards: u16) {
    let (old, new) = (device_on(shards - 1, shards, 1), device_on(0, shards, 2));
    let mut inventory = Inventory::new();
    open_profile(&mut inventory);
    add(&mut inventory, &old, "1001");
    add(&mut inventory, &new, "1002");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let mut registered = Raw::register("1001", Line::tcp(node.tcp()));
    save(&node, with_digest(600));
    // The one that is registered goes on; the other one is asked for its password.
    let refresh = Request::register_from("1001", &registered.line);
    assert_eq!(registered.line.exchange(&refresh).status(), Some(200));
    let mut line = Line::tcp(node.tcp());
    assert_eq!(line.exchange(&Request::register_from("1002", &line)).status(), Some(401));
    let shown = view(&node, &new);
    assert_eq!((&shown["pending"], &shown["applied"]["version"]), (&json!(false), &json!(2)), "{shown}");
}

/// Work is counted, not timed; the figures are printed.
#[test]
fn r092_a_save_on_a_profile_of_100_000_phones_touches_none_of_them() {
    const PHONES: usize = 100_000;
    let mut inventory = Inventory::new();
    open_profile(&mut inventory);
    add(&mut inventory, "SEP00C0FFEE0001", "1001");
    for n in 1..PHONES {
        let phone = format!("SEP02AA{n:08X}");
        inventory.row(json!({"kind": "phone", "name": phone, "model": CISCO, "protocol": "sip",
            "security_profile": FLEET, "lines": []}));
    }
    let node = Builder::new().inventory(&inventory).start();
    let mut phone = Raw::register("1001", Line::tcp(node.tcp()));
    let profile = node.admin_get(&format!("/security-profiles/{FLEET}")).json();
    assert_eq!(profile["phones"], json!(PHONES));
    // The first one warms up what the node allocates once.
    save(&node, with_digest(700));
    let rows = || node.metric("keyline_storage_rows_total", "");
    let (before, stored, memory, began) = (counters(&node), rows(), node.rss_kib(), Instant::now());
    for validity in 701..=710 {
        save(&node, with_digest(validity));
    }
    println!(
        "10 saves on a profile of {PHONES} phones: {:?}, {} KiB more",
        began.elapsed(),
        node.rss_kib().saturating_sub(memory)
    );
    assert_eq!(counters(&node), before, "devices touched, requests sent");
    let stored = rows() - stored;
    assert!((10.0..100.0).contains(&stored), "{stored} rows for 10 saves");
    let refresh = Request::register_from("1001", &phone.line);
    assert_eq!(phone.line.exchange(&refresh).status(), Some(200));
}
