//! Who is told what of whom.

use super::world::*;
use crate::call::*;

fn told<'h>(headers: &'h [Header], name: &str) -> Option<&'h str> {
    headers.iter().find(|h| h.name == name).map(|h| &*h.value)
}

#[test]
fn each_side_hears_the_proven_other() {
    let mut w = World::secure(1);
    let invite = w.sent(B, Method::Invite).unwrap().headers.clone();
    assert_eq!(told(&invite, "P-Asserted-Identity"), Some("<sip:1000@keyline.local>"));
    w.headers.push(Header::new("P-Asserted-Identity", "<sip:president@keyline.local>"));
    w.ringing(B, "b");
    assert_eq!(told(&w.reply_to(INVITE).headers, "P-Asserted-Identity"), Some("<sip:1001@keyline.local>"));
    w.answer(B, "b", Some(srtp("answer B")));
    let ok = &w.reply_to(INVITE).headers;
    assert_eq!(
        ok.iter().filter(|h| h.name == "P-Asserted-Identity").count(),
        1,
        "the phone's own word never passes"
    );
    assert_eq!(told(ok, "P-Asserted-Identity"), Some("<sip:1001@keyline.local>"));
}

#[test]
fn a_hidden_caller_is_not_asserted() {
    let mut start = args(secure(0), vec![target(1, 1000, secure(1))], Some(srtp("offer A")));
    start.caller.identity = Identity::Hidden;
    let w = World::start(start);
    let invite = &w.sent(B, Method::Invite).unwrap().headers;
    assert_eq!((told(invite, "P-Asserted-Identity"), told(invite, "Privacy")), (None, Some("id")));
}

#[test]
fn a_phone_may_hide_itself_in_its_answers() {
    let mut w = World::secure(1);
    w.ext.privacy = Privacy { id: true, ..Privacy::default() };
    w.ringing(B, "b");
    assert_eq!(told(&w.reply_to(INVITE).headers, "P-Asserted-Identity"), None);
    w.answer(B, "b", Some(srtp("answer B")));
    let ok = &w.reply_to(INVITE).headers;
    assert_eq!((told(ok, "P-Asserted-Identity"), told(ok, "Privacy")), (None, Some("id")));
    assert_eq!(w.call.row().unwrap().callee.identity, Identity::Hidden, "also after a restart");
}
