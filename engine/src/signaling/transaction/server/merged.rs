//! Requests that arrive a second time by another path (RFC 3261 §8.2.2.2).

use std::collections::HashMap;

use super::super::key::{Fingerprint, RequestKey};
use super::{Route, ServerTable};

/// For each open transaction whose request had no To tag, what its copies would have in common with it.
/// Bounded by the table: an entry ends with its transaction.
#[derive(Default)]
pub(super) struct Merged(HashMap<Fingerprint, u32, foldhash::fast::RandomState>);

impl Merged {
    pub(super) fn opened(&mut self, merge: Option<Fingerprint>, slot: u32) {
        if let Some(merge) = merge {
            self.0.entry(merge).or_insert(slot);
        }
    }

    pub(super) fn ended(&mut self, merge: Option<Fingerprint>, slot: u32) {
        if let Some(merge) = merge
            && self.0.get(&merge) == Some(&slot)
        {
            self.0.remove(&merge);
        }
    }
}

impl<R: Route, T: Clone> ServerTable<R, T> {
    /// Whether a request that [`Self::receive`] called new is a copy of one whose transaction is open here:
    /// same source address, From tag, Call-ID and CSeq, no To tag, but another branch. It is answered with 482,
    /// or a phone would ring twice for one call.
    pub fn is_merged(&mut self, key: &RequestKey) -> bool {
        let merged = key.merge.is_some_and(|merge| self.merged.0.contains_key(&merge));
        self.counts.merged += u64::from(merged);
        merged
    }

    /// Entries now.
    #[cfg(test)]
    pub(in super::super) fn merged_entries(&self) -> usize {
        self.merged.0.len()
    }
}
