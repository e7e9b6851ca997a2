//! Assigned and applied profile versions (design §5 Profile versions).

use super::register::{Step, Write};
use super::row::{AppliedVersion, PreviousVersion, Row};
use crate::ids::{ProfileId, ProfileVersion, UnixMillis};

/// The administrator chose a profile for the phone. No verdict changes: the phone is judged by what is
/// applied until [`apply`] (R035, R218).
pub fn assign(row: &Row, profile: ProfileId) -> Step {
    if row.assigned == profile {
        return Step::idle();
    }
    Step { row: Some(Row { assigned: profile, ..row.clone() }), write: Write::Put, ..Step::idle() }
}

/// A profile version takes effect on the phone. A registered phone is still taken under the old one for
/// `grace_s` seconds; an unregistered one, or a grace of 0, gets the new one at once.
pub fn apply(row: &Row, applied: AppliedVersion, now: UnixMillis, grace_s: u32) -> Step {
    if row.applied == applied {
        return Step::idle();
    }
    let graceful = grace_s > 0 && row.is_registered(now);
    let previous =
        graceful.then(|| PreviousVersion { applied: row.applied, until: now.plus_secs(u64::from(grace_s)) });
    Step { row: Some(Row { applied, previous, ..row.clone() }), write: Write::Put, ..Step::idle() }
}

impl Row {
    /// The phone waits for an apply: what is applied is not the assigned profile at its newest version.
    pub fn is_pending(&self, newest_of_assigned: ProfileVersion) -> bool {
        self.applied != AppliedVersion { profile: self.assigned, version: newest_of_assigned }
    }

    /// The version applied before, while its grace runs. A registration that satisfies it is taken too,
    /// but it never raises a class.
    pub fn in_grace(&self, now: UnixMillis) -> Option<AppliedVersion> {
        self.previous.filter(|p| p.until > now).map(|p| p.applied)
    }
}
