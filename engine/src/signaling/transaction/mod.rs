//! The SIP transaction layer as pure state machines (RFC 3261 §17, RFC 6026, RFC 4320).
//!
//! One [`ServerTable`] and one [`ClientTable`] belong to each worker thread: no locks, no sockets,
//! no clock. Every call takes `now` in milliseconds of a clock that does not run backwards, and
//! appends what must be done to a reusable vector of [`Action`]s, which the caller carries out in
//! order and clears.
//!
//! The path of a request that arrives:
//! 1. [`ServerTable::receive`], before any authentication: a retransmission is absorbed here and
//!    answered with the stored response, so a nonce count is never checked twice.
//! 2. [`Received::New`]: the caller judges the request. A challenge or a refusal that keeps no
//!    state is sent directly and **no transaction is opened** for it.
//! 3. [`ServerTable::open`] with the key from step 1, then [`ServerTable::respond`].
//!
//! The path of a request that leaves: [`branch::make`], print it into the top Via,
//! [`ClientTable::send`]; each response goes to [`ClientTable::receive`], whose verdict says
//! whether the transaction user sees it.
//!
//! `R` is the caller's route (a flow), opaque here but for [`Route::is_reliable`]. `T` is the
//! caller's owner of a transaction (a call leg, a reply address); it comes back with each event.

pub mod branch;
pub mod client;
mod derive;
pub mod id;
pub mod key;
pub mod server;
mod slots;
mod wheel;

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::Arc;

pub use branch::Branch;
pub use client::{CancelError, ClientTable, SendError, Verdict};
pub use id::{ClientTxId, ServerTxId};
pub use key::RequestKey;
pub use server::{CancelTarget, Received, Refused, RespondError, ServerTable};

/// A time that never comes; marks a timer that is off.
const NEVER: u64 = u64::MAX;

/// Where a message goes: the caller's flow. Copied into each transaction.
pub trait Route: Copy + Debug {
    /// A stream (TCP, TLS): the transport repeats lost segments, so the transaction does not.
    fn is_reliable(&self) -> bool;

    /// Whether a response that came by `from` may answer a request that was sent by this route: a
    /// stranger who saw a branch must not speak for the peer.
    fn admits(&self, from: &Self) -> bool {
        let _ = from;
        true
    }
}

/// Timer values in milliseconds (RFC 3261 table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Round-trip estimate.
    pub t1: u32,
    /// Longest interval between repeats of a non-INVITE request or of an INVITE's final response.
    pub t2: u32,
    /// Longest time that a message stays in the network.
    pub t4: u32,
    /// An INVITE that the user has not answered for this long gets its stored 100 (§17.2.1).
    pub trying: u32,
    /// Longest time without a final response to an INVITE in either direction. The call's own ring
    /// limit is shorter; this bound only keeps a forgotten transaction from living for ever.
    pub ring_cap: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: 500, t2: 4_000, t4: 5_000, trying: 200, ring_cap: 1_800_000 }
    }
}

impl Timers {
    /// 64 × T1: timers B, D, F, H, J, L and M.
    pub fn timeout(&self) -> u64 {
        64 * u64::from(self.t1)
    }

    /// When Timer E of a client reaches T2, counted from the first copy of its request: the moment
    /// from which a 100 to a non-INVITE request is allowed on datagrams (RFC 4320 §4.1).
    pub fn non_invite_trying(&self) -> u64 {
        let (mut at, mut interval) = (0, u64::from(self.t1.max(1)));
        while interval < u64::from(self.t2) {
            at += interval;
            interval *= 2;
        }
        at
    }
}

/// Size and timers of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableConfig {
    /// Number of the worker that owns the table.
    pub worker: u16,
    /// Most transactions at a time, at most [`id::SLOTS_MAX`]. A completed non-INVITE server
    /// transaction costs about 160 bytes plus the route, the owner and the stored response (some
    /// 500 bytes) for 32 s on datagrams and nothing on streams.
    pub max_transactions: usize,
    /// Timer values.
    pub timers: Timers,
}

/// One thing for the caller to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<R, I, T, E> {
    /// Send these bytes on this route. If the transport refuses them, report it with
    /// `transport_failed(tx)`.
    Send {
        /// The transaction.
        tx: I,
        /// Where to.
        route: R,
        /// The complete message.
        bytes: Arc<[u8]>,
    },
    /// Something that the transaction user must know.
    Event {
        /// The transaction.
        tx: I,
        /// Who owns it.
        owner: T,
        /// What happened.
        event: E,
    },
    /// The transaction is gone and its id is no longer valid. Comes once for each transaction.
    Terminated {
        /// The transaction.
        tx: I,
        /// Who owned it.
        owner: T,
    },
}

/// What a server table asks for.
pub type ServerAction<R, T> = Action<R, ServerTxId, T, ServerEvent>;

/// What a client table asks for.
pub type ClientAction<R, T> = Action<R, ClientTxId, T, ClientEvent>;

/// News from a server transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerEvent {
    /// Nobody acknowledged the final response within 64 × T1. After a 2xx the user ends the dialog
    /// with a BYE (§13.3.1.4); after another final nothing is left to do.
    NoAck {
        /// The final response was a 2xx.
        accepted: bool,
    },
    /// The transport could not deliver the response.
    TransportFailed,
    /// The user has given no final response within the longest time; the transaction ended without
    /// one.
    Unanswered,
}

/// News from a client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientEvent {
    /// No final response in time (Timer B or F, 64 × T1 after a CANCEL, or the ring cap). To be
    /// treated like a 408 (§8.1.3.1).
    Timeout,
    /// The request could not be sent. To be treated like a 503 (§8.1.3.1).
    TransportFailed,
}

/// Counters of a table since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Transactions opened.
    pub opened: u64,
    /// Repeated messages that went no further.
    pub absorbed: u64,
    /// Copies of open requests that came by another path (RFC 3261 §8.2.2.2).
    pub merged: u64,
    /// Messages sent again by a timer or for a repeated request.
    pub repeated: u64,
    /// Completed transactions that gave way to new ones before their time.
    pub evicted: u64,
    /// Transactions refused because the table was full.
    pub refused: u64,
    /// Transactions that ended by a timer without the message that they waited for.
    pub timed_out: u64,
}
