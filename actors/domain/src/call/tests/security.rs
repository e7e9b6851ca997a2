//! Class of a call as its parties change, and what phones are told.

use proptest::prelude::*;

use super::world::*;
use crate::call::*;
use crate::class::LegFacts;
use crate::media::Direction;
use crate::mode::SecurityClass::{self, *};
use crate::mode::{DeviceSecurityMode, SuiteKind};

fn authenticated(leg: u16) -> LegFacts {
    LegFacts {
        suite: SuiteKind::IntegrityOnly,
        applied_mode: DeviceSecurityMode::Authenticated,
        ..secure(leg)
    }
}

fn untrusted(leg: u16) -> LegFacts {
    LegFacts { trusted: false, ..secure(leg) }
}

fn class_between(a: LegFacts, b: LegFacts) -> SecurityClass {
    let mut w = World::start(args(a, vec![target(1, 1000, b)], Some(fallback("offer A"))));
    w.answer(B, "b", Some(fallback("answer B")));
    w.class().unwrap()
}

fn published(w: &World) -> Vec<SecurityClass> {
    let class = |e: &Effect| match e {
        Effect::Publish { class, .. } => Some(*class),
        _ => None,
    };
    w.all.iter().filter_map(class).collect()
}

#[test]
fn r011_a_call_is_secure_only_if_every_device_registered_secure() {
    let kinds = |leg| {
        [
            (secure(leg), Encrypted),
            (authenticated(leg), Authenticated),
            (plain(leg), NonSecure),
            (untrusted(leg), NonSecure),
        ]
    };
    for (a, class_a) in kinds(0) {
        for (b, class_b) in kinds(1) {
            assert_eq!(class_between(a.clone(), b), class_a.min(class_b));
        }
    }
}

#[test]
fn r012_one_non_secure_device_makes_the_call_non_secure() {
    assert_eq!(class_between(secure(0), plain(1)), NonSecure);
    assert_eq!(class_between(plain(0), secure(1)), NonSecure);
}

#[test]
fn r046_an_untrusted_device_keeps_the_call_unsecure_and_is_named() {
    let targets = vec![target(1, 1000, untrusted(1))];
    let mut w = World::start(args(secure(0), targets, Some(srtp("offer A"))));
    w.answer(B, "b", Some(srtp("answer B")));
    let security = w.call.security().unwrap();
    assert_eq!((security.class, security.icon), (NonSecure, "none"));
    let guilty: Vec<_> = security.legs.iter().filter(|l| l.class == NonSecure).map(|l| &l.device).collect();
    assert_eq!(guilty, [&untrusted(1).device]);
}

#[test]
fn r048_the_called_device_decides_the_callers_icon() {
    let icon = |b: LegFacts| {
        let mut start = args(secure(0), vec![target(1, 1000, b)], Some(fallback("offer A")));
        start.caller.peer.callinfo = true;
        let mut w = World::start(start);
        w.answer(B, "b", Some(fallback("answer B")));
        World::call_info(&w.reply_to(INVITE).headers).unwrap()
    };
    assert!(icon(secure(1)).contains("security=Encrypted"));
    assert!(icon(untrusted(1)).contains("security=NotAuthenticated"));
    assert!(icon(secure(1)).contains("orientation=to"));
}

#[test]
fn the_answer_decides_not_the_offer() {
    let mut w = World::start(args(secure(0), vec![target(1, 1000, secure(1))], Some(fallback("offer A"))));
    w.answer(B, "b", Some(rtp("answer B")));
    assert_eq!(w.class(), Some(Authenticated));
}

#[test]
fn phones_without_the_option_get_no_header() {
    let mut w = World::connected();
    w.request(A, Method::Invite, Some(rtp("offer A2")));
    w.answer(B, "b", Some(rtp("answer B2")));
    w.ack_last(A, None);
    assert_eq!(published(&w), [Encrypted, Authenticated]);
    let told = |e: &Effect| match e {
        Effect::Send(s) => World::call_info(&s.headers).is_some(),
        Effect::Reply(r) => World::call_info(&r.headers).is_some(),
        _ => false,
    };
    assert!(!w.all.iter().any(told));
}

/// A and B read Call-Info; B may take UPDATE.
fn cisco(update: bool) -> World {
    let mut start = args(secure(0), vec![target(1, 1000, secure(1))], Some(srtp("offer A")));
    start.caller.peer = PeerFeatures { callinfo: true, update, ..Default::default() };
    start.targets[0].peer = PeerFeatures { callinfo: true, update, ..Default::default() };
    let mut w = World::start(start);
    w.connect();
    w
}

#[test]
fn the_called_phone_is_told_by_update_after_the_ack() {
    let mut w = cisco(true);
    assert_eq!(w.sends(), [(B, Method::Update, String::new())]);
    let update = w.sent(B, Method::Update).unwrap();
    let told = World::call_info(&update.headers).unwrap();
    assert!(told.contains("orientation=from; security=Encrypted; call-instance=1"));
    let token = update.token;
    w.respond(token, 200, "b", None);
    assert!(w.sends().is_empty(), "once is enough");
}

#[test]
fn the_called_phone_is_told_by_re_invite_where_update_is_not_allowed() {
    let mut w = cisco(false);
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A".into())], "the SDP in force again");
    let deferred = w.request(A, Method::Invite, Some(srtp("offer A2")));
    assert!(w.replies().is_empty() && w.sends().is_empty(), "A's re-INVITE waits");
    w.answer(B, "b", Some(srtp("answer B")));
    assert_eq!(w.acks().len(), 1);
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A2".into())]);
    w.answer(B, "b", Some(srtp("answer B2")));
    assert_eq!(w.reply_to(deferred).status, 200);
    assert_eq!(published(&w), [Encrypted]);

    let mut w = cisco(true);
    let token = w.token(B, Method::Update);
    w.respond(token, 501, "b", None);
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A".into())]);
    w.invite_response(B, 491, "b", None);
    assert!(w.sends().is_empty());
    w.fire(TimerKind::Glare);
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A".into())]);
    w.invite_response(B, 488, "b", None);
    assert!(w.sends().is_empty() && w.call.row().is_some(), "a refusal is the end of it");
}

#[test]
fn a_loss_is_told_before_the_media_change_and_a_gain_after() {
    let mut w = cisco(true);
    let token = w.token(B, Method::Update);
    w.respond(token, 200, "b", None);
    let tx = w.request(A, Method::Invite, Some(rtp("offer A2")));
    let told = World::call_info(&w.sent(B, Method::Invite).unwrap().headers).unwrap();
    assert!(told.contains("security=Authenticated"), "{told}");
    w.answer(B, "b", Some(rtp("answer B2")));
    assert!(World::call_info(&w.reply_to(tx).headers).unwrap().contains("security=Authenticated"));
    w.ack_last(A, None);
    assert!(w.sends().is_empty(), "B knows it already");

    let tx = w.request(A, Method::Invite, Some(srtp("offer A3")));
    let told = World::call_info(&w.sent(B, Method::Invite).unwrap().headers).unwrap();
    assert!(told.contains("security=Authenticated"), "not yet won: {told}");
    w.answer(B, "b", Some(srtp("answer B3")));
    assert!(World::call_info(&w.reply_to(tx).headers).unwrap().contains("security=Encrypted"));
    w.ack_last(A, None);
    assert_eq!(w.sends(), [(B, Method::Update, String::new())]);
    let token = w.token(B, Method::Update);
    w.respond(token, 200, "b", None);
    assert!(w.sends().is_empty());
}

#[test]
fn a_change_of_a_device_is_told_to_both() {
    let mut w = cisco(true);
    let token = w.token(B, Method::Update);
    w.respond(token, 200, "b", None);
    w.on(Input::DeviceFacts(Box::new(untrusted(1))));
    assert_eq!(w.sends(), [(A, Method::Update, String::new()), (B, Method::Update, String::new())]);
    assert_eq!(w.class(), Some(NonSecure));
}

#[test]
fn hold_keeps_the_class() {
    let mut w = World::connected();
    w.request(A, Method::Invite, Some(srtp_hold("hold", Direction::Inactive)));
    w.answer(B, "b", Some(srtp_hold("held", Direction::Inactive)));
    w.ack_last(A, None);
    assert_eq!(w.class(), Some(Encrypted));
}

#[test]
fn history_is_bounded() {
    let mut w = World::connected();
    for i in 0..40 {
        let facts = if i % 2 == 0 { untrusted(1) } else { secure(1) };
        w.on(Input::DeviceFacts(Box::new(facts)));
    }
    let row = w.call.row().unwrap();
    assert_eq!(row.history.len(), HISTORY_MAX);
    assert_eq!(row.history.last().map(|h| h.class), Some(Encrypted));
    assert_eq!(published(&w).len(), 41, "only changes are published");
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Facts(u16, u8),
    Media(bool, u8),
    Flow(u16, bool),
}

fn facts(leg: u16, kind: u8) -> LegFacts {
    match kind {
        0 => secure(leg),
        1 => untrusted(leg),
        _ => authenticated(leg),
    }
}

fn apply(w: &mut World, change: Change) {
    match change {
        Change::Facts(leg, kind) => {
            w.on(Input::DeviceFacts(Box::new(facts(leg, kind))));
        }
        Change::Flow(leg, true) => {
            w.on(Input::FlowLost { flow: stream(leg, 1) });
        }
        Change::Flow(leg, false) => {
            let (flow, facts) = (stream(leg, 1), Box::new(secure(leg)));
            w.on(Input::TargetBack { flow, contact: "sip:x@h".into(), facts });
        }
        Change::Media(from_caller, kind) => {
            let (from, to) = if from_caller { (A, B) } else { (B, A) };
            // Each is a new session: one that repeats the last is a refresh and stays on its leg.
            let o = format!("o{}", w.cseq);
            let (offer, answer) = match kind {
                0 => (fallback(&o), fallback("a")),
                1 => (fallback(&o), rtp("a")),
                2 => (srtp_hold(&o, Direction::SendOnly), srtp_hold("a", Direction::RecvOnly)),
                _ => (srtp(&o), srtp("a")),
            };
            let tx = w.request(from, Method::Invite, Some(offer));
            let sent = w.sends().iter().any(|(leg, method, _)| (*leg, *method) == (to, Method::Invite));
            if !sent && w.open.contains(&tx) {
                // It waits for the other phone to come back: whoever asked gives up.
                w.on(Input::Cancel { tx, headers: Headers::new() });
            } else if w.open.contains(&tx) {
                w.answer(to, "x", Some(answer));
                w.ack_last(from, None);
            }
        }
    }
}

proptest! {
    #[test]
    fn r049_the_class_depends_on_the_state_reached_not_on_the_way(
        way in proptest::collection::vec(
            prop_oneof![
                (0_u16..2, 0_u8..3).prop_map(|(leg, kind)| Change::Facts(leg, kind)),
                (any::<bool>(), 0_u8..4).prop_map(|(from, kind)| Change::Media(from, kind)),
                (0_u16..2, any::<bool>()).prop_map(|(leg, gone)| Change::Flow(leg, gone)),
            ],
            0..12,
        ),
        a in 0_u8..3,
        b in 0_u8..3,
        media in prop_oneof![Just(0_u8), Just(1), Just(3)],
    ) {
        let state = |swap: bool| {
            let both = [Change::Facts(0, a), Change::Facts(1, b)];
            let mut list = vec![Change::Flow(0, false), Change::Flow(1, false), Change::Media(!swap, media)];
            list.extend(if swap { [both[1], both[0]] } else { both });
            list
        };
        let mut classes = Vec::new();
        for (first, swap) in [(way.as_slice(), false), (&[], true)] {
            let mut w = World::connected();
            for change in first.iter().copied().chain(state(swap)) {
                apply(&mut w, change);
                let last = published(&w).last().copied();
                prop_assert_eq!(last, w.class(), "every change is published");
            }
            classes.push(w.class());
        }
        prop_assert_eq!(classes[0], classes[1]);
    }
}
