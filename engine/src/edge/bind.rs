//! Binding listeners so that every worker has its own socket on the same address.
//!
//! All workers share an address by SO_REUSEPORT. Before that one plain bind of the address must succeed:
//! with SO_REUSEPORT alone a second node of the same user would share the port unnoticed and steal half
//! of the phones (design §3).

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::queue;

/// Receive buffer asked for on UDP sockets: bursts of a reconnect storm wait here.
const UDP_RECEIVE_BUFFER: usize = 4 << 20;
const BACKLOG: i32 = 4096;

/// Why a listener is not there.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error("listen.{listener}: {address} is in use by another process; stop it or choose another port")]
    InUse {
        /// Configuration key.
        listener: &'static str,
        /// Asked for.
        address: SocketAddr,
    },
    /// Ports below 1024, mostly.
    #[error("listen.{listener}: no permission to bind {address}; ports below 1024 need CAP_NET_BIND_SERVICE")]
    Permission {
        /// Configuration key.
        listener: &'static str,
        /// Asked for.
        address: SocketAddr,
    },
    /// An address of another machine, mostly.
    #[error("listen.{listener}: cannot bind {address}: {source}")]
    Other {
        /// Configuration key.
        listener: &'static str,
        /// Asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    fn from_io(listener: &'static str, address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { listener, address },
            io::ErrorKind::PermissionDenied => Self::Permission { listener, address },
            _ => Self::Other { listener, address, source },
        }
    }
}

/// The two kinds of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Datagrams.
    Udp,
    /// Listening stream.
    Tcp,
}

fn socket(kind: Kind, address: SocketAddr, share: bool) -> io::Result<Socket> {
    let (ty, protocol) = match kind {
        Kind::Udp => (Type::DGRAM, Protocol::UDP),
        Kind::Tcp => (Type::STREAM, Protocol::TCP),
    };
    let s = Socket::new(Domain::for_address(address), ty, Some(protocol))?;
    if address.is_ipv6() {
        s.set_only_v6(true)?;
    }
    if kind == Kind::Tcp {
        // Connections of an earlier run in TIME_WAIT must not keep the port.
        s.set_reuse_address(true)?;
        // Signaling messages are small and each one matters at once. Connections inherit it from the listener.
        s.set_tcp_nodelay(true)?;
    }
    if share {
        s.set_reuse_port(true)?;
    }
    s.set_nonblocking(true)?;
    if kind == Kind::Udp {
        // The kernel clamps to rmem_max; a smaller buffer is no error.
        let _ = s.set_recv_buffer_size(UDP_RECEIVE_BUFFER);
        queue::prepare(&s);
    }
    s.bind(&SockAddr::from(address))?;
    Ok(s)
}

/// Binds `address` once for each of `workers`. Port 0 picks one free port for all of them.
pub fn bind(
    listener: &'static str,
    kind: Kind,
    address: SocketAddr,
    workers: usize,
) -> Result<(SocketAddr, Vec<Socket>), BindError> {
    let fail = |e| BindError::from_io(listener, address, e);
    let alone = socket(kind, address, false).map_err(fail)?;
    if kind == Kind::Tcp {
        // A plain bind beside a listening SO_REUSEADDR socket passes on some systems; listening does not.
        alone.listen(1).map_err(fail)?;
    }
    let bound = alone.local_addr().map_err(fail)?.as_socket().unwrap_or(address);
    drop(alone);
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let s = socket(kind, bound, true).map_err(fail)?;
        if kind == Kind::Tcp {
            s.listen(BACKLOG).map_err(fail)?;
        }
        sockets.push(s);
    }
    Ok((bound, sockets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_inherit_that_nothing_is_held_back() {
        let (address, sockets) =
            bind("sip_tcp", Kind::Tcp, SocketAddr::from(([127, 0, 0, 1], 0)), 1).unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        sockets[0].set_nonblocking(false).unwrap();
        let (accepted, _) = sockets[0].accept().unwrap();
        assert!(accepted.tcp_nodelay().unwrap() && !client.nodelay().unwrap());
    }

    #[test]
    fn a_taken_port_is_refused_even_though_workers_share_it() {
        for kind in [Kind::Udp, Kind::Tcp] {
            let any = "127.0.0.1:0".parse().unwrap();
            let (bound, held) = bind("sip_udp", kind, any, 3).unwrap();
            assert_eq!(held.len(), 3);
            assert_ne!(bound.port(), 0);
            assert!(matches!(bind("sip_udp", kind, bound, 2), Err(BindError::InUse { .. })), "{kind:?}");
        }
    }
}
