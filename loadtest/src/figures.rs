//! The figures of the README: what one registration costs the server in time and memory.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::fleet::{Report, UdpFleet, UdpOptions};
use crate::inventory;
use crate::server::{Node, ServerError};

/// Timer J: how long the server keeps a finished transaction to absorb repetitions.
const TIMER_J: Duration = Duration::from_secs(32);
/// Clock ticks a second of the times in /proc, fixed in the kernel's interface.
const TICKS: f64 = 100.0;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum FiguresError {
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
    /// The node has no UDP listener.
    #[error("the node has no sip_udp listener; there is nothing to measure")]
    NoUdp,
    /// Not all devices registered: the figures would mean nothing.
    #[error("not every device registered; figures of failures mean nothing:\n{0}")]
    Unclean(Box<Report>),
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> FiguresError {
    move |source| FiguresError::Io { what, source }
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Phones.
    pub phones: u32,
    /// Rows of the inventory.
    pub rows: u64,
    /// Seconds of the offline import.
    pub import_s: f64,
    /// Server CPU of one registration: REGISTER, 401, REGISTER with digest, 200; microseconds.
    pub register_cpu_us: f64,
    /// Server CPU of one refresh under the nonce in use, microseconds.
    pub refresh_cpu_us: f64,
    /// 99th percentile of a registration's latency in milliseconds at the rate below.
    pub register_p99_ms: f64,
    /// The same of a refresh.
    pub refresh_p99_ms: f64,
    /// Registrations a second that were offered.
    pub rate: f64,
    /// Bytes that one registered phone adds to the process.
    pub bytes_per_phone: f64,
    /// Resident memory before the first registration, in bytes.
    pub resident_before: u64,
    /// Resident memory with all phones registered, in bytes.
    pub resident_after: u64,
    /// The command line.
    pub command: String,
    /// Processor, cores, kernel.
    pub machine: String,
}

/// Measures a program with that many phones at that rate. Takes about
/// `2 * phones / rate + 70` seconds and the import.
///
/// Memory is the difference between half of the phones and all of them, each after the transactions have
/// ended: the tables that any number of phones needs are not charged to the phones.
///
/// # Errors
/// [`FiguresError`].
pub async fn measure(binary: &Path, phones: u32, rate: f64) -> Result<Measured, FiguresError> {
    let folder = tempfile::tempdir().map_err(io("no temporary folder"))?;
    let any = || "127.0.0.1:0".to_owned();
    let node = Node::prepare(binary, &folder.path().join("keyline"), &[("sip_udp", any())], "")?;
    let file = folder.path().join("fleet.ndjson");
    let mut out = std::io::BufWriter::new(fs::File::create(&file).map_err(io("inventory"))?);
    let rows = inventory::write(&mut out, 1, phones).map_err(io("inventory"))?;
    std::io::Write::flush(&mut out).map_err(io("inventory"))?;
    eprintln!("importing {rows} rows");
    let import = node.import(&file).await?;
    let mut server = node.serve().await?;
    let target = server.address("sip_udp").ok_or(FiguresError::NoUdp)?;
    let run = run(server.pid().unwrap_or_default(), target, phones, rate);
    let (first, again, memory) = tokio::select! {
        measured = run => measured?,
        ended = server.ended() => return Err(ended.into()),
    };
    server.stop().await?;
    let p99 = |report: &Report| f64::from(*report.figures().latency_us.get("p99").unwrap_or(&0)) / 1000.0;
    let second_half = f64::from(phones - phones / 2).max(1.0);
    Ok(Measured {
        phones,
        rows,
        import_s: import.as_secs_f64(),
        register_cpu_us: first.cpu.as_secs_f64() * 1e6 / f64::from(phones.max(1)),
        refresh_cpu_us: again.cpu.as_secs_f64() * 1e6 / f64::from(phones.max(1)),
        register_p99_ms: p99(&first.report),
        refresh_p99_ms: p99(&again.report),
        rate,
        bytes_per_phone: (memory[2] as f64 - memory[1] as f64) / second_half,
        resident_before: memory[0],
        resident_after: memory[2],
        command: std::env::args().collect::<Vec<_>>().join(" "),
        machine: machine(),
    })
}

/// What a phase over all phones came to.
#[derive(Default)]
struct Phase {
    report: Report,
    cpu: Duration,
}

/// Registers one half, then the other, then refreshes all. Gives both phases, and resident memory before,
/// with half, and with all phones.
async fn run(
    pid: u32,
    target: SocketAddr,
    phones: u32,
    rate: f64,
) -> Result<(Phase, Phase, [u64; 3]), FiguresError> {
    let mut all = inventory::fleet(1, phones);
    let high = all.split_off(all.len() / 2);
    let options = UdpOptions::new(target);
    let (mut first, mut again, mut memory) = (Phase::default(), Phase::default(), vec![resident(pid)?]);
    let mut fleets = Vec::new();
    for half in [all, high] {
        let count = half.len();
        let mut fleet = UdpFleet::new(half, &options).map_err(io("sockets"))?;
        eprintln!("registering {count} phones at {rate}/s, then waiting for their transactions to end");
        let before = cpu_time(pid)?;
        let run = tokio::task::spawn_blocking(move || (fleet.register(rate), fleet)).await;
        let (report, fleet) = run.map_err(|e| io("generator")(e.into()))?;
        first.cpu += cpu_time(pid)?.saturating_sub(before);
        first.add(report)?;
        fleets.push(fleet);
        // A fixed time of the protocol, not a guess: nothing announces the end of a transaction.
        tokio::time::sleep(TIMER_J + Duration::from_secs(3)).await;
        memory.push(resident(pid)?);
    }
    eprintln!("refreshing all of them");
    for mut fleet in fleets {
        let before = cpu_time(pid)?;
        let run = tokio::task::spawn_blocking(move || fleet.refresh(rate)).await;
        again.cpu += cpu_time(pid)?.saturating_sub(before);
        again.add(run.map_err(|e| io("generator")(e.into()))?)?;
    }
    Ok((first, again, [memory[0], memory[1], memory[2]]))
}

impl Phase {
    fn add(&mut self, report: Report) -> Result<(), FiguresError> {
        if !report.is_clean() {
            return Err(FiguresError::Unclean(Box::new(report)));
        }
        self.report.add(report);
        Ok(())
    }
}

/// User and system time of a process so far.
fn cpu_time(pid: u32) -> Result<Duration, FiguresError> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(io("/proc"))?;
    Ok(Duration::from_secs_f64(ticks_of(&stat) as f64 / TICKS))
}

/// utime and stime of a stat line; the name in front of them may hold anything.
fn ticks_of(stat: &str) -> u64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Resident memory of a process in bytes.
fn resident(pid: u32) -> Result<u64, FiguresError> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(io("/proc"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|rest| rest.split_whitespace().next()).and_then(|kb| kb.parse::<u64>().ok());
    Ok(kb.unwrap_or(0) * 1024)
}

/// Processor, cores and kernel of this machine.
pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        writeln!(f, "command   {}", self.command)?;
        writeln!(f, "machine   {}; generator and server share it", self.machine)?;
        writeln!(f, "phones    {} over UDP, digest MD5, {}/s offered", self.phones, self.rate)?;
        writeln!(f)?;
        writeln!(f, "{:<58}{:>12}", "offline import, rows a second", format!("{:.0}", self.rows_per_s()))?;
        writeln!(f, "{:<58}{:>12}", "  rows", self.rows)?;
        writeln!(f, "{:<58}{:>12.2}", "  seconds", self.import_s)?;
        writeln!(f, "{:<58}{:>12.1}", "server CPU a registration with challenge, us", self.register_cpu_us)?;
        writeln!(f, "{:<58}{:>12.1}", "server CPU a refresh under a kept nonce, us", self.refresh_cpu_us)?;
        writeln!(f, "{:<58}{:>12.2}", "registration latency p99, ms", self.register_p99_ms)?;
        writeln!(f, "{:<58}{:>12.2}", "refresh latency p99, ms", self.refresh_p99_ms)?;
        writeln!(f, "{:<58}{:>12.0}", "bytes a registered phone (second half)", self.bytes_per_phone)?;
        writeln!(
            f,
            "{:<58}{:>12.1}",
            "resident, imported and none registered, MB",
            mb(self.resident_before)
        )?;
        write!(f, "{:<58}{:>12.1}", "resident, all registered, MB", mb(self.resident_after))
    }
}

impl Measured {
    /// Rows of the inventory imported in a second.
    pub fn rows_per_s(&self) -> f64 {
        if self.import_s > 0.0 { self.rows as f64 / self.import_s } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_any_process_name() {
        let stat = "42 (a) b ()) S 1 42 42 0 -1 4194560 100 0 0 0 17 5 0 0 20 0 1 0 1000 1 1";
        assert_eq!(ticks_of(stat), 22);
        assert_eq!(ticks_of("broken"), 0);
    }

    #[test]
    fn the_own_process_can_be_measured() {
        let pid = std::process::id();
        assert!(resident(pid).unwrap() > 1_000_000);
        cpu_time(pid).unwrap();
        assert!(machine().contains("Linux"));
    }
}
