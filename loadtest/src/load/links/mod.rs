//! Sockets of one generator thread behind one epoll set: shared datagram sockets, or one stream a phone.

mod stream;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;

pub(super) use self::stream::{Dial, StreamLinks};
pub(super) use self::udp::UdpLinks;

use super::Carrier;

/// Ready sockets that one wait gives.
const READY_MAX: usize = 512;

/// What came from the sockets since the last look.
#[derive(Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    items: Vec<(u32, Item)>,
}

enum Item {
    Message(Range<usize>),
    Pong,
    Opened(Opened),
    Lost(String),
}

/// A connection that is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened {
    /// Microseconds from the first packet to the end of the handshake.
    pub took: u64,
    /// TLS: the handshake continued an earlier session.
    pub resumed: bool,
}

/// One thing that came, borrowed from the inbox.
pub(super) enum Arrival<'i> {
    /// A message, perhaps malformed.
    Message(&'i [u8]),
    /// The answer to a keepalive.
    Pong,
    /// A connection stands.
    Opened(Opened),
    /// A connection could not be made or ended.
    Lost(&'i str),
}

impl Inbox {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    /// Everything in order: the link's number and what came by it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Arrival<'_>)> {
        self.items.iter().map(|(link, item)| {
            let arrival = match item {
                Item::Message(range) => Arrival::Message(&self.bytes[range.clone()]),
                Item::Pong => Arrival::Pong,
                Item::Opened(opened) => Arrival::Opened(*opened),
                Item::Lost(why) => Arrival::Lost(why),
            };
            (*link, arrival)
        })
    }

    fn message(&mut self, link: u32, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.items.push((link, Item::Message(start..self.bytes.len())));
    }
}

/// The sockets of one thread.
pub(super) enum Links {
    /// Shared datagram sockets.
    Udp(UdpLinks),
    /// One connection a phone.
    Stream(Box<StreamLinks>),
}

/// An epoll set with a wait of any length.
struct Readiness {
    epoll: Epoll,
    ready: Vec<EpollEvent>,
}

impl Readiness {
    fn new() -> io::Result<Readiness> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Readiness { epoll, ready: vec![EpollEvent::empty(); READY_MAX] })
    }

    fn add(&self, socket: impl AsFd, flags: EpollFlags, link: u32) -> io::Result<()> {
        Ok(self.epoll.add(socket, EpollEvent::new(flags, u64::from(link)))?)
    }

    fn change(&self, socket: impl AsFd, flags: EpollFlags, link: u32) -> io::Result<()> {
        Ok(self.epoll.modify(socket, &mut EpollEvent::new(flags, u64::from(link)))?)
    }

    /// Waits at most that long; gives how many are ready.
    fn wait(&mut self, time: Duration) -> usize {
        let whole = time.as_millis().min(60_000) as u16;
        if time.is_zero() || whole >= 2 {
            let timeout = EpollTimeout::from(whole);
            return self.epoll.wait(&mut self.ready, timeout).unwrap_or(0);
        }
        // epoll counts milliseconds; pacing needs finer waits.
        let mut set = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
        // An interrupted wait is only shorter.
        let _ = ppoll(&mut set, Some(TimeSpec::from_duration(time)), None);
        self.look()
    }

    fn look(&mut self) -> usize {
        self.epoll.wait(&mut self.ready, EpollTimeout::ZERO).unwrap_or(0)
    }
}

impl Links {
    /// Sends a message; `false` when the link is not open.
    pub(super) fn send(&mut self, link: u32, bytes: &[u8]) -> bool {
        match self {
            Links::Udp(links) => links.send(link, bytes),
            Links::Stream(links) => links.send(link, bytes),
        }
    }

    /// Waits at most that long and takes what came.
    pub(super) fn receive(&mut self, now: u64, wait: Duration, inbox: &mut Inbox) {
        match self {
            Links::Udp(links) => links.receive(wait, inbox),
            Links::Stream(links) => links.receive(now, wait, inbox),
        }
    }

    /// Own address of a link; `None` when it is not open.
    pub(super) fn local(&self, link: u32) -> Option<SocketAddr> {
        match self {
            Links::Udp(links) => links.local(link),
            Links::Stream(links) => links.local(link),
        }
    }

    /// Open links.
    pub(super) fn open(&self) -> u64 {
        match self {
            Links::Udp(_) => 0,
            Links::Stream(links) => links.open_count(),
        }
    }
}

/// Which local address a link takes: one after the other.
pub(super) fn nth_address(addresses: &[IpAddr], link: u32) -> IpAddr {
    addresses[link as usize % addresses.len()]
}

/// Carriers that repeat lost bytes by themselves.
pub(super) fn is_reliable(carrier: Carrier) -> bool {
    carrier != Carrier::Udp
}
