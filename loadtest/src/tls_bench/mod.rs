//! What a TLS handshake costs a node, beside a server that does nothing but TLS ([`bare`]), in the same run and
//! from the same clients: CPU of the server's process, user and system, by `/proc`.

pub mod bare;

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use crate::figures::{self, FiguresError};
use crate::inventory;
use crate::load::users::User;
use crate::load::{
    Amount, Carrier, Certificates, Fleet, Job, Options, Process, Report, Target, TlsSetup, machine,
    own_addresses,
};
use crate::pki::Authority;
use crate::server::{Node, Server};
use crate::tls::{TlsOptions, Versions};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Phones that take turns.
const PHONES: u32 = 100;
/// Connections at a time.
const LINKS: u32 = 16;

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Handshakes of each kind.
    pub handshakes: u64,
    /// Phones for the memory of an idle connection; 0 leaves it out.
    pub idle: u32,
}

/// One kind of handshake on both servers.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// Key of the server's certificate.
    pub key: &'static str,
    /// The client shows a certificate.
    pub client: bool,
    /// It goes on from a ticket.
    pub resumed: bool,
    /// Server CPU of a connection with the bare server, microseconds.
    pub bare_us: f64,
    /// The same with the node.
    pub node_us: f64,
}

/// All of them.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Handshakes.
    pub rows: Vec<Row>,
    /// Bytes that a registered phone on an idle TLS connection adds to the node's process.
    pub idle_bytes: Option<f64>,
    /// Phones of that figure.
    pub idle_phones: u32,
    /// Processor, cores, kernel.
    pub machine: String,
}

/// A bare server. Dropping it kills it.
struct Bare {
    child: Child,
    address: SocketAddr,
    roots: String,
}

impl Bare {
    /// `program` is this one: its command `bare-tls` serves a folder.
    fn start(program: &Path, folder: &Path, rsa: bool, clients: &str) -> Result<Bare, Fault> {
        let roots = bare::prepare(folder, rsa, clients)?;
        let mut child = Command::new(program)
            .args(["bare-tls".as_ref(), folder.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let address = line.trim().parse().map_err(|_| format!("the bare server said `{}`", line.trim()));
        match address {
            Ok(address) => Ok(Bare { child, address, roots }),
            Err(e) => {
                let _ = child.kill();
                Err(e.into())
            }
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where handshakes go.
struct Aim {
    address: SocketAddr,
    process: Process,
    roots: String,
}

/// Measures a program.
///
/// # Errors
/// When a server cannot be run, or not all handshakes went well.
pub async fn measure(binary: &Path, plan: Plan) -> Result<Measured, Fault> {
    let folder = tempfile::tempdir()?;
    let own = std::env::current_exe()?;
    let mut rows = Vec::new();
    for rsa in [false, true] {
        let place = folder.path().join(if rsa { "rsa" } else { "ec" });
        let authority = Authority::open(&place.join("authority"))?;
        let (node, server) = start_node(binary, &place, rsa, &authority.pem).await?;
        let bare = Bare::start(&own, &place.join("bare"), rsa, &authority.pem)?;
        let aims = [
            Aim { address: bare.address, process: Process::of(bare.child.id())?, roots: bare.roots.clone() },
            Aim {
                address: server.address("sip_tls").ok_or("no sip_tls")?,
                process: Process::of(server.pid().unwrap_or_default())?,
                roots: node.roots().await?,
            },
        ];
        let certificates = place.join("authority");
        let more = tokio::task::spawn_blocking(move || all(&aims, rsa, &certificates, plan.handshakes));
        rows.extend(more.await??);
        server.stop().await?;
    }
    let mut idle_bytes = None;
    if plan.idle > 0 {
        let idle =
            figures::Plan { carrier: Carrier::Tls, phones: plan.idle.next_multiple_of(4), rate: 500.0 };
        let measured: Result<_, FiguresError> = figures::measure(binary, idle).await;
        idle_bytes = Some(measured?.bytes_per_phone);
    }
    Ok(Measured { rows, idle_bytes, idle_phones: plan.idle, machine: machine() })
}

async fn start_node(binary: &Path, place: &Path, rsa: bool, trusted: &str) -> Result<(Node, Server), Fault> {
    let any = || "127.0.0.1:0".to_owned();
    // One worker, as the bare server has.
    let more = "\n[shards]\ncount = 1\n";
    let node = Node::prepare(binary, &place.join("node"), &[("sip_tls", any()), ("metrics", any())], more)?;
    let file = place.join("fleet.ndjson");
    let mut out = fs::File::create(&file)?;
    inventory::write_encrypted(&mut out, 1, PHONES, trusted)?;
    let menu = if rsa { "all_rsa_preferred" } else { "all_ecdsa_preferred" };
    writeln!(out, "{{\"kind\":\"parameter\",\"name\":\"tls_ciphers\",\"value\":\"{menu}\"}}")?;
    node.import(&file).await?;
    let server = node.serve().await?;
    Ok((node, server))
}

fn all(aims: &[Aim; 2], rsa: bool, authority: &Path, handshakes: u64) -> Result<Vec<Row>, Fault> {
    let mut rows = Vec::new();
    for (version, name) in [(Versions::Tls12, "1.2"), (Versions::Tls13, "1.3")] {
        for client in [false, true] {
            for resumed in [false, true] {
                let mut us = [f64::MAX; 2];
                // In turn, and the better of two: what else the machine does must not count for one of them.
                for _ in 0..2 {
                    for (us, aim) in us.iter_mut().zip(aims) {
                        let one = Kind { version, client, resumed };
                        *us = us.min(measure_one(aim, one, authority, handshakes)?);
                    }
                }
                let key = if rsa { "RSA" } else { "ECDSA" };
                rows.push(Row { version: name, key, client, resumed, bare_us: us[0], node_us: us[1] });
                eprintln!("{}", rows[rows.len() - 1]);
            }
        }
    }
    Ok(rows)
}

#[derive(Clone, Copy)]
struct Kind {
    version: Versions,
    client: bool,
    resumed: bool,
}

/// Server CPU of a connection in microseconds.
fn measure_one(aim: &Aim, kind: Kind, authority: &Path, handshakes: u64) -> Result<f64, Fault> {
    let target = Target { carrier: Carrier::Tls, address: aim.address };
    let mut options = Options::new(target, own_addresses(aim.address, 30_000)?);
    let mut tls = TlsOptions::trusting(aim.roots.clone());
    tls.versions = kind.version;
    let certificates = match kind.client {
        false => Certificates::None,
        true => Certificates::Made(Box::new(Authority::open(authority)?)),
    };
    options.tls = Some(TlsSetup::new(tls, certificates, kind.resumed));
    let users: Vec<User> = inventory::fleet(1, PHONES).into_iter().map(User::from).collect();
    let mut fleet = Fleet::open(users, options)?;
    let job = Job::Handshake { links: LINKS };
    let run = |fleet: &mut Fleet, count| fleet.run(&job, Amount { count, rate: 0.0, ramp: Duration::ZERO });
    // Each phone twice: tickets are there, certificates are known, code is warm.
    run(&mut fleet, u64::from(2 * PHONES));
    let before = aim.process.cpu_of_threads()?;
    let tally = run(&mut fleet, handshakes);
    let spent = aim.process.cpu_of_threads()?.saturating_sub(before);
    let report = Report::new("handshake", target.to_string(), handshakes, 0.0, &tally);
    if report.failures() > 0 {
        return Err(format!("not all handshakes went well:\n{report}").into());
    }
    let expected = if kind.resumed { "resumed" } else { "full" };
    let seen = tally.outcomes.get(expected).copied().unwrap_or(0);
    if seen * 100 < handshakes * 95 {
        return Err(format!("{seen} of {handshakes} handshakes were {expected}").into());
    }
    Ok(spent.as_secs_f64() * 1e6 / handshakes as f64)
}

impl Row {
    /// The node's cost in parts of the bare server's.
    pub fn ratio(&self) -> f64 {
        self.node_us / self.bare_us.max(0.001)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = if self.client { "certificate" } else { "none" };
        let kind = if self.resumed { "resumed" } else { "full" };
        let Row { version, key, bare_us, node_us, .. } = self;
        write!(
            f,
            "TLS {version}  {key:<6} {client:<12} {kind:<8} {bare_us:>8.1} {node_us:>8.1} {:>6.2}",
            self.ratio()
        )
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "machine   {}; clients and servers share it", self.machine)?;
        writeln!(f, "server CPU of a connection (accept, handshake, keepalive, close), us")?;
        writeln!(f, "         server client       kind         bare     node  ratio")?;
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        if let Some(bytes) = self.idle_bytes {
            writeln!(f, "bytes of a registered, idle TLS phone ({} phones): {bytes:.0}", self.idle_phones)?;
        }
        Ok(())
    }
}
