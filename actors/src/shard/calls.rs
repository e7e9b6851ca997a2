//! Calls of a shard: who is rung, what reaches which call, and what a change of a device means for it.

use std::cell::RefCell;
use std::sync::Arc;

use actix::{AsyncContext, Context, Supervisor};
use keyline_domain::call::{
    Identity, Input, LEGS_MAX, LegId, Redirect, SessionPolicy, StartArgs, Target, TimerKind, named,
};
use keyline_domain::flow::Flow;
use keyline_domain::ids::{DeviceIndex, Dn, UnixMillis};
use keyline_domain::media::LegMedia;
use keyline_domain::phone::{self, Binding};
use smallvec::SmallVec;

use super::{CallHandle, Due, Invite, Nudge, Shard};
use crate::board::{CallEntry, DeviceSlot};
use crate::call::{CallActor, Remains, ToCall};
use crate::metrics::ActorKind;
use crate::outlet::{Emission, NoTarget};
use crate::phone::PhoneWork;
use crate::route::{CallKey, GENERATION_MASK, push_hex};

/// How long a call waits for a phone whose registration ran out.
const RETURN_WAIT_MS: u64 = 120_000;

/// Whom a call wants to ring.
pub(super) struct Wanted<'a> {
    pub(super) line: &'a Dn,
    /// Only over TLS (RFC 5630 §3.1).
    pub(super) sips: bool,
    /// Devices to leave out.
    pub(super) not: &'a [DeviceIndex],
    /// From as the phones shall see it.
    pub(super) from: &'a Arc<str>,
    /// To as the phones shall see it.
    pub(super) to: &'a Arc<str>,
}

impl Shard {
    pub(super) fn invite(&mut self, invite: Invite, at: UnixMillis, ctx: &mut Context<Self>) {
        let tx = invite.tx.0;
        if self.calls.len() >= self.calls_max {
            return self.answer(tx, Emission::NoCall { tx, why: NoTarget::Overloaded });
        }
        let Some(caller) = self.boards.devices.device(invite.caller) else {
            return self.answer(tx, Emission::Failed { tx });
        };
        if !self.boards.devices.has_line(invite.called.as_str()) {
            return self.answer(tx, Emission::NoCall { tx, why: NoTarget::UnknownLine });
        }
        let wanted = Wanted {
            line: &invite.called,
            sips: invite.sips,
            not: &[invite.caller],
            from: &invite.caller_uri,
            to: &invite.called_uri,
        };
        let (targets, mut devices) = match self.targets(&wanted, at) {
            Ok(found) => found,
            Err(reason) => {
                tracing::error!(reason, "no random bytes for a Call-ID");
                return self.answer(tx, Emission::Failed { tx });
            }
        };
        if targets.is_empty() {
            return self.answer(tx, Emission::NoCall { tx, why: NoTarget::NotRegistered });
        }
        devices.insert(0, invite.caller);
        self.next_slot = self.next_slot.wrapping_add(1);
        // The shard's number in the low bits would tie slots to the number of shards; partitions are enough:
        // two calls of one partition are always counted by the same shard.
        let key = CallKey {
            partition: caller.name.partition(),
            slot: self.next_slot,
            generation: self.start & GENERATION_MASK,
        };
        let entry = CallEntry {
            started: at,
            caller: caller.name.as_str().into(),
            called: invite.called.as_str().into(),
            class: None,
            legs: Arc::default(),
            max_forwards: invite.max_forwards,
        };
        let args = StartArgs {
            invite: invite.tx,
            caller: invite.leg,
            targets,
            body: invite.body,
            headers: invite.headers,
            called: invite.called,
            no_answer_s: self.boards.settings.load().parameters.no_answer_s,
            session: session_policy(&self.boards.settings.load().parameters),
            seed: invite.seed,
        };
        self.metrics.calls_started.inc();
        self.invites.insert(tx, key);
        self.begin(key, entry, devices, ToCall::Begin(Box::new(args)), Some(tx), ctx);
        if let Some(handle) = self.calls.get_mut(&key) {
            handle.sips = invite.sips;
        }
    }

    /// Makes the actor of a call and gives it its first message.
    pub(super) fn begin(
        &mut self,
        key: CallKey,
        entry: CallEntry,
        devices: SmallVec<[DeviceIndex; 2]>,
        first: ToCall,
        invite: Option<u64>,
        ctx: &mut Context<Self>,
    ) {
        let Some(tools) = self.tools.clone() else { return };
        self.boards.calls.begin(key, entry);
        for d in &devices {
            self.boards.calls.watch(*d, key);
            let seen = self.boards.devices.slot(*d).and_then(DeviceSlot::row);
            self.tell_phone_anywhere(*d, PhoneWork::OnCall { call: key, seen });
        }
        let shard = ctx.address().recipient().downgrade();
        let addr = Supervisor::start(move |_| CallActor::new(key, tools, shard));
        addr.do_send(first);
        if let Some(tx) = invite {
            self.owed.settle(tx);
        }
        self.calls.insert(key, CallHandle { addr, devices, invite, sips: false });
    }

    /// Every live binding of the line but those of the devices that are left out, and the devices found.
    pub(super) fn targets(
        &self,
        wanted: &Wanted<'_>,
        at: UnixMillis,
    ) -> Result<(Vec<Target>, SmallVec<[DeviceIndex; 2]>), String> {
        let mut targets = Vec::new();
        let mut devices = SmallVec::new();
        for index in self.boards.devices.by_line(wanted.line.as_str()) {
            if wanted.not.contains(&index) {
                continue;
            }
            let Some(slot) = self.boards.devices.slot(index) else { continue };
            let (Some(device), Some(row)) = (slot.device(), slot.row()) else { continue };
            let reachable = |b: &&Binding| !wanted.sips || b.origin.flow.transport().is_tls();
            for (binding, spare) in phone::by_phone(row.line(wanted.line, at).filter(reachable)) {
                if targets.len() >= LEGS_MAX - 1 {
                    break;
                }
                let facts = self.boards.leg_facts(
                    &device,
                    Some(&row),
                    binding.origin.flow.transport(),
                    binding.origin.peer,
                );
                targets.push(Target {
                    facts,
                    flow: binding.origin.flow,
                    call_id: random_call_id()?.into(),
                    contact: Arc::clone(&binding.contact),
                    local_uri: Arc::clone(wanted.from),
                    remote_uri: Arc::clone(wanted.to),
                    q: binding.q.unwrap_or(1000),
                    peer: Default::default(),
                    spare,
                    route: binding.origin.path.iter().cloned().collect(),
                    identity: Identity::Shown(named(&device.description, wanted.to)),
                });
                if !devices.contains(&index) {
                    devices.push(index);
                }
            }
        }
        Ok((targets, devices))
    }

    /// Where the lines are to which a phone of a call forwards; the call watches their devices from now on.
    pub(super) fn locate(&mut self, call: CallKey, leg: LegId, lines: &[Redirect], from: &Arc<str>) {
        let Some((caller, sips)) = self.calls.get(&call).and_then(|h| Some((*h.devices.first()?, h.sips)))
        else {
            return;
        };
        let at = crate::clock::now();
        let mut found = Vec::new();
        for Redirect { line, uri } in lines {
            let wanted = Wanted { line, sips, not: &[caller], from, to: uri };
            match self.targets(&wanted, at) {
                Ok((targets, devices)) => {
                    found.extend(targets);
                    for device in devices {
                        self.watch_device(call, device);
                    }
                }
                Err(reason) => tracing::error!(reason, "no random bytes for a Call-ID"),
            }
        }
        self.call_input(call, Box::new(Input::Located { leg, targets: found }), None);
    }

    pub(super) fn call_input(&mut self, call: CallKey, input: Box<Input>, tx: Option<u64>) {
        match (self.calls.get(&call), tx) {
            // A panic that nobody caught dropped the actor; its successor is under way.
            (Some(handle), Some(tx)) if !handle.addr.connected() => self.answer(tx, Emission::Failed { tx }),
            (Some(handle), tx) => {
                handle.addr.do_send(ToCall::Input(input));
                if let Some(tx) = tx {
                    self.owed.settle(tx);
                }
            }
            (None, tx) => self.follow(call, input, tx),
        }
    }

    /// The second net of a call: another actor goes on with what the dropped one left.
    pub(super) fn call_dropped(&mut self, call: CallKey, remains: Remains, ctx: &mut Context<Self>) {
        self.metrics.restarted(ActorKind::Call);
        tracing::error!(%call, "a call's actor was dropped by a panic; another one takes its place");
        let (Some(handle), Some(tools)) = (self.calls.get_mut(&call), self.tools.clone()) else { return };
        let shard = ctx.address().recipient().downgrade();
        handle.addr = Supervisor::start(move |_| CallActor::new(call, tools, shard));
        handle.addr.do_send(ToCall::Replace(Box::new(remains)));
    }

    pub(super) fn call_timer(&mut self, call: CallKey, timer: TimerKind, generation: u32) {
        if let Some(handle) = self.calls.get(&call) {
            handle.addr.do_send(ToCall::Input(Box::new(Input::Timer { timer, generation })));
        }
    }

    pub(super) fn call_finished(&mut self, call: CallKey) {
        // Dropping the only strong address ends the actor.
        let Some(handle) = self.calls.remove(&call) else { return };
        if let Some(tx) = handle.invite {
            self.invites.remove(&tx);
        }
        for d in handle.devices {
            self.boards.calls.unwatch(d, call);
            self.tell_phone_anywhere(d, PhoneWork::OffCall(call));
        }
    }

    /// A device that a call watches registered, unregistered, or lost a connection.
    pub(super) fn nudged(&mut self, nudge: Nudge) {
        let Some(handle) = self.calls.get(&nudge.call) else { return };
        let slot = self.boards.devices.slot(nudge.device);
        let Some((device, row)) = slot.and_then(|s| Some((s.device()?, s.row()))) else { return };
        if let Some(id) = nudge.lost {
            // Transport and address are not compared: the connection's number is enough.
            let flow = Flow::Stream {
                id,
                transport: keyline_domain::mode::Transport::Tcp,
                remote: std::net::SocketAddr::from(([0, 0, 0, 0], 0)),
            };
            handle.addr.do_send(ToCall::Input(Box::new(Input::FlowLost { flow })));
            return;
        }
        if nudge.expired {
            return self.await_return(nudge.call, nudge.device);
        }
        let at = crate::clock::now();
        let mut any = false;
        if let Some(row) = &row {
            for binding in row.live(at).filter(|b| b.origin.flow.is_live()) {
                any = true;
                let facts = self.boards.leg_facts(
                    &device,
                    Some(row),
                    binding.origin.flow.transport(),
                    binding.origin.peer,
                );
                handle.addr.do_send(ToCall::Input(Box::new(Input::TargetBack {
                    flow: binding.origin.flow,
                    contact: Arc::clone(&binding.contact),
                    facts: Box::new(facts),
                })));
            }
        }
        if !any && row.is_none_or(|r| r.bindings.is_empty()) {
            let device = device.name.clone();
            handle.addr.do_send(ToCall::Input(Box::new(Input::Unregistered { device })));
        }
    }

    /// A phone's bindings ran out while it was in a call. It may only be late with its refresh, so the call
    /// goes on for a while; but nothing else bounds the call of a phone over UDP that vanished.
    pub(super) fn await_return(&mut self, call: CallKey, device: DeviceIndex) {
        self.wheel.arm(crate::clock::now().0 + RETURN_WAIT_MS, Due::Gone(call, device));
    }

    pub(super) fn release_if_gone(&mut self, call: CallKey, device: DeviceIndex) {
        let row = self.boards.devices.slot(device).and_then(DeviceSlot::row);
        if row.is_some_and(|r| r.is_registered(crate::clock::now())) {
            return;
        }
        self.call_input(call, Box::new(Input::Release), None);
    }

    /// The node stops.
    pub(super) fn release_calls(&mut self) {
        for handle in self.calls.values() {
            handle.addr.do_send(ToCall::Input(Box::new(Input::Release)));
        }
    }

    /// The catalog changed a device, its profile or the cluster: calls on this shard are classified anew.
    pub(super) fn device_changed(&mut self, index: DeviceIndex) {
        let Some(slot) = self.boards.devices.slot(index) else { return };
        let (Some(device), row) = (slot.device(), slot.row()) else { return };
        let at = crate::clock::now();
        self.follow_assignment(index, &device, at);
        for call in self.boards.calls.watchers(index) {
            let Some(handle) = self.calls.get(&call) else { continue };
            let origin = row.as_ref().and_then(|r| r.live(at).next().map(|b| b.origin.clone()));
            let Some(origin) = origin else { continue };
            let facts = self.boards.leg_facts(&device, row.as_deref(), origin.flow.transport(), origin.peer);
            handle.addr.do_send(ToCall::Input(Box::new(Input::DeviceFacts(Box::new(facts)))));
        }
    }
}

impl crate::board::Boards {
    /// What the class of a leg depends on, from the boards and the live connection; its media is the
    /// call's business.
    pub fn leg_facts(
        &self,
        device: &crate::board::Device,
        row: Option<&keyline_domain::phone::Row>,
        transport: keyline_domain::mode::Transport,
        peer: keyline_domain::phone::Peer,
    ) -> keyline_domain::class::LegFacts {
        let now = crate::clock::now();
        let judged = self.profiles.judge(device.profile, row, now);
        let settings = judged.as_ref().map(|j| &j.settings);
        let mode = settings.map(|s| s.device_security_mode).unwrap_or_default();
        // While the grace of a roll-out runs the old version never raises the class (design §5).
        let previous = row
            .and_then(|r| r.in_grace(now))
            .and_then(|a| self.profiles.settings(a))
            .map(|s| s.device_security_mode);
        keyline_domain::class::LegFacts {
            device: device.name.clone(),
            model: device.model.name.as_ref().into(),
            trusted: device.model.trusted,
            transport,
            suite: peer.suite_kind,
            proof: peer.proof,
            profile: judged.as_ref().map(|j| &*j.assigned_name).unwrap_or_default().into(),
            applied_mode: previous.map_or(mode, |p| p.min(mode)),
            digest_authentication: settings.is_some_and(|s| s.digest_authentication),
            cluster: self.settings.load().parameters.cluster_security_mode,
            answered: false,
            media: LegMedia::default(),
        }
    }
}

/// RFC 4028 as the parameters set it; an interval below the smallest one would refuse itself.
fn session_policy(parameters: &keyline_domain::inventory::Parameters) -> SessionPolicy {
    let min_se_s = parameters.min_se_s;
    SessionPolicy { expires_s: parameters.session_expires_s.max(min_se_s), min_se_s }
}

/// A Call-ID of ours: 128 random bits; it says nothing about the caller's.
/// 128 random bits. The system is asked for those of 32 calls at a time: a question costs as much as sending.
fn random_call_id() -> Result<String, String> {
    thread_local! {
        static POOL: RefCell<([u8; 512], usize)> = const { RefCell::new(([0; 512], 512)) };
    }
    let [high, low] = POOL.with_borrow_mut(|(bytes, used)| {
        if *used == bytes.len() {
            getrandom::fill(bytes).map_err(|e| e.to_string())?;
            *used = 0;
        }
        let mut next = || {
            let (taken, mut eight) = (&mut bytes[*used..*used + 8], [0; 8]);
            // Nothing is given out twice, whatever happens.
            eight.swap_with_slice(taken);
            *used += 8;
            u64::from_be_bytes(eight)
        };
        Ok::<_, String>([next(), next()])
    })?;
    let mut text = String::with_capacity(32);
    push_hex(&mut text, high, 16);
    push_hex(&mut text, low, 16);
    Ok(text)
}
