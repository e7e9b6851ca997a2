//! The bytes of a row: compact, versioned, bounded.
//!
//! First byte: schema. Numbers are LEB128 unless a width is given, strings are length and UTF-8. A binding
//! says by flags what it shares with the one before it, so a phone that binds many lines by one request
//! costs a few bytes a line. A checksum is the storage layer's business; damage that reaches this point is
//! an error, never a panic and never an allocation beyond the limits of [`super::row`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use super::instance::{Instance, Uuid};
use super::row::{
    AppliedVersion, BINDINGS_MAX, Binding, Bindings, CALL_ID_MAX, CONTACT_MAX, ContactKey, INSTANCE_MAX,
    NonceUse, Origin, PATH_MAX, PATH_VALUE_MAX, Path, Peer, PreviousVersion, Row,
};
use crate::flow::{Flow, StreamId};
use crate::ids::{DN_MAX, Dn, ProfileId, ProfileVersion, UnixMillis};
use crate::mode::{PeerProof, SuiteKind, Transport};

/// Newest schema; every one from 1 on can be read.
pub const SCHEMA: u8 = 2;

/// Why bytes are not a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer release, or not a row.
    #[error("phone row has schema {found}, this release reads 1 to {newest}: start a newer release")]
    Schema {
        /// First byte.
        found: u8,
        /// [`SCHEMA`].
        newest: u8,
    },
    /// Ends too early.
    #[error("phone row ends at byte {at} within {what}: restore it from a backup or delete it")]
    Truncated {
        /// Bytes there are.
        at: usize,
        /// What was being read.
        what: &'static str,
    },
    /// A value that no row can have.
    #[error("phone row holds an impossible {what} before byte {at}: restore it from a backup or delete it")]
    Damaged {
        /// Bytes read so far.
        at: usize,
        /// What was read.
        what: &'static str,
    },
}

impl Row {
    /// The durable bytes. A live stream is written as lost, and the revision, which storage knows, is left
    /// out: decoding gives the row as a restart finds it.
    pub fn encode(&self) -> Vec<u8> {
        write_row(self, false)
    }

    /// The bytes for memory: like [`Row::encode`], with revision and live streams. Meaningless after a
    /// restart.
    pub fn pack(&self) -> Vec<u8> {
        write_row(self, true)
    }

    /// Reads what [`Row::encode`] or [`Row::pack`] wrote, of this schema or an earlier one.
    ///
    /// # Errors
    /// [`DecodeError`] for a newer schema and for damage.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader { bytes, at: 0 };
        match r.byte("schema")? {
            1 | 2 => read_row(&mut r),
            found => Err(DecodeError::Schema { found, newest: SCHEMA }),
        }
    }
}

const HAS_PREVIOUS: u8 = 1;
const HAS_REVISION: u8 = 2;

const INSTANCE_FORM: u16 = 0b11;
const HAS_REG_ID: u16 = 1 << 2;
const HAS_Q: u16 = 1 << 3;
const HAS_MODEL: u16 = 1 << 4;
const FRESH: u16 = 1 << 5;
const HAS_NONCE: u16 = 1 << 6;
const HAS_CERTIFICATE: u16 = 1 << 7;
const SAME_CONTACT: u16 = 1 << 8;
const SAME_INSTANCE: u16 = 1 << 9;
const SAME_ORIGIN: u16 = 1 << 10;
/// Since schema 2.
const HAS_PATH: u16 = 1 << 11;
const KNOWN: u16 = (1 << 12) - 1;

fn write_row(row: &Row, resident: bool) -> Vec<u8> {
    let mut w = Vec::with_capacity(32 + 192 * row.bindings.len());
    // The form of before where it says everything: an earlier release reads the row then.
    let has_path = row.bindings.iter().any(|b| !b.origin.path.is_empty());
    w.push(if has_path { SCHEMA } else { 1 });
    let revision = resident && row.revision > 0;
    w.push(if row.previous.is_some() { HAS_PREVIOUS } else { 0 } | if revision { HAS_REVISION } else { 0 });
    number(&mut w, u64::from(row.assigned.0));
    write_applied(&mut w, row.applied);
    if let Some(previous) = &row.previous {
        write_applied(&mut w, previous.applied);
        number(&mut w, previous.until.0);
    }
    if revision {
        number(&mut w, row.revision);
    }
    number(&mut w, row.bindings.len() as u64);
    let mut before = None;
    for b in &row.bindings {
        write_binding(&mut w, b, before, resident);
        before = Some(b);
    }
    w
}

fn write_applied(w: &mut Vec<u8>, applied: AppliedVersion) {
    number(w, u64::from(applied.profile.0));
    number(w, u64::from(applied.version.0));
}

fn write_binding(w: &mut Vec<u8>, b: &Binding, before: Option<&Binding>, resident: bool) {
    let uuid = b.instance.as_ref().and_then(Instance::uuid);
    let same = |same: fn(&Binding, &Binding) -> bool| before.is_some_and(|before| same(before, b));
    let same_instance = b.instance.is_some() && same(|a, b| a.instance == b.instance);
    let same_contact = same(|a, b| a.contact == b.contact && a.key == b.key);
    let same_origin = same(|a, b| a.origin == b.origin);
    let flag = |set: bool, flag: u16| if set { flag } else { 0 };
    let form = match (&b.instance, &uuid) {
        _ if same_instance => 0,
        (None, _) => 0,
        (Some(_), None) => 1,
        (Some(_), Some(Uuid { bracketed: true, .. })) => 2,
        (Some(_), Some(_)) => 3,
    };
    let flags = form
        | flag(b.reg_id.is_some(), HAS_REG_ID)
        | flag(b.q.is_some(), HAS_Q)
        | flag(b.model.is_some(), HAS_MODEL)
        | flag(b.fresh, FRESH)
        | flag(!same_origin && b.origin.nonce.is_some(), HAS_NONCE)
        | flag(!same_origin && b.origin.peer.certificate.is_some(), HAS_CERTIFICATE)
        | flag(!same_origin && !b.origin.path.is_empty(), HAS_PATH)
        | flag(same_contact, SAME_CONTACT)
        | flag(same_instance, SAME_INSTANCE)
        | flag(same_origin, SAME_ORIGIN);
    w.extend_from_slice(&flags.to_le_bytes());
    text(w, b.line.as_str());
    if !same_contact {
        text(w, &b.contact);
        w.extend_from_slice(&b.key.0);
    }
    match (form, &b.instance, uuid) {
        (1, Some(instance), _) => text(w, &instance.to_string()),
        (2 | 3, _, Some(uuid)) => w.extend_from_slice(&uuid.bits),
        _ => {}
    }
    for value in [b.reg_id, b.q.map(u32::from), b.model].into_iter().flatten() {
        number(w, u64::from(value));
    }
    number(w, b.granted_until.0);
    number(w, b.persisted_until.0.saturating_sub(b.granted_until.0));
    if !same_origin {
        write_origin(w, &b.origin, resident);
    }
}

fn write_origin(w: &mut Vec<u8>, origin: &Origin, resident: bool) {
    text(w, &origin.call_id);
    number(w, u64::from(origin.cseq));
    if let Some(nonce) = origin.nonce {
        w.extend_from_slice(&nonce.id.to_be_bytes());
        number(w, u64::from(nonce.nc));
    }
    let flow = if resident { origin.flow } else { origin.flow.durable() };
    let kind = match flow {
        Flow::Udp { .. } => 0,
        Flow::Lost { .. } => 1,
        Flow::Stream { .. } => 2,
    };
    w.push(kind | (position(&TRANSPORTS, flow.transport()) << 2));
    address(w, flow.remote());
    match flow {
        Flow::Udp { local, .. } => address(w, local),
        Flow::Stream { id, .. } => {
            for part in [u32::from(id.worker), id.index, id.generation] {
                number(w, u64::from(part));
            }
        }
        Flow::Lost { .. } => {}
    }
    let peer = origin.peer;
    w.push(position(&PROOFS, peer.proof) | (position(&SUITES, peer.suite_kind) << 4));
    w.extend_from_slice(&peer.suite.to_be_bytes());
    if let Some(certificate) = peer.certificate {
        w.extend_from_slice(&certificate);
    }
    if !origin.path.is_empty() {
        number(w, origin.path.len() as u64);
        for value in &origin.path {
            text(w, value);
        }
    }
}

fn number(w: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        w.push(value as u8 | 0x80);
        value >>= 7;
    }
    w.push(value as u8);
}

fn text(w: &mut Vec<u8>, value: &str) {
    number(w, value.len() as u64);
    w.extend_from_slice(value.as_bytes());
}

/// IPv4: 4; IPv6: 6, with a scope 7. The flow label is no part of an address.
fn address(w: &mut Vec<u8>, value: SocketAddr) {
    match value {
        SocketAddr::V4(a) => {
            w.push(4);
            w.extend_from_slice(&a.ip().octets());
        }
        SocketAddr::V6(a) => {
            w.push(if a.scope_id() == 0 { 6 } else { 7 });
            w.extend_from_slice(&a.ip().octets());
            if a.scope_id() != 0 {
                w.extend_from_slice(&a.scope_id().to_be_bytes());
            }
        }
    }
    w.extend_from_slice(&value.port().to_be_bytes());
}

// The position of a value in these lists is what is stored: append only.
const TRANSPORTS: [Transport; 6] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Oauth, Transport::Ws, Transport::Wss];
const PROOFS: [PeerProof; 4] = [PeerProof::None, PeerProof::Digest, PeerProof::Certificate, PeerProof::Token];
const SUITES: [SuiteKind; 3] = [SuiteKind::None, SuiteKind::IntegrityOnly, SuiteKind::Encrypting];

fn position<T: PartialEq + Copy>(list: &[T], value: T) -> u8 {
    list.iter().position(|v| *v == value).unwrap_or(0) as u8
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(DecodeError::Truncated { at: self.bytes.len(), what })?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(what)?[0])
    }

    fn damaged<T>(&self, what: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError::Damaged { at: self.at, what })
    }

    fn number(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        self.damaged(what)
    }

    fn number_below<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, DecodeError> {
        let value = self.number(what)?;
        T::try_from(value).or_else(|_| self.damaged(what))
    }

    fn text(&mut self, limit: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        let length: usize = self.number_below(what)?;
        if length > limit {
            return self.damaged(what);
        }
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).or_else(|_| self.damaged(what))
    }

    fn of<T: Copy>(&self, list: &[T], index: u8, what: &'static str) -> Result<T, DecodeError> {
        list.get(usize::from(index)).copied().map_or_else(|| self.damaged(what), Ok)
    }

    fn address(&mut self) -> Result<SocketAddr, DecodeError> {
        let what = "address";
        let family = self.byte(what)?;
        let (ip, scope) = match family {
            4 => (IpAddr::V4(Ipv4Addr::from(self.array::<4>(what)?)), 0),
            6 => (IpAddr::V6(Ipv6Addr::from(self.array::<16>(what)?)), 0),
            7 => {
                let ip = Ipv6Addr::from(self.array::<16>(what)?);
                (IpAddr::V6(ip), u32::from_be_bytes(self.array(what)?))
            }
            _ => return self.damaged(what),
        };
        let port = u16::from_be_bytes(self.array(what)?);
        Ok(match ip {
            IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)),
            ip => SocketAddr::new(ip, port),
        })
    }
}

fn read_row(r: &mut Reader<'_>) -> Result<Row, DecodeError> {
    let flags = r.byte("flags")?;
    if flags & !(HAS_PREVIOUS | HAS_REVISION) != 0 {
        return r.damaged("flags");
    }
    let assigned = ProfileId(r.number_below("assigned profile")?);
    let applied = read_applied(r)?;
    let previous = if flags & HAS_PREVIOUS != 0 {
        let applied = read_applied(r)?;
        Some(Box::new(PreviousVersion { applied, until: UnixMillis(r.number("end of grace")?) }))
    } else {
        None
    };
    let revision = if flags & HAS_REVISION != 0 { r.number("revision")? } else { 0 };
    let count: usize = r.number_below("number of bindings")?;
    if count > BINDINGS_MAX {
        return r.damaged("number of bindings");
    }
    let mut bindings = Bindings::with_capacity(count);
    for _ in 0..count {
        let binding = read_binding(r, bindings.last())?;
        bindings.push(binding);
    }
    if r.at != r.bytes.len() {
        return r.damaged("end");
    }
    Ok(Row { assigned, applied, previous, revision, bindings })
}

fn read_applied(r: &mut Reader<'_>) -> Result<AppliedVersion, DecodeError> {
    let profile = ProfileId(r.number_below("applied profile")?);
    Ok(AppliedVersion { profile, version: ProfileVersion(r.number_below("applied version")?) })
}

fn read_binding(r: &mut Reader<'_>, before: Option<&Binding>) -> Result<Binding, DecodeError> {
    let flags = u16::from_le_bytes(r.array("binding flags")?);
    let has = |flag: u16| flags & flag != 0;
    let form = flags & INSTANCE_FORM;
    if flags & !KNOWN != 0
        || (before.is_none() && has(SAME_CONTACT | SAME_INSTANCE | SAME_ORIGIN))
        || (has(SAME_INSTANCE) && form != 0)
        || (has(SAME_ORIGIN) && has(HAS_NONCE | HAS_CERTIFICATE | HAS_PATH))
    {
        return r.damaged("binding flags");
    }
    let line = Dn::parse(r.text(DN_MAX, "line")?).or_else(|_| r.damaged("line"))?;
    let (contact, key) = match before.filter(|_| has(SAME_CONTACT)) {
        Some(before) => (Arc::clone(&before.contact), before.key),
        None => (Arc::from(r.text(CONTACT_MAX, "contact")?), ContactKey(r.array("contact key")?)),
    };
    let instance = match (form, before.filter(|_| has(SAME_INSTANCE))) {
        (_, Some(before)) => before.instance.clone(),
        (0, None) => None,
        (1, None) => Some(Instance::from(r.text(INSTANCE_MAX, "instance")?)),
        (form, None) => {
            let bits = r.array("instance")?;
            Some(Uuid { bits, bracketed: form == 2 }.into())
        }
    };
    let reg_id = if has(HAS_REG_ID) { Some(r.number_below("reg-id")?) } else { None };
    let q = if has(HAS_Q) { Some(r.number_below("q")?) } else { None };
    let model = if has(HAS_MODEL) { Some(r.number_below("model")?) } else { None };
    let granted_until = UnixMillis(r.number("expiry")?);
    let horizon = r.number("horizon")?;
    let Some(persisted) = granted_until.0.checked_add(horizon) else {
        return r.damaged("horizon");
    };
    let origin = match before.filter(|_| has(SAME_ORIGIN)) {
        Some(before) => before.origin.clone(),
        None => read_origin(r, has(HAS_NONCE), has(HAS_CERTIFICATE), has(HAS_PATH))?,
    };
    let persisted_until = UnixMillis(persisted);
    let fresh = has(FRESH);
    Ok(Binding {
        line,
        contact,
        key,
        instance,
        reg_id,
        q,
        model,
        fresh,
        granted_until,
        persisted_until,
        origin,
    })
}

fn read_origin(
    r: &mut Reader<'_>,
    nonce: bool,
    certificate: bool,
    path: bool,
) -> Result<Origin, DecodeError> {
    let call_id = Arc::from(r.text(CALL_ID_MAX, "Call-ID")?);
    let cseq = r.number_below("CSeq")?;
    let nonce = if nonce {
        let id = u64::from_be_bytes(r.array("nonce")?);
        Some(NonceUse { id, nc: r.number_below("nonce count")? })
    } else {
        None
    };
    let tag = r.byte("flow")?;
    let transport = r.of(&TRANSPORTS, tag >> 2, "transport")?;
    let remote = r.address()?;
    let flow = match (tag & 0b11, transport) {
        (0, Transport::Udp) => Flow::Udp { local: r.address()?, remote },
        (1, _) => Flow::Lost { transport, remote },
        (2, _) => {
            let worker = r.number_below("worker")?;
            let index = r.number_below("connection")?;
            let id = StreamId { worker, index, generation: r.number_below("generation")? };
            Flow::Stream { id, transport, remote }
        }
        _ => return r.damaged("flow"),
    };
    let tag = r.byte("proof")?;
    let proof = r.of(&PROOFS, tag & 0x0f, "proof")?;
    let suite_kind = r.of(&SUITES, tag >> 4, "suite kind")?;
    let suite = u16::from_be_bytes(r.array("suite")?);
    let certificate = if certificate { Some(r.array("certificate")?) } else { None };
    let peer = Peer { proof, suite_kind, suite, certificate };
    let mut values = Path::new();
    if path {
        let count: usize = r.number_below("number of Path values")?;
        if count == 0 || count > PATH_MAX {
            return r.damaged("number of Path values");
        }
        for _ in 0..count {
            values.push(Arc::from(r.text(PATH_VALUE_MAX, "Path")?));
        }
    }
    Ok(Origin { call_id, cseq, nonce, flow, peer, path: values })
}
