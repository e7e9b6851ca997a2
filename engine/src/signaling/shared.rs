//! What all workers of a node share: read-only, or built for many threads.

use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyline_actors::Handle;
use keyline_actors::board::{Boards, Refused, RefusedAt};
use keyline_actors::clock::now;
use keyline_actors::outlet::{Emission, Outlet};
use tokio::sync::mpsc;

use super::media::MediaSessions;
use crate::admission::{Admission, SourceRate};
use crate::metrics::EngineMetrics;
use crate::trace::Tap;

/// Batches that may wait for a worker. What is behind them holds a credit taken at ingress, so that the
/// queue is bounded by admission long before it is full.
pub const INBOX: usize = 1 << 16;

/// Log lines about refusals of one source in a second; the rest is counted only.
const REFUSAL_LOG_PER_SECOND: u64 = 10;
const REFUSAL_LOG_SOURCES: usize = 64;

/// What a worker is told by others.
#[derive(Debug)]
pub enum ToWorker {
    /// Effects of actors.
    Emissions(Vec<Emission>),
    /// A datagram whose branch names this worker.
    Datagram {
        /// Our socket's address.
        local: SocketAddr,
        /// Its source.
        remote: SocketAddr,
        /// Its bytes.
        bytes: Box<[u8]>,
    },
    /// Auto-registration has decided on a phone whose REGISTER waits.
    Adopted(Box<super::adopt::Adopted>),
    /// A request outside any dialog to be carried to a phone by this worker.
    Relay(Box<super::relay::Leg>),
    /// An order to a phone.
    Order(Box<super::orders::Order>),
    /// What became of it.
    Relayed(Box<super::relay::LegResult>),
    /// Other limits.
    Limits(super::WorkerLimits),
    /// The node stops: every connection writes what waits and closes.
    CloseAll,
}

/// Senders to all workers; implements the actors' outlet.
pub struct Inboxes {
    senders: Vec<mpsc::Sender<ToWorker>>,
    metrics: EngineMetrics,
}

impl Inboxes {
    /// One sender a worker.
    pub fn new(senders: Vec<mpsc::Sender<ToWorker>>, metrics: EngineMetrics) -> Self {
        Self { senders, metrics }
    }

    /// Hands over; `false` when the worker does not take it.
    pub fn send(&self, worker: u16, message: ToWorker) -> bool {
        let sent = self.senders.get(usize::from(worker)).is_some_and(|s| s.try_send(message).is_ok());
        if !sent {
            self.metrics.inbox_dropped.inc();
        }
        sent
    }
}

impl Outlet for Inboxes {
    fn emit(&self, worker: u16, emissions: Vec<Emission>) {
        if !self.send(worker, ToWorker::Emissions(emissions)) {
            tracing::error!(worker, "a worker's inbox is full: effects were lost");
        }
    }
}

/// Shared by all workers.
pub struct Shared {
    /// Boards.
    pub boards: Arc<Boards>,
    /// The actors.
    pub handle: Handle,
    /// Other workers.
    pub inboxes: Arc<Inboxes>,
    /// Tables and hosts of admission.
    pub admission: Admission,
    /// SDP sessions of calls.
    pub media: MediaSessions,
    /// Counters.
    pub metrics: EngineMetrics,
    /// Domain that addresses of ours bear.
    pub domain: String,
    /// `[limits] subscriptions`.
    pub subscriptions_max: usize,
    draining: AtomicBool,
    /// Traces that run.
    pub tap: Arc<Tap>,
    /// Refusals that are written to the log; all are counted.
    pub refusal_log: SourceRate,
    tags: foldhash::quality::RandomState,
}

impl Shared {
    /// Notes why a phone was refused, for its view.
    pub fn note_refusal(&self, device: &str, stage: RefusedAt, reason: &'static str, peer: SocketAddr) {
        if let Some(device) = self.boards.devices.by_name(device) {
            self.boards.refusals.note(device, &Refused { at: now(), stage, reason, peer });
        }
    }

    /// Assembles it.
    pub fn new(
        handle: Handle,
        inboxes: Arc<Inboxes>,
        admission: Admission,
        metrics: EngineMetrics,
        domain: String,
        subscriptions_max: usize,
        tap: Arc<Tap>,
    ) -> Self {
        Self {
            boards: Arc::clone(&handle.boards),
            inboxes,
            admission,
            media: MediaSessions::new(handle.boards.keys.load().start),
            metrics,
            domain,
            subscriptions_max,
            draining: AtomicBool::new(false),
            tap,
            refusal_log: SourceRate::new(REFUSAL_LOG_SOURCES, REFUSAL_LOG_PER_SECOND),
            tags: foldhash::quality::RandomState::default(),
            handle,
        }
    }

    /// The node drains: new work gets 503.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on new work gets 503.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// To tag of an answer that makes no dialog: the same for each copy of a request (RFC 3261 §8.2.7),
    /// and no secret.
    pub fn stateless_tag(&self, top_via: &str, call_id: &str) -> String {
        let hash = self.tags.hash_one((top_via, call_id));
        let digit = |place: usize| b"0123456789abcdef"[(hash >> (60 - 4 * place)) as usize & 15];
        let digits: [u8; 16] = std::array::from_fn(digit);
        std::str::from_utf8(&digits).unwrap_or_default().to_owned()
    }
}
