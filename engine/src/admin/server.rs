//! Starts and stops the servers.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use rustls::ServerConfig;
use tokio::sync::oneshot;

use super::api;
use super::attempts::Attempts;
use super::guard;
use super::guard::Guard;
use super::http;
use super::inventory::ImportGate;
use super::node::NodeApi;
use super::rates::Rates;
use super::socket::{self, CONTROL_SOCKET};
use super::token::AdminToken;

/// Connections that one server keeps open; further ones wait in the backlog.
const CONNECTIONS_MAX: usize = 256;

/// From the first byte of a request to the end of its headers.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// An idle connection.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Requests in progress get so long when the node stops, in seconds.
const STOP_S: u64 = 5;

/// What to serve, and where.
pub struct Setup {
    /// `[listen] metrics`: `/metrics`, `/health` and `/ready` over HTTP.
    pub metrics: Option<SocketAddr>,
    /// `[listen] admin`.
    pub api: Option<ApiSetup>,
    /// Data folder for the control socket. The caller holds its lock.
    pub control: Option<PathBuf>,
}

/// The admin API over HTTPS.
pub struct ApiSetup {
    /// Address.
    pub address: SocketAddr,
    /// Server side of TLS, without client certificates.
    pub tls: ServerConfig,
    /// The administrator's token.
    pub token: AdminToken,
    /// Wrong tokens of one source in a minute; then none is looked at for a while.
    pub wrong_tokens: u64,
    /// Requests of one source in a second, and as many at once.
    pub requests_per_source: u64,
    /// The same of one token.
    pub requests_per_token: u64,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of an imported inventory.
    pub import_bytes: usize,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error(
        "cannot listen on {address} ([listen] {listener}): {source}; choose another address or end who holds it"
    )]
    Bind {
        /// Key in `[listen]`.
        listener: &'static str,
        /// Address asked for.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The control socket cannot be made.
    #[error("cannot make the control socket {}: {source}; the data directory must be writable", path.display())]
    Control {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No thread, or a server did not come up on a bound socket.
    #[error("cannot start the admin servers: {0}")]
    Runtime(io::Error),
}

/// The servers while they run. Dropping it asks them to stop and does not wait.
pub struct Running {
    /// Where metrics are served; the port is known even if 0 was asked for.
    pub metrics: Option<SocketAddr>,
    /// Where the admin API is served.
    pub api: Option<SocketAddr>,
    rates: Option<Arc<Rates>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("metrics", &self.metrics)
            .field("api", &self.api)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Other limits of requests of one source and of one token in a second, from now on.
    pub fn set_rates(&self, per_source: u64, per_token: u64) {
        if let Some(rates) = &self.rates {
            rates.set(per_source, per_token);
        }
    }

    /// Stops taking connections, lets requests in progress end for up to five seconds, and removes the
    /// control socket. Blocks until that is done.
    pub fn stop(mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic on that thread was reported by the hook; there is nothing left to stop then.
            let _ = thread.join();
        }
    }
}

/// Binds everything and starts serving.
///
/// # Errors
/// [`StartError`] names the listener and address; nothing is left running.
pub fn start(node: Arc<dyn NodeApi>, setup: Setup) -> Result<Running, StartError> {
    let metrics = setup.metrics.map(|address| listen("metrics", address)).transpose()?;
    let api = match setup.api {
        Some(api) => {
            let rates = Arc::new(Rates::new(api.requests_per_source, api.requests_per_token));
            let guard = Guard { admin: api.token, attempts: Attempts::new(api.wrong_tokens), rates };
            Some((listen("admin", api.address)?, api.tls, guard, (api.body_bytes, api.import_bytes)))
        }
        None => None,
    };
    let control = match &setup.control {
        Some(folder) => Some(
            socket::bind(folder)
                .map_err(|source| StartError::Control { path: folder.join(CONTROL_SOCKET), source })?,
        ),
        None => None,
    };
    let rates = api.as_ref().map(|(_, _, guard, _)| Arc::clone(&guard.rates));
    let bound = (
        metrics.as_ref().and_then(|l| l.local_addr().ok()),
        api.as_ref().and_then(|(l, ..)| l.local_addr().ok()),
    );
    let (stop, stopped) = oneshot::channel();
    let (started, start) = sync_channel(1);
    let folder = setup.control;
    let thread = std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || {
            let servers = Servers { node, metrics, api, control };
            actix_web::rt::System::new().block_on(async move {
                match servers.run() {
                    Ok(running) => {
                        let _ = started.send(Ok(()));
                        serve(running, stopped).await;
                    }
                    Err(e) => {
                        let _ = started.send(Err(e));
                    }
                }
            });
            if let Some(folder) = folder {
                remove_socket(&folder);
            }
        })
        .map_err(StartError::Runtime)?;
    let running = Running { metrics: bound.0, api: bound.1, rates, stop: Some(stop), thread: Some(thread) };
    match start.recv() {
        Ok(Ok(())) => Ok(running),
        Ok(Err(e)) => Err(StartError::Runtime(e)),
        Err(_) => Err(StartError::Runtime(io::Error::other("the admin thread ended"))),
    }
}

fn listen(listener: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|source| StartError::Bind { listener, address, source })
}

/// Until the other half of `stopped` is dropped; then ends all in peace.
async fn serve(servers: Vec<Server>, stopped: oneshot::Receiver<()>) {
    let handles: Vec<_> = servers.iter().map(Server::handle).collect();
    let tasks: Vec<_> = servers.into_iter().map(actix_web::rt::spawn).collect();
    // An error says that the sender is gone: that is the signal.
    let _ = stopped.await;
    for stopping in handles.iter().map(|handle| handle.stop(true)).collect::<Vec<_>>() {
        stopping.await;
    }
    for task in tasks {
        let _ = task.await;
    }
}

fn remove_socket(folder: &Path) {
    // It may be gone already; the next node replaces it anyway.
    let _ = std::fs::remove_file(folder.join(CONTROL_SOCKET));
}

struct Servers {
    node: Arc<dyn NodeApi>,
    metrics: Option<TcpListener>,
    /// With the bytes of a body, and of an inventory.
    api: Option<(TcpListener, ServerConfig, Guard, (usize, usize))>,
    control: Option<UnixListener>,
}

/// The settings that all servers share.
macro_rules! common {
    ($factory:expr) => {
        HttpServer::new($factory)
            .workers(1)
            .max_connections(CONNECTIONS_MAX)
            .client_request_timeout(HEAD_TIMEOUT)
            .keep_alive(KEEP_ALIVE)
            .shutdown_timeout(STOP_S)
            .disable_signals()
    };
}

impl Servers {
    fn run(self) -> io::Result<Vec<Server>> {
        let mut servers = Vec::with_capacity(3);
        let gate = ImportGate::default();
        if let Some(listener) = self.metrics {
            let node = Arc::clone(&self.node);
            let app =
                move || App::new().app_data(api::data(&node)).wrap(http::headers()).configure(observable);
            servers.push(common!(app).listen(listener)?.run());
        }
        if let Some((listener, tls, guard, (body_bytes, import_bytes))) = self.api {
            let node = Arc::clone(&self.node);
            let guard = web::Data::new(guard);
            let gate = web::Data::new(gate.bounded(import_bytes));
            let app = move || {
                App::new()
                    .app_data(api::data(&node))
                    .app_data(guard.clone())
                    .app_data(gate.clone())
                    .app_data(web::PayloadConfig::new(body_bytes))
                    .wrap(from_fn(http::negotiate))
                    .wrap(from_fn(guard::authorize))
                    .wrap(http::headers())
                    .configure(api::configure)
            };
            let server = common!(app).tls_handshake_timeout(HANDSHAKE_TIMEOUT);
            servers.push(server.listen_rustls_0_23(listener, tls)?.run());
        }
        if let Some(listener) = self.control {
            let node = Arc::clone(&self.node);
            let gate = web::Data::new(gate);
            let app = move || {
                App::new()
                    .app_data(api::data(&node))
                    .app_data(gate.clone())
                    .wrap(http::headers())
                    .configure(socket::configure)
            };
            listener.set_nonblocking(true)?;
            servers.push(common!(app).listen_uds(listener)?.run());
        }
        Ok(servers)
    }
}

/// The metrics listener.
fn observable(config: &mut web::ServiceConfig) {
    config
        .service(http::readable("/metrics", metrics))
        .service(http::readable("/health", api::health))
        .service(http::readable("/ready", api::ready))
        .default_service(web::to(http::nothing_here));
}

async fn metrics(node: api::Node) -> HttpResponse {
    // The text format of the exposition, version 0.0.4.
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(node.metrics())
}
