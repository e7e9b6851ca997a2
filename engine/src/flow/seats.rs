//! Seats for connections: how many there may be, in all and from one source, from the accept on.
//!
//! One table a node, so that the limits mean what they say whatever the number of workers. It is touched when
//! a connection is accepted, when the first device registers on it and when it ends, never for a message. The
//! map is `dashmap`: one short lock of a shard each time, simple and fast under churn.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use dashmap::{DashMap, Entry};

use crate::limits::{Limit, source};

/// The limits on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatLimits {
    /// All connections, handshakes included.
    pub connections: usize,
    /// From one source.
    pub per_source: usize,
    /// On which nobody has registered, handshakes included.
    pub unauthenticated: usize,
    /// The same from one source.
    pub unauthenticated_per_source: usize,
    /// Handshakes under way.
    pub handshakes: usize,
    /// The same from one source.
    pub handshakes_per_source: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Held {
    all: usize,
    unauthenticated: usize,
    handshakes: usize,
}

/// All seats of a node.
#[derive(Debug)]
pub struct Seats {
    limits: ArcSwap<SeatLimits>,
    /// Connections for which there are descriptors.
    descriptors: AtomicUsize,
    all: AtomicUsize,
    unauthenticated: AtomicUsize,
    handshakes: AtomicUsize,
    sources: DashMap<IpAddr, Held>,
}

/// A connection's seat. Dropping it gives it back.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    source: IpAddr,
    handshaking: bool,
    unauthenticated: bool,
}

impl Seats {
    /// None taken.
    pub fn new(limits: SeatLimits) -> Arc<Self> {
        Arc::new(Self {
            limits: ArcSwap::from_pointee(limits),
            descriptors: AtomicUsize::new(usize::MAX),
            all: AtomicUsize::new(0),
            unauthenticated: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
            sources: DashMap::new(),
        })
    }

    /// Other limits from now on; who has a seat keeps it.
    pub fn set_limits(&self, limits: SeatLimits) {
        self.limits.store(Arc::new(limits));
    }

    /// Sets for how many connections there are descriptors.
    pub fn set_descriptors(&self, connections: usize) {
        self.descriptors.store(connections, Ordering::Release);
    }

    /// Takes a seat for a connection of this peer, on which nobody has registered yet.
    ///
    /// # Errors
    /// The limit that is reached; nothing is taken then.
    pub fn take(self: &Arc<Self>, peer: IpAddr, handshake: bool) -> Result<Seat, Limit> {
        let limits = self.limits.load();
        let descriptors = self.descriptors.load(Ordering::Acquire);
        if !raise(&self.all, limits.connections.min(descriptors)) {
            let own = limits.connections <= descriptors;
            return Err(if own { Limit::Connections } else { Limit::Descriptors });
        }
        if !raise(&self.unauthenticated, limits.unauthenticated) {
            self.all.fetch_sub(1, Ordering::AcqRel);
            return Err(Limit::Unauthenticated);
        }
        // From here on the seat's end gives everything back.
        let source = source(peer);
        let mut seat = Seat { seats: Arc::clone(self), source, handshaking: false, unauthenticated: true };
        let mut held = self.sources.entry(source).or_default();
        held.all += 1;
        held.unauthenticated += 1;
        let refused = if held.all > limits.per_source {
            Some(Limit::ConnectionsPerSource)
        } else if held.unauthenticated > limits.unauthenticated_per_source {
            Some(Limit::UnauthenticatedPerSource)
        } else if handshake && held.handshakes >= limits.handshakes_per_source {
            Some(Limit::HandshakesPerSource)
        } else if handshake && !raise(&self.handshakes, limits.handshakes) {
            Some(Limit::Handshakes)
        } else {
            held.handshakes += usize::from(handshake);
            seat.handshaking = handshake;
            None
        };
        // The seat's end looks at the same source.
        drop(held);
        refused.map_or(Ok(seat), Err)
    }

    /// Whether a connection would find no seat now, for a reason that passes when others get on with theirs.
    pub fn is_crowded(&self, handshake: bool) -> bool {
        let limits = self.limits.load();
        self.unauthenticated.load(Ordering::Acquire) >= limits.unauthenticated
            || (handshake && self.handshakes.load(Ordering::Acquire) >= limits.handshakes)
    }

    /// Seats taken.
    pub fn len(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// No seat is taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Adds one unless there are so many already.
fn raise(count: &AtomicUsize, limit: usize) -> bool {
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < limit).then_some(n + 1)).is_ok()
}

impl Seat {
    /// The handshake is over.
    pub fn shaken(&mut self) {
        if std::mem::take(&mut self.handshaking) {
            self.seats.handshakes.fetch_sub(1, Ordering::AcqRel);
            if let Some(mut held) = self.seats.sources.get_mut(&self.source) {
                held.handshakes -= 1;
            }
        }
    }

    /// Somebody has registered on the connection.
    pub fn authenticated(&mut self) {
        if std::mem::take(&mut self.unauthenticated) {
            self.seats.unauthenticated.fetch_sub(1, Ordering::AcqRel);
            if let Some(mut held) = self.seats.sources.get_mut(&self.source) {
                held.unauthenticated -= 1;
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let seats = &self.seats;
        if self.handshaking {
            seats.handshakes.fetch_sub(1, Ordering::AcqRel);
        }
        if self.unauthenticated {
            seats.unauthenticated.fetch_sub(1, Ordering::AcqRel);
        }
        seats.all.fetch_sub(1, Ordering::AcqRel);
        if let Entry::Occupied(mut entry) = seats.sources.entry(self.source) {
            let held = entry.get_mut();
            held.handshakes -= usize::from(self.handshaking);
            held.unauthenticated -= usize::from(self.unauthenticated);
            held.all -= 1;
            if held.all == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: SeatLimits = SeatLimits {
        connections: 100,
        per_source: 100,
        unauthenticated: 100,
        unauthenticated_per_source: 100,
        handshakes: 100,
        handshakes_per_source: 100,
    };

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn each_limit_refuses_by_its_name_and_a_seat_given_back_is_free() {
        for (limits, handshake, limit, same) in [
            (SeatLimits { connections: 3, ..WIDE }, false, Limit::Connections, false),
            (WIDE, false, Limit::Descriptors, false),
            (SeatLimits { per_source: 3, ..WIDE }, false, Limit::ConnectionsPerSource, true),
            (SeatLimits { unauthenticated: 3, ..WIDE }, false, Limit::Unauthenticated, false),
            (
                SeatLimits { unauthenticated_per_source: 3, ..WIDE },
                false,
                Limit::UnauthenticatedPerSource,
                true,
            ),
            (SeatLimits { handshakes: 3, ..WIDE }, true, Limit::Handshakes, false),
            (SeatLimits { handshakes_per_source: 3, ..WIDE }, true, Limit::HandshakesPerSource, true),
        ] {
            let seats = Seats::new(limits);
            if limit == Limit::Descriptors {
                seats.set_descriptors(3);
            }
            let mut held: Vec<Seat> =
                (0..3).map(|n| seats.take(ip(if same { 1 } else { n }), handshake).unwrap()).collect();
            assert_eq!(seats.take(ip(1), handshake).unwrap_err(), limit);
            assert_eq!(seats.len(), 3, "a refusal takes nothing");
            if same {
                seats.take(ip(2), handshake).unwrap();
            }
            held.pop();
            held.push(seats.take(ip(1), handshake).unwrap());
            drop(held);
            assert!(seats.is_empty() && seats.sources.is_empty());
            for count in [&seats.unauthenticated, &seats.handshakes] {
                assert_eq!(count.load(Ordering::Relaxed), 0);
            }
        }
    }

    #[test]
    fn who_has_registered_and_who_is_done_with_the_handshake_makes_room() {
        let seats = Seats::new(SeatLimits { unauthenticated: 1, handshakes: 1, ..WIDE });
        assert!(!seats.is_crowded(true));
        let mut first = seats.take(ip(1), true).unwrap();
        assert_eq!(seats.take(ip(2), true).unwrap_err(), Limit::Unauthenticated);
        assert!(seats.is_crowded(false));
        first.authenticated();
        first.authenticated();
        assert!(seats.is_crowded(true) && !seats.is_crowded(false));
        assert_eq!(seats.take(ip(2), true).unwrap_err(), Limit::Handshakes);
        first.shaken();
        let second = seats.take(ip(2), true).unwrap();
        assert_eq!(seats.take(ip(2), false).unwrap_err(), Limit::Unauthenticated);
        seats.set_limits(WIDE);
        let third = seats.take(ip(2), false).unwrap();
        drop((first, second, third));
        assert!(seats.is_empty());
    }

    #[test]
    fn threads_never_take_more_than_there_are() {
        let seats = Seats::new(SeatLimits { per_source: 7, ..WIDE });
        let taken: Vec<usize> = std::thread::scope(|scope| {
            let each = (0..4).map(|_| {
                scope.spawn(|| {
                    (0..1000)
                        .map(|_| {
                            seats.take(ip(1), true).map_or(0, |s| {
                                drop(s);
                                1
                            })
                        })
                        .sum::<usize>()
                })
            });
            each.collect::<Vec<_>>().into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(taken.iter().all(|n| *n > 0));
        assert!(seats.is_empty() && seats.sources.is_empty());
    }
}
