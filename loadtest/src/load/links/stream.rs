//! One connection a phone, over TCP or TLS.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use keyline_wire::sip::stream::{Frame, Framer, Side};
use nix::sys::epoll::EpollFlags;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{Inbox, Item, Opened, Readiness, nth_address};

/// Bytes that may wait on one connection before it counts as stuck.
const PENDING_MAX: usize = 1 << 20;
const READ: usize = 64 * 1024;

/// How a connection is made.
pub(in super::super) struct Dial {
    /// Configuration and name of the server for TLS; `None` for TCP.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Drop it without the TCP farewell, so that its port is free at once.
    pub abort: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Handshaking,
    Open,
}

/// A ClientHello that nobody has answered, and what goes on with its answer. To make one costs a generator more than
/// to be refused, so whoever was refused says the same again: a server cannot tell it from a new one.
struct Unheard {
    tls: Box<ClientConnection>,
    hello: Vec<u8>,
}

struct Connection {
    socket: TcpStream,
    local: SocketAddr,
    tls: Option<Box<ClientConnection>>,
    /// The ClientHello until something is heard, and by whose configuration it was made.
    hello: Option<(Vec<u8>, usize)>,
    framer: Framer,
    /// Not yet taken by the socket (TCP, and a ClientHello; rustls keeps its own).
    pending: Vec<u8>,
    state: State,
    started: u64,
    writable_wanted: bool,
}

pub(in super::super) struct StreamLinks {
    target: SocketAddr,
    addresses: Vec<IpAddr>,
    connections: Vec<Option<Connection>>,
    open: u64,
    readiness: Readiness,
    buffer: Vec<u8>,
    /// By the address of the configuration that made them.
    unheard: HashMap<usize, Vec<Unheard>>,
}

impl StreamLinks {
    /// Room for `count` connections to a server; none is made yet.
    ///
    /// # Errors
    /// What the system says.
    pub(in super::super) fn new(
        target: SocketAddr,
        addresses: &[IpAddr],
        count: usize,
    ) -> io::Result<StreamLinks> {
        Ok(StreamLinks {
            target,
            addresses: addresses.to_vec(),
            connections: (0..count).map(|_| None).collect(),
            open: 0,
            readiness: Readiness::new()?,
            buffer: vec![0; READ],
            unheard: HashMap::new(),
        })
    }

    pub(super) fn local(&self, link: u32) -> Option<SocketAddr> {
        self.connections.get(link as usize)?.as_ref().map(|connection| connection.local)
    }

    pub(super) fn open_count(&self) -> u64 {
        self.open
    }

    /// Whether messages can be sent on it.
    pub(in super::super) fn is_open(&self, link: u32) -> bool {
        let connection = self.connections.get(link as usize).and_then(Option::as_ref);
        connection.is_some_and(|connection| connection.state == State::Open)
    }

    /// Begins a connection; what becomes of it arrives later.
    ///
    /// # Errors
    /// What the system or rustls says at once.
    pub(in super::super) fn dial(&mut self, now: u64, link: u32, dial: Dial) -> io::Result<()> {
        self.hang_up(link);
        let own = SocketAddr::new(nth_address(&self.addresses, link), 0);
        let socket = Socket::new(Domain::for_address(own), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if dial.abort {
            socket.set_linger(Some(Duration::ZERO))?;
        }
        socket.bind(&SockAddr::from(own))?;
        match socket.connect(&SockAddr::from(self.target)) {
            Err(e) if !in_progress(&e) => return Err(e),
            _ => {}
        }
        let socket = TcpStream::from(socket);
        let local = socket.local_addr()?;
        let mut hello = None;
        let tls = match dial.tls {
            None => None,
            Some((config, name)) => {
                // Configurations live as long as the phones, so an address is as good as a name.
                let maker = Arc::as_ptr(&config) as usize;
                let said = self.unheard.get_mut(&maker).and_then(Vec::pop).filter(|_| dial.abort);
                let Unheard { tls, hello: bytes } = match said {
                    Some(said) => said,
                    None => Unheard::new(config, name)?,
                };
                hello = Some((bytes, maker));
                Some(tls)
            }
        };
        self.readiness.add(&socket, EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT, link)?;
        self.connections[link as usize] = Some(Connection {
            socket,
            local,
            tls,
            framer: Framer::new(Side::Opener),
            pending: hello.as_ref().map(|(bytes, _)| bytes.clone()).unwrap_or_default(),
            hello,
            state: State::Connecting,
            started: now,
            writable_wanted: true,
        });
        Ok(())
    }

    /// Closes a connection.
    pub(in super::super) fn hang_up(&mut self, link: u32) {
        let Some(mut connection) = self.connections.get_mut(link as usize).and_then(Option::take) else {
            return;
        };
        if connection.state == State::Open {
            self.open -= 1;
        }
        if connection.hello.is_some() {
            return self.keep_unheard(connection);
        }
        if let Some(tls) = &mut connection.tls {
            tls.send_close_notify();
            // The socket closes anyhow.
            let _ = tls.write_tls(&mut connection.socket);
        }
    }

    fn keep_unheard(&mut self, connection: Connection) {
        if let (Some(tls), Some((hello, maker))) = (connection.tls, connection.hello) {
            self.unheard.entry(maker).or_default().push(Unheard { tls, hello });
        }
    }

    pub(super) fn send(&mut self, link: u32, bytes: &[u8]) -> bool {
        let Some(Some(connection)) = self.connections.get_mut(link as usize) else { return false };
        if connection.state != State::Open {
            return false;
        }
        let taken = match &mut connection.tls {
            Some(tls) => tls.writer().write_all(bytes).is_ok(),
            None if connection.pending.len() + bytes.len() > PENDING_MAX => false,
            None => {
                connection.pending.extend_from_slice(bytes);
                true
            }
        };
        taken && connection.flush().is_ok() && self.watch(link).is_ok()
    }

    pub(super) fn receive(&mut self, now: u64, wait: Duration, inbox: &mut Inbox) {
        let ready = self.readiness.wait(wait);
        for index in 0..ready {
            let event = self.readiness.ready[index];
            let link = event.data() as u32;
            let Some(Some(connection)) = self.connections.get_mut(link as usize) else { continue };
            let was_open = connection.state == State::Open;
            let outcome = connection.progress(now, link, event.events(), &mut self.buffer, inbox);
            let is_open = connection.state == State::Open;
            self.open += u64::from(is_open && !was_open);
            if let Err(why) = outcome.and_then(|()| self.watch(link)) {
                if is_open {
                    self.open -= 1;
                }
                if let Some(lost) = self.connections[link as usize].take() {
                    self.keep_unheard(lost);
                }
                inbox.items.push((link, Item::Lost(why.to_string())));
            }
        }
    }

    /// Asks for writability exactly while something waits to be written.
    fn watch(&mut self, link: u32) -> io::Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(link as usize) else { return Ok(()) };
        let wanted = connection.state == State::Connecting
            || !connection.pending.is_empty()
            || connection.tls.as_ref().is_some_and(|tls| tls.wants_write());
        if wanted != connection.writable_wanted {
            connection.writable_wanted = wanted;
            let more = if wanted { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
            self.readiness.change(&connection.socket, EpollFlags::EPOLLIN | more, link)?;
        }
        Ok(())
    }
}

impl Unheard {
    fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Unheard> {
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(PENDING_MAX));
        let mut hello = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut hello)?;
        }
        Ok(Unheard { tls: Box::new(tls), hello })
    }
}

impl Connection {
    fn progress(
        &mut self,
        now: u64,
        link: u32,
        events: EpollFlags,
        buffer: &mut [u8],
        inbox: &mut Inbox,
    ) -> io::Result<()> {
        if self.state == State::Connecting {
            if let Some(error) = self.socket.take_error()? {
                return Err(error);
            }
            if !events.contains(EpollFlags::EPOLLOUT) {
                return Ok(());
            }
            self.state = State::Handshaking;
            if self.tls.is_none() {
                self.opened(now, link, inbox);
            }
        }
        let ended = self.read(link, buffer, inbox);
        // What TLS has to say goes out also when reading failed: an alert tells the server why.
        let flushed = self.flush();
        let ended = ended?;
        flushed?;
        if self.state == State::Handshaking && self.tls.as_ref().is_some_and(|tls| !tls.is_handshaking()) {
            self.opened(now, link, inbox);
        }
        if ended { Err(io::Error::other("the server closed the connection")) } else { Ok(()) }
    }

    fn opened(&mut self, now: u64, link: u32, inbox: &mut Inbox) {
        self.state = State::Open;
        let kind = self.tls.as_ref().and_then(|tls| tls.handshake_kind());
        let resumed = kind == Some(HandshakeKind::Resumed);
        inbox.items.push((link, Item::Opened(Opened { took: now.saturating_sub(self.started), resumed })));
    }

    /// Reads all that is there; `true` at the end of the stream.
    fn read(&mut self, link: u32, buffer: &mut [u8], inbox: &mut Inbox) -> io::Result<bool> {
        loop {
            let Some(tls) = &mut self.tls else {
                match self.socket.read(buffer) {
                    Ok(0) => return Ok(true),
                    Ok(length) => self.take(link, length, buffer, inbox)?,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(e) => return Err(e),
                }
                continue;
            };
            let length = match tls.read_tls(&mut self.socket) {
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            };
            // An end counts too: rustls does not forget it.
            self.hello = None;
            tls.process_new_packets().map_err(io::Error::other)?;
            while let Some(tls) = &mut self.tls {
                match tls.reader().read(buffer) {
                    Ok(0) => return Ok(true),
                    Ok(length) => self.take(link, length, buffer, inbox)?,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
            if length == 0 {
                return Ok(true);
            }
        }
    }

    fn take(&mut self, link: u32, length: usize, buffer: &[u8], inbox: &mut Inbox) -> io::Result<()> {
        self.framer.push(&buffer[..length]);
        loop {
            match self.framer.next() {
                Frame::Message(bytes) => inbox.message(link, bytes),
                Frame::Pong | Frame::Ping => inbox.items.push((link, Item::Pong)),
                Frame::NeedMore => return Ok(()),
                Frame::Broken { error, .. } => return Err(io::Error::other(error.to_string())),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.state == State::Connecting {
            return Ok(());
        }
        while !self.pending.is_empty() {
            match self.socket.write(&self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }
}

fn in_progress(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32)
}
