//! Who stands at a listener: takes connections as long as there are seats, and in an overload sends those away that
//! would need a whole handshake, before anything is spent on them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::edge::{Door, Handshakes, connection, is_secure};
use crate::config::Listener;
use crate::edge::stream::{Accepted, Ends, Porter, is_out_of_descriptors};
use crate::flow::Seats;
use crate::limits::Limit;
use crate::signaling::Worker;
use crate::tls::acceptor::TlsContext;
use crate::tls::hello::HELLO_MAX;
use crate::tls::refused::Refusal;

thread_local! {
    static PEEKED: RefCell<Vec<u8>> = RefCell::new(vec![0; HELLO_MAX]);
}

/// One listener of one worker.
pub(super) struct Entrance {
    pub listener: Listener,
    /// Where it is bound.
    pub local: SocketAddr,
    pub seats: Arc<Seats>,
    pub errors: AcceptErrors,
    pub door: Door,
    pub with: Handshakes,
}

impl Entrance {
    /// That of the listener's handshakes.
    fn tls(&self) -> &TlsContext {
        if self.listener == Listener::SipOauth { &self.with.oauth } else { &self.with.tls }
    }
}

impl Porter for Entrance {
    fn is_full(&self) -> bool {
        self.seats.is_crowded(self.listener != Listener::SipTcp)
    }

    fn is_busy(&self) -> bool {
        is_secure(self.listener) && self.door.gate.is_full()
    }

    /// Whoever needs a whole handshake is one too many. The first bytes are looked at where they lie: what is unread when
    /// a connection is closed makes the system reset it, which leaves nothing behind. Who has said nothing yet, or
    /// may go on from a ticket, is let in.
    fn refuses(&self, stream: &std::net::TcpStream, remote: SocketAddr) -> bool {
        let begins = PEEKED.with_borrow_mut(|bytes| {
            stream.peek(bytes).is_ok_and(|length| self.tls().must_begin(&bytes[..length]))
        });
        if begins {
            self.door.worker.shared.metrics.handshake(Refusal::Overload.as_str());
            self.door.refusals.note(Limit::HandshakesWaiting.as_str(), remote);
        }
        begins
    }

    fn take(&self, (stream, remote): Accepted) {
        let seat = match self.seats.take(remote.ip(), self.listener != Listener::SipTcp) {
            Ok(seat) => seat,
            Err(limit) => {
                self.door.worker.shared.metrics.connection_refused(limit);
                // Dropping the stream closes it: the peer knows at once and may come back.
                return self.door.refusals.note(limit.as_str(), remote);
            }
        };
        // The system is asked only where the listener's address does not say it.
        let known = !self.local.ip().is_unspecified();
        let local = if known { self.local } else { stream.local_addr().unwrap_or(self.local) };
        let ends = Ends { local, remote };
        actix::spawn(connection(self.listener, stream, ends, seat, self.door.clone(), self.with.clone()));
    }

    fn failed(&self, error: &io::Error) {
        self.errors.note(error);
    }
}

/// Refusals that may come by the thousand: each is counted by its caller; logged is the first of a kind, and then
/// their number now and then.
#[derive(Default)]
pub(super) struct Refusals {
    limits: RefCell<BTreeMap<&'static str, (Instant, u64)>>,
    handshakes: RefCell<BTreeMap<&'static str, (Instant, u64)>>,
}

impl Refusals {
    const PAUSE: Duration = Duration::from_secs(10);
    /// Handshakes refused for one reason that are logged within the pause: who looks for a phone finds it, and
    /// strangers do not fill a disk.
    const LINES: u64 = 50;

    /// Whether a handshake that is refused for that reason is logged, and how many were not before it.
    pub(super) fn line(&self, reason: &'static str) -> Option<u64> {
        let mut kinds = self.handshakes.borrow_mut();
        let now = Instant::now();
        let (since, count) = kinds.entry(reason).or_insert((now, 0));
        let mut left_out = 0;
        if now.duration_since(*since) >= Self::PAUSE {
            left_out = count.saturating_sub(Self::LINES);
            (*since, *count) = (now, 0);
        }
        *count += 1;
        (*count <= Self::LINES).then_some(left_out)
    }

    pub(super) fn note(&self, reason: &'static str, peer: SocketAddr) {
        let mut kinds = self.limits.borrow_mut();
        let now = Instant::now();
        match kinds.get_mut(reason) {
            Some((since, more)) if now.duration_since(*since) < Self::PAUSE => *more += 1,
            other => {
                let more = other.map_or(0, |(_, more)| *more);
                kinds.insert(reason, (now, 0));
                tracing::warn!(
                    limit = reason, %peer, more,
                    "connections are refused: limit {reason} is reached ({more} more since this was last said); see [limits] in the configuration"
                );
            }
        }
    }
}

/// Errors of one accept loop: counted, and logged once until a connection is accepted again or a while later,
/// since they come again and again while the cause lasts.
pub(super) struct AcceptErrors {
    worker: Rc<Worker>,
    logged: Cell<Option<Instant>>,
}

impl AcceptErrors {
    const PAUSE: Duration = Duration::from_secs(10);

    pub(super) fn new(worker: &Rc<Worker>) -> Self {
        Self { worker: Rc::clone(worker), logged: Cell::new(None) }
    }

    fn note(&self, error: &io::Error) {
        if is_out_of_descriptors(error) {
            self.worker.shared.metrics.limit(Limit::Descriptors);
        }
        if self.logged.get().is_none_or(|at| at.elapsed() > Self::PAUSE) {
            self.logged.set(Some(Instant::now()));
            tracing::warn!(%error, "connections cannot be accepted; the open ones are served on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_handshakes_are_logged_up_to_a_number_for_each_reason() {
        let refusals = Refusals::default();
        let said = |reason| (0..200).filter(|_| refusals.line(reason).is_some()).count() as u64;
        assert_eq!(said("peer_closed"), Refusals::LINES);
        assert_eq!(said("no_cipher"), Refusals::LINES);
        let long_ago = Instant::now() - Refusals::PAUSE;
        refusals.handshakes.borrow_mut().insert("peer_closed", (long_ago, 200));
        assert_eq!(refusals.line("peer_closed"), Some(200 - Refusals::LINES), "what was left out is told");
        assert_eq!(refusals.line("peer_closed"), Some(0));
    }
}
