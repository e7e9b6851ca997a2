//! `[limits]` on messages, requests and wrong passwords: each refuses by itself, by the documented status, is
//! counted under its name, and costs nobody else anything.

use std::net::IpAddr;
use std::time::Duration;

use keyline_domain::digest::Algorithm;
use keyline_tests::inventory::{Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::raw::Raw;
use keyline_tests::sip::{Line, Login, Request, contact, unique};
use keyline_tests::wait;
use keyline_wire::sip::HeaderName;

use crate::common::{CALLEE, CALLER, callee_device, caller_device, connect, refused_with, registered};

on_shards!(each_limit_of_a_message_answers_513_and_is_counted);

/// What a limit has refused up to now.
pub fn counted(node: &Node, limit: &str) -> f64 {
    node.metric("keyline_limits_refused_total", &format!("limit=\"{limit}\""))
}

/// A node with these lines in `[limits]`.
pub fn limited(shards: u16, inventory: &Inventory, limits: &[&str]) -> Node {
    let builder = Builder::new().shards(shards).inventory(inventory);
    limits.iter().fold(builder, |b, line| b.setting("limits", line)).start()
}

fn loopback(n: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, n])
}

fn options() -> Request {
    Request::new("OPTIONS", "sip:keyline.local", CALLER)
}

fn each_limit_of_a_message_answers_513_and_is_counted(shards: u16) {
    let limits = [
        "message_head_bytes = 2048",
        "message_header_bytes = 512",
        "message_headers = 20",
        "message_vias = 3",
        "message_body_bytes = 1024",
    ];
    let node = limited(shards, &Inventory::new(), &limits);
    let header = |n: usize| options().header("Subject", &"x".repeat(n));
    let headers = |n: usize| (0..n).fold(options(), |r, i| r.header("X-One", &i.to_string()));
    let vias = |n: usize| {
        (0..n).fold(options(), |r, i| r.header("Via", &format!("SIP/2.0/UDP 192.0.2.{i};branch=z9hG4bKx{i}")))
    };
    let body = |n: usize| Request { body: Some(("text/plain".into(), "x".repeat(n))), ..options() };
    let wide = |n: usize| (0..n).fold(options(), |r, i| r.header(&format!("X-{i}"), &"y".repeat(450)));
    for (limit, fits, too_much) in [
        ("message_header_bytes", header(480), header(520)),
        ("message_headers", headers(12), headers(15)),
        ("message_vias", vias(2), vias(3)),
        ("message_body_bytes", body(1024), body(1025)),
        ("message_head_bytes", wide(3), wide(5)),
    ] {
        let before = counted(&node, limit);
        for (mut line, transport) in [(Line::udp(node.udp()), "udp"), (Line::tcp(node.tcp()), "tcp")] {
            let mut status = |request: &Request| {
                // A Call-ID of its own: it is no copy of an earlier request.
                let request = Request { call_id: unique(), ..request.clone().next() };
                let bytes = request.print(&line);
                line.send(&bytes);
                line.receive_within(wait::PATIENCE).and_then(|answer| answer.status())
            };
            assert_eq!(status(&fits), Some(200), "{limit} over {transport}");
            assert_eq!(status(&too_much), Some(513), "{limit} over {transport}");
            // A stream ends when the end of its message was not looked for any more.
            let after = (transport == "udp" || limit == "message_vias").then_some(200);
            assert_eq!(status(&options()), after, "after {limit} over {transport}");
        }
        assert_eq!(counted(&node, limit) - before, 2.0, "{limit}");
    }
}

#[test]
fn a_source_that_sends_too_many_requests_is_dropped_over_udp_and_told_over_tcp() {
    let node = limited(2, &Inventory::new(), &["requests_per_source = 20"]);
    let mut flood = Line::udp_from(loopback(5), node.udp());
    for _ in 0..100 {
        let bytes = options().print(&flood);
        flood.send(&bytes);
    }
    let mut answers = 0;
    while flood.receive_within(Duration::from_millis(500)).is_some() {
        answers += 1;
    }
    let dropped = counted(&node, "requests_per_source");
    assert!((20..60).contains(&answers), "{answers} answers");
    assert!(dropped >= 40.0, "{dropped} dropped");
    // Nobody else pays for it.
    assert_eq!(Line::udp(node.udp()).exchange(&options()).status(), Some(200));

    let mut stream = Line::tcp(node.tcp());
    for _ in 0..60 {
        let bytes = options().print(&stream);
        stream.send(&bytes);
    }
    let statuses: Vec<u16> = (0..60).filter_map(|_| stream.receive_final().status()).collect();
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    wait::until("the source is served again", || {
        let answer = stream.exchange(&options());
        assert!(answer.status() == Some(200) || answer.first(HeaderName::RetryAfter).is_some());
        (answer.status() == Some(200)).then_some(())
    });
}

#[test]
fn options_beyond_their_rate_get_no_answer() {
    let node = limited(1, &Inventory::new(), &["options_per_source = 5"]);
    let mut line = Line::udp_from(loopback(6), node.udp());
    for _ in 0..30 {
        let bytes = options().print(&line);
        line.send(&bytes);
    }
    let mut answers = 0;
    while line.receive_within(Duration::from_millis(500)).is_some() {
        answers += 1;
    }
    assert!((5..15).contains(&answers), "{answers}");
    assert_eq!(counted(&node, "options_per_source"), f64::from(30 - answers));
}

#[test]
fn a_source_holds_only_so_many_transactions() {
    let mut inventory = Inventory::new();
    inventory.plain_phone(&caller_device(1), CALLER).plain_phone(&callee_device(1), CALLEE);
    let node = limited(1, &inventory, &["transactions_per_source = 4"]);
    let mut line = Line::udp_from(loopback(8), node.udp());
    let mut request = Request::register_from(CALLER, &line);
    // What is answered is kept for its repetitions alone, and does not count.
    for _ in 0..12 {
        request = request.next();
        assert_eq!(line.exchange(&request).status(), Some(200));
    }
    let mut caller = Raw::register(CALLER, line);
    let mut callee = Raw::register(CALLEE, Line::udp_from(loopback(9), node.udp()));
    // Four calls that nobody answers.
    for _ in 0..4 {
        let invite = caller.invite(CALLEE, "");
        caller.send(&invite);
    }
    callee.expect("INVITE");
    let request = Request::register_from(CALLER, &caller.line);
    caller.send(&request);
    let answer = caller.status("REGISTER", 503);
    assert!(answer.first(HeaderName::RetryAfter).is_some());
    assert_eq!(counted(&node, "transactions_per_source"), 1.0);
    // Another source has its own.
    let request = Request::register_from(CALLEE, &callee.line);
    callee.send(&request);
    callee.status("REGISTER", 200);
    // A transaction on a stream ends with its answer: nothing is held.
    let mut stream = Line::tcp(node.tcp());
    let mut request = Request::register_from("1001", &stream);
    let statuses: Vec<_> = (0..8)
        .map(|_| {
            request = request.clone().next();
            stream.exchange(&request).status()
        })
        .collect();
    assert!(!statuses.contains(&Some(503)), "{statuses:?}");
}

#[test]
fn r192_wrong_passwords_are_stopped_by_source_and_lock_nobody_out() {
    let mut inventory = Inventory::new();
    inventory.digest_phone(&caller_device(2), CALLER);
    let node = limited(2, &inventory, &["wrong_digests_per_source = 3", "wrong_digest_forget_s = 60"]);
    let (user, password) = (user_of(CALLER), password_of(CALLER));
    let login = |user, password| Login { user, password, algorithm: Algorithm::Sha256 };
    // One attempt of a source: the status that its answer to a fresh challenge gets.
    let attempt = |line: &mut Line, login: &Login<'_>| {
        let mut request = Request::register(CALLER).header("Contact", &contact(CALLER, line));
        let challenged = line.exchange(&request);
        assert_eq!(challenged.status(), Some(401));
        request = request.next();
        request.authorize(&challenged, login, 1);
        line.exchange(&request).status()
    };
    let hammer = |n: u8, login: &Login<'_>| {
        let mut line = Line::udp_from(loopback(n), node.udp());
        (0..8).map(|_| attempt(&mut line, login)).collect::<Vec<_>>()
    };
    let known = hammer(66, &login(&user, "Wrong"));
    assert_eq!(known[..3], [Some(401); 3]);
    assert_eq!(known[3..6], [Some(403); 3], "{known:?}");
    // A user whom nobody knows looks the same from another source.
    assert_eq!(hammer(67, &login("nobody", "Wrong"))[..6], known[..6]);
    assert!(counted(&node, "wrong_digests_per_source") >= 6.0);
    // The owner registers all the while, from elsewhere and even from the attacker's own address.
    let right = login(&user, &password);
    assert_eq!(attempt(&mut Line::udp(node.udp()), &right), Some(200));
    assert_eq!(attempt(&mut Line::udp_from(loopback(66), node.udp()), &right), Some(200));
}

#[test]
fn calls_beyond_those_of_a_shard_get_503() {
    let mut inventory = Inventory::new();
    inventory.plain_phone(&caller_device(1), CALLER).plain_phone(&callee_device(1), CALLEE);
    let node = limited(1, &inventory, &["calls_per_shard = 1"]);
    wait::run(async {
        let phone = |device: String, dn| node.phone(keyline_loadtest::phone::Transport::Udp, &device, dn);
        let caller = registered(phone(caller_device(1), CALLER)).await;
        let callee = registered(phone(callee_device(1), CALLEE)).await;
        let (out, inn) = connect(&caller, &callee).await;
        assert_eq!(refused_with(&callee.invite(CALLER).unwrap()).await, 503);
        assert_eq!(counted(&node, "calls_per_shard"), 1.0);
        out.hang_up().await.unwrap();
        inn.ended().await.unwrap();
        wait::until("room", || node.calls().is_empty().then_some(()));
        let (out, _) = connect(&callee, &caller).await;
        out.hang_up().await.unwrap();
    });
}
