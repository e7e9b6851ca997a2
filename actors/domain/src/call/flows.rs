//! Several flows of one phone (RFC 5626): one is tried, the others stand by.

use super::state::{Call, Leg, LegState, Phase};
use super::types::LegId;

impl Call {
    /// A flow failed and the phone has heard nothing of the call: its next flow is tried in its place (RFC 5626
    /// §5.3). False: it has none.
    pub(super) fn next_flow(&mut self, id: LegId) -> bool {
        let trying = self.phase == Phase::Ringing && self.leg(id).is_some_and(Leg::is_trying);
        let spare = |l: &&mut Leg| l.state == LegState::Spare && l.after == Some(id);
        let mut spares = self.legs.iter_mut().filter(|_| trying).filter(spare);
        let Some(next) = spares.next() else { return false };
        let next_id = next.id;
        next.state = LegState::Waiting;
        for other in spares {
            other.after = Some(next_id);
        }
        self.set_state(id, LegState::Gone);
        self.drop_relays(id);
        self.try_leg(next_id);
        if !self.legs.iter().any(Leg::is_trying) {
            self.next_group();
        }
        true
    }
}
