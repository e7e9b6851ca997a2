//! The SIP listeners: bound on the main thread, one socket a worker, served on the workers' own.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use keyline_actors::board::RefusedAt;
use keyline_domain::mode::Transport;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::Socket;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;

use super::entrance::{AcceptErrors, Entrance, Refusals};
use crate::config::{self, Config, Listener};
use crate::edge::bind::{BindError, Kind, bind};
use crate::edge::stream::{Ends, Listening, accept, serve};
use crate::edge::{udp, websocket};
use crate::flow::{ConnectionFacts, Seat, SeatLimits, Seats};
use crate::limits::{Limit, Limits, size};
use crate::signaling::{Shared, ToWorker, Worker, WorkerLimits};
use crate::tls::acceptor::TlsContext;
use crate::tls::gate::Gate;
use crate::tls::refused::Refusal;
use crate::tls::stream::Secured;

/// The listeners served here.
const LISTENERS: [Listener; 6] = [
    Listener::SipUdp,
    Listener::SipTcp,
    Listener::SipTls,
    Listener::SipOauth,
    Listener::SipWs,
    Listener::SipWss,
];

/// Sockets of one worker: one for each address of each listener.
pub(super) type WorkerSockets = Vec<(Listener, SocketAddr, Socket)>;

/// Binds every address of every SIP listener once for each worker. Gives back what was bound, port 0 filled
/// in, and the sockets by worker.
#[allow(clippy::type_complexity, reason = "taken apart at once by its one caller")]
pub(super) fn bind_all(
    config: &Config,
    workers: usize,
) -> Result<(Vec<(Listener, SocketAddr)>, Vec<WorkerSockets>), BindError> {
    let mut all: Vec<WorkerSockets> = (0..workers).map(|_| Vec::new()).collect();
    let mut bound = Vec::new();
    for listener in LISTENERS {
        let kind = match listener.socket() {
            config::Socket::Datagram => Kind::Udp,
            config::Socket::Stream => Kind::Tcp,
        };
        for wanted in config.listen.all(listener) {
            let (address, sockets) = bind(listener.key(), kind, *wanted, workers)?;
            bound.push((listener, address));
            for (own, socket) in all.iter_mut().zip(sockets) {
                own.push((listener, address, socket));
            }
        }
    }
    Ok((bound, all))
}

/// Runs on the worker's own thread.
pub(super) fn start_worker(
    id: u16,
    shared: Arc<Shared>,
    limits: WorkerLimits,
    sockets: WorkerSockets,
    inbox: mpsc::Receiver<ToWorker>,
    with: Handshakes,
    seats: Arc<Seats>,
) -> std::io::Result<()> {
    let worker = Rc::new(Worker::new(id, shared, limits));
    let gate = Gate::new(with.waiting);
    actix::spawn(Rc::clone(&gate).run());
    let refusals = Rc::new(Refusals::default());
    for (listener, local, socket) in sockets {
        if listener.socket() == config::Socket::Datagram {
            let socket = Rc::new(UdpSocket::from_std(socket.into())?);
            worker.add_socket(local, Rc::clone(&socket));
            actix::spawn(udp::run(socket, local, Rc::clone(&worker)));
            continue;
        }
        let porter = Entrance {
            listener,
            local,
            seats: Arc::clone(&seats),
            errors: AcceptErrors::new(&worker),
            door: Door { worker: Rc::clone(&worker), gate: Rc::clone(&gate), refusals: Rc::clone(&refusals) },
            with: with.clone(),
        };
        actix::spawn(accept(Listening::new(socket.into())?, porter));
    }
    actix::spawn(Rc::clone(&worker).watch_trust(with.tls));
    actix::spawn(worker.run(inbox));
    Ok(())
}

/// What connections need for their handshakes.
#[derive(Clone)]
pub(super) struct Handshakes {
    pub tls: Arc<TlsContext>,
    /// Asks for no certificate: on the OAuth port a token proves.
    pub oauth: Arc<TlsContext>,
    pub websocket: Arc<websocket::Policy>,
    /// Whole TLS handshakes that may wait for one worker.
    pub waiting: usize,
}

/// Whether a listener's connections begin with a TLS handshake.
pub(super) fn is_secure(listener: Listener) -> bool {
    matches!(listener, Listener::SipTls | Listener::SipOauth | Listener::SipWss)
}

/// What a connection meets at its worker.
#[derive(Clone)]
pub(super) struct Door {
    pub worker: Rc<Worker>,
    pub gate: Rc<Gate>,
    pub refusals: Rc<Refusals>,
}

/// One connection, from its accept to its end. What few connections need is boxed: each task is as large as the
/// largest of them.
pub(super) async fn connection(
    listener: Listener,
    stream: TcpStream,
    ends: Ends,
    mut seat: Seat,
    door: Door,
    with: Handshakes,
) {
    let worker = Rc::clone(&door.worker);
    let plain = |transport| ConnectionFacts { transport, ..ConnectionFacts::tcp() };
    match listener {
        Listener::SipTcp => serve(stream, ends, (Arc::new(plain(Transport::Tcp)), seat), worker).await,
        Listener::SipWs => {
            let Some(socket) = Box::pin(upgraded(&with.websocket, &worker, stream)).await else { return };
            seat.shaken();
            let facts = Arc::new(plain(Transport::Ws));
            Box::pin(websocket::serve(socket, ends, (facts, seat), worker)).await;
        }
        Listener::SipOauth => {
            let Some((stream, facts)) = secure(&with.oauth, door, stream, ends.remote).await else {
                return;
            };
            seat.shaken();
            let facts = ConnectionFacts { transport: Transport::Oauth, ..facts };
            serve(stream, ends, (Arc::new(facts), seat), worker).await;
        }
        _ => {
            let Some((stream, facts)) = secure(&with.tls, door, stream, ends.remote).await else { return };
            if listener == Listener::SipTls {
                seat.shaken();
                return serve(stream, ends, (Arc::new(facts), seat), worker).await;
            }
            let Some(socket) = Box::pin(upgraded(&with.websocket, &worker, stream)).await else { return };
            seat.shaken();
            // What a browser shows is a person's certificate, if any: it names no device.
            let facts = ConnectionFacts { transport: Transport::Wss, certificate: None, ..facts };
            Box::pin(websocket::serve(socket, ends, (Arc::new(facts), seat), worker)).await;
        }
    }
}

/// The WebSocket handshake of a connection, counted.
async fn upgraded<S>(policy: &websocket::Policy, worker: &Worker, stream: S) -> Option<websocket::Socket<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let result = websocket::upgrade(stream, policy).await;
    worker.shared.metrics.upgrade(result.as_ref().map_or_else(|e| e.as_str(), |_| "ok"));
    result.ok()
}

/// The handshake of a connection, counted.
async fn secure(
    tls: &TlsContext,
    door: Door,
    stream: TcpStream,
    remote: SocketAddr,
) -> Option<(Secured<TcpStream>, ConnectionFacts)> {
    let metrics = &door.worker.shared.metrics;
    match tls.handshake_at(Some(&door.gate), stream).await {
        Ok((stream, facts)) => {
            metrics.tls_session(stream.version(), facts.suite);
            metrics.tls_completed(stream.resumed());
            metrics.handshake("ok");
            Some((stream, facts))
        }
        Err(refused) => {
            metrics.handshake(refused.as_str());
            if refused.why == Refusal::Overload {
                door.refusals.note(Limit::HandshakesWaiting.as_str(), remote);
                return None;
            }
            let claim = refused.claim.as_ref();
            if let Some(device) = claim.and_then(|claim| claim.device.as_ref()) {
                let shared = &door.worker.shared;
                shared.note_refusal(device.as_str(), RefusedAt::Handshake, refused.as_str(), remote);
            }
            let more = door.refusals.line(refused.as_str())?;
            // What a stranger's certificate says of itself is its own business, but it helps to find the phone.
            let subject = claim.map_or("-", |claim| claim.subject.as_str());
            tracing::info!(peer = %remote, reason = refused.as_str(), ?subject, more, "TLS handshake refused: {refused}");
            None
        }
    }
}

/// What bounds connections by `[limits]`.
pub(super) fn seat_limits(limits: &Limits) -> SeatLimits {
    SeatLimits {
        connections: size(limits.connections),
        per_source: size(limits.connections_per_source),
        unauthenticated: size(limits.unauthenticated_connections),
        unauthenticated_per_source: size(limits.unauthenticated_per_source),
        handshakes: size(limits.handshakes),
        handshakes_per_source: size(limits.handshakes_per_source),
    }
}

/// Bounds connections by what the process may open besides what it has open now, when everything else is there.
/// Raises the process's soft limit to the hard one first; many systems begin at 1,024.
pub(super) fn reserve_descriptors(limits: &Limits, seats: &Seats) {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |list| list.count()) as u64;
    let allowed = raise_descriptors().unwrap_or(u64::MAX);
    let descriptors = allowed.saturating_sub(limits.descriptors_reserved).saturating_sub(open).max(1);
    if descriptors < limits.connections {
        tracing::warn!(
            connections = limits.connections,
            held_at = descriptors,
            "the process may open {allowed} files: raise its limit (LimitNOFILE of systemd), or lower limits.connections"
        );
    }
    seats.set_descriptors(size(descriptors));
}

/// The soft limit of open files, after it was raised as far as it goes.
fn raise_descriptors() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => Some(hard),
        Err(_) => Some(soft),
    }
}
