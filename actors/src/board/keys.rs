//! Keys in force, from the keyring.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use keyline_domain::nonce::NonceKeys;

use crate::route::TagKey;

/// Everything that packets are checked or made with.
#[derive(Clone)]
pub struct Keys {
    /// Nonce keys: current and previous.
    pub nonce: NonceKeys,
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

    /// Keys in force. The guard must not be held across an await.
    pub fn load(&self) -> Guard<Arc<Keys>> {
        self.0.load()
    }
}
