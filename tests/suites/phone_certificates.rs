//! What is known of a phone's certificates, and the way to a secure phone.

use keyline_loadtest::phone::{Phone, PhoneConfig, PhoneError, Transport};
use keyline_tests::inventory::{ENCRYPTED_PROFILE, Inventory};
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::{Authority, Issued};
use keyline_tests::place::device_on;
use keyline_tests::wait;
use serde_json::{Value, json};

use crate::common::registered;

on_shards!(
    r057_a_phone_shows_lsc_and_mic_with_issuer_and_expiry,
    r060_the_next_step_to_a_secure_phone_is_named,
    r112_the_lsc_counts_where_a_phone_has_shown_both,
);

const MODEL: &str = "Cisco 8845";

fn tls(node: &Node, device: &str, identity: &Issued) -> PhoneConfig {
    node.phone(Transport::Tls(Box::new(node.tls_options(Some(identity)))), device, "1001")
}

fn certificates(node: &Node, device: &str) -> Value {
    node.admin_get(&format!("/phones/{device}")).json()["certificates"].clone()
}

/// Waits until a certificate of this kind is shown.
fn shown(node: &Node, device: &str, kind: &str) -> Value {
    wait::until(kind, || Some(certificates(node, device)[kind].clone()).filter(|c| !c.is_null()))
}

fn r057_a_phone_shows_lsc_and_mic_with_issuer_and_expiry(shards: u16) {
    let device = device_on(shards - 1, shards, 1);
    let (capf, maker) = (Authority::new("Test CAPF"), Authority::new("Test Manufacturing CA"));
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &capf.pem()).trust("CallManager-trust", &maker.pem());
    inventory.encrypted_phone(&device, "1001");
    let mut node = Builder::new().shards(shards).inventory(&inventory).fixed_ports().start();
    assert_eq!(
        certificates(&node, &device),
        json!({ "uploaded": [], "presented": null, "lsc": null, "mic": null, "preferred": null })
    );
    wait::run(async {
        let phone = registered(tls(&node, &device, &maker.issue(&format!("CP-8845-{device}")))).await;
        phone.unregister().await.unwrap();
    });
    let mic = shown(&node, &device, "mic");
    assert_eq!(mic["subject"], format!("CN=CP-8845-{device}"));
    assert_eq!(mic["issuer"], "CN=Test Manufacturing CA");
    assert!(mic["not_after"].as_str().is_some_and(|t| t.ends_with('Z')), "{mic}");
    assert!(certificates(&node, &device)["lsc"].is_null());
    wait::run(async {
        let phone = registered(tls(&node, &device, &capf.issue(&device))).await;
        phone.unregister().await.unwrap();
    });
    let lsc = shown(&node, &device, "lsc");
    assert_eq!(lsc["issuer"], "CN=Test CAPF");
    // Both are known after kill -9, and gone with the phone.
    node.kill9_and_restart();
    let both = certificates(&node, &device);
    assert_eq!((&both["lsc"], &both["mic"]), (&lsc, &mic));
}

fn standing(node: &Node, device: &str) -> Vec<(String, String)> {
    let answer = node.admin_get(&format!("/phones/{device}/setup")).json();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let steps = answer["steps"].as_array().unwrap_or_else(|| panic!("{answer}"));
    steps.iter().map(|s| (text(&s["step"]), text(&s["standing"]))).collect()
}

fn next(node: &Node, device: &str) -> Option<String> {
    standing(node, device).into_iter().find(|(_, s)| s == "next").map(|(step, _)| step)
}

fn r060_the_next_step_to_a_secure_phone_is_named(shards: u16) {
    let device = device_on(0, shards, 1);
    let capf = Authority::new("Test CAPF");
    let mut inventory = Inventory::new();
    inventory.plain_phone(&device, "1001");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    assert_eq!(next(&node, &device).as_deref(), Some("mixed_mode"));
    let mut mixed = Inventory::new();
    mixed.mixed().trust("CAPF-trust", &capf.pem()).parameter("certificate_before_secure_profile", "refuse");
    assert!(node.import(&mixed.ndjson()).status.success());
    assert_eq!(next(&node, &device).as_deref(), Some("certificate"));
    let blocked = standing(&node, &device).into_iter().find(|(step, _)| step == "security_profile");
    assert_eq!(blocked.map(|(_, s)| s).as_deref(), Some("blocked"), "it cannot be skipped");
    // Skipping it all the same is refused.
    let profile = json!({"kind": "security_profile", "name": ENCRYPTED_PROFILE, "model": MODEL,
        "device_security_mode": "encrypted"});
    let mut secure = Inventory::new();
    secure.row(profile);
    assert!(node.import(&secure.ndjson()).status.success());
    let out = node.run(&["phone", "set", &device, &format!("security_profile={ENCRYPTED_PROFILE}")]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && text.contains("no certificate of it is known"), "{text}");
}

fn r112_the_lsc_counts_where_a_phone_has_shown_both(shards: u16) {
    let device = device_on(shards - 1, shards, 3);
    let (capf, maker) = (Authority::new("Test CAPF"), Authority::new("Test Manufacturing CA"));
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &capf.pem()).trust("CallManager-trust", &maker.pem());
    inventory.encrypted_phone(&device, "1001");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let (lsc, mic) = (capf.issue(&device), maker.issue(&format!("CP-8845-{device}")));
    let preferred = |expected: &str| {
        wait::until(expected, || (certificates(&node, &device)["preferred"] == expected).then_some(()));
    };
    let still_on_mic =
        || node.ask("GET", "/reports/mic", None).expect(200)["items"].to_string().contains(&device);
    wait::run(async {
        // Whichever comes first, in whatever order.
        let phone = registered(tls(&node, &device, &mic)).await;
        preferred("mic");
        assert!(still_on_mic());
        phone.unregister().await.unwrap();
        let phone = registered(tls(&node, &device, &lsc)).await;
        preferred("lsc");
        assert!(!still_on_mic());
        phone.unregister().await.unwrap();
        registered(tls(&node, &device, &mic)).await.unregister().await.unwrap();
        preferred("lsc");
        // Where MICs are for getting an LSC only (R111), the LSC goes on.
        node.ask("PATCH", "/parameters/mic_tls_policy", Some(&json!({"value": "refuse"}))).expect(200);
        let phone = Phone::start(tls(&node, &device, &mic)).await.unwrap();
        assert!(matches!(phone.register().await, Err(PhoneError::Refused { status: 403, .. })));
        registered(tls(&node, &device, &lsc)).await;
    });
}
