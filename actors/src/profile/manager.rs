//! Begins roll-outs, one a profile, and knows those that are open.

use std::collections::HashMap;
use std::sync::Arc;

use actix::fut::{ActorFutureExt, ready};
use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, ResponseActFuture, Supervised,
    Supervisor, WrapFuture,
};
use keyline_domain::ids::DeviceName;
use keyline_domain::rollout::{Counts, Failures, Rollout, RolloutId, RolloutState};

use super::actor::ProfileActor;
use super::order::{Do, Halt};
use super::store::{self, Stored};
use super::{HISTORY, RolloutFacts, RolloutOrder, RolloutRefused, RolloutWanted, Tools, walk};
use crate::catalog::{CatalogActor, Look};
use crate::clock::now;

/// Begin a roll-out.
#[derive(Debug, Message)]
#[rtype(result = "Result<Rollout, RolloutRefused>")]
pub(crate) struct Begin(pub(crate) RolloutWanted);

/// Do that with a roll-out.
#[derive(Debug, Message)]
#[rtype(result = "Result<Rollout, RolloutRefused>")]
pub(crate) struct OrderRollout(pub(crate) RolloutId, pub(crate) RolloutOrder);

/// The node stops: nothing is begun any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Quiesce;

/// A roll-out has ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Ended(pub(super) RolloutId);

/// The actor.
pub(crate) struct Manager {
    tools: Arc<Tools>,
    arbiter: ArbiterHandle,
    open: HashMap<RolloutId, Addr<ProfileActor>>,
    /// Those that a start found open.
    found: Vec<Stored>,
    next: u64,
    stops: bool,
}

impl Manager {
    /// Shows what was stored; what is open goes on once the actor runs.
    pub(crate) fn new(tools: Arc<Tools>, arbiter: ArbiterHandle, stored: Vec<Stored>) -> Self {
        let next = stored.iter().map(|(r, _)| r.id.0 + 1).max().unwrap_or(1);
        let mut found = Vec::new();
        for (mut rollout, chosen) in stored {
            if !rollout.state.has_ended() {
                rollout.recovered();
                // Before anything looks for versions that nobody needs.
                tools.boards.profiles.hold(rollout.applied);
                tools.own_metrics.open.inc();
                found.push((rollout.clone(), chosen));
            }
            tools.boards.rollouts.put(rollout);
        }
        Self { tools, arbiter, open: HashMap::new(), found, next, stops: false }
    }

    fn start(&mut self, rollout: Rollout, chosen: Option<Vec<DeviceName>>, ctx: &mut Context<Self>) {
        let (id, tools, manager) = (rollout.id, Arc::clone(&self.tools), ctx.address().downgrade());
        let chosen = chosen.map(Arc::from);
        let addr = Supervisor::start_in_arbiter(&self.arbiter, move |_| {
            ProfileActor::new(rollout, chosen, tools, manager)
        });
        self.open.insert(id, addr);
    }

    fn begin(
        &mut self,
        wanted: RolloutWanted,
        facts: Result<RolloutFacts, RolloutRefused>,
        ctx: &mut Context<Self>,
    ) -> Result<Rollout, RolloutRefused> {
        let facts = facts?;
        if self.stops {
            return Err(RolloutRefused::Internal("the node stops".to_owned()));
        }
        if let Some(open) = self.tools.boards.rollouts.open_of(facts.profile) {
            return Err(RolloutRefused::Open(open.id));
        }
        if facts != wanted.confirmed {
            return Err(RolloutRefused::Changed);
        }
        let rollout = Rollout {
            id: RolloutId(self.next),
            applied: facts.applied,
            profile_name: facts.name,
            order: wanted.order,
            per_second: wanted.per_second,
            gate: wanted.gate,
            chosen: wanted.chosen.is_some(),
            by: wanted.by,
            started: now(),
            ended: None,
            state: RolloutState::Running,
            reason: None,
            cursor: None,
            walked: false,
            deferred: Vec::new(),
            counts: Counts { total: facts.phones, ..Counts::default() },
            failures: Failures::default(),
            failed_phones: Vec::new(),
            gate_from: (0, 0),
        };
        let chosen = wanted.chosen.map(|mut names| {
            names.sort_unstable();
            names
        });
        store::put(&self.tools.writer, &rollout, chosen.as_deref()).map_err(RolloutRefused::Store)?;
        self.next += 1;
        self.forget_old();
        self.tools.boards.profiles.hold(rollout.applied);
        self.tools.own_metrics.open.inc();
        self.tools.boards.rollouts.put(rollout.clone());
        tracing::info!(
            rollout = rollout.id.0,
            profile = &*rollout.profile_name,
            order = rollout.order.as_str(),
            phones = rollout.counts.total,
            by = &*rollout.by,
            "a roll-out begins"
        );
        self.start(rollout.clone(), chosen, ctx);
        Ok(rollout)
    }

    /// Those that ended long ago are forgotten; their numbers are not given again.
    fn forget_old(&self) {
        let ended = self.tools.boards.rollouts.list().into_iter().filter(|r| r.state.has_ended());
        let old: Vec<_> = ended.skip(HISTORY).map(|r| r.id).collect();
        match store::forget(&self.tools.writer, &old) {
            Ok(()) => old.into_iter().for_each(|id| self.tools.boards.rollouts.remove(id)),
            Err(reason) => tracing::warn!(reason, "old roll-outs stay in the store for now"),
        }
    }
}

/// What a roll-out of a profile would be about, from the catalog.
pub(crate) async fn ask_facts(
    catalog: &Addr<CatalogActor>,
    profile: String,
    chosen: Option<Vec<DeviceName>>,
) -> Result<RolloutFacts, RolloutRefused> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    let look = Look(Box::new(move |catalog| {
        // Nobody waits any more: the answer is lost on nobody.
        let _ = sender.send(walk::facts(catalog, &profile, chosen.as_deref()));
    }));
    let internal = |_| RolloutRefused::Internal("the catalog gave no answer".to_owned());
    catalog.send(look).await.map_err(|e| RolloutRefused::Internal(e.to_string()))?;
    answer.await.map_err(internal)?
}

impl Actor for Manager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for (rollout, chosen) in std::mem::take(&mut self.found) {
            tracing::info!(
                rollout = rollout.id.0,
                profile = &*rollout.profile_name,
                state = rollout.state.as_str(),
                left = rollout.left(),
                "a roll-out of before goes on"
            );
            self.start(rollout, chosen, ctx);
        }
    }
}

impl Supervised for Manager {}

impl Handler<Begin> for Manager {
    type Result = ResponseActFuture<Self, Result<Rollout, RolloutRefused>>;

    fn handle(&mut self, Begin(wanted): Begin, _: &mut Self::Context) -> Self::Result {
        let Some(catalog) = self.tools.catalog.get().cloned() else {
            return Box::pin(ready(Err(RolloutRefused::Internal("the node is starting".to_owned()))));
        };
        let (profile, chosen) = (wanted.profile.clone(), wanted.chosen.clone());
        let asked = async move { ask_facts(&catalog, profile, chosen).await };
        Box::pin(asked.into_actor(self).map(move |facts, manager, ctx| manager.begin(wanted, facts, ctx)))
    }
}

impl Handler<OrderRollout> for Manager {
    type Result = ResponseActFuture<Self, Result<Rollout, RolloutRefused>>;

    fn handle(&mut self, OrderRollout(id, order): OrderRollout, _: &mut Self::Context) -> Self::Result {
        let Some(addr) = self.open.get(&id).cloned() else {
            let refused = match self.tools.boards.rollouts.get(id) {
                Some(ended) => keyline_domain::rollout::NotNow::Ended(ended.state).into(),
                None => RolloutRefused::NoRollout(id),
            };
            return Box::pin(ready(Err(refused)));
        };
        let done = async move {
            match addr.send(Do(order)).await {
                Ok(done) => done,
                Err(e) => Err(RolloutRefused::Internal(e.to_string())),
            }
        };
        Box::pin(done.into_actor(self))
    }
}

impl Handler<Ended> for Manager {
    type Result = ();

    fn handle(&mut self, Ended(id): Ended, _: &mut Self::Context) {
        if self.open.remove(&id).is_none() {
            return;
        }
        let Some(rollout) = self.tools.boards.rollouts.get(id) else { return };
        tracing::info!(rollout = id.0, state = rollout.state.as_str(), "a roll-out has ended");
        // The next one of the profile may have begun before this message came.
        if self.tools.boards.rollouts.open_of(rollout.applied.profile).is_none() {
            self.tools.registry.remove(rollout.applied.profile);
        }
        self.tools.own_metrics.open.dec();
        self.tools.boards.profiles.release(rollout.applied);
        if let Some(catalog) = self.tools.catalog.get() {
            catalog.do_send(crate::catalog::SweepVersions);
        }
    }
}

impl Handler<Quiesce> for Manager {
    type Result = ();

    fn handle(&mut self, _: Quiesce, _: &mut Self::Context) {
        self.stops = true;
        for addr in self.open.values() {
            addr.do_send(Halt);
        }
    }
}
