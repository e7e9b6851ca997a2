//! The store's writer: what it counts, read through a closure, since the engine knows no store.

use std::sync::Arc;

use keyline_actors::handle::StorageCounters;
use prometheus::core::{Collector, Desc, Describer};
use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};
use prometheus::{Opts, Registry};

use super::pulled::{Pulled, Series, family};

const SERIES: [Series; 6] = [
    Series::counter("keyline_storage_rows_total", "Rows in commits that were committed"),
    Series::counter("keyline_storage_commits_total", "Commits that were committed"),
    Series::counter("keyline_storage_conflicts_total", "Commits refused by a guard"),
    Series::counter("keyline_storage_failures_total", "Commits whose outcome is unknown"),
    Series::counter("keyline_storage_queue_full_total", "Commits not taken because the queue was full"),
    Series::gauge("keyline_storage_queue_commits", "Commits that wait for the writer"),
];

const WRITE: (&str, &str) = ("keyline_storage_write_duration_seconds", "Time of one trip to the disk");

type Read = Arc<dyn Fn() -> StorageCounters + Send + Sync>;

/// Registers the writer's figures; `read` is called at every scrape.
pub fn register(
    registry: &Registry,
    read: impl Fn() -> StorageCounters + Send + Sync + 'static,
) -> Result<(), prometheus::Error> {
    let read: Read = Arc::new(read);
    let counters = Arc::clone(&read);
    registry.register(Box::new(Pulled::new(SERIES, move || {
        let r = counters();
        [r.rows, r.commits, r.conflicts, r.failures, r.queue_full, r.queued].map(|value| Some(value as f64))
    })?))?;
    let desc = Opts::new(WRITE.0, WRITE.1).describe()?;
    registry.register(Box::new(WriteTimes { desc, read }))
}

struct WriteTimes {
    desc: Desc,
    read: Read,
}

impl Collector for WriteTimes {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let reading = (self.read)();
        let bucket = |(bound, count): &(f64, u64)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(*count);
            bucket
        };
        let mut histogram = Histogram::default();
        // The parts are read one after the other; the total must not be below a bucket.
        let most = reading.buckets.iter().map(|(_, count)| *count).max().unwrap_or(0);
        histogram.set_sample_count(reading.batches.max(most));
        histogram.set_sample_sum(reading.write_seconds);
        histogram.set_bucket(reading.buckets.iter().map(bucket).collect());
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        vec![family(WRITE.0, WRITE.1, MetricType::HISTOGRAM, metric)]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn every_scrape_reads_anew() {
        let registry = Registry::new();
        let count = Arc::new(AtomicU64::new(1));
        let source = Arc::clone(&count);
        register(&registry, move || StorageCounters {
            rows: source.load(Ordering::Relaxed),
            batches: 3,
            write_seconds: 0.25,
            buckets: vec![(0.001, 2), (0.1, 3)],
            ..StorageCounters::default()
        })
        .unwrap();
        let text = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(text().contains("\nkeyline_storage_rows_total 1\n"));
        count.store(5, Ordering::Relaxed);
        let text = text();
        for line in [
            "# TYPE keyline_storage_rows_total counter",
            "keyline_storage_rows_total 5",
            "keyline_storage_queue_commits 0",
            "keyline_storage_write_duration_seconds_bucket{le=\"0.001\"} 2",
            "keyline_storage_write_duration_seconds_bucket{le=\"+Inf\"} 3",
            "keyline_storage_write_duration_seconds_sum 0.25",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
