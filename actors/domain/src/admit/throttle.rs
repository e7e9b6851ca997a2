//! Wrong digest answers by source: a fixed table of atomics, flat whatever arrives.
//!
//! Some phones answer every 401 with the same wrong password, eight times a second. After
//! some wrong answers ([`THROTTLE_AFTER`] unless told otherwise) a source gets 403 for further wrong ones,
//! which stops them; one is forgiven every so many seconds ([`THROTTLE_FORGET_S`]). Nothing else changes: no account is locked,
//! and a right answer from the same source is served.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ids::UnixMillis;

/// Wrong answers of one source that are still answered by a challenge, by default.
pub const THROTTLE_AFTER: u8 = 8;

/// Seconds after which one wrong answer is forgiven, by default.
pub const THROTTLE_FORGET_S: u64 = 10;

const WAYS: usize = 4;
/// Rounds against other threads after which a wrong answer goes uncounted.
const ROUNDS: usize = 16;

/// The table. A source is an IPv4 address or an IPv6 /64. Where a set is full the source with the least
/// wrong answers is forgotten.
#[derive(Debug)]
pub struct Throttle {
    secret: u64,
    after: u8,
    forget_s: u64,
    sets: Box<[[AtomicU64; WAYS]]>,
}

/// Tag (24 bits), level (8), second of the last change (32).
#[derive(Clone, Copy)]
struct Entry(u64);

impl Throttle {
    /// A table for at least `sources` sources, 8 bytes each, taken at once. `secret` is random: without
    /// it nobody can choose whom to push out.
    pub fn with_sources(sources: usize, secret: u64) -> Self {
        Self::with_limits(sources, secret, THROTTLE_AFTER, THROTTLE_FORGET_S)
    }

    /// The same with `after` (1 to 120) wrong answers and one forgiven every `forget_s` seconds.
    pub fn with_limits(sources: usize, secret: u64, after: u8, forget_s: u64) -> Self {
        let sets = sources.div_ceil(WAYS).max(1);
        let (after, forget_s) = (after.clamp(1, 120), forget_s.max(1));
        Self { secret, after, forget_s, sets: std::iter::repeat_with(Default::default).take(sets).collect() }
    }

    /// Whether the next wrong answer of this source is to be answered by 403.
    pub fn is_over(&self, source: IpAddr, now: UnixMillis) -> bool {
        let (set, tag) = self.place(source);
        let now_s = seconds(now);
        set.iter()
            .map(|cell| Entry(cell.load(Ordering::Relaxed)))
            .any(|entry| entry.tag() == tag && entry.level_at(now_s, self.forget_s) >= self.after)
    }

    /// Counts one wrong answer.
    pub fn wrong(&self, source: IpAddr, now: UnixMillis) {
        let (set, tag) = self.place(source);
        let (now_s, forget_s) = (seconds(now), self.forget_s);
        // Where counting stops: a source is forgiven entirely after so many times the interval.
        let most = 2 * self.after;
        for _ in 0..ROUNDS {
            let entries = set.each_ref().map(|cell| Entry(cell.load(Ordering::Relaxed)));
            let own = entries.iter().position(|e| e.tag() == tag);
            let least = || (0..WAYS).min_by_key(|way| entries[*way].level_at(now_s, forget_s)).unwrap_or(0);
            let way = own.unwrap_or_else(least);
            let seen = entries[way];
            let next =
                if own.is_some() { seen.one_more(now_s, forget_s, most) } else { Entry::new(tag, 1, now_s) };
            let swapped = set[way].compare_exchange(seen.0, next.0, Ordering::Relaxed, Ordering::Relaxed);
            if swapped.is_ok() {
                return;
            }
        }
    }

    fn place(&self, source: IpAddr) -> (&[AtomicU64; WAYS], u32) {
        let key = match source.to_canonical() {
            IpAddr::V4(ip) => u64::from(u32::from(ip)) | 1 << 32,
            IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64,
        };
        let mut h = key ^ self.secret;
        for _ in 0..2 {
            h = (h ^ h >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93 ^ self.secret << 1);
        }
        h ^= h >> 32;
        let set = ((u128::from(h) * self.sets.len() as u128) >> 64) as usize;
        (&self.sets[set], (h as u32 & 0x00ff_ffff).max(1))
    }
}

impl Entry {
    fn new(tag: u32, level: u8, now_s: u32) -> Self {
        Self(u64::from(tag) << 40 | u64::from(level) << 32 | u64::from(now_s))
    }

    fn tag(self) -> u32 {
        (self.0 >> 40) as u32
    }

    fn level(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// Wrong answers forgiven up to now.
    fn forgiven(self, now_s: u32, forget_s: u64) -> u64 {
        u64::from(now_s.saturating_sub(self.0 as u32)) / forget_s
    }

    fn level_at(self, now_s: u32, forget_s: u64) -> u8 {
        self.level().saturating_sub(u8::try_from(self.forgiven(now_s, forget_s)).unwrap_or(u8::MAX))
    }

    fn one_more(self, now_s: u32, forget_s: u64, most: u8) -> Self {
        let level = self.level_at(now_s, forget_s);
        // What is left of the running interval counts on, or steady wrong answers would never be forgiven.
        let since = match level {
            0 => now_s,
            _ => (self.0 as u32).saturating_add((self.forgiven(now_s, forget_s) * forget_s) as u32),
        };
        Self::new(self.tag(), (level + 1).min(most), since)
    }
}

fn seconds(now: UnixMillis) -> u32 {
    u32::try_from(now.0 / 1000).unwrap_or(u32::MAX)
}
