//! Roll-outs as the API shows them: those that run and the last ones that ended.

use std::sync::Arc;

use keyline_domain::ids::ProfileId;
use keyline_domain::rollout::{Rollout, RolloutId};
use papaya::HashMap;

/// The roll-outs.
#[derive(Debug, Default)]
pub struct RolloutBoard {
    all: HashMap<RolloutId, Arc<Rollout>, std::hash::RandomState>,
}

impl RolloutBoard {
    /// One of them.
    pub fn get(&self, id: RolloutId) -> Option<Arc<Rollout>> {
        self.all.pin().get(&id).cloned()
    }

    /// All, the newest first.
    pub fn list(&self) -> Vec<Arc<Rollout>> {
        let mut all: Vec<_> = self.all.pin().values().cloned().collect();
        all.sort_unstable_by_key(|r| std::cmp::Reverse(r.id));
        all
    }

    /// The one of a profile that has not ended.
    pub fn open_of(&self, profile: ProfileId) -> Option<Arc<Rollout>> {
        let pin = self.all.pin();
        pin.values().find(|r| r.applied.profile == profile && !r.state.has_ended()).cloned()
    }

    pub(crate) fn put(&self, rollout: Rollout) {
        self.all.pin().insert(rollout.id, Arc::new(rollout));
    }

    pub(crate) fn remove(&self, id: RolloutId) {
        self.all.pin().remove(&id);
    }
}
