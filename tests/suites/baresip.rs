//! baresip registers and calls through the engine over UDP, TCP and TLS, with digest, certificates and
//! SRTP.

use keyline_tests::client::baresip::Account;
use keyline_tests::inventory::{CISCO, ENCRYPTED_PROFILE, Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::Authority;
use keyline_tests::wait;
use serde_json::{Value, json};

use crate::common::{CALLEE, CALLER, callee_device, caller_device};

on_shards!(baresip_calls_over_udp, baresip_calls_over_tcp, baresip_with_certificates_and_srtp_is_encrypted,);

/// Two baresips call each other both ways.
fn call(node: &Node, caller: &Account, callee: &Account) {
    let (mut one, mut two) = (caller.start(), callee.start());
    one.registered();
    two.registered();
    one.dial(&caller.uri(&callee.dn));
    one.event("CALL_ESTABLISHED");
    two.event("CALL_ESTABLISHED");
    one.hang_up();
    two.event("CALL_CLOSED");
    two.dial(&callee.uri(&caller.dn));
    two.event("CALL_ESTABLISHED");
    one.event("CALL_ESTABLISHED");
    one.hang_up();
    two.event("CALL_CLOSED");
    wait::until("end of all calls", || node.calls().is_empty().then_some(()));
}

fn digest_call(shards: u16, transport: &'static str) {
    let mut inventory = Inventory::new();
    inventory.md5_only();
    inventory.digest_phone(&caller_device(shards), CALLER).digest_phone(&callee_device(shards), CALLEE);
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let server = if transport == "udp" { node.udp() } else { node.tcp() };
    let account = |dn: &str| Account::new(dn, transport, server).login(&user_of(dn), &password_of(dn));
    call(&node, &account(CALLER), &account(CALLEE));
}

fn baresip_calls_over_udp(shards: u16) {
    digest_call(shards, "udp");
}

fn baresip_calls_over_tcp(shards: u16) {
    digest_call(shards, "tcp");
}

/// A mixed cluster with two phones under an encrypted profile; without certificates digest admits them.
struct Secure {
    node: Node,
    authority: Authority,
    shards: u16,
}

fn secure(shards: u16, digest: bool) -> Secure {
    let authority = Authority::new("Test CAPF");
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem());
    inventory.md5_only();
    let fields =
        json!({"device_security_mode": "encrypted", "transport": "tls", "digest_authentication": digest});
    inventory.profile(ENCRYPTED_PROFILE, CISCO, fields);
    for (device, dn) in [(caller_device(shards), CALLER), (callee_device(shards), CALLEE)] {
        inventory.end_user(&user_of(dn), &password_of(dn));
        let fields = json!({"security_profile": ENCRYPTED_PROFILE, "digest_user": user_of(dn)});
        inventory.phone(&device, CISCO, &[dn], fields);
    }
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    std::fs::write(node.folder().join("roots.pem"), node.server_certificates()).unwrap();
    Secure { node, authority, shards }
}

impl Secure {
    fn account(&self, device: &str, dn: &str, certificate: bool) -> Account {
        let folder = self.node.folder();
        let mut account = Account::new(dn, "tls", self.node.tls());
        account.srtp = true;
        account.roots = Some(folder.join("roots.pem"));
        if certificate {
            account.certificate = Some(self.authority.issue(device).write(folder, &format!("{dn}.pem")));
        } else {
            account = account.login(&user_of(dn), &password_of(dn));
        }
        account
    }

    /// A call from 1001 to 1002, and what the engine says of its security.
    fn security(&self, certificate: bool) -> Value {
        let (a, b) = (caller_device(self.shards), callee_device(self.shards));
        let account = self.account(&a, CALLER, certificate);
        let mut one = account.start();
        let mut two = self.account(&b, CALLEE, certificate).start();
        one.registered();
        two.registered();
        for device in [&a, &b] {
            let row = self.node.registered(device);
            assert_eq!(row["transport"], "tls");
            assert!(row["suite"].as_str().is_some_and(|s| s.contains("AES")), "{row}");
        }
        one.dial(&account.uri(CALLEE));
        one.event("CALL_ESTABLISHED");
        two.event("CALL_ESTABLISHED");
        let id = self.node.answered_call();
        let security = self.node.call_security(&id);
        one.hang_up();
        two.event("CALL_CLOSED");
        security
    }
}

fn baresip_with_certificates_and_srtp_is_encrypted(shards: u16) {
    let security = secure(shards, false).security(true);
    assert_eq!(security["class"], "encrypted", "{security:#}");
    assert_eq!(security["icon"], "lock");
    for leg in security["legs"].as_array().unwrap() {
        assert!(leg["criteria"].as_array().unwrap().iter().all(|c| c["pass"] == true), "{leg:#}");
    }
}

#[test]
fn baresip_with_digest_but_no_certificate_is_not_secure() {
    let security = secure(2, true).security(false);
    assert_eq!(security["class"], "non_secure", "{security:#}");
    for leg in security["legs"].as_array().unwrap() {
        let failed: Vec<&Value> =
            leg["criteria"].as_array().unwrap().iter().filter(|c| c["pass"] == false).collect();
        assert_eq!(failed.len(), 1, "{leg:#}");
        assert_eq!(failed[0]["name"], "signaling");
        assert_eq!(failed[0]["cause"], "no device certificate");
    }
}

#[test]
fn baresip_without_certificate_and_digest_is_refused() {
    let secure = secure(1, false);
    let device = caller_device(1);
    let mut account = secure.account(&device, CALLER, false);
    account.login = None;
    account.start().program.says("403 Forbidden");
    assert!(secure.node.registrations().is_empty());
}
