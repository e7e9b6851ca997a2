//! Non-INVITE client transactions.

use super::*;

#[test]
fn timers_e_and_f_repeat_the_request_and_give_up() {
    let mut client = Client::new();
    client.send(0, "OPTIONS", UDP);
    client.run(60_000);
    let mut expected = vec![(0, "send OPTIONS"), (500, "send OPTIONS"), (1_500, "send OPTIONS")];
    expected.extend((3_500..32_000).step_by(4_000).map(|at| (at, "send OPTIONS")));
    expected.extend([(32_000, "Timeout"), (32_000, "terminated")]);
    assert_eq!(client.take(), log(&expected));
    assert!(client.table.is_empty());
    assert_eq!(client.table.counts().timed_out, 1);
}

#[test]
fn a_provisional_slows_timer_e_to_t2_at_once() {
    let mut client = Client::new();
    client.send(0, "OPTIONS", UDP);
    assert!(matches!(client.receive(600, "OPTIONS", 100), Verdict::Provisional { owner: 7, .. }));
    client.run(10_000);
    assert_eq!(client.take(), log(&[(0, "send OPTIONS"), (4_600, "send OPTIONS"), (8_600, "send OPTIONS")]));
}

#[test]
fn the_final_response_comes_once_and_timer_k_absorbs_repeats() {
    let mut client = Client::new();
    let tx = client.send(0, "OPTIONS", UDP);
    assert_eq!(client.receive(100, "OPTIONS", 200), Verdict::Final { tx, owner: 7 });
    assert_eq!(client.receive(200, "OPTIONS", 200), Verdict::Absorbed);
    assert_eq!(client.receive(200, "OPTIONS", 100), Verdict::Absorbed);
    client.run(60_000);
    assert_eq!(client.take(), log(&[(0, "send OPTIONS"), (5_100, "terminated")]));
    assert_eq!(client.receive(60_000, "OPTIONS", 200), Verdict::Unknown);
}

#[test]
fn on_a_stream_nothing_is_repeated_and_the_final_ends_it() {
    let mut client = Client::new();
    client.send(0, "OPTIONS", TCP);
    client.run(30_000);
    client.receive(30_000, "OPTIONS", 404);
    assert_eq!(client.take(), log(&[(0, "send OPTIONS"), (30_000, "terminated")]));

    client.send(40_000, "OPTIONS", TCP);
    client.run(80_000);
    assert_eq!(client.take(), log(&[(40_000, "send OPTIONS"), (72_000, "Timeout"), (72_000, "terminated")]));
}

#[test]
fn only_branch_and_method_together_match() {
    let mut client = Client::new();
    client.send(0, "OPTIONS", UDP);
    assert_eq!(client.receive(1, "INVITE", 200), Verdict::Unknown);
    assert_eq!(client.receive(1, "CANCEL", 200), Verdict::Unknown);
    let mut ask = |branch: &str| {
        let response = outcome("OPTIONS", branch, 200);
        client.table.receive(START, &parsed(&response), &mut Vec::new())
    };
    assert_eq!(ask(branch::make(3, [8; 12]).as_str()), Verdict::Unknown);
    assert_eq!(ask(branch::make(4, [9; 12]).as_str()), Verdict::Foreign(4));
    assert_eq!(ask("z9hG4bKstranger"), Verdict::Unknown);
}

#[test]
fn a_transport_error_is_told_once_and_ends_it() {
    let mut client = Client::new();
    let tx = client.send(0, "OPTIONS", TCP);
    let mut actions = Vec::new();
    client.table.transport_failed(tx, &mut actions);
    client.table.transport_failed(tx, &mut actions);
    assert_eq!(words(&actions), ["TransportFailed", "terminated"]);
}

#[test]
fn a_branch_is_used_once() {
    let mut client = Client::new();
    client.send(0, "OPTIONS", UDP);
    let branch = client.branch;
    let mut send = |method: Method<'_>| {
        client.table.send(START, method, branch.as_str(), bytes("x"), UDP, 1, &mut Vec::new())
    };
    assert_eq!(send(Method::Options), Err(SendError::Duplicate));
    assert_eq!(send(Method::Ack), Err(SendError::Ack));
}
