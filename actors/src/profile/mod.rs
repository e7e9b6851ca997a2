//! Roll-outs: the saved version of a profile is brought to its phones at a pace (design §5 Profile versions).
//!
//! One actor a profile while a roll-out of it is open. It asks the catalog for the next phones in order of
//! name, hands each to its shard, which commits, publishes and signals, and watches whether the phone comes
//! back. How far it is stands in the store (`Table::Intents`), at most a quarter of a second behind, so that a
//! restart goes on there: a phone may then be signalled twice, none is left out. The actors live on a thread of
//! their own, which may wait for the disk.

mod actor;
mod manager;
mod metrics;
mod order;
mod store;
mod walk;
mod words;

pub(crate) use manager::{Begin, Manager, OrderRollout, Quiesce, ask_facts};
pub(crate) use metrics::RolloutMetrics;
pub(crate) use store::{hold_restored, load};

use std::sync::{Arc, OnceLock};

use actix::Addr;
use keyline_domain::ids::{DeviceName, ProfileId};
use keyline_domain::phone::AppliedVersion;
use keyline_domain::rollout::{Gate, NotNow, Order, RolloutId};
use keyline_storage::Writer;

use crate::board::Boards;
use crate::catalog::CatalogActor;
use crate::metrics::Metrics;
use crate::route::PartitionTable;
use crate::shard::Router;
use crate::signal::Registry;

/// Most phones that a roll-out of chosen ones may have; for more, take all of the profile.
pub const CHOSEN_MAX: usize = 10_000;

/// Roll-outs that have ended and are still shown.
pub const HISTORY: usize = 100;

/// What a roll-out of a profile would be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutFacts {
    /// The profile.
    pub profile: ProfileId,
    /// Its name.
    pub name: Box<str>,
    /// The version that would be brought to phones.
    pub applied: AppliedVersion,
    /// Phones that it is about.
    pub phones: u64,
}

/// A roll-out that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutWanted {
    /// Name of the profile.
    pub profile: String,
    /// Chosen phones; none: all of the profile.
    pub chosen: Option<Vec<DeviceName>>,
    /// What phones are told.
    pub order: Order,
    /// Phones a second, 1 to [`keyline_domain::rollout::PER_SECOND_MAX`].
    pub per_second: u32,
    /// When it stops by itself.
    pub gate: Gate,
    /// Who asks.
    pub by: Box<str>,
    /// What was confirmed: it must still be so.
    pub confirmed: RolloutFacts,
}

/// An order to a roll-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutOrder {
    /// Hold it.
    Pause,
    /// Let it go on.
    Resume,
    /// End it.
    Stop,
}

impl RolloutOrder {
    /// As in the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "rollout_pause",
            Self::Resume => "rollout_resume",
            Self::Stop => "rollout_stop",
        }
    }
}

impl RolloutRefused {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoProfile(_) => "security_profile_not_found",
            Self::NoRollout(_) => "rollout_not_found",
            Self::NotOfProfile(_) | Self::Chosen(_) => "rollout_refused",
            Self::Changed => "confirmation_required",
            Self::Open(_) => "rollout_open",
            Self::NotNow(_) => "rollout_not_now",
            Self::Store(_) | Self::Internal(_) => "internal",
        }
    }
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RolloutRefused {
    /// No such profile.
    #[error("there is no security profile {0:?}")]
    NoProfile(String),
    /// No such roll-out.
    #[error("there is no roll-out {0}")]
    NoRollout(RolloutId),
    /// A chosen phone is none of the profile.
    #[error("{0} is no phone of this profile")]
    NotOfProfile(DeviceName),
    /// Too many chosen, or none.
    #[error("{0} phones are chosen; choose 1 to {CHOSEN_MAX}, or all of the profile")]
    Chosen(usize),
    /// Profile or phones changed since it was confirmed.
    #[error("the profile or its phones changed since this was confirmed; confirm again")]
    Changed,
    /// One is open already.
    #[error("roll-out {0} of this profile is open; let it end, or stop it")]
    Open(RolloutId),
    /// It is not in a state for that.
    #[error("{0}")]
    NotNow(#[from] NotNow),
    /// The store did not take it.
    #[error("the store did not take it: {0}")]
    Store(String),
    /// The node stops, or a fault of ours.
    #[error("{0}")]
    Internal(String),
}

/// What all roll-outs work with.
pub(crate) struct Tools {
    pub(crate) boards: Arc<Boards>,
    pub(crate) table: Arc<PartitionTable>,
    pub(crate) router: Arc<Router>,
    pub(crate) catalog: OnceLock<Addr<CatalogActor>>,
    pub(crate) writer: Writer,
    pub(crate) metrics: Metrics,
    pub(crate) own_metrics: RolloutMetrics,
    pub(crate) registry: Arc<Registry>,
}
