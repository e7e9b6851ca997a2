//! Live traces of signaling: a tap on the way of every message, for one phone or one call at a time.
//!
//! With no trace running a message pays one relaxed load. With one, the worker asks each trace whether the
//! message is its own and if so puts a copy into that trace's ring of this worker: no lock, nothing that waits.
//! What does not fit is counted and told. Secrets are masked when a record leaves the ring ([`mask`]): nothing
//! that was traced leaves the process with a key, a digest response or a token in it.

pub mod hep;
pub mod mask;
pub mod pcap;
mod record;
mod stream;
mod subject;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use crossbeam_queue::ArrayQueue;
use keyline_actors::board::Boards;
use keyline_domain::mode::Transport;
use prometheus::{IntCounter, IntGauge, Registry};
use smallvec::SmallVec;

pub use record::{Direction, Record};
pub use stream::Stream;
pub use subject::Subject;

/// Messages that wait in one ring.
const RING: usize = 512;

/// Bytes that wait in all rings of one trace.
const BYTES_MAX: usize = 4 << 20;

/// Addresses that a worker has learned for its traces.
const LEARNED_MAX: usize = 32;

/// Where a message passes.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// Transport.
    pub transport: Transport,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

/// One running trace.
pub(crate) struct Trace {
    id: u64,
    subject: Subject,
    rings: Box<[ArrayQueue<Record>]>,
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// Addresses from which a traced phone was heard before it was registered; each worker has its own.
#[derive(Debug, Default)]
pub struct Learned(SmallVec<[(u64, SocketAddr); 4]>);

/// The tap of a node.
pub struct Tap {
    /// Traces that run: what every message looks at.
    running: AtomicUsize,
    closing: AtomicBool,
    traces: ArcSwap<Vec<Arc<Trace>>>,
    next: AtomicU64,
    workers: usize,
    most: usize,
    dropped: IntCounter,
    gauge: IntGauge,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tap({} of {})", self.running.load(Ordering::Relaxed), self.most)
    }
}

impl Tap {
    /// A tap for so many workers and traces.
    ///
    /// # Errors
    /// When its metrics were registered before.
    pub fn new(workers: usize, most: usize, registry: &Registry) -> Result<Self, prometheus::Error> {
        let dropped = IntCounter::new(
            "keyline_trace_dropped_total",
            "Messages that a trace did not show because its reader was too slow",
        )?;
        let gauge = IntGauge::new("keyline_trace_running", "Traces that run")?;
        registry.register(Box::new(dropped.clone()))?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(Self {
            running: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            traces: ArcSwap::default(),
            next: AtomicU64::new(1),
            workers,
            most,
            dropped,
            gauge,
        })
    }

    /// Some trace runs. Hot path: one relaxed load.
    pub fn is_on(&self) -> bool {
        self.running.load(Ordering::Relaxed) != 0
    }

    /// Begins a trace; `None` when as many run as may.
    pub fn begin(self: &Arc<Self>, subject: Subject) -> Option<Stream> {
        let room = |n: usize| (n < self.most).then_some(n + 1);
        self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        let trace = Arc::new(Trace {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            subject,
            rings: (0..self.workers.max(1)).map(|_| ArrayQueue::new(RING)).collect(),
            bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        });
        self.traces.rcu(|old| old.iter().chain([&trace]).cloned().collect::<Vec<_>>());
        self.gauge.inc();
        Some(Stream::new(Arc::clone(self), trace))
    }

    /// Ends all traces: the node stops and waits for nobody who watches.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn end(&self, id: u64) {
        self.traces.rcu(|old| old.iter().filter(|t| t.id != id).cloned().collect::<Vec<_>>());
        self.running.fetch_sub(1, Ordering::AcqRel);
        self.gauge.dec();
    }

    /// A message passes on a worker; called only while [`Self::is_on`].
    pub fn message(
        &self,
        worker: u16,
        learned: &mut Learned,
        boards: &Boards,
        way: Way,
        direction: Direction,
        bytes: &[u8],
    ) {
        let traces = self.traces.load();
        learned.0.retain(|(id, _)| traces.iter().any(|t| t.id == *id));
        for trace in traces.iter() {
            let known = learned.0.contains(&(trace.id, way.remote));
            match trace.subject.concerns(boards, &way, direction, bytes) {
                subject::Verdict::Yes => {}
                subject::Verdict::Learn if !known => {
                    if learned.0.len() >= LEARNED_MAX {
                        learned.0.remove(0);
                    }
                    learned.0.push((trace.id, way.remote));
                }
                subject::Verdict::Learn => {}
                subject::Verdict::No if known => {}
                subject::Verdict::No => continue,
            }
            self.keep(trace, worker, way, direction, bytes);
        }
    }

    fn keep(&self, trace: &Trace, worker: u16, way: Way, direction: Direction, bytes: &[u8]) {
        let Some(ring) = trace.rings.get(usize::from(worker)) else { return };
        let room = trace.bytes.fetch_add(bytes.len(), Ordering::AcqRel) + bytes.len() <= BYTES_MAX;
        let record = Record { at_us: now_us(), direction, way, bytes: bytes.into() };
        if !room || ring.push(record).is_err() {
            trace.bytes.fetch_sub(bytes.len(), Ordering::AcqRel);
            trace.dropped.fetch_add(1, Ordering::Relaxed);
            self.dropped.inc();
        }
    }
}

/// Microseconds since 1970.
fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
