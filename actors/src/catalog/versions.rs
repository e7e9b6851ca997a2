//! Profile versions that nobody can be judged by any more go, from the board, from memory and from the store.
//!
//! A version is kept for phones that are registered under it, and for roll-outs that bring it to phones. It is
//! looked for after each change of its profile, when a roll-out ends, once a minute, and at start.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use actix::{Handler, Message};
use keyline_domain::ids::ProfileId;
use keyline_domain::inventory::Event;
use keyline_storage::{Commit, Outcome, Table};

use super::VERSION_PREFIX;
use super::actor::CatalogActor;

/// How often all profiles are looked at.
pub(super) const SWEEP: Duration = Duration::from_secs(60);

/// Deletes of one commit; the storage contract allows 100 operations.
const BATCH: usize = 96;

/// Look for versions that nobody needs: a roll-out has ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SweepVersions;

impl Handler<SweepVersions> for CatalogActor {
    type Result = ();

    fn handle(&mut self, _: SweepVersions, _: &mut Self::Context) {
        self.sweep_versions();
    }
}

impl CatalogActor {
    /// Looks at the profiles that events name.
    pub(super) fn collect_after(&mut self, events: &[Event]) {
        let changed: Vec<ProfileId> = events
            .iter()
            .filter_map(|e| match e {
                Event::ProfileSaved { id, .. } | Event::ProfileRemoved(id) => Some(*id),
                _ => None,
            })
            .filter(|id| self.boards.profiles.has_garbage(*id))
            .collect();
        self.collect(&changed);
    }

    /// Looks at all profiles.
    pub(super) fn sweep_versions(&mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.collect(&self.boards.profiles.with_garbage()))).is_err() {
            self.metrics.restarted(crate::metrics::ActorKind::Catalog);
            tracing::error!("the collection of old profile versions panicked");
        }
    }

    fn collect(&mut self, profiles: &[ProfileId]) {
        let mut keys = Vec::new();
        for profile in profiles {
            for version in self.boards.profiles.collect(*profile) {
                self.catalog.versions.remove(&(*profile, version));
                keys.push(format!("{VERSION_PREFIX}{}/{}", profile.0, version.0));
            }
        }
        self.metrics.versions_collected.inc_by(keys.len() as u64);
        for keys in keys.chunks(BATCH) {
            let deletes = keys.iter().fold(Commit::build(), |c, key| c.delete(Table::Config, key.as_bytes()));
            let outcome = deletes.finish().map(|commit| self.writer.submit_blocking(commit));
            // What stays in the store is found by the next start.
            if !matches!(outcome, Ok(Outcome::Committed(_))) {
                tracing::warn!(?outcome, "old profile versions stay in the store for now");
            }
        }
    }
}
