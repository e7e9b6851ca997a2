//! The class of a call and its explanation: signaling, media and trust of every device on it.

use keyline_loadtest::phone::{Call, Phone, PhoneConfig, Srtp, Transport};
use keyline_tests::inventory::{CISCO, ENCRYPTED_PROFILE, Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::{Authority, Issued};
use keyline_tests::wait;
use keyline_wire::sdp::Direction;
use serde_json::{Value, json};

use crate::common::{CALLEE, CALLER, callee_device, caller_device, connect, registered};

on_shards!(r045_all_three_criteria_make_the_lock, r012_one_non_secure_device_makes_the_call_so);

/// A mixed cluster that trusts one authority.
struct Site {
    shards: u16,
    authority: Authority,
    inventory: Inventory,
}

impl Site {
    fn new(shards: u16) -> Site {
        let authority = Authority::new("Test CAPF");
        let mut inventory = Inventory::new();
        inventory.mixed().trust("CAPF-trust", &authority.pem());
        Site { shards, authority, inventory }
    }

    /// Both phones under the encrypted profile.
    fn both(shards: u16) -> Site {
        let mut site = Site::new(shards);
        site.inventory.encrypted_phone(&caller_device(shards), CALLER);
        site.inventory.encrypted_phone(&callee_device(shards), CALLEE);
        site
    }

    fn start(&self) -> Node {
        Builder::new().shards(self.shards).inventory(&self.inventory).start()
    }

    /// A phone with its certificate over TLS, with SRTP.
    fn phone(&self, node: &Node, device: &str, dn: &str) -> PhoneConfig {
        tls_phone(node, device, dn, Some(&self.authority.issue(device))).srtp(Srtp::savp())
    }

    async fn pair(&self, node: &Node) -> (Phone, Phone) {
        let caller = self.phone(node, &caller_device(self.shards), CALLER);
        let callee = self.phone(node, &callee_device(self.shards), CALLEE);
        (registered(caller).await, registered(callee).await)
    }
}

fn tls_phone(node: &Node, device: &str, dn: &str, identity: Option<&Issued>) -> PhoneConfig {
    node.phone(Transport::Tls(Box::new(node.tls_options(identity))), device, dn)
}

/// The criterion of that name in the leg of that device.
fn criterion<'a>(security: &'a Value, device: &str, name: &str) -> &'a Value {
    let leg = security["legs"].as_array().unwrap().iter().find(|leg| leg["device"] == device);
    let leg = leg.unwrap_or_else(|| panic!("no leg of {device} in {security:#}"));
    leg["criteria"].as_array().unwrap().iter().find(|c| c["name"] == name).expect("the criterion")
}

/// Waits until the only call has that class, and gives its explanation.
fn classified(node: &Node, class: &str) -> Value {
    let id = node.answered_call();
    wait::until(&format!("class {class}"), || {
        let security = node.call_security(&id);
        (security["class"] == class).then_some(security)
    })
}

async fn end(out: Call, node: &Node) {
    out.hang_up().await.unwrap();
    wait::until("end of all calls", || node.calls().is_empty().then_some(()));
}

fn r045_all_three_criteria_make_the_lock(shards: u16) {
    let site = Site::both(shards);
    let node = site.start();
    wait::run(async {
        let (caller, callee) = site.pair(&node).await;
        let (out, inn) = connect(&caller, &callee).await;
        let security = classified(&node, "encrypted");
        assert_eq!(security["icon"], "lock", "R058");
        for device in [caller_device(shards), callee_device(shards)] {
            for name in ["trusted", "signaling", "media"] {
                assert_eq!(criterion(&security, &device, name)["pass"], true, "{security:#}");
            }
        }
        // Both displays show the lock.
        out.shows("Encrypted").await.unwrap();
        inn.shows("Encrypted").await.unwrap();
        let id = security["id"].as_str().unwrap();
        let told = node.run(&["explain", "call", id]);
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        assert!(text.contains("encrypted") && text.contains("lock"), "{text}");

        // Hold keeps the class (R049), and so does taking the call back.
        out.hold(Direction::SendOnly).await.unwrap();
        assert_eq!(classified(&node, "encrypted")["icon"], "lock");
        out.resume().await.unwrap();
        assert_eq!(classified(&node, "encrypted")["icon"], "lock");
        end(out, &node).await;
    });
}

fn r012_one_non_secure_device_makes_the_call_so(shards: u16) {
    let mut site = Site::new(shards);
    let (a, b) = (caller_device(shards), callee_device(shards));
    site.inventory.encrypted_phone(&a, CALLER).plain_phone(&b, CALLEE);
    let node = site.start();
    wait::run(async {
        let caller = registered(site.phone(&node, &a, CALLER).srtp(Srtp::fallback())).await;
        let callee = registered(node.phone(Transport::Udp, &b, CALLEE)).await;
        let (out, inn) = connect(&caller, &callee).await;
        let security = classified(&node, "non_secure");
        assert_eq!(security["icon"], "none");
        assert_eq!(criterion(&security, &b, "signaling")["pass"], false);
        assert_eq!(criterion(&security, &a, "signaling")["pass"], true);
        assert_eq!(criterion(&security, &a, "media")["pass"], false, "keys do not cross UDP: {security:#}");
        out.shows("NotAuthenticated").await.unwrap();
        inn.shows("NotAuthenticated").await.unwrap();
        end(out, &node).await;
    });
}

#[test]
fn r048_the_called_device_decides_what_the_caller_sees() {
    let mut site = Site::both(2);
    let third = keyline_tests::place::device_on(1, 2, 3);
    site.inventory.plain_phone(&third, "1003");
    let node = site.start();
    wait::run(async {
        let caller = site.phone(&node, &caller_device(2), CALLER).srtp(Srtp::fallback());
        let caller = registered(caller).await;
        let callee = site.phone(&node, &callee_device(2), CALLEE).srtp(Srtp::fallback());
        let secure = registered(callee).await;
        let plain = registered(node.phone(Transport::Tcp, &third, "1003")).await;
        let (out, _) = connect(&caller, &secure).await;
        out.shows("Encrypted").await.unwrap();
        end(out, &node).await;
        let (out, _) = connect(&caller, &plain).await;
        out.shows("NotAuthenticated").await.unwrap();
        end(out, &node).await;
    });
}

#[test]
fn plain_media_between_secure_phones_is_authenticated() {
    let site = Site::both(2);
    let node = site.start();
    wait::run(async {
        let (a, b) = (caller_device(2), callee_device(2));
        let caller = registered(site.phone(&node, &a, CALLER).srtp(Srtp::None)).await;
        let callee = registered(site.phone(&node, &b, CALLEE).srtp(Srtp::None)).await;
        let (out, inn) = connect(&caller, &callee).await;
        let security = classified(&node, "authenticated");
        assert_eq!(security["icon"], "shield", "R058");
        assert_eq!(criterion(&security, &a, "media")["pass"], false);
        assert_eq!(criterion(&security, &a, "signaling")["pass"], true);
        out.shows("Authenticated").await.unwrap();
        inn.shows("Authenticated").await.unwrap();
        end(out, &node).await;
    });
}

#[test]
fn without_device_certificate_digest_admits_and_the_class_says_so() {
    let mut site = Site::new(2);
    let (a, b) = (caller_device(2), callee_device(2));
    let fields =
        json!({"device_security_mode": "encrypted", "transport": "tls", "digest_authentication": true});
    site.inventory.profile("Both proofs", CISCO, fields);
    for (device, dn) in [(&a, CALLER), (&b, CALLEE)] {
        site.inventory.end_user(&user_of(dn), &password_of(dn));
        let fields = json!({"security_profile": "Both proofs", "digest_user": user_of(dn)});
        site.inventory.phone(device, CISCO, &[dn], fields);
    }
    let node = site.start();
    wait::run(async {
        let bare = |device: &str, dn: &str| {
            tls_phone(&node, device, dn, None).login(&user_of(dn), &password_of(dn)).srtp(Srtp::savp())
        };
        let caller = registered(bare(&a, CALLER)).await;
        let callee = registered(bare(&b, CALLEE)).await;
        let (out, _) = connect(&caller, &callee).await;
        let security = classified(&node, "non_secure");
        let signaling = criterion(&security, &a, "signaling");
        assert_eq!(
            (&signaling["pass"], &signaling["cause"]),
            (&json!(false), &json!("no device certificate"))
        );
        assert!(signaling["setting"].as_str().is_some_and(|s| !s.is_empty()), "{signaling:#}");
        assert_eq!(criterion(&security, &a, "media")["pass"], true);
        assert_eq!(criterion(&security, &a, "trusted")["pass"], true);
        let text = String::from_utf8(node.run(&["explain", "call", security["id"].as_str().unwrap()]).stdout);
        assert!(text.unwrap().contains("no device certificate"));
        end(out, &node).await;
        // With both proofs (R162) it is encrypted: digest takes nothing away (R163).
        let both =
            |device: &str, dn: &str| site.phone(&node, device, dn).login(&user_of(dn), &password_of(dn));
        let caller = registered(both(&a, CALLER)).await;
        let callee = registered(both(&b, CALLEE)).await;
        let (out, _) = connect(&caller, &callee).await;
        classified(&node, "encrypted");
        end(out, &node).await;
    });
}

#[test]
fn r046_one_untrusted_model_makes_the_call_non_secure_and_is_named() {
    let mut site = Site::new(2);
    let (a, b) = (caller_device(2), callee_device(2));
    let model = "Acme Secure Phone";
    site.inventory.row(json!({"kind": "phone_model", "name": model, "vendor_class": "preferred",
        "protocols": ["sip"], "trusted": false, "tls_certificate": "per_device",
        "capabilities": ["tls", "device_security_mode", "srtp"]}));
    site.inventory.profile("Acme", model, json!({"device_security_mode": "encrypted", "transport": "tls"}));
    site.inventory.encrypted_phone(&a, CALLER);
    site.inventory.phone(&b, model, &[CALLEE], json!({"security_profile": "Acme"}));
    let own = site.authority.issue(&b);
    site.inventory.row(json!({"kind": "certificate", "purpose": "vendor-trust", "pem": own.certificate_pem,
        "phone": b}));
    let node = site.start();
    wait::run(async {
        let caller = registered(site.phone(&node, &a, CALLER)).await;
        let callee = registered(tls_phone(&node, &b, CALLEE, Some(&own)).srtp(Srtp::savp())).await;
        let (out, _) = connect(&caller, &callee).await;
        let security = classified(&node, "non_secure");
        assert_eq!(criterion(&security, &b, "trusted")["pass"], false, "{security:#}");
        assert_eq!(criterion(&security, &b, "signaling")["pass"], true);
        assert_eq!(criterion(&security, &b, "media")["pass"], true);
        assert_eq!(criterion(&security, &a, "trusted")["pass"], true);
        out.shows("NotAuthenticated").await.unwrap();
        let text = String::from_utf8(node.run(&["explain", "call", security["id"].as_str().unwrap()]).stdout);
        let text = text.unwrap();
        assert!(text.contains(&b) && text.contains("keeps the call at this class"), "{text}");
        end(out, &node).await;
    });
}

#[test]
fn media_that_moves_is_classified_again() {
    let site = Site::both(1);
    let node = site.start();
    wait::run(async {
        let (caller, callee) = site.pair(&node).await;
        let (out, inn) = connect(&caller, &callee).await;
        classified(&node, "encrypted");
        let before = inn.remote_sdp().unwrap();
        out.move_media().await.unwrap();
        let after = inn.remote_sdp_until(|sdp| sdp.media[0].port != before.media[0].port).await.unwrap();
        assert_ne!(before.media[0].crypto, after.media[0].crypto, "new keys pass");
        classified(&node, "encrypted");
        end(out, &node).await;
        assert!(site.inventory.ndjson().contains(ENCRYPTED_PROFILE));
    });
}
