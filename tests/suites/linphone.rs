//! linphone registers and calls through the engine over UDP, TCP and TLS.

use keyline_tests::client::baresip;
use keyline_tests::client::linphone::Account;
use keyline_tests::inventory::{CISCO, Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::Authority;
use keyline_tests::wait;
use serde_json::json;

use crate::common::{CALLEE, CALLER, callee_device, caller_device};

on_shards!(linphone_calls_over_udp, linphone_calls_over_tcp, linphone_calls_over_tls);

fn call(node: &Node, caller: &Account, callee: &Account) {
    let (mut one, two) = (caller.start(), callee.start());
    for dn in [&caller.dn, &callee.dn] {
        line_registered(node, dn);
    }
    one.dial(&format!("sip:{}@keyline.local", callee.dn));
    one.program.says("connected");
    two.program.says("connected");
    node.answered_call();
    one.hang_up();
    two.program.says("ended");
    wait::until("end of all calls", || node.calls().is_empty().then_some(()));
}

fn line_registered(node: &Node, dn: &str) {
    let aor = format!("sip:{dn}@keyline.local");
    wait::until(&aor, || node.registrations().iter().any(|row| row["aor"] == aor.as_str()).then_some(()));
}

fn digest_node(shards: u16) -> Node {
    let mut inventory = Inventory::new();
    inventory.digest_phone(&caller_device(shards), CALLER).digest_phone(&callee_device(shards), CALLEE);
    Builder::new().shards(shards).inventory(&inventory).start()
}

fn digest_call(shards: u16, transport: &'static str) {
    let node = digest_node(shards);
    let server = if transport == "udp" { node.udp() } else { node.tcp() };
    let account = |dn: &str| Account::new(dn, transport, server).login(&user_of(dn), &password_of(dn));
    call(&node, &account(CALLER), &account(CALLEE));
}

fn linphone_calls_over_udp(shards: u16) {
    digest_call(shards, "udp");
}

fn linphone_calls_over_tcp(shards: u16) {
    digest_call(shards, "tcp");
}

fn linphone_calls_over_tls(shards: u16) {
    let authority = Authority::new("Test CAPF");
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem());
    let (a, b) = (caller_device(shards), callee_device(shards));
    inventory.encrypted_phone(&a, CALLER).encrypted_phone(&b, CALLEE);
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let folder = node.folder();
    std::fs::write(folder.join("roots.pem"), node.server_certificates()).unwrap();
    let account = |device: &str, dn: &str| {
        let issued = authority.issue(device);
        let (certificate, key) = (folder.join(format!("{dn}.crt")), folder.join(format!("{dn}.key")));
        std::fs::write(&certificate, &issued.certificate_pem).unwrap();
        std::fs::write(&key, &issued.key_pem).unwrap();
        let mut account = Account::new(dn, "tls", node.tls());
        account.certificate = Some((certificate, key));
        account.roots = Some(folder.join("roots.pem"));
        account.srtp = true;
        account
    };
    call(&node, &account(&a, CALLER), &account(&b, CALLEE));
}

#[test]
fn linphone_and_baresip_call_each_other() {
    let mut inventory = Inventory::new();
    inventory.md5_only().digest_phone(&caller_device(2), CALLER).digest_phone(&callee_device(2), CALLEE);
    let node = Builder::new().shards(2).inventory(&inventory).start();
    let linphone = Account::new(CALLER, "tcp", node.tcp()).login(&user_of(CALLER), &password_of(CALLER));
    let account = baresip::Account::new(CALLEE, "udp", node.udp());
    let account = account.login(&user_of(CALLEE), &password_of(CALLEE));
    let (mut one, mut two) = (linphone.start(), account.start());
    line_registered(&node, CALLER);
    line_registered(&node, CALLEE);
    one.dial(&format!("sip:{CALLEE}@keyline.local"));
    one.program.says("connected");
    two.event("CALL_ESTABLISHED");
    two.hang_up();
    one.program.says("ended");
    two.dial(&account.uri(CALLER));
    two.event("CALL_ESTABLISHED");
    two.hang_up();
    wait::until("end of all calls", || node.calls().is_empty().then_some(()));
}

#[test]
fn linphone_uses_the_strongest_algorithm() {
    let mut inventory = Inventory::new();
    // Only SHA-256 is offered.
    inventory.parameter("digest_algorithms", json!(["SHA-256"]));
    inventory.digest_phone(&caller_device(1), CALLER);
    inventory.phone(&callee_device(1), CISCO, &[CALLEE], json!({}));
    let node = Builder::new().inventory(&inventory).start();
    let account = Account::new(CALLER, "udp", node.udp()).login(&user_of(CALLER), &password_of(CALLER));
    let _phone = account.start();
    node.registered(&caller_device(1));
}
