//! Trunks' own TLS connections: what their ClientHello offers (R131, R133), and what follows from the far end's
//! answer (R132). The far ends are a socket that reads the ClientHello, and OpenSSL.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::Authority;
use keyline_tests::wait;
use serde_json::{Value, json};

const ECDHE_RSA_NULL_SHA: u16 = 0xC010;
const ECDHE_ECDSA_NULL_SHA: u16 = 0xC006;
const SHA256_SHA256: u16 = 0xC0B4;

fn inventory(authority: &Authority, mode: &str, destination: &str, ciphers: &str) -> Inventory {
    let mut inventory = Inventory::new();
    inventory.mixed().parameter("tls_ciphers", ciphers).trust("trunk-trust", &authority.pem());
    inventory.row(json!({"kind": "trunk_security_profile", "name": "Far", "device_security_mode": mode}));
    inventory.row(json!({
        "kind": "trunk", "name": "sbc", "destination": destination, "security_profile": "Far",
    }));
    inventory
}

fn node(mode: &str, destination: &str, ciphers: &str, authority: &Authority) -> Node {
    Builder::new().shards(1).inventory(&inventory(authority, mode, destination, ciphers)).start()
}

fn connection(node: &Node) -> Value {
    node.ask("GET", "/trunks/sbc", None).expect(200)["connection"].clone()
}

fn stands(node: &Node, state: &str) -> Value {
    wait::until(&format!("trunk {state}"), || {
        let connection = connection(node);
        (connection["state"] == state).then_some(connection)
    })
}

/// Cipher suites of the ClientHello of the next connection (RFC 5246 §7.4.1.2), which is kept open.
fn hello(listener: &TcpListener) -> (TcpStream, Vec<u16>) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let mut head = [0; 5];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[0], 22, "a handshake record");
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut body).unwrap();
    assert_eq!(body[0], 1, "a ClientHello");
    // Type and length, version, random; then the session id and the suites.
    let at = 4 + 2 + 32;
    let at = at + 1 + usize::from(body[at]);
    let length = usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
    let suites = body[at + 2..at + 2 + length].chunks(2).map(|s| u16::from_be_bytes([s[0], s[1]]));
    // TLS_EMPTY_RENEGOTIATION_INFO_SCSV is no suite.
    (stream, suites.filter(|s| *s != 0x00FF).collect())
}

#[test]
fn r131_the_client_hello_of_an_authenticated_trunk_starts_with_null_sha() {
    let authority = Authority::new("Far CA");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let destination = listener.local_addr().unwrap().to_string();
    let node = node("authenticated", &destination, "all_rsa_preferred", &authority);
    let (mut stream, suites) = hello(&listener);
    assert_eq!(suites, [SHA256_SHA256, ECDHE_RSA_NULL_SHA, ECDHE_ECDSA_NULL_SHA], "nothing that encrypts");
    // R132: the far end has none of them and says so (handshake_failure).
    stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).unwrap();
    let connection = stands(&node, "cipher_mismatch");
    assert_eq!(connection["carries_calls"], false, "{connection}");
    assert_eq!(node.metric("keyline_trunk_connections", "state=\"cipher_mismatch\""), 1.0);
    assert_eq!(node.metric("keyline_trunk_connections", "state=\"down\""), 0.0);
    // It tries again. R130: a menu without NULL_SHA leaves it nothing to begin with.
    drop(hello(&listener));
    node.ask("PUT", "/parameters/tls_ciphers", Some(&json!({"value": "medium_rsa_preferred"}))).expect(200);
    drop(listener);
    let connection = stands(&node, "cipher_policy");
    assert_eq!(connection["carries_calls"], false, "{connection}");
}

#[test]
fn r133_an_encrypted_trunk_offers_the_encrypting_suites_of_the_menu_in_its_order() {
    let authority = Authority::new("Far CA");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let destination = listener.local_addr().unwrap().to_string();
    let node = node("encrypted", &destination, "all_ecdsa_preferred", &authority);
    let (stream, suites) = hello(&listener);
    assert_eq!(suites, [0x1302, 0x1301, 0xC02C, 0xC030, 0xC02B, 0xC02F]);
    drop(stream);
    stands(&node, "down");
}

/// `openssl s_server` that answers nothing to what it is sent.
struct FarEnd(Child, String);

impl FarEnd {
    fn start(folder: &std::path::Path, authority: &Authority, more: &[&str]) -> Self {
        let own = authority.issue_server("far-end");
        let (certificate, key) = (folder.join("far.pem"), folder.join("far.key"));
        std::fs::write(&certificate, &own.certificate_pem).unwrap();
        std::fs::write(&key, &own.key_pem).unwrap();
        // A port that is free now.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-accept", &address.port().to_string()])
            .args(["-cert", certificate.to_str().unwrap(), "-key", key.to_str().unwrap()])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        Self(child, format!("127.0.0.1:{}", address.port()))
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The profile's subject, since the far end's certificate names no address.
fn with_subject(node: &Node, subject: &str) {
    let body = json!({"x509_subject": subject});
    node.ask_with(
        "PATCH",
        "/trunk-security-profiles/Far",
        Some(&body),
        &[("Content-Type", "application/merge-patch+json")],
    )
    .expect(200);
}

#[test]
fn r132_an_authenticated_trunk_is_up_with_null_sha_at_the_far_end_and_not_without() {
    let (authority, stranger) = (Authority::new("Far CA"), Authority::new("Strange CA"));
    let folder = tempfile::tempdir().unwrap();
    let null = ["-tls1_2", "-cipher", "ECDHE-RSA-NULL-SHA:ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"];
    let far = FarEnd::start(folder.path(), &authority, &null);
    let up = node("authenticated", &far.1, "all_rsa_preferred", &authority);
    // Its certificate is right, but names another.
    assert!(stands(&up, "down")["reason"].as_str().is_some_and(|r| r.contains("ertificate")), "the name");
    with_subject(&up, "far-end");
    let connection = stands(&up, "secured");
    assert!(connection["suite"].as_str().is_some_and(|s| s.ends_with("_WITH_NULL_SHA")), "{connection}");
    assert_eq!(connection["carries_calls"], true);
    drop(far);
    stands(&up, "down");
    // OpenSSL without NULL_SHA: the same trunk does not come up, an encrypted one does.
    let far = FarEnd::start(folder.path(), &authority, &[]);
    let closed = node("authenticated", &far.1, "all_rsa_preferred", &authority);
    with_subject(&closed, "far-end");
    stands(&closed, "cipher_mismatch");
    let open = node("encrypted", &far.1, "all_rsa_preferred", &authority);
    with_subject(&open, "far-end");
    assert_eq!(stands(&open, "secured")["suite"], "TLS_AES_256_GCM_SHA384");
    // Whoever is certified by somebody else is no far end of ours.
    let strange = FarEnd::start(folder.path(), &stranger, &[]);
    let refused = node("encrypted", &strange.1, "all_rsa_preferred", &authority);
    with_subject(&refused, "far-end");
    assert!(stands(&refused, "down")["reason"].as_str().is_some_and(|r| r.contains("UnknownIssuer")));
}

#[test]
fn r130_a_trunk_that_is_up_follows_menu_and_trust_at_once() {
    let authority = Authority::new("Far CA");
    let folder = tempfile::tempdir().unwrap();
    let null = ["-tls1_2", "-cipher", "ECDHE-RSA-NULL-SHA:ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"];
    let far = FarEnd::start(folder.path(), &authority, &null);
    let node = node("authenticated", &far.1, "all_rsa_preferred", &authority);
    with_subject(&node, "far-end");
    stands(&node, "secured");
    let menu = |value: &str| {
        node.ask("PUT", "/parameters/tls_ciphers", Some(&json!({"value": value}))).expect(200);
    };
    // Sooner than the far end would be missed, which answers nothing.
    menu("medium_rsa_preferred");
    stands(&node, "cipher_policy");
    menu("all_rsa_preferred");
    stands(&node, "secured");
    let roots = node.ask("GET", "/certificates?purpose=trunk-trust", None).expect(200);
    let path = format!("/certificates/trunk-trust/{}", roots["items"][0]["fingerprint"].as_str().unwrap());
    node.ask("DELETE", &path, None).expect(200);
    assert_eq!(stands(&node, "down")["carries_calls"], false);
}
