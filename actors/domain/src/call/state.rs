//! The state of a call and the small steps that everything else is made of.

use std::sync::Arc;

use smallvec::SmallVec;

use super::choose::Verdict;
use super::early::Early;
use super::effect::{Effect, Effects, End, Outgoing, OutgoingAck, Reply, TimerKind};
use super::exchange::Exchange;
use super::extension::SessionAsk;
use super::identity::Identity;
use super::input::{Incoming, Response};
use super::peer::CallRef;
use super::redirect::Diversion;
use super::refer::Subscription;
use super::replaces::{Guest, Loan};
use super::row::ClassChange;
use super::timer::{SessionPolicy, SessionTimer};
use super::transfer::Transfer;
use super::types::{ClientTx, Dialog, DialogId, Header, Headers, LegId, Method, PeerFeatures, ServerTx};
use super::{Env, HEADER_VALUE_MAX, HEADERS_MAX, passes};
use crate::class::LegFacts;
use crate::flow::Flow;
use crate::ids::{Dn, UnixMillis};
use crate::media::{Body, MediaFacts, MediaProto};
use crate::mode::SecurityClass;

/// One call.
#[derive(Debug)]
pub struct Call {
    pub(super) phase: Phase,
    /// `legs[0]` is the caller; gone ones that never answered are dropped.
    pub(super) legs: Vec<Leg>,
    /// The caller's INVITE while it has no final answer.
    pub(super) invite: Option<ServerTx>,
    /// Its CSeq number.
    pub(super) invite_cseq: u32,
    /// It demands reliable provisionals (RFC 3262).
    pub(super) requires_100rel: bool,
    /// A 2xx that waits for the caller's PRACK.
    pub(super) held: Option<(LegId, Box<Response>)>,
    /// Body and headers of that INVITE, for groups that ring later.
    pub(super) offer: Option<Body>,
    pub(super) headers: Headers,
    pub(super) best: Option<Verdict>,
    /// The caller acknowledged the answer: its dialog is confirmed.
    pub(super) confirmed: bool,
    /// Reason that goes with BYE when the call ends.
    pub(super) parting: Headers,
    pub(super) no_answer_ms: u64,
    /// Statuses of bare provisionals that the caller has heard.
    pub(super) heard: SmallVec<[u16; 2]>,
    /// The two that talk: the caller and who answered, until a transfer puts another leg in the place of one.
    pub(super) first: LegId,
    /// Lines that this call has rung or tried.
    pub(super) visited: SmallVec<[Dn; 1]>,
    pub(super) winner: Option<LegId>,
    pub(super) answered_at: UnixMillis,
    /// Time of the present step.
    pub(super) now: UnixMillis,
    pub(super) session: SessionPolicy,
    pub(super) exchange: Option<Exchange>,
    pub(super) deferred: Option<Box<(LegId, Incoming)>>,
    pub(super) rekey: bool,
    pub(super) transfer: Option<Box<Transfer>>,
    pub(super) subscription: Option<Subscription>,
    pub(super) tickets: u64,
    pub(super) loan: Option<Loan>,
    /// The dialog of a leg that went over to that call: requests in it that were on their way.
    pub(super) handed: Option<(CallRef, DialogId)>,
    /// Stands in for [`Self::carries`] while a body goes to a leg that is not in the call yet.
    pub(super) carry: Option<bool>,
    pub(super) next_leg: u16,
    pub(super) relays: SmallVec<[Relay; 1]>,
    pub(super) strays: SmallVec<[Stray; 1]>,
    /// The class as it was published last, and what it was found from.
    pub(super) judged: Option<(SecurityClass, Arc<[LegFacts]>)>,
    pub(super) history: SmallVec<[ClassChange; 4]>,
    /// The row changed since it was journaled.
    pub(super) dirty: bool,
    timers: SmallVec<[(TimerKind, u32); 4]>,
    generation: u32,
    pub(super) next_token: u64,
    pub(super) next_tag: u16,
    pub(super) seed: u64,
    pub(super) out: Effects,
}

/// Where the call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody has answered.
    Ringing,
    /// Answered.
    Up,
    /// Farewells are under way.
    Ending(End),
    /// Finished was said.
    Done,
}

/// Where a leg stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LegState {
    /// Its group is not due yet.
    Waiting,
    /// Another flow of a phone that is tried: only if that flow fails.
    Spare,
    /// Its phone has no connection: waits for it to come back.
    Away,
    /// INVITE sent, nothing heard.
    Calling,
    /// A provisional came.
    Proceeding,
    /// It answered 3xx; where that leads is being found out.
    Forwarding,
    /// To be cancelled; `held` keeps the CANCEL's headers until a provisional comes.
    Cancelling { held: Option<Headers> },
    /// In the call.
    Up,
    /// It has answered a transfer, or is here for one: offer and answer are under way.
    Joining,
    /// From another call, and goes back there when its offer came.
    Returning,
    /// It was transferred away: BYE when it has heard how that ended.
    Parting,
    /// BYE sent, or held until our 2xx is acknowledged.
    Leaving,
    /// No dialog any more.
    Gone,
}

/// A 2xx of ours that waits for its ACK.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unacked {
    pub(super) tx: ServerTx,
    pub(super) cseq: u32,
}

/// An ACK that was sent: repeated 2xx get it again.
#[derive(Debug, Clone)]
pub(super) struct Acked {
    pub(super) token: ClientTx,
    pub(super) cseq: u32,
    pub(super) body: Option<Body>,
}

#[derive(Debug, Clone)]
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) facts: LegFacts,
    pub(super) flow: Flow,
    pub(super) dialog: Dialog,
    pub(super) peer: PeerFeatures,
    pub(super) q: u16,
    pub(super) state: LegState,
    /// The leg of the same phone that goes before it.
    pub(super) after: Option<LegId>,
    /// The INVITE that made the leg, and its CSeq number.
    pub(super) invite: Option<(ClientTx, u32)>,
    pub(super) early: SmallVec<[Early; 1]>,
    pub(super) unacked: Option<Unacked>,
    /// The ACKs of the first and of the newest INVITE.
    pub(super) acked: SmallVec<[Acked; 1]>,
    pub(super) bye: Option<ClientTx>,
    pub(super) indicated: Option<SecurityClass>,
    /// UPDATE under way that only carries an indication.
    pub(super) indication: Option<ClientTx>,
    /// Forwardings that led to it, the first one first.
    pub(super) diverted: SmallVec<[Diversion; 0]>,
    /// What the other leg may be told of this one.
    pub(super) identity: Identity,
    /// SDP that this phone has in force from the other one: what an unchanged re-INVITE repeats.
    pub(super) sdp_in_force: Option<Body>,
    pub(super) session: Option<SessionTimer>,
    /// What its request under way asks of the session.
    pub(super) asked: SessionAsk,
    /// UPDATE or OPTIONS under way that refreshes the session.
    pub(super) refresh: Option<ClientTx>,
    pub(super) refresh_due: bool,
    /// Interval that its 422 asked for, and how often it was obeyed.
    pub(super) min_se_s: u32,
    pub(super) raises: u8,
    /// The phone made the Call-ID.
    pub(super) caller: bool,
    /// It sent a REFER before.
    pub(super) referred: bool,
    /// It belongs to another call.
    pub(super) guest: Option<Guest>,
}

/// INFO or MESSAGE on its way to the other leg.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) tx: ServerTx,
    pub(super) token: ClientTx,
    pub(super) to: LegId,
}

/// A dialog made by a 2xx that nobody wanted.
#[derive(Debug)]
pub(super) struct Stray {
    pub(super) leg: LegId,
    pub(super) tag: Option<Arc<str>>,
    pub(super) bye: Option<ClientTx>,
}

impl Call {
    pub(super) fn empty(seed: u64) -> Self {
        Self {
            phase: Phase::Ringing,
            legs: Vec::new(),
            invite: None,
            invite_cseq: 0,
            requires_100rel: false,
            held: None,
            offer: None,
            headers: Headers::new(),
            best: None,
            confirmed: false,
            parting: Headers::new(),
            no_answer_ms: 0,
            heard: SmallVec::new(),
            first: LegId::CALLER,
            visited: SmallVec::new(),
            winner: None,
            answered_at: UnixMillis(0),
            now: UnixMillis(0),
            session: SessionPolicy::default(),
            exchange: None,
            deferred: None,
            rekey: false,
            transfer: None,
            subscription: None,
            tickets: 0,
            loan: None,
            handed: None,
            carry: None,
            next_leg: 0,
            relays: SmallVec::new(),
            strays: SmallVec::new(),
            judged: None,
            history: SmallVec::new(),
            dirty: false,
            timers: SmallVec::new(),
            generation: 0,
            next_token: 0,
            next_tag: 0,
            seed,
            out: Effects::new(),
        }
    }

    pub(super) fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.iter().find(|l| l.id == id)
    }

    pub(super) fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|l| l.id == id)
    }

    pub(super) fn ids(&self) -> SmallVec<[LegId; 4]> {
        self.legs.iter().map(|l| l.id).collect()
    }

    /// The leg at the other end of an answered call.
    pub(super) fn other(&self, id: LegId) -> Option<LegId> {
        let winner = self.winner?;
        match id {
            id if id == self.first => Some(winner),
            id if id == winner => Some(self.first),
            _ => None,
        }
    }

    pub(super) fn set_state(&mut self, id: LegId, state: LegState) {
        if let Some(leg) = self.leg_mut(id) {
            leg.state = state;
        }
    }

    pub(super) fn token(&mut self) -> ClientTx {
        self.next_token += 1;
        ClientTx(self.next_token)
    }

    pub(super) fn tag(&mut self, env: Env<'_>) -> Arc<str> {
        let tag = env.tags.tag(self.next_tag);
        self.next_tag = self.next_tag.saturating_add(1);
        tag
    }

    /// 0…`below` − 1, xorshift64*: spreads retries, protects nothing.
    pub(super) fn random(&mut self, below: u64) -> u64 {
        let mut x = self.seed | 1;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.seed = x;
        (x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below.max(1)
    }

    pub(super) fn arm(&mut self, timer: TimerKind, after_ms: u64) {
        self.disarm(timer);
        self.generation = self.generation.wrapping_add(1);
        self.timers.push((timer, self.generation));
        self.out.push(Effect::Arm { timer, generation: self.generation, after_ms });
    }

    pub(super) fn disarm(&mut self, timer: TimerKind) {
        self.timers.retain(|(kind, _)| *kind != timer);
    }

    /// True once for the generation that is armed.
    pub(super) fn due(&mut self, timer: TimerKind, generation: u32) -> bool {
        let found = self.timers.contains(&(timer, generation));
        if found {
            self.disarm(timer);
        }
        found
    }

    pub(super) fn is_armed(&self, timer: TimerKind) -> bool {
        self.timers.iter().any(|(kind, _)| *kind == timer)
    }

    /// SDES lines may cross between these two legs.
    pub(super) fn carries(&self, a: LegId, b: LegId) -> bool {
        [a, b].iter().all(|id| {
            self.leg(*id).is_some_and(|l| {
                l.facts.transport.is_tls() && l.facts.suite == crate::mode::SuiteKind::Encrypting
            })
        })
    }

    /// SDES lines may cross to this leg from the one that it talks to.
    fn carries_to(&self, to: LegId) -> bool {
        let far = || if to == self.first { self.winner } else { Some(self.first) };
        self.carry.unwrap_or_else(|| far().is_some_and(|far| self.carries(to, far)))
    }

    pub(super) fn reply(&mut self, tx: ServerTx, status: u16) {
        self.reply_with(tx, status, Headers::new());
    }

    pub(super) fn reply_with(&mut self, tx: ServerTx, status: u16, headers: Headers) {
        let (reason, to_tag, body, carry_crypto) = (None, None, None, false);
        self.out.push(Effect::Reply(Box::new(Reply {
            tx,
            status,
            reason,
            to_tag,
            body,
            carry_crypto,
            headers,
        })));
    }

    /// 500 with Retry-After 0–10 s (RFC 3261 §14.2).
    pub(super) fn reply_busy(&mut self, tx: ServerTx) {
        let after = Header::new("Retry-After", self.random(11).to_string());
        self.reply_with(tx, 500, SmallVec::from_elem(after, 1));
    }

    /// Sends a request in the leg's own dialog.
    pub(super) fn send(
        &mut self,
        to: LegId,
        method: Method,
        body: Option<Body>,
        headers: Headers,
    ) -> ClientTx {
        self.send_in(to, None, method, body, headers)
    }

    /// Sends a request; `other` replaces the leg's dialog, except the CSeq number.
    pub(super) fn send_in(
        &mut self,
        to: LegId,
        other: Option<Dialog>,
        method: Method,
        body: Option<Body>,
        headers: Headers,
    ) -> ClientTx {
        let token = self.token();
        let carry_crypto = self.carries_to(to);
        let mut headers = headers;
        headers.extend(self.session_wanted(to, method));
        let Some(leg) = self.leg_mut(to) else { return token };
        leg.dialog.local_cseq = leg.dialog.local_cseq.saturating_add(1);
        let mut dialog = other.unwrap_or_else(|| leg.dialog.clone());
        dialog.local_cseq = leg.dialog.local_cseq;
        // Requests that are not journaled one by one: `from_row` leaves a gap for them.
        let due = leg.dialog.local_cseq.is_multiple_of(super::row::CSEQ_GAP / 2);
        let flow = leg.flow;
        self.dirty |= due;
        let outgoing = Outgoing { leg: to, token, method, dialog, flow, body, carry_crypto, headers };
        self.out.push(Effect::Send(Box::new(outgoing)));
        token
    }

    /// Sends the ACK of a 2xx in the leg's own dialog and remembers it for repeats.
    pub(super) fn ack(&mut self, to: LegId, token: ClientTx, cseq: u32, body: Option<Body>) {
        self.send_ack(to, None, token, cseq, body.clone());
        if let Some(leg) = self.leg_mut(to) {
            if leg.acked.len() > 1 {
                leg.acked.pop();
            }
            leg.acked.push(Acked { token, cseq, body });
        }
    }

    /// Again, if that 2xx was acknowledged before.
    pub(super) fn ack_again(&mut self, to: LegId, token: ClientTx) {
        let known = self.leg(to).and_then(|l| l.acked.iter().find(|a| a.token == token));
        if let Some((cseq, body)) = known.map(|a| (a.cseq, a.body.clone())) {
            self.send_ack(to, None, token, cseq, body);
        }
    }

    pub(super) fn send_ack(
        &mut self,
        to: LegId,
        other: Option<Dialog>,
        token: ClientTx,
        cseq: u32,
        body: Option<Body>,
    ) {
        let carry_crypto = self.carries_to(to);
        let Some(leg) = self.leg(to) else { return };
        let dialog = other.unwrap_or_else(|| leg.dialog.clone());
        let flow = leg.flow;
        let ack = OutgoingAck { leg: to, token, cseq, dialog, flow, body, carry_crypto };
        self.out.push(Effect::Ack(Box::new(ack)));
    }
}

impl Leg {
    /// It takes part in the search for an answer.
    pub(super) fn is_trying(&self) -> bool {
        matches!(self.state, LegState::Away | LegState::Calling | LegState::Proceeding | LegState::Forwarding)
    }

    /// Dialog that a response to our INVITE makes (RFC 3261 §12.1.2).
    pub(super) fn dialog_of(&self, response: &Response) -> Dialog {
        let mut dialog = self.dialog.clone();
        dialog.remote_tag.clone_from(&response.to_tag);
        dialog.route_set = reversed(&response.record_route);
        if let Some(contact) = &response.contact {
            dialog.remote_target = contact.clone();
        }
        dialog
    }

    /// The leg's own dialog has this name.
    pub(super) fn is_named(&self, id: &DialogId) -> bool {
        self.dialog.call_id == id.call_id
            && self.dialog.local_tag == id.local_tag
            && self.dialog.remote_tag.as_ref() == Some(&id.remote_tag)
    }
}

/// Route set of a UAC: Record-Route backwards, bounded.
pub(super) fn reversed(record_route: &[Arc<str>]) -> SmallVec<[Arc<str>; 1]> {
    record_route.iter().take(super::ROUTES_MAX).rev().cloned().collect()
}

/// The headers that may pass, bounded. Cisco's security indication comes from the call, never from a phone.
pub(super) fn passed(headers: &[Header]) -> Headers {
    let forged = |h: &Header| {
        h.name.eq_ignore_ascii_case("Call-Info") && h.value.to_ascii_lowercase().contains("x-cisco-remotecc")
    };
    let fits = |h: &&Header| passes(&h.name) && h.value.len() <= HEADER_VALUE_MAX && !forged(h);
    headers.iter().filter(fits).take(HEADERS_MAX).cloned().collect()
}

/// An SDP that demands SDES on every active stream cannot cross a hop that would show the keys.
pub(super) fn can_cross(body: Option<&Body>, carry_crypto: bool) -> bool {
    let Some(facts) = media_of(body) else { return true };
    carry_crypto
        || facts.active().next().is_none()
        || facts.active().any(|(_, stream)| stream.proto != MediaProto::Srtp)
}

/// The SDP facts of a body.
pub(super) fn media_of(body: Option<&Body>) -> Option<&MediaFacts> {
    body.and_then(|b| b.media.as_deref())
}
