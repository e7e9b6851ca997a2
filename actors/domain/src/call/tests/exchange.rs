//! re-INVITE, UPDATE, glare, new keys.

use super::world::*;
use crate::call::*;
use crate::media::Direction::*;

#[test]
fn hold_and_resume_pass_both_ways() {
    for (from, to) in [(A, B), (B, A)] {
        let mut w = World::connected();
        for (offer, answer) in [(SendOnly, RecvOnly), (SendRecv, SendRecv)] {
            let tx = w.request(from, Method::Invite, Some(srtp_hold("offer", offer)));
            assert_eq!(w.sends(), [(to, Method::Invite, "offer".into())]);
            w.answer(to, "x", Some(srtp_hold("answer", answer)));
            assert_eq!(w.replies(), [(tx, 200, "answer".into())]);
            assert_eq!(w.acks().len(), 1);
            w.ack_last(from, None);
            assert!(w.last.iter().any(|e| matches!(e, Effect::StopRepeat { tx: t } if *t == tx)));
            assert!(w.sends().is_empty() && w.replies().is_empty() && w.acks().is_empty());
        }
        assert!(w.call.row().is_some());
    }
}

#[test]
fn a_late_offer_re_invite_is_answered_in_the_ack() {
    let mut w = World::connected();
    let tx = w.request(A, Method::Invite, None);
    assert_eq!(w.sends(), [(B, Method::Invite, String::new())]);
    w.answer(B, "b", Some(srtp("offer B2")));
    assert_eq!(w.replies(), [(tx, 200, "offer B2".into())]);
    assert!(w.acks().is_empty());
    w.ack_last(A, Some(srtp("answer A2")));
    assert_eq!(w.acks(), [(B, "b".into(), 2, "answer A2".into())]);
}

#[test]
fn a_refused_re_invite_keeps_the_session() {
    for (status, shown) in [(488, 488), (401, 500), (503, 500), (491, 491)] {
        let mut w = World::connected();
        let tx = w.request(A, Method::Invite, Some(srtp("offer A2")));
        w.invite_response(B, status, "b", None);
        assert_eq!(w.replies(), [(tx, shown, String::new())]);
        assert!(w.call.row().is_some());
        let again = w.request(A, Method::Invite, Some(srtp("offer A3")));
        w.answer(B, "b", Some(srtp("answer B3")));
        assert_eq!(w.reply_to(again).status, 200);
    }
}

#[test]
fn r_408_and_481_to_a_re_invite_end_the_call() {
    for status in [408, 481] {
        let mut w = World::connected();
        let tx = w.request(A, Method::Invite, Some(srtp("offer A2")));
        w.invite_response(B, status, "b", None);
        assert!(w.reply_to(tx).status >= 400);
        assert!(w.sends().contains(&(A, Method::Bye, String::new())));
        w.bye_done(A);
        if status == 408 {
            w.bye_done(B);
        }
        assert_eq!(w.finished, Some(End::LegLost));
    }
}

#[test]
fn glare_is_491_on_both_sides() {
    let mut w = World::connected();
    let first = w.request(A, Method::Invite, Some(srtp("offer A2")));
    let second = w.request(B, Method::Invite, Some(srtp("offer B2")));
    assert_eq!(w.replies(), [(second, 491, String::new())]);
    w.invite_response(B, 491, "b", None);
    assert_eq!(w.replies(), [(first, 491, String::new())]);
    assert!(w.call.row().is_some());
}

#[test]
fn a_second_re_invite_before_the_first_is_answered_is_500() {
    let mut w = World::connected();
    w.request(A, Method::Invite, Some(srtp("offer A2")));
    let second = w.request(A, Method::Invite, Some(srtp("offer A3")));
    let reply = w.reply_to(second);
    assert_eq!(reply.status, 500);
    let after: u32 = reply.headers[0].value.parse().unwrap();
    assert!(after <= 10);
}

#[test]
fn a_re_invite_before_the_ack_waits_and_is_then_passed_on() {
    let mut w = World::secure(1);
    w.answer(B, "b", Some(srtp("answer B")));
    let tx = w.request(B, Method::Invite, Some(srtp("offer B2")));
    assert!(w.sends().is_empty() && w.replies().is_empty());
    let second = w.request(B, Method::Invite, Some(srtp("offer B3")));
    assert_eq!(w.reply_to(second).status, 491, "one waits, not many");
    w.ack(A, 101, None);
    assert_eq!(w.sends(), [(A, Method::Invite, "offer B2".into())]);
    w.answer(A, "r0", Some(srtp("answer A2")));
    assert_eq!(w.replies(), [(tx, 200, "answer A2".into())]);
}

#[test]
fn a_waiting_re_invite_is_cancelled_or_ended() {
    let mut w = World::secure(1);
    w.answer(B, "b", Some(srtp("answer B")));
    let tx = w.request(B, Method::Invite, Some(srtp("offer B2")));
    w.on(Input::Cancel { tx, headers: Headers::new() });
    assert_eq!(w.replies(), [(tx, 487, String::new())]);
    let tx = w.request(B, Method::Invite, Some(srtp("offer B3")));
    w.on(Input::Release);
    assert_eq!(w.replies(), [(tx, 487, String::new())]);
}

#[test]
fn cancel_of_a_re_invite_is_passed_on_and_its_answer_too() {
    let mut w = World::connected();
    let tx = w.request(A, Method::Invite, Some(srtp("offer A2")));
    w.on(Input::Cancel { tx, headers: Headers::new() });
    assert!(w.cancels().is_empty(), "no provisional yet");
    w.invite_response(B, 100, "", None);
    assert_eq!(w.cancels(), [B]);
    w.invite_response(B, 487, "b", None);
    assert_eq!(w.replies(), [(tx, 487, String::new())]);

    let tx = w.request(A, Method::Invite, Some(srtp("offer A3")));
    w.invite_response(B, 180, "b", None);
    w.on(Input::Cancel { tx, headers: Headers::new() });
    w.fire(TimerKind::CancelWait(B));
    assert_eq!(w.replies(), [(tx, 487, String::new())], "no final came");
    assert!(w.call.row().is_some());
}

#[test]
fn bye_during_a_re_invite_leaves_nothing_open() {
    let mut w = World::connected();
    let tx = w.request(A, Method::Invite, Some(srtp("offer A2")));
    let token = w.token(B, Method::Invite);
    let bye = w.request(A, Method::Bye, None);
    assert_eq!((w.reply_to(bye).status, w.reply_to(tx).status), (200, 487));
    w.respond(token, 200, "b", Some(srtp("answer B2")));
    assert_eq!(w.acks().len(), 1, "a 2xx is acknowledged whatever happens");
    w.bye_done(B);
    assert_eq!(w.finished, Some(End::Bye));
}

#[test]
fn target_refresh_follows_contact() {
    let mut w = World::connected();
    w.request(A, Method::Invite, Some(srtp("offer A2")));
    w.answer(B, "moved", Some(srtp("answer B2")));
    w.ack_last(A, None);
    let row = w.call.row().unwrap();
    assert_eq!(&*row.callee.dialog.remote_target, "sip:moved@192.0.2.99");
    assert_eq!(row.callee.dialog.remote_tag.as_deref(), Some("b"), "the tag never changes");
}

#[test]
fn update_passes_as_update_or_as_re_invite() {
    let mut w = World::connected();
    let bare = w.request(A, Method::Update, None);
    assert_eq!(w.replies(), [(bare, 200, String::new())]);
    let tx = w.request(A, Method::Update, Some(srtp("offer A2")));
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A2".into())], "B never allowed UPDATE");
    w.answer(B, "b", Some(srtp("answer B2")));
    assert_eq!(w.replies(), [(tx, 200, "answer B2".into())]);
    assert_eq!(w.acks().len(), 1);

    let mut start = args(secure(0), vec![target(1, 1000, secure(1))], Some(srtp("offer A")));
    start.targets[0].peer.update = true;
    let mut w = World::start(start);
    w.connect();
    let tx = w.request(A, Method::Update, Some(srtp("offer A2")));
    assert_eq!(w.sends(), [(B, Method::Update, "offer A2".into())]);
    let token = w.token(B, Method::Update);
    w.respond(token, 405, "b", None);
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A2".into())], "it did not after all");
    w.answer(B, "b", Some(srtp("answer B2")));
    assert_eq!(w.replies(), [(tx, 200, "answer B2".into())]);
}

#[test]
fn new_keys_come_from_a_fresh_offer_of_one_leg_answered_by_the_other() {
    let mut w = World::connected();
    w.on(Input::Rekey);
    assert_eq!(w.sends(), [(A, Method::Invite, String::new())], "no SDP: nothing old is offered again");
    w.answer(A, "r0", Some(srtp("fresh A")));
    assert_eq!(w.sends(), [(B, Method::Invite, "fresh A".into())]);
    assert!(w.acks().is_empty());
    w.answer(B, "b", Some(srtp("fresh B")));
    assert_eq!(w.acks().iter().map(|a| (a.0, &*a.3)).collect::<Vec<_>>(), [(B, ""), (A, "fresh B")]);
    assert_eq!(w.class(), Some(crate::mode::SecurityClass::Encrypted));
}

#[test]
fn new_keys_that_meet_glare_are_tried_again() {
    let mut w = World::connected();
    w.on(Input::Rekey);
    w.invite_response(A, 491, "r0", None);
    w.on(Input::Rekey);
    assert!(w.sends().is_empty(), "not before the timer");
    w.fire(TimerKind::Glare);
    assert_eq!(w.sends(), [(A, Method::Invite, String::new())]);
    w.answer(A, "r0", Some(srtp("fresh A")));
    w.invite_response(B, 491, "b", None);
    assert_eq!(
        w.acks().iter().map(|a| (a.0, &*a.3)).collect::<Vec<_>>(),
        [(A, "answer B")],
        "the old session"
    );
    let after = w.last.iter().find_map(|e| match e {
        Effect::Arm { timer: TimerKind::Glare, after_ms, .. } => Some(*after_ms),
        _ => None,
    });
    assert!((2100..=4000).contains(&after.unwrap()), "the Call-ID of the called leg is ours");
    w.fire(TimerKind::Glare);
    assert_eq!(w.sends(), [(A, Method::Invite, String::new())]);
}

#[test]
fn an_old_timer_does_nothing() {
    let mut w = World::connected();
    w.on(Input::Timer { timer: TimerKind::NoAnswer, generation: 2 });
    w.on(Input::Timer { timer: TimerKind::Linger, generation: 99 });
    assert!(w.last.is_empty() && w.call.row().is_some());
}

#[test]
fn a_late_re_offer_with_keys_does_not_cross_to_a_phone_without_tls() {
    let mut w = World::start(args(plain(0), vec![target(1, 1000, secure(1))], Some(rtp("offer A"))));
    w.answer(B, "b", Some(rtp("answer B")));
    w.ack(A, 101, None);
    let tx = w.request(A, Method::Invite, None);
    w.answer(B, "b", Some(srtp("offer B2")));
    assert_eq!(w.replies(), [(tx, 488, String::new())]);
    assert_eq!(w.acks(), [(B, "b".into(), 2, "offer A".into())], "B keeps what was in force");
    let tx = w.request(A, Method::Invite, Some(srtp("offer A2")));
    assert_eq!(w.reply_to(tx).status, 488);
    assert!(w.call.row().is_some());
}

#[test]
fn the_wait_of_an_old_cancel_does_not_touch_a_new_re_invite() {
    let mut w = World::connected();
    let tx = w.request(A, Method::Invite, Some(srtp("offer A2")));
    w.invite_response(B, 180, "b", None);
    w.on(Input::Cancel { tx, headers: Headers::new() });
    w.invite_response(B, 487, "b", None);
    w.request(A, Method::Invite, Some(srtp("offer A3")));
    w.fire(TimerKind::CancelWait(B));
    assert!(w.last.is_empty(), "{:?}", w.last);
}
