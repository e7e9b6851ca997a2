//! Open-loop pacing: what is due at a moment, whatever became of what was sent before.
//!
//! A generator that waits for answers before it sends slows down together with the server and so hides
//! how long clients would have waited. Here every item has an intended time, and latency counts from it.

use std::time::Duration;

/// A number of items spread evenly over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    count: u64,
    per_second: f64,
    /// Seconds in which the rate rises evenly from nothing.
    ramp: f64,
}

impl Pace {
    /// `count` items at `per_second`; a rate that is not a positive number makes all due at once.
    pub fn new(count: u64, per_second: f64) -> Pace {
        let positive = per_second.is_finite() && per_second > 0.0;
        Pace { count, per_second: if positive { per_second } else { f64::INFINITY }, ramp: 0.0 }
    }

    /// The same pace, its rate rising evenly from nothing over that time.
    #[must_use]
    pub fn ramp(self, time: Duration) -> Pace {
        Pace { ramp: time.as_secs_f64(), ..self }
    }

    /// Number of items.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many items are due after that time from the start; item 0 is due at once.
    pub fn due(&self, elapsed: Duration) -> u64 {
        if self.per_second.is_infinite() {
            return self.count;
        }
        let elapsed = elapsed.as_secs_f64();
        // Within the ramp the rate is rate * t / ramp, and what was due its integral.
        let full = if elapsed < self.ramp {
            elapsed * elapsed / (2.0 * self.ramp)
        } else {
            elapsed - self.ramp / 2.0
        };
        let due = (full * self.per_second).floor();
        if due >= self.count as f64 { self.count } else { (due as u64 + 1).min(self.count) }
    }

    /// When item `index` is due, from the start.
    pub fn at(&self, index: u64) -> Duration {
        if self.per_second.is_infinite() {
            return Duration::ZERO;
        }
        let full = index as f64 / self.per_second;
        let in_ramp = full < self.ramp / 2.0;
        Duration::from_secs_f64(if in_ramp {
            (2.0 * full * self.ramp).sqrt()
        } else {
            full + self.ramp / 2.0
        })
    }

    /// How long all of them take.
    pub fn length(&self) -> Duration {
        self.at(self.count)
    }

    /// The share of this pace for one of `parts` workers: counts add up, rates are divided.
    pub fn share(&self, part: u64, parts: u64) -> Pace {
        let parts = parts.max(1);
        let count = self.count / parts + u64::from(part < self.count % parts);
        Pace { count, per_second: self.per_second / parts as f64, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_due_exactly_from_its_time_on() {
        for rate in [0.5, 1.0, 7.0, 333.3, 20_000.0] {
            let pace = Pace::new(1_000, rate);
            for index in [0, 1, 2, 17, 999] {
                let at = pace.at(index);
                assert!(pace.due(at + Duration::from_micros(1)) > index, "{rate} {index}");
                if let Some(before) = at.checked_sub(Duration::from_micros(1)) {
                    assert!(pace.due(before) <= index, "{rate} {index}");
                }
            }
            assert_eq!(pace.due(Duration::from_secs(1_000_000)), 1_000);
        }
    }

    #[test]
    fn a_ramp_begins_slowly_and_ends_at_the_rate() {
        let pace = Pace::new(10_000, 100.0).ramp(Duration::from_secs(10));
        assert_eq!(pace.due(Duration::from_secs(5)), 126, "an eighth of a thousand, and the first");
        assert_eq!(pace.due(Duration::from_secs(10)), 501);
        assert_eq!(pace.due(Duration::from_secs(11)), 601);
        for index in [0, 1, 100, 499, 500, 501, 9_999] {
            let at = pace.at(index) + Duration::from_micros(1);
            assert!(pace.due(at) > index && pace.due(pace.at(index).mul_f64(0.999)) <= index + 1, "{index}");
        }
    }

    #[test]
    fn no_rate_means_all_at_once() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let pace = Pace::new(5, rate);
            assert_eq!(
                (pace.due(Duration::ZERO), pace.at(4), pace.length()),
                (5, Duration::ZERO, Duration::ZERO)
            );
        }
        assert_eq!(Pace::new(0, 10.0).due(Duration::from_secs(9)), 0);
    }

    #[test]
    fn shares_add_up() {
        let pace = Pace::new(1_003, 500.0);
        let shares: Vec<Pace> = (0..4).map(|part| pace.share(part, 4)).collect();
        assert_eq!(shares.iter().map(|share| share.count).sum::<u64>(), 1_003);
        assert!(shares.iter().all(|share| (share.per_second - 125.0).abs() < 1e-9));
        assert_eq!(pace.length(), Duration::from_secs_f64(1_003.0 / 500.0));
    }
}
