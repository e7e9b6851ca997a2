//! What one generator thread counts.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::timeline::Timeline;
use super::transaction::Method;

/// Longest time that is told apart, microseconds.
const LONGEST: u64 = 600_000_000;
/// Significant digits.
const DIGITS: u8 = 3;

/// What takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    /// The whole operation, from its intended time.
    Operation,
    /// A call, from its intended time to the first 180.
    Ringing,
    /// From the intended time of a BYE to its 200.
    Release,
    /// TCP and TLS, from the first packet.
    Handshake,
    /// How much later than intended the generator itself sent.
    Lateness,
}

impl Span {
    /// All of them.
    pub const ALL: [Span; 5] =
        [Span::Operation, Span::Ringing, Span::Release, Span::Handshake, Span::Lateness];

    /// As the report calls it.
    pub fn name(self) -> &'static str {
        match self {
            Span::Operation => "operation",
            Span::Ringing => "ringing",
            Span::Release => "release",
            Span::Handshake => "handshake",
            Span::Lateness => "generator_late",
        }
    }
}

/// Counts of one thread or, added up, of all.
#[derive(Clone, Default)]
pub struct Tally {
    /// Operations begun.
    pub begun: u64,
    /// Operations that went as they should.
    pub good: u64,
    /// Operations that did not.
    pub failed: u64,
    /// Messages sent, repetitions too.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Requests sent, repetitions not counted.
    pub requests: u64,
    /// Repetitions of requests and of 2xx.
    pub repeated: u64,
    /// Requests without a final response in time.
    pub timeouts: u64,
    /// Connections that could not be made or were lost.
    pub broken: u64,
    /// Final responses by method and status.
    pub statuses: BTreeMap<(&'static str, u16), u64>,
    /// Seconds that 503s asked to wait; a minute where they said none.
    pub retry_after: BTreeMap<u32, u64>,
    /// How operations ended, and what was checked.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// The first few reasons of failures.
    pub faults: Vec<String>,
    /// Processor time of the thread, microseconds.
    pub cpu_us: u64,
    /// From the first intended time to the last answer.
    pub elapsed: Duration,
    /// The same by second.
    pub timeline: Timeline,
    spans: BTreeMap<Span, Histogram<u64>>,
}

/// Reasons that are kept.
const FAULTS: usize = 8;

/// Without the times.
impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { begun, good, failed, repeated, timeouts, broken, elapsed, .. } = self;
        write!(f, "{begun} begun, {good} good, {failed} failed, {repeated} repeated, {timeouts} timeouts, ")?;
        write!(f, "{broken} broken, {elapsed:?}, {:?}, {:?}, {:?}", self.outcomes, self.statuses, self.faults)
    }
}

impl Tally {
    /// Counts a time in microseconds.
    pub fn record(&mut self, span: Span, us: u64) {
        if span == Span::Operation {
            self.timeline.record(us);
        }
        if let Some(histogram) = self.spans.get_mut(&span) {
            histogram.saturating_record(us.max(1));
            return;
        }
        // These bounds are valid, so there always is one.
        if let Ok(mut histogram) = Histogram::new_with_bounds(1, LONGEST, DIGITS) {
            histogram.saturating_record(us.max(1));
            self.spans.insert(span, histogram);
        }
    }

    /// The times of a span.
    pub fn span(&self, span: Span) -> Option<&Histogram<u64>> {
        self.spans.get(&span)
    }

    /// An operation that went well, with its time from the intended one.
    pub(super) fn success(&mut self, us: u64) {
        self.good += 1;
        self.record(Span::Operation, us);
    }

    /// An operation that failed, and why.
    pub(super) fn failure(&mut self, outcome: &'static str, why: impl FnOnce() -> String) {
        self.failed += 1;
        self.outcome(outcome);
        self.fault(why);
    }

    pub(super) fn fault(&mut self, why: impl FnOnce() -> String) {
        if self.faults.len() < FAULTS {
            self.faults.push(why());
        }
    }

    pub(super) fn outcome(&mut self, name: &'static str) {
        *self.outcomes.entry(name).or_default() += 1;
    }

    pub(super) fn status(&mut self, method: Method, status: u16) {
        *self.statuses.entry((method.as_str(), status)).or_default() += 1;
    }

    pub(super) fn late(&mut self, method: Method, us: u64) {
        if method != Method::Cancel {
            self.record(Span::Lateness, us);
        }
    }

    /// Begun, good and failed.
    pub(super) fn counts(&self) -> [u64; 3] {
        [self.begun, self.good, self.failed]
    }

    /// Adds what another thread counted.
    pub fn add(&mut self, other: Tally) {
        self.begun += other.begun;
        self.good += other.good;
        self.failed += other.failed;
        self.sent += other.sent;
        self.received += other.received;
        self.requests += other.requests;
        self.repeated += other.repeated;
        self.timeouts += other.timeouts;
        self.broken += other.broken;
        self.cpu_us += other.cpu_us;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.timeline.add(other.timeline);
        for (seconds, count) in other.retry_after {
            *self.retry_after.entry(seconds).or_default() += count;
        }
        for (key, count) in other.statuses {
            *self.statuses.entry(key).or_default() += count;
        }
        for (key, count) in other.outcomes {
            *self.outcomes.entry(key).or_default() += count;
        }
        for why in other.faults {
            self.fault(|| why);
        }
        for (span, histogram) in other.spans {
            match self.spans.get_mut(&span) {
                // Both have the same bounds.
                Some(own) => drop(own.add(&histogram)),
                None => drop(self.spans.insert(span, histogram)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let (mut all, mut more) = (Tally::default(), Tally::default());
        (1..=500).for_each(|ms| all.success(ms * 1_000));
        (501..=1_000).for_each(|ms| more.success(ms * 1_000));
        more.status(Method::Invite, 486);
        more.failure("refused", || "486".into());
        all.add(more);
        let times = all.span(Span::Operation).unwrap();
        let close = |have: u64, want: u64| have.abs_diff(want) * 500 <= want;
        assert!(close(times.value_at_quantile(0.5), 500_000) && close(times.max(), 1_000_000));
        assert_eq!((all.good, all.failed, all.statuses[&("INVITE", 486)]), (1_000, 1, 1));
        assert_eq!((all.outcomes["refused"], all.faults.len()), (1, 1));
    }
}
