//! Half of what a node can do, of everything it does, for a long time: its memory in the middle and at the end, and
//! every error that nobody can explain.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use socket2::SockRef;

use super::{Fault, PLAIN, SECURE, Site, amount, roll_out, users};
use crate::figures::metrics_of;
use crate::load::{
    Amount, CallPlan, Fleet, HANDSHAKES, Job, Process, Sample, Sampler, Tally, attackers, machine,
};
use crate::storm::sum;

/// Seconds of the whole mix before it counts: transactions live 32 s, and the store's first buffers fill.
const WARM_S: f64 = 60.0;
/// Limits at which a handshake is turned away unexamined; phones come again.
const TURNED_AWAY: [&str; 6] = [
    "handshakes_waiting",
    "handshakes",
    "handshakes_per_source",
    "unauthenticated_connections",
    "unauthenticated_per_source",
    "connections_per_source",
];
/// Seconds of one round; certificates are swapped between rounds.
const ROUND: f64 = 10.0;
/// Phones of each part.
const PLAIN_PHONES: u32 = 4_000;
const SECURE_PHONES: u32 = 600;
/// Phones over TLS that only come and go.
const STRANGERS: u32 = 100;
const ATTACKERS: usize = 90;
/// Part of the node's one worker that the load is to take.
const SHARE: f64 = 0.5;
/// Samples of memory that count for one moment.
const NEAR: usize = 20;
/// Every so many rounds a new version of the profile is rolled out.
const ROLLOUT: u64 = 3;
/// Connections of a round that end in the middle of their first message.
const BROKEN: usize = 50;

const HANDSHAKES_PART: &str = "handshakes";
/// The load, operations a second at first: name, rate.
const MIX: [(&str, f64); 7] = [
    ("refresh over UDP", 300.0),
    ("register over UDP, challenged", 40.0),
    ("move over UDP", 40.0),
    ("calls over UDP", 20.0),
    ("refresh over TLS", 100.0),
    (HANDSHAKES_PART, 20.0),
    ("attack", 90.0),
];
const CALLS: CallPlan = CallPlan {
    hold: Duration::from_secs(2),
    ring: Duration::from_millis(200),
    busy: 5,
    cancel: 5,
    b2bua: true,
};

/// How long.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// Minutes.
    pub minutes: f64,
}

/// One part of the load.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Part {
    /// Begun.
    pub begun: u64,
    /// Good.
    pub good: u64,
    /// Failed.
    pub failed: u64,
    /// Repeated requests.
    pub repeated: u64,
    /// First reasons of failures.
    pub faults: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Soaked {
    /// Seconds of load.
    pub seconds: f64,
    /// Part of one core that the node used.
    pub cores: f64,
    /// Operations a second in all.
    pub per_s: f64,
    /// By part.
    pub parts: BTreeMap<&'static str, Part>,
    /// Certificates swapped, versions rolled out, connections broken on purpose.
    pub disturbed: [u64; 3],
    /// Seconds of the mix before.
    pub warm_s: f64,
    /// What limits refused meanwhile, by limit.
    pub refused: BTreeMap<String, u64>,
    /// When each round ended, what went well a second, what failed in it.
    pub rounds: Vec<(f64, f64, u64)>,
    /// Memory at half-time and at the end, bytes.
    pub memory: [u64; 2],
    /// Panics that the node counts.
    pub panics: u64,
    /// Lines of its log that are errors, the first few.
    pub errors: Vec<String>,
    /// Processor and memory, second by second.
    pub samples: Vec<Sample>,
    /// The command line.
    pub command: String,
    /// Processor, cores, kernel.
    pub machine: String,
}

impl Soaked {
    /// Growth of memory from half-time to the end, in parts of it.
    pub fn growth(&self) -> f64 {
        self.memory[1] as f64 / self.memory[0].max(1) as f64 - 1.0
    }

    /// Failures, panics and errors of the log. A handshake that the node counts as turned away by a limit is explained:
    /// its phone comes again.
    pub fn unexplained(&self) -> u64 {
        let away: u64 = TURNED_AWAY.iter().filter_map(|limit| self.refused.get(*limit)).sum();
        let failed = |(name, part): (&&str, &Part)| {
            if *name == HANDSHAKES_PART { part.failed.saturating_sub(away) } else { part.failed }
        };
        self.parts.iter().map(failed).sum::<u64>() + self.panics + self.errors.len() as u64
    }

    /// Memory within 2 %, nothing unexplained.
    pub fn holds(&self) -> bool {
        self.growth() <= 0.02 && self.unexplained() == 0
    }
}

/// All fleets, in the order of [`MIX`].
struct Fleets {
    fleets: Vec<Fleet>,
}

const JOBS: [Job; 7] = [
    Job::Refresh,
    Job::Register,
    Job::Move,
    Job::Call(CALLS),
    Job::Refresh,
    Job::Handshake { links: HANDSHAKES },
    Job::Attack,
];

impl Fleets {
    async fn open(site: &Site) -> Result<Fleets, Fault> {
        let quarter = PLAIN_PHONES / 4;
        let mut fleets = Vec::new();
        for part in 0..4_u8 {
            let first = u32::from(part) * quarter;
            fleets.push(site.plain(users(PLAIN, first..first + quarter), part + 1)?);
        }
        let (first, last) = (PLAIN_PHONES, PLAIN_PHONES + SECURE_PHONES);
        fleets.push(site.secure(users(SECURE, first..last)).await?);
        fleets.push(site.secure(users(SECURE, last..last + STRANGERS)).await?);
        fleets.push(site.plain(attackers(&users(PLAIN, 0..PLAIN_PHONES), ATTACKERS), 9)?);
        Ok(Fleets { fleets })
    }

    /// All jobs at once, each on a thread of its own.
    fn round(mut self, factor: f64, seconds: f64) -> (Fleets, Vec<Tally>) {
        let tallies = std::thread::scope(|scope| {
            let run = |((fleet, job), (_, rate)): ((_, &'static Job), &(&str, f64))| {
                let (fleet, load): (&mut Fleet, Amount) = (fleet, amount(rate * factor, seconds));
                scope.spawn(move || fleet.run(job, load))
            };
            let threads: Vec<_> = self.fleets.iter_mut().zip(&JOBS).zip(&MIX).map(run).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
        });
        (self, tallies)
    }

    /// Registers whoever is to be registered.
    fn register(mut self) -> Result<Fleets, String> {
        for (fleet, rate) in self.fleets[..5].iter_mut().zip([1_000.0, 1_000.0, 1_000.0, 1_000.0, 100.0]) {
            let phones = fleet.len() as u64;
            let tally = fleet.run(&Job::Register, Amount { count: phones, rate, ramp: Duration::ZERO });
            if tally.good != phones {
                return Err(format!("the phones do not register: {tally:?}"));
            }
        }
        Ok(self)
    }
}

/// Runs it.
///
/// # Errors
/// When the node cannot be run, ends, or refuses a change.
pub async fn soak(binary: &Path, plan: Soak) -> Result<Soaked, Fault> {
    let site = Site::new(binary, PLAIN_PHONES, SECURE_PHONES + STRANGERS).await?;
    let process = Process::of(site.server.pid().unwrap_or_default())?;
    let fleets = Fleets::open(&site).await?;
    eprintln!("registering {} phones", PLAIN_PHONES + SECURE_PHONES);
    let mut fleets = tokio::task::spawn_blocking(move || fleets.register()).await??;
    let mut factor = 1.0;
    // The cost of an operation falls with the load: a second look.
    for _ in 0..2 {
        let (before, begun) = (process.cpu_of_threads()?, Instant::now());
        (fleets, _) = tokio::task::spawn_blocking(move || fleets.round(factor, 5.0)).await?;
        let cores =
            process.cpu_of_threads()?.saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64();
        factor = (factor * SHARE / cores.max(0.001)).clamp(0.1, 100.0);
    }
    eprintln!("{factor:.2} times the mix for {WARM_S} s, then for {:.1} minutes", plan.minutes);
    (fleets, _) = tokio::task::spawn_blocking(move || fleets.round(factor, WARM_S)).await?;
    let metrics = site.address("metrics")?;
    let refused_before = refused(&metrics_of(metrics)?);
    let mut client = site.client().await?;
    let sampler = Sampler::start(process);
    let (begun, cpu) = (Instant::now(), process.cpu_of_threads()?);
    let (mut parts, mut disturbed) = (BTreeMap::<&'static str, Part>::new(), [0; 3]);
    let (secure, mut rounds) = (site.address("sip_tls")?, Vec::new());
    while begun.elapsed().as_secs_f64() < plan.minutes * 60.0 {
        site.node.command(&["cert", "regenerate", "--name", "CallManager-EC", "--yes"]).await?;
        disturbed[0] += 1;
        // Who comes new believes the new certificate; who is connected stays so.
        fleets.fleets[5] = site
            .secure(users(SECURE, PLAIN_PHONES + SECURE_PHONES..PLAIN_PHONES + SECURE_PHONES + STRANGERS))
            .await?;
        let running = tokio::task::spawn_blocking(move || fleets.round(factor, ROUND));
        let breaker = tokio::task::spawn_blocking(move || break_off(secure, BROKEN));
        if disturbed[0] % ROLLOUT == 1 {
            disturbed[1] += u64::from(roll_out(&mut client, disturbed[0], 500).await?.is_some());
        }
        disturbed[2] += breaker.await?;
        let tallies;
        (fleets, tallies) = running.await?;
        for ((name, _), tally) in MIX.iter().zip(&tallies) {
            add(parts.entry(name).or_default(), tally);
        }
        let good = tallies.iter().map(|tally| tally.good).sum::<u64>() as f64 / ROUND;
        rounds.push((begun.elapsed().as_secs_f64(), good, tallies.iter().map(|tally| tally.failed).sum()));
        let failed: u64 = parts.values().map(|part| part.failed).sum();
        let memory = process.resident()? as f64 / 1e6;
        eprintln!("{:>6.0} s  resident {memory:.1} MB, failed {failed}", begun.elapsed().as_secs_f64());
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cores = process.cpu_of_threads()?.saturating_sub(cpu).as_secs_f64() / seconds;
    let samples = sampler.end();
    let text = metrics_of(metrics)?;
    let panics = sum(&text, "keyline_worker_panics_total") + sum(&text, "keyline_actor_restarts_total");
    let refused = refused(&text)
        .into_iter()
        .map(|(limit, count)| (count - refused_before.get(&limit).copied().unwrap_or(0), limit))
        .filter_map(|(count, limit)| (count > 0).then_some((limit, count)))
        .collect();
    let log = std::fs::read_to_string(site.node.log())?;
    let errors = log.lines().filter(|line| line.contains(" ERROR ")).take(20).map(str::to_owned).collect();
    site.server.stop().await?;
    Ok(Soaked {
        seconds,
        cores,
        per_s: parts.values().map(|part| part.good).sum::<u64>() as f64 / seconds,
        parts,
        disturbed,
        warm_s: WARM_S,
        refused,
        rounds,
        memory: [middle(&samples, samples.len() / 2), middle(&samples, samples.len())],
        panics,
        errors,
        samples,
        command: std::env::args().collect::<Vec<_>>().join(" "),
        machine: machine(),
    })
}

/// What limits have refused so far.
fn refused(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("keyline_limits_refused_total{limit=\""));
    lines
        .filter_map(|line| line.split_once("\"} "))
        .filter_map(|(l, n)| Some((l.to_owned(), n.parse().ok()?)))
        .collect()
}

fn add(part: &mut Part, tally: &Tally) {
    part.begun += tally.begun;
    part.good += tally.good;
    part.failed += tally.failed;
    part.repeated += tally.repeated;
    let room = 5_usize.saturating_sub(part.faults.len());
    part.faults.extend(tally.faults.iter().take(room).cloned());
}

/// Median of the memory in the samples before one.
fn middle(samples: &[Sample], end: usize) -> u64 {
    let mut near: Vec<u64> = samples[end.saturating_sub(NEAR)..end].iter().map(|s| s.memory).collect();
    near.sort_unstable();
    near.get(near.len() / 2).copied().unwrap_or(0)
}

/// Connections that say half of a message and are reset; gives how many.
fn break_off(address: SocketAddr, count: usize) -> u64 {
    let one = |n: usize| -> std::io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        // A record that promises more than comes.
        let half = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];
        stream.write_all(&half[..1 + n % half.len()])?;
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    };
    (0..count).filter(|n| one(*n).is_ok()).count() as u64
}

impl fmt::Display for Soaked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "command   {}", self.command)?;
        writeln!(f, "machine   {}; phones and node share it", self.machine)?;
        writeln!(
            f,
            "load      {:.0} s, {:.0} operations/s, {:.2} of one core for the node",
            self.seconds, self.per_s, self.cores
        )?;
        let [swaps, rollouts, broken] = self.disturbed;
        writeln!(
            f,
            "meanwhile {swaps} certificates swapped, {rollouts} versions rolled out, {broken} connections broken off"
        )?;
        writeln!(f, "{:<34}{:>10}{:>10}{:>10}{:>10}", "", "begun", "good", "failed", "repeated")?;
        for (name, part) in &self.parts {
            let Part { begun, good, failed, repeated, faults } = part;
            writeln!(f, "{name:<34}{begun:>10}{good:>10}{failed:>10}{repeated:>10}")?;
            // What it should be is no fault: attackers are refused.
            faults.iter().filter(|_| *failed > 0).try_for_each(|why| writeln!(f, "  fault: {why}"))?;
        }
        let [half, end] = self.memory.map(|bytes| bytes as f64 / 1e6);
        writeln!(
            f,
            "resident  {half:.1} MB at half-time, {end:.1} MB at the end: {:+.2} %",
            100.0 * self.growth()
        )?;
        for (limit, count) in &self.refused {
            writeln!(f, "limit     {limit} refused {count}")?;
        }
        writeln!(f, "panics    {}", self.panics)?;
        self.errors.iter().try_for_each(|line| writeln!(f, "log       {line}"))?;
        writeln!(f, "unexplained {}", self.unexplained())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_judged_by_medians_and_every_failure_counts() {
        let sample = |n: u64| Sample {
            at_s: n as f64,
            cores: 0.5,
            memory: 100 + if n == 59 { 900 } else { n / 30 * 3 },
        };
        let samples: Vec<Sample> = (0..60).map(sample).collect();
        let memory = [middle(&samples, 30), middle(&samples, 60)];
        assert_eq!(memory, [100, 103]);
        let mut soaked = Soaked {
            seconds: 60.0,
            cores: 0.5,
            per_s: 1.0,
            parts: BTreeMap::from([("calls", Part::default())]),
            disturbed: [0; 3],
            warm_s: WARM_S,
            refused: refused("keyline_limits_refused_total{limit=\"handshakes_waiting\"} 5\nother 7\n"),
            rounds: Vec::new(),
            memory,
            panics: 0,
            errors: Vec::new(),
            samples,
            command: String::new(),
            machine: String::new(),
        };
        assert!(!soaked.holds(), "3 % more");
        soaked.memory = [100, 101];
        assert!(soaked.holds());
        soaked.parts.insert(HANDSHAKES_PART, Part { failed: 5, ..Part::default() });
        assert!(soaked.holds(), "turned away by a limit: {:?}", soaked.refused);
        soaked.parts.insert(HANDSHAKES_PART, Part { failed: 6, ..Part::default() });
        assert_eq!(soaked.unexplained(), 1);
        soaked.parts.insert(HANDSHAKES_PART, Part::default());
        soaked.parts.insert("calls", Part { failed: 1, ..Part::default() });
        assert!(!soaked.holds() && soaked.to_string().contains("unexplained 1"));
    }
}
