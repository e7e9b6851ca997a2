//! Who a phone's certificate makes it: uploaded ones, shared ones, revoked ones; and where a refusal is told.

use std::path::PathBuf;

use keyline_loadtest::phone::{Phone, PhoneConfig, PhoneError, Transport};
use keyline_tests::client::{baresip, linphone};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::{Authority, Issued};
use keyline_tests::wait;
use serde_json::{Value, json};

use crate::common::{CALLEE, CALLER, callee_device, caller_device, registered};

const HANDSHAKES: &str = "keyline_tls_handshakes_total";

fn tls(node: &Node, device: &str, dn: &str, identity: &Issued) -> PhoneConfig {
    node.phone(Transport::Tls(Box::new(node.tls_options(Some(identity)))), device, dn)
}

/// Registers and gives status and reason of the refusal.
async fn refused(config: PhoneConfig) -> (u16, String) {
    let phone = Phone::start(config).await.expect("the connection");
    match phone.register().await {
        Err(PhoneError::Refused { status, reason, .. }) => (status, reason),
        other => panic!("not refused: {other:?}"),
    }
}

/// The handshake or what follows it fails.
async fn shut_out(config: PhoneConfig) {
    // A client of TLS 1.3 believes that it is connected until it reads.
    if let Ok(phone) = Phone::start(config).await {
        assert!(phone.register().await.is_err());
    }
}

/// Waits until the phone's view shows a refusal for this reason.
fn shown(node: &Node, device: &str, stage: &str, reason: &str) -> Value {
    wait::until(reason, || {
        let all = node.admin_get(&format!("/phones/{device}")).json()["refusals"].clone();
        let found = all.as_array()?.iter().find(|r| r["stage"] == stage && r["reason"] == reason)?.clone();
        Some(found)
    })
}

fn vendor_model(inventory: &mut Inventory, mode: &str) {
    inventory.mixed().row(json!({"kind": "phone_model", "name": "Acme", "vendor_class": "preferred",
        "protocols": ["sip"], "capabilities": ["tls", "device_security_mode", "srtp"], "tls_certificate": mode}));
}

fn trusted(purpose: &str, pem: &str, phone: Option<&str>) -> String {
    format!("{}\n", json!({"kind": "certificate", "purpose": purpose, "pem": pem, "phone": phone}))
}

const SECURE: &str = "encrypted";

fn secure() -> Value {
    json!({"device_security_mode": SECURE, "transport": "tls"})
}

#[test]
fn r072_r073_an_uploaded_certificate_is_that_phones_alone() {
    let vendor = Authority::new("Vendor CA");
    let (a, b) = (caller_device(2), callee_device(2));
    let mut inventory = Inventory::new();
    vendor_model(&mut inventory, "per_device");
    inventory.profile("Acme", "Acme", secure());
    for (device, dn) in [(&a, CALLER), (&b, CALLEE)] {
        inventory.phone(device, "Acme", &[dn], json!({"security_profile": "Acme"}));
    }
    let node = Builder::new().shards(2).inventory(&inventory).start();
    let (of_a, of_b) = (vendor.issue("Acme 0001"), vendor.issue("Acme 0002"));
    for (device, own) in [(&a, &of_a), (&b, &of_b)] {
        assert!(node.import(&trusted("vendor-trust", &own.certificate_pem, Some(device))).status.success());
    }
    wait::run(async {
        registered(tls(&node, &a, CALLER, &of_a)).await;
        registered(tls(&node, &b, CALLEE, &of_b)).await.unregister().await.unwrap();
        let (status, reason) = refused(tls(&node, &b, CALLEE, &of_a)).await;
        assert_eq!((status, reason.contains("another device")), (403, true), "{reason}");
    });
    let refusal = shown(&node, &b, "request", "certificate_of_other_device");
    assert!(refusal["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{refusal}");
    assert!(node.metric("keyline_admission_events_total", "identity_conflict") >= 1.0);
    assert_eq!(node.registrations().len(), 1);
}

/// Two phones under a profile of that name, and a node that trusts that shared certificate.
fn shared_site(profile: &str, certificate: &Issued) -> (Node, String, String) {
    let (a, b) = (caller_device(2), callee_device(2));
    let mut inventory = Inventory::new();
    vendor_model(&mut inventory, "shared");
    inventory.profile(profile, "Acme", secure());
    for (device, dn) in [(&a, CALLER), (&b, CALLEE)] {
        inventory.phone(device, "Acme", &[dn], json!({"security_profile": profile}));
    }
    let node = Builder::new().shards(2).inventory(&inventory).start();
    let row = trusted("vendor-trust", &certificate.certificate_pem, None);
    assert!(node.import(&row).status.success(), "the upload itself is taken");
    (node, a, b)
}

#[test]
fn r077_two_phones_register_and_call_with_one_shared_certificate() {
    let shared = Authority::new("Vendor CA").issue_named("Acme Shared", &["phones.example"], &[]);
    let (node, a, b) = shared_site("phones.example", &shared);
    wait::run(async {
        let caller = registered(tls(&node, &a, CALLER, &shared)).await;
        let callee = registered(tls(&node, &b, CALLEE, &shared)).await;
        let (out, _) = crate::common::connect(&caller, &callee).await;
        out.hang_up().await.unwrap();
        // It proves the profile: a line of neither phone is not its.
        let (status, _) = refused(tls(&node, &a, "1099", &shared)).await;
        assert_eq!(status, 403);
    });
}

#[test]
fn r074_r075_a_shared_certificate_must_bear_the_profiles_name_as_dns_name() {
    let vendor = Authority::new("Vendor CA");
    // No name of type DNS, other letters, a prefix, a final dot of the profile's own.
    for (profile, dns, addresses) in [
        ("phones.example", &[][..], &["192.0.2.1"][..]),
        ("Phones.Example", &["phones.example"][..], &[][..]),
        ("phones.example.org", &["phones.example"][..], &[][..]),
        ("phones.example.", &["phones.example"][..], &[][..]),
    ] {
        let shared = vendor.issue_named("phones.example", dns, addresses);
        let (node, a, _) = shared_site(profile, &shared);
        wait::run(async {
            let (status, reason) = refused(tls(&node, &a, CALLER, &shared)).await;
            assert_eq!(
                (status, reason.contains("does not name the profile")),
                (403, true),
                "{profile}: {reason}"
            );
        });
        shown(&node, &a, "request", "certificate_of_other_profile");
    }
}

#[test]
fn r076_without_alternative_names_the_subject_names_the_profile() {
    let vendor = Authority::new("Vendor CA");
    let shared = vendor.issue("Acme Lobby");
    let (node, a, _) = shared_site("Acme Lobby", &shared);
    wait::run(async {
        registered(tls(&node, &a, CALLER, &shared)).await;
    });
    let (node, a, _) = shared_site("Acme lobby", &shared);
    wait::run(async {
        assert_eq!(refused(tls(&node, &a, CALLER, &shared)).await.0, 403);
    });
}

/// A node with two encrypted phones that trusts one authority.
fn site(trust: &[(&str, &Authority)]) -> Node {
    let mut inventory = Inventory::new();
    inventory.mixed();
    for (purpose, authority) in trust {
        inventory.trust(purpose, &authority.pem());
    }
    inventory.encrypted_phone(&caller_device(1), CALLER).encrypted_phone(&callee_device(1), CALLEE);
    Builder::new().inventory(&inventory).fixed_ports().start()
}

#[test]
fn r082_a_certificate_that_is_trusted_for_something_else_proves_nothing() {
    let (capf, other) = (Authority::new("Test CAPF"), Authority::new("Other"));
    let device = caller_device(1);
    for purpose in ["trunk-trust", "Phone-SAST-trust", "vendor-trust", "package-trust"] {
        let node = site(&[("CAPF-trust", &capf), (purpose, &other)]);
        wait::run(async {
            shut_out(tls(&node, &device, CALLER, &other.issue(&device))).await;
        });
        shown(&node, &device, "handshake", "client_certificate_untrusted");
        assert!(node.metric(HANDSHAKES, "client_certificate_untrusted") >= 1.0, "{purpose}");
        assert!(node.registrations().is_empty());
    }
}

#[test]
fn a_revoked_certificate_is_refused_until_its_list_is_gone_also_after_a_restart() {
    let (capf, stranger) = (Authority::new("Test CAPF"), Authority::new("Stranger"));
    let (a, b) = (caller_device(1), callee_device(1));
    let mut node = site(&[("CAPF-trust", &capf)]);
    let (bad, good) = (capf.issue(&a), capf.issue(&b));
    let add = |node: &Node, pem: &str| {
        let file = node.folder().join("list.pem");
        std::fs::write(&file, pem).unwrap();
        node.run(&["cert", "crl", "add", file.to_str().unwrap()])
    };
    wait::run(async {
        registered(tls(&node, &a, CALLER, &bad)).await.unregister().await.unwrap();
    });
    let out = add(&node, &stranger.revoke(1, &[&bad]));
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && told.contains("crl_not_signed"), "{told}");
    let out = add(&node, &capf.revoke(1, &[&bad]));
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    for restart in [false, true] {
        if restart {
            node.kill9_and_restart();
        }
        wait::run(async {
            shut_out(tls(&node, &a, CALLER, &bad)).await;
            registered(tls(&node, &b, CALLEE, &good)).await.unregister().await.unwrap();
        });
        shown(&node, &a, "handshake", "client_certificate_revoked");
        assert!(node.metric(HANDSHAKES, "client_certificate_revoked") >= 1.0);
    }
    assert!(node.stderr().contains("reason=\"client_certificate_revoked\""), "the log says so");
    let list = node.ask("GET", "/revocation-lists", None).expect(200)["items"][0].clone();
    assert_eq!((&list["revoked"], &list["expired"]), (&json!(1), &json!(false)), "{list}");
    let name = list["name"].as_str().unwrap();
    assert!(node.run(&["cert", "crl", "delete", name, "--yes"]).status.success());
    wait::run(async {
        registered(tls(&node, &a, CALLER, &bad)).await;
    });
}

#[test]
fn the_end_of_own_certificates_is_watched() {
    let node = Builder::new().start();
    for name in ["CallManager\"", "CallManager-EC", "TFTP"] {
        let days = node.metric("keyline_certificate_expiry_seconds", name) / 86_400.0;
        assert!((1823.0..1826.0).contains(&days), "{name}: {days}");
    }
    assert_eq!(node.ask("GET", "/health", None).expect(200)["warnings"], json!([]));
}

/// Certificates with which a phone is not let in: the label of the refusal, and where it happens.
fn wrong(capf: &Authority, own: &str, other: &str) -> [(&'static str, &'static str, Issued); 3] {
    [
        ("handshake", "client_certificate_expired", capf.issue_expired(own)),
        ("handshake", "client_certificate_untrusted", Authority::new("Stranger").issue(own)),
        ("request", "certificate_of_other_device", capf.issue(other)),
    ]
}

fn told_everywhere(node: &Node, device: &str, stage: &str, reason: &str) {
    shown(node, device, stage, reason);
    let metric = if stage == "handshake" { HANDSHAKES } else { "keyline_admission_verdicts_total" };
    assert!(node.metric(metric, reason) >= 1.0, "{reason}");
    assert!(node.stderr().contains(reason), "the log names {reason}");
    assert!(node.registrations().is_empty());
}

fn roots(node: &Node) -> PathBuf {
    let file = node.folder().join("roots.pem");
    std::fs::write(&file, node.server_certificates()).unwrap();
    file
}

#[test]
fn r073_baresip_with_a_wrong_certificate_is_refused_and_the_reason_is_told() {
    let (capf, a) = (Authority::new("Test CAPF"), caller_device(1));
    let node = site(&[("CAPF-trust", &capf)]);
    for (stage, reason, issued) in wrong(&capf, &a, &callee_device(1)) {
        let mut account = baresip::Account::new(CALLER, "tls", node.tls());
        account.roots = Some(roots(&node));
        account.certificate = Some(issued.write(node.folder(), "phone.pem"));
        let _phone = account.start();
        told_everywhere(&node, &a, stage, reason);
    }
}

#[test]
fn r073_linphone_with_a_wrong_certificate_is_refused_and_the_reason_is_told() {
    let (capf, a) = (Authority::new("Test CAPF"), caller_device(1));
    let node = site(&[("CAPF-trust", &capf)]);
    for (stage, reason, issued) in wrong(&capf, &a, &callee_device(1)) {
        let (certificate, key) = (node.folder().join("phone.crt"), node.folder().join("phone.key"));
        std::fs::write(&certificate, &issued.certificate_pem).unwrap();
        std::fs::write(&key, &issued.key_pem).unwrap();
        let mut account = linphone::Account::new(CALLER, "tls", node.tls());
        account.roots = Some(roots(&node));
        account.certificate = Some((certificate, key));
        let _phone = account.start();
        told_everywhere(&node, &a, stage, reason);
    }
}
