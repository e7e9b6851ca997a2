//! The phone's socket: datagrams, or one stream with framing.

use std::net::SocketAddr;
use std::sync::Arc;

use keyline_wire::sip::stream::{Frame, Framer, Side};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{PhoneConfig, PhoneError, Transport};
use crate::tls::{TlsOptions, TlsSession};

/// Messages waiting to be written or to be looked at.
const QUEUE: usize = 1024;
/// Largest datagram of UDP.
const DATAGRAM_MAX: usize = 65_535;

/// What comes in.
#[derive(Debug)]
pub(super) enum Incoming {
    /// One message, perhaps malformed.
    Message(Vec<u8>),
    /// The answer to a keepalive.
    Pong,
    /// The connection ended.
    Closed,
}

/// An open socket. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Link {
    pub local: SocketAddr,
    pub tls: Option<TlsSession>,
    outgoing: mpsc::Sender<Vec<u8>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Link {
    /// Opens the phone's socket; what comes in goes to the receiver.
    pub(super) async fn open(config: &PhoneConfig) -> Result<(Link, mpsc::Receiver<Incoming>), PhoneError> {
        match &config.transport {
            Transport::Udp => Self::udp(config).await,
            Transport::Tcp => {
                let stream = connect(config).await?;
                let local = local_addr(config, stream.local_addr())?;
                Ok(Self::stream(local, None, stream))
            }
            Transport::Tls(options) => {
                let stream = handshake(config, options).await?;
                let local = local_addr(config, stream.get_ref().0.local_addr())?;
                Ok(Self::stream(local, Some(session(&stream)), stream))
            }
        }
    }

    /// Queues a message; `false` when the link is closed or its queue is full.
    pub(super) fn send(&self, bytes: Vec<u8>) -> bool {
        self.outgoing.try_send(bytes).is_ok()
    }

    async fn udp(config: &PhoneConfig) -> Result<(Link, mpsc::Receiver<Incoming>), PhoneError> {
        let address = SocketAddr::new(config.bind, 0);
        let bind = |source| PhoneError::Bind { address, source };
        let socket = Arc::new(UdpSocket::bind(address).await.map_err(bind)?);
        let local = socket.local_addr().map_err(bind)?;
        let (outgoing, mut to_send) = mpsc::channel::<Vec<u8>>(QUEUE);
        let (received, incoming) = mpsc::channel(QUEUE);
        let (writer, server) = (socket.clone(), config.server);
        let write = tokio::spawn(async move {
            while let Some(bytes) = to_send.recv().await {
                // A refused datagram (no server yet) is as good as a lost one.
                let _ = writer.send_to(&bytes, server).await;
            }
        });
        let read = tokio::spawn(async move {
            let mut buffer = vec![0; DATAGRAM_MAX];
            loop {
                // Errors are refusals of earlier datagrams; the socket itself stays good.
                let Ok((length, _)) = socket.recv_from(&mut buffer).await else { continue };
                if received.send(Incoming::Message(buffer[..length].to_vec())).await.is_err() {
                    return;
                }
            }
        });
        Ok((Link { local, tls: None, outgoing, tasks: [write, read] }, incoming))
    }

    fn stream<S>(local: SocketAddr, tls: Option<TlsSession>, stream: S) -> (Link, mpsc::Receiver<Incoming>)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (outgoing, mut to_send) = mpsc::channel::<Vec<u8>>(QUEUE);
        let (received, incoming) = mpsc::channel(QUEUE);
        let write = tokio::spawn(async move {
            while let Some(bytes) = to_send.recv().await {
                if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                    return;
                }
            }
        });
        let read = tokio::spawn(async move {
            let mut framer = Framer::new(Side::Opener);
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(length @ 1..) = reader.read(&mut buffer).await {
                framer.push(&buffer[..length]);
                loop {
                    let event = match framer.next() {
                        Frame::Message(bytes) => Incoming::Message(bytes.to_vec()),
                        Frame::Pong | Frame::Ping => Incoming::Pong,
                        Frame::NeedMore => break,
                        Frame::Broken { head, .. } => {
                            let _ = received.send(Incoming::Message(head.to_vec())).await;
                            let _ = received.send(Incoming::Closed).await;
                            return;
                        }
                    };
                    if received.send(event).await.is_err() {
                        return;
                    }
                }
            }
            let _ = received.send(Incoming::Closed).await;
        });
        (Link { local, tls, outgoing, tasks: [write, read] }, incoming)
    }
}

fn local_addr(config: &PhoneConfig, local: std::io::Result<SocketAddr>) -> Result<SocketAddr, PhoneError> {
    local.map_err(|source| PhoneError::Connect { server: config.server, source })
}

async fn connect(config: &PhoneConfig) -> Result<TcpStream, PhoneError> {
    let address = SocketAddr::new(config.bind, 0);
    let bind = |source| PhoneError::Bind { address, source };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(bind)?;
    socket.bind(address).map_err(bind)?;
    let open = |source| PhoneError::Connect { server: config.server, source };
    let stream = tokio::time::timeout(config.patience, socket.connect(config.server))
        .await
        .map_err(|_| open(std::io::ErrorKind::TimedOut.into()))?
        .map_err(open)?;
    stream.set_nodelay(true).map_err(open)?;
    Ok(stream)
}

async fn handshake(config: &PhoneConfig, options: &TlsOptions) -> Result<TlsStream<TcpStream>, PhoneError> {
    let connector = TlsConnector::from(options.client_config()?);
    let name: ServerName<'static> = options.verified_name(config.server)?;
    let stream = connect(config).await?;
    let failed = |source| PhoneError::Handshake { server: config.server, source };
    tokio::time::timeout(config.patience, connector.connect(name, stream))
        .await
        .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
        .map_err(failed)
}

fn session(stream: &TlsStream<TcpStream>) -> TlsSession {
    let connection = stream.get_ref().1;
    let version = connection.protocol_version().and_then(|v| v.as_str()).unwrap_or_default();
    let suite = connection.negotiated_cipher_suite().and_then(|s| s.suite().as_str());
    let leaf = connection.peer_certificates().and_then(|chain| chain.first());
    TlsSession {
        version: version.to_owned(),
        // rustls names TLS 1.3 suites TLS13_…; everybody else writes TLS_….
        suite: suite.unwrap_or_default().replacen("TLS13_", "TLS_", 1),
        server_certificate: leaf.map(|der| der.to_vec()).unwrap_or_default(),
    }
}
