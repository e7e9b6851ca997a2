//! A large fleet over UDP with persistence: registration as fast as it goes, memory of a phone, refreshes with a
//! backup meanwhile, `kill -9`, and what the phones find after the restart.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::figures::metrics_of;
use crate::inventory;
use crate::load::users::User;
use crate::load::{
    Amount, CallPlan, Carrier, Fleet, Job, Options, Process, Span, Tally, Target, machine, own_addresses,
};
use crate::server::{Node, Server};
use crate::storm::{raise_descriptors, sum};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Operations at a time while all register.
const WINDOW: u64 = 512;
/// Timer J, in which a server remembers finished transactions over UDP, and a little.
const SETTLE: Duration = Duration::from_secs(35);
/// Pairs of phones that call each other after the restart, a second.
const CALLS_PER_S: f64 = 100.0;
const CALLS: u64 = 500;
/// Phones that share a source on the loopback network.
const SOURCES: usize = 64;
/// Limits of one source, of which a loopback network has few, and room for the transactions of full speed.
const LIMITS: &str = "\n[limits]\nrequests_per_source = 1000000\noptions_per_source = 1000000\n\
                      transactions_per_worker = 16777216\ntransactions_per_source = 16777216\n";

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Phones.
    pub phones: u32,
    /// Seconds of refreshes.
    pub steady_s: f64,
}

/// Some operations of a kind.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// What.
    pub name: &'static str,
    /// Good of begun.
    pub good: u64,
    /// Begun.
    pub begun: u64,
    /// Good ones a second.
    pub per_s: f64,
    /// Median from the intended moment, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Longest.
    pub max_ms: f64,
    /// Processor time of the server for one, microseconds.
    pub cpu_us: f64,
    /// Answers 401 and 407.
    pub challenged: u64,
    /// First reasons of failures.
    pub faults: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Phones.
    pub phones: u32,
    /// Seconds of the offline import; 0 when an earlier one was used.
    pub import_s: f64,
    /// Seconds of the start with all phones provisioned and none registered.
    pub start_s: f64,
    /// Resident memory, bytes: provisioned; in the process that registered all; after the restart.
    pub resident: [u64; 3],
    /// Resident memory of a node without any phone.
    pub resident_empty: u64,
    /// All parts, in their order.
    pub parts: Vec<Part>,
    /// Devices that the node counts as registered: before the kill, after the restart.
    pub registered: [u64; 2],
    /// Seconds of the backup beside the refreshes, and its bytes.
    pub backup: (f64, u64),
    /// Seconds from `kill -9` to `ready`.
    pub ready_s: f64,
    /// Seconds from `kill -9` to the first call that rang a phone that had said nothing since.
    pub served_s: f64,
    /// The command line.
    pub command: String,
    /// Processor, cores, kernel.
    pub machine: String,
}

impl Measured {
    /// Bytes that a registered phone adds to a provisioned one: in the process that registered it, after a restart.
    pub fn registered_bytes(&self) -> [f64; 2] {
        [1, 2].map(|n| (self.resident[n] as f64 - self.resident[0] as f64) / f64::from(self.phones))
    }

    /// Bytes of a provisioned phone.
    pub fn provisioned_bytes(&self) -> f64 {
        (self.resident[0] as f64 - self.resident_empty as f64) / f64::from(self.phones)
    }

    /// Everybody was served, bindings too, within ten seconds of the kill; nobody had to register again.
    pub fn holds(&self) -> bool {
        let all = u64::from(self.phones);
        self.registered == [all, all] && self.served_s <= 10.0 && self.parts.iter().all(|p| p.good == p.begun)
    }
}

/// Measures a program. `data`: a folder to keep, whose import an earlier run may have made.
///
/// # Errors
/// When the node cannot be run.
pub async fn measure(binary: &Path, plan: Plan, data: Option<&Path>) -> Result<Measured, Fault> {
    raise_descriptors();
    let temporary = tempfile::tempdir()?;
    let folder = data.unwrap_or(temporary.path());
    fs::create_dir_all(folder)?;
    // The node comes back where it was.
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let listeners = [("sip_udp", port.to_string()), ("metrics", "127.0.0.1:0".to_owned())];
    let bare = Node::prepare(binary, &temporary.path().join("bare"), &listeners, LIMITS)?;
    let server = bare.serve().await?;
    let resident_empty = process(&server)?.resident()?;
    server.stop().await?;
    let (node, import_s) = provisioned(binary, folder, &listeners, plan.phones).await?;
    let begun = Instant::now();
    let server = node.serve().await?;
    let start_s = begun.elapsed().as_secs_f64();
    let provisioned = process(&server)?.resident()?;
    eprintln!("ready after {start_s:.1} s; registering {} phones", plan.phones);
    let address = server.address("sip_udp").ok_or("no sip_udp")?;
    let mut run =
        Run { plan, process: process(&server)?, parts: Vec::new(), fleet: fleet(address, plan.phones)? };
    let (all, backup_file) = (u64::from(plan.phones), temporary.path().join("backup"));
    run = blocking(run, move |run| {
        run.part("register, as fast as it goes", &Job::Register, (all, 0.0), WINDOW)
    })
    .await?;
    run = blocking(run, |run| drop(run.fleet.attend(SETTLE))).await?;
    let registered = process(&server)?.resident()?;
    let counted = sum(&metrics_of(server.address("metrics").ok_or("no metrics")?)?, REGISTERED);
    // Once in half of the hour that phones ask for.
    let rate = (f64::from(plan.phones) / 1_800.0).max(10.0);
    let steady = (rate * plan.steady_s) as u64;
    eprintln!("refreshing at {rate:.0}/s, alone and beside a backup");
    run = blocking(run, move |run| run.part("refresh at the fleet's pace", &Job::Refresh, (steady, rate), 0))
        .await?;
    let backup = async {
        let begun = Instant::now();
        let said = node.command(&["backup", &backup_file.to_string_lossy()]).await;
        said.map(|_| begun.elapsed().as_secs_f64())
    };
    let beside =
        blocking(run, move |run| run.part("refresh beside a backup", &Job::Refresh, (steady, rate), 0));
    let (backed, done) = tokio::join!(backup, beside);
    run = done?;
    let bytes = size(&backup_file);
    eprintln!("kill -9");
    let killed = Instant::now();
    server.kill().await;
    let server = node.serve().await?;
    let ready_s = killed.elapsed().as_secs_f64();
    run.process = process(&server)?;
    // Nobody registers first: who is called must be known from what was committed.
    run = blocking(run, |run| run.part("first call after kill -9", &call(), (1, 0.0), 0)).await?;
    let served_s = killed.elapsed().as_secs_f64();
    let resident = [provisioned, registered, run.process.resident()?];
    let again = sum(&metrics_of(server.address("metrics").ok_or("no metrics")?)?, REGISTERED);
    run = blocking(run, |run| {
        run.part("calls to phones that said nothing since", &call(), (CALLS, CALLS_PER_S), 0)
    })
    .await?;
    run = blocking(run, move |run| run.part("refresh after it", &Job::Refresh, (steady, rate), 0)).await?;
    let parts = std::mem::take(&mut run.parts);
    server.stop().await?;
    Ok(Measured {
        phones: plan.phones,
        import_s,
        start_s,
        resident,
        resident_empty,
        parts,
        registered: [counted, again],
        backup: (backed?, bytes),
        ready_s,
        served_s,
        command: std::env::args().collect::<Vec<_>>().join(" "),
        machine: machine(),
    })
}

/// The node's own count.
const REGISTERED: &str = "keyline_phone_registered_devices";

fn call() -> Job {
    let (hold, ring) = (Duration::from_millis(100), Duration::ZERO);
    Job::Call(CallPlan { hold, ring, busy: 0, cancel: 0, b2bua: true })
}

fn process(server: &Server) -> Result<Process, Fault> {
    Ok(Process::of(server.pid().unwrap_or_default())?)
}

/// Bytes of a file, or of all in a folder.
fn size(path: &Path) -> u64 {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| size(&entry.path())).sum(),
        Err(_) => fs::metadata(path).map_or(0, |found| found.len()),
    }
}

/// The node with its phones; registrations of an earlier run are not wanted, so a kept import is copied.
async fn provisioned(
    binary: &Path,
    folder: &Path,
    listeners: &[(&str, String)],
    phones: u32,
) -> Result<(Node, f64), Fault> {
    let (kept, place) = (folder.join(format!("imported-{phones}")), folder.join("keyline"));
    // Of an earlier run: phones have registered there.
    let _ = fs::remove_dir_all(&place);
    let mut import_s = 0.0;
    if !kept.join("keyline.toml").exists() {
        let first = Node::prepare(binary, &folder.join("importing"), listeners, LIMITS)?;
        let file = folder.join("fleet.ndjson");
        let mut out = BufWriter::new(File::create(&file)?);
        let rows = inventory::write(&mut out, 1, phones)?;
        out.flush()?;
        eprintln!("importing {rows} rows");
        import_s = first.import(&file).await?.as_secs_f64();
        fs::remove_file(&file)?;
        fs::rename(folder.join("importing"), &kept)?;
    }
    let status = tokio::process::Command::new("cp")
        .arg("-a")
        .arg(&kept)
        .arg(&place)
        .stdin(Stdio::null())
        .status()
        .await?;
    if !status.success() {
        return Err(format!("copying {} ended with {status}", kept.display()).into());
    }
    Ok((Node::prepare(binary, &place, listeners, LIMITS)?, import_s))
}

fn fleet(address: SocketAddr, phones: u32) -> Result<Fleet, Fault> {
    let target = Target { carrier: Carrier::Udp, address };
    let mut options = Options::new(target, own_addresses(address, SOURCES * 10_000)?);
    (options.sockets, options.window, options.progress) = (SOURCES, u64::from(u32::MAX), true);
    let users: Vec<User> = inventory::fleet(1, phones).into_iter().map(User::from).collect();
    Ok(Fleet::open(users, options)?)
}

struct Run {
    plan: Plan,
    process: Process,
    parts: Vec<Part>,
    fleet: Fleet,
}

/// Runs a part on a thread that may block.
async fn blocking(mut run: Run, part: impl FnOnce(&mut Run) + Send + 'static) -> Result<Run, Fault> {
    let done = tokio::task::spawn_blocking(move || {
        part(&mut run);
        run
    });
    Ok(done.await?)
}

impl Run {
    fn part(&mut self, name: &'static str, job: &Job, (count, rate): (u64, f64), window: u64) {
        let amount = Amount { count, rate, ramp: Duration::ZERO };
        let before = self.process.cpu_of_threads().unwrap_or_default();
        let tally = self.fleet.run_within(job, amount, (window > 0).then_some(window));
        let cpu = self.process.cpu_of_threads().unwrap_or_default().saturating_sub(before);
        let part = part_of(name, &tally, cpu);
        eprintln!("{part}");
        debug_assert!(self.fleet.len() == self.plan.phones as usize, "the fleet stays whole");
        self.parts.push(part);
    }
}

fn part_of(name: &'static str, tally: &Tally, cpu: Duration) -> Part {
    let at =
        |share: f64| tally.span(Span::Operation).map_or(0.0, |t| t.value_at_quantile(share) as f64 / 1_000.0);
    let challenged =
        tally.statuses.iter().filter(|((_, status), _)| matches!(status, 401 | 407)).map(|(_, n)| n);
    Part {
        name,
        good: tally.good,
        begun: tally.begun,
        per_s: tally.good as f64 / tally.elapsed.as_secs_f64().max(1e-9),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        cpu_us: cpu.as_secs_f64() * 1e6 / tally.begun.max(1) as f64,
        challenged: challenged.sum(),
        faults: tally.faults.clone(),
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Part { name, good, begun, per_s, p50_ms, p99_ms, max_ms, cpu_us, challenged, .. } = self;
        write!(
            f,
            "{name:<41}{good:>9} of {begun:<9}{per_s:>9.0}{p50_ms:>9.2}{p99_ms:>9.2}{max_ms:>9.1}{cpu_us:>9.1}{challenged:>9}"
        )?;
        self.faults.iter().take(2).try_for_each(|why| write!(f, "\n  fault: {why}"))
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "command   {}", self.command)?;
        writeln!(f, "machine   {}; phones and node share it\n", self.machine)?;
        let [name, good, per_s, p50, p99, max, cpu, asked] =
            ["", "good", "a second", "p50 ms", "p99 ms", "max ms", "CPU us", "401/407"];
        writeln!(
            f,
            "{name:<41}{good:>9}    {:<9}{per_s:>9}{p50:>9}{p99:>9}{max:>9}{cpu:>9}{asked:>9}",
            "begun"
        )?;
        self.parts.iter().try_for_each(|part| writeln!(f, "{part}"))?;
        let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        let [fresh, later] = self.registered_bytes();
        let rows = [
            ("phones", self.phones.to_string()),
            ("import, s (0: of an earlier run)", format!("{:.1}", self.import_s)),
            ("start with none registered, s", format!("{:.1}", self.start_s)),
            ("resident without phones, MB", mb(self.resident_empty)),
            ("resident, provisioned, MB", mb(self.resident[0])),
            ("resident, in the process that registered all, MB", mb(self.resident[1])),
            ("resident, after the restart, MB", mb(self.resident[2])),
            ("bytes of a provisioned phone", format!("{:.0}", self.provisioned_bytes())),
            ("bytes that a registration adds, in that process", format!("{fresh:.0}")),
            ("bytes that a registration adds, after the restart", format!("{later:.0}")),
            ("registered as the node counts, before the kill", self.registered[0].to_string()),
            ("registered as the node counts, after the restart", self.registered[1].to_string()),
            ("backup beside refreshes, s", format!("{:.1}", self.backup.0)),
            ("  MB", mb(self.backup.1)),
            ("kill -9 to ready, s", format!("{:.2}", self.ready_s)),
            ("kill -9 to the first call put through, s", format!("{:.2}", self.served_s)),
        ];
        writeln!(f)?;
        rows.into_iter().try_for_each(|(name, value)| writeln!(f, "{name:<52}{value:>12}"))
    }
}
