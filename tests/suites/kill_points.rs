//! The process is gone at every point where something is written: what was promised holds afterwards.
//!
//! The node (`keyline-faults`) ends itself at a named point by `abort`: no destructor runs, nothing is flushed
//! that was not written, as by kill -9 at that very instruction. 200 seeds over all points; each ends with a
//! start and a look at what is there. The table that is printed says how often what was seen.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keyline_loadtest::phone::{Answer, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::{HEAVY, device_on};
use keyline_tests::sip::{Line, Request};
use keyline_tests::wait;

use crate::common::registered;

/// What was seen, by point.
#[derive(Default)]
struct Table(Mutex<BTreeMap<(String, String), usize>>);

impl Table {
    fn note(&self, point: &str, outcome: &str, count: usize) {
        *self.0.lock().unwrap().entry((point.to_owned(), outcome.to_owned())).or_default() += count;
    }

    fn get(&self, point: &str, outcome: &str) -> usize {
        self.0.lock().unwrap().get(&(point.to_owned(), outcome.to_owned())).copied().unwrap_or(0)
    }

    fn print(&self) {
        for ((point, outcome), count) in &*self.0.lock().unwrap() {
            println!("{point:<34} {outcome:<34} {count:>5}");
        }
    }
}

type Group<'a> = Box<dyn Fn(&Table) + Send + Sync + 'a>;

/// Runs groups of seeds, a few at a time.
fn run_all(groups: &[Group<'_>], table: &Table) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    group(table);
                }
            });
        }
    });
}

/// Waits for the end of a node that aborts.
fn ended(node: &mut Node) {
    wait::until("end of the node", || (!node.is_alive()).then_some(()));
    assert_eq!(node.wait_end(), None, "it was a signal");
}

const PHONES: u32 = 6;

fn dn(i: u32) -> String {
    format!("{}", 2000 + i)
}

/// REGISTERs of several phones are under way when the node ends at `point`.
fn register_group(point: &str, shards: u16, seeds: u32, table: &Table) {
    let devices: Vec<String> =
        (0..PHONES).map(|i| device_on((i % u32::from(shards)) as u16, shards, i)).collect();
    let mut inventory = Inventory::new();
    for (i, device) in (0..).zip(&devices) {
        inventory.plain_phone(device, &dn(i));
    }
    inventory.plain_phone(&device_on(0, shards, PHONES), &dn(PHONES));
    let mut node = Builder::new().shards(shards).inventory(&inventory).fixed_ports().faults().start();
    for seed in 0..seeds {
        node.fault(&format!("{point}=abort,skip={}", seed % PHONES));
        let mut line = Line::udp(node.udp());
        // Another contact each time: a binding of its own, so that it must be written.
        let contact =
            |i: u32, line: &Line| format!("<sip:{}@{};transport=udp;seed={seed}>", dn(i), line.local());
        let requests: Vec<_> = (0..PHONES)
            .map(|i| {
                let mut request = Request::register(&dn(i)).header("Contact", &contact(i, &line));
                request.set("Expires", "600");
                request.call_id = format!("{i}-{}", request.call_id);
                request.print(&line)
            })
            .collect();
        for bytes in &requests {
            // The first of them may have ended the node already.
            line.try_send(bytes);
        }
        let mut acknowledged = [false; PHONES as usize];
        let mut read = |line: &mut Line, patience| {
            let answer = line.receive_within(patience)?;
            let i = answer.call_id().and_then(|c| c.split('-').next()?.parse::<usize>().ok());
            if let Some(acknowledged) = i.and_then(|i| acknowledged.get_mut(i)) {
                *acknowledged |= answer.status() == Some(200);
            }
            Some(())
        };
        // They may share one trip to the disk: what comes after them brings the next pass of the point.
        let mut more = 0;
        wait::until("end of the node", || {
            while read(&mut line, Duration::from_millis(5)).is_some() {}
            more += 1;
            let extra = format!("<sip:{}@{};transport=udp;extra={seed}x{more}>", dn(PHONES), line.local());
            let mut request = Request::register(&dn(PHONES)).header("Contact", &extra);
            request.set("Expires", "600");
            if node.is_alive() {
                line.try_send(&request.print(&line));
            }
            (!node.is_alive()).then_some(())
        });
        while read(&mut line, Duration::from_millis(20)).is_some() {}
        ended(&mut node);
        node.start();

        let bound = |node: &Node, i: u32| {
            let rows = node.registrations_of(&devices[i as usize]);
            rows.iter()
                .filter(|r| r["contact"].as_str().is_some_and(|c| c.contains(&format!("seed={seed}"))))
                .count()
        };
        let mut again = Line::udp(node.udp());
        for (i, bytes) in (0..).zip(&requests) {
            let there = bound(&node, i);
            let promised = acknowledged[i as usize];
            assert!(there == 1 || !promised, "{point}, seed {seed}: the binding of phone {i} is lost");
            table.note(point, "bindings acknowledged, there", usize::from(promised));
            table.note(point, "written, no answer yet", usize::from(!promised && there == 1));
            table.note(point, "neither", usize::from(!promised && there == 0));
            // The very same REGISTER: a repeat where the row stands, else the first one.
            again.send(bytes);
            assert_eq!(
                again.receive_final().status(),
                Some(200),
                "{point}, seed {seed}: the repeat of phone {i}"
            );
            assert_eq!(
                bound(&node, i),
                1,
                "{point}, seed {seed}: one binding, however often it is asked for"
            );
        }
        table.note(point, "kills", 1);
    }
}

fn rows_written(node: &Node) -> f64 {
    node.metric("keyline_storage_rows_total", "")
}

/// The node ends while a call is answered (no pass before), or while it ends (one).
fn call_group(point: &str, skip: u32, shards: u16, seeds: u32, table: &Table) {
    let (a, b) = (device_on(0, shards, 1), device_on(shards - 1, shards, 2));
    let mut inventory = Inventory::new();
    inventory.plain_phone(&a, "1001").plain_phone(&b, "1002");
    let mut node = Builder::new().shards(shards).inventory(&inventory).fixed_ports().faults().start();
    let name = format!("{point} ({skip} passes before)");
    let mut ghosts = 0;
    for seed in 0..seeds {
        wait::run(async {
            let caller = registered(node.phone(Transport::Udp, &a, "1001")).await;
            let callee = registered(node.phone(Transport::Udp, &b, "1002").answering(Answer::AtOnce)).await;
            let written = rows_written(&node);
            if skip == 0 {
                node.fault(&format!("{point}=abort"));
            }
            let out = caller.invite("1002").unwrap();
            let inn = callee.incoming().await.unwrap();
            // The answer meets the fault, or the end of the call does.
            if skip > 0 {
                out.answered().await.unwrap();
                inn.acked(1).await.unwrap();
                // Its row is written: the end shall be a trip of its own.
                wait::until("row of the call", || (rows_written(&node) > written).then_some(()));
                node.fault(&format!("{point}=abort"));
            }
            let changed = async {
                if skip > 0 {
                    out.hang_up().await.ok();
                }
                std::future::pending::<()>().await;
            };
            let mut changed = std::pin::pin!(changed);
            let since = Instant::now();
            while node.is_alive() {
                let _ = tokio::time::timeout(Duration::from_millis(5), changed.as_mut()).await;
                assert!(since.elapsed() < wait::PATIENCE, "{name}, seed {seed}: the node lives");
            }
            assert_eq!(node.wait_end(), None, "it was a signal");
            tokio::task::block_in_place(|| node.start());
            // A dialog row is there as a whole or not at all; bindings are, in any case.
            assert_eq!(node.registrations().len(), 2, "{name}, seed {seed}");
            if skip > 0 {
                // Both phones have hung up. What met the fault was the end, or a change just before it: then
                // the call comes back and ends by its session timer.
                let back = node.calls().len() > ghosts;
                ghosts = node.calls().len();
                let outcome = if back { "its last row comes back" } else { "ended, no call comes back" };
                table.note(&name, outcome, 1);
            } else {
                let status = inn.request("BYE", &[], None).await.unwrap().status();
                assert!(matches!(status, Some(200 | 481)), "{name}, seed {seed}: {status:?}");
                let outcome = if status == Some(200) { "call resumed and ended" } else { "no row: 481" };
                table.note(&name, outcome, 1);
            }
            table.note(&name, "kills", 1);
        });
    }
}

fn rows(from: u32, count: u32) -> String {
    let mut more = Inventory::new();
    for i in from..from + count {
        more.plain_phone(
            &format!("SEP{:012X}", 0x00A0_0000_0000_u64 + u64::from(i)),
            &format!("{}", 100_000 + i),
        );
    }
    more.ndjson()
}

/// Phones of an import that a store holds.
fn held(node: &Node, from: u32, count: u32) -> usize {
    let out = node.run(&["export"]);
    assert!(out.status.success(), "export: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let names: HashSet<&str> =
        text.lines().filter_map(|l| l.split_once("\"name\":\"SEP")?.1.get(..12)).collect();
    let number = |i: u32| format!("{:012X}", 0x00A0_0000_0000_u64 + u64::from(i));
    (from..from + count).filter(|i| names.contains(number(*i).as_str())).count()
}

/// An import ends at `point`, by the command alone or by the running node.
fn import_group(point: &str, skip: u32, count: u32, live: bool, seeds: u32, table: &Table) {
    let mut inventory = Inventory::new();
    inventory.plain_phone(&device_on(0, 1, 1), "1001");
    let mut node = Builder::new().inventory(&inventory).fixed_ports().faults().prepare();
    let name = format!("{point} ({})", if live { "running" } else { "offline" });
    for seed in 0..seeds {
        let from = seed * count;
        let order = format!("{point}=abort,skip={skip}");
        if live {
            node.start();
            node.fault(&order);
        } else {
            node.set_env("KEYLINE_FAULTS", &order);
        }
        let out = node.import(&rows(from, count));
        assert!(!out.status.success(), "{name}: it was to die");
        if live {
            ended(&mut node);
        }
        node.set_env("KEYLINE_FAULTS", "");
        let there = held(&node, from, count);
        assert!(there == 0 || there == count as usize, "{name}, seed {seed}: {there} of {count} phones");
        table.note(&name, if there == 0 { "nothing of it" } else { "all of it" }, 1);
        table.note(&name, "kills", 1);
        // It goes through when it is asked for again.
        assert!(node.import(&rows(from, count)).status.success());
        assert_eq!(held(&node, from, count), count as usize);
    }
}

/// The node ends while it makes its keys or reads its rows.
fn boot_group(point: &str, seeds: u32, table: &Table) {
    for seed in 0..seeds {
        let mut node = Builder::new().faults().prepare();
        node.set_env("KEYLINE_FAULTS", &format!("{point}=abort"));
        let (code, text) = node.fail_to_start();
        assert_eq!(code, None, "{point}, seed {seed}: it was a signal\n{text}");
        node.set_env("KEYLINE_FAULTS", "");
        node.start();
        let certificate = node.certificate("CallManager");
        // What was acknowledged once stays: the same keys after the next end.
        node.kill9_and_restart();
        assert_eq!(node.certificate("CallManager"), certificate, "{point}, seed {seed}");
        table.note(point, "started with whole keys", 1);
        table.note(point, "kills", 1);
    }
}

#[test]
fn no_promise_breaks_wherever_the_process_ends() {
    let _turn = HEAVY.lock();
    let began = Instant::now();
    let table = Table::default();
    let mut groups: Vec<Group<'_>> = Vec::new();
    let register = [
        "writer.before_commit@phones",
        "writer.after_commit@phones",
        "shard.before_publish",
        "shard.before_reply",
    ];
    for point in register {
        for shards in [1, 2] {
            groups.push(Box::new(move |t| register_group(point, shards, 12, t)));
        }
    }
    let calls = [
        ("call.before_journal", 0),
        ("writer.before_commit@calls", 0),
        ("writer.after_commit@calls", 0),
        ("writer.after_commit@calls", 1),
    ];
    for (point, skip) in calls {
        for shards in [1, 2] {
            groups.push(Box::new(move |t| call_group(point, skip, shards, 5, t)));
        }
    }
    for point in
        ["import.before_copy", "import.after_copy", "import.announced", "import.applied", "import.concluded"]
    {
        groups.push(Box::new(move |t| import_group(point, 0, 30, false, 3, t)));
    }
    // Several groups of commits: one is written, the next is not.
    groups.push(Box::new(|t| import_group("import.batch", 1, 3500, false, 3, t)));
    for (point, skip) in [
        ("import.announced", 0),
        ("writer.before_commit@config", 1),
        ("writer.after_commit@config", 1),
        ("import.applied", 0),
        ("import.concluded", 0),
    ] {
        groups.push(Box::new(move |t| import_group(point, skip, 150, true, 4, t)));
    }
    for point in [
        "keyring.before_commit",
        "keyring.after_commit",
        "keyring.before_commit@tags",
        "keyring.after_commit@tags",
        "keyring.after_commit@start",
        "boot.keys_loaded",
        "boot.rows_loaded",
    ] {
        groups.push(Box::new(move |t| boot_group(point, if point.starts_with("boot") { 3 } else { 4 }, t)));
    }
    run_all(&groups, &table);
    table.print();

    let kills: usize =
        table.0.lock().unwrap().iter().filter(|((_, o), _)| o == "kills").map(|(_, n)| n).sum();
    println!("{kills} kills in {:?}", began.elapsed());
    assert_eq!(kills, 200);
    // The points lie where they say: before the commit nothing is there, after it everything is.
    for point in &register[1..] {
        assert!(table.get(point, "written, no answer yet") >= 12, "{point}");
    }
    for live in ["offline", "running"] {
        assert_eq!(table.get(&format!("import.announced ({live})"), "nothing of it"), 0);
    }
    assert_eq!(table.get("import.batch (offline)", "all of it"), 3);
    assert_eq!(table.get("import.after_copy (offline)", "all of it"), 0);
    assert_eq!(table.get("writer.after_commit@calls (0 passes before)", "no row: 481"), 0);
    assert_eq!(table.get("writer.before_commit@calls (0 passes before)", "call resumed and ended"), 0);
}
