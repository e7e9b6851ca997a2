//! What was measured, as text and as JSON.

use std::fmt;

use serde::Serialize;

/// Latencies of one kind of request.
#[derive(Debug, Clone, Serialize)]
pub struct Times {
    /// Which kind.
    pub name: String,
    /// Requests.
    pub count: u64,
    /// Median in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Times { name, count, p50_ms, p99_ms, max_ms } = self;
        write!(f, "{name:<48}{count:>6}{p50_ms:>10.2}{p99_ms:>10.2}{max_ms:>10.2}")
    }
}

/// All figures.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Phones.
    pub phones: u32,
    /// Rows of the inventory.
    pub rows: u64,
    /// Seconds of the offline import.
    pub import_s: f64,
    /// Seconds from the start of the process to `ready`.
    pub start_s: f64,
    /// Resident bytes before the first question.
    pub resident: u64,
    /// And at the end.
    pub resident_end: u64,
    /// Questions by kind.
    pub queries: Vec<Times>,
    /// CPU seconds of the node for them.
    pub queries_cpu_s: f64,
    /// Changes while they were asked.
    pub changes: Times,
    /// Saves of the big profile.
    pub save: Times,
    /// Bytes by which twenty of them made the process grow.
    pub save_growth: i64,
    /// Dry runs.
    pub dry_runs: Vec<Times>,
    /// Changes while those ran.
    pub changes_in_dry_runs: Times,
    /// The command line.
    pub command: String,
    /// Processor, cores, kernel.
    pub machine: String,
}

impl Measured {
    /// The slowest 99th percentile of all kinds of questions, in milliseconds.
    pub fn worst_p99_ms(&self) -> f64 {
        self.queries.iter().map(|t| t.p99_ms).fold(0.0, f64::max)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: f64| bytes / 1e6;
        writeln!(f, "command   {}", self.command)?;
        writeln!(f, "machine   {}; client and server share it", self.machine)?;
        writeln!(
            f,
            "phones    {}; {} rows imported in {:.1} s, ready {:.1} s after the start",
            self.phones, self.rows, self.import_s, self.start_s
        )?;
        writeln!(
            f,
            "memory    {:.0} MB resident when ready, {:.0} MB at the end",
            mb(self.resident as f64),
            mb(self.resident_end as f64)
        )?;
        writeln!(f, "\n{:<48}{:>6}{:>10}{:>10}{:>10}", "over HTTPS, ms", "count", "p50", "p99", "max")?;
        for times in &self.queries {
            writeln!(f, "{times}")?;
        }
        writeln!(f, "{}", self.changes)?;
        writeln!(f, "{}", self.save)?;
        for times in &self.dry_runs {
            writeln!(f, "{times}")?;
        }
        writeln!(f, "{}", self.changes_in_dry_runs)?;
        writeln!(f, "\nslowest p99 of all questions: {:.2} ms", self.worst_p99_ms())?;
        writeln!(f, "20 saves: the process grew by {:.3} MB, no packet was sent", mb(self.save_growth as f64))
    }
}
