//! One worker: the sockets and tables of one thread, and who is called when.
//!
//! Everything here runs on the worker's own thread, so nothing is locked. Hot path.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyline_actors::faults;
use keyline_actors::outlet::Emission;
use keyline_actors::route::{CallKey, ShardId};
use keyline_actors::shard::Intent;
use keyline_domain::call::ClientTx;
use keyline_domain::flow::{Flow, StreamId};
use keyline_domain::ids::{DeviceIndex, DeviceName};
use keyline_wire::sip::Method;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::entropy::Entropy;
use super::orders::Orders;
use super::overload::Gate;
use super::owner::{ClientOwner, ServerOwner, ServerRef};
use super::path::Path;
use super::relay::Relays;
use super::shared::{Shared, ToWorker};
use super::transaction::{
    Action, ClientAction, ClientEvent, ClientTable, ClientTxId, ServerAction, ServerEvent, ServerTable,
    ServerTxId, TableConfig, Timers,
};
use crate::edge::udp::Outgoing;
use crate::flow::{Closed, ConnectionLimits, Connections};
use crate::limits::{Limit, source};
use crate::trace::{Direction, Learned, Way};

/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(20);

/// Turns of a worker that panic in a row, none between that went well, after which the node ends: what it
/// keeps is broken. A peer's bad message alone does not do that, the timers' turns lie between.
const PANICS_MAX: u32 = 64;

/// A worker's share of the node's limits.
#[derive(Debug, Clone, Copy)]
pub struct WorkerLimits {
    /// Transactions of each direction.
    pub transactions: usize,
    /// Server transactions that requests of one source may hold.
    pub transactions_per_source: usize,
    /// Connections.
    pub connections: ConnectionLimits,
}

/// One worker.
pub struct Worker {
    /// Its number.
    pub id: u16,
    /// What all share.
    pub shared: Arc<Shared>,
    pub(super) write_deadline: Duration,
    state: RefCell<State>,
    /// Panics since the last turn that went well.
    panics: Cell<u32>,
}

pub(super) struct State {
    pub(super) id: u16,
    pub(super) servers: ServerTable<Path, ServerRef>,
    pub(super) clients: ClientTable<Path, ClientOwner>,
    pub(super) server_actions: Vec<ServerAction<Path, ServerRef>>,
    pub(super) client_actions: Vec<ClientAction<Path, ClientOwner>>,
    pub(super) connections: Connections,
    pub(super) limits: WorkerLimits,
    /// Server transactions that wait for an answer of ours, or for the ACK of one, by source. An answered one is kept
    /// for its repetitions only, and gives way to a new one where the table is full.
    pub(super) held: HashMap<IpAddr, usize, foldhash::quality::RandomState>,
    sockets: Vec<(SocketAddr, Outgoing<Whose>)>,
    /// Datagrams wait for the end of the turn.
    sending: bool,
    /// Whose datagrams the system refused.
    unsent: Vec<Whose>,
    /// What is shed while more comes over UDP than can be served.
    pub(super) gate: Gate,
    /// Datagrams that the kernel dropped so far, by socket.
    pub(super) lost: Vec<(SocketAddr, u32)>,
    /// Intents collected in this turn, by shard; each holds its credit.
    intents: Vec<Vec<Intent>>,
    /// Client transactions of calls.
    pub(super) tokens: HashMap<(CallKey, ClientTx), ClientTxId, foldhash::quality::RandomState>,
    pub(super) relays: Relays,
    pub(super) orders: Orders,
    /// Phones that auto-registration decides on, and the time until which it may take.
    pub(super) adopting: HashMap<DeviceName, u64>,
    pub(super) entropy: Entropy,
    /// Owner of REGISTERs that have their answer.
    pub(super) answered: ServerRef,
    /// The second of the last Date header and its text.
    pub(super) date: (u64, Arc<str>),
    /// Where traced phones are.
    learned: Learned,
    began: Instant,
    /// Microseconds from then to the beginning of the present turn: looked up once, asked for often.
    clock_us: u64,
}

impl Worker {
    /// A worker without listeners.
    pub fn new(id: u16, shared: Arc<Shared>, limits: WorkerLimits) -> Self {
        let table =
            TableConfig { worker: id, max_transactions: limits.transactions, timers: Timers::default() };
        let shards = usize::from(shared.handle.table.count());
        let state = State {
            id,
            servers: ServerTable::new(table),
            clients: ClientTable::new(table),
            server_actions: Vec::new(),
            client_actions: Vec::new(),
            connections: Connections::new(id, limits.connections),
            limits,
            held: HashMap::default(),
            sockets: Vec::new(),
            sending: false,
            unsent: Vec::new(),
            gate: Gate::default(),
            lost: Vec::new(),
            intents: (0..shards).map(|_| Vec::new()).collect(),
            tokens: HashMap::default(),
            relays: Relays::default(),
            orders: Orders::default(),
            adopting: HashMap::new(),
            entropy: Entropy::default(),
            answered: Rc::new(ServerOwner::answered(Method::Register)),
            date: (u64::MAX, Arc::from("")),
            learned: Learned::default(),
            began: Instant::now(),
            clock_us: 0,
        };
        Self {
            id,
            shared,
            write_deadline: limits.connections.write_deadline,
            state: RefCell::new(state),
            panics: Cell::new(0),
        }
    }

    /// Adds a UDP socket bound to `local`; the caller reads it.
    pub fn add_socket(&self, local: SocketAddr, socket: Rc<UdpSocket>) {
        self.state.borrow_mut().sockets.push((local, Outgoing::new(socket)));
    }

    /// Serves inbox and timers until the inbox closes.
    pub async fn run(self: Rc<Self>, mut inbox: mpsc::Receiver<ToWorker>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut swept = Instant::now();
        let mut batch = Vec::with_capacity(64);
        loop {
            tokio::select! {
                n = inbox.recv_many(&mut batch, 64) => {
                    if n == 0 {
                        return;
                    }
                    for message in batch.drain(..) {
                        self.guarded(|state, shared| state.inbox(shared, message));
                    }
                    self.end_turn();
                }
                _ = tick.tick() => {
                    self.guarded(State::tick);
                    if swept.elapsed() >= Duration::from_secs(1) {
                        swept = Instant::now();
                        self.guarded(State::sweep);
                    }
                    self.end_turn();
                }
            }
        }
    }

    /// A panic here would end a socket's task and with it the listener: it costs one message instead.
    pub(super) fn guarded<T>(&self, f: impl FnOnce(&mut State, &Shared) -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(|| {
            faults::hit_on("worker.turn", || self.id.to_string());
            let mut state = self.state.borrow_mut();
            state.clock_us = u64::try_from(state.began.elapsed().as_micros()).unwrap_or(u64::MAX);
            f(&mut state, &self.shared)
        }));
        match result {
            Ok(value) => {
                self.panics.set(0);
                Some(value)
            }
            Err(_) => {
                self.panics.set(self.panics.get() + 1);
                if self.panics.get() == PANICS_MAX {
                    self.shared.handle.give_up(format!("worker {} does nothing but panic", self.id));
                }
                self.shared.metrics.worker_panics.inc();
                tracing::error!(worker = self.id, "a message panicked the worker; the message is lost");
                None
            }
        }
    }

    pub(super) fn end_turn(&self) {
        self.guarded(State::end_turn);
    }
}

impl State {
    /// Milliseconds of the worker's own clock, which never runs backwards, at the beginning of this turn.
    pub(super) fn now(&self) -> u64 {
        self.clock_us / 1000
    }

    /// The same clock in microseconds.
    pub(super) fn now_us(&self) -> u64 {
        self.clock_us
    }

    fn inbox(&mut self, shared: &Shared, message: ToWorker) {
        match message {
            ToWorker::Emissions(list) => {
                for e in list {
                    self.emission(shared, e);
                }
            }
            ToWorker::Datagram { local, remote, bytes } => {
                self.message(shared, Path::Udp { local, remote }, &bytes);
            }
            ToWorker::Adopted(adopted) => self.adopted(shared, *adopted),
            ToWorker::Relay(leg) => self.relay_send(shared, *leg),
            ToWorker::Order(order) => self.order(shared, *order),
            ToWorker::Relayed(result) => self.relay_result(shared, *result),
            ToWorker::Limits(limits) => {
                self.limits = limits;
                self.connections.set_limits(limits.connections);
            }
            ToWorker::CloseAll => self.connections.close_all(),
        }
    }

    fn emission(&mut self, shared: &Shared, emission: Emission) {
        match emission {
            Emission::Register { tx, reply } => self.register_reply(shared, ServerTxId::from_u64(tx), &reply),
            Emission::NoCall { tx, why } => self.no_call(shared, ServerTxId::from_u64(tx), why),
            Emission::NoSuchCall { tx } => self.final_answer(shared, ServerTxId::from_u64(tx), 481, None),
            Emission::Failed { tx } => self.final_answer(shared, ServerTxId::from_u64(tx), 500, None),
            Emission::Subscribed { tx, outcome } => {
                self.subscribed(shared, ServerTxId::from_u64(tx), outcome);
            }
            Emission::Notify { device, notify } => self.notify(shared, device, &notify),
            Emission::Order { device, profile, order } => self.signal(shared, device, profile, order),
            Emission::Call { call, effects } => self.effects(shared, call, effects),
        }
    }

    fn tick(&mut self, shared: &Shared) {
        let now = self.now();
        self.servers.on_tick(now, &mut self.server_actions);
        self.clients.on_tick(now, &mut self.client_actions);
        self.run_actions(shared);
    }

    fn sweep(&mut self, shared: &Shared) {
        let now = self.now();
        self.connections.sweep(now, |why| {
            if why == Closed::Stuck {
                shared.metrics.limit(Limit::WriteQueue);
            }
            shared.metrics.connection_closed(why);
        });
        shared.metrics.worker_gauges(self.id, self.servers.len(), self.clients.len(), self.connections.len());
    }

    /// Carries out what the transaction tables ask for, until they ask for nothing more.
    pub(super) fn run_actions(&mut self, shared: &Shared) {
        loop {
            let server = std::mem::take(&mut self.server_actions);
            let client = std::mem::take(&mut self.client_actions);
            if server.is_empty() && client.is_empty() {
                return;
            }
            for action in server {
                match action {
                    Action::Send { tx, route, bytes } => {
                        if !self.transmit_of(shared, &route, bytes, Whose::Server(tx)) {
                            self.servers.transport_failed(tx, &mut self.server_actions);
                        }
                    }
                    Action::Event { tx, owner, event } => match event {
                        ServerEvent::NoAck { accepted: true } => self.ack_missing(shared, tx, &owner),
                        ServerEvent::NoAck { .. }
                        | ServerEvent::TransportFailed
                        | ServerEvent::Unanswered => {}
                    },
                    Action::Terminated { owner, .. } => self.give_back(&owner),
                }
            }
            for action in client {
                match action {
                    Action::Send { tx, route, bytes } => {
                        if !self.transmit_of(shared, &route, bytes, Whose::Client(tx)) {
                            self.clients.transport_failed(tx, &mut self.client_actions);
                        }
                    }
                    Action::Event { owner, event, .. } => {
                        let timeout = event == ClientEvent::Timeout;
                        self.request_failed(shared, owner, timeout);
                    }
                    Action::Terminated { owner, .. } => {
                        if let ClientOwner::Call { call, token, .. } = owner {
                            self.tokens.remove(&(call, token));
                        }
                    }
                }
            }
        }
    }

    /// A server transaction has its answer or is over: its source may have another.
    pub(super) fn give_back(&mut self, owner: &ServerRef) {
        if owner.held.replace(false)
            && let Entry::Occupied(mut held) = self.held.entry(source(owner.head.source().ip()))
        {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }

    /// Requests that wait for an answer on a closed connection have failed.
    pub(super) fn fail_requests_on(&mut self, shared: &Shared, id: StreamId) {
        let lost: Vec<ClientTxId> = self
            .tokens
            .values()
            .filter(|tx| matches!(self.clients.route(**tx), Some(Path::Stream { id: own, .. }) if own == id))
            .copied()
            .collect();
        for tx in lost {
            self.clients.transport_failed(tx, &mut self.client_actions);
        }
        self.run_actions(shared);
    }

    /// Shows a message to the traces that run: one relaxed load when none does.
    pub(super) fn tap(&mut self, shared: &Shared, path: &Path, direction: Direction, bytes: &[u8]) {
        if shared.tap.is_on() && bytes.first().is_some_and(u8::is_ascii_alphabetic) {
            let way = Way { transport: path.transport(), local: path.local(), remote: path.remote() };
            shared.tap.message(self.id, &mut self.learned, &shared.boards, way, direction, bytes);
        }
    }

    /// Puts bytes on a path that no transaction waits for; `false` when it cannot take them.
    pub(super) fn transmit(&mut self, shared: &Shared, path: &Path, bytes: impl Bytes) -> bool {
        self.transmit_of(shared, path, bytes, Whose::Nobody)
    }

    /// Puts bytes on a path; `false` when it cannot take them. Datagrams leave at the end of the turn: of one that
    /// the system refuses then, its transaction hears.
    fn transmit_of(&mut self, shared: &Shared, path: &Path, bytes: impl Bytes, whose: Whose) -> bool {
        self.tap(shared, path, Direction::Out, bytes.as_ref());
        match path {
            Path::Udp { local, remote } => {
                // After a restart on another port any socket of the family must do.
                let at = |same: &dyn Fn(&SocketAddr) -> bool| self.sockets.iter().position(|(a, _)| same(a));
                let Some(at) = at(&|a| a == local).or_else(|| at(&|a| a.is_ipv4() == remote.is_ipv4()))
                else {
                    return false;
                };
                self.sending = true;
                if self.sockets[at].1.push(*remote, bytes.as_ref(), whose) {
                    self.send_waiting(shared);
                }
                true
            }
            Path::Stream { id, .. } => self.connections.send(*id, bytes.into()),
        }
    }

    /// Sends the datagrams that wait.
    fn send_waiting(&mut self, shared: &Shared) {
        self.sending = false;
        for (_, outgoing) in &mut self.sockets {
            outgoing.flush(|whose, peer, error| {
                shared.metrics.udp_send_errors.inc();
                tracing::debug!(%error, %peer, "send on a UDP socket failed");
                self.unsent.push(whose);
            });
        }
    }

    /// Tells transactions that their datagrams could not be sent.
    fn tell_unsent(&mut self, shared: &Shared) {
        for whose in std::mem::take(&mut self.unsent) {
            match whose {
                Whose::Server(tx) => self.servers.transport_failed(tx, &mut self.server_actions),
                Whose::Client(tx) => self.clients.transport_failed(tx, &mut self.client_actions),
                Whose::Nobody => {}
            }
        }
        self.run_actions(shared);
    }

    /// The path of a flow, when this worker can use it.
    pub(super) fn path_of(&self, flow: &Flow) -> Option<Path> {
        match *flow {
            Flow::Udp { local, remote } => Some(Path::Udp { local, remote }),
            Flow::Stream { id, transport, remote } => {
                let c = self.connections.get(id)?;
                Some(Path::Stream { id, transport, local: c.local, remote })
            }
            Flow::Lost { .. } => None,
        }
    }

    /// Collects an intent whose credit was taken.
    pub(super) fn intend(&mut self, shard: ShardId, intent: Intent) {
        if let Some(list) = self.intents.get_mut(usize::from(shard.0)) {
            list.push(intent);
        }
    }

    /// Sends what was collected in this turn.
    pub(super) fn end_turn(&mut self, shared: &Shared) {
        // What follows from a refused datagram may be another one, which is refused at once or never.
        while self.sending {
            self.send_waiting(shared);
            if !self.unsent.is_empty() {
                self.tell_unsent(shared);
            }
        }
        for i in 0..self.intents.len() {
            if self.intents[i].is_empty() {
                continue;
            }
            let intents = std::mem::take(&mut self.intents[i]);
            if let Err(back) = shared.handle.send(ShardId(i as u16), intents) {
                tracing::error!(shard = i, lost = back.len(), "a shard takes no messages");
                for intent in back {
                    self.shard_refused(shared, intent);
                }
            }
        }
    }

    fn shard_refused(&mut self, shared: &Shared, intent: Intent) {
        let tx = match &intent {
            Intent::Register { tx, .. } => Some(*tx),
            Intent::Invite(i) => Some(i.tx.0),
            Intent::Call { tx, .. } | Intent::Phone { tx, .. } => *tx,
            Intent::CallOfInvite { .. } | Intent::FlowLost { .. } => None,
        };
        if let Some(tx) = tx {
            self.final_answer(shared, ServerTxId::from_u64(tx), 503, None);
        }
    }
}

/// Bytes to be sent: shared only where they wait, which a datagram never does.
pub(super) trait Bytes: AsRef<[u8]> + Into<Arc<[u8]>> {}

impl<T: AsRef<[u8]> + Into<Arc<[u8]>>> Bytes for T {}

/// Who hears that a datagram could not be sent.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Nobody,
    Server(ServerTxId),
    Client(ClientTxId),
}

/// Shard that owns a device's row.
pub(super) fn shard_of(shared: &Shared, device: DeviceIndex) -> Option<ShardId> {
    Some(shared.handle.shard(shared.boards.devices.device(device)?.name.partition()))
}
