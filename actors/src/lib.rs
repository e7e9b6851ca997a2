//! The supervisor tree.
//!
//! * [`system`]: opens a store, loads the boards, starts the tree. The only place that picks an engine.
//! * [`shard`]: owner of phone rows and calls; one a worker thread.
//! * [`phone`]: a phone as an actor while something outlives its message.
//! * [`audit`]: who changed what, in a chain.
//! * [`profile`]: roll-outs of a profile's versions; `signal` carries their words to and from shards.
//! * [`catalog`]: single writer of configuration; [`keyring`]: sealed keys.
//! * [`board`]: read views that the engine looks at without asking an actor.
//! * [`outlet`]: the one way out; the engine implements it.
//! * [`supervision`]: how much failing is borne, and where it ends.
//! * [`route`]: partitions, shards, dialog tags.

pub mod audit;
pub mod backup;
pub mod board;
mod call;
pub mod catalog;
pub mod clock;
pub mod error;
pub mod handle;
mod journal;
pub mod keyring;
pub mod metrics;
pub mod outlet;
pub mod phone;
pub mod profile;
pub mod route;
pub mod shard;
mod signal;
pub mod supervision;
pub mod system;
pub mod wheel;

pub use error::OpenError;
pub use handle::{Handle, Load};
pub use keyline_storage::faults;
pub use signal::Applied;
