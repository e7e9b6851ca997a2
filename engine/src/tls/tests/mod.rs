//! Handshakes in memory with rustls as the phone, and on a loopback address with OpenSSL.

mod clients;
mod cost;
mod deadlines;
mod integrity;
mod menus;
mod openssl;
mod revoked;
mod stapled;
pub(crate) mod support;
mod swap;
