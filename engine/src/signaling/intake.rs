//! What arrives on the sockets of a worker: cut into messages, counted, handed on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keyline_actors::faults;
use keyline_actors::shard::Intent;
use keyline_domain::flow::StreamId;
use keyline_domain::ids::DeviceIndex;
use keyline_wire::sip::stream::Frame;
use keyline_wire::sip::{Message, stun};
use tokio::net::UdpSocket;

use super::path::Path;
use super::shared::Shared;
use super::worker::{State, Worker, shard_of};
use crate::edge::outbox::Outbox;
use crate::edge::stream::{After, Ends, Streams};
use crate::edge::udp::Datagrams;
use crate::flow::{Closed, ConnectionFacts, Seat};
use crate::limits::Limit;
use crate::trace::Direction;

impl Datagrams for Worker {
    fn datagram(&self, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        self.guarded(|state, shared| {
            faults::hit("worker.datagram");
            state.datagram(shared, local, remote, bytes);
        });
    }

    fn turn_over(&self, socket: &UdpSocket, local: SocketAddr, full: bool) {
        self.guarded(|state, shared| {
            state.look(shared, socket, local, full);
            state.end_turn(shared);
        });
    }

    fn receive_error(&self, error: &std::io::Error) {
        self.shared.metrics.udp_receive_errors.inc();
        tracing::debug!(%error, "receive on a UDP socket failed");
    }
}

/// What a connection brings: what it proved, and its seat.
pub type Arrived = (Arc<ConnectionFacts>, Seat);

impl Streams<Arrived> for Worker {
    fn opened(&self, ends: &Ends, (facts, seat): Arrived, outbox: Outbox) -> Option<StreamId> {
        self.guarded(|state, shared| {
            let now = state.now();
            let transport = facts.transport;
            let id = state.connections.open(now, ends.local, ends.remote, facts, seat, outbox).ok()?;
            shared.metrics.connection_opened(transport);
            Some(id)
        })?
    }

    fn bytes(&self, id: StreamId, bytes: &[u8]) -> After {
        let after =
            self.guarded(|state, shared| state.stream_bytes(shared, id, bytes)).unwrap_or(After::Close);
        self.end_turn();
        after
    }

    fn message(&self, id: StreamId, bytes: &[u8]) -> After {
        let after =
            self.guarded(|state, shared| state.stream_message(shared, id, bytes)).unwrap_or(After::Close);
        self.end_turn();
        after
    }

    fn partial(&self, id: StreamId) {
        self.guarded(|state, _| {
            let now = state.now();
            state.connections.received(id, now, true, false, false);
        });
    }

    fn control(&self, id: StreamId) {
        self.guarded(|state, _| {
            let now = state.now();
            state.connections.received(id, now, false, true, false);
        });
    }

    fn too_large(&self, _: StreamId) {
        self.shared.metrics.limit(Limit::MessageBody);
    }

    fn stuck(&self, _: StreamId) {
        self.shared.metrics.limit(Limit::Write);
        self.shared.metrics.connection_closed(Closed::Stuck);
    }

    fn write_deadline(&self) -> Duration {
        self.write_deadline
    }

    fn closed(&self, id: StreamId) {
        self.guarded(|state, shared| state.stream_closed(shared, id));
        self.end_turn();
    }
}

impl State {
    fn datagram(&mut self, shared: &Shared, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        let path = Path::Udp { local, remote };
        match bytes.first() {
            None => {}
            Some(0 | 1) if stun::is_stun(bytes) => {
                if let Some(answer) = stun::answer(bytes, remote) {
                    self.transmit(shared, &path, answer);
                }
            }
            // Keepalives of CRLF, and what cannot begin a SIP message.
            Some(b'\r' | b'\n') if bytes.iter().all(|b| matches!(b, b'\r' | b'\n')) => {}
            Some(0) if bytes.len() <= 4 => {}
            Some(_) if !self.gate.is_open() && self.is_shed(shared, &path, bytes) => {}
            Some(_) => {
                self.tap(shared, &path, Direction::In, bytes);
                self.message(shared, path, bytes);
            }
        }
    }

    fn stream_bytes(&mut self, shared: &Shared, id: StreamId, bytes: &[u8]) -> After {
        let now = self.now();
        let Some(connection) = self.connections.get_mut(id) else { return After::Close };
        let path = Path::Stream {
            id,
            transport: connection.facts.transport,
            local: connection.local,
            remote: connection.remote,
        };
        // The framer is taken out while its frames are handled: handlers need the whole state.
        let Some(mut framer) = connection.framer.take() else { return After::Close };
        framer.push(bytes);
        let (mut whole, mut messages) = (false, false);
        let after = loop {
            match framer.next() {
                Frame::Message(frame) => {
                    (whole, messages) = (true, true);
                    self.tap(shared, &path, Direction::In, frame);
                    self.message(shared, path, frame);
                }
                Frame::Ping => {
                    whole = true;
                    self.transmit(shared, &path, Arc::from(&b"\r\n"[..]));
                }
                Frame::Pong => {}
                Frame::NeedMore => break After::Read,
                Frame::Broken { error, head } => {
                    shared.metrics.parse_reject(&error);
                    self.refuse_broken(shared, &path, head, error.status());
                    break After::Close;
                }
            }
        };
        let partial = framer.is_partial();
        if let Some(connection) = self.connections.get_mut(id) {
            connection.framer = Some(framer);
        }
        self.connections.received(id, now, partial, whole, messages);
        after
    }

    /// A message of a WebSocket (RFC 7118): what is unreadable costs that message only, its end is known.
    fn stream_message(&mut self, shared: &Shared, id: StreamId, bytes: &[u8]) -> After {
        let now = self.now();
        let Some(connection) = self.connections.get(id) else { return After::Close };
        let path = Path::Stream {
            id,
            transport: connection.facts.transport,
            local: connection.local,
            remote: connection.remote,
        };
        // Keepalives of RFC 5626 §3.5.1 work here too (RFC 7118 §6).
        let keepalive = bytes.iter().all(|b| matches!(b, b'\r' | b'\n'));
        match keepalive {
            true if bytes == b"\r\n\r\n" => {
                self.transmit(shared, &path, Arc::from(&b"\r\n"[..]));
            }
            true => {}
            false => {
                self.tap(shared, &path, Direction::In, bytes);
                self.message(shared, path, bytes);
            }
        }
        self.connections.received(id, now, false, true, !keepalive);
        After::Read
    }

    fn stream_closed(&mut self, shared: &Shared, id: StreamId) {
        if let Some(c) = self.connections.get(id) {
            shared.metrics.connection_gone(c.facts.transport);
        }
        for device in self.connections.closed(id) {
            self.flow_lost(shared, device, id);
        }
        self.fail_requests_on(shared, id);
    }

    fn flow_lost(&mut self, shared: &Shared, device: DeviceIndex, stream: StreamId) {
        if let Some(shard) = shard_of(shared, device) {
            shared.handle.admit(shard, keyline_actors::Load::Always);
            self.intend(shard, Intent::FlowLost { device, stream });
        }
    }

    /// A whole message.
    pub(super) fn message(&mut self, shared: &Shared, path: Path, bytes: &[u8]) {
        shared.metrics.message(path.transport());
        // What answers us was asked for, and finds its transaction or is dropped.
        let within = bytes.starts_with(b"SIP/2.0 ")
            || shared.admission.requests.take(path.remote().ip(), self.now_us());
        if !within {
            shared.metrics.limit(Limit::Requests);
            // A datagram that is lost is repeated, and costs nothing unread; on a stream nothing is lost.
            if matches!(path, Path::Udp { .. }) {
                return;
            }
        }
        match Message::parse_with(bytes, &self.limits.connections.message) {
            Ok(message) if !within => self.overloaded(shared, &path, &message),
            Ok(message) if message.is_request() => self.request(shared, path, &message),
            Ok(message) => self.response(shared, path, &message, bytes),
            Err(rejected) => {
                shared.metrics.parse_reject(&rejected.error);
                if let Some(message) = rejected.answerable() {
                    let (status, text) = (rejected.status(), rejected.error.to_string());
                    self.refuse_stateless(shared, &path, message, status, &text);
                }
            }
        }
    }
}
