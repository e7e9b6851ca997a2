//! Session tickets of old phones (RFC 5077), made and opened by OpenSSL under keys that follow from the keyring's: so
//! they outlive a restart, and go with the key that they were made under.
//!
//! OpenSSL takes one set of keys a context, so there is a context for each ticket key in force, and the name in front of
//! a ticket says which. The keys depend on everything that clients are judged by and on the kind of the suite:
//! under other trust, after another revocation list, or with suites of the other kind a ticket opens nothing, and the
//! phone makes a whole handshake.

use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, KeyInit, Mac};
use keyline_actors::board::TicketKey;
use keyline_domain::mode::SuiteKind;
use openssl::error::ErrorStack;
use openssl::ssl::SslContextBuilder;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::tls::resume::TrustDigest;

/// Bytes of the name in front of each ticket.
pub(super) const NAME: usize = 16;
/// Name, key of the MAC, key of the cipher, as OpenSSL 3 takes them together.
const KEYS: usize = NAME + 32 + 32;

/// The three keys of a context.
pub(super) struct Keys(Zeroizing<[u8; KEYS]>);

impl Keys {
    /// From a ticket key, for clients that are judged by this trust, with suites of this kind.
    pub(super) fn of(key: &TicketKey, trust: &TrustDigest, kind: SuiteKind) -> Self {
        let mut all = Zeroizing::new([0; KEYS]);
        for (part, label) in all.chunks_mut(NAME).zip(["name", "mac 1", "mac 2", "key 1", "key 2"]) {
            // An HMAC takes a key of any length.
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*key.secret) else { continue };
            mac.update(b"keyline legacy session tickets ");
            mac.update(label.as_bytes());
            mac.update(&[u8::from(kind == SuiteKind::Encrypting)]);
            mac.update(trust);
            part.copy_from_slice(&mac.finalize().into_bytes()[..NAME]);
        }
        Self(all)
    }

    /// What its tickets begin with.
    pub(super) fn name(&self) -> [u8; NAME] {
        let mut name = [0; NAME];
        name.copy_from_slice(&self.0[..NAME]);
        name
    }

    /// Has a context make and open tickets with them.
    ///
    /// # Errors
    /// When OpenSSL takes them not.
    #[allow(unsafe_code, reason = "the crate has no safe function for it; see the comment below")]
    pub(super) fn put_into(&self, context: &SslContextBuilder) -> Result<(), ErrorStack> {
        /// `SSL_CTRL_SET_TLSEXT_TICKET_KEYS` of openssl/ssl.h.
        const SET_TICKET_KEYS: std::ffi::c_int = 59;
        let mut keys = Zeroizing::new(*self.0);
        // SAFETY: the context lives while the builder is borrowed and nobody else has it yet. OpenSSL copies
        // `KEYS` bytes out of `keys`, which has as many, and keeps no pointer to them
        // (SSL_CTX_set_tlsext_ticket_keys(3); it answers 0 for another length).
        let taken = unsafe {
            openssl_sys::SSL_CTX_ctrl(
                context.as_ptr(),
                SET_TICKET_KEYS,
                KEYS as std::ffi::c_long,
                keys.as_mut_ptr().cast(),
            )
        };
        if taken == 1 { Ok(()) } else { Err(ErrorStack::get()) }
    }
}

/// Tickets whose session went on and then did not satisfy: a session keeps the phone's own certificate and not those
/// between it and its authority. A phone that comes with such a ticket again makes a whole handshake. A few words
/// of memory: one that is forgotten fails once more.
#[derive(Debug)]
pub(in crate::tls) struct Spent(Box<[AtomicU64]>);

impl Default for Spent {
    fn default() -> Self {
        Self((0..1024).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Spent {
    /// Its place, and what stands there for it, never zero.
    fn place(&self, ticket: &[u8]) -> (&AtomicU64, u64) {
        let digest: [u8; 32] = Sha256::digest(ticket).into();
        let (head, _) = digest.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        let mark = u64::from_le_bytes(*head);
        (&self.0[mark as usize % self.0.len()], mark | 1)
    }

    /// Notes one.
    pub(in crate::tls) fn note(&self, ticket: &[u8]) {
        let (place, mark) = self.place(ticket);
        place.store(mark, Ordering::Relaxed);
    }

    /// It was noted.
    pub(in crate::tls) fn has(&self, ticket: &[u8]) -> bool {
        let (place, mark) = self.place(ticket);
        place.load(Ordering::Relaxed) == mark
    }
}

#[cfg(test)]
mod tests {
    use keyline_domain::ids::UnixMillis;

    use super::*;

    #[test]
    fn each_key_trust_and_kind_has_keys_of_its_own() {
        let key = |n| TicketKey { id: 1, since: UnixMillis(0), secret: Zeroizing::new([n; 32]) };
        let all = [(1, 1, true), (2, 1, true), (1, 2, true), (1, 1, false)].map(|(secret, trust, kind)| {
            let kind = if kind { SuiteKind::Encrypting } else { SuiteKind::IntegrityOnly };
            Keys::of(&key(secret), &[trust; 32], kind).0
        });
        for (n, one) in all.iter().enumerate() {
            let parts: Vec<_> = one.chunks(NAME).collect();
            for (m, other) in all.iter().enumerate() {
                let same = other.chunks(NAME).filter(|part| parts.contains(part)).count();
                assert_eq!(same, if n == m { 5 } else { 0 });
            }
        }
    }

    #[test]
    fn a_spent_ticket_is_known_and_no_other() {
        let spent = Spent::default();
        assert!(!spent.has(b"one"));
        spent.note(b"one");
        assert!(spent.has(b"one") && !spent.has(b"two"));
    }
}
