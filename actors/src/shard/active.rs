//! Phones that are active: who runs as an actor, and the ordered way in and out.
//!
//! The shard is the only sender of an active phone. Passivation: routing stops, `Passivate` is the last
//! message, whatever comes meanwhile is held and follows in order once the state is back.

use std::collections::VecDeque;

use actix::{Addr, Supervisor};
use keyline_domain::ids::DeviceIndex;
use keyline_domain::subscription::Watched;

use super::{Due, Nudge, PhoneOrder, Shard};
use crate::clock::now;
use crate::metrics::ActorKind;
use crate::phone::{FromPhone, PhoneActor, PhoneState, PhoneWork, ToPhone};
use crate::wheel::TICK_MS;

/// Within this time a passivated phone's state comes back: its actor runs on the same thread.
const STATE_MS: u64 = 10_000;

/// A phone that is active, or about to leave.
pub(super) struct Active {
    activation: u32,
    /// When the last message was routed.
    last: u64,
    at: Stage,
}

enum Stage {
    /// Messages go to this address.
    Running(Addr<PhoneActor>),
    /// The state is awaited; messages wait. The address is kept: without it the actor would drop what is
    /// still queued.
    Leaving { _addr: Addr<PhoneActor>, held: VecDeque<ToPhone> },
}

impl Shard {
    /// Tells a phone something that its actor must hear: activates it if need be.
    pub(super) fn tell_phone(&mut self, device: DeviceIndex, message: ToPhone) {
        let at = now().0;
        if let Some(active) = self.active.get_mut(&device) {
            active.last = at;
            match &mut active.at {
                Stage::Leaving { held, .. } => return held.push_back(message),
                Stage::Running(addr) if addr.connected() => return addr.do_send(message),
                Stage::Running(addr) => {
                    // A panic that nobody caught: its guard sends the state back. Until then this waits.
                    let held = VecDeque::from([message]);
                    active.at = Stage::Leaving { _addr: addr.clone(), held };
                    let activation = active.activation;
                    return self.wheel.arm(at + TICK_MS, Due::StateLost(device, activation));
                }
            }
        }
        if let Some(addr) = self.activate(device, at) {
            addr.do_send(message);
        }
    }

    /// The same, but nobody is activated for it: a phone of which nothing is kept has nobody to tell.
    pub(super) fn tell_known_phone(&mut self, device: DeviceIndex, message: impl FnOnce() -> ToPhone) {
        if self.active.contains_key(&device) || self.dormant.contains_key(&device) {
            self.tell_phone(device, message());
        }
    }

    /// The same for a phone that may live on another shard.
    pub(super) fn tell_phone_anywhere(&mut self, device: DeviceIndex, work: PhoneWork) {
        let Some(config) = self.boards.devices.device(device) else { return };
        let shard = self.table.shard(config.name.partition());
        if shard == self.id {
            self.tell_phone(device, ToPhone::Work { work: Box::new(work), tx: None });
        } else {
            self.tell(shard, PhoneOrder { device, work });
        }
    }

    /// Something changed at a line: its watchers hear of it, wherever they live.
    pub(super) fn line_changed(&mut self, what: &Watched) {
        for device in self.boards.watch.watchers(what) {
            self.tell_phone_anywhere(device, PhoneWork::Changed(what.clone()));
        }
    }

    fn activate(&mut self, device: DeviceIndex, at: u64) -> Option<Addr<PhoneActor>> {
        let tools = self.phone_tools.clone()?;
        let state = self.dormant.remove(&device).unwrap_or_default();
        self.activations = self.activations.wrapping_add(1);
        let activation = self.activations;
        let addr = Supervisor::start(move |_| PhoneActor::new(device, activation, state, tools));
        self.metrics.phone_activations.inc();
        self.active.insert(device, Active { activation, last: at, at: Stage::Running(addr.clone()) });
        self.wheel.arm(at + self.phone_idle_ms, Due::Idle(device, activation));
        Some(addr)
    }

    /// The wheel's look at an active phone: one entry an activation, armed again while it is busy.
    pub(super) fn idle_due(&mut self, device: DeviceIndex, activation: u32) {
        let Some(active) = self.active.get_mut(&device).filter(|a| a.activation == activation) else {
            return;
        };
        let Stage::Running(addr) = &active.at else { return };
        let at = active.last + self.phone_idle_ms;
        if at > now().0 {
            return self.wheel.arm(at, Due::Idle(device, activation));
        }
        addr.do_send(ToPhone::Passivate);
        active.at = Stage::Leaving { _addr: addr.clone(), held: VecDeque::new() };
        self.wheel.arm(now().0 + STATE_MS, Due::StateLost(device, activation));
    }

    /// The state never came back: the phone goes on without it rather than never.
    pub(super) fn state_lost(&mut self, device: DeviceIndex, activation: u32) {
        let leaving = self
            .active
            .get(&device)
            .is_some_and(|a| a.activation == activation && matches!(&a.at, Stage::Leaving { .. }));
        if leaving {
            tracing::error!(device = device.0, "the state of an active phone is lost");
            let rebuilt = Box::new(PhoneState::rebuilt(device, &self.boards));
            self.phone_left(device, activation, rebuilt);
        }
    }

    fn phone_left(&mut self, device: DeviceIndex, activation: u32, state: Box<PhoneState>) {
        let Some(active) = self.active.remove(&device) else { return };
        if active.activation != activation {
            // An earlier activation's guard, late: the present one goes on.
            self.active.insert(device, active);
            return;
        }
        self.metrics.phone_passivations.inc();
        if !state.is_empty() {
            self.dormant.insert(device, state);
        }
        if let Stage::Leaving { held, .. } = active.at {
            for message in held {
                self.tell_phone(device, message);
            }
        }
    }

    pub(super) fn heard_from_phone(&mut self, message: FromPhone) {
        match message {
            FromPhone::Arm { device, timer, generation, after_ms } => {
                self.wheel.arm(now().0 + after_ms, Due::Phone(device, timer, generation));
            }
            FromPhone::Nudge { call, device, lost, expired } => {
                self.tell(self.table.shard(call.partition), Nudge { call, device, lost, expired });
            }
            FromPhone::GivenUp => self.child_failed(),
            FromPhone::Passivated { device, activation, state, panicked } => {
                if panicked {
                    self.metrics.restarted(ActorKind::Phone);
                    tracing::error!(
                        device = device.0,
                        "the phone's actor was dropped by a panic; its state is safe"
                    );
                }
                self.phone_left(device, activation, state);
            }
        }
    }
}
