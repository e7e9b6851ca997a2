//! SIP and SDP codecs: bytes to messages and back. No sockets, no clock.

pub mod sdp;
pub mod sip;
