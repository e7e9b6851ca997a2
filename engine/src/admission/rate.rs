//! A rate limit per source address in a fixed array of atomics: bounded memory, no lock.
//!
//! The generic cell rate algorithm (ITU-T I.371): a cell holds the time at which its source has used up
//! nothing. Sources whose hash meets share a cell; the hash is keyed, so nobody can choose with whom.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits;

/// The limit.
#[derive(Debug)]
pub struct SourceRate {
    cells: Box<[AtomicU64]>,
    keys: RandomState,
    /// Microseconds that one request costs.
    cost_us: AtomicU64,
    /// Microseconds that may be used ahead of time.
    burst_us: u64,
}

impl SourceRate {
    /// At most `per_second` requests of one source, as many at once as fit into one second.
    pub fn new(cells: usize, per_second: u64) -> Self {
        Self {
            cells: std::iter::repeat_with(AtomicU64::default).take(cells.max(1)).collect(),
            keys: RandomState::new(),
            cost_us: AtomicU64::new(cost(per_second)),
            burst_us: 1_000_000,
        }
    }

    /// Another rate from now on.
    pub fn set(&self, per_second: u64) {
        self.cost_us.store(cost(per_second), Ordering::Relaxed);
    }

    /// Takes one request of a source at `now_us` (a clock that does not run backwards); `false`: too many.
    pub fn take(&self, source: IpAddr, now_us: u64) -> bool {
        let at = (self.keys.hash_one(limits::source(source)) % self.cells.len() as u64) as usize;
        let cost_us = self.cost_us.load(Ordering::Relaxed);
        let next = |used: u64| {
            let from = used.max(now_us);
            (from - now_us + cost_us <= self.burst_us).then_some(from + cost_us)
        };
        self.cells[at].fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

/// Microseconds that one request costs.
fn cost(per_second: u64) -> u64 {
    1_000_000 / per_second.clamp(1, 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_gets_its_rate_and_a_burst_and_no_more() {
        let rate = SourceRate::new(64, 100);
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        let granted =
            |from: u64, n: u64, gap: u64| (0..n).filter(|i| rate.take(source, from + i * gap)).count();
        assert_eq!(granted(1_000_000, 1000, 0), 100, "one second's worth at once");
        assert_eq!(granted(1_000_000, 10, 0), 0);
        // A second later as many again; asked for steadily, all are granted.
        assert_eq!(granted(2_000_000, 1000, 0), 100);
        assert_eq!(granted(4_000_000, 200, 10_000), 200);
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let rate = SourceRate::new(1 << 16, 1);
        let of = |text: &str| rate.take(text.parse().unwrap(), 1_000_000);
        assert!(of("2001:db8::1"));
        assert!(!of("2001:db8::2"));
        assert!(of("2001:db8:0:1::2"));
    }
}
