//! SIP and SDP codecs: bytes to messages and back. No sockets, no clock.
//!
//! [`sip`] reads and writes messages, frames streams and answers STUN keepalives; [`sdp`] reads and
//! writes session descriptions; [`events`] writes what notifications say. Both borrow from the bytes they read, never panic on any input, and
//! bound everything that a peer decides the size of.

pub mod events;
pub mod hello;
#[cfg(feature = "integrity-only")]
pub mod integrity_only;
pub mod sdp;
pub mod sip;
