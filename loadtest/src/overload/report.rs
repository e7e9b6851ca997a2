//! The result for people.

use std::fmt;

use super::{Measured, Overloaded, Stage};

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recovery = self.recovery_s.map_or("not in time".into(), |s| format!("{s:.1} s"));
        let admitted =
            self.admitted_p99_ms.map_or(String::new(), |ms| format!(" ({ms:.0} from the challenge on)"));
        write!(
            f,
            "{:>4.0} x: offered {:.0}/s of {:.0} ({:.0} requests/s), goodput {:.0}/s = {:.0} %, p99 {:.0} ms{admitted}, \
             503 {} ({} values of Retry-After, {} in 5..=30), dropped {} by the node and {} by the kernel, \
             recovered in {recovery}{}",
            self.times,
            self.offered_per_s,
            self.wanted_per_s,
            self.requests_per_s,
            self.goodput_per_s,
            100.0 * self.goodput,
            self.p99_ms,
            self.refused,
            self.spread.0,
            self.refused_rightly,
            self.dropped.0,
            self.dropped.1,
            if self.holds() { "" } else { "  <- not good enough" },
        )
    }
}

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "command   {}", self.command)?;
        writeln!(f, "machine   {}", self.machine)?;
        for Measured { operation, capacity_per_s, ordinary_p99_ms, stages } in &self.measured {
            writeln!(
                f,
                "{operation}: capacity {capacity_per_s:.0}/s in a closed loop; at half of it 99 % within \
                 {ordinary_p99_ms:.1} ms"
            )?;
            stages.iter().try_for_each(|stage| writeln!(f, "{stage}"))?;
        }
        write!(f, "{}", if self.holds() { "holds" } else { "does not hold" })
    }
}
