//! Supervision: something panics in a running node; what do the phone on it and the phone beside it see?
//!
//! The node is the binary with faults on purpose (`keyline-faults`), ordered over its control socket. Each
//! test prints what was seen and how long it took until all were served again; that this takes less than a
//! second is asserted, since it is what is promised.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use keyline_loadtest::phone::{Answer, Call, End, Phone, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::sip::{Line, Request};
use keyline_tests::wait;

use crate::common::{connect, refused_with, registered};

on_one_and_two!(
    a_panic_in_a_phones_step_costs_one_answer,
    a_panic_in_a_call_leaves_the_call_and_those_beside_it,
    an_early_call_that_panics_is_ended,
    a_dropped_call_or_phone_actor_is_replaced,
    a_shard_that_panics_serves_on,
    a_catalog_that_panics_loses_nothing,
);

/// Served again within this time (the promise).
const AGAIN: Duration = Duration::from_secs(1);

const LINES: [&str; 6] = ["1001", "1002", "1003", "1004", "1005", "1006"];

/// Devices of the lines: the first two and the last two on the last shard, the others on the first.
fn devices(shards: u16) -> [String; 6] {
    [0, 1, 2, 3, 4, 5].map(|i| device_on(if (2..4).contains(&i) { 0 } else { shards - 1 }, shards, 1 + i))
}

fn node(shards: u16) -> Node {
    let mut inventory = Inventory::new();
    for (device, line) in devices(shards).iter().zip(LINES) {
        inventory.plain_phone(device, line);
    }
    Builder::new().shards(shards).inventory(&inventory).faults().fixed_ports().start()
}

fn restarts(node: &Node, actor: &str) -> f64 {
    node.metric("keyline_actor_restarts_total", &format!("actor=\"{actor}\""))
}

fn register(line: &mut Line, dn: &str) -> u16 {
    line.exchange(&Request::register_from(dn, line)).status().unwrap_or(0)
}

/// Until `served` holds, at most [`AGAIN`]; printed.
fn again(what: &str, since: Instant, served: impl FnMut() -> Option<()>) {
    wait::until_within(AGAIN, what, served);
    println!("{what}: served again after {:?}", since.elapsed());
}

async fn four(node: &Node, shards: u16) -> Vec<Phone> {
    let mut phones = Vec::new();
    for (device, line) in devices(shards).iter().zip(LINES).take(4) {
        let config = node.phone(Transport::Udp, device, line);
        phones.push(registered(config.answering(Answer::AtOnce)).await);
    }
    phones
}

/// The call still carries requests both ways, and ends.
async fn ends(out: &Call, inn: &Call) {
    assert_eq!(out.info('5').await.unwrap().status(), Some(200));
    assert_eq!(out.hang_up().await.unwrap().status(), Some(200));
    assert_eq!(inn.ended().await.unwrap().how, End::PeerBye);
}

fn a_panic_in_a_phones_step_costs_one_answer(shards: u16) {
    let node = node(shards);
    let [faulted, ..] = devices(shards);
    let (mut a, mut b) = (Line::udp(node.udp()), Line::udp(node.udp()));
    assert_eq!([register(&mut a, "1001"), register(&mut b, "1002")], [200, 200]);
    let before = node.registrations_of(&faulted);
    node.fault(&format!("phone.step@{faulted}=panic"));
    let since = Instant::now();
    let (on, beside) = (register(&mut a, "1001"), register(&mut b, "1002"));
    println!("phone step: the phone {on}, the phone beside it {beside}");
    assert_eq!([on, beside], [500, 200]);
    assert_eq!(node.registrations_of(&faulted)[0]["contact"], before[0]["contact"], "its row is unchanged");
    again("phone step", since, || (register(&mut a, "1001") == 200).then_some(()));
    assert_eq!(restarts(&node, "phone"), 1.0);
    assert_eq!(restarts(&node, "shard"), 0.0);
}

fn a_panic_in_a_call_leaves_the_call_and_those_beside_it(shards: u16) {
    let node = node(shards);
    wait::run(async {
        let p = four(&node, shards).await;
        let (out, inn) = connect(&p[0], &p[1]).await;
        let (out_beside, inn_beside) = connect(&p[2], &p[3]).await;
        // Another step of the call may meet the fault before the request does; then it is ordered again.
        let mut panics = 0;
        let (since, on) = loop {
            node.fault("call.step@1002=panic");
            panics += 1;
            let (since, on) = (Instant::now(), out.info('1').await.unwrap());
            if on.status() != Some(200) || panics == 5 {
                break (since, on);
            }
        };
        let beside = out_beside.info('1').await.unwrap();
        println!("call step: the phone in it {:?}, a call beside it {:?}", on.status(), beside.status());
        assert_eq!((on.status(), beside.status()), (Some(500), Some(200)));
        // From its last good row.
        ends(&out, &inn).await;
        println!("call step: served again after {:?}", since.elapsed());
        assert!(since.elapsed() < AGAIN);
        ends(&out_beside, &inn_beside).await;
        assert_eq!(restarts(&node, "call"), f64::from(panics));
        assert_eq!(restarts(&node, "shard"), 0.0);

        // One that fails again and again is given up; the phones beside it call on.
        let (out, inn) = connect(&p[0], &p[1]).await;
        node.fault("call.step@1002=panic,times=0");
        for _ in 0..4 {
            // 500, then 481 once it is given up.
            let status = out.request("INFO", &[], None).await.unwrap().status();
            assert!(matches!(status, Some(500 | 481)), "{status:?}");
            if status == Some(481) {
                break;
            }
        }
        wait::until("end of the call", || node.calls().is_empty().then_some(()));
        drop((out, inn));
        node.fault("");
        let (out, inn) = connect(&p[0], &p[1]).await;
        ends(&out, &inn).await;
    });
}

fn an_early_call_that_panics_is_ended(shards: u16) {
    let node = node(shards);
    wait::run(async {
        let p = four(&node, shards).await;
        let (out_beside, inn_beside) = connect(&p[2], &p[3]).await;
        p[1].set_answer(Answer::Manual);
        let rung = p[0].invite("1002").unwrap();
        let callee = p[1].incoming().await.unwrap();
        node.fault("call.step@1002=panic");
        // The next thing that the call hears.
        let since = Instant::now();
        callee.ring().unwrap();
        let seen = refused_with(&rung).await;
        let how = callee.ended().await.unwrap().how;
        println!("early call: the caller {seen}, the callee {how:?}, after {:?}", since.elapsed());
        assert_eq!(seen, 500);
        wait::until("end of the call", || (node.calls().len() == 1).then_some(()));
        ends(&out_beside, &inn_beside).await;
        p[1].set_answer(Answer::AtOnce);
        let (out, inn) = connect(&p[0], &p[1]).await;
        ends(&out, &inn).await;
        assert_eq!(restarts(&node, "call"), 1.0);
    });
}

fn a_dropped_call_or_phone_actor_is_replaced(shards: u16) {
    let node = node(shards);
    let [_, device, ..] = devices(shards);
    wait::run(async {
        let p = four(&node, shards).await;
        let (out, inn) = connect(&p[0], &p[1]).await;
        assert!(node.metric("keyline_phone_active_actors", "") >= 2.0, "both phones are on a call");
        // Past the guard: actix drops the actor, the second net makes another one.
        node.fault("call.uncaught@1002=panic");
        let lost = tokio::time::timeout(AGAIN, out.info('1')).await;
        println!("call actor dropped: the request on it: {:?}", lost.map(|r| r.map(|m| m.status())));
        wait::until("a successor", || (restarts(&node, "call") == 1.0).then_some(()));
        assert_eq!(out.info('5').await.unwrap().status(), Some(200), "the successor goes on from the row");

        node.fault(&format!("phone.uncaught@{device}=panic"));
        // A change that the phone's actor hears of.
        p[1].unregister().await.unwrap();
        wait::until("a successor", || (restarts(&node, "phone") == 1.0).then_some(()));
        p[1].register().await.unwrap();
        ends(&out, &inn).await;
        assert_eq!(restarts(&node, "shard"), 0.0);
    });
}

fn a_shard_that_panics_serves_on(shards: u16) {
    let node = node(shards);
    let [.., faulted, _] = devices(shards);
    wait::run(async {
        let p = four(&node, shards).await;
        let (out, inn) = connect(&p[0], &p[1]).await;
        let (mut a, mut b) = (Line::udp(node.udp()), Line::udp(node.udp()));
        for (point, on) in
            [("shard.register", 500), ("shard.before_publish", 500), ("shard.before_reply", 500)]
        {
            node.fault(&format!("{point}@{faulted}=panic"));
            let since = Instant::now();
            // Both are on their way before either is answered.
            let mut asked = Request::register_from("1005", &a);
            asked.set("Expires", "1800");
            let bytes = asked.print(&a);
            a.send(&bytes);
            let beside = register(&mut b, "1006");
            let seen = a.receive_final().status().unwrap_or(0);
            println!("{point}: the phone {seen}, the phone beside it {beside}");
            assert_eq!((seen, beside), (on, 200), "{point}");
            again(point, since, || {
                let mut once = Request::register_from("1005", &a);
                once.set("Expires", "1800");
                (a.exchange(&once).status() == Some(200)).then_some(())
            });
        }
        assert_eq!(restarts(&node, "shard"), 3.0);
        // Calls are actors of their own: they live on, with their timers.
        ends(&out, &inn).await;
        let (out, inn) = connect(&p[0], &p[1]).await;
        ends(&out, &inn).await;
    });
}

fn a_catalog_that_panics_loses_nothing(shards: u16) {
    let node = node(shards);
    let mut line = Line::udp(node.udp());
    let more = |from: u32| {
        let mut more = Inventory::new();
        for i in from..from + 40 {
            more.plain_phone(&device_on((i % u32::from(shards)) as u16, shards, i), &format!("{}", 3000 + i));
        }
        more.ndjson()
    };
    for (n, point) in
        ["import.before_copy", "import.announced", "import.batch", "import.applied"].iter().enumerate()
    {
        let from = 100 + 100 * n as u32;
        node.fault(&format!("{point}=panic"));
        let since = Instant::now();
        let out = node.import(&more(from));
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success());
        let (first, last) = (format!("{}", 3000 + from), format!("{}", 3000 + from + 39));
        let known = [register(&mut line, &first), register(&mut line, &last)];
        println!("catalog at {point}: {} -> {known:?}", said.trim());
        let finished = said.contains("is finished");
        assert_eq!(known.map(|s| s == 200), [finished; 2], "all or nothing, as it was told");
        again(point, since, || (register(&mut line, "1001") == 200).then_some(()));
        // The import goes through when it is asked for again.
        assert!(node.import(&more(from)).status.success(), "{point}");
        assert_eq!(register(&mut line, &first), 200);
    }
    assert_eq!(restarts(&node, "catalog"), 4.0);
    // Each line still belongs to its phone, though the catalog has read all of them in another order than they came in.
    let mut devices = BTreeMap::new();
    for i in (100..500).step_by(100).flat_map(|from| from..from + 40) {
        let line_number = format!("{}", 3000 + i);
        assert_eq!(register(&mut line, &line_number), 200);
        devices.insert(line_number, device_on((i % u32::from(shards)) as u16, shards, i));
    }
    let rows = node.registrations();
    for (number, device) in devices {
        let found = rows.iter().filter(|row| row["aor"].as_str().is_some_and(|aor| aor.contains(&number)));
        assert_eq!(found.map(|row| row["device"].as_str()).collect::<Vec<_>>(), [Some(&*device)], "{number}");
    }
}

#[test]
fn a_workers_turn_that_panics_costs_one_message() {
    let node = node(1);
    let mut a = Line::udp(node.udp());
    assert_eq!(register(&mut a, "1001"), 200);
    node.fault("worker.datagram=panic");
    let since = Instant::now();
    let request = Request::register_from("1001", &a).print(&a);
    a.send(&request);
    wait::until("the panic", || (node.metric("keyline_worker_panics_total", "") == 1.0).then_some(()));
    // A phone over UDP repeats what was not answered.
    a.send(&request);
    assert_eq!(a.receive_final().status(), Some(200));
    println!("worker: the repeated REGISTER was answered after {:?}", since.elapsed());
    assert!(since.elapsed() < AGAIN);
}

/// What keeps failing is taken to the level above, and at last the node ends for its service manager to
/// start it anew; nothing acknowledged is lost.
#[test]
fn failing_again_and_again_ends_the_node() {
    let mut node = node(2);
    let [device, ..] = devices(2);
    let mut a = Line::udp(node.udp());
    let mut b = Line::udp(node.udp());
    assert_eq!([register(&mut a, "1001"), register(&mut b, "1003")], [200, 200]);

    // A phone whose steps always fail troubles nobody else, and not its shard either.
    node.fault(&format!("phone.step@{device}=panic,times=0"));
    for _ in 0..40 {
        assert_eq!(register(&mut a, "1001"), 500);
        assert_eq!(register(&mut b, "1002"), 200);
    }
    assert_eq!((restarts(&node, "phone"), restarts(&node, "shard")), (40.0, 0.0));
    // All of them failing is the shard's own trouble.
    node.fault("");
    node.fault("phone.step=panic,times=0");
    for _ in 0..33 {
        assert_eq!(register(&mut a, "1001"), 500);
    }
    wait::until("restart of the shard", || (restarts(&node, "shard") == 1.0).then_some(()));
    node.fault("");
    assert_eq!(register(&mut a, "1001"), 200);

    for (orders, says) in [
        ("shard.register=panic,times=0", "panics again and again"),
        ("worker.turn=panic,times=0", "does nothing but panic"),
        ("catalog.uncaught=panic", "the catalog was dropped by a panic"),
    ] {
        node.fault(orders);
        if orders.starts_with("catalog") {
            node.import("\n");
        }
        wait::until("end of the node", || {
            let request = Request::register_from("1001", &a).print(&a);
            a.send(&request);
            a.receive_within(Duration::from_millis(10));
            (!node.is_alive()).then_some(())
        });
        assert_eq!(node.wait_end(), Some(1), "{orders}");
        assert!(node.stderr().contains(says), "{orders}: {}", node.stderr());
        println!("{orders}: the node ended with code 1 and \"{says}\"");
        let since = Instant::now();
        node.start();
        println!("{orders}: it serves again {:?} after its start", since.elapsed());
        for device in [&devices(2)[0], &devices(2)[2]] {
            assert!(!node.registrations_of(device).is_empty(), "{orders}: {device} is still registered");
        }
        a = Line::udp(node.udp());
        assert_eq!(register(&mut a, "1001"), 200);
    }
}
