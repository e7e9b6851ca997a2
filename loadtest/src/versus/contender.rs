//! The servers: how each is started, what its phones must know.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::runtime::Handle;

use super::Fault;
use crate::inventory;
use crate::load::users::User;
use crate::load::{Carrier, Process};
use crate::server::{Node, Server};
use crate::tls_bench::bare;

/// How long Kamailio may take to answer its first OPTIONS: its hash table of credentials is filled before.
const START_MAX: Duration = Duration::from_secs(60);
/// How long it may take to end.
const STOP_MAX: Duration = Duration::from_secs(10);
/// The one password of its first variant; it stands in its configuration too.
const ONE_PASSWORD: &str = "abcdefgh2345";
/// Its ports: below those that the system gives to clients, where one that was free may be taken meanwhile.
const PORTS: std::ops::Range<u16> = 25_060..32_000;
/// Kamailio's configuration.
const CONFIGURATION: &str = include_str!("../../peers/kamailio.cfg");
/// Limits of a source that a loopback network as a whole meets, raised as far as they go.
const LIMITS: &str = "\n[shards]\ncount = 1\n[limits]\nrequests_per_source = 1000000\noptions_per_source = 1000000\n\
                      transactions_per_worker = 16777216\ntransactions_per_source = 16777216\n\
                      unauthenticated_connections = 1000000\nunauthenticated_per_source = 1000000\n\
                      handshakes = 1000000\nhandshakes_per_source = 1000000\nconnections_per_source = 1000000\n";

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Contender {
    /// In memory, one password for all phones.
    Kamailio,
    /// In memory, HA1 of each phone in a hash table.
    KamailioTable,
    /// As shipped: credentials of each phone, every binding committed before its 200.
    Keyline,
}

impl Contender {
    /// As in tables.
    pub fn name(self) -> &'static str {
        match self {
            Contender::Kamailio => "kamailio",
            Contender::KamailioTable => "kamailio htable",
            Contender::Keyline => "keyline",
        }
    }
}

/// A server that runs on the first core.
pub(super) struct Running {
    pub address: SocketAddr,
    pub process: Process,
    /// What TLS clients must believe, PEM.
    pub roots: String,
    pub users: Vec<User>,
    end: End,
}

enum End {
    Node(Handle, Box<Server>),
    Child(Child),
}

/// Starts one in a folder.
///
/// # Errors
/// When it does not serve.
pub(super) fn start(
    who: Contender,
    keyline: &Path,
    folder: &Path,
    carrier: Carrier,
    phones: u32,
) -> Result<Running, Fault> {
    fs::create_dir_all(folder)?;
    let running = match who {
        Contender::Keyline => node(keyline, folder, carrier, phones)?,
        _ => kamailio(who == Contender::KamailioTable, folder, carrier, phones)?,
    };
    running.process.family().into_iter().try_for_each(|one| one.pin(0..1))?;
    Ok(running)
}

fn fleet(phones: u32, password: impl Fn(&str) -> Option<String>) -> Vec<User> {
    let one = |phone| {
        let user = User::from(phone);
        let password = password(&user.number).map_or_else(|| user.password.clone(), Into::into);
        User { password, ..user }
    };
    inventory::fleet(1, phones).into_iter().map(one).collect()
}

fn node(keyline: &Path, folder: &Path, carrier: Carrier, phones: u32) -> Result<Running, Fault> {
    let handle = Handle::current();
    let listener = match carrier {
        Carrier::Udp => "sip_udp",
        Carrier::Tcp => "sip_tcp",
        Carrier::Tls => "sip_tls",
    };
    let listeners = [(listener, "127.0.0.1:0".to_owned()), ("metrics", "127.0.0.1:0".to_owned())];
    let node = Node::prepare(keyline, folder, &listeners, LIMITS)?;
    let file = folder.join("fleet.ndjson");
    let mut out = BufWriter::new(File::create(&file)?);
    match carrier {
        Carrier::Tls => inventory::write_digest_tls(&mut out, 1, phones)?,
        _ => inventory::write(&mut out, 1, phones)?,
    };
    out.flush()?;
    handle.block_on(node.import(&file))?;
    let roots = handle.block_on(node.roots())?;
    let server = handle.block_on(node.serve())?;
    let address = server.address(listener).ok_or("the node lacks the listener")?;
    let process = Process::of(server.pid().unwrap_or_default())?;
    let users = fleet(phones, |_| None);
    Ok(Running { address, process, roots, users, end: End::Node(handle, Box::new(server)) })
}

fn is_free(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
}

fn kamailio(table: bool, folder: &Path, carrier: Carrier, phones: u32) -> Result<Running, Fault> {
    let config = folder.join("kamailio.cfg");
    fs::write(&config, CONFIGURATION)?;
    let mut ports = PORTS.filter(|port| is_free(*port));
    let (Some(plain), Some(secure)) = (ports.next(), ports.next()) else { return Err("no free port".into()) };
    let mut command = Command::new("kamailio");
    command.args(["-DD", "-E", "-m", "3072", "-M", "64", "-x", "tlsf", "-f"]).arg(&config);
    command.arg("-Y").arg(folder).arg("-w").arg(folder);
    let mut set = |name: &str, value: &str| {
        command.arg(format!("--substdef=!{name}!{value}!g"));
    };
    set("KL_HOST", "127.0.0.1");
    set("KL_PORT", &plain.to_string());
    if table {
        set("KL_FIRST", &inventory::nth(1, 0).dn);
        set("KL_PHONES", &phones.to_string());
    }
    let mut roots = String::new();
    if carrier == Carrier::Tls {
        roots = bare::prepare(folder, false, "")?;
        set("KL_TLS_PORT", &secure.to_string());
        let path = |name| folder.join(name).to_string_lossy().into_owned();
        // The separator of a substitution must not stand in it.
        set("KL_CERT", &path(bare::CERTIFICATE));
        set("KL_KEY", &path(bare::KEY));
    }
    let defines = [
        (table, "WITH_HTABLE"),
        (carrier == Carrier::Tcp, "WITH_TCP"),
        (carrier == Carrier::Tls, "WITH_TLS"),
    ];
    for (_, define) in defines.iter().filter(|(wanted, _)| *wanted) {
        command.args(["-A", define]);
    }
    let log = folder.join("kamailio.log");
    let file = File::create(&log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    // Debian keeps it where only root's PATH finds it.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
    let child =
        command.spawn().map_err(|e| format!("kamailio cannot be run: {e}; apt-get install kamailio"))?;
    let address =
        SocketAddr::from((Ipv4Addr::LOCALHOST, if carrier == Carrier::Tls { secure } else { plain }));
    let process = Process::of(child.id())?;
    let users =
        fleet(phones, |number| Some(if table { format!("pass{number}") } else { ONE_PASSWORD.into() }));
    let mut running = Running { address, process, roots, users, end: End::Child(child) };
    if !running.answers(plain)? {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let tail: Vec<&str> = said.lines().rev().take(5).collect();
        return Err(format!("kamailio does not serve: {}", tail.join(" | ")).into());
    }
    Ok(running)
}

impl Running {
    /// Whether it answers OPTIONS over UDP within the time for a start.
    fn answers(&mut self, port: u16) -> Result<bool, Fault> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let (own, start, mut buffer) = (socket.local_addr()?, Instant::now(), [0; 2_048]);
        let ask = format!(
            "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK-up;rport\r\nMax-Forwards: 70\r\n\
             From: <sip:up@127.0.0.1>;tag=up\r\nTo: <sip:127.0.0.1>\r\nCall-ID: up@{own}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        while start.elapsed() < START_MAX {
            if let End::Child(child) = &mut self.end
                && child.try_wait()?.is_some()
            {
                return Ok(false);
            }
            // Refused until it listens.
            let sent = socket.send(ask.as_bytes());
            if sent.is_ok() && socket.recv(&mut buffer).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Ends it; its processes are gone afterwards.
impl Drop for Running {
    fn drop(&mut self) {
        let family = self.process.family();
        let signal = |process: &Process, signal| {
            // It may have ended meanwhile.
            let _ = i32::try_from(process.pid()).map(|pid| kill(Pid::from_raw(pid), signal));
        };
        signal(&self.process, Signal::SIGTERM);
        let start = Instant::now();
        let over = |end: &mut End| match end {
            End::Node(handle, server) => {
                handle.block_on(async { tokio::time::timeout(STOP_MAX, server.ended()).await }).is_ok()
            }
            End::Child(child) => {
                while start.elapsed() < STOP_MAX {
                    if !matches!(child.try_wait(), Ok(None)) {
                        return true;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                false
            }
        };
        if !over(&mut self.end) {
            family.iter().for_each(|one| signal(one, Signal::SIGKILL));
            let _ = over(&mut self.end);
        }
    }
}
