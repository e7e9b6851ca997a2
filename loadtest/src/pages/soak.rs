//! A soak as a page.

use super::of_process;
use super::plot::{Axis, Line, Plot};
use super::shell::{escape, page, table};
use crate::mixed::Soaked;

/// The page of a soak.
pub fn of_soak(soaked: &Soaked) -> String {
    let [swaps, rollouts, broken] = soaked.disturbed;
    let [half, end] = soaked.memory.map(|bytes| bytes as f64 / 1e6);
    let mut body = format!(
        "<dl><dt>command</dt><dd><code>{}</code></dd><dt>machine</dt><dd>{}; phones and node share it</dd></dl>\
         <p><b>{:.0} s</b> after {:.0} s to warm up, <b>{:.0}</b> operations/s, {:.2} of one core for the node; {swaps} \
         certificates swapped, {rollouts} versions rolled out, {broken} connections broken off</p>\
         <p>memory {half:.1} MB at half-time, {end:.1} MB at the end: <b>{:+.2} %</b>; <b>{}</b> unexplained: {}</p>",
        escape(&soaked.command),
        escape(&soaked.machine),
        soaked.seconds,
        soaked.warm_s,
        soaked.per_s,
        soaked.cores,
        100.0 * soaked.growth(),
        soaked.unexplained(),
        if soaked.holds() { "it holds" } else { "it does not hold" },
    );
    for line in soaked.errors.iter().chain(soaked.parts.values().flat_map(|part| &part.faults)) {
        body += &format!("<p class=fault>{}</p>", escape(line));
    }
    let rows = soaked.parts.iter().map(|(name, part)| {
        let numbers = [part.begun, part.good, part.failed, part.repeated].map(|n| n.to_string());
        [vec![(*name).to_owned()], numbers.to_vec()].concat()
    });
    body += &table(&["part", "begun", "good", "failed", "repeated"], rows);
    let refused = soaked.refused.iter().map(|(limit, count)| vec![limit.clone(), count.to_string()]);
    body += &table(&["refused by limit", "times"], refused);
    let mut plots = of_process(&soaked.samples);
    let of_rounds =
        |f: fn(&(f64, f64, u64)) -> f64| soaked.rounds.iter().map(|r| (r.0, f(r))).collect::<Vec<_>>();
    plots.push(Plot {
        title: "Operations of each round".into(),
        y: Axis::linear("a second"),
        lines: vec![Line::new("good", of_rounds(|r| r.1))],
    });
    plots.push(Plot {
        title: "Failed in each round".into(),
        y: Axis::linear("operations"),
        lines: vec![Line::new("failed", of_rounds(|r| r.2 as f64))],
    });
    body += "<div class=plots>";
    plots.iter().for_each(|plot| body += &plot.svg());
    page("Soak", &(body + "</div>"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::load::Sample;
    use crate::mixed::Part;

    #[test]
    fn a_soak_is_one_page_with_its_plots_and_faults() {
        let faults = vec!["no <answer>".to_owned()];
        let soaked = Soaked {
            seconds: 20.0,
            cores: 0.5,
            per_s: 10.0,
            parts: BTreeMap::from([("calls", Part { failed: 1, faults, ..Part::default() })]),
            disturbed: [2, 1, 100],
            warm_s: 60.0,
            refused: BTreeMap::from([("handshakes_waiting".to_owned(), 3)]),
            rounds: vec![(10.0, 10.0, 0), (20.0, 9.0, 1)],
            memory: [100, 100],
            panics: 0,
            errors: Vec::new(),
            samples: vec![Sample { at_s: 1.0, cores: 0.5, memory: 100 }; 3],
            command: "c".into(),
            machine: "m".into(),
        };
        let page = of_soak(&soaked);
        assert_eq!(page.matches("<svg").count(), 4);
        for part in ["<b>1</b> unexplained", "no &lt;answer&gt;", "handshakes_waiting", "it does not hold"] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("http"));
    }
}
