//! Several flows of one phone (RFC 5626 §5.3): one rings, the next when that one fails.

use super::world::*;
use crate::call::*;

const D: LegId = LegId(3);

/// One phone with that many flows.
fn phone(flows: u16) -> World {
    let targets = (1..=flows).map(|n| Target { spare: n > 1, ..target(n, 1000, secure(1)) });
    World::start(args(secure(0), targets.collect(), Some(srtp("offer A"))))
}

fn failed(w: &mut World, leg: LegId) {
    let token = w.token(leg, Method::Invite);
    w.on(Input::Failed { token, failure: Failure::Transport });
}

#[test]
fn the_next_flow_rings_when_one_fails() {
    let mut w = phone(3);
    assert_eq!(w.sends(), [(B, Method::Invite, "offer A".into())], "one flow of a phone at a time");
    failed(&mut w, B);
    assert_eq!(w.sends(), [(C, Method::Invite, "offer A".into())]);
    w.invite_response(C, 430, "c", None);
    assert_eq!(w.sends(), [(D, Method::Invite, "offer A".into())]);
    w.ringing(D, "d");
    w.answer(D, "d", Some(srtp("answer D")));
    assert_eq!(w.replies(), [(INVITE, 200, "answer D".into())]);
}

#[test]
fn a_phone_without_a_flow_left_is_480() {
    let mut w = phone(2);
    failed(&mut w, B);
    failed(&mut w, C);
    assert_eq!(w.replies(), [(INVITE, 480, String::new())]);
    assert_eq!(w.finished, Some(End::Rejected(480)));
}

#[test]
fn what_the_phone_itself_says_is_not_asked_again() {
    for status in [486, 480, 603] {
        let mut w = phone(2);
        w.invite_response(B, status, "b", None);
        assert_eq!(w.replies(), [(INVITE, status, String::new())]);
        assert!(w.sent(C, Method::Invite).is_none());
        assert_eq!(w.finished, Some(End::Rejected(status)));
    }
}

#[test]
fn a_spare_flow_holds_nothing_up() {
    let mut w = phone(2);
    w.ringing(B, "b");
    w.answer(B, "b", Some(srtp("answer B")));
    w.ack(A, 101, None);
    w.request(A, Method::Bye, None);
    w.bye_done(B);
    assert!(w.finished.is_some());
    // Nor does it keep the line ringing for the next group.
    let spare = Target { spare: true, ..target(2, 1000, secure(1)) };
    let targets = vec![target(1, 1000, secure(1)), spare, target(3, 500, secure(3))];
    let mut w = World::start(args(secure(0), targets, Some(srtp("offer A"))));
    w.invite_response(B, 486, "b", None);
    assert_eq!(w.sends(), [(D, Method::Invite, "offer A".into())]);
}
