//! Offers and answers of an answered call: re-INVITE and UPDATE, passed on or of our own.

use std::net::IpAddr;

use super::choose::shown;
use super::effect::{Effect, End, Reply, TimerKind};
use super::input::{Incoming, Response};
use super::state::{Call, LegState, Unacked, can_cross, media_of, passed};
use super::types::{ClientTx, DialogId, Headers, LegId, Method, ServerTx};
use super::{CANCEL_WAIT_MS, Env};
use crate::flow::Flow;
use crate::media::{Body, MediaFacts};

/// The one exchange that a call can have under way.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) kind: Kind,
    /// The leg that we sent to.
    pub(super) to: LegId,
    pub(super) token: ClientTx,
    pub(super) cseq: u32,
    /// INVITE or UPDATE.
    pub(super) method: Method,
    pub(super) offer: Option<Body>,
    /// The offer comes in the 2xx.
    pub(super) late: bool,
    pub(super) step: Step,
    /// The INVITE that made the call: without an answer there is no session.
    pub(super) first: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A phone's own, passed on; `tx` until it is answered.
    Passed { from: LegId, tx: Option<ServerTx>, cseq: u32, method: Method },
    /// Repeats the SDP in force with a security indication.
    Indication,
    /// Repeats the SDP in force to refresh the session.
    Refresh,
    /// Asks a leg for a fresh offer.
    Rekey,
    /// Has that offer answered by the other leg; the ACK to `leg` waits for it.
    RekeyAnswer { leg: LegId, token: ClientTx, cseq: u32 },
    /// Asks a leg of another call for an offer, for a transfer.
    JoinAsk,
    /// Has the offer of a transfer's new leg answered by the transferee; the ACK to `leg` waits for it.
    Join { leg: LegId, token: ClientTx, cseq: u32 },
    /// The call ends; only a 2xx matters, for its ACK.
    Dead,
}

#[derive(Debug)]
pub(super) enum Step {
    /// Waits for a final response.
    Asking { provisional: bool, cancel: Option<Headers> },
    /// Late offer was passed on; the answer comes in an ACK.
    AwaitAck,
}

/// The body answers the offer of the exchange. What keys may be carried is the codec's to judge.
fn fits(exchange: &Exchange, answer: Option<&Body>) -> bool {
    match (media_of(exchange.offer.as_ref()), media_of(answer)) {
        (Some(offer), Some(answer)) => offer.is_answered_by(answer, false),
        (offer, answer) => offer.is_none() && answer.is_none(),
    }
}

impl Step {
    pub(super) const ASKING: Self = Self::Asking { provisional: false, cancel: None };
}

impl Call {
    /// INVITE or UPDATE in the dialog of an answered leg.
    pub(super) fn negotiate(&mut self, id: LegId, incoming: Incoming) {
        let Some(leg) = self.leg_mut(id) else { return };
        if let Some(contact) = &incoming.contact
            && leg.dialog.remote_target != *contact
        {
            leg.dialog.remote_target = contact.clone();
            self.dirty = true;
        }
        if let Err(min_se) = self.session_asked(id, incoming.ext.session) {
            return self.reply_with(incoming.tx, 422, smallvec::smallvec![min_se]);
        }
        if incoming.method == Method::Update && incoming.body.is_none() {
            let headers = self.session_granted(id);
            return self.reply_with(incoming.tx, 200, headers);
        }
        if self.is_lent() {
            return self.reply(incoming.tx, 491);
        }
        let unacked = self.legs.iter().any(|l| l.unacked.is_some());
        let wait = match &self.exchange {
            Some(Exchange { to, .. }) if *to == id => return self.reply(incoming.tx, 491),
            Some(Exchange { kind: Kind::RekeyAnswer { leg, .. }, .. }) if *leg == id => {
                return self.reply(incoming.tx, 491);
            }
            Some(Exchange { kind: Kind::Passed { from, tx: Some(_), .. }, .. }) if *from == id => {
                return self.reply_busy(incoming.tx);
            }
            Some(_) => true,
            None => unacked,
        };
        if !wait {
            // Only what names itself a refresh: another repeat of an offer is the other phone's to answer.
            let refresh = incoming.ext.session.expires.is_some();
            if refresh && self.is_refresh(id, incoming.body.as_ref()) {
                return self.answer_refresh(id, &incoming);
            }
            // The other phone is expected back (design §3); only an INVITE can wait for it.
            if incoming.method != Method::Invite || !self.waits_for_flow(id) {
                return self.pass_on(id, incoming);
            }
        }
        match (incoming.method, &self.deferred) {
            (Method::Invite, None) => self.deferred = Some(Box::new((id, incoming))),
            (Method::Invite, Some(_)) => self.reply(incoming.tx, 491),
            // Not an INVITE: it cannot wait for long.
            _ => self.reply_busy(incoming.tx),
        }
    }

    fn pass_on(&mut self, from: LegId, incoming: Incoming) {
        let Incoming { tx, method, cseq, body, headers, .. } = incoming;
        let Some(to) = self.other(from) else { return self.reply(tx, 481) };
        let Some(target) = self.leg(to) else { return self.reply(tx, 481) };
        if !target.flow.is_live() {
            return self.reply(tx, 480);
        }
        if target.state != LegState::Up {
            // The transferor has left; who comes instead is not there yet.
            return self.reply(tx, 491);
        }
        // In an answered call a re-INVITE says the same as an UPDATE.
        let out = if method == Method::Update && !target.peer.update { Method::Invite } else { method };
        if !can_cross(body.as_ref(), self.carries(from, to)) {
            return self.reply(tx, 488);
        }
        let kind = Kind::Passed { from, tx: Some(tx), cseq, method };
        let mut headers = passed(&headers);
        headers.extend(self.indication_before(to, media_of(body.as_ref())));
        self.ask(kind, to, out, body, headers);
    }

    /// An offer that repeats what is in force, as phones refresh a session: the answer in force answers it.
    fn is_refresh(&self, id: LegId, offer: Option<&Body>) -> bool {
        let other = self.other(id).and_then(|id| self.leg(id));
        let (Some(own), Some(other)) = (self.leg(id), other) else { return false };
        let same = |a: &Body| other.sdp_in_force.as_ref().is_some_and(|b| a == b);
        let (Some(facts), Some(answer)) = (media_of(offer), media_of(own.sdp_in_force.as_ref())) else {
            return false;
        };
        offer.is_some_and(same) && facts.is_answered_by(answer, self.carries(own.id, other.id))
    }

    fn answer_refresh(&mut self, id: LegId, incoming: &Incoming) {
        let (tx, cseq) = (incoming.tx, incoming.cseq);
        let Some(far) = self.other(id) else { return self.reply(tx, 481) };
        let carry_crypto = self.carries(id, far);
        let mut headers: Headers = self.indication_for(id).into_iter().collect();
        headers.extend(self.session_granted(id));
        let Some(leg) = self.leg_mut(id) else { return };
        if incoming.method == Method::Invite {
            leg.unacked = Some(Unacked { tx, cseq });
        }
        let (status, reason, to_tag, body) = (200, None, None, leg.sdp_in_force.clone());
        let reply = Reply { tx, status, reason, to_tag, body, carry_crypto, headers };
        self.out.push(Effect::Reply(Box::new(reply)));
    }

    /// Sends the request of an exchange.
    pub(super) fn ask(
        &mut self,
        kind: Kind,
        to: LegId,
        method: Method,
        body: Option<Body>,
        headers: Headers,
    ) {
        let late = media_of(body.as_ref()).is_none();
        let token = self.send(to, method, body.clone(), headers);
        let cseq = self.leg(to).map_or(0, |l| l.dialog.local_cseq);
        let (offer, step, first) = (body, Step::ASKING, false);
        self.exchange = Some(Exchange { kind, to, token, cseq, method, offer, late, step, first });
    }

    /// Takes an answered offer into the facts of both legs.
    pub(super) fn agree(&mut self, offer: Option<&MediaFacts>, answer: Option<&MediaFacts>) {
        let (Some(offer), Some(answer)) = (offer, answer) else { return };
        for leg in self.legs.iter_mut().filter(|l| l.facts.answered) {
            leg.facts.media.renegotiated(offer, answer);
        }
        self.dirty = true;
    }

    /// A response to the exchange's request.
    pub(super) fn on_exchange_response(&mut self, response: Response, env: Env<'_>) {
        match response.status {
            ..=199 => self.exchange_provisional(),
            200..=299 => self.exchange_accepted(response, env),
            status => self.exchange_refused(status, Some(response)),
        }
    }

    fn exchange_provisional(&mut self) {
        let Some(Exchange { to, token, method: Method::Invite, step, .. }) = &mut self.exchange else {
            return;
        };
        let Step::Asking { provisional, cancel } = step else { return };
        *provisional = true;
        if let Some(headers) = cancel.take() {
            let (leg, token) = (*to, *token);
            self.out.push(Effect::Cancel { leg, token, headers });
            self.arm(TimerKind::CancelWait(leg), CANCEL_WAIT_MS);
        }
    }

    /// CANCEL of a re-INVITE: its final answer is still the other phone's, or both sides could disagree.
    pub(super) fn cancel_exchange(&mut self, cancelled: ServerTx, headers: Headers) {
        let Some(Exchange { kind: Kind::Passed { tx, .. }, step, .. }) = &mut self.exchange else { return };
        let Step::Asking { provisional, cancel } = step else { return };
        if *tx != Some(cancelled) {
            return;
        }
        *cancel = Some(headers);
        if *provisional {
            self.exchange_provisional();
        }
    }

    /// A cancelled re-INVITE got no final answer.
    pub(super) fn exchange_silent(&mut self, id: LegId) {
        let Some(Exchange { to, token, step: Step::Asking { .. }, .. }) = &self.exchange else { return };
        if *to == id {
            self.out.push(Effect::Forget { token: *token });
            self.exchange_refused(487, None);
        }
    }

    fn exchange_accepted(&mut self, response: Response, env: Env<'_>) {
        let Some(mut exchange) = self.exchange.take() else { return };
        let Exchange { to, token, cseq, method, late, .. } = exchange;
        if matches!(exchange.step, Step::AwaitAck) {
            // A repeat: its ACK waits for the answer.
            self.exchange = Some(exchange);
            return;
        }
        self.disarm(TimerKind::CancelWait(to));
        if let Some(leg) = self.leg_mut(to) {
            if let Some(contact) = response.contact {
                leg.dialog.remote_target = contact;
            }
            if let Some(peer) = response.peer {
                leg.peer = leg.peer.told(peer, &response.ext);
            }
        }
        self.dirty = true;
        self.session_agreed(to, response.ext.session);
        let body = response.body;
        match exchange.kind {
            Kind::Dead if self.leg(to).is_some_and(|l| l.state == LegState::Returning) => {
                self.keep_guest_as_it_was(to, token, cseq);
                self.return_guest(to, true, false);
            }
            Kind::Dead => self.ack_invite(to, token, cseq, method),
            Kind::JoinAsk => self.guest_offered(to, token, cseq, body),
            Kind::Join { .. } => self.joined(exchange, body, env),
            Kind::Indication | Kind::Refresh => {
                self.ack_invite(to, token, cseq, method);
                self.agree(media_of(exchange.offer.as_ref()), media_of(body.as_ref()));
            }
            Kind::Rekey => self.rekey_offered(&exchange, body),
            Kind::RekeyAnswer { leg, token: held, cseq: held_cseq } => {
                self.ack_invite(to, token, cseq, method);
                self.ack(leg, held, held_cseq, body.clone());
                self.agree(media_of(exchange.offer.as_ref()), media_of(body.as_ref()));
                self.in_force(to, exchange.offer);
                self.in_force(leg, body);
            }
            Kind::Passed { from, tx: Some(tx), .. }
                if late && !can_cross(body.as_ref(), self.carries(from, to)) =>
            {
                self.reply(tx, 488);
                self.keep_old_answer(to, token, cseq);
            }
            Kind::Passed { tx: Some(tx), .. } if !late && !fits(&exchange, body.as_ref()) => {
                // The phone took the offer and gave no answer to it: what was agreed before stands.
                self.ack_invite(to, token, cseq, method);
                self.reply(tx, if media_of(body.as_ref()).is_some() { 488 } else { 500 });
            }
            Kind::Passed { from, tx: Some(tx), cseq: from_cseq, method: asked } => {
                self.in_force(from, body.clone());
                if late && media_of(body.as_ref()).is_some() {
                    exchange.kind = Kind::Passed { from, tx: None, cseq: from_cseq, method: asked };
                    (exchange.offer, exchange.step) = (body.clone(), Step::AwaitAck);
                    self.exchange = Some(exchange);
                } else {
                    self.ack_invite(to, token, cseq, method);
                    self.agree(media_of(exchange.offer.as_ref()), media_of(body.as_ref()));
                    self.in_force(to, exchange.offer);
                }
                self.reclassify(env);
                if let Some(leg) = self.leg_mut(from)
                    && asked == Method::Invite
                {
                    leg.unacked = Some(Unacked { tx, cseq: from_cseq });
                }
                let mut headers = passed(&response.headers);
                headers.extend(self.indication_for(from));
                headers.extend(self.session_granted(from));
                let (status, reason, to_tag, carry_crypto) = (200, None, None, self.carries(from, to));
                let reply = Reply { tx, status, reason, to_tag, body, carry_crypto, headers };
                self.out.push(Effect::Reply(Box::new(reply)));
            }
            Kind::Passed { tx: None, .. } => {}
        }
    }

    fn ack_invite(&mut self, to: LegId, token: ClientTx, cseq: u32, method: Method) {
        if method == Method::Invite {
            self.ack(to, token, cseq, None);
        }
    }

    pub(super) fn in_force(&mut self, id: LegId, body: Option<Body>) {
        if let (Some(leg), Some(body)) = (self.leg_mut(id), body)
            && body.media.is_some()
        {
            leg.sdp_in_force = Some(body);
        }
    }

    /// A final that is no 2xx, or none at all: the session stays as it was, but 408 and 481 end the dialog
    /// (RFC 6141 §3.1, RFC 5057 §5.1).
    pub(super) fn exchange_refused(&mut self, status: u16, response: Option<Response>) {
        let Some(mut exchange) = self.exchange.take() else { return };
        let to = exchange.to;
        if matches!(exchange.step, Step::AwaitAck) {
            self.exchange = Some(exchange);
            return;
        }
        self.disarm(TimerKind::CancelWait(to));
        let said = response.as_ref().map(|r| r.ext.session).unwrap_or_default();
        if status == 422 && self.session_raised(to, said.min_se) {
            let (kind, body) = (exchange.kind, exchange.offer.take());
            return self.ask(kind, to, exchange.method, body, Headers::new());
        }
        if exchange.method == Method::Update && matches!(status, 405 | 501) {
            if let Some(leg) = self.leg_mut(to) {
                leg.peer.update = false;
            }
            let body = exchange.offer.take();
            return self.ask(exchange.kind, to, Method::Invite, body, Headers::new());
        }
        match exchange.kind {
            Kind::Passed { tx: Some(tx), .. } => {
                let reason =
                    response.as_ref().and_then(|r| r.reason.clone()).filter(|_| shown(status) == status);
                let headers = response.map(|r| passed(&r.headers)).unwrap_or_default();
                let (to_tag, body, carry_crypto) = (None, None, false);
                // The cancelled re-INVITE keeps its 487.
                let status = if status == 487 { 487 } else { shown(status) };
                let reply = Reply { tx, status, reason, to_tag, body, carry_crypto, headers };
                self.out.push(Effect::Reply(Box::new(reply)));
            }
            Kind::RekeyAnswer { leg, token, cseq } => self.keep_old_answer(leg, token, cseq),
            Kind::Dead if self.leg(to).is_some_and(|l| l.state == LegState::Returning) => {
                return self.return_guest(to, false, matches!(status, 408 | 481));
            }
            Kind::JoinAsk => return self.join_refused(to, status),
            Kind::Join { leg, token, cseq } => {
                return self.join_unanswered(leg, token, cseq, exchange.offer, to, status);
            }
            Kind::Indication | Kind::Refresh | Kind::Rekey | Kind::Passed { .. } | Kind::Dead => {}
        }
        match (status, exchange.kind) {
            (408 | 481, Kind::Dead) => {}
            (408 | 481, _) => self.lost(to, status == 408),
            (491, Kind::Refresh) => {
                self.session_half(to);
                self.retry_later(to);
            }
            (_, Kind::Refresh) => self.refresh_refused(to, status, said),
            (491, Kind::Rekey | Kind::RekeyAnswer { .. }) => {
                self.rekey = true;
                self.retry_later(to);
            }
            (491, Kind::Indication) => {
                if let Some(leg) = self.leg_mut(to) {
                    leg.indicated = None;
                }
                self.retry_later(to);
            }
            _ => {}
        }
    }

    /// RFC 3261 §14.1: the owner of the Call-ID waits 2.1–4.0 s, the other 0–2.0 s, in steps of 10 ms. The
    /// Call-IDs of the called legs are ours.
    pub(super) fn retry_later(&mut self, id: LegId) {
        let theirs = self.leg(id).is_some_and(|l| l.caller);
        let after = if theirs { self.random(201) * 10 } else { 2100 + self.random(191) * 10 };
        self.arm(TimerKind::Glare, after);
    }

    /// ACK to a 2xx of ours.
    pub(super) fn on_ack(
        &mut self,
        dialog: &DialogId,
        cseq: u32,
        source: IpAddr,
        body: Option<Body>,
        env: Env<'_>,
    ) {
        let own = |flow: &Flow| flow.remote().ip().to_canonical() == source.to_canonical();
        let named = |l: &&mut super::state::Leg| {
            l.is_named(dialog) && own(&l.flow) && l.unacked.is_some_and(|u| u.cseq == cseq)
        };
        let Some(leg) = self.legs.iter_mut().find(named) else { return };
        let (id, unacked) = (leg.id, leg.unacked.take());
        self.confirmed |= id == LegId::CALLER;
        if let Some(unacked) = unacked {
            self.out.push(Effect::StopRepeat { tx: unacked.tx });
        }
        let answers = |e: &mut Exchange| match e.kind {
            Kind::Passed { from, .. } => from == id && matches!(e.step, Step::AwaitAck),
            _ => false,
        };
        if let Some(exchange) = self.exchange.take_if(answers) {
            let Exchange { to, token, cseq, offer, first, .. } = exchange;
            let answered = media_of(body.as_ref()).is_some();
            self.ack(to, token, cseq, body.clone());
            self.agree(media_of(offer.as_ref()), media_of(body.as_ref()));
            self.in_force(to, body);
            self.reclassify(env);
            if first && !answered {
                self.end(End::LegLost, 480, &Headers::new());
            }
        }
        self.farewell_held(id);
    }

    /// No ACK came in 64·T1: the session is ended (RFC 3261 §13.3.1.4).
    pub(super) fn on_ack_timeout(&mut self, tx: ServerTx) {
        let Some(leg) = self.legs.iter_mut().find(|l| l.unacked.is_some_and(|u| u.tx == tx)) else { return };
        let id = leg.id;
        leg.unacked = None;
        self.end(End::LegLost, 480, &Headers::new());
        self.farewell_held(id);
    }

    /// The other phone's connection is gone, and there is still time for it to come back.
    fn waits_for_flow(&self, id: LegId) -> bool {
        let other = self.other(id).and_then(|other| self.leg(other));
        other.is_some_and(|o| {
            o.state == LegState::Up && !o.flow.is_live() && self.is_armed(TimerKind::FlowWait(o.id))
        })
    }

    /// Starts what waited: a deferred request, new keys, indications.
    pub(super) fn pump(&mut self) {
        if self.exchange.is_some() || self.legs.iter().any(|l| l.unacked.is_some()) || self.is_lent() {
            return;
        }
        if self.deferred.as_ref().is_some_and(|d| self.waits_for_flow(d.0)) {
            return;
        }
        if let Some(deferred) = self.deferred.take() {
            let (id, incoming) = *deferred;
            self.pass_on(id, incoming);
        }
        if self.exchange.is_some() || self.is_armed(TimerKind::Glare) {
            return;
        }
        self.lend();
        self.pump_transfer();
        if self.exchange.is_some() || self.is_lent() || self.phase != super::state::Phase::Up {
            return;
        }
        if self.rekey {
            self.rekey = false;
            let first = self.first;
            if self.legs.iter().all(|l| l.flow.is_live() || !self.is_party(l.id)) {
                let headers = self.indication_for(first).into_iter().collect();
                return self.ask(Kind::Rekey, first, Method::Invite, None, headers);
            }
        }
        for id in self.ids() {
            if self.exchange.is_none() && self.is_party(id) {
                self.refresh(id);
            }
            if self.exchange.is_none() && self.is_party(id) {
                self.indicate(id);
            }
        }
    }
}
