//! The class of the call, and what phones are told about it.

use std::sync::Arc;

use super::effect::Effect;
use super::exchange::Kind;
use super::extension::SessionAsk;
use super::row::ClassChange;
use super::state::{Call, Leg, LegState, Phase};
use super::types::{ClientTx, Header, Headers, LegId, Method};
use super::{Env, HISTORY_MAX};
use crate::class::{CallSecurity, LegFacts, call_info_security, class_of_call, lowest_class};
use crate::media::{Body, LegMedia, MediaFacts};
use crate::mode::{PeerProof, SecurityClass, SuiteKind};

impl Call {
    /// The class as it was last published, with its reasons; `None` before the answer.
    pub fn security(&self) -> Option<CallSecurity> {
        self.judged.as_ref().map(|(_, facts)| class_of_call(facts))
    }

    pub(super) fn class(&self) -> Option<SecurityClass> {
        self.judged.as_ref().map(|(class, _)| *class)
    }

    /// Judges the call anew if anything changed that its class or the reasons depend on, and publishes it.
    pub(super) fn reclassify(&mut self, env: Env<'_>) {
        if self.phase != Phase::Up || self.is_judged() {
            return;
        }
        let facts: Arc<[LegFacts]> = self.live_facts().into();
        let class = lowest_class(&facts);
        if self.history.last().is_none_or(|last| last.class != class) {
            if self.history.len() >= HISTORY_MAX {
                self.history.remove(0);
            }
            self.history.push(ClassChange { at: env.now, class });
        }
        self.out.push(Effect::Publish { class, facts: Arc::clone(&facts) });
        self.judged = Some((class, facts));
        self.dirty = true;
    }

    /// The facts are those that were judged last.
    fn is_judged(&self) -> bool {
        let Some((_, judged)) = &self.judged else { return false };
        let same = |(judged, leg): (&LegFacts, &Leg)| match leg.flow.is_live() {
            true => *judged == leg.facts,
            false => *judged == live(leg),
        };
        judged.len() == self.counted().count() && judged.iter().zip(self.counted()).all(same)
    }

    fn counted(&self) -> impl Iterator<Item = &Leg> {
        self.legs.iter().filter(|l| l.state == LegState::Up && l.facts.answered)
    }

    /// Facts of the answered legs. A connection that is gone proves nothing.
    pub fn live_facts(&self) -> Vec<LegFacts> {
        self.counted().map(live).collect()
    }

    /// The indication for a phone that reads it, at the present class.
    pub(super) fn indication_for(&mut self, id: LegId) -> Option<Header> {
        let class = self.class()?;
        self.indication(id, class)
    }

    /// The indication to go with an offer: what the offer can reach at best, if that is less than the present
    /// class. A gain is told only when it is answered.
    pub(super) fn indication_before(&mut self, id: LegId, offer: Option<&MediaFacts>) -> Option<Header> {
        let mut class = self.class()?;
        if let Some(offer) = offer {
            let best = best_answer(offer);
            let mut facts = self.live_facts();
            for leg in &mut facts {
                leg.media.renegotiated(offer, &best);
            }
            class = class.min(lowest_class(&facts));
        }
        self.indication(id, class)
    }

    /// The indication to go with the offer of a transfer's new leg: what the two can reach at best, if that is
    /// less than the present class.
    pub(super) fn indication_of_join(&mut self, keep: LegId, new: LegId, offer: &Body) -> Option<Header> {
        let mut class = self.class()?;
        if let Some(offer) = offer.media.as_deref() {
            let best = best_answer(offer);
            let mut facts: Vec<LegFacts> =
                self.legs.iter().filter(|l| l.id == keep || l.id == new).map(|l| l.facts.clone()).collect();
            for leg in &mut facts {
                leg.answered = true;
                leg.media = LegMedia::default();
                leg.media.renegotiated(offer, &best);
            }
            class = class.min(lowest_class(&facts));
        }
        self.indication(keep, class)
    }

    fn indication(&mut self, id: LegId, class: SecurityClass) -> Option<Header> {
        let leg = self.leg_mut(id).filter(|l| l.peer.callinfo)?;
        leg.indicated = Some(class);
        let orientation = if leg.caller { "to" } else { "from" };
        let security = call_info_security(Some(class));
        let value = format!(
            "<urn:x-cisco-remotecc:callinfo>; orientation={orientation}; security={security}; call-instance=1"
        );
        Some(Header::new("Call-Info", value))
    }

    /// Tells a phone the class if it does not know it: by UPDATE, else by a re-INVITE that repeats the SDP in
    /// force. Without either it hears with the next exchange.
    pub(super) fn indicate(&mut self, id: LegId) {
        let class = self.class();
        let Some(leg) = self.leg(id) else { return };
        let told = !leg.peer.callinfo || leg.indicated == class || leg.indication.is_some();
        if told || leg.state != LegState::Up || !leg.flow.is_live() {
            return;
        }
        let (update, sdp) = (leg.peer.update, leg.sdp_in_force.clone());
        if !update && sdp.is_none() {
            return;
        }
        let headers: Headers = self.indication_for(id).into_iter().collect();
        if update {
            let token = self.send(id, Method::Update, None, headers);
            if let Some(leg) = self.leg_mut(id) {
                leg.indication = Some(token);
            }
        } else {
            self.ask(Kind::Indication, id, Method::Invite, sdp, headers);
        }
    }

    /// The final answer to an indication by UPDATE. False if the token is none.
    pub(super) fn on_indicated(&mut self, token: ClientTx, status: u16, said: SessionAsk) -> bool {
        let Some(leg) = self.legs.iter_mut().find(|l| l.indication == Some(token)) else { return false };
        let id = leg.id;
        leg.indication = None;
        match status {
            200..=299 => self.session_agreed(id, said),
            405 | 501 => (leg.peer.update, leg.indicated) = (false, None),
            408 | 481 => self.lost(id, status == 408),
            _ => {}
        }
        true
    }
}

fn live(leg: &Leg) -> LegFacts {
    let facts = leg.facts.clone();
    if leg.flow.is_live() {
        facts
    } else {
        LegFacts { suite: SuiteKind::None, proof: PeerProof::None, ..facts }
    }
}

/// The most secure answer that this offer allows.
fn best_answer(offer: &MediaFacts) -> MediaFacts {
    let mut best = offer.clone();
    for stream in &mut best.streams {
        stream.direction = stream.direction.reversed();
        let line = stream.crypto.iter().find(|c| c.protects).or(stream.crypto.first()).copied();
        stream.crypto = line.into_iter().collect();
    }
    best
}
