//! Reliable provisionals (RFC 3262), each leg for itself: those of a phone are acknowledged in order, those to a
//! caller that knows them are repeated until its PRACK.

use smallvec::SmallVec;

use super::effect::{Effect, End, Reply, TimerKind};
use super::extension::Rack;
use super::input::{Incoming, Response};
use super::state::{Call, LegState};
use super::types::{Dialog, Header, Headers, LegId, Method};
use super::{Env, PRACK_WAIT_MS, T1_MS};
use crate::media::Body;

/// Provisionals of one early dialog that wait behind an unacknowledged one at most; more are not told.
const WAITING_MAX: usize = 4;

/// RSeq starts below this, so that it never comes near 2^31 (RFC 3262 §3).
const RSEQ_START: u64 = 1 << 30;

/// Reliable provisionals of one early dialog on their way to the caller.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbox {
    /// RSeq of the last one sent; 0 before the first.
    last: u32,
    open: Option<Open>,
    waiting: SmallVec<[Reply; 1]>,
}

/// The one that is not acknowledged.
#[derive(Debug, Clone)]
struct Open {
    reply: Reply,
    wait_ms: u64,
    spent_ms: u64,
}

impl Outbox {
    fn is_idle(&self) -> bool {
        self.open.is_none() && self.waiting.is_empty()
    }
}

impl Call {
    /// Whether a provisional of a phone counts: `None` for a reliable one that is a repeat or ahead of its order,
    /// which is not acknowledged (RFC 3262 §4); else whether it is reliable.
    pub(super) fn in_order(&mut self, id: LegId, index: usize, response: &Response) -> Option<bool> {
        let Some(rseq) = response.ext.rseq.filter(|_| response.ext.require_100rel) else {
            return Some(false);
        };
        // Without a tag there is no dialog to send a PRACK in.
        response.to_tag.as_ref()?;
        let early = self.early_mut(id, index)?;
        let next = early.rseq.is_none_or(|last| rseq == last.wrapping_add(1));
        if next {
            early.rseq = Some(rseq);
        }
        next.then_some(true)
    }

    /// PRACK to a phone, with the answer to its offer.
    pub(super) fn acknowledge(&mut self, id: LegId, index: usize, rseq: u32, answer: Option<Body>) {
        let Some((_, cseq)) = self.leg(id).and_then(|l| l.invite) else { return };
        let Some(dialog) = self.early_dialog_to(id, (id, index)) else { return };
        let rack = Header::new("RAck", format!("{rseq} {cseq} INVITE"));
        self.send_in(id, Some(dialog), Method::Prack, answer, Headers::from_iter([rack]));
    }

    /// The dialog in which a request goes to a leg while the call rings.
    pub(super) fn early_dialog_to(&self, to: LegId, (phone, index): (LegId, usize)) -> Option<Dialog> {
        let leg = self.leg(phone)?;
        let early = leg.early.get(index)?;
        if to != LegId::CALLER {
            return Some(leg.early_dialog(early));
        }
        let local_tag = early.caller_tag.clone();
        self.leg(LegId::CALLER).map(|caller| Dialog { local_tag, ..caller.dialog.clone() })
    }

    /// A provisional goes to the caller: reliably where it demands that, or where it can and there is SDP in it.
    pub(super) fn tell_caller(&mut self, id: LegId, index: usize, reply: Reply) {
        let reliable = self.requires_100rel || (self.caller_knows_100rel() && reply.body.is_some());
        if !reliable {
            return self.out.push(Effect::Reply(Box::new(reply)));
        }
        let Some(early) = self.early_mut(id, index) else { return };
        if early.outbox.waiting.len() < WAITING_MAX {
            early.outbox.waiting.push(reply);
        }
        self.send_next(id, index);
    }

    /// One at a time: the next goes out when the last one was acknowledged (RFC 3262 §3).
    fn send_next(&mut self, id: LegId, index: usize) {
        let start = self.random(RSEQ_START) as u32 + 1;
        let Some(early) = self.early_mut(id, index) else { return };
        let outbox = &mut early.outbox;
        if outbox.open.is_some() || outbox.waiting.is_empty() {
            return;
        }
        let mut reply = outbox.waiting.remove(0);
        outbox.last = if outbox.last == 0 { start } else { outbox.last + 1 };
        reply.headers.push(Header::new("Require", "100rel"));
        reply.headers.push(Header::new("RSeq", outbox.last.to_string()));
        outbox.open = Some(Open { reply: reply.clone(), wait_ms: T1_MS, spent_ms: 0 });
        self.out.push(Effect::Reply(Box::new(reply)));
        self.arm(reliable_timer(id, index), T1_MS);
    }

    /// No PRACK yet: again, T1 doubling; after 64·T1 the INVITE is refused (RFC 3262 §3).
    pub(super) fn repeat_provisional(&mut self, id: LegId, index: u16) {
        if self.invite.is_none() {
            return;
        }
        let Some(early) = self.early_mut(id, usize::from(index)) else { return };
        let Some(open) = &mut early.outbox.open else { return };
        open.spent_ms += open.wait_ms;
        if open.spent_ms >= PRACK_WAIT_MS {
            return self.end(End::Rejected(504), 504, &Headers::new());
        }
        open.wait_ms = (open.wait_ms * 2).min(PRACK_WAIT_MS - open.spent_ms);
        let (reply, wait_ms) = (open.reply.clone(), open.wait_ms);
        self.out.push(Effect::Reply(Box::new(reply)));
        self.arm(TimerKind::Provisional(id, index), wait_ms);
    }

    /// PRACK of the caller in an early dialog.
    pub(super) fn on_prack(&mut self, (phone, index): (LegId, usize), incoming: Incoming, env: Env<'_>) {
        let tx = incoming.tx;
        let cseq = self.invite_cseq;
        let Some(early) = self.early_mut(phone, index) else { return self.reply(tx, 481) };
        let rseq = early.outbox.last;
        let Some(Rack { .. }) = incoming
            .ext
            .rack
            .filter(|r| early.outbox.open.is_some() && *r == Rack { rseq, cseq, invite: true })
        else {
            return self.reply(tx, 481);
        };
        let sdp = incoming.body.clone().filter(|b| b.media.is_some());
        let owed = early.owed;
        if owed.is_some() && sdp.is_none() {
            // The phone's offer finds no answer: without one there is no session.
            self.reply(tx, 400);
            return self.end(End::Rejected(488), 488, &Headers::new());
        }
        early.owed = None;
        let told = early.outbox.open.take().is_some_and(|o| o.reply.body.is_some());
        if told && let Some(session) = &mut early.session {
            session.settled_caller = true;
        }
        self.disarm(reliable_timer(phone, index));
        match (owed, sdp) {
            (Some(rseq), Some(answer)) => self.answer_early_offer((phone, index), rseq, answer),
            (None, Some(_)) => {
                self.early_offer(LegId::CALLER, (phone, index), incoming);
                self.send_next(phone, index);
                return self.release_held(env);
            }
            _ => {}
        }
        self.reply(tx, 200);
        self.send_next(phone, index);
        self.release_held(env);
    }

    /// The caller's answer to a phone's offer goes on in the PRACK that waited for it.
    fn answer_early_offer(&mut self, (phone, index): (LegId, usize), rseq: u32, answer: Body) {
        self.acknowledge(phone, index, rseq, Some(answer.clone()));
        let Some(early) = self.early_mut(phone, index) else { return };
        let Some(offer) = early.body.clone() else { return };
        early.session = Some(super::early::EarlySession {
            caller: answer,
            phone: offer,
            by_caller: false,
            settled_phone: true,
            settled_caller: true,
            renewed: false,
        });
    }

    /// A 2xx waits while the caller has not acknowledged what came before it (RFC 3262 §3), or while an offer in
    /// that dialog has no answer. True if it was kept.
    pub(super) fn hold_answer(&mut self, id: LegId, response: &Response) -> bool {
        if let Some((held, kept)) = &self.held {
            // Its own repeats wait as well.
            return *held == id && kept.to_tag == response.to_tag;
        }
        let Some(leg) = self.leg(id) else { return false };
        let early = leg.early.iter().find(|e| e.remote_tag == response.to_tag);
        if early.is_none_or(|e| e.outbox.is_idle() && e.offering.is_none()) {
            return false;
        }
        self.held = Some((id, Box::new(response.clone())));
        for timer in [TimerKind::NoAnswer, TimerKind::RingCap] {
            self.disarm(timer);
        }
        let elsewhere = Headers::from_iter([super::ring::completed_elsewhere()]);
        for other in self.ids() {
            if other != id && other != LegId::CALLER {
                self.cancel_leg(other, &elsewhere);
            }
        }
        true
    }

    /// A 2xx waits.
    #[cfg(test)]
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// What a 2xx waited for is done.
    pub(super) fn release_held(&mut self, env: Env<'_>) {
        let Some((id, response)) = self.held.take() else { return };
        if !self.leg(id).is_some_and(|l| matches!(l.state, LegState::Calling | LegState::Proceeding)) {
            return;
        }
        if !self.hold_answer(id, &response) {
            self.answered(id, *response, env);
        }
    }

    /// The call ends while an answer waits: it is acknowledged and left.
    pub(super) fn drop_held(&mut self) {
        if let Some((id, response)) = self.held.take() {
            self.unwanted(id, &response);
        }
    }
}

fn reliable_timer(id: LegId, index: usize) -> TimerKind {
    TimerKind::Provisional(id, u16::try_from(index).unwrap_or(u16::MAX))
}
