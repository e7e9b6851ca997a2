//! A TLS connection whose handshake a test looks at, with SIP in it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use keyline_loadtest::tls::TlsOptions;
use keyline_loadtest::tls_line::{Sessions, TlsLine};
use keyline_wire::sip::Message;
use keyline_wire::sip::stream::{Frame, Framer, Side};

use crate::sip::Request;
use crate::wait::PATIENCE;

/// A phone's memory of one server: connections made with it resume its last session.
pub struct Resuming(Sessions);

/// A connection after its handshake.
pub struct Secure {
    stream: TlsLine,
    framer: Framer,
}

impl Resuming {
    /// Remembers nothing yet.
    pub fn new(options: TlsOptions) -> Resuming {
        Resuming(Sessions::new(options).expect("a client configuration"))
    }

    /// Connects and makes the handshake.
    ///
    /// # Errors
    /// When the server refuses it; in TLS 1.3 the client learns that with the first bytes that it reads.
    pub fn connect(&self, server: SocketAddr) -> io::Result<Secure> {
        let stream = self.0.connect(server, PATIENCE)?;
        Ok(Secure { stream, framer: Framer::new(Side::Opener) })
    }
}

impl Secure {
    /// Whether the handshake went on from a ticket.
    pub fn resumed(&self) -> bool {
        self.stream.resumed()
    }

    /// Contact of a line at this connection, of an instance that is the same over all connections (RFC 5626).
    pub fn contact(&self, dn: &str) -> String {
        let instance = format!("<urn:uuid:00000000-0000-0000-0000-{dn:0>12}>");
        format!("<sip:{dn}@{};transport=tls>;+sip.instance=\"{instance}\"", self.local())
    }

    fn local(&self) -> SocketAddr {
        self.stream.local().expect("own address")
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
        self.stream.send(&request.print_as("TLS", &self.local().to_string()))
    }

    /// The next message; `None` when none comes in that time, or the server has closed.
    pub fn receive_within(&mut self, patience: Duration) -> Option<Message<'static>> {
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
            let length = self.stream.read_within(patience, &mut buffer).ok().filter(|n| *n > 0)?;
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
