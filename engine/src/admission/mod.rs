//! Admission: evidence from a request and its connection, the domain's verdict. Reads boards only; no lock,
//! no actor round trip. Hot path.

mod bearer;
mod judge;
mod rate;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use keyline_domain::admit::{Policy, ServedHosts, Throttle};
use keyline_domain::impact::policy_of;
use keyline_domain::inventory;
use keyline_domain::nonce::Windows;
use keyline_wire::sip::Host;

use crate::limits::Limits;
use crate::oauth::Oauth;

pub use judge::{Arrival, Judged, Speaker, judge};
pub use rate::SourceRate;

/// Sources whose wrong passwords are counted: 8 bytes each.
const THROTTLED_SOURCES: usize = 65_536;

/// Sources whose OPTIONS are counted.
const OPTIONS_SOURCES: usize = 16_384;

/// Sources whose requests are counted.
const REQUEST_SOURCES: usize = 65_536;

/// What admission looks at besides the boards: one a node.
#[derive(Debug)]
pub struct Admission {
    /// Nonce-count windows.
    pub windows: Windows,
    /// Wrong passwords by source.
    pub throttle: Throttle,
    /// OPTIONS to the server by source.
    pub options: SourceRate,
    /// Auto-registrations by source.
    pub adoptions: SourceRate,
    /// Phones that auto-registration may have made in all.
    pub adopted_max: AtomicU64,
    /// All requests by source.
    pub requests: SourceRate,
    /// Bearer tokens.
    pub oauth: Arc<Oauth>,
    /// Hosts that we are.
    pub hosts: ArcSwap<ServedHosts>,
    /// `[limits] allow_unproven_move`.
    pub allow_unproven_move: bool,
}

impl Admission {
    /// Tables for this many phones. `secret` is random.
    pub fn new(phones: usize, hosts: ServedHosts, limits: &Limits, oauth: Arc<Oauth>, secret: u64) -> Self {
        let after = u8::try_from(limits.wrong_digests_per_source).unwrap_or(u8::MAX);
        let forget_s = limits.wrong_digest_forget_s;
        Self {
            windows: Windows::for_phones(phones),
            throttle: Throttle::with_limits(THROTTLED_SOURCES, secret, after, forget_s),
            options: SourceRate::new(OPTIONS_SOURCES, limits.options_per_source),
            adopted_max: AtomicU64::new(limits.auto_registered_phones),
            adoptions: SourceRate::new(OPTIONS_SOURCES, limits.auto_registrations_per_source),
            requests: SourceRate::new(REQUEST_SOURCES, limits.requests_per_source),
            oauth,
            hosts: ArcSwap::from_pointee(hosts),
            allow_unproven_move: limits.allow_unproven_move == 1,
        }
    }

    /// Parameters that bear on admission, as the domain takes them: the same reading as a what-if's.
    pub fn policy(&self, parameters: &inventory::Parameters) -> Policy {
        Policy { allow_unproven_move: self.allow_unproven_move, ..policy_of(parameters) }
    }

    /// Whether this address is one of ours.
    pub fn is_ours(&self, host: &str) -> bool {
        self.hosts.load().contains(host)
    }

    /// The same for a host that was parsed.
    pub fn is_our_host(&self, host: &Host<'_>) -> bool {
        match host {
            Host::Name(name) => self.hosts.load().contains_name(name),
            Host::V4(ip) => self.hosts.load().contains_address(IpAddr::V4(*ip)),
            Host::V6(ip) => self.hosts.load().contains_address(IpAddr::V6(*ip)),
        }
    }

    /// Counts wrong answers without end from one source.
    pub fn wrong_answer(&self, source: IpAddr, now: keyline_domain::ids::UnixMillis) {
        self.throttle.wrong(source, now);
    }
}
