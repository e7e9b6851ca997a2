//! Roll-outs as the admin servers ask for them.

use std::sync::Arc;

use keyline_actors::Handle;
use keyline_actors::profile::{RolloutFacts, RolloutOrder, RolloutRefused, RolloutWanted};
use keyline_domain::audit::{Draft, Happened, Who};
use keyline_domain::ids::DeviceName;
use keyline_domain::rollout::{Rollout, RolloutId};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::admin::{BoxFuture, RolloutApi};

/// The roll-outs of the running node.
pub(super) struct Rollouts {
    handle: Handle,
    /// Of this process alone: what was to be confirmed before a restart is asked again.
    secret: [u8; 32],
}

impl Rollouts {
    pub(super) fn new(handle: Handle, secret: [u8; 32]) -> Self {
        Self { handle, secret }
    }
}

fn happened(answer: &Result<Rollout, RolloutRefused>) -> Happened {
    match answer {
        Ok(_) => Happened::Done,
        Err(refused) => Happened::refused(refused.code()),
    }
}

/// The answer, once the audit has it.
async fn noted(
    handle: &Handle,
    draft: Draft,
    answer: Result<Rollout, RolloutRefused>,
) -> Result<Rollout, RolloutRefused> {
    handle.note(draft).await.map_err(|e| RolloutRefused::Store(e.to_string()))?;
    answer
}

impl RolloutApi for Rollouts {
    fn list(&self) -> Vec<Arc<Rollout>> {
        self.handle.boards.rollouts.list()
    }

    fn get(&self, id: RolloutId) -> Option<Arc<Rollout>> {
        self.handle.boards.rollouts.get(id)
    }

    fn facts(
        &self,
        profile: String,
        chosen: Option<Vec<DeviceName>>,
    ) -> BoxFuture<Result<RolloutFacts, RolloutRefused>> {
        let handle = self.handle.clone();
        Box::pin(async move { handle.rollout_facts(profile, chosen).await })
    }

    fn begin(&self, wanted: RolloutWanted, who: Who) -> BoxFuture<Result<Rollout, RolloutRefused>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            let (profile, order) = (wanted.profile.clone(), wanted.order);
            let answer = handle.begin_rollout(wanted).await;
            let told = answer.as_ref().ok().map(|r| {
                json!({ "rollout": r.id, "version": r.applied.version.0, "phones": r.counts.total,
                    "per_second": r.per_second, "gate": r.gate, "chosen": r.chosen })
            });
            let draft = Draft::new(&who, order.as_str(), "security_profile", &profile, happened(&answer));
            noted(&handle, draft.with(None, told.as_ref()), answer).await
        })
    }

    fn order(
        &self,
        id: RolloutId,
        order: RolloutOrder,
        who: Who,
    ) -> BoxFuture<Result<Rollout, RolloutRefused>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            let answer = handle.order_rollout(id, order).await;
            let draft = Draft::new(&who, order.as_str(), "rollout", &id.to_string(), happened(&answer));
            noted(&handle, draft, answer).await
        })
    }

    fn seal(&self, text: &str) -> String {
        let sum = Sha256::new().chain_update(self.secret).chain_update(text).finalize();
        sum.iter().take(16).map(|b| format!("{b:02x}")).collect()
    }
}
