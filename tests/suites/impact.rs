//! What a change would do, asked before it is done, and what then happens; Extension Mobility; CAPF settings.

use keyline_loadtest::phone::{Phone, PhoneConfig, Transport};
use keyline_tests::inventory::{CISCO, DIGEST_PROFILE, Inventory};
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::{Authority, Issued};
use keyline_tests::wait;
use serde_json::{Value, json};

use crate::common::{callee_device, caller_device, registered};

on_shards!(
    r113_a_dry_run_names_the_phone_that_then_fails,
    r195_a_login_makes_the_users_credentials_count_until_the_logout,
);

fn tls(node: &Node, device: &str, dn: &str, identity: &Issued) -> PhoneConfig {
    node.phone(Transport::Tls(Box::new(node.tls_options(Some(identity)))), device, dn)
}

async fn is_refused(config: PhoneConfig) -> bool {
    match Phone::start(config).await {
        Ok(phone) => phone.register().await.is_err(),
        // Not even the handshake comes through.
        Err(_) => true,
    }
}

fn failing(told: &Value) -> Vec<(String, String)> {
    let first = told["impact"]["would_fail"]["first"].as_array().unwrap();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    first.iter().map(|f| (text(&f["phone"]), text(&f["cause"]))).collect()
}

/// One phone on its LSC, one on its MIC, whose roots are in stores of their own.
fn r113_a_dry_run_names_the_phone_that_then_fails(shards: u16) {
    let (lsc, mic) = (caller_device(shards), callee_device(shards));
    let (capf, maker) = (Authority::new("Test CAPF"), Authority::new("Maker"));
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &capf.pem()).trust("CallManager-trust", &maker.pem());
    inventory.encrypted_phone(&lsc, "1001").encrypted_phone(&mic, "1002");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    wait::run(async {
        let by_lsc = capf.issue(&lsc);
        let by_mic = maker.issue(&format!("CP-8845-{mic}"));
        let first = registered(tls(&node, &lsc, "1001", &by_lsc)).await;
        let second = registered(tls(&node, &mic, "1002", &by_mic)).await;
        let on_mic = node.ask("GET", "/reports/mic", None).expect(200);
        let names: Vec<_> = on_mic["items"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
        assert_eq!(names, [&json!(mic)], "{on_mic:#}");
        // A policy, which acts at once.
        let (path, body) = ("/parameters/mic_tls_policy", json!({"value": "refuse"}));
        let told = node.ask("PATCH", &format!("{path}?dry_run=true"), Some(&body)).expect(200);
        assert_eq!(failing(&told), [(mic.clone(), "mic_refused".to_owned())], "{told:#}");
        assert_eq!(told["impact"]["registered"], 2);
        second.refresh().await.expect("nothing was done");
        node.ask("PATCH", path, Some(&body)).expect(200);
        assert!(second.refresh().await.is_err());
        first.refresh().await.unwrap();
        node.ask("DELETE", path, None).expect(200);
        second.refresh().await.unwrap();
        // The root: the same verifier as for a handshake says who would be left.
        let roots = node.ask("GET", "/certificates?purpose=CallManager-trust", None).expect(200);
        let path =
            format!("/certificates/CallManager-trust/{}", roots["items"][0]["fingerprint"].as_str().unwrap());
        let told = node.ask("DELETE", &format!("{path}?dry_run=true"), None).expect(200);
        assert_eq!(failing(&told), [(mic.clone(), "certificate_untrusted".to_owned())], "{told:#}");
        node.ask("DELETE", &path, None).expect(200);
        assert!(is_refused(tls(&node, &mic, "1002", &by_mic)).await);
        registered(tls(&node, &lsc, "1001", &by_lsc)).await;
        // R015: the line that both would share.
        let share = json!({"lines": ["1001", "1002"], "security_profile": null});
        let told = node.ask("PATCH", &format!("/phones/{mic}?dry_run=true"), Some(&share)).expect(200);
        let mixed = &told["impact"]["mixed_lines"]["first"][0];
        assert_eq!(
            (&mixed["line"], &mixed["offending"]["first"]),
            (&json!("1001"), &json!([mic])),
            "{told:#}"
        );
        let done = node.ask("PATCH", &format!("/phones/{mic}"), Some(&share)).expect(200);
        assert_eq!(done["impact"], Value::Null);
        assert!(done["warnings"].as_array().unwrap().iter().any(|w| w["code"] == "shared_line_mixed"));
    });
}

fn r195_a_login_makes_the_users_credentials_count_until_the_logout(shards: u16) {
    let device = caller_device(shards);
    let mut inventory = Inventory::new();
    inventory.digest_phone(&device, "1001").end_user("guest", "Guest1");
    let mut node = Builder::new().shards(shards).inventory(&inventory).start();
    let path = |order: &str| format!("/phones/{device}/{order}");
    wait::run(async {
        let owner = || node.phone(Transport::Udp, &device, "1001").login("user1001", "Secret1001");
        let guest = || node.phone(Transport::Udp, &device, "1001").login("guest", "Guest1");
        let phone = registered(owner()).await;
        assert!(is_refused(guest()).await);
        let body = json!({"user": "guest"});
        let told = node.ask("POST", &path("login?dry_run=true"), Some(&body)).expect(200);
        assert_eq!(failing(&told), [(device.clone(), "digest_of_other_user".to_owned())], "{told:#}");
        let before = node.ask("GET", &format!("/phones/{device}"), None).expect(200);
        node.ask("POST", &path("login"), Some(&body)).expect(200);
        let after = node.ask("GET", &format!("/phones/{device}"), None).expect(200);
        assert_eq!(after["em_user"], "guest");
        // R013: what the phone is has not changed.
        for field in ["applied", "assigned", "trusted", "pending"] {
            assert_eq!(before[field], after[field], "{field}");
        }
        assert!(phone.refresh().await.is_err());
        registered(guest()).await;
        node.ask("POST", &path("login"), Some(&json!({"user": "nobody"}))).refused(422, "reference_missing");
    });
    // A login is stored.
    node.kill9_and_restart();
    wait::run(async {
        let login =
            |user: &str, password: &str| node.phone(Transport::Udp, &device, "1001").login(user, password);
        assert!(is_refused(login("user1001", "Secret1001")).await);
        registered(login("guest", "Guest1")).await;
        node.ask("POST", &path("logout"), None).expect(200);
        assert!(is_refused(login("guest", "Guest1")).await);
        registered(login("user1001", "Secret1001")).await;
    });
}

#[test]
fn r104_r106_capf_settings_on_the_phone_find_or_make_a_profile() {
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    inventory.digest_phone(&device, "1001");
    let node = Builder::new().shards(1).inventory(&inventory).start();
    let phone = format!("/phones/{device}");
    let profile = || node.ask("GET", &phone, None).expect(200)["assigned"]["security_profile"].clone();
    let capf = format!("{phone}/capf");
    let install = json!({"operation": "install"});
    node.ask("PATCH", &capf, Some(&install)).refused(422, "capf_settings_missing");
    let ec = json!({"key_order": "ec_only", "ec_key_size": 256});
    node.ask("PATCH", &format!("{capf}?dry_run=true"), Some(&ec)).expect(200);
    assert_eq!(profile(), DIGEST_PROFILE);
    node.ask("PATCH", &capf, Some(&ec)).expect(200);
    assert_eq!(profile(), format!("{DIGEST_PROFILE} EC-256"));
    let shown = node.ask("GET", &phone, None).expect(200)["capf"].clone();
    assert_eq!((&shown["key_order"], &shown["ec_key_size"]), (&json!("ec_only"), &json!(256)), "{shown:#}");
    // Another phone with the same settings gets the same profile.
    let row = json!({"name": callee_device(1), "model": CISCO, "protocol": "sip",
                     "security_profile": DIGEST_PROFILE, "capf": ec});
    let made = node.ask("POST", "/phones", Some(&row)).expect(201);
    assert_eq!(made["after"]["security_profile"], format!("{DIGEST_PROFILE} EC-256"));
    let upgrade = json!({"operation": "upgrade", "authentication_mode": "existing_certificate_lsc"});
    node.ask("PATCH", &capf, Some(&upgrade)).refused(422, "capf_certificate_unknown");
    node.ask("PATCH", &format!("{capf}?force=true"), Some(&upgrade)).expect(200);
    let shown = node.ask("GET", &phone, None).expect(200)["capf"].clone();
    assert_eq!(
        (&shown["operation"], &shown["authentication_mode"]),
        (&json!("upgrade"), &json!("existing_certificate_lsc"))
    );
}
