//! Bindings of several devices and flows, and what Cisco phones add to REGISTER.

use keyline_loadtest::phone::{Phone, Transport};
use keyline_tests::inventory::{CISCO, Inventory};
use keyline_tests::node::Builder;
use keyline_tests::place::device_on;
use keyline_tests::sip::{Line, Request, contact, contacts};
use keyline_tests::wait;
use keyline_wire::sip::HeaderName;
use serde_json::json;

use crate::common::{caller_device, registered};

on_shards!(
    r014_devices_share_a_line_and_keep_their_own_bindings,
    instance_and_reg_id_name_the_binding,
    one_bulk_register_binds_all_lines,
    a_standby_keepalive_changes_nothing,
);

fn r014_devices_share_a_line_and_keep_their_own_bindings(shards: u16) {
    let (a, b) = (device_on(0, shards, 1), device_on(shards - 1, shards, 2));
    let mut inventory = Inventory::new();
    inventory.plain_phone(&a, "1001").plain_phone(&b, "1001");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    wait::run(async {
        let first = registered(node.phone(Transport::Udp, &a, "1001")).await;
        let second = Phone::start(node.phone(Transport::Udp, &b, "1001")).await.unwrap();
        // 200 lists all bindings of the address of record, whoever made them.
        let listed = second.register().await.unwrap();
        assert_eq!(listed.contacts.len(), 2, "{:?}", listed.contacts);
        let port = first.local_addr().unwrap().port().to_string();
        assert!(listed.contacts.iter().any(|c| c.contains(&port)), "{:?}", listed.contacts);
        let gone = first.unregister().await.unwrap();
        assert_eq!(gone.contacts.len(), 1, "{:?}", gone.contacts);
        assert!(node.registrations_of(&a).is_empty());
        assert_eq!(node.registrations_of(&b).len(), 1);
    });
}

fn instance_and_reg_id_name_the_binding(shards: u16) {
    let device = caller_device(shards);
    let mut inventory = Inventory::new();
    inventory.plain_phone(&device, "1001");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let mut line = Line::udp(node.udp());
    let mut bind = |port: u16, reg_id: u32| {
        let instance = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"";
        let value = format!("<sip:1001@127.0.0.1:{port};transport=udp>;{instance};reg-id={reg_id}");
        let response =
            line.exchange(&Request::register("1001").header("Contact", &value).header("Expires", "600"));
        assert_eq!(response.status(), Some(200));
        contacts(&response)
    };
    assert_eq!(bind(5001, 1).len(), 1);
    // A new flow under the same instance and reg-id replaces the old one (RFC 5626 §6).
    let replaced = bind(5002, 1);
    assert_eq!(replaced.len(), 1, "{replaced:?}");
    assert!(replaced[0].contains(":5002"), "{replaced:?}");
    assert_eq!(bind(5003, 2).len(), 2);
}

fn one_bulk_register_binds_all_lines(shards: u16) {
    let device = caller_device(shards);
    let mut inventory = Inventory::new();
    inventory.phone(&device, CISCO, &["1001", "1002", "1003"], json!({}));
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    wait::run(async {
        let mut config = node.phone(Transport::Tcp, &device, "1001");
        config.bulk = true;
        let phone = Phone::start(config).await.unwrap();
        let granted = phone.register().await.unwrap();
        let supported = granted.response.first(HeaderName::Supported).unwrap_or_default();
        assert!(supported.contains("X-cisco-srtp-fallback"), "{supported}");
        let body = String::from_utf8_lossy(granted.response.body()).into_owned();
        assert!(body.contains("<code>200</code>"), "{body}");
        let mut lines: Vec<String> =
            node.registrations_of(&device).iter().map(|r| r["aor"].as_str().unwrap().to_owned()).collect();
        lines.sort();
        let all = ["1001", "1002", "1003"].map(|dn| format!("sip:{dn}@keyline.local"));
        assert_eq!(lines, all);
    });
}

fn a_standby_keepalive_changes_nothing(shards: u16) {
    let device = caller_device(shards);
    let mut inventory = Inventory::new();
    inventory.digest_phone(&device, "1001");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let mut line = Line::udp(node.udp());
    let value = format!("{};expires=0;cisco-keep-alive", contact("1001", &line));
    let keepalive = Request::register("1001").header("Contact", &value).header("Expires", "0");
    // Not registered: nothing is created, and nobody is challenged (R193).
    assert_eq!(line.exchange(&keepalive).status(), Some(200));
    assert!(node.registrations_of(&device).is_empty());
    wait::run(async {
        let _phone = registered(node.digest_phone(Transport::Udp, &device, "1001")).await;
        let before = node.registrations_of(&device);
        assert_eq!(line.exchange(&keepalive.next()).status(), Some(200));
        assert_eq!(node.registrations_of(&device), before);
    });
}
