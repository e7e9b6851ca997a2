//! Keys in force, from the keyring.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use keyline_domain::ids::UnixMillis;
use keyline_domain::nonce::NonceKeys;
use zeroize::Zeroizing;

use crate::route::TagKey;

/// Secrets that the engine makes its signing keys for tokens of: the one that signs, and the one before it.
#[derive(Clone)]
pub struct OauthSecrets {
    /// Tells one pair from another: number and time of the current one.
    id: (u8, u64),
    current: Arc<Zeroizing<[u8; 32]>>,
    previous: Option<Arc<Zeroizing<[u8; 32]>>>,
}

impl OauthSecrets {
    /// Two secrets. `id` (number and time of the current one) tells this pair from every other.
    pub fn new(id: (u8, u64), current: Zeroizing<[u8; 32]>, previous: Option<Zeroizing<[u8; 32]>>) -> Self {
        Self { id, current: Arc::new(current), previous: previous.map(Arc::new) }
    }

    /// The one that signs.
    pub fn current(&self) -> &[u8; 32] {
        &self.current
    }

    /// The one before it, whose tokens are still taken.
    pub fn previous(&self) -> Option<&[u8; 32]> {
        self.previous.as_deref().map(|secret| &**secret)
    }
}

/// The same pair. Rotations are what tells pairs apart; secrets are not compared.
impl PartialEq for OauthSecrets {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl std::fmt::Debug for OauthSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OauthSecrets({})", self.id.0)
    }
}

/// Bytes of the secret of a [`TicketKey`].
pub const TICKET_SECRET_LEN: usize = 32;

/// A key that seals TLS session tickets.
pub struct TicketKey {
    /// Stands in each of its tickets.
    pub id: u32,
    /// Since when it makes tickets.
    pub since: UnixMillis,
    /// Key of the AEAD.
    pub secret: Zeroizing<[u8; TICKET_SECRET_LEN]>,
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TicketKey({})", self.id)
    }
}

/// The ticket keys in force: the newest makes tickets, the others open them. Never empty.
#[derive(Debug, Clone)]
pub struct TicketKeys(Arc<[Arc<TicketKey>]>);

impl TicketKeys {
    /// Newest first; there must be one.
    pub fn new(newest_first: impl IntoIterator<Item = Arc<TicketKey>>) -> Self {
        let keys: Arc<[_]> = newest_first.into_iter().collect();
        assert!(!keys.is_empty(), "a keyring has a ticket key");
        Self(keys)
    }

    /// The key that makes tickets.
    pub fn current(&self) -> &TicketKey {
        &self.0[0]
    }

    /// All of them, newest first.
    pub fn iter(&self) -> impl Iterator<Item = &TicketKey> {
        self.0.iter().map(|key| &**key)
    }

    /// Both are the same keys.
    pub fn are(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.iter().map(|key| key.id).eq(other.iter().map(|key| key.id))
    }

    /// The key of that id, while its tickets are taken.
    pub fn get(&self, id: u32) -> Option<&TicketKey> {
        self.0.iter().find(|key| key.id == id).map(|key| &**key)
    }
}

/// Everything that packets are checked or made with.
#[derive(Clone)]
pub struct Keys {
    /// Nonce keys: current and previous.
    pub nonce: NonceKeys,
    /// Secrets of the keys that sign tokens.
    pub oauth: OauthSecrets,
    /// Keys of TLS session tickets.
    pub tickets: TicketKeys,
    /// Key of dialog tags.
    pub tags: TagKey,
    /// Start number of this node: counts starts, so that a nonce of an earlier one is told apart.
    pub start: u32,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys(start {})", self.start)
    }
}

/// The board.
#[derive(Debug)]
pub struct KeyBoard(ArcSwap<Keys>);

impl KeyBoard {
    /// A board with these keys.
    pub fn new(keys: Keys) -> Self {
        Self(ArcSwap::from_pointee(keys))
    }

    /// Other nonce keys from now on.
    pub(crate) fn set_nonce(&self, nonce: NonceKeys) {
        let keys = self.0.load();
        self.0.store(Arc::new(Keys { nonce, ..Keys::clone(&keys) }));
    }

    /// Other secrets of token keys from now on.
    pub(crate) fn set_oauth(&self, oauth: OauthSecrets) {
        let keys = self.0.load();
        self.0.store(Arc::new(Keys { oauth, ..Keys::clone(&keys) }));
    }

    /// Other ticket keys from now on.
    pub(crate) fn set_tickets(&self, tickets: TicketKeys) {
        let keys = self.0.load();
        self.0.store(Arc::new(Keys { tickets, ..Keys::clone(&keys) }));
    }

    /// Keys in force. The guard must not be held across an await.
    pub fn load(&self) -> Guard<Arc<Keys>> {
        self.0.load()
    }
}
