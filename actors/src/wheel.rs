//! One timing wheel a shard: hashed, 100 ms a slot, lazily cancelled.
//!
//! Actors own no timers (design §4): thousands of timers in one actor make each message to it poll them
//! all. An entry is a small value that its owner checks again when it fires, so cancelling is forgetting.

/// Length of one slot in milliseconds.
pub const TICK_MS: u64 = 100;
const SLOTS: usize = 4096;

/// A hashed wheel over entries of type `T`.
#[derive(Debug)]
pub struct Wheel<T> {
    slots: Vec<Vec<(u32, T)>>,
    /// Tick that fires next.
    tick: u64,
    len: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel that starts at `now` (milliseconds).
    pub fn new(now: u64) -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), tick: now / TICK_MS, len: 0 }
    }

    /// Arms `entry` to fire at or just after `at` (milliseconds); never before.
    pub fn arm(&mut self, at: u64, entry: T) {
        let due = at.div_ceil(TICK_MS).max(self.tick);
        let slot = (due % SLOTS as u64) as usize;
        let rounds = ((due - self.tick) / SLOTS as u64).min(u64::from(u32::MAX)) as u32;
        self.slots[slot].push((rounds, entry));
        self.len += 1;
    }

    /// Moves all entries due at `now` into `fired`.
    pub fn advance(&mut self, now: u64, fired: &mut Vec<T>) {
        let end = now / TICK_MS;
        while self.tick <= end {
            let slot = &mut self.slots[(self.tick % SLOTS as u64) as usize];
            if !slot.is_empty() {
                let mut i = 0;
                while i < slot.len() {
                    if slot[i].0 == 0 {
                        fired.push(slot.swap_remove(i).1);
                        self.len -= 1;
                    } else {
                        slot[i].0 -= 1;
                        i += 1;
                    }
                }
                if slot.is_empty() && slot.capacity() > 64 {
                    *slot = Vec::new();
                }
            }
            self.tick += 1;
        }
    }

    /// Entries armed.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing is armed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fires_each_entry_once_never_early(
            start in 0u64..10_000_000,
            delays in prop::collection::vec(0u64..2_000_000, 1..60),
            steps in prop::collection::vec(1u64..700_000, 1..20),
        ) {
            let mut wheel = Wheel::new(start);
            for (i, d) in delays.iter().enumerate() {
                wheel.arm(start + d, i);
            }
            let mut now = start;
            let mut seen = vec![None; delays.len()];
            for s in steps {
                now += s;
                let mut fired = Vec::new();
                wheel.advance(now, &mut fired);
                for i in fired {
                    prop_assert!(seen[i].is_none());
                    prop_assert!(now >= start + delays[i]);
                    seen[i] = Some(now);
                }
                for (i, d) in delays.iter().enumerate() {
                    if start + d + TICK_MS <= now {
                        prop_assert!(seen[i].is_some(), "late: {} at {}", d, now - start);
                    }
                }
            }
            prop_assert_eq!(wheel.len(), seen.iter().filter(|s| s.is_none()).count());
        }
    }
}
