//! Reliable provisionals (RFC 3262) and offers before the answer (RFC 3311), over sockets.

use keyline_tests::client::sipp::Run;
use keyline_tests::node::Node;
use keyline_tests::raw::{Dialog, Raw};
use keyline_tests::sip::{Line, audio};
use keyline_tests::wait;
use keyline_wire::sip::{HeaderName, Message};

use crate::common::raw_node;

on_shards!(
    reliable_provisionals_are_bridged_leg_by_leg,
    a_caller_that_requires_them_reaches_a_phone_that_does_not,
    a_late_offer_is_answered_in_prack,
    early_offers_pass_as_update,
    sipp_acknowledges_and_is_acknowledged
);

const KNOWS: (&str, &str) = ("Supported", "100rel");
const ALLOW: (&str, &str) = ("Allow", "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE");

fn phones(node: &Node) -> (Raw, Raw) {
    (Raw::register("1001", Line::udp(node.udp())), Raw::register("1002", Line::tcp(node.tcp())))
}

fn rseq(m: &Message<'_>) -> String {
    assert!(m.lists(HeaderName::Require, "100rel"), "{m:?}");
    m.first(HeaderName::Rseq).expect("RSeq").to_owned()
}

fn port(m: &Message<'_>) -> u16 {
    keyline_wire::sdp::parse(m.body()).expect("SDP").media[0].port
}

/// A reliable 183 of the phone with that SDP.
fn progress(b: &mut Raw, rung: &Message<'_>, number: &str, sdp: &str) {
    b.answer(rung, 183, &[("Require", "100rel"), ("RSeq", number), KNOWS, ALLOW], sdp);
}

/// The caller acknowledges a reliable provisional.
fn prack(a: &mut Raw, dialog: &mut Dialog, told: &Message<'_>, sdp: Option<&str>) -> Message<'static> {
    let mut prack = dialog.request("PRACK").header("RAck", &format!("{} 1 INVITE", rseq(told)));
    prack.body = sdp.map(|s| ("application/sdp".into(), s.into()));
    a.send(&prack);
    a.status("PRACK", 200)
}

/// The phone answers and the caller hangs up.
fn talk(a: &mut Raw, b: &mut Raw, rung: &Message<'_>, dialog: &mut Dialog, sdp: &str) -> Message<'static> {
    b.answer(rung, 200, &[KNOWS, ALLOW], sdp);
    let ok = a.status("INVITE", 200);
    a.send(&dialog.ack());
    b.expect("ACK");
    a.send(&dialog.request("BYE"));
    let bye = b.expect("BYE");
    b.answer(&bye, 200, &[], "");
    ok
}

fn reliable_provisionals_are_bridged_leg_by_leg(shards: u16) {
    let node = raw_node(shards);
    let (mut a, mut b) = phones(&node);
    let invite = a.invite("1002", &audio(40_000)).header(KNOWS.0, KNOWS.1).header(ALLOW.0, ALLOW.1);
    a.send(&invite);
    let rung = b.expect("INVITE");
    assert!(rung.lists(HeaderName::Supported, "100rel"));
    progress(&mut b, &rung, "4711", &audio(40_002));
    let own = b.expect("PRACK");
    assert_eq!(
        own.first(HeaderName::Rack),
        Some(format!("4711 {} INVITE", rung.cseq().unwrap().number).as_str())
    );
    b.answer(&own, 200, &[], "");
    let told = a.status("INVITE", 183);
    assert_eq!(port(&told), 40_002);
    let again = a.status("INVITE", 183);
    assert_eq!(rseq(&told), rseq(&again), "repeated until the PRACK");
    // The phone answers: its 200 waits for the caller's PRACK.
    b.answer(&rung, 200, &[KNOWS, ALLOW], &audio(40_002));
    let mut dialog = Dialog::of(&invite, &told);
    let mut wrong = dialog.request("PRACK").header("RAck", "1 1 INVITE");
    wrong.body = None;
    a.send(&wrong);
    a.status("PRACK", 481);
    prack(&mut a, &mut dialog, &told, None);
    let ok = a.status("INVITE", 200);
    assert_eq!(ok.to_tag(), told.to_tag());
    a.send(&dialog.ack());
    b.expect("ACK");
    a.send(&dialog.request("BYE"));
    b.expect("BYE");
}

fn a_caller_that_requires_them_reaches_a_phone_that_does_not(shards: u16) {
    let node = raw_node(shards);
    let (mut a, mut b) = phones(&node);
    let invite = a.invite("1002", &audio(40_000)).header("Require", "100rel").header(KNOWS.0, KNOWS.1);
    a.send(&invite);
    let rung = b.expect("INVITE");
    assert!(rung.first(HeaderName::Require).is_none());
    b.answer(&rung, 180, &[], "");
    let told = a.status("INVITE", 180);
    let mut dialog = Dialog::of(&invite, &told);
    prack(&mut a, &mut dialog, &told, None);
    assert_eq!(port(&talk(&mut a, &mut b, &rung, &mut dialog, &audio(40_002))), 40_002);
}

fn a_late_offer_is_answered_in_prack(shards: u16) {
    let node = raw_node(shards);
    let (mut a, mut b) = phones(&node);
    let invite = a.invite("1002", "").header(KNOWS.0, KNOWS.1).header(ALLOW.0, ALLOW.1);
    a.send(&invite);
    let rung = b.expect("INVITE");
    progress(&mut b, &rung, "1", &audio(40_002));
    let told = a.status("INVITE", 183);
    assert_eq!(port(&told), 40_002);
    let mut dialog = Dialog::of(&invite, &told);
    prack(&mut a, &mut dialog, &told, Some(&audio(40_000)));
    let own = b.expect("PRACK");
    assert_eq!(port(&own), 40_000, "the caller's answer");
    b.answer(&own, 200, &[], "");
    assert!(talk(&mut a, &mut b, &rung, &mut dialog, "").body().is_empty());
}

fn early_offers_pass_as_update(shards: u16) {
    let node = raw_node(shards);
    let (mut a, mut b) = phones(&node);
    let invite = a.invite("1002", &audio(40_000)).header(KNOWS.0, KNOWS.1).header(ALLOW.0, ALLOW.1);
    a.send(&invite);
    let rung = b.expect("INVITE");
    // Before anything is settled: 500 with Retry-After to the caller (RFC 3311 §5.2).
    b.answer(&rung, 180, &[ALLOW], "");
    let told = a.status("INVITE", 180);
    let mut dialog = Dialog::of(&invite, &told);
    let mut update = dialog.request("UPDATE").header(ALLOW.0, ALLOW.1);
    update.body = Some(("application/sdp".into(), audio(41_000)));
    a.send(&update);
    assert!(a.status("UPDATE", 500).retry_after().is_some());
    progress(&mut b, &rung, "9", &audio(40_002));
    let own = b.expect("PRACK");
    b.answer(&own, 200, &[], "");
    let told = a.status("INVITE", 183);
    prack(&mut a, &mut dialog, &told, None);
    let mut update = dialog.request("UPDATE").header(ALLOW.0, ALLOW.1);
    update.body = Some(("application/sdp".into(), audio(41_000)));
    a.send(&update);
    let passed = b.expect("UPDATE");
    assert_eq!(port(&passed), 41_000);
    b.answer(&passed, 200, &[ALLOW], &audio(41_002));
    assert_eq!(port(&a.status("UPDATE", 200)), 41_002);
    // And the other way round.
    let mut update = b.back(&rung, "UPDATE", 70);
    update.body = Some(("application/sdp".into(), audio(42_002)));
    b.send(&update);
    let passed = a.expect("UPDATE");
    assert_eq!(port(&passed), 42_002);
    a.answer(&passed, 200, &[ALLOW], &audio(42_000));
    assert_eq!(port(&b.status("UPDATE", 200)), 42_000);
    talk(&mut a, &mut b, &rung, &mut dialog, &audio(40_002));
}

/// SIPp as both phones: a caller that requires 100rel and a callee that makes its 183 reliable.
fn sipp_acknowledges_and_is_acknowledged(shards: u16) {
    let node = raw_node(shards);
    let run = |scenario, dn| Run::new(scenario, "u1", node.udp()).key("dn", dn);
    let callee = run("callee_plain", "1002").out_of_call("callee_reliable").start();
    wait::until("the callee's registration", || {
        let all = node.registrations();
        all.iter().any(|r| r["aor"].as_str().is_some_and(|a| a.contains("1002"))).then_some(())
    });
    run("caller_reliable", "1001").key("peer", "1002").passes();
    wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    let log = callee.log();
    assert!(log.contains("PRACK sip:") && log.contains("RAck: 17 1 INVITE"), "{log}");
}
