//! What a run came to, for people and for machines.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sampler::Sample;
use super::tally::{Span, Tally};
use super::timeline::Second;

/// Times of one kind in milliseconds, by share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spread {
    /// How many were measured.
    pub count: u64,
    /// Half were no longer.
    pub p50_ms: f64,
    /// 90 % were no longer.
    pub p90_ms: f64,
    /// 99 % were no longer.
    pub p99_ms: f64,
    /// 99.9 % were no longer.
    #[serde(rename = "p99.9_ms")]
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What the generator itself spent.
#[derive(Debug, Clone, Serialize)]
pub struct Generator {
    /// Messages sent, repetitions too.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Its processor time for one message, sent or received; microseconds.
    pub cpu_us_per_message: f64,
}

/// What the server spent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spent {
    /// Its processor time for one operation, microseconds.
    pub cpu_us_per_operation: f64,
    /// Its processor time for one message, sent or received; microseconds.
    pub cpu_us_per_message: f64,
    /// Resident memory before, bytes.
    pub resident_before: u64,
    /// Resident memory after, bytes.
    pub resident_after: u64,
}

/// The figures of one job.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `register`, `refresh`, `options`, `call`, `handshake`.
    pub scenario: &'static str,
    /// Where to.
    pub target: String,
    /// Phones.
    pub phones: u64,
    /// Operations a second that were wanted; 0: all at once.
    pub rate: f64,
    /// Seconds.
    pub elapsed_s: f64,
    /// Operations begun.
    pub begun: u64,
    /// Operations that went as they should.
    pub good: u64,
    /// Failures: operations that did not, and breaches found at called phones.
    pub failed: u64,
    /// Operations a second that went as they should.
    pub good_per_s: f64,
    /// How operations ended, and what was seen.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Final responses by method and status.
    pub statuses: BTreeMap<String, u64>,
    /// Requests sent, repetitions not counted.
    pub requests: u64,
    /// Repetitions.
    pub retransmissions: u64,
    /// Requests without a final response in time.
    pub timeouts: u64,
    /// Connections that could not be made or were lost.
    pub broken_connections: u64,
    /// Connections that stand at the end.
    pub connections: u64,
    /// Times from the intended moment.
    pub latency: BTreeMap<&'static str, Spread>,
    /// The first few reasons of failures.
    pub faults: Vec<String>,
    /// The generator's own cost.
    pub generator: Generator,
    /// The server's cost, with `--pid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Spent>,
    /// Second by second.
    pub timeline: Vec<Second>,
    /// The server's process once a second, with `--pid`.
    pub samples: Vec<Sample>,
}

impl Report {
    /// Of a job's counts.
    pub fn new(scenario: &'static str, target: String, phones: u64, rate: f64, tally: &Tally) -> Report {
        let elapsed_s = tally.elapsed.as_secs_f64();
        let messages = (tally.sent + tally.received).max(1);
        let name = |((method, status), count): (&(&str, u16), &u64)| (format!("{method} {status}"), *count);
        let spread = |span: &Span| {
            let times = tally.span(*span)?;
            let at = |share| times.value_at_quantile(share) as f64 / 1_000.0;
            let (p50_ms, p90_ms, p99_ms, p999_ms) = (at(0.5), at(0.9), at(0.99), at(0.999));
            let (count, max_ms) = (times.len(), times.max() as f64 / 1_000.0);
            Some((span.name(), Spread { count, p50_ms, p90_ms, p99_ms, p999_ms, max_ms }))
        };
        Report {
            scenario,
            target,
            phones,
            rate,
            elapsed_s,
            begun: tally.begun,
            good: tally.good,
            failed: tally.failed,
            good_per_s: if elapsed_s > 0.0 { tally.good as f64 / elapsed_s } else { 0.0 },
            outcomes: tally.outcomes.clone(),
            statuses: tally.statuses.iter().map(name).collect(),
            requests: tally.requests,
            retransmissions: tally.repeated,
            timeouts: tally.timeouts,
            broken_connections: tally.broken,
            connections: 0,
            latency: Span::ALL.iter().filter_map(spread).collect(),
            faults: tally.faults.clone(),
            generator: Generator {
                sent: tally.sent,
                received: tally.received,
                cpu_us_per_message: tally.cpu_us as f64 / messages as f64,
            },
            server: None,
            timeline: tally.timeline.seconds(),
            samples: Vec::new(),
        }
    }

    /// Adds what the server spent meanwhile.
    #[must_use]
    pub fn with_server(mut self, cpu: Duration, before: u64, after: u64) -> Report {
        let us = cpu.as_secs_f64() * 1e6;
        let messages = (self.generator.sent + self.generator.received).max(1);
        self.server = Some(Spent {
            cpu_us_per_operation: us / self.begun.max(1) as f64,
            cpu_us_per_message: us / messages as f64,
            resident_before: before,
            resident_after: after,
        });
        self
    }

    /// Failures, and operations that neither went well nor failed.
    pub fn failures(&self) -> u64 {
        self.failed.max(self.begun.saturating_sub(self.good))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { scenario, target, phones, begun, good, failed, elapsed_s, .. } = self;
        writeln!(f, "{scenario} {target}, {phones} phones, {} a second wanted", self.rate)?;
        writeln!(
            f,
            "  {good} of {begun} good, {failed} failed, in {elapsed_s:.2} s: {:.1} a second",
            self.good_per_s
        )?;
        for (outcome, count) in &self.outcomes {
            writeln!(f, "  {outcome:<28} {count:>10}")?;
        }
        for (status, count) in &self.statuses {
            writeln!(f, "  {status:<28} {count:>10}")?;
        }
        writeln!(
            f,
            "  requests {}, repetitions {}, timeouts {}, broken connections {}, connections now {}",
            self.requests, self.retransmissions, self.timeouts, self.broken_connections, self.connections
        )?;
        if !self.latency.is_empty() {
            let [a, b, c, d, e] = ["p50", "p90", "p99", "p99.9", "max"];
            writeln!(f, "  {:<16} {a:>9} {b:>9} {c:>9} {d:>9} {e:>9}", "ms")?;
        }
        for (name, s) in &self.latency {
            let Spread { p50_ms, p90_ms, p99_ms, p999_ms, max_ms, .. } = s;
            writeln!(
                f,
                "  {name:<16} {p50_ms:>9.2} {p90_ms:>9.2} {p99_ms:>9.2} {p999_ms:>9.2} {max_ms:>9.2}"
            )?;
        }
        for why in &self.faults {
            writeln!(f, "  fault: {why}")?;
        }
        write!(
            f,
            "  generator: {} messages, {:.2} us of CPU each",
            self.generator.sent + self.generator.received,
            self.generator.cpu_us_per_message
        )?;
        if let Some(server) = &self.server {
            let mb = |bytes: u64| bytes as f64 / 1e6;
            write!(
                f,
                "\n  server: {:.1} us of CPU an operation, {:.2} us a message; resident {:.1} MB, then {:.1} MB",
                server.cpu_us_per_operation,
                server.cpu_us_per_message,
                mb(server.resident_before),
                mb(server.resident_after)
            )?;
        }
        Ok(())
    }
}
