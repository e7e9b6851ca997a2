//! Typed tables over one contract.
//!
//! Everything durable goes through the trait [`Store`]: `get`, `scan`, and an atomic `commit` of
//! guards, puts and deletes. Two backends carry it today, [`RocksStore`] on one node and
//! [`MemoryStore`] for tests and tools; one conformance suite runs over all of them.
//!
//! - [`table`]: the tables, by kind. A table is bytes to bytes: this crate does not know what a
//!   phone is.
//! - [`record`]: what a row looks like at rest (schema, revision, checksum, payload) and helpers to
//!   write payloads that later versions can still read.
//! - [`batch`]: a [`Commit`] and its [`Outcome`].
//! - [`store`]: the contract itself.
//! - [`backend`]: who fulfils it.
//! - [`writer`]: the one thread that groups commits, so that no caller ever waits for the disk.
//! - [`seal`]: secrets at rest, under the node key.
//! - [`faults`]: points at which tests let the process fail; empty in a release.
//! - [`snapshot`]: all rows as one stream, out and in.
//!
//! **Promise.** What is answered [`Outcome::Committed`] is there after `kill -9`
//! ([`Durability::Process`]) or after a power cut ([`Durability::Power`]); what is answered
//! [`Outcome::Conflict`] changed nothing; what is answered [`Outcome::Unknown`] is decided only by
//! reading the row again. A damaged row is an error that names it, never a panic and never a guess.

pub mod backend;
pub mod batch;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod error;
pub mod faults;
pub mod record;
pub mod revision;
pub mod seal;
pub mod snapshot;
pub mod store;
pub mod table;
pub mod writer;

pub use backend::memory::MemoryStore;
pub use backend::rocks::{Durability, RocksOptions, RocksStore};
pub use batch::{Commit, CommitBuilder, CommitError, Conflict, Guard, Outcome};
pub use error::StoreError;
pub use record::{Record, Revision, Seen};
pub use seal::{NodeKey, SealError, Sealed};
pub use store::{Consistency, Health, Limits, Page, ScanPage, See, Store};
pub use table::Table;
pub use writer::{CommitSink, SubmitError, Writer, WriterOptions, WriterStats};

#[cfg(test)]
mod tests;
