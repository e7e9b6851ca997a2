//! INVITE server transactions, their ACK and their CANCEL.

use super::*;

#[test]
fn a_silent_user_gets_a_100_sent_after_200_ms() {
    let mut server = Server::new();
    let tx = server.open(0, "INVITE", UDP, Some("100"));
    server.receive(150, "INVITE", "z9hG4bK1");
    server.run(5_000);
    assert_eq!(server.take(), log(&[(200, "send 100")]), "once, and nothing before");
    server.receive(6_000, "INVITE", "z9hG4bK1");
    server.respond(7_000, tx, 180).unwrap();
    server.receive(8_000, "INVITE", "z9hG4bK1");
    assert_eq!(server.take(), log(&[(6_000, "send 100"), (7_000, "send 180"), (8_000, "send 180")]));
}

#[test]
fn a_quick_user_needs_no_stored_100() {
    let mut server = Server::new();
    let tx = server.open(0, "INVITE", UDP, Some("100"));
    server.respond(100, tx, 180).unwrap();
    server.run(10_000);
    assert_eq!(server.take(), log(&[(100, "send 180")]));
}

#[test]
fn timers_g_and_h_repeat_a_refusal_until_nobody_acknowledges() {
    let mut server = Server::new();
    let tx = server.open(0, "INVITE", UDP, None);
    server.respond(0, tx, 486).unwrap();
    server.run(60_000);
    let mut expected = vec![(0, "send 486"), (500, "send 486"), (1_500, "send 486"), (3_500, "send 486")];
    expected.extend((7_500..32_000).step_by(4_000).map(|at| (at, "send 486")));
    expected.extend([(32_000, "NoAck { accepted: false }"), (32_000, "terminated")]);
    assert_eq!(server.take(), log(&expected));
    assert!(server.table.is_empty());
}

#[test]
fn an_ack_stops_the_refusal_and_timer_i_absorbs_more() {
    let mut server = Server::new();
    let tx = server.open(0, "INVITE", UDP, None);
    server.respond(0, tx, 486).unwrap();
    server.receive(100, "INVITE", "z9hG4bK1");
    assert_eq!(server.receive(200, "ACK", "z9hG4bK1"), Received::Absorbed);
    assert_eq!(server.receive(300, "ACK", "z9hG4bK1"), Received::Absorbed);
    assert_eq!(server.receive(300, "INVITE", "z9hG4bK1"), Received::Absorbed);
    server.run(60_000);
    assert_eq!(server.take(), log(&[(0, "send 486"), (100, "send 486"), (5_200, "terminated")]));
}

#[test]
fn on_a_stream_a_refusal_is_sent_once_and_its_ack_ends_it() {
    let mut server = Server::new();
    let tx = server.open(0, "INVITE", TCP, None);
    server.respond(0, tx, 486).unwrap();
    server.run(31_000);
    assert_eq!(server.receive(31_000, "ACK", "z9hG4bK1"), Received::Absorbed);
    assert_eq!(server.take(), log(&[(0, "send 486"), (31_000, "terminated")]));
}

#[test]
fn a_2xx_is_repeated_over_any_transport_until_the_user_has_its_ack() {
    for route in [UDP, TCP] {
        let mut server = Server::new();
        let tx = server.open(0, "INVITE", route, None);
        server.respond(0, tx, 200).unwrap();
        server.run(4_000);
        assert_eq!(
            server.take(),
            log(&[(0, "send 200"), (500, "send 200"), (1_500, "send 200"), (3_500, "send 200")])
        );
        assert_eq!(server.receive(4_000, "ACK", "z9hG4bKother"), Received::Ack { accepted: None });
        assert!(server.table.stop_2xx(tx));
        assert!(!server.table.stop_2xx(tx), "a repeated ACK");
        assert_eq!(server.receive(4_100, "INVITE", "z9hG4bK1"), Received::Absorbed, "Accepted absorbs");
        server.run(60_000);
        assert_eq!(server.take(), log(&[(32_000, "terminated")]), "Timer L, no repeat in between");
    }
}

#[test]
fn a_2xx_without_ack_is_reported_after_64_t1() {
    let mut server = Server::new();
    let tx = server.open(0, "INVITE", TCP, None);
    server.respond(0, tx, 200).unwrap();
    server.run(60_000);
    let log = server.take();
    assert_eq!(log.iter().filter(|(_, word)| word == "send 200").count(), 11);
    assert_eq!(
        log[11..],
        [(32_000, "NoAck { accepted: true }".to_owned()), (32_000, "terminated".to_owned())]
    );
}

#[test]
fn a_repeated_invite_does_not_trigger_the_2xx() {
    let mut server = Server::new();
    let tx = server.open(0, "INVITE", UDP, None);
    server.respond(0, tx, 200).unwrap();
    assert_eq!(server.receive(10, "INVITE", "z9hG4bK1"), Received::Absorbed);
    assert_eq!(server.take(), log(&[(0, "send 200")]), "RFC 6026: the user repeats it, nobody else");
    server.respond(20, tx, 202).unwrap();
    assert_eq!(server.respond(30, tx, 486), Err(RespondError::AlreadyFinal { code: 486 }));
    assert_eq!(server.take(), log(&[(20, "send 202")]), "another 2xx may follow");
}

#[test]
fn an_ack_of_an_old_client_with_the_branch_of_the_invite_reaches_the_user() {
    let mut server = Server::new();
    let tx = server.open(0, "INVITE", UDP, None);
    assert_eq!(server.receive(1, "ACK", "z9hG4bK1"), Received::Absorbed, "nothing to acknowledge yet");
    server.respond(2, tx, 200).unwrap();
    assert_eq!(server.receive(3, "ACK", "z9hG4bK1"), Received::Ack { accepted: Some(tx) });
    server.table.stop_2xx(tx);
    assert_eq!(server.receive(4, "ACK", "z9hG4bK1"), Received::Ack { accepted: Some(tx) });
}

#[test]
fn a_cancel_finds_its_invite_and_has_its_own_transaction() {
    let mut server = Server::new();
    let invite = server.open(0, "INVITE", UDP, None);
    let Received::Cancel { key, target } = server.receive(10, "CANCEL", "z9hG4bK1") else { panic!() };
    assert_eq!(target, CancelTarget::Pending(invite));
    assert_eq!(server.table.route(invite), Some(UDP));
    let mut actions = Vec::new();
    let cancel = server.table.open(START + 10, key, UDP, None, 8, &mut actions).unwrap();
    server.respond(10, cancel, 200).unwrap();
    server.respond(11, invite, 487).unwrap();
    assert_eq!(server.receive(12, "CANCEL", "z9hG4bK1"), Received::Absorbed);
    assert_eq!(server.receive(13, "ACK", "z9hG4bK1"), Received::Absorbed);
    assert_eq!(server.take(), log(&[(10, "send 200"), (11, "send 487"), (12, "send 200")]));
    server.run(60_000);
    assert!(server.table.is_empty());
}

#[test]
fn a_cancel_after_the_answer_or_without_invite_says_so() {
    let mut server = Server::new();
    let invite = server.open(0, "INVITE", UDP, None);
    server.respond(1, invite, 200).unwrap();
    let Received::Cancel { target, .. } = server.receive(2, "CANCEL", "z9hG4bK1") else { panic!() };
    assert_eq!(target, CancelTarget::Answered(invite));
    let Received::Cancel { target, .. } = server.receive(2, "CANCEL", "z9hG4bK2") else { panic!() };
    assert_eq!(target, CancelTarget::Unknown);
}

#[test]
fn a_stray_ack_goes_to_the_dialogs_and_opens_nothing() {
    let mut server = Server::new();
    assert_eq!(server.receive(0, "ACK", "z9hG4bK1"), Received::Ack { accepted: None });
    assert!(server.table.is_empty());
}

#[test]
fn a_lost_connection_tells_the_user_but_a_2xx_goes_on() {
    let mut server = Server::new();
    let mut actions = Vec::new();
    let tx = server.open(0, "INVITE", TCP, None);
    server.respond(0, tx, 200).unwrap();
    server.table.transport_failed(tx, &mut actions);
    assert_eq!(words(&actions), ["TransportFailed"]);
    server.table.set_route(tx, Road::Stream(2));
    actions.clear();
    server.table.on_tick(START + 500, &mut actions);
    assert!(matches!(actions[..], [Action::Send { route: Road::Stream(2), .. }]));

    let mut server = Server::new();
    let tx = server.open(0, "INVITE", TCP, None);
    actions.clear();
    server.table.transport_failed(tx, &mut actions);
    assert_eq!(words(&actions), ["TransportFailed", "terminated"]);
}

#[test]
fn a_forgotten_invite_ends_at_the_ring_cap() {
    let mut server = Server::new();
    let tx = server.open(0, "INVITE", UDP, None);
    server.respond(0, tx, 180).unwrap();
    server.run(1_799_999);
    assert_eq!(server.take(), log(&[(0, "send 180")]));
    server.run(1_800_000);
    assert_eq!(server.take(), log(&[(1_800_000, "Unanswered"), (1_800_000, "terminated")]));
}
