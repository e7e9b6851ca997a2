//! New keys for both legs: an offer of one, answered by the other.

use super::effect::End;
use super::exchange::{Exchange, Kind};
use super::state::{Call, can_cross, media_of};
use super::types::{ClientTx, Headers, LegId, Method};
use crate::media::Body;

impl Call {
    /// The fresh offer of one leg goes to the other; without one there is nothing to agree on.
    pub(super) fn rekey_offered(&mut self, exchange: &Exchange, body: Option<Body>) {
        let Exchange { to: leg, token, cseq, .. } = *exchange;
        let other = self.other(leg).and_then(|id| self.leg(id)).filter(|l| l.flow.is_live()).map(|l| l.id);
        let crosses = other.is_some_and(|to| can_cross(body.as_ref(), self.carries(leg, to)));
        let (Some(to), true, true) = (other, crosses, media_of(body.as_ref()).is_some()) else {
            return self.keep_old_answer(leg, token, cseq);
        };
        let headers = self.indication_before(to, media_of(body.as_ref())).into_iter().collect();
        self.ask(Kind::RekeyAnswer { leg, token, cseq }, to, Method::Invite, body, headers);
    }

    /// An offer that nobody answers is answered by what was in force before; without that the call ends.
    pub(super) fn keep_old_answer(&mut self, leg: LegId, token: ClientTx, cseq: u32) {
        let old = self.leg(leg).and_then(|l| l.sdp_in_force.clone());
        let known = old.is_some();
        self.ack(leg, token, cseq, old);
        if !known {
            self.end(End::Released, 480, &Headers::new());
        }
    }
}
