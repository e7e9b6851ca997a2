//! A call as an actor: feeds the pure state machine, carries out what is its own, hands the rest to the
//! engine.
//!
//! A panic in a step is caught, counted, and the call goes on from the shard's last good copy of its dialog
//! row; a call that was not answered yet has none and is ended by 500 and CANCEL (design §5).

mod show;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorContext, Context, Handler, Message, Supervised, WeakRecipient};
use keyline_domain::call::{
    Call, ClientTx, DialogRow, Effect, Effects, Env, Find, Input, LegId, PeerMessage, Redirect, StartArgs,
    TimerKind,
};
use keyline_domain::flow::Flow;
use keyline_domain::ids::{DeviceName, Dn};
use keyline_domain::mode::SecurityClass;
use keyline_storage::faults;
use show::Shown;
use smallvec::SmallVec;

use crate::board::Boards;
use crate::clock::now;
use crate::journal::Journal;
use crate::metrics::{ActorKind, Metrics};
use crate::outlet::{Emission, Outlet, worker_of};
use crate::route::{CallKey, TagKey};

/// Panics after which a call is given up: a step that always fails must not run for ever.
const RESTARTS_MAX: u8 = 3;

/// Room for the text of most rows.
const ROW_BYTES: usize = 2048;

/// Workers that run a call's client transactions: few at a time.
pub(crate) type Clients = SmallVec<[(ClientTx, u16); 4]>;

/// What every call of a shard uses.
pub(crate) struct CallTools {
    pub(crate) outlet: Arc<dyn Outlet>,
    pub(crate) boards: Arc<Boards>,
    pub(crate) journal: Journal,
    pub(crate) metrics: Metrics,
    pub(crate) tags: TagKey,
    pub(crate) worker: u16,
    /// Timers to be armed: the shard takes them over at its next tick, before it looks what is due.
    pub(crate) timers: Timers,
}

/// Timers of calls that are not on the shard's wheel yet. Calls live on the shard's own thread.
pub(crate) type Timers = Rc<RefCell<Vec<Armed>>>;

/// A timer that a call armed.
#[derive(Debug)]
pub(crate) struct Armed {
    /// Unix milliseconds.
    pub(crate) at: u64,
    pub(crate) call: CallKey,
    pub(crate) timer: TimerKind,
    pub(crate) generation: u32,
}

/// One call.
pub(crate) struct CallActor {
    key: CallKey,
    tools: Rc<CallTools>,
    shard: WeakRecipient<FromCall>,
    call: Option<Call>,
    /// The INVITE that began it, until a step took it over.
    invite: Option<u64>,
    /// The request whose step is under way.
    asked: Option<u64>,
    /// Last good copy, from the 2xx on.
    last: Option<DialogRow>,
    /// Worker that runs each open client transaction.
    clients: Clients,
    class: Option<SecurityClass>,
    /// What the lines' watchers may see of it, and the legs behind that.
    shown: Shown,
    shown_legs: SmallVec<[LegId; 2]>,
    /// Tags of other calls whose legs are here.
    moved: Vec<Arc<str>>,
    restarts: u8,
    finished: bool,
}

/// A call asks its shard for something.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum FromCall {
    /// Dialogs of watched lines changed.
    Lines(SmallVec<[Dn; 2]>),
    /// Find the bindings of a line.
    Find { call: CallKey, find: Box<Find> },
    /// Find the bindings of these lines, to which a phone forwards.
    Locate { call: CallKey, leg: LegId, lines: Vec<Redirect>, from: Arc<str> },
    /// The call is over.
    Finished(CallKey),
    /// Say something to another call.
    Tell { from: CallKey, to: CallKey, message: Box<PeerMessage> },
    /// Watch one more device.
    Watch { call: CallKey, device: DeviceName },
    /// A call panicked again and again and was ended.
    GivenUp,
    /// A call's actor was dropped by a panic that nobody caught.
    Dropped {
        /// The call.
        call: CallKey,
        /// What is left of it.
        remains: Box<Remains>,
    },
}

/// What a dropped call's actor leaves.
#[derive(Debug)]
pub(crate) struct Remains {
    /// Last good copy; none of an early call.
    pub(crate) last: Option<DialogRow>,
    /// The call as it stood, in doubt.
    pub(crate) broken: Option<Call>,
    /// Transactions that have no answer.
    pub(crate) owed: SmallVec<[u64; 2]>,
    /// Workers of its open client transactions.
    pub(crate) clients: Clients,
    /// Class under which it is counted.
    pub(crate) class: Option<SecurityClass>,
}

/// What a call is told by its shard.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum ToCall {
    /// The first message: begin.
    Begin(Box<StartArgs>),
    /// The first message after a restart of the node: go on.
    Resume(Box<DialogRow>),
    /// An event.
    Input(Box<Input>),
    /// The first message of a new actor after its predecessor was dropped by a panic.
    Replace(Box<Remains>),
}

impl CallActor {
    pub(crate) fn new(key: CallKey, tools: Rc<CallTools>, shard: WeakRecipient<FromCall>) -> Self {
        Self {
            key,
            tools,
            shard,
            call: None,
            invite: None,
            asked: None,
            last: None,
            clients: Clients::new(),
            class: None,
            shown: Shown::new(),
            shown_legs: SmallVec::new(),
            moved: Vec::new(),
            restarts: 0,
            finished: false,
        }
    }

    /// Runs one step of the state machine with this call's clock and tags.
    fn step(&mut self, message: ToCall) -> Effects {
        let (key, tools) = (self.key, Rc::clone(&self.tools));
        let tag = move |n: u16| -> Arc<str> { tools.tags.tag(key, n).into() };
        let env = Env { now: now(), tags: &tag };
        match &message {
            ToCall::Begin(args) => self.invite = Some(args.invite.0),
            ToCall::Input(input) => {
                if let Input::Request(r) = &**input {
                    self.asked = Some(r.tx.0);
                }
            }
            _ => {}
        }
        faults::hit_on("call.step", || self.called());
        match message {
            ToCall::Begin(args) => {
                let (call, effects) = Call::start(*args, env);
                self.invite = None;
                self.call = Some(call);
                effects
            }
            // Taken before the guard.
            ToCall::Replace(_) => Effects::new(),
            ToCall::Resume(row) => {
                self.last = Some((*row).clone());
                self.route_here(&row);
                let (call, effects) = Call::from_row(*row, env);
                self.call = Some(call);
                effects
            }
            ToCall::Input(input) => {
                match &*input {
                    Input::Failed { token, .. } => {
                        self.forget(*token);
                    }
                    // A 2xx to an INVITE may come again from another phone; its token goes with the call.
                    Input::Response(r) if r.status >= 300 => {
                        self.forget(r.token);
                    }
                    _ => {}
                }
                match &mut self.call {
                    Some(call) => call.on(*input, env),
                    None => Effects::new(),
                }
            }
        }
    }

    /// Keeps what is this crate's and hands the rest, in order, to the workers that carry it out.
    fn carry_out(&mut self, effects: Effects) {
        let mut out: SmallVec<[(u16, SmallVec<[Effect; 4]>); 2]> = SmallVec::new();
        let mut over = false;
        for effect in effects {
            let worker = match &effect {
                Effect::Arm { timer, generation, after_ms } => {
                    let armed = Armed {
                        at: now().0 + after_ms,
                        call: self.key,
                        timer: *timer,
                        generation: *generation,
                    };
                    self.tools.timers.borrow_mut().push(armed);
                    continue;
                }
                Effect::Journal(_)
                | Effect::JournalOver { .. }
                | Effect::Publish { .. }
                | Effect::Find(_)
                | Effect::Locate { .. }
                | Effect::Tell { .. } => {
                    match effect {
                        Effect::Journal(row) => self.journal(*row, None),
                        Effect::JournalOver { row, over } => {
                            self.route_here(&row);
                            self.journal(*row, Some(CallKey::unpack(over.0)));
                        }
                        Effect::Locate { leg, lines, from } => {
                            self.tell(FromCall::Locate { call: self.key, leg, lines, from });
                        }
                        Effect::Find(find) => self.tell(FromCall::Find { call: self.key, find }),
                        Effect::Tell { to, message } => {
                            let (from, to) = (self.key, CallKey::unpack(to.0));
                            self.tell(FromCall::Tell { from, to, message });
                        }
                        Effect::Publish { class, facts } => {
                            self.count_class(Some(class));
                            self.tools.boards.calls.classify(self.key, class, facts);
                        }
                        _ => {}
                    }
                    continue;
                }
                Effect::Finished { .. } => {
                    over = true;
                    self.tools.worker
                }
                Effect::Adopt { flow, device, .. } => {
                    self.tell(FromCall::Watch { call: self.key, device: device.clone() });
                    self.worker_of_flow(flow)
                }
                Effect::Reply(reply) => worker_of(reply.tx.0),
                Effect::StopRepeat { tx } => worker_of(tx.0),
                Effect::Send(send) => {
                    let worker = self.worker_of_flow(&send.flow);
                    self.clients.push((send.token, worker));
                    worker
                }
                Effect::Ack(ack) => self.worker_of_flow(&ack.flow),
                Effect::Cancel { token, .. } => {
                    let known = self.clients.iter().find(|(t, _)| t == token);
                    known.map_or(self.tools.worker, |(_, worker)| *worker)
                }
                Effect::Forget { token } => self.forget(*token).unwrap_or(self.tools.worker),
            };
            match out.iter_mut().find(|(w, _)| *w == worker) {
                Some((_, list)) => list.push(effect),
                None => out.push((worker, SmallVec::from_iter([effect]))),
            }
        }
        for (worker, effects) in out {
            self.tools.outlet.emit(worker, vec![Emission::Call { call: self.key, effects }]);
        }
        self.show();
        if over {
            self.finish();
        }
    }

    /// A client transaction is over; the worker that ran it.
    fn forget(&mut self, token: ClientTx) -> Option<u16> {
        let at = self.clients.iter().position(|(t, _)| *t == token)?;
        Some(self.clients.swap_remove(at).1)
    }

    /// A connection's worker, or this call's own for datagrams.
    fn worker_of_flow(&self, flow: &Flow) -> u16 {
        match flow {
            Flow::Stream { id, .. } => id.worker,
            Flow::Udp { .. } | Flow::Lost { .. } => self.tools.worker,
        }
    }

    /// Requests in the dialogs of legs that came from other calls find their way here from now on.
    fn route_here(&mut self, row: &DialogRow) {
        for leg in [&row.caller, &row.callee] {
            let tag = &leg.dialog.local_tag;
            let foreign = self.tools.tags.parse(tag).is_some_and(|(made, _)| made != self.key);
            if foreign {
                self.tools.boards.calls.moved(Arc::clone(tag), self.key);
                if !self.moved.contains(tag) {
                    self.moved.push(Arc::clone(tag));
                }
            }
        }
    }

    /// The number that was called, the subject of a fault.
    fn called(&self) -> String {
        self.tools.boards.calls.get(self.key).map(|e| e.called.to_string()).unwrap_or_default()
    }

    /// Takes the place of an actor that a panic dropped: as if its own restart had followed.
    fn replace(&mut self, remains: Remains) {
        self.last = remains.last;
        self.call = remains.broken;
        self.clients = remains.clients;
        self.class = remains.class;
        for tx in remains.owed {
            self.tools.outlet.emit(worker_of(tx), vec![Emission::Failed { tx }]);
        }
        self.recover();
    }

    /// Goes on from the last good row; ends a call that has none, or that fails again and again.
    fn recover(&mut self) {
        let mut broken = self.call.take();
        // Transactions that the broken call still owes an answer.
        if self.last.is_some()
            && let Some(call) = &mut broken
            && let Ok(effects) = catch_unwind(AssertUnwindSafe(|| call.salvage()))
        {
            self.carry_out(effects);
        }
        let rebuilt = match (&self.last, self.restarts <= RESTARTS_MAX) {
            (Some(row), true) => {
                let row = Box::new(row.clone());
                catch_unwind(AssertUnwindSafe(|| self.step(ToCall::Resume(row)))).ok()
            }
            _ => None,
        };
        if let Some(effects) = rebuilt {
            self.clients.clear();
            return self.carry_out(effects);
        }
        // Its client transactions are still known: CANCEL and BYE leave where the requests did.
        if let Some(mut call) = broken
            && let Ok(effects) = catch_unwind(AssertUnwindSafe(|| call.abort()))
        {
            self.carry_out(effects);
        }
        if let Some(tx) = self.invite.take() {
            self.tools.outlet.emit(worker_of(tx), vec![Emission::Failed { tx }]);
        }
        self.finish();
        self.tell(FromCall::GivenUp);
    }

    fn journal(&mut self, row: DialogRow, over: Option<CallKey>) {
        faults::hit_on("call.before_journal", || self.called());
        if self.last.is_none() {
            self.tools.metrics.calls_answered.inc();
        }
        let mut bytes = Vec::with_capacity(ROW_BYTES);
        let encoded = serde_json::to_writer(&mut bytes, &row).map_err(|e| e.to_string());
        let written = encoded.and_then(|()| {
            let put = match over {
                Some(over) => self.tools.journal.put_call_over(self.key, bytes, over),
                None => self.tools.journal.put_call(self.key, bytes),
            };
            put.map_err(|_| "the writer's queue is full".to_owned())
        });
        if let Err(reason) = written {
            self.tools.metrics.journal_full.inc();
            tracing::warn!(call = %self.key, reason, "the call would not survive a restart");
        }
        self.last = Some(row);
    }

    fn count_class(&mut self, class: Option<SecurityClass>) {
        let gauge = &self.tools.metrics.calls_by_class;
        if let Some(old) = self.class {
            gauge.with_label_values(&[old.as_str()]).dec();
        }
        if let Some(new) = class {
            gauge.with_label_values(&[new.as_str()]).inc();
        }
        self.class = class;
    }

    fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.count_class(None);
        self.show();
        if self.last.is_some() && self.tools.journal.delete_call(self.key).is_err() {
            // The row is met again at the next start and its phones answer 481 then.
            self.tools.metrics.journal_full.inc();
        }
        for tag in std::mem::take(&mut self.moved) {
            self.tools.boards.calls.left(&tag, self.key);
        }
        self.tools.metrics.calls_finished.inc();
        self.tools.boards.calls.end(self.key);
        self.tell(FromCall::Finished(self.key));
    }

    fn tell(&self, message: FromCall) {
        if let Some(shard) = self.shard.upgrade() {
            shard.do_send(message);
        }
    }
}

impl Actor for CallActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(256);
    }
}

impl Supervised for CallActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        // actix keeps the value: whatever the panic left half-done goes here.
        self.restarts = self.restarts.saturating_add(1);
        if let Some(tx) = self.asked.take() {
            self.tools.outlet.emit(worker_of(tx), vec![Emission::Failed { tx }]);
        }
        self.recover();
    }
}

impl Drop for CallActor {
    fn drop(&mut self) {
        // Second net: a panic outside of the guarded step dropped this actor.
        if std::thread::panicking() && !self.finished {
            let remains = Remains {
                last: self.last.take(),
                broken: self.call.take(),
                owed: self.asked.take().into_iter().chain(self.invite.take()).collect(),
                clients: std::mem::take(&mut self.clients),
                class: self.class.take(),
            };
            self.tell(FromCall::Dropped { call: self.key, remains: Box::new(remains) });
        }
    }
}

impl Handler<ToCall> for CallActor {
    type Result = ();

    fn handle(&mut self, message: ToCall, ctx: &mut Self::Context) {
        if self.finished {
            // The call ended while this waited in the mailbox: its sender is told so.
            if let ToCall::Input(input) = message
                && let Input::Request(request) = *input
            {
                let tx = request.tx.0;
                self.tools.outlet.emit(worker_of(tx), vec![Emission::NoSuchCall { tx }]);
            }
            return;
        }
        // Outside of the guard: what the second net is for.
        faults::hit_on("call.uncaught", || self.called());
        let message = match message {
            ToCall::Replace(remains) => return self.replace(*remains),
            message => message,
        };
        match catch_unwind(AssertUnwindSafe(|| self.step(message))) {
            Ok(effects) => {
                self.asked = None;
                self.carry_out(effects);
            }
            Err(_) => {
                self.tools.metrics.restarted(ActorKind::Call);
                tracing::error!(call = %self.key, "a step of the call panicked; going on from its last row");
                ctx.stop();
            }
        }
    }
}
