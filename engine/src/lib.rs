//! The engine: sockets, SIP, admission, certificates, administration.
//!
//! * [`node`]: assembles and runs a node. [`offline`]: a store that no node holds.
//! * [`edge`]: sockets. [`flow`]: connections. [`signaling`]: SIP. [`admission`]: who is served.
//! * [`tls`], [`pki`]: handshakes and certificates.
//! * [`admin`], [`cli`]: what operators use. [`config`], [`limits`], [`metrics`].

pub mod admin;
pub mod admission;
pub mod cli;
pub mod config;
pub mod edge;
pub mod flow;
pub mod instant;
pub mod limits;
pub mod metrics;
pub mod node;
pub mod oauth;
pub mod offline;
pub mod pki;
pub mod signaling;
pub mod tls;
pub mod trace;
pub mod trunk;
