//! What the writer counts. Plain atomics: whoever exports metrics reads them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::batch::Outcome;

/// Upper bounds of the write time's buckets, in seconds. From a write-ahead log without sync
/// (tens of microseconds) to a disk in trouble.
pub const SECONDS_BUCKETS: [f64; 12] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// Counters of a [`Writer`](super::Writer) since its start. All but the times only grow.
#[derive(Debug, Default)]
pub struct WriterStats {
    batches: AtomicU64,
    rows: AtomicU64,
    committed: AtomicU64,
    conflicts: AtomicU64,
    unknown: AtomicU64,
    refused: AtomicU64,
    largest_batch: AtomicU64,
    write_nanos: AtomicU64,
    buckets: [AtomicU64; SECONDS_BUCKETS.len()],
}

/// A copy of the counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StatsSnapshot {
    /// Trips to the disk.
    pub batches: u64,
    /// Rows in commits that were committed.
    pub rows: u64,
    /// Commits that were committed.
    pub committed: u64,
    /// Commits refused by a guard.
    pub conflicts: u64,
    /// Commits of unknown outcome.
    pub unknown: u64,
    /// Commits not taken because the queue was full.
    pub refused: u64,
    /// Commits in the largest trip.
    pub largest_batch: u64,
    /// Time spent in all trips, in seconds.
    pub write_seconds: f64,
    /// Trips that took at most the bound of the same index in [`SECONDS_BUCKETS`], cumulative.
    pub buckets: [u64; SECONDS_BUCKETS.len()],
}

impl WriterStats {
    /// The counters now. Each is exact; together they may be a batch apart.
    pub fn snapshot(&self) -> StatsSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut buckets = [0; SECONDS_BUCKETS.len()];
        let mut sum = 0;
        for (bucket, counter) in buckets.iter_mut().zip(&self.buckets) {
            sum += read(counter);
            *bucket = sum;
        }
        StatsSnapshot {
            batches: read(&self.batches),
            rows: read(&self.rows),
            committed: read(&self.committed),
            conflicts: read(&self.conflicts),
            unknown: read(&self.unknown),
            refused: read(&self.refused),
            largest_batch: read(&self.largest_batch),
            write_seconds: Duration::from_nanos(read(&self.write_nanos)).as_secs_f64(),
            buckets,
        }
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one trip: `rows` gives the rows of each commit.
    pub(super) fn written(&self, outcomes: &[Outcome], rows: impl Iterator<Item = usize>, took: Duration) {
        let mut counts = (0, 0, 0, 0);
        for (outcome, rows) in outcomes.iter().zip(rows) {
            match outcome {
                Outcome::Committed(_) => {
                    counts.0 += 1;
                    counts.1 += rows as u64;
                }
                Outcome::Conflict(_) => counts.2 += 1,
                Outcome::Unknown(_) => counts.3 += 1,
            }
        }
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.committed.fetch_add(counts.0, Ordering::Relaxed);
        self.rows.fetch_add(counts.1, Ordering::Relaxed);
        self.conflicts.fetch_add(counts.2, Ordering::Relaxed);
        self.unknown.fetch_add(counts.3, Ordering::Relaxed);
        self.largest_batch.fetch_max(outcomes.len() as u64, Ordering::Relaxed);
        self.write_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let seconds = took.as_secs_f64();
        if let Some(bucket) = SECONDS_BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
    }
}
