//! The budget: phones a second.

use crate::ids::UnixMillis;

/// Longest pause that gives credit: a roll-out that stood still does not hurry afterwards.
const CREDIT_MS: u64 = 1000;

/// A token bucket that holds one second's worth at most.
#[derive(Debug, Clone)]
pub struct Pace {
    per_second: u32,
    /// Thousandths of a phone.
    credit: u64,
    last: UnixMillis,
}

impl Pace {
    /// Nothing may be done yet at `now`.
    pub fn new(per_second: u32, now: UnixMillis) -> Self {
        Self { per_second, credit: 0, last: now }
    }

    /// Phones that may be signalled at `now`. A clock that went back gives nothing.
    pub fn budget(&mut self, now: UnixMillis) -> usize {
        let passed = now.0.saturating_sub(self.last.0).min(CREDIT_MS);
        self.last = now;
        let rate = u64::from(self.per_second);
        // A pace below one phone a second still comes to a whole phone.
        let most = rate.max(1) * 1000;
        self.credit = (self.credit + passed * rate).min(most);
        usize::try_from(self.credit / 1000).unwrap_or(usize::MAX)
    }

    /// So many were signalled.
    pub fn spend(&mut self, phones: usize) {
        let spent = u64::try_from(phones).unwrap_or(u64::MAX).saturating_mul(1000);
        self.credit = self.credit.saturating_sub(spent);
    }

    /// It stood still up to `now`.
    pub fn rest(&mut self, now: UnixMillis) {
        self.credit = 0;
        self.last = now;
    }
}
