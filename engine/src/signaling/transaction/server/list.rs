//! A doubly linked list through the slots: oldest first, taken out from anywhere in one step.

use super::Transaction;
use crate::signaling::transaction::slots::{NONE, Slots};

/// Transactions that all live equally long from the moment they are put in, so the order is that of
/// their deadlines and no timer is needed for each.
pub(super) struct List {
    pub(super) head: u32,
    tail: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NONE, tail: NONE }
    }
}

impl List {
    /// Puts a slot at the end.
    pub(super) fn push<R, T>(&mut self, slots: &mut Slots<Transaction<R, T>>, slot: u32) {
        if let Some(entry) = slots.at(slot) {
            entry.previous = self.tail;
            entry.next = NONE;
        }
        match slots.at(self.tail) {
            Some(last) => last.next = slot,
            None => self.head = slot,
        }
        self.tail = slot;
    }

    /// Takes out a slot that is in this list.
    pub(super) fn remove<R, T>(&mut self, slots: &mut Slots<Transaction<R, T>>, slot: u32) {
        let Some(entry) = slots.at(slot) else { return };
        let (previous, next) = (entry.previous, entry.next);
        (entry.previous, entry.next) = (NONE, NONE);
        match slots.at(previous) {
            Some(before) => before.next = next,
            None => self.head = next,
        }
        match slots.at(next) {
            Some(after) => after.previous = previous,
            None => self.tail = previous,
        }
    }
}
