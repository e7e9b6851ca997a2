//! What a worker remembers of a transaction until it is answered.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use keyline_actors::route::CallKey;
use keyline_domain::call::ClientTx;
use keyline_domain::flow::StreamId;
use keyline_domain::ids::DeviceIndex;
use keyline_domain::subscription::SubscriptionId;
use keyline_wire::sdp::Summary;
use keyline_wire::sip::{Method, ReplyHead};

/// What kind of request a server transaction answers.
#[derive(Debug)]
pub enum Asked {
    /// Nothing more than its one answer, which was sent already.
    Done,
    /// REGISTER.
    Register {
        /// The phone sends Cisco's headers.
        cisco: bool,
        /// The body held `optionsind`.
        options_indication: bool,
        /// Registered by flow (RFC 5626), and the phone asked whether we can.
        outbound: bool,
        /// Path values (RFC 3327).
        path: keyline_domain::phone::Path,
    },
    /// INVITE that begins a call; which one is known when the call answers.
    Invite,
    /// A request inside a call.
    InDialog {
        /// The call.
        call: CallKey,
        /// Our tag: To of the request.
        tag: Arc<str>,
    },
    /// MESSAGE or OPTIONS to a phone, outside a call.
    Relay,
    /// SUBSCRIBE.
    Subscribe,
}

/// Owner of a server transaction.
#[derive(Debug)]
pub struct ServerOwner {
    /// What the answer repeats.
    pub head: ReplyHead,
    /// Kind.
    pub asked: Asked,
    /// Contact of our answers.
    pub contact: String,
    /// To tag of answers that make no dialog.
    pub tag: String,
    /// The offer that it carried.
    pub offer: Option<Box<Summary>>,
    /// Device that sent it.
    pub device: Option<DeviceIndex>,
    /// Connection that it came on.
    pub stream: Option<StreamId>,
    /// It counts among those that its source has waiting.
    pub held: Cell<bool>,
    /// When it was admitted, microseconds of the worker's clock; `None` once its time was counted.
    pub began: Cell<Option<u64>>,
}

impl ServerOwner {
    /// Of all transactions that have their answer and were let go of.
    pub fn answered(method: Method<'static>) -> Self {
        Self {
            head: ReplyHead::answered(method),
            asked: Asked::Done,
            contact: String::new(),
            tag: String::new(),
            offer: None,
            device: None,
            stream: None,
            held: Cell::new(false),
            began: Cell::new(None),
        }
    }
}

/// Shared with the transaction table, which clones owners.
pub type ServerRef = Rc<ServerOwner>;

/// Owner of a client transaction.
#[derive(Debug, Clone)]
pub enum ClientOwner {
    /// A request of a call.
    Call {
        /// The call.
        call: CallKey,
        /// The call's name for it.
        token: ClientTx,
        /// Our tag on that leg: where its SDP session is found.
        tag: Arc<str>,
        /// It is an INVITE.
        invite: bool,
        /// It carried an offer, so SDP in its response is the answer.
        offered: bool,
    },
    /// CANCEL: its answer matters to nobody.
    Cancel,
    /// An order.
    Order {
        /// Its number at this worker.
        number: u64,
    },
    /// NOTIFY of a subscription.
    Notify {
        /// Whose it is.
        device: DeviceIndex,
        /// Which.
        id: SubscriptionId,
        /// Which NOTIFY of it.
        number: u32,
    },
    /// A leg of a relay.
    Relay {
        /// Worker that asked.
        worker: u16,
        /// Its number there.
        relay: u64,
    },
}
