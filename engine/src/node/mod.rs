//! A running node: opens the store, starts the tree, binds the listeners, serves until it is told to stop.

mod api;
mod crl;
mod drain;
mod edge;
mod entrance;
mod oauth;
pub(crate) mod own;
mod reload;
mod rollouts;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use keyline_actors::OpenError;
use keyline_actors::outlet::Outlet;
use keyline_actors::system::TreeOptions;
use keyline_domain::admit::ServedHosts;
use prometheus::Registry;
use tokio::sync::mpsc;

use self::drain::{Signals, Told, drain};
use crate::admin::{self, AdminToken, ApiSetup, Setup, StartError, TokenError};
use crate::admission::Admission;
use crate::config::{Config, Listener};
use crate::edge::bind::BindError;
use crate::edge::websocket;
use crate::flow::{ConnectionLimits, Seats};
use crate::limits::size;
use crate::metrics::{self, EngineMetrics, certificates, storage};
use crate::oauth::metrics::OauthMetrics;
use crate::oauth::{Oauth, source};
use crate::offline::{self, OfflineError, PemInspector};
use crate::pki::authority::AuthorityError;
use crate::signaling::{INBOX, Inboxes, Shared, ToWorker, WorkerLimits};
use crate::tls::acceptor::{Deadlines, TlsContext};
use crate::tls::policy::{self, PolicyError};
use crate::tls::source::{PolicySource, TokenPort};
use crate::tls::verify::known::Known;
use crate::trace::Tap;
use crate::trunk::{self, Origin, Trunks};

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
    /// Supervision gave up: whoever runs the node starts it anew.
    #[error("{0}; the node ends so that it can be started anew")]
    GivenUp(String),
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

async fn serve_node(config: &Config) -> Result<(), NodeError> {
    let began = Instant::now();
    let workers = usize::from(config.shards);
    let store = offline::open(config)?;
    let registry = Registry::new();
    let metrics = EngineMetrics::new(&registry)?;
    let loaded = store.opened.load()?;

    let (bound, sockets) = edge::bind_all(config, workers)?;

    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel::<ToWorker>(INBOX)).unzip();
    let outlet = Arc::new(Inboxes::new(senders, metrics.clone()));
    let tree = TreeOptions {
        shards: config.shards,
        queue: size(config.limits.queue_per_shard),
        phone_idle_ms: config.limits.phone_idle_s.saturating_mul(1000),
        calls_per_shard: size(config.limits.calls_per_shard),
        allow_unproven_move: config.limits.allow_unproven_move == 1,
        subscriptions_per_phone: usize::try_from(config.limits.subscriptions_per_phone).unwrap_or(usize::MAX),
        nonce_key_s: config.limits.nonce_key_s,
        oauth_key_s: config.oauth.key_s,
        ticket_key_s: config.limits.ticket_key_s,
    };
    let handle =
        loaded.start(tree, Arc::clone(&outlet) as Arc<dyn Outlet>, Arc::new(PemInspector), &registry)?;
    let counters = handle.clone();
    storage::register(&registry, move || counters.storage_counters())?;
    let tls_context = TlsContext::new(Arc::clone(&handle.boards), &config.limits, config.tls.legacy)?;
    metrics::tls::register(&registry, Arc::clone(tls_context.known()))?;
    let boards = Arc::clone(&handle.boards);
    certificates::register(&registry, move || boards.settings.own())?;
    let token_tls = TlsContext::with_source(
        TokenPort::beside(Arc::clone(&handle.boards) as Arc<dyn PolicySource>),
        Deadlines::of(&config.limits),
        Known::new(1),
        false,
    )?;
    let oauth = Arc::new(Oauth::new(
        &config.oauth,
        &handle.boards.keys,
        size(config.limits.oauth_tokens),
        OauthMetrics::new(&registry)?,
    ));
    source::start(&oauth).await;
    let traces = usize::try_from(config.limits.traces).unwrap_or(1);
    let tap = Arc::new(Tap::new(workers, traces, &registry)?);
    let shared = Arc::new(Shared::new(
        handle.clone(),
        outlet,
        Admission::new(
            handle.boards.devices.len(),
            served_hosts(config, &bound),
            &config.limits,
            Arc::clone(&oauth),
            secret()?,
        ),
        metrics,
        config.node.domain.clone(),
        usize::try_from(config.limits.subscriptions).unwrap_or(usize::MAX),
        Arc::clone(&tap),
    ));
    let limits = worker_limits(config);
    let seats = Seats::new(edge::seat_limits(&config.limits));
    let with = edge::Handshakes {
        tls: Arc::clone(&tls_context),
        oauth: token_tls,
        websocket: Arc::new(websocket_policy(config)),
        waiting: size(config.limits.handshakes_waiting),
    };
    for (i, (sockets, inbox)) in sockets.into_iter().zip(inboxes).enumerate() {
        let (shared, with, seats) = (Arc::clone(&shared), with.clone(), Arc::clone(&seats));
        handle.arbiters()[i].spawn_fn(move || {
            if let Err(error) = edge::start_worker(i as u16, shared, limits, sockets, inbox, with, seats) {
                tracing::error!(worker = i, %error, "a worker did not start");
            }
        });
    }

    let trunks = Trunks::new(&registry)?;
    let node = Arc::new(api::RunningNode::new(
        handle.clone(),
        Arc::clone(&shared),
        registry,
        config,
        began,
        random()?,
        trunks.clone(),
    ));
    let setup = Setup {
        metrics: config.listen.get(Listener::Metrics),
        api: match config.listen.get(Listener::Admin) {
            Some(address) => Some(ApiSetup {
                address,
                tls: policy::admin_server(Arc::clone(&tls_context))?,
                token: AdminToken::read(&config.node.data_dir)?,
                wrong_tokens: config.limits.admin_wrong_tokens_per_minute,
                requests_per_source: config.limits.admin_requests_per_source,
                requests_per_token: config.limits.admin_requests_per_token,
                body_bytes: size(config.limits.admin_body_bytes),
                import_bytes: size(config.limits.admin_import_bytes),
            }),
            None => None,
        },
        control: Some(config.node.data_dir.clone()),
    };
    let admin = admin::start(Arc::clone(&node) as Arc<dyn admin::NodeApi>, setup)?;
    edge::reserve_descriptors(&config.limits, &seats);
    let mut signals = Signals::take().map_err(NodeError::Signal)?;
    node.set_ready(true);
    print_ready(&bound, &admin);
    service::ready();
    let origin =
        Origin { boards: Arc::clone(&handle.boards), tls: tls_context, domain: config.node.domain.clone() };
    let keeper = actix::spawn(trunk::keep(handle.clone(), trunks, Arc::new(origin)));
    let watchdog = actix::spawn(service::watchdog(handle.clone()));
    let staples = actix::spawn(own::watch_staples(handle.clone()));
    let mut config = config.clone();
    loop {
        let told = tokio::select! {
            told = signals.next() => told,
            reason = handle.given_up() => {
                // What the writer has taken is still written; calls are left to the journal.
                node.set_ready(false);
                handle.close();
                return Err(NodeError::GivenUp(reason));
            }
        };
        if told == Told::Stop {
            break;
        }
        service::reloading();
        take_over(&mut config, &shared, &bound, &seats, workers);
        admin.set_rates(config.limits.admin_requests_per_source, config.limits.admin_requests_per_token);
        service::ready();
    }
    service::stopping();
    node.set_ready(false);
    let patience = Duration::from_secs(config.node.drain_s);
    handle.quiesce_rollouts();
    drain(&mut signals, &shared, &handle, patience, config.node.calls_at_stop).await;
    watchdog.abort();
    staples.abort();
    keeper.abort();
    shared.tap.close();
    admin.stop();
    handle.close();
    Ok(())
}

/// Reads the configuration again and puts into force what may change.
fn take_over(
    config: &mut Config,
    shared: &Shared,
    bound: &[(Listener, SocketAddr)],
    seats: &Seats,
    workers: usize,
) {
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
    shared.admission.adoptions.set(config.limits.auto_registrations_per_source);
    shared.admission.oauth.read_again();
    shared.admission.adopted_max.store(config.limits.auto_registered_phones, Ordering::Relaxed);
    shared.admission.requests.set(config.limits.requests_per_source);
    seats.set_limits(edge::seat_limits(&config.limits));
    edge::reserve_descriptors(&config.limits, seats);
    let limits = worker_limits(config);
    for worker in 0..workers {
        shared.inboxes.send(u16::try_from(worker).unwrap_or(u16::MAX), ToWorker::Limits(limits));
    }
    if !later.is_empty() {
        tracing::warn!(keys = later.join(", "), "these changes act at the next start only");
    }
    tracing::info!(keys = live.join(", "), "the configuration was read again");
    shared.metrics.reloaded("done");
}

fn websocket_policy(config: &Config) -> websocket::Policy {
    let message = config.limits.message();
    websocket::Policy {
        origins: config.websocket.origins.clone(),
        message_bytes: message.head_bytes.saturating_add(message.body_bytes),
        deadline: Duration::from_secs(config.limits.handshake_s),
    }
}

fn worker_limits(config: &Config) -> WorkerLimits {
    let l = &config.limits;
    WorkerLimits {
        transactions: size(l.transactions_per_worker),
        transactions_per_source: size(l.transactions_per_source),
        connections: ConnectionLimits {
            message: l.message(),
            write_queue_bytes: size(l.write_queue_bytes),
            write_deadline: Duration::from_secs(l.write_s),
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
    random().map(u64::from_be_bytes)
}

fn random<const N: usize>() -> Result<[u8; N], NodeError> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|e| NodeError::Random(e.to_string()))?;
    Ok(bytes)
}

/// The one JSON line on stdout that tells supervisors and tests that the node serves, and where.
fn print_ready(bound: &[(Listener, SocketAddr)], admin: &admin::Running) {
    use std::io::Write;
    let mut listen = serde_json::Map::new();
    for (l, _) in bound {
        // One address is a text, as ever; several of one listener are a list.
        let mut own = bound.iter().filter(|(other, _)| other == l).map(|(_, a)| a.to_string());
        let value = match (own.next(), own.next()) {
            (Some(first), Some(second)) => [first, second].into_iter().chain(own).collect(),
            (first, _) => serde_json::Value::from(first),
        };
        listen.insert(l.key().to_owned(), value);
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
