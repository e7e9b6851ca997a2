//! Time: the horizon, expiry, and what a restart makes of a row.

use super::register::{Event, Gone, Step, Write};
use super::row::Row;
use crate::ids::UnixMillis;

/// Most seconds that a durable binding may outlive its grant.
pub const HORIZON_MAX_S: u32 = 3600;

/// How far beyond a grant of `grant_s` seconds the durable row reaches, seconds: min(100 %, 1 h).
pub fn horizon(grant_s: u32) -> u32 {
    grant_s.min(HORIZON_MAX_S)
}

/// When the row next needs [`expire`]; `None` while nothing is registered.
pub fn next_deadline(row: &Row) -> Option<UnixMillis> {
    row.bindings.iter().map(|b| b.granted_until).min()
}

/// Removes bindings whose time is up at `now`. The new row is to be committed: a restart would otherwise
/// bring them back until their horizon.
pub fn expire(row: &Row, now: UnixMillis) -> Step {
    let mut step = Step::idle();
    let mut next = row.clone();
    step.events = drop_dead(&mut next, now);
    if !step.events.is_empty() {
        step.write = Write::Put;
        step.row = Some(next);
    }
    step
}

/// The row as a start finds it in storage: a binding lives until `persisted_until`, because refreshes up
/// to there were answered without a write; streams are lost. The step always bears the row; it asks for a
/// write when bindings ran out while the node was down.
pub fn recover(row: Row, now: UnixMillis) -> Step {
    let mut row = row;
    for b in &mut row.bindings {
        b.granted_until = b.granted_until.max(b.persisted_until);
        b.persisted_until = b.granted_until;
        b.origin.flow = b.origin.flow.durable();
    }
    let events = drop_dead(&mut row, now);
    let write = if events.is_empty() { Write::None } else { Write::Put };
    Step { row: Some(row), write, events, ..Step::idle() }
}

/// Drops dead bindings, and a grace that is over along with them.
pub(super) fn drop_dead(row: &mut Row, now: UnixMillis) -> smallvec::SmallVec<[Event; 1]> {
    let events = row
        .bindings
        .iter()
        .filter(|b| !b.is_live(now))
        .map(|b| Event::Unregistered(b.line.clone(), Gone::Expired))
        .collect();
    row.bindings.retain(|b| b.is_live(now));
    if row.in_grace(now).is_none() {
        row.previous = None;
    }
    events
}
