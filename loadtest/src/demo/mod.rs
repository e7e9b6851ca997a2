//! The demo: a node, 20 phones that register over real sockets, calls between them, and why each call
//! is as secure as it is.

mod calls;

mod plan;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{Admin, AdminError};
use crate::phone::{Phone, PhoneError};
use crate::pki::{Authority, PkiError};
use crate::server::{Node, ServerError};

use self::calls::Standing;
use self::plan::{Member, PHONES};
use self::table::Table;

/// Listeners of the demo with their ports of the contract.
const LISTENERS: [(&str, u16); 5] =
    [("sip_udp", 5060), ("sip_tcp", 5060), ("sip_tls", 5061), ("admin", 8443), ("metrics", 9464)];
/// Registrations are renewed at least that often, in seconds.
const RENEW_MAX: u32 = 120;
/// How long hanging up may take at the end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the demo can not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A port is taken.
    #[error(
        "port {address} ({listener}) is in use by another process; stop that process (`ss -lptun \
         'sport = :{port}'` names it) and try again"
    )]
    Taken {
        /// Key of the listener.
        listener: &'static str,
        /// Address.
        address: SocketAddr,
        /// Port.
        port: u16,
    },
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The node.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The admin API.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A phone.
    #[error("phone {device} ({over}): {source}")]
    Phone {
        /// Device name.
        device: String,
        /// Transport.
        over: &'static str,
        /// What went wrong.
        source: Box<PhoneError>,
    },
    /// A call.
    #[error("call {what} ({from} to {to}): {source}")]
    Call {
        /// What it should show.
        what: &'static str,
        /// Caller's number.
        from: String,
        /// Called number.
        to: String,
        /// What went wrong.
        source: Box<PhoneError>,
    },
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> DemoError {
    let path = path.to_owned();
    move |source| DemoError::File { path, source }
}

/// Runs the demo until Ctrl-C or SIGTERM, or with `once` until the calls stand. Without `data` everything
/// is in a temporary folder that is removed at the end.
///
/// # Errors
/// [`DemoError`]: what failed first. The node is stopped in any case.
pub async fn run(keyline: &Path, data: Option<&Path>, once: bool) -> Result<(), DemoError> {
    free_ports()?;
    let temporary;
    let folder = match data {
        Some(folder) => folder.to_owned(),
        None => {
            temporary = tempfile::Builder::new().prefix("keyline-demo-").tempdir();
            let temporary = temporary.as_ref().map_err(|e| io::Error::new(e.kind(), e.to_string()));
            temporary.map_err(file_error(&std::env::temp_dir()))?.path().to_owned()
        }
    };
    fs::create_dir_all(&folder).map_err(file_error(&folder))?;
    let folder = folder.canonicalize().map_err(file_error(&folder))?;
    let authority = Authority::open(&folder.join("certificates"))?;
    let members = plan::members(&authority)?;

    let addresses = LISTENERS.map(|(listener, port)| (listener, format!("127.0.0.1:{port}")));
    let node = Node::prepare(keyline, &folder, &addresses, "")?;
    let inventory = folder.join("demo.ndjson");
    write_inventory(&inventory, &authority, &members)?;
    say("importing 20 phones and starting the node");
    node.import(&inventory).await?;
    let roots = node.roots().await;
    let mut server = node.serve().await?;
    let listen = server.listen.clone();

    let result = tokio::select! {
        result = show(&node, &listen, &members, &roots, once) => result,
        ended = server.ended() => Err(ended.into()),
    };
    let stopped = if server.pid().is_some() { server.stop().await } else { Ok(()) };
    result?;
    stopped?;
    say("the node stopped cleanly");
    Ok(())
}

/// Everything between the node's start and its end.
async fn show(
    node: &Node,
    listen: &BTreeMap<String, SocketAddr>,
    members: &[Member],
    roots: &Result<String, ServerError>,
    once: bool,
) -> Result<(), DemoError> {
    let roots = match roots {
        Ok(roots) => roots.as_str(),
        Err(fault) => {
            say(&format!("TLS phones are left out: {fault}"));
            ""
        }
    };
    let (phones, renew) = register(listen, members, roots).await?;
    let standing = calls::place(members, &phones).await?;
    let admin = match listen.get("admin") {
        Some(address) if !roots.is_empty() => Some(Admin::new(*address, &node.data(), roots)?),
        _ => None,
    };
    let verdicts = match &admin {
        Some(admin) => calls::verdicts(admin).await?,
        None => Vec::new(),
    };
    print(&tables(members, &phones, &standing, &verdicts));
    print(&pointers(node, listen, members));
    if !once {
        print("Phones keep registering and the calls stay up. Ctrl-C ends the demo.\n");
        keep(&phones, &standing, renew).await;
    }
    let farewell = async {
        for call in &standing {
            // The node may be going down already.
            let _ = call.call.hang_up().await;
        }
        for phone in phones.values() {
            let _ = phone.unregister().await;
        }
    };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        say("not every phone could hang up in time");
    }
    Ok(())
}

/// Registers every phone whose listener is there; gives them by place, and the shortest grant.
async fn register(
    listen: &BTreeMap<String, SocketAddr>,
    members: &[Member],
    roots: &str,
) -> Result<(BTreeMap<usize, Phone>, u32), DemoError> {
    let (mut phones, mut shortest) = (BTreeMap::new(), RENEW_MAX);
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, member) in members[..PHONES].iter().enumerate() {
        let listener = member.over.listener();
        let address = listen.get(listener).filter(|_| listener != "sip_tls" || !roots.is_empty());
        let Some(address) = address else {
            *left_out.entry(listener).or_default() += 1;
            continue;
        };
        let failed = |source| DemoError::Phone {
            device: member.device.clone(),
            over: listener,
            source: Box::new(source),
        };
        let phone = Phone::start(member.config(*address, roots)).await.map_err(failed)?;
        let granted = phone.register().await.map_err(failed)?;
        shortest = shortest.min(granted.expires);
        phones.insert(place, phone);
    }
    for (listener, count) in left_out {
        say(&format!("{count} phones are left out: the node has no listener {listener}"));
    }
    Ok((phones, shortest))
}

/// Renews registrations and calls until the demo is to end.
async fn keep(phones: &BTreeMap<usize, Phone>, standing: &[Standing], renew: u32) {
    let renewing = async {
        // Half of the grant, so that one lost renewal does no harm.
        let mut clock = tokio::time::interval(Duration::from_secs(u64::from(renew / 2).max(5)));
        clock.tick().await;
        loop {
            clock.tick().await;
            for phone in phones.values() {
                if let Err(fault) = renew_phone(phone).await {
                    say(&format!("{phone:?} could not renew its registration: {fault}"));
                }
            }
            for call in standing {
                call.refresh().await;
            }
        }
    };
    // Without a handler for SIGTERM there is still Ctrl-C.
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = renewing => {}
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

async fn renew_phone(phone: &Phone) -> Result<(), PhoneError> {
    if !phone.is_open() {
        phone.reconnect().await?;
    }
    phone.refresh().await.map(drop)
}

/// Fails when a port of the demo is taken, before anything is written.
fn free_ports() -> Result<(), DemoError> {
    for (listener, port) in LISTENERS {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let free = match listener {
            "sip_udp" => UdpSocket::bind(address).map(drop),
            _ => TcpListener::bind(address).map(drop),
        };
        if free.is_err_and(|e| e.kind() == io::ErrorKind::AddrInUse) {
            return Err(DemoError::Taken { listener, address, port });
        }
    }
    Ok(())
}

fn write_inventory(path: &Path, authority: &Authority, members: &[Member]) -> Result<(), DemoError> {
    let mut text = String::new();
    for row in plan::rows(authority, members) {
        // Writing to a String can not fail.
        let _ = writeln!(text, "{row}");
    }
    fs::write(path, text).map_err(file_error(path))
}

fn tables(
    members: &[Member],
    phones: &BTreeMap<usize, Phone>,
    standing: &[Standing],
    verdicts: &[calls::Verdict],
) -> String {
    let mut table = Table::new(&["phone", "number", "over", "model and profile", "suite"]);
    for (place, phone) in phones {
        let member = &members[*place];
        let suite =
            phone.tls().map_or_else(|| "-".to_owned(), |tls| format!("{} {}", tls.version, tls.suite));
        let over = phone.config().transport.token().to_owned();
        table.row(vec![member.device.clone(), member.dn.clone(), over, member.describe(), suite]);
    }
    let mut text = format!("\n{} phones are registered\n{table}", phones.len());
    let mut table = Table::new(&["call", "from", "to", "class", "display", "why"]);
    for call in standing {
        let verdict = verdicts.iter().find(|verdict| verdict.is_of(call));
        let display = call.call.security().unwrap_or_else(|| "-".to_owned());
        let (class, reasons) = match verdict {
            Some(verdict) => (verdict.class.clone(), verdict.reasons.clone()),
            None => ("-".to_owned(), Vec::new()),
        };
        let mut reasons = reasons.into_iter();
        let first = reasons.next().unwrap_or_else(|| "every criterion passes".to_owned());
        let why = if verdict.is_some() { first } else { "-".to_owned() };
        table.row(vec![call.what.to_owned(), call.from.clone(), call.to.clone(), class, display, why]);
        for more in reasons {
            let mut row = vec![String::new(); 5];
            row.push(more);
            table.row(row);
        }
    }
    // Writing to a String can not fail.
    let _ = writeln!(text, "\n{} calls are up\n{table}", standing.len());
    text
}

/// How a visitor joins, and where to look.
fn pointers(node: &Node, listen: &BTreeMap<String, SocketAddr>, members: &[Member]) -> String {
    let mut text = String::new();
    let address = |listener: &str| listen.get(listener).map(ToString::to_string);
    // Writing to a String can not fail.
    if let (Some(spare), Some(udp)) = (members.get(PHONES), address("sip_udp")) {
        let host = udp.split(':').next().unwrap_or_default();
        let _ = writeln!(
            text,
            "Join with a phone of your own (any SIP phone or softphone on this machine):\n\
             \x20 server    {udp} over UDP, domain {host}, digest realm ccmsipline\n\
             \x20 user      {} (number {}, authentication name {}), password {}\n\
             \x20 then call 1003, 1004, 1006 or 1020: they answer\n",
            spare.dn, spare.dn, spare.user, spare.password
        );
    }
    if let Some(admin) = address("admin") {
        let token = node.data().join("admin.token");
        let _ = writeln!(
            text,
            "Look at it:\n  admin API curl -k -H \"Authorization: Bearer $(cat {})\" https://{admin}/api/v1/calls",
            token.display()
        );
    }
    if let Some(metrics) = address("metrics") {
        let _ = writeln!(text, "  metrics   curl http://{metrics}/metrics");
    }
    let _ = writeln!(text, "  log       {}\n  config    {}", node.log().display(), node.config().display());
    text
}

fn say(text: &str) {
    eprintln!("demo: {text}");
}

#[allow(clippy::print_stdout, reason = "the demo's result")]
fn print(text: &str) {
    println!("{text}");
}
