//! The keys by which a table finds its transactions (RFC 3261 §17.1.3, §17.2.3).
//!
//! [`TransactionKey`] says what identifies a transaction; a table keeps a 128-bit fingerprint of it
//! under random keys instead of the text. Two keys that share one by chance are not met in
//! practice, and nobody outside can search for them, as the random keys never leave the process.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;

use keyline_wire::sip::{Message, Method, TransactionKey};
use smallvec::SmallVec;

/// What kind of server transaction a request makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ack,
    Cancel,
    Invite,
    Other,
}

impl Kind {
    pub(super) fn of(method: Method<'_>) -> Self {
        match method {
            Method::Ack => Self::Ack,
            Method::Cancel => Self::Cancel,
            Method::Invite => Self::Invite,
            _ => Self::Other,
        }
    }
}

/// Identifies a server transaction to be: from [`super::ServerTable::receive`] for
/// [`super::ServerTable::open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey {
    pub(super) print: Fingerprint,
    pub(super) kind: Kind,
    /// What copies of the request on other paths have in common with it; `None` where there can be none.
    pub(super) merge: Option<Fingerprint>,
}

/// 128 bits that stand for a key.
pub(super) type Fingerprint = (u64, u64);

/// Makes fingerprints, under random keys of its own.
pub(super) struct Fingerprints {
    first: RandomState,
    second: foldhash::quality::RandomState,
}

impl Fingerprints {
    pub(super) fn new() -> Self {
        Self { first: RandomState::new(), second: foldhash::quality::RandomState::default() }
    }

    /// Of a request from this source.
    pub(super) fn from(&self, key: &TransactionKey, source: IpAddr) -> Fingerprint {
        let mut bytes: SmallVec<[u8; 192]> = SmallVec::from_slice(key.as_bytes());
        bytes.extend_from_slice(&octets(source));
        self.of_bytes(&bytes)
    }

    /// Of what RFC 3261 §8.2.2.2 compares: From tag, Call-ID and CSeq of a request without To tag. The source
    /// address is part of it, as it is of the transaction: nobody elsewhere can claim a request first, and the
    /// kernel deals other addresses to other workers anyway.
    pub(super) fn merge(&self, request: &Message<'_>, source: IpAddr) -> Option<Fingerprint> {
        let method = request.method().filter(|m| !matches!(m, Method::Ack | Method::Cancel))?;
        let (None, Some(tag)) = (request.to_tag(), request.from_tag()) else { return None };
        let (call_id, number) = (request.call_id()?, request.cseq()?.number);
        // In one piece: a hash of many small ones costs twice as much.
        let mut bytes: SmallVec<[u8; 256]> = SmallVec::new();
        for part in [tag, call_id, method.as_str()] {
            bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&octets(source));
        Some(self.of_bytes(&bytes))
    }

    pub(super) fn of(&self, key: &TransactionKey) -> Fingerprint {
        self.of_bytes(key.as_bytes())
    }

    fn of_bytes(&self, bytes: &[u8]) -> Fingerprint {
        let (mut first, mut second) = (self.first.build_hasher(), self.second.build_hasher());
        first.write(bytes);
        second.write(bytes);
        (first.finish(), second.finish())
    }
}

fn octets(source: IpAddr) -> [u8; 16] {
    match source.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}
