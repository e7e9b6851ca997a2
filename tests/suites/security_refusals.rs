//! Registrations that a security profile refuses, the cipher menus, and who may read the admin API.

use keyline_loadtest::phone::{Phone, PhoneConfig, PhoneError, Transport};
use keyline_loadtest::tls::{TlsOptions, Versions};
use keyline_tests::inventory::{CISCO, Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::{Authority, Issued};
use keyline_tests::wait;
use serde_json::json;

use crate::common::{CALLEE, CALLER, callee_device, caller_device, registered};

fn tls(node: &Node, device: &str, dn: &str, identity: Option<&Issued>) -> PhoneConfig {
    node.phone(Transport::Tls(Box::new(node.tls_options(identity))), device, dn)
}

/// Registers and gives status and reason of the refusal.
async fn refused(config: PhoneConfig) -> (u16, String) {
    let phone = Phone::start(config).await.expect("the connection");
    match phone.register().await {
        Err(PhoneError::Refused { status, reason, .. }) => (status, reason),
        other => panic!("not refused: {other:?}"),
    }
}

/// A node that trusts an authority, with one phone under the encrypted profile.
fn encrypted_site(mixed: bool) -> (Node, Authority, String) {
    let authority = Authority::new("Test CAPF");
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    inventory.trust("CAPF-trust", &authority.pem()).encrypted_phone(&device, CALLER);
    if mixed {
        inventory.mixed();
    }
    (Builder::new().inventory(&inventory).start(), authority, device)
}

#[test]
fn r001_r002_a_fresh_node_is_non_secure_and_so_are_its_phones() {
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    inventory.plain_phone(&device, CALLER);
    let node = Builder::new().inventory(&inventory).start();
    let export = String::from_utf8(node.run(&["export"]).stdout).unwrap();
    assert!(!export.contains("\"mixed\""), "{export}");
    wait::run(async {
        for transport in [Transport::Udp, Transport::Tcp] {
            let phone = registered(node.phone(transport, &device, CALLER)).await;
            phone.unregister().await.unwrap();
        }
        let (status, reason) = refused(tls(&node, &device, CALLER, None)).await;
        assert_eq!(status, 403);
        assert!(reason.contains("non-secure profile"), "{reason}");
    });
}

#[test]
fn r059_a_secure_profile_needs_mixed_mode() {
    let (node, authority, device) = encrypted_site(false);
    wait::run(async {
        let issued = authority.issue(&device);
        let (status, reason) = refused(tls(&node, &device, CALLER, Some(&issued))).await;
        assert_eq!(status, 403);
        assert!(reason.contains("cluster mode"), "{reason}");
        // A parameter acts from its commit.
        let mut mixed = Inventory::new();
        mixed.mixed();
        assert!(node.import(&mixed.ndjson()).status.success());
        registered(tls(&node, &device, CALLER, Some(&issued))).await;
    });
}

#[test]
fn r160_a_secure_profile_is_served_over_tls_only_and_never_challenged_without_digest() {
    let (node, authority, device) = encrypted_site(true);
    wait::run(async {
        for transport in [Transport::Udp, Transport::Tcp] {
            let (status, reason) = refused(node.phone(transport, &device, CALLER)).await;
            assert_eq!(status, 403);
            assert!(reason.contains("TLS"), "{reason}");
        }
        let (status, reason) = refused(tls(&node, &device, CALLER, None)).await;
        assert_eq!((status, reason.contains("no device certificate")), (403, true), "{reason}");
        // Somebody else's authority: the handshake or the registration fails.
        let stranger = Authority::new("Stranger").issue(&device);
        match Phone::start(tls(&node, &device, CALLER, Some(&stranger))).await {
            Err(_) => {}
            Ok(phone) => assert!(phone.register().await.is_err()),
        }
        assert!(node.registrations().is_empty());
        registered(tls(&node, &device, CALLER, Some(&authority.issue(&device)))).await;
    });
}

#[test]
fn r073_a_certificate_of_another_phone_is_refused() {
    let authority = Authority::new("Test CAPF");
    let (a, b) = (caller_device(2), callee_device(2));
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem());
    inventory.encrypted_phone(&a, CALLER).encrypted_phone(&b, CALLEE);
    let node = Builder::new().shards(2).inventory(&inventory).start();
    wait::run(async {
        let of_a = authority.issue(&a);
        let (status, reason) = refused(tls(&node, &b, CALLEE, Some(&of_a))).await;
        assert_eq!((status, reason.contains("another device")), (403, true), "{reason}");
        // Its own name, but the other's line.
        let (status, _) = refused(tls(&node, &a, CALLEE, Some(&of_a))).await;
        assert_eq!(status, 403);
        // A certificate that names nobody.
        let nobody = authority.issue("Front Desk");
        let (status, _) = refused(tls(&node, &a, CALLER, Some(&nobody))).await;
        assert_eq!(status, 403);
        assert!(node.registrations().is_empty());
    });
}

#[test]
fn r052_r111_a_manufacturers_certificate_serves_unless_it_is_refused() {
    let maker = Authority::new("Maker CA");
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CallManager-trust", &maker.pem()).encrypted_phone(&device, CALLER);
    let node = Builder::new().inventory(&inventory).start();
    wait::run(async {
        let mic = maker.issue(&format!("CP-8845-{device}"));
        registered(tls(&node, &device, CALLER, Some(&mic))).await.unregister().await.unwrap();
        let other = maker.issue(&format!("CP-7821-{device}"));
        let (status, reason) = refused(tls(&node, &device, CALLER, Some(&other))).await;
        assert_eq!((status, reason.contains("another model")), (403, true), "{reason}");
        let mut policy = Inventory::new();
        policy.parameter("mic_tls_policy", "refuse");
        assert!(node.import(&policy.ndjson()).status.success());
        let (status, reason) = refused(tls(&node, &device, CALLER, Some(&mic))).await;
        assert_eq!((status, reason.contains("LSC")), (403, true), "{reason}");
    });
}

#[test]
fn r055_a_preferred_vendors_phone_needs_its_uploaded_certificate() {
    let vendor = Authority::new("Vendor CA");
    let device = caller_device(1);
    let model = "Acme Secure Phone";
    let mut inventory = Inventory::new();
    inventory.mixed().row(json!({"kind": "phone_model", "name": model, "vendor_class": "preferred",
        "protocols": ["sip"], "capabilities": ["tls", "device_security_mode", "srtp"],
        "tls_certificate": "per_device"}));
    inventory.profile("Acme", model, json!({"device_security_mode": "encrypted", "transport": "tls"}));
    inventory.phone(&device, model, &[CALLER], json!({"security_profile": "Acme"}));
    let node = Builder::new().inventory(&inventory).start();
    wait::run(async {
        let own = vendor.issue("Acme 0001");
        // Nothing is uploaded: it is refused, in the handshake or by 403.
        match Phone::start(tls(&node, &device, CALLER, Some(&own))).await {
            Err(_) => {}
            Ok(phone) => assert!(phone.register().await.is_err()),
        }
        let (status, reason) = refused(tls(&node, &device, CALLER, None)).await;
        assert_eq!((status, reason.contains("no certificate uploaded")), (403, true), "{reason}");
        let row = json!({"kind": "certificate", "purpose": "vendor-trust", "pem": own.certificate_pem,
            "phone": device});
        assert!(node.import(&format!("{row}\n")).status.success());
        registered(tls(&node, &device, CALLER, Some(&own))).await;
        let second = vendor.issue("Acme 0002");
        match Phone::start(tls(&node, &device, CALLER, Some(&second))).await {
            Err(_) => {}
            Ok(phone) => assert!(phone.register().await.is_err()),
        }
    });
}

#[test]
fn r162_digest_and_certificate_must_name_one_device() {
    let authority = Authority::new("Test CAPF");
    let (a, b) = (caller_device(2), callee_device(2));
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem());
    let fields =
        json!({"device_security_mode": "encrypted", "transport": "tls", "digest_authentication": true});
    inventory.profile("Both proofs", CISCO, fields);
    for (device, dn) in [(&a, CALLER), (&b, CALLEE)] {
        inventory.end_user(&user_of(dn), &password_of(dn));
        let fields = json!({"security_profile": "Both proofs", "digest_user": user_of(dn)});
        inventory.phone(device, CISCO, &[dn], fields);
    }
    let node = Builder::new().shards(2).inventory(&inventory).start();
    wait::run(async {
        let issued = authority.issue(&a);
        let phone = |user: &str, password: &str| tls(&node, &a, CALLER, Some(&issued)).login(user, password);
        // The certificate alone is not enough, nor with another's digest.
        let silent = Phone::start(tls(&node, &a, CALLER, Some(&issued))).await.unwrap();
        assert!(silent.register().await.is_err());
        assert!(!silent.record().find(0, |e| e.is_response(401, "REGISTER")).is_empty());
        let (status, _) = refused(phone(&user_of(CALLEE), &password_of(CALLEE))).await;
        assert_eq!(status, 403);
        registered(phone(&user_of(CALLER), &password_of(CALLER))).await;
    });
}

#[test]
fn r122_to_r127_the_menu_decides_suite_and_certificate() {
    let suite_of = |menu: &str, versions: Versions| {
        let (device, authority) = (caller_device(1), Authority::new("Test CAPF"));
        let mut inventory = Inventory::new();
        inventory.mixed().parameter("tls_ciphers", menu).trust("CAPF-trust", &authority.pem());
        inventory.encrypted_phone(&device, CALLER);
        let node = Builder::new().inventory(&inventory).start();
        let options = TlsOptions { versions, ..node.tls_options(Some(&authority.issue(&device))) };
        wait::run(async {
            let config = node.phone(Transport::Tls(Box::new(options)), &device, CALLER);
            let phone = registered(config).await;
            let suite = phone.tls().unwrap().suite;
            assert_eq!(node.registered(&device)["suite"].as_str(), Some(suite.as_str()));
            suite
        })
    };
    let rsa = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
    let ecdsa = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    assert_eq!(suite_of("strongest_rsa_preferred", Versions::Tls12), rsa);
    assert_eq!(suite_of("strongest_ecdsa_preferred", Versions::Tls12), ecdsa);
    assert_eq!(suite_of("all_rsa_preferred", Versions::Tls12), rsa);
    assert_eq!(suite_of("medium_ecdsa_preferred", Versions::Tls12), ecdsa);
    let tls13 = suite_of("strongest_rsa_preferred", Versions::Tls13);
    assert!(tls13.contains("AES_256_GCM"), "{tls13}");
}

#[test]
fn r004_the_nodes_certificates_are_self_signed_distinct_and_no_authorities() {
    let node = Builder::new().start();
    let pems = ["CallManager", "CallManager-EC", "TFTP"].map(|name| node.certificate(name));
    assert!(pems[0] != pems[1] && pems[1] != pems[2] && pems[0] != pems[2]);
    for pem in &pems {
        let file = node.folder().join("one.pem");
        std::fs::write(&file, pem).unwrap();
        let openssl = |arguments: &[&str]| {
            let out = std::process::Command::new("openssl").args(arguments).arg("-in").arg(&file).output();
            String::from_utf8(out.unwrap().stdout).unwrap()
        };
        let names = openssl(&["x509", "-noout", "-subject", "-issuer", "-nameopt", "RFC2253"]);
        let (subject, issuer) = names.trim().split_once('\n').expect("two lines");
        assert_eq!(subject.strip_prefix("subject="), issuer.strip_prefix("issuer="));
        assert!(!openssl(&["x509", "-noout", "-text"]).contains("CA:TRUE"));
    }
    // They outlive a restart.
    let mut node = node;
    node.kill9_and_restart();
    assert_eq!(node.certificate("CallManager"), pems[0]);
}

#[test]
fn the_admin_api_is_read_with_the_token_only() {
    let node = Builder::new().start();
    for arguments in [&[][..], &["-H", "Authorization: Bearer wrong"]] {
        let answer = node.admin("/registrations", arguments);
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()["code"], "unauthorized");
    }
    assert_eq!(node.admin_get("/registrations").status, 200);
    assert_eq!(node.admin_get("/calls/none/security").status, 404);
    assert_eq!(node.admin("/health", &[]).status, 200);
    let document = node.admin("/openapi.json", &[]).json();
    assert!(document["paths"].as_object().is_some_and(|paths| !paths.is_empty()));
    let token = std::fs::metadata(node.data().join("admin.token")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&token.permissions()) & 0o777, 0o600);
    assert!(!node.stderr().contains(&node.token()));
}
