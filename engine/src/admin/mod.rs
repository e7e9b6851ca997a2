//! The node's administration: its API over HTTPS, metrics over HTTP, and the control socket that the
//! command line speaks to.
//!
//! [`start`] gives each server threads of its own, so that a slow client never keeps a worker from its
//! phones. All ask the node through [`NodeApi`]; nothing here knows how it works inside. [`control`] is
//! the other end of the socket.

pub mod audit;
pub mod changes;
pub mod control;
pub mod lists;
pub mod views;

mod api;
mod attempts;
mod backup;
mod caller;
pub mod crl;
mod guard;
mod http;
mod inventory;
mod node;
pub mod oauth;
mod openapi;
mod orders;
pub mod own;
mod problem;
mod rates;
pub mod remote;
mod rollouts;
mod server;
mod socket;
mod token;
pub mod tokens;
mod traces;

#[cfg(test)]
pub(crate) mod tests;

pub use inventory::IMPORT_MAX;
pub use lists::{CURSOR_MAX, LIMIT_DEFAULT, LIMIT_MAX};
pub use node::{BackupWriter, BoxFuture, NodeApi, OfflineApi, Reading};
pub(crate) use openapi::document as description;
pub use orders::{OrderRefused, PhoneOrder};
pub use problem::{Code, PROBLEM_JSON, Problem};
pub use rollouts::{PER_SECOND, RolloutApi};
pub use server::{ApiSetup, Running, Setup, StartError, start};
pub use socket::CONTROL_SOCKET;
pub use token::{AdminToken, Presented, TOKEN_FILE, TOKEN_MAX, TokenError};
pub use traces::{TraceOf, none as trace_of_nothing};
