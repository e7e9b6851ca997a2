//! What a run of load came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// Counts and latencies of one run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Devices that were due.
    pub intended: u64,
    /// Requests sent, repetitions not counted.
    pub sent: u64,
    /// Repetitions.
    pub repeated: u64,
    /// 200.
    pub ok: u64,
    /// 401 and 407.
    pub challenged: u64,
    /// Other final statuses.
    pub other: BTreeMap<u16, u64>,
    /// Devices that got no final answer in time.
    pub timeouts: u64,
    /// Connections that could not be made or were lost.
    pub broken: u64,
    /// The first reason for a broken connection.
    pub first_fault: Option<String>,
    /// From the first intended time to the last answer.
    pub elapsed: Duration,
    /// From the intended time to the 200, in microseconds.
    latencies: Vec<u32>,
}

/// The numbers of a report, for machines.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Devices that were due.
    pub intended: u64,
    /// Requests sent.
    pub sent: u64,
    /// Repetitions.
    pub repeated: u64,
    /// 200.
    pub ok: u64,
    /// 401 and 407.
    pub challenged: u64,
    /// Other final statuses.
    pub other: BTreeMap<u16, u64>,
    /// No answer in time.
    pub timeouts: u64,
    /// Connections lost.
    pub broken: u64,
    /// Seconds.
    pub elapsed_s: f64,
    /// 200s a second.
    pub ok_per_s: f64,
    /// Latency from the intended time, in microseconds, by percentile.
    pub latency_us: BTreeMap<&'static str, u32>,
}

const PERCENTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

impl Report {
    /// Counts a 200 with its latency.
    pub fn succeeded(&mut self, latency: Duration) {
        self.ok += 1;
        self.latencies.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// Counts another final status.
    pub fn failed(&mut self, status: u16) {
        *self.other.entry(status).or_default() += 1;
    }

    /// Adds the report of another worker of the same run.
    pub fn add(&mut self, other: Report) {
        self.intended += other.intended;
        self.sent += other.sent;
        self.repeated += other.repeated;
        self.ok += other.ok;
        self.challenged += other.challenged;
        self.timeouts += other.timeouts;
        self.broken += other.broken;
        self.first_fault = self.first_fault.take().or(other.first_fault);
        self.elapsed = self.elapsed.max(other.elapsed);
        self.latencies.extend(other.latencies);
        for (status, count) in other.other {
            *self.other.entry(status).or_default() += count;
        }
    }

    /// Everything that was due got its 200.
    pub fn is_clean(&self) -> bool {
        self.ok == self.intended
    }

    /// The numbers.
    pub fn figures(&self) -> Figures {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).copied()
        };
        let latency_us = PERCENTILES.iter().filter_map(|(name, p)| Some((*name, at(*p)?))).collect();
        let elapsed_s = self.elapsed.as_secs_f64();
        Figures {
            intended: self.intended,
            sent: self.sent,
            repeated: self.repeated,
            ok: self.ok,
            challenged: self.challenged,
            other: self.other.clone(),
            timeouts: self.timeouts,
            broken: self.broken,
            elapsed_s,
            ok_per_s: if elapsed_s > 0.0 { self.ok as f64 / elapsed_s } else { 0.0 },
            latency_us,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.figures();
        writeln!(
            f,
            "{} of {} registered in {:.2} s ({:.0}/s); sent {}, repeated {}, 401/407 {}, timeouts {}, broken {}",
            self.ok,
            self.intended,
            figures.elapsed_s,
            figures.ok_per_s,
            self.sent,
            self.repeated,
            self.challenged,
            self.timeouts,
            self.broken
        )?;
        for (status, count) in &self.other {
            writeln!(f, "status {status}: {count}")?;
        }
        if let Some(fault) = &self.first_fault {
            writeln!(f, "first broken connection: {fault}")?;
        }
        write!(f, "latency from the intended time:")?;
        for (name, _) in PERCENTILES {
            if let Some(us) = figures.latency_us.get(name) {
                write!(f, "  {name} {:.2} ms", f64::from(*us) / 1000.0)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let mut report = Report { intended: 1_000, ..Report::default() };
        for ms in 1..=500 {
            report.succeeded(Duration::from_millis(ms));
        }
        let mut more = Report::default();
        (501..=1_000).for_each(|ms| more.succeeded(Duration::from_millis(ms)));
        more.failed(403);
        report.add(more);
        let figures = report.figures();
        assert_eq!(figures.latency_us["p50"], 500_000);
        assert_eq!(figures.latency_us["p99"], 990_000);
        assert_eq!(figures.latency_us["max"], 1_000_000);
        assert_eq!((report.is_clean(), figures.other[&403]), (true, 1));
        assert!(Report::default().figures().latency_us.is_empty());
    }
}
