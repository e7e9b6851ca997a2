//! Phones that come back go on from their tickets, after kill -9 too, and are judged all the same.

use keyline_domain::digest::Algorithm;
use keyline_loadtest::tls::Versions;
use keyline_tests::inventory::{CISCO, Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::openssl::{Client, connect};
use keyline_tests::pki::{Authority, Issued};
use keyline_tests::place::device_on;
use keyline_tests::secure::Resuming;
use keyline_tests::sip::{Login, Request};
use keyline_tests::wait;
use serde_json::json;

on_shards!(
    phones_resume_after_kill9_and_register_once_without_a_challenge,
    r052_a_ticket_helps_nobody_whose_trust_or_device_is_gone,
    old_phones_resume_after_kill9_and_are_judged_anew,
);

const VERSIONS: [Versions; 2] = [Versions::Tls12, Versions::Tls13];

fn memory(node: &Node, own: &Issued, versions: Versions) -> Resuming {
    let mut options = node.tls_options(Some(own));
    options.versions = versions;
    Resuming::new(options)
}

/// Completed handshakes: whole ones, resumed ones.
fn completed(node: &Node) -> [f64; 2] {
    ["full", "resumed"].map(|kind| node.metric("keyline_tls_completed_total", &format!("kind=\"{kind}\"")))
}

fn phones_resume_after_kill9_and_register_once_without_a_challenge(shards: u16) {
    let authority = Authority::new("Test CAPF");
    let devices = [1, 2].map(|n| device_on(shards - 1, shards, n));
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem());
    inventory.encrypted_phone(&devices[0], "1001").encrypted_phone(&devices[1], "1002");
    let mut node = Builder::new()
        .shards(shards)
        .inventory(&inventory)
        .setting("limits", "ticket_key_s = 600")
        .fixed_ports()
        .start();
    let phones: Vec<(Resuming, &str)> = VERSIONS
        .into_iter()
        .zip(devices.iter().zip(["1001", "1002"]))
        .map(|(versions, (device, dn))| (memory(&node, &authority.issue(device), versions), dn))
        .collect();
    for restart in [false, true, true] {
        if restart {
            node.kill9_and_restart();
        }
        for (memory, dn) in &phones {
            let mut line = memory.connect(node.tls()).unwrap();
            assert_eq!(line.resumed(), restart, "{dn}");
            let request = line.register(dn);
            assert_eq!(line.status(&request), Some(200), "R162: the certificate proves the device");
        }
        let expected = if restart { [0.0, 2.0] } else { [2.0, 0.0] };
        assert_eq!(completed(&node), expected);
        assert_eq!(node.registrations().len(), 2);
    }
}

fn r052_a_ticket_helps_nobody_whose_trust_or_device_is_gone(shards: u16) {
    let (authority, other) = (Authority::new("Test CAPF"), Authority::new("Other CAPF"));
    let (device, kept) = (device_on(0, shards, 1), device_on(shards - 1, shards, 2));
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem()).trust("CAPF-trust", &other.pem());
    inventory.encrypted_phone(&device, "1001").encrypted_phone(&kept, "1002");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    for versions in VERSIONS {
        let phone = memory(&node, &authority.issue(&device), versions);
        let mut line = phone.connect(node.tls()).unwrap();
        let request = line.register("1001");
        assert_eq!(line.status(&request), Some(200));
        // The device is gone: the session resumes, and is worth nothing.
        let row = node.ask("GET", &format!("/phones/{device}"), None).expect(200);
        assert_eq!(row["name"], device.as_str());
        node.ask("DELETE", &format!("/phones/{device}"), None).expect(200);
        let mut line = phone.connect(node.tls()).unwrap();
        assert!(line.resumed(), "{versions:?}");
        let request = line.register("1001");
        assert_ne!(line.status(&request), Some(200));
        let mut again = Inventory::new();
        again.encrypted_phone(&device, "1001");
        assert!(node.import(&again.ndjson()).status.success());
        // It is back, and its own profile counts.
        let mut line = phone.connect(node.tls()).unwrap();
        let request = line.register("1001");
        assert_eq!(line.status(&request), Some(200));
    }
    // The authority goes: whoever has a ticket from it makes a whole handshake, and is refused in it.
    let phones = VERSIONS
        .map(|v| (v, memory(&node, &authority.issue(&device), v), memory(&node, &other.issue(&kept), v)));
    for (_, gone, stays) in &phones {
        for (memory, dn) in [(gone, "1001"), (stays, "1002")] {
            let mut line = memory.connect(node.tls()).unwrap();
            let request = line.register(dn);
            assert_eq!(line.status(&request), Some(200));
        }
    }
    let roots = node.ask("GET", "/certificates?purpose=CAPF-trust", None).expect(200);
    let root = roots["items"].as_array().unwrap().iter().find(|c| c["subject"] == "CN=Test CAPF").unwrap();
    let path = format!("/certificates/CAPF-trust/{}", root["fingerprint"].as_str().unwrap());
    node.ask("DELETE", &path, None).expect(200);
    for (versions, gone, stays) in &phones {
        let refused = gone.connect(node.tls()).ok().and_then(|mut line| {
            assert!(!line.resumed(), "{versions:?}");
            let request = line.register("1001");
            line.status(&request)
        });
        assert_eq!(refused, None, "{versions:?}");
        let mut line = stays.connect(node.tls()).unwrap();
        assert!(!line.resumed(), "its ticket was of another trust");
        let request = line.register("1002");
        assert_eq!(line.status(&request), Some(200));
    }
    let untrusted = node.metric("keyline_tls_handshakes_total", "result=\"client_certificate_untrusted\"");
    assert_eq!(untrusted, 2.0);
}

#[test]
fn keys_of_tickets_rotate_and_the_ones_before_still_open() {
    let authority = Authority::new("Test CAPF");
    let device = device_on(0, 1, 1);
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem()).encrypted_phone(&device, "1001");
    let node = Builder::new().inventory(&inventory).setting("limits", "ticket_key_s = 1").start();
    let rotations = || node.metric("keyline_tls_ticket_key_rotations_total", "");
    let phone = memory(&node, &authority.issue(&device), Versions::Tls13);
    let mut line = phone.connect(node.tls()).unwrap();
    let request = line.register("1001");
    assert_eq!(line.status(&request), Some(200));
    let before = rotations();
    wait::until("a rotation", || (rotations() > before).then_some(()));
    assert!(phone.connect(node.tls()).unwrap().resumed());
}

#[test]
fn r162_a_proven_device_is_asked_for_its_digest_only_where_its_profile_wants_both() {
    let authority = Authority::new("Test CAPF");
    let (one, both) = (device_on(0, 1, 1), device_on(0, 1, 2));
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem()).encrypted_phone(&one, "1001");
    inventory.profile(
        "Certificate and digest",
        CISCO,
        json!({"device_security_mode": "encrypted", "digest_authentication": true}),
    );
    inventory.end_user(&user_of("1002"), &password_of("1002"));
    let fields = json!({"security_profile": "Certificate and digest", "digest_user": user_of("1002")});
    inventory.phone(&both, CISCO, &["1002"], fields);
    let node = Builder::new().inventory(&inventory).start();
    let connect = |device: &str| memory(&node, &authority.issue(device), Versions::Tls13).connect(node.tls());
    let mut line = connect(&one).unwrap();
    let request = line.register("1001");
    assert_eq!(line.status(&request), Some(200));
    let challenged = node.metric("keyline_admission_verdicts_total", "verdict=\"challenge\"");
    assert_eq!(challenged, 0.0);
    let mut line = connect(&both).unwrap();
    let mut request = line.register("1002");
    let challenge = line.exchange(&request).unwrap();
    assert_eq!(challenge.status(), Some(401));
    request = request.next();
    let login =
        Login { user: &user_of("1002"), password: &password_of("1002"), algorithm: Algorithm::Sha256 };
    request.authorize(&challenge, &login, 1);
    assert_eq!(line.status(&request), Some(200));
}

/// An old phone as OpenSSL: what became of a REGISTER over a session that it keeps in a file.
struct OldPhone {
    dn: &'static str,
    own: Vec<String>,
    session: String,
}

impl OldPhone {
    fn new(node: &Node, version: &str, dn: &'static str, issued: &Issued) -> OldPhone {
        let file = |kind: &str, text: &str| {
            let path = node.folder().join(format!("{dn}.{kind}"));
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (cert, key) = (file("crt", &issued.certificate_pem), file("key", &issued.key_pem));
        let session = file("session", "");
        let cipher = "AES128-SHA:@SECLEVEL=0";
        let own = [version, "-cipher", cipher, "-cert", &cert, "-key", &key].map(str::to_owned);
        OldPhone { dn, own: own.into(), session }
    }

    /// Registers: whether that was taken.
    fn registers(&self, node: &Node, memory: &str) -> bool {
        let mut arguments: Vec<&str> = self.own.iter().map(String::as_str).collect();
        arguments.extend([memory, &self.session]);
        let contact = format!("<sip:{}@127.0.0.1:5061;transport=tls>", self.dn);
        let request = Request::register(self.dn).header("Contact", &contact);
        let request = request.print_as("TLS", "127.0.0.1:5061");
        let text = String::from_utf8(request).unwrap();
        connect(Client::System, node.tls(), &arguments, &text).heard.contains("SIP/2.0 200")
    }
}

fn old_phones_resume_after_kill9_and_are_judged_anew(shards: u16) {
    let authority = Authority::new("Test CAPF");
    let devices = [1, 2].map(|n| device_on(shards - 1, shards, n));
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem());
    inventory.encrypted_phone(&devices[0], "1001").encrypted_phone(&devices[1], "1002");
    let builder = Builder::new().shards(shards).inventory(&inventory).setting("tls", "legacy = true");
    let mut node = builder.fixed_ports().start();
    let issued = [0, 1].map(|n| authority.issue(&devices[n]));
    let phones = [
        OldPhone::new(&node, "-tls1_2", "1001", &issued[0]),
        OldPhone::new(&node, "-tls1", "1002", &issued[1]),
    ];
    assert!(phones.iter().all(|phone| phone.registers(&node, "-sess_out")));
    assert_eq!(completed(&node), [2.0, 0.0]);
    assert!(phones.iter().all(|phone| phone.registers(&node, "-sess_in")));
    assert_eq!(completed(&node), [2.0, 2.0]);
    node.kill9_and_restart();
    assert!(phones.iter().all(|phone| phone.registers(&node, "-sess_in")));
    assert_eq!(completed(&node), [0.0, 2.0], "the ticket keys are those from before");
    // Its certificate is revoked: the ticket opens nothing, and the whole handshake is refused.
    let list = json!({ "pem": authority.revoke(1, &[&issued[0]]) });
    let name = node.ask("POST", "/revocation-lists", Some(&list)).expect(200)["name"].clone();
    assert!(!phones[0].registers(&node, "-sess_in"));
    assert!(node.metric("keyline_tls_handshakes_total", "client_certificate_revoked") >= 1.0);
    assert!(phones[1].registers(&node, "-sess_in"), "by a whole handshake");
    assert_eq!(completed(&node), [1.0, 2.0]);
    node.ask("DELETE", &format!("/revocation-lists/{}", name.as_str().unwrap()), None).expect(200);
    // The device goes: its session does not help it.
    assert!(phones[0].registers(&node, "-sess_in"));
    node.ask("DELETE", &format!("/phones/{}", devices[0]), None).expect(200);
    let [_, before] = completed(&node);
    assert!(!phones[0].registers(&node, "-sess_in"));
    assert_eq!(completed(&node)[1], before + 1.0, "it went on, and was worth nothing");
}
