//! What a worker does with datagrams when more come than it can serve (design §4, "Back-pressure").
//!
//! The queue of a shard is bounded by credits, but a worker whose core is busy never gets to fill it: what waits, waits
//! in the socket, and what does not fit there is lost, an answer as well as a first request. So the gate looks at
//! how long the oldest datagram has waited and whether the kernel dropped any. While that is too much it raises its
//! pressure, and sheds by kind: new requests, those with credentials, first registrations, refreshes; dialogs never.
//! What is shed is not read as a message. It gets 503 with Retry-After as far as a thirty-second of the
//! worker's time goes, the rest is dropped, which RFC 3261 §21.5.4 allows: to answer all of ten times the capacity
//! would cost more than to serve it once. While nothing waits the gate costs one comparison a turn.

mod class;
mod shed;
#[cfg(test)]
mod tests;

pub use self::class::{Class, class_of};
use crate::edge::queue::Queue;

/// Time between two looks at the queue, microseconds.
pub const PERIOD: u64 = 5_000;
/// How long the oldest datagram may have waited, microseconds: far below the 500 ms after which it is repeated, far
/// above what a burst of one reconnecting site makes.
const PATIENCE: u64 = 20_000;
/// For how long that must go on before anything is shed, microseconds: a pause of the machine is no overload.
const PERSISTS: u64 = 100_000;
/// Pressure at which all of a class is shed and the next one begins.
const BAND: u32 = 1_000;
const CLASSES: u32 = 4;
/// What a look adds: for each patience that the oldest datagram waits too long, and for each by which it waits longer than
/// at the look before. The second holds the pressure while a long queue already melts (as PIE does, RFC 8033 §4.2).
const TOO_LONG: f64 = 5.0;
const LONGER: f64 = 40.0;
/// Patiences that count at most.
const LONGEST: f64 = 4.0;
/// Most that one look changes.
const STEP: f64 = 40.0;
/// What each look takes away once nothing has waited for as long as [`PERSISTS`].
const RELIEF: f64 = 20.0;
/// Where a band is held as long as most of what comes is of its class: it is what floods, and the next class would
/// pay for it. A seventh of the flood is read as messages then: to take a datagram from its socket and throw it away
/// costs a fiftieth of what it costs to serve it, so that less would be thrown away at the expense of what is served.
const BRINK: u32 = 150;
/// Part of the worker's time that refusals may take.
const ANSWERS: u64 = 32;
/// Time for refusals that may be saved up, nanoseconds.
const SAVED_MAX: u64 = 2_000_000;

/// What becomes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is read.
    Serve,
    /// 503 with Retry-After.
    Refuse(Class),
    /// Nobody hears of it.
    Drop(Class),
}

/// One worker's gate. Times are microseconds of a clock that does not run backwards.
#[derive(Debug, Default)]
pub struct Gate {
    /// From 0 to `CLASSES * BAND`.
    pressure: u32,
    looked_at: u64,
    /// Since when too much has waited at every look.
    above_since: Option<u64>,
    /// When too much waited last.
    above_at: u64,
    /// How long the oldest datagram had waited at the look before, in patiences.
    waited: f64,
    /// Since the last look.
    seen: u32,
    shed: u32,
    /// Time that refusals may still take, nanoseconds.
    saved: u64,
    dice: u64,
}

impl Gate {
    /// Nothing is shed.
    pub fn is_open(&self) -> bool {
        self.pressure == 0
    }

    /// Pressure as a part of what it can be.
    pub fn pressure(&self) -> f64 {
        f64::from(self.pressure) / f64::from(CLASSES * BAND)
    }

    /// Whether it is time to look at the queue.
    pub fn is_due(&self, now: u64) -> bool {
        now.saturating_sub(self.looked_at) >= PERIOD
    }

    /// Nothing waits any more.
    pub fn drained(&mut self) {
        self.above_since = None;
    }

    /// What the queue looks like now.
    pub fn look(&mut self, now: u64, queue: Queue) {
        let since = now.saturating_sub(std::mem::replace(&mut self.looked_at, now));
        self.saved = (self.saved + since.saturating_mul(1_000) / ANSWERS).min(SAVED_MAX);
        // What was lost would have waited.
        let full = if queue.lost { 2.0 } else { 0.0 };
        let waited = (queue.waited as f64 / PATIENCE as f64).clamp(full, LONGEST);
        let longer = waited - std::mem::replace(&mut self.waited, waited);
        if waited > 1.0 {
            self.above_at = now;
            let since = *self.above_since.get_or_insert(now);
            if self.is_open() && now.saturating_sub(since) < PERSISTS {
                return;
            }
        } else if self.is_open() {
            return self.drained();
        }
        let step = (TOO_LONG * (waited - 1.0) + LONGER * longer).clamp(-STEP, STEP);
        let idle = now.saturating_sub(self.above_at) >= PERSISTS;
        let looks = if idle { (since / PERIOD).clamp(1, 1_000) as f64 } else { 1.0 };
        self.change(step - if idle { RELIEF * looks } else { 0.0 });
        (self.seen, self.shed) = (0, 0);
    }

    fn change(&mut self, step: f64) {
        let brink = (self.pressure / BAND + 1) * BAND - BRINK;
        let mut next = (f64::from(self.pressure) + step).clamp(0.0, f64::from(CLASSES * BAND - BRINK)) as u32;
        if self.pressure <= brink && next > brink && self.shed * 2 > self.seen {
            next = brink;
        }
        self.pressure = next;
        if self.is_open() {
            self.drained();
        }
    }

    /// Decides on a datagram; only while it is not open.
    pub fn fate(&mut self, now: u64, bytes: &[u8]) -> Fate {
        if now.saturating_sub(self.looked_at) >= 2 * PERIOD {
            // Nothing came for a while, so nothing waited.
            self.look(now, Queue::default());
        }
        self.seen += 1;
        let Some(class) = class_of(bytes) else { return Fate::Serve };
        let over = self.pressure.saturating_sub(class.place() * BAND).min(BAND);
        if self.roll() >= over {
            return Fate::Serve;
        }
        self.shed += 1;
        if self.saved > 0 { Fate::Refuse(class) } else { Fate::Drop(class) }
    }

    /// A refusal took that long.
    pub fn refused(&mut self, nanoseconds: u64) {
        self.saved = self.saved.saturating_sub(nanoseconds.max(1));
    }

    /// An even number below [`BAND`]; that it can be foreseen helps nobody (splitmix64).
    fn roll(&mut self) -> u32 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z >> 32) * u64::from(BAND)) >> 32) as u32
    }
}
