//! What happens to a call.

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::effect::TimerKind;
use super::extension::Extensions;
use super::peer::{CallRef, PeerMessage};
use super::refer::Refer;
use super::types::{ClientTx, DialogId, Headers, LegId, Method, PeerFeatures, ServerTx, Target};
use crate::class::LegFacts;
use crate::flow::Flow;
use crate::ids::DeviceName;
use crate::media::Body;

/// A request inside a dialog of this call, past the transaction layer (not ACK, not CANCEL, no
/// retransmission).
#[derive(Debug, Clone)]
pub struct Incoming {
    /// To be answered exactly once.
    pub tx: ServerTx,
    /// The device that admission found it to come from; only the leg's own is listened to.
    pub sender: DeviceName,
    /// Call-ID and tags of the request.
    pub dialog: DialogId,
    /// Its method.
    pub method: Method,
    /// Its CSeq number.
    pub cseq: u32,
    /// URI of its Contact: a target refresh on INVITE and UPDATE.
    pub contact: Option<Arc<str>>,
    /// Its body.
    pub body: Option<Body>,
    /// From Allow and Supported where the request carries them; else `None` (what was known stays).
    pub peer: Option<PeerFeatures>,
    /// Its extensions.
    pub ext: Extensions,
    /// Headers that may pass (see [`super::passes`]).
    pub headers: Headers,
    /// Of a REFER: where to.
    pub refer: Option<Box<Refer>>,
}

/// A response to one of our requests: every provisional (100 too: it releases a held CANCEL), every final,
/// and **each** 2xx to an INVITE, repeated ones too unless the engine answers these itself by the same ACK.
#[derive(Debug, Clone)]
pub struct Response {
    /// Of which request.
    pub token: ClientTx,
    /// Status code.
    pub status: u16,
    /// Reason phrase.
    pub reason: Option<Arc<str>>,
    /// To tag.
    pub to_tag: Option<Arc<str>>,
    /// URI of its Contact.
    pub contact: Option<Arc<str>>,
    /// Record-Route values as they stand in the response; the call reverses them (RFC 3261 §12.1.2).
    pub record_route: SmallVec<[Arc<str>; 1]>,
    /// Its body.
    pub body: Option<Body>,
    /// From Allow and Supported where the response carries them.
    pub peer: Option<PeerFeatures>,
    /// Its extensions.
    pub ext: Extensions,
    /// Headers that may pass (see [`super::passes`]).
    pub headers: Headers,
}

/// How a request of ours failed without a response from the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Timer B or F: taken as 408 (RFC 3261 §8.1.3.1).
    Timeout,
    /// The flow would not take it: taken as 480 to an INVITE that begins a leg, else as 503.
    Transport,
    /// The engine could not write it for this leg (SDP that cannot be rewritten): taken as this status.
    Unwritable(u16),
}

/// One event.
#[derive(Debug, Clone)]
pub enum Input {
    /// ACK to a 2xx of ours, matched by its dialog and the INVITE's CSeq number. Repeats are harmless.
    Ack {
        /// Call-ID and tags of the ACK.
        dialog: DialogId,
        /// Its CSeq number.
        cseq: u32,
        /// Where it came from: an ACK bears no proof, so only the leg's own address is listened to.
        source: IpAddr,
        /// The answer, after a late offer.
        body: Option<Body>,
    },
    /// 64·T1 passed and no ACK came for the 2xx of this transaction (RFC 3261 §13.3.1.4).
    AckTimeout {
        /// The INVITE.
        tx: ServerTx,
    },
    /// A CANCEL matched this INVITE; the engine has already answered the CANCEL with 200.
    Cancel {
        /// The INVITE.
        tx: ServerTx,
        /// Headers of the CANCEL that may pass: Reason.
        headers: Headers,
    },
    /// Facts of a device changed: its applied mode, its trust, the cluster's mode.
    DeviceFacts(Box<LegFacts>),
    /// A request of ours ended without a response.
    Failed {
        /// The request.
        token: ClientTx,
        /// How.
        failure: Failure,
    },
    /// The connection closed. Legs on another flow are not touched.
    FlowLost {
        /// The closed one.
        flow: Flow,
    },
    /// Another call of this node says something.
    Peer {
        /// Which call.
        from: CallRef,
        /// What.
        message: Box<PeerMessage>,
    },
    /// The answer to [`super::Effect::Locate`].
    Located {
        /// The leg that was forwarded.
        leg: LegId,
        /// Bindings of the lines; none: nobody is there.
        targets: Vec<Target>,
    },
    /// Both legs shall agree on new SRTP keys, because the parties changed.
    Rekey,
    /// The call shall end now (operator, device reset): CANCEL, 480 or BYE as it stands.
    Release,
    /// A request in one of the call's dialogs.
    Request(Box<Incoming>),
    /// A response.
    Response(Box<Response>),
    /// The bindings that [`super::Effect::Find`] asked for; `Err` is the status to fail with.
    Targets {
        /// As asked.
        ticket: u64,
        /// What was found.
        found: Result<Vec<Target>, u16>,
        /// Parameter `no_answer_s`.
        no_answer_s: u32,
    },
    /// The device registered (again): legs that wait for it go on, legs on its lost flow use the new one.
    TargetBack {
        /// Its flow now.
        flow: Flow,
        /// Contact URI of the binding.
        contact: Arc<str>,
        /// Facts of the new connection; they name the device.
        facts: Box<LegFacts>,
    },
    /// A timer that was armed; stale generations are ignored.
    Timer {
        /// Which.
        timer: TimerKind,
        /// As armed.
        generation: u32,
    },
    /// A reply of the call could not be written for its leg (SDP that cannot be rewritten) and was not sent.
    Unanswerable {
        /// The request that it was to answer.
        tx: ServerTx,
        /// Status to refuse with.
        status: u16,
    },
    /// The device unregistered: a leg that waits for it fails at once; ringing and answered ones go on.
    Unregistered {
        /// The device.
        device: DeviceName,
    },
}
