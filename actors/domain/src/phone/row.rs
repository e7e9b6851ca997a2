//! The row of one device and its bindings.

use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::instance::Instance;
use crate::flow::{Flow, StreamId};
use crate::ids::{Dn, ProfileId, ProfileVersion, UnixMillis};
use crate::mode::{PeerProof, SuiteKind};

/// Most bindings that one line may have on one device. A phone needs one, a client with outbound flows a
/// few (RFC 5626 §4.2 suggests two to four).
pub const CONTACTS_PER_LINE_MAX: usize = 16;

/// Most bindings of one device over all its lines: a phone with three expansion modules that registers
/// every key by one request stays below.
pub const BINDINGS_MAX: usize = 128;

/// Longest Contact URI kept, in bytes.
pub const CONTACT_MAX: usize = 512;

/// Longest Call-ID kept, in bytes.
pub const CALL_ID_MAX: usize = 256;

/// Most values of a Path that are kept.
pub const PATH_MAX: usize = 8;

/// Longest value of a Path that is kept, in bytes.
pub const PATH_VALUE_MAX: usize = 512;

/// Longest `+sip.instance` kept, in bytes.
pub const INSTANCE_MAX: usize = 128;

/// A profile at one of its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct AppliedVersion {
    /// The profile.
    pub profile: ProfileId,
    /// Its version.
    pub version: ProfileVersion,
}

/// The version that a phone was judged under before the last apply, good for a while longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PreviousVersion {
    /// Profile and version.
    pub applied: AppliedVersion,
    /// End of the apply grace (`apply_grace_s`).
    pub until: UnixMillis,
}

/// All that a node knows of one phone's registration and profile. A shared line is bound in the row of
/// each device that registers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Profile chosen by the administrator.
    pub assigned: ProfileId,
    /// Profile and version under which the phone is judged: admission, files, ports.
    pub applied: AppliedVersion,
    /// What it was judged under before, while the apply grace runs.
    pub previous: Option<Box<PreviousVersion>>,
    /// Storage revision of the last commit, the guard of the next one; 0 before the first. It is set by
    /// the row's owner and is not part of the durable bytes.
    pub revision: u64,
    /// Bindings in the order in which they came; at most [`BINDINGS_MAX`].
    pub bindings: Bindings,
}

/// The bindings of a row: most phones have one, which then lies in the row itself.
pub type Bindings = SmallVec<[Binding; 1]>;

/// One Contact of one line (RFC 3261 §10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// User part of the address of record.
    pub line: Dn,
    /// Contact URI exactly as given: the Request-URI of requests to the phone.
    pub contact: Arc<str>,
    /// Comparison key of the URI.
    pub key: ContactKey,
    /// `+sip.instance` as given (RFC 5626 §4.1).
    pub instance: Option<Instance>,
    /// `reg-id`, only together with an instance (RFC 5626 §4.2).
    pub reg_id: Option<u32>,
    /// q in thousandths; none was given: `None`, which ranks as 1000.
    pub q: Option<u16>,
    /// Cisco model number from the Contact, echoed in the answer.
    pub model: Option<u32>,
    /// Set while the request that made the binding is the last one: a repeat of it is told again that the
    /// registration is new.
    pub fresh: bool,
    /// The binding lives until here: what the last answer promised, or `persisted_until` after a restart.
    pub granted_until: UnixMillis,
    /// The durable row lets it live until here: never before `granted_until`, at most one hour after.
    pub persisted_until: UnixMillis,
    /// The request that wrote it.
    pub origin: Origin,
}

/// The REGISTER that a binding was last written by: order, repeats and the way back are judged by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Call-ID.
    pub call_id: Arc<str>,
    /// CSeq number.
    pub cseq: u32,
    /// The nonce it was proven with, if any.
    pub nonce: Option<NonceUse>,
    /// How the phone is reached. Its IP address is the source address of the request.
    pub flow: Flow,
    /// What the connection proved.
    pub peer: Peer,
    /// Path of the request: the way back through the proxies that it came through (RFC 3327); at most
    /// [`PATH_MAX`] values of [`PATH_VALUE_MAX`] bytes.
    pub path: Path,
}

/// Values of a Path header, in order; shared, since all lines of a bulk registration have the same.
pub type Path = SmallVec<[Arc<str>; 1]>;

/// One use of a digest nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NonceUse {
    /// The nonce's 64-bit id.
    pub id: u64,
    /// Nonce count; 0 without qop.
    pub nc: u32,
}

/// What the connection of a registration proved; half of a leg's class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Peer {
    /// How the device was proven.
    pub proof: PeerProof,
    /// What the cipher suite gives.
    pub suite_kind: SuiteKind,
    /// IANA number of the cipher suite; 0 without TLS.
    pub suite: u16,
    /// First eight bytes of the client certificate's SHA-256 fingerprint.
    pub certificate: Option<[u8; 8]>,
}

/// Comparison key of a Contact URI: the first 16 bytes of the SHA-256 of the canonical text in which
/// equivalent URIs are equal (RFC 3261 §19.1.4). The canonical text itself is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContactKey(pub [u8; 16]);

impl ContactKey {
    /// Key of a canonical text.
    pub fn of(canonical: &str) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&Sha256::digest(canonical.as_bytes())[..16]);
        Self(key)
    }
}

/// One Contact value of a 200 to REGISTER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a> {
    /// URI exactly as given.
    pub contact: &'a str,
    /// Seconds left, at least 1.
    pub expires: u32,
    /// q in thousandths, if one was given.
    pub q: Option<u16>,
    /// `+sip.instance`, if one was given.
    pub instance: Option<&'a Instance>,
    /// `reg-id`, if one was given.
    pub reg_id: Option<u32>,
    /// Cisco model number, if one was given.
    pub model: Option<u32>,
}

impl Row {
    /// The phone proved itself by a certificate when it last registered (R214).
    pub fn has_certificate(&self) -> bool {
        self.bindings.iter().any(|b| b.origin.peer.proof == PeerProof::Certificate)
    }
}

impl Row {
    /// A phone that was just created: nothing registered, nothing pending.
    pub fn new(applied: AppliedVersion) -> Self {
        Self { assigned: applied.profile, applied, previous: None, revision: 0, bindings: Bindings::new() }
    }

    /// Bindings alive at `now`.
    pub fn live(&self, now: UnixMillis) -> impl Iterator<Item = &Binding> {
        self.bindings.iter().filter(move |b| b.is_live(now))
    }

    /// Live bindings of one line: the targets of a call to it.
    pub fn line<'a>(&'a self, line: &'a Dn, now: UnixMillis) -> impl Iterator<Item = &'a Binding> {
        self.live(now).filter(move |b| b.line == *line)
    }

    /// This device's part of the Contact list in a 200 to REGISTER (RFC 3261 §10.3 step 8). On a shared
    /// line the caller appends the other devices' parts.
    pub fn listing<'a>(&'a self, line: &'a Dn, now: UnixMillis) -> impl Iterator<Item = Listed<'a>> {
        self.line(line, now).map(move |b| b.listed(now))
    }

    /// Some line is registered.
    pub fn is_registered(&self, now: UnixMillis) -> bool {
        self.live(now).next().is_some()
    }

    /// A connection that some binding was made on.
    pub fn uses_stream(&self, id: StreamId) -> bool {
        self.bindings.iter().any(|b| b.origin.flow.is_stream(id))
    }
}

impl Binding {
    /// Alive at `now`.
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.granted_until > now
    }

    /// Source address of the request that wrote it.
    pub fn source_ip(&self) -> IpAddr {
        self.origin.flow.remote().ip().to_canonical()
    }

    /// As one Contact value of an answer.
    pub fn listed(&self, now: UnixMillis) -> Listed<'_> {
        Listed {
            contact: &self.contact,
            expires: u32::try_from(self.granted_until.secs_after(now)).unwrap_or(u32::MAX),
            q: self.q,
            instance: self.instance.as_ref(),
            reg_id: self.reg_id,
            model: self.model,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a registered phone costs begins with this; a million of them are held by one node.
    #[test]
    fn a_row_with_one_binding_is_one_small_piece() {
        assert!(size_of::<Binding>() <= 264, "{}", size_of::<Binding>());
        assert!(size_of::<Row>() <= 304, "{}", size_of::<Row>());
    }
}
