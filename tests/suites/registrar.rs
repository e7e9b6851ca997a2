//! The registrar over real sockets: RFC 3261 §10 for phones that need no proof.

use keyline_loadtest::phone::{Phone, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::sip::{Line, Request, contact, contacts, warning};
use keyline_tests::wait;
use keyline_wire::sip::HeaderName;
use serde_json::json;

use crate::common::{caller_device, registered};

on_shards!(
    a_phone_registers_over_udp_and_tcp,
    expiry_is_bounded_and_never_lengthened,
    a_refused_request_changes_nothing,
    star_removes_all_and_only_alone,
    r174_requests_follow_the_flow_not_the_contact,
);

/// A node with one plain phone on line 1001.
fn one_phone(shards: u16) -> (Node, String) {
    let device = caller_device(shards);
    let mut inventory = Inventory::new();
    inventory.plain_phone(&device, "1001");
    (Builder::new().shards(shards).inventory(&inventory).start(), device)
}

fn a_phone_registers_over_udp_and_tcp(shards: u16) {
    let (node, device) = one_phone(shards);
    wait::run(async {
        for transport in [Transport::Udp, Transport::Tcp] {
            let name = transport.param();
            let phone = Phone::start(node.phone(transport, &device, "1001")).await.unwrap();
            let first = phone.register().await.unwrap();
            assert_eq!(first.expires, 3600);
            assert_eq!(first.contacts.len(), 1, "{:?}", first.contacts);
            assert!(first.contacts[0].contains("x-cisco-newreg"), "{:?}", first.contacts);
            assert!(first.response.first(HeaderName::Date).is_some_and(|date| date.ends_with("GMT")));
            let row = node.registered(&device);
            assert_eq!(row["aor"], "sip:1001@keyline.local");
            assert_eq!(row["transport"], name);
            assert!(row["suite"].is_null());
            let again = phone.refresh().await.unwrap();
            assert!(!again.contacts[0].contains("x-cisco-newreg"), "{:?}", again.contacts);
            let gone = phone.unregister().await.unwrap();
            assert!(gone.contacts.is_empty(), "{:?}", gone.contacts);
            assert!(node.registrations_of(&device).is_empty());
        }
    });
}

fn expiry_is_bounded_and_never_lengthened(shards: u16) {
    let (node, _) = one_phone(shards);
    let mut line = Line::udp(node.udp());
    let own = contact("1001", &line);
    let mut ask = |contact: String, expires: Option<&str>| {
        let mut request = Request::register("1001").header("Contact", &contact);
        if let Some(expires) = expires {
            request.set("Expires", expires);
        }
        line.exchange(&request)
    };
    let granted = |response: &keyline_wire::sip::Message<'_>| {
        assert_eq!(response.status(), Some(200));
        contacts(response)[0].split("expires=").nth(1).map(|e| e.split(';').next().unwrap().to_owned())
    };
    let brief = ask(own.clone(), Some("10"));
    assert_eq!(brief.status(), Some(423));
    assert_eq!(brief.min_expires(), Some(60));
    assert_eq!(granted(&ask(own.clone(), None)).as_deref(), Some("3600"));
    assert_eq!(granted(&ask(own.clone(), Some("100000"))).as_deref(), Some("7200"));
    assert_eq!(granted(&ask(own.clone(), Some("99999999999999999999"))).as_deref(), Some("7200"));
    assert_eq!(granted(&ask(own.clone(), Some("soon"))).as_deref(), Some("3600"));
    assert_eq!(granted(&ask(format!("{own};expires=120"), Some("600"))).as_deref(), Some("120"));
}

fn a_refused_request_changes_nothing(shards: u16) {
    let (node, device) = one_phone(shards);
    let mut line = Line::udp(node.udp());
    let mut first = Request::register_from("1001", &line);
    first.cseq = 100;
    assert_eq!(line.exchange(&first).status(), Some(200));
    let before = node.registrations_of(&device);

    // Same Call-ID, lower CSeq: another request, so not a repeat.
    let mut old = first.clone().next();
    old.cseq = 50;
    old.set("Expires", "600");
    assert_eq!(line.exchange(&old).status(), Some(500));

    // One of two contacts is too brief: neither is taken.
    let mut mixed = Request::register("1001");
    mixed.headers.push(("Contact".into(), format!("{};expires=600", contact("1001", &line))));
    mixed.headers.push(("Contact".into(), "<sip:1001@127.0.0.1:9>;expires=5".into()));
    assert_eq!(line.exchange(&mixed).status(), Some(423));

    let strange = Request::register_from("1001", &line).header("Require", "no-such-thing");
    let refused = line.exchange(&strange);
    assert_eq!(refused.status(), Some(420));
    assert_eq!(refused.first(HeaderName::Unsupported), Some("no-such-thing"));

    let mut foreign = Request::register_from("1001", &line);
    foreign.uri = "sip:elsewhere.example".into();
    foreign.to = "<sip:1001@elsewhere.example>".into();
    let answer = line.exchange(&foreign).status();
    assert!(matches!(answer, Some(403 | 404)), "{answer:?}");

    assert_eq!(node.registrations_of(&device), before);
}

fn star_removes_all_and_only_alone(shards: u16) {
    let (node, device) = one_phone(shards);
    let mut line = Line::udp(node.udp());
    let mut two = Request::register_from("1001", &line);
    two.headers.push(("Contact".into(), "<sip:1001@127.0.0.1:9999;transport=udp>;q=0.5".into()));
    let both = line.exchange(&two);
    assert_eq!(both.status(), Some(200));
    assert_eq!(contacts(&both).len(), 2, "{:?}", contacts(&both));
    assert!(contacts(&both).iter().any(|c| c.contains(";q=0.5")), "{:?}", contacts(&both));

    let star = |expires: &str| Request::register("1001").header("Contact", "*").header("Expires", expires);
    assert_eq!(line.exchange(&star("3600")).status(), Some(400));
    let mut with_other = star("0");
    with_other.headers.push(("Contact".into(), contact("1001", &line)));
    assert_eq!(line.exchange(&with_other).status(), Some(400));

    let fetched = line.exchange(&Request::register("1001"));
    assert_eq!(fetched.status(), Some(200));
    assert_eq!(contacts(&fetched).len(), 2);

    let done = line.exchange(&star("0"));
    assert_eq!(done.status(), Some(200));
    assert!(contacts(&done).is_empty());
    assert!(node.registrations_of(&device).is_empty());
    let empty = line.exchange(&Request::register("1001"));
    assert_eq!((empty.status(), contacts(&empty).len()), (Some(200), 0));
}

/// Requests to a phone go where its REGISTER came from; with `rport` absent and another port in the
/// Contact, to the profile's phone port.
fn r174_requests_follow_the_flow_not_the_contact(shards: u16) {
    let (a, b) = (device_on(0, shards, 1), device_on(shards - 1, shards, 2));
    let mut inventory = Inventory::new();
    inventory.plain_phone(&a, "1001").plain_phone(&b, "1002");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    wait::run(async {
        let caller = registered(node.phone(Transport::Udp, &a, "1001")).await;
        let mut callee = Line::udp(node.udp());
        // A Contact that leads nowhere: nobody listens there.
        let register = Request::register("1002")
            .header("Contact", "<sip:1002@192.0.2.1:9;transport=udp>")
            .header("Expires", "3600");
        assert_eq!(callee.exchange(&register).status(), Some(200));
        let _call = caller.invite("1002").unwrap();
        let invite = tokio::task::block_in_place(|| callee.receive());
        assert!(invite.is_request());
        assert_eq!(invite.method().map(|m| m.as_str().to_owned()).as_deref(), Some("INVITE"));
    });
}

#[test]
fn a_binding_lives_as_long_as_granted_and_then_goes() {
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    inventory.parameter("register_expires_min", 1).plain_phone(&device, "1001");
    let node = Builder::new().inventory(&inventory).start();
    let mut line = Line::udp(node.udp());
    let mut brief = Request::register_from("1001", &line);
    brief.set("Expires", "2");
    assert_eq!(line.exchange(&brief).status(), Some(200));
    let granted = std::time::Instant::now();
    assert_eq!(node.registrations_of(&device).len(), 1);
    wait::until("end of the binding", || node.registrations_of(&device).is_empty().then_some(()));
    assert!(granted.elapsed() >= std::time::Duration::from_millis(1900), "{:?}", granted.elapsed());
}

#[test]
fn a_retransmission_is_absorbed() {
    let (node, _) = one_phone(2);
    let mut line = Line::udp(node.udp());
    let bytes = Request::register_from("1001", &line).print(&line);
    line.send(&bytes);
    let first = line.receive_final();
    line.send(&bytes);
    let second = line.receive_final();
    assert_eq!(first.status(), Some(200));
    assert_eq!(first.to_tag(), second.to_tag(), "the very same answer");
    assert_eq!(contacts(&first), contacts(&second));
}

#[test]
fn tcp_pings_are_answered_and_broken_framing_ends_the_connection() {
    let (node, device) = one_phone(1);
    wait::run(async {
        let phone = registered(node.phone(Transport::Tcp, &device, "1001")).await;
        phone.ping().await.unwrap();
        // Two Content-Length that differ: never guess (RFC 3261 §18.3).
        phone
            .send_raw(
                b"OPTIONS sip:keyline.local SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:1;branch=z9hG4bKx\r\n\
                  From: <sip:1001@keyline.local>;tag=1\r\nTo: <sip:keyline.local>\r\nCall-ID: x\r\n\
                  CSeq: 1 OPTIONS\r\nContent-Length: 0\r\nContent-Length: 7\r\n\r\n",
            )
            .unwrap();
        phone.closed().await.unwrap();
        wait::until("lost flow", || {
            node.registrations_of(&device).iter().any(|row| row["flow"] == "lost").then_some(())
        });
        // It comes back and is served again.
        phone.reconnect().await.unwrap();
        phone.register().await.unwrap();
        assert_ne!(node.registered(&device)["flow"], "lost");
    });
}

#[test]
fn a_second_source_cannot_take_an_unproven_phone() {
    let (node, device) = one_phone(2);
    wait::run(async {
        let _phone = registered(node.phone(Transport::Udp, &device, "1001")).await;
    });
    let before = node.registrations_of(&device);
    let mut thief = Line::udp_from("127.0.0.2".parse().unwrap(), node.udp());
    let answer = thief.exchange(&Request::register_from("1001", &thief));
    assert_eq!(answer.status(), Some(403), "{}", warning(&answer));
    let star = Request::register("1001").header("Contact", "*").header("Expires", "0");
    assert_eq!(thief.exchange(&star).status(), Some(403));
    // Nor may it call as that phone, from whatever port.
    let mut invite = Request::new("INVITE", "sip:1001@keyline.local", "1001");
    invite.set("Contact", &contact("1001", &thief));
    let status = thief.exchange(&invite).status();
    assert!(matches!(status, Some(401 | 403)), "{status:?}");
    assert_eq!(node.registrations_of(&device), before);
}

#[test]
fn r158_a_transport_outside_the_profile_is_refused() {
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    inventory.profile("Tcp only", "Cisco 8845", json!({"transport": "tcp"}));
    inventory.phone(&device, "Cisco 8845", &["1001"], json!({"security_profile": "Tcp only"}));
    let node = Builder::new().inventory(&inventory).start();
    let mut udp = Line::udp(node.udp());
    let refused = udp.exchange(&Request::register_from("1001", &udp));
    assert_eq!(refused.status(), Some(403));
    assert!(warning(&refused).contains("transport"), "{:?}", refused.first(HeaderName::Warning));
    let mut tcp = Line::tcp(node.tcp());
    assert_eq!(tcp.exchange(&Request::register_from("1001", &tcp)).status(), Some(200));
}
