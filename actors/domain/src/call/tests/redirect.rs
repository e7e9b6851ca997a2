//! Forwarding by 302.

use super::world::*;
use crate::call::*;
use crate::ids::Dn;

fn to(lines: &[&str]) -> Vec<Redirect> {
    let line =
        |l: &&str| Redirect { line: Dn::parse(l).unwrap(), uri: format!("<sip:{l}@keyline.local>").into() };
    lines.iter().map(line).collect()
}

fn forward(w: &mut World, leg: LegId, lines: &[&str]) {
    w.ext.redirects = to(lines);
    w.invite_response(leg, 302, "b", None);
}

/// Lines that the last step asks for.
fn sought(w: &World) -> Vec<String> {
    let find = |e: &Effect| match e {
        Effect::Locate { lines, .. } => Some(lines.iter().map(|l| l.line.as_str().to_owned()).collect()),
        _ => None,
    };
    w.last.iter().find_map(find).unwrap_or_default()
}

fn header(w: &World, leg: LegId, name: &str) -> Vec<String> {
    let all = &w.sent(leg, Method::Invite).unwrap().headers;
    all.iter().filter(|h| h.name == name).map(|h| h.value.to_string()).collect()
}

#[test]
fn a_forwarded_call_rings_the_other_line_and_says_why() {
    let mut w = World::secure(1);
    forward(&mut w, B, &["1002"]);
    assert_eq!(sought(&w), ["1002"]);
    assert!(w.replies().is_empty());
    w.on(Input::Located { leg: B, targets: vec![target(2, 1000, secure(2))] });
    assert_eq!(w.sends(), [(C, Method::Invite, "offer A".into())]);
    assert_eq!(header(&w, C, "Diversion"), ["<sip:1001@keyline.local>;reason=unconditional;counter=1"]);
    let history =
        "<sip:1001@keyline.local?Reason=SIP%3Bcause%3D302>;index=1, <sip:1002@keyline.local>;index=1.1;mp=1";
    assert_eq!(header(&w, C, "History-Info"), [history]);
    w.invite_response(C, 180, "b", None);
    w.answer(C, "b", Some(srtp("answer C")));
    let ok = w.reply_to(INVITE);
    assert!(
        ok.headers.iter().any(|h| &*h.value == "<sip:1002@keyline.local>"),
        "the caller hears who it was"
    );
    assert_eq!(ok.status, 200);
}

#[test]
fn the_phones_reason_counts_and_ringing_makes_it_a_deflection() {
    for (rang, said, told) in [
        (true, None, "deflection"),
        (true, Some("no-answer"), "no-answer"),
        (false, Some("x;y"), "unconditional"),
    ] {
        let mut w = World::secure(1);
        if rang {
            w.ringing(B, "b");
        }
        w.ext.diversion = said.map(Into::into);
        forward(&mut w, B, &["1002"]);
        w.on(Input::Located { leg: B, targets: vec![target(2, 1000, secure(2))] });
        assert_eq!(header(&w, C, "Diversion"), [format!("<sip:1001@keyline.local>;reason={told};counter=1")]);
    }
}

#[test]
fn nothing_to_follow_is_480() {
    for lines in [&[][..], &["1001"]] {
        let mut w = World::secure(1);
        forward(&mut w, B, lines);
        assert_eq!(
            w.replies(),
            [(INVITE, 480, String::new())],
            "foreign, or back to the line that was dialled"
        );
    }
    let mut w = World::secure(1);
    forward(&mut w, B, &["1002"]);
    w.on(Input::Located { leg: B, targets: Vec::new() });
    assert_eq!(w.replies(), [(INVITE, 480, String::new())]);
    let mut w = World::secure(1);
    w.ext.redirects = to(&["1002"]);
    w.invite_response(B, 305, "b", None);
    assert_eq!(w.replies(), [(INVITE, 480, String::new())], "no proxy of a phone's choice");
}

#[test]
fn forwarding_in_a_circle_and_without_end_stops() {
    let mut w = World::secure(1);
    forward(&mut w, B, &["1002"]);
    w.on(Input::Located { leg: B, targets: vec![target(2, 1000, secure(2))] });
    forward(&mut w, C, &["1001", "1002"]);
    assert_eq!(w.replies(), [(INVITE, 480, String::new())]);

    let mut w = World::secure(1);
    let mut followed = 0;
    for i in 0..50_u16 {
        let leg = LegId(i + 1);
        forward(&mut w, leg, &[&format!("20{i}")]);
        if sought(&w).is_empty() {
            break;
        }
        followed += 1;
        w.on(Input::Located { leg, targets: vec![target(2, 1000, secure(2))] });
    }
    assert_eq!((followed, w.reply_to(INVITE).status), (REDIRECTS_MAX, 480));
    assert_eq!(header(&w, LegId(6), "Diversion").len(), REDIRECTS_MAX);
}

#[test]
fn many_lines_are_bounded_and_the_others_ring_on() {
    let mut w = World::secure(2);
    let many: Vec<String> = (0..100).map(|i| format!("3{i}")).collect();
    forward(&mut w, B, &many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(sought(&w).len(), REDIRECT_LINES_MAX);
    w.on(Input::Located { leg: B, targets: (0..200).map(|_| target(3, 1000, secure(3))).collect() });
    assert!(w.sends().len() < LEGS_MAX);
    w.answer(C, "c", Some(srtp("answer C")));
    assert_eq!(w.reply_to(INVITE).status, 200);
}

#[test]
fn a_caller_that_gives_up_is_not_forwarded() {
    let mut w = World::secure(1);
    forward(&mut w, B, &["1002"]);
    w.on(Input::Cancel { tx: INVITE, headers: Headers::new() });
    assert_eq!((w.reply_to(INVITE).status, w.finished), (487, Some(End::Cancelled)));
    let mut w = World::secure(1);
    forward(&mut w, B, &["1002"]);
    w.fire(TimerKind::RingCap);
    w.on(Input::Located { leg: B, targets: vec![target(2, 1000, secure(2))] });
    assert!(w.sends().is_empty());
}
