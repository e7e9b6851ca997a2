//! Session tickets (RFC 5077, RFC 8446 §4.6.1): stateless, so that a storm of returning phones costs no
//! memory and no lock; a cache on the server would need about 2 KB a phone and drop what it cannot hold.
//!
//! A session keeps what its first handshake found out about the client. When the trust changes, that may no
//! longer hold, in both directions: a certificate that chained to a removed authority is no longer believed
//! (R052), and a phone that was never asked for its certificate must be asked once an authority is there
//! (R055). So every ticket bears the digest of the trust that it was given out under and is void under
//! another one: the phone then makes a full handshake. Keys live in memory and rotate every six hours; after
//! a restart the first handshake is a full one.

use std::fmt;
use std::sync::Arc;

use rustls::server::ProducesTickets;

/// Length of a trust digest.
pub const TRUST_DIGEST_LEN: usize = 32;

/// Digest of everything that a client was verified against.
pub type TrustDigest = [u8; TRUST_DIGEST_LEN];

/// Largest session that becomes a ticket, in bytes. It holds the client's chain and comes back in the
/// ClientHello, whose size is bounded too: a client with a longer chain is not resumed.
pub const SESSION_MAX: usize = 6 << 10;

/// Tickets of one trust, under keys that all trusts of a node share.
pub struct BoundTicketer {
    inner: Arc<dyn ProducesTickets>,
    trust: TrustDigest,
}

impl BoundTicketer {
    /// Tickets made by `inner` that are valid under `trust` only.
    pub fn new(inner: Arc<dyn ProducesTickets>, trust: TrustDigest) -> Self {
        Self { inner, trust }
    }
}

impl fmt::Debug for BoundTicketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoundTicketer")
    }
}

impl ProducesTickets for BoundTicketer {
    fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.inner.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        if session.len() > SESSION_MAX {
            return None;
        }
        let mut bound = Vec::with_capacity(TRUST_DIGEST_LEN + session.len());
        bound.extend_from_slice(&self.trust);
        bound.extend_from_slice(session);
        self.inner.encrypt(&bound)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let bound = self.inner.decrypt(ticket)?;
        // What is compared was authenticated by the ticket's own MAC; it is no secret.
        bound.strip_prefix(&self.trust).map(<[u8]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::Ticketer;

    use super::*;

    #[test]
    fn r052_a_ticket_is_void_under_another_trust() {
        let keys = Ticketer::new().unwrap();
        let old = BoundTicketer::new(Arc::clone(&keys), [1; 32]);
        let same = BoundTicketer::new(Arc::clone(&keys), [1; 32]);
        let new = BoundTicketer::new(keys, [2; 32]);
        let ticket = old.encrypt(b"session").unwrap();
        assert_eq!(same.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(new.decrypt(&ticket), None);
        assert_eq!(same.decrypt(&ticket[1..]), None);
        assert_eq!(same.decrypt(b""), None);
    }

    #[test]
    fn a_session_with_a_very_long_chain_is_not_resumed() {
        let ticketer = BoundTicketer::new(Ticketer::new().unwrap(), [0; 32]);
        assert!(ticketer.encrypt(&[0; SESSION_MAX]).is_some());
        assert!(ticketer.encrypt(&[0; SESSION_MAX + 1]).is_none());
    }
}
