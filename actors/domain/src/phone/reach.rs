//! How a phone is reached: never by its Contact's host (design §3, RFC 5626 §5.3).

use std::net::SocketAddr;

use super::row::{Binding, Row};
use crate::flow::{Flow, StreamId};

/// Default port of a SIP URI without one (RFC 3261 §19.1.2).
pub const SIP_PORT: u16 = 5060;

/// Where requests to a UDP phone go: back to the source of its REGISTER. Only if it asked for no rport and
/// sent from another port than its Contact names does it listen elsewhere: then on the profile's SIP phone
/// port (R174). `contact_port` is the Contact URI's port, `None` standing for 5060.
pub fn udp_target(
    source: SocketAddr,
    has_rport: bool,
    contact_port: Option<u16>,
    sip_phone_port: u16,
) -> SocketAddr {
    if has_rport || source.port() == contact_port.unwrap_or(SIP_PORT) {
        return source;
    }
    let mut target = source;
    target.set_port(sip_phone_port);
    target
}

/// The bindings that a request is forked to, in order: of several flows of one phone (RFC 5626 §4.2: the same
/// instance, each with a `reg-id`) the best comes first, and the others right after it, marked as spare. The
/// best has a connection and was made or refreshed last.
pub fn by_phone<'a>(bindings: impl Iterator<Item = &'a Binding>) -> Vec<(&'a Binding, bool)> {
    let mut out: Vec<(&Binding, bool)> = Vec::new();
    let mut all: Vec<&Binding> = bindings.collect();
    while !all.is_empty() {
        let first = all.remove(0);
        let is_flow = |b: &Binding| b.instance.is_some() && b.reg_id.is_some();
        let same = |b: &&Binding| {
            is_flow(first)
                && is_flow(b)
                && match (&b.instance, &first.instance) {
                    (Some(a), Some(b)) => a.is_same(b),
                    _ => false,
                }
        };
        let (mut flows, rest): (Vec<&Binding>, Vec<&Binding>) = all.into_iter().partition(same);
        all = rest;
        flows.insert(0, first);
        // Of two of one moment the later one stands later in the row.
        flows.reverse();
        flows.sort_by_key(|b| (!b.origin.flow.is_live(), std::cmp::Reverse(b.granted_until)));
        out.extend(flows.into_iter().enumerate().map(|(i, b)| (b, i > 0)));
    }
    out
}

/// A connection closed: bindings made on it stay, known but unreachable, until the phone comes back.
/// Nothing is written, the durable row never held the connection. `None` if no binding was made on it.
pub fn on_flow_lost(row: &Row, id: StreamId) -> Option<Row> {
    if !row.uses_stream(id) {
        return None;
    }
    let mut row = row.clone();
    for b in row.bindings.iter_mut().filter(|b| b.origin.flow.is_stream(id)) {
        b.origin.flow = b.origin.flow.durable();
    }
    Some(row)
}

impl Flow {
    /// Is this connection.
    pub(crate) fn is_stream(&self, wanted: StreamId) -> bool {
        matches!(self, Self::Stream { id, .. } if *id == wanted)
    }

    /// What of a flow outlives a restart: datagram flows as they are, streams as lost.
    pub(super) fn durable(&self) -> Self {
        match *self {
            Self::Stream { transport, remote, .. } => Self::Lost { transport, remote },
            other => other,
        }
    }
}
