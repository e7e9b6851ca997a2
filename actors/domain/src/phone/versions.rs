//! Assigned and applied profile versions (design §5 Profile versions).
//!
//! A phone with something registered is judged by what is applied to it. One with nothing registered is judged
//! by the saved version of its assigned profile, whatever its row still says: the row follows at the next
//! REGISTER ([`adopt`]). So saving a profile touches no phone, however many have it.

use std::borrow::Cow;

use super::register::{Step, Write};
use super::row::{AppliedVersion, PreviousVersion, Row};
use crate::ids::{ProfileId, UnixMillis};

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
    let previous = graceful.then(|| {
        Box::new(PreviousVersion { applied: row.applied, until: now.plus_secs(u64::from(grace_s)) })
    });
    let assigned = applied.profile;
    Step { row: Some(Row { assigned, applied, previous, ..row.clone() }), write: Write::Put, ..Step::idle() }
}

/// The row that a REGISTER steps on: that of a phone with nothing registered takes the version over that the
/// request was judged by. A grace that runs goes on: a phone that starts anew has nothing registered meanwhile.
pub fn adopt(row: &Row, judged: AppliedVersion, now: UnixMillis) -> Cow<'_, Row> {
    if row.is_registered(now) || (row.applied == judged && row.assigned == judged.profile) {
        return Cow::Borrowed(row);
    }
    Cow::Owned(Row { assigned: judged.profile, applied: judged, ..row.clone() })
}

impl Row {
    /// What the phone is judged by, `saved` being the saved version of its assigned profile.
    pub fn judged_by(&self, saved: AppliedVersion, now: UnixMillis) -> AppliedVersion {
        if self.is_registered(now) { self.applied } else { saved }
    }

    /// The phone waits for an apply: it is not judged by `saved`, the saved version of its assigned profile
    /// (R183). One with nothing registered never waits.
    pub fn is_pending(&self, saved: AppliedVersion, now: UnixMillis) -> bool {
        self.judged_by(saved, now) != saved
    }

    /// The version applied before, while its grace runs. A registration that satisfies it is taken too,
    /// but it never raises a class.
    pub fn in_grace(&self, now: UnixMillis) -> Option<AppliedVersion> {
        self.previous.as_ref().filter(|p| p.until > now).map(|p| p.applied)
    }

    /// The versions whose settings this row keeps alive: none while nothing is bound.
    pub fn versions(&self) -> impl Iterator<Item = AppliedVersion> {
        let bound = !self.bindings.is_empty();
        let both = [Some(self.applied), self.previous.as_ref().map(|p| p.applied)];
        both.into_iter().flatten().filter(move |_| bound)
    }
}
