//! Two runs beside each other, as text and as a page.

use std::fmt;

use super::plot::{Axis, Line, Plot};
use super::shell::{escape, page};
use super::{Kept, KeptReport, ms, thin};

/// A change below that share is called none.
const SAME: f64 = 0.05;

/// One figure of both runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Scenario and figure.
    pub name: String,
    /// Of the first run.
    pub first: f64,
    /// Of the second.
    pub second: f64,
    /// More is better, as with rates.
    pub more_is_better: bool,
}

impl Pair {
    /// The second in parts of the first.
    pub fn ratio(&self) -> f64 {
        self.second / self.first.max(1e-9)
    }

    /// `better`, `worse` or `same`.
    pub fn verdict(&self) -> &'static str {
        let ratio = self.ratio();
        if (ratio - 1.0).abs() <= SAME || (self.first == 0.0 && self.second == 0.0) {
            "same"
        } else if (ratio > 1.0) == self.more_is_better {
            "better"
        } else {
            "worse"
        }
    }
}

/// Two runs.
pub struct Compared<'k> {
    first: &'k Kept,
    second: &'k Kept,
    /// Figures that both have.
    pub pairs: Vec<Pair>,
    jobs: Vec<(&'k KeptReport, &'k KeptReport)>,
    /// Jobs that only one of them has.
    alone: Vec<String>,
}

/// Sets the jobs of two runs beside each other: those of the same name, in their order.
pub fn compare<'k>(first: &'k Kept, second: &'k Kept) -> Compared<'k> {
    let mut rest: Vec<&KeptReport> = second.reports.iter().collect();
    let (mut jobs, mut alone) = (Vec::new(), Vec::new());
    for one in &first.reports {
        match rest.iter().position(|other| other.scenario == one.scenario) {
            Some(at) => jobs.push((one, rest.remove(at))),
            None => alone.push(format!("{} (first run only)", one.scenario)),
        }
    }
    alone.extend(rest.iter().map(|other| format!("{} (second run only)", other.scenario)));
    let pairs = jobs.iter().flat_map(|(one, other)| pairs_of(one, other)).collect();
    Compared { first, second, pairs, jobs, alone }
}

fn pairs_of(one: &KeptReport, other: &KeptReport) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut add = |what: &str, first: f64, second: f64, more_is_better: bool| {
        pairs.push(Pair { name: format!("{}: {what}", one.scenario), first, second, more_is_better });
    };
    add("good a second", one.good_per_s, other.good_per_s, true);
    let failed = |report: &KeptReport| 100.0 * report.failed as f64 / report.begun.max(1) as f64;
    add("failed, %", failed(one), failed(other), false);
    for (span, a) in &one.latency {
        let Some(b) = other.latency.get(span) else { continue };
        let span = span.replace('_', " ");
        for (share, a, b) in
            [("p50", a.p50_ms, b.p50_ms), ("p99", a.p99_ms, b.p99_ms), ("p99.9", a.p999_ms, b.p999_ms)]
        {
            add(&format!("{span} {share}, ms"), a, b, false);
        }
    }
    if let (Some(a), Some(b)) = (&one.server, &other.server) {
        add("server CPU an operation, µs", a.cpu_us_per_operation, b.cpu_us_per_operation, false);
        let grown = |spent: &crate::load::Spent| {
            (spent.resident_after as f64 - spent.resident_before as f64).max(0.0) / 1e6
        };
        add("memory added, MB", grown(a), grown(b), false);
    }
    pairs
}

impl fmt::Display for Compared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, run) in [("first", self.first), ("second", self.second)] {
            writeln!(f, "{name:<8} {}\n{:<8} {}", run.command, "", run.machine)?;
        }
        writeln!(f, "\n{:<48}{:>12}{:>12}{:>9}", "", "first", "second", "ratio")?;
        for pair in &self.pairs {
            let (a, b) = (ms(pair.first), ms(pair.second));
            let ratio = if pair.first > 0.0 { format!("{:.2}", pair.ratio()) } else { "-".into() };
            writeln!(f, "{:<48}{a:>12}{b:>12}{ratio:>9}  {}", pair.name, pair.verdict())?;
        }
        self.alone.iter().try_for_each(|name| writeln!(f, "not in both: {name}"))
    }
}

impl Compared<'_> {
    /// The page.
    pub fn page(&self) -> String {
        let mut body = String::from("<dl>");
        for (name, run) in [("first", self.first), ("second", self.second)] {
            body += &format!(
                "<dt>{name}</dt><dd><code>{}</code><br>{}</dd>",
                escape(&run.command),
                escape(&run.machine)
            );
        }
        body += "</dl><table><tr><th></th><th>first</th><th>second</th><th>ratio</th><th></th></tr>";
        for pair in &self.pairs {
            let (verdict, ratio) = (pair.verdict(), pair.ratio());
            let ratio = if pair.first > 0.0 { format!("{ratio:.2}") } else { "–".into() };
            body += &format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{ratio}</td><td class={verdict}>{verdict}</td></tr>",
                escape(&pair.name),
                ms(pair.first),
                ms(pair.second)
            );
        }
        body += "</table>";
        for name in &self.alone {
            body += &format!("<p>not in both: {}</p>", escape(name));
        }
        for (one, other) in &self.jobs {
            body += &format!("<h2>{}</h2><div class=plots>", escape(&one.scenario));
            both(one, other).iter().for_each(|plot| body += &plot.svg());
            body += "</div>";
        }
        page("Two runs", &body)
    }
}

fn both(one: &KeptReport, other: &KeptReport) -> Vec<Plot> {
    let of = |f: fn(&crate::load::Second) -> f64| {
        [("first", one), ("second", other)].map(|(name, report)| {
            let seconds =
                thin(&report.timeline[..report.timeline.len() - usize::from(report.timeline.len() > 2)]);
            Line::new(name, seconds.iter().map(|s| (s.second as f64 + 0.5, f(s))).collect())
        })
    };
    let samples = |f: fn(&crate::load::Sample) -> f64| {
        [("first", one), ("second", other)]
            .map(|(name, report)| Line::new(name, report.samples.iter().map(|s| (s.at_s, f(s))).collect()))
    };
    let plot = |title: &str, y: Axis, lines: [Line; 2]| Plot { title: title.into(), y, lines: lines.into() };
    let mut plots = vec![
        plot("Latency p50", Axis::log("ms"), of(|s| s.p50_ms)),
        plot("Latency p99", Axis::log("ms"), of(|s| s.p99_ms)),
        plot("Operations that went well", Axis::linear("a second"), of(|s| s.good as f64)),
    ];
    if !one.samples.is_empty() || !other.samples.is_empty() {
        plots.push(plot("Server: processor", Axis::linear("cores"), samples(|s| s.cores)));
        plots.push(plot("Server: memory", Axis::linear("MB"), samples(|s| s.memory as f64 / 1e6)));
    }
    plots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(good_per_s: f64, p99: f64, scenario: &str) -> Kept {
        let text = format!(
            "{{\"command\":\"c\",\"machine\":\"m\",\"reports\":[{{\"scenario\":\"{scenario}\",\"target\":\"t\",\"phones\":1,\
             \"rate\":0,\"elapsed_s\":1,\"begun\":10,\"good\":10,\"failed\":0,\"good_per_s\":{good_per_s},\"latency\":{{\
             \"operation\":{{\"count\":1,\"p50_ms\":1,\"p90_ms\":1,\"p99_ms\":{p99},\"p99.9_ms\":1,\"max_ms\":1}}}}}}]}}"
        );
        Kept::parse(&text).unwrap()
    }

    #[test]
    fn more_rate_and_less_time_are_better_and_jobs_of_one_run_are_named() {
        let (a, b) = (run(100.0, 10.0, "refresh"), run(150.0, 12.0, "refresh"));
        let compared = compare(&a, &b);
        let verdict = |end: &str| compared.pairs.iter().find(|p| p.name.ends_with(end)).unwrap().verdict();
        assert_eq!(
            (verdict("good a second"), verdict("p99, ms"), verdict("p50, ms"), verdict("%")),
            ("better", "worse", "same", "same")
        );
        assert!(compared.to_string().contains("1.50") && compared.page().contains("class=worse"));
        let other = run(1.0, 1.0, "call");
        let apart = compare(&a, &other).to_string();
        assert!(
            apart.contains("refresh (first run only)") && apart.contains("call (second run only)"),
            "{apart}"
        );
    }
}
