//! Keys in force, from the keyring.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
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

/// Everything that packets are checked or made with.
#[derive(Clone)]
pub struct Keys {
    /// Nonce keys: current and previous.
    pub nonce: NonceKeys,
    /// Secrets of the keys that sign tokens.
    pub oauth: OauthSecrets,
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

    /// Keys in force. The guard must not be held across an await.
    pub fn load(&self) -> Guard<Arc<Keys>> {
        self.0.load()
    }
}
