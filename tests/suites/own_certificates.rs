//! The node's own certificates: requests, certificates of another authority, and what stays as it is.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use keyline_loadtest::phone::Transport;
use keyline_loadtest::tls::TlsOptions;
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::own::{ServerAuthority, Standing, openssl};
use keyline_tests::pki::Authority;
use keyline_tests::wait;

use crate::common::{CALLER, caller_device, registered};

const EC: &str = "CallManager-EC";

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn request(node: &Node, arguments: &[&str]) -> String {
    let out = node.run(&[&["cert", "csr", "--name", EC], arguments].concat());
    assert!(out.status.success(), "{}", text(&out));
    String::from_utf8(out.stdout).unwrap()
}

fn install(node: &Node, pem: &str, more: &[&str]) -> Output {
    let file = node.folder().join("upload.pem");
    std::fs::write(&file, pem).unwrap();
    node.run(&[&["cert", "install", "--name", EC, "--pem", file.to_str().unwrap()], more].concat())
}

fn trust(node: &Node, authority: &ServerAuthority) {
    let file = authority.pem_file();
    let out = node.run(&["cert", "add", "CallManager-trust", "--pem", file.to_str().unwrap()]);
    assert!(out.status.success(), "{}", text(&out));
}

/// What openssl says of a handshake that verifies the server by these roots.
fn s_client(node: &Node, roots: &Path, more: &[&str]) -> String {
    let out = Command::new("openssl")
        .args(["s_client", "-connect", &node.tls().to_string(), "-CAfile", roots.to_str().unwrap()])
        .args(["-verify_return_error", "-showcerts", "-sigalgs", "ECDSA+SHA256", "-tls1_3"])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("the openssl program");
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
fn r005_r007_a_signed_certificate_is_served_beside_open_connections_and_outlives_kill_9() {
    let (capf, device) = (Authority::new("Test CAPF"), caller_device(1));
    let mut inventory = Inventory::new();
    inventory.mixed().parameter("tls_ciphers", "all_ecdsa_preferred").trust("CAPF-trust", &capf.pem());
    inventory.encrypted_phone(&device, CALLER);
    let mut node = Builder::new().inventory(&inventory).fixed_ports().start();
    let authority = ServerAuthority::new(node.folder(), "Example Root");
    let identity = capf.issue(&device);
    let before = node.certificate(EC);
    let csr = request(&node, &[]);
    let file = node.folder().join("own.csr");
    std::fs::write(&file, &csr).unwrap();
    let said = openssl(&["req", "-in", file.to_str().unwrap(), "-verify", "-noout", "-text"]);
    for part in
        ["DNS:keyline.local", "IP Address:127.0.0.1", "TLS Web Server Authentication", "OU = CallManager-EC"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let signed = authority.sign(&csr);
    wait::run(async {
        let options = node.tls_options(Some(&identity));
        let phone = registered(node.phone(Transport::Tls(Box::new(options.clone())), &device, CALLER)).await;
        // Nobody has said yet that this root may vouch for the node.
        let out = install(&node, &signed, &[]);
        assert!(!out.status.success() && text(&out).contains("was issued by"), "{}", text(&out));
        trust(&node, &authority);
        let out = install(&node, &signed, &["--dry-run"]);
        assert!(String::from_utf8_lossy(&out.stdout).contains("would be served"), "{}", text(&out));
        assert_eq!(node.certificate(EC), before);
        let out = install(&node, &signed, &[]);
        assert!(out.status.success(), "{}", text(&out));
        // The connection from before is served on.
        phone.register().await.unwrap();
        assert!(phone.is_open());
        // Who trusts only the old one is not fooled; who trusts the root registers.
        let mistrusting = node.phone(Transport::Tls(Box::new(options.clone())), &device, CALLER);
        assert!(keyline_loadtest::phone::Phone::start(mistrusting).await.is_err());
        let options = TlsOptions { roots_pem: authority.pem(), ..options };
        registered(node.phone(Transport::Tls(Box::new(options)), &device, CALLER)).await;
    });
    let said = s_client(&node, &authority.pem_file(), &[]);
    assert!(said.contains("Verification: OK") && said.contains("issuer=CN = Example Root"), "{said}");
    let served = node.certificate(EC);
    node.kill9_and_restart();
    assert_eq!(node.certificate(EC), served);
    // A name that the node does not know is no reason to refuse (SNI is tolerated), nor is one that it has.
    for name in ["pbx.elsewhere.example", "keyline.local"] {
        let said = s_client(&node, &authority.pem_file(), &["-servername", name]);
        assert!(said.contains("Verification: OK"), "{name}: {said}");
    }
    let audit = String::from_utf8(node.run(&["audit", "list"]).stdout).unwrap();
    assert!(audit.contains("own_certificate_install"), "{audit}");
}

#[test]
fn r005_what_may_not_be_served_is_refused_with_its_code_and_the_old_one_stays() {
    let node = Builder::new().start();
    let authority = ServerAuthority::new(node.folder(), "Example Root");
    trust(&node, &authority);
    let before = node.certificate(EC);
    // Signed for a key that waits: the request for the key in force is another one.
    let waiting = request(&node, &["--new-key"]);
    let of_new = authority.sign(&waiting);
    let replaced = request(&node, &["--new-key"]);
    for (pem, code) in [
        (of_new, "certificate_key_mismatch"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_owned(), "certificate_pem"),
        (before.clone(), "certificate_root_unknown"),
    ] {
        let out = install(&node, &pem, &[]);
        assert_eq!(out.status.code(), Some(1));
        assert!(text(&out).contains(code), "{code}: {}", text(&out));
        assert_eq!(node.certificate(EC), before);
    }
    let out = node.run(&["cert", "regenerate", "--name", EC]);
    assert_eq!(out.status.code(), Some(2), "nobody confirmed it");
    // The key that waits comes into force with its certificate.
    let out = install(&node, &authority.sign(&replaced), &[]);
    assert!(out.status.success(), "{}", text(&out));
    let served = node.certificate(EC);
    assert_ne!(served, before);
    let out = node.run(&["cert", "regenerate", "--name", EC, "--yes"]);
    assert!(out.status.success(), "{}", text(&out));
    assert_ne!(node.certificate(EC), served);
    assert!(!node.stderr().contains("PRIVATE KEY"));
}

#[test]
fn r005_a_store_that_no_node_holds_takes_one_too() {
    let mut node = Builder::new().prepare();
    let authority = ServerAuthority::new(node.folder(), "Example Root");
    trust(&node, &authority);
    let out = install(&node, &authority.sign(&request(&node, &[])), &[]);
    assert!(out.status.success(), "{}", text(&out));
    let served = node.certificate(EC);
    node.start();
    assert_eq!(node.certificate(EC), served);
    let said = s_client(&node, &authority.pem_file(), &[]);
    assert!(said.contains("Verification: OK"), "{said}");
}

/// What openssl finds in a handshake that asks for the status of the server's certificate.
fn status(node: &Node, more: &[&str]) -> String {
    let out = Command::new("openssl")
        .args(["s_client", "-connect", &node.tls().to_string(), "-status"])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("the openssl program");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("OCSP response:") || said.contains("OCSP Response Status"), "{said}");
    said
}

const STAPLED: &str = "OCSP Response Status: successful";

#[test]
fn an_ocsp_response_is_carried_along_and_judged_before() {
    let mut inventory = Inventory::new();
    inventory.parameter("tls_ciphers", "all_ecdsa_preferred");
    let tls = ("tls", "legacy = true");
    let mut node = Builder::new().inventory(&inventory).setting(tls.0, tls.1).fixed_ports().start();
    let (authority, other) =
        (ServerAuthority::new(node.folder(), "Root"), ServerAuthority::new(node.folder(), "Other"));
    let staple = |node: &Node, name: &str, der: &[u8], more: &[&str]| {
        let file = node.folder().join("response.der");
        std::fs::write(&file, der).unwrap();
        node.run(&[&["cert", "staple", "--name", name, file.to_str().unwrap()], more].concat())
    };
    // A self-signed certificate has nobody who could say something of it.
    let mut signed = std::collections::BTreeMap::new();
    let of_own = authority.ocsp(&node.certificate(EC), Standing::Good, None);
    let out = staple(&node, EC, &of_own, &[]);
    assert!(!out.status.success() && text(&out).contains("ocsp_no_issuer"), "{}", text(&out));
    trust(&node, &authority);
    for name in [EC, "CallManager"] {
        let csr = node.run(&["cert", "csr", "--name", name]).stdout;
        let pem = authority.sign(&String::from_utf8(csr).unwrap());
        let file = node.folder().join("upload.pem");
        std::fs::write(&file, &pem).unwrap();
        let out = node.run(&["cert", "install", "--name", name, "--pem", file.to_str().unwrap()]);
        assert!(out.status.success(), "{}", text(&out));
        signed.insert(name, pem);
    }
    assert!(status(&node, &["-tls1_3"]).contains("no response sent"));
    let own = authority.ocsp(&signed[EC], Standing::Good, None);
    let mut forged = own.clone();
    *forged.last_mut().unwrap() ^= 1;
    for (response, code) in [
        (b"nothing".to_vec(), "ocsp_unreadable"),
        (authority.ocsp(&signed["CallManager"], Standing::Good, None), "ocsp_of_other_certificate"),
        (authority.ocsp(&signed[EC], Standing::Revoked, None), "ocsp_not_good"),
        (authority.ocsp(&signed[EC], Standing::Good, Some(&authority.responder(false))), "ocsp_not_signed"),
        (authority.ocsp(&signed[EC], Standing::Good, Some(&other.responder(true))), "ocsp_not_signed"),
    ] {
        let out = staple(&node, EC, &response, &[]);
        assert!(!out.status.success() && text(&out).contains(code), "{code}: {}", text(&out));
    }
    let out = staple(&node, EC, &own, &["--dry-run"]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("would be carried along until"), "{}", text(&out));
    assert!(status(&node, &["-tls1_3"]).contains("no response sent"), "a dry run does nothing");
    // One signed by the issuer for EC, one by a responder that it has charged for RSA; after kill -9 too.
    let by_other = authority.ocsp(&signed["CallManager"], Standing::Good, Some(&authority.responder(true)));
    for (name, response) in [(EC, &own), ("CallManager", &by_other)] {
        let out = staple(&node, name, response, &[]);
        assert!(out.status.success(), "{}", text(&out));
    }
    for restart in [false, true] {
        if restart {
            node.kill9_and_restart();
        }
        let old = ["-tls1", "-cipher", "AES128-SHA:@SECLEVEL=0"];
        for client in [&["-tls1_3"][..], &["-tls1_2"], &["-tls1_2", "-sigalgs", "RSA-PSS+SHA256"], &old] {
            assert!(status(&node, client).contains(STAPLED), "{client:?} {restart}");
        }
        let left = node.metric("keyline_ocsp_expiry_seconds", EC);
        assert!((80_000.0..86_401.0).contains(&left), "{left}");
        let shown = node.ask("GET", &format!("/own-certificates/{EC}"), None).expect(200);
        assert_eq!(shown["ocsp"]["current"], true, "{shown}");
    }
    // A new certificate takes the response of the one before off; and it can be taken off by itself.
    assert!(node.run(&["cert", "staple", "--name", "CallManager", "--delete"]).status.success());
    assert!(status(&node, &["-tls1_2", "-sigalgs", "RSA-PSS+SHA256"]).contains("no response sent"));
    assert!(node.run(&["cert", "regenerate", "--name", EC, "--yes"]).status.success());
    assert!(status(&node, &["-tls1_3"]).contains("no response sent"));
}
