//! Keyline's rules, pure.
//!
//! Nothing in this crate reads a clock, a socket, a file or a random number: time and randomness are
//! arguments, so that every rule can be tested in microseconds and replayed from a log.

pub mod admit;
pub mod audit;
pub mod call;
pub mod capf;
pub mod cipher;
pub mod class;
pub mod credential;
pub mod digest;
pub mod find;
pub mod flow;
pub mod hardening;
pub mod help;
pub mod identity;
pub mod ids;
pub mod impact;
pub mod inventory;
pub mod media;
pub mod mode;
pub mod model;
pub mod nonce;
pub mod oauth;
pub mod phone;
pub mod profile;
pub mod provision;
pub mod rollout;
pub mod setup;
pub mod subscription;
pub mod trunk;
