//! A shard: owner of the phone rows and calls of its partitions, on one worker's thread.
//!
//! A REGISTER is one step of `domain::phone` on the row that the board shows; a row whose commit is open
//! takes no other message until the outcome is back (design §5). Hot path: no blocking call here.

mod active;
mod apply;
mod calls;
mod message;
mod phones;
mod recover;
mod run;
mod transfer;

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use actix::{Addr, Handler};
use keyline_domain::call::TimerKind;
use keyline_domain::ids::DeviceIndex;
use keyline_domain::subscription::{Package, Watched};
use keyline_storage::Writer;

use crate::board::Boards;
use crate::call::{CallActor, CallTools, FromCall, Timers};
use crate::clock::now;
use crate::journal::{Journal, NOT_AWAITED};
use crate::metrics::Metrics;
use crate::outlet::{Emission, Outlet, worker_of};
use crate::phone::{FromPhone, PhoneState, PhoneTimer, PhoneTools, ToPhone};
use crate::route::{CallKey, PartitionTable, ShardId, TagKey};
use crate::signal::Registry;
use crate::supervision::{CHILDREN_MAX, Fatal, Intensity, SHARD_MAX};
use crate::wheel::Wheel;

use run::{Job, Owed};

pub use message::{Batch, Intent, Invite};
pub(crate) use message::{
    DeviceChanged, FromPeer, LineChanged, Nudge, PhoneOrder, Ping, Redirected, ReleaseCalls, ResumeCalls,
    Written,
};
pub(crate) use recover::RecoveredCall;

/// Mailbox bound of a shard, in batches; the real bound is the ingress credit, in intents.
const MAILBOX: usize = 1 << 16;

/// All shards of the node, for what one shard must tell another.
pub(crate) type Router = OnceLock<Vec<Addr<Shard>>>;

/// Keys are numbers of our own making, hashed under a seed of the process.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

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
    pub(crate) fatal: Fatal,
    /// A phone without a message for so long is passivated, in milliseconds.
    pub(crate) phone_idle_ms: u64,
    /// Roll-outs that run.
    pub(crate) signals: Arc<Registry>,
}

/// What fires on the wheel.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// A device has bindings that may have run out.
    Expiry(DeviceIndex),
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
    /// Only phones on TLS are rung (RFC 5630 §3.1).
    sips: bool,
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
    tools: Option<Rc<CallTools>>,
    /// Timers that calls armed since the last tick.
    call_timers: Timers,
    wheel: Wheel<Due>,
    /// Expiries: one for each registered device, so an entry is as small as can be.
    expiries: Wheel<DeviceIndex>,
    open: Map<DeviceIndex, phones::Open>,
    calls: Map<CallKey, CallHandle>,
    /// Calls by the INVITE that began them.
    invites: Map<u64, CallKey>,
    /// Phones that run as actors, and those about to leave.
    active: Map<DeviceIndex, active::Active>,
    /// What is kept of phones that do not.
    dormant: Map<DeviceIndex, Box<PhoneState>>,
    phone_tools: Option<Arc<PhoneTools>>,
    /// Counts activations: a late word of an earlier one is known by it.
    activations: u32,
    next_slot: u32,
    recovered: Vec<recover::RecoveredCall>,
    out: Vec<(u16, Vec<Emission>)>,
    fired: Vec<Due>,
    /// What is to be done, in order; survives a restart.
    inbox: VecDeque<Job>,
    owed: Owed,
    /// Credits held by REGISTERs that have no answer yet.
    held: usize,
    /// Failures of phones and calls.
    children: Intensity,
    /// Restarts of this shard.
    restarts: Intensity,
    fatal: Fatal,
    phone_idle_ms: u64,
    signals: Arc<Registry>,
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
            call_timers: Timers::default(),
            wheel: Wheel::new(now().0),
            expiries: Wheel::new(now().0),
            open: Map::default(),
            calls: Map::default(),
            invites: Map::default(),
            active: Map::default(),
            dormant: Map::default(),
            phone_tools: None,
            activations: 0,
            next_slot: 0,
            recovered: setup.recovered,
            out: Vec::new(),
            fired: Vec::new(),
            inbox: VecDeque::new(),
            owed: Owed::default(),
            held: 0,
            children: Intensity::new(CHILDREN_MAX),
            restarts: Intensity::new(SHARD_MAX),
            fatal: setup.fatal,
            phone_idle_ms: setup.phone_idle_ms,
            signals: setup.signals,
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
        self.owed.settle(tx);
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
}

impl Handler<Batch> for Shard {
    type Result = ();

    fn handle(&mut self, batch: Batch, ctx: &mut Self::Context) {
        // A REGISTER keeps its credit until it is answered: what waits for the disk counts as queued.
        let registers = batch.0.iter().filter(|i| matches!(i, Intent::Register { .. })).count();
        self.held += registers;
        self.depth.fetch_sub(batch.0.len() - registers, Ordering::AcqRel);
        self.inbox.extend(batch.0.into_iter().map(Job::Intent));
        self.run(ctx);
    }
}

impl Handler<Written> for Shard {
    type Result = ();

    fn handle(&mut self, written: Written, ctx: &mut Self::Context) {
        let awaited = written.0.into_iter().filter(|(token, _)| *token != NOT_AWAITED);
        self.inbox.extend(awaited.map(|(token, outcome)| Job::Written(token, outcome)));
        self.run(ctx);
    }
}

impl Handler<FromCall> for Shard {
    type Result = ();

    fn handle(&mut self, message: FromCall, ctx: &mut Self::Context) {
        self.guarded(ctx, |shard, ctx| match message {
            FromCall::Find { call, find } => shard.find(call, &find),
            FromCall::Tell { from, to, message } => shard.tell_peer(from, to, message),
            FromCall::Watch { call, device } => shard.watch_also(call, &device),
            FromCall::Locate { call, leg, lines, from } => shard.locate(call, leg, &lines, &from),
            FromCall::Finished(call) => shard.call_finished(call),
            FromCall::Lines(lines) => {
                for line in lines {
                    shard.line_changed(&Watched { package: Package::Dialog, line });
                }
            }
            FromCall::Dropped { call, remains } => shard.call_dropped(call, *remains, ctx),
            FromCall::GivenUp => shard.child_failed(),
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

impl Handler<ResumeCalls> for Shard {
    type Result = ();

    fn handle(&mut self, _: ResumeCalls, ctx: &mut Self::Context) {
        self.guarded(ctx, Self::resume_calls);
    }
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
