//! The node's administration: read API over HTTPS, metrics over HTTP, and the control socket that the
//! command line speaks to.
//!
//! Each server has threads of its own, so that a slow client never keeps a worker from its phones. All
//! ask the node through [`NodeApi`]; nothing here knows how it works inside.

pub mod views;

mod node;

pub use node::{BoxFuture, NodeApi, OfflineApi};
