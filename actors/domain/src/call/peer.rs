//! What two calls of a node say to each other when a leg of one goes over to the other.
//!
//! ```text
//! A (got the REFER)                     B (the call named by Replaces)
//!   Claim ────────────────────────────►  waits until it has no offer open, then lends the leg
//!   ◄──────────────────────────── Lent   keeps its own copy; starts nothing new; writes no row
//!   re-INVITEs both legs
//!   row of A with the leg, row of B gone: one commit
//!   Taken ────────────────────────────►  forgets the leg, BYE to the transferor, Finished
//!   or: GaveBack ─────────────────────►  goes on as before
//! ```
//!
//! Nothing is half done: until `Taken` B is whole and its row stands; with the commit A is. A call that
//! panics or is gone answers all the same: A's [`super::Call::salvage`] gives back, B rebuilt from its row
//! still understands `Taken` by the dialog that it names, and where a call is gone its shard says so
//! ([`PeerMessage::bounced`]).

use super::state::Leg;
use super::types::{DialogId, LegId};
use crate::ids::DeviceName;

/// Another call of this node; the number is the actors'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallRef(pub u64);

/// The dialog that a Replaces names (RFC 3891), from our side: `local_tag` is its to-tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The call that our tag leads to; `None`: the tag is not ours.
    pub call: Option<CallRef>,
    /// The dialog.
    pub dialog: DialogId,
    /// Only an early dialog may be replaced.
    pub early_only: bool,
}

/// A leg on its way from one call to another.
#[derive(Debug, Clone)]
pub struct Parcel(pub(super) Box<Leg>);

impl Parcel {
    /// Leaves behind what only the call that it comes from can make use of.
    pub(super) fn pack(leg: &Leg) -> Self {
        let mut leg = leg.clone();
        leg.invite = None;
        leg.early.clear();
        leg.acked.clear();
        (leg.unacked, leg.bye, leg.indication, leg.refresh) = (None, None, None, None);
        leg.id = LegId(u16::MAX);
        Self(Box::new(leg))
    }
}

/// What one call says to another.
#[derive(Debug, Clone)]
pub enum PeerMessage {
    /// Lend me the leg at the other end of this dialog of yours.
    Claim {
        /// To be given back.
        ticket: u64,
        /// The dialog and its conditions.
        replaced: Replaced,
        /// Who asks: the dialog must be this device's.
        sender: DeviceName,
    },
    /// No; the status says why.
    Denied {
        /// As asked.
        ticket: u64,
        /// Why.
        status: u16,
    },
    /// The dialog is an early one: I end it, ring the number yourself.
    Ringing {
        /// As asked.
        ticket: u64,
    },
    /// Here it is, until you say what became of it.
    Lent {
        /// As asked.
        ticket: u64,
        /// The leg.
        leg: Parcel,
        /// SDES lines could cross between it and the phone that it talked to.
        carries: bool,
    },
    /// The leg that you have is gone: its phone hung up, or the call ended.
    LegGone {
        /// Its dialog.
        dialog: DialogId,
    },
    /// The leg is mine now.
    Taken {
        /// Its dialog.
        dialog: DialogId,
    },
    /// The leg is yours again.
    GaveBack {
        /// As asked.
        ticket: u64,
        /// CSeq number of the last request that was sent to it; 0 if none was.
        cseq: u32,
        /// It was offered other media meanwhile: agree with it anew.
        restore: bool,
        /// Its dialog is gone (408, 481).
        lost: bool,
    },
}

impl PeerMessage {
    /// What the sender is told when there is no such call; `None`: nothing.
    pub fn bounced(&self) -> Option<Self> {
        match *self {
            Self::Claim { ticket, .. } => Some(Self::Denied { ticket, status: 481 }),
            Self::Lent { ticket, .. } => {
                Some(Self::GaveBack { ticket, cseq: 0, restore: false, lost: false })
            }
            _ => None,
        }
    }
}
