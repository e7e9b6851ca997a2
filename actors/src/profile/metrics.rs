//! What is counted of roll-outs.

use keyline_domain::rollout::Failure;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// What a roll-out did with a phone (label `outcome`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Unregistered,
    Signalled,
    Confirmed,
    Failed,
    Skipped,
}

const OUTCOMES: [&str; 5] = ["unregistered", "signalled", "confirmed", "failed", "skipped"];

/// Metrics of roll-outs.
#[derive(Debug, Clone)]
pub(crate) struct RolloutMetrics {
    phones: [IntCounter; OUTCOMES.len()],
    failures: [IntCounter; Failure::ALL.len()],
    /// Roll-outs that have not ended.
    pub(crate) open: IntGauge,
    /// Phones that open roll-outs have not dealt with.
    pub(crate) left: IntGauge,
    /// Roll-outs that stopped by themselves.
    pub(crate) gated: IntCounter,
}

impl RolloutMetrics {
    /// Registers everything.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let vector = |name: &str, help: &str, label: &str| {
            let v = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(v.clone()))?;
            Ok::<_, prometheus::Error>(v)
        };
        let gauge = |name: &str, help: &str| {
            let g = IntGauge::new(name, help)?;
            registry.register(Box::new(g.clone()))?;
            Ok::<_, prometheus::Error>(g)
        };
        let phones =
            vector("keyline_rollout_phones_total", "Phones by what a roll-out did with them", "outcome")?;
        let failures =
            vector("keyline_rollout_failures_total", "Phones that did not come back, by reason", "reason")?;
        let gated = IntCounter::new("keyline_rollout_gated_total", "Roll-outs that stopped by themselves")?;
        registry.register(Box::new(gated.clone()))?;
        Ok(Self {
            phones: OUTCOMES.map(|o| phones.with_label_values(&[o])),
            failures: Failure::ALL.map(|f| failures.with_label_values(&[f.as_str()])),
            open: gauge("keyline_rollout_open_rollouts", "Roll-outs that have not ended")?,
            left: gauge("keyline_rollout_left_phones", "Phones that open roll-outs have not dealt with")?,
            gated,
        })
    }

    /// Counts phones.
    pub(crate) fn count(&self, outcome: Outcome, phones: u64) {
        self.phones[outcome as usize].inc_by(phones);
    }

    /// Counts a phone that failed.
    pub(crate) fn failed(&self, why: Failure) {
        self.count(Outcome::Failed, 1);
        self.failures[why as usize].inc();
    }
}
