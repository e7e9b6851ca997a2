//! Cipher policies on a whole node, judged by OpenSSL 3.0's `s_client`, by a client on a newer OpenSSL, and by tshark.

use std::process::Command;

use keyline_loadtest::phone::Transport;
use keyline_tests::inventory::{CISCO, Inventory};
use keyline_tests::node::{Builder, Node};
use keyline_tests::openssl::{Client, Session, cipher, connect};
use keyline_tests::pki::{Authority, Issued};
use keyline_tests::wait;
use keyline_tests::wiretap::{self, From, Wiretap};
use serde_json::json;

use crate::common::registered;

const RSA_256: &str = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
const EC_256: &str = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
const RSA_128: &str = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
const EC_128: &str = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
const OLD: &str = "TLS_RSA_WITH_AES_128_CBC_SHA";
const RSA_NULL: &str = "TLS_ECDHE_RSA_WITH_NULL_SHA";
const EC_NULL: &str = "TLS_ECDHE_ECDSA_WITH_NULL_SHA";
const OLD_NULL: &str = "TLS_RSA_WITH_NULL_SHA";
const GCM_256: &str = "TLS_AES_256_GCM_SHA384";
const GCM_128: &str = "TLS_AES_128_GCM_SHA256";
const SHA256: &str = "TLS_SHA256_SHA256";

/// A device in encrypted and one in authenticated mode.
const ENCRYPTED: (&str, &str) = ("SEP00AABBCCDD01", "1001");
const AUTHENTICATED: (&str, &str) = ("SEP00AABBCCDD02", "1002");

struct Site {
    node: Node,
    authority: Authority,
}

impl Site {
    fn new(authenticated: bool, legacy: bool) -> Site {
        let authority = Authority::new("Test CAPF");
        let mut inventory = Inventory::new();
        inventory.mixed().trust("CAPF-trust", &authority.pem());
        inventory.encrypted_phone(ENCRYPTED.0, ENCRYPTED.1);
        let fields = json!({"device_security_mode": "authenticated", "transport": "tls"});
        inventory.profile("Authenticated", CISCO, fields);
        if authenticated {
            let profile = json!({"security_profile": "Authenticated"});
            inventory.phone(AUTHENTICATED.0, CISCO, &[AUTHENTICATED.1], profile);
        }
        let builder = Builder::new().inventory(&inventory).setting("tls", &format!("legacy = {legacy}"));
        Site { node: builder.start(), authority }
    }

    fn menu(&self, menu: &str) {
        let value = json!({"value": menu});
        self.node.ask("PUT", "/parameters/tls_ciphers?force=true", Some(&value)).expect(200);
    }

    /// A phone's certificate as files.
    fn files(&self, device: &str) -> (String, String) {
        let Issued { certificate_pem, key_pem, .. } = self.authority.issue(device);
        let file = |kind: &str, text: &str| {
            let path = self.node.folder().join(format!("{device}.{kind}"));
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        (file("crt", &certificate_pem), file("key", &key_pem))
    }

    fn handshakes(&self, result: &str) -> u64 {
        metric(&self.node, "keyline_tls_handshakes_total", "result", result)
    }
}

fn metric(node: &Node, name: &str, label: &str, value: &str) -> u64 {
    node.metric(name, &format!("{label}=\"{value}\"")) as u64
}

/// The arguments that offer these suites with this version only.
fn offer(version: &str, suites: &[&str]) -> Vec<String> {
    let list = suites.iter().map(|s| cipher(s)).collect::<Vec<_>>().join(":");
    let (option, list) = match version {
        "-tls1_3" => ("-ciphersuites", list),
        _ => ("-cipher", format!("{list}:@SECLEVEL=0")),
    };
    vec![version.to_owned(), option.to_owned(), list]
}

fn said(client: Client, address: std::net::SocketAddr, arguments: &[String], say: &str) -> Session {
    connect(client, address, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), say)
}

/// Suites in the order in which the node chooses them, its favourite offered last each time, until it refuses.
fn order(site: &Site, client: Client, version: &str, suites: &[&str]) -> Vec<String> {
    let mut offered = suites.to_vec();
    let mut chosen = Vec::new();
    while !offered.is_empty() {
        let session = said(client, site.node.tls(), &offer(version, &offered), "");
        let Some(suite) = session.suite else {
            assert!(
                session.told.contains("alert") || session.told.contains("unsupported protocol"),
                "{session:?}"
            );
            break;
        };
        offered.retain(|s| *s != suite);
        chosen.push(suite);
    }
    chosen
}

/// Name of the menu; its suites for TLS 1.3, for TLS 1.2, for TLS 1.0 and 1.1.
type Menu = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const MENUS: [Menu; 6] = [
    ("strongest_rsa_preferred", &[GCM_256], &[RSA_256, EC_256], &[]),
    ("strongest_ecdsa_preferred", &[GCM_256], &[EC_256, RSA_256], &[]),
    ("medium_rsa_preferred", &[GCM_256, GCM_128], &[RSA_256, EC_256, RSA_128, EC_128], &[]),
    ("medium_ecdsa_preferred", &[GCM_256, GCM_128], &[EC_256, RSA_256, EC_128, RSA_128], &[]),
    (
        "all_rsa_preferred",
        &[GCM_256, GCM_128, SHA256],
        &[RSA_256, EC_256, RSA_128, EC_128, OLD, RSA_NULL, EC_NULL, OLD_NULL],
        &[OLD, OLD_NULL],
    ),
    (
        "all_ecdsa_preferred",
        &[GCM_256, GCM_128, SHA256],
        &[EC_256, RSA_256, EC_128, RSA_128, OLD, EC_NULL, RSA_NULL, OLD_NULL],
        &[OLD, OLD_NULL],
    ),
];

#[test]
fn r121_r122_r123_r124_r125_r126_r127_r130_each_suite_of_each_policy_in_its_order_and_no_other() {
    let site = Site::new(true, true);
    let every12 = [OLD_NULL, EC_NULL, RSA_NULL, OLD, EC_128, RSA_128, EC_256, RSA_256];
    for (menu, tls13, tls12, old) in MENUS {
        site.menu(menu);
        let refused = site.handshakes("cipher_policy");
        assert_eq!(order(&site, Client::System, "-tls1_2", &every12), tls12, "{menu}");
        assert_eq!(order(&site, Client::Peer, "-tls1_2", &every12), tls12, "{menu}");
        let without: Vec<&str> = tls13.iter().copied().filter(|s| *s != SHA256).collect();
        let chosen =
            order(&site, Client::System, "-tls1_3", &["TLS_CHACHA20_POLY1305_SHA256", GCM_128, GCM_256]);
        assert_eq!(chosen, without, "{menu}");
        assert_eq!(order(&site, Client::Peer, "-tls1_3", &[SHA256, GCM_128, GCM_256]), tls13, "{menu}");
        for version in ["-tls1", "-tls1_1"] {
            assert_eq!(order(&site, Client::System, version, &[OLD_NULL, OLD]), old, "{menu} {version}");
        }
        // R130: counted as the cipher policy's doing, unless the menu left nothing over.
        let now = site.handshakes("cipher_policy");
        assert_eq!(now > refused, !menu.starts_with("all_"), "{menu}");
    }
    let text = site.node.stderr();
    assert!(text.contains("cipher_policy") && text.contains("cipher policy"), "{text}");
    for (weakness, least) in [("static_rsa", 12), ("not_encrypted", 12), ("version_before_1_2", 8)] {
        assert!(metric(&site.node, "keyline_tls_weak_total", "weakness", weakness) >= least, "{weakness}");
    }
}

#[test]
fn r119_without_an_authenticated_phone_no_integrity_only_suite_is_offered() {
    let site = Site::new(false, true);
    let null = offer("-tls1_2", &[RSA_NULL, EC_NULL, OLD_NULL]);
    let session = said(Client::System, site.node.tls(), &null, "");
    assert_eq!(session.suite, None, "{session:?}");
    assert!(session.told.contains("handshake failure"), "{session:?}");
    assert_eq!(said(Client::Peer, site.node.tls(), &offer("-tls1_3", &[SHA256]), "").suite, None);
    assert_eq!(site.handshakes("cipher_policy"), 2);
    // The first phone with such a profile opens them, the last one closes them.
    let phone = json!({"name": AUTHENTICATED.0, "model": CISCO, "protocol": "sip",
        "security_profile": "Authenticated"});
    site.node.ask("POST", "/phones", Some(&phone)).expect(201);
    assert_eq!(said(Client::System, site.node.tls(), &null, "").suite.as_deref(), Some(RSA_NULL));
    site.node.ask("DELETE", &format!("/phones/{}", AUTHENTICATED.0), None).expect(200);
    assert_eq!(said(Client::System, site.node.tls(), &null, "").suite, None);
}

#[test]
fn without_legacy_old_phones_are_refused_and_told_apart() {
    let site = Site::new(true, false);
    for (version, suite, result) in [
        ("-tls1_2", OLD, "legacy_off"),
        ("-tls1_2", OLD_NULL, "legacy_off"),
        ("-tls1_1", OLD, "no_common_version"),
    ] {
        let before = site.handshakes(result);
        assert_eq!(said(Client::System, site.node.tls(), &offer(version, &[suite]), "").suite, None);
        assert_eq!(site.handshakes(result), before + 1, "{version} {suite}");
    }
    assert_eq!(metric(&site.node, "keyline_tls_weak_total", "weakness", "static_rsa"), 0);
}

fn register((device, dn): (&str, &str)) -> String {
    format!(
        "REGISTER sip:keyline.local SIP/2.0\r\n\
         Via: SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bK{dn}{unique}\r\n\
         From: <sip:{dn}@keyline.local>;tag={unique}\r\nTo: <sip:{dn}@keyline.local>\r\n\
         Call-ID: {unique}@127.0.0.1\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\nExpires: 600\r\n\
         Contact: <sip:{dn}@127.0.0.1:5061;transport=tls>;+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-{mac}>\"\
         ;+u.sip!devicename.ccm.cisco.com=\"{device}\"\r\nContent-Length: 0\r\n\r\n",
        mac = device.trim_start_matches("SEP").to_lowercase(),
        unique = keyline_tests::sip::unique(),
    )
}

/// REGISTERs over such a session; with its answer, what the registration shows as its suite.
fn registers(site: &Site, client: Client, version: &str, suite: &str, phone: (&str, &str)) -> Session {
    let (cert, key) = site.files(phone.0);
    let mut arguments = offer(version, &[suite]);
    arguments.extend(["-cert", &cert, "-key", &key].map(str::to_owned));
    let session = said(client, site.node.tls(), &arguments, &register(phone));
    assert_eq!(session.suite.as_deref(), Some(suite), "{session:?}");
    session
}

#[test]
fn r119_r120_r155_r156_a_register_over_each_kind_of_session() {
    let site = Site::new(true, true);
    for (client, version, suite, phone) in [
        (Client::System, "-tls1_2", RSA_NULL, AUTHENTICATED),
        (Client::System, "-tls1_2", EC_NULL, AUTHENTICATED),
        (Client::System, "-tls1_2", OLD_NULL, AUTHENTICATED),
        (Client::System, "-tls1", OLD_NULL, AUTHENTICATED),
        (Client::Peer, "-tls1_3", SHA256, AUTHENTICATED),
        (Client::Peer, "-tls1_2", EC_NULL, AUTHENTICATED),
        (Client::System, "-tls1_2", OLD, ENCRYPTED),
        (Client::System, "-tls1_1", OLD, ENCRYPTED),
        (Client::System, "-tls1", OLD, ENCRYPTED),
        (Client::System, "-tls1_3", GCM_256, ENCRYPTED),
        (Client::Peer, "-tls1_2", RSA_256, ENCRYPTED),
    ] {
        let session = registers(&site, client, version, suite, phone);
        assert!(session.heard.starts_with("SIP/2.0 200 OK\r\n"), "{version} {suite}: {session:?}");
    }
}

#[test]
fn r119_r120_a_suite_that_does_not_fit_the_mode_is_refused_after_the_handshake() {
    let site = Site::new(true, true);
    for (client, version, suite, phone, cause) in [
        (Client::System, "-tls1_2", RSA_NULL, ENCRYPTED, "suite_below_mode"),
        (Client::System, "-tls1", OLD_NULL, ENCRYPTED, "suite_below_mode"),
        (Client::Peer, "-tls1_3", SHA256, ENCRYPTED, "suite_below_mode"),
        (Client::System, "-tls1_3", GCM_256, AUTHENTICATED, "suite_not_of_mode"),
        (Client::System, "-tls1_2", OLD, AUTHENTICATED, "suite_not_of_mode"),
    ] {
        let refusals = || metric(&site.node, "keyline_admission_verdicts_total", "cause", cause);
        let before = refusals();
        let session = registers(&site, client, version, suite, phone);
        assert!(session.heard.starts_with("SIP/2.0 403 "), "{version} {suite}: {session:?}");
        assert!(session.heard.contains("cipher suite"), "{session:?}");
        assert_eq!(refusals(), before + 1, "{version} {suite}");
    }
    assert!(site.node.registrations().is_empty());
}

/// In plain sight on the wire, and what is changed there ends the connection before the node acts on it.
#[test]
fn r119_a_flipped_byte_in_an_integrity_only_record_closes_the_connection() {
    let site = Site::new(true, true);
    let (cert, key) = site.files(AUTHENTICATED.0);
    for (client, version, suite) in [
        (Client::System, "-tls1_2", RSA_NULL),
        (Client::System, "-tls1_2", EC_NULL),
        (Client::System, "-tls1_2", OLD_NULL),
        (Client::Peer, "-tls1_3", SHA256),
    ] {
        for flip in [true, false] {
            let tap = Wiretap::start(site.node.tls(), flip.then_some(b"REGISTER"));
            let mut arguments = offer(version, &[suite]);
            arguments.extend(["-cert", &cert, "-key", &key].map(str::to_owned));
            let session = said(client, tap.address, &arguments, &register(AUTHENTICATED));
            assert_eq!(session.suite.as_deref(), Some(suite), "{session:?}");
            let wire = tap.finish();
            let plain = wire
                .iter()
                .any(|(from, bytes)| *from == From::Client && bytes.windows(8).any(|w| w == b"REGISTER"));
            assert!(plain, "{suite}: whoever listens reads it");
            if flip {
                assert_eq!(session.heard, "", "{suite}: the connection ends");
                assert!(site.node.registrations().is_empty(), "{suite}");
                continue;
            }
            assert!(session.heard.starts_with("SIP/2.0 200 OK"), "{suite} {session:?}");
            // tshark reads the suite from the wire.
            let path = site.node.folder().join("wire.pcap");
            wiretap::write_pcap(&path, &wire);
            let shown = Command::new("tshark")
                .args(["-r", path.to_str().unwrap(), "-d", "tcp.port==5061,tls"])
                .args(["-Y", "tls.handshake.type == 2", "-T", "fields", "-e", "tls.handshake.ciphersuite"])
                .output()
                .expect("tshark runs");
            let shown = String::from_utf8_lossy(&shown.stdout).trim().to_lowercase();
            let number = keyline_domain::cipher::SUITES.iter().find(|s| s.name == suite).unwrap().id;
            assert_eq!(shown, format!("0x{number:04x}"), "{suite}");
            let unregister = register(AUTHENTICATED).replace("Expires: 600", "Expires: 0");
            let gone = said(client, site.node.tls(), &arguments, &unregister);
            assert!(gone.heard.starts_with("SIP/2.0 200"), "{gone:?}");
        }
    }
}

/// Phones of the load tester with integrity-only suites: the signaling is proven and can be read, so no key goes over
/// it and the call bears the shield.
#[test]
fn r119_r155_a_call_between_authenticated_phones_bears_the_shield() {
    const OTHER: (&str, &str) = ("SEP00AABBCCDD03", "1003");
    let site = Site::new(true, false);
    let mut more = Inventory::new();
    more.phone(OTHER.0, CISCO, &[OTHER.1], json!({"security_profile": "Authenticated"}));
    assert!(site.node.import(&more.ndjson()).status.success());
    let phone = |(device, dn): (&str, &str), suite: u16| {
        let mut options = site.node.tls_options(Some(&site.authority.issue(device)));
        options.suites = Some(vec![suite.into()]);
        site.node.phone(Transport::Tls(Box::new(options)), device, dn)
    };
    wait::run(async {
        let caller = registered(phone(AUTHENTICATED, 0xC0B4)).await;
        let callee = registered(phone(OTHER, 0xC006)).await;
        assert_eq!(site.node.registered(AUTHENTICATED.0)["suite"], SHA256);
        assert_eq!(site.node.registered(OTHER.0)["suite"], EC_NULL);
        let (out, _inn) = crate::common::connect(&caller, &callee).await;
        let id = site.node.answered_call();
        let security = wait::until("class authenticated", || {
            let security = site.node.call_security(&id);
            (security["class"] == "authenticated").then_some(security)
        });
        assert_eq!(security["icon"], "shield");
        assert!(security.to_string().contains("integrity-only suite"), "{security:#}");
        out.hang_up().await.unwrap();
    });
}
