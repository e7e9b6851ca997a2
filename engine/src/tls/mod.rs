//! TLS of the SIP listeners: policies, client verification, and what a finished handshake proves.

pub mod policy;
pub mod verify;
