//! Answers that are none, and replies that cannot be written.

use super::world::*;
use crate::call::*;
use crate::media::{Body, MediaFacts};

/// The same session with its one stream so many times.
fn lines(body: Body, count: usize) -> Body {
    let one = body.media.as_deref().map(|m| m.streams[0].clone()).unwrap();
    let streams = std::iter::repeat_n(one, count).collect();
    Body { media: Some(std::sync::Arc::new(MediaFacts { streams })), ..body }
}

fn answered_with(w: &mut World, change: impl FnOnce(&mut Response)) {
    let mut response = Response {
        token: w.token(B, Method::Invite),
        status: 200,
        reason: None,
        to_tag: Some("b".into()),
        contact: Some("sip:b@192.0.2.99".into()),
        record_route: smallvec::SmallVec::new(),
        body: Some(srtp("answer B")),
        peer: None,
        ext: Extensions::default(),
        headers: Headers::new(),
    };
    change(&mut response);
    w.on(Input::Response(Box::new(response)));
}

/// The caller hears one refusal, the phone ACK and BYE, and the call is over.
fn refused(w: &mut World, status: u16) {
    assert_eq!(w.replies(), [(INVITE, status, String::new())]);
    assert_eq!(w.acks().len(), 1);
    assert_eq!(w.sends(), [(B, Method::Bye, String::new())]);
    w.bye_done(B);
    assert_eq!(w.finished, Some(End::Rejected(status)));
    assert!(w.sent(A, Method::Bye).is_none(), "the caller has no dialog to leave");
}

#[test]
fn another_number_of_m_lines_is_488_and_nothing_else() {
    let mut w = World::secure(1);
    answered_with(&mut w, |r| r.body = Some(lines(srtp("answer B"), 2)));
    refused(&mut w, 488);
}

#[test]
fn another_transport_or_key_than_offered_is_488() {
    let mut w = World::secure(1);
    answered_with(&mut w, |r| r.body = Some(rtp("answer B")));
    refused(&mut w, 488);
    let mut w = World::secure(1);
    answered_with(&mut w, |r| {
        let mut body = srtp("answer B");
        let mut media = body.media.as_deref().cloned().unwrap();
        media.streams[0].crypto[0].tag = 7;
        body.media = Some(std::sync::Arc::new(media));
        r.body = Some(body);
    });
    refused(&mut w, 488);
}

#[test]
fn a_2xx_that_makes_no_dialog_or_no_session_is_502() {
    let faults: [fn(&mut Response); 3] = [|r| r.to_tag = None, |r| r.contact = None, |r| r.body = None];
    for fault in faults {
        let mut w = World::secure(1);
        answered_with(&mut w, fault);
        refused(&mut w, 502);
    }
    let mut w = World::start(args(secure(0), vec![target(1, 1000, secure(1))], None));
    answered_with(&mut w, |r| r.body = None);
    refused(&mut w, 502);
}

#[test]
fn the_other_phone_may_still_answer() {
    let mut w = World::secure(2);
    w.ringing(C, "c");
    answered_with(&mut w, |r| r.body = None);
    assert!(w.replies().is_empty());
    w.answer(C, "c", Some(srtp("answer C")));
    assert_eq!(w.replies(), [(INVITE, 200, "answer C".into())]);
}

#[test]
fn an_answer_that_cannot_be_written_is_one_refusal_and_a_bye_to_the_phone() {
    let mut w = World::secure(1);
    w.answer(B, "b", Some(srtp("answer B")));
    w.on(Input::Unanswerable { tx: INVITE, status: 488 });
    assert_eq!(w.replies(), [(INVITE, 488, String::new())]);
    assert_eq!(w.sends(), [(B, Method::Bye, String::new())]);
    w.bye_done(B);
    assert_eq!(w.finished, Some(End::Rejected(488)));
    assert!(w.sent(A, Method::Bye).is_none());
}

#[test]
fn a_re_answer_that_cannot_be_written_ends_both_dialogs() {
    let mut w = World::connected();
    let tx = w.request(A, Method::Invite, Some(srtp("offer A2")));
    w.answer(B, "b", Some(srtp("answer B2")));
    w.on(Input::Unanswerable { tx, status: 488 });
    assert_eq!(w.replies(), [(tx, 488, String::new())]);
    assert_eq!(w.sends().len(), 2, "both have a dialog: {:?}", w.sends());
    w.bye_done(A).bye_done(B);
}

#[test]
fn an_update_that_cannot_be_answered_costs_only_itself() {
    let mut w = World::connected();
    let tx = w.request(A, Method::Update, None);
    w.on(Input::Unanswerable { tx, status: 488 });
    assert_eq!((w.replies(), w.finished), (vec![(tx, 488, String::new())], None));
}

#[test]
fn a_re_invite_without_answer_is_refused_and_the_session_stays() {
    let mut w = World::connected();
    let tx = w.request(A, Method::Invite, Some(srtp("offer A2")));
    w.answer(B, "b", None);
    assert_eq!(w.replies(), [(tx, 500, String::new())]);
    assert_eq!(w.acks().len(), 1);
    let tx = w.request(A, Method::Invite, Some(srtp("offer A3")));
    w.answer(B, "b", Some(lines(srtp("answer B"), 3)));
    assert_eq!((w.replies(), w.finished), (vec![(tx, 488, String::new())], None));
}

#[test]
fn the_reason_of_a_bye_reaches_the_other_phone() {
    let mut w = World::connected();
    w.headers.push(Header::new("Reason", "Q.850;cause=16"));
    w.request(A, Method::Bye, None);
    let told = &w.sent(B, Method::Bye).unwrap().headers;
    assert_eq!(told.as_slice(), [Header::new("Reason", "Q.850;cause=16")]);
}
