//! A TLS connection whose handshake a test looks at, with SIP in it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use keyline_loadtest::tls::TlsOptions;
use keyline_wire::sip::Message;
use keyline_wire::sip::stream::{Frame, Framer, Side};

use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::sip::Request;
use crate::wait::PATIENCE;

/// A phone's memory of one server: connections made with it resume its last session.
pub struct Resuming {
    options: TlsOptions,
    config: Arc<ClientConfig>,
}

/// A connection after its handshake.
pub struct Secure {
    stream: StreamOwned<ClientConnection, TcpStream>,
    framer: Framer,
}

impl Resuming {
    /// Remembers nothing yet.
    pub fn new(options: TlsOptions) -> Resuming {
        let config = options.resuming_config().expect("a client configuration");
        Resuming { options, config }
    }

    /// Connects and makes the handshake.
    ///
    /// # Errors
    /// When the server refuses it; in TLS 1.3 the client learns that with the first bytes that it reads.
    pub fn connect(&self, server: SocketAddr) -> io::Result<Secure> {
        let name = self.options.verified_name(server).expect("a name");
        let mut connection =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut socket = TcpStream::connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(Secure { stream: StreamOwned::new(connection, socket), framer: Framer::new(Side::Opener) })
    }
}

impl Secure {
    /// Whether the handshake went on from a ticket.
    pub fn resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Contact of a line at this connection, of an instance that is the same over all connections (RFC 5626).
    pub fn contact(&self, dn: &str) -> String {
        let instance = format!("<urn:uuid:00000000-0000-0000-0000-{dn:0>12}>");
        format!("<sip:{dn}@{};transport=tls>;+sip.instance=\"{instance}\"", self.local())
    }

    fn local(&self) -> SocketAddr {
        self.stream.sock.local_addr().expect("own address")
    }

    /// A REGISTER of a line from here.
    pub fn register(&self, dn: &str) -> Request {
        Request::register(dn).header("Contact", &self.contact(dn))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the server has closed.
    pub fn send(&mut self, request: &Request) -> io::Result<()> {
        self.stream.write_all(&request.print_as("TLS", &self.local().to_string()))?;
        self.stream.flush()
    }

    /// The next message; `None` when none comes in that time, or the server has closed.
    pub fn receive_within(&mut self, patience: Duration) -> Option<Message<'static>> {
        self.stream.sock.set_read_timeout(Some(patience)).expect("a timeout");
        let mut buffer = [0; 16 << 10];
        loop {
            match self.framer.next() {
                Frame::Message(bytes) => {
                    return Some(Message::parse(bytes).expect("a SIP message").into_owned());
                }
                Frame::NeedMore => {}
                Frame::Ping | Frame::Pong => continue,
                Frame::Broken { error, .. } => panic!("broken stream: {error}"),
            }
            let length = self.stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
            self.framer.push(&buffer[..length]);
        }
    }

    /// Status of the final response to a request; `None` when the server closes instead.
    pub fn status(&mut self, request: &Request) -> Option<u16> {
        self.exchange(request)?.status()
    }

    /// The final response to a request; `None` when the server closes instead.
    pub fn exchange(&mut self, request: &Request) -> Option<Message<'static>> {
        self.send(request).ok()?;
        loop {
            let message = self.receive_within(PATIENCE)?;
            if message.status().is_some_and(|status| status >= 200) {
                return Some(message);
            }
        }
    }
}
