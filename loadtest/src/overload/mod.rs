//! More than a node can do: what still goes well at 2, 5 and 10 times its capacity, and how soon it is well again.
//!
//! The capacity is measured first, in a closed loop. Then arrivals come in an open loop, each at its own moment
//! whatever became of those before it; after each stretch half of the capacity is offered, which is served at once by a
//! node that has recovered. Node on the first core, phones on the others.

mod burst;
mod calls;
mod report;
mod wire;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;

use crate::figures::metrics_of;
use crate::inventory;
use crate::load::{Process, machine};
use crate::server::{Node, Server};
use crate::storm::{raise_descriptors, sum};

use self::burst::{Burst, Phase};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// How many times the capacity.
const TIMES: [f64; 3] = [2.0, 5.0, 10.0];
/// Part of its capacity that the node is offered afterwards, and before.
const ORDINARY: f64 = 0.5;
/// Goodput that is enough, as a part of the capacity.
const GOODPUT: f64 = 0.85;
/// Recovery that is soon enough, seconds.
const RECOVERY_S: f64 = 5.0;
/// Latency of ordinary requests is at most so many times that before the overload, and this is always ordinary.
const SLOWER: f64 = 3.0;
const ORDINARY_MS: f64 = 25.0;
/// Attempts open at a time while the capacity is measured.
const WINDOW: u64 = 256;
/// Seconds of Retry-After (design §4).
const RETRY_AFTER: std::ops::RangeInclusive<u32> = 5..=30;
/// Limits of a source that a loopback network as a whole meets.
const LIMITS: &str = "\n[shards]\ncount = 1\n[limits]\nrequests_per_source = 1000000\noptions_per_source = 1000000\n\
                      transactions_per_worker = 16777216\ntransactions_per_source = 16777216\n";

/// How long and with how many.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Phones that register.
    pub phones: u32,
    /// Seconds of each overload.
    pub seconds: f64,
    /// Whether the node has the first core for itself.
    pub pinned: bool,
}

/// One stretch of overload.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    /// Times the capacity.
    pub times: f64,
    /// Operations a second that were to be offered.
    pub wanted_per_s: f64,
    /// Operations a second that were offered.
    pub offered_per_s: f64,
    /// Requests a second that were sent for them, repetitions included.
    pub requests_per_s: f64,
    /// Operations a second that went well within the stretch.
    pub goodput_per_s: f64,
    /// The same as a part of the capacity.
    pub goodput: f64,
    /// 99 % of the operations that went well took no longer, from the moment at which they were due.
    pub p99_ms: f64,
    /// The same from the answer to the challenge, where that was measured.
    pub admitted_p99_ms: Option<f64>,
    /// Operations that got 503.
    pub refused: u64,
    /// Of those with a Retry-After of 5 to 30 seconds.
    pub refused_rightly: u64,
    /// Different values of Retry-After, and the largest share of one.
    pub spread: (usize, f64),
    /// Datagrams that the node dropped, and that the kernel dropped for it, as far as it told.
    pub dropped: (u64, u64),
    /// Seconds until ordinary requests were served as ordinarily; `None`: not in time.
    pub recovery_s: Option<f64>,
}

/// One kind of operation.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Which.
    pub operation: &'static str,
    /// Operations a second in a closed loop.
    pub capacity_per_s: f64,
    /// 99th percentile at half of it before any overload, milliseconds.
    pub ordinary_p99_ms: f64,
    /// Stretches.
    pub stages: Vec<Stage>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Overloaded {
    /// The command line.
    pub command: String,
    /// Processor, cores, kernel.
    pub machine: String,
    /// By kind of operation.
    pub measured: Vec<Measured>,
}

impl Overloaded {
    /// Goodput, spread and recovery as they should be.
    pub fn holds(&self) -> bool {
        self.measured.iter().flat_map(|one| &one.stages).all(Stage::holds)
    }
}

impl Stage {
    /// Goodput, spread and recovery as they should be.
    pub fn holds(&self) -> bool {
        let spread = self.refused < 1_000 || (self.spread.0 == 26 && self.spread.1 < 0.1);
        self.goodput >= GOODPUT
            && self.refused == self.refused_rightly
            && spread
            && self.recovery_s.is_some_and(|s| s <= RECOVERY_S)
    }
}

/// A node that is to have too much to do.
struct Site {
    server: Server,
    address: SocketAddr,
    metrics: SocketAddr,
    handle: Handle,
    _folder: tempfile::TempDir,
}

/// What the node counts.
#[derive(Clone, Copy)]
struct Dropped {
    own: u64,
    kernel: u64,
}

impl Site {
    async fn new(binary: &Path, plan: Plan) -> Result<Site, Fault> {
        let folder = tempfile::tempdir()?;
        let listeners = ["sip_udp", "metrics"].map(|name| (name, "127.0.0.1:0".to_owned()));
        let node = Node::prepare(binary, &folder.path().join("keyline"), &listeners, LIMITS)?;
        let file = folder.path().join("fleet.ndjson");
        let mut out = BufWriter::new(File::create(&file)?);
        inventory::write(&mut out, 1, plan.phones)?;
        out.flush()?;
        node.import(&file).await?;
        let server = node.serve().await?;
        if plan.pinned {
            Process::of(server.pid().unwrap_or_default())?.pin(0..1)?;
        }
        let find = |name: &str| server.address(name).ok_or_else(|| format!("the node has no {name}"));
        let (address, metrics) = (find("sip_udp")?, find("metrics")?);
        Ok(Site { server, address, metrics, handle: Handle::current(), _folder: folder })
    }

    fn dropped(&self) -> Result<Dropped, Fault> {
        let text = metrics_of(self.metrics)?;
        Ok(Dropped {
            own: sum(&text, "keyline_overload_dropped_total"),
            kernel: sum(&text, "keyline_udp_receive_lost_total"),
        })
    }

    fn stop(self) -> Result<(), Fault> {
        self.handle.block_on(self.server.stop())?;
        Ok(())
    }
}

/// Runs all of it; for a thread that may block.
///
/// # Errors
/// When the node cannot be run.
pub async fn overload(binary: &Path, plan: Plan) -> Result<Overloaded, Fault> {
    raise_descriptors();
    let (machine, command) = (machine(), std::env::args().collect::<Vec<_>>().join(" "));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    if plan.pinned {
        // Before the node is started: children stay where their parent is until they are put elsewhere.
        Process::of(std::process::id())?.pin(1.min(cores - 1)..cores)?;
    }
    let mut measured = Vec::new();
    let site = Site::new(binary, plan).await?;
    measured.push(tokio::task::spawn_blocking(move || registers(site, plan)).await??);
    let site = Site::new(binary, Plan { phones: calls::PHONES, ..plan }).await?;
    measured.push(tokio::task::spawn_blocking(move || calls::measure(site, plan)).await??);
    Ok(Overloaded { command, machine, measured })
}

/// What every stretch ends with, whatever the operation.
struct Outcome {
    p99_ms: f64,
    admitted_p99_ms: Option<f64>,
    /// By seconds of Retry-After; the last one stands for none and for more.
    retry_after: [u64; 61],
    recovery_s: Option<f64>,
}

fn stage(times: f64, capacity: f64, per_s: [f64; 3], outcome: &Outcome, dropped: [Dropped; 2]) -> Stage {
    let [offered_per_s, requests_per_s, goodput_per_s] = per_s;
    let counts = &outcome.retry_after;
    let refused: u64 = counts.iter().sum();
    let refused_rightly = RETRY_AFTER.map(|s| counts[s as usize]).sum();
    let most = counts.iter().copied().max().unwrap_or(0);
    let stage = Stage {
        times,
        wanted_per_s: times * capacity,
        offered_per_s,
        requests_per_s,
        goodput_per_s,
        goodput: goodput_per_s / capacity,
        p99_ms: outcome.p99_ms,
        admitted_p99_ms: outcome.admitted_p99_ms,
        refused,
        refused_rightly,
        spread: (counts.iter().filter(|n| **n > 0).count(), most as f64 / refused.max(1) as f64),
        dropped: (dropped[1].own - dropped[0].own, dropped[1].kernel - dropped[0].kernel),
        recovery_s: outcome.recovery_s,
    };
    eprintln!("  {stage}");
    stage
}

fn registers(site: Site, plan: Plan) -> Result<Measured, Fault> {
    let mut burst = Burst::open(site.address, inventory::fleet(1, plan.phones))?;
    let seconds = Duration::from_secs_f64(plan.seconds);
    let warm = Phase { rate: 0.0, window: WINDOW, time: seconds / 2 };
    burst.run(warm)?;
    burst.run(Phase { time: seconds, ..warm })?;
    let capacity = burst.counts(1).served_in_time as f64 / plan.seconds;
    let ordinary = Phase { rate: capacity * ORDINARY, window: 0, time: seconds / 2 };
    burst.run(ordinary)?;
    burst.run(ordinary)?;
    let ms = |us: u64| us as f64 / 1_000.0;
    let before = ms(burst.counts(3).times.value_at_quantile(0.99));
    eprintln!("REGISTER: {capacity:.0}/s; at half of it 99 % within {before:.1} ms");
    let limit = ((before * SLOWER).max(ORDINARY_MS) * 1_000.0) as u64;
    let mut stages = Vec::new();
    for (place, times) in TIMES.into_iter().enumerate() {
        let dropped = site.dropped()?;
        burst.run(Phase { rate: capacity * times, window: 0, time: seconds })?;
        burst.ordinary(limit);
        burst.run(Phase { time: Duration::from_secs(6), ..ordinary })?;
        let after = site.dropped()?;
        let (during, later) = (burst.counts(4 + 2 * place), burst.counts(5 + 2 * place));
        let wanted = ordinary.rate / 10.0;
        let recovered = later.tenths.iter().position(|tenth| tenth.fast as f64 >= 0.95 * wanted);
        let outcome = Outcome {
            p99_ms: ms(during.times.value_at_quantile(0.99)),
            admitted_p99_ms: Some(ms(during.admitted.value_at_quantile(0.99))),
            retry_after: during.retry_after,
            recovery_s: recovered.map(|tenth| tenth as f64 / 10.0),
        };
        let per_s = [during.offered, during.sent, during.served_in_time].map(|n| n as f64 / plan.seconds);
        stages.push(stage(times, capacity, per_s, &outcome, [dropped, after]));
    }
    site.stop()?;
    Ok(Measured {
        operation: "REGISTER (401 + 200)",
        capacity_per_s: capacity,
        ordinary_p99_ms: before,
        stages,
    })
}
