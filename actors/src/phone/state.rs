//! What an active phone keeps between messages, and its pure step.

use std::sync::Arc;

use keyline_domain::flow::{Flow, StreamId};
use keyline_domain::ids::{DeviceIndex, UnixMillis};
use keyline_domain::phone::{Event, Gone, Row};
use keyline_domain::subscription::{Answered, Subscribe, SubscriptionId, Subscriptions, Watched};
use smallvec::SmallVec;

use super::subscriptions;
use crate::board::Boards;
use crate::outlet::Emission;
use crate::route::CallKey;

/// Calls that one phone may be on as its actor counts them; more are not told of its changes. A phone with
/// every line of three expansion modules busy stays below.
const CALLS_MAX: usize = 256;

/// Something that outlives its message.
#[derive(Debug, Clone)]
pub enum PhoneWork {
    /// The phone is on this call from now on: the call hears of the phone's flows and registrations.
    OnCall {
        /// The call.
        call: CallKey,
        /// The row that the call knows. If it is no longer the one on the board the call is told at once:
        /// a connection may be lost while this is on its way.
        seen: Option<Arc<Row>>,
    },
    /// The call is over.
    OffCall(CallKey),
    /// A SUBSCRIBE.
    Subscribe(Box<Subscribe>),
    /// Something changed at a line that the phone watches.
    Changed(Watched),
    /// What became of a NOTIFY.
    Notified {
        /// Subscription.
        id: SubscriptionId,
        /// Which NOTIFY.
        number: u32,
        /// What became of it.
        answered: Answered,
    },
    /// Is noted, so that order and completeness can be seen.
    #[cfg(test)]
    Probe(u64),
}

/// Timers of a phone, on its shard's wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PhoneTimer {
    /// A subscription's time may have run out.
    Subscription(u32),
}

/// What a step is told.
#[derive(Debug)]
#[allow(dead_code, reason = "requests carry their transaction themselves; timers look at the clock")]
pub(crate) enum PhoneInput {
    /// A committed change of the row.
    Row { row: Arc<Row>, events: SmallVec<[Event; 1]> },
    /// A connection is gone.
    FlowLost(StreamId),
    /// A request, or an order from the shard.
    Work { work: PhoneWork, tx: Option<u64> },
    /// A timer.
    Timer(PhoneTimer, u32),
}

/// What a step asks for.
#[derive(Debug)]
pub(crate) enum PhoneEffect {
    /// Hand this to a worker.
    Emit { worker: u16, emission: Box<Emission> },
    /// Arm a timer.
    Arm { timer: PhoneTimer, generation: u32, after_ms: u64 },
    /// Changes of this concern the phone from now on.
    Watch(Watched),
    /// They do no more.
    Unwatch(Watched),
    /// The node has more or fewer subscriptions.
    Counted(i64),
    /// A call must look at the phone again.
    Nudge { call: CallKey, lost: Option<StreamId>, expired: bool },
}

/// In order.
pub(crate) type PhoneEffects = SmallVec<[PhoneEffect; 4]>;

/// What a step may look at besides its state.
pub(crate) struct PhoneEnv<'a> {
    pub(crate) now: UnixMillis,
    pub(crate) device: DeviceIndex,
    pub(crate) boards: &'a Boards,
    pub(crate) subscriptions_max: usize,
}

/// The long-lived state. Small: every step works on a copy.
#[derive(Debug, Clone, Default)]
pub(crate) struct PhoneState {
    calls: SmallVec<[CallKey; 2]>,
    subscriptions: Subscriptions,
    #[cfg(test)]
    probes: u64,
}

impl PhoneState {
    /// What can be told from the boards about a phone whose state was given up.
    pub(crate) fn rebuilt(device: DeviceIndex, boards: &Boards) -> Self {
        Self { calls: boards.calls.watchers(device), ..Self::default() }
    }

    /// It has a subscription to this.
    pub(crate) fn watches(&self, what: &Watched) -> bool {
        self.subscriptions.watched().any(|w| w == what)
    }

    /// Nothing is kept: the shard forgets it.
    pub(crate) fn is_empty(&self) -> bool {
        #[cfg(test)]
        if self.probes > 0 {
            return false;
        }
        self.calls.is_empty() && self.subscriptions.is_empty()
    }

    /// One step. Pure but for the boards that it reads.
    pub(crate) fn on(&mut self, input: PhoneInput, env: &PhoneEnv<'_>) -> PhoneEffects {
        let mut effects = PhoneEffects::new();
        match input {
            PhoneInput::Work { work: PhoneWork::OnCall { call, seen }, .. } => {
                if !self.calls.contains(&call) && self.calls.len() < CALLS_MAX {
                    self.calls.push(call);
                }
                if let Some(seen) = seen {
                    catch_up(call, &seen, env, &mut effects);
                }
            }
            PhoneInput::Work { work: PhoneWork::OffCall(call), .. } => self.calls.retain(|c| *c != call),
            PhoneInput::Work { work: PhoneWork::Subscribe(request), .. } => {
                subscriptions::subscribe(&mut self.subscriptions, *request, env, &mut effects);
            }
            PhoneInput::Work { work: PhoneWork::Changed(what), .. } => {
                subscriptions::changed(&mut self.subscriptions, &what, env, &mut effects);
            }
            PhoneInput::Work { work: PhoneWork::Notified { id, number, answered }, .. } => {
                subscriptions::step(&mut self.subscriptions, env, &mut effects, |own, env| {
                    own.notified(id, number, answered, env)
                });
            }
            #[cfg(test)]
            PhoneInput::Work { work: PhoneWork::Probe(n), .. } => {
                assert!(n != u64::MAX, "asked to panic");
                self.probes += 1;
                let tx = (self.probes << 32) | n;
                effects.push(PhoneEffect::Emit { worker: 0, emission: Box::new(Emission::Failed { tx }) });
            }
            PhoneInput::Row { row, events } => {
                if let Some(flow) = subscriptions::other_flow(Some(&row), None) {
                    subscriptions::step(&mut self.subscriptions, env, &mut effects, |own, env| {
                        own.flow_back(flow, env)
                    });
                }
                if events.iter().any(|e| !matches!(e, Event::Refreshed(_))) {
                    let expired = !row.is_registered(env.now)
                        && events.iter().any(|e| matches!(e, Event::Unregistered(_, Gone::Expired)));
                    self.nudge(None, expired, &mut effects);
                }
            }
            PhoneInput::FlowLost(stream) => {
                let row = env.boards.devices.slot(env.device).and_then(|slot| slot.row());
                let other = subscriptions::other_flow(row.as_deref(), Some(stream));
                self.subscriptions.flow_lost(stream);
                if let Some(flow) = other {
                    subscriptions::step(&mut self.subscriptions, env, &mut effects, |own, env| {
                        own.flow_back(flow, env)
                    });
                }
                self.nudge(Some(stream), false, &mut effects);
            }
            PhoneInput::Timer(PhoneTimer::Subscription(id), _) => {
                subscriptions::step(&mut self.subscriptions, env, &mut effects, |own, env| {
                    own.timer(SubscriptionId(id), env)
                });
            }
        }
        effects
    }

    /// The state is dropped because its steps keep failing: what others are owed.
    pub(crate) fn give_up(&mut self, env: &PhoneEnv<'_>) -> PhoneEffects {
        let mut effects = PhoneEffects::new();
        subscriptions::step(&mut self.subscriptions, env, &mut effects, |own, env| own.give_up(env));
        effects
    }

    fn nudge(&self, lost: Option<StreamId>, expired: bool, effects: &mut PhoneEffects) {
        effects.extend(self.calls.iter().map(|call| PhoneEffect::Nudge { call: *call, lost, expired }));
    }
}

/// Tells a call what happened to a phone between its look at the row and this step.
fn catch_up(call: CallKey, seen: &Row, env: &PhoneEnv<'_>, effects: &mut PhoneEffects) {
    let Some(row) = env.boards.devices.slot(env.device).and_then(|slot| slot.row()) else { return };
    if std::ptr::eq(seen, &raw const *row) {
        return;
    }
    let stream = |flow: &Flow| match flow {
        Flow::Stream { id, .. } => Some(*id),
        _ => None,
    };
    for lost in seen.bindings.iter().filter_map(|b| stream(&b.origin.flow)) {
        if !row.uses_stream(lost) {
            effects.push(PhoneEffect::Nudge { call, lost: Some(lost), expired: false });
        }
    }
    effects.push(PhoneEffect::Nudge { call, lost: None, expired: !row.is_registered(env.now) });
}
