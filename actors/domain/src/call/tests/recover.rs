//! Journal, rebuilding, lost connections, faults.

use super::world::*;
use crate::call::*;
use crate::flow::Flow;
use crate::ids::UnixMillis;
use crate::mode::SecurityClass;

fn journal(w: &World) -> DialogRow {
    let row = |e: &Effect| match e {
        Effect::Journal(row) => Some((**row).clone()),
        _ => None,
    };
    w.all.iter().rev().find_map(row).expect("the answer is journaled")
}

fn rebuilt(row: DialogRow) -> World {
    let (call, effects) = Call::from_row(row, Env { now: UnixMillis(5000), tags: &tags });
    let mut w = World::around(call);
    w.take(effects);
    w
}

fn stored(row: &DialogRow) -> DialogRow {
    serde_json::from_str(&serde_json::to_string(row).unwrap()).unwrap()
}

#[test]
fn nothing_is_journaled_before_the_answer() {
    let mut w = World::secure(1);
    w.ringing(B, "b");
    assert!(!w.all.iter().any(|e| matches!(e, Effect::Journal(_))));
    assert!(w.call.row().is_none());
}

#[test]
fn a_rebuilt_call_goes_on() {
    let mut w = World::connected();
    w.request(A, Method::Invite, Some(srtp("offer A2")));
    w.answer(B, "moved", Some(srtp("answer B2")));
    w.ack_last(A, None);
    let row = journal(&w);
    assert_eq!(Some(&row), w.call.row().as_ref(), "the last row is the present state");
    w.request(A, Method::Info, None);
    let sent_before = w.sent(B, Method::Info).unwrap().dialog.local_cseq;
    assert!(sent_before > row.callee.dialog.local_cseq, "not every request is journaled");

    let mut w = rebuilt(row);
    assert_eq!(w.class(), Some(SecurityClass::Encrypted));
    w.cseq = 300;
    let tx = w.request(A, Method::Invite, Some(srtp("offer A3")));
    let sent = w.sent(B, Method::Invite).unwrap();
    assert!(sent.dialog.local_cseq > sent_before);
    assert_eq!(&*sent.dialog.remote_target, "sip:moved@192.0.2.99");
    w.answer(B, "b", Some(srtp("answer B3")));
    assert_eq!(w.reply_to(tx).status, 200);
    w.ack_last(A, None);
    w.request(B, Method::Bye, None);
    w.bye_done(A);
    assert_eq!(w.finished, Some(End::Bye));
}

#[test]
fn after_a_restart_streams_are_lost_until_the_phones_come_back() {
    let row = stored(&journal(&World::connected()));
    assert_eq!(row.caller.flow, lost(0));
    let mut w = rebuilt(row.clone());
    assert_eq!(w.class(), Some(SecurityClass::NonSecure), "no connection proves anything");
    for leg in [0, 1] {
        let facts = Box::new(secure(leg));
        w.on(Input::TargetBack { flow: stream(leg, 9), contact: "sip:x@h".into(), facts });
    }
    assert_eq!(w.class(), Some(SecurityClass::Encrypted));
    w.request(A, Method::Bye, None);
    assert_eq!(w.sent(B, Method::Bye).unwrap().flow, stream(1, 9));

    let mut w = rebuilt(row);
    w.fire(TimerKind::FlowWait(A));
    assert_eq!(w.finished, Some(End::LegLost), "neither can hear a BYE");
}

#[test]
fn datagram_flows_outlive_a_restart() {
    let mut row = journal(&World::connected());
    let udp = Flow::Udp { local: remote(9), remote: remote(1) };
    row.callee.flow = udp;
    assert_eq!(stored(&row).callee.flow, udp);
}

#[test]
fn a_row_holds_no_sdp() {
    let w = World::connected();
    let json = serde_json::to_string(&journal(&w)).unwrap();
    assert!(!json.contains("answer B") && !json.contains("offer A"));
    assert!(json.len() < 4096, "{} bytes", json.len());
}

#[test]
fn a_lost_connection_is_waited_for() {
    let mut w = World::connected();
    w.on(Input::FlowLost { flow: stream(1, 1) });
    assert_eq!(w.class(), Some(SecurityClass::NonSecure));
    let tx = w.request(A, Method::Invite, Some(srtp("offer A2")));
    assert_eq!((w.sends(), w.replies()), (Vec::new(), Vec::new()), "it waits");
    let info = w.request(A, Method::Info, None);
    assert_eq!(w.reply_to(info).status, 480);
    w.on(Input::TargetBack { flow: stream(1, 2), contact: "sip:b@h".into(), facts: Box::new(secure(1)) });
    assert_eq!(w.sent(B, Method::Invite).unwrap().flow, stream(1, 2));
    w.answer(B, "b", Some(srtp("answer B2")));
    assert_eq!(w.reply_to(tx).status, 200);
    assert_eq!(w.class(), Some(SecurityClass::Encrypted));
    w.on(Input::FlowLost { flow: stream(1, 1) });
    assert_eq!(w.class(), Some(SecurityClass::Encrypted), "the old connection is of no interest");

    let mut w = World::connected();
    w.on(Input::FlowLost { flow: stream(1, 1) });
    let tx = w.request(A, Method::Invite, Some(srtp("offer A2")));
    w.fire(TimerKind::FlowWait(B));
    assert_eq!(w.reply_to(tx).status, 487);
    assert_eq!(w.sends(), [(A, Method::Bye, String::new())]);
    w.bye_done(A);
    assert_eq!(w.finished, Some(End::LegLost));
}

#[test]
fn an_early_call_is_aborted() {
    let mut w = World::secure(2);
    w.ringing(B, "b");
    let effects = w.call.abort();
    w.take(effects);
    assert_eq!(w.replies(), [(INVITE, 500, String::new())]);
    // Also where nothing was heard: the step that failed may have been the one that would have told.
    assert_eq!(w.cancels(), [B, C]);
    assert_eq!(w.finished, Some(End::Aborted));
    assert!(w.call.abort().is_empty());
}

#[test]
fn an_answered_call_is_aborted_with_bye() {
    let mut w = World::connected();
    w.request(A, Method::Invite, Some(srtp("offer A2")));
    let effects = w.call.abort();
    w.take(effects);
    let byes = w.sends().iter().filter(|s| s.1 == Method::Bye).count();
    assert_eq!(byes, 2);
    assert_eq!(w.finished, Some(End::Aborted));
}

#[test]
fn a_rebuilt_call_leaves_no_request_of_the_broken_one_open() {
    let mut w = World::connected();
    let row = journal(&w);
    let offer = w.request(A, Method::Invite, Some(srtp("offer A2")));
    let info = w.request(B, Method::Info, None);
    let effects = w.call.salvage();
    w.take(effects);
    assert_eq!((w.reply_to(offer).status, w.reply_to(info).status), (500, 500));
    assert!(w.open.is_empty() && w.finished.is_none() && w.sends().is_empty());

    let mut next = rebuilt(row);
    next.cseq = 300;
    next.request(A, Method::Bye, None);
    assert_eq!(next.sends(), [(B, Method::Bye, String::new())]);
}

#[test]
fn an_unacknowledged_answer_is_aborted_too() {
    let mut w = World::secure(1);
    w.answer(B, "b", Some(srtp("answer B")));
    let effects = w.call.abort();
    w.take(effects);
    assert_eq!(w.sends().len(), 2, "BYE to both");
    assert!(w.last.iter().any(|e| matches!(e, Effect::StopRepeat { tx: INVITE })));
}

#[test]
fn cseq_numbers_are_journaled_before_the_gap_is_used_up() {
    let mut w = World::connected();
    for _ in 0..300 {
        w.request(A, Method::Info, None);
        let token = w.token(B, Method::Info);
        w.respond(token, 200, "b", None);
        let ahead = w.sent(B, Method::Info).unwrap().dialog.local_cseq - journal(&w).callee.dialog.local_cseq;
        assert!(ahead < 100, "{ahead}");
    }
}
