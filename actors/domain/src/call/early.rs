//! Early dialogs: what a ringing phone says before it answers, under a To tag of its own towards the caller.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Env;
use super::choose::{Verdict, shown};
use super::effect::{Effect, Reply};
use super::input::{Incoming, Response};
use super::reliable::Outbox;
use super::state::{Call, Leg, can_cross, media_of, passed, reversed};
use super::types::{ClientTx, Header, Headers, LegId, Method, ServerTx};
use crate::media::Body;

/// One early dialog of a ringing phone.
#[derive(Debug, Clone)]
pub(super) struct Early {
    pub(super) remote_tag: Option<Arc<str>>,
    pub(super) caller_tag: Arc<str>,
    pub(super) contact: Option<Arc<str>>,
    pub(super) route_set: SmallVec<[Arc<str>; 1]>,
    pub(super) status: u16,
    pub(super) body: Option<Body>,
    /// RSeq of the phone's last reliable provisional in order.
    pub(super) rseq: Option<u32>,
    /// The phone's offer (late offer) whose PRACK waits for the caller's answer: its RSeq.
    pub(super) owed: Option<u32>,
    /// Reliable provisionals on their way to the caller.
    pub(super) outbox: Outbox,
    /// What was agreed on before the answer.
    pub(super) session: Option<EarlySession>,
    /// A further offer under way.
    pub(super) offering: Option<EarlyOffer>,
    /// CSeq numbers of the last requests of the caller and of the phone in this dialog.
    pub(super) caller_cseq: Option<u32>,
    pub(super) phone_cseq: Option<u32>,
}

/// An offer and its answer in an early dialog.
#[derive(Debug, Clone)]
pub(super) struct EarlySession {
    /// SDP of the caller and of the phone, and who offered.
    pub(super) caller: Body,
    pub(super) phone: Body,
    pub(super) by_caller: bool,
    /// The phone gave or got its answer reliably.
    pub(super) settled_phone: bool,
    /// The caller did.
    pub(super) settled_caller: bool,
    /// It is not the INVITE's offer any more.
    pub(super) renewed: bool,
}

impl EarlySession {
    /// Both sides know for certain: the answer was given, and further offers may be made (RFC 3311 §5.1).
    pub(super) fn is_settled(&self) -> bool {
        self.settled_phone && self.settled_caller
    }

    /// Offer and answer.
    pub(super) fn agreement(&self) -> (&Body, &Body) {
        if self.by_caller { (&self.caller, &self.phone) } else { (&self.phone, &self.caller) }
    }
}

/// An offer made in an early dialog, passed on as UPDATE.
#[derive(Debug, Clone)]
pub(super) struct EarlyOffer {
    pub(super) from: LegId,
    pub(super) tx: ServerTx,
    pub(super) token: ClientTx,
    pub(super) body: Body,
}

impl Call {
    /// A 101–199 of a ringing phone: acknowledged if it is reliable, passed on under the tag of its dialog.
    pub(super) fn provisional(&mut self, id: LegId, mut response: Response, env: Env<'_>) {
        let first_of_call = self.legs.iter().all(|l| l.early.is_empty());
        let Some(leg) = self.leg(id) else { return };
        let known = leg.early.iter().position(|e| e.remote_tag == response.to_tag);
        let full = leg.early.len() >= super::EARLY_MAX;
        let index = match known {
            Some(index) => index,
            // Beyond the limit further early dialogs are not shown; their 2xx still counts.
            None if full => return,
            None => {
                let caller_tag = match (first_of_call, self.leg(LegId::CALLER)) {
                    (true, Some(caller)) => caller.dialog.local_tag.clone(),
                    _ => self.tag(env),
                };
                let early = Early {
                    remote_tag: response.to_tag.clone(),
                    caller_tag,
                    contact: response.contact.clone(),
                    route_set: reversed(&response.record_route),
                    status: 0,
                    body: None,
                    rseq: None,
                    owed: None,
                    outbox: Outbox::default(),
                    session: None,
                    offering: None,
                    caller_cseq: Some(self.invite_cseq),
                    phone_cseq: None,
                };
                let Some(leg) = self.leg_mut(id) else { return };
                leg.early.push(early);
                leg.early.len() - 1
            }
        };
        let Some(reliable) = self.in_order(id, index, &response) else { return };
        if !self.take_session(id, index, &mut response, reliable) {
            return;
        }
        let has_body = response.body.is_some();
        let news = !self.heard.contains(&response.status);
        let Some(early) = self.early_mut(id, index) else { return };
        // A dialog that the caller has seen may change its status; a new bare one is told only if it is news.
        let shown = early.status != 0;
        if !(has_body || news || (shown && early.status != response.status)) {
            return;
        }
        early.status = response.status;
        let to_tag = Some(early.caller_tag.clone());
        if news && self.heard.len() < super::EARLY_MAX {
            self.heard.push(response.status);
        }
        let Some(tx) = self.invite else { return };
        let carry_crypto = self.carries(LegId::CALLER, id);
        let (status, reason, body) = (response.status, response.reason, response.body);
        self.heed_privacy(id, response.ext.privacy);
        let mut headers = passed(&response.headers);
        headers.extend(self.identity_of(id));
        let reply = Reply { tx, status, reason, to_tag, body, carry_crypto, headers };
        self.tell_caller(id, index, reply);
    }

    pub(super) fn early_mut(&mut self, id: LegId, index: usize) -> Option<&mut Early> {
        self.leg_mut(id)?.early.get_mut(index)
    }

    /// The session description of a provisional, and the PRACK that it needs. False if the phone is out of the
    /// call for it.
    fn take_session(&mut self, id: LegId, index: usize, response: &mut Response, reliable: bool) -> bool {
        let carried = self.carries(LegId::CALLER, id);
        let offer = self.offer.clone().filter(|o| o.media.is_some());
        let rseq = response.ext.rseq.unwrap_or(0);
        let known = self.leg(id).and_then(|l| l.early.get(index)).is_some_and(|e| e.session.is_some());
        let body = response.body.take().filter(|b| b.media.is_some());
        let fits = |offer: &Body, answer: &Body| matches!((media_of(Some(offer)), media_of(Some(answer))), (Some(o), Some(a)) if o.is_answered_by(a, carried));
        match (offer, body) {
            // An answer, or a preview of it where the phone does not make it reliable. One that does not fit says
            // nothing; the 2xx will be judged.
            (Some(offer), Some(body)) if fits(&offer, &body) && (reliable || !known) => {
                let Some(early) = self.early_mut(id, index) else { return true };
                early.body = Some(body.clone());
                if !known {
                    early.session = Some(EarlySession {
                        caller: offer,
                        phone: body.clone(),
                        by_caller: true,
                        settled_phone: reliable,
                        settled_caller: false,
                        renewed: false,
                    });
                } else if let Some(session) = &mut early.session {
                    session.settled_phone = true;
                }
                response.body = Some(body);
            }
            // An offer comes in a reliable one only (RFC 3262 §5); its PRACK waits for the caller's answer.
            (None, Some(body)) if reliable && !known && self.caller_knows_100rel() => {
                if !can_cross(Some(&body), carried) {
                    self.acknowledge(id, index, rseq, None);
                    self.cancel_leg(id, &Headers::new());
                    self.best = Some(Verdict::better(self.best.take(), Verdict::local(488)));
                    if !self.legs.iter().any(Leg::is_trying) {
                        self.next_group();
                    }
                    return false;
                }
                if let Some(early) = self.early_mut(id, index) {
                    (early.body, early.owed) = (Some(body.clone()), Some(rseq));
                }
                response.body = Some(body);
                return true;
            }
            // A repeat of what is agreed.
            (Some(_), Some(body)) if known && !reliable => response.body = Some(body),
            _ => {}
        }
        if reliable {
            self.acknowledge(id, index, rseq, None);
        }
        true
    }

    /// A further offer in an early dialog (UPDATE, or the caller's PRACK): goes on as UPDATE where the first one is
    /// settled on both sides and the other phone allows it.
    pub(super) fn early_offer(&mut self, from: LegId, (phone, index): (LegId, usize), incoming: Incoming) {
        let Incoming { tx, body, headers, method, .. } = incoming;
        let to = if from == LegId::CALLER { phone } else { LegId::CALLER };
        let Some(body) = body.filter(|b| b.media.is_some()) else { return self.reply(tx, 200) };
        let busy = self.early_mut(phone, index).and_then(|e| e.offering.as_ref().map(|o| o.from));
        match busy {
            Some(other) if other != from => return self.reply(tx, 491),
            Some(_) => return self.reply_busy(tx),
            None => {}
        }
        let settled =
            self.early_mut(phone, index).and_then(|e| e.session.as_ref().map(EarlySession::is_settled));
        match settled {
            Some(true) => {}
            // To the phone the INVITE's offer is ours; to the caller its own is unanswered (RFC 3311 §5.2).
            _ if from != LegId::CALLER => return self.reply(tx, 491),
            _ => return self.reply_busy(tx),
        }
        if self.held.is_some() || !self.leg(to).is_some_and(|l| l.peer.update && l.flow.is_live()) {
            return if method == Method::Prack { self.reply(tx, 488) } else { self.reply_busy(tx) };
        }
        if !can_cross(Some(&body), self.carries(from, to)) {
            return self.reply(tx, 488);
        }
        let Some(dialog) = self.early_dialog_to(to, (phone, index)) else { return self.reply(tx, 481) };
        let token = self.send_in(to, Some(dialog), Method::Update, Some(body.clone()), passed(&headers));
        if let Some(early) = self.early_mut(phone, index) {
            early.offering = Some(EarlyOffer { from, tx, token, body });
        }
    }

    /// The final answer to such an UPDATE (none: it failed). False if the token is none of them.
    pub(super) fn on_early_answer(
        &mut self,
        token: ClientTx,
        status: u16,
        response: Option<&Response>,
        env: Env<'_>,
    ) -> bool {
        let ours = |e: &Early| e.offering.as_ref().is_some_and(|o| o.token == token);
        let found = self.legs.iter().find_map(|l| l.early.iter().position(ours).map(|i| (l.id, i)));
        let Some((phone, index)) = found else { return false };
        let Some(offering) = self.early_mut(phone, index).and_then(|e| e.offering.take()) else {
            return true;
        };
        let EarlyOffer { from, tx, body: offer, .. } = offering;
        let answer = response.and_then(|r| r.body.clone()).filter(|b| b.media.is_some());
        let fits = match (media_of(Some(&offer)), media_of(answer.as_ref())) {
            (Some(o), Some(a)) => o.is_answered_by(a, false),
            _ => false,
        };
        match (status, answer) {
            (200..=299, Some(answer)) if fits => {
                if let Some(early) = self.early_mut(phone, index) {
                    if let (Some(contact), true) =
                        (response.and_then(|r| r.contact.clone()), from == LegId::CALLER)
                    {
                        early.contact = Some(contact);
                    }
                    let by_caller = from == LegId::CALLER;
                    let (caller, phone) =
                        if by_caller { (offer, answer.clone()) } else { (answer.clone(), offer) };
                    let (settled_phone, settled_caller, renewed) = (true, true, true);
                    early.session = Some(EarlySession {
                        caller,
                        phone,
                        by_caller,
                        settled_phone,
                        settled_caller,
                        renewed,
                    });
                }
                let to = if from == LegId::CALLER { phone } else { LegId::CALLER };
                let (status, reason, to_tag, body) = (200, None, None, Some(answer));
                let (carry_crypto, headers) = (self.carries(from, to), Headers::new());
                let reply = Reply { tx, status, reason, to_tag, body, carry_crypto, headers };
                self.out.push(Effect::Reply(Box::new(reply)));
            }
            (200..=299, answer) => self.reply(tx, if answer.is_some() { 488 } else { 500 }),
            (408, _) => self.reply(tx, 500),
            (status, _) => self.reply(tx, shown(status)),
        }
        self.release_held(env);
        true
    }

    /// A phone is out: what its early dialogs leave open is answered.
    pub(super) fn drop_early(&mut self, id: LegId, status: u16) {
        if self.held.as_ref().is_some_and(|(held, _)| *held == id) {
            self.drop_held();
        }
        let Some(leg) = self.leg_mut(id) else { return };
        let open: SmallVec<[EarlyOffer; 1]> =
            leg.early.iter_mut().filter_map(|e| e.offering.take()).collect();
        for early in &mut leg.early {
            early.outbox = Outbox::default();
        }
        for offer in open {
            self.reply(offer.tx, status);
            self.out.push(Effect::Forget { token: offer.token });
        }
    }

    /// Option tag of an INVITE to a phone: reliable provisionals can be bridged unless their offer would find no
    /// answer.
    pub(super) fn offers_100rel(&self) -> Option<Header> {
        // A phone that a transfer rings has nobody to hear its provisionals.
        let ringing = self.phase == super::state::Phase::Ringing;
        let bridged = ringing && (media_of(self.offer.as_ref()).is_some() || self.caller_knows_100rel());
        bridged.then(|| Header::new("Supported", "100rel"))
    }

    pub(super) fn caller_knows_100rel(&self) -> bool {
        self.requires_100rel || self.leg(LegId::CALLER).is_some_and(|l| l.peer.rel100)
    }
}
