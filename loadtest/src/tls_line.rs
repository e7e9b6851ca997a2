//! One TLS connection that a caller reads and writes by itself, and a memory of sessions over several of them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::tls::{TlsError, TlsOptions};

/// A phone's memory of one server: connections made with it resume its last session.
#[derive(Debug)]
pub struct Sessions {
    options: TlsOptions,
    config: Arc<ClientConfig>,
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct TlsLine(StreamOwned<ClientConnection, TcpStream>);

impl Sessions {
    /// Remembers nothing yet.
    ///
    /// # Errors
    /// As [`TlsOptions::client_config`].
    pub fn new(options: TlsOptions) -> Result<Sessions, TlsError> {
        let config = options.resuming_config()?;
        Ok(Sessions { options, config })
    }

    /// Connects and makes the handshake; each read may take so long.
    ///
    /// # Errors
    /// When the server refuses it; in TLS 1.3 the client learns that with the first bytes that it reads.
    pub fn connect(&self, server: SocketAddr, patience: Duration) -> io::Result<TlsLine> {
        let name = self.options.verified_name(server).map_err(io::Error::other)?;
        let mut connection =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut socket = TcpStream::connect(server)?;
        socket.set_read_timeout(Some(patience))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(TlsLine(StreamOwned::new(connection, socket)))
    }
}

impl TlsLine {
    /// Whether the handshake went on from a ticket.
    pub fn resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Own address.
    ///
    /// # Errors
    /// What the system says.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.0.sock.local_addr()
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// When the server has closed.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    /// Reads what is there, at least a byte, within that time; 0 at the end.
    ///
    /// # Errors
    /// As reading a socket.
    pub fn read_within(&mut self, patience: Duration, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.sock.set_read_timeout(Some(patience))?;
        self.0.read(buffer)
    }
}
