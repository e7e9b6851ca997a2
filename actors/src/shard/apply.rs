//! A profile version takes effect on phones: committed, published, then the phone is told, in this order. So
//! the first request after the signal is judged by the new version already; whoever is between the two is in
//! its grace (design §5).

use std::sync::Arc;

use actix::Handler;
use keyline_domain::ids::{DeviceIndex, UnixMillis};
use keyline_domain::phone::{self, AppliedVersion};
use keyline_domain::rollout::Order;
use tokio::sync::oneshot;

use super::phones::Open;
use super::{DeviceChanged, Shard};
use crate::board::DeviceSlot;
use crate::clock::now;
use crate::outlet::Emission;
use crate::signal::{Applied, ApplyTo, Asks, Word};

/// An apply to one phone that is under way.
#[derive(Debug)]
pub(super) struct Applying {
    applied: AppliedVersion,
    then: Then,
}

/// Who hears of it.
#[derive(Debug)]
enum Then {
    /// The roll-out of the profile, after the phone was signalled.
    Rollout(Order),
    /// Whoever asked.
    One(oneshot::Sender<Applied>),
}

impl Handler<ApplyTo> for Shard {
    type Result = ();

    fn handle(&mut self, order: ApplyTo, ctx: &mut Self::Context) {
        self.guarded(ctx, |shard, _| {
            let at = now();
            let applied = order.applied;
            match order.asks {
                Asks::Rollout(kind) => {
                    for device in order.devices {
                        shard.apply(device, Applying { applied, then: Then::Rollout(kind) }, at);
                    }
                }
                Asks::One(done) => {
                    if let Some(device) = order.devices.first() {
                        shard.apply(*device, Applying { applied, then: Then::One(done) }, at);
                    }
                }
            }
        });
    }
}

impl Shard {
    pub(super) fn apply(&mut self, device: DeviceIndex, applying: Applying, at: UnixMillis) {
        if let Some(open) = self.open.get_mut(&device) {
            // One open commit a row: it is looked at again when that is through.
            if let Some(before) = open.applies.replace(applying) {
                self.applied(device, before, Applied::Busy);
            }
            return;
        }
        let boards = Arc::clone(&self.boards);
        let slot = boards.devices.slot(device);
        let config = slot.and_then(DeviceSlot::device);
        let (Some(slot), Some(config)) = (slot, config) else {
            return self.applied(device, applying, Applied::Moved);
        };
        if config.profile != applying.applied.profile {
            return self.applied(device, applying, Applied::Moved);
        }
        let Some(row) = slot.row().filter(|r| r.is_registered(at)) else {
            return self.applied(device, applying, Applied::Unregistered);
        };
        let grace_s = boards.settings.load().parameters.apply_grace_s;
        match phone::apply(&row, applying.applied, at, grace_s).row {
            None => self.applied(device, applying, Applied::Done),
            Some(new) => self.commit(device, slot, Open::applying(new, applying)),
        }
    }

    /// An apply is through, or will not be.
    pub(super) fn applied(&mut self, device: DeviceIndex, applying: Applying, what: Applied) {
        match applying.then {
            Then::One(done) => {
                // Whoever gave it up meanwhile hears nothing.
                let _ = done.send(what);
            }
            Then::Rollout(order) => {
                let profile = applying.applied.profile;
                self.signals.tell(profile, Word::Applied(device, what));
                if what == Applied::Done {
                    self.emit(self.worker_of_phone(device), Emission::Order { device, profile, order });
                }
            }
        }
        if what == Applied::Done {
            // Calls of the phone are classified anew, on whatever shard they live.
            let mut shards: Vec<_> = self
                .boards
                .calls
                .watchers(device)
                .into_iter()
                .map(|call| self.table.shard(call.partition))
                .collect();
            shards.sort_unstable();
            shards.dedup();
            for shard in shards {
                self.tell(shard, DeviceChanged(device));
            }
        }
    }

    /// The worker that can send to a phone: the one with its connection; over UDP any can.
    fn worker_of_phone(&self, device: DeviceIndex) -> u16 {
        let row = self.boards.devices.slot(device).and_then(DeviceSlot::row);
        let flow = row.and_then(|r| r.live(now()).map(|b| b.origin.flow).find(|f| f.is_live()));
        match flow {
            Some(keyline_domain::flow::Flow::Stream { id, .. }) => id.worker,
            _ => self.id.0,
        }
    }
}
