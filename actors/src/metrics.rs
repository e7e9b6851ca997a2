//! Counters and gauges of the supervisor tree, registered into the registry that the caller hands in.
//!
//! Labels come from closed sets and are filled with zero at start, so that a rate exists from the first
//! scrape; never a device, user or address.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// What became of a REGISTER (label `outcome`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// Bindings listed only.
    Fetched,
    /// First binding of a device, or a new contact.
    Registered,
    /// Only its time, sequence or nonce count changed.
    Refreshed,
    /// A retransmission answered from the row.
    Repeated,
    /// Bindings removed.
    Unregistered,
    /// Refused by the registrar's rules.
    Refused,
    /// The commit failed or its result is unknown.
    StorageFailed,
    /// Shed because too much waits.
    Shed,
}

impl RegisterOutcome {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Fetched, "fetched"),
        (Self::Registered, "registered"),
        (Self::Refreshed, "refreshed"),
        (Self::Repeated, "repeated"),
        (Self::Unregistered, "unregistered"),
        (Self::Refused, "refused"),
        (Self::StorageFailed, "storage_failed"),
        (Self::Shed, "shed"),
    ];
}

/// Kinds of actor that may be restarted (label `actor`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    /// A step of a phone row panicked; the row kept its last state.
    Phone,
    /// A call.
    Call,
    /// A shard.
    Shard,
    /// The catalog.
    Catalog,
    /// The roll-out of a profile.
    Rollout,
}

const ACTOR_KINDS: [&str; 5] = ["phone", "call", "shard", "catalog", "rollout"];

/// Results of entries of the audit (label `result`).
const AUDIT_RESULTS: [&str; 2] = ["done", "refused"];

/// All metrics of this crate.
#[derive(Debug, Clone)]
pub struct Metrics {
    registers: [IntCounter; RegisterOutcome::ALL.len()],
    restarts: [IntCounter; ACTOR_KINDS.len()],
    audit: [IntCounter; AUDIT_RESULTS.len()],
    /// Devices with at least one live binding.
    pub registered_devices: IntGauge,
    /// Phones that run as actors.
    pub phones_active: IntGauge,
    /// Phones that became actors.
    pub phone_activations: IntCounter,
    /// Phones that became rows again.
    pub phone_passivations: IntCounter,
    /// Subscriptions in force.
    pub subscriptions: IntGauge,
    /// Calls that were admitted.
    pub calls_started: IntCounter,
    /// Calls that ended, however.
    pub calls_finished: IntCounter,
    /// Calls that reached 2xx.
    pub calls_answered: IntCounter,
    /// Answered calls by class.
    pub calls_by_class: IntGaugeVec,
    /// Messages waiting in each shard.
    pub shard_queue: IntGaugeVec,
    /// Devices that a change of the configuration touched.
    pub devices_touched: IntCounter,
    /// Old versions of profiles that went.
    pub versions_collected: IntCounter,
    /// Answers that are kept for requests that may come again.
    pub answers_kept: IntGauge,
    /// Those that gave way before their time.
    pub answers_evicted: IntCounter,
    /// Requests that came again.
    pub answers_replayed: IntCounter,
    /// Nonce keys that took over.
    pub nonce_key_rotations: IntCounter,
    /// New keys for TLS session tickets.
    pub ticket_key_rotations: IntCounter,
    /// Effects that could not be handed to a worker.
    pub outlet_dropped: IntCounter,
    /// Journal rows that were not accepted because the writer's queue was full.
    pub journal_full: IntCounter,
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    add(registry, IntCounter::new(name, help)?)
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, c: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(c.clone()))?;
    Ok(c)
}

impl Metrics {
    /// Shows how many answers to repeatable requests are kept.
    pub(crate) fn answers(&self, kept: usize, evicted: u64) {
        self.answers_kept.set(i64::try_from(kept).unwrap_or(i64::MAX));
        self.answers_evicted.inc_by(evicted.saturating_sub(self.answers_evicted.get()));
    }

    /// Registers everything. An error means a name was registered twice: a mistake of ours at start.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let registers = add(
            registry,
            IntCounterVec::new(
                Opts::new("keyline_phone_registers_total", "REGISTER requests by outcome"),
                &["outcome"],
            )?,
        )?;
        let restarts = add(
            registry,
            IntCounterVec::new(
                Opts::new(
                    "keyline_actor_restarts_total",
                    "Panics caught and recovered from, by kind of actor",
                ),
                &["actor"],
            )?,
        )?;
        let audit = add(
            registry,
            IntCounterVec::new(
                Opts::new(
                    "keyline_audit_entries_total",
                    "Entries of the audit by result of what they tell of",
                ),
                &["result"],
            )?,
        )?;
        let calls_by_class = add(
            registry,
            IntGaugeVec::new(
                Opts::new("keyline_call_answered_calls", "Answered calls in progress by security class"),
                &["class"],
            )?,
        )?;
        for class in ["non_secure", "authenticated", "encrypted"] {
            calls_by_class.with_label_values(&[class]).set(0);
        }
        Ok(Self {
            registers: RegisterOutcome::ALL.map(|(_, l)| registers.with_label_values(&[l])),
            restarts: ACTOR_KINDS.map(|l| restarts.with_label_values(&[l])),
            audit: AUDIT_RESULTS.map(|l| audit.with_label_values(&[l])),
            registered_devices: add(
                registry,
                IntGauge::new("keyline_phone_registered_devices", "Devices with at least one binding")?,
            )?,
            phones_active: add(
                registry,
                IntGauge::new("keyline_phone_active_actors", "Phones that run as actors now")?,
            )?,
            phone_activations: counter(
                registry,
                "keyline_phone_activations_total",
                "Phones that became actors",
            )?,
            phone_passivations: counter(
                registry,
                "keyline_phone_passivations_total",
                "Phones that became rows again",
            )?,
            subscriptions: add(
                registry,
                IntGauge::new("keyline_subscription_active_subscriptions", "Subscriptions in force")?,
            )?,
            calls_started: counter(registry, "keyline_call_started_total", "Calls admitted")?,
            calls_finished: counter(registry, "keyline_call_finished_total", "Calls ended")?,
            calls_answered: counter(registry, "keyline_call_answered_total", "Calls that reached 2xx")?,
            calls_by_class,
            shard_queue: add(
                registry,
                IntGaugeVec::new(
                    Opts::new("keyline_shard_queue_messages", "Messages that wait in a shard's mailbox"),
                    &["shard"],
                )?,
            )?,
            devices_touched: counter(
                registry,
                "keyline_catalog_devices_touched_total",
                "Devices that a change of the configuration touched; saving a profile touches none",
            )?,
            versions_collected: counter(
                registry,
                "keyline_catalog_versions_collected_total",
                "Old versions of profiles that no phone can be judged by any more and that were dropped",
            )?,
            answers_kept: add(
                registry,
                IntGauge::new(
                    "keyline_admin_idempotency_answers",
                    "Answers that are kept for requests with an Idempotency-Key",
                )?,
            )?,
            answers_evicted: counter(
                registry,
                "keyline_admin_idempotency_evicted_total",
                "Kept answers that gave way to newer ones within a day",
            )?,
            answers_replayed: counter(
                registry,
                "keyline_admin_idempotency_replayed_total",
                "Requests that came again and were answered as before",
            )?,
            nonce_key_rotations: counter(
                registry,
                "keyline_nonce_key_rotations_total",
                "Nonce keys that took over from the one before",
            )?,
            ticket_key_rotations: counter(
                registry,
                "keyline_tls_ticket_key_rotations_total",
                "Keys of TLS session tickets that took over from the one before",
            )?,
            outlet_dropped: counter(
                registry,
                "keyline_outlet_dropped_total",
                "Effects that a worker's inbox did not take",
            )?,
            journal_full: counter(
                registry,
                "keyline_journal_full_total",
                "Rows refused because the writer's queue was full",
            )?,
        })
    }

    /// Counts one REGISTER.
    pub fn register(&self, outcome: RegisterOutcome) {
        self.registers[outcome as usize].inc();
    }

    /// Counts entries of the audit.
    pub fn audited(&self, done: u64, refused: u64) {
        self.audit[0].inc_by(done);
        self.audit[1].inc_by(refused);
    }

    /// Counts one recovered panic.
    pub fn restarted(&self, kind: ActorKind) {
        self.restarts[kind as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_exists_before_the_first_event() {
        let registry = Registry::new();
        let m = Metrics::new(&registry).unwrap();
        m.register(RegisterOutcome::StorageFailed);
        let families = registry.gather();
        let registers = families.iter().find(|f| f.name() == "keyline_phone_registers_total").unwrap();
        assert_eq!(registers.get_metric().len(), RegisterOutcome::ALL.len());
        let hit: Vec<_> =
            registers.get_metric().iter().filter(|m| m.get_counter().get_value() > 0.0).collect();
        assert_eq!(hit.len(), 1);
        assert_eq!(hit[0].get_label()[0].value(), "storage_failed");
    }
}
