//! The process is gone between any two steps of a roll-out: each phone has the old version or the new one, and the
//! roll-out was never begun or goes on until all phones have the new one.

use std::sync::atomic::{AtomicUsize, Ordering};

use keyline_loadtest::phone::{Phone, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::{HEAVY, device_on};
use keyline_tests::wait;
use serde_json::{Value, json};

use crate::change_points::try_ask;
use crate::common::registered;
use crate::rollouts_save::{FLEET, add, open_profile, save, view};

const PHONES: usize = 4;

fn dn(n: usize) -> String {
    (1001 + n).to_string()
}

fn devices() -> Vec<String> {
    (0..PHONES as u32).map(|n| device_on((n % 2) as u16, 2, n)).collect()
}

/// A node whose phones are on version 1, with version 2 saved.
async fn pending() -> (Node, Vec<Phone>) {
    let mut inventory = Inventory::new();
    open_profile(&mut inventory);
    for (n, device) in devices().iter().enumerate() {
        add(&mut inventory, device, &dn(n));
    }
    let node = Builder::new().shards(2).inventory(&inventory).fixed_ports().faults().start();
    let mut phones = Vec::new();
    for (n, device) in devices().iter().enumerate() {
        phones.push(registered(node.phone(Transport::Udp, device, &dn(n))).await);
    }
    save(&node, json!({"transport": "tcp_udp", "nonce_validity_s": 300}));
    (node, phones)
}

fn versions(node: &Node) -> Vec<u64> {
    devices().iter().map(|d| view(node, d)["applied"]["version"].as_u64().expect("a version")).collect()
}

/// The path and body that begin it.
fn order(node: &Node, per_second: u32) -> (String, Value) {
    let path = format!("/security-profiles/{FLEET}/apply");
    let mut body = json!({"per_second": per_second, "gate": {"failed_percent": 100, "window_s": 1}});
    body["confirm"] =
        node.ask("POST", &path, Some(&body)).refused(428, "confirmation_required")["confirm"].clone();
    (path, body)
}

fn rollouts(node: &Node) -> Vec<Value> {
    node.ask("GET", "/rollouts", None).expect(200)["items"].as_array().expect("items").clone()
}

fn becomes(node: &Node, state: &str) -> Value {
    let mut last = Value::Null;
    wait::until(&format!("{state} roll-out"), || {
        last = rollouts(node).first().cloned().unwrap_or_default();
        (last["state"] == state).then(|| last.clone())
    })
}

fn dies(node: &mut Node) {
    wait::until("end of the node", || (!node.is_alive()).then_some(()));
    assert_eq!(node.wait_end(), None, "it was a signal");
}

/// What it says in the end: every phone was reached once, and what is not known is said.
fn all_have_it(node: &Node, point: &str) {
    let done = becomes(node, "finished");
    let count = |name: &str| done["phones"][name].as_u64().expect("a count");
    assert_eq!((count("total"), count("left")), (PHONES as u64, 0), "{point}: {done:#}");
    assert_eq!(versions(node), [2; PHONES], "{point}");
    // A phone that was signalled is back, has failed, or was told before the end of the process.
    let settled =
        count("confirmed") + count("unknown") + done["failures"]["silent"].as_u64().expect("a count");
    assert_eq!(settled, count("signalled"), "{point}: {done:#}");
}

fn begun_and_cut_off(point: &'static str) {
    wait::run(async {
        let (mut node, _phones) = pending().await;
        let (path, body) = order(&node, 20);
        node.fault(&format!("{point}=abort"));
        try_ask(&node, ("POST", &path, Some(&body)), &[]);
        dies(&mut node);
        node.start();
        assert!(versions(&node).iter().all(|v| matches!(v, 1 | 2)), "{point}");
        // The row of a roll-out is its first commit.
        let begun = !rollouts(&node).is_empty();
        assert_eq!(begun, point != "writer.before_commit@intents", "{point}");
        if !begun {
            assert_eq!(versions(&node), [1; PHONES], "{point}");
            let (path, body) = order(&node, 20);
            node.ask("POST", &path, Some(&body)).expect(202);
        }
        all_have_it(&node, point);
    });
}

/// An order is stored before it is answered: afterwards it is as ordered, or as before.
fn ordered_and_cut_off(point: &'static str) {
    wait::run(async {
        for (order_to, then, state) in [("pause", "running", "paused"), ("stop", "paused", "stopped")] {
            let (mut node, _phones) = pending().await;
            let (path, body) = order(&node, 1);
            let id = node.ask("POST", &path, Some(&body)).expect(202)["id"].clone();
            if then == "paused" {
                node.ask("POST", &format!("/rollouts/{id}/pause"), Some(&json!({}))).expect(200);
            }
            node.fault(&format!("{point}=abort"));
            try_ask(&node, ("POST", &format!("/rollouts/{id}/{order_to}"), Some(&json!({}))), &[]);
            dies(&mut node);
            node.start();
            let found = rollouts(&node)[0]["state"].clone();
            // A roll-out writes by itself too: that may have been what the process did not outlive.
            let obeyed = point.contains("after") && found == state;
            assert!(obeyed || found == then, "{point}, {order_to}: {found}");
            match found.as_str() {
                Some("paused") => {
                    node.ask("POST", &format!("/rollouts/{id}/resume"), Some(&json!({}))).expect(200);
                    all_have_it(&node, point);
                }
                Some("running") => all_have_it(&node, point),
                _ => assert!(versions(&node).iter().all(|v| matches!(v, 1 | 2)), "{point}"),
            }
        }
    });
}

#[test]
fn a_roll_out_that_the_process_does_not_outlive_was_never_begun_or_goes_on() {
    let _turn = HEAVY.lock();
    let begun = [
        "writer.before_commit@intents",
        "writer.after_commit@intents",
        "rollout.tick",
        "writer.before_commit@phones",
        "writer.after_commit@phones",
        "shard.before_publish",
        "rollout.stored",
    ];
    let ordered = ["writer.before_commit@intents", "writer.after_commit@intents"];
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if let Some(point) = begun.get(at) {
                        begun_and_cut_off(point);
                    } else if let Some(point) = ordered.get(at - begun.len()) {
                        ordered_and_cut_off(point);
                    } else {
                        break;
                    }
                }
            });
        }
    });
}

/// The actor of a roll-out panics again and again: it goes on where it was, and every phone gets the version.
#[test]
fn a_roll_out_that_panics_goes_on_where_it_was() {
    wait::run(async {
        let (node, _phones) = pending().await;
        let (path, body) = order(&node, 20);
        node.fault("rollout.tick=panic,skip=2,times=2;rollout.stored=panic,skip=1");
        node.ask("POST", &path, Some(&body)).expect(202);
        all_have_it(&node, "panics");
        assert_eq!(node.metric("keyline_actor_restarts_total", "rollout"), 3.0);
        // The thread of the roll-outs serves the next one too.
        node.fault("");
        save(&node, json!({"transport": "tcp_udp", "nonce_validity_s": 400}));
        let (path, body) = order(&node, 20);
        node.ask("POST", &path, Some(&body)).expect(202);
        wait::until("the end of both", || {
            let all = rollouts(&node);
            (all.len() == 2 && all.iter().all(|r| r["state"] == "finished")).then_some(())
        });
        assert_eq!(versions(&node), [3; PHONES]);
    });
}

/// One that does nothing but panic holds, says why, and can be resumed.
#[test]
fn a_roll_out_that_does_nothing_but_panic_holds_until_it_is_resumed() {
    wait::run(async {
        let (node, _phones) = pending().await;
        let (path, body) = order(&node, 20);
        node.fault("rollout.tick=panic,times=0");
        let id = node.ask("POST", &path, Some(&body)).expect(202)["id"].clone();
        let held = becomes(&node, "gated");
        assert!(held["reason"].as_str().is_some_and(|r| !r.is_empty()), "{held:#}");
        node.fault("");
        node.ask("POST", &format!("/rollouts/{id}/resume"), Some(&json!({}))).expect(200);
        all_have_it(&node, "resumed");
    });
}
