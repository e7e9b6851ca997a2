//! Phone rows: REGISTER, expiry, lost connections, and the commits behind them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{AsyncContext, Context, WeakAddr, WrapFuture, fut::ActorFutureExt};
use keyline_domain::flow::StreamId;
use keyline_domain::identity::ShownCertificate;
use keyline_domain::ids::{DeviceIndex, Dn, UnixMillis};
use keyline_domain::phone::{
    self, AppliedVersion, Event, Kind, Outcome as Answer, Register, Row, Step, Write,
};
use keyline_domain::subscription::{Package, Watched};
use keyline_storage::{CommitSink, Consistency, Outcome, Table, faults};
use smallvec::SmallVec;

use super::apply::Applying;
use super::{Shard, Written};
use crate::board::{Device, DeviceSlot};
use crate::metrics::{ActorKind, RegisterOutcome};
use crate::outlet::{Emission, ListedContact, RegisterReply};
use crate::phone::ToPhone;
use crate::signal::{Applied, Word};

/// REGISTERs that may wait for one row's open commit; a phone has one outstanding, a storm of repeats more.
const WAITING_MAX: usize = 8;

/// A REGISTER that admission let through.
#[derive(Debug)]
pub(super) struct Registration {
    /// Server transaction to answer.
    pub(super) tx: u64,
    /// The facts.
    pub(super) request: Box<Register>,
    /// Some proof was due.
    pub(super) proof_due: bool,
    /// What it was judged by.
    pub(super) judged: AppliedVersion,
    /// The client certificate of its connection.
    pub(super) shown: Option<Arc<ShownCertificate>>,
}

/// A row's open commit and who waits behind it.
#[derive(Default)]
pub(super) struct Open {
    step: Option<(Row, Vec<Event>)>,
    reply: Option<(u64, RegisterReply, RegisterOutcome)>,
    waiting: VecDeque<Registration>,
    /// What the open commit applies.
    applying: Option<Applying>,
    /// An apply that waits for the commit.
    pub(super) applies: Option<Applying>,
}

impl Open {
    /// A row that nobody waits for.
    fn of(row: Row, events: Vec<Event>) -> Self {
        Self { step: Some((row, events)), ..Self::default() }
    }

    /// A row that takes a profile version over.
    pub(super) fn applying(row: Row, applying: Applying) -> Self {
        Self { applying: Some(applying), ..Self::of(row, Vec::new()) }
    }

    /// Transactions that wait for an answer.
    pub(super) fn owed(&self) -> impl Iterator<Item = u64> {
        let waiting = self.waiting.iter().map(|w| w.tx);
        self.reply.as_ref().map(|r| r.0).into_iter().chain(waiting)
    }
}

/// Hands outcomes from the writer's thread to the shard.
pub(super) struct Sink(pub(super) WeakAddr<Shard>);

impl CommitSink for Sink {
    fn done(&self, outcomes: Vec<(u64, Outcome)>) {
        if let Some(shard) = self.0.upgrade() {
            // Never dropped and never waited for: bounded by the credit taken at ingress.
            shard.do_send(Written(outcomes));
        }
    }
}

impl Shard {
    pub(super) fn register(&mut self, device: DeviceIndex, asked: Registration, at: UnixMillis) {
        let tx = asked.tx;
        if let Some(open) = self.open.get_mut(&device) {
            if open.waiting.len() < WAITING_MAX {
                open.waiting.push_back(asked);
            } else {
                self.reply(tx, RegisterReply::Overloaded, RegisterOutcome::Shed);
            }
            return;
        }
        let boards = Arc::clone(&self.boards);
        let Some(slot) = boards.devices.slot(device) else {
            return self.reply(tx, RegisterReply::StorageFailed, RegisterOutcome::StorageFailed);
        };
        let Registration { request, proof_due, judged, shown, .. } = asked;
        let before = slot.row().unwrap_or_else(|| Arc::new(Row::new(judged)));
        let row = phone::adopt(&before, judged, at);
        let context = phone::Context {
            now: at,
            expiry: self.boards.settings.expiry_limits(),
            proof_due,
            allow_unproven_move: self.allow_unproven_move,
        };
        // The phone's own guard: a panic costs this request its answer of 200, nothing else.
        let step = catch_unwind(AssertUnwindSafe(|| {
            faults::hit_on("phone.step", || self.name_of(device));
            phone::on(&row, &request, &context)
        }));
        let Ok(step) = step else {
            self.metrics.restarted(ActorKind::Phone);
            tracing::error!(device = device.0, "a step of the phone panicked; its row is unchanged");
            self.reply(tx, RegisterReply::StorageFailed, RegisterOutcome::StorageFailed);
            return self.child_failed();
        };
        self.children.good();
        let Step { outcome, row: new, write, events } = step;
        let after = new.as_ref().unwrap_or(&row);
        let (reply, counted) = match outcome {
            Answer::Refuse(cause) => (RegisterReply::Refused(cause), RegisterOutcome::Refused),
            Answer::Ok(accepted) => {
                slot.show(shown);
                let line = request.lines.first().cloned();
                let Some(line) = line else {
                    return self.reply(tx, RegisterReply::StorageFailed, RegisterOutcome::StorageFailed);
                };
                let contacts = match accepted.kind {
                    Kind::Keepalive => Vec::new(),
                    _ => self.listing(device, after, &line, at),
                };
                (RegisterReply::Accepted { accepted, line, contacts }, counted(accepted.kind, &events))
            }
            Answer::Silent => (RegisterReply::StorageFailed, RegisterOutcome::StorageFailed),
        };
        match (new, write) {
            (Some(new), Write::Put) => {
                let open = Open { reply: Some((tx, reply, counted)), ..Open::of(new, events.into_vec()) };
                self.commit(device, slot, open);
            }
            (new, _) => {
                if let Some(new) = new {
                    self.publish(device, slot, new, &events);
                }
                self.reply(tx, reply, counted);
            }
        }
    }

    /// Submits the row of `open`; on a full queue the request is refused and nothing has changed.
    pub(super) fn commit(&mut self, device: DeviceIndex, slot: &DeviceSlot, mut open: Open) {
        let (Some(journal), Some(config), Some((row, _))) = (&self.journal, slot.device(), &open.step) else {
            return self.give_up(device, open, RegisterReply::StorageFailed);
        };
        match journal.put_phone(&config.name, row.revision, row.encode(), u64::from(device.0)) {
            Ok(()) => {
                self.open.insert(device, open);
            }
            Err(_) => {
                self.metrics.journal_full.inc();
                if open.reply.is_none() && open.applying.is_none() {
                    // An expiry: the wheel tries again.
                    self.rearm(device, 1);
                }
                open.step = None;
                self.give_up(device, open, RegisterReply::Overloaded);
            }
        }
    }

    fn give_up(&mut self, device: DeviceIndex, open: Open, reply: RegisterReply) {
        let what = if reply == RegisterReply::Overloaded { Applied::Busy } else { Applied::Failed };
        for applying in open.applying.into_iter().chain(open.applies) {
            self.applied(device, applying, what);
        }
        let outcome = match reply {
            RegisterReply::Overloaded => RegisterOutcome::Shed,
            _ => RegisterOutcome::StorageFailed,
        };
        if let Some((tx, ..)) = open.reply {
            self.reply(tx, reply.clone(), outcome);
        }
        for asked in open.waiting {
            self.reply(asked.tx, reply.clone(), outcome);
        }
    }

    /// Outcome of a row's commit: committed → board → reply.
    pub(super) fn written(&mut self, token: u64, outcome: Outcome, at: UnixMillis, ctx: &mut Context<Self>) {
        let Ok(device) = u32::try_from(token).map(DeviceIndex) else { return };
        let Some(mut open) = self.open.remove(&device) else { return };
        let boards = Arc::clone(&self.boards);
        let Some(slot) = boards.devices.slot(device) else {
            return self.give_up(device, open, RegisterReply::StorageFailed);
        };
        if slot.device().is_none() {
            // It was deleted meanwhile, and whoever gets its number is another phone.
            return self.give_up(device, open, RegisterReply::StorageFailed);
        }
        match outcome {
            Outcome::Committed(revision) => {
                if let Some((mut row, events)) = open.step.take() {
                    row.revision = revision.0;
                    faults::hit_on("shard.before_publish", || self.name_of(device));
                    self.publish(device, slot, row, &events);
                    faults::hit_on("shard.before_reply", || self.name_of(device));
                }
                if let Some((tx, reply, outcome)) = open.reply.take() {
                    self.reply(tx, reply, outcome);
                }
                if let Some(applying) = open.applying.take() {
                    self.applied(device, applying, Applied::Done);
                }
                if let Some(applying) = open.applies.take() {
                    self.apply(device, applying, at);
                }
                for asked in open.waiting {
                    self.register(device, asked, at);
                }
            }
            Outcome::Conflict(_) | Outcome::Unknown(_) => {
                tracing::warn!(
                    device = device.0,
                    ?outcome,
                    "a phone row was not committed; it is read again"
                );
                let reply = match outcome {
                    Outcome::Conflict(_) => RegisterReply::Overloaded,
                    _ => RegisterReply::StorageFailed,
                };
                let (waiting, applies) = (std::mem::take(&mut open.waiting), open.applies.take());
                self.give_up(device, open, reply);
                self.open.insert(device, Open { waiting, applies, ..Open::default() });
                self.read_again(device, ctx);
            }
        }
    }

    /// The board may be behind the store: the row is read again once the shard runs.
    pub(super) fn doubt(&mut self, device: DeviceIndex) {
        self.open.entry(device).or_default();
    }

    /// Rows without an open commit whose messages wait: they are to be read again.
    pub(super) fn rows_to_read(&self) -> Vec<DeviceIndex> {
        self.open.iter().filter(|(_, open)| open.step.is_none()).map(|(device, _)| *device).collect()
    }

    /// Reads a row back from storage off this thread; until then its messages wait.
    pub(super) fn read_again(&mut self, device: DeviceIndex, ctx: &mut Context<Self>) {
        let Some(config) = self.boards.devices.device(device) else {
            if let Some(open) = self.open.remove(&device) {
                self.give_up(device, open, RegisterReply::StorageFailed);
            }
            return;
        };
        let store = Arc::clone(self.writer.store());
        let read = tokio::task::spawn_blocking(move || {
            store.get(Table::Phones, config.name.as_str().as_bytes(), Consistency::Linearizable)
        });
        ctx.spawn(read.into_actor(self).map(move |result, shard: &mut Shard, _| {
            let Some(open) = shard.open.remove(&device) else { return };
            let row = match result {
                Ok(Ok(record)) => match record.map(|r| (Row::decode(&r.payload), r.revision)) {
                    None => Ok(None),
                    Some((Ok(mut row), revision)) => {
                        row.revision = revision.0;
                        Ok(Some(row))
                    }
                    Some((Err(e), _)) => Err(e.to_string()),
                },
                Ok(Err(e)) => Err(e.to_string()),
                Err(e) => Err(e.to_string()),
            };
            let boards = Arc::clone(&shard.boards);
            match (row, boards.devices.slot(device)) {
                (Ok(Some(row)), Some(slot)) => shard.publish(device, slot, row, &[]),
                (Ok(_), _) => {}
                (Err(reason), _) => {
                    tracing::error!(device = device.0, reason, "a phone row cannot be read back");
                    return shard.give_up(device, open, RegisterReply::StorageFailed);
                }
            }
            let at = crate::clock::now();
            if let Some(applying) = open.applies {
                shard.apply(device, applying, at);
            }
            for asked in open.waiting {
                shard.register(device, asked, at);
            }
            shard.flush();
        }));
    }

    /// Puts a committed row on the board and tells the phone's actor, if there is one.
    fn publish(&mut self, device: DeviceIndex, slot: &DeviceSlot, row: Row, events: &[Event]) {
        let before = slot.row().is_some_and(|r| !r.bindings.is_empty());
        let after = !row.bindings.is_empty();
        match (before, after) {
            (false, true) => self.metrics.registered_devices.inc(),
            (true, false) => self.metrics.registered_devices.dec(),
            _ => {}
        }
        let row = Arc::new(row);
        self.boards.publish_row(slot, Arc::clone(&row));
        if slot.is_watched()
            && let Some(config) = slot.device()
        {
            self.signals.tell(config.profile, Word::Changed(device));
        }
        self.arm_expiry(device, &row);
        let mut lines: SmallVec<[&Dn; 2]> = SmallVec::new();
        for event in events {
            let (Event::Registered(line) | Event::Moved(line) | Event::Unregistered(line, _)) = event else {
                continue;
            };
            if !lines.contains(&line) {
                lines.push(line);
                self.line_changed(&Watched { package: Package::Registration, line: line.clone() });
            }
        }
        self.tell_known_phone(device, || ToPhone::Row { row: Arc::clone(&row), events: events.into() });
    }

    pub(super) fn flow_lost(&mut self, device: DeviceIndex, stream: StreamId) {
        let boards = Arc::clone(&self.boards);
        let Some(slot) = boards.devices.slot(device) else { return };
        if let Some(open) = self.open.get_mut(&device)
            && let Some((row, _)) = &mut open.step
            && let Some(marked) = phone::on_flow_lost(row, stream)
        {
            *row = marked;
        }
        if let Some(row) = slot.row()
            && let Some(marked) = phone::on_flow_lost(&row, stream)
        {
            self.publish(device, slot, marked, &[]);
        }
        self.tell_known_phone(device, || ToPhone::FlowLost(stream));
    }

    pub(super) fn expiry_due(&mut self, device: DeviceIndex, at: UnixMillis) {
        let boards = Arc::clone(&self.boards);
        let Some(slot) = boards.devices.slot(device) else { return };
        // An entry from before an earlier deadline came: another one will fire.
        if slot.armed() == 0 || u64::from(slot.armed()) * 1000 > at.0 {
            return;
        }
        slot.set_armed(0);
        if self.open.contains_key(&device) {
            return self.rearm(device, 1);
        }
        let Some(row) = slot.row() else { return };
        if phone::next_deadline(&row).is_some_and(|d| d > at) {
            return self.arm_expiry(device, &row);
        }
        let step = phone::expire(&row, at);
        let Some(new) = step.row else { return };
        match step.write {
            Write::Put => {
                self.commit(device, slot, Open::of(new, step.events.into_vec()));
            }
            Write::None => self.publish(device, slot, new, &step.events),
        }
    }

    /// Arms the wheel for the row's next deadline unless it is armed for an earlier one already: a refresh
    /// then costs nothing here.
    pub(super) fn arm_expiry(&mut self, device: DeviceIndex, row: &Row) {
        let Some(deadline) = phone::next_deadline(row) else { return };
        let second = u32::try_from(deadline.0.div_ceil(1000)).unwrap_or(u32::MAX);
        self.arm_at(device, second);
    }

    fn rearm(&mut self, device: DeviceIndex, after_s: u64) {
        let second = u32::try_from(crate::clock::now().0 / 1000 + after_s).unwrap_or(u32::MAX);
        self.arm_at(device, second);
    }

    fn arm_at(&mut self, device: DeviceIndex, second: u32) {
        let Some(slot) = self.boards.devices.slot(device) else { return };
        let armed = slot.armed();
        if armed == 0 || second < armed {
            slot.set_armed(second);
            self.expiries.arm(u64::from(second) * 1000, device);
        }
    }

    /// The catalog assigned another profile: a registered phone becomes pending. One with nothing registered
    /// is judged by it already, and its row follows at its next REGISTER (design §5).
    pub(super) fn follow_assignment(&mut self, index: DeviceIndex, device: &Device, at: UnixMillis) {
        let boards = Arc::clone(&self.boards);
        let Some(slot) = boards.devices.slot(index) else { return };
        let Some(row) = slot.row() else { return };
        if self.open.contains_key(&index) {
            // The commit under way wins; the assignment is looked at again when it is through.
            return self.again.push(index);
        }
        if !row.is_registered(at) {
            return;
        }
        let step = phone::assign(&row, device.profile);
        let Some(new) = step.row else { return };
        self.commit(index, slot, Open::of(new, step.events.into_vec()));
    }

    /// All live bindings of a line: this device's and, on a shared line, the other devices'.
    fn listing(&self, device: DeviceIndex, row: &Row, line: &Dn, at: UnixMillis) -> Vec<ListedContact> {
        let mut contacts: Vec<_> = row.listing(line, at).map(|l| owned(&l, true)).collect();
        for other in self.boards.devices.by_line(line.as_str()) {
            if other != device
                && let Some(row) = self.boards.devices.slot(other).and_then(DeviceSlot::row)
            {
                contacts.extend(row.listing(line, at).map(|l| owned(&l, false)));
            }
        }
        contacts
    }

    pub(super) fn reply(&mut self, tx: u64, reply: RegisterReply, outcome: RegisterOutcome) {
        if self.held > 0 {
            self.held -= 1;
            self.depth.fetch_sub(1, Ordering::AcqRel);
        }
        self.metrics.register(outcome);
        self.answer(tx, Emission::Register { tx, reply });
    }
}

fn counted(kind: Kind, events: &[Event]) -> RegisterOutcome {
    match kind {
        Kind::Fetched | Kind::Keepalive => RegisterOutcome::Fetched,
        Kind::Repeated => RegisterOutcome::Repeated,
        Kind::Changed => {
            if events.iter().any(|e| matches!(e, Event::Registered(_))) {
                RegisterOutcome::Registered
            } else if events.iter().any(|e| matches!(e, Event::Unregistered(..))) {
                RegisterOutcome::Unregistered
            } else {
                RegisterOutcome::Refreshed
            }
        }
    }
}

fn owned(l: &phone::Listed<'_>, own: bool) -> ListedContact {
    ListedContact {
        contact: l.contact.into(),
        expires: l.expires,
        q: l.q,
        instance: l.instance.map(|i| i.to_string().into()),
        reg_id: l.reg_id,
        model: l.model,
        own,
    }
}
