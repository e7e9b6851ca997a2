//! Where a device is reached: the flow that it registered on (RFC 5626 §5.3, design §3).

use std::net::SocketAddr;

use crate::mode::Transport;

/// A live stream connection: slot `index` of worker `worker`; `generation` tells a reused slot apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamId {
    /// Worker that owns the connection.
    pub worker: u16,
    /// Slot in that worker's connection table.
    pub index: u32,
    /// Counts reuses of the slot.
    pub generation: u32,
}

/// How to reach a device. Never derived from a Contact's host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flow {
    /// A datagram flow: an address is enough, and it outlives a restart.
    Udp {
        /// Our listener's address that the request came to; answers and requests leave from there.
        local: SocketAddr,
        /// Source of the request (or source IP with the profile's phone port, design §3).
        remote: SocketAddr,
    },
    /// A live connection.
    Stream {
        /// The connection.
        id: StreamId,
        /// TCP, TLS or OAuth.
        transport: Transport,
        /// Peer address of the connection.
        remote: SocketAddr,
    },
    /// A stream binding read back after a restart: known, but its connection is gone.
    Lost {
        /// TCP, TLS or OAuth.
        transport: Transport,
        /// Peer address of the lost connection.
        remote: SocketAddr,
    },
}

impl Flow {
    /// Transport of the flow.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Udp { .. } => Transport::Udp,
            Self::Stream { transport, .. } | Self::Lost { transport, .. } => *transport,
        }
    }

    /// Peer address.
    pub fn remote(&self) -> SocketAddr {
        match self {
            Self::Udp { remote, .. } | Self::Stream { remote, .. } | Self::Lost { remote, .. } => *remote,
        }
    }

    /// Requests can be sent now.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::Lost { .. })
    }
}
