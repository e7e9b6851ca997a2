//! A thousand calls over a network that loses one datagram of ten each way, doubles and reorders others:
//! every call ends on both sides, and nothing of it stays.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keyline_loadtest::inventory;
use keyline_loadtest::load::users::User;
use keyline_loadtest::load::{Amount, CallPlan, Carrier, Fleet, Job, Options, Tally, Target};
use keyline_tests::node::{Builder, Node};
use keyline_tests::relay::{Relay, Weather};

const PHONES: u32 = 200;
const CALLS: u64 = 1_000;
/// Transactions live 32 s after their answer (timers D, H, J, L, M).
const LINGER: Duration = Duration::from_secs(60);

const PLAN: CallPlan = CallPlan {
    hold: Duration::from_secs(1),
    ring: Duration::from_millis(100),
    busy: 10,
    cancel: 10,
    b2bua: true,
};

fn amount(count: u64, rate: f64) -> Amount {
    Amount { count, rate, ramp: Duration::ZERO }
}

fn node(shards: u16) -> Node {
    let mut rows = Vec::new();
    inventory::write(&mut rows, 1, PHONES).unwrap();
    let mut node = Builder::new().shards(shards).prepare();
    let out = node.import(std::str::from_utf8(&rows).unwrap());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    node.start();
    node
}

fn survives(shards: u16, seed: u64) {
    let seed = std::env::var("KEYLINE_LOSSY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(seed);
    let node = node(shards);
    let relay = Relay::start(node.udp(), Weather::BAD, seed);
    let users = inventory::fleet(1, PHONES).into_iter().map(User::from).collect();
    let target = Target { carrier: Carrier::Udp, address: relay.address };
    let mut options = Options::new(target, vec!["127.0.0.1".parse().unwrap()]);
    options.sockets = 50;
    let mut fleet = Fleet::open(users, options).unwrap();

    let registered = fleet.run(&Job::Register, amount(u64::from(PHONES), 200.0));
    assert_eq!(registered.good, u64::from(PHONES), "seed {seed}: {registered:#?}");
    let calls = fleet.run(&Job::Call(PLAN), amount(CALLS, 150.0));
    let counts = relay.counts();
    let count = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
    println!(
        "seed {seed}, {shards} shards: {} datagrams, {} lost, {} doubled, {} delayed; {} repetitions; {:?} in {:?}; {:?}",
        count(&counts.taken),
        count(&counts.lost),
        count(&counts.doubled),
        count(&counts.delayed),
        calls.repeated,
        calls.outcomes,
        calls.elapsed,
        calls.statuses,
    );
    judge(&calls, seed);

    // Nothing stays of them, and everybody is still there. The phones go on answering meanwhile: a BYE of
    // the node whose 200 was lost comes again.
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (fleet, done) = (&mut fleet, &done);
        let phones = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                fleet.attend(Duration::from_millis(100));
            }
        });
        // Also when a look fails: the scope waits for the phones.
        let over = Over(done);
        let empty = wait_for_the_end(&node);
        drop(over);
        phones.join().unwrap();
        assert!(
            empty,
            "seed {seed}: something of the calls stays: {:?} {}",
            node.calls(),
            node.http_get("/metrics")
        );
    });
    relay.calm();
    let again =
        fleet.run(&Job::Call(CallPlan { busy: 0, cancel: 0, ..PLAN }), amount(u64::from(PHONES / 2), 0.0));
    assert_eq!((again.good, again.failed), (u64::from(PHONES / 2), 0), "seed {seed}: {again:#?}");
    assert_eq!(node.registrations().len(), PHONES as usize);
    assert_eq!(node.calls().len(), 0);
}

/// Ends the phones when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether all calls and transactions end in time.
fn wait_for_the_end(node: &Node) -> bool {
    let start = Instant::now();
    let open = |kind: &str| node.metric("keyline_worker_objects", &format!("kind=\"{kind}\""));
    let empty =
        || node.calls().is_empty() && ["client_transactions", "server_transactions"].map(open) == [0.0, 0.0];
    while start.elapsed() < LINGER {
        if empty() {
            return true;
        }
        // The node is asked over HTTPS; two looks a second are enough.
        std::thread::park_timeout(Duration::from_millis(500));
    }
    false
}

/// Every call ended on both sides, by an answer of the other one.
fn judge(calls: &Tally, seed: u64) {
    let of = |names: &[&str]| names.iter().filter_map(|name| calls.outcomes.get(name)).sum::<u64>();
    let ended = of(&["completed", "busy", "cancelled", "cancelled_late", "refused"]);
    assert_eq!(ended, CALLS, "seed {seed}: {calls:#?}");
    let broken = ["callee_no_ack", "callee_left", "legs_not_apart", "ended_by_server", "release_refused"];
    assert_eq!(of(&broken), 0, "seed {seed}: {calls:#?}");
    // Seven copies of an INVITE can all be lost, about once in a hundred thousand calls.
    assert!(of(&["refused"]) <= 2, "seed {seed}: {calls:#?}");
}

#[test]
fn a_thousand_calls_over_a_lossy_network_all_end_on_one_shard() {
    survives(1, 11);
}

#[test]
fn a_thousand_calls_over_a_lossy_network_all_end_on_two_shards() {
    survives(2, 22);
}
