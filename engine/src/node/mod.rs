//! A running node: opens the store, starts the tree, binds the listeners, serves until it is told to stop.

mod api;
mod drain;
mod reload;
mod service;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyline_actors::OpenError;
use keyline_actors::outlet::Outlet;
use keyline_actors::system::TreeOptions;
use keyline_domain::admit::ServedHosts;
use prometheus::Registry;
use socket2::Socket;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;

use self::drain::{Signals, Told, drain};
use crate::admin::{self, AdminToken, ApiSetup, Setup, StartError, TokenError};
use crate::admission::Admission;
use crate::config::{Config, Listener};
use crate::edge::bind::{BindError, Kind, bind};
use crate::edge::stream::{Ends, accept, serve};
use crate::edge::udp;
use crate::flow::{ConnectionFacts, ConnectionLimits};
use crate::metrics::{EngineMetrics, storage};
use crate::offline::{self, OfflineError, PemInspector};
use crate::pki::authority::{self, AuthorityError};
use crate::signaling::{INBOX, Inboxes, Shared, ToWorker, Worker, WorkerLimits};
use crate::tls::acceptor::TlsContext;
use crate::tls::policy::{self, PolicyError};

/// Why a node does not run, one line.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The store or its first initialisation.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// The tree.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A socket could not be handed to the runtime.
    #[error("cannot use a bound socket: {0}")]
    Socket(std::io::Error),
    /// The node's own certificates.
    #[error(transparent)]
    Certificates(#[from] AuthorityError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] PolicyError),
    /// The admin token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The admin servers.
    #[error(transparent)]
    Admin(#[from] StartError),
    /// Metrics were registered twice.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// No randomness.
    #[error("the system gave no random bytes: {0}")]
    Random(String),
    /// Signals cannot be taken.
    #[error("cannot wait for signals: {0}")]
    Signal(std::io::Error),
}

/// Runs a node until SIGINT or SIGTERM.
///
/// # Errors
/// [`NodeError`], when it could not start.
pub fn run(config: &Config) -> Result<(), NodeError> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    actix::System::new().block_on(serve_node(config))
}

/// Sockets of one worker, bound on the main thread and made live on the worker's.
struct WorkerSockets {
    udp: Option<(SocketAddr, Socket)>,
    tcp: Option<(SocketAddr, Socket)>,
    tls: Option<(SocketAddr, Socket)>,
}

/// One socket a worker on a listener's address.
fn bind_all(
    config: &Config,
    listener: Listener,
    kind: Kind,
    n: usize,
) -> Result<Vec<Option<(SocketAddr, Socket)>>, BindError> {
    match config.listen.get(listener) {
        None => Ok((0..n).map(|_| None).collect()),
        Some(address) => {
            let (bound, sockets) = bind(listener.key(), kind, address, n)?;
            Ok(sockets.into_iter().map(|s| Some((bound, s))).collect())
        }
    }
}

async fn serve_node(config: &Config) -> Result<(), NodeError> {
    let began = Instant::now();
    let workers = usize::from(config.shards);
    let store = offline::open(config)?;
    let registry = Registry::new();
    let metrics = EngineMetrics::new(&registry)?;
    let loaded = store.opened.load()?;
    let identity = authority::ensure(&loaded.keyring(), &config.node.name, &offline::hosts(config))?;
    let certificates = authority::certificates(&loaded.keyring())?;

    let udp = bind_all(config, Listener::SipUdp, Kind::Udp, workers)?;
    let tcp = bind_all(config, Listener::SipTcp, Kind::Tcp, workers)?;
    let tls = bind_all(config, Listener::SipTls, Kind::Tcp, workers)?;
    let bound: Vec<(Listener, SocketAddr)> =
        [(Listener::SipUdp, &udp), (Listener::SipTcp, &tcp), (Listener::SipTls, &tls)]
            .into_iter()
            .filter_map(|(l, s)| Some((l, s.first()?.as_ref()?.0)))
            .collect();

    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel::<ToWorker>(INBOX)).unzip();
    let outlet = Arc::new(Inboxes::new(senders, metrics.clone()));
    let tree = TreeOptions {
        shards: config.shards,
        queue: usize::try_from(config.limits.queue_per_shard).unwrap_or(usize::MAX),
        calls_per_shard: usize::try_from(config.limits.calls_per_shard).unwrap_or(usize::MAX),
        allow_unproven_move: config.limits.allow_unproven_move == 1,
        nonce_key_s: config.limits.nonce_key_s,
    };
    let handle =
        loaded.start(tree, Arc::clone(&outlet) as Arc<dyn Outlet>, Arc::new(PemInspector), &registry)?;
    let counters = handle.clone();
    storage::register(&registry, move || counters.storage_counters())?;
    let tls_context =
        TlsContext::new(Arc::clone(&handle.boards), identity.clone(), config.limits.handshake_s)?;
    let shared = Arc::new(Shared::new(
        handle.clone(),
        outlet,
        Admission::new(
            handle.boards.devices.len(),
            served_hosts(config, &bound),
            config.limits.allow_unproven_move == 1,
            config.limits.options_per_source,
            secret()?,
        ),
        metrics,
        config.node.domain.clone(),
    ));
    let limits = worker_limits(config, workers);
    let sockets = udp.into_iter().zip(tcp).zip(tls).map(|((udp, tcp), tls)| WorkerSockets { udp, tcp, tls });
    for (i, (sockets, inbox)) in sockets.zip(inboxes).enumerate() {
        let (shared, context) = (Arc::clone(&shared), tls_context.clone());
        handle.arbiters()[i].spawn_fn(move || {
            if let Err(error) = start_worker(i as u16, shared, limits, sockets, inbox, context) {
                tracing::error!(worker = i, %error, "a worker did not start");
            }
        });
    }

    let node = Arc::new(api::RunningNode::new(handle.clone(), registry, certificates, config, began));
    let setup = Setup {
        metrics: config.listen.get(Listener::Metrics),
        api: match config.listen.get(Listener::Admin) {
            Some(address) => Some(ApiSetup {
                address,
                tls: policy::admin_server(&identity)?,
                token: AdminToken::read(&config.node.data_dir)?,
            }),
            None => None,
        },
        control: Some(config.node.data_dir.clone()),
    };
    let admin = admin::start(Arc::clone(&node) as Arc<dyn admin::NodeApi>, setup)?;
    let mut signals = Signals::take().map_err(NodeError::Signal)?;
    node.set_ready(true);
    print_ready(&bound, &admin);
    service::ready();
    let watchdog = actix::spawn(service::watchdog(handle.clone()));
    let mut config = config.clone();
    while signals.next().await == Told::Reload {
        service::reloading();
        take_over(&mut config, &shared, &bound, workers);
        service::ready();
    }
    service::stopping();
    node.set_ready(false);
    let patience = Duration::from_secs(config.node.drain_s);
    drain(&mut signals, &shared, &handle, patience, config.node.calls_at_stop).await;
    watchdog.abort();
    admin.stop();
    handle.close();
    Ok(())
}

/// Reads the configuration again and puts into force what may change.
fn take_over(config: &mut Config, shared: &Shared, bound: &[(Listener, SocketAddr)], workers: usize) {
    let new = match reload::read(config) {
        Ok(new) => new,
        Err(error) => {
            tracing::error!(%error, "the configuration is wrong and was not taken over");
            return shared.metrics.reloaded("refused");
        }
    };
    for warning in &new.warnings {
        tracing::warn!("{warning}");
    }
    let (live, later) = reload::merge(config, new);
    shared.admission.hosts.store(Arc::new(served_hosts(config, bound)));
    shared.admission.options.set(config.limits.options_per_source);
    let limits = worker_limits(config, workers);
    for worker in 0..workers {
        shared.inboxes.send(u16::try_from(worker).unwrap_or(u16::MAX), ToWorker::Limits(limits));
    }
    if !later.is_empty() {
        tracing::warn!(keys = later.join(", "), "these changes act at the next start only");
    }
    tracing::info!(keys = live.join(", "), "the configuration was read again");
    shared.metrics.reloaded("done");
}

/// Runs on the worker's own thread.
fn start_worker(
    id: u16,
    shared: Arc<Shared>,
    limits: WorkerLimits,
    sockets: WorkerSockets,
    inbox: mpsc::Receiver<ToWorker>,
    tls: Arc<TlsContext>,
) -> std::io::Result<()> {
    let worker = Rc::new(Worker::new(id, shared, limits));
    if let Some((local, socket)) = sockets.udp {
        let socket = Rc::new(UdpSocket::from_std(socket.into())?);
        worker.add_socket(local, Rc::clone(&socket));
        actix::spawn(udp::run(socket, local, Rc::clone(&worker)));
    }
    if let Some((local, socket)) = sockets.tcp {
        let listener = Arc::new(TcpListener::from_std(socket.into())?);
        let worker = Rc::clone(&worker);
        actix::spawn(accept(listener, accept_error, move |(stream, remote)| {
            let facts = Arc::new(ConnectionFacts::tcp());
            let local = stream.local_addr().unwrap_or(local);
            actix::spawn(serve(stream, Ends { local, remote }, facts, Rc::clone(&worker)));
        }));
    }
    if let Some((local, socket)) = sockets.tls {
        let listener = Arc::new(TcpListener::from_std(socket.into())?);
        let worker = Rc::clone(&worker);
        // Handshakes under way are no connections yet, so they have a bound of their own.
        let under_way = Rc::new(());
        actix::spawn(accept(listener, accept_error, move |(stream, remote)| {
            if Rc::strong_count(&under_way) > limits.connections.unauthenticated {
                worker.shared.metrics.connection_refused();
                return;
            }
            let (tls, worker, ticket) = (Arc::clone(&tls), Rc::clone(&worker), Rc::clone(&under_way));
            let local = stream.local_addr().unwrap_or(local);
            actix::spawn(async move {
                let result = tls.handshake(stream).await;
                drop(ticket);
                match result {
                    Ok((stream, facts)) => {
                        if let Some(version) = stream.get_ref().1.protocol_version() {
                            worker.shared.metrics.tls_version(match version {
                                rustls::ProtocolVersion::TLSv1_3 => "1.3",
                                rustls::ProtocolVersion::TLSv1_2 => "1.2",
                                _ => "other",
                            });
                        }
                        worker.shared.metrics.handshake("ok");
                        serve(stream, Ends { local, remote }, Arc::new(facts), worker).await;
                    }
                    Err(refused) => {
                        worker.shared.metrics.handshake(refused.as_str());
                        tracing::info!(peer = %remote, reason = refused.as_str(), "TLS handshake refused: {refused}");
                    }
                }
            });
        }));
    }
    actix::spawn(worker.run(inbox));
    Ok(())
}

fn accept_error(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
}

fn worker_limits(config: &Config, workers: usize) -> WorkerLimits {
    let l = &config.limits;
    let share = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).div_ceil(workers.max(1));
    WorkerLimits {
        transactions: usize::try_from(l.transactions_per_worker).unwrap_or(usize::MAX),
        connections: ConnectionLimits {
            connections: share(l.connections),
            per_source: share(l.connections_per_source),
            unauthenticated: share(l.unauthenticated_connections),
            write_queue_bytes: usize::try_from(l.write_queue_bytes).unwrap_or(usize::MAX),
            message_ms: l.message_s * 1000,
            unauthenticated_idle_ms: l.unauthenticated_idle_s * 1000,
        },
    }
}

/// Hosts that are ours: domain, aliases, bound addresses (design §6).
fn served_hosts(config: &Config, bound: &[(Listener, SocketAddr)]) -> ServedHosts {
    let addresses: Vec<String> = bound.iter().map(|(_, a)| a.ip().to_string()).collect();
    ServedHosts::new(
        std::iter::once(config.node.domain.as_str())
            .chain(config.node.aliases.iter().map(String::as_str))
            .chain(addresses.iter().map(String::as_str)),
    )
}

fn secret() -> Result<u64, NodeError> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(|e| NodeError::Random(e.to_string()))?;
    Ok(u64::from_be_bytes(bytes))
}

/// The one JSON line on stdout that tells supervisors and tests that the node serves, and where.
fn print_ready(bound: &[(Listener, SocketAddr)], admin: &admin::Running) {
    use std::io::Write;
    let mut listen = serde_json::Map::new();
    for (l, a) in bound {
        listen.insert(l.key().to_owned(), a.to_string().into());
    }
    if let Some(a) = admin.api {
        listen.insert(Listener::Admin.key().to_owned(), a.to_string().into());
    }
    if let Some(a) = admin.metrics {
        listen.insert(Listener::Metrics.key().to_owned(), a.to_string().into());
    }
    let line = serde_json::json!({ "event": "ready", "listen": listen });
    let mut out = std::io::stdout().lock();
    // A closed stdout is no reason to stop serving.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
