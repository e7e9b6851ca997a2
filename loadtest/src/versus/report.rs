//! The table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::{Cell, Contender, Figure, Memory, Row};

/// Repeats may differ by that share of their median.
const AGREE: f64 = 0.10;

/// All that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// The command line.
    pub command: String,
    /// Processor, cores, kernel.
    pub machine: String,
    /// Each server, row and repeat.
    pub cells: Vec<Cell>,
    /// Each server's memory.
    pub memory: Vec<Memory>,
}

/// Values of the repeats of one row and server.
#[derive(Debug, Default, Clone)]
struct Repeats(Vec<f64>);

impl Repeats {
    fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            n if n % 2 == 1 => Some(sorted[middle]),
            _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
        }
    }

    /// Longest less shortest, as a share of the median; `None` with fewer than two.
    fn spread(&self) -> Option<f64> {
        let (low, high) = self.0.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        (self.0.len() > 1).then(|| (high - low) / self.median().unwrap_or(1.0).max(1e-9))
    }
}

/// One cell in a line, as it is measured.
pub(super) fn line(cell: &Cell) -> String {
    let one = |figure: &Result<Figure, String>| match figure {
        Ok(f) => format!("{:.1} us at {:.0}/s, busy {:.0} %", f.us, f.per_s, 100.0 * f.busy),
        Err(why) => format!("failed: {why}"),
    };
    let Cell { row, saturated, part, .. } = cell;
    format!("{} {}: {}; part load {}", row.transport, row.operation, one(saturated), one(part))
}

impl Compared {
    fn rows(&self) -> BTreeSet<Row> {
        self.cells.iter().map(|cell| cell.row).collect()
    }

    fn repeats(&self, saturated: bool) -> BTreeMap<(Row, Contender), Repeats> {
        let mut all: BTreeMap<_, Repeats> = BTreeMap::new();
        for cell in &self.cells {
            let figure = if saturated { &cell.saturated } else { &cell.part };
            let repeats = all.entry((cell.row, cell.contender)).or_default();
            repeats.0.extend(figure.as_ref().ok().map(|figure| figure.us));
        }
        all
    }

    /// Rows and servers whose repeats differ by more than a tenth, with that share; at saturation.
    pub fn apart(&self) -> Vec<(Row, Contender, f64)> {
        let spread = |((row, who), repeats): ((Row, Contender), Repeats)| {
            repeats.spread().filter(|spread| *spread > AGREE).map(|spread| (row, who, spread))
        };
        self.repeats(true).into_iter().filter_map(spread).collect()
    }

    /// Rows without a figure, and why.
    pub fn failures(&self) -> Vec<String> {
        let of = |cell: &Cell| {
            let both = [("saturated", &cell.saturated), ("part load", &cell.part)];
            both.into_iter()
                .filter_map(|(load, figure)| {
                    let Cell { row, contender, repeat, .. } = cell;
                    let why = figure.as_ref().err()?;
                    Some(format!(
                        "{} {} {}, {load}, repeat {repeat}: {why}",
                        contender.name(),
                        row.transport,
                        row.operation
                    ))
                })
                .collect::<Vec<_>>()
        };
        self.cells.iter().flat_map(of).collect()
    }

    fn memory_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Contender::{Kamailio, KamailioTable, Keyline};
        let mut all: BTreeMap<(&str, Contender), Repeats> = BTreeMap::new();
        for one in &self.memory {
            all.entry((one.what, one.contender)).or_default().0.push(one.bytes);
        }
        writeln!(f, "{:<48}{:>12}{:>12}{:>12}", "bytes of resident memory", "kamailio", "htable", "keyline")?;
        let kinds: BTreeSet<&str> = self.memory.iter().map(|one| one.what).collect();
        for what in kinds {
            let of = |who| {
                all.get(&(what, who)).and_then(Repeats::median).map_or("-".into(), |b| format!("{b:.0}"))
            };
            let [one, table, own] = [Kamailio, KamailioTable, Keyline].map(of);
            writeln!(f, "{what:<48}{one:>12}{table:>12}{own:>12}")?;
        }
        Ok(())
    }

    fn table(&self, f: &mut fmt::Formatter<'_>, saturated: bool) -> fmt::Result {
        use Contender::{Kamailio, KamailioTable, Keyline};
        let all = self.repeats(saturated);
        let of = |row, who| all.get(&(row, who)).and_then(Repeats::median);
        let us = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.1}"));
        let ratio = |own: Option<f64>, other: Option<f64>| match (own, other) {
            (Some(own), Some(other)) => format!("{:.2}", own / other.max(1e-9)),
            _ => "-".into(),
        };
        writeln!(
            f,
            "{:<5}{:<24}{:>10}{:>10}{:>10}{:>12}{:>12}",
            "", "us of server CPU", "kamailio", "htable", "keyline", "/kamailio", "/htable"
        )?;
        for row in self.rows() {
            let [one, table, own] = [Kamailio, KamailioTable, Keyline].map(|who| of(row, who));
            let (a, b) = (ratio(own, one), ratio(own, table));
            let (one, table, own) = (us(one), us(table), us(own));
            let Row { transport, operation, .. } = row;
            writeln!(f, "{transport:<5}{operation:<24}{one:>10}{table:>10}{own:>10}{a:>12}{b:>12}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "command   {}", self.command)?;
        writeln!(f, "machine   {}; server on the first core, phones on the others", self.machine)?;
        let repeats = self.cells.iter().map(|cell| cell.repeat).max().unwrap_or(0);
        writeln!(f, "repeats   {repeats}; medians\n\nas busy as it can be made")?;
        self.table(f, true)?;
        writeln!(f, "\nat the same rate for all")?;
        self.table(f, false)?;
        if !self.memory.is_empty() {
            writeln!(f)?;
            self.memory_table(f)?;
        }
        let idle = |cell: &&Cell| cell.saturated.as_ref().is_ok_and(|figure| figure.busy < 0.9);
        for cell in self.cells.iter().filter(idle) {
            let Cell { row, contender, repeat, .. } = cell;
            let busy = cell.saturated.as_ref().map_or(0.0, |figure| 100.0 * figure.busy);
            let Row { transport, operation, .. } = row;
            writeln!(
                f,
                "not saturated: {} {transport} {operation}, repeat {repeat}: busy {busy:.0} % of the time",
                contender.name()
            )?;
        }
        for why in self.failures() {
            writeln!(f, "no figure: {why}")?;
        }
        if repeats > 1 {
            let apart = self.apart();
            for (Row { transport, operation, .. }, who, spread) in &apart {
                writeln!(f, "apart: {} {transport} {operation}: {:.1} %", who.name(), 100.0 * spread)?;
            }
            let word = if apart.is_empty() { "agree" } else { "do not all agree" };
            writeln!(f, "repeats {word} within {:.0} %", 100.0 * AGREE)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(contender: Contender, repeat: u32, us: f64) -> Cell {
        let figure = Figure { us, per_s: 1_000.0, busy: 1.0, failed: 0.0 };
        let row = Row { transport: "UDP", place: 0, operation: "refresh" };
        Cell { row, contender, repeat, saturated: Ok(figure), part: Err("no".into()) }
    }

    #[test]
    fn medians_ratios_and_disagreement_are_told() {
        let figures = [(Contender::Kamailio, [10.0, 10.5, 10.2]), (Contender::Keyline, [20.0, 26.0, 21.0])];
        let cells =
            figures.iter().flat_map(|(who, all)| (1..).zip(all).map(|(n, us)| cell(*who, n, *us))).collect();
        let memory =
            Memory { what: "idle TLS phone", contender: Contender::Keyline, repeat: 1, bytes: 12_345.6 };
        let compared = Compared { command: "c".into(), machine: "m".into(), cells, memory: vec![memory] };
        let apart = compared.apart();
        assert_eq!((apart.len(), apart[0].1), (1, Contender::Keyline));
        let text = compared.to_string();
        assert!(text.contains("idle TLS phone") && text.contains("12346"), "{text}");
        assert!(text.contains("10.2") && text.contains("21.0") && text.contains("2.06"), "{text}");
        assert!(
            text.contains("apart: keyline UDP refresh: 28.6 %") && text.contains("no figure: keyline"),
            "{text}"
        );
    }
}
