//! What a call asks its actor to do, in order.

use std::sync::Arc;

use smallvec::SmallVec;

use super::peer::{CallRef, PeerMessage};
use super::redirect::Redirect;
use super::row::DialogRow;
use super::types::{ClientTx, Dialog, Headers, LegId, Method, ServerTx};
use crate::class::LegFacts;
use crate::flow::Flow;
use crate::ids::{DeviceName, Dn};
use crate::media::Body;
use crate::mode::SecurityClass;

/// A response. The engine adds the copied headers, Contact (2xx and 101–199 to INVITE, 2xx to UPDATE),
/// Record-Route, Allow and Supported.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Answers this transaction.
    pub tx: ServerTx,
    /// Status code.
    pub status: u16,
    /// Reason phrase; `None` is the usual one of the status.
    pub reason: Option<Arc<str>>,
    /// Tag to put into To; `None` where the request's To has one already.
    pub to_tag: Option<Arc<str>>,
    /// Body, as the other phone sent it.
    pub body: Option<Body>,
    /// SDES lines of the body may cross to this leg; else the engine strips them.
    pub carry_crypto: bool,
    /// Further headers.
    pub headers: Headers,
}

/// A request. Its CSeq number is `dialog.local_cseq`.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// To which leg.
    pub leg: LegId,
    /// Names the client transaction.
    pub token: ClientTx,
    /// Method.
    pub method: Method,
    /// Dialog as it stands for this request: Request-URI, Route, From, To, Call-ID, CSeq.
    pub dialog: Dialog,
    /// Where to.
    pub flow: Flow,
    /// Body, as the other phone sent it.
    pub body: Option<Body>,
    /// SDES lines of the body may cross to this leg; else the engine strips them.
    pub carry_crypto: bool,
    /// Further headers.
    pub headers: Headers,
}

/// ACK to a 2xx: its own transaction, sent to the dialog's target through its route set (RFC 3261 §13.2.2.4).
#[derive(Debug, Clone)]
pub struct OutgoingAck {
    /// To which leg.
    pub leg: LegId,
    /// The INVITE that the 2xx answered.
    pub token: ClientTx,
    /// CSeq number of that INVITE.
    pub cseq: u32,
    /// Dialog of that 2xx (`local_cseq` may be ahead of `cseq`).
    pub dialog: Dialog,
    /// Where to.
    pub flow: Flow,
    /// The answer, after a late offer.
    pub body: Option<Body>,
    /// SDES lines of the body may cross to this leg; else the engine strips them.
    pub carry_crypto: bool,
}

/// Timers of a call. Arming one again replaces it (its old generation is stale).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimerKind {
    /// A cancelled INVITE got no final response in 64·T1 (RFC 3261 §9.1).
    CancelWait(LegId),
    /// A ringing group was not answered in `no_answer_s`.
    NoAnswer,
    /// The whole attempt took too long (sip.md §13.20).
    RingCap,
    /// A waiting target did not come back in 5 s.
    TargetWait(LegId),
    /// An answered leg's phone did not come back on a new flow.
    FlowWait(LegId),
    /// Another call does not say whether it gives its leg.
    Claim,
    /// A request of our own met 491 and is due again (RFC 3261 §14.1).
    Glare,
    /// A reliable provisional of this early dialog of a phone is not acknowledged (RFC 3262 §3).
    Provisional(LegId, u16),
    /// Nobody refreshed a leg's session in time (RFC 4028 §10).
    SessionEnd(LegId),
    /// Half of a leg's session is over and we refresh it.
    SessionRefresh(LegId),
    /// Farewells that nobody answers: the call ends anyway.
    Linger,
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// A phone hung up after the answer.
    Bye,
    /// The caller gave up before the answer.
    Cancelled,
    /// No target took it; the final status that the caller got.
    Rejected(u16),
    /// Nobody answered in time.
    NoAnswer,
    /// A dialog or a phone vanished: 408, 481, lost flow, missing ACK.
    LegLost,
    /// Ended from our side.
    Released,
    /// Its last leg went over to another call.
    Transferred,
    /// The call could not be rebuilt after a fault.
    Aborted,
}

/// A question for the bindings of a line, for a transfer.
#[derive(Debug, Clone)]
pub struct Find {
    /// To be given back.
    pub ticket: u64,
    /// The line.
    pub line: Dn,
    /// Only bindings over TLS.
    pub sips: bool,
    /// Devices that shall not be rung: those of the call.
    pub exclude: SmallVec<[DeviceName; 2]>,
    /// From, without tag, as the phones shall see it.
    pub local_uri: Arc<str>,
    /// To, without tag.
    pub remote_uri: Arc<str>,
}

/// One effect. Nothing follows [`Effect::Finished`].
#[derive(Debug, Clone)]
pub enum Effect {
    /// Send the ACK of a 2xx.
    Ack(Box<OutgoingAck>),
    /// A leg of another call is here now: its SDP session, found by our tag on it, comes along, and its device
    /// is watched.
    Adopt {
        /// Where it was.
        from: CallRef,
        /// Our tag on the leg.
        tag: Arc<str>,
        /// Flow of the leg: later SDP of it leaves on the same worker.
        flow: Flow,
        /// Its device.
        device: DeviceName,
    },
    /// Start a timer; report it by [`super::Input::Timer`] with the same generation.
    Arm {
        /// Which.
        timer: TimerKind,
        /// To be reported back.
        generation: u32,
        /// Milliseconds from now.
        after_ms: u64,
    },
    /// CANCEL this INVITE: same branch, Request-URI, Route, To and CSeq number (RFC 3261 §9.1). A provisional has
    /// been seen. The answer to the CANCEL is the engine's.
    Cancel {
        /// Which leg.
        leg: LegId,
        /// Its INVITE.
        token: ClientTx,
        /// Reason.
        headers: Headers,
    },
    /// Find the bindings of a line; answered by [`super::Input::Targets`].
    Find(Box<Find>),
    /// The last effect: drop the call.
    Finished {
        /// Why.
        why: End,
    },
    /// No further interest in this client transaction: stop repeating it; its responses need not be reported.
    Forget {
        /// Which.
        token: ClientTx,
    },
    /// Keep this row (not awaited); replaces the last one.
    Journal(Box<DialogRow>),
    /// Keep this row and forget the other call's, in one commit: a leg went over.
    JournalOver {
        /// Ours.
        row: Box<DialogRow>,
        /// Whose row goes.
        over: CallRef,
    },
    /// The security of the call as the boards and the API show it; only on change.
    Publish {
        /// The class.
        class: SecurityClass,
        /// What it was found from: the reasons follow from it when somebody asks.
        facts: Arc<[LegFacts]>,
    },
    /// Answer. A 2xx to an INVITE is repeated by the engine (T1 doubling to T2, any transport) until
    /// [`Effect::StopRepeat`] or 64·T1, then it reports [`super::Input::AckTimeout`].
    Reply(Box<Reply>),
    /// Find the bindings of these lines, to which a phone forwards; [`super::Input::Located`] tells.
    Locate {
        /// The leg that forwards.
        leg: LegId,
        /// The lines.
        lines: Vec<Redirect>,
        /// From of the INVITEs to them.
        from: Arc<str>,
    },
    /// Send a request in a client transaction.
    Send(Box<Outgoing>),
    /// Say something to another call of this node.
    Tell {
        /// Which.
        to: CallRef,
        /// What.
        message: Box<PeerMessage>,
    },
    /// The 2xx of this INVITE was acknowledged.
    StopRepeat {
        /// Which.
        tx: ServerTx,
    },
}

/// Effects of one step, to be carried out in order.
pub type Effects = SmallVec<[Effect; 4]>;
