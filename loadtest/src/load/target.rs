//! Where load goes: a transport and an address.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Datagrams; the generator repeats them by the timers of RFC 3261.
    Udp,
    /// One TCP connection a phone.
    Tcp,
    /// One TLS connection a phone.
    Tls,
}

impl Carrier {
    /// As in a Via.
    pub fn via(self) -> &'static str {
        match self {
            Carrier::Udp => "UDP",
            Carrier::Tcp => "TCP",
            Carrier::Tls => "TLS",
        }
    }

    /// The parameter of a Contact; none over UDP.
    pub(super) fn parameter(self) -> &'static str {
        match self {
            Carrier::Udp => "",
            Carrier::Tcp => ";transport=tcp",
            Carrier::Tls => ";transport=tls",
        }
    }
}

/// A server's address with its transport, written `udp:127.0.0.1:5060`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// How messages travel.
    pub carrier: Carrier,
    /// Where to.
    pub address: SocketAddr,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let wanted = || format!("`{text}` is no target; write udp:HOST:PORT, tcp:HOST:PORT or tls:HOST:PORT");
        let (scheme, rest) = text.split_once(':').ok_or_else(wanted)?;
        let carrier = match scheme {
            "udp" => Carrier::Udp,
            "tcp" => Carrier::Tcp,
            "tls" => Carrier::Tls,
            _ => return Err(wanted()),
        };
        if let Ok(address) = rest.parse() {
            return Ok(Target { carrier, address });
        }
        let mut found = rest.to_socket_addrs().map_err(|e| format!("{}: {e}", wanted()))?;
        let address = found.next().ok_or_else(wanted)?;
        Ok(Target { carrier, address })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.carrier.via().to_ascii_lowercase(), self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written() {
        for text in ["udp:127.0.0.1:5060", "tcp:[::1]:5060", "tls:192.0.2.7:5061"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for bad in ["127.0.0.1:5060", "sctp:127.0.0.1:5060", "udp:127.0.0.1", "udp", ""] {
            let refused = bad.parse::<Target>().unwrap_err();
            assert!(refused.contains("udp:HOST:PORT"), "{refused}");
        }
    }
}
