//! What a shard does for transfers: bindings of a target, words between calls, requests that follow a leg.

use keyline_domain::call::{CallRef, Find, Input, PeerMessage};
use keyline_domain::ids::{DeviceIndex, DeviceName};
use smallvec::SmallVec;

use super::calls::Wanted;
use super::{FromPeer, Redirected, Shard};
use crate::board::DeviceSlot;
use crate::call::ToCall;
use crate::outlet::Emission;
use crate::phone::PhoneWork;
use crate::route::CallKey;

impl Shard {
    /// The bindings that a call wants to ring.
    pub(super) fn find(&mut self, call: CallKey, find: &Find) {
        let excluded: SmallVec<[DeviceIndex; 2]> =
            find.exclude.iter().filter_map(|d| self.boards.devices.by_name(d.as_str())).collect();
        let wanted = Wanted {
            line: &find.line,
            sips: find.sips,
            not: &excluded,
            from: &find.local_uri,
            to: &find.remote_uri,
        };
        let found = match self.boards.devices.has_line(find.line.as_str()) {
            false => Err(404),
            true => self.targets(&wanted, crate::clock::now()).map_err(|reason| {
                tracing::error!(reason, "no random bytes for a Call-ID");
                500
            }),
        };
        let found = found.map(|(targets, devices)| {
            for index in devices {
                self.watch_device(call, index);
            }
            targets
        });
        let no_answer_s = self.boards.settings.load().parameters.no_answer_s;
        self.call_input(call, Box::new(Input::Targets { ticket: find.ticket, found, no_answer_s }), None);
    }

    /// A leg of another call came to this one.
    pub(super) fn watch_also(&mut self, call: CallKey, device: &DeviceName) {
        if let Some(index) = self.boards.devices.by_name(device.as_str()) {
            self.watch_device(call, index);
        }
    }

    pub(super) fn watch_device(&mut self, call: CallKey, index: DeviceIndex) {
        let Some(handle) = self.calls.get_mut(&call) else { return };
        if handle.devices.contains(&index) {
            return;
        }
        handle.devices.push(index);
        self.boards.calls.watch(index, call);
        let seen = self.boards.devices.slot(index).and_then(DeviceSlot::row);
        self.tell_phone_anywhere(index, PhoneWork::OnCall { call, seen });
    }

    /// Hands a word of one call to the shard of the other.
    pub(super) fn tell_peer(&mut self, from: CallKey, to: CallKey, message: Box<PeerMessage>) {
        let said = FromPeer { from, to, message };
        match self.table.shard(to.partition) {
            own if own == self.id => self.heard_from_peer(said),
            other => self.tell(other, said),
        }
    }

    pub(super) fn heard_from_peer(&mut self, said: FromPeer) {
        let FromPeer { from, to, message } = said;
        match self.calls.get(&to) {
            Some(handle) => {
                let input = Input::Peer { from: CallRef(from.pack()), message };
                handle.addr.do_send(ToCall::Input(Box::new(input)));
            }
            None => {
                if let Some(answer) = message.bounced() {
                    self.tell_peer(to, from, Box::new(answer));
                }
            }
        }
    }

    /// A request for a call that is gone: its leg may have gone over to another.
    pub(super) fn follow(&mut self, call: CallKey, input: Box<Input>, tx: Option<u64>) {
        let tag = match &*input {
            Input::Request(request) => Some(&request.dialog.local_tag),
            Input::Ack { dialog, .. } => Some(&dialog.local_tag),
            _ => None,
        };
        let home = tag.map(|tag| self.boards.calls.home_of(tag, call)).filter(|home| *home != call);
        match (home, tx) {
            (Some(call), _) => match self.table.shard(call.partition) {
                own if own == self.id => self.deliver(call, input, tx),
                other => self.tell(other, Redirected { call, input, tx }),
            },
            (None, Some(tx)) => self.answer(tx, Emission::NoSuchCall { tx }),
            (None, None) => {}
        }
    }

    /// To that call and no other.
    pub(super) fn deliver(&mut self, call: CallKey, input: Box<Input>, tx: Option<u64>) {
        match (self.calls.get(&call), tx) {
            (Some(handle), _) => handle.addr.do_send(ToCall::Input(input)),
            (None, Some(tx)) => self.answer(tx, Emission::NoSuchCall { tx }),
            (None, None) => {}
        }
    }
}
