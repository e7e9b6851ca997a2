//! Storms: all phones come back after the node was killed, and more handshakes than the machine can make.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use crate::figures::metrics_of;
use crate::inventory;
use crate::load::users::User;
use crate::load::{
    Amount, Carrier, Certificates, Fleet, Job, Options, Process, Span, Tally, Target, TlsSetup, machine,
    own_addresses,
};
use crate::pki::Authority;
use crate::server::{Node, Server};
use crate::tls::TlsOptions;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// How a storm is to be.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Phones.
    pub phones: u32,
    /// Registrations a second before it.
    pub rate: f64,
}

/// What became of the phones.
#[derive(Debug, Clone, Serialize)]
pub struct Returned {
    /// Phones.
    pub phones: u32,
    /// Registered again.
    pub back: u64,
    /// Handshakes that went on from a ticket, and whole ones.
    pub resumed: u64,
    /// Whole ones.
    pub full: u64,
    /// REGISTER requests sent, and how many of them were challenged.
    pub requests: u64,
    /// 401 and 407.
    pub challenged: u64,
    /// Connections that were refused or lost, each made again.
    pub refused: u64,
    /// Milliseconds from `kill -9` to the node's `ready`.
    pub restart_ms: u64,
    /// Milliseconds from `ready`, when all phones begin, until half, 99 % and all of them were registered.
    pub back_ms: [u64; 3],
    /// Devices that the node counts as registered, and connections that stand.
    pub registered: u64,
    /// Connections.
    pub connections: u64,
    /// What the node refused by which limit.
    pub limits: Vec<String>,
    /// Server CPU of one phone's way back, microseconds.
    pub cpu_us: f64,
    /// Resident memory of the node before and after, in bytes.
    pub resident: [u64; 2],
    /// Processor, cores, kernel.
    pub machine: String,
}

impl Returned {
    /// All are back and counted, over 95 % of handshakes were resumed, and under 2 % of requests challenged.
    pub fn holds(&self) -> bool {
        let all = u64::from(self.phones);
        self.back == all
            && self.registered == all
            && self.resumed * 100 > (self.resumed + self.full) * 95
            && self.challenged * 100 < self.requests * 2
    }
}

/// Raises the soft limit of open files as far as it goes.
pub fn raise_descriptors() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it may not be raised, connections will fail and be counted.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

struct Site {
    folder: tempfile::TempDir,
    node: Node,
    address: SocketAddr,
    roots: String,
}

impl Site {
    async fn new(binary: &Path, phones: u32, more: &str) -> Result<Site, Fault> {
        raise_descriptors();
        let folder = tempfile::tempdir()?;
        // The same port over restarts. It is free now; whoever takes it meanwhile makes the start fail.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let listeners = [("sip_tls", address.to_string()), ("metrics", "127.0.0.1:0".to_owned())];
        let node = Node::prepare(binary, &folder.path().join("keyline"), &listeners, more)?;
        let authority = Authority::open(&folder.path().join("authority"))?;
        let file = folder.path().join("fleet.ndjson");
        let mut out = std::io::BufWriter::new(fs::File::create(&file)?);
        inventory::write_encrypted(&mut out, 1, phones, &authority.pem)?;
        out.flush()?;
        node.import(&file).await?;
        let roots = node.roots().await?;
        Ok(Site { folder, node, address, roots })
    }

    /// Gives the node, which does not run, a certificate with a longer RSA key, signed by the phones' authority.
    async fn with_rsa(mut self, bits: u32) -> Result<Site, Fault> {
        let name = ["--name", "CallManager"];
        let bits = bits.to_string();
        let ask = [&["cert", "csr", "--new-key", "--rsa-bits", &bits], &name[..]].concat();
        let request = self.node.command(&ask).await?;
        let authority = Authority::open(&self.folder.path().join("authority"))?;
        let file = self.folder.path().join("own.pem");
        fs::write(&file, authority.sign(&request)?)?;
        let file = file.to_string_lossy();
        self.node.command(&[&["cert", "install", "--pem", &file], &name[..]].concat()).await?;
        self.roots = authority.pem;
        Ok(self)
    }

    fn fleet(&self, users: Vec<User>, resume: bool, timeout: Duration) -> Result<Fleet, Fault> {
        let target = Target { carrier: Carrier::Tls, address: self.address };
        let mut options = Options::new(target, own_addresses(self.address, users.len().max(30_000))?);
        let certificates =
            Certificates::Made(Box::new(Authority::open(&self.folder.path().join("authority"))?));
        options.tls = Some(TlsSetup::new(TlsOptions::trusting(self.roots.clone()), certificates, resume));
        options.timeout = timeout;
        Ok(Fleet::open(users, options)?)
    }
}

fn users(phones: u32) -> Vec<User> {
    inventory::fleet(1, phones).into_iter().map(User::from).collect()
}

fn process(server: &Server) -> Result<Process, Fault> {
    Ok(Process::of(server.pid().unwrap_or_default())?)
}

/// Sum of a metric's samples.
pub(crate) fn sum(text: &str, name: &str) -> u64 {
    let own = text.lines().filter_map(|l| l.strip_prefix(name)).filter(|l| l.starts_with([' ', '{']));
    own.filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as u64
}

fn refused_by(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|l| l.starts_with("keyline_limits_refused_total{") && !l.ends_with(" 0"));
    lines.filter_map(|l| l.strip_prefix("keyline_limits_refused_total")).map(str::to_owned).collect()
}

/// Registers phones, kills the node, starts it again, and lets all phones come back at once.
///
/// # Errors
/// When the node cannot be run, or the phones do not register before the storm.
pub async fn come_back(binary: &Path, plan: Plan) -> Result<Returned, Fault> {
    let Plan { phones, rate } = plan;
    let site = Site::new(binary, phones, "").await?;
    let server = site.node.serve().await?;
    let fleet = site.fleet(users(phones), true, Duration::from_secs(32))?;
    let run = move |mut fleet: Fleet, job: Job, rate: f64| {
        tokio::task::spawn_blocking(move || {
            let amount = Amount { count: u64::from(phones), rate, ramp: Duration::ZERO };
            let tally = fleet.run(&job, amount);
            // Tickets of TLS 1.3 come after the handshake.
            fleet.attend(Duration::from_millis(500));
            (fleet, tally)
        })
    };
    eprintln!("registering {phones} phones at {rate}/s");
    let (fleet, before) = run(fleet, Job::Register, rate).await?;
    if before.good != u64::from(phones) {
        return Err(format!("only {} of {phones} phones registered: {before:?}", before.good).into());
    }
    let resident = process(&server)?.resident()?;
    let killed = Instant::now();
    // Many connections take a while to close: until it is gone the store is locked.
    server.kill().await;
    let server = site.node.serve().await?;
    let restart = killed.elapsed();
    eprintln!("killed and ready again in {restart:?}; all phones come back");
    let process = process(&server)?;
    let metrics = server.address("metrics").ok_or("no metrics")?;
    let cpu = process.cpu_of_threads()?;
    let (fleet, tally) = run(fleet, Job::Return, 0.0).await?;
    let cpu = process.cpu_of_threads()?.saturating_sub(cpu);
    let text = metrics_of(metrics)?;
    let outcome = |name: &str| tally.outcomes.get(name).copied().unwrap_or(0);
    let status = |wanted: &[u16]| -> u64 {
        tally.statuses.iter().filter(|((_, s), _)| wanted.contains(s)).map(|(_, n)| n).sum()
    };
    let returned = Returned {
        phones,
        back: tally.good,
        resumed: outcome("resumed"),
        full: outcome("full"),
        requests: tally.requests,
        challenged: status(&[401, 407]),
        refused: outcome("connection_refused") + outcome("register_lost"),
        restart_ms: restart.as_millis() as u64,
        back_ms: [0.5, 0.99, 1.0].map(|q| quantile_ms(&tally, q) as u64),
        registered: sum(&text, "keyline_phone_registered_devices"),
        connections: fleet.connected(),
        limits: refused_by(&text),
        cpu_us: cpu.as_secs_f64() * 1e6 / f64::from(phones),
        resident: [resident, process.resident()?],
        machine: machine(),
    };
    server.stop().await?;
    Ok(returned)
}

fn quantile_ms(tally: &Tally, quantile: f64) -> f64 {
    tally.span(Span::Operation).map_or(0.0, |t| t.value_at_quantile(quantile) as f64 / 1_000.0)
}

impl fmt::Display for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: u64, all: u64| 100.0 * part as f64 / all.max(1) as f64;
        writeln!(f, "machine   {}; phones and node share it", self.machine)?;
        let rows = [
            ("phones, all at once after kill -9 and restart", self.phones.to_string()),
            ("registered again", self.back.to_string()),
            ("  as the node counts", self.registered.to_string()),
            ("  connections that stand", self.connections.to_string()),
            ("handshakes resumed, %", format!("{:.2}", share(self.resumed, self.resumed + self.full))),
            ("REGISTER requests", self.requests.to_string()),
            ("  challenged, %", format!("{:.2}", share(self.challenged, self.requests))),
            ("connections refused or lost, and made again", self.refused.to_string()),
            ("kill -9 to ready, ms", self.restart_ms.to_string()),
            ("ready to half registered, ms", self.back_ms[0].to_string()),
            ("ready to 99 % registered, ms", self.back_ms[1].to_string()),
            ("ready to all registered, ms", self.back_ms[2].to_string()),
            ("server CPU a phone, us", format!("{:.1}", self.cpu_us)),
            ("resident before the kill, MB", format!("{:.1}", self.resident[0] as f64 / 1e6)),
            ("resident after the storm, MB", format!("{:.1}", self.resident[1] as f64 / 1e6)),
        ];
        for (name, value) in rows {
            writeln!(f, "{name:<50}{value:>12}")?;
        }
        self.limits.iter().try_for_each(|limit| writeln!(f, "refused by limit  {limit}"))
    }
}

/// What an overload is to be.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    /// Seconds of each part.
    pub seconds: f64,
    /// Handshakes offered, in parts of what the node can make.
    pub times: f64,
    /// The node on the first core, phones on the others: so that phones take no time from the node.
    pub pinned: bool,
    /// Bits of the node's RSA key, where it is not to have its own: handshakes with longer ones cost the node more
    /// and the phones nothing, so that they can offer many times what it can make.
    pub rsa_bits: Option<u32>,
}

/// What the node did under it.
#[derive(Debug, Clone, Serialize)]
pub struct Flooded {
    /// Whole handshakes a second with as many connections as keep the node busy.
    pub capacity: f64,
    /// Connections a second that were begun in the overload.
    pub offered: f64,
    /// Handshakes a second completed in it.
    pub goodput: f64,
    /// CPU of the node for one of them, without and in the overload: in microseconds.
    pub cpu_us: [f64; 2],
    /// How much of its core the node used in the overload, in percent: below 100 the generator held it up.
    pub core: f64,
    /// Delay of requests of registered phones without load, p99, milliseconds.
    pub calm_p99_ms: f64,
    /// The same in the overload.
    pub storm_p99_ms: f64,
    /// Requests of registered phones in it, and how many failed.
    pub asked: u64,
    /// Failed.
    pub failed: u64,
    /// Resident memory: after the measurement of the capacity, at the end; bytes.
    pub resident: [u64; 2],
    /// What the node refused by which limit.
    pub limits: Vec<String>,
    /// Processor, cores, kernel.
    pub machine: String,
}

/// Registered phones that go on asking beside the overload.
const STEADY: u32 = 100;
const STEADY_PER_S: f64 = 100.0;
/// Phones of the flood, each with its certificate.
const STRANGERS: u32 = 400;
/// Connections that keep a node busy.
const BUSY: u32 = 48;
/// Connections of the flood at a time, and how long each waits.
const AT_A_TIME: u32 = 16_000;
const PATIENCE: Duration = Duration::from_secs(1);

/// Overloads a node with handshakes while registered phones go on.
///
/// # Errors
/// When the node cannot be run or its phones do not register.
pub async fn flood(binary: &Path, plan: Flood) -> Result<Flooded, Fault> {
    // One source is all that a loopback network is to the limits of sources.
    let more = "\n[shards]\ncount = 1\n[limits]\nunauthenticated_per_source = 20000\nhandshakes_per_source = 20000\n\
                handshakes = 20000\nunauthenticated_connections = 20000\n";
    let mut site = Site::new(binary, STEADY + STRANGERS, more).await?;
    if let Some(bits) = plan.rsa_bits {
        site = site.with_rsa(bits).await?;
    }
    let server = site.node.serve().await?;
    if plan.pinned {
        self::process(&server)?.pin(0..1)?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Process::of(std::process::id())?.pin(1..cores.max(2))?;
    }
    let (process, metrics) = (process(&server)?, server.address("metrics").ok_or("no metrics")?);
    let mut all = users(STEADY + STRANGERS);
    let strangers = all.split_off(STEADY as usize);
    let mut steady = site.fleet(all, false, Duration::from_secs(5))?;
    let mut crowd = site.fleet(strangers, false, PATIENCE)?;
    let work = move || -> Result<Flooded, Fault> {
        let registered = steady.run(&Job::Register, amount(u64::from(STEADY), 100.0));
        if registered.good != u64::from(STEADY) {
            return Err(format!("the phones do not register: {registered:?}").into());
        }
        let ask = |steady: &mut Fleet, seconds: f64| {
            steady.run(&Job::Options, amount((STEADY_PER_S * seconds) as u64, STEADY_PER_S))
        };
        let calm = ask(&mut steady, plan.seconds);
        let busy = Job::Handshake { links: BUSY };
        // Certificates are made and judged first.
        crowd.run(&busy, amount(u64::from(2 * STRANGERS), 0.0));
        let mut count = 1_000;
        let spent =
            |since: Duration| process.cpu_of_threads().map(|now| now.saturating_sub(since).as_secs_f64());
        let (capacity, cost) = loop {
            let before = process.cpu_of_threads()?;
            let done = crowd.run(&busy, amount(count, 0.0));
            let (rate, took) = (done.good as f64 / done.elapsed.as_secs_f64(), done.elapsed.as_secs_f64());
            if took >= plan.seconds * 0.7 {
                break (rate, spent(before)? * 1e6 / done.good.max(1) as f64);
            }
            count = ((rate * plan.seconds) as u64).max(2 * count);
        };
        eprintln!("capacity {capacity:.0}/s; offering {} times as much", plan.times);
        let resident = process.resident()?;
        let rate = capacity * plan.times;
        let offer = amount((rate * plan.seconds) as u64, rate);
        let before = process.cpu_of_threads()?;
        let (storm, stormy) = std::thread::scope(|scope| {
            let storm = scope.spawn(|| crowd.run(&Job::Handshake { links: AT_A_TIME }, offer));
            let stormy = ask(&mut steady, plan.seconds);
            storm.join().map(|storm| (storm, stormy)).map_err(|_| "the generator panicked")
        })?;
        let (seconds, spent) = (storm.elapsed.as_secs_f64(), spent(before)?);
        Ok(Flooded {
            capacity,
            offered: storm.begun as f64 / seconds,
            goodput: storm.good as f64 / seconds,
            cpu_us: [cost, spent * 1e6 / storm.good.max(1) as f64],
            core: 100.0 * spent / seconds,
            calm_p99_ms: quantile_ms(&calm, 0.99),
            storm_p99_ms: quantile_ms(&stormy, 0.99),
            asked: stormy.begun,
            failed: stormy.failed,
            resident: [resident, process.resident()?],
            limits: refused_by(&metrics_of(metrics)?),
            machine: machine(),
        })
    };
    let flooded = tokio::task::spawn_blocking(work).await??;
    server.stop().await?;
    Ok(flooded)
}

fn amount(count: u64, rate: f64) -> Amount {
    Amount { count, rate, ramp: Duration::ZERO }
}

impl fmt::Display for Flooded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "machine   {}", self.machine)?;
        let rows = [
            ("capacity, whole handshakes a second", format!("{:.0}", self.capacity)),
            ("offered, connections a second", format!("{:.0}", self.offered)),
            ("  times the capacity", format!("{:.1}", self.offered / self.capacity)),
            ("completed, handshakes a second", format!("{:.0}", self.goodput)),
            ("  % of the capacity", format!("{:.1}", 100.0 * self.goodput / self.capacity)),
            ("  node's CPU for one, without overload, us", format!("{:.0}", self.cpu_us[0])),
            ("  node's CPU for one, in the overload, us", format!("{:.0}", self.cpu_us[1])),
            (
                "  node's CPU that went into them, %",
                format!("{:.1}", 100.0 * self.cpu_us[0] / self.cpu_us[1].max(1.0)),
            ),
            ("node's CPU in the overload, % of a core", format!("{:.0}", self.core)),
            ("registered phones, p99 without load, ms", format!("{:.2}", self.calm_p99_ms)),
            ("registered phones, p99 in the overload, ms", format!("{:.2}", self.storm_p99_ms)),
            ("  requests", self.asked.to_string()),
            ("  failed", self.failed.to_string()),
            ("resident before the overload, MB", format!("{:.1}", self.resident[0] as f64 / 1e6)),
            ("resident after it, MB", format!("{:.1}", self.resident[1] as f64 / 1e6)),
        ];
        for (name, value) in rows {
            writeln!(f, "{name:<50}{value:>12}")?;
        }
        self.limits.iter().try_for_each(|limit| writeln!(f, "refused by limit  {limit}"))
    }
}
