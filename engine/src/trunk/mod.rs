//! Trunks' connections: each secure trunk that is configured keeps a TLS connection to its far end, which is asked
//! with OPTIONS whether it is there. Each has a task of its own; the keeper follows the configuration and starts a
//! task anew that panicked. No call goes over a trunk in this version: what stands here is whether one could.

mod connection;
mod keeper;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use keyline_domain::ids::UnixMillis;
use keyline_domain::mode::DeviceSecurityMode;
use keyline_domain::trunk::TrunkState;
use prometheus::{IntCounter, IntGaugeVec, Opts, Registry};

pub use connection::Origin;
pub use keeper::keep;

/// States by name, for the metric: all are there from the start.
const STATES: [&str; 6] = ["open", "secured", "cipher_policy", "cipher_mismatch", "suite_refused", "down"];

/// A trunk as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Host, or host and port, of the far end.
    pub destination: String,
    /// Mode of its profile.
    pub mode: DeviceSecurityMode,
    /// Subject that the far end's certificate must have.
    pub subject: Option<String>,
}

/// How a trunk stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: TrunkState,
    /// Why, in words; empty where there is nothing to say.
    pub detail: String,
    /// IANA number of the suite; 0 without one.
    pub suite: u16,
    /// Since when.
    pub since: UnixMillis,
}

/// How all trunks stand: read by anybody, written by the trunks' tasks.
#[derive(Debug, Clone)]
pub struct Trunks {
    states: Arc<ArcSwap<HashMap<String, Status>>>,
    gauges: IntGaugeVec,
    /// Tasks that panicked and were started anew.
    restarts: IntCounter,
}

impl Trunks {
    /// None yet.
    ///
    /// # Errors
    /// A metric was registered twice: a mistake of ours at start.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = IntGaugeVec::new(Opts::new("keyline_trunk_connections", "Trunks by state"), &["state"])?;
        registry.register(Box::new(gauges.clone()))?;
        let restarts =
            IntCounter::new("keyline_trunk_restarts_total", "Trunks that panicked and began anew")?;
        registry.register(Box::new(restarts.clone()))?;
        for state in STATES {
            gauges.with_label_values(&[state]).set(0);
        }
        Ok(Self { states: Arc::default(), gauges, restarts })
    }

    /// How a trunk stands; `None` for one that nobody configured.
    pub fn get(&self, name: &str) -> Option<Status> {
        self.states.load().get(name).cloned()
    }

    fn set(&self, name: &str, mut status: Status) {
        let before = self.get(name);
        // A trunk that is tried again and again stands as it did.
        if let Some(before) = before.as_ref().filter(|b| b.state == status.state) {
            status.since = before.since;
        }
        if before.as_ref().map(|b| (b.state, &b.detail)) != Some((status.state, &status.detail)) {
            let state = status.state.as_str();
            match status.state.carries_calls() {
                true => tracing::info!(trunk = name, state, "the trunk is up"),
                false => {
                    tracing::warn!(trunk = name, state, reason = %status.detail, "the trunk carries no calls")
                }
            }
        }
        self.change(|all| {
            all.insert(name.to_owned(), status.clone());
        });
    }

    fn forget(&self, name: &str) {
        self.change(|all| {
            all.remove(name);
        });
    }

    fn change(&self, f: impl Fn(&mut HashMap<String, Status>)) {
        self.states.rcu(|old| {
            let mut new = HashMap::clone(old);
            f(&mut new);
            new
        });
        let all = self.states.load();
        for state in STATES {
            let number = all.values().filter(|s| s.state.as_str() == state).count();
            self.gauges.with_label_values(&[state]).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
}
