//! IPv6 on every transport, beside IPv4 (RFC 5118).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use keyline_loadtest::phone::{End, Phone, PhoneConfig, Transport};
use keyline_tests::client::sipp::Run;
use keyline_tests::inventory::{CISCO_NUMBER, Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::Authority;
use keyline_tests::sip::{Line, Request};
use keyline_tests::wait;
use keyline_wire::sip::HeaderName;

use crate::common::{CALLEE, CALLER, callee_device, caller_device, connect, registered};

on_shards!(
    calls_between_the_families_over_every_transport,
    sipp_calls_over_ipv6_udp,
    sipp_calls_over_ipv6_tcp,
);

/// Both families on each SIP listener; the second address is `listener#2`.
fn both_families(shards: u16, inventory: &Inventory) -> Node {
    let two = |key: &str| format!("{key} = [\"127.0.0.1:0\", \"[::1]:0\"]");
    let listeners = ["sip_udp", "sip_tcp", "sip_tls"];
    let builder = Builder::new().shards(shards).inventory(inventory);
    listeners.iter().fold(builder, |b, key| b.setting("listen", &two(key))).start()
}

fn is_six(address: SocketAddr) -> bool {
    address.ip() == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

fn phone(server: SocketAddr, transport: Transport, device: &str, dn: &str) -> PhoneConfig {
    let mut config = PhoneConfig::new(server, transport, dn).cisco(device, CISCO_NUMBER);
    config.patience = wait::PATIENCE;
    if server.is_ipv6() { config.bind(Ipv6Addr::LOCALHOST.into()) } else { config }
}

/// The phone's side of the last INVITE that it got: our Via and Contact are of the listener's family.
fn assert_written_for(phone: &Phone, server: SocketAddr) {
    let invites = phone.record().find(0, |e| e.is_received() && e.is_request("INVITE"));
    let invite = invites.last().expect("an INVITE");
    for header in ["Via", "Contact"] {
        let value = invite.header(header).unwrap();
        assert!(value.contains(&server.to_string()), "{header}: {value}, not {server}");
    }
}

fn calls_between_the_families_over_every_transport(shards: u16) {
    let authority = Authority::new("Test CAPF");
    let devices = [caller_device(shards), callee_device(shards)];
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem());
    inventory.plain_phone(&devices[0], CALLER).plain_phone(&devices[1], CALLEE);
    let secure = [
        keyline_tests::place::device_on(0, shards, 7),
        keyline_tests::place::device_on(shards - 1, shards, 8),
    ];
    inventory.encrypted_phone(&secure[0], "1007").encrypted_phone(&secure[1], "1008");
    let node = both_families(shards, &inventory);
    let at = |listener: &str| node.address(listener);
    for six in ["sip_udp#2", "sip_tcp#2", "sip_tls#2"] {
        assert!(is_six(at(six)), "{six}");
    }
    let pairs = [
        ("sip_udp#2", "sip_udp#2"),
        ("sip_udp#2", "sip_udp"),
        ("sip_tcp", "sip_udp#2"),
        ("sip_tcp#2", "sip_tcp"),
    ];
    for (from, to) in pairs {
        let transport = |l: &str| if l.starts_with("sip_udp") { Transport::Udp } else { Transport::Tcp };
        wait::run(async {
            let caller = registered(phone(at(from), transport(from), &devices[0], CALLER)).await;
            let callee = registered(phone(at(to), transport(to), &devices[1], CALLEE)).await;
            call_both_ways(&node, &caller, at(from), &callee, at(to)).await;
            caller.unregister().await.unwrap();
            callee.unregister().await.unwrap();
        });
    }
    wait::run(async {
        let tls = |device: &str| Transport::Tls(Box::new(node.tls_options(Some(&authority.issue(device)))));
        let (from, to) = (at("sip_tls#2"), at("sip_tls"));
        let caller = registered(phone(from, tls(&secure[0]), &secure[0], "1007")).await;
        let callee = registered(phone(to, tls(&secure[1]), &secure[1], "1008")).await;
        call_both_ways(&node, &caller, from, &callee, to).await;
    });
}

async fn call_both_ways(node: &Node, caller: &Phone, from: SocketAddr, callee: &Phone, to: SocketAddr) {
    let (out, inn) = connect(caller, callee).await;
    assert_written_for(callee, to);
    let origin = inn.remote_sdp().expect("an offer").origin;
    assert_eq!(&*origin.address_type, if is_six(from) { "IP6" } else { "IP4" });
    assert_eq!(out.hang_up().await.unwrap().status(), Some(200));
    assert_eq!(inn.ended().await.unwrap().how, End::PeerBye);
    let (back, other) = connect(callee, caller).await;
    assert_written_for(caller, from);
    assert_eq!(other.hang_up().await.unwrap().status(), Some(200));
    assert_eq!(back.ended().await.unwrap().how, End::PeerBye);
    wait::until("end of all calls", || node.calls().is_empty().then_some(()));
}

fn sipp_call(shards: u16, transport: &'static str, listener: &str) {
    let mut inventory = Inventory::new();
    inventory.md5_only();
    inventory.digest_phone(&caller_device(shards), CALLER).digest_phone(&callee_device(shards), CALLEE);
    let node = both_families(shards, &inventory);
    let server = node.address(listener);
    let run = |scenario, dn: &str| {
        Run::new(scenario, transport, server).key("dn", dn).login(&user_of(dn), &password_of(dn))
    };
    let callee = run("callee", CALLEE).out_of_call("callee_call").start();
    let flow = node.registered(&callee_device(shards))["flow"].to_string();
    assert!(flow.contains("[::1]"), "{flow}");
    run("caller", CALLER).key("peer", CALLEE).passes();
    wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    assert!(callee.log().contains("BYE sip:"), "the callee saw the whole call:\n{}", callee.log());
}

fn sipp_calls_over_ipv6_udp(shards: u16) {
    sipp_call(shards, "u1", "sip_udp#2");
}

fn sipp_calls_over_ipv6_tcp(shards: u16) {
    sipp_call(shards, "t1", "sip_tcp#2");
}

#[test]
fn rfc5118_the_source_is_received_without_brackets_and_our_address_is_served_however_it_is_written() {
    let node = both_families(2, &Inventory::new());
    let mut line = Line::udp(node.address("sip_udp#2"));
    let port = line.local().port();
    for (uri, status) in [
        ("sip:[::1]", 200),
        ("sip:[0:0:0:0:0:0:0:1]:5060", 200),
        ("sip:[::0001];transport=udp", 200),
        ("sip:[::2]", 404),
    ] {
        let request = Request::new("OPTIONS", uri, CALLER);
        let mut text = String::from_utf8(request.print(&line)).unwrap();
        // The phone names another address of its own.
        text = text.replace(&format!("UDP [::1]:{port}"), "UDP [2001:db8::9]:5066");
        line.send(text.as_bytes());
        let answer = line.receive_final();
        assert_eq!(answer.status(), Some(status), "{uri}");
        let via = answer.first(HeaderName::Via).unwrap();
        assert!(via.starts_with("SIP/2.0/UDP [2001:db8::9]:5066;"), "{via}");
        assert!(via.contains(";received=::1;") || via.ends_with(";received=::1"), "{via}");
        assert!(via.contains(&format!(";rport={port}")), "{via}");
    }
}

#[test]
fn an_ipv6_binding_is_reached_after_kill_9() {
    let mut inventory = Inventory::new();
    inventory.plain_phone(&caller_device(2), CALLER).plain_phone(&callee_device(2), CALLEE);
    let mut node = both_families(2, &inventory);
    let bound = ["sip_udp", "sip_udp#2"].map(|l| node.address(l));
    wait::run(async {
        let callee = registered(phone(bound[1], Transport::Udp, &callee_device(2), CALLEE)).await;
        node.kill9();
        let file = node.folder().join("keyline.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let ports = format!("sip_udp = [\"{}\", \"{}\"]", bound[0], bound[1]);
        std::fs::write(&file, text.replace("sip_udp = [\"127.0.0.1:0\", \"[::1]:0\"]", &ports)).unwrap();
        node.start();
        let caller = registered(phone(bound[0], Transport::Udp, &caller_device(2), CALLER)).await;
        let (out, inn) = connect(&caller, &callee).await;
        assert_written_for(&callee, bound[1]);
        out.hang_up().await.unwrap();
        inn.ended().await.unwrap();
    });
}
