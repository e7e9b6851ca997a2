//! What a message says about the extensions that each leg keeps for itself: nothing of it passes to the other.

use std::sync::Arc;

use super::identity::Privacy;
use super::redirect::Redirect;
use super::types::PeerFeatures;

/// RAck (RFC 3262 §7.2): which reliable provisional a PRACK acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rack {
    /// RSeq of the provisional.
    pub rseq: u32,
    /// CSeq number of the request that it answers.
    pub cseq: u32,
    /// That request is an INVITE.
    pub invite: bool,
}

/// Who refreshes a session (RFC 4028 §4), in the words of the transaction that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// The one that sent the request.
    Uac,
    /// The one that answers it.
    Uas,
}

/// Session-Expires and Min-SE of a message, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionAsk {
    /// Interval.
    pub expires: Option<u32>,
    /// Who shall refresh.
    pub refresher: Option<Refresher>,
    /// Smallest interval that the sender takes.
    pub min_se: Option<u32>,
}

/// Extensions of one message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions {
    /// Require holds 100rel.
    pub require_100rel: bool,
    /// RSeq of a response.
    pub rseq: Option<u32>,
    /// RAck of a PRACK.
    pub rack: Option<Rack>,
    /// Session timer.
    pub session: SessionAsk,
    /// What it asks to be hidden of its sender.
    pub privacy: Privacy,
    /// Lines of this node that a 3xx names, best first.
    pub redirects: Vec<Redirect>,
    /// Reason of its Diversion.
    pub diversion: Option<Arc<str>>,
    /// It has no Supported: what was known of the peer stays.
    pub no_supported: bool,
    /// It has no Allow.
    pub no_allow: bool,
}

impl PeerFeatures {
    /// What is known of a peer after one more message.
    pub(super) fn told(self, new: Self, ext: &Extensions) -> Self {
        let supported = if ext.no_supported { self } else { new };
        Self { update: if ext.no_allow { self.update } else { new.update }, ..supported }
    }
}
