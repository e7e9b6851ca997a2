//! More work than a node can do: what is shed, in which order, and that it comes back.
//!
//! The capacity is made small: the writer is held or slowed on purpose (`keyline-faults`), and a shard's bound
//! is the smallest that may be set.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use keyline_loadtest::phone::{Answer, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::{HEAVY, device_on};
use keyline_tests::sip::{Line, Request, contact};
use keyline_tests::wait;
use keyline_wire::sip::{HeaderName, Message};

use crate::common::{connect, registered};

on_one_and_two!(work_is_shed_in_its_order, ten_times_the_capacity);

/// `[limits] queue_per_shard`, the least that may be set.
const BOUND: u32 = 64;

/// Where shedding begins: new work at 50 %, first registrations at 75 %, refreshes at 95 %.
const NEW: u32 = 32;
const REGISTER: u32 = 48;
const REFRESH: u32 = 61;

fn dn(i: u32) -> String {
    format!("{}", 5000 + i)
}

/// A node of plain phones, all on the last shard.
fn node(shards: u16, phones: u32) -> Node {
    let mut inventory = Inventory::new();
    for i in 0..phones {
        inventory.plain_phone(&device_on(shards - 1, shards, i), &dn(i));
    }
    Builder::new()
        .shards(shards)
        .inventory(&inventory)
        .setting("limits", &format!("queue_per_shard = {BOUND}"))
        .faults()
        .start()
}

fn shed(node: &Node, kind: &str) -> u32 {
    node.metric("keyline_sip_shed_total", &format!("kind=\"{kind}\"")) as u32
}

/// The shed kinds that are not zero.
fn all_shed(node: &Node) -> BTreeMap<&'static str, u32> {
    let kinds = ["invite", "message", "register", "refresh", "dialog", "options", "transaction"];
    kinds.into_iter().map(|k| (k, shed(node, k))).filter(|(_, n)| *n > 0).collect()
}

/// Waits until so much waits at the last shard.
fn depth(node: &Node, shards: u16, wanted: u32) {
    let label = format!("shard=\"{}\"", shards - 1);
    wait::until(&format!("queue of {wanted}"), || {
        (node.metric("keyline_shard_queue_messages", &label) as u32 == wanted).then_some(())
    });
}

/// 503 with a Retry-After of 5 to 30 seconds.
fn is_shed(answer: &Message<'_>) {
    assert_eq!(answer.status(), Some(503));
    let after: u64 =
        answer.first(HeaderName::RetryAfter).and_then(|v| v.trim().parse().ok()).expect("Retry-After");
    assert!((5..=30).contains(&after), "Retry-After: {after}");
}

fn of_line(method: &str, from: u32, to: u32, line: &Line) -> Request {
    Request::new(method, &format!("sip:{}@keyline.local", dn(to)), &dn(from))
        .header("Contact", &contact(&dn(from), line))
}

fn work_is_shed_in_its_order(shards: u16) {
    // 0 and 1 are on a call, 2 calls, 3 is never there, 4..34 are registered, the rest come for the first time.
    let first = 34;
    let node = node(shards, first + BOUND);
    let mut line = Line::udp(node.udp());
    for i in (2..first).filter(|i| *i != 3) {
        assert_eq!(line.exchange(&Request::register_from(&dn(i), &line)).status(), Some(200));
    }
    let rss_before = node.rss_kib();
    wait::run(async {
        let device = |i| device_on(shards - 1, shards, i);
        let caller = registered(node.phone(Transport::Udp, &device(0), &dn(0))).await;
        let callee =
            registered(node.phone(Transport::Udp, &device(1), &dn(1)).answering(Answer::AtOnce)).await;
        let (out, inn) = connect(&caller, &callee).await;
        tokio::task::block_in_place(|| {
            depth(&node, shards, 0);
            node.fault("writer.before_commit=hold");
            let mut waiting = Line::udp(node.udp());
            let mut held = 0;
            let first_time = |i: u32, waiting: &mut Line| {
                let bytes = Request::register_from(&dn(i), waiting).print(waiting);
                waiting.send(&bytes);
            };
            let ask = |line: &mut Line, method: &str| {
                let request = of_line(method, 2, 3, line);
                line.exchange(&request)
            };

            // Below half of the bound everything is taken: the dialled phone is not there.
            while held < NEW - 1 {
                first_time(first + held, &mut waiting);
                held += 1;
            }
            depth(&node, shards, held);
            assert_eq!(ask(&mut line, "INVITE").status(), Some(480));
            assert_eq!(ask(&mut line, "MESSAGE").status(), Some(480));
            println!("at {held} of {BOUND}: nothing is shed: {:?}", all_shed(&node));
            assert!(all_shed(&node).is_empty());

            // From 50 % on no new calls and messages.
            first_time(first + held, &mut waiting);
            held += 1;
            depth(&node, shards, held);
            is_shed(&ask(&mut line, "INVITE"));
            is_shed(&ask(&mut line, "MESSAGE"));
            println!("at {held} of {BOUND}: {:?}", all_shed(&node));
            assert_eq!((shed(&node, "invite"), shed(&node, "message"), shed(&node, "register")), (1, 1, 0));

            // From 75 % on no first registrations.
            while held < REGISTER {
                first_time(first + held, &mut waiting);
                held += 1;
            }
            depth(&node, shards, held);
            is_shed(&line.exchange(&Request::register_from(&dn(first + held), &line)));
            is_shed(&ask(&mut line, "INVITE"));
            println!("at {held} of {BOUND}: {:?}", all_shed(&node));
            assert_eq!((shed(&node, "register"), shed(&node, "refresh")), (1, 0));

            // From 95 % on no refreshes: these have another contact, so they must be written.
            let mut refreshed = 4;
            while held < REFRESH {
                first_time(refreshed, &mut waiting);
                refreshed += 1;
                held += 1;
            }
            depth(&node, shards, held);
            is_shed(&line.exchange(&Request::register_from(&dn(refreshed), &line)));
            println!("at {held} of {BOUND}: {:?}", all_shed(&node));
            assert_eq!(shed(&node, "refresh"), 1);

            // What belongs to a dialog, and what needs no shard, is served at any depth.
            let options = Request::new("OPTIONS", "sip:keyline.local", &dn(2));
            assert_eq!(line.exchange(&options).status(), Some(200));
            let rss = node.rss_kib();
            println!("resident memory: {rss_before} KiB before, {rss} KiB with a full queue");
        });
        assert_eq!(out.info('1').await.unwrap().status(), Some(200));
        assert_eq!(out.hang_up().await.unwrap().status(), Some(200));
        inn.ended().await.unwrap();
        tokio::task::block_in_place(|| {
            assert_eq!(shed(&node, "dialog"), 0);
            depth(&node, shards, REFRESH);

            // What was taken is done, none of it is lost; what was shed comes back.
            node.fault("");
            depth(&node, shards, 0);
            wait::until("all registrations", || {
                (node.metric("keyline_phone_registered_devices", "") as u32 >= first - 1 + REGISTER)
                    .then_some(())
            });
            assert_eq!(
                line.exchange(&Request::register_from(&dn(first + REGISTER), &line)).status(),
                Some(200)
            );
            let invite = of_line("INVITE", 2, 3, &line);
            assert_eq!(line.exchange(&invite).status(), Some(480));
        });
    });
}

/// What became of the requests of one kind.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    sent: u32,
    done: u32,
    shed: u32,
}

impl Count {
    /// Per thousand of those that were answered.
    fn done_share(self) -> u32 {
        1000 * self.done / (self.done + self.shed).max(1)
    }
}

/// Phones of the flood: these are registered before it, those come with it.
const OLD: u32 = 300;
const YOUNG: u32 = 9000;

fn ten_times_the_capacity(shards: u16) {
    let _turn = HEAVY.lock();
    let node = node(shards, OLD + YOUNG);
    let mut flood = Line::udp(node.udp());
    for i in 0..OLD {
        assert_eq!(flood.exchange(&Request::register_from(&dn(i), &flood)).status(), Some(200));
    }
    // One trip to the disk takes 100 ms, so that at most one queue goes through in that time.
    node.fault("writer.before_commit=slow-100,times=0");
    let capacity = capacity(&node, shards);
    let idle = node.rss_kib();

    let offered = 10 * capacity;
    let seconds = 2;
    let total = offered * seconds;
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let mut peak = idle;
    let began = Instant::now();
    let mut sent = 0;
    // An answer to an INVITE comes again until it is acknowledged.
    let mut seen = HashSet::new();
    let mut note = |answer: &Message<'_>, counts: &mut BTreeMap<&str, Count>| {
        let Some(kind) = answer.call_id().and_then(|c| c.split_once('-')).map(|c| c.0) else { return };
        let kind = ["invite", "refresh", "register"].into_iter().find(|k| *k == kind).expect("one of ours");
        if answer.status() != Some(100) && !seen.insert(answer.call_id().map(str::to_owned)) {
            return;
        }
        let count = counts.entry(kind).or_default();
        match answer.status() {
            Some(503) => {
                is_shed(answer);
                count.shed += 1;
            }
            Some(200 | 480) => count.done += 1,
            other => assert_eq!(other, Some(100), "{kind}"),
        }
    };
    while sent < total {
        let due = (began.elapsed().as_micros() as u64 * u64::from(offered) / 1_000_000) as u32;
        while sent < due.min(total) {
            // Seven first registrations to two refreshes with another contact and a new call.
            let (kind, mut request) = match sent % 10 {
                0 => ("invite", of_line("INVITE", sent / 10 % OLD, OLD + YOUNG - 1, &flood)),
                1 | 2 => {
                    ("refresh", Request::register_from(&dn(sent / 10 * 2 % OLD + sent % 10 - 1), &flood))
                }
                _ => ("register", Request::register_from(&dn(OLD + sent % (YOUNG - 1)), &flood)),
            };
            request.call_id = format!("{kind}-{}", request.call_id);
            if kind == "refresh" {
                request
                    .set("Contact", &format!("<sip:{}@{};n={sent}>", request.call_id.len(), flood.local()));
            }
            flood.send(&request.print(&flood));
            counts.entry(kind).or_default().sent += 1;
            sent += 1;
        }
        while let Some(answer) = flood.receive_within(Duration::from_micros(200)) {
            note(&answer, &mut counts);
        }
        peak = peak.max(node.rss_kib());
    }
    while let Some(answer) = flood.receive_within(Duration::from_millis(300)) {
        note(&answer, &mut counts);
    }
    println!("{shards} shards: capacity {capacity}/s, offered {offered}/s for {seconds} s: {counts:#?}");
    println!("shed by the node: {:?}", all_shed(&node));
    println!("resident memory: {idle} KiB idle, {peak} KiB at most");
    let share = |kind| counts[kind].done_share();
    assert!(counts["invite"].shed > 0 && counts["register"].shed > 0);
    assert!(share("refresh") > share("register"), "refreshes go before first registrations");
    assert!(share("register") >= share("invite"), "registrations go before new calls");
    assert!(peak < idle + 64 * 1024, "memory is bounded: {idle} -> {peak} KiB");

    // The flood is over: everybody registers again.
    node.fault("");
    let mut line = Line::udp(node.udp());
    let since = Instant::now();
    for i in OLD..OLD + YOUNG {
        let answer = line.exchange(&Request::register_from(&dn(i), &line));
        assert_eq!(answer.status(), Some(200), "phone {i} after the flood");
    }
    println!("{YOUNG} phones registered again in {:?}", since.elapsed());
    depth(&node, shards, 0);
}

/// Refreshes that must be written and are acknowledged in a second, with as many under way as are taken.
fn capacity(node: &Node, shards: u16) -> u32 {
    let mut line = Line::udp(node.udp());
    let (mut done, mut sent) = (0, 0_u32);
    let began = Instant::now();
    let send = |line: &mut Line, sent: &mut u32| {
        let mut request = Request::register_from(&dn(*sent % OLD), line);
        request.set("Contact", &format!("<sip:{}@{};c={sent}>", dn(*sent % OLD), line.local()));
        let bytes = request.print(line);
        line.send(&bytes);
        *sent += 1;
    };
    for _ in 0..REGISTER {
        send(&mut line, &mut sent);
    }
    while began.elapsed() < Duration::from_secs(1) {
        if line.receive_within(Duration::from_millis(200)).is_some_and(|a| a.status() == Some(200)) {
            done += 1;
            send(&mut line, &mut sent);
        }
    }
    while line.receive_within(Duration::from_millis(200)).is_some() {}
    depth(node, shards, 0);
    done.max(1)
}
