//! Simulated SIP phones: the demo's fleet, the load generator, and the tests' outside judge.
//!
//! [`phone`] is one phone as a user would hold it: it registers, calls, holds, and keeps a record of
//! everything it sent and received. [`load`] is many phones at once, as cheap as they can be made, against
//! any SIP server. Both know the SIP text of `keyline-wire` and the digest of `keyline-domain`, and nothing of the
//! engine: what they say about it comes from its sockets.

pub mod admin;
pub mod demo;
pub mod figures;
pub mod inventory;
pub mod limits;
pub mod load;
pub mod million;
pub mod mixed;
pub mod overload;
pub mod pace;
pub mod pages;
pub mod phone;
pub mod pki;
pub mod scale;
pub mod server;
pub mod storm;
#[cfg(test)]
mod switchboard;
pub mod tls;
pub mod tls_bench;
pub mod tls_line;
pub mod versus;
