//! Runs as pages: one self-contained file with plots drawn by [`plot`], readable on light and dark ground. And two
//! runs beside each other.

mod compare;
mod plot;
mod shell;
mod soak;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use self::compare::{Pair, compare};
use self::plot::{Axis, Line, Plot};
use self::shell::{escape, page, table};
pub use self::soak::of_soak;
use crate::load::{Sample, Second, Spent, Spread};

/// Points of a line; a longer run is thinned out, its latencies to the worst of each group.
const POINTS: usize = 300;

/// What a load command wrote with `--json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Kept {
    /// The command line.
    pub command: String,
    /// Processor, cores, kernel.
    pub machine: String,
    /// One for each job.
    pub reports: Vec<KeptReport>,
}

/// One job of it.
#[derive(Debug, Clone, Deserialize)]
pub struct KeptReport {
    /// Scenario.
    pub scenario: String,
    /// Server.
    pub target: String,
    /// Phones.
    pub phones: u64,
    /// Operations a second that were wanted.
    pub rate: f64,
    /// Seconds.
    pub elapsed_s: f64,
    /// Operations.
    pub begun: u64,
    /// Of these good.
    pub good: u64,
    /// Of these failed.
    pub failed: u64,
    /// Good ones a second.
    pub good_per_s: f64,
    /// Requests repeated.
    #[serde(default)]
    pub retransmissions: u64,
    /// Times by kind.
    pub latency: BTreeMap<String, Spread>,
    /// Reasons of failures.
    #[serde(default)]
    pub faults: Vec<String>,
    /// The server's cost.
    pub server: Option<Spent>,
    /// Second by second.
    #[serde(default)]
    pub timeline: Vec<Second>,
    /// The server's process.
    #[serde(default)]
    pub samples: Vec<Sample>,
}

impl Kept {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Kept, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// The page of a run.
pub fn of_run(run: &Kept) -> String {
    let mut body = format!(
        "<dl><dt>command</dt><dd><code>{}</code></dd><dt>machine</dt><dd>{}</dd></dl>",
        escape(&run.command),
        escape(&run.machine)
    );
    for report in &run.reports {
        body += &section(report);
    }
    let name = run.reports.last().map_or("run", |report| &*report.scenario);
    page(&format!("Load: {name}"), &body)
}

fn section(report: &KeptReport) -> String {
    let KeptReport { scenario, target, phones, rate, good, begun, failed, elapsed_s, good_per_s, .. } =
        report;
    let wanted = if *rate > 0.0 { format!("{rate}/s wanted") } else { "as fast as it goes".into() };
    let mut out = format!(
        "<h2>{} <small>{}, {phones} phones, {wanted}</small></h2><p><b>{good}</b> of {begun} good, <b>{failed}</b> \
         failed, {} repeated, in {elapsed_s:.1} s: <b>{good_per_s:.0}/s</b></p>",
        escape(scenario),
        escape(target),
        report.retransmissions,
    );
    if let Some(spent) = &report.server {
        out += &format!(
            "<p>server: <b>{:.1} µs</b> of CPU an operation; memory {:.1} MB, then {:.1} MB</p>",
            spent.cpu_us_per_operation,
            spent.resident_before as f64 / 1e6,
            spent.resident_after as f64 / 1e6
        );
    }
    for why in &report.faults {
        out += &format!("<p class=fault>{}</p>", escape(why));
    }
    let rows = report.latency.iter().map(|(name, s)| {
        let times = [s.p50_ms, s.p90_ms, s.p99_ms, s.p999_ms, s.max_ms].map(ms);
        [vec![name.replace('_', " "), s.count.to_string()], times.to_vec()].concat()
    });
    out += &table(&["ms", "count", "p50", "p90", "p99", "p99.9", "max"], rows);
    out += "<div class=plots>";
    plots(report).iter().for_each(|plot| out += &plot.svg());
    out + "</div>"
}

/// Three significant digits.
fn ms(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn plots(report: &KeptReport) -> Vec<Plot> {
    let mut plots = Vec::new();
    // The last second is seldom a whole one: few operations, and those late.
    let whole = report.timeline.len() - usize::from(report.timeline.len() > 2);
    let seconds = thin(&report.timeline[..whole]);
    let each =
        |f: fn(&Second) -> f64| seconds.iter().map(|s| (s.second as f64 + 0.5, f(s))).collect::<Vec<_>>();
    if seconds.iter().any(|s| s.max_ms > 0.0) {
        plots.push(Plot {
            title: "Latency of operations, from their intended moment".into(),
            y: Axis::log("ms"),
            lines: vec![
                Line::new("p50", each(|s| s.p50_ms)),
                Line::new("p90", each(|s| s.p90_ms)),
                Line::new("p99", each(|s| s.p99_ms)),
                Line::new("max", each(|s| s.max_ms)),
            ],
        });
    }
    if !seconds.is_empty() {
        let mut lines =
            vec![Line::new("begun", each(|s| s.begun as f64)), Line::new("good", each(|s| s.good as f64))];
        if seconds.iter().any(|s| s.failed > 0) {
            lines.push(Line::new("failed", each(|s| s.failed as f64)));
        }
        plots.push(Plot { title: "Operations".into(), y: Axis::linear("a second"), lines });
    }
    plots.extend(of_process(&report.samples));
    plots
}

/// Processor and memory of the server.
fn of_process(samples: &[Sample]) -> Vec<Plot> {
    if samples.is_empty() {
        return Vec::new();
    }
    let thinned = || samples.iter().step_by(samples.len().div_ceil(POINTS).max(1));
    let cores = thinned().map(|s| (s.at_s, s.cores)).collect();
    let memory = thinned().map(|s| (s.at_s, s.memory as f64 / 1e6)).collect();
    let (cpu, mb) = (Axis::linear("cores"), Axis::linear("MB"));
    vec![
        Plot { title: "Server: processor".into(), y: cpu, lines: vec![Line::new("CPU", cores)] },
        Plot { title: "Server: memory".into(), y: mb, lines: vec![Line::new("memory", memory)] },
    ]
}

/// At most [`POINTS`] seconds: rates as means, times as the worst of a group.
fn thin(all: &[Second]) -> Vec<Second> {
    let group = all.len().div_ceil(POINTS).max(1);
    let one = |part: &[Second]| {
        let n = part.len().max(1) as u64;
        let mean = |f: fn(&Second) -> u64| part.iter().map(f).sum::<u64>() / n;
        let worst = |f: fn(&Second) -> f64| part.iter().map(f).fold(0.0, f64::max);
        Second {
            second: part.first().map_or(0, |s| s.second),
            begun: mean(|s| s.begun),
            good: mean(|s| s.good),
            failed: mean(|s| s.failed),
            p50_ms: worst(|s| s.p50_ms),
            p90_ms: worst(|s| s.p90_ms),
            p99_ms: worst(|s| s.p99_ms),
            max_ms: worst(|s| s.max_ms),
        }
    };
    all.chunks(group).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let second = |second: u64| {
            format!(
                "{{\"second\":{second},\"begun\":100,\"good\":99,\"failed\":1,\"p50_ms\":1,\"p90_ms\":2,\"p99_ms\":5,\
                 \"max_ms\":{}}}",
                10 + second
            )
        };
        let seconds: Vec<String> = (0..1_000).map(second).collect();
        let text = format!(
            "{{\"command\":\"c <x>\",\"machine\":\"m\",\"reports\":[{{\"scenario\":\"refresh\",\"target\":\"udp:h\",\
             \"phones\":7,\"rate\":100,\"elapsed_s\":10,\"begun\":1000,\"good\":990,\"failed\":10,\"good_per_s\":99,\
             \"latency\":{{}},\"timeline\":[{}],\"samples\":[{{\"at_s\":1,\"cores\":0.5,\"memory\":5000000}}]}}]}}",
            seconds.join(",")
        );
        Kept::parse(&text).unwrap()
    }

    #[test]
    fn a_page_stands_alone_and_long_runs_are_thinned_to_their_worst() {
        let page = of_run(&kept());
        assert!(page.contains("c &lt;x&gt;") && !page.contains("<x>"));
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<svg").count(), 4);
        assert!(
            page.contains(">ms<")
                && page.contains(">a second<")
                && page.contains(">cores<")
                && page.contains(">MB<")
        );
        let thin = thin(&kept().reports[0].timeline);
        assert_eq!((thin.len(), thin[0].max_ms, thin[249].max_ms, thin[3].good), (250, 13.0, 1_009.0, 99));
    }
}
