//! Connections of one worker: what each proved, who registered on it, when it must be closed.

mod seats;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keyline_domain::flow::StreamId;
use keyline_domain::ids::DeviceIndex;
use keyline_domain::mode::{SuiteKind, Transport};
use keyline_domain::phone::Peer;
use keyline_wire::sip::Limits;
use keyline_wire::sip::stream::{Framer, Side};
use smallvec::SmallVec;

use crate::edge::outbox::Outbox;
use crate::oauth::Verified;

pub use seats::{Seat, SeatLimits, Seats};

/// What a connection is and proved, from its accept and its handshake.
#[derive(Debug, Clone)]
pub struct ConnectionFacts {
    /// TCP, TLS or OAuth.
    pub transport: Transport,
    /// What the suite gives.
    pub suite_kind: SuiteKind,
    /// IANA number of the suite; 0 without TLS.
    pub suite: u16,
    /// Verified client certificate.
    pub certificate: Option<Arc<PeerCertificateFacts>>,
}

/// A client certificate that the handshake verified.
pub use keyline_domain::identity::ShownCertificate as PeerCertificateFacts;

impl ConnectionFacts {
    /// A connection without TLS.
    pub fn tcp() -> Self {
        Self { transport: Transport::Tcp, suite_kind: SuiteKind::None, suite: 0, certificate: None }
    }

    /// As phone rows keep it, without the proof.
    pub fn peer(&self) -> Peer {
        let certificate = self.certificate.as_ref().and_then(|c| c.facts.sha256.first_chunk::<8>().copied());
        Peer { proof: Default::default(), suite_kind: self.suite_kind, suite: self.suite, certificate }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// What it proved.
    pub facts: Arc<ConnectionFacts>,
    /// Receiving side. Taken out while its frames are handled.
    pub framer: Option<Framer>,
    /// Devices that registered on it.
    pub devices: SmallVec<[DeviceIndex; 1]>,
    /// The token that a request on it was last served for; requests without one rest on it.
    pub token: Option<Arc<Verified>>,
    outbox: Outbox,
    seat: Seat,
    /// When the first byte of an unfinished message came (worker milliseconds).
    partial_since: Option<u64>,
    /// When the last message came; keepalives are none, or a stranger could stay for ever.
    last: u64,
    closing: bool,
    /// The peer does not read.
    stuck: bool,
}

struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

/// Limits on each connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Of a message.
    pub message: Limits,
    /// Bytes that may wait to be written to one connection.
    pub write_queue_bytes: usize,
    /// In which the peer must take what is written to it.
    pub write_deadline: Duration,
    /// Milliseconds for one message from its first byte.
    pub message_ms: u64,
    /// Milliseconds without a message of a connection on which nobody has registered.
    pub unauthenticated_idle_ms: u64,
}

/// Why a connection was refused or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// A limit on the number of connections.
    TooMany,
    /// An unfinished message took too long.
    SlowMessage,
    /// Nobody registered on it and it was silent.
    Idle,
    /// The peer does not read.
    Stuck,
    /// Its client certificate is no longer believed.
    Certificate,
}

/// All connections of a worker.
pub struct Connections {
    worker: u16,
    slots: Vec<Slot>,
    free: Vec<u32>,
    open: usize,
    limits: ConnectionLimits,
}

impl Connections {
    /// None yet.
    pub fn new(worker: u16, limits: ConnectionLimits) -> Self {
        Self { worker, slots: Vec::new(), free: Vec::new(), open: 0, limits }
    }

    /// Takes a connection in.
    ///
    /// # Errors
    /// [`Closed::TooMany`].
    pub fn open(
        &mut self,
        now: u64,
        local: SocketAddr,
        remote: SocketAddr,
        facts: Arc<ConnectionFacts>,
        seat: Seat,
        outbox: Outbox,
    ) -> Result<StreamId, Closed> {
        let index = match self.free.pop() {
            Some(i) => i,
            None => {
                self.slots.push(Slot { generation: 0, connection: None });
                u32::try_from(self.slots.len() - 1).map_err(|_| Closed::TooMany)?
            }
        };
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.connection = Some(Connection {
            local,
            remote,
            facts,
            framer: Some(Framer::with_limits(Side::Acceptor, self.limits.message)),
            devices: SmallVec::new(),
            token: None,
            outbox,
            seat,
            partial_since: None,
            last: now,
            closing: false,
            stuck: false,
        });
        self.open += 1;
        Ok(StreamId { worker: self.worker, index, generation: slot.generation })
    }

    /// A live connection.
    pub fn get(&self, id: StreamId) -> Option<&Connection> {
        let slot = self.slots.get(id.index as usize)?;
        (id.worker == self.worker && slot.generation == id.generation)
            .then_some(slot.connection.as_ref())
            .flatten()
    }

    /// A live connection, to be changed.
    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if id.worker == self.worker && slot.generation == id.generation {
            slot.connection.as_mut()
        } else {
            None
        }
    }

    /// Places of connections, taken or free, for [`Connections::at`].
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// The connection in a place; `None` when it is free or is closing.
    pub fn at(&mut self, place: usize) -> Option<(StreamId, &mut Connection)> {
        let index = u32::try_from(place).ok()?;
        let slot = self.slots.get_mut(place)?;
        let id = StreamId { worker: self.worker, index, generation: slot.generation };
        Some((id, slot.connection.as_mut().filter(|c| !c.closing)?))
    }

    /// Notes that a device registered on a connection.
    pub fn registered(&mut self, id: StreamId, device: DeviceIndex) {
        let Some(c) = self.get_mut(id) else { return };
        c.seat.authenticated();
        if !c.devices.contains(&device) {
            c.devices.push(device);
        }
    }

    /// Notes that bytes came: whether they ended a message or a keepalive (`whole`), whether a message was
    /// among them, and whether they left an unfinished one.
    pub fn received(&mut self, id: StreamId, now: u64, partial: bool, whole: bool, message: bool) {
        let Some(c) = self.get_mut(id) else { return };
        if message {
            c.last = now;
        }
        if whole || !partial {
            c.partial_since = None;
        }
        if partial && c.partial_since.is_none() {
            c.partial_since = Some(now);
        }
    }

    /// Queues bytes; `false` when the connection is gone or stuck (it is closed then).
    pub fn send(&mut self, id: StreamId, bytes: Arc<[u8]>) -> bool {
        let limit = self.limits.write_queue_bytes;
        let Some(c) = self.get_mut(id) else { return false };
        if c.closing || c.stuck {
            return false;
        }
        // The next sweep closes and counts a connection that is stuck.
        c.stuck |= !c.outbox.send(bytes, limit);
        !c.stuck
    }

    /// Asks a connection's task to write what is queued and close.
    pub fn close(&mut self, id: StreamId) {
        if let Some(c) = self.get_mut(id) {
            c.closing = true;
            c.outbox.close();
        }
    }

    /// Other limits; connections that are open stay.
    pub fn set_limits(&mut self, limits: ConnectionLimits) {
        self.limits = limits;
    }

    /// Asks every connection to write what is queued and close.
    pub fn close_all(&mut self) {
        for c in self.slots.iter_mut().filter_map(|slot| slot.connection.as_mut()) {
            c.closing = true;
            c.outbox.close();
        }
    }

    /// The connection's task ended: gives back the devices that had registered on it.
    pub fn closed(&mut self, id: StreamId) -> SmallVec<[DeviceIndex; 1]> {
        if self.get(id).is_none() {
            return SmallVec::new();
        }
        let slot = &mut self.slots[id.index as usize];
        let Some(c) = slot.connection.take() else { return SmallVec::new() };
        self.free.push(id.index);
        self.open -= 1;
        c.devices
    }

    /// Closes what is beyond a deadline: once a second. Calls `gone` with each reason.
    pub fn sweep(&mut self, now: u64, mut gone: impl FnMut(Closed)) {
        for slot in &mut self.slots {
            let Some(c) = &mut slot.connection else { continue };
            let slow = c.partial_since.is_some_and(|t| now.saturating_sub(t) > self.limits.message_ms);
            let idle =
                c.devices.is_empty() && now.saturating_sub(c.last) > self.limits.unauthenticated_idle_ms;
            let why = match (slow, idle, c.stuck || c.closing) {
                (true, ..) => Closed::SlowMessage,
                (_, true, _) => Closed::Idle,
                (.., true) => Closed::Stuck,
                _ => continue,
            };
            if !c.closing {
                gone(why);
            }
            c.closing = true;
            c.outbox.abort();
        }
    }

    /// Open connections.
    pub fn len(&self) -> usize {
        self.open
    }

    /// No connection is open.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }
}
