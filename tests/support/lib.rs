//! What the suites stand on: whole nodes in folders of their own, inventories, certificates, and the
//! outside clients that judge them.
//!
//! A [`node::Node`] is the built binary with its own data folder and ports that the system chose.
//! [`inventory::Inventory`] makes its rows, [`pki`] the certificates of phones. [`client`] starts the
//! clients that other people wrote. Simulated phones are those of `keyline-loadtest`.
//!
//! Nothing here waits for a fixed time: [`wait::until`] looks for a condition and gives up after
//! [`wait::PATIENCE`]. A helper that fails panics with what it saw: its caller is a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    reason = "a test's helper fails by panicking and shows what it saw"
)]

pub mod admin;
pub mod client;
pub mod faults;
pub mod inventory;
pub mod mutate;
pub mod node;
pub mod openssl;
pub mod own;
pub mod pki;
pub mod place;
mod ports;
pub mod raw;
pub mod relay;
pub mod secure;
pub mod sip;
pub mod wait;
pub mod websocket;
pub mod wiretap;
