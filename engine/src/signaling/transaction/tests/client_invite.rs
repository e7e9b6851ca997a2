//! INVITE client transactions, their ACK and their CANCEL.

use super::*;

#[test]
fn timers_a_and_b_double_without_a_cap() {
    let mut client = Client::new();
    client.send(0, "INVITE", UDP);
    client.run(60_000);
    let sent = [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500].map(|at| (at, "send INVITE"));
    let mut expected = sent.to_vec();
    expected.extend([(32_000, "Timeout"), (32_000, "terminated")]);
    assert_eq!(client.take(), log(&expected));
}

#[test]
fn a_provisional_stops_the_repeats_and_timer_b() {
    let mut client = Client::new();
    let tx = client.send(0, "INVITE", UDP);
    assert_eq!(client.receive(400, "INVITE", 100), Verdict::Provisional { tx, owner: 7 });
    client.run(200_000);
    assert_eq!(client.receive(200_000, "INVITE", 180), Verdict::Provisional { tx, owner: 7 });
    assert_eq!(client.take(), log(&[(0, "send INVITE")]));
    client.run(1_800_399);
    assert_eq!(client.take(), []);
    client.run(1_800_400);
    assert_eq!(
        client.take(),
        log(&[(1_800_400, "Timeout"), (1_800_400, "terminated")]),
        "180s don't extend it"
    );
}

#[test]
fn a_refusal_is_acknowledged_each_time_and_told_once() {
    let mut client = Client::new();
    let tx = client.send(0, "INVITE", UDP);
    assert_eq!(client.receive(100, "INVITE", 486), Verdict::Final { tx, owner: 7 });
    assert_eq!(client.receive(600, "INVITE", 486), Verdict::Absorbed);
    assert_eq!(client.receive(700, "INVITE", 200), Verdict::Absorbed);
    client.run(60_000);
    assert_eq!(
        client.take(),
        log(&[(0, "send INVITE"), (100, "send ACK"), (600, "send ACK"), (32_100, "terminated")]),
        "Timer D"
    );
}

#[test]
fn the_ack_of_a_refusal_has_the_branch_of_the_invite_and_the_to_of_the_response() {
    let mut client = Client::new();
    client.send(0, "INVITE", UDP);
    let branch = client.branch;
    let response = outcome("INVITE", branch.as_str(), 486);
    let mut actions = Vec::new();
    client.table.receive(START, &parsed(&response), &mut actions);
    let [Action::Send { bytes, route: UDP, .. }] = &actions[..] else { panic!("{actions:?}") };
    let text = String::from_utf8_lossy(bytes);
    assert!(text.starts_with("ACK sip:b@10.0.0.9 SIP/2.0\r\n"), "{text}");
    assert!(text.contains(&format!("branch={branch}\r\n")), "{text}");
    assert!(text.contains("\r\nTo: <sip:b@keyline.local>;tag=t\r\n"), "{text}");
    assert!(text.contains("\r\nCSeq: 1 ACK\r\n"), "{text}");
}

#[test]
fn on_a_stream_a_refusal_ends_it_with_its_ack() {
    let mut client = Client::new();
    client.send(0, "INVITE", TCP);
    client.receive(100, "INVITE", 603);
    assert_eq!(client.take(), log(&[(0, "send INVITE"), (100, "send ACK"), (100, "terminated")]));
}

#[test]
fn every_2xx_reaches_the_user_until_timer_m() {
    for route in [UDP, TCP] {
        let mut client = Client::new();
        let tx = client.send(0, "INVITE", route);
        client.receive(50, "INVITE", 180);
        assert_eq!(client.receive(100, "INVITE", 200), Verdict::Accepted { tx, owner: 7, first: true });
        assert_eq!(client.receive(600, "INVITE", 200), Verdict::Accepted { tx, owner: 7, first: false });
        assert_eq!(client.receive(700, "INVITE", 180), Verdict::Absorbed);
        assert_eq!(client.receive(700, "INVITE", 486), Verdict::Absorbed);
        client.run(60_000);
        assert_eq!(client.take(), log(&[(0, "send INVITE"), (32_100, "terminated")]));
        assert_eq!(client.receive(60_000, "INVITE", 200), Verdict::Unknown);
    }
}

#[test]
fn a_cancel_waits_for_a_provisional_and_then_limits_the_invite() {
    let mut client = Client::new();
    let mut actions = Vec::new();
    let invite = client.send(0, "INVITE", UDP);
    let mut cancel = |client: &mut Client, at| {
        let result = client.table.cancel(START + at, invite, &[("Reason", "SIP;cause=200")], 8, &mut actions);
        client.note(at, std::mem::take(&mut actions));
        result
    };
    assert_eq!(cancel(&mut client, 10), Err(CancelError::NotYet));
    client.receive(20, "INVITE", 180);
    let tx = cancel(&mut client, 30).unwrap();
    assert_eq!(cancel(&mut client, 40), Err(CancelError::Repeated));
    assert_eq!(client.take(), log(&[(0, "send INVITE"), (30, "send CANCEL")]));
    client.run(600);
    assert_eq!(client.take(), log(&[(530, "send CANCEL")]), "a transaction of its own");
    assert_eq!(client.receive(650, "CANCEL", 200), Verdict::Final { tx, owner: 8 });
    assert_eq!(client.receive(660, "INVITE", 487), Verdict::Final { tx: invite, owner: 7 });
    assert_eq!(cancel(&mut client, 670), Err(CancelError::Answered));
    client.run(60_000);
    assert!(client.table.is_empty());
    assert_eq!(cancel(&mut client, 60_000), Err(CancelError::Gone));
}

#[test]
fn a_cancelled_invite_without_final_response_times_out() {
    let mut client = Client::new();
    let invite = client.send(0, "INVITE", TCP);
    client.receive(20, "INVITE", 180);
    client.table.cancel(START + 1_000, invite, &[], 8, &mut Vec::new()).unwrap();
    client.receive(1_010, "CANCEL", 200);
    client.take();
    client.run(60_000);
    assert_eq!(client.take(), log(&[(33_000, "Timeout"), (33_000, "terminated")]));
}

#[test]
fn a_2xx_that_crosses_the_cancel_is_accepted() {
    let mut client = Client::new();
    let invite = client.send(0, "INVITE", UDP);
    client.receive(20, "INVITE", 180);
    let cancel = client.table.cancel(START + 30, invite, &[], 8, &mut Vec::new()).unwrap();
    assert!(matches!(client.receive(40, "INVITE", 200), Verdict::Accepted { first: true, .. }));
    assert_eq!(client.receive(50, "CANCEL", 200), Verdict::Final { tx: cancel, owner: 8 });
    client.run(40_000);
    assert!(client.table.is_empty());
}

#[test]
fn only_an_invite_can_be_cancelled() {
    let mut client = Client::new();
    let tx = client.send(0, "OPTIONS", UDP);
    client.receive(1, "OPTIONS", 100);
    assert_eq!(client.table.cancel(START, tx, &[], 8, &mut Vec::new()), Err(CancelError::Gone));
}
