//! The listeners of a node and where each of them binds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A listener, by its key in `[listen]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Listener {
    /// SIP over UDP.
    SipUdp,
    /// SIP over TCP.
    SipTcp,
    /// SIP over TLS.
    SipTls,
    /// SIP over TLS for phones with bearer tokens.
    SipOauth,
    /// SIP over WebSocket (RFC 7118), for browsers behind a proxy that ends their TLS.
    SipWs,
    /// SIP over secure WebSocket.
    SipWss,
    /// SIP over QUIC.
    SipQuic,
    /// SCCP.
    Sccp,
    /// SCCP over TLS.
    SccpTls,
    /// TFTP.
    Tftp,
    /// Phone configuration over HTTP.
    HttpConfig,
    /// Phone configuration over HTTPS.
    HttpsConfig,
    /// Phone configuration over HTTPS with bearer tokens.
    HttpsConfigOauth,
    /// Certificate authority proxy function.
    Capf,
    /// Trust verification service.
    Tvs,
    /// The admin API over HTTPS.
    Admin,
    /// Metrics over HTTP.
    Metrics,
}

/// What a listener binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    /// A UDP socket.
    Datagram,
    /// A TCP listener.
    Stream,
}

impl Listener {
    /// All listeners, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::SipUdp,
        Self::SipTcp,
        Self::SipTls,
        Self::SipOauth,
        Self::SipWs,
        Self::SipWss,
        Self::SipQuic,
        Self::Sccp,
        Self::SccpTls,
        Self::Tftp,
        Self::HttpConfig,
        Self::HttpsConfig,
        Self::HttpsConfigOauth,
        Self::Capf,
        Self::Tvs,
        Self::Admin,
        Self::Metrics,
    ];

    /// Key in `[listen]` and name in the `ready` line.
    pub fn key(self) -> &'static str {
        match self {
            Self::SipUdp => "sip_udp",
            Self::SipTcp => "sip_tcp",
            Self::SipTls => "sip_tls",
            Self::SipOauth => "sip_oauth",
            Self::SipWs => "sip_ws",
            Self::SipWss => "sip_wss",
            Self::SipQuic => "sip_quic",
            Self::Sccp => "sccp",
            Self::SccpTls => "sccp_tls",
            Self::Tftp => "tftp",
            Self::HttpConfig => "http_config",
            Self::HttpsConfig => "https_config",
            Self::HttpsConfigOauth => "https_config_oauth",
            Self::Capf => "capf",
            Self::Tvs => "tvs",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
        }
    }

    /// Port if none is configured.
    pub fn default_port(self) -> u16 {
        match self {
            Self::SipUdp | Self::SipTcp => 5060,
            Self::SipTls | Self::SipQuic => 5061,
            Self::SipOauth => 5090,
            Self::SipWs => 5080,
            Self::SipWss => 5081,
            Self::Sccp => 2000,
            Self::SccpTls => 2443,
            Self::Tftp => 6969,
            Self::HttpConfig => 6970,
            Self::HttpsConfig => 6971,
            Self::HttpsConfigOauth => 6972,
            Self::Capf => 3804,
            Self::Tvs => 2445,
            Self::Admin => 8443,
            Self::Metrics => 9464,
        }
    }

    /// What it binds.
    pub fn socket(self) -> Socket {
        match self {
            Self::SipUdp | Self::SipQuic | Self::Tftp => Socket::Datagram,
            _ => Socket::Stream,
        }
    }

    /// This version serves it. Others bind nothing and are not in the `ready` line.
    pub fn is_built(self) -> bool {
        self.takes_several() || matches!(self, Self::Admin | Self::Metrics)
    }

    /// It may be bound to several addresses, such as one of each family.
    pub fn takes_several(self) -> bool {
        matches!(
            self,
            Self::SipUdp | Self::SipTcp | Self::SipTls | Self::SipOauth | Self::SipWs | Self::SipWss
        )
    }

    /// It is on unless it is switched off. Browsers' listeners are there only for who asks for them.
    pub fn is_on_by_default(self) -> bool {
        !matches!(self, Self::SipWs | Self::SipWss)
    }
}

/// `[listen]`: the addresses of each listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub(super) addresses: [Vec<SocketAddr>; Listener::ALL.len()],
}

impl Default for Listen {
    fn default() -> Self {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let own = |listener: Listener| SocketAddr::new(host, listener.default_port());
        Self {
            addresses: Listener::ALL.map(|l| if l.is_on_by_default() { vec![own(l)] } else { Vec::new() }),
        }
    }
}

impl Listen {
    /// Where a listener is to bind first: nowhere if it is switched off or not built. Port 0 lets the
    /// system choose.
    pub fn get(&self, listener: Listener) -> Option<SocketAddr> {
        self.all(listener).first().copied()
    }

    /// All addresses that a listener is to bind.
    pub fn all(&self, listener: Listener) -> &[SocketAddr] {
        if listener.is_built() { &self.addresses[listener as usize] } else { &[] }
    }

    /// All listeners that are to bind, in the order of [`Listener::ALL`], each with every address of it.
    pub fn bound(&self) -> impl Iterator<Item = (Listener, SocketAddr)> + '_ {
        Listener::ALL.into_iter().flat_map(|listener| self.all(listener).iter().map(move |a| (listener, *a)))
    }

    /// Listeners that are switched on but not built in this version.
    pub fn not_built(&self) -> impl Iterator<Item = Listener> + '_ {
        Listener::ALL
            .into_iter()
            .filter(|listener| !listener.is_built() && !self.addresses[*listener as usize].is_empty())
    }
}
