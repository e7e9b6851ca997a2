//! Session tickets (RFC 5077, RFC 8446 §4.6.1): stateless, so that a storm of returning phones costs no
//! memory and no lock; a cache on the server would need about 2 KB a phone and drop what it cannot hold.
//!
//! A session keeps what its first handshake found out about the client. When the trust changes, that may no
//! longer hold, in both directions: a certificate that chained to a removed authority is no longer believed
//! (R052), and a phone that was never asked for its certificate must be asked once an authority is there
//! (R055). So every ticket is bound to the digest of the trust that it was given out under and is void under
//! another one: the phone then makes a full handshake.
//!
//! Tickets are sealed by keys of the keyring, which keeps and rotates them and publishes them to all workers:
//! phones resume after a restart too, also after one that nobody planned.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use keyline_actors::board::{Boards, TicketKey, TicketKeys};
use rustls::crypto::SecureRandom;
use rustls::server::ProducesTickets;

/// Length of a trust digest.
pub const TRUST_DIGEST_LEN: usize = 32;

/// Digest of everything that a client was verified against.
pub type TrustDigest = [u8; TRUST_DIGEST_LEN];

/// Largest session that becomes a ticket, in bytes. It holds the client's chain and comes back in the
/// ClientHello, whose size is bounded too: a client with a longer chain is not resumed.
pub const SESSION_MAX: usize = 6 << 10;

/// Seconds that clients are told to keep a ticket (RFC 8446 §4.6.1: at most a week). One whose key is gone by
/// then costs a full handshake.
const LIFETIME_S: u32 = 86_400;

/// Bytes of the id of a key, in front of its tickets.
const ID: usize = 4;

/// Where the keys come from, read for each ticket.
pub trait TicketSource: Send + Sync {
    /// Those in force.
    fn ticket_keys(&self) -> TicketKeys;
}

impl TicketSource for Boards {
    fn ticket_keys(&self) -> TicketKeys {
        self.keys.load().tickets.clone()
    }
}

/// Tickets of one trust: id of the key (4 bytes), random nonce (12), session under AES-256-GCM-SIV (RFC 8452). Nothing
/// needs to be counted, whichever worker makes a ticket: random nonces of that size would do for billions of tickets
/// under a key that is used for hours, and one that came twice would only show that two sessions are the same.
pub struct BoundTicketer {
    keys: Arc<dyn TicketSource>,
    trust: TrustDigest,
    /// The generator of the handshake itself: it asks the system now and then only.
    random: &'static dyn SecureRandom,
}

impl BoundTicketer {
    /// Tickets under these keys that are valid under `trust` only.
    pub fn new(keys: Arc<dyn TicketSource>, trust: TrustDigest) -> Self {
        Self { keys, trust, random: rustls::crypto::aws_lc_rs::default_provider().secure_random }
    }
}

impl fmt::Debug for BoundTicketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoundTicketer")
    }
}

fn cipher(key: &TicketKey) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM_SIV, &*key.secret).ok().map(LessSafeKey::new)
}

impl ProducesTickets for BoundTicketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_S
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        if session.len() > SESSION_MAX {
            return None;
        }
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let keys = self.keys.ticket_keys();
        let key = keys.current();
        let mut ticket = Vec::with_capacity(ID + NONCE_LEN + session.len() + AES_256_GCM_SIV.tag_len());
        ticket.extend_from_slice(&key.id.to_be_bytes());
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(session);
        let (_, sealed) = ticket.split_at_mut(ID + NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = cipher(key)?.seal_in_place_separate_tag(nonce, Aad::from(&self.trust), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = ticket.split_first_chunk::<ID>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys.ticket_keys();
        let key = keys.get(u32::from_be_bytes(*id))?;
        let mut session = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = cipher(key)?.open_in_place(nonce, Aad::from(&self.trust), &mut session).ok()?.len();
        session.truncate(length);
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use keyline_domain::ids::UnixMillis;
    use zeroize::Zeroizing;

    use super::*;

    struct Keys(Mutex<TicketKeys>);

    fn keys(ids: &[u32]) -> TicketKeys {
        let key =
            |id: &u32| TicketKey { id: *id, since: UnixMillis(0), secret: Zeroizing::new([*id as u8; 32]) };
        TicketKeys::new(ids.iter().map(key).map(Arc::new))
    }

    impl TicketSource for Keys {
        fn ticket_keys(&self) -> TicketKeys {
            self.0.lock().unwrap().clone()
        }
    }

    fn under(ids: &[u32]) -> Arc<Keys> {
        Arc::new(Keys(Mutex::new(keys(ids))))
    }

    #[test]
    fn r052_a_ticket_is_void_under_another_trust() {
        let keys = under(&[1]);
        let old = BoundTicketer::new(keys.clone(), [1; 32]);
        let same = BoundTicketer::new(keys.clone(), [1; 32]);
        let new = BoundTicketer::new(keys, [2; 32]);
        let ticket = old.encrypt(b"session").unwrap();
        assert_eq!(same.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(new.decrypt(&ticket), None);
        for end in 0..ticket.len() {
            assert_eq!(same.decrypt(&ticket[..end]), None);
            let mut other = ticket.clone();
            other[end] ^= 1;
            assert_eq!(same.decrypt(&other), None);
        }
    }

    #[test]
    fn keys_before_the_newest_still_open_and_one_that_is_gone_does_not() {
        let keys_now = under(&[1]);
        let tickets = BoundTicketer::new(keys_now.clone(), [0; 32]);
        let first = tickets.encrypt(b"first").unwrap();
        *keys_now.0.lock().unwrap() = keys(&[2, 1]);
        assert_eq!(tickets.decrypt(&first).as_deref(), Some(&b"first"[..]));
        let second = tickets.encrypt(b"second").unwrap();
        *keys_now.0.lock().unwrap() = keys(&[3, 2]);
        assert_eq!(tickets.decrypt(&first), None);
        assert_eq!(tickets.decrypt(&second).as_deref(), Some(&b"second"[..]));
        // Another start of the node, with the same keys from the store.
        let again = BoundTicketer::new(under(&[3, 2]), [0; 32]);
        assert_eq!(again.decrypt(&second).as_deref(), Some(&b"second"[..]));
    }

    #[test]
    fn a_session_with_a_very_long_chain_is_not_resumed() {
        let ticketer = BoundTicketer::new(under(&[1]), [0; 32]);
        assert!(ticketer.encrypt(&[0; SESSION_MAX]).is_some());
        assert!(ticketer.encrypt(&[0; SESSION_MAX + 1]).is_none());
    }
}
