//! The gate at work: looks at the sockets of a worker, and sheds.

use std::net::SocketAddr;
use std::time::Instant;

use keyline_wire::sip::Message;
use tokio::net::UdpSocket;

use super::{Class, Fate};
use crate::edge::queue::Queue;
use crate::signaling::path::Path;
use crate::signaling::shared::Shared;
use crate::signaling::transaction::Received;
use crate::signaling::worker::State;
use crate::trace::Direction;

impl State {
    /// After a turn of a socket; `full` when more may wait there.
    pub(in crate::signaling) fn look(
        &mut self,
        shared: &Shared,
        socket: &UdpSocket,
        local: SocketAddr,
        full: bool,
    ) {
        if !full && self.gate.is_open() {
            return self.gate.drained();
        }
        let now = self.now_us();
        if !self.gate.is_due(now) {
            return;
        }
        let queue = if full { self.queue_of(shared, socket, local) } else { Queue::default() };
        self.gate.look(now, queue);
        shared.metrics.overload.pressure(self.id, self.gate.pressure());
    }

    fn queue_of(&mut self, shared: &Shared, socket: &UdpSocket, local: SocketAddr) -> Queue {
        let at = self.lost.iter().position(|(own, _)| *own == local).unwrap_or_else(|| {
            self.lost.push((local, 0));
            self.lost.len() - 1
        });
        let lost = &mut self.lost[at].1;
        let before = *lost;
        let queue = Queue::of(socket, lost);
        // The kernel's count wraps.
        shared.metrics.overload.udp_lost.inc_by(u64::from(lost.wrapping_sub(before)));
        queue
    }

    /// Sheds a datagram if the gate says so.
    pub(in crate::signaling) fn is_shed(&mut self, shared: &Shared, path: &Path, bytes: &[u8]) -> bool {
        let now = self.now_us();
        match self.gate.fate(now, bytes) {
            Fate::Serve => return false,
            Fate::Drop(class) => {
                shared.metrics.shed(class.kind());
                shared.metrics.overload.dropped(class.kind());
            }
            Fate::Refuse(class) => {
                let began = Instant::now();
                self.refuse(shared, path, bytes, class);
                self.gate.refused(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
        }
        if self.gate.is_open() {
            shared.metrics.overload.pressure(self.id, 0.0);
        }
        true
    }

    /// 503 with Retry-After. What is in work already gets what it was answered last instead.
    fn refuse(&mut self, shared: &Shared, path: &Path, bytes: &[u8], class: Class) {
        self.tap(shared, path, Direction::In, bytes);
        shared.metrics.message(path.transport());
        let limits = self.limits.connections.message;
        let message = match Message::parse_with(bytes, &limits) {
            Ok(message) => message,
            // What is unreadable is told so when there is time for it.
            Err(rejected) => return shared.metrics.parse_reject(&rejected.error),
        };
        let (now, from) = (self.now(), path.remote().ip());
        match self.servers.receive(now, &message, from, &mut self.server_actions) {
            Received::New(_) => {
                shared.metrics.shed(class.kind());
                self.overloaded(shared, path, &message);
            }
            _ => self.run_actions(shared),
        }
    }
}
