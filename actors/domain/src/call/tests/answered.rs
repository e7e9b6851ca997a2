//! After the answer: hanging up, order of requests, INFO, OPTIONS.

use super::world::*;
use crate::call::*;

#[test]
fn either_side_hangs_up() {
    for (from, to) in [(A, B), (B, A)] {
        let mut w = World::connected();
        let bye = w.request(from, Method::Bye, None);
        assert_eq!(w.replies(), [(bye, 200, String::new())]);
        assert_eq!(w.sends(), [(to, Method::Bye, String::new())]);
        assert_eq!(w.finished, None, "the other phone has not answered");
        let dialog = DialogId {
            call_id: format!("cid-{}", from.0).into(),
            local_tag: tags(from.0),
            remote_tag: if from == A { "r0".into() } else { "b".into() },
        };
        let late = w.request_in(dialog, Method::Bye, 999, None);
        assert_eq!(w.reply_to(late).status, 481, "its dialog is over");
        w.bye_done(to);
        assert_eq!(w.finished, Some(End::Bye));
    }
}

#[test]
fn a_third_phone_that_knows_the_dialog_ends_nothing() {
    let mut w = World::connected();
    for from in [A, B] {
        let dialog = w.dialog(from);
        let bye = w.request_from(secure(9).device, dialog, Method::Bye, 500, None);
        assert_eq!(w.reply_to(bye).status, 403);
        assert_eq!(w.finished, None);
    }
    let own = w.request(A, Method::Bye, None);
    assert_eq!(w.reply_to(own).status, 200, "the forged CSeq number counted for nothing");
}

#[test]
fn byes_that_cross_are_both_answered() {
    let mut w = World::connected();
    w.request(A, Method::Bye, None);
    let dialog = DialogId { call_id: "cid-1".into(), local_tag: "l1".into(), remote_tag: "b".into() };
    let bye = w.request_in(dialog, Method::Bye, 1, None);
    assert_eq!(w.reply_to(bye).status, 200);
    assert_eq!(w.finished, Some(End::Bye));
}

#[test]
fn a_bye_that_nobody_answers_does_not_keep_the_call() {
    let mut w = World::connected();
    w.request(A, Method::Bye, None);
    let token = w.token(B, Method::Bye);
    w.on(Input::Failed { token, failure: Failure::Timeout });
    assert_eq!(w.finished, Some(End::Bye));

    let mut w = World::connected();
    w.request(A, Method::Bye, None);
    w.fire(TimerKind::Linger);
    assert!(w.last.iter().any(|e| matches!(e, Effect::Forget { .. })));
    assert_eq!(w.finished, Some(End::Bye));
}

#[test]
fn bye_to_the_caller_waits_for_its_ack() {
    let mut w = World::secure(1);
    w.answer(B, "b", Some(srtp("answer B")));
    let dialog = w.dialog(A);
    w.request(B, Method::Bye, None);
    assert!(w.sends().is_empty(), "RFC 3261 15: not before the ACK");
    let stranger = Input::Ack { dialog: dialog.clone(), cseq: 101, source: remote(9).ip(), body: None };
    w.on(stranger);
    assert!(w.sends().is_empty(), "an ACK from another address is nobody's");
    w.on(Input::Ack { dialog, cseq: 101, source: remote(0).ip(), body: None });
    assert_eq!(w.sends(), [(A, Method::Bye, String::new())]);
    w.bye_done(A);
    assert_eq!(w.finished, Some(End::Bye));
}

#[test]
fn a_missing_ack_ends_the_call() {
    let mut w = World::secure(1);
    w.answer(B, "b", Some(srtp("answer B")));
    w.on(Input::AckTimeout { tx: INVITE });
    let mut sends = w.sends();
    sends.sort_by_key(|s| s.0);
    assert_eq!(sends, [(A, Method::Bye, String::new()), (B, Method::Bye, String::new())]);
    w.bye_done(A).bye_done(B);
    assert_eq!(w.finished, Some(End::LegLost));
}

#[test]
fn requests_out_of_order_are_500() {
    let mut w = World::connected();
    let dialog = w.dialog(A);
    let ok = w.request_in(dialog.clone(), Method::Options, 150, None);
    assert_eq!(w.reply_to(ok).status, 200);
    for cseq in [150, 149, 101, 1] {
        let low = w.request_in(dialog.clone(), Method::Bye, cseq, None);
        assert_eq!(w.reply_to(low).status, 500);
    }
    assert!(w.call.row().is_some());
    let bye = w.request_in(dialog, Method::Bye, 151, None);
    assert_eq!(w.reply_to(bye).status, 200);
}

#[test]
fn a_dialog_that_does_not_fit_is_481() {
    let mut w = World::connected();
    for wrong in 0..3 {
        let mut dialog = w.dialog(B);
        match wrong {
            0 => dialog.call_id = "other".into(),
            1 => dialog.local_tag = "other".into(),
            _ => dialog.remote_tag = "other".into(),
        }
        let tx = w.request_in(dialog, Method::Bye, 900, None);
        assert_eq!(w.reply_to(tx).status, 481);
    }
    assert!(w.call.row().is_some());
}

#[test]
fn info_and_message_go_through_with_their_bodies() {
    for method in [Method::Info, Method::Message] {
        let mut w = World::connected();
        let tx = w.request(B, method, Some(rtp("Signal=5")));
        assert_eq!(w.sends(), [(A, method, "Signal=5".into())]);
        let token = w.token(A, method);
        w.respond(token, 200, "r0", Some(rtp("heard")));
        assert_eq!(w.replies(), [(tx, 200, "heard".into())]);
    }
}

#[test]
fn a_refused_info_keeps_the_call_and_a_missing_dialog_ends_it() {
    let mut w = World::connected();
    let tx = w.request(A, Method::Info, None);
    let token = w.token(B, Method::Info);
    w.respond(token, 415, "b", None);
    assert_eq!(w.reply_to(tx).status, 415);
    let tx = w.request(A, Method::Info, None);
    let token = w.token(B, Method::Info);
    w.respond(token, 481, "b", None);
    assert_eq!(w.reply_to(tx).status, 480);
    assert_eq!(w.sends(), [(A, Method::Bye, String::new())], "B knows of no call");
    w.bye_done(A);
    assert_eq!(w.finished, Some(End::LegLost));
}

#[test]
fn relayed_requests_are_bounded() {
    let mut w = World::connected();
    for _ in 0..RELAYS_MAX {
        w.request(A, Method::Info, None);
        assert!(w.replies().is_empty());
    }
    let tx = w.request(A, Method::Info, None);
    assert_eq!(w.reply_to(tx).status, 500);
    assert_eq!(&*w.reply_to(tx).headers[0].name, "Retry-After");
    let open = w.open.len();
    w.request(A, Method::Bye, None);
    let ended = w.replies().iter().filter(|r| r.1 == 487).count();
    assert_eq!(ended, open, "RFC 3261 15.1.2");
}

#[test]
fn options_and_unknown_methods_are_answered_here() {
    let mut w = World::connected();
    for (method, status) in [(Method::Options, 200), (Method::Prack, 481), (Method::Other, 405)] {
        let tx = w.request(B, method, None);
        assert_eq!(w.reply_to(tx).status, status);
        assert!(w.sends().is_empty());
    }
}

#[test]
fn dialog_data_of_requests_follow_the_answer() {
    let mut w = World::secure(1);
    let token = w.token(B, Method::Invite);
    w.on(Input::Response(Box::new(Response {
        token,
        status: 200,
        reason: None,
        to_tag: Some("b".into()),
        contact: Some("sip:desk@192.0.2.1:5062".into()),
        record_route: ["<sip:p1;lr>", "<sip:p2;lr>"].map(Into::into).into_iter().collect(),
        body: Some(srtp("answer B")),
        peer: None,
        ext: Extensions::default(),
        headers: Headers::new(),
    })));
    w.ack(A, 101, None);
    w.on(Input::Release);
    let bye = w.sent(B, Method::Bye).unwrap();
    assert_eq!(&*bye.dialog.remote_target, "sip:desk@192.0.2.1:5062");
    let routes: Vec<_> = bye.dialog.route_set.iter().map(|r| &**r).collect();
    assert_eq!(routes, ["<sip:p2;lr>", "<sip:p1;lr>"], "a UAC turns them round");
    assert_eq!((bye.dialog.local_cseq, bye.dialog.remote_tag.as_deref()), (2, Some("b")));
    let bye = w.sent(A, Method::Bye).unwrap();
    assert_eq!((bye.dialog.local_cseq, bye.dialog.remote_tag.as_deref()), (1, Some("r0")));
    assert_eq!(&*bye.dialog.remote_target, "sip:phone0@192.0.2.0");
}

#[test]
fn a_release_ends_ringing_and_talking() {
    let mut w = World::secure(1);
    w.ringing(B, "b").on(Input::Release);
    assert_eq!(w.replies(), [(INVITE, 480, String::new())]);
    assert_eq!(w.cancels(), [B]);
    let mut w = World::connected();
    w.on(Input::Release);
    assert_eq!(w.sends().len(), 2);
    w.bye_done(A).bye_done(B);
    assert_eq!(w.finished, Some(End::Released));
}
