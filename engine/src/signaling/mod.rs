//! SIP: from bytes to intents and from effects to bytes. One [`Worker`] a thread; no locks in it.
//!
//! | module | subject |
//! |---|---|
//! | `transaction` | RFC 3261 §17, pure |
//! | `worker` | sockets and tables of one thread, and who is called when |
//! | `intake` | bytes of sockets as messages |
//! | `inbound` | requests: match, judge, hand on |
//! | `register` | REGISTER: facts in, 200 out |
//! | `invite` | calls: requests and responses as inputs of the call |
//! | `identity` | who a request speaks for when its From does not say |
//! | `outbound` | effects of calls as SIP |
//! | `refer` | REFER and Replaces as a call takes them |
//! | `relay` | MESSAGE and OPTIONS between phones outside a call |
//! | `cisco` | REFER as Cisco phones use it outside calls |
//! | `orders` | an administrator's NOTIFY to a phone |
//! | `subscribe` | SUBSCRIBE in, NOTIFY out |
//! | `standing` | open connections whose certificate is no longer believed |
//! | `overload` | what is shed, and when |
//! | `media` | SDP between legs |

mod adopt;
mod answer;
mod cisco;
mod entropy;
mod extension;
mod identity;
mod inbound;
mod intake;
mod invite;
pub mod media;
pub mod orders;
mod outbound;
pub mod overload;
mod owner;
mod path;
mod refer;
mod register;
mod registered;
pub mod relay;
pub mod shared;
mod standing;
mod subscribe;
pub mod transaction;
mod worker;

pub use path::Path;
pub use shared::{INBOX, Inboxes, Shared, ToWorker};
pub use worker::{Worker, WorkerLimits};

/// Methods that we serve (RFC 3261 §20.5).
pub const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, INFO, UPDATE, PRACK, REFER, SUBSCRIBE";

/// Event packages that we notify of (RFC 6665 §8.2.2).
pub const ALLOW_EVENTS: &str = "dialog, reg, message-summary";

/// Option tags that calls serve: understood in Require, named in Supported.
pub const CALL_EXTENSIONS: [&str; 3] = ["100rel", "timer", "norefersub"];

/// The same as a header value.
pub const SUPPORTED: &str = "100rel, timer, norefersub";

/// Of requests: the call itself adds 100rel where it can bridge it.
pub const SUPPORTED_IN_REQUESTS: &str = "timer, norefersub";

/// Option tags that we understand in a Require of a REGISTER.
pub const REGISTER_EXTENSIONS: [&str; 2] = ["outbound", "path"];
