//! Before the answer.

use super::world::*;
use crate::call::*;
use crate::flow::Flow;
use crate::mode::Transport;

#[test]
fn a_call_is_rung_answered_and_acknowledged() {
    let mut w = World::secure(1);
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A".into())]);
    w.invite_response(B, 100, "", None);
    assert!(w.replies().is_empty(), "100 is hop by hop");
    w.ringing(B, "b");
    assert_eq!(w.replies(), [(INVITE, 180, String::new())]);
    let early = w.reply_to(INVITE).to_tag.clone();
    w.answer(B, "b", Some(srtp("answer B")));
    assert_eq!(w.replies(), [(INVITE, 200, "answer B".into())]);
    assert_eq!(w.acks(), [(B, "b".into(), 1, String::new())]);
    assert_eq!(w.reply_to(INVITE).to_tag, early, "the dialog keeps its tag");
    assert!(w.reply_to(INVITE).carry_crypto);
    w.ack(A, 101, None);
    assert!(w.last.iter().any(|e| matches!(e, Effect::StopRepeat { tx: INVITE })));
}

#[test]
fn no_binding_is_480_and_the_end() {
    let w = World::start(args(secure(0), Vec::new(), Some(srtp("offer A"))));
    assert_eq!(w.replies(), [(INVITE, 480, String::new())]);
    assert_eq!(w.finished, Some(End::Rejected(480)));
}

#[test]
fn a_repeated_2xx_gets_its_ack_again_and_nothing_else() {
    let mut w = World::connected();
    w.answer(B, "b", Some(srtp("answer B")));
    assert_eq!(w.acks().len(), 1);
    assert_eq!(w.last.len(), 1);
}

#[test]
fn busy_passes_with_its_phrase() {
    let mut w = World::secure(1);
    w.invite_response(B, 486, "b", None);
    assert_eq!(w.replies(), [(INVITE, 486, String::new())]);
    assert_eq!(w.finished, Some(End::Rejected(486)));
}

#[test]
fn a_challenge_or_503_of_a_phone_never_reaches_the_caller() {
    for (status, shown) in [(401, 500), (407, 500), (503, 500), (302, 480)] {
        let mut w = World::secure(1);
        w.invite_response(B, status, "b", None);
        assert_eq!(w.replies(), [(INVITE, shown, String::new())]);
    }
}

#[test]
fn a_decline_ends_all_branches() {
    let mut w = World::secure(2);
    w.ringing(B, "b").ringing(C, "c");
    w.invite_response(B, 603, "b", None);
    assert_eq!(w.replies(), [(INVITE, 603, String::new())]);
    assert_eq!(w.cancels(), [C]);
    w.invite_response(C, 487, "c", None);
    assert_eq!(w.finished, Some(End::Rejected(603)));
}

#[test]
fn the_best_of_all_answers_wins() {
    let mut w = World::secure(2);
    w.invite_response(B, 480, "b", None);
    assert!(w.replies().is_empty(), "another phone still rings");
    w.invite_response(C, 486, "c", None);
    assert_eq!(w.replies(), [(INVITE, 486, String::new())]);
}

#[test]
fn losers_hear_that_the_call_was_completed_elsewhere() {
    let mut w = World::secure(2);
    w.ringing(B, "b").ringing(C, "c");
    w.answer(B, "b", Some(srtp("answer B")));
    let reason = w.last.iter().find_map(|e| match e {
        Effect::Cancel { leg: C, headers, .. } => Some(headers.clone()),
        _ => None,
    });
    let reason = reason.expect("C is cancelled");
    assert_eq!(&*reason[0].name, "Reason");
    assert_eq!(&*reason[0].value, r#"SIP;cause=200;text="Call completed elsewhere""#);
    w.invite_response(C, 487, "c", None);
    assert!(w.last.is_empty());
}

#[test]
fn a_cancel_waits_for_the_first_provisional() {
    let mut w = World::secure(2);
    w.ringing(B, "b").on(Input::Cancel { tx: INVITE, headers: Headers::new() });
    assert_eq!(w.replies(), [(INVITE, 487, String::new())]);
    assert_eq!(w.cancels(), [B], "C has sent nothing yet");
    w.invite_response(C, 100, "", None);
    assert_eq!(w.cancels(), [C]);
    w.invite_response(B, 487, "b", None).invite_response(C, 487, "c", None);
    assert_eq!(w.finished, Some(End::Cancelled));
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut w = World::secure(1);
    w.ringing(B, "b").on(Input::Cancel { tx: INVITE, headers: Headers::new() });
    w.answer(B, "b", Some(srtp("answer B")));
    assert_eq!(w.acks(), [(B, "b".into(), 1, String::new())]);
    assert_eq!(w.sends(), [(B, Method::Bye, String::new())]);
    assert_eq!(w.sent(B, Method::Bye).unwrap().dialog.local_cseq, 2);
    w.bye_done(B);
    assert_eq!(w.finished, Some(End::Cancelled));
}

#[test]
fn two_phones_that_answer_at_once_make_one_call() {
    let mut w = World::secure(2);
    w.ringing(B, "b").ringing(C, "c");
    w.answer(B, "b", Some(srtp("answer B")));
    w.answer(C, "c", Some(srtp("answer C")));
    assert_eq!(w.acks(), [(C, "c".into(), 1, String::new())]);
    assert_eq!(w.sends(), [(C, Method::Bye, String::new())]);
    assert!(w.replies().is_empty());
    w.bye_done(C);
    assert_eq!(w.finished, None, "A and B talk on");
}

#[test]
fn a_second_dialog_of_one_invite_is_acknowledged_and_ended_once() {
    let mut w = World::connected();
    w.answer(B, "b2", Some(srtp("answer B2")));
    assert_eq!(w.acks(), [(B, "b2".into(), 1, String::new())]);
    let bye = w.sent(B, Method::Bye).unwrap().clone();
    assert_eq!(bye.dialog.remote_tag.as_deref(), Some("b2"));
    assert_eq!(&*bye.dialog.remote_target, "sip:b2@192.0.2.99");
    w.answer(B, "b2", None);
    assert_eq!((w.acks().len(), w.sends().len()), (1, 0), "a repeat gets its ACK, no second BYE");
    w.bye_done(B);
    assert_eq!(w.finished, None);
}

#[test]
fn further_dialogs_of_one_invite_are_bounded() {
    let mut w = World::connected();
    for i in 0..100 {
        w.answer(B, &format!("x{i}"), None);
    }
    let byes = w.all.iter().filter(|e| matches!(e, Effect::Send(s) if s.method == Method::Bye)).count();
    assert_eq!(byes, STRAYS_MAX);
}

#[test]
fn early_media_of_two_phones_come_under_two_tags() {
    let mut w = World::secure(2);
    w.invite_response(B, 183, "b", Some(srtp("early B")));
    let tag_b = w.reply_to(INVITE).to_tag.clone().unwrap();
    w.invite_response(C, 183, "c", Some(srtp("early C")));
    let tag_c = w.reply_to(INVITE).to_tag.clone().unwrap();
    assert_ne!(tag_b, tag_c);
    assert_eq!(w.replies(), [(INVITE, 183, "early C".into())]);
    w.answer(C, "c", None);
    assert_eq!(w.reply_to(INVITE).to_tag.as_ref(), Some(&tag_c));
    assert_eq!(w.replies(), [(INVITE, 200, "early C".into())], "the answer was in the 183");
}

#[test]
fn bare_ringing_is_told_once_but_a_changed_dialog_again() {
    let mut w = World::secure(2);
    w.ringing(B, "b");
    w.ringing(C, "c");
    assert!(w.replies().is_empty());
    w.ringing(B, "b");
    assert!(w.replies().is_empty(), "repeats of 180 say nothing");
    w.invite_response(B, 182, "b", None);
    assert_eq!(w.replies().len(), 1);
}

#[test]
fn early_dialogs_are_bounded() {
    let mut w = World::secure(1);
    for i in 0..20 {
        w.invite_response(B, 183, &format!("b{i}"), Some(srtp("early")));
    }
    let passed = w.all.iter().filter(|e| matches!(e, Effect::Reply(_))).count();
    assert_eq!(passed, EARLY_MAX);
    w.answer(B, "b19", Some(srtp("answer")));
    assert_eq!(w.replies(), [(INVITE, 200, "answer".into())]);
}

#[test]
fn nobody_answers() {
    let mut w = World::secure(2);
    w.ringing(B, "b").ringing(C, "c").fire(TimerKind::NoAnswer);
    assert_eq!(w.replies(), [(INVITE, 408, String::new())]);
    assert_eq!(w.cancels(), [B, C]);
    w.invite_response(B, 487, "b", None).invite_response(C, 487, "c", None);
    assert_eq!(w.finished, Some(End::NoAnswer));
}

#[test]
fn lower_q_rings_after_higher() {
    let targets = vec![target(1, 500, secure(1)), target(2, 1000, secure(2))];
    let mut w = World::start(args(secure(0), targets, Some(srtp("offer A"))));
    assert_eq!(w.sends(), [(C, Method::Invite, "offer A".into())]);
    let first = w.timers[&TimerKind::NoAnswer];
    w.ringing(C, "c").fire(TimerKind::NoAnswer);
    assert_eq!(w.cancels(), [C]);
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A".into())]);
    w.ringing(B, "b");
    w.on(Input::Timer { timer: TimerKind::NoAnswer, generation: first });
    assert!(w.last.is_empty(), "the first group's timer is stale");
    w.answer(B, "b", Some(srtp("answer B")));
    assert_eq!(w.replies(), [(INVITE, 200, "answer B".into())]);
}

#[test]
fn a_refusing_group_hands_over_at_once() {
    let targets = vec![target(1, 500, secure(1)), target(2, 1000, secure(2))];
    let mut w = World::start(args(secure(0), targets, Some(srtp("offer A"))));
    w.invite_response(C, 486, "c", None);
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A".into())]);
    w.fire(TimerKind::RingCap);
    assert_eq!(w.reply_to(INVITE).status, 486, "a person's choice is a better answer than silence");
}

#[test]
fn ring_cap_ends_endless_ringing() {
    let targets = vec![target(1, 500, secure(1)), target(2, 1000, secure(2))];
    let mut w = World::start(args(secure(0), targets, Some(srtp("offer A"))));
    w.ringing(C, "c").fire(TimerKind::RingCap);
    assert_eq!(w.replies(), [(INVITE, 408, String::new())]);
    assert!(w.sends().is_empty(), "no further group");
}

#[test]
fn a_phone_without_connection_is_waited_for() {
    let mut away = target(1, 1000, secure(1));
    away.flow = lost(1);
    let mut w = World::start(args(secure(0), vec![away.clone()], Some(srtp("offer A"))));
    assert!(w.sends().is_empty());
    let back =
        Input::TargetBack { flow: stream(1, 2), contact: "sip:new@h".into(), facts: Box::new(secure(1)) };
    w.on(back);
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A".into())]);
    assert_eq!(w.sent(B, Method::Invite).unwrap().flow, stream(1, 2));
    assert_eq!(&*w.sent(B, Method::Invite).unwrap().dialog.remote_target, "sip:new@h");

    let mut w = World::start(args(secure(0), vec![away.clone()], Some(srtp("offer A"))));
    w.fire(TimerKind::TargetWait(B));
    assert_eq!(w.replies(), [(INVITE, 480, String::new())]);

    let mut w = World::start(args(secure(0), vec![away], Some(srtp("offer A"))));
    w.on(Input::Unregistered { device: secure(1).device });
    assert_eq!(w.finished, Some(End::Rejected(480)));
}

#[test]
fn no_response_and_no_flow() {
    let mut w = World::secure(1);
    let token = w.token(B, Method::Invite);
    w.on(Input::Failed { token, failure: Failure::Timeout });
    assert_eq!(w.replies(), [(INVITE, 408, String::new())]);

    let mut w = World::secure(1);
    w.on(Input::Failed { token, failure: Failure::Transport });
    assert_eq!(w.replies(), [(INVITE, 480, String::new())]);

    let mut w = World::secure(2);
    w.ringing(B, "b").on(Input::FlowLost { flow: stream(1, 1) });
    assert!(w.replies().is_empty(), "C rings on");
    // A connection is known by its number, whatever address its loss is reported with.
    let Flow::Stream { id, .. } = stream(0, 1) else { panic!("a stream") };
    w.on(Input::FlowLost { flow: Flow::Stream { id, transport: Transport::Tcp, remote: remote(77) } });
    assert_eq!(w.reply_to(INVITE).status, 487, "the caller is gone");
    w.invite_response(C, 180, "c", None);
    assert_eq!(w.cancels(), [C]);
    w.fire(TimerKind::CancelWait(C));
    assert_eq!(w.finished, Some(End::LegLost));
}

#[test]
fn late_offer_is_answered_in_the_ack() {
    let targets = vec![target(1, 1000, secure(1))];
    let mut w = World::start(args(secure(0), targets, None));
    w.answer(B, "b", Some(srtp("offer B")));
    assert_eq!(w.replies(), [(INVITE, 200, "offer B".into())]);
    assert!(w.acks().is_empty(), "the answer is not known yet");
    w.answer(B, "b", Some(srtp("offer B")));
    assert!(w.last.is_empty());
    w.ack(A, 101, Some(srtp("answer A")));
    assert_eq!(w.acks(), [(B, "b".into(), 1, "answer A".into())]);
    assert_eq!(w.class(), Some(crate::mode::SecurityClass::Encrypted));
    w.answer(B, "b", Some(srtp("offer B")));
    assert_eq!(w.acks(), [(B, "b".into(), 1, "answer A".into())], "repeats get the same ACK");
}

#[test]
fn a_late_offer_without_answer_is_no_call() {
    let targets = vec![target(1, 1000, secure(1))];
    let mut w = World::start(args(secure(0), targets, None));
    w.answer(B, "b", Some(srtp("offer B")));
    w.ack(A, 101, None);
    assert_eq!(w.acks().len(), 1);
    assert_eq!(w.sends().len(), 2);
    w.bye_done(A).bye_done(B);
    assert_eq!(w.finished, Some(End::LegLost));
}

#[test]
fn the_caller_may_give_up_an_early_dialog_by_bye() {
    let mut w = World::secure(1);
    w.ringing(B, "b");
    let bye = w.request(A, Method::Bye, None);
    assert_eq!(w.replies(), [(bye, 200, String::new()), (INVITE, 487, String::new())]);
    assert_eq!(w.cancels(), [B]);
}

#[test]
fn early_requests_are_answered_by_the_rules() {
    let mut w = World::secure(1);
    w.invite_response(B, 183, "b", Some(srtp("early B")));
    let info = w.request(A, Method::Info, None);
    assert_eq!(w.sends(), [(B, Method::Info, String::new())]);
    assert_eq!(w.sent(B, Method::Info).unwrap().dialog.remote_tag.as_deref(), Some("b"));
    let token = w.token(B, Method::Info);
    w.respond(token, 200, "", None);
    assert_eq!(w.reply_to(info).status, 200);
    let update = w.request(A, Method::Update, Some(srtp("x")));
    assert_eq!(w.reply_to(update).status, 500);
    let update = w.request(B, Method::Update, Some(srtp("x")));
    assert_eq!(w.reply_to(update).status, 491);
    let prack = w.request(A, Method::Prack, None);
    assert_eq!(w.reply_to(prack).status, 481);
}

#[test]
fn an_sdes_only_offer_does_not_cross_to_a_phone_without_tls() {
    let targets = vec![target(1, 1000, plain(1))];
    let w = World::start(args(secure(0), targets.clone(), Some(srtp("offer A"))));
    assert_eq!(w.replies(), [(INVITE, 488, String::new())]);
    let w = World::start(args(secure(0), targets, Some(fallback("offer A"))));
    assert_eq!(w.sends().len(), 1);
    assert!(!w.sent(B, Method::Invite).unwrap().carry_crypto, "the keys are stripped");
}

#[test]
fn only_listed_headers_pass_and_no_forged_security() {
    let mut start = args(secure(0), vec![target(1, 1000, secure(1))], Some(srtp("offer A")));
    start.headers = [
        ("Alert-Info", "<urn:alert:priority:high>"),
        ("Authorization", "Digest x"),
        ("Call-Info", "<http://www.example.com/photo.jpg>;purpose=icon"),
        ("Call-Info", "<URN:X-Cisco-RemoteCC:callinfo>; security=Encrypted"),
    ]
    .map(|(name, value)| Header::new(name, value))
    .into_iter()
    .collect();
    let w = World::start(start);
    let headers = &w.sent(B, Method::Invite).unwrap().headers;
    let names: Vec<_> = headers.iter().map(|h| &*h.name).collect();
    assert_eq!(
        names,
        ["Alert-Info", "Call-Info", "Supported", "P-Asserted-Identity", "Session-Expires", "Min-SE",]
    );
    assert!(headers[1].value.contains("photo"));
}

#[test]
fn at_most_sixty_four_legs() {
    let targets = (0..100).map(|i| target(i % 9, 1000, secure(i % 9))).collect();
    let w = World::start(args(secure(0), targets, Some(srtp("offer A"))));
    assert_eq!(w.sends().len(), LEGS_MAX - 1);
}

#[test]
fn a_late_offer_with_keys_does_not_cross_to_a_caller_without_tls() {
    let mut w = World::start(args(plain(0), vec![target(1, 1000, secure(1))], None));
    w.answer(B, "b", Some(srtp("offer B")));
    assert_eq!(w.replies(), [(INVITE, 488, String::new())]);
    assert_eq!((w.acks().len(), w.sends()), (1, vec![(B, Method::Bye, String::new())]));
    w.bye_done(B);
    assert_eq!(w.finished, Some(End::Rejected(488)));
}
