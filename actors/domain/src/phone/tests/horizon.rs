//! The horizon: which refreshes are answered without a write, expiry and restart.

use super::*;

#[test]
fn the_horizon_is_the_grant_again_at_most_an_hour() {
    for (grant, beyond) in [(60, 60), (3599, 3599), (3600, 3600), (7200, 3600), (u32::MAX, 3600)] {
        assert_eq!(horizon(grant), beyond);
    }
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A).expires(120)]), &at(0));
    assert_eq!(row.bindings[0].persisted_until, t(240));
    let _ = take(&mut row, &request(2, [contact(A).expires(7200)]), &at(0));
    assert_eq!(row.bindings[0].persisted_until, t(7200 + 3600));
}

#[test]
fn a_refresh_inside_the_horizon_is_answered_without_a_write() {
    let mut row = phone();
    let refresh = |cseq| request(cseq, [contact(A).expires(120)]).nonce(5, cseq);
    let _ = take(&mut row, &refresh(1), &at(0));
    let step = take(&mut row, &refresh(2), &at(115));
    assert_eq!(step.write, Write::None);
    assert_eq!(row.bindings[0].granted_until, t(235));
    assert_eq!(row.bindings[0].persisted_until, t(240), "what storage has");
    let step = take(&mut row, &refresh(3), &at(121));
    assert_eq!(step.write, Write::Put, "241 is past 240");
    assert_eq!(row.bindings[0].persisted_until, t(361));
}

#[test]
fn anything_but_expiry_cseq_and_nonce_count_is_written() {
    let mut row = phone();
    let base = || request(2, [contact(A)]).nonce(5, 2).over(stream(1, "10.0.0.1:4000"));
    let _ = take(&mut row, &request(1, [contact(A)]).nonce(5, 1).over(stream(1, "10.0.0.1:4000")), &at(0));
    assert_eq!(on(&row, &base(), &at(1)).write, Write::None);
    let same_peer_address = base().over(stream(2, "10.0.0.1:4000"));
    assert_eq!(on(&row, &same_peer_address, &at(1)).write, Write::None, "stored as lost either way");
    let tls = Peer { suite: 0x1301, ..Peer::default() };
    for changed in [
        base().call("c2"),
        base().nonce(6, 1),
        base().over(stream(1, "10.0.0.1:4001")),
        base().over(udp("10.0.0.1:4000")),
        Register { peer: tls, ..base() },
        Register { contacts: [contact(A).q(5)].into_iter().collect(), ..base() },
        Register { contacts: [contact(A).instance(INSTANCE)].into_iter().collect(), ..base() },
        Register { contacts: [contact(A), contact(B)].into_iter().collect(), ..base() },
    ] {
        assert_eq!(on(&row, &changed, &at(1)).write, Write::Put, "{changed:?}");
    }
}

#[test]
fn a_much_shorter_grant_is_written_lest_a_restart_revive_it_for_long() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A).expires(3600)]), &at(0));
    let step = take(&mut row, &request(2, [contact(A).expires(60)]), &at(10));
    assert_eq!((step.write, row.bindings[0].persisted_until), (Write::Put, t(130)));
}

#[test]
fn expiry_takes_what_is_due_and_nothing_earlier() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A).expires(100), contact(B).expires(200)]), &at(0));
    assert_eq!(expire(&row, UnixMillis(t(100).0 - 1)), Step::idle());
    let step = expire(&row, t(100));
    assert_eq!((step.outcome, step.write), (Outcome::Silent, Write::Put));
    assert_eq!(step.events.as_slice(), [Event::Unregistered(dn("1001"), Gone::Expired)]);
    let row = step.row.unwrap();
    assert_eq!(listed(&row, 100), pairs(&[(B, 100)]));
    assert_eq!(next_deadline(&row), Some(t(200)));
    assert_eq!(next_deadline(&expire(&row, t(200)).row.unwrap()), None);
}

#[test]
fn a_dead_binding_is_not_listed_and_the_next_request_buries_it() {
    let mut row = phone();
    let _ = take(&mut row, &request(9, [contact(A).expires(100)]), &at(0));
    assert!(listed(&row, 100).is_empty() && !row.is_registered(t(100)));
    // Its order died with it.
    let step = take(&mut row, &request(3, [contact(A).expires(100)]), &at(100));
    assert!(accepted(&step).newreg);
    assert_eq!(
        step.events.as_slice(),
        [Event::Unregistered(dn("1001"), Gone::Expired), Event::Registered(dn("1001"))]
    );
}

#[test]
fn a_restart_keeps_bindings_to_the_horizon_and_loses_streams() {
    let mut row = phone();
    let short = request(1, [contact(B).expires(60)]).call("s").over(udp("10.0.0.1:5080"));
    let _ = take(&mut row, &request(1, [contact(A).expires(600)]).over(stream(4, "10.0.0.1:5061")), &at(0));
    let _ = take(&mut row, &short, &at(0));
    let stored = Row::decode(&row.encode()).unwrap();

    let step = recover(stored.clone(), t(30));
    assert_eq!(step.write, Write::None);
    let back = step.row.unwrap();
    assert_eq!(listed(&back, 30), pairs(&[(A, 1170), (B, 90)]));
    assert_eq!(back.bindings[1].origin.flow, udp("10.0.0.1:5080"));
    let lost = Flow::Lost { transport: Transport::Tls, remote: "10.0.0.1:5061".parse().unwrap() };
    assert_eq!(back.bindings[0].origin.flow, lost);

    let step = recover(stored, t(120));
    assert_eq!((step.write, step.events.len()), (Write::Put, 1));
    assert_eq!(listed(&step.row.unwrap(), 120), pairs(&[(A, 1080)]));

    // The phone comes back on a new connection: calls that wait for it are told.
    let mut back = back;
    let again = request(2, [contact(A).expires(600)]).over(stream(1, "10.0.0.1:5061"));
    let step = take(&mut back, &again, &at(40));
    assert_eq!(step.events.as_slice(), [Event::Moved(dn("1001"))]);
    assert!(!accepted(&step).newreg);
    assert_eq!(listed(&back, 40), pairs(&[(A, 600), (B, 80)]));
}

#[test]
fn a_refresh_that_buries_a_dead_binding_is_written() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A).expires(3600), contact(B).expires(100)]), &at(0));
    let step = take(&mut row, &request(2, [contact(A).expires(3600)]), &at(150));
    assert_eq!(step.write, Write::Put, "or a restart would bring the dead one back");
    assert_eq!(Row::decode(&row.encode()).unwrap().bindings.len(), 1);
}
