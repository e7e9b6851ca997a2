//! The servers, asked over real sockets, with a node that is made up.

pub(crate) mod fake;

mod catalogue;
mod control;
mod find;
mod https;
mod metrics;
mod routes;
