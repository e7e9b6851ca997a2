//! Did a phone come back after it was signalled?

use std::hash::{Hash, Hasher};

use super::Order;
use crate::ids::UnixMillis;
use crate::phone::Row;

/// Which registration a row shows: another one after the phone has registered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

impl Mark {
    /// Of a row. It is compared within one process only.
    pub fn of(row: &Row) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        for b in &row.bindings {
            (&*b.origin.call_id, b.origin.cseq, b.granted_until.0).hash(&mut hasher);
        }
        Self(hasher.finish())
    }
}

/// A phone that was signalled, until it is known what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Back {
    /// Its registration when it was signalled.
    pub mark: Mark,
    /// The end of the time in which it must be back.
    pub until: UnixMillis,
    /// It answered the signal with 2xx.
    pub answered: bool,
}

impl Back {
    /// It answered, registered again, and can be reached: no more is needed.
    pub fn is_back(&self, row: Option<&Row>, now: UnixMillis) -> bool {
        self.answered && row.is_some_and(|row| is_reachable(row, now) && Mark::of(row) != self.mark)
    }

    /// At the end of its time. One that was to start anew must have registered again; one that was to apply
    /// must still be registered where it can be reached, for it may find nothing to do.
    pub fn is_back_at_last(&self, order: Order, row: Option<&Row>, now: UnixMillis) -> bool {
        match order {
            Order::Apply => self.answered && row.is_some_and(|row| is_reachable(row, now)),
            Order::Restart | Order::Reset => self.is_back(row, now),
        }
    }
}

/// Some live binding is not on a lost connection.
fn is_reachable(row: &Row, now: UnixMillis) -> bool {
    row.live(now).any(|b| b.origin.flow.is_live())
}
