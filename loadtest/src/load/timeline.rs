//! What happened in each second of a run.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest time that is told apart, microseconds.
const LONGEST: u64 = 600_000_000;
/// Significant digits: a second has a histogram of its own.
const DIGITS: u8 = 2;
/// Seconds that are told apart; what comes later belongs to the last.
const SECONDS_MAX: usize = 24 * 3_600;

/// One second of one thread or of all.
#[derive(Clone, Default)]
struct Slot {
    begun: u64,
    good: u64,
    failed: u64,
    times: Option<Histogram<u32>>,
}

/// Counts and times by second.
#[derive(Clone, Default)]
pub struct Timeline {
    slots: Vec<Slot>,
    second: usize,
    /// Begun, good and failed when the second began.
    before: [u64; 3],
}

/// One second, as a report has it. Times are of operations that ended in it, from their intended moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Second {
    /// Since the start; the second from there on.
    pub second: u64,
    /// Operations begun.
    pub begun: u64,
    /// Operations that went well.
    pub good: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Half were no longer; milliseconds, 0 where none ended.
    pub p50_ms: f64,
    /// 90 % were no longer.
    pub p90_ms: f64,
    /// 99 % were no longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Timeline {
    /// The time of an operation that ends now.
    pub(super) fn record(&mut self, us: u64) {
        let slot = self.slot();
        if slot.times.is_none() {
            // These bounds are valid, so there always is one.
            slot.times = Histogram::new_with_bounds(1, LONGEST, DIGITS).ok();
        }
        if let Some(times) = &mut slot.times {
            times.saturating_record(us.max(1));
        }
    }

    fn slot(&mut self) -> &mut Slot {
        let second = self.second;
        if self.slots.len() <= second {
            self.slots.resize_with(second + 1, Slot::default);
        }
        &mut self.slots[second]
    }

    /// Now it is that second; `counts` are begun, good and failed so far.
    pub(super) fn turn(&mut self, us: u64, counts: [u64; 3]) {
        let second = (us / 1_000_000) as usize;
        if second != self.second {
            self.settle(counts);
            self.second = second.min(SECONDS_MAX);
        }
    }

    /// Books what was counted since the last turn.
    pub(super) fn settle(&mut self, counts: [u64; 3]) {
        let before = std::mem::replace(&mut self.before, counts);
        let slot = self.slot();
        slot.begun += counts[0] - before[0];
        slot.good += counts[1] - before[1];
        slot.failed += counts[2] - before[2];
    }

    pub(super) fn add(&mut self, other: Timeline) {
        if self.slots.len() < other.slots.len() {
            self.slots.resize_with(other.slots.len(), Slot::default);
        }
        for (own, other) in self.slots.iter_mut().zip(other.slots) {
            own.begun += other.begun;
            own.good += other.good;
            own.failed += other.failed;
            match (&mut own.times, other.times) {
                // Both have the same bounds.
                (Some(own), Some(other)) => drop(own.add(&other)),
                (own @ None, other) => *own = other,
                (Some(_), None) => {}
            }
        }
    }

    /// All seconds.
    pub fn seconds(&self) -> Vec<Second> {
        let one = |(second, slot): (u64, &Slot)| {
            let at = |share: f64| {
                slot.times.as_ref().map_or(0.0, |times| times.value_at_quantile(share) as f64 / 1_000.0)
            };
            let Slot { begun, good, failed, .. } = *slot;
            let (p50_ms, p90_ms, p99_ms, max_ms) = (at(0.5), at(0.9), at(0.99), at(1.0));
            Second { second, begun, good, failed, p50_ms, p90_ms, p99_ms, max_ms }
        };
        (0..).zip(&self.slots).map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_own_counts_and_times_and_threads_add_up() {
        let mut one = Timeline::default();
        one.turn(0, [0, 0, 0]);
        one.record(1_000);
        one.turn(2_000_001, [5, 1, 0]);
        one.record(9_000);
        one.settle([7, 2, 1]);
        let mut other = Timeline::default();
        other.record(3_000);
        other.settle([1, 1, 0]);
        one.add(other);
        let all = one.seconds();
        let counts: Vec<[u64; 3]> = all.iter().map(|s| [s.begun, s.good, s.failed]).collect();
        assert_eq!(counts, [[6, 2, 0], [0, 0, 0], [2, 1, 1]]);
        let close = |have: f64, want: f64| (have - want).abs() < want * 0.02;
        assert!(close(all[0].max_ms, 3.0) && close(all[2].p50_ms, 9.0) && all[1].max_ms == 0.0);
    }
}
