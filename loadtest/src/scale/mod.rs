//! The administration of a million phones, measured from outside: a node with that many phones, asked over its
//! HTTPS API for everything that an administrator looks for, while somebody else changes phones; then what a
//! save and a dry run cost on a profile that nine of ten phones have.

mod client;
mod fleet;
mod queries;
mod report;
mod rollout;
mod signalled;

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

pub use report::{Measured, Times};
pub use rollout::{RolledOut, RolloutPlan, roll_out};

use crate::load::{Process, machine};
use crate::server::{Node, ServerError};
pub(crate) use client::Client;
use fleet::FLEET;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Phones.
    pub phones: u32,
    /// Questions of each kind.
    pub samples: u32,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// The node.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Files or sockets.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// The node lacks a listener.
    #[error("the node has no {0} listener; there is nothing to measure")]
    NoListener(&'static str),
    /// The API said something else than it should.
    #[error("{0}")]
    Admin(String),
    /// An answer is wrong: figures of wrong answers mean nothing.
    #[error("{path}: {rows} rows on the first page, {expected} were due")]
    Wrong {
        /// What was asked.
        path: String,
        /// Rows that came.
        rows: usize,
        /// Rows that had to come.
        expected: String,
    },
}

impl ScaleError {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> ScaleError {
        move |source| ScaleError::Io { what, source }
    }
}

/// Latencies of one kind of question.
pub(crate) struct Series(Histogram<u64>);

impl Series {
    pub(crate) fn new() -> Self {
        // 1 µs to 120 s, three digits: always valid.
        Self(Histogram::new_with_bounds(1, 120_000_000, 3).unwrap_or_else(|e| unreachable!("{e}")))
    }

    pub(crate) fn add(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn times(&self, name: &str) -> Times {
        let ms = |us: u64| us as f64 / 1_000.0;
        Times {
            name: name.to_owned(),
            count: self.0.len(),
            p50_ms: ms(self.0.value_at_quantile(0.5)),
            p99_ms: ms(self.0.value_at_quantile(0.99)),
            max_ms: ms(self.0.max()),
        }
    }
}

/// Measures a program. A million phones take some minutes, most of them for the import; a `folder` is kept, and what
/// an earlier run imported there is used again.
///
/// # Errors
/// [`ScaleError`], also for every answer that is not what the fleet should give.
pub async fn measure(binary: &Path, plan: Plan, folder: Option<&Path>) -> Result<Measured, ScaleError> {
    let own = tempfile::tempdir().map_err(ScaleError::io("no temporary folder"))?;
    let folder = folder.unwrap_or(own.path());
    let any = || "127.0.0.1:0".to_owned();
    let listeners = [("sip_udp", any()), ("admin", any()), ("metrics", any())];
    // One client asks as fast as it gets answers.
    let more = "\n[limits]\nadmin_requests_per_source = 1000000\nadmin_requests_per_token = 1000000\n";
    let node = Node::prepare(binary, &folder.join("keyline"), &listeners, more)?;
    let file = folder.join("fleet.ndjson");
    let there = node.data().exists();
    let mut out = std::io::BufWriter::new(fs::File::create(&file).map_err(ScaleError::io("inventory"))?);
    let rows = fleet::write(&mut out, plan.phones).map_err(ScaleError::io("inventory"))?;
    out.flush().map_err(ScaleError::io("inventory"))?;
    let import = if there {
        Duration::ZERO
    } else {
        eprintln!("importing {rows} rows");
        node.import(&file).await?
    };
    let roots = node.roots().await?;
    eprintln!("starting");
    let begun = Instant::now();
    let mut server = node.serve().await?;
    let start = begun.elapsed();
    let address = |name| server.address(name).ok_or(ScaleError::NoListener(name));
    let (admin, metrics) = (address("admin")?, address("metrics")?);
    let process = Process::of(server.pid().unwrap_or_default()).map_err(ScaleError::io("/proc"))?;
    let bench = Bench { plan, admin, metrics, data: node.data(), roots, process };
    let run = bench.run(rows, import, start);
    let measured = tokio::select! {
        done = run => done?,
        ended = server.ended() => return Err(ended.into()),
    };
    server.stop().await?;
    Ok(measured)
}

/// A running node.
struct Bench {
    plan: Plan,
    admin: SocketAddr,
    metrics: SocketAddr,
    data: std::path::PathBuf,
    roots: String,
    process: Process,
}

impl Bench {
    async fn client(&self) -> Result<Client, ScaleError> {
        Client::connect(self.admin, &self.data, &self.roots).await
    }

    fn resident(&self) -> Result<u64, ScaleError> {
        self.process.resident().map_err(ScaleError::io("/proc"))
    }

    async fn run(self, rows: u64, import: Duration, start: Duration) -> Result<Measured, ScaleError> {
        let mut client = self.client().await?;
        let resident = self.resident()?;
        eprintln!("asking, {} of each kind", self.plan.samples);
        let (queries, changes, cpu) =
            self.meanwhile(Duration::from_millis(50), self.queries(&mut client)).await?;
        eprintln!("saving");
        let saves = self.saves(&mut client).await?;
        eprintln!("asking what would be");
        let (dry_runs, meanwhile, _) =
            self.meanwhile(Duration::from_millis(5), self.dry_runs(&mut client)).await?;
        Ok(Measured {
            phones: self.plan.phones,
            rows,
            import_s: import.as_secs_f64(),
            start_s: start.as_secs_f64(),
            resident,
            resident_end: self.resident()?,
            queries,
            queries_cpu_s: cpu.as_secs_f64(),
            changes: changes.times("a phone's description, changed meanwhile"),
            save: saves.0,
            save_growth: saves.1,
            dry_runs,
            changes_in_dry_runs: meanwhile.times("a phone's description, changed during dry runs"),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            machine: machine(),
        })
    }

    /// Does something while somebody else changes a phone's description again and again.
    async fn meanwhile<T>(
        &self,
        every: Duration,
        work: impl Future<Output = Result<T, ScaleError>>,
    ) -> Result<(T, Series, Duration), ScaleError> {
        let over = Arc::new(AtomicBool::new(false));
        let (mut other, ended, phones) = (self.client().await?, Arc::clone(&over), self.plan.phones);
        let changer = tokio::spawn(async move {
            let mut series = Series::new();
            let mut n = 0_u32;
            while !ended.load(Ordering::Relaxed) {
                let device = fleet::device(n.wrapping_mul(104_729) % phones);
                let body = json!({ "description": format!("moved {n}") });
                let answer = other.done("PATCH", &format!("/phones/{device}"), Some(&body)).await?;
                series.add(answer.took);
                // As it was, so that what is asked for stays true.
                let old = json!({ "description": fleet::description(n.wrapping_mul(104_729) % phones) });
                series.add(other.done("PATCH", &format!("/phones/{device}"), Some(&old)).await?.took);
                n += 1;
                tokio::time::sleep(every).await;
            }
            Ok::<_, ScaleError>(series)
        });
        let before = self.process.cpu().map_err(ScaleError::io("/proc"))?;
        let done = work.await;
        let cpu = self.process.cpu().map_err(ScaleError::io("/proc"))?.saturating_sub(before);
        over.store(true, Ordering::Relaxed);
        let series = changer.await.map_err(|e| ScaleError::Admin(e.to_string()))??;
        Ok((done?, series, cpu))
    }

    async fn queries(&self, client: &mut Client) -> Result<Vec<Times>, ScaleError> {
        let mut all = Vec::new();
        for kind in queries::KINDS {
            let mut series = Series::new();
            // Pages on from the first one count as questions.
            for n in 0..self.plan.samples / (kind.pages + 1) {
                let path = (kind.path)(n, self.plan.phones);
                let mut answer = client.done("GET", &path, None).await?;
                series.add(answer.took);
                checked(kind, &path, &answer.body)?;
                for _ in 0..kind.pages {
                    let Some(next) = answer.body["next"].as_str().map(str::to_owned) else { break };
                    let join = if path.contains('?') { '&' } else { '?' };
                    answer = client.done("GET", &format!("{path}{join}cursor={next}"), None).await?;
                    series.add(answer.took);
                }
            }
            let times = series.times(kind.name);
            eprintln!("  {times}");
            all.push(times);
        }
        all.push(self.deep(client, "name").await?);
        all.push(self.deep(client, "-description").await?);
        Ok(all)
    }

    /// Every page from the first to the last one: no phone may be missing or come twice.
    async fn deep(&self, client: &mut Client, sort: &str) -> Result<Times, ScaleError> {
        let (mut series, mut seen, mut next) = (Series::new(), 0_u64, None::<String>);
        loop {
            let cursor = next.take().map(|c| format!("&cursor={c}")).unwrap_or_default();
            let path = format!("/phones?limit=1000&sort={sort}{cursor}");
            let answer = client.done("GET", &path, None).await?;
            series.add(answer.took);
            seen += answer.body["items"].as_array().map_or(0, Vec::len) as u64;
            match answer.body["next"].as_str() {
                Some(cursor) => next = Some(cursor.to_owned()),
                None => break,
            }
        }
        let times = series.times(&format!("all pages of 1000, sort {sort}"));
        eprintln!("  {times}");
        // Phones that move in this order meanwhile may be seen twice, or not at all.
        let moved = if sort == "name" { 0 } else { u64::from(self.plan.phones) / 100 };
        match seen.abs_diff(u64::from(self.plan.phones)) {
            off if off <= moved => Ok(times),
            _ => Err(ScaleError::Wrong {
                path: format!("all pages, sort {sort}"),
                rows: usize::try_from(seen).unwrap_or(usize::MAX),
                expected: self.plan.phones.to_string(),
            }),
        }
    }

    /// Saves of the big profile; and by how many bytes the process grew.
    async fn saves(&self, client: &mut Client) -> Result<(Times, i64), ScaleError> {
        let path = format!("/security-profiles/{FLEET}");
        // The first one warms up what is allocated once.
        client.done("PATCH", &path, Some(&json!({ "nonce_validity_s": 700 }))).await?;
        let counters = ["keyline_catalog_devices_touched_total", "keyline_sip_requests_sent_total"];
        let before = self.counters(&counters).await?;
        let (memory, mut series) = (self.resident()?, Series::new());
        for n in 1..=20 {
            let body = json!({ "nonce_validity_s": 700 + n });
            series.add(client.done("PATCH", &path, Some(&body)).await?.took);
        }
        let grown = self.resident()? as i64 - memory as i64;
        let after = self.counters(&counters).await?;
        if before != after {
            return Err(ScaleError::Admin(format!("a save moved {counters:?} from {before:?} to {after:?}")));
        }
        Ok((series.times("save of a profile of nine phones of ten"), grown))
    }

    async fn dry_runs(&self, client: &mut Client) -> Result<Vec<Times>, ScaleError> {
        let questions: [(&'static str, String, Value); 4] = [
            (
                "dry run: profile becomes encrypted",
                format!("/security-profiles/{FLEET}?dry_run=true"),
                json!({ "device_security_mode": "encrypted", "transport": "tls" }),
            ),
            (
                "dry run: profile asks for digest",
                format!("/security-profiles/{FLEET}?dry_run=true"),
                json!({ "digest_authentication": true }),
            ),
            (
                "dry run: parameter, cluster mixed",
                "/parameters/cluster_security_mode?dry_run=true".to_owned(),
                json!({ "value": "mixed" }),
            ),
            (
                "dry run: enterprise web access off",
                "/enterprise-phone?dry_run=true".to_owned(),
                json!({ "hardening": { "web_access": "disabled" } }),
            ),
        ];
        let mut all = Vec::new();
        for (name, path, body) in questions {
            let mut series = Series::new();
            for _ in 0..5 {
                let answer = client.done("PATCH", &path, Some(&body)).await?;
                series.add(answer.took);
                let phones = answer.body["impact"]["phones"].as_u64().unwrap_or(0);
                if phones < u64::from(self.plan.phones) * 8 / 10 {
                    return Err(ScaleError::Admin(format!("{path} speaks of {phones} phones")));
                }
            }
            let times = series.times(name);
            eprintln!("  {times}");
            all.push(times);
        }
        Ok(all)
    }

    async fn counters(&self, names: &[&str]) -> Result<Vec<String>, ScaleError> {
        let metrics = crate::figures::metrics_of(self.metrics).map_err(ScaleError::io("metrics"))?;
        let lines = metrics.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
        Ok(lines.map(str::to_owned).collect())
    }
}

/// The first page has the rows that it should.
fn checked(kind: &queries::Kind, path: &str, body: &Value) -> Result<(), ScaleError> {
    let Some(items) = body["items"].as_array() else { return Ok(()) };
    let fits = match kind.rows {
        Some(rows) => items.len() == rows,
        None => !items.is_empty(),
    };
    let expected = kind.rows.map_or_else(|| "some".to_owned(), |rows| rows.to_string());
    if fits { Ok(()) } else { Err(ScaleError::Wrong { path: path.to_owned(), rows: items.len(), expected }) }
}
