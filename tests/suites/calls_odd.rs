//! Calls with phones that answer as no standard allows: one clean refusal, and nothing is left behind.

use std::time::Duration;

use keyline_tests::node::Node;
use keyline_tests::raw::{Dialog, Raw};
use keyline_tests::sip::{Line, audio};
use keyline_tests::wait;

use crate::common::raw_node;

on_shards!(
    an_answer_with_other_m_lines_is_refused_once,
    an_answer_without_session_is_refused_once,
    an_answer_without_to_tag_is_refused_once,
    the_reason_of_a_bye_passes
);

fn phones(node: &Node) -> (Raw, Raw) {
    let line = || Line::udp(node.udp());
    (Raw::register("1001", line()), Raw::register("1002", line()))
}

/// The call is over everywhere: one final answer at the caller, ACK and BYE at the phone.
fn refused_once(node: &Node, a: &mut Raw, b: &mut Raw, status: u16) {
    a.status("INVITE", status);
    b.expect("ACK");
    let bye = b.expect("BYE");
    b.answer(&bye, 200, &[], "");
    wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    // What else comes now may only be the same refusal again, for the ACK that this phone owes.
    if let Some(more) = a.anything_within(Duration::from_millis(200)) {
        assert_eq!(more.status(), Some(status), "{more:?}");
    }
}

fn an_answer_with_other_m_lines_is_refused_once(shards: u16) {
    let node = raw_node(shards);
    let (mut a, mut b) = phones(&node);
    a.send(&a.invite("1002", &audio(40_000)));
    let rung = b.expect("INVITE");
    b.answer(&rung, 180, &[], "");
    let two = audio(40_002) + "m=video 40004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
    b.answer(&rung, 200, &[], &two);
    refused_once(&node, &mut a, &mut b, 488);
}

fn an_answer_without_session_is_refused_once(shards: u16) {
    let node = raw_node(shards);
    let (mut a, mut b) = phones(&node);
    a.send(&a.invite("1002", &audio(40_000)));
    let rung = b.expect("INVITE");
    b.answer(&rung, 200, &[], "");
    refused_once(&node, &mut a, &mut b, 502);
}

fn an_answer_without_to_tag_is_refused_once(shards: u16) {
    let node = raw_node(shards);
    let (mut a, mut b) = phones(&node);
    a.send(&a.invite("1002", &audio(40_000)));
    let rung = b.expect("INVITE");
    let mut text =
        String::from_utf8(keyline_tests::sip::respond(&b.line, &rung, 200, "x", Some(&audio(7)))).unwrap();
    text = text.replace(";tag=x", "");
    b.line.send(text.as_bytes());
    refused_once(&node, &mut a, &mut b, 502);
}

fn the_reason_of_a_bye_passes(shards: u16) {
    let node = raw_node(shards);
    let (mut a, mut b) = phones(&node);
    let invite = a.invite("1002", &audio(40_000));
    a.send(&invite);
    let rung = b.expect("INVITE");
    b.answer(&rung, 200, &[], &audio(40_002));
    let mut dialog = Dialog::of(&invite, &a.status("INVITE", 200));
    a.send(&dialog.ack());
    b.expect("ACK");
    a.send(&dialog.request("BYE").header("Reason", "Q.850;cause=16;text=\"Normal\""));
    let bye = b.expect("BYE");
    assert_eq!(bye.reasons().next().and_then(|r| r.cause), Some(16), "{bye:?}");
    b.answer(&bye, 200, &[], "");
    a.status("BYE", 200);
}
