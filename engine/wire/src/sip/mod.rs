//! SIP (RFC 3261): messages, headers, URIs, framing of streams, and printing.
//!
//! [`Message::parse`] reads a datagram or a frame without copying it. [`Printer`] writes requests and
//! responses; [`ReplyHead`] keeps what a response must repeat after the request is gone.
//! [`TransactionKey`] tells transactions apart; [`stream::Framer`] cuts a byte stream into messages.
//! Nothing here panics on any input or grows beyond [`Limits`].

mod class;
mod date;
mod error;
mod header;
pub mod limits;
mod message;
mod method;
pub mod multipart;
mod name;
mod param;
mod print;
mod reply;
pub mod stream;
pub mod stun;
#[cfg(test)]
mod tests;
pub mod text;
mod transaction;
mod uri;

pub use self::date::http_date;
pub use self::error::{HeaderError, ParseError, Rejected, UriError};
pub use self::header::address::{ContactParams, NameAddr};
pub use self::header::auth::{
    BearerChallenge, BearerToken, Challenge, Credentials, DigestChallenge, DigestCredentials,
};
pub use self::header::event::{ContentType, Event, Reason, Replaces, SubscriptionState};
pub use self::header::number::{Cseq, Expires, RetryAfter, SessionExpires};
pub use self::header::via::{BRANCH_COOKIE, Via};
pub use self::limits::Limits;
pub use self::message::{Contacts, Header, Message};
pub use self::method::Method;
pub use self::name::HeaderName;
pub use self::param::{Param, Params};
pub use self::print::Printer;
pub use self::reply::{ReplyHead, ReplyRoute};
pub use self::text::{is_token, percent_decode, push_ip, quoted, reason_phrase, unquote};
pub use self::transaction::TransactionKey;
pub use self::uri::{Host, Scheme, Uri};
