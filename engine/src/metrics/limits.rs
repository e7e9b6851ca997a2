//! What each limit of `[limits]` refused.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::limits::Limit;

/// `keyline_limits_refused_total`, by the limit's name in the configuration.
#[derive(Debug, Clone)]
pub(super) struct LimitCounters(Vec<IntCounter>);

impl LimitCounters {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "What a limit refused, dropped or closed, by its name in [limits]";
        let family = IntCounterVec::new(Opts::new("keyline_limits_refused_total", help), &["limit"])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self(Limit::ALL.iter().map(|limit| family.with_label_values(&[limit.as_str()])).collect()))
    }

    pub(super) fn inc(&self, limit: Limit) {
        // In the order of their declaration.
        if let Some(counter) = self.0.get(limit as usize) {
            counter.inc();
        }
    }
}
