//! A phone as an actor, for as long as something must outlive a message: a subscription, a call that the
//! phone is on, an apply that is pending (design §4 "Phones are virtual actors").
//!
//! A dormant phone is a row on the board and, if anything long-lived is known of it, a [`PhoneState`] that its
//! shard keeps. Its shard activates the actor with the first message that needs it and is the only one that
//! sends to it. The row itself stays with the shard, active or not: a REGISTER is one step of
//! `domain::phone::on` there, and the actor hears of every committed change as [`ToPhone::Row`], in the order
//! of the commits and in order with everything else that the shard sends. So a row has one owner, and a storm
//! of refreshes never waits for an actor.
//!
//! A step runs on a copy of the state under `catch_unwind`; only a step that came through replaces it. The
//! state is therefore always the last good one, also when the actor is dropped by a panic that nobody caught:
//! the guard in `drop` hands it back to the shard.

mod state;
mod subscriptions;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::{Actor, ActorContext, Context, Handler, Message, Supervised, WeakRecipient};
use keyline_domain::flow::StreamId;
use keyline_domain::ids::DeviceIndex;
use keyline_domain::phone::{Event, Row};
use keyline_storage::faults;
use smallvec::SmallVec;

use crate::board::Boards;
use crate::clock::now;
use crate::metrics::{ActorKind, Metrics};
use crate::outlet::{Emission, Outlet, worker_of};
use crate::route::CallKey;

pub(crate) use state::{PhoneEffect, PhoneEffects, PhoneEnv, PhoneInput, PhoneState};
pub use state::{PhoneTimer, PhoneWork};

/// Panics in a row after which a phone's long-lived state is given up: a step that always fails must not
/// run for ever.
const RESTARTS_MAX: u8 = 3;

/// What every phone actor of a shard uses.
pub(crate) struct PhoneTools {
    pub(crate) outlet: Arc<dyn Outlet>,
    pub(crate) boards: Arc<Boards>,
    pub(crate) metrics: Metrics,
    pub(crate) shard: WeakRecipient<FromPhone>,
    /// Subscriptions that one phone may have.
    pub(crate) subscriptions_max: usize,
}

/// What an active phone is told by its shard, in order.
#[derive(Debug)]
pub(crate) enum ToPhone {
    /// The committed row changed: it stands on the board already.
    Row {
        /// The row.
        row: Arc<Row>,
        /// What happened.
        events: SmallVec<[Event; 1]>,
    },
    /// A connection that the phone registered on is gone.
    FlowLost(StreamId),
    /// A request that outlives its message. `tx` is answered 500 when the step panics.
    Work {
        /// What to do.
        work: Box<PhoneWork>,
        /// Server transaction behind it, if it is a request.
        tx: Option<u64>,
    },
    /// A timer that the phone armed through the shard's wheel. A stale one is known by its generation.
    Timer(PhoneTimer, u32),
    /// The last message of an activation: hand the state back and stop.
    Passivate,
}

impl Message for ToPhone {
    type Result = ();
}

/// What a phone tells its shard.
#[derive(Debug)]
pub(crate) enum FromPhone {
    /// Arm a timer on the shard's wheel.
    Arm {
        /// The phone.
        device: DeviceIndex,
        /// What fires.
        timer: PhoneTimer,
        /// Generation that it is known by.
        generation: u32,
        /// Milliseconds from now.
        after_ms: u64,
    },
    /// A call must look at the phone again.
    Nudge {
        /// The call.
        call: CallKey,
        /// The phone.
        device: DeviceIndex,
        /// A connection that was lost just now.
        lost: Option<StreamId>,
        /// The registration ran out.
        expired: bool,
    },
    /// Its steps kept failing; it begins anew.
    GivenUp,
    /// The activation is over; here is the state.
    Passivated {
        /// The phone.
        device: DeviceIndex,
        /// Which activation of it.
        activation: u32,
        /// Its last good state.
        state: Box<PhoneState>,
        /// It was dropped by a panic that nobody caught.
        panicked: bool,
    },
}

impl Message for FromPhone {
    type Result = ();
}

/// One active phone.
pub(crate) struct PhoneActor {
    device: DeviceIndex,
    activation: u32,
    tools: Arc<PhoneTools>,
    /// `None` once it was handed back.
    state: Option<Box<PhoneState>>,
    /// Request whose step is under way.
    asked: Option<u64>,
    restarts: u8,
}

impl PhoneActor {
    pub(crate) fn new(
        device: DeviceIndex,
        activation: u32,
        state: Box<PhoneState>,
        tools: Arc<PhoneTools>,
    ) -> Self {
        tools.metrics.phones_active.inc();
        Self { device, activation, tools, state: Some(state), asked: None, restarts: 0 }
    }

    /// Device name, the subject of a fault.
    fn name(&self) -> String {
        let device = self.tools.boards.devices.device(self.device);
        device.map(|d| d.name.as_str().to_owned()).unwrap_or_default()
    }

    fn tell(&self, message: FromPhone) {
        if let Some(shard) = self.tools.shard.upgrade() {
            shard.do_send(message);
        }
    }

    fn hand_back(&mut self, panicked: bool) {
        if let Some(state) = self.state.take() {
            let (device, activation) = (self.device, self.activation);
            self.tell(FromPhone::Passivated { device, activation, state, panicked });
        }
    }

    /// One step on a copy; the state changes only when it came through.
    fn step(&mut self, input: PhoneInput) -> Option<PhoneEffects> {
        let state = self.state.as_deref()?;
        let mut next = Box::new(state.clone());
        faults::hit_on("phone.actor", || self.name());
        let env = self.env();
        let effects = next.on(input, &env);
        self.state = Some(next);
        Some(effects)
    }

    fn env(&self) -> PhoneEnv<'_> {
        PhoneEnv {
            now: now(),
            device: self.device,
            boards: &self.tools.boards,
            subscriptions_max: self.tools.subscriptions_max,
        }
    }

    fn carry_out(&mut self, effects: PhoneEffects) {
        let device = self.device;
        let mut out: SmallVec<[(u16, Vec<Emission>); 2]> = SmallVec::new();
        for effect in effects {
            match effect {
                PhoneEffect::Emit { worker, emission } => match out.iter_mut().find(|(w, _)| *w == worker) {
                    Some((_, list)) => list.push(*emission),
                    None => out.push((worker, vec![*emission])),
                },
                PhoneEffect::Arm { timer, generation, after_ms } => {
                    self.tell(FromPhone::Arm { device, timer, generation, after_ms });
                }
                PhoneEffect::Watch(what) => self.tools.boards.watch.watch(what, device),
                PhoneEffect::Unwatch(what) => self.tools.boards.watch.unwatch(&what, device),
                PhoneEffect::Counted(by) => {
                    let count = self.tools.boards.watch.counted(by);
                    self.tools.metrics.subscriptions.set(count);
                }
                PhoneEffect::Nudge { call, lost, expired } => {
                    self.tell(FromPhone::Nudge { call, device, lost, expired });
                }
            }
        }
        for (worker, emissions) in out {
            self.tools.outlet.emit(worker, emissions);
        }
    }
}

impl Actor for PhoneActor {
    type Context = Context<Self>;
}

impl Supervised for PhoneActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        // actix keeps the value. The state is the last good one already; only the request whose step failed
        // is owed an answer.
        if let Some(tx) = self.asked.take() {
            self.tools.outlet.emit(worker_of(tx), vec![Emission::Failed { tx }]);
        }
        self.restarts = self.restarts.saturating_add(1);
        if self.restarts > RESTARTS_MAX
            && let Some(state) = self.state.take()
        {
            tracing::error!(
                device = self.device.0,
                "the phone's actor panics again and again; it begins anew"
            );
            let mut state = state;
            let fresh = catch_unwind(AssertUnwindSafe(|| state.give_up(&self.env())));
            self.state = Some(Box::new(PhoneState::rebuilt(self.device, &self.tools.boards)));
            if let Ok(effects) = fresh {
                self.carry_out(effects);
            }
            self.restarts = 0;
            self.tell(FromPhone::GivenUp);
        }
    }
}

impl Drop for PhoneActor {
    fn drop(&mut self) {
        self.tools.metrics.phones_active.dec();
        // Second net: whatever drops this actor, the shard gets the state back and knows.
        self.hand_back(std::thread::panicking());
    }
}

impl Handler<ToPhone> for PhoneActor {
    type Result = ();

    fn handle(&mut self, message: ToPhone, ctx: &mut Self::Context) {
        // Outside of the guard: what the second net is for.
        faults::hit_on("phone.uncaught", || self.name());
        let mut early = None;
        let input = match message {
            ToPhone::Row { row, events } => PhoneInput::Row { row, events },
            ToPhone::FlowLost(stream) => PhoneInput::FlowLost(stream),
            ToPhone::Work { work, tx } => {
                self.asked = tx;
                if let PhoneWork::Subscribe(request) = &*work
                    && request.in_dialog.is_none()
                {
                    // Before the step looks at what stands there: a change between that look and the watch
                    // would be told to nobody.
                    self.tools.boards.watch.watch(request.watched.clone(), self.device);
                    early = Some(request.watched.clone());
                }
                PhoneInput::Work { work: *work, tx }
            }
            ToPhone::Timer(timer, generation) => PhoneInput::Timer(timer, generation),
            // The shard drops its address with the answer, and that ends the actor.
            ToPhone::Passivate => return self.hand_back(false),
        };
        match catch_unwind(AssertUnwindSafe(|| self.step(input))) {
            Ok(effects) => {
                self.asked = None;
                self.restarts = 0;
                self.carry_out(effects.unwrap_or_default());
                // Refused, or only fetched.
                if let Some(what) = early
                    && !self.state.as_ref().is_some_and(|s| s.watches(&what))
                {
                    self.tools.boards.watch.unwatch(&what, self.device);
                }
            }
            Err(_) => {
                self.tools.metrics.restarted(ActorKind::Phone);
                tracing::error!(
                    device = self.device.0,
                    "a step of the phone's actor panicked; its state is the one before"
                );
                ctx.stop();
            }
        }
    }
}
