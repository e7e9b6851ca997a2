//! Requests of each source and of each token, in fixed arrays of atomics: nobody keeps the API from the others,
//! and no peer makes the count grow.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::limits;

const CELLS: usize = 8192;

/// A second, in microseconds: as much as may come at once.
const WINDOW_US: u64 = 1_000_000;

/// The counts of one limit. Those whose hash meets share a cell; the hash is keyed.
#[derive(Debug)]
struct Buckets {
    cells: Box<[AtomicU64]>,
    keys: RandomState,
    cost_us: AtomicU64,
}

/// The counts.
#[derive(Debug)]
pub(super) struct Rates {
    sources: Buckets,
    tokens: Buckets,
    began: Instant,
}

impl Rates {
    /// So many requests a second, and as many at once.
    pub(super) fn new(per_source: u64, per_token: u64) -> Self {
        Self { sources: Buckets::new(per_source), tokens: Buckets::new(per_token), began: Instant::now() }
    }

    /// Other limits, from now on.
    pub(super) fn set(&self, per_source: u64, per_token: u64) {
        self.sources.cost_us.store(cost_us(per_source), Ordering::Relaxed);
        self.tokens.cost_us.store(cost_us(per_token), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Takes a request of a source; else the seconds until one is taken again.
    pub(super) fn source(&self, source: IpAddr) -> Result<(), u64> {
        self.sources.take(&limits::source(source), self.now())
    }

    /// Takes a request of a token; else the seconds until one is taken again.
    pub(super) fn token(&self, name: &str) -> Result<(), u64> {
        self.tokens.take(name, self.now())
    }
}

/// What one request takes of a window.
fn cost_us(per_second: u64) -> u64 {
    WINDOW_US / per_second.clamp(1, WINDOW_US)
}

impl Buckets {
    fn new(per_second: u64) -> Self {
        Self {
            cells: std::iter::repeat_with(AtomicU64::default).take(CELLS).collect(),
            keys: RandomState::new(),
            cost_us: cost_us(per_second).into(),
        }
    }

    fn take<K: Hash + ?Sized>(&self, key: &K, now: u64) -> Result<(), u64> {
        let cell = &self.cells[(self.keys.hash_one(key) % CELLS as u64) as usize];
        let cost_us = self.cost_us.load(Ordering::Relaxed);
        let next = |used: u64| {
            let next = used.max(now).saturating_add(cost_us);
            (next <= now.saturating_add(WINDOW_US)).then_some(next)
        };
        match cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_) => Ok(()),
            // What is used is used up in less than two windows.
            Err(_) => Err(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_and_each_for_itself() {
        let buckets = Buckets::new(10);
        let taken = |key: &str, now| (0..100).filter(|_| buckets.take(key, now).is_ok()).count();
        assert_eq!(taken("a", 5_000_000), 10);
        assert_eq!(taken("b", 5_000_000), 10);
        assert_eq!(taken("a", 5_500_000), 5);
        assert_eq!(taken("a", 60_000_000), 10, "what was not used is not saved up");
        // As a reload does.
        buckets.cost_us.store(cost_us(20), Ordering::Relaxed);
        assert_eq!(taken("a", 70_000_000), 20);
    }
}
