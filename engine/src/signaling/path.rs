//! The way that a message came or goes: the transaction layer's route.

use std::net::SocketAddr;

use keyline_domain::flow::{Flow, StreamId};
use keyline_domain::mode::Transport;

use super::transaction::Route;

/// A path from one of our sockets to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Datagrams between these two addresses.
    Udp {
        /// Our listener's address.
        local: SocketAddr,
        /// The peer's.
        remote: SocketAddr,
    },
    /// A connection.
    Stream {
        /// Which.
        id: StreamId,
        /// TCP, TLS or OAuth.
        transport: Transport,
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
    },
}

impl Route for Path {
    fn is_reliable(&self) -> bool {
        matches!(self, Self::Stream { .. })
    }

    /// Over UDP from the same address, though perhaps another port (RFC 3581 is not everybody's); over a
    /// stream on the same connection.
    fn admits(&self, from: &Self) -> bool {
        match (self, from) {
            (Self::Udp { remote, .. }, Self::Udp { remote: source, .. }) => {
                remote.ip().to_canonical() == source.ip().to_canonical()
            }
            (Self::Stream { id, .. }, Self::Stream { id: other, .. }) => id == other,
            _ => false,
        }
    }
}

impl Path {
    /// Transport.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Udp { .. } => Transport::Udp,
            Self::Stream { transport, .. } => *transport,
        }
    }

    /// Our address on it.
    pub fn local(&self) -> SocketAddr {
        match self {
            Self::Udp { local, .. } | Self::Stream { local, .. } => *local,
        }
    }

    /// The peer's address on it.
    pub fn remote(&self) -> SocketAddr {
        match self {
            Self::Udp { remote, .. } | Self::Stream { remote, .. } => *remote,
        }
    }

    /// As a flow that requests can be sent on later.
    pub fn flow(&self) -> Flow {
        match *self {
            Self::Udp { local, remote } => Flow::Udp { local, remote },
            Self::Stream { id, transport, remote, .. } => Flow::Stream { id, transport, remote },
        }
    }
}
