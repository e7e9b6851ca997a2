//! Tokens whose signature was found right, by their digest: a fixed array, no lock, the text itself is not kept.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Verified;

const WAYS: usize = 4;

/// The cache. It saves the work of a signature and decides nothing: what it gives back is judged anew.
pub struct Cache {
    slots: Box<[ArcSwapOption<Verified>]>,
}

impl Cache {
    /// For this many tokens, rounded up to a multiple of four.
    pub fn new(tokens: usize) -> Self {
        let slots = tokens.max(1).div_ceil(WAYS) * WAYS;
        Self { slots: std::iter::repeat_with(ArcSwapOption::empty).take(slots).collect() }
    }

    /// The token of this digest.
    pub fn get(&self, digest: &[u8; 32]) -> Option<Arc<Verified>> {
        self.set(digest).iter().find_map(|slot| slot.load_full().filter(|v| v.digest == *digest))
    }

    /// Keeps a token in the place of the one of its set that ends first.
    pub fn put(&self, verified: &Arc<Verified>) {
        let ends = |slot: &ArcSwapOption<Verified>| slot.load().as_ref().map_or(0, |v| v.claims.expires);
        if let Some(slot) = self.set(&verified.digest).iter().min_by_key(|slot| ends(slot)) {
            slot.store(Some(Arc::clone(verified)));
        }
    }

    fn set(&self, digest: &[u8; 32]) -> &[ArcSwapOption<Verified>] {
        let number = digest.first_chunk().map_or(0, |b| u64::from_be_bytes(*b));
        let at = (number % (self.slots.len() / WAYS) as u64) as usize * WAYS;
        &self.slots[at..at + WAYS]
    }
}

#[cfg(test)]
mod tests {
    use keyline_domain::oauth::Claims;

    use super::*;

    fn verified(number: u8, expires: u64) -> Arc<Verified> {
        let claims = Claims { expires, ..Claims::of_device("SEP00AABBCCDD01") };
        Arc::new(Verified { claims, key: [0; 32], digest: [number; 32] })
    }

    #[test]
    fn it_holds_what_it_is_for_and_forgets_what_ends_first() {
        let cache = Cache::new(4);
        for number in 1..=4 {
            cache.put(&verified(number, 100 + u64::from(number)));
        }
        assert!((1..=4).all(|n| cache.get(&[n; 32]).is_some()));
        cache.put(&verified(9, 50));
        assert!(cache.get(&[1; 32]).is_none() && cache.get(&[9; 32]).is_some());
        cache.put(&verified(8, 500));
        assert!(cache.get(&[9; 32]).is_none() && cache.get(&[2; 32]).is_some());
        assert!(cache.get(&[7; 32]).is_none());
    }
}
