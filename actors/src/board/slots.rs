//! An append-only array that readers index without a lock.
//!
//! Chunks are allocated once and never move, so a `&T` stays good for the life of the array.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

const CHUNK: usize = 4096;
const CHUNKS: usize = 4096;

/// Most entries of one array: 16,777,216.
pub const CAPACITY: usize = CHUNK * CHUNKS;

/// The array.
pub struct Slots<T> {
    chunks: Box<[OnceLock<Box<[T]>>]>,
    len: AtomicUsize,
}

impl<T> std::fmt::Debug for Slots<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slots({})", self.len())
    }
}

impl<T: Default> Default for Slots<T> {
    fn default() -> Self {
        Self { chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(), len: AtomicUsize::new(0) }
    }
}

impl<T: Default> Slots<T> {
    /// Adds a default entry and returns its index; `None` when [`CAPACITY`] is reached.
    pub fn grow(&self) -> Option<u32> {
        let i = self
            .len
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < CAPACITY).then_some(n + 1))
            .ok()?;
        self.chunks[i / CHUNK].get_or_init(|| (0..CHUNK).map(|_| T::default()).collect());
        u32::try_from(i).ok()
    }

    /// The entry, when it exists.
    pub fn get(&self, index: u32) -> Option<&T> {
        let i = index as usize;
        if i >= self.len() {
            return None;
        }
        self.chunks.get(i / CHUNK)?.get()?.get(i % CHUNK)
    }
}

impl<T> Slots<T> {
    /// Entries so far.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// No entry yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_over_chunks_from_many_threads() {
        let slots = Slots::<AtomicUsize>::default();
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..5000 {
                        let i = slots.grow().unwrap();
                        slots.get(i).unwrap().fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(slots.len(), 20_000);
        assert!((0..20_000).all(|i| slots.get(i).unwrap().load(Ordering::Relaxed) == 1));
        assert!(slots.get(20_000).is_none());
    }
}
