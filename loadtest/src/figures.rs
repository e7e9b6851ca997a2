//! The figures of the README: a whole node under a registered fleet, what it costs in time and memory, and
//! the proof that the phones are served.

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::inventory;
use crate::load::users::User;
use crate::load::{
    Amount, CallPlan, Carrier, Certificates, Fleet, Job, Options, Process, Report, Span, Tally, Target,
    TlsSetup, machine, own_addresses,
};
use crate::pki::{Authority, PkiError};
use crate::server::{Node, ServerError};
use crate::tls::TlsOptions;

/// Timer J: how long the server keeps a finished transaction to absorb repetitions over UDP.
const TIMER_J: Duration = Duration::from_secs(32);
/// Calls among registered phones, spread over all of them.
const CALLS: u64 = 1_000;
const CALLS_PER_S: f64 = 100.0;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Datagrams with digest, or TLS with a client certificate each.
    pub carrier: Carrier,
    /// Phones.
    pub phones: u32,
    /// Registrations a second.
    pub rate: f64,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum FiguresError {
    /// The node.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
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
    /// Not all went well: the figures would mean nothing.
    #[error("not everything went well; figures of failures mean nothing:\n{0}")]
    Unclean(Box<Report>),
    /// The node's own count is another one.
    #[error("{answered} phones got their 200, and the node counts {counted} registered devices")]
    Miscounted {
        /// Phones that were answered.
        answered: u64,
        /// `keyline_phone_registered_devices`.
        counted: u64,
    },
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> FiguresError {
    move |source| FiguresError::Io { what, source }
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// `UDP`, `TCP` or `TLS`.
    pub transport: &'static str,
    /// Phones.
    pub phones: u32,
    /// Devices that the node itself counts as registered.
    pub registered: u64,
    /// Connections that stand at the end.
    pub connections: u64,
    /// Calls between registered phones that were answered and hung up.
    pub calls: u64,
    /// Rows of the inventory.
    pub rows: u64,
    /// Seconds of the offline import.
    pub import_s: f64,
    /// Server CPU of one registration, from nothing: over TLS the handshake is part of it; microseconds.
    pub register_cpu_us: f64,
    /// Server CPU of one refresh, microseconds.
    pub refresh_cpu_us: f64,
    /// Generator CPU of one message, microseconds.
    pub generator_cpu_us: f64,
    /// 99th percentile of a registration's latency in milliseconds at the rate below.
    pub register_p99_ms: f64,
    /// The same of a refresh.
    pub refresh_p99_ms: f64,
    /// The same of a call, from the INVITE to its answer.
    pub call_p99_ms: f64,
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

/// Measures a program. Takes about `2 * phones / rate` seconds, over UDP 70 more, and the import.
///
/// Memory is the difference between half of the phones and all of them, each after the transactions have
/// ended: the tables that any number of phones needs are not charged to the phones.
///
/// # Errors
/// [`FiguresError`].
pub async fn measure(binary: &Path, plan: Plan) -> Result<Measured, FiguresError> {
    let folder = tempfile::tempdir().map_err(io("no temporary folder"))?;
    let listener = if plan.carrier == Carrier::Tls { "sip_tls" } else { "sip_udp" };
    let any = || "127.0.0.1:0".to_owned();
    let listeners = [(listener, any()), ("metrics", any())];
    let node = Node::prepare(binary, &folder.path().join("keyline"), &listeners, "")?;
    let authority = Authority::open(&folder.path().join("authority"))?;
    let file = folder.path().join("fleet.ndjson");
    let mut out = std::io::BufWriter::new(fs::File::create(&file).map_err(io("inventory"))?);
    let rows = match plan.carrier {
        Carrier::Tls => inventory::write_encrypted(&mut out, 1, plan.phones, &authority.pem),
        _ => inventory::write(&mut out, 1, plan.phones),
    };
    let rows = rows.map_err(io("inventory"))?;
    out.flush().map_err(io("inventory"))?;
    eprintln!("importing {rows} rows");
    let import = node.import(&file).await?;
    let roots = node.roots().await?;
    let mut server = node.serve().await?;
    let address = |name| server.address(name).ok_or(FiguresError::NoListener(name));
    let (address, metrics) = (address(listener)?, address("metrics")?);
    let process = Process::of(server.pid().unwrap_or_default()).map_err(io("/proc"))?;
    let target = Target { carrier: plan.carrier, address };
    let connections = if plan.carrier == Carrier::Udp { 0 } else { plan.phones as usize };
    let addresses = own_addresses(address, connections).map_err(io("own address"))?;
    let options = move || {
        let mut options = Options::new(target, addresses.clone());
        options.progress = true;
        options
    };
    let half = plan.phones / 2;
    let mut users: Vec<User> = inventory::fleet(1, plan.phones).into_iter().map(User::from).collect();
    let high = users.split_off(half as usize);
    let mut made = Some(authority);
    let mut fleets = Vec::new();
    for users in [users, high] {
        let mut options = options();
        if plan.carrier == Carrier::Tls {
            // The second fleet opens the same authority again: same folder, same key.
            let authority = match made.take() {
                Some(authority) => authority,
                None => Authority::open(&folder.path().join("authority"))?,
            };
            let certificates = Certificates::Made(Box::new(authority));
            options.tls = Some(TlsSetup::new(TlsOptions::trusting(roots.clone()), certificates, false));
        }
        fleets.push(Fleet::open(users, options).map_err(io("sockets"))?);
    }
    let run = tokio::task::spawn_blocking(move || Bench { plan, target, process, metrics, fleets }.run());
    let seen = tokio::select! {
        done = run => done.map_err(|e| io("generator")(e.into()))??,
        ended = server.ended() => return Err(ended.into()),
    };
    server.stop().await?;
    Ok(seen.measured(plan, rows, import))
}

/// A running node and the two halves of its phones.
struct Bench {
    plan: Plan,
    target: Target,
    process: Process,
    metrics: SocketAddr,
    fleets: Vec<Fleet>,
}

/// What came of it.
struct Seen {
    first: Phase,
    again: Phase,
    calls: Phase,
    /// Resident memory before, with half and with all phones.
    memory: [u64; 3],
    registered: u64,
    connections: u64,
}

/// What a phase over all phones came to.
#[derive(Default)]
struct Phase {
    tally: Tally,
    cpu: Duration,
}

impl Bench {
    fn run(mut self) -> Result<Seen, FiguresError> {
        let Plan { carrier, phones, rate } = self.plan;
        let (mut first, mut again, mut calls) = (Phase::default(), Phase::default(), Phase::default());
        let mut memory = [self.resident()?, 0, 0];
        for half in 0..2 {
            let count = self.fleets[half].len() as u64;
            eprintln!("registering {count} phones at {rate}/s");
            self.phase(half, "register", &Job::Register, (count, rate), &mut first)?;
            // A fixed time of the protocol, not a guess: nothing announces the end of a transaction.
            let settle = if carrier == Carrier::Udp {
                TIMER_J + Duration::from_secs(3)
            } else {
                Duration::from_secs(2)
            };
            self.fleets[half].attend(settle);
            memory[half + 1] = self.resident()?;
        }
        let connections = self.fleets.iter().map(Fleet::connected).sum();
        let registered = self.registered()?;
        if registered != u64::from(phones) {
            return Err(FiguresError::Miscounted { answered: u64::from(phones), counted: registered });
        }
        eprintln!("refreshing all of them");
        for half in 0..2 {
            let count = self.fleets[half].len() as u64;
            self.phase(half, "refresh", &Job::Refresh, (count, rate), &mut again)?;
        }
        eprintln!("calling among them");
        let (hold, ring) = (Duration::from_millis(200), Duration::ZERO);
        let plan = CallPlan { hold, ring, busy: 0, cancel: 0, b2bua: true };
        for half in 0..2 {
            let count = (CALLS / 2).min(self.fleets[half].len() as u64 / 2);
            self.phase(half, "call", &Job::Call(plan), (count, CALLS_PER_S), &mut calls)?;
        }
        Ok(Seen { first, again, calls, memory, registered, connections })
    }

    fn phase(
        &mut self,
        half: usize,
        name: &'static str,
        job: &Job,
        (count, rate): (u64, f64),
        phase: &mut Phase,
    ) -> Result<(), FiguresError> {
        let before = self.process.cpu().map_err(io("/proc"))?;
        let tally = self.fleets[half].run(job, Amount { count, rate, ramp: Duration::ZERO });
        phase.cpu += self.process.cpu().map_err(io("/proc"))?.saturating_sub(before);
        let report = Report::new(name, self.target.to_string(), count, rate, &tally);
        if report.failures() > 0 {
            return Err(FiguresError::Unclean(Box::new(report)));
        }
        phase.tally.add(tally);
        Ok(())
    }

    fn resident(&self) -> Result<u64, FiguresError> {
        self.process.resident().map_err(io("/proc"))
    }

    /// Devices with a binding, as the node's metrics say.
    fn registered(&self) -> Result<u64, FiguresError> {
        let text = metrics_of(self.metrics).map_err(io("metrics"))?;
        Ok(sample(&text, "keyline_phone_registered_devices").unwrap_or(0))
    }
}

/// All metrics of a node in their text form.
pub(crate) fn metrics_of(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// The value of a metric without labels.
fn sample(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse::<f64>().ok().map(|value| value as u64)
}

impl Seen {
    fn measured(self, plan: Plan, rows: u64, import: Duration) -> Measured {
        let Seen { first, again, calls, memory, registered, connections } = self;
        let Plan { carrier, phones, rate } = plan;
        let p99 = |phase: &Phase| {
            phase
                .tally
                .span(Span::Operation)
                .map_or(0.0, |times| times.value_at_quantile(0.99) as f64 / 1_000.0)
        };
        let each = |phase: &Phase| phase.cpu.as_secs_f64() * 1e6 / f64::from(phones.max(1));
        let messages = first.tally.sent + first.tally.received + again.tally.sent + again.tally.received;
        let second_half = f64::from(phones - phones / 2).max(1.0);
        Measured {
            transport: carrier.via(),
            phones,
            registered,
            connections,
            calls: calls.tally.good,
            rows,
            import_s: import.as_secs_f64(),
            register_cpu_us: each(&first),
            refresh_cpu_us: each(&again),
            generator_cpu_us: (first.tally.cpu_us + again.tally.cpu_us) as f64 / messages.max(1) as f64,
            register_p99_ms: p99(&first),
            refresh_p99_ms: p99(&again),
            call_p99_ms: p99(&calls),
            rate,
            bytes_per_phone: (memory[2] as f64 - memory[1] as f64) / second_half,
            resident_before: memory[0],
            resident_after: memory[2],
            command: std::env::args().collect::<Vec<_>>().join(" "),
            machine: machine(),
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        let ms = |time: f64| format!("{time:.2}");
        let us = |time: f64| format!("{time:.1}");
        let proof = if self.transport == "TLS" { "client certificates" } else { "digest MD5" };
        writeln!(f, "command   {}", self.command)?;
        writeln!(f, "machine   {}; generator and server share it", self.machine)?;
        writeln!(f, "phones    {} over {}, {proof}, {}/s offered", self.phones, self.transport, self.rate)?;
        writeln!(f)?;
        let rows = [
            ("devices that the node counts as registered", self.registered.to_string()),
            ("connections that stand", self.connections.to_string()),
            ("calls among them, answered and hung up", self.calls.to_string()),
            ("offline import, rows a second", format!("{:.0}", self.rows_per_s())),
            ("  rows", self.rows.to_string()),
            ("  seconds", ms(self.import_s)),
            ("server CPU a registration from nothing, us", us(self.register_cpu_us)),
            ("server CPU a refresh, us", us(self.refresh_cpu_us)),
            ("generator CPU a message, us", us(self.generator_cpu_us)),
            ("registration latency p99, ms", ms(self.register_p99_ms)),
            ("refresh latency p99, ms", ms(self.refresh_p99_ms)),
            ("call, INVITE to answer, p99, ms", ms(self.call_p99_ms)),
            ("bytes a registered phone (second half)", format!("{:.0}", self.bytes_per_phone)),
            ("resident, imported and none registered, MB", mb(self.resident_before)),
            ("resident, all registered, MB", mb(self.resident_after)),
        ];
        for (name, value) in rows {
            writeln!(f, "{name:<58}{value:>12}")?;
        }
        Ok(())
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
    fn a_metric_is_read_by_its_whole_name() {
        let text = "# TYPE keyline_x gauge\nkeyline_x_total 9\nkeyline_x 7\n";
        assert_eq!((sample(text, "keyline_x"), sample(text, "keyline_y")), (Some(7), None));
    }
}
