//! One thing after the other, and what a panic in one of them leaves.
//!
//! Whatever a shard is told is a job in its inbox. A job that panics costs itself: who waits for it is
//! answered 500, a row that it may have left behind the store is read again, and the jobs behind it are done
//! after the restart. Rows live on the board and are replaced only as a whole; calls and active phones are
//! actors of their own; timers stay on the wheel.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Supervised};
use keyline_domain::ids::DeviceIndex;
use keyline_storage::{Outcome, faults};

use super::phones::Registration;
use super::{Due, Intent, MAILBOX, Shard, phones};
use crate::call::CallTools;
use crate::clock::now;
use crate::journal::Journal;
use crate::metrics::ActorKind;
use crate::outlet::{Emission, RegisterReply};
use crate::phone::{PhoneTools, ToPhone};
use crate::wheel::TICK_MS;

/// One thing to do.
pub(super) enum Job {
    /// From a worker.
    Intent(Intent),
    /// From the writer.
    Written(u64, Outcome),
    /// From the wheel.
    Due(Due),
    /// A device whose assignment must be looked at again.
    Again(DeviceIndex),
}

/// What the job under way owes.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Transactions without an answer; true for a REGISTER, which holds a credit too.
    txs: smallvec::SmallVec<[(u64, bool); 2]>,
    /// The device whose row is under work.
    device: Option<DeviceIndex>,
}

impl Owed {
    /// The answer is on its way, or somebody else owes it now.
    pub(super) fn settle(&mut self, tx: u64) {
        self.txs.retain(|t| t.0 != tx);
    }
}

impl Shard {
    /// Does what is in the inbox. A panic is one of the shard itself: it starts anew and goes on behind it.
    pub(super) fn run(&mut self, ctx: &mut Context<Self>) {
        let done = catch_unwind(AssertUnwindSafe(|| {
            while let Some(job) = self.inbox.pop_front() {
                self.owed = self.owed_by(&job);
                self.job(job, ctx);
            }
            self.owed = Owed::default();
        }));
        if done.is_err() {
            self.panicked(ctx);
        }
        self.flush();
    }

    /// Runs a message that is no job: it is lost by a panic, the shard goes on.
    pub(super) fn guarded(
        &mut self,
        ctx: &mut Context<Self>,
        step: impl FnOnce(&mut Self, &mut Context<Self>),
    ) {
        if catch_unwind(AssertUnwindSafe(|| step(self, ctx))).is_err() {
            self.panicked(ctx);
        }
        self.flush();
    }

    fn panicked(&mut self, ctx: &mut Context<Self>) {
        self.metrics.restarted(ActorKind::Shard);
        tracing::error!(shard = self.id.0, "the shard panicked; it restarts from the board");
        ctx.stop();
    }

    fn owed_by(&self, job: &Job) -> Owed {
        let mut owed = Owed::default();
        match job {
            Job::Intent(Intent::Register { device, tx, .. }) => {
                owed.txs.push((*tx, true));
                owed.device = Some(*device);
            }
            Job::Intent(Intent::Invite(invite)) => owed.txs.push((invite.tx.0, false)),
            Job::Intent(Intent::Call { tx: Some(tx), .. } | Intent::Phone { tx: Some(tx), .. }) => {
                owed.txs.push((*tx, false));
            }
            Job::Written(token, _) => {
                let Ok(device) = u32::try_from(*token).map(DeviceIndex) else { return owed };
                if let Some(open) = self.open.get(&device) {
                    owed.txs.extend(open.owed().map(|tx| (tx, true)));
                    owed.device = Some(device);
                }
            }
            _ => {}
        }
        owed
    }

    fn job(&mut self, job: Job, ctx: &mut Context<Self>) {
        let at = now();
        match job {
            Job::Intent(intent) => {
                faults::hit_on("shard.intent", || self.id.0.to_string());
                match intent {
                    Intent::Register { device, tx, request, proof_due, judged, shown } => {
                        faults::hit_on("shard.register", || self.name_of(device));
                        self.register(device, Registration { tx, request, proof_due, judged, shown }, at);
                    }
                    Intent::Invite(invite) => self.invite(*invite, at, ctx),
                    Intent::Call { call, input, tx } => self.call_input(call, input, tx),
                    Intent::CallOfInvite { invite, input } => {
                        if let Some(call) = self.invites.get(&invite).copied() {
                            self.call_input(call, input, None);
                        }
                    }
                    Intent::FlowLost { device, stream } => self.flow_lost(device, stream),
                    Intent::Phone { device, work, tx } => {
                        self.tell_phone(device, ToPhone::Work { work, tx });
                    }
                }
            }
            Job::Written(token, outcome) => self.written(token, outcome, at, ctx),
            Job::Due(due) => match due {
                Due::Expiry(device) => self.expiry_due(device, at),
                Due::Call(call, timer, generation) => self.call_timer(call, timer, generation),
                Due::Gone(call, device) => self.release_if_gone(call, device),
                Due::Phone(device, timer, generation) => {
                    self.tell_known_phone(device, || ToPhone::Timer(timer, generation));
                }
                Due::Idle(device, activation) => self.idle_due(device, activation),
                Due::StateLost(device, activation) => self.state_lost(device, activation),
            },
            Job::Again(device) => self.device_changed(device),
        }
    }

    /// Device name, the subject of a fault.
    pub(super) fn name_of(&self, device: DeviceIndex) -> String {
        self.boards.devices.device(device).map(|d| d.name.as_str().to_owned()).unwrap_or_default()
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        for armed in self.call_timers.borrow_mut().drain(..) {
            self.wheel.arm(armed.at, Due::Call(armed.call, armed.timer, armed.generation));
        }
        let mut fired = std::mem::take(&mut self.fired);
        self.wheel.advance(now().0, &mut fired);
        self.inbox.extend(fired.drain(..).map(Job::Due));
        let mut expired = Vec::new();
        self.expiries.advance(now().0, &mut expired);
        self.inbox.extend(expired.into_iter().map(|device| Job::Due(Due::Expiry(device))));
        self.fired = fired;
        self.inbox.extend(self.again.drain(..).map(Job::Again));
        self.run(ctx);
        let depth = i64::try_from(self.depth.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        self.metrics.shard_queue.with_label_values(&[&self.id.0.to_string()]).set(depth);
    }

    /// A child failed for good, or a phone's step panicked.
    pub(super) fn child_failed(&mut self) {
        if self.children.failed(now().0) {
            // Not a panic of its own, but handled like one: the same net, the same count.
            panic!("too many phones and calls of this shard fail");
        }
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
        self.tools = Some(Rc::new(CallTools {
            outlet: Arc::clone(&self.outlet),
            boards: Arc::clone(&self.boards),
            journal: journal.clone(),
            metrics: self.metrics.clone(),
            tags: self.tags.clone(),
            worker: self.id.0,
            timers: Rc::clone(&self.call_timers),
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
        // A call tells phones of other shards that it is theirs: before those run, nobody would hear it, and a
        // phone that comes back would not find its call.
        if self.router.get().is_some() {
            self.resume_calls(ctx);
        }
        ctx.run_interval(Duration::from_millis(TICK_MS), |shard, ctx| shard.tick(ctx));
        // After a restart: rows that are being read again lost their reader with the old context.
        for device in self.rows_to_read() {
            self.read_again(device, ctx);
        }
        self.run(ctx);
    }
}

impl Supervised for Shard {
    fn restarting(&mut self, _: &mut Self::Context) {
        if self.restarts.failed(now().0) {
            let reason = format!("shard {} panics again and again", self.id.0);
            self.fatal.end(reason);
        }
        let owed = std::mem::take(&mut self.owed);
        for (tx, register) in owed.txs {
            if register {
                self.reply(tx, RegisterReply::StorageFailed, crate::metrics::RegisterOutcome::StorageFailed);
            } else {
                self.answer(tx, Emission::Failed { tx });
            }
        }
        // The job may have got as far as the store: the board must not stay behind it.
        if let Some(device) = owed.device {
            self.doubt(device);
        }
        self.flush();
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fatal.end(format!("shard {} was dropped by a panic", self.id.0));
        }
    }
}
