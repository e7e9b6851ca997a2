//! TLS suites that protect signaling without hiding it, for phones in authenticated mode (R119): own code for
//! rustls, behind the feature `integrity-only`.
//!
//! * `tls12`: ECDHE-RSA-NULL-SHA and ECDHE-ECDSA-NULL-SHA (RFC 8422 §6) for TLS 1.2.
//! * `tls13`: TLS_SHA256_SHA256 (RFC 9150) for TLS 1.3.
//!
//! A record is the plain text and its MAC. Key exchange, certificates and the transcript are rustls' own, as with
//! any other suite. They belong into a configuration of their own, which is chosen only for a client that offers
//! nothing better: everything said under them, digest answers and SRTP keys included, can be read on the way.
//! Their keys are never given out (`extract_keys`): nobody else's record layer knows these suites.

mod tls12;
mod tls13;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use rustls::SupportedCipherSuite;

/// IANA number of TLS_SHA256_SHA256.
pub const TLS_SHA256_SHA256: u16 = 0xC0B4;
/// IANA number of TLS_ECDHE_RSA_WITH_NULL_SHA.
pub const TLS_ECDHE_RSA_WITH_NULL_SHA: u16 = 0xC010;
/// IANA number of TLS_ECDHE_ECDSA_WITH_NULL_SHA.
pub const TLS_ECDHE_ECDSA_WITH_NULL_SHA: u16 = 0xC006;

static SUITES: LazyLock<[SupportedCipherSuite; 3]> = LazyLock::new(|| {
    [
        SupportedCipherSuite::Tls13(&tls13::SHA256_SHA256),
        SupportedCipherSuite::Tls12(&tls12::ECDHE_RSA_NULL_SHA),
        SupportedCipherSuite::Tls12(&tls12::ECDHE_ECDSA_NULL_SHA),
    ]
});

/// The suites, for the provider of a client or server that is to speak integrity-only TLS: TLS 1.3 first, RSA
/// before ECDSA. Who wants another order picks by [`suite`].
pub fn suites() -> &'static [SupportedCipherSuite] {
    &*SUITES
}

/// The suite with this IANA number, if it is one of ours.
pub fn suite(id: u16) -> Option<SupportedCipherSuite> {
    suites().iter().find(|s| u16::from(s.suite()) == id).copied()
}
