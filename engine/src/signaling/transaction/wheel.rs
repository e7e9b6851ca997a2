//! A hashed timing wheel: one revolution of 4096 ticks of 10 ms, 8 bytes an entry.
//!
//! An entry is never taken out early: the owner notes in the slot for which tick it is armed
//! ([`Armed`]), and an entry that comes up for another tick, or for an older generation of the
//! slot, is stale and dropped. A deadline beyond one revolution is armed at its end and armed again.

/// Milliseconds of a tick: timers fire at most this much late.
pub(super) const TICK_MS: u64 = 10;

/// Ticks of a revolution (40.96 s, more than 64 × T1). A power of two.
const BUCKETS: u64 = 4096;

/// Room that an empty bucket keeps, in entries.
const BUCKET_KEEP: usize = 32;

/// The tick that a slot is armed for, cut to 32 bits (they repeat after 497 days).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Armed(Option<u32>);

impl Armed {
    /// Nothing armed.
    pub(super) const OFF: Self = Self(None);
}

/// An entry that came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) slot: u32,
    pub(super) generation: u32,
    pub(super) armed: Armed,
}

pub(super) struct Wheel {
    buckets: Vec<Vec<(u32, u32)>>,
    occupied: [u64; (BUCKETS / 64) as usize],
    /// The last tick that was worked off.
    tick: u64,
    len: usize,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Vec::new()).collect(),
            occupied: [0; (BUCKETS / 64) as usize],
            tick: 0,
            len: 0,
        }
    }

    /// Arms a slot for a time, never earlier than the next tick.
    pub(super) fn arm(&mut self, now: u64, at: u64, slot: u32, generation: u32) -> Armed {
        if self.len == 0 {
            self.tick = self.tick.max(now / TICK_MS);
        }
        let tick = at.div_ceil(TICK_MS).clamp(self.tick + 1, self.tick + BUCKETS - 1);
        let bucket = (tick % BUCKETS) as usize;
        self.buckets[bucket].push((slot, generation));
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
        self.len += 1;
        Armed(Some(tick as u32))
    }

    /// Appends all entries up to `now`.
    pub(super) fn advance(&mut self, now: u64, due: &mut Vec<Due>) {
        let target = now / TICK_MS;
        while self.len > 0 {
            let Some(tick) = self.next_tick().filter(|tick| *tick <= target) else { break };
            let bucket = (tick % BUCKETS) as usize;
            let entries = &mut self.buckets[bucket];
            self.len -= entries.len();
            let armed = Armed(Some(tick as u32));
            due.extend(entries.drain(..).map(|(slot, generation)| Due { slot, generation, armed }));
            entries.shrink_to(BUCKET_KEEP);
            self.occupied[bucket / 64] &= !(1 << (bucket % 64));
            self.tick = tick;
        }
        self.tick = self.tick.max(target);
    }

    /// When the next entry comes up, in milliseconds; it may turn out to be stale.
    pub(super) fn next_wakeup(&self) -> Option<u64> {
        self.next_tick().map(|tick| tick * TICK_MS)
    }

    /// Entries, stale ones included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The first tick after the present one with an entry.
    fn next_tick(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let first = self.tick + 1;
        let start = (first % BUCKETS) as usize;
        let words = self.occupied.len();
        // The starting word twice: its upper bits first, its lower bits after a whole turn.
        for step in 0..=words {
            let index = (start / 64 + step) % words;
            let mut word = self.occupied[index];
            if step == 0 {
                word &= u64::MAX << (start % 64);
            } else if step == words {
                word &= !(u64::MAX << (start % 64));
            }
            if word != 0 {
                let bucket = (index * 64) as u64 + u64::from(word.trailing_zeros());
                return Some(first + (bucket + BUCKETS - first % BUCKETS) % BUCKETS);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(due: &[Due]) -> Vec<u32> {
        due.iter().map(|due| due.slot).collect()
    }

    #[test]
    fn entries_come_up_in_order_and_never_early() {
        let mut wheel = Wheel::new();
        let start = 1_700_000_000_003;
        for (slot, after) in [(1, 500), (2, 0), (3, 32_000), (4, 501)] {
            wheel.arm(start, start + after, slot, 0);
        }
        assert_eq!(wheel.next_wakeup(), Some(1_700_000_000_010));
        let mut due = Vec::new();
        wheel.advance(start + 499, &mut due);
        assert_eq!(slots(&due), [2]);
        wheel.advance(start + 507, &mut due);
        assert_eq!(slots(&due), [2, 1, 4]);
        wheel.advance(start + 31_996, &mut due);
        assert_eq!(due.len(), 3);
        wheel.advance(start + 32_007, &mut due);
        assert_eq!(slots(&due), [2, 1, 4, 3]);
        assert_eq!((wheel.next_wakeup(), wheel.len()), (None, 0));
    }

    #[test]
    fn a_far_deadline_comes_up_after_a_revolution() {
        let mut wheel = Wheel::new();
        let armed = wheel.arm(0, 600_000, 7, 9);
        assert_eq!(wheel.next_wakeup(), Some(40_950));
        let mut due = Vec::new();
        wheel.advance(40_950, &mut due);
        assert_eq!(due, [Due { slot: 7, generation: 9, armed }]);
    }

    #[test]
    fn a_long_pause_loses_nothing() {
        let mut wheel = Wheel::new();
        let mut due = Vec::new();
        for slot in 0..5_000 {
            wheel.arm(0, u64::from(slot) * 8, slot, 0);
        }
        wheel.advance(10_000_000, &mut due);
        assert_eq!(due.len(), 5_000);
        assert!(slots(&due).is_sorted());
        // Idle since long ago: the wheel starts from the present.
        wheel.arm(20_000_000, 20_000_020, 1, 0);
        assert_eq!(wheel.next_wakeup(), Some(20_000_020));
    }
}
