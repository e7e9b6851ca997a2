//! Session timers: one a leg, refreshed in time, fatal when not.

use proptest::prelude::*;

use super::world::*;
use crate::call::*;

const TIMER: PeerFeatures = PeerFeatures { callinfo: false, update: true, rel100: false, timer: true };

fn ask(expires: u32, refresher: Option<Refresher>) -> SessionAsk {
    SessionAsk { expires: Some(expires), refresher, min_se: None }
}

fn caller_asking(ask: SessionAsk, peer: PeerFeatures) -> World {
    let mut start = args(secure(0), vec![target(1, 1000, secure(1))], Some(srtp("offer A")));
    start.caller.ext.session = ask;
    start.caller.peer = peer;
    World::start(start)
}

fn header<'h>(headers: &'h [Header], name: &str) -> Option<&'h str> {
    headers.iter().find(|h| h.name == name).map(|h| &*h.value)
}

/// Milliseconds to which that timer was armed last.
fn armed(w: &World, timer: TimerKind) -> Option<u64> {
    w.all.iter().rev().find_map(|e| match e {
        Effect::Arm { timer: t, after_ms, .. } if *t == timer => Some(*after_ms),
        _ => None,
    })
}

/// B answers and agrees to that session.
fn answer(w: &mut World, said: SessionAsk) {
    w.ext.session = said;
    w.peer = Some(TIMER);
    w.answer(B, "b", Some(srtp("answer B")));
    w.peer = None;
    w.ack(A, 101, None);
}

#[test]
fn too_short_a_session_is_422_with_the_shortest() {
    let w = caller_asking(ask(60, None), TIMER);
    assert_eq!(w.replies(), [(INVITE, 422, String::new())]);
    assert_eq!(header(&w.reply_to(INVITE).headers, "Min-SE"), Some("90"));
    assert_eq!((w.finished, w.sends().len()), (Some(End::Rejected(422)), 0));
    // Who does not know the timer cannot obey a 422 (RFC 4028 §9).
    let w = caller_asking(ask(60, None), PeerFeatures::default());
    assert_eq!(w.sends().len(), 1);
}

#[test]
fn each_leg_has_its_own_session() {
    let mut w = caller_asking(ask(600, Some(Refresher::Uac)), TIMER);
    let invite = w.sent(B, Method::Invite).unwrap();
    assert_eq!(header(&invite.headers, "Session-Expires"), Some("1800"));
    assert_eq!(header(&invite.headers, "Min-SE"), Some("90"));
    answer(&mut w, ask(900, Some(Refresher::Uac)));
    let ok = w.reply_to(INVITE);
    assert_eq!(header(&ok.headers, "Session-Expires"), Some("600;refresher=uac"));
    assert_eq!(header(&ok.headers, "Require"), Some("timer"));
    // The caller refreshes its own: no refresh of ours is armed. Its end comes 32 s early.
    assert_eq!(armed(&w, TimerKind::SessionRefresh(A)), None);
    assert_eq!(armed(&w, TimerKind::SessionEnd(A)), Some(600_000 - 32_000));
    assert_eq!(armed(&w, TimerKind::SessionRefresh(B)), Some(450_000));
    assert_eq!(armed(&w, TimerKind::SessionEnd(B)), Some(900_000 - 32_000));
    let row = w.call.row().unwrap();
    assert_eq!(row.callee.session.map(|t| (t.interval_s, t.ours, t.known)), Some((900, true, true)));
}

#[test]
fn we_refresh_by_update_and_go_on() {
    let mut w = caller_asking(SessionAsk::default(), TIMER);
    answer(&mut w, ask(900, Some(Refresher::Uac)));
    w.fire(TimerKind::SessionRefresh(B));
    assert_eq!(w.sends(), [(B, Method::Update, String::new())]);
    let update = w.sent(B, Method::Update).unwrap();
    assert_eq!(header(&update.headers, "Session-Expires"), Some("900;refresher=uac"));
    let token = update.token;
    w.ext.session = ask(1200, Some(Refresher::Uac));
    w.respond(token, 200, "", None);
    assert_eq!(armed(&w, TimerKind::SessionRefresh(B)), Some(600_000));
    assert!(w.last.iter().any(|e| matches!(e, Effect::Journal(_))), "the refresh outlives a kill");
    assert_eq!(w.finished, None);
}

#[test]
fn a_phone_without_update_gets_its_sdp_again() {
    let mut w = caller_asking(SessionAsk::default(), PeerFeatures::default());
    answer(&mut w, ask(900, Some(Refresher::Uac)));
    w.fire(TimerKind::SessionRefresh(A));
    assert_eq!(w.sends(), [(A, Method::Invite, "answer B".into())]);
    let headers = &w.sent(A, Method::Invite).unwrap().headers;
    assert_eq!(header(headers, "Session-Expires"), None, "it knows no timer");
    w.invite_response(A, 200, "r0", Some(srtp("offer A")));
    assert_eq!((w.acks().len(), w.finished), (1, None));
    assert_eq!(armed(&w, TimerKind::SessionRefresh(A)), Some(900_000));
}

#[test]
fn a_phone_that_knows_no_timer_is_alive_while_it_answers_anything() {
    for (status, ends) in [(488, false), (500, false), (481, true), (408, true)] {
        let mut w = caller_asking(SessionAsk::default(), PeerFeatures::default());
        answer(&mut w, ask(900, Some(Refresher::Uac)));
        w.fire(TimerKind::SessionRefresh(A));
        w.invite_response(A, status, "r0", None);
        assert_eq!(w.sent(B, Method::Bye).is_some(), ends, "{status}");
    }
}

#[test]
fn a_vanished_phone_ends_the_call() {
    let mut w = caller_asking(SessionAsk::default(), TIMER);
    answer(&mut w, ask(900, Some(Refresher::Uac)));
    w.fire(TimerKind::SessionRefresh(B));
    let token = w.token(B, Method::Update);
    w.on(Input::Failed { token, failure: Failure::Timeout });
    assert!(w.sent(A, Method::Bye).is_some() && w.sent(B, Method::Bye).is_some());
    w.bye_done(A).bye_done(B);
    assert_eq!(w.finished, Some(End::LegLost));
}

#[test]
fn a_phone_that_does_not_refresh_as_it_promised_gets_bye() {
    let mut w = caller_asking(ask(600, Some(Refresher::Uac)), TIMER);
    answer(&mut w, ask(900, Some(Refresher::Uas)));
    w.fire(TimerKind::SessionEnd(B));
    assert_eq!(w.sends().len(), 2);
    w.bye_done(A).bye_done(B);
    assert_eq!(w.finished, Some(End::LegLost));
}

#[test]
fn a_phones_refresh_starts_its_time_anew() {
    let mut w = caller_asking(ask(600, Some(Refresher::Uac)), TIMER);
    answer(&mut w, ask(900, Some(Refresher::Uac)));
    let stale = w.timers[&TimerKind::SessionEnd(A)];
    w.ext.session = ask(600, Some(Refresher::Uac));
    let tx = w.request(A, Method::Update, None);
    assert_eq!(header(&w.reply_to(tx).headers, "Session-Expires"), Some("600;refresher=uac"));
    w.on(Input::Timer { timer: TimerKind::SessionEnd(A), generation: stale });
    assert!(w.last.is_empty());
    w.ext.session = ask(30, None);
    let tx = w.request(A, Method::Update, None);
    assert_eq!(w.reply_to(tx).status, 422);
}

#[test]
fn a_re_invite_that_changes_nothing_stays_on_its_leg() {
    let mut w = caller_asking(ask(600, Some(Refresher::Uac)), TIMER);
    answer(&mut w, ask(900, Some(Refresher::Uac)));
    w.ext.session = ask(600, Some(Refresher::Uac));
    let tx = w.request(A, Method::Invite, Some(srtp("offer A")));
    assert_eq!(w.replies(), [(tx, 200, "answer B".into())]);
    assert!(w.sends().is_empty(), "the other phone is left alone");
    assert_eq!(header(&w.reply_to(tx).headers, "Session-Expires"), Some("600;refresher=uac"));
    w.ack_last(A, None);
    assert!(w.last.iter().any(|e| matches!(e, Effect::StopRepeat { tx: t } if *t == tx)));
    let tx = w.request(A, Method::Invite, Some(srtp("offer A2")));
    assert_eq!(w.sends().len(), 1, "a new offer goes on");
    assert!(w.open.contains(&tx));
}

#[test]
fn the_phones_422_is_obeyed_twice_at_most() {
    let mut w = caller_asking(SessionAsk::default(), TIMER);
    for (min, sent) in [(2400, Some("2400")), (3600, Some("3600")), (7200, None)] {
        w.ext.session.min_se = Some(min);
        w.invite_response(B, 422, "b", None);
        let again = w.sends().pop().map(|_| w.sent(B, Method::Invite).unwrap().clone());
        assert_eq!(again.as_ref().and_then(|s| header(&s.headers, "Session-Expires")), sent);
    }
    assert_eq!(w.reply_to(INVITE).status, 422);
    let mut w = caller_asking(SessionAsk::default(), TIMER);
    w.ext.session.min_se = Some(u32::MAX);
    w.invite_response(B, 422, "b", None);
    assert!(w.sends().is_empty(), "no session of years");
}

#[test]
fn glare_delays_a_refresh_and_a_refusal_repeats_it() {
    let mut w = caller_asking(SessionAsk::default(), TIMER);
    answer(&mut w, ask(900, Some(Refresher::Uac)));
    w.fire(TimerKind::SessionRefresh(B));
    let token = w.token(B, Method::Update);
    w.respond(token, 500, "", None);
    assert!(armed(&w, TimerKind::SessionRefresh(B)).unwrap() < 10_000);
    w.fire(TimerKind::SessionRefresh(B));
    assert_eq!(w.sends(), [(B, Method::Update, String::new())]);
    let token = w.token(B, Method::Update);
    w.respond(token, 405, "", None);
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A".into())], "it knows no UPDATE after all");
    w.invite_response(B, 491, "b", None);
    w.fire(TimerKind::Glare);
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A".into())]);
}

#[test]
fn a_rebuilt_call_keeps_its_sessions_and_gives_grace() {
    let mut w = caller_asking(ask(600, Some(Refresher::Uac)), TIMER);
    answer(&mut w, ask(900, Some(Refresher::Uac)));
    let row = w.call.row().unwrap();
    let text = serde_json::to_string(&row).unwrap();
    let mut stored: DialogRow = serde_json::from_str(&text).unwrap();
    (stored.caller.flow, stored.callee.flow) = (row.caller.flow, row.callee.flow);
    let late = crate::ids::UnixMillis(2_000_000);
    let (call, effects) = Call::from_row(stored, Env { now: late, tags: &tags });
    let mut w = World::around(call);
    w.now = late.0;
    w.take(effects);
    assert_eq!(armed(&w, TimerKind::SessionEnd(A)), Some(35_000), "its phone may still refresh");
    assert!(armed(&w, TimerKind::SessionRefresh(B)).unwrap() < 35_000);
    w.fire(TimerKind::SessionRefresh(B));
    assert_eq!(w.sends(), [(B, Method::Update, String::new())]);
    w.fire(TimerKind::SessionEnd(A));
    assert!(w.sent(A, Method::Bye).is_some() && w.sent(B, Method::Bye).is_some());
    // A row of a version that knew no timers is taken as it is.
    let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
    old.as_object_mut().unwrap().remove("session");
    old["caller"].as_object_mut().unwrap().remove("session");
    let old: DialogRow = serde_json::from_value(old).unwrap();
    assert_eq!((old.caller.session, old.session), (None, SessionPolicy::default()));
}

proptest! {
    /// Whatever two phones ask for: what is agreed is neither shorter than anybody's smallest interval nor longer
    /// than asked, and whoever refreshes does it before the other gives up.
    #[test]
    fn agreed_sessions_hold(
        expires in proptest::option::of(1_u32..100_000),
        min_se in proptest::option::of(1_u32..4_000),
        refresher in proptest::option::of(prop_oneof![Just(Refresher::Uac), Just(Refresher::Uas)]),
        said in proptest::option::of(0_u32..u32::MAX),
        timer in any::<bool>(),
        update in any::<bool>(),
    ) {
        let asked = SessionAsk { expires, refresher: refresher.filter(|_| expires.is_some()), min_se };
        let peer = PeerFeatures { timer, update, ..PeerFeatures::default() };
        let mut w = caller_asking(asked, peer);
        if expires.is_some_and(|e| e < 90) && timer {
            prop_assert_eq!(w.reply_to(INVITE).status, 422);
            return Ok(());
        }
        answer(&mut w, SessionAsk { expires: said, refresher, min_se: None });
        let row = w.call.row().unwrap();
        for (leg, session) in [(A, row.caller.session.unwrap()), (B, row.callee.session.unwrap())] {
            prop_assert!((90..=SESSION_MAX_S).contains(&session.interval_s));
            let end = armed(&w, TimerKind::SessionEnd(leg)).unwrap();
            prop_assert!(end < u64::from(session.interval_s) * 1000);
            let refresh = armed(&w, TimerKind::SessionRefresh(leg));
            prop_assert_eq!(refresh.is_some(), session.ours);
            prop_assert!(refresh.is_none_or(|r| r < end));
        }
        let caller = row.caller.session.unwrap();
        prop_assert!(caller.interval_s >= min_se.unwrap_or(0).max(90));
        prop_assert!(caller.interval_s <= expires.unwrap_or(u32::MAX).max(min_se.unwrap_or(0)).max(90));
        let told = header(&w.reply_to(INVITE).headers, "Session-Expires").is_some();
        prop_assert_eq!(told, timer);
    }
}
