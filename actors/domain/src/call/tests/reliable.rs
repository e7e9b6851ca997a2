//! Reliable provisionals and early offers: each leg for itself, and never a 2xx too early.

use super::world::*;
use crate::call::*;

const KNOWS: PeerFeatures = PeerFeatures { callinfo: false, update: true, rel100: true, timer: false };

/// A call whose caller knows and perhaps requires reliable provisionals.
fn call(requires: bool, offer: Option<crate::media::Body>, phones: u16) -> World {
    let targets = (1..=phones).map(|i| target(i, 1000, secure(i))).collect();
    let mut start = args(secure(0), targets, offer);
    start.caller.peer = KNOWS;
    start.caller.ext.require_100rel = requires;
    World::start(start)
}

fn plain_call() -> World {
    call(false, Some(srtp("offer A")), 1)
}

/// A reliable provisional of a phone.
fn reliable(w: &mut World, leg: LegId, status: u16, tag: &str, rseq: u32, sdp: Option<crate::media::Body>) {
    w.ext = Extensions { require_100rel: true, rseq: Some(rseq), ..Extensions::default() };
    w.peer = Some(KNOWS);
    w.invite_response(leg, status, tag, sdp);
    w.peer = None;
}

/// PRACK of the caller for the last reliable provisional, or another one.
fn prack(w: &mut World, more: u32, sdp: Option<crate::media::Body>) -> ServerTx {
    let rseq = w.rseq().unwrap() + more;
    w.ext.rack = Some(Rack { rseq, cseq: 101, invite: true });
    w.request(A, Method::Prack, sdp)
}

fn racks(w: &World) -> Vec<String> {
    let rack = |e: &Effect| match e {
        Effect::Send(s) if s.method == Method::Prack => {
            s.headers.iter().find(|h| h.name == "RAck").map(|h| h.value.to_string())
        }
        _ => None,
    };
    w.all.iter().filter_map(rack).collect()
}

/// Headers of the last reply to the INVITE name it reliable.
fn is_reliable(w: &World) -> bool {
    let headers = &w.reply_to(INVITE).headers;
    headers.iter().any(|h| h.name == "Require" && &*h.value == "100rel")
}

#[test]
fn a_phones_provisionals_are_acknowledged_in_order_only() {
    let mut w = World::secure(1);
    let offered =
        |w: &World| w.sent(B, Method::Invite).unwrap().headers.iter().any(|h| &*h.value == "100rel");
    assert!(offered(&w));
    reliable(&mut w, B, 180, "b", 7, None);
    reliable(&mut w, B, 180, "b", 7, None);
    assert!(w.last.is_empty(), "a repeat is absorbed");
    reliable(&mut w, B, 183, "b", 9, Some(srtp("early B")));
    assert!(w.last.is_empty(), "8 is missing: neither acknowledged nor told");
    reliable(&mut w, B, 183, "b", 8, Some(srtp("early B")));
    assert_eq!(racks(&w), ["7 1 INVITE", "8 1 INVITE"]);
    assert_eq!(w.sent(B, Method::Prack).unwrap().dialog.remote_tag.as_deref(), Some("b"));
    assert!(!is_reliable(&w), "the caller knows nothing of it: each leg for itself");
    w.answer(B, "b", None);
    assert_eq!(w.replies(), [(INVITE, 200, "early B".into())]);
}

#[test]
fn the_caller_is_told_reliably_until_its_prack() {
    let mut w = plain_call();
    w.invite_response(B, 180, "b", None);
    assert!(!is_reliable(&w), "supported: only what has SDP needs it");
    w.invite_response(B, 183, "b", Some(srtp("early B")));
    assert!(is_reliable(&w));
    let first = w.rseq();
    let mut waited = Vec::new();
    while w.replies().iter().all(|r| r.1 != 504) {
        let armed = w.last.iter().find_map(|e| match e {
            Effect::Arm { timer: TimerKind::Provisional(..), after_ms, .. } => Some(*after_ms),
            _ => None,
        });
        waited.push(armed.unwrap());
        w.fire(TimerKind::Provisional(B, 0));
    }
    assert_eq!(waited, [500, 1000, 2000, 4000, 8000, 16_000, 500], "T1 doubling, 64 T1 in all");
    assert_eq!(w.rseq(), first, "a repeat is the same");
    assert_eq!(w.cancels(), [B]);
}

#[test]
fn a_wrong_rack_is_481_and_the_right_one_200() {
    let mut w = plain_call();
    w.invite_response(B, 183, "b", Some(srtp("early B")));
    let wrong = prack(&mut w, 1, None);
    assert_eq!(w.reply_to(wrong).status, 481);
    w.ext.rack = Some(Rack { rseq: w.rseq().unwrap(), cseq: 102, invite: true });
    let wrong = w.request(A, Method::Prack, None);
    assert_eq!(w.reply_to(wrong).status, 481);
    let none = w.request(A, Method::Prack, None);
    assert_eq!(w.reply_to(none).status, 481);
    let right = prack(&mut w, 0, None);
    assert_eq!(w.replies(), [(right, 200, String::new())]);
    let again = prack(&mut w, 0, None);
    assert_eq!(w.reply_to(again).status, 481, "it is acknowledged already");
    w.fire(TimerKind::Provisional(B, 0));
    assert!(w.last.is_empty());
    w.answer(B, "b", Some(srtp("early B")));
    w.ack(A, 101, None);
    assert!(w.last.iter().any(|e| matches!(e, Effect::StopRepeat { .. })), "ACK bears the INVITE's number");
}

#[test]
fn the_answer_waits_for_the_prack_and_the_losers_do_not() {
    let mut w = call(false, Some(srtp("offer A")), 2);
    w.invite_response(B, 183, "b", Some(srtp("early B")));
    w.ringing(C, "c");
    w.answer(B, "b", Some(srtp("early B")));
    assert!(w.replies().is_empty(), "no 2xx before the PRACK");
    assert_eq!(w.cancels(), [C]);
    w.answer(B, "b", Some(srtp("early B")));
    assert!(w.last.is_empty(), "nor an ACK: the phone repeats");
    w.answer(C, "c", Some(srtp("answer C")));
    assert_eq!(w.sends(), [(C, Method::Bye, String::new())]);
    let tx = prack(&mut w, 0, None);
    let replies = w.replies();
    assert_eq!(replies[0], (tx, 200, String::new()));
    assert_eq!((replies[1].0, replies[1].1), (INVITE, 200));
    assert_eq!(w.acks().len(), 1);
}

#[test]
fn an_answer_that_waits_in_vain_is_acknowledged_and_left() {
    for cancel in [true, false] {
        let mut w = plain_call();
        w.invite_response(B, 183, "b", Some(srtp("early B")));
        w.answer(B, "b", Some(srtp("early B")));
        if cancel {
            w.on(Input::Cancel { tx: INVITE, headers: Headers::new() });
        } else {
            for _ in 0..7 {
                w.fire(TimerKind::Provisional(B, 0));
            }
        }
        assert_eq!(w.reply_to(INVITE).status, if cancel { 487 } else { 504 });
        assert_eq!((w.acks().len(), w.sends()), (1, vec![(B, Method::Bye, String::new())]));
        assert!(w.cancels().is_empty(), "what was answered is not cancelled");
        w.bye_done(B);
        assert!(w.finished.is_some());
    }
}

#[test]
fn a_caller_that_requires_it_gets_every_provisional_reliably_one_at_a_time() {
    let mut w = call(true, Some(srtp("offer A")), 1);
    w.ringing(B, "b");
    assert!(is_reliable(&w), "the phone knows nothing of it: bridged");
    let first = w.rseq().unwrap();
    w.invite_response(B, 183, "b", Some(srtp("early B")));
    assert!(w.replies().is_empty(), "the second waits for the first");
    prack(&mut w, 0, None);
    assert_eq!(w.replies().len(), 2);
    assert_eq!(w.rseq(), Some(first + 1));
    prack(&mut w, 0, None);
    w.answer(B, "b", Some(srtp("early B")));
    assert_eq!(w.reply_to(INVITE).status, 200);
}

#[test]
fn a_late_offer_is_answered_in_the_prack() {
    let mut w = call(false, None, 1);
    reliable(&mut w, B, 183, "b", 1, Some(srtp("offer B")));
    assert_eq!(w.replies(), [(INVITE, 183, "offer B".into())]);
    assert!(w.sends().is_empty(), "the phone's PRACK needs the answer");
    let tx = prack(&mut w, 0, Some(srtp("answer A")));
    assert_eq!(w.sends(), [(B, Method::Prack, "answer A".into())]);
    assert_eq!(w.replies(), [(tx, 200, String::new())]);
    w.answer(B, "b", None);
    assert_eq!(w.replies(), [(INVITE, 200, String::new())]);
    assert_eq!(w.acks().len(), 1);
    assert_eq!(w.class(), Some(crate::mode::SecurityClass::Encrypted), "agreed before the answer");
    w.ack(A, 101, None);
    assert_eq!(w.finished, None);
}

#[test]
fn a_late_offer_without_answer_is_no_call_and_none_is_asked_of_a_caller_that_cannot() {
    let mut w = call(false, None, 1);
    reliable(&mut w, B, 183, "b", 1, Some(srtp("offer B")));
    let tx = prack(&mut w, 0, None);
    assert_eq!((w.reply_to(tx).status, w.reply_to(INVITE).status), (400, 488));
    let w = World::start(args(secure(0), vec![target(1, 1000, secure(1))], None));
    let offered = |h: &Header| h.name == "Supported";
    assert!(!w.sent(B, Method::Invite).unwrap().headers.iter().any(offered));
}

/// Both sides settled on the first offer before the answer.
fn settled() -> World {
    let mut w = plain_call();
    reliable(&mut w, B, 183, "b", 1, Some(srtp("early B")));
    prack(&mut w, 0, None);
    w
}

#[test]
fn early_offers_pass_both_ways_once_the_first_is_settled() {
    let mut w = settled();
    let tx = w.request(A, Method::Update, Some(srtp("offer A2")));
    assert_eq!(w.sends(), [(B, Method::Update, "offer A2".into())]);
    let glare = w.request(B, Method::Update, Some(srtp("offer B2")));
    assert_eq!(w.reply_to(glare).status, 491);
    let twice = w.request(A, Method::Update, Some(srtp("offer A3")));
    assert_eq!(w.reply_to(twice).status, 500);
    assert!(w.reply_to(twice).headers.iter().any(|h| h.name == "Retry-After"));
    let token = w.token(B, Method::Update);
    w.respond(token, 200, "b", Some(srtp("answer B2")));
    assert_eq!(w.replies(), [(tx, 200, "answer B2".into())]);
    let tx = w.request(B, Method::Update, Some(srtp("offer B3")));
    assert_eq!(w.sends(), [(A, Method::Update, "offer B3".into())]);
    let token = w.token(A, Method::Update);
    w.answer(B, "b", Some(srtp("early B")));
    assert!(w.replies().is_empty(), "the answer waits for the offer under way");
    w.respond(token, 200, "r0", Some(srtp("answer A3")));
    assert_eq!(w.replies()[0], (tx, 200, "answer A3".into()));
    assert_eq!(w.replies()[1], (INVITE, 200, String::new()), "what was agreed on is newer than the 2xx");
    assert_eq!(w.call.row().unwrap().callee.dialog.remote_cseq, Some(w.cseq));
}

#[test]
fn an_offer_in_the_prack_goes_on_as_update() {
    let mut w = plain_call();
    reliable(&mut w, B, 183, "b", 1, Some(srtp("early B")));
    let tx = prack(&mut w, 0, Some(srtp("offer A2")));
    assert_eq!(w.sends(), [(B, Method::Update, "offer A2".into())]);
    let token = w.token(B, Method::Update);
    w.respond(token, 200, "b", Some(srtp("answer B2")));
    assert_eq!(w.replies(), [(tx, 200, "answer B2".into())]);
    w.answer(B, "b", None);
    assert_eq!(w.reply_to(INVITE).status, 200);
}

#[test]
fn an_early_offer_whose_phone_fails_is_answered() {
    let mut w = settled();
    let tx = w.request(A, Method::Update, Some(srtp("offer A2")));
    w.invite_response(B, 486, "b", None);
    assert_eq!((w.reply_to(tx).status, w.reply_to(INVITE).status), (481, 486));
    let mut w = settled();
    let tx = w.request(A, Method::Update, Some(srtp("offer A2")));
    let token = w.token(B, Method::Update);
    w.on(Input::Failed { token, failure: Failure::Timeout });
    assert_eq!(w.reply_to(tx).status, 500);
    assert_eq!(w.finished, None);
}

#[test]
fn two_early_dialogs_count_for_themselves() {
    let mut w = call(true, Some(srtp("offer A")), 2);
    w.ringing(B, "b");
    let first = w.reply_to(INVITE).clone();
    w.invite_response(C, 183, "c", Some(srtp("early C")));
    let second = w.reply_to(INVITE).clone();
    assert_ne!(first.to_tag, second.to_tag);
    for reply in [first, second] {
        let rseq = reply.headers.iter().find(|h| h.name == "RSeq").unwrap().value.parse().unwrap();
        w.ext.rack = Some(Rack { rseq, cseq: 101, invite: true });
        let dialog =
            DialogId { call_id: "cid-0".into(), local_tag: reply.to_tag.unwrap(), remote_tag: "r0".into() };
        // Each dialog numbers its requests from the INVITE on.
        let tx = w.request_in(dialog, Method::Prack, 102, None);
        assert_eq!(w.reply_to(tx).status, 200);
    }
}
