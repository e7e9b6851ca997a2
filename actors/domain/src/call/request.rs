//! Requests inside the dialogs of a call.

use smallvec::SmallVec;

use super::choose::Verdict;
use super::early::Early;
use super::effect::Effect;
use super::input::Incoming;
use super::state::{Call, Leg, LegState, Phase, Relay, passed};
use super::types::{Dialog, DialogId, Headers, LegId, Method};
use super::{Env, RELAYS_MAX};

/// Where a request belongs.
struct Place {
    /// The leg that sent it.
    leg: LegId,
    /// The ringing phone and the number of its early dialog, while the call rings.
    early: Option<(LegId, usize)>,
}

impl Call {
    pub(super) fn on_request(&mut self, incoming: Incoming, env: Env<'_>) {
        let tx = incoming.tx;
        let Some(place) = self.place(&incoming.dialog) else { return self.elsewhere(incoming) };
        let Some(leg) = self.leg_mut(place.leg) else { return self.reply(tx, 481) };
        // Knowing a dialog's identifiers makes nobody a party of it: another phone that was proven as itself
        // is refused and changes nothing.
        if leg.facts.device != incoming.sender {
            return self.reply(tx, 403);
        }
        if let Some(peer) = incoming.peer {
            leg.peer = leg.peer.told(peer, &incoming.ext);
        }
        let state = leg.state.clone();
        let Some(last) = self.last_cseq(&place) else { return self.reply(tx, 481) };
        // Lower is out of order (RFC 3261 §12.2.2); equal would be a second request of one number.
        if last.is_some_and(|last| incoming.cseq <= last) {
            return self.reply(tx, 500);
        }
        *last = Some(incoming.cseq);
        match (incoming.method, place.early) {
            (Method::Bye, Some(early)) => self.early_bye(place.leg, early, incoming),
            (Method::Bye, None) => self.on_bye(place.leg, tx, &passed(&incoming.headers)),
            (Method::Options, _) => self.reply(tx, 200),
            (Method::Prack, Some(early)) if place.leg == LegId::CALLER => self.on_prack(early, incoming, env),
            // Nothing of ours waits for one.
            (Method::Prack, _) => self.reply(tx, 481),
            (Method::Other | Method::Notify, _) => self.reply(tx, 405),
            (Method::Refer, Some(_)) => self.reply(tx, 403),
            (Method::Info | Method::Message, Some(early)) => self.relay_early(place.leg, early, incoming),
            (Method::Update, Some(early)) => self.early_offer(place.leg, early, incoming),
            // The INVITE that makes the dialog is unanswered (RFC 3261 §14.2).
            (Method::Invite, Some(_)) if place.leg == LegId::CALLER => self.reply_busy(tx),
            (Method::Invite, Some(_)) => self.reply(tx, 491),
            (_, None) if self.phase != Phase::Up || state != LegState::Up => self.reply(tx, 481),
            (Method::Info | Method::Message, None) => self.relay(place.leg, incoming),
            (Method::Invite | Method::Update, None) => self.negotiate(place.leg, incoming),
            (Method::Refer, None) => self.on_refer(place.leg, incoming),
        }
    }

    /// A request in no dialog of this call. One in the dialog of a leg that just went over to another call is
    /// asked to come again, and a BYE is passed on.
    fn elsewhere(&mut self, incoming: Incoming) {
        let Some((to, dialog)) = self.handed.as_ref().filter(|(_, d)| *d == incoming.dialog).cloned() else {
            return self.reply(incoming.tx, 481);
        };
        match incoming.method {
            Method::Bye => {
                self.reply(incoming.tx, 200);
                let message = Box::new(super::PeerMessage::LegGone { dialog });
                self.out.push(Effect::Tell { to, message });
            }
            Method::Invite => self.reply(incoming.tx, 491),
            _ => self.reply_busy(incoming.tx),
        }
    }

    /// Which leg a dialog is, and whether it is an early one.
    pub(super) fn place_of(&self, id: &DialogId) -> Option<(LegId, bool)> {
        self.place(id).map(|p| (p.leg, p.early.is_some()))
    }

    /// The device whose leg this dialog is.
    #[cfg(test)]
    pub(super) fn device_in(&self, id: &DialogId) -> Option<crate::ids::DeviceName> {
        Some(self.leg(self.place(id)?.leg)?.facts.device.clone())
    }

    /// CSeq number of the last request in that dialog. Each early dialog counts for itself.
    fn last_cseq(&mut self, place: &Place) -> Option<&mut Option<u32>> {
        let Some((phone, index)) = place.early else {
            return self.leg_mut(place.leg).map(|l| &mut l.dialog.remote_cseq);
        };
        let early = self.early_mut(phone, index)?;
        Some(if place.leg == LegId::CALLER { &mut early.caller_cseq } else { &mut early.phone_cseq })
    }

    fn place(&self, id: &DialogId) -> Option<Place> {
        if self.phase == Phase::Ringing {
            let caller = self.leg(LegId::CALLER)?;
            let from_caller = caller.dialog.call_id == id.call_id
                && caller.dialog.remote_tag.as_ref() == Some(&id.remote_tag);
            let mut earlies = self.legs.iter().flat_map(|leg| (0..leg.early.len()).map(move |i| (leg, i)));
            return earlies.find_map(|(leg, i)| {
                let early = leg.early.get(i)?;
                let from_phone = leg.dialog.call_id == id.call_id
                    && leg.dialog.local_tag == id.local_tag
                    && early.remote_tag.as_ref() == Some(&id.remote_tag);
                if from_caller && early.caller_tag == id.local_tag {
                    Some(Place { leg: LegId::CALLER, early: Some((leg.id, i)) })
                } else if from_phone && leg.is_inviting() {
                    Some(Place { leg: leg.id, early: Some((leg.id, i)) })
                } else {
                    None
                }
            });
        }
        let named = |l: &&Leg| l.state != LegState::Gone && l.guest.is_none() && l.is_named(id);
        self.legs.iter().find(named).map(|l| Place { leg: l.id, early: None })
    }

    /// The caller gives one early dialog up, with the last one the call (RFC 3261 §15). A phone must not send BYE
    /// before it answers; one that does is taken as having refused.
    fn early_bye(&mut self, from: LegId, (phone, _): (LegId, usize), incoming: Incoming) {
        self.reply(incoming.tx, 200);
        self.cancel_leg(phone, &passed(&incoming.headers));
        if self.legs.iter().any(Leg::is_trying) {
            return;
        }
        if from == LegId::CALLER {
            return self.end(super::End::Cancelled, 487, &Headers::new());
        }
        self.best = Some(Verdict::better(self.best.take(), Verdict::local(480)));
        self.next_group();
    }

    /// INFO or MESSAGE of an answered leg goes to the other.
    fn relay(&mut self, from: LegId, incoming: Incoming) {
        match self.other(from) {
            Some(to) => self.relay_to(to, None, incoming),
            None => self.reply(incoming.tx, 481),
        }
    }

    fn relay_early(&mut self, from: LegId, (phone, index): (LegId, usize), incoming: Incoming) {
        let Some(leg) = self.leg(phone) else { return self.reply(incoming.tx, 481) };
        let Some(early) = leg.early.get(index) else { return self.reply(incoming.tx, 481) };
        if from == LegId::CALLER {
            let dialog = leg.early_dialog(early);
            return self.relay_to(phone, Some(dialog), incoming);
        }
        let local_tag = early.caller_tag.clone();
        let dialog = self.leg(LegId::CALLER).map(|caller| Dialog { local_tag, ..caller.dialog.clone() });
        self.relay_to(LegId::CALLER, dialog, incoming);
    }

    fn relay_to(&mut self, to: LegId, dialog: Option<Dialog>, incoming: Incoming) {
        let Incoming { tx, method, body, headers, .. } = incoming;
        if self.relays.len() >= RELAYS_MAX {
            return self.reply_busy(tx);
        }
        if !self.leg(to).is_some_and(|l| l.flow.is_live()) {
            return self.reply(tx, 480);
        }
        let token = self.send_in(to, dialog, method, body, passed(&headers));
        self.relays.push(Relay { tx, token, to });
    }

    /// Relays towards a leg that is gone are answered now.
    pub(super) fn drop_relays(&mut self, to: LegId) {
        let relays = std::mem::take(&mut self.relays);
        let (gone, kept): (SmallVec<[Relay; 1]>, _) = relays.into_iter().partition(|r| r.to == to);
        self.relays = kept;
        for relay in gone {
            self.reply(relay.tx, 480);
            self.out.push(Effect::Forget { token: relay.token });
        }
    }
}

impl Leg {
    pub(super) fn early_dialog(&self, early: &Early) -> Dialog {
        let mut dialog = self.dialog.clone();
        dialog.remote_tag.clone_from(&early.remote_tag);
        dialog.route_set.clone_from(&early.route_set);
        if let Some(contact) = &early.contact {
            dialog.remote_target = contact.clone();
        }
        dialog
    }
}
