//! Certificates that are no longer believed: connections that are open, and what would happen before it does.

use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::{Authority, Issued};
use keyline_tests::place::device_on;
use keyline_tests::secure::{Resuming, Secure};
use keyline_tests::wait;
use serde_json::{Value, json};

on_shards!(
    r052_what_is_no_longer_believed_is_closed_while_it_is_open,
    what_a_revocation_list_would_do_is_told_before,
);

const MODEL: &str = "Acme";
const CLOSED: &str = "keyline_tls_revoked_total";

fn line(node: &Node, own: &Issued) -> Secure {
    Resuming::new(node.tls_options(Some(own))).connect(node.tls()).unwrap()
}

fn registers(line: &mut Secure, dn: &str) -> bool {
    let request = line.register(dn);
    line.status(&request) == Some(200)
}

/// The node has closed: nothing comes any more, and nobody waits for it.
fn is_closed(line: &mut Secure) -> bool {
    let began = std::time::Instant::now();
    line.receive_within(wait::PATIENCE).is_none() && began.elapsed() < wait::PATIENCE
}

fn refusal(node: &Node, device: &str) -> Value {
    let all = node.admin_get(&format!("/phones/{device}")).json()["refusals"].clone();
    all.as_array().into_iter().flatten().find(|r| r["stage"] == "connection").cloned().unwrap_or_default()
}

fn told(node: &Node, device: &str, reason: &str) {
    let shown = wait::until("refusal in the phone's view", || {
        Some(refusal(node, device)).filter(|shown| shown["reason"] == reason)
    });
    assert!(shown["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{shown}");
    assert!(node.metric(CLOSED, reason) >= 1.0, "{reason}");
}

/// Takes a trusted certificate away by its subject.
fn distrust(node: &Node, purpose: &str, subject: &str) {
    let all = node.ask("GET", &format!("/certificates?purpose={purpose}"), None).expect(200);
    let row = all["items"].as_array().unwrap().iter().find(|c| c["subject"] == subject).unwrap();
    let path = format!("/certificates/{purpose}/{}", row["fingerprint"].as_str().unwrap());
    node.ask("DELETE", &path, None).expect(200);
}

fn r052_what_is_no_longer_believed_is_closed_while_it_is_open(shards: u16) {
    let (capf, maker, vendor) = (Authority::new("Test CAPF"), Authority::new("Maker"), Authority::new("V"));
    let devices: Vec<String> = (0..4).map(|n| device_on(n % shards, shards, n.into())).collect();
    let [revoked, kept, made, acme] = [0, 1, 2, 3].map(|n| devices[n].as_str());
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &capf.pem()).trust("CallManager-trust", &maker.pem());
    inventory.row(json!({"kind": "phone_model", "name": MODEL, "vendor_class": "preferred",
        "protocols": ["sip"], "capabilities": ["tls", "device_security_mode", "srtp"],
        "tls_certificate": "per_device"}));
    inventory.profile(MODEL, MODEL, json!({"device_security_mode": "encrypted", "transport": "tls"}));
    for (device, dn) in [(revoked, "1001"), (kept, "1002"), (made, "1003")] {
        inventory.encrypted_phone(device, dn);
    }
    inventory.phone(acme, MODEL, &["1004"], json!({"security_profile": MODEL}));
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let (bad, good, mic) = (capf.issue(revoked), capf.issue(kept), maker.issue(&format!("CP-8845-{made}")));
    let own = vendor.issue("Acme 0001");
    let row = json!({"kind": "certificate", "purpose": "vendor-trust", "pem": own.certificate_pem,
        "phone": acme});
    assert!(node.import(&format!("{row}\n")).status.success());
    let mut lines = [&bad, &good, &mic, &own].map(|own| line(&node, own));
    for (line, dn) in lines.iter_mut().zip(["1001", "1002", "1003", "1004"]) {
        assert!(registers(line, dn), "{dn}");
    }
    let [of_revoked, of_kept, of_made, of_acme] = &mut lines;

    // Its authority revokes one certificate: that connection goes, the others do not notice.
    node.ask("POST", "/revocation-lists", Some(&json!({ "pem": capf.revoke(1, &[&bad]) }))).expect(200);
    assert!(is_closed(of_revoked));
    told(&node, revoked, "client_certificate_revoked");
    assert!(
        Resuming::new(node.tls_options(Some(&bad)))
            .connect(node.tls())
            .map_or(true, |mut line| !registers(&mut line, "1001"))
    );
    assert!(registers(of_kept, "1002") && registers(of_made, "1003") && registers(of_acme, "1004"));

    // The uploaded certificate of a phone is taken off, then the root of another one's.
    distrust(&node, "vendor-trust", "CN=Acme 0001");
    assert!(is_closed(of_acme));
    told(&node, acme, "client_certificate_untrusted");
    assert!(registers(of_kept, "1002") && registers(of_made, "1003"));
    distrust(&node, "CallManager-trust", "CN=Maker");
    assert!(is_closed(of_made));
    told(&node, made, "client_certificate_untrusted");

    // Nothing is trusted in the end.
    assert!(registers(of_kept, "1002"));
    distrust(&node, "CAPF-trust", "CN=Test CAPF");
    assert!(is_closed(of_kept));
    told(&node, kept, "client_certificate_untrusted");
    assert_eq!(node.metric("keyline_connection_closed_total", "reason=\"certificate\""), 4.0);
}

fn what_a_revocation_list_would_do_is_told_before(shards: u16) {
    let capf = Authority::new("Test CAPF");
    let [first, second] = [0, 1].map(|n| device_on(n % shards, shards, (n + 1).into()));
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &capf.pem());
    inventory.encrypted_phone(&first, "1001").encrypted_phone(&second, "1002");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let (bad, good) = (capf.issue(&first), capf.issue(&second));
    let (mut of_bad, mut of_good) = (line(&node, &bad), line(&node, &good));
    assert!(registers(&mut of_bad, "1001") && registers(&mut of_good, "1002"));
    let body = json!({ "pem": capf.revoke(1, &[&bad]) });
    let told = node.ask("POST", "/revocation-lists?dry_run=true", Some(&body)).expect(200);
    let failing = &told["impact"]["would_fail"];
    assert_eq!((&failing["count"], &failing["first"][0]["phone"]), (&json!(1), &json!(first)), "{told}");
    // Nothing was done.
    assert_eq!(node.ask("GET", "/revocation-lists", None).expect(200)["items"], json!([]));
    assert!(registers(&mut of_bad, "1001") && registers(&mut of_good, "1002"));
    // On the command line, and then really: just that phone goes.
    let file = node.folder().join("list.pem");
    std::fs::write(&file, body["pem"].as_str().unwrap()).unwrap();
    let out = node.run(&["cert", "crl", "add", file.to_str().unwrap(), "--dry-run"]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        said.contains(&first) && !said.contains(&second) && said.contains("nothing was changed"),
        "{said}"
    );
    node.ask("POST", "/revocation-lists", Some(&body)).expect(200);
    assert!(is_closed(&mut of_bad) && registers(&mut of_good, "1002"));
    // With the list in force, trust that is given back gives it back to the other one only.
    let name = node.ask("GET", "/revocation-lists", None).expect(200)["items"][0]["name"].clone();
    let path = format!("/revocation-lists/{}?dry_run=true", name.as_str().unwrap());
    let told = node.ask("DELETE", &path, None).expect(200);
    assert_eq!(told["impact"]["would_fail"]["count"], 0, "{told}");
}
