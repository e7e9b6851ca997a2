//! Wrong tokens per source address, in a fixed array of atomics: whoever guesses is soon not looked at.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const CELLS: usize = 1024;

/// Time over which wrong tokens are counted, in microseconds.
const WINDOW_US: u64 = 60_000_000;

/// The count. Sources whose hash meets share a cell; the hash is keyed.
#[derive(Debug)]
pub(super) struct Attempts {
    cells: Box<[AtomicU64]>,
    keys: RandomState,
    cost_us: u64,
    began: Instant,
}

impl Attempts {
    /// So many wrong tokens of one source in a minute.
    pub(super) fn new(per_minute: u64) -> Self {
        Self {
            cells: std::iter::repeat_with(AtomicU64::default).take(CELLS).collect(),
            keys: RandomState::new(),
            cost_us: WINDOW_US / per_minute.clamp(1, WINDOW_US),
            began: Instant::now(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn cell(&self, source: IpAddr) -> &AtomicU64 {
        &self.cells[(self.keys.hash_one(source.to_canonical()) % CELLS as u64) as usize]
    }

    /// Seconds until a token of this source is looked at again; `None`: at once.
    pub(super) fn blocked(&self, source: IpAddr) -> Option<u64> {
        self.blocked_at(source, self.now())
    }

    /// Counts a wrong token.
    pub(super) fn wrong(&self, source: IpAddr) {
        self.wrong_at(source, self.now());
    }

    fn blocked_at(&self, source: IpAddr, now: u64) -> Option<u64> {
        let used = self.cell(source).load(Ordering::Relaxed);
        let over = (used + self.cost_us).checked_sub(now + WINDOW_US).filter(|over| *over > 0)?;
        Some(over.div_ceil(1_000_000))
    }

    fn wrong_at(&self, source: IpAddr, now: u64) {
        let next = |used: u64| Some(used.max(now).saturating_add(self.cost_us));
        // The closure always gives a value.
        let _ = self.cell(source).fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_minute_and_then_a_rest() {
        let attempts = Attempts::new(20);
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for n in 0..20 {
            assert_eq!(attempts.blocked_at(one, 1000), None, "{n}");
            attempts.wrong_at(one, 1000);
        }
        assert_eq!(attempts.blocked_at(one, 1000), Some(3));
        assert_eq!(attempts.blocked_at(other, 1000), None);
        assert_eq!(attempts.blocked_at(one, 3_100_000), None);
    }
}
