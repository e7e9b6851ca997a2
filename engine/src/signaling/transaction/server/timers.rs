//! The timers of server transactions: 100 after 200 ms, G, H, I, J, L and the bound on silence.

use super::{ServerTable, State, Transaction};
use crate::signaling::transaction::key::Kind;
use crate::signaling::transaction::wheel::Armed;
use crate::signaling::transaction::{Action, NEVER, Route, ServerAction, ServerEvent};

impl<R: Route, T: Clone> ServerTable<R, T> {
    /// Fires all timers up to `now`.
    pub fn on_tick(&mut self, now: u64, actions: &mut Vec<ServerAction<R, T>>) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now, &mut due);
        for entry in due.drain(..) {
            match self.slots.get_mut(entry.slot, entry.generation) {
                Some(transaction) if transaction.armed == entry.armed => transaction.armed = Armed::OFF,
                _ => continue,
            }
            self.fire(now, entry.slot, actions);
        }
        self.due = due;
        while let Some(slot) = self.overdue(now) {
            self.end(slot, actions);
        }
    }

    /// When [`Self::on_tick`] wants to be called next; None while nothing runs. It may be called
    /// earlier, and a call may find nothing to do.
    pub fn next_wakeup(&mut self) -> Option<u64> {
        let heads = [self.waiting.head, self.completed.head];
        let listed = heads.into_iter().filter_map(|slot| self.slots.at(slot).map(|found| found.end_at)).min();
        self.wheel.next_wakeup().into_iter().chain(listed).min()
    }

    /// Arms the wheel for the next deadline of a slot unless an earlier entry is on its way.
    pub(super) fn arm(&mut self, now: u64, slot: u32) {
        let generation = self.slots.generation(slot);
        let Some(transaction) = self.slots.at(slot) else { return };
        let at = deadline(transaction);
        if at == NEVER || transaction.armed_at <= at {
            return;
        }
        transaction.armed = self.wheel.arm(now, at, slot, generation);
        transaction.armed_at = at;
    }

    /// The head of a list whose time is up.
    fn overdue(&mut self, now: u64) -> Option<u32> {
        let heads = [self.waiting.head, self.completed.head];
        heads.into_iter().find(|slot| self.slots.at(*slot).is_some_and(|found| found.end_at <= now))
    }

    fn fire(&mut self, now: u64, slot: u32, actions: &mut Vec<ServerAction<R, T>>) {
        let tx = self.id(slot, self.slots.generation(slot));
        let timers = self.config.timers;
        let Some(transaction) = self.slots.at(slot) else { return };
        transaction.armed_at = NEVER;
        if transaction.kind == Kind::Invite && transaction.end_at <= now {
            self.end(slot, actions);
            return;
        }
        if transaction.resend_at <= now {
            if let Some(bytes) = transaction.message.clone() {
                actions.push(Action::Send { tx, route: transaction.route, bytes });
                self.counts.repeated += 1;
            }
            if transaction.state == State::Trying {
                transaction.state = State::Proceeding;
                transaction.resend_at = NEVER;
            } else {
                transaction.interval = transaction.interval.saturating_mul(2).min(timers.t2);
                transaction.resend_at = now + u64::from(transaction.interval);
            }
        }
        self.arm(now, slot);
    }

    /// The time of a transaction is up.
    fn end(&mut self, slot: u32, actions: &mut Vec<ServerAction<R, T>>) {
        let tx = self.id(slot, self.slots.generation(slot));
        let Some(transaction) = self.slots.at(slot) else { return };
        let event = match (transaction.kind, transaction.state) {
            (_, State::Trying | State::Proceeding) => Some(ServerEvent::Unanswered),
            (_, State::Accepted) => Some(ServerEvent::NoAck { accepted: true }),
            (Kind::Invite, State::Completed) => Some(ServerEvent::NoAck { accepted: false }),
            _ => None,
        };
        if let Some(event) = event {
            let owner = transaction.owner.clone();
            self.counts.timed_out += 1;
            actions.push(Action::Event { tx, owner, event });
        }
        self.terminate(slot, actions);
    }
}

/// The next deadline that the wheel has to bring up; the end of a non-INVITE transaction comes from
/// its list.
fn deadline<R, T>(transaction: &Transaction<R, T>) -> u64 {
    match transaction.kind {
        Kind::Invite => transaction.resend_at.min(transaction.end_at),
        _ => transaction.resend_at,
    }
}
