//! Transfers as two calls see them: who is asked what, in which order, and what is left when it fails.

use super::world::*;
use crate::call::*;
use crate::media::Direction;
use crate::mode::SecurityClass;

const OTHER: CallRef = CallRef(7);
const OWN: CallRef = CallRef(6);

pub(super) fn refer_to(replaced: Option<Replaced>) -> Box<Refer> {
    let to = ReferTo {
        line: crate::ids::Dn::parse("1003").unwrap(),
        called_uri: "<sip:1003@keyline.local>".into(),
        sips: false,
        replaced,
        headers: Headers::new(),
    };
    Box::new(Refer { to: Ok(to), subscribe: true })
}

fn refer(w: &mut World, by: LegId, refer: Box<Refer>) -> ServerTx {
    let dialog = w.dialog(by);
    refer_in(w, dialog, refer)
}

/// The leg that another call lends.
pub(super) fn parcel() -> Parcel {
    let mut w = lender();
    claim(&mut w, A, false);
    let PeerMessage::Lent { mut leg, .. } = told(&w).remove(0) else { panic!("not lent") };
    leg.0.dialog.call_id = "guest".into();
    leg
}

pub(super) fn refer_in(w: &mut World, dialog: DialogId, refer: Box<Refer>) -> ServerTx {
    w.cseq += 1;
    w.next_tx += 1;
    let (tx, cseq) = (ServerTx(w.next_tx), w.cseq);
    let sender = w.call.device_in(&dialog).unwrap_or_else(|| secure(0).device);
    w.on(Input::Request(Box::new(Incoming {
        tx,
        sender,
        dialog,
        method: Method::Refer,
        cseq,
        contact: None,
        body: None,
        peer: None,
        ext: Extensions::default(),
        headers: Headers::new(),
        refer: Some(refer),
    })));
    tx
}

fn targets(w: &mut World, targets: Vec<Target>) {
    let ticket = w.all.iter().rev().find_map(|e| match e {
        Effect::Find(find) => Some(find.ticket),
        _ => None,
    });
    let ticket = ticket.expect("a question for bindings");
    w.on(Input::Targets { ticket, found: Ok(targets), no_answer_s: 30 });
}

/// What the NOTIFYs of the last step say: (sipfrag, Subscription-State).
fn notes(w: &World) -> Vec<(String, String)> {
    let note = |e: &Effect| match e {
        Effect::Send(s) if s.method == Method::Notify => {
            let state = s.headers.iter().find(|h| h.name == "Subscription-State").unwrap();
            Some((text(s.body.as_ref()).trim_end().to_owned(), state.value.to_string()))
        }
        _ => None,
    };
    w.last.iter().filter_map(note).collect()
}

fn noted(w: &mut World, leg: LegId) {
    let token = w.token(leg, Method::Notify);
    w.respond(token, 200, "", None);
}

/// A and B talk, B has asked for C, whose phone rings.
fn blind() -> World {
    let mut w = World::connected();
    let tx = refer(&mut w, B, refer_to(None));
    assert_eq!(w.replies(), [(tx, 202, String::new())]);
    assert_eq!(notes(&w), [("SIP/2.0 100 Trying".into(), "active;expires=240".into())]);
    noted(&mut w, B);
    targets(&mut w, vec![target(2, 1000, secure(2))]);
    assert_eq!(w.sends(), [(C, Method::Invite, String::new())], "the target makes the offer");
    w
}

#[test]
fn a_blind_transfer_asks_the_target_first_and_lets_the_transferor_go_last() {
    let mut w = blind();
    w.ringing(C, "c");
    assert_eq!(notes(&w)[0].0, "SIP/2.0 180 Ringing");
    noted(&mut w, B);
    w.answer(C, "c", Some(srtp("offer C")));
    assert_eq!(w.sends(), [(A, Method::Invite, "offer C".into())]);
    assert!(w.acks().is_empty(), "the answer is not known yet");
    w.answer(A, "r0", Some(srtp("answer A")));
    let acks = w.acks();
    assert_eq!((acks[0].0, acks[1].0, acks[1].3.as_str()), (A, C, "answer A"));
    assert_eq!(notes(&w), [("SIP/2.0 200 OK".into(), "terminated;reason=noresource".into())]);
    assert!(w.sent(B, Method::Bye).is_none(), "the last NOTIFY is answered first");
    let row = w.call.row().unwrap();
    assert_eq!((row.caller.leg, row.callee.leg), (A, C));
    assert!(w.last.iter().any(|e| matches!(e, Effect::Journal(_))), "the row follows at once");
    noted(&mut w, B);
    assert_eq!(w.sends(), [(B, Method::Bye, String::new())]);
    w.bye_done(B);
    assert!(w.finished.is_none());
    assert_eq!(w.class(), Some(SecurityClass::Encrypted));
    w.request(A, Method::Bye, None);
    w.bye_done(C);
    assert_eq!(w.finished, Some(End::Bye));
}

#[test]
fn the_class_follows_the_parties() {
    let mut w = World::connected();
    assert_eq!(w.class(), Some(SecurityClass::Encrypted));
    refer(&mut w, B, refer_to(None));
    let mut plain_phone = target(2, 1000, plain(2));
    plain_phone.flow = stream(2, 1);
    targets(&mut w, vec![plain_phone]);
    w.answer(C, "c", Some(rtp("offer C")));
    let out = w.sent(A, Method::Invite).unwrap();
    assert!(!out.carry_crypto, "a hop shows the keys");
    w.answer(A, "r0", Some(rtp("answer A")));
    assert_eq!(w.class(), Some(SecurityClass::NonSecure));
    // C transfers A on to a secure phone.
    noted(&mut w, B);
    noted(&mut w, B);
    w.bye_done(B);
    refer(&mut w, C, refer_to(None));
    targets(&mut w, vec![target(3, 1000, secure(3))]);
    w.answer(LegId(3), "d", Some(srtp("offer D")));
    assert!(w.sent(A, Method::Invite).unwrap().carry_crypto);
    w.answer(A, "r0", Some(srtp("answer A2")));
    assert_eq!(w.class(), Some(SecurityClass::Encrypted));
}

#[test]
fn a_refusal_of_the_target_touches_nobody() {
    for (status, told) in [(486, "SIP/2.0 486 Busy Here"), (503, "SIP/2.0 500 Server Internal Error")] {
        let mut w = blind();
        w.invite_response(C, status, "c", None);
        assert_eq!(notes(&w), [(told.into(), "terminated;reason=noresource".into())]);
        noted(&mut w, B);
        assert!(w.sends().is_empty() && w.sent(A, Method::Invite).is_none());
        assert_eq!(w.call.row().unwrap().callee.leg, B);
        // The next REFER of the dialog names its CSeq number.
        refer(&mut w, B, refer_to(None));
        let event = w.sent(B, Method::Notify).unwrap().headers.iter().find(|h| h.name == "Event").unwrap();
        assert_eq!(&*event.value, format!("refer;id={}", w.cseq));
    }
}

#[test]
fn a_transferee_that_refuses_stays_where_it_was() {
    let mut w = blind();
    w.answer(C, "c", Some(srtp("offer C")));
    w.invite_response(A, 488, "r0", None);
    assert_eq!(w.acks().len(), 1, "C's 2xx is acknowledged");
    assert_eq!(w.sends()[0].0, C);
    assert_eq!(w.sent(C, Method::Bye).unwrap().leg, C);
    assert_eq!(w.call.row().unwrap().callee.leg, B);
    // Glare: the transferee is asked again.
    let mut w = blind();
    w.answer(C, "c", Some(srtp("offer C")));
    w.invite_response(A, 491, "r0", None);
    w.fire(TimerKind::Glare);
    assert_eq!(w.sends(), [(A, Method::Invite, "offer C".into())]);
    w.answer(A, "r0", Some(srtp("answer A")));
    assert_eq!(w.call.row().unwrap().callee.leg, C);
    // An answer without SDP is none.
    let mut w = blind();
    w.answer(C, "c", Some(srtp("offer C")));
    w.answer(A, "r0", None);
    assert!(w.sent(C, Method::Bye).is_some());
    assert_eq!(w.call.row().unwrap().callee.leg, B);
}

#[test]
fn who_hangs_up_meanwhile() {
    // The transferor: the transfer goes on.
    let mut w = blind();
    w.request(B, Method::Bye, None);
    assert!(w.finished.is_none());
    w.answer(C, "c", Some(srtp("offer C")));
    w.answer(A, "r0", Some(srtp("answer A")));
    assert_eq!(w.call.row().unwrap().callee.leg, C);
    // The transferor, and then the target refuses: nobody is left to talk to.
    let mut w = blind();
    w.request(B, Method::Bye, None);
    w.invite_response(C, 486, "c", None);
    w.bye_done(A);
    assert_eq!(w.finished, Some(End::Bye));
    // The transferee.
    let mut w = blind();
    w.ringing(C, "c");
    w.request(A, Method::Bye, None);
    assert_eq!(w.cancels(), [C]);
    assert_eq!(notes(&w).last().unwrap().0, "SIP/2.0 487 Request Terminated");
    w.bye_done(B);
    w.invite_response(C, 487, "c", None);
    assert_eq!(w.finished, Some(End::Bye));
    // The target, while the transferee is asked.
    let mut w = blind();
    w.answer(C, "c", Some(srtp("offer C")));
    w.request(A, Method::Bye, None);
    assert!(w.sent(C, Method::Bye).is_some() && w.acks().iter().any(|a| a.0 == C));
}

/// The call of B and D, from which B's partner D is claimed.
fn lender() -> World {
    World::connected()
}

fn claim(w: &mut World, by: LegId, early_only: bool) {
    let dialog = w.dialog(by);
    let sender = w.call.device_in(&dialog).unwrap();
    let replaced = Replaced { call: Some(OWN), dialog, early_only };
    let message = Box::new(PeerMessage::Claim { ticket: 1, replaced, sender });
    w.on(Input::Peer { from: OWN, message });
}

fn told(w: &World) -> Vec<PeerMessage> {
    let tell = |e: &Effect| match e {
        Effect::Tell { message, .. } => Some((**message).clone()),
        _ => None,
    };
    w.last.iter().filter_map(tell).collect()
}

/// A and B talk, B refers A to its partner in another call.
fn attended() -> World {
    let mut w = World::connected();
    let dialog = DialogId { call_id: "x".into(), local_tag: "y".into(), remote_tag: "z".into() };
    refer(&mut w, B, refer_to(Some(Replaced { call: Some(OTHER), dialog, early_only: false })));
    assert!(matches!(told(&w)[..], [PeerMessage::Claim { ticket: 1, .. }]));
    noted(&mut w, B);
    w
}

fn hand_over(from: &mut World, to: &mut World) -> LegId {
    claim(from, A, false);
    let PeerMessage::Lent { leg, carries, .. } = told(from).remove(0) else { panic!("not lent") };
    to.on(Input::Peer { from: OTHER, message: Box::new(PeerMessage::Lent { ticket: 1, leg, carries }) });
    let (guest, method, offer) = to.sends().remove(0);
    assert!(method == Method::Invite && offer.is_empty());
    guest
}

#[test]
fn an_attended_transfer_takes_the_leg_with_one_commit() {
    let (mut one, mut two) = (attended(), lender());
    let guest = hand_over(&mut two, &mut one);
    assert!(matches!(one.all.iter().rev().nth(1), Some(Effect::Adopt { .. })));
    // Meanwhile the lender begins nothing.
    let busy = two.request(A, Method::Invite, Some(srtp("offer")));
    assert_eq!(two.reply_to(busy).status, 491);
    one.answer(guest, "d", Some(srtp("offer D")));
    assert_eq!(one.sends(), [(A, Method::Invite, "offer D".into())]);
    one.answer(A, "r0", Some(srtp("answer A")));
    let journal =
        one.last.iter().position(|e| matches!(e, Effect::JournalOver { over, .. } if *over == OTHER));
    let taken = one.last.iter().position(|e| matches!(e, Effect::Tell { .. }));
    assert!(journal.unwrap() < taken.unwrap(), "the row first");
    let message = Box::new(told(&one).remove(0));
    two.on(Input::Peer { from: OWN, message });
    assert_eq!(two.sends(), [(A, Method::Bye, String::new())], "only the transferor is left there");
    two.bye_done(A);
    assert_eq!(two.finished, Some(End::Transferred));
    assert_eq!(one.call.row().unwrap().callee.leg, guest);
}

#[test]
fn a_leg_that_cannot_be_joined_goes_back() {
    // The claimed phone makes no offer, or the transferee does not take it.
    for at_guest in [true, false] {
        let (mut one, mut two) = (attended(), lender());
        let guest = hand_over(&mut two, &mut one);
        if at_guest {
            one.invite_response(guest, 488, "d", None);
        } else {
            one.answer(guest, "d", Some(srtp("offer D")));
            one.invite_response(A, 488, "r0", None);
            assert!(one.acks().iter().any(|a| a.0 == guest && !a.3.is_empty()), "its old answer");
        }
        let back = told(&one).remove(0);
        assert!(matches!(back, PeerMessage::GaveBack { restore, .. } if restore != at_guest));
        two.on(Input::Peer { from: OWN, message: Box::new(back) });
        let asked = two.sends();
        assert_eq!(asked.is_empty(), at_guest, "media that were moved are agreed on anew: {asked:?}");
        assert!(two.finished.is_none() && one.finished.is_none());
        assert_eq!(notes(&one)[0].0, "SIP/2.0 488 Not Acceptable Here");
        assert_eq!(one.call.row().unwrap().callee.leg, B);
    }
}

#[test]
fn claims_that_are_denied() {
    let status = |w: &World| match told(w)[..] {
        [PeerMessage::Denied { status, .. }] => status,
        _ => panic!("{:?}", told(w)),
    };
    let mut w = lender();
    claim(&mut w, A, true);
    assert_eq!(status(&w), 486, "it is answered");
    let dialog = DialogId { call_id: "no".into(), local_tag: "no".into(), remote_tag: "no".into() };
    let replaced = Replaced { call: Some(OWN), dialog, early_only: false };
    let message = PeerMessage::Claim { ticket: 1, replaced, sender: secure(0).device };
    w.on(Input::Peer { from: OWN, message: Box::new(message) });
    assert_eq!(status(&w), 481);
    let replaced = Replaced { call: Some(OWN), dialog: w.dialog(A), early_only: false };
    let message = PeerMessage::Claim { ticket: 1, replaced, sender: secure(3).device };
    w.on(Input::Peer { from: OWN, message: Box::new(message) });
    assert_eq!(status(&w), 403, "not its dialog");
    // One that is denied leaves the other call as it was.
    let mut one = attended();
    one.on(Input::Peer { from: OTHER, message: Box::new(PeerMessage::Denied { ticket: 1, status: 481 }) });
    assert_eq!(notes(&one)[0].0, "SIP/2.0 481 Call/Transaction Does Not Exist");
    // A leg that comes too late goes back at once.
    let mut two = lender();
    claim(&mut two, A, false);
    let lent = told(&two).remove(0);
    one.on(Input::Peer { from: OTHER, message: Box::new(lent) });
    assert!(matches!(told(&one)[..], [PeerMessage::GaveBack { .. }]));
}

#[test]
fn a_claim_waits_for_an_offer_that_is_open() {
    let mut w = lender();
    w.request(B, Method::Invite, Some(srtp_hold("hold", Direction::SendOnly)));
    claim(&mut w, A, false);
    assert!(told(&w).is_empty());
    w.answer(A, "r0", Some(srtp("held")));
    assert!(told(&w).is_empty(), "the ACK is missing");
    w.ack_last(B, None);
    assert!(matches!(told(&w)[..], [PeerMessage::Lent { .. }]));
}

#[test]
fn a_lent_leg_that_hangs_up_ends_both() {
    let (mut one, mut two) = (attended(), lender());
    let guest = hand_over(&mut two, &mut one);
    two.request(B, Method::Bye, None);
    let gone = told(&two).remove(0);
    assert!(matches!(gone, PeerMessage::LegGone { .. }));
    one.on(Input::Peer { from: OTHER, message: Box::new(gone) });
    assert_eq!(notes(&one)[0].0, "SIP/2.0 480 Temporarily Unavailable");
    assert_eq!(one.call.row().unwrap().callee.leg, B);
    // Its re-INVITE is still out; what it says now concerns nobody.
    one.invite_response(guest, 481, "d", None);
    assert!(one.finished.is_none());
    // The transferor may hang the consultation up at once: the leg is not lost by that.
    let (mut one, mut two) = (attended(), lender());
    let guest = hand_over(&mut two, &mut one);
    two.request(A, Method::Bye, None);
    assert!(two.finished.is_none());
    one.answer(guest, "d", Some(srtp("offer D")));
    one.answer(A, "r0", Some(srtp("answer A")));
    let message = Box::new(told(&one).remove(0));
    two.on(Input::Peer { from: OWN, message });
    assert_eq!(two.finished, Some(End::Transferred));
}

#[test]
fn a_fault_gives_the_leg_back() {
    let (mut one, mut two) = (attended(), lender());
    hand_over(&mut two, &mut one);
    let effects = one.call.salvage();
    let gave = effects.iter().any(|e| match e {
        Effect::Tell { message, .. } => matches!(**message, PeerMessage::GaveBack { .. }),
        _ => false,
    });
    assert!(gave, "{effects:?}");
    // A lender that was rebuilt from its row still understands that its leg is gone.
    let row = two.call.row().unwrap();
    let (call, _) = Call::from_row(row, Env { now: crate::ids::UnixMillis(0), tags: &tags });
    let mut rebuilt = World::around(call);
    let dialog = rebuilt.dialog(B);
    rebuilt.on(Input::Peer { from: OWN, message: Box::new(PeerMessage::Taken { dialog }) });
    assert_eq!(rebuilt.sends(), [(A, Method::Bye, String::new())]);
}
