//! Families whose values are read when a scrape asks for them.

use std::sync::Arc;

use prometheus::Opts;
use prometheus::core::{Collector, Desc, Describer};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

/// One value of a [`Pulled`] collector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// It only grows; otherwise it is a gauge.
    pub(super) counter: bool,
}

impl Series {
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, counter: true }
    }

    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, counter: false }
    }
}

/// `N` values that are read together. A value that cannot be read now is `None` and left out.
pub(super) struct Pulled<const N: usize> {
    series: [(Series, Desc); N],
    read: Arc<dyn Fn() -> [Option<f64>; N] + Send + Sync>,
}

impl<const N: usize> Pulled<N> {
    pub(super) fn new(
        series: [Series; N],
        read: impl Fn() -> [Option<f64>; N] + Send + Sync + 'static,
    ) -> Result<Self, prometheus::Error> {
        let mut described = Vec::with_capacity(N);
        for one in series {
            described.push((one, Opts::new(one.name, one.help).describe()?));
        }
        let series = described
            .try_into()
            .map_err(|_| prometheus::Error::Msg("a series was lost while it was described".to_owned()))?;
        Ok(Self { series, read: Arc::new(read) })
    }
}

impl<const N: usize> Collector for Pulled<N> {
    fn desc(&self) -> Vec<&Desc> {
        self.series.iter().map(|(_, desc)| desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let values = (self.read)();
        self.series.iter().zip(values).filter_map(|((series, _), value)| Some(one(series, value?))).collect()
    }
}

fn one(series: &Series, value: f64) -> MetricFamily {
    let mut metric = Metric::default();
    if series.counter {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    let kind = if series.counter { MetricType::COUNTER } else { MetricType::GAUGE };
    family(series.name, series.help, kind, metric)
}

/// A family of one metric without labels.
pub(super) fn family(name: &str, help: &str, kind: MetricType, metric: Metric) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}
