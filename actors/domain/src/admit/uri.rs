//! Does the digest's `uri` name us, and the target that the request really has?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Host and user of a SIP URI, unescaped; port, password and parameters do not matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UriParts<'a> {
    /// User part.
    pub user: Option<&'a str>,
    /// Host: a name or an address, IPv6 with or without brackets.
    pub host: &'a str,
}

/// The hosts that this node serves: its domain, aliases and bound addresses (design §6).
#[derive(Debug, Clone, Default)]
pub struct ServedHosts {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl ServedHosts {
    /// From the configuration's texts. The unspecified address (`0.0.0.0`, `::`) stands for every
    /// address of its family: the node cannot tell which of them its host has.
    pub fn new<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut own = Self::default();
        for host in hosts {
            match address(host) {
                Some(ip) => own.addresses.push(ip),
                None => own.names.push(bare(host).to_ascii_lowercase()),
            }
        }
        own
    }

    /// Whether a host is one of ours: names without regard to case and to a final dot, addresses by
    /// value.
    pub fn contains(&self, host: &str) -> bool {
        match address(host) {
            Some(ip) => self.contains_address(ip),
            None => self.contains_name(host),
        }
    }

    /// [`Self::contains`] of a host that is known to be a name.
    pub fn contains_name(&self, host: &str) -> bool {
        let host = bare(host);
        self.names.iter().any(|n| n.eq_ignore_ascii_case(host))
    }

    /// [`Self::contains`] of a host that is an address.
    pub fn contains_address(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|own| match own {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => ip.is_ipv4(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => ip.is_ipv6(),
            own => *own == ip,
        })
    }
}

/// Whether a digest `uri` is acceptable for a request (RFC 7616 §3.4.6 as RFC 3261 §22.4 relaxes it): it
/// names a host of ours and no other user than the Request-URI. Otherwise a captured response could be moved to another target.
///
/// Tolerated, since clients do it: a lost user part, parameters or port, and the domain in place of the
/// node's address. A REGISTER's Request-URI has no user; a `uri` that has one is taken.
pub fn uri_names_us(uri: UriParts<'_>, request: UriParts<'_>, served: &ServedHosts) -> bool {
    let user = match (uri.user, request.user) {
        (Some(named), Some(wanted)) => named == wanted,
        _ => true,
    };
    user && served.contains(uri.host)
}

fn bare(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn address(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}
