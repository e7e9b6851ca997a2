//! Whether what came can be an answer at all, and what happens when it cannot be handed on.

use super::effect::{Effect, End, Reply};
use super::input::Response;
use super::state::{Call, LegState, can_cross, media_of};
use super::types::{Headers, LegId, ServerTx};

impl Call {
    /// What is wrong with the first 2xx of a phone, as the status that the caller gets if nobody else answers:
    /// 502 for one that makes no dialog or no session (RFC 3261 §12.1, §13.2.1), 488 for one whose media cannot
    /// be handed on.
    pub(super) fn answer_fault(&self, id: LegId, response: &Response) -> Option<u16> {
        if response.to_tag.is_none() || response.contact.is_none() {
            return Some(502);
        }
        let leg = self.leg(id)?;
        let early = leg.early.iter().find(|e| e.remote_tag == response.to_tag);
        if early.and_then(|e| e.session.as_ref()).is_some_and(super::early::EarlySession::is_settled) {
            return None;
        }
        let owed = early.is_some_and(|e| e.owed.is_some());
        let body = response.body.as_ref().or(early.and_then(|e| e.body.as_ref()).filter(|_| !owed));
        let carried = self.carries(LegId::CALLER, id);
        match (media_of(self.offer.as_ref()), media_of(body)) {
            (_, None) => Some(502),
            (Some(offer), Some(answer)) => (!offer.is_answered_by(answer, carried)).then_some(488),
            (None, Some(_)) => (!can_cross(body, carried)).then_some(488),
        }
    }

    /// A reply of ours could not be written: its request is refused instead. A call that took itself for
    /// answered by it ends; a caller that never got a 2xx has no dialog to leave.
    pub(super) fn on_unanswerable(&mut self, tx: ServerTx, status: u16) {
        let leg = self.legs.iter_mut().find(|l| l.unacked.is_some_and(|u| u.tx == tx));
        let id = leg.map(|leg| {
            leg.unacked = None;
            leg.id
        });
        let to_tag = self.leg(LegId::CALLER).filter(|l| id == Some(l.id)).map(|l| l.dialog.local_tag.clone());
        let (reason, body, carry_crypto, headers) = (None, None, false, Headers::new());
        let to_tag = to_tag.filter(|_| !self.confirmed);
        self.out.push(Effect::Reply(Box::new(Reply {
            tx,
            status,
            reason,
            to_tag,
            body,
            carry_crypto,
            headers,
        })));
        let Some(id) = id else { return };
        if id == LegId::CALLER && !self.confirmed {
            self.set_state(id, LegState::Gone);
        }
        self.end(End::Rejected(status), status, &Headers::new());
        self.farewell_held(id);
    }
}
