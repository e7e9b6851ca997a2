//! What a step of the subscriptions takes and gives.

use std::sync::Arc;

use smallvec::SmallVec;

use super::document::Document;
use super::package::{Snapshot, Watched};
use crate::call::{Dialog, ServerTx};
use crate::flow::Flow;
use crate::ids::UnixMillis;
use crate::phone::ExpiryLimits;

/// A subscription of one phone: counted, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub u32);

/// An admitted SUBSCRIBE of this phone. Authorisation is behind it.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// Its server transaction.
    pub tx: ServerTx,
    /// Package and line of a new one; in a dialog the package alone counts.
    pub watched: Watched,
    /// `id` of Event.
    pub event_id: Option<Arc<str>>,
    /// Expires, if it was there; 0 ends or only fetches.
    pub expires: Option<u32>,
    /// To tag: of a subscription that is to be prolonged or ended.
    pub in_dialog: Option<Arc<str>>,
    /// The dialog as it will be if the subscription is new: `local_tag` is fresh and random, `remote_cseq` is
    /// this request's.
    pub dialog: Dialog,
    /// Where it came from, and notifications go.
    pub flow: Flow,
    /// Worker that took it: notifications over UDP leave from there.
    pub worker: u16,
}

/// What a step may look at.
pub struct Env<'a> {
    /// Wall clock.
    pub now: UnixMillis,
    /// Limits of registrations, which hold for subscriptions too.
    pub expiry: ExpiryLimits,
    /// Subscriptions that this phone may have.
    pub max: usize,
    /// What stands there now.
    pub snapshot: &'a dyn Fn(&Watched) -> Snapshot,
}

/// Why a SUBSCRIBE is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Shorter than allowed: 423 with Min-Expires (RFC 6665 §4.2.1.1).
    #[error("expiry is shorter than {min} seconds")]
    TooBrief {
        /// Seconds.
        min: u32,
    },
    /// No such subscription: 481.
    #[error("no such subscription")]
    Unknown,
    /// CSeq does not follow: 500 (RFC 3261 §12.2.2).
    #[error("CSeq does not follow the last one")]
    OutOfOrder,
    /// The phone has as many as it may: 403, since trying again later helps nobody.
    #[error("a phone may have {limit} subscriptions")]
    TooMany {
        /// Most of one phone.
        limit: usize,
    },
}

impl Refusal {
    /// Status code.
    pub fn status(self) -> u16 {
        match self {
            Self::TooBrief { .. } => 423,
            Self::Unknown => 481,
            Self::OutOfOrder => 500,
            Self::TooMany { .. } => 403,
        }
    }
}

/// Why a subscription ended, as Subscription-State says it (RFC 6665 §4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its time is up, the phone ended it, or it was a fetch.
    Timeout,
    /// The line is gone.
    NoResource,
    /// Subscribe again at once: the node gave the state up.
    Deactivated,
}

impl Ended {
    /// As in Subscription-State.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::NoResource => "noresource",
            Self::Deactivated => "deactivated",
        }
    }
}

/// One NOTIFY to be sent.
#[derive(Debug, Clone)]
pub struct Notify {
    /// Subscription.
    pub id: SubscriptionId,
    /// Tells the answer to this one from answers to others.
    pub number: u32,
    /// What it is about.
    pub watched: Watched,
    /// `id` of Event.
    pub event_id: Option<Arc<str>>,
    /// `local_cseq` is this request's.
    pub dialog: Dialog,
    /// Where it goes.
    pub flow: Flow,
    /// Worker for a flow without connection.
    pub worker: u16,
    /// Seconds left, or why it is over.
    pub state: Result<u32, Ended>,
    /// What it says.
    pub document: Document,
}

/// What became of a NOTIFY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// A final response.
    Status(u16),
    /// None came, or it could not be sent.
    Failed,
}

/// What a step asks for, in order.
#[derive(Debug)]
pub enum Effect {
    /// 200 with Expires, our tag and our Contact.
    Accept {
        /// Transaction.
        tx: ServerTx,
        /// Seconds granted.
        expires: u32,
        /// Our tag.
        tag: Arc<str>,
    },
    /// A refusal.
    Refuse {
        /// Transaction.
        tx: ServerTx,
        /// Why.
        why: Refusal,
    },
    /// Send this.
    Notify(Box<Notify>),
    /// Changes of this are wanted from now on.
    Watch(Watched),
    /// Nobody here wants them any more.
    Unwatch(Watched),
    /// Call [`Subscriptions::timer`] with this at or after that time.
    Arm(SubscriptionId, UnixMillis),
    /// How many there are now compared with before: for the gauge.
    Counted(i64),
}

/// In order.
pub type Effects = SmallVec<[Effect; 4]>;
