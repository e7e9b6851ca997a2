//! Facts of a REGISTER as the engine extracts them, and what a step decides.

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::instance::Instance;
use super::row::{NonceUse, Path, Peer, Row};
use crate::flow::Flow;
use crate::ids::{Dn, UnixMillis};

/// An admitted REGISTER of one device. Require, authentication and the question whether the lines are
/// the device's own are behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// Lines to bind: To's first; more by bulk registration. Without repeats; never empty.
    pub lines: SmallVec<[Dn; 1]>,
    /// Contact values in order; empty in a query.
    pub contacts: SmallVec<[ContactFact; 1]>,
    /// `Contact: *` was present.
    pub star: bool,
    /// Expires header, clamped to 32 bits; garbage counts as 3600 (RFC 3261 §20.19).
    pub expires: Option<u32>,
    /// Call-ID.
    pub call_id: Arc<str>,
    /// CSeq number.
    pub cseq: u32,
    /// The nonce that proved the request; none without digest.
    pub nonce: Option<NonceUse>,
    /// How the phone is reached: on UDP with [`super::udp_target`] as the remote address. Its IP address
    /// must be the source address of the request.
    pub flow: Flow,
    /// What the connection proved.
    pub peer: Peer,
    /// Path values.
    pub path: Path,
    /// The Contact bore `cisco-keep-alive`: a standby keepalive, which changes nothing.
    pub keepalive: bool,
}

/// One Contact value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactFact {
    /// URI exactly as given, without angle brackets.
    pub uri: Arc<str>,
    /// Canonical text of the URI: equal for equivalent URIs (RFC 3261 §19.1.4).
    pub uri_key: String,
    /// q in thousandths, at most 1000.
    pub q: Option<u16>,
    /// `expires` parameter, clamped to 32 bits; garbage counts as 3600.
    pub expires: Option<u32>,
    /// `+sip.instance`.
    pub instance: Option<Instance>,
    /// `reg-id`; ignored without an instance (RFC 5626 §6).
    pub reg_id: Option<u32>,
    /// Number in `+u.sip!model.ccm.cisco.com`.
    pub model: Option<u32>,
}

/// `register_expires_min`, `_max` and `_default`, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiryLimits {
    /// Shorter is refused with 423.
    pub min: u32,
    /// Longer is shortened to this.
    pub max: u32,
    /// Taken when the phone names none.
    pub default: u32,
}

impl Default for ExpiryLimits {
    fn default() -> Self {
        Self { min: 60, max: 7200, default: 3600 }
    }
}

/// What a step needs besides the row and the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// Wall clock.
    pub now: UnixMillis,
    /// Parameters in force.
    pub expiry: ExpiryLimits,
    /// The applied profile asks the device for a proof (certificate, token or digest).
    pub proof_due: bool,
    /// A second source may take over a device with no proof due.
    pub allow_unproven_move: bool,
}

/// What to do about one message or one tick.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// What to answer.
    pub outcome: Outcome,
    /// The new row; `None` leaves the present one.
    pub row: Option<Row>,
    /// Whether the row must be committed before it is published and the answer leaves.
    pub write: Write,
    /// What happened, in order.
    pub events: SmallVec<[Event; 1]>,
}

/// Answer of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 200 with Date and the line's bindings in the new row ([`Row::listing`]).
    Ok(Accepted),
    /// A refusal; nothing changed.
    Refuse(Cause),
    /// Nobody asked.
    Silent,
}

/// Particulars of a 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// What the request was.
    pub kind: Kind,
    /// Seconds granted to the first contact that stays: the Expires header.
    pub expires: Option<u32>,
    /// First registration: `x-cisco-newreg` on the Contact (provisioning.md §7.2).
    pub newreg: bool,
}

/// Kind of an accepted REGISTER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bindings were added, refreshed or removed.
    Changed,
    /// A query: no Contact.
    Fetched,
    /// A standby keepalive. List no bindings.
    Keepalive,
    /// A retransmission of the request that wrote the bindings.
    Repeated,
}

/// Whether a row must be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    /// The durable row covers it: publish and answer at once.
    None,
    /// Commit the new row first.
    Put,
}

/// What happened to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A binding was made.
    Registered(Dn),
    /// A binding was prolonged on its flow.
    Refreshed(Dn),
    /// A binding was prolonged on another flow, or on the first one after its old one was lost: what
    /// waits for the phone may go on.
    Moved(Dn),
    /// A binding is gone.
    Unregistered(Dn, Gone),
}

/// Why a binding is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gone {
    /// The phone removed it.
    Asked,
    /// Its time was up.
    Expired,
    /// A newer contact of the same line needed its place.
    Replaced,
}

/// Why a REGISTER was refused. The text is for the Warning header and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Cause {
    /// `*` beside other contacts.
    #[error("Contact: * must be the only contact")]
    StarNotAlone,
    /// `*` without Expires 0.
    #[error("Contact: * needs Expires: 0")]
    StarNeedsZero,
    /// Several contacts with reg-id that are not removals (RFC 5626 §6).
    #[error("only one contact may bear reg-id and stay")]
    SeveralRegIds,
    /// Contact URI, Call-ID or instance above its limit.
    #[error("{what} has {length} bytes; at most {limit} are kept")]
    TooLong {
        /// Which.
        what: &'static str,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Shorter than `register_expires_min`.
    #[error("expiry of {asked} s is below the minimum of {min} s")]
    TooBrief {
        /// Seconds asked for.
        asked: u32,
        /// `Min-Expires` of the answer.
        min: u32,
    },
    /// More bindings than a line or a device may have.
    #[error("{count} bindings; at most {limit} are allowed: remove one first")]
    TooMany {
        /// Bindings that there would be.
        count: usize,
        /// Bindings allowed.
        limit: usize,
    },
    /// Same Call-ID, CSeq not higher, and not a retransmission.
    #[error("CSeq {given} does not follow {last} in this Call-ID")]
    OutOfOrder {
        /// CSeq of the request.
        given: u32,
        /// CSeq of the binding.
        last: u32,
    },
    /// The device is registered from elsewhere and no proof tells the two apart.
    #[error("the device is registered from another address")]
    SecondSource,
}

impl Cause {
    /// SIP status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::StarNotAlone | Self::StarNeedsZero | Self::SeveralRegIds | Self::TooLong { .. } => 400,
            Self::TooMany { .. } | Self::SecondSource => 403,
            Self::TooBrief { .. } => 423,
            // RFC 3261 §10.3 names no status; §12.2.2 has 500 for the same fault in a dialog.
            Self::OutOfOrder { .. } => 500,
        }
    }

    /// `Min-Expires` of a 423.
    pub fn min_expires(self) -> Option<u32> {
        match self {
            Self::TooBrief { min, .. } => Some(min),
            _ => None,
        }
    }

    /// Stable word for metrics, events and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StarNotAlone => "star_not_alone",
            Self::StarNeedsZero => "star_needs_zero",
            Self::SeveralRegIds => "several_reg_ids",
            Self::TooLong { .. } => "too_long",
            Self::TooBrief { .. } => "interval_too_brief",
            Self::TooMany { .. } => "too_many_bindings",
            Self::OutOfOrder { .. } => "cseq_out_of_order",
            Self::SecondSource => "second_source",
        }
    }
}

impl Register {
    /// Source address of the request.
    pub fn source_ip(&self) -> IpAddr {
        self.flow.remote().ip().to_canonical()
    }
}

impl ExpiryLimits {
    /// Seconds to grant for a contact's parameter and the request's header; 0 removes. Shortens, never
    /// lengthens; refuses only below one hour and the minimum (RFC 3261 §10.3 step 7).
    ///
    /// # Errors
    /// [`Cause::TooBrief`] with the minimum.
    pub fn grant(self, parameter: Option<u32>, header: Option<u32>) -> Result<u32, Cause> {
        let Some(asked) = parameter.or(header) else {
            return Ok(self.default.min(self.max));
        };
        if asked > 0 && asked < 3600 && asked < self.min {
            return Err(Cause::TooBrief { asked, min: self.min });
        }
        Ok(asked.min(self.max))
    }
}

impl Step {
    /// Nothing to do.
    pub fn idle() -> Self {
        Self { outcome: Outcome::Silent, row: None, write: Write::None, events: SmallVec::new() }
    }

    pub(super) fn answer(outcome: Outcome) -> Self {
        Self { outcome, ..Self::idle() }
    }
}
