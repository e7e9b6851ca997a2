//! Counters of the engine, registered into the registry that the caller hands in.
//!
//! Labels come from closed sets and are filled with zero at start, so that a rate exists from the first
//! scrape; never a device, user or address. Names are `keyline_<area>_<subject>_<unit>`.

mod latency;
mod limits;
mod overload;
mod pulled;

pub mod certificates;
pub mod process;
mod sessions;
pub mod storage;
pub mod tls;

#[cfg(test)]
mod tests;

use keyline_domain::admit::{Cause, Event, Verdict};
use keyline_domain::mode::Transport;
use keyline_wire::sip::ParseError;
use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use self::latency::LatencyMetrics;
use self::limits::LimitCounters;
use self::overload::OverloadMetrics;
use crate::flow::Closed;
use crate::limits::Limit;

/// What any other method is counted as is the last.
const METHODS: [&str; 15] = [
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "REGISTER",
    "MESSAGE",
    "INFO",
    "UPDATE",
    "SUBSCRIBE",
    "NOTIFY",
    "REFER",
    "PRACK",
    "PUBLISH",
    "other",
];
const TRANSPORTS: [&str; 6] = ["udp", "tcp", "tls", "oauth", "ws", "wss"];
/// Any other status is counted as the first.
const REJECTS: [(u16, &str); 6] =
    [(400, "400"), (413, "413"), (416, "416"), (488, "488"), (505, "505"), (513, "513")];
const SHED: [&str; 8] =
    ["register", "refresh", "invite", "subscribe", "message", "dialog", "options", "transaction"];
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];
const VERDICTS: [&str; 4] = ["admit", "challenge", "stale", "refuse"];
/// The cause of a request that was served without reserve.
const NO_CAUSE: &str = "none";
const EVENTS: [Event; 5] = [
    Event::IdentityConflict,
    Event::DigestFlood,
    Event::ManufacturerCertificate,
    Event::UnprovenMove,
    Event::RegistrationRefused,
];
const CLOSED: [(Closed, &str); 5] = [
    (Closed::TooMany, "too_many"),
    (Closed::SlowMessage, "slow_message"),
    (Closed::Idle, "unauthenticated_idle"),
    (Closed::Stuck, "stuck"),
    (Closed::Certificate, "certificate"),
];
/// Any other result is counted as the last.
const HANDSHAKES: [&str; 20] = [
    "ok",
    "silent",
    "deadline",
    "bad_hello",
    "no_common_version",
    "cipher_policy",
    "legacy_off",
    "no_common_suite",
    "no_common_parameters",
    "client_certificate_untrusted",
    "client_certificate_expired",
    "client_certificate_revoked",
    "revocation_list_expired",
    "client_certificate_bad",
    "peer_refused",
    "peer_closed",
    "protocol",
    "overload",
    "internal",
    "other",
];
/// Any other result is counted as the last.
const UPGRADES: [&str; 5] = ["ok", "deadline", "origin_refused", "no_subprotocol", "bad_request"];
/// Completed handshakes: whole ones, and those that went on from a ticket.
const COMPLETED: [&str; 2] = ["full", "resumed"];
/// Any other version is counted as the last.
const VERSIONS: [&str; 5] = ["1.3", "1.2", "1.1", "1.0", "other"];
/// Any other alarm is counted as the last.
const CISCO_ALARMS: [&str; 3] = ["DeviceTLInfo", "LastOutOfServiceInformation", "other"];
const RELOADS: [&str; 2] = ["done", "refused"];

/// All metrics of the engine.
#[derive(Debug, Clone)]
pub struct EngineMetrics {
    messages: [IntCounter; TRANSPORTS.len()],
    requests: [IntCounter; METHODS.len()],
    sent: [IntCounter; METHODS.len()],
    responses: [IntCounter; CLASSES.len()],
    rejects: [IntCounter; REJECTS.len()],
    /// By verdict, then by cause; the last cause is [`NO_CAUSE`].
    verdicts: [Vec<IntCounter>; VERDICTS.len()],
    events: [IntCounter; EVENTS.len()],
    shed: [IntCounter; SHED.len()],
    closed: [IntCounter; CLOSED.len()],
    limits: LimitCounters,
    workers: IntGaugeVec,
    connections: [IntGauge; TRANSPORTS.len()],
    handshakes: [IntCounter; HANDSHAKES.len()],
    reloads: [IntCounter; RELOADS.len()],
    cisco_alarms: [IntCounter; CISCO_ALARMS.len()],
    versions: [IntCounter; VERSIONS.len()],
    completed: [IntCounter; COMPLETED.len()],
    sessions: sessions::SessionMetrics,
    upgrades: [IntCounter; UPGRADES.len()],
    /// Messages for a worker whose inbox was full.
    pub inbox_dropped: IntCounter,
    /// Messages that panicked a worker.
    pub worker_panics: IntCounter,
    /// How long answers take.
    pub latency: LatencyMetrics,
    /// What is shed over UDP.
    pub overload: OverloadMetrics,
    /// Errors on UDP receive.
    pub udp_receive_errors: IntCounter,
    /// Errors on UDP send.
    pub udp_send_errors: IntCounter,
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, c: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(c.clone()))?;
    Ok(c)
}

fn one(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    add(registry, IntCounter::new(name, help)?)
}

/// A family with one label whose values are all there from the start.
fn each<const N: usize>(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
    values: [&str; N],
) -> Result<[IntCounter; N], prometheus::Error> {
    let family = add(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)?;
    Ok(values.map(|value| family.with_label_values(&[value])))
}

impl EngineMetrics {
    /// Registers everything, the process's own figures too. An error means that a name was registered
    /// twice: a mistake of ours at start.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        process::register(registry)?;
        let build = Opts::new("keyline_build_info", "Always 1; the label is the version of the program");
        add(registry, IntGaugeVec::new(build, &["version"])?)?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let verdicts = add(
            registry,
            IntCounterVec::new(
                Opts::new("keyline_admission_verdicts_total", "Requests by verdict and cause"),
                &["verdict", "cause"],
            )?,
        )?;
        let causes = || Cause::ALL.iter().map(|cause| cause.as_str()).chain([NO_CAUSE]);
        let connections = add(
            registry,
            IntGaugeVec::new(
                Opts::new("keyline_connection_open", "Open connections by transport"),
                &["transport"],
            )?,
        )?;
        Ok(Self {
            messages: each(
                registry,
                "keyline_sip_messages_received_total",
                "SIP messages by transport",
                "transport",
                TRANSPORTS,
            )?,
            requests: each(
                registry,
                "keyline_sip_requests_received_total",
                "Requests by method",
                "method",
                METHODS,
            )?,
            sent: each(
                registry,
                "keyline_sip_requests_sent_total",
                "Requests of ours by method",
                "method",
                METHODS,
            )?,
            responses: each(
                registry,
                "keyline_sip_responses_sent_total",
                "Responses by class",
                "class",
                CLASSES,
            )?,
            rejects: each(
                registry,
                "keyline_sip_parse_rejects_total",
                "Messages that could not be parsed, by status",
                "status",
                REJECTS.map(|(_, label)| label),
            )?,
            verdicts: VERDICTS
                .map(|verdict| causes().map(|cause| verdicts.with_label_values(&[verdict, cause])).collect()),
            events: each(
                registry,
                "keyline_admission_events_total",
                "What the audit record is for, by event",
                "event",
                EVENTS.map(Event::as_str),
            )?,
            shed: each(registry, "keyline_sip_shed_total", "Requests shed by kind", "kind", SHED)?,
            closed: each(
                registry,
                "keyline_connection_closed_total",
                "Connections refused or closed by us, by reason",
                "reason",
                CLOSED.map(|(_, label)| label),
            )?,
            limits: LimitCounters::new(registry)?,
            latency: LatencyMetrics::new(registry)?,
            overload: OverloadMetrics::new(registry)?,
            workers: add(
                registry,
                IntGaugeVec::new(
                    Opts::new("keyline_worker_objects", "Transactions and connections of each worker"),
                    &["worker", "kind"],
                )?,
            )?,
            connections: TRANSPORTS.map(|transport| connections.with_label_values(&[transport])),
            handshakes: each(
                registry,
                "keyline_tls_handshakes_total",
                "TLS handshakes by result",
                "result",
                HANDSHAKES,
            )?,
            reloads: each(
                registry,
                "keyline_config_reloads_total",
                "Configurations read again on SIGHUP, by result",
                "result",
                RELOADS,
            )?,
            cisco_alarms: each(
                registry,
                "keyline_cisco_alarms_total",
                "Alarms that Cisco phones told, by name",
                "alarm",
                CISCO_ALARMS,
            )?,
            sessions: sessions::SessionMetrics::new(registry)?,
            versions: each(
                registry,
                "keyline_tls_connections_total",
                "Completed TLS handshakes by version",
                "version",
                VERSIONS,
            )?,
            completed: each(
                registry,
                "keyline_tls_completed_total",
                "Completed TLS handshakes by kind: full, or resumed from a ticket",
                "kind",
                COMPLETED,
            )?,
            upgrades: each(
                registry,
                "keyline_websocket_handshakes_total",
                "WebSocket handshakes by result",
                "result",
                UPGRADES,
            )?,
            inbox_dropped: one(
                registry,
                "keyline_worker_inbox_dropped_total",
                "Messages for a worker that were lost",
            )?,
            worker_panics: one(registry, "keyline_worker_panics_total", "Messages that panicked a worker")?,
            udp_receive_errors: one(registry, "keyline_udp_receive_errors_total", "Errors on UDP receive")?,
            udp_send_errors: one(registry, "keyline_udp_send_errors_total", "Errors on UDP send")?,
        })
    }

    /// A message arrived.
    pub fn message(&self, transport: Transport) {
        self.messages[place(transport)].inc();
    }

    /// A request arrived.
    pub fn request(&self, method: &str) {
        self.requests[among(&METHODS, method)].inc();
    }

    /// A request of ours left.
    pub fn sent(&self, method: &str) {
        self.sent[among(&METHODS, method)].inc();
    }

    /// A response left.
    pub fn response(&self, status: u16) {
        self.responses[usize::from(status / 100).clamp(1, CLASSES.len()) - 1].inc();
    }

    /// A message could not be parsed.
    pub fn parse_reject(&self, error: &ParseError) {
        let status = error.status();
        if let Some(limit) = Limit::of(error) {
            self.limit(limit);
        }
        self.rejects[REJECTS.iter().position(|(known, _)| *known == status).unwrap_or(0)].inc();
    }

    /// Admission spoke.
    pub fn verdict(&self, verdict: &Verdict) {
        let (verdict, cause, event) = match verdict {
            Verdict::Admit(admission) => (0, admission.cause, admission.event),
            Verdict::Challenge { stale, cause } => (1 + usize::from(*stale), Some(*cause), None),
            Verdict::Refuse(refusal) => (3, Some(refusal.cause), refusal.event),
        };
        // Causes stand in the order of their declaration; a test holds that.
        self.verdicts[verdict][cause.map_or(Cause::ALL.len(), |cause| cause as usize)].inc();
        if let Some(counter) = EVENTS.iter().position(|e| Some(*e) == event).and_then(|i| self.events.get(i))
        {
            counter.inc();
        }
    }

    /// A limit refused, dropped or closed something.
    pub fn limit(&self, limit: Limit) {
        self.limits.inc(limit);
    }

    /// A request was shed.
    pub fn shed(&self, kind: &str) {
        if let Some(i) = SHED.iter().position(|s| *s == kind) {
            self.shed[i].inc();
        }
    }

    /// A phone told an alarm.
    pub fn cisco_alarm(&self, name: &str) {
        let known = CISCO_ALARMS.iter().position(|a| *a == name).unwrap_or(CISCO_ALARMS.len() - 1);
        self.cisco_alarms[known].inc();
    }

    /// A connection was refused.
    pub fn connection_refused(&self, limit: Limit) {
        self.limit(limit);
        self.connection_closed(Closed::TooMany);
    }

    /// A connection was closed by us.
    pub fn connection_closed(&self, why: Closed) {
        match why {
            Closed::SlowMessage => self.limit(Limit::Message),
            Closed::Idle => self.limit(Limit::UnauthenticatedIdle),
            // Which limit it was is counted where it is known.
            Closed::TooMany | Closed::Stuck | Closed::Certificate => {}
        }
        if let Some(i) = CLOSED.iter().position(|(c, _)| *c == why) {
            self.closed[i].inc();
        }
    }

    /// A connection is open; its handshake, if there is one, is done.
    pub fn connection_opened(&self, transport: Transport) {
        self.connections[place(transport)].inc();
    }

    /// Connections that are open, over all transports.
    pub fn connections_open(&self) -> usize {
        self.connections.iter().map(|g| usize::try_from(g.get()).unwrap_or(0)).sum()
    }

    /// A connection that was counted as open is gone.
    pub fn connection_gone(&self, transport: Transport) {
        self.connections[place(transport)].dec();
    }

    /// A TLS handshake ended; `result` is `ok` or a reason of the closed set.
    pub fn handshake(&self, result: &str) {
        if matches!(result, "deadline" | "silent") {
            self.limit(Limit::Handshake);
        }
        if result == "overload" {
            self.limit(Limit::HandshakesWaiting);
        }
        self.handshakes[among(&HANDSHAKES, result)].inc();
    }

    /// The configuration was read again: `done` or `refused`.
    pub fn reloaded(&self, result: &str) {
        self.reloads[among(&RELOADS, result)].inc();
    }

    /// A WebSocket handshake ended.
    pub fn upgrade(&self, result: &str) {
        if result == "deadline" {
            self.limit(Limit::Handshake);
        }
        self.upgrades[among(&UPGRADES, result)].inc();
    }

    /// A TLS handshake was completed in this version, `1.0` to `1.3`, with the suite of this IANA number.
    pub fn tls_session(&self, version: &str, suite: u16) {
        self.versions[among(&VERSIONS, version)].inc();
        self.sessions.session(version, suite);
    }

    /// A TLS handshake was completed, resumed from a ticket or not.
    pub fn tls_completed(&self, resumed: bool) {
        self.completed[usize::from(resumed)].inc();
    }

    /// An open TLS connection was closed for a reason of handshakes: its certificate is no longer believed.
    pub fn tls_revoked(&self, reason: &str) {
        self.connection_closed(Closed::Certificate);
        self.sessions.revoked(reason);
    }

    /// Sizes of a worker's tables.
    pub fn worker_gauges(&self, worker: u16, servers: usize, clients: usize, connections: usize) {
        self.overload.worker(worker);
        let worker = worker.to_string();
        for (kind, n) in
            [("server_transactions", servers), ("client_transactions", clients), ("connections", connections)]
        {
            let n = i64::try_from(n).unwrap_or(i64::MAX);
            self.workers.with_label_values(&[worker.as_str(), kind]).set(n);
        }
    }
}

fn place(transport: Transport) -> usize {
    match transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
        Transport::Tls => 2,
        Transport::Oauth => 3,
        Transport::Ws => 4,
        Transport::Wss => 5,
    }
}

/// The place of a value in its closed set; the last one stands for all others.
fn among<const N: usize>(set: &[&str; N], value: &str) -> usize {
    set.iter().position(|known| *known == value).unwrap_or(N - 1)
}
