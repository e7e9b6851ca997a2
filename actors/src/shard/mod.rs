//! A shard: owner of the phone rows and calls of its partitions, on one worker's thread.
//!
//! A REGISTER is one step of `domain::phone` on the row that the board shows; a row whose commit is open
//! takes no other message until the outcome is back (design §5). Hot path: no blocking call here.

mod active;
mod calls;
mod message;
mod phones;
mod recover;
mod transfer;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Supervised};
use keyline_domain::call::TimerKind;
use keyline_domain::ids::DeviceIndex;
use keyline_domain::subscription::{Package, Watched};
use keyline_storage::Writer;

use crate::board::Boards;
use crate::call::{CallActor, CallTools, FromCall};
use crate::clock::now;
use crate::journal::{Journal, NOT_AWAITED};
use crate::metrics::{ActorKind, Metrics};
use crate::outlet::{Emission, Outlet, worker_of};
use crate::phone::{FromPhone, PhoneState, PhoneTimer, PhoneTools, ToPhone};
use crate::route::{CallKey, PartitionTable, ShardId, TagKey};
use crate::wheel::{TICK_MS, Wheel};

pub use message::{Batch, Intent, Invite};
pub(crate) use message::{
    DeviceChanged, FromPeer, LineChanged, Nudge, PhoneOrder, Ping, Redirected, ReleaseCalls, Written,
};
pub(crate) use recover::RecoveredCall;

/// Mailbox bound of a shard, in batches; the real bound is the ingress credit, in intents.
const MAILBOX: usize = 1 << 16;

/// All shards of the node, for what one shard must tell another.
pub(crate) type Router = OnceLock<Vec<Addr<Shard>>>;

/// Everything a shard is made of.
pub(crate) struct ShardSetup {
    pub(crate) id: ShardId,
    pub(crate) table: Arc<PartitionTable>,
    pub(crate) boards: Arc<Boards>,
    pub(crate) writer: Writer,
    pub(crate) outlet: Arc<dyn Outlet>,
    pub(crate) metrics: Metrics,
    pub(crate) tags: TagKey,
    /// Start number of the node.
    pub(crate) start: u32,
    pub(crate) router: Arc<Router>,
    pub(crate) depth: Arc<AtomicUsize>,
    pub(crate) calls_max: usize,
    pub(crate) allow_unproven_move: bool,
    pub(crate) subscriptions_per_phone: usize,
    pub(crate) recovered: Vec<recover::RecoveredCall>,
}

/// What fires on the wheel.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// The second for which the device's expiry was armed.
    Expiry(DeviceIndex, u32),
    /// A timer of a call.
    Call(CallKey, TimerKind, u32),
    /// A device of a call ran out of bindings a while ago: is it back?
    Gone(CallKey, DeviceIndex),
    /// A timer of a phone.
    Phone(DeviceIndex, PhoneTimer, u32),
    /// Is this activation of a phone idle?
    Idle(DeviceIndex, u32),
    /// Did the state of this activation come back?
    StateLost(DeviceIndex, u32),
}

/// A call that lives here.
struct CallHandle {
    addr: Addr<CallActor>,
    /// Devices that it watches.
    devices: smallvec::SmallVec<[DeviceIndex; 2]>,
    /// Server transaction of the INVITE that began it.
    invite: Option<u64>,
}

/// The actor.
pub struct Shard {
    id: ShardId,
    table: Arc<PartitionTable>,
    boards: Arc<Boards>,
    writer: Writer,
    journal: Option<Journal>,
    outlet: Arc<dyn Outlet>,
    metrics: Metrics,
    tags: TagKey,
    start: u32,
    router: Arc<Router>,
    depth: Arc<AtomicUsize>,
    calls_max: usize,
    allow_unproven_move: bool,
    subscriptions_per_phone: usize,
    tools: Option<Arc<CallTools>>,
    wheel: Wheel<Due>,
    open: HashMap<DeviceIndex, phones::Open>,
    calls: HashMap<CallKey, CallHandle>,
    /// Calls by the INVITE that began them.
    invites: HashMap<u64, CallKey>,
    /// Phones that run as actors, and those about to leave.
    active: HashMap<DeviceIndex, active::Active>,
    /// What is kept of phones that do not.
    dormant: HashMap<DeviceIndex, Box<PhoneState>>,
    phone_tools: Option<Arc<PhoneTools>>,
    /// Counts activations: a late word of an earlier one is known by it.
    activations: u32,
    next_slot: u32,
    recovered: Vec<recover::RecoveredCall>,
    out: Vec<(u16, Vec<Emission>)>,
    fired: Vec<Due>,
    /// Devices whose assignment must be looked at once their commit is through.
    again: Vec<DeviceIndex>,
}

impl Shard {
    pub(crate) fn new(setup: ShardSetup) -> Self {
        Self {
            id: setup.id,
            table: setup.table,
            boards: setup.boards,
            writer: setup.writer,
            journal: None,
            outlet: setup.outlet,
            metrics: setup.metrics,
            tags: setup.tags,
            start: setup.start,
            router: setup.router,
            depth: setup.depth,
            calls_max: setup.calls_max,
            allow_unproven_move: setup.allow_unproven_move,
            subscriptions_per_phone: setup.subscriptions_per_phone,
            tools: None,
            wheel: Wheel::new(now().0),
            open: HashMap::new(),
            calls: HashMap::new(),
            invites: HashMap::new(),
            active: HashMap::new(),
            dormant: HashMap::new(),
            phone_tools: None,
            activations: 0,
            next_slot: 0,
            recovered: setup.recovered,
            out: Vec::new(),
            fired: Vec::new(),
            again: Vec::new(),
        }
    }

    fn emit(&mut self, worker: u16, emission: Emission) {
        match self.out.iter_mut().find(|(w, _)| *w == worker) {
            Some((_, list)) => list.push(emission),
            None => self.out.push((worker, vec![emission])),
        }
    }

    fn answer(&mut self, tx: u64, emission: Emission) {
        self.emit(worker_of(tx), emission);
    }

    fn flush(&mut self) {
        for (worker, list) in self.out.drain(..) {
            self.outlet.emit(worker, list);
        }
    }

    /// Tells another shard, or this one, something.
    fn tell<M>(&self, shard: ShardId, message: M)
    where
        M: actix::Message + Send + 'static,
        M::Result: Send,
        Self: Handler<M>,
    {
        if let Some(addr) = self.router.get().and_then(|all| all.get(usize::from(shard.0))) {
            addr.do_send(message);
        }
    }

    /// Runs `step`; a panic in it is one of the shard itself: it restarts and reloads.
    fn guarded(&mut self, ctx: &mut Context<Self>, step: impl FnOnce(&mut Self, &mut Context<Self>)) {
        if catch_unwind(AssertUnwindSafe(|| step(self, ctx))).is_err() {
            self.metrics.restarted(ActorKind::Shard);
            tracing::error!(shard = self.id.0, "the shard panicked; it restarts from the board");
            ctx.stop();
        }
        self.flush();
    }

    fn tick(&mut self) {
        let at = now();
        let mut fired = std::mem::take(&mut self.fired);
        self.wheel.advance(at.0, &mut fired);
        for due in fired.drain(..) {
            match due {
                Due::Expiry(device, second) => self.expiry_due(device, second, at),
                Due::Call(call, timer, generation) => self.call_timer(call, timer, generation),
                Due::Gone(call, device) => self.release_if_gone(call, device),
                Due::Phone(device, timer, generation) => {
                    self.tell_known_phone(device, || ToPhone::Timer(timer, generation));
                }
                Due::Idle(device, activation) => self.idle_due(device, activation),
                Due::StateLost(device, activation) => self.state_lost(device, activation),
            }
        }
        self.fired = fired;
        for device in std::mem::take(&mut self.again) {
            self.device_changed(device);
        }
        let depth = i64::try_from(self.depth.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        self.metrics.shard_queue.with_label_values(&[&self.id.0.to_string()]).set(depth);
    }

    /// Arms the wheel for every device of this shard that has bindings: at start and after a restart.
    fn arm_all(&mut self) {
        for i in 0..self.boards.devices.len() {
            let Ok(i) = u32::try_from(i) else { break };
            let index = DeviceIndex(i);
            if !self.owns(index) {
                continue;
            }
            if let Some(slot) = self.boards.devices.slot(index) {
                slot.set_armed(0);
                if let Some(row) = slot.row() {
                    self.arm_expiry(index, &row);
                }
            }
        }
    }

    fn owns(&self, index: DeviceIndex) -> bool {
        self.boards.devices.device(index).is_some_and(|d| self.table.shard(d.name.partition()) == self.id)
    }
}

impl Actor for Shard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let journal = Journal::new(self.writer.clone(), Arc::new(phones::Sink(ctx.address().downgrade())));
        self.tools = Some(Arc::new(CallTools {
            outlet: Arc::clone(&self.outlet),
            boards: Arc::clone(&self.boards),
            journal: journal.clone(),
            metrics: self.metrics.clone(),
            tags: self.tags.clone(),
            worker: self.id.0,
        }));
        self.journal = Some(journal);
        self.phone_tools = Some(Arc::new(PhoneTools {
            outlet: Arc::clone(&self.outlet),
            boards: Arc::clone(&self.boards),
            metrics: self.metrics.clone(),
            shard: ctx.address().recipient().downgrade(),
            subscriptions_max: self.subscriptions_per_phone,
        }));
        self.arm_all();
        self.resume_calls(ctx);
        ctx.run_interval(Duration::from_millis(TICK_MS), |shard, ctx| {
            shard.guarded(ctx, |shard, _| shard.tick());
        });
    }
}

impl Supervised for Shard {
    fn restarting(&mut self, _: &mut Self::Context) {
        // Rows live on the board and are replaced only as a whole, so they are good; what was in flight is
        // asked again by the phones. Calls are actors of their own and live on, and so do their timers in the
        // wheel; expiries are armed anew, and an entry that is armed twice is harmless.
        self.open.clear();
        self.out.clear();
        self.fired.clear();
    }
}

impl Handler<Batch> for Shard {
    type Result = ();

    fn handle(&mut self, batch: Batch, ctx: &mut Self::Context) {
        self.depth.fetch_sub(batch.0.len(), Ordering::AcqRel);
        let at = now();
        self.guarded(ctx, |shard, ctx| {
            for intent in batch.0 {
                match intent {
                    Intent::Register { device, tx, request, proof_due } => {
                        shard.register(device, tx, request, proof_due, at);
                    }
                    Intent::Invite(invite) => shard.invite(*invite, at, ctx),
                    Intent::Call { call, input, tx } => shard.call_input(call, input, tx),
                    Intent::CallOfInvite { invite, input } => {
                        if let Some(call) = shard.invites.get(&invite).copied() {
                            shard.call_input(call, input, None);
                        }
                    }
                    Intent::FlowLost { device, stream } => shard.flow_lost(device, stream),
                    Intent::Phone { device, work, tx } => {
                        shard.tell_phone(device, ToPhone::Work { work, tx })
                    }
                }
            }
        });
    }
}

impl Handler<Written> for Shard {
    type Result = ();

    fn handle(&mut self, written: Written, ctx: &mut Self::Context) {
        let at = now();
        self.guarded(ctx, |shard, ctx| {
            for (token, outcome) in written.0 {
                if token != NOT_AWAITED {
                    shard.written(token, outcome, at, ctx);
                }
            }
        });
    }
}

impl Handler<FromCall> for Shard {
    type Result = ();

    fn handle(&mut self, message: FromCall, ctx: &mut Self::Context) {
        self.guarded(ctx, |shard, _| match message {
            FromCall::Find { call, find } => shard.find(call, &find),
            FromCall::Tell { from, to, message } => shard.tell_peer(from, to, message),
            FromCall::Watch { call, device } => shard.watch_also(call, &device),
            FromCall::Arm { call, timer, generation, after_ms } => {
                shard.wheel.arm(now().0 + after_ms, Due::Call(call, timer, generation));
            }
            FromCall::Finished(call) => shard.call_finished(call),
            FromCall::Lines(lines) => {
                for line in lines {
                    shard.line_changed(&Watched { package: Package::Dialog, line });
                }
            }
        });
    }
}

impl Handler<FromPeer> for Shard {
    type Result = ();

    fn handle(&mut self, said: FromPeer, ctx: &mut Self::Context) {
        self.guarded(ctx, |shard, _| shard.heard_from_peer(said));
    }
}

impl Handler<Redirected> for Shard {
    type Result = ();

    fn handle(&mut self, it: Redirected, ctx: &mut Self::Context) {
        self.guarded(ctx, |shard, _| shard.deliver(it.call, it.input, it.tx));
    }
}

impl Handler<Nudge> for Shard {
    type Result = ();

    fn handle(&mut self, nudge: Nudge, ctx: &mut Self::Context) {
        self.guarded(ctx, |shard, _| shard.nudged(nudge));
    }
}

impl Handler<Ping> for Shard {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<ReleaseCalls> for Shard {
    type Result = ();

    fn handle(&mut self, _: ReleaseCalls, ctx: &mut Self::Context) {
        self.guarded(ctx, |shard, _| shard.release_calls());
    }
}

impl Handler<DeviceChanged> for Shard {
    type Result = ();

    fn handle(&mut self, change: DeviceChanged, ctx: &mut Self::Context) {
        self.guarded(ctx, |shard, _| shard.device_changed(change.0));
    }
}

impl Handler<FromPhone> for Shard {
    type Result = ();

    fn handle(&mut self, message: FromPhone, ctx: &mut Self::Context) {
        self.guarded(ctx, |shard, _| shard.heard_from_phone(message));
    }
}

impl Handler<PhoneOrder> for Shard {
    type Result = ();

    fn handle(&mut self, order: PhoneOrder, ctx: &mut Self::Context) {
        let message = ToPhone::Work { work: Box::new(order.work), tx: None };
        self.guarded(ctx, |shard, _| shard.tell_phone(order.device, message));
    }
}

impl Handler<LineChanged> for Shard {
    type Result = ();

    fn handle(&mut self, change: LineChanged, ctx: &mut Self::Context) {
        self.guarded(ctx, |shard, _| shard.line_changed(&change.0));
    }
}
