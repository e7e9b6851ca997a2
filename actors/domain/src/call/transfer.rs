//! A transfer under way: the target is rung or a leg of another call is taken over, then offer and answer go
//! between it and the transferee; only then the transferor is let go.
//!
//! The new phone makes the offer (the INVITE or re-INVITE to it has none, RFC 3725 §4.1), the transferee
//! answers it. So the transferee is not touched before there is somebody to talk to, neither is ever shown a
//! body that the transferor saw, and whatever fails before the answer leaves the old call as it was.

use super::choose::Verdict;
use super::effect::{Effect, TimerKind};
use super::exchange::{Exchange, Kind};
use super::input::Response;
use super::peer::{CallRef, PeerMessage};
use super::refer::ReferTo;
use super::replaces::Guest;
use super::state::{Call, Leg, LegState, Phase, can_cross, media_of};
use super::types::{ClientTx, DialogId, Headers, LegId, Method, Target};
use super::{Env, LEGS_MAX, RING_CAP_MS};
use crate::media::{Body, LegMedia};

/// The one transfer that a call can have under way.
#[derive(Debug)]
pub(super) struct Transfer {
    /// Who goes.
    pub(super) by: LegId,
    /// Who stays.
    pub(super) keep: LegId,
    pub(super) ticket: u64,
    pub(super) to: ReferTo,
    pub(super) stage: Stage,
    best: Option<Verdict>,
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Waits for the bindings of the line.
    Finding,
    /// Its phones ring.
    Ringing,
    /// Waits for the other call to lend its leg.
    Claiming { call: Option<CallRef> },
    /// The new leg is to be asked for an offer, as soon as no other exchange is under way.
    Guest { leg: LegId },
    /// It made one; the transferee shall answer it. The ACK to `leg` waits for that.
    Offered { leg: LegId, token: ClientTx, cseq: u32, offer: Body },
    /// One of the two is asked.
    Asking { leg: LegId },
}

impl Transfer {
    pub(super) fn new(by: LegId, keep: LegId, ticket: u64, to: ReferTo, stage: Stage) -> Self {
        Self { by, keep, ticket, to, stage, best: None }
    }

    /// The leg that has taken the call, or is being taken over.
    pub(super) fn new_leg(&self) -> Option<LegId> {
        match self.stage {
            Stage::Guest { leg } | Stage::Offered { leg, .. } | Stage::Asking { leg } => Some(leg),
            Stage::Finding | Stage::Ringing | Stage::Claiming { .. } => None,
        }
    }
}

impl Call {
    /// A leg that a transfer rings.
    pub(super) fn is_rung(&self, id: LegId) -> bool {
        let ringing = self.transfer.as_ref().is_some_and(|t| matches!(t.stage, Stage::Ringing));
        ringing && self.phase == Phase::Up && !self.is_party(id)
    }

    /// The bindings of the line that a REFER named.
    pub(super) fn on_targets(&mut self, ticket: u64, found: Result<Vec<Target>, u16>, env: Env<'_>) {
        let Some(transfer) = &mut self.transfer else { return };
        if transfer.ticket != ticket || !matches!(transfer.stage, Stage::Finding) {
            return;
        }
        let targets = match found {
            Ok(targets) if !targets.is_empty() => targets,
            Ok(_) => return self.transfer_failed(480),
            Err(status) => return self.transfer_failed(status),
        };
        transfer.stage = Stage::Ringing;
        // A transfer takes the best flow of each phone; the others are not tried.
        let targets = targets.into_iter().filter(|t| !t.spare);
        for target in targets.take(LEGS_MAX.saturating_sub(self.legs.len())) {
            let (tag, id) = (self.tag(env), self.new_leg());
            self.legs.push(Leg::target(id, target, tag));
        }
        self.arm(TimerKind::RingCap, RING_CAP_MS);
        self.next_group_of_transfer();
    }

    pub(super) fn new_leg(&mut self) -> LegId {
        self.next_leg =
            self.legs.iter().map(|l| l.id.0).max().unwrap_or(0).max(self.next_leg).saturating_add(1);
        LegId(self.next_leg)
    }

    fn next_group_of_transfer(&mut self) {
        loop {
            let due = self.legs.iter().filter(|l| l.state == LegState::Waiting).map(|l| l.q).max();
            let Some(q) = due else {
                let best = self.transfer.as_mut().and_then(|t| t.best.take());
                return self.transfer_failed(best.map_or(480, |v| v.status));
            };
            for id in self.ids() {
                if self.leg(id).is_some_and(|l| l.state == LegState::Waiting && l.q == q) {
                    self.try_leg(id);
                }
            }
            if self.legs.iter().any(Leg::is_trying) {
                return self.arm(TimerKind::NoAnswer, self.no_answer_ms);
            }
        }
    }

    /// A phone that a transfer rang is out.
    pub(super) fn rung_failed(&mut self, verdict: Verdict) {
        let Some(transfer) = &mut self.transfer else { return };
        let global = verdict.status >= 600;
        let status = verdict.status;
        transfer.best = Some(Verdict::better(transfer.best.take(), verdict));
        if global {
            return self.transfer_failed(status);
        }
        if !self.legs.iter().any(Leg::is_trying) {
            self.next_group_of_transfer();
        }
    }

    /// A group of a transfer's phones, or all of them, rang out.
    pub(super) fn transfer_rang_out(&mut self, last: bool) {
        if !self.transfer.as_ref().is_some_and(|t| matches!(t.stage, Stage::Ringing)) {
            return;
        }
        for id in self.ids() {
            if self.leg(id).is_some_and(Leg::is_trying) {
                self.cancel_leg(id, &Headers::new());
            }
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.best = Some(Verdict::better(transfer.best.take(), Verdict::local(408)));
        }
        match last {
            true => self.transfer_failed(408),
            false => self.next_group_of_transfer(),
        }
    }

    /// The first 2xx of a phone that a transfer rings. It brings the offer.
    pub(super) fn rung_answered(&mut self, id: LegId, response: Response) {
        let Some(keep) = self.transfer.as_ref().map(|t| t.keep) else { return };
        let crosses = can_cross(response.body.as_ref(), self.carries(keep, id));
        let offer = response.body.clone().filter(|b| b.media.is_some() && crosses);
        let invite = self.leg(id).and_then(|l| l.invite);
        let (Some(offer), Some((token, cseq))) = (offer, invite) else {
            self.unwanted(id, &response);
            return self.rung_failed(Verdict::local(488));
        };
        for timer in [TimerKind::NoAnswer, TimerKind::RingCap] {
            self.disarm(timer);
        }
        let Some(leg) = self.leg_mut(id) else { return };
        leg.dialog = leg.dialog_of(&response);
        leg.state = LegState::Joining;
        self.session_agreed(id, response.ext.session);
        if let Some(transfer) = &mut self.transfer {
            transfer.stage = Stage::Offered { leg: id, token, cseq, offer };
        }
        let completed = [super::ring::completed_elsewhere()].into_iter().collect();
        for other in self.ids() {
            if self.leg(other).is_some_and(|l| l.is_trying() || l.state == LegState::Waiting) {
                self.cancel_leg(other, &completed);
            }
        }
    }

    /// Goes on where no exchange is in the way.
    pub(super) fn pump_transfer(&mut self) {
        let Some(transfer) = &mut self.transfer else { return };
        let keep = transfer.keep;
        match &transfer.stage {
            Stage::Offered { leg, token, cseq, offer } => {
                let (leg, token, cseq, offer) = (*leg, *token, *cseq, offer.clone());
                if !self.leg(keep).is_some_and(|l| l.flow.is_live()) {
                    return self.transfer_failed(480);
                }
                if let Some(transfer) = &mut self.transfer {
                    transfer.stage = Stage::Asking { leg };
                }
                let headers = self.indication_of_join(keep, leg, &offer).into_iter().collect();
                self.carry = Some(self.carries(keep, leg));
                self.ask(Kind::Join { leg, token, cseq }, keep, Method::Invite, Some(offer), headers);
                self.carry = None;
            }
            Stage::Guest { leg } => {
                let leg = *leg;
                transfer.stage = Stage::Asking { leg };
                self.ask(Kind::JoinAsk, leg, Method::Invite, None, Headers::new());
            }
            _ => {}
        }
    }

    /// The leg of another call made its offer.
    pub(super) fn guest_offered(&mut self, leg: LegId, token: ClientTx, cseq: u32, body: Option<Body>) {
        let Some(transfer) = &mut self.transfer else { return };
        let keep = transfer.keep;
        let offer = body.filter(|b| b.media.is_some());
        let crosses = can_cross(offer.as_ref(), self.carries(keep, leg));
        match offer.filter(|_| crosses) {
            Some(offer) => {
                if let Some(transfer) = &mut self.transfer {
                    transfer.stage = Stage::Offered { leg, token, cseq, offer };
                }
            }
            None => {
                self.keep_guest_as_it_was(leg, token, cseq);
                self.transfer_failed(488);
            }
        }
    }

    /// The leg of another call made no offer.
    pub(super) fn join_refused(&mut self, leg: LegId, status: u16) {
        if status == 491 {
            if let Some(transfer) = &mut self.transfer {
                transfer.stage = Stage::Guest { leg };
            }
            return self.retry_later(leg);
        }
        if matches!(status, 408 | 481) {
            self.set_state(leg, LegState::Gone);
        }
        self.transfer_failed(super::choose::shown(status));
    }

    /// The transferee did not take the offer of the new leg.
    pub(super) fn join_unanswered(
        &mut self,
        leg: LegId,
        token: ClientTx,
        cseq: u32,
        offer: Option<Body>,
        keep: LegId,
        status: u16,
    ) {
        if let (Some(transfer), Some(offer)) = (&mut self.transfer, offer) {
            transfer.stage = Stage::Offered { leg, token, cseq, offer };
        }
        if status == 491 {
            return self.retry_later(keep);
        }
        self.transfer_failed(super::choose::shown(status));
        if matches!(status, 408 | 481) {
            self.lost(keep, status == 408);
        }
    }

    pub(super) fn keep_guest_as_it_was(&mut self, leg: LegId, token: ClientTx, cseq: u32) {
        let old = self.leg(leg).and_then(|l| l.sdp_in_force.clone());
        self.carry = self.leg(leg).and_then(|l| l.guest).map(|g| g.carries);
        self.ack(leg, token, cseq, old);
        self.carry = None;
    }

    /// The transferee answered the offer of the new leg: they talk. The transferor goes.
    pub(super) fn joined(&mut self, exchange: Exchange, body: Option<Body>, env: Env<'_>) {
        let Kind::Join { leg, token, cseq } = exchange.kind else { return };
        let keep = exchange.to;
        self.ack(keep, exchange.token, exchange.cseq, None);
        let answer = body.filter(|b| b.media.is_some());
        let Some(transfer) = self.transfer.take_if(|_| answer.is_some()) else {
            // No answer to an offer: there is no session that both could have.
            if let Some(offer) = exchange.offer
                && let Some(transfer) = &mut self.transfer
            {
                transfer.stage = Stage::Offered { leg, token, cseq, offer };
            }
            return self.transfer_failed(488);
        };
        for id in [keep, leg] {
            if let Some(leg) = self.leg_mut(id) {
                leg.facts.answered = true;
                leg.facts.media = LegMedia::default();
            }
        }
        let by = transfer.by;
        if let Some(leg) = self.leg_mut(by) {
            leg.facts.answered = false;
        }
        if self.first == by {
            self.first = leg;
        } else {
            self.winner = Some(leg);
        }
        self.set_state(leg, LegState::Up);
        self.arm_session(leg, 0);
        self.agree(media_of(exchange.offer.as_ref()), media_of(answer.as_ref()));
        self.ack(leg, token, cseq, answer.clone());
        self.in_force(keep, exchange.offer);
        self.in_force(leg, answer);
        self.disarm(TimerKind::Claim);
        self.reclassify(env);
        if let Some(Guest { from, .. }) = self.leg_mut(leg).and_then(|l| l.guest.take()) {
            // First the row: the other call drops its own when it hears of it.
            if let Some(row) = self.row() {
                self.dirty = false;
                self.out.push(Effect::JournalOver { row: Box::new(row), over: from });
            }
            if let Some(dialog) = self.leg(leg).map(Leg::name) {
                let message = PeerMessage::Taken { dialog };
                self.out.push(Effect::Tell { to: from, message: Box::new(message) });
            }
        }
        self.dirty = true;
        if self.leg(by).is_some_and(|l| l.state == LegState::Up) {
            self.set_state(by, LegState::Parting);
            self.report(200, true);
            self.farewell_parting(by);
        }
    }

    /// The transfer came to nothing: the old call goes on, or ends if the transferor has left it.
    pub(super) fn transfer_failed(&mut self, status: u16) {
        let by = self.transfer.as_ref().map(|t| t.by);
        self.drop_transfer(status);
        let Some(by) = by else { return };
        if self.phase == Phase::Up && !self.leg(by).is_some_and(|l| l.state == LegState::Up) {
            self.end(super::End::Bye, 480, &Headers::new());
        }
    }

    /// Undoes everything that a transfer has begun, and says so to its transferor.
    pub(super) fn drop_transfer(&mut self, status: u16) {
        let Some(transfer) = self.transfer.take() else { return };
        for timer in [TimerKind::NoAnswer, TimerKind::RingCap, TimerKind::Claim] {
            self.disarm(timer);
        }
        if let Stage::Claiming { call: Some(to) } = transfer.stage {
            let message =
                PeerMessage::GaveBack { ticket: transfer.ticket, cseq: 0, restore: false, lost: false };
            self.out.push(Effect::Tell { to, message: Box::new(message) });
        }
        let asked = self.exchange.take_if(|e| matches!(e.kind, Kind::Join { .. } | Kind::JoinAsk));
        let held = match (&transfer.stage, &asked) {
            (Stage::Offered { token, cseq, .. }, _) => Some((*token, *cseq)),
            (_, Some(Exchange { kind: Kind::Join { token, cseq, .. }, .. })) => Some((*token, *cseq)),
            _ => None,
        };
        if let Some(leg) = transfer.new_leg() {
            let guest = self.leg(leg).is_some_and(|l| l.guest.is_some());
            let gone = self.leg(leg).is_none_or(|l| l.state == LegState::Gone);
            if let Some((token, cseq)) = held {
                self.keep_guest_as_it_was(leg, token, cseq);
            }
            if !guest && held.is_some() && !gone {
                self.farewell(leg);
            } else if guest && asked.as_ref().is_some_and(|e| e.to == leg) {
                // Its offer is on the way and wants an answer first.
                self.set_state(leg, LegState::Returning);
            } else if guest {
                self.return_guest(leg, held.is_some(), gone);
            }
        }
        if let Some(mut exchange) = asked {
            // Its 2xx needs an ACK. What the transferee accepted must be undone.
            self.rekey |= self.phase == Phase::Up && exchange.to == transfer.keep;
            exchange.kind = Kind::Dead;
            self.exchange = Some(exchange);
        }
        for id in self.ids() {
            let rung = |l: &Leg| l.is_trying() || l.state == LegState::Waiting;
            if !self.is_party(id) && self.leg(id).is_some_and(rung) {
                self.cancel_leg(id, &Headers::new());
            }
        }
        if self.phase == Phase::Up {
            self.report(status, true);
        } else {
            self.report_end(status);
        }
    }

    /// A leg's dialog is over while a transfer is under way. True if the call goes on without it.
    pub(super) fn left_transfer(&mut self, id: LegId) -> bool {
        let Some(transfer) = &self.transfer else { return false };
        if transfer.by == id {
            self.unsubscribe(id);
            return true;
        }
        if transfer.new_leg() == Some(id) {
            self.transfer_failed(480);
            return true;
        }
        false
    }
}

impl Leg {
    /// What its peer calls this dialog, from our side.
    pub(super) fn name(&self) -> DialogId {
        DialogId {
            call_id: self.dialog.call_id.clone(),
            local_tag: self.dialog.local_tag.clone(),
            remote_tag: self.dialog.remote_tag.clone().unwrap_or_default(),
        }
    }
}
