//! Several flows of one phone (RFC 5626), the way back through proxies (RFC 3327) and the way here (RFC 3608).

use std::time::Duration;

use keyline_loadtest::phone::Transport;
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::sip::{Line, Request, audio, contacts, respond};
use keyline_tests::wait;
use keyline_wire::sip::{HeaderName, Message};

use crate::common::{CALLEE, CALLER, callee_device, caller_device, registered};

on_shards!(a_call_rings_one_flow_of_a_phone_and_the_next_when_it_fails, a_path_is_stored_and_followed);

const INSTANCE: &str = "+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-0123456789ab>\"";

fn node(shards: u16) -> Node {
    let mut inventory = Inventory::new();
    inventory.plain_phone(&caller_device(shards), CALLER).plain_phone(&callee_device(shards), CALLEE);
    Builder::new().shards(shards).inventory(&inventory).start()
}

/// Registers one flow of the callee.
fn flow(line: &mut Line, reg_id: u32) -> Message<'static> {
    let contact = format!("<sip:{CALLEE}@{}>;reg-id={reg_id};{INSTANCE}", line.local());
    let request = Request::register(CALLEE)
        .header("Contact", &contact)
        .header("Expires", "600")
        .header("Supported", "path, outbound");
    let answer = line.exchange(&request);
    assert_eq!(answer.status(), Some(200));
    answer
}

fn invite(line: &mut Line) -> Message<'static> {
    loop {
        let message = line.receive();
        if message.method().is_some_and(|m| m.as_str() == "INVITE") {
            return message;
        }
    }
}

fn quiet(line: &mut Line) {
    let more = line.receive_within(Duration::from_millis(300));
    assert!(more.is_none(), "{:?}", more.and_then(|m| m.method().map(|m| m.as_str().to_owned())));
}

fn a_call_rings_one_flow_of_a_phone_and_the_next_when_it_fails(shards: u16) {
    wait::run(async {
        let node = node(shards);
        let caller = registered(node.phone(Transport::Udp, &caller_device(shards), CALLER)).await;
        let (mut one, mut two) = (Line::tcp(node.tcp()), Line::tcp(node.tcp()));
        let first = flow(&mut one, 1);
        assert_eq!(first.first(HeaderName::Require), Some("outbound"));
        assert_eq!(first.other("Flow-Timer"), Some("120"));
        assert_eq!(contacts(&flow(&mut two, 2)).len(), 2);
        // The newer flow alone rings. It says that it leads nowhere: the other one rings in its place.
        let call = caller.invite(CALLEE).unwrap();
        let on_two = invite(&mut two);
        quiet(&mut one);
        two.send(&respond(&two, &on_two, 430, "a", None));
        let on_one = invite(&mut one);
        one.send(&respond(&one, &on_one, 180, "b", None));
        one.send(&respond(&one, &on_one, 200, "b", Some(&audio(4000))));
        call.answered().await.unwrap();
        call.hang_up().await.unwrap();
        // A refusal by the phone itself is not tried again over its other flow.
        let call = caller.invite(CALLEE).unwrap();
        let on_two = loop {
            let message = two.receive();
            if message.method().is_some_and(|m| m.as_str() == "INVITE") {
                break message;
            }
        };
        two.send(&respond(&two, &on_two, 486, "c", None));
        assert_eq!(crate::common::refused_with(&call).await, 486);
        // A connection that is gone: the flow that is left rings.
        drop(two);
        wait::until("the lost flow", || {
            node.registrations()
                .iter()
                .any(|r| r["flow"].as_str().is_some_and(|f| f.contains("lost")))
                .then_some(())
        });
        let call = caller.invite(CALLEE).unwrap();
        let last = loop {
            let message = one.receive();
            match message.method().map(|m| m.as_str().to_owned()).as_deref() {
                Some("INVITE") => break message,
                Some("BYE") => one.send(&respond(&one, &message, 200, "", None)),
                _ => {}
            }
        };
        one.send(&respond(&one, &last, 486, "d", None));
        assert_eq!(crate::common::refused_with(&call).await, 486);
    });
}

fn a_path_is_stored_and_followed(shards: u16) {
    wait::run(async {
        let mut node = node(shards);
        let mut edge = Line::udp(node.udp());
        let contact = format!("<sip:{CALLEE}@192.0.2.7>");
        let path = format!("<sip:edge@{};lr>", edge.local());
        let with_path = |supported: &str| {
            Request::register(CALLEE)
                .header("Contact", &contact)
                .header("Expires", "600")
                .header("Supported", supported)
                .header("Path", &path)
        };
        let refused = edge.exchange(&with_path("timer"));
        assert_eq!(refused.status(), Some(420));
        assert_eq!(refused.first(HeaderName::Unsupported), Some("path"));
        assert!(node.registrations().is_empty());
        let accepted = edge.exchange(&with_path("path"));
        assert_eq!(accepted.status(), Some(200));
        assert_eq!(accepted.first(HeaderName::Path), Some(path.as_str()));
        let service = accepted.other("Service-Route").expect("Service-Route");
        assert_eq!(service, format!("<sip:{};lr>", node.udp()));
        let mut long = with_path("path");
        long.headers.extend((0..9).map(|n| ("Path".to_owned(), format!("<sip:p{n}.example;lr>"))));
        assert_eq!(edge.exchange(&long).status(), Some(403), "a bound on what is kept");
        // Over kill -9 as well: the INVITE goes to the edge, with the Path as its Route.
        node.kill9_and_restart();
        assert_eq!(node.registrations().len(), 1);
    });
}

#[test]
fn a_path_is_the_route_of_requests_to_the_phone() {
    wait::run(async {
        let node = node(2);
        let caller = registered(node.phone(Transport::Udp, &caller_device(2), CALLER)).await;
        let mut edge = Line::udp(node.udp());
        let paths = [format!("<sip:{};lr>", edge.local()), "<sip:inner.example;lr;ob>".to_owned()];
        let request = Request::register(CALLEE)
            .header("Contact", &format!("<sip:{CALLEE}@192.0.2.7>;reg-id=1;{INSTANCE}"))
            .header("Expires", "600")
            .header("Supported", "path, outbound")
            .header("Require", "outbound")
            .header("Via", "SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKua")
            .header("Path", &paths.join(", "));
        let accepted = edge.exchange(&request);
        assert_eq!(accepted.status(), Some(200), "the first hop keeps flows");
        assert!(contacts(&accepted)[0].contains("reg-id=1"));
        let _call = caller.invite(CALLEE).unwrap();
        let invite = invite(&mut edge);
        let routes: Vec<&str> = invite.values(HeaderName::Route).collect();
        assert_eq!(routes, paths);
        assert_eq!(invite.request_uri(), Some(format!("sip:{CALLEE}@192.0.2.7").as_str()));
        edge.send(&respond(&edge, &invite, 486, "x", None));
    });
}

#[test]
fn a_first_hop_that_keeps_no_flows_is_439_where_they_are_required() {
    let node = node(1);
    let mut edge = Line::udp(node.udp());
    let request = |require: bool| {
        let request = Request::register(CALLEE)
            .header("Contact", &format!("<sip:{CALLEE}@192.0.2.7>;reg-id=1;{INSTANCE}"))
            .header("Expires", "600")
            .header("Supported", "path, outbound")
            .header("Via", "SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKua")
            .header("Path", "<sip:edge.example;lr>");
        if require { request.header("Require", "outbound") } else { request }
    };
    assert_eq!(edge.exchange(&request(true)).status(), Some(439));
    // Where it is only supported, the reg-id does not count.
    let accepted = edge.exchange(&request(false));
    assert_eq!(accepted.status(), Some(200));
    assert!(!contacts(&accepted)[0].contains("reg-id"));
    assert!(accepted.first(HeaderName::Require).is_none());
}
