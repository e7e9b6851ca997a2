//! What a worker sheds over UDP.

use prometheus::{GaugeVec, IntCounter, Opts, Registry};

use super::{add, each, one};

/// What may be dropped without an answer.
pub(super) const DROPPED: [&str; 5] = ["register", "refresh", "invite", "subscribe", "message"];

/// Counters of the gate.
#[derive(Debug, Clone)]
pub struct OverloadMetrics {
    dropped: [IntCounter; DROPPED.len()],
    pressure: GaugeVec,
    /// Datagrams that the kernel dropped because a socket was full.
    pub udp_lost: IntCounter,
}

impl OverloadMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let pressure = Opts::new(
            "keyline_overload_pressure_ratio",
            "How much a worker sheds over UDP: 0 nothing, 0.5 all new calls, 0.75 all first registrations",
        );
        Ok(Self {
            dropped: each(
                registry,
                "keyline_overload_dropped_total",
                "Datagrams shed without an answer, by kind; keyline_sip_shed_total has all that was shed",
                "kind",
                DROPPED,
            )?,
            pressure: add(registry, GaugeVec::new(pressure, &["worker"])?)?,
            udp_lost: one(
                registry,
                "keyline_udp_receive_lost_total",
                "Datagrams that found no room in a UDP socket, as far as the kernel told",
            )?,
        })
    }

    /// A datagram was shed without an answer.
    pub fn dropped(&self, kind: &str) {
        if let Some(i) = DROPPED.iter().position(|s| *s == kind) {
            self.dropped[i].inc();
        }
    }

    /// How much a worker sheds, from 0 to 1.
    pub fn pressure(&self, worker: u16, ratio: f64) {
        self.pressure.with_label_values(&[&worker.to_string()]).set(ratio);
    }

    /// A worker runs: its gauge is there before it sheds anything.
    pub(super) fn worker(&self, worker: u16) {
        let _ = self.pressure.with_label_values(&[&worker.to_string()]);
    }
}
