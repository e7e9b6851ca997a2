//! The timers of client transactions: A, B, D, E, F, K, M and the bound on ringing.

use super::{ClientTable, State};
use crate::signaling::transaction::wheel::Armed;
use crate::signaling::transaction::{Action, ClientAction, ClientEvent, NEVER, Route};

impl<R: Route, T: Clone> ClientTable<R, T> {
    /// Fires all timers up to `now`.
    pub fn on_tick(&mut self, now: u64, actions: &mut Vec<ClientAction<R, T>>) {
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
    }

    /// When [`Self::on_tick`] wants to be called next; None while nothing runs. It may be called
    /// earlier, and a call may find nothing to do.
    pub fn next_wakeup(&self) -> Option<u64> {
        self.wheel.next_wakeup()
    }

    /// Arms the wheel for the next deadline of a slot unless an earlier entry is on its way.
    pub(super) fn arm(&mut self, now: u64, slot: u32) {
        let generation = self.slots.generation(slot);
        let Some(transaction) = self.slots.at(slot) else { return };
        let at = transaction.resend_at.min(transaction.end_at);
        if at == NEVER || transaction.armed_at <= at {
            return;
        }
        transaction.armed = self.wheel.arm(now, at, slot, generation);
        transaction.armed_at = at;
    }

    fn fire(&mut self, now: u64, slot: u32, actions: &mut Vec<ClientAction<R, T>>) {
        let tx = self.id(slot);
        let t2 = self.config.timers.t2;
        let Some(transaction) = self.slots.at(slot) else { return };
        transaction.armed_at = NEVER;
        if transaction.end_at <= now {
            if matches!(transaction.state, State::Trying | State::Proceeding) {
                let owner = transaction.owner.clone();
                self.counts.timed_out += 1;
                actions.push(Action::Event { tx, owner, event: ClientEvent::Timeout });
            }
            self.terminate(slot, actions);
            return;
        }
        if transaction.resend_at <= now {
            if let Some(bytes) = transaction.message.clone() {
                actions.push(Action::Send { tx, route: transaction.route, bytes });
                self.counts.repeated += 1;
            }
            // Timer A doubles without a cap, Timer E up to T2.
            let doubled = transaction.interval.saturating_mul(2);
            transaction.interval = if transaction.invite { doubled } else { doubled.min(t2) };
            transaction.resend_at = now + u64::from(transaction.interval);
        }
        self.arm(now, slot);
    }
}
