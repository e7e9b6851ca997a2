//! Farewells: every open transaction answered, every dialog left, then Finished.

use super::effect::{Effect, Effects, End, Reply, TimerKind};
use super::exchange::{Exchange, Kind, Step};
use super::state::{Call, LegState, Phase};
use super::types::{ClientTx, Headers, LegId, Method, ServerTx};
use super::{Env, LINGER_MS};

impl Call {
    /// Leaves everything. `status` answers the caller's INVITE if that is still open, `cancel` goes with CANCELs.
    pub(super) fn end(&mut self, why: End, status: u16, cancel: &Headers) {
        let answered = self.phase == Phase::Up;
        if !answered && self.phase != Phase::Ringing {
            return;
        }
        self.phase = Phase::Ending(why);
        // RFC 3326: why one side left is told to the other, whatever method ends its leg.
        self.parting = cancel.iter().filter(|h| h.name.eq_ignore_ascii_case("Reason")).cloned().collect();
        self.drop_held();
        self.drop_transfer(487);
        self.recall();
        self.report_end(487);
        self.answer_all(status, 487);
        self.release_exchange(487);
        for id in self.ids() {
            let Some(leg) = self.leg_mut(id) else { continue };
            match leg.state {
                LegState::Up if id == LegId::CALLER && !answered => leg.state = LegState::Gone,
                LegState::Up | LegState::Parting => self.farewell(id),
                _ => self.cancel_leg(id, cancel),
            }
        }
        self.arm(TimerKind::Linger, LINGER_MS);
    }

    /// A leg's dialog vanished. With `bye` the phone may still believe in it.
    pub(super) fn lost(&mut self, id: LegId, bye: bool) {
        if !bye {
            self.set_state(id, LegState::Gone);
        }
        if self.goes_on_without(id) {
            if bye {
                self.farewell(id);
            }
            return;
        }
        self.end(End::LegLost, 480, &Headers::new());
    }

    /// The leg's dialog is over, but it is not, or no more, one of those that the call is for.
    fn goes_on_without(&mut self, id: LegId) -> bool {
        if self.phase != Phase::Up {
            return false;
        }
        if self.left_transfer(id) || self.left_loan(id) {
            return true;
        }
        self.unsubscribe(id);
        !self.is_party(id)
    }

    /// BYE, or nothing where nobody can hear it. Waits for the ACK of our 2xx (RFC 3261 §15).
    pub(super) fn farewell(&mut self, id: LegId) {
        let Some(leg) = self.leg_mut(id) else { return };
        leg.state = LegState::Leaving;
        if leg.unacked.is_some() {
            return;
        }
        if !leg.flow.is_live() {
            leg.state = LegState::Gone;
            return;
        }
        let headers = self.parting.clone();
        let token = self.send(id, Method::Bye, None, headers);
        if let Some(leg) = self.leg_mut(id) {
            leg.bye = Some(token);
        }
    }

    /// Sends a BYE that waited for an ACK.
    pub(super) fn farewell_held(&mut self, id: LegId) {
        if self.leg(id).is_some_and(|l| l.state == LegState::Leaving && l.bye.is_none()) {
            self.farewell(id);
        }
    }

    /// BYE from a phone.
    pub(super) fn on_bye(&mut self, id: LegId, tx: ServerTx, headers: &Headers) {
        self.reply(tx, 200);
        let Some(leg) = self.leg_mut(id) else { return };
        leg.state = LegState::Gone;
        let (repeated, bye) = (leg.unacked.take(), leg.bye.take());
        if let Some(unacked) = repeated {
            self.out.push(Effect::StopRepeat { tx: unacked.tx });
        }
        if let Some(token) = bye {
            self.out.push(Effect::Forget { token });
        }
        if self.goes_on_without(id) {
            return;
        }
        self.end(End::Bye, 480, headers);
    }

    /// The final answer to a BYE of ours, whatever it says. False if the token is no BYE's.
    pub(super) fn on_bye_done(&mut self, token: ClientTx) -> bool {
        if let Some(leg) = self.legs.iter_mut().find(|l| l.bye == Some(token)) {
            leg.bye = None;
            leg.state = LegState::Gone;
            return true;
        }
        if let Some(stray) = self.strays.iter_mut().find(|s| s.bye == Some(token)) {
            stray.bye = None;
            return true;
        }
        false
    }

    /// `status` is for the caller's first INVITE, `open` for what a dialog has open.
    fn answer_all(&mut self, status: u16, open: u16) {
        if let Some(tx) = self.invite.take() {
            let to_tag = self.leg(LegId::CALLER).map(|l| l.dialog.local_tag.clone());
            let (reason, body, carry_crypto, headers) = (None, None, false, Headers::new());
            let reply = Reply { tx, status, reason, to_tag, body, carry_crypto, headers };
            self.out.push(Effect::Reply(Box::new(reply)));
        }
        // Requests that the end of the dialog leaves open (RFC 3261 §15.1.2).
        if let Some(deferred) = self.deferred.take() {
            self.reply(deferred.1.tx, open);
        }
        for id in self.ids() {
            self.drop_early(id, open);
        }
        for relay in std::mem::take(&mut self.relays) {
            self.reply(relay.tx, open);
            self.out.push(Effect::Forget { token: relay.token });
        }
    }

    /// Answers the open half of an exchange and sends the ACKs that were held for an answer. An INVITE that is
    /// out stays known: its 2xx needs an ACK.
    fn release_exchange(&mut self, open: u16) {
        let Some(mut exchange) = self.exchange.take() else { return };
        let Exchange { to, token, cseq, .. } = exchange;
        match exchange.kind {
            Kind::Passed { tx: Some(tx), .. } => self.reply(tx, open),
            Kind::RekeyAnswer { leg, token, cseq } => {
                let old = self.leg(leg).and_then(|l| l.sdp_in_force.clone());
                self.ack(leg, token, cseq, old);
            }
            _ => {}
        }
        match exchange.step {
            Step::AwaitAck => self.ack(to, token, cseq, None),
            Step::Asking { .. } if exchange.method == Method::Invite => {
                exchange.kind = Kind::Dead;
                self.exchange = Some(exchange);
            }
            Step::Asking { .. } => self.out.push(Effect::Forget { token }),
        }
    }

    /// Everything that outlives a step: publication, journal, queued work, the end.
    pub(super) fn settle(&mut self, env: Env<'_>) -> Effects {
        if self.phase == Phase::Up {
            self.reclassify(env);
            self.pump();
        }
        if self.phase == Phase::Up {
            let kept = |l: &super::state::Leg| l.state != LegState::Gone || !l.acked.is_empty();
            let ends = (self.first, self.winner);
            self.legs.retain(|l| l.id == ends.0 || Some(l.id) == ends.1 || kept(l));
            if self.dirty
                && !self.is_lent()
                && let Some(row) = self.row()
            {
                self.dirty = false;
                self.out.push(Effect::Journal(Box::new(row)));
            }
        }
        if let Phase::Ending(why) = self.phase
            && self.legs.iter().all(|l| l.state == LegState::Gone)
            && self.strays.iter().all(|s| s.bye.is_none())
        {
            self.finish(why);
        }
        std::mem::take(&mut self.out)
    }

    /// Says Finished, giving up whatever is still under way.
    pub(super) fn finish(&mut self, why: End) {
        if self.phase == Phase::Done {
            return;
        }
        self.phase = Phase::Done;
        self.return_guests();
        let mut tokens: Vec<ClientTx> = Vec::new();
        for leg in &self.legs {
            if leg.is_inviting() {
                tokens.extend(leg.invite.map(|(token, _)| token));
            }
            tokens.extend(leg.bye.into_iter().chain(leg.indication).chain(leg.refresh));
            if let Some(unacked) = leg.unacked {
                self.out.push(Effect::StopRepeat { tx: unacked.tx });
            }
        }
        tokens.extend(self.strays.iter().filter_map(|s| s.bye));
        tokens.extend(self.exchange.take().map(|e| e.token));
        self.out.extend(tokens.into_iter().map(|token| Effect::Forget { token }));
        self.legs.clear();
        self.strays.clear();
        (self.offer, self.best) = (None, None);
        self.out.push(Effect::Finished { why });
    }

    /// Ends a call whose state is no longer trusted: a final answer to every open server transaction, CANCEL to what
    /// rings, BYE to what was answered, [`Effect::Finished`]. The engine carries these on without the call.
    pub fn abort(&mut self) -> Effects {
        if self.phase == Phase::Done && self.out.is_empty() {
            return Effects::new();
        }
        for leg in &mut self.legs {
            // Nobody will be there when the ACK comes: the BYE does not wait for it.
            let repeated = leg.unacked.take().map(|unacked| Effect::StopRepeat { tx: unacked.tx });
            self.out.extend(repeated);
        }
        // What the failed step had collected was not carried out: it goes first.
        self.end(End::Aborted, 500, &Headers::new());
        for leg in &mut self.legs {
            // BYE and CANCEL are on their way: not forgotten, but not awaited.
            leg.bye = None;
            let LegState::Cancelling { held } = &mut leg.state else { continue };
            // A CANCEL that waits for a provisional: the step that failed may have been the one that heard it, and
            // the transaction knows. Where none came it sends nothing (RFC 3261 §9.1).
            if let (Some(headers), Some((token, _))) = (held.take(), leg.invite) {
                self.out.push(Effect::Cancel { leg: leg.id, token, headers });
            }
            leg.state = LegState::Gone;
        }
        for stray in &mut self.strays {
            stray.bye = None;
        }
        self.finish(End::Aborted);
        if !self.out.iter().any(|e| matches!(e, Effect::Finished { .. })) {
            self.out.push(Effect::Finished { why: End::Aborted });
        }
        std::mem::take(&mut self.out)
    }

    /// Before [`Call::from_row`] replaces an answered call whose step failed: 500 to every request that the new one
    /// would not know, the ACKs that were held, and what the failed step had collected. The dialogs go on.
    pub fn salvage(&mut self) -> Effects {
        self.drop_transfer(500);
        self.return_guests();
        self.answer_all(500, 500);
        self.release_exchange(500);
        let forgotten = self.exchange.take().map(|e| e.token).into_iter();
        let forgotten =
            forgotten.chain(self.legs.iter().flat_map(|l| l.indication.into_iter().chain(l.refresh)));
        self.out.extend(forgotten.map(|token| Effect::Forget { token }));
        self.phase = Phase::Done;
        std::mem::take(&mut self.out)
    }
}
