//! How long the node takes over what phones wait for.

use prometheus::{Histogram, HistogramOpts, Registry};

use super::add;

/// Seconds: from a registration without a queue to the moment at which phones repeat their requests (500 ms) and
/// the ones at which they give up.
const BUCKETS: [f64; 15] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 4.0, 32.0];

/// Histograms of answers.
#[derive(Debug, Clone)]
pub struct LatencyMetrics {
    register: Histogram,
    setup: Histogram,
}

impl LatencyMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let histogram = |name: &str, help: &str| {
            add(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()))?)
        };
        Ok(Self {
            register: histogram(
                "keyline_phone_register_seconds",
                "From an admitted REGISTER to its 200, the commit included where there is one",
            )?,
            setup: histogram(
                "keyline_call_setup_seconds",
                "From an admitted INVITE to the first sign of the called phone: 18x or 2xx",
            )?,
        })
    }

    /// A REGISTER got its 200 after so many microseconds.
    pub fn registered(&self, us: u64) {
        self.register.observe(us as f64 / 1e6);
    }

    /// A caller heard of the called phone after so many microseconds.
    pub fn set_up(&self, us: u64) {
        self.setup.observe(us as f64 / 1e6);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn times_fall_into_the_buckets_of_their_seconds() {
        let registry = Registry::new();
        let metrics = LatencyMetrics::new(&registry).unwrap();
        for us in [90, 400, 499_999, 500_001] {
            metrics.registered(us);
        }
        metrics.set_up(30_000);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "keyline_phone_register_seconds_bucket{le=\"0.0001\"} 1",
            "keyline_phone_register_seconds_bucket{le=\"0.0005\"} 2",
            "keyline_phone_register_seconds_bucket{le=\"0.5\"} 3",
            "keyline_phone_register_seconds_count 4",
            "keyline_call_setup_seconds_bucket{le=\"0.025\"} 0",
            "keyline_call_setup_seconds_bucket{le=\"0.05\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
