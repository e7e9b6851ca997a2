//! What the TLS acceptor counts by itself.

use std::sync::Arc;

use prometheus::Registry;

use super::pulled::{Pulled, Series};
use crate::tls::verify::known::Known;

const SERIES: [Series; 2] = [
    Series::counter(
        "keyline_tls_chain_checks_known_total",
        "Client certificates whose chain had been checked under the trust in force",
    ),
    Series::counter("keyline_tls_chain_checks_made_total", "Chains of client certificates that were checked"),
];

/// Registers the figures of the remembered chain checks.
pub fn register(registry: &Registry, known: Arc<Known>) -> Result<(), prometheus::Error> {
    registry.register(Box::new(Pulled::new(SERIES, move || {
        let (found, judged) = known.counts();
        [found, judged].map(|value| Some(value as f64))
    })?))
}
