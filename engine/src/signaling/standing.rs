//! Open connections whose certificate is no longer believed: a revocation list, or a trusted certificate that was
//! taken off, reaches them too (R052).
//!
//! A worker looks at the digest of what certificates are judged by. When it has moved, all of the worker's
//! connections are judged again in slices, so that registered phones wait for a slice and not for all of them, and
//! those that came to nothing are closed a few at a time: each comes back with a handshake at once.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyline_actors::board::{Refused, RefusedAt};
use keyline_actors::clock;
use keyline_domain::flow::StreamId;
use keyline_domain::identity::CertificateName;
use keyline_domain::ids::DeviceIndex;
use smallvec::SmallVec;

use super::shared::Shared;
use super::worker::{State, Worker};
use crate::flow::{ConnectionFacts, Connections, PeerCertificateFacts};
use crate::tls::acceptor::TlsContext;
use crate::tls::refused::HandshakeRefused;

/// How often the digest is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How long a slice may take, and one judgement more.
const SLICE: Duration = Duration::from_millis(1);

/// Between two slices.
const PAUSE: Duration = Duration::from_millis(20);

/// Connections that a slice closes at most: 400 a second.
const CLOSED_MAX: usize = 8;

/// One walk over all connections of a worker.
#[derive(Debug, Default)]
struct Pass {
    next: usize,
    closed: usize,
}

/// A judgement of what a connection proved.
type Judged = Result<Option<Arc<PeerCertificateFacts>>, HandshakeRefused>;

impl Pass {
    /// The next few connections: those that have to be closed, with the reason. `None` at the end of the walk.
    fn slice(
        &mut self,
        connections: &mut Connections,
        mut judge: impl FnMut(&ConnectionFacts) -> Judged,
        mut over: impl FnMut() -> bool,
    ) -> Option<Vec<(StreamId, HandshakeRefused)>> {
        let mut broken = Vec::new();
        while self.next < connections.places() {
            let place = self.next;
            // First of all: a panic below must not come back to the same connection for ever.
            self.next += 1;
            let Some((id, connection)) = connections.at(place) else { continue };
            let Some(before) = &connection.facts.certificate else { continue };
            match judge(&connection.facts) {
                Ok(Some(now)) if now.chain == before.chain => {}
                // It is believed for another reason.
                Ok(certificate) => {
                    connection.facts = Arc::new(ConnectionFacts {
                        certificate,
                        ..ConnectionFacts::clone(&connection.facts)
                    });
                }
                Err(refused) => broken.push((id, refused)),
            }
            if broken.len() == CLOSED_MAX || over() {
                return Some(broken);
            }
        }
        (!broken.is_empty()).then_some(broken)
    }
}

impl Worker {
    /// Watches whether what clients proved still holds, as long as the worker lives.
    pub async fn watch_trust(self: Rc<Self>, tls: Arc<TlsContext>) {
        let mut known = tls.trust();
        loop {
            tokio::time::sleep(LOOK).await;
            // What changes during a pass begins another one.
            let now = tls.trust();
            if now == known {
                continue;
            }
            known = now;
            let mut pass = Pass::default();
            while self.guarded(|state, shared| state.judge_again(shared, &tls, &mut pass)).unwrap_or(true) {
                self.end_turn();
                tokio::time::sleep(PAUSE).await;
            }
            if pass.closed > 0 {
                tracing::warn!(
                    worker = self.id,
                    connections = pass.closed,
                    "TLS connections were closed: their client certificates are no longer believed"
                );
            }
        }
    }
}

impl State {
    /// One slice; `false` at the end.
    fn judge_again(&mut self, shared: &Shared, tls: &TlsContext, pass: &mut Pass) -> bool {
        let began = Instant::now();
        let over = || began.elapsed() >= SLICE;
        let Some(broken) = pass.slice(&mut self.connections, |facts| tls.still(facts), over) else {
            return false;
        };
        pass.closed += broken.len();
        for (id, refused) in broken {
            self.revoke(shared, id, &refused);
        }
        true
    }

    fn revoke(&mut self, shared: &Shared, id: StreamId, refused: &HandshakeRefused) {
        let Some(connection) = self.connections.get(id) else { return };
        let (peer, reason) = (connection.remote, refused.as_str());
        let facts = connection.facts.certificate.as_ref().map(|shown| &shown.facts);
        let named = || {
            let named = CertificateName::parse(facts?.subject_cn.as_deref()?);
            shared.boards.devices.by_name(named.device()?.as_str())
        };
        let devices: SmallVec<[DeviceIndex; 1]> = match connection.devices.is_empty() {
            true => named().into_iter().collect(),
            false => connection.devices.clone(),
        };
        for device in devices {
            let at = clock::now();
            shared.boards.refusals.note(device, &Refused { at, stage: RefusedAt::Connection, reason, peer });
        }
        let subject = facts.map_or("-", |facts| facts.subject.as_str());
        tracing::info!(%peer, reason, ?subject, "TLS connection closed: {refused}");
        shared.metrics.tls_revoked(reason);
        self.connections.close(id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use keyline_domain::identity::ChainedTo;
    use keyline_domain::mode::{SuiteKind, Transport};
    use keyline_wire::sip::Limits;

    use super::*;
    use crate::edge::outbox::outbox;
    use crate::flow::{ConnectionLimits, SeatLimits, Seats};
    use crate::tls::refused::Refusal;

    const MANY: usize = 1000;

    /// So many connections, every third without a certificate.
    fn connections(number: usize) -> Connections {
        let all = SeatLimits {
            connections: MANY,
            per_source: MANY,
            unauthenticated: MANY,
            unauthenticated_per_source: MANY,
            handshakes: MANY,
            handshakes_per_source: MANY,
        };
        let limits = ConnectionLimits {
            message: Limits::default(),
            write_queue_bytes: 1 << 16,
            write_deadline: Duration::from_secs(1),
            message_ms: 1000,
            unauthenticated_idle_ms: 1000,
        };
        let (seats, mut table) = (Seats::new(all), Connections::new(0, limits));
        let shown = rcgen::generate_simple_self_signed(["SEP001122334455".to_owned()]).unwrap().cert;
        let certificate = Arc::new(PeerCertificateFacts {
            facts: crate::pki::inspect::facts(shown.der()).unwrap(),
            chain: ChainedTo::CapfTrust,
            ders: Box::default(),
        });
        let peer = SocketAddr::from(([127, 0, 0, 1], 5061));
        for n in 0..number {
            let certificate = (n % 3 != 2).then(|| Arc::clone(&certificate));
            let facts = ConnectionFacts {
                transport: Transport::Tls,
                suite_kind: SuiteKind::Encrypting,
                suite: 0x1301,
                certificate,
            };
            let seat = seats.take(peer.ip(), false).unwrap();
            table.open(0, peer, peer, Arc::new(facts), seat, outbox().0).unwrap();
        }
        table
    }

    fn revoked() -> Judged {
        Err(HandshakeRefused::new(Refusal::ClientCertificateRevoked, "revoked"))
    }

    #[test]
    fn all_with_a_certificate_are_judged_once_and_few_are_closed_at_a_time() {
        let mut table = connections(30);
        let (mut pass, mut judged, mut sizes) = (Pass::default(), 0, Vec::new());
        while let Some(broken) = pass.slice(
            &mut table,
            |_| {
                judged += 1;
                revoked()
            },
            || false,
        ) {
            broken.iter().for_each(|(id, _)| table.close(*id));
            sizes.push(broken.len());
        }
        assert_eq!((judged, sizes), (20, vec![CLOSED_MAX, CLOSED_MAX, 4]));
        let mut again = Pass::default();
        assert!(again.slice(&mut table, |_| revoked(), || false).is_none(), "what is closing is left alone");
    }

    #[test]
    fn a_slice_ends_with_its_time_and_the_next_goes_on_there() {
        let mut table = connections(6);
        let (mut pass, mut slices) = (Pass::default(), 0);
        while pass.slice(&mut table, |facts| Ok(facts.certificate.clone()), || true).is_some() {
            slices += 1;
        }
        assert_eq!(slices, 4, "one judgement each");
    }

    #[test]
    fn what_is_believed_for_another_reason_is_noted() {
        let mut table = connections(1);
        let now = |facts: &ConnectionFacts| {
            let shown = facts.certificate.as_deref().unwrap();
            let now = PeerCertificateFacts { chain: ChainedTo::CallManagerTrust, ..shown.clone() };
            Ok(Some(Arc::new(now)))
        };
        assert!(Pass::default().slice(&mut table, now, || false).is_none());
        let (_, connection) = table.at(0).unwrap();
        assert_eq!(connection.facts.certificate.as_ref().unwrap().chain, ChainedTo::CallManagerTrust);
    }
}
