//! The nouns of a call: legs, tokens, dialogs, devices, headers.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::extension::Extensions;
use super::identity::Identity;
use super::timer::SessionPolicy;
use crate::class::LegFacts;
use crate::flow::Flow;
use crate::ids::Dn;
use crate::media::Body;

/// One leg of a call: 0 is the caller, 1… the targets in the order of [`StartArgs::targets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LegId(pub u16);

impl LegId {
    /// The leg that brought the INVITE.
    pub const CALLER: Self = Self(0);
}

/// A server transaction of the engine: opaque here, answered exactly once with a final status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerTx(pub u64);

/// A client transaction that the call asked for; counted per call, never reused within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientTx(pub u64);

/// Methods that a call tells apart (RFC 3261, 2976/6086, 3311, 3428, 3262). ACK and CANCEL are inputs of
/// their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// BYE.
    Bye,
    /// NOTIFY: what becomes of a REFER (RFC 3515 §2.4.4); only sent.
    Notify,
    /// REFER.
    Refer,
    /// INFO.
    Info,
    /// INVITE.
    Invite,
    /// MESSAGE.
    Message,
    /// OPTIONS.
    Options,
    /// PRACK.
    Prack,
    /// UPDATE.
    Update,
    /// Everything else: answered 405 (the engine adds Allow).
    Other,
}

impl Method {
    /// As on the wire; `Other` is never sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bye => "BYE",
            Self::Notify => "NOTIFY",
            Self::Refer => "REFER",
            Self::Info => "INFO",
            Self::Invite => "INVITE",
            Self::Message => "MESSAGE",
            Self::Options => "OPTIONS",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Other => "OTHER",
        }
    }
}

/// A header field that a call adds or passes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Name in its usual long form.
    pub name: Cow<'static, str>,
    /// Value, unfolded, without line ends.
    pub value: Arc<str>,
}

impl Header {
    /// A header with a fixed name.
    pub fn new(name: &'static str, value: impl Into<Arc<str>>) -> Self {
        Self { name: Cow::Borrowed(name), value: value.into() }
    }
}

/// Header fields of one message.
pub type Headers = SmallVec<[Header; 2]>;

/// What a phone said that it can do, from Allow and Supported of its last request or response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PeerFeatures {
    /// Supported holds `X-cisco-callinfo`: the phone reads `Call-Info: …; security=…` (provisioning.md §7.3).
    pub callinfo: bool,
    /// Allow holds UPDATE (RFC 3311).
    pub update: bool,
    /// Supported or Require holds 100rel (RFC 3262).
    #[serde(default)]
    pub rel100: bool,
    /// Supported or Require holds timer (RFC 4028).
    #[serde(default)]
    pub timer: bool,
}

/// Names a dialog from our side (RFC 3261 §12): `local_tag` is the tag that we made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: Arc<str>,
    /// To tag of a request that came in.
    pub local_tag: Arc<str>,
    /// From tag of a request that came in.
    pub remote_tag: Arc<str>,
}

/// Dialog state of one leg (RFC 3261 §12); everything that a request in the dialog is written from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: Arc<str>,
    /// Our tag: From of what we send.
    pub local_tag: Arc<str>,
    /// The peer's tag; absent until a response brought one.
    pub remote_tag: Option<Arc<str>>,
    /// Our name-addr or addr-spec, without tag: From of what we send.
    pub local_uri: Arc<str>,
    /// The peer's name-addr or addr-spec, without tag: To of what we send.
    pub remote_uri: Arc<str>,
    /// CSeq number of the last request that we sent; 0 before the first.
    pub local_cseq: u32,
    /// CSeq number of the last request that came in.
    pub remote_cseq: Option<u32>,
    /// Route header values of what we send, in order, already reversed where we are the UAC (§12.1.2).
    pub route_set: SmallVec<[Arc<str>; 1]>,
    /// URI of the peer's Contact: the Request-URI.
    pub remote_target: Arc<str>,
}

/// The caller's side of the INVITE.
#[derive(Debug, Clone)]
pub struct CallerLeg {
    /// The proven device and its connection; `answered` and `media` are the call's business.
    pub facts: LegFacts,
    /// Where the INVITE came from.
    pub flow: Flow,
    /// Its Call-ID.
    pub call_id: Arc<str>,
    /// Its From tag.
    pub remote_tag: Arc<str>,
    /// Its From without the tag.
    pub remote_uri: Arc<str>,
    /// Its To.
    pub local_uri: Arc<str>,
    /// Its CSeq number.
    pub cseq: u32,
    /// Record-Route values as they stood in the INVITE (UAS order, §12.1.1).
    pub record_route: SmallVec<[Arc<str>; 1]>,
    /// URI of its Contact.
    pub contact: Arc<str>,
    /// What it can do.
    pub peer: PeerFeatures,
    /// Extensions of the INVITE.
    pub ext: Extensions,
    /// Who the called phones hear that it is.
    pub identity: Identity,
}

/// One binding to ring.
#[derive(Debug, Clone)]
pub struct Target {
    /// The registered device and its connection; `answered` and `media` are the call's business.
    pub facts: LegFacts,
    /// Flow that it registered on; `Flow::Lost` makes the leg wait for the phone (design §3).
    pub flow: Flow,
    /// Fresh random Call-ID for this leg.
    pub call_id: Arc<str>,
    /// Contact URI of the binding: the Request-URI.
    pub contact: Arc<str>,
    /// From, without tag, as this phone shall see it.
    pub local_uri: Arc<str>,
    /// To, without tag.
    pub remote_uri: Arc<str>,
    /// Preference of the binding in thousandths; equal ones ring together, lower ones after (RFC 3261 §16.6).
    pub q: u16,
    /// What it said at its registration.
    pub peer: PeerFeatures,
    /// Another flow of the phone of the target before this one (RFC 5626 §4.2): tried when that one fails
    /// without having reached the phone, and never beside it.
    pub spare: bool,
    /// Route of the INVITE: the Path of the registration (RFC 3327 §5.1).
    pub route: SmallVec<[Arc<str>; 1]>,
    /// Who the caller hears that it reached.
    pub identity: Identity,
}

/// Everything a call starts from.
#[derive(Debug, Clone)]
pub struct StartArgs {
    /// Transaction of the INVITE.
    pub invite: ServerTx,
    /// The caller.
    pub caller: CallerLeg,
    /// The bindings; more than [`super::LEGS_MAX`] − 1 are not tried.
    pub targets: Vec<Target>,
    /// Body of the INVITE; `None` is a late offer.
    pub body: Option<Body>,
    /// Headers of the INVITE that may pass (see [`super::passes`]; others are dropped).
    pub headers: Headers,
    /// The number that was dialled: no forwarding leads back to it.
    pub called: Dn,
    /// Parameter `no_answer_s`: how long one group of targets rings.
    pub no_answer_s: u32,
    /// Session timers.
    pub session: SessionPolicy,
    /// Random; feeds Retry-After and the glare timers.
    pub seed: u64,
}

/// Makes the tags of a call: distinct numbers give distinct tags, each of which leads back to this call
/// (`partition.slot.generation.mac`, design §3).
pub trait Tags {
    /// Tag number `number` of this call.
    fn tag(&self, number: u16) -> Arc<str>;
}

impl<F: Fn(u16) -> Arc<str>> Tags for F {
    fn tag(&self, number: u16) -> Arc<str> {
        self(number)
    }
}
