//! Datagram sockets that phones share.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::epoll::EpollFlags;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{Inbox, Readiness, nth_address};

const RECEIVE_BUFFER: usize = 4 << 20;
/// Answers are far below a datagram's limit.
const DATAGRAM_MAX: usize = 16 * 1024;

pub(in super::super) struct UdpLinks {
    sockets: Vec<(UdpSocket, SocketAddr)>,
    readiness: Readiness,
    buffer: Vec<u8>,
}

impl UdpLinks {
    /// Opens `count` sockets towards a server.
    ///
    /// # Errors
    /// What the system says to a socket.
    pub(in super::super) fn open(
        target: SocketAddr,
        addresses: &[IpAddr],
        count: usize,
    ) -> io::Result<UdpLinks> {
        let readiness = Readiness::new()?;
        let mut sockets = Vec::with_capacity(count);
        for link in 0..count.max(1) as u32 {
            let socket = socket(nth_address(addresses, link), target)?;
            readiness.add(&socket, EpollFlags::EPOLLIN, link)?;
            let local = socket.local_addr()?;
            sockets.push((socket, local));
        }
        Ok(UdpLinks { sockets, readiness, buffer: vec![0; DATAGRAM_MAX] })
    }

    /// Number of sockets.
    pub(in super::super) fn len(&self) -> usize {
        self.sockets.len()
    }

    pub(super) fn local(&self, link: u32) -> Option<SocketAddr> {
        self.sockets.get(link as usize).map(|(_, local)| *local)
    }

    pub(super) fn send(&mut self, link: u32, bytes: &[u8]) -> bool {
        let Some((socket, _)) = self.sockets.get(link as usize) else { return false };
        // What the system can not take now is repeated like what the network lost.
        let _ = socket.send(bytes);
        true
    }

    pub(super) fn receive(&mut self, wait: Duration, inbox: &mut Inbox) {
        let ready = self.readiness.wait(wait);
        for index in 0..ready {
            let link = self.readiness.ready[index].data() as u32;
            let Some((socket, _)) = self.sockets.get(link as usize) else { continue };
            // One at a time: what remains makes the socket ready again, at no cost of a failed read.
            if let Ok(length) = socket.recv(&mut self.buffer) {
                inbox.message(link, &self.buffer[..length]);
            }
        }
    }
}

fn socket(address: IpAddr, target: SocketAddr) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(address, 0);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The kernel clamps to its maximum; a smaller buffer is no error.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&SockAddr::from(address))?;
    socket.connect(&SockAddr::from(target))?;
    Ok(UdpSocket::from(socket))
}
