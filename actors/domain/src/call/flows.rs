//! Several flows of one phone (RFC 5626): one is tried, the others stand by.

use smallvec::SmallVec;

use super::state::{Call, Leg, LegState, Phase};
use super::types::{LegId, Target};
use super::{Env, LEGS_MAX};

impl Call {
    /// Legs for these bindings, as many as there is room for. Those to be tried.
    pub(super) fn add_targets(&mut self, targets: Vec<Target>, env: Env<'_>) -> SmallVec<[LegId; 4]> {
        let next = self.legs.iter().map(|l| l.id.0).max().unwrap_or(0).saturating_add(1);
        let room = LEGS_MAX.saturating_sub(self.legs.len());
        let (mut phone, mut due) = (None, SmallVec::new());
        for (number, target) in (next..).zip(targets.into_iter().take(room)) {
            let tag = self.tag(env);
            let after = phone.filter(|_| target.spare);
            let mut leg = Leg::target(LegId(number), target, tag);
            match after {
                Some(_) => (leg.state, leg.after) = (LegState::Spare, after),
                None => {
                    phone = Some(leg.id);
                    due.push(leg.id);
                }
            }
            self.legs.push(leg);
        }
        due
    }

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
