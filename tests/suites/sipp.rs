//! SIPp registers and calls through the engine, with digest, over UDP and TCP.

use keyline_tests::client::sipp::Run;
use keyline_tests::inventory::{Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::wait;

use crate::common::{CALLEE, CALLER, callee_device, caller_device};

on_shards!(sipp_registers_and_calls_over_udp, sipp_registers_and_calls_over_tcp);

fn node(shards: u16) -> Node {
    let mut inventory = Inventory::new();
    inventory
        .md5_only()
        .digest_phone(&caller_device(shards), CALLER)
        .digest_phone(&callee_device(shards), CALLEE);
    Builder::new().shards(shards).inventory(&inventory).start()
}

fn run(scenario: &'static str, node: &Node, transport: &'static str, dn: &str) -> Run {
    let server = if transport == "u1" { node.udp() } else { node.tcp() };
    Run::new(scenario, transport, server).key("dn", dn).login(&user_of(dn), &password_of(dn))
}

fn call_over(shards: u16, transport: &'static str) {
    let node = node(shards);
    let callee = run("callee", &node, transport, CALLEE).out_of_call("callee_call").start();
    node.registered(&callee_device(shards));
    run("caller", &node, transport, CALLER).key("peer", CALLEE).passes();
    wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    assert!(callee.log().contains("BYE sip:"), "the callee saw the whole call:\n{}", callee.log());
}

fn sipp_registers_and_calls_over_udp(shards: u16) {
    call_over(shards, "u1");
}

fn sipp_registers_and_calls_over_tcp(shards: u16) {
    call_over(shards, "t1");
}

#[test]
fn sipp_registers_many_times() {
    let node = node(2);
    // Fifty registrations of one line, thirty a second: each has a Call-ID of its own.
    run("register", &node, "u1", CALLER).arguments(&["-m", "50", "-r", "30"]).passes();
    assert!(!node.registrations_of(&caller_device(2)).is_empty());
}

#[test]
fn sipp_with_a_wrong_password_is_refused() {
    let node = node(1);
    let mut run =
        Run::new("register", "u1", node.udp()).key("dn", CALLER).login(&user_of(CALLER), "Wrong").start();
    assert_ne!(run.program.ends(), Some(0));
    assert!(node.registrations().is_empty());
}

/// The callee registers and does with each call what its scenario says; the caller registers and runs its
/// own, `more` times.
fn calls(shards: u16, caller: &'static str, callee: &'static str, more: &[&str]) -> Node {
    let node = node(shards);
    let _callee = run("callee", &node, "u1", CALLEE).out_of_call(callee).start();
    node.registered(&callee_device(shards));
    run("register", &node, "u1", CALLER).passes();
    run(caller, &node, "u1", CALLER).key("peer", CALLEE).arguments(more).passes();
    wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    node
}

on_shards!(sipp_cancels, sipp_meets_a_busy_phone, sipp_holds_and_resumes);

fn sipp_cancels(shards: u16) {
    calls(shards, "caller_cancel", "ringing_call", &["-m", "20", "-r", "20"]);
}

fn sipp_meets_a_busy_phone(shards: u16) {
    calls(shards, "caller_busy", "busy_call", &["-m", "20", "-r", "20"]);
}

fn sipp_holds_and_resumes(shards: u16) {
    calls(shards, "caller_hold", "held_call", &["-m", "10", "-r", "10"]);
}

#[test]
fn sipp_makes_two_thousand_calls_at_a_hundred_a_second_and_none_fails() {
    let node = calls(2, "caller_talk", "callee_call", &["-m", "2000", "-r", "100", "-l", "1000"]);
    assert_eq!(node.metric("keyline_call_answered_total", ""), 2_000.0);
}
