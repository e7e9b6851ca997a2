//! RFC 3261 §10.3 on one contact: expiry, order, repeats, removal, query.

use super::*;

#[test]
fn a_first_registration_is_written_told_new_and_listed() {
    let mut row = phone();
    let step = take(&mut row, &request(1, [contact(A).q(700)]).header(3600), &at(0));
    assert_eq!(accepted(&step), Accepted { kind: Kind::Changed, expires: Some(3600), newreg: true });
    assert_eq!(step.write, Write::Put);
    assert_eq!(step.events.as_slice(), [Event::Registered(dn("1001"))]);
    let line = dn("1001");
    let list: Vec<_> = row.listing(&line, t(100)).collect();
    let expected =
        Listed { contact: A, expires: 3500, q: Some(700), instance: None, reg_id: None, model: None };
    assert_eq!(list, [expected]);
    assert_eq!(next_deadline(&row), Some(t(3600)));
}

#[test]
fn expiry_is_the_parameter_then_the_header_then_the_default_and_is_only_shortened() {
    let limits = ExpiryLimits::default();
    for (parameter, header, granted) in [
        (Some(100), Some(200), 100),
        (None, Some(200), 200),
        (None, None, 3600),
        (Some(7201), None, 7200),
        (Some(u32::MAX), None, 7200),
        (Some(60), None, 60),
        (Some(0), Some(200), 0),
        (None, Some(0), 0),
    ] {
        assert_eq!(limits.grant(parameter, header), Ok(granted), "{parameter:?} {header:?}");
    }
    assert_eq!(limits.grant(Some(59), None), Err(Cause::TooBrief { asked: 59, min: 60 }));
    assert_eq!(limits.grant(None, Some(1)), Err(Cause::TooBrief { asked: 1, min: 60 }));
    // RFC 3261 §10.3 step 7: an hour is never too brief.
    let slow = ExpiryLimits { min: 5000, max: 7200, default: 7200 };
    assert_eq!(slow.grant(Some(3599), None), Err(Cause::TooBrief { asked: 3599, min: 5000 }));
    assert_eq!(slow.grant(Some(3600), None), Ok(3600));
}

#[test]
fn too_brief_an_interval_is_423_with_min_expires() {
    let cause = refused(&on(&phone(), &request(1, [contact(A).expires(30)]), &at(0)));
    assert_eq!((cause.status(), cause.min_expires()), (423, Some(60)));
}

#[test]
fn one_bad_contact_spoils_all() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A)]), &at(0));
    let mixed = request(2, [contact(A).expires(0), contact(B).expires(5)]);
    assert_eq!(refused(&on(&row, &mixed, &at(1))).status(), 423);
}

#[test]
fn a_higher_cseq_refreshes_a_lower_one_changes_nothing() {
    let mut row = phone();
    let _ = take(&mut row, &request(5, [contact(A)]), &at(0));
    let step = take(&mut row, &request(6, [contact(A)]), &at(600));
    assert_eq!(accepted(&step).kind, Kind::Changed);
    assert!(!accepted(&step).newreg);
    assert_eq!(step.events.as_slice(), [Event::Refreshed(dn("1001"))]);
    assert_eq!(listed(&row, 600), pairs(&[(A, 3600)]));
    for late in
        [request(5, [contact(A)]), request(4, [contact(A).expires(0)]), request(1, []).header(0).star()]
    {
        let cause = refused(&on(&row, &late, &at(601)));
        assert_eq!(cause, Cause::OutOfOrder { given: late.cseq, last: 6 });
        assert_eq!(cause.status(), 500);
    }
}

#[test]
fn another_call_id_starts_its_own_order_and_is_a_new_registration() {
    let mut row = phone();
    let _ = take(&mut row, &request(500, [contact(A)]), &at(0));
    let step = take(&mut row, &request(1, [contact(A)]).call("c2"), &at(10));
    assert!(accepted(&step).newreg, "a phone that started anew has lost its subscriptions");
    assert_eq!(step.write, Write::Put);
    assert_eq!(row.bindings.len(), 1);
    assert_eq!((&*row.bindings[0].origin.call_id, row.bindings[0].origin.cseq), ("c2", 1));
}

#[test]
fn an_equal_request_is_a_retransmission_only_from_the_same_source_and_nonce() {
    let mut row = phone();
    let first = request(2, [contact(A)]).nonce(9, 1);
    let _ = take(&mut row, &first, &at(0));
    for _ in 0..2 {
        let step = on(&row, &first, &at(40));
        assert_eq!(accepted(&step), Accepted { kind: Kind::Repeated, expires: Some(3600), newreg: true });
        assert_eq!((step.row.is_none(), step.write, step.events.len()), (true, Write::None, 0));
    }
    // A NAT may give another port, never another address.
    assert_eq!(accepted(&on(&row, &first.clone().over(udp("10.0.0.1:9")), &at(40))).kind, Kind::Repeated);
    for copy in [
        first.clone().over(udp("10.0.0.2:5060")),
        first.clone().nonce(9, 2),
        first.clone().nonce(8, 1),
        Register { nonce: None, ..first.clone() },
    ] {
        assert_eq!(refused(&on(&row, &copy, &at(40))), Cause::OutOfOrder { given: 2, last: 2 });
    }
}

#[test]
fn a_retransmission_is_known_after_a_kill_between_commit_and_answer() {
    let mut row = phone();
    let first = request(2, [contact(A)]).nonce(9, 1).over(stream(3, "10.0.0.1:40000"));
    let _ = take(&mut row, &first, &at(0));
    let back = recover(Row::decode(&row.encode()).unwrap(), t(5)).row.unwrap();
    let again = first.over(stream(8, "10.0.0.1:40001"));
    assert_eq!(
        accepted(&on(&back, &again, &at(5))),
        Accepted { kind: Kind::Repeated, expires: Some(3600), newreg: true }
    );
}

#[test]
fn a_refreshed_binding_is_no_longer_fresh_for_repeats() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A)]), &at(0));
    let refresh = request(2, [contact(A)]);
    let _ = take(&mut row, &refresh, &at(60));
    assert!(!accepted(&on(&row, &refresh, &at(61))).newreg);
}

#[test]
fn removal_is_written_and_removing_again_is_harmless() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A)]), &at(0));
    let bye = request(2, [contact(A).expires(0)]);
    let step = take(&mut row, &bye, &at(9));
    assert_eq!(accepted(&step), Accepted { kind: Kind::Changed, expires: None, newreg: false });
    assert_eq!(
        (step.write, step.events.as_slice()),
        (Write::Put, [Event::Unregistered(dn("1001"), Gone::Asked)].as_slice())
    );
    assert!(row.bindings.is_empty());
    let step = on(&row, &bye, &at(10));
    assert_eq!((accepted(&step).kind, step.row, step.write), (Kind::Changed, None, Write::None));
}

#[test]
fn star_stands_alone_with_expires_zero() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A), contact(B)]).lines(["1001", "1002"]), &at(0));
    let star = || request(2, []).star();
    assert_eq!(refused(&on(&row, &star(), &at(1))), Cause::StarNeedsZero);
    assert_eq!(refused(&on(&row, &star().header(60), &at(1))), Cause::StarNeedsZero);
    let beside = request(2, [contact(A)]).header(0).star();
    assert_eq!(refused(&on(&row, &beside, &at(1))), Cause::StarNotAlone);
    assert_eq!((Cause::StarNeedsZero.status(), Cause::StarNotAlone.status()), (400, 400));

    let step = take(&mut row, &star().header(0), &at(1));
    assert_eq!((step.write, step.events.len()), (Write::Put, 2));
    assert!(listed(&row, 1).is_empty());
    assert_eq!(row.line(&dn("1002"), t(1)).count(), 2, "the other line was not named");
}

#[test]
fn no_contact_is_a_query() {
    let mut row = phone();
    let empty = on(&row, &request(1, []).header(0), &at(0));
    assert_eq!((accepted(&empty).kind, empty.row), (Kind::Fetched, None));
    let _ = take(&mut row, &request(7, [contact(A)]), &at(0));
    let step = on(&row, &request(1, []), &at(1));
    assert_eq!((accepted(&step).kind, step.row, step.write), (Kind::Fetched, None, Write::None));
}

#[test]
fn a_standby_keepalive_neither_makes_nor_removes_a_binding() {
    let mut row = phone();
    let keepalive = |cseq| Register { keepalive: true, ..request(cseq, [contact(A).expires(0)]).header(0) };
    for registered in [false, true] {
        if registered {
            let _ = take(&mut row, &request(1, [contact(A)]), &at(0));
        }
        let step = on(&row, &keepalive(2), &at(1));
        assert_eq!((accepted(&step).kind, step.row, step.write), (Kind::Keepalive, None, Write::None));
    }
    // With an expiry it promises a binding, so it makes one.
    let step = on(&phone(), &Register { keepalive: true, ..request(1, [contact(A).expires(60)]) }, &at(1));
    assert_eq!(accepted(&step).kind, Kind::Changed);
}

#[test]
fn equivalent_uris_are_one_contact_and_the_newest_text_is_kept() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact("sip:1001@HOST.example")]), &at(0));
    let step = take(&mut row, &request(2, [contact("sip:1001@host.example")]), &at(1));
    assert_eq!(step.write, Write::Put);
    assert_eq!(listed(&row, 1), pairs(&[("sip:1001@host.example", 3600)]));
}

#[test]
fn what_is_kept_of_a_request_is_bounded() {
    let long = "x".repeat(CONTACT_MAX + 1);
    for request in [
        request(1, [contact(&long)]),
        request(1, [contact(A).instance(&long)]),
        request(1, [contact(A)]).call(&long),
    ] {
        assert_eq!(refused(&on(&phone(), &request, &at(0))).status(), 400);
    }
    let lines: Vec<String> = (0..=BINDINGS_MAX).map(|i| i.to_string()).collect();
    let bulk = request(1, [contact(A)]).lines(lines.iter().map(String::as_str));
    let limit = BINDINGS_MAX;
    assert_eq!(refused(&on(&phone(), &bulk, &at(0))), Cause::TooMany { count: limit + 1, limit });
}
