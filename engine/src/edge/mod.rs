//! Sockets. Hot path: no blocking call, no lock, no info-level log in this folder.

pub mod bind;
pub mod outbox;
pub mod queue;
pub mod stream;
pub mod udp;
pub mod websocket;
