//! What a shard is told.

use std::sync::Arc;

use actix::Message;
use keyline_domain::call::{self, CallerLeg, Headers, ServerTx};
use keyline_domain::flow::StreamId;
use keyline_domain::identity::ShownCertificate;
use keyline_domain::ids::{DeviceIndex, Dn};
use keyline_domain::media::Body;
use keyline_domain::phone::{AppliedVersion, Register};
use keyline_domain::subscription::Watched;

use crate::journal::Outcomes;
use crate::phone::PhoneWork;
use crate::route::CallKey;

/// An INVITE that begins a call: admitted, from a proven caller.
#[derive(Debug)]
pub struct Invite {
    /// Its server transaction.
    pub tx: ServerTx,
    /// Device that calls.
    pub caller: DeviceIndex,
    /// The number that was dialled.
    pub called: Dn,
    /// The caller's side; `facts` are filled in by the engine from the live connection.
    pub leg: CallerLeg,
    /// Name that callees see as the caller, without tag.
    pub caller_uri: Arc<str>,
    /// The dialled address, without tag.
    pub called_uri: Arc<str>,
    /// Body.
    pub body: Option<Body>,
    /// Headers that may pass.
    pub headers: Headers,
    /// Random.
    pub seed: u64,
    /// Hops left for the INVITEs that go out.
    pub max_forwards: u8,
    /// A sips URI was dialled: only phones on TLS are rung (RFC 5630 §3.1).
    pub sips: bool,
}

/// One thing for a shard to do.
#[derive(Debug)]
pub enum Intent {
    /// A REGISTER that admission let through.
    Register {
        /// The device; this shard owns its row.
        device: DeviceIndex,
        /// Server transaction to answer.
        tx: u64,
        /// The facts.
        request: Box<Register>,
        /// The applied profile asks for a proof.
        proof_due: bool,
        /// What it was judged by: a phone with nothing registered takes it over.
        judged: AppliedVersion,
        /// The client certificate of its connection.
        shown: Option<Arc<ShownCertificate>>,
    },
    /// A new call.
    Invite(Box<Invite>),
    /// An event for a call that lives here. `tx` is answered 481 when the call is gone.
    Call {
        /// Which.
        call: CallKey,
        /// What happened.
        input: Box<call::Input>,
        /// Server transaction behind it, if it is a request.
        tx: Option<u64>,
    },
    /// An event for the call that this INVITE began: its sender cannot know the call's key.
    CallOfInvite {
        /// Server transaction of the INVITE.
        invite: u64,
        /// What happened.
        input: Box<call::Input>,
    },
    /// A connection of a device is gone.
    FlowLost {
        /// The device that had registered on it.
        device: DeviceIndex,
        /// The connection.
        stream: StreamId,
    },
    /// Something that outlives its message: the phone's actor is activated for it.
    Phone {
        /// The device; this shard owns it.
        device: DeviceIndex,
        /// What to do.
        work: Box<PhoneWork>,
        /// Server transaction behind it, if it is a request: answered 500 when the step panics.
        tx: Option<u64>,
    },
}

/// A batch of intents from one worker.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Batch(pub Vec<Intent>);

/// Are you there?
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct Ping;

/// All shards run: the calls of the time before go on.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct ResumeCalls;

/// The node stops: every call ends.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct ReleaseCalls;

/// Outcomes from the writer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Written(pub Outcomes);

/// Something about a device changed that its calls must hear.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct DeviceChanged(pub DeviceIndex);

/// One call says something to another, which lives on this shard.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct FromPeer {
    /// Who says it.
    pub from: CallKey,
    /// To whom.
    pub to: CallKey,
    /// What.
    pub message: Box<call::PeerMessage>,
}

/// A request that was on its way to a call while its leg went over to one on this shard.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Redirected {
    /// Where the leg is now.
    pub call: CallKey,
    /// What happened.
    pub input: Box<call::Input>,
    /// Server transaction behind it.
    pub tx: Option<u64>,
}

/// A device's committed row changed on another shard; sent to the shard of a call that watches it.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct Nudge {
    /// The call.
    pub call: CallKey,
    /// The device.
    pub device: DeviceIndex,
    /// A flow of it that was lost just now.
    pub lost: Option<StreamId>,
    /// Its time ran out: the phone is gone, and with it its part in any call.
    pub expired: bool,
}

/// Something changed at a line that may be watched.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct LineChanged(pub Watched);

/// Work for the actor of a phone from another shard.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct PhoneOrder {
    /// The phone.
    pub device: DeviceIndex,
    /// What to do.
    pub work: PhoneWork,
}
