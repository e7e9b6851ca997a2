//! The one way out: actors emit effects into an [`Outlet`], which the engine implements. Nothing comes back
//! through it.

use std::sync::Arc;

use keyline_domain::call;
use keyline_domain::ids::{DeviceIndex, Dn, ProfileId};
use keyline_domain::phone::{Accepted, Cause};
use keyline_domain::rollout::Order;
use keyline_domain::subscription::{Notify, Refusal};
use smallvec::SmallVec;

use crate::route::CallKey;

/// One Contact of a 200 to REGISTER, owned: it leaves the shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedContact {
    /// URI exactly as given.
    pub contact: Arc<str>,
    /// Seconds left.
    pub expires: u32,
    /// q in thousandths.
    pub q: Option<u16>,
    /// `+sip.instance`.
    pub instance: Option<Arc<str>>,
    /// `reg-id`.
    pub reg_id: Option<u32>,
    /// Cisco model number.
    pub model: Option<u32>,
    /// The device that was asked is the one that holds it.
    pub own: bool,
}

/// Answer to a REGISTER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterReply {
    /// 200, committed.
    Accepted {
        /// Particulars.
        accepted: Accepted,
        /// The line that was asked (To).
        line: Dn,
        /// All live bindings of the line, other devices' included.
        contacts: Vec<ListedContact>,
    },
    /// Refused by the registrar's rules.
    Refused(Cause),
    /// The commit's fate is unknown or another writer won: 500, the phone tries again.
    StorageFailed,
    /// Too much waits: 503 with Retry-After.
    Overloaded,
}

/// Why an INVITE found nobody to ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTarget {
    /// No such line: 404.
    UnknownLine,
    /// A line without a live binding: 480.
    NotRegistered,
    /// The shard has its share of calls: 503.
    Overloaded,
}

/// What a worker is asked to do.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "moved once into a batch; a box would cost an allocation each")]
pub enum Emission {
    /// Answer a REGISTER.
    Register {
        /// Server transaction.
        tx: u64,
        /// The answer.
        reply: RegisterReply,
    },
    /// An INVITE that starts no call.
    NoCall {
        /// Server transaction.
        tx: u64,
        /// Why.
        why: NoTarget,
    },
    /// A request whose call is gone: 481.
    NoSuchCall {
        /// Server transaction.
        tx: u64,
    },
    /// A fault of ours: 500.
    Failed {
        /// Server transaction.
        tx: u64,
    },
    /// Answer a SUBSCRIBE: seconds granted and our tag, or why not.
    Subscribed {
        /// Server transaction.
        tx: u64,
        /// The answer.
        outcome: Result<(u32, Arc<str>), Refusal>,
    },
    /// Send a NOTIFY, and tell the phone what became of it.
    Notify {
        /// Whose subscription it is.
        device: DeviceIndex,
        /// What to send.
        notify: Box<Notify>,
    },
    /// Tell a phone to take its configuration, and the roll-out of the profile what it answered.
    Order {
        /// The phone.
        device: DeviceIndex,
        /// The profile that is rolled out.
        profile: ProfileId,
        /// What it is told.
        order: Order,
    },
    /// Effects of a call.
    Call {
        /// The call.
        call: CallKey,
        /// In order. Only those that are the engine's to carry out.
        effects: SmallVec<[call::Effect; 4]>,
    },
}

/// Implemented by the engine. Never blocks; called on shard and call threads.
pub trait Outlet: Send + Sync + 'static {
    /// Hands emissions, in order, to a worker.
    fn emit(&self, worker: u16, emissions: Vec<Emission>);
}

/// Worker that owns a server transaction: the high 16 bits of its token.
pub fn worker_of(tx: u64) -> u16 {
    (tx >> 48) as u16
}
