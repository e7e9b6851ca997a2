//! The way that a message came or goes: the transaction layer's route.

use std::net::SocketAddr;

use keyline_domain::flow::{Flow, StreamId};
use keyline_domain::mode::Transport;
use keyline_wire::sip::text::{push_ip, push_number};

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

/// An address as SIP writes it: IPv6 in brackets and without the zone, which means something on this host
/// only (RFC 4007 §11.2) and which no URI may bear (RFC 5118 §4).
pub(super) fn host_port(address: SocketAddr) -> String {
    let mut text = String::with_capacity(48);
    push_host_port(&mut text, address);
    text
}

/// Appends the same.
pub(super) fn push_host_port(out: &mut String, address: SocketAddr) {
    let v6 = address.is_ipv6();
    out.push_str(if v6 { "[" } else { "" });
    push_ip(out, address.ip());
    out.push_str(if v6 { "]:" } else { ":" });
    push_number(out, u64::from(address.port()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_bears_brackets_but_no_zone() {
        let linked = SocketAddr::V6(std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 5060, 0, 3));
        for (address, text) in [
            ("192.0.2.1:5060".parse().unwrap(), "192.0.2.1:5060"),
            ("[2001:db8:0::9]:5061".parse().unwrap(), "[2001:db8::9]:5061"),
            (linked, "[fe80::1]:5060"),
        ] {
            assert_eq!(host_port(address), text);
        }
    }
}
