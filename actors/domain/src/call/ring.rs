//! From the INVITE to the answer: groups, early dialogs, CANCEL, the choice of the winner.

use std::sync::Arc;

use smallvec::SmallVec;

use super::choose::Verdict;
use super::effect::{Effect, Effects, End, Reply, TimerKind};
use super::exchange::{Exchange, Kind, Step};
use super::extension::SessionAsk;
use super::identity::Identity;
use super::input::Response;
use super::state::{Call, Leg, LegState, Phase, Stray, Unacked, can_cross, media_of, passed};
use super::types::{CallerLeg, ClientTx, Dialog, Header, Headers, LegId, Method, StartArgs, Target};
use super::{CANCEL_WAIT_MS, Env, RING_CAP_MS, ROUTES_MAX, STRAYS_MAX, TARGET_WAIT_MS};
use crate::class::LegFacts;
use crate::flow::Flow;
use crate::media::LegMedia;

/// Flow Failed (RFC 5626 §11.5).
const FLOW_FAILED: u16 = 430;

impl Call {
    /// Begins a call that admission has allowed. Without targets the caller gets 480 at once.
    pub fn start(args: StartArgs, env: Env<'_>) -> (Self, Effects) {
        let mut call = Self::empty(args.seed);
        let tag = call.tag(env);
        call.invite = Some(args.invite);
        call.offer = args.body;
        call.headers = passed(&args.headers);
        (call.now, call.session) = (env.now, args.session);
        (call.invite_cseq, call.requires_100rel) = (args.caller.cseq, args.caller.ext.require_100rel);
        call.visited.push(args.called);
        call.no_answer_ms = u64::from(args.no_answer_s) * 1000;
        let ask = args.caller.ext.session;
        call.legs.push(Leg::caller(args.caller, tag));
        call.add_targets(args.targets, env);
        match call.session_asked(LegId::CALLER, ask) {
            Ok(()) => {
                call.arm(TimerKind::RingCap, RING_CAP_MS);
                call.next_group();
            }
            Err(min_se) => {
                let headers = SmallVec::from_iter([min_se]);
                call.reject(Verdict { status: 422, reason: None, headers }, None);
            }
        }
        let effects = call.settle(env);
        (call, effects)
    }

    /// Rings the highest group that was not tried; decides when there is none.
    pub(super) fn next_group(&mut self) {
        loop {
            let due = self.legs.iter().filter(|l| l.state == LegState::Waiting).map(|l| l.q).max();
            let Some(q) = due else { return self.decide() };
            let group: SmallVec<[LegId; 4]> =
                self.legs.iter().filter(|l| l.state == LegState::Waiting && l.q == q).map(|l| l.id).collect();
            for id in group {
                self.try_leg(id);
            }
            if self.legs.iter().any(Leg::is_trying) {
                return self.arm(TimerKind::NoAnswer, self.no_answer_ms);
            }
        }
    }

    pub(super) fn try_leg(&mut self, id: LegId) {
        if !can_cross(self.offer.as_ref(), self.carries(LegId::CALLER, id)) {
            self.best = Some(Verdict::better(self.best.take(), Verdict::local(488)));
            return self.set_state(id, LegState::Gone);
        }
        if self.leg(id).is_some_and(|l| l.flow.is_live()) {
            return self.ring(id);
        }
        self.set_state(id, LegState::Away);
        self.arm(TimerKind::TargetWait(id), TARGET_WAIT_MS);
    }

    /// Sends the INVITE of a target.
    pub(super) fn ring(&mut self, id: LegId) {
        let (body, mut headers) = (self.offer.clone(), self.headers.clone());
        headers.extend(self.offers_100rel());
        headers.extend(self.identity_of(LegId::CALLER));
        headers.extend(self.diversion_of(id));
        let token = self.send(id, Method::Invite, body, headers);
        if let Some(leg) = self.leg_mut(id) {
            leg.invite = Some((token, leg.dialog.local_cseq));
            leg.state = LegState::Calling;
        }
    }

    /// No leg will answer: the best final to the caller.
    fn decide(&mut self) {
        let verdict = self.best.take().unwrap_or_else(|| Verdict::local(480));
        self.reject(verdict, None);
    }

    pub(super) fn reject(&mut self, verdict: Verdict, why: Option<End>) {
        let Verdict { status, reason, headers } = verdict;
        if let Some(tx) = self.invite.take() {
            let to_tag = self.leg(LegId::CALLER).map(|l| l.dialog.local_tag.clone());
            let (body, carry_crypto) = (None, false);
            let reply = Reply { tx, status, reason, to_tag, body, carry_crypto, headers };
            self.out.push(Effect::Reply(Box::new(reply)));
        }
        self.end(why.unwrap_or(End::Rejected(status)), status, &Headers::new());
    }

    /// A target is out: goes on with the others, the next group, or the final answer.
    pub(super) fn leg_failed(&mut self, id: LegId, verdict: Verdict) {
        let trying = self.leg(id).is_some_and(Leg::is_trying);
        self.set_state(id, LegState::Gone);
        self.drop_relays(id);
        self.drop_early(id, 481);
        if trying && self.is_rung(id) {
            return self.rung_failed(verdict);
        }
        if self.phase != Phase::Ringing {
            return;
        }
        if verdict.status >= 600 {
            return self.reject(verdict, None);
        }
        // Of a cancelled leg only a global refusal still counts.
        if !trying {
            return;
        }
        self.best = Some(Verdict::better(self.best.take(), verdict));
        if !self.legs.iter().any(Leg::is_trying) {
            self.next_group();
        }
    }

    /// A group or the whole attempt rang out.
    pub(super) fn rang_out(&mut self, last: bool) {
        if self.phase != Phase::Ringing {
            return self.transfer_rang_out(last);
        }
        let rang = self.legs.iter().any(|l| matches!(l.state, LegState::Calling | LegState::Proceeding));
        for id in self.ids() {
            if self.leg(id).is_some_and(Leg::is_trying) {
                self.cancel_leg(id, &Headers::new());
            }
        }
        let verdict = Verdict::local(if rang { 408 } else { 480 });
        self.best = Some(Verdict::better(self.best.take(), verdict));
        if last || !self.legs.iter().any(|l| l.state == LegState::Waiting) {
            let verdict = self.best.take().unwrap_or_else(|| Verdict::local(408));
            let why = (verdict.status == 408).then_some(End::NoAnswer);
            return self.reject(verdict, why);
        }
        self.next_group();
    }

    /// Gives a target up: at once, by CANCEL, or by a CANCEL held until its first provisional.
    pub(super) fn cancel_leg(&mut self, id: LegId, headers: &Headers) {
        if self.held.as_ref().is_some_and(|(held, _)| *held == id) {
            return self.drop_held();
        }
        let Some(leg) = self.leg_mut(id) else { return };
        match leg.state {
            LegState::Waiting | LegState::Spare | LegState::Away | LegState::Forwarding => {
                leg.state = LegState::Gone;
            }
            LegState::Calling => leg.state = LegState::Cancelling { held: Some(headers.clone()) },
            LegState::Proceeding => self.send_cancel(id, headers.clone()),
            _ => {}
        }
    }

    fn send_cancel(&mut self, id: LegId, headers: Headers) {
        let Some(leg) = self.leg_mut(id) else { return };
        let Some((token, _)) = leg.invite else { return };
        leg.state = LegState::Cancelling { held: None };
        self.out.push(Effect::Cancel { leg: id, token, headers });
        self.arm(TimerKind::CancelWait(id), CANCEL_WAIT_MS);
    }

    /// A response to the INVITE that made a leg.
    pub(super) fn on_invite_response(&mut self, id: LegId, response: Response, env: Env<'_>) {
        let Some(leg) = self.leg_mut(id) else { return };
        if let Some(peer) = response.peer {
            leg.peer = leg.peer.told(peer, &response.ext);
        }
        match (response.status, leg.state.clone()) {
            (100..=199, LegState::Calling | LegState::Proceeding) => {
                leg.state = LegState::Proceeding;
                if response.status > 100 && self.phase == Phase::Ringing {
                    self.provisional(id, response, env);
                } else if response.status > 100 && self.is_rung(id) {
                    self.report(response.status, false);
                }
            }
            (100..=199, LegState::Cancelling { held: Some(headers) }) => self.send_cancel(id, headers),
            (200..=299, LegState::Calling | LegState::Proceeding) if self.phase == Phase::Ringing => {
                self.accepted(id, response, env);
            }
            (200..=299, LegState::Calling | LegState::Proceeding) if self.is_rung(id) => {
                self.rung_answered(id, response);
            }
            (200..=299, LegState::Cancelling { .. } | LegState::Calling | LegState::Proceeding) => {
                self.unwanted(id, &response);
            }
            (200..=299, _) => self.another_2xx(id, &response),
            (422, LegState::Calling | LegState::Proceeding)
                if (self.phase == Phase::Ringing || self.is_rung(id))
                    && self.session_raised(id, response.ext.session.min_se) =>
            {
                self.ring(id);
            }
            (300..=302, LegState::Calling | LegState::Proceeding) if self.redirected(id, &response) => {}
            (300.., LegState::Calling | LegState::Proceeding | LegState::Cancelling { .. }) => {
                self.disarm(TimerKind::CancelWait(id));
                // RFC 5626 §11.5: the flow leads nowhere; the phone has heard nothing.
                if response.status == FLOW_FAILED && self.next_flow(id) {
                    return;
                }
                let headers = passed(&response.headers);
                self.leg_failed(id, Verdict::of(response.status, response.reason, headers));
            }
            _ => {}
        }
    }

    /// A 2xx while nobody else has answered.
    fn accepted(&mut self, id: LegId, response: Response, env: Env<'_>) {
        let (other, fork) = match &self.held {
            Some((held, kept)) => (*held != id, *held == id && kept.to_tag != response.to_tag),
            None => (false, false),
        };
        if fork {
            self.another_2xx(id, &response);
        } else if let Some(status) = self.answer_fault(id, &response) {
            self.unusable(id, &response, status);
        } else if other {
            self.unwanted(id, &response);
        } else if !self.hold_answer(id, &response) {
            self.answered(id, response, env);
        }
    }

    /// The first 2xx: this leg is the call.
    pub(super) fn answered(&mut self, id: LegId, response: Response, env: Env<'_>) {
        let late = media_of(self.offer.as_ref()).is_none();
        let Some(tx) = self.invite.take() else { return };
        self.heed_privacy(id, response.ext.privacy);
        for leg in self.ids() {
            self.drop_early(leg, 481);
        }
        for timer in [TimerKind::NoAnswer, TimerKind::RingCap] {
            self.disarm(timer);
        }
        let unused = self.legs.iter().all(|l| l.early.is_empty());
        let mut caller_cseq = Some(self.invite_cseq);
        let Some(leg) = self.leg_mut(id) else { return };
        let Some((token, cseq)) = leg.invite else { return };
        let early = leg.early.iter().position(|e| e.remote_tag == response.to_tag);
        let early = early.map(|i| leg.early.swap_remove(i));
        leg.early.clear();
        leg.dialog = leg.dialog_of(&response);
        leg.state = LegState::Up;
        leg.facts.answered = true;
        let (tag, early_body, settled) = match early {
            Some(early) => {
                leg.dialog.remote_cseq = early.phone_cseq;
                let settled = early.session.filter(super::early::EarlySession::is_settled);
                caller_cseq = early.caller_cseq.or(caller_cseq);
                (Some(early.caller_tag), early.body, settled)
            }
            None => (None, None, None),
        };
        let body = match &settled {
            // The caller has its answer; what an offer of the phone was answered by it knows best.
            Some(session) => response.body.filter(|_| session.by_caller && !session.renewed),
            // A phone that gave its answer in a 183 may leave it out of the 2xx.
            None => response.body.or(early_body),
        };
        let tag = match (tag, unused) {
            (Some(tag), _) => Some(tag),
            (None, true) => None,
            (None, false) => Some(self.tag(env)),
        };
        self.winner = Some(id);
        self.phase = Phase::Up;
        self.answered_at = env.now;
        let (offer, invite_cseq) = (self.offer.take(), self.invite_cseq);
        if let Some(caller) = self.leg_mut(LegId::CALLER) {
            if let Some(tag) = tag {
                caller.dialog.local_tag = tag;
            }
            caller.state = LegState::Up;
            caller.facts.answered = true;
            caller.sdp_in_force = settled.as_ref().map(|s| s.phone.clone()).or(body.clone());
            caller.dialog.remote_cseq = caller_cseq;
            caller.unacked = Some(Unacked { tx, cseq: invite_cseq });
        }
        if let Some(session) = &settled {
            self.ack(id, token, cseq, None);
            let (offer, answer) = session.agreement();
            self.agree(media_of(Some(offer)), media_of(Some(answer)));
            let sdp = session.caller.clone();
            if let Some(leg) = self.leg_mut(id) {
                leg.sdp_in_force = Some(sdp);
            }
        } else if late && media_of(body.as_ref()).is_some() {
            self.exchange = Some(Exchange {
                kind: Kind::Passed { from: LegId::CALLER, tx: None, cseq: 0, method: Method::Invite },
                to: id,
                token,
                cseq,
                method: Method::Invite,
                offer: body.clone(),
                late: true,
                step: Step::AwaitAck,
                first: true,
            });
        } else {
            self.ack(id, token, cseq, None);
            self.agree(media_of(offer.as_ref()), media_of(body.as_ref()));
            if let Some(leg) = self.leg_mut(id) {
                leg.sdp_in_force = offer;
            }
        }
        for other in self.ids() {
            if other != id && other != LegId::CALLER {
                self.cancel_leg(other, &Headers::from_iter([completed_elsewhere()]));
            }
        }
        self.reclassify(env);
        self.session_agreed(id, response.ext.session);
        let mut headers = passed(&response.headers);
        headers.extend(self.indication_for(LegId::CALLER));
        headers.extend(self.session_granted(LegId::CALLER));
        headers.extend(self.identity_of(id));
        let to_tag = self.leg(LegId::CALLER).map(|l| l.dialog.local_tag.clone());
        let (status, reason, carry_crypto) = (200, None, self.carries(LegId::CALLER, id));
        self.out.push(Effect::Reply(Box::new(Reply {
            tx,
            status,
            reason,
            to_tag,
            body,
            carry_crypto,
            headers,
        })));
        self.dirty = true;
    }

    /// A 2xx that cannot be the answer: this phone is out, others may still answer.
    fn unusable(&mut self, id: LegId, response: &Response, status: u16) {
        self.unwanted(id, response);
        self.best = Some(Verdict::better(self.best.take(), Verdict::local(status)));
        if !self.legs.iter().any(Leg::is_trying) {
            self.next_group();
        }
    }

    /// The first 2xx of a leg that lost the race: ACK, then BYE.
    pub(super) fn unwanted(&mut self, id: LegId, response: &Response) {
        self.disarm(TimerKind::CancelWait(id));
        let Some(leg) = self.leg_mut(id) else { return };
        let Some((token, cseq)) = leg.invite else { return };
        leg.dialog = leg.dialog_of(response);
        self.ack(id, token, cseq, None);
        self.farewell(id);
    }

    /// A further 2xx: a repeat of the known one, or one more dialog of a forked INVITE (RFC 3261 §13.2.2.4).
    fn another_2xx(&mut self, id: LegId, response: &Response) {
        let Some(leg) = self.leg(id) else { return };
        let Some((token, cseq)) = leg.invite else { return };
        if leg.dialog.remote_tag == response.to_tag {
            return self.ack_again(id, token);
        }
        let dialog = leg.dialog_of(response);
        let known = self.strays.iter().any(|s| s.leg == id && s.tag == response.to_tag);
        if !known && self.strays.len() >= STRAYS_MAX {
            return;
        }
        self.send_ack(id, Some(dialog.clone()), token, cseq, None);
        if !known {
            let bye = Some(self.send_in(id, Some(dialog), Method::Bye, None, Headers::new()));
            self.strays.push(Stray { leg: id, tag: response.to_tag.clone(), bye });
        }
    }

    /// The INVITE of a leg ended without a response.
    pub(super) fn invite_failed(&mut self, id: LegId, status: u16) {
        if self.leg(id).is_some_and(Leg::is_inviting) {
            self.disarm(TimerKind::CancelWait(id));
            if self.next_flow(id) {
                return;
            }
            self.leg_failed(id, Verdict::of(status, None, Headers::new()));
        }
    }

    /// The phone's flow is gone while it rings, or its CANCEL is not answered.
    pub(super) fn drop_ringing(&mut self, id: LegId) {
        let Some((token, _)) = self.leg(id).filter(|l| l.is_inviting()).and_then(|l| l.invite) else {
            return;
        };
        if self.held.as_ref().is_some_and(|(held, _)| *held == id) {
            self.drop_held();
        }
        self.out.push(Effect::Forget { token });
        self.disarm(TimerKind::CancelWait(id));
        if !self.next_flow(id) {
            self.leg_failed(id, Verdict::local(480));
        }
    }

    /// Which leg this INVITE made.
    pub(super) fn invited_by(&self, token: ClientTx) -> Option<LegId> {
        self.legs.iter().find(|l| l.invite.is_some_and(|(t, _)| t == token)).map(|l| l.id)
    }
}

/// Goes with the CANCEL of a fork that lost: phones log no missed call then (RFC 3326).
pub(super) fn completed_elsewhere() -> Header {
    Header::new("Reason", r#"SIP;cause=200;text="Call completed elsewhere""#)
}

impl Leg {
    fn caller(caller: CallerLeg, local_tag: Arc<str>) -> Self {
        let dialog = Dialog {
            call_id: caller.call_id,
            local_tag,
            remote_tag: Some(caller.remote_tag),
            local_uri: caller.local_uri,
            remote_uri: caller.remote_uri,
            local_cseq: 0,
            remote_cseq: Some(caller.cseq),
            route_set: caller.record_route.into_iter().take(ROUTES_MAX).collect(),
            remote_target: caller.contact,
        };
        let mut leg = Self::new(LegId::CALLER, caller.facts, caller.flow, dialog);
        (leg.peer, leg.identity) = (caller.peer, caller.identity);
        leg.state = LegState::Up;
        leg.caller = true;
        leg
    }

    pub(super) fn target(id: LegId, target: Target, local_tag: Arc<str>) -> Self {
        let dialog = Dialog {
            call_id: target.call_id,
            local_tag,
            remote_tag: None,
            local_uri: target.local_uri,
            remote_uri: target.remote_uri,
            local_cseq: 0,
            remote_cseq: None,
            route_set: target.route,
            remote_target: target.contact,
        };
        let mut leg = Self::new(id, target.facts, target.flow, dialog);
        (leg.peer, leg.q, leg.identity) = (target.peer, target.q, target.identity);
        leg
    }

    pub(super) fn new(id: LegId, facts: LegFacts, flow: Flow, dialog: Dialog) -> Self {
        Self {
            id,
            facts: LegFacts { answered: false, media: LegMedia::default(), ..facts },
            flow,
            dialog,
            peer: super::PeerFeatures::default(),
            q: 0,
            state: LegState::Waiting,
            after: None,
            invite: None,
            early: SmallVec::new(),
            unacked: None,
            acked: SmallVec::new(),
            bye: None,
            indicated: None,
            indication: None,
            sdp_in_force: None,
            diverted: SmallVec::new(),
            identity: Identity::Unknown,
            session: None,
            asked: SessionAsk::default(),
            refresh: None,
            refresh_due: false,
            min_se_s: 0,
            raises: 0,
            caller: false,
            referred: false,
            guest: None,
        }
    }

    /// Its INVITE has no final response.
    pub(super) fn is_inviting(&self) -> bool {
        matches!(self.state, LegState::Calling | LegState::Proceeding | LegState::Cancelling { .. })
    }
}
