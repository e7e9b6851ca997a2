//! Session timers (RFC 4028) on whole nodes: refreshed in time, fatal when a phone has vanished, kept over kill -9.

use keyline_tests::inventory::Inventory;
use keyline_tests::node::Node;
use keyline_tests::raw::{Dialog, Raw};
use keyline_tests::sip::{Line, audio};
use keyline_tests::wait;
use keyline_wire::sip::{HeaderName, Message};

use crate::common::{raw_builder, raw_node, raw_node_with};

on_shards!(
    a_phone_that_vanished_is_noticed_and_the_call_ended,
    sessions_are_refreshed_on_each_leg_by_itself,
    a_session_that_is_too_short_is_422,
    sessions_outlive_kill_9
);

/// Sessions of a few seconds, which RFC 4028 forbids outside of a laboratory.
fn short(rows: &mut Inventory) {
    rows.parameter("session_expires_s", 9).parameter("min_se_s", 3);
}

fn phones(node: &Node) -> (Raw, Raw) {
    let line = || Line::udp(node.udp());
    (Raw::register("1001", line()), Raw::register("1002", line()))
}

/// A call; the caller says that of sessions, the called phone answers with those headers.
fn call(a: &mut Raw, b: &mut Raw, ask: &[(&str, &str)], said: &[(&str, &str)]) -> (Dialog, Message<'static>) {
    let mut invite = a.invite("1002", &audio(40_000));
    for (name, value) in ask {
        invite.set(name, value);
    }
    a.send(&invite);
    let rung = b.expect("INVITE");
    assert!(rung.lists(HeaderName::Supported, "timer"), "{rung:?}");
    b.answer(&rung, 200, said, &audio(40_002));
    let ok = a.status("INVITE", 200);
    let dialog = Dialog::of(&invite, &ok);
    a.send(&dialog.ack());
    b.expect("ACK");
    (dialog, ok)
}

const KNOWS: [(&str, &str); 2] = [("Supported", "timer"), ("Allow", "INVITE, ACK, CANCEL, BYE, UPDATE")];

fn a_phone_that_vanished_is_noticed_and_the_call_ended(shards: u16) {
    let node = raw_node_with(shards, short);
    let (mut a, mut b) = phones(&node);
    // The called phone promises to refresh and never does, nor answers anything again.
    let said = [("Session-Expires", "9;refresher=uas"), ("Require", "timer"), KNOWS[1]];
    call(&mut a, &mut b, &KNOWS, &said);
    let bye = a.expect("BYE");
    a.answer(&bye, 200, &[], "");
    let bye = b.expect("BYE");
    b.answer(&bye, 200, &[], "");
    wait::until("end of all calls", || node.calls().is_empty().then_some(()));
}

fn sessions_are_refreshed_on_each_leg_by_itself(shards: u16) {
    let node = raw_node_with(shards, short);
    let (mut a, mut b) = phones(&node);
    let said = [("Session-Expires", "9;refresher=uac"), ("Require", "timer"), KNOWS[0], KNOWS[1]];
    // The caller knows no timer and no UPDATE: it gets its session description again.
    let (mut dialog, ok) = call(&mut a, &mut b, &[], &said);
    assert!(ok.session_expires().is_none(), "{ok:?}");
    let version = |m: &Message<'_>| keyline_wire::sdp::parse(m.body()).unwrap().origin.version.to_string();
    // Each phone answers by itself: either may be asked first.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                let again = a.expect("INVITE");
                assert_eq!(version(&again), version(&ok), "o= of an unchanged session stays (RFC 4028 §7.4)");
                a.answer(&again, 200, &[], &audio(40_000));
                a.expect("ACK");
            }
        });
        for _ in 0..2 {
            let update = b.expect("UPDATE");
            assert_eq!(update.session_expires().map(|s| (s.seconds, s.refresher_uac)), Some((9, Some(true))));
            b.answer(&update, 200, &said, "");
        }
    });
    assert_eq!(node.calls().len(), 1);
    a.send(&dialog.request("BYE"));
    b.expect("BYE");
}

fn a_session_that_is_too_short_is_422(shards: u16) {
    let node = raw_node(shards);
    let (mut a, mut b) = phones(&node);
    let invite =
        a.invite("1002", &audio(40_000)).header("Supported", "timer").header("Session-Expires", "89");
    a.send(&invite);
    let refused = a.status("INVITE", 422);
    assert_eq!(refused.first(HeaderName::MinSe), Some("90"));
    // Required and long enough: taken, and answered with the refresher that the caller named.
    let ask = [("Require", "timer"), ("Supported", "timer"), ("Session-Expires", "90;refresher=uac")];
    let (mut dialog, ok) = call(&mut a, &mut b, &ask, &[]);
    assert_eq!(ok.first(HeaderName::SessionExpires), Some("90;refresher=uac"));
    assert!(ok.lists(HeaderName::Require, "timer"));
    let update = dialog.request("UPDATE").header("Supported", "timer").header("Session-Expires", "10");
    a.send(&update);
    assert_eq!(a.status("UPDATE", 422).first(HeaderName::MinSe), Some("90"));
    let update =
        dialog.request("UPDATE").header("Supported", "timer").header("Session-Expires", "90;refresher=uac");
    a.send(&update);
    assert_eq!(a.status("UPDATE", 200).first(HeaderName::SessionExpires), Some("90;refresher=uac"));
    a.send(&dialog.request("BYE"));
    b.expect("BYE");
}

fn sessions_outlive_kill_9(shards: u16) {
    let mut node = raw_builder(shards, short).fixed_ports().start();
    let (mut a, mut b) = phones(&node);
    let said = [("Session-Expires", "9;refresher=uac"), ("Require", "timer"), KNOWS[0], KNOWS[1]];
    call(&mut a, &mut b, &KNOWS, &said);
    let update = b.expect("UPDATE");
    b.answer(&update, 200, &said, "");
    node.kill9_and_restart();
    let update = b.expect("UPDATE");
    assert_eq!(update.session_expires().map(|s| s.refresher_uac), Some(Some(true)));
    b.answer(&update, 200, &said, "");
}
