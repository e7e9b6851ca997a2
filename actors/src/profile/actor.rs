//! The roll-out of one profile.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix::fut::ActorFutureExt;
use actix::{
    Actor, ActorContext, AsyncContext, Context, Handler, SpawnHandle, Supervised, WeakAddr, WrapFuture,
};
use keyline_domain::ids::{DeviceIndex, DeviceName, UnixMillis};
use keyline_domain::phone::Row;
use keyline_domain::rollout::{Back, Mark, Pace, Rollout, RolloutState};
use keyline_storage::faults;

use super::manager::{Ended, Manager};
use super::metrics::Outcome;
use super::walk::{self, Ask, Found};
use super::{Tools, store};
use crate::board::DeviceSlot;
use crate::catalog::Look;
use crate::clock::now;
use crate::metrics::ActorKind;
use crate::signal::{ApplyTo, Asks, Word};
use crate::supervision::Intensity;

/// How often it is looked what may be done next.
const TICK: Duration = Duration::from_millis(50);

/// The store is at most so far behind, in milliseconds.
const STORE_MS: u64 = 250;

/// Phones under way to their shards, at most.
const SENT_MAX: usize = 4096;

/// Signals without an answer, at most: a worker has room for 16,384, and phones that are silent slow the walk.
const UNANSWERED_MAX: usize = 8192;

/// Phones whose connection is waited for, at most; then the walk waits too.
const DEFERRED_MAX: usize = 4096;

/// A shard that said nothing of a phone for so long is asked again, in milliseconds.
const SENT_MS: u64 = 10_000;

/// Panics in ten seconds after which the roll-out holds.
const PANICS_MAX: usize = 5;

/// A phone on its way to its shard.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) name: DeviceName,
    pub(super) since: UnixMillis,
    pub(super) tries: u8,
    /// To be sent once more.
    pub(super) again: bool,
    mark: Mark,
}

/// A phone that was signalled.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: DeviceName,
    pub(super) back: Back,
}

/// A phone whose connection is waited for.
#[derive(Debug)]
pub(super) struct Deferred {
    pub(super) name: DeviceName,
    pub(super) until: UnixMillis,
}

/// The actor.
pub(super) struct ProfileActor {
    pub(super) rollout: Rollout,
    pub(super) tools: Arc<Tools>,
    chosen: Option<Arc<[DeviceName]>>,
    manager: WeakAddr<Manager>,
    pace: Pace,
    window_s: u64,
    /// Where the walk is; the cursor follows when the phones before it are done.
    walk: Option<DeviceName>,
    at_end: bool,
    fetching: bool,
    /// Phones of the walk in order, and ends of looks, that are not all done.
    path: VecDeque<(DeviceName, Option<DeviceIndex>)>,
    pub(super) sent: HashMap<DeviceIndex, Sent>,
    pub(super) deferred: HashMap<DeviceIndex, Deferred>,
    pub(super) watching: HashMap<DeviceIndex, Watched>,
    pub(super) deadlines: VecDeque<(UnixMillis, DeviceIndex)>,
    /// Of those that are watched.
    pub(super) unanswered: usize,
    /// The store is behind.
    pub(super) dirty: bool,
    /// And shall not be so for long.
    pub(super) urgent: bool,
    stored_at: UnixMillis,
    left: i64,
    restarts: Intensity,
    ticking: Option<SpawnHandle>,
}

impl ProfileActor {
    /// Begins, or goes on after a restart of the node.
    pub(super) fn new(
        rollout: Rollout,
        chosen: Option<Arc<[DeviceName]>>,
        tools: Arc<Tools>,
        manager: WeakAddr<Manager>,
    ) -> Self {
        let at = now();
        let grace_s = tools.boards.settings.load().parameters.apply_grace_s;
        let window_s = match rollout.gate.window_s {
            0 => u64::from(grace_s.max(1)),
            s => u64::from(s),
        };
        Self {
            pace: Pace::new(rollout.per_second, at),
            walk: rollout.cursor.clone(),
            at_end: rollout.walked,
            rollout,
            tools,
            chosen,
            manager,
            window_s,
            fetching: false,
            path: VecDeque::new(),
            sent: HashMap::new(),
            deferred: HashMap::new(),
            watching: HashMap::new(),
            deadlines: VecDeque::new(),
            unanswered: 0,
            dirty: true,
            urgent: false,
            stored_at: UnixMillis(0),
            left: 0,
            restarts: Intensity::new(PANICS_MAX),
            ticking: None,
        }
    }

    fn slot(&self, device: DeviceIndex) -> Option<&DeviceSlot> {
        self.tools.boards.devices.slot(device)
    }

    pub(super) fn row(&self, device: DeviceIndex) -> Option<Arc<Row>> {
        self.slot(device)?.row()
    }

    /// It can be signalled now.
    pub(super) fn is_reachable(&self, device: DeviceIndex, at: UnixMillis) -> bool {
        self.row(device).is_some_and(|row| row.live(at).any(|b| b.origin.flow.is_live()))
    }

    pub(super) fn unwatch(&self, device: DeviceIndex) {
        if let Some(slot) = self.slot(device) {
            slot.watch(false);
        }
    }

    /// A phone was signalled: is it back in time?
    pub(super) fn watch(&mut self, device: DeviceIndex, sent: Sent, at: UnixMillis) {
        let until = at.plus_secs(self.window_s);
        let back = Back { mark: sent.mark, until, answered: false };
        self.unanswered += 1;
        self.watching.insert(device, Watched { name: sent.name, back });
        self.deadlines.push_back((until, device));
    }

    /// Runs a step; a panic restarts this actor from what is stored.
    pub(super) fn guarded(
        &mut self,
        ctx: &mut Context<Self>,
        step: impl FnOnce(&mut Self, &mut Context<Self>),
    ) {
        if catch_unwind(AssertUnwindSafe(|| step(self, ctx))).is_err() {
            self.tools.metrics.restarted(ActorKind::Rollout);
            tracing::error!(
                rollout = self.rollout.id.0,
                "a roll-out panicked; it goes on from what is stored"
            );
            ctx.stop();
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        faults::hit("rollout.tick");
        let at = now();
        self.expire(at);
        self.send_again(at);
        if self.rollout.state == RolloutState::Running {
            let budget = self
                .pace
                .budget(at)
                .min(SENT_MAX.saturating_sub(self.sent.len()))
                .min(UNANSWERED_MAX.saturating_sub(self.unanswered));
            if !self.fetching && !self.at_end && self.deferred.len() < DEFERRED_MAX {
                self.fetch(budget, at, ctx);
            }
        } else {
            self.pace.rest(at);
        }
        self.advance();
        self.settle(at, ctx);
    }

    /// Asks the catalog for the next phones.
    fn fetch(&mut self, most: usize, at: UnixMillis, ctx: &mut Context<Self>) {
        let Some(catalog) = self.tools.catalog.get() else { return };
        let profile = self.rollout.applied.profile;
        let ask = Ask { profile, after: self.walk.clone(), chosen: self.chosen.clone(), most, at };
        let boards = Arc::clone(&self.tools.boards);
        let (sender, answer) = tokio::sync::oneshot::channel();
        let look = Look(Box::new(move |catalog| {
            // Whoever asked may have ended.
            let _ = sender.send(walk::next(catalog, &boards, &ask));
        }));
        catalog.do_send(look);
        self.fetching = true;
        ctx.spawn(answer.into_actor(self).map(|found, actor, ctx| {
            actor.guarded(ctx, |actor, _| {
                actor.fetching = false;
                // A look that panicked is tried again with the next tick.
                if let Ok(found) = found
                    && actor.rollout.state == RolloutState::Running
                {
                    actor.found(found, now());
                }
            });
        }));
    }

    fn found(&mut self, found: Found, at: UnixMillis) {
        let metrics = &self.tools.own_metrics;
        metrics.count(Outcome::Unregistered, found.unregistered);
        metrics.count(Outcome::Skipped, found.skipped);
        self.rollout.counts.unregistered += found.unregistered;
        self.rollout.counts.skipped += found.skipped;
        self.pace.spend(found.phones.len());
        self.dirty |= found.cursor != self.walk || found.end;
        self.at_end = found.end;
        let mut ready = Vec::with_capacity(found.phones.len());
        for (device, name) in found.phones {
            self.path.push_back((name.clone(), Some(device)));
            if self.is_reachable(device, at) {
                ready.push((device, name));
            } else {
                self.defer(device, name, at);
            }
        }
        if let Some(cursor) = &found.cursor {
            self.path.push_back((cursor.clone(), None));
        }
        self.walk = found.cursor;
        self.send(ready, at);
    }

    /// The phone's connection is lost, as after a restart of the node: it is signalled when it is back.
    fn defer(&mut self, device: DeviceIndex, name: DeviceName, at: UnixMillis) {
        if let Some(slot) = self.slot(device) {
            slot.watch(true);
        }
        self.rollout.deferred.push(name.clone());
        self.deferred.insert(device, Deferred { name, until: at.plus_secs(self.window_s) });
        self.dirty = true;
    }

    /// The connection of a deferred phone is back.
    pub(super) fn take_up(&mut self, device: DeviceIndex, at: UnixMillis) {
        if let Some(deferred) = self.deferred.remove(&device) {
            // Its name stays in the stored form until its shard is through with it.
            self.send(vec![(device, deferred.name)], at);
        }
    }

    /// Hands phones to their shards.
    fn send(&mut self, phones: Vec<(DeviceIndex, DeviceName)>, at: UnixMillis) {
        for (device, name) in &phones {
            let Some(row) = self.row(*device) else { continue };
            if let Some(slot) = self.slot(*device) {
                slot.watch(true);
            }
            let sent = Sent { name: name.clone(), since: at, tries: 0, again: false, mark: Mark::of(&row) };
            self.sent.insert(*device, sent);
        }
        self.tell_shards(phones.iter().map(|(device, name)| (*device, name)));
    }

    fn tell_shards<'a>(&self, phones: impl Iterator<Item = (DeviceIndex, &'a DeviceName)>) {
        let Some(shards) = self.tools.router.get() else { return };
        let mut batches: Vec<Vec<DeviceIndex>> = vec![Vec::new(); shards.len()];
        for (device, name) in phones {
            let shard = self.tools.table.shard(name.partition());
            if let Some(batch) = batches.get_mut(usize::from(shard.0)) {
                batch.push(device);
            }
        }
        for (shard, devices) in shards.iter().zip(batches).filter(|(_, devices)| !devices.is_empty()) {
            let (applied, asks) = (self.rollout.applied, Asks::Rollout(self.rollout.order));
            shard.do_send(ApplyTo { devices, applied, asks });
        }
    }

    /// What a shard could not take, and what it said nothing of.
    fn send_again(&mut self, at: UnixMillis) {
        let late = |s: &Sent| s.again || at.0.saturating_sub(s.since.0) > SENT_MS;
        let again: Vec<_> =
            self.sent.iter().filter(|(_, s)| late(s)).map(|(d, s)| (*d, s.name.clone())).collect();
        for (device, _) in &again {
            if let Some(sent) = self.sent.get_mut(device) {
                (sent.again, sent.since) = (false, at);
            }
        }
        self.tell_shards(again.iter().map(|(device, name)| (*device, name)));
    }

    /// The cursor follows up to the first phone that is still under way; deferred ones are written beside it.
    fn advance(&mut self) {
        while let Some((_, device)) = self.path.front() {
            if device.is_some_and(|d| self.sent.contains_key(&d)) {
                return;
            }
            self.rollout.cursor = self.path.pop_front().map(|(name, _)| name);
        }
        self.rollout.walked = self.at_end && !self.fetching;
    }

    /// Is it over? Writes and shows how it stands.
    fn settle(&mut self, at: UnixMillis, ctx: &mut Context<Self>) {
        let done = self.sent.is_empty() && self.rollout.finish_if_done(at);
        self.urgent |= done;
        if self.urgent || (self.dirty && at.0.saturating_sub(self.stored_at.0) >= STORE_MS) {
            self.persist(at);
        }
        if self.rollout.state.has_ended() && !self.dirty {
            self.end(ctx);
        }
    }

    /// The node stops: nothing more is begun, and it is written how far it came.
    pub(super) fn quiesce(&mut self, ctx: &mut Context<Self>) {
        if let Some(ticking) = self.ticking.take() {
            ctx.cancel_future(ticking);
        }
        self.advance();
        self.persist(now());
    }

    /// Writes how it stands, then shows it. What cannot be written is tried again with the next tick.
    pub(super) fn persist(&mut self, at: UnixMillis) -> bool {
        self.stored_at = at;
        if let Err(reason) = store::put(&self.tools.writer, &self.rollout, None) {
            tracing::error!(rollout = self.rollout.id.0, reason, "a roll-out could not be stored");
            (self.dirty, self.urgent) = (true, false);
            return false;
        }
        faults::hit("rollout.stored");
        (self.dirty, self.urgent) = (false, false);
        self.show();
        true
    }

    pub(super) fn show(&mut self) {
        let left = match self.rollout.state.has_ended() {
            true => 0,
            false => i64::try_from(self.rollout.left()).unwrap_or(i64::MAX),
        };
        self.tools.own_metrics.left.add(left - self.left);
        self.left = left;
        self.tools.boards.rollouts.put(self.rollout.clone());
    }

    /// Nothing is left to do: whoever holds this actor lets it go.
    fn end(&mut self, ctx: &mut Context<Self>) {
        let Some(ticking) = self.ticking.take() else { return };
        ctx.cancel_future(ticking);
        let watched: Vec<_> = self.watching.keys().chain(self.deferred.keys()).copied().collect();
        watched.into_iter().for_each(|device| self.unwatch(device));
        self.watching.clear();
        self.deferred.clear();
        if let Some(manager) = self.manager.upgrade() {
            manager.do_send(Ended(self.rollout.id));
        }
    }

    /// What may have been half done by a panic is begun anew from what is stored.
    fn reload(&mut self) {
        match store::read(&**self.tools.writer.store(), self.rollout.id) {
            Ok(stored) => self.rollout = stored,
            Err(reason) => {
                tracing::error!(rollout = self.rollout.id.0, reason, "a roll-out cannot be read again");
                self.rollout.hold("it cannot be read again after a fault");
            }
        }
        self.rollout.recovered();
        (self.walk, self.at_end) = (self.rollout.cursor.clone(), self.rollout.walked);
        self.fetching = false;
        self.path.clear();
        self.sent.clear();
        self.deferred.clear();
        self.watching.clear();
        self.deadlines.clear();
        self.unanswered = 0;
        self.dirty = true;
    }

    /// Deferred phones of the stored form are waited for anew.
    fn resume_deferred(&mut self, at: UnixMillis) {
        for name in std::mem::take(&mut self.rollout.deferred) {
            match self.tools.boards.devices.by_name(name.as_str()) {
                Some(device) => self.defer(device, name, at),
                None => self.rollout.counts.skipped += 1,
            }
        }
        if self.rollout.state == RolloutState::Running {
            self.take_up_reachable(at);
        }
    }

    /// Deferred phones that came back meanwhile.
    pub(super) fn take_up_reachable(&mut self, at: UnixMillis) {
        let back: Vec<_> = self.deferred.keys().copied().filter(|d| self.is_reachable(*d, at)).collect();
        back.into_iter().for_each(|device| self.take_up(device, at));
    }
}

impl Actor for ProfileActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.tools.registry.add(self.rollout.applied.profile, ctx.address().recipient());
        self.guarded(ctx, |actor, _| actor.resume_deferred(now()));
        self.show();
        self.ticking = Some(ctx.run_interval(TICK, |actor, ctx| actor.guarded(ctx, Self::tick)));
    }
}

impl Supervised for ProfileActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        let too_many = self.restarts.failed(now().0);
        self.reload();
        if too_many {
            self.rollout.hold("it fails again and again inside the node; the log says where");
            self.urgent = true;
        }
    }
}

impl Handler<Word> for ProfileActor {
    type Result = ();

    fn handle(&mut self, word: Word, ctx: &mut Self::Context) {
        self.guarded(ctx, |actor, _| actor.heard(word, now()));
    }
}
