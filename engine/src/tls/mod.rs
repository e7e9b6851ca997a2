//! TLS of the SIP listeners: which suites and certificates a phone is offered, whom its certificate makes it,
//! and what a finished handshake proves.
//!
//! * [`policy`]: a menu of suites, the node's certificates and the trust become one `ServerConfig`.
//! * [`verify`]: client certificates against CallManager-trust, CAPF-trust and vendor-trust.
//! * [`resume`]: tickets, void as soon as the trust is another one.
//! * [`acceptor`]: the policy in force, and the handshake with its deadline.
//! * [`client`]: the policy of connections that the node begins.
//! * [`gate`]: turns for handshakes on a worker's thread.
//! * [`hello`]: the first bytes of a client.
//! * `legacy`: the second acceptor, for old phones (feature `legacy-tls`).
//! * [`source`]: where a policy comes from.
//! * [`stream`]: a connection after its handshake.
//! * [`refused`]: why a handshake came to nothing.

pub mod acceptor;
pub mod client;
pub mod gate;
pub mod hello;
#[cfg(feature = "legacy-tls")]
mod legacy;
pub mod policy;
pub mod refused;
pub mod resume;
pub mod source;
mod standing;
pub mod stream;
pub mod verify;

#[cfg(test)]
mod tests;
