//! Calls that were answered before the node stopped: found at start, ended or gone on with by their shard.

use std::sync::Arc;

use actix::Context;
use keyline_domain::call::DialogRow;
use smallvec::SmallVec;

use super::Shard;
use crate::board::CallEntry;
use crate::call::ToCall;
use crate::route::CallKey;

/// A dialog row as it was read at start.
pub(crate) struct RecoveredCall {
    /// The call.
    pub(crate) key: CallKey,
    /// Its row.
    pub(crate) row: Box<DialogRow>,
}

impl Shard {
    /// Makes actors of the calls that were read at start. After a restart of the shard alone there is
    /// nothing to do: its calls are actors of their own and live on.
    pub(super) fn resume_calls(&mut self, ctx: &mut Context<Self>) {
        for RecoveredCall { key, row } in std::mem::take(&mut self.recovered) {
            let devices: SmallVec<_> = [&row.caller, &row.callee]
                .iter()
                .filter_map(|leg| self.boards.devices.by_name(leg.facts.device.as_str()))
                .collect();
            let entry = CallEntry {
                started: row.answered_at,
                caller: row.caller.facts.device.as_str().into(),
                called: user(&row.callee.dialog.remote_uri).into(),
                class: None,
                legs: Arc::default(),
                max_forwards: 70,
            };
            self.metrics.calls_started.inc();
            let at = crate::clock::now();
            let away: SmallVec<[_; 2]> = devices
                .iter()
                .copied()
                .filter(|d| {
                    let row = self.boards.devices.slot(*d).and_then(|s| s.row());
                    !row.is_some_and(|r| r.is_registered(at))
                })
                .collect();
            self.begin(key, entry, devices, ToCall::Resume(row), None, ctx);
            // Phones whose time ran out while the node was down.
            for device in away {
                self.await_return(key, device);
            }
        }
    }
}

/// User part of a name-addr of ours.
fn user(address: &str) -> &str {
    let uri = address.split("sip:").nth(1).unwrap_or_default();
    uri.split(['@', '>', ';']).next().unwrap_or_default()
}
