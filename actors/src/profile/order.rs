//! Orders of administrators to a roll-out: taken when they are stored.

use actix::{Context, Handler, Message};
use keyline_domain::rollout::Rollout;

use super::actor::ProfileActor;
use super::{RolloutOrder, RolloutRefused};
use crate::clock::now;

/// An order to this roll-out.
#[derive(Debug, Message)]
#[rtype(result = "Result<Rollout, RolloutRefused>")]
pub(super) struct Do(pub(super) RolloutOrder);

/// The node stops.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Halt;

impl Handler<Do> for ProfileActor {
    type Result = Result<Rollout, RolloutRefused>;

    fn handle(&mut self, Do(order): Do, ctx: &mut Context<Self>) -> Self::Result {
        let mut answer = Err(RolloutRefused::Internal("the roll-out failed; look before you repeat".into()));
        self.guarded(ctx, |actor, _| answer = actor.obey(order));
        answer
    }
}

impl Handler<Halt> for ProfileActor {
    type Result = ();

    fn handle(&mut self, _: Halt, ctx: &mut Context<Self>) {
        self.guarded(ctx, Self::quiesce);
    }
}

impl ProfileActor {
    fn obey(&mut self, order: RolloutOrder) -> Result<Rollout, RolloutRefused> {
        let (at, before) = (now(), self.rollout.clone());
        match order {
            RolloutOrder::Pause => self.rollout.pause()?,
            RolloutOrder::Resume => self.rollout.resume()?,
            RolloutOrder::Stop => self.rollout.stop(at)?,
        }
        if !self.persist(at) {
            self.rollout = before;
            return Err(RolloutRefused::Store("the log says why".to_owned()));
        }
        if order == RolloutOrder::Resume {
            self.take_up_reachable(at);
        }
        Ok(self.rollout.clone())
    }
}
