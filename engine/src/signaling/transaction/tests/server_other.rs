//! Non-INVITE server transactions.

use super::*;

#[test]
fn a_repeat_gets_the_stored_answer_until_timer_j() {
    let mut server = Server::new();
    let tx = server.open(0, "REGISTER", UDP, None);
    assert_eq!(server.receive(500, "REGISTER", "z9hG4bK1"), Received::Absorbed, "while the user thinks");
    assert_eq!(server.take(), [], "nothing to say yet");
    server.respond(600, tx, 200).unwrap();
    assert_eq!(server.receive(1_500, "REGISTER", "z9hG4bK1"), Received::Absorbed);
    assert_eq!(server.take(), log(&[(600, "send 200"), (1_500, "send 200")]));
    server.run(32_599);
    assert_eq!(server.take(), []);
    assert_eq!(server.receive(32_599, "REGISTER", "z9hG4bK1"), Received::Absorbed);
    server.run(32_600);
    assert_eq!(server.take(), log(&[(32_599, "send 200"), (32_600, "terminated")]));
    assert!(matches!(server.receive(32_601, "REGISTER", "z9hG4bK1"), Received::New(_)));
    assert!(server.table.is_empty());
    assert_eq!(server.table.counts().absorbed, 3);
}

#[test]
fn on_a_stream_the_final_response_ends_it() {
    let mut server = Server::new();
    let tx = server.open(0, "REGISTER", TCP, None);
    server.respond(5, tx, 200).unwrap();
    assert_eq!(server.take(), log(&[(5, "send 200"), (5, "terminated")]));
    assert_eq!(server.respond(6, tx, 200), Err(RespondError::Gone));
    assert!(server.table.is_empty());
}

#[test]
fn the_100_comes_when_timer_e_would_reach_t2_and_not_before() {
    let mut server = Server::new();
    let tx = server.open(0, "OPTIONS", UDP, Some("100"));
    assert_eq!(server.respond(3_499, tx, 100), Err(RespondError::NotAllowed { code: 100 }));
    assert_eq!(server.respond(3_499, tx, 180), Err(RespondError::NotAllowed { code: 180 }));
    server.run(10_000);
    assert_eq!(server.take(), log(&[(3_500, "send 100")]));
    server.receive(11_000, "OPTIONS", "z9hG4bK1");
    assert_eq!(server.respond(12_000, tx, 180), Err(RespondError::NotAllowed { code: 180 }));
    server.respond(12_000, tx, 200).unwrap();
    assert_eq!(server.take(), log(&[(11_000, "send 100"), (12_000, "send 200")]));
    server.run(44_000);
    assert_eq!(server.take(), log(&[(44_000, "terminated")]));

    let tx = server.open(50_000, "OPTIONS", TCP, None);
    server.respond(50_001, tx, 100).unwrap();
    server.respond(50_002, tx, 200).unwrap();
    assert_eq!(
        server.take(),
        log(&[(50_001, "send 100"), (50_002, "send 200"), (50_002, "terminated")]),
        "streams may have a 100 at any time"
    );
}

#[test]
fn a_408_is_never_sent() {
    let mut server = Server::new();
    let tx = server.open(0, "SUBSCRIBE", UDP, None);
    server.respond(9, tx, 408).unwrap();
    assert_eq!(server.take(), log(&[(9, "terminated")]));
}

#[test]
fn a_silent_user_loses_the_transaction() {
    let mut server = Server::new();
    let tx = server.open(0, "REGISTER", TCP, None);
    server.run(31_999);
    assert_eq!(server.take(), []);
    server.run(32_000);
    assert_eq!(server.take(), log(&[(32_000, "Unanswered"), (32_000, "terminated")]));
    assert_eq!(server.respond(32_001, tx, 200), Err(RespondError::Gone));
}

#[test]
fn a_second_final_response_is_refused() {
    let mut server = Server::new();
    let tx = server.open(0, "REGISTER", UDP, None);
    server.respond(1, tx, 200).unwrap();
    assert_eq!(server.respond(2, tx, 500), Err(RespondError::AlreadyFinal { code: 500 }));
    assert_eq!(server.respond(2, tx, 99), Err(RespondError::Code { code: 99 }));
    server.receive(3, "REGISTER", "z9hG4bK1");
    assert_eq!(server.take(), log(&[(1, "send 200"), (3, "send 200")]));
}

#[test]
fn a_transport_error_ends_it_while_nothing_was_answered() {
    let mut server = Server::new();
    let tx = server.open(0, "REGISTER", UDP, None);
    let mut actions = Vec::new();
    server.table.transport_failed(tx, &mut actions);
    assert_eq!(words(&actions), ["TransportFailed", "terminated"]);
    actions.clear();

    let tx = server.open(1, "REGISTER", UDP, None);
    server.respond(2, tx, 200).unwrap();
    server.table.transport_failed(tx, &mut actions);
    assert_eq!(actions, [], "repeats of the request still find their answer");
    assert_eq!(server.receive(3, "REGISTER", "z9hG4bK1"), Received::Absorbed);
}

#[test]
fn an_unchallenged_request_and_a_stateless_answer_leave_nothing_behind() {
    let mut server = Server::new();
    for turn in 0..3_000 {
        assert!(matches!(server.receive(turn, "REGISTER", &format!("z9hG4bK{turn}")), Received::New(_)));
    }
    assert!(server.table.is_empty());
    assert_eq!(server.table.next_wakeup(), None);
}

#[test]
fn the_key_is_branch_sent_by_and_method() {
    let mut server = Server::new();
    server.open(0, "REGISTER", UDP, None);
    let mut ask = |from: &str, to: &str| {
        let text = incoming("REGISTER", "z9hG4bK1").replace(from, to);
        let received = server.table.receive(START + 1, &parsed(&text), SOURCE, &mut Vec::new());
        received == Received::Absorbed
    };
    assert!(ask("CSeq: 1", "CSeq: 9"), "only the three count");
    assert!(!ask("z9hG4bK1", "z9hG4bK2"));
    assert!(!ask("z9hG4bK1", "z9HG4BK1"), "the cookie's case matters");
    assert!(!ask("10.0.0.5:5060", "10.0.0.5"));
    assert!(!ask("10.0.0.5:5060", "10.0.0.6:5060"));
    assert!(!ask("REGISTER", "OPTIONS"));
    assert!(!ask("REGISTER", "register"), "methods are case-sensitive");
}

#[test]
fn hosts_in_sent_by_compare_without_case() {
    let mut server = Server::new();
    let named = |host: &str| incoming("REGISTER", "z9hG4bK1").replace("10.0.0.5:5060", host);
    let (mixed, lower) = (named("Phone.Example:5060"), named("phone.example:5060"));
    let mut actions = Vec::new();
    let Received::New(key) = server.table.receive(START, &parsed(&mixed), SOURCE, &mut actions) else {
        panic!()
    };
    server.table.open(START, key, UDP, None, 1, &mut actions).unwrap();
    assert_eq!(server.table.receive(START, &parsed(&lower), SOURCE, &mut actions), Received::Absorbed);
    assert_eq!(
        server.table.open(START, key, UDP, None, 1, &mut actions),
        Err(Refused::Duplicate),
        "one key, one transaction"
    );
}

#[test]
fn without_the_cookie_the_whole_tuple_counts() {
    for branch in ["1", "z9hG4bK", "z9hg4bkabc"] {
        let text = incoming("REGISTER", branch);
        let mut server = Server::new();
        let mut actions = Vec::new();
        let Received::New(key) = server.table.receive(START, &parsed(&text), SOURCE, &mut actions) else {
            panic!()
        };
        server.table.open(START, key, UDP, None, 1, &mut actions).unwrap();
        assert_eq!(server.table.receive(START, &parsed(&text), SOURCE, &mut actions), Received::Absorbed);
        for (from, to) in [
            ("CSeq: 1", "CSeq: 2"),
            ("Call-ID: c", "Call-ID: d"),
            ("tag=f", "tag=g"),
            ("REGISTER sip:keyline.local", "REGISTER sip:other"),
            ("SIP/2.0/UDP", "SIP/2.0/TCP"),
            ("REGISTER", "OPTIONS"),
        ] {
            let other = text.replace(from, to);
            let received = server.table.receive(START, &parsed(&other), SOURCE, &mut actions);
            assert!(matches!(received, Received::New(_)), "{other}");
        }
    }
}

#[test]
fn a_response_is_no_request() {
    let mut server = Server::new();
    let text = outcome("REGISTER", "z9hG4bK1", 200);
    let received = server.table.receive(START, &parsed(&text), SOURCE, &mut Vec::new());
    assert_eq!(received, Received::Unmatchable);
}
