//! Line plots as inline SVG. Colours are variables of the page, so that they follow light and dark.

use std::fmt::Write as _;

use super::shell::escape;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
/// Room around the plane: for the title, names of lines, ticks.
const TOP: f64 = 34.0;
const RIGHT: f64 = 74.0;
const BOTTOM: f64 = 40.0;
const LEFT: f64 = 62.0;
/// Between two names at the right end.
const APART: f64 = 14.0;
/// Colours that the page has.
const COLOURS: usize = 6;

/// What a y axis shows.
#[derive(Debug, Clone)]
pub struct Axis {
    unit: String,
    log: bool,
}

impl Axis {
    /// From zero.
    pub fn linear(unit: &str) -> Axis {
        Axis { unit: unit.to_owned(), log: false }
    }

    /// By powers of ten; values of zero are left out.
    pub fn log(unit: &str) -> Axis {
        Axis { unit: unit.to_owned(), log: true }
    }
}

/// A named line.
#[derive(Debug, Clone)]
pub struct Line {
    name: String,
    /// Seconds and values.
    points: Vec<(f64, f64)>,
}

impl Line {
    /// Points in their order of time.
    pub fn new(name: &str, points: Vec<(f64, f64)>) -> Line {
        Line { name: name.to_owned(), points }
    }
}

/// One plot over time in seconds.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Values.
    pub y: Axis,
    /// At most six.
    pub lines: Vec<Line>,
}

/// Round steps for about that many ticks up to `most`.
fn step(most: f64, ticks: f64) -> f64 {
    let raw = (most / ticks).max(1e-9);
    let power = 10_f64.powf(raw.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|n| n * power >= raw).unwrap_or(10.0);
    nice * power
}

/// A number as short as it can be told.
fn short(value: f64) -> String {
    let text = match value.abs() {
        v if v >= 1e6 => format!("{:.1}M", value / 1e6),
        v if v >= 10_000.0 => format!("{:.0}k", value / 1e3),
        v if v >= 10.0 => format!("{value:.0}"),
        _ => format!("{value:.3}"),
    };
    if text.contains('.') && !text.ends_with('M') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// Values to places.
struct Scale {
    low: f64,
    high: f64,
    log: bool,
    ticks: Vec<f64>,
}

impl Scale {
    fn of(plot: &Plot) -> Scale {
        let values = || plot.lines.iter().flat_map(|line| &line.points).map(|(_, v)| *v);
        let most = values().fold(0.0, f64::max);
        if plot.y.log {
            let least = values().filter(|v| *v > 0.0).fold(f64::MAX, f64::min).min(most).max(1e-3);
            let (low, high) = (least.log10().floor(), most.max(least).log10().ceil());
            let high = high.max(low + 1.0);
            let ticks = (low as i32..=high as i32).map(|power| 10_f64.powi(power)).collect();
            return Scale { low, high, log: true, ticks };
        }
        let step = step(most.max(1e-6), 5.0);
        let count = (most / step * 1.0001).ceil().max(1.0);
        let ticks = (0..=count as i32).map(|n| f64::from(n) * step).collect();
        Scale { low: 0.0, high: count * step, log: false, ticks }
    }

    /// Height on the page.
    fn place(&self, value: f64) -> f64 {
        let value = if self.log { value.max(1e-9).log10() } else { value };
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }
}

impl Plot {
    /// The drawing.
    pub fn svg(&self) -> String {
        let scale = Scale::of(self);
        let times = || self.lines.iter().flat_map(|line| &line.points).map(|(at, _)| *at);
        let last = times().fold(1.0, f64::max);
        let across = |at: f64| LEFT + at / last * (WIDTH - LEFT - RIGHT);
        let mut out = format!(
            "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{0}\"><text class=title x=8 y=18>{0}</text>",
            escape(&self.title)
        );
        // Writing to a String can not fail.
        for tick in &scale.ticks {
            let y = scale.place(*tick);
            let _ = write!(
                out,
                "<line class=grid x1={LEFT} x2={} y1={y:.1} y2={y:.1} /><text class=tick text-anchor=end x={} y={:.1}>{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                short(*tick)
            );
        }
        let by = step(last, 6.0);
        let mut at = 0.0;
        while at <= last * 1.0001 {
            let _ = write!(
                out,
                "<text class=tick text-anchor=middle x={:.1} y={:.1}>{}</text>",
                across(at),
                HEIGHT - BOTTOM + 16.0,
                short(at)
            );
            at += by;
        }
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        let _ = write!(
            out,
            "<text class=unit text-anchor=middle x={middle} y={}>seconds since the start</text>",
            HEIGHT - 6.0
        );
        let up = (TOP + HEIGHT - BOTTOM) / 2.0;
        let _ = write!(
            out,
            "<text class=unit text-anchor=middle transform=\"translate(14 {up}) rotate(-90)\">{}</text>",
            escape(&self.y.unit)
        );
        self.draw_lines(&mut out, &scale, across);
        out + "</svg></figure>"
    }

    fn draw_lines(&self, out: &mut String, scale: &Scale, across: impl Fn(f64) -> f64) {
        let mut names = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            let colour = index % COLOURS;
            let shown: Vec<_> = line.points.iter().filter(|(_, v)| !scale.log || *v > 0.0).collect();
            let mut path = String::new();
            for (n, (at, value)) in shown.iter().enumerate() {
                let _ = write!(
                    path,
                    "{}{:.1} {:.1}",
                    if n == 0 { 'M' } else { 'L' },
                    across(*at),
                    scale.place(*value)
                );
            }
            let _ = write!(out, "<path class=\"line c{colour}\" d=\"{path}\" />");
            if let [(at, value)] = shown[..] {
                let (x, y) = (across(*at), scale.place(*value));
                let _ = write!(out, "<circle class=\"dot c{colour}\" cx={x:.1} cy={y:.1} r=3 />");
            }
            if let Some((_, value)) = shown.last() {
                names.push((scale.place(*value), colour, &line.name));
            }
        }
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Lines that end close together: names are pushed down, and all up again where they leave the plane.
        let mut floor = f64::MIN;
        for name in &mut names {
            name.0 = name.0.max(floor);
            floor = name.0 + APART;
        }
        let over = names.last().map_or(0.0, |name| (name.0 - (HEIGHT - BOTTOM)).max(0.0));
        for (y, colour, name) in names {
            let (x, y) = (WIDTH - RIGHT + 6.0, y - over + 4.0);
            let _ = write!(out, "<text class=\"name t{colour}\" x={x} y={y:.1}>{}</text>", escape(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_names_do_not_lie_on_each_other() {
        assert_eq!((step(100.0, 5.0), step(7.0, 5.0), step(0.9, 5.0)), (20.0, 2.0, 0.2));
        assert_eq!(
            ["0", "0.2", "15", "20k", "1.5M"].map(str::to_owned),
            [0.0, 0.2, 15.0, 20_000.0, 1.5e6].map(short)
        );
        let line = |name: &str, v: f64| Line::new(name, vec![(0.0, v), (9.0, v)]);
        let plot = Plot {
            title: "t".into(),
            y: Axis::log("ms"),
            lines: vec![line("a", 1.0), line("b", 1.0), line("z", 0.0)],
        };
        let svg = plot.svg();
        let y = |name: &str| -> f64 {
            let at = svg.split(&format!(">{name}</text>")).next().unwrap().rfind("y=").unwrap();
            svg[at + 2..].split('>').next().unwrap().parse().unwrap()
        };
        assert!((y("a") - y("b")).abs() >= APART);
        assert!(!svg.contains(">z<") && !svg.contains("NaN") && !svg.contains("inf"));
        assert!(Plot { title: "t".into(), y: Axis::linear("u"), lines: vec![] }.svg().ends_with("</figure>"));
    }
}
