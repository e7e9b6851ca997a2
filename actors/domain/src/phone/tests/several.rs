//! Several contacts, several lines, several flows, and a second source.

use super::*;

#[test]
fn several_contacts_have_their_own_expiry_and_q() {
    let mut row = phone();
    let both = request(1, [contact(A).expires(120).q(1000), contact(B).q(500)]).header(600);
    let step = take(&mut row, &both, &at(0));
    assert_eq!(accepted(&step).expires, Some(120));
    assert_eq!(listed(&row, 20), pairs(&[(A, 100), (B, 580)]));
    let line = dn("1001");
    assert_eq!(row.line(&line, t(20)).map(|b| b.q).collect::<Vec<_>>(), [Some(1000), Some(500)]);
    assert_eq!(next_deadline(&row), Some(t(120)));
}

#[test]
fn adding_a_contact_leaves_the_others_alone() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A)]), &at(0));
    let before = row.bindings[0].clone();
    let step = take(&mut row, &request(2, [contact(B)]), &at(60));
    assert!(accepted(&step).newreg);
    assert_eq!(row.bindings[0], before);
    assert_eq!(listed(&row, 60), pairs(&[(A, 3540), (B, 3600)]));
}

#[test]
fn a_contact_named_twice_counts_as_its_last_mention() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A).expires(100), contact(A).expires(200)]), &at(0));
    assert_eq!(listed(&row, 0), pairs(&[(A, 200)]));
    let _ = take(&mut row, &request(2, [contact(A).expires(100), contact(A).expires(0)]), &at(1));
    assert!(row.bindings.is_empty());
}

#[test]
fn bulk_registration_binds_every_line_by_one_request() {
    let mut row = phone();
    let lines = ["1001", "1002", "1003"];
    let step = take(&mut row, &request(1, [contact(A).instance(INSTANCE)]).lines(lines), &at(0));
    assert_eq!(step.events.as_slice(), lines.map(|l| Event::Registered(dn(l))));
    for line in lines {
        assert_eq!(row.listing(&dn(line), t(1)).map(|l| l.contact).collect::<Vec<_>>(), [A]);
    }
    let step = take(&mut row, &request(2, [contact(A).instance(INSTANCE)]).lines(lines), &at(60));
    assert_eq!((step.events.len(), row.bindings.len(), step.write), (3, 3, Write::None));
    // One line out of order refuses all of them.
    let _ = take(&mut row, &request(9, [contact(A)]).lines(["1003"]), &at(61));
    let _ = refused(&on(&row, &request(8, [contact(A)]).lines(lines), &at(62)));
}

#[test]
fn on_a_full_line_the_oldest_contact_gives_way() {
    let mut row = phone();
    let uri = |i: usize| format!("sip:1001@10.0.0.1:{}", 6000 + i);
    for i in 0..CONTACTS_PER_LINE_MAX {
        let _ = take(&mut row, &request(1, [contact(&uri(i))]).call(&i.to_string()), &at(i as u64));
    }
    let limit = CONTACTS_PER_LINE_MAX;
    // A phone without an instance that started anew is not locked out by its former contacts.
    let step = take(&mut row, &request(1, [contact(A)]).call("anew"), &at(limit as u64));
    assert_eq!(accepted(&step).kind, Kind::Changed);
    assert_eq!(row.bindings.len(), limit);
    assert!(!row.bindings.iter().any(|b| *b.contact == *uri(0)), "the oldest is gone");
    assert!(row.bindings.iter().any(|b| &*b.contact == A));
    // One request alone may not ask for more than a line holds.
    let flood: Vec<_> = (0..=limit).map(|i| contact(&uri(200 + i))).collect();
    let cause = refused(&on(&row, &request(1, flood).call("flood"), &at(limit as u64)));
    assert_eq!((cause, cause.status()), (Cause::TooMany { count: limit + 1, limit }, 403));
    // The dead do not count.
    let many: Vec<_> = (0..limit).map(|i| contact(&uri(100 + i))).collect();
    assert_eq!(accepted(&on(&row, &request(2, many), &at(9999))).kind, Kind::Changed);
}

#[test]
fn outbound_flows_are_told_apart_by_reg_id_and_replaced_by_a_newer_one() {
    let mut row = phone();
    let flow = |id| contact(A).instance(INSTANCE).reg_id(id);
    let _ = take(&mut row, &request(1, [flow(1)]).over(stream(1, "10.0.0.1:1111")), &at(0));
    let second = request(1, [flow(2)]).call("c2").over(stream(2, "10.0.0.1:2222"));
    let _ = take(&mut row, &second, &at(1));
    assert_eq!(row.bindings.len(), 2, "equal URIs, two flows (RFC 5626 §4.2)");

    let moved = ContactFact { uri: arc(B), uri_key: B.into(), ..flow(1) };
    let step = take(&mut row, &request(2, [moved.clone()]).over(stream(3, "10.0.0.1:3333")), &at(2));
    assert_eq!(step.events.as_slice(), [Event::Moved(dn("1001"))]);
    assert_eq!(listed(&row, 2), pairs(&[(B, 3600), (A, 3599)]));

    // Order holds for flows, also against an older removal.
    let late = ContactFact { expires: Some(0), ..moved };
    assert_eq!(refused(&on(&row, &request(1, [late]), &at(3))), Cause::OutOfOrder { given: 1, last: 2 });
    let two = request(9, [flow(1), flow(2)]);
    assert_eq!(refused(&on(&row, &two, &at(3))), Cause::SeveralRegIds);
    let swap = request(9, [flow(1).expires(0), flow(2)]);
    let _ = take(&mut row, &swap, &at(3));
    assert_eq!(row.bindings.iter().map(|b| b.reg_id).collect::<Vec<_>>(), [Some(2)]);
}

#[test]
fn reg_id_without_instance_is_ignored() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A).reg_id(1)]), &at(0));
    let _ = take(&mut row, &request(2, [contact(A).reg_id(2)]), &at(0));
    assert_eq!(row.bindings.iter().map(|b| b.reg_id).collect::<Vec<_>>(), [None]);
}

#[test]
fn the_same_instance_with_a_new_contact_replaces_the_old_one() {
    let mut row = phone();
    let from = |cseq, uri: &str| request(cseq, [contact(uri).instance(INSTANCE)]);
    let _ = take(&mut row, &from(1, A), &at(0));
    let upper = contact(B).instance(&INSTANCE.to_ascii_uppercase());
    let step = take(&mut row, &request(2, [upper]).over(udp("10.0.0.9:5060")), &at(5));
    assert_eq!(step.events.as_slice(), [Event::Moved(dn("1001"))]);
    assert_eq!(listed(&row, 5), pairs(&[(B, 3600)]));
    // The old contact's removal comes late and does not hit the new one.
    let _ = take(&mut row, &request(3, [contact(A).instance(INSTANCE).expires(0)]), &at(6));
    assert_eq!(listed(&row, 6), pairs(&[(B, 3599)]));
}

#[test]
fn one_request_may_name_two_contacts_of_one_instance() {
    let mut row = phone();
    let both = |cseq| request(cseq, [contact(A).instance(INSTANCE), contact(B).instance(INSTANCE)]);
    for cseq in 1..3 {
        let _ = take(&mut row, &both(cseq), &at(0));
        assert_eq!(listed(&row, 0), pairs(&[(A, 3600), (B, 3600)]));
    }
}

#[test]
fn a_second_source_cannot_touch_a_device_with_no_proof_due() {
    let mut row = phone();
    let unproven = |s| Context { proof_due: false, ..at(s) };
    let _ = take(&mut row, &request(1, [contact(A)]), &unproven(0));
    let other = udp("10.0.0.66:5060");
    for foreign in [
        request(2, [contact(B)]).call("x"),
        request(2, [contact(A)]),
        request(2, [contact(A).expires(0)]),
        request(2, []).header(0).star(),
        request(2, []),
        request(2, [contact(B)]).lines(["1002"]),
    ] {
        let foreign = foreign.over(other);
        let cause = refused(&on(&row, &foreign, &unproven(1)));
        assert_eq!((cause, cause.status()), (Cause::SecondSource, 403));
        for open in [
            at(1),
            Context { allow_unproven_move: true, ..unproven(1) },
            unproven(3600), // its registration has ended
        ] {
            let _ = accepted(&on(&row, &foreign, &open));
        }
    }
    // The same address by another port is the phone itself, started anew or behind a rebound NAT.
    let step = take(&mut row, &request(2, [contact(A)]).over(udp("10.0.0.1:6060")), &unproven(1));
    assert_eq!(step.events.as_slice(), [Event::Moved(dn("1001"))]);
    let mapped = udp("[::ffff:10.0.0.1]:5060");
    let _ = accepted(&on(&row, &request(3, [contact(A)]).over(mapped), &unproven(1)));
}

#[test]
fn a_nonce_of_an_earlier_start_may_only_prolong_what_is_there() {
    let mut row = phone();
    let first = request(1, [contact(A).instance(INSTANCE)]);
    let _ = take(&mut row, &first, &at(0));
    assert!(extends_only(&row, &first, t(1)), "a repeat");
    assert!(extends_only(&row, &request(2, [contact(A).instance(INSTANCE)]).call("c9"), t(1)));
    for more in [
        request(2, [contact(B).instance(INSTANCE)]),
        request(2, [contact(A)]),
        request(2, [contact(A).instance(INSTANCE).reg_id(1)]),
        request(2, [contact(A).instance(INSTANCE), contact(B)]),
        request(2, [contact(A).instance(INSTANCE).expires(0)]),
        request(2, [contact(A).instance(INSTANCE)]).header(0),
        request(2, [contact(A).instance(INSTANCE)]).lines(["1001", "1002"]),
        request(2, [contact(A).instance(INSTANCE)]).over(udp("10.0.0.2:5060")),
        request(2, []).header(0).star(),
        request(2, []),
    ] {
        assert!(!extends_only(&row, &more, t(1)), "{more:?}");
    }
    assert!(!extends_only(&row, &first, t(3600)), "it has ended");
}
