//! Takes each input to its place.

use super::choose::Verdict;
use super::effect::{Effect, Effects, End, TimerKind};
use super::extension::SessionAsk;
use super::input::{Failure, Input, Response};
use super::state::{Call, LegState, Phase, can_cross, passed};
use super::types::{ClientTx, Headers, LegId, ServerTx};
use super::{Env, FLOW_WAIT_MS};
use crate::class::LegFacts;
use crate::flow::Flow;

impl Call {
    /// One event. After [`Effect::Finished`] nothing has an effect.
    pub fn on(&mut self, input: Input, env: Env<'_>) -> Effects {
        if self.phase == Phase::Done {
            return Effects::new();
        }
        self.now = env.now;
        match input {
            Input::Ack { dialog, cseq, source, body } => self.on_ack(&dialog, cseq, source, body, env),
            Input::AckTimeout { tx } => self.on_ack_timeout(tx),
            Input::Cancel { tx, headers } => self.on_cancel(tx, &passed(&headers)),
            Input::DeviceFacts(facts) => self.on_facts(&facts),
            Input::Failed { token, failure } => self.on_failed(token, failure, env),
            Input::FlowLost { flow } => self.on_flow_lost(flow),
            Input::Peer { from, message } => self.on_peer(from, *message),
            Input::Located { leg, targets } => self.located(leg, targets, env),
            Input::Rekey => self.rekey |= self.phase == Phase::Up,
            Input::Release => self.end(End::Released, 480, &Headers::new()),
            Input::Request(incoming) => self.on_request(*incoming, env),
            Input::Response(response) => self.on_response(*response, env),
            Input::TargetBack { flow, contact, facts } => {
                for id in self.ids() {
                    self.on_target_back(id, flow, &contact, &facts);
                }
            }
            Input::Targets { ticket, found, no_answer_s } => {
                self.no_answer_ms = u64::from(no_answer_s) * 1000;
                self.on_targets(ticket, found, env);
            }
            Input::Timer { timer, generation } => {
                if self.due(timer, generation) {
                    self.on_timer(timer);
                }
            }
            Input::Unanswerable { tx, status } => self.on_unanswerable(tx, status),
            Input::Unregistered { device } => {
                let away = |l: &&super::state::Leg| l.state == LegState::Away && l.facts.device == device;
                let ids: Vec<LegId> = self.legs.iter().filter(away).map(|l| l.id).collect();
                for id in ids {
                    self.fail_away(id);
                }
            }
        }
        self.settle(env)
    }

    fn on_response(&mut self, response: Response, env: Env<'_>) {
        let (token, status) = (response.token, response.status);
        if let Some(id) = self.invited_by(token) {
            // The INVITE of a late offer whose answer is awaited is the exchange's as well; both agree that a
            // repeated 2xx waits.
            return self.on_invite_response(id, response, env);
        }
        if self.exchange.as_ref().is_some_and(|e| e.token == token) {
            return self.on_exchange_response(response, env);
        }
        if (200..=299).contains(&status)
            && let Some(leg) = self.legs.iter().find(|l| l.acked.iter().any(|a| a.token == token))
        {
            let id = leg.id;
            return self.ack_again(id, token);
        }
        if status < 200 {
            return;
        }
        if self.on_early_answer(token, status, Some(&response), env) {
            return;
        }
        let said = response.ext.session;
        if !self.on_bye_done(token)
            && !self.on_indicated(token, status, said)
            && !self.on_refreshed(token, status, said)
            && !self.on_notified(token, status)
        {
            self.on_relayed(token, status, Some(response));
        }
    }

    fn on_failed(&mut self, token: ClientTx, failure: Failure, env: Env<'_>) {
        let status = match failure {
            Failure::Timeout => 408,
            Failure::Transport => 503,
            Failure::Unwritable(status) if super::is_failure(status) => status,
            Failure::Unwritable(_) => 500,
        };
        if let Some(id) = self.invited_by(token) {
            // A phone whose connection is gone is one that is not there (design §3): 480, no fault of ours.
            let status = if failure == Failure::Transport { 480 } else { status };
            return self.invite_failed(id, status);
        }
        if self.exchange.as_ref().is_some_and(|e| e.token == token) {
            return self.exchange_refused(status, None);
        }
        if self.on_early_answer(token, status, None, env) {
            return;
        }
        let said = SessionAsk::default();
        if !self.on_bye_done(token)
            && !self.on_indicated(token, status, said)
            && !self.on_refreshed(token, status, said)
            && !self.on_notified(token, status)
        {
            self.on_relayed(token, status, None);
        }
    }

    fn on_cancel(&mut self, tx: ServerTx, headers: &Headers) {
        if self.invite == Some(tx) {
            return self.end(End::Cancelled, 487, headers);
        }
        if self.deferred.as_ref().is_some_and(|d| d.1.tx == tx) {
            self.deferred = None;
            return self.reply(tx, 487);
        }
        self.cancel_exchange(tx, headers.clone());
    }

    fn on_facts(&mut self, facts: &LegFacts) {
        for leg in self.legs.iter_mut().filter(|l| l.facts.device == facts.device) {
            let (answered, media) = (leg.facts.answered, leg.facts.media.clone());
            leg.facts = LegFacts { answered, media, ..facts.clone() };
            self.dirty = true;
        }
    }

    fn on_flow_lost(&mut self, flow: Flow) {
        // A connection is known by its number alone.
        let same = |own: &Flow| match flow {
            Flow::Stream { id, .. } => own.is_stream(id),
            other => *own == other,
        };
        let lost: Vec<LegId> = self.legs.iter().filter(|l| same(&l.flow)).map(|l| l.id).collect();
        for id in lost {
            let ringing = self.phase == Phase::Ringing;
            let Some(leg) = self.leg_mut(id) else { continue };
            leg.flow = Flow::Lost { transport: leg.flow.transport(), remote: leg.flow.remote() };
            match leg.state {
                LegState::Up if ringing => {
                    self.end(End::LegLost, 487, &Headers::new());
                }
                LegState::Up => {
                    self.dirty = true;
                    self.arm(TimerKind::FlowWait(id), FLOW_WAIT_MS);
                }
                // Offer and answer are under way: its phone comes back or the exchange fails.
                LegState::Joining | LegState::Returning => {}
                LegState::Parting
                | LegState::Waiting
                | LegState::Spare
                | LegState::Away
                | LegState::Forwarding
                | LegState::Leaving
                | LegState::Gone => {}
                _ => self.drop_ringing(id),
            }
        }
    }

    fn on_target_back(&mut self, id: LegId, flow: Flow, contact: &std::sync::Arc<str>, facts: &LegFacts) {
        let Some(leg) = self.leg_mut(id).filter(|l| l.facts.device == facts.device) else { return };
        let (answered, media) = (leg.facts.answered, leg.facts.media.clone());
        match leg.state {
            // Its INVITE is out on the flow it had.
            LegState::Spare
            | LegState::Calling
            | LegState::Proceeding
            | LegState::Forwarding
            | LegState::Cancelling { .. }
            | LegState::Gone => {}
            LegState::Waiting | LegState::Away => {
                (leg.flow, leg.dialog.remote_target) = (flow, contact.clone());
                leg.facts = LegFacts { answered, media, ..facts.clone() };
                if leg.state == LegState::Waiting || !flow.is_live() {
                    return;
                }
                self.disarm(TimerKind::TargetWait(id));
                if can_cross(self.offer.as_ref(), self.carries(self.first, id)) {
                    self.ring(id);
                } else {
                    self.leg_failed(id, Verdict::local(488));
                }
            }
            LegState::Up
            | LegState::Leaving
            | LegState::Joining
            | LegState::Returning
            | LegState::Parting => {
                leg.flow = flow;
                leg.facts = LegFacts { answered, media, ..facts.clone() };
                self.dirty = true;
                if flow.is_live() {
                    self.disarm(TimerKind::FlowWait(id));
                }
            }
        }
    }

    fn fail_away(&mut self, id: LegId) {
        if self.leg(id).is_some_and(|l| l.state == LegState::Away) {
            self.disarm(TimerKind::TargetWait(id));
            if !self.next_flow(id) {
                self.leg_failed(id, Verdict::local(480));
            }
        }
    }

    fn on_timer(&mut self, timer: TimerKind) {
        match timer {
            TimerKind::NoAnswer => self.rang_out(false),
            TimerKind::RingCap => self.rang_out(true),
            TimerKind::TargetWait(id) => self.fail_away(id),
            TimerKind::CancelWait(id) => {
                self.drop_ringing(id);
                self.exchange_silent(id);
            }
            TimerKind::FlowWait(id) => {
                if self.leg(id).is_some_and(|l| l.state == LegState::Up && !l.flow.is_live()) {
                    self.lost(id, false);
                }
            }
            TimerKind::Claim => self.transfer_failed(408),
            // What is due starts in `settle`.
            TimerKind::Glare => {}
            TimerKind::Provisional(id, index) => self.repeat_provisional(id, index),
            TimerKind::SessionEnd(id) => self.session_over(id),
            TimerKind::SessionRefresh(id) => self.session_half(id),
            TimerKind::Linger => {
                if let Phase::Ending(why) = self.phase {
                    self.finish(why);
                }
            }
        }
    }

    /// The final answer to a relayed INFO or MESSAGE.
    fn on_relayed(&mut self, token: ClientTx, status: u16, response: Option<Response>) {
        let Some(index) = self.relays.iter().position(|r| r.token == token) else { return };
        let relay = self.relays.swap_remove(index);
        let carry_crypto = false;
        let (mut reason, mut body, mut headers) = (None, None, Headers::new());
        let shown = match status {
            200..=299 => status,
            // 408 to a non-INVITE says nothing (RFC 4320 §4.2).
            408 => 500,
            _ => super::choose::shown(status),
        };
        if let Some(response) = response.filter(|_| shown == status) {
            (reason, body, headers) = (response.reason, response.body, passed(&response.headers));
        }
        let (tx, status_out, to_tag) = (relay.tx, shown, None);
        let reply =
            super::effect::Reply { tx, status: status_out, reason, to_tag, body, carry_crypto, headers };
        self.out.push(Effect::Reply(Box::new(reply)));
        if matches!(status, 408 | 481) && self.phase == Phase::Up {
            self.lost(relay.to, status == 408);
        }
    }
}
