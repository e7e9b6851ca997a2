//! Request methods.

use std::fmt;

/// A request method; names compare case-sensitively (RFC 3261 §7.1): `options` is not OPTIONS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method<'a> {
    /// ACK
    Ack,
    /// BYE
    Bye,
    /// CANCEL
    Cancel,
    /// INFO (RFC 6086)
    Info,
    /// INVITE
    Invite,
    /// MESSAGE (RFC 3428)
    Message,
    /// NOTIFY (RFC 6665)
    Notify,
    /// OPTIONS
    Options,
    /// PRACK (RFC 3262)
    Prack,
    /// PUBLISH (RFC 3903)
    Publish,
    /// REFER (RFC 3515)
    Refer,
    /// REGISTER
    Register,
    /// SUBSCRIBE (RFC 6665)
    Subscribe,
    /// UPDATE (RFC 3311)
    Update,
    /// Any other token.
    Other(&'a str),
}

impl<'a> Method<'a> {
    /// The method for its text; any unknown text gives `Other`.
    pub fn of(text: &'a str) -> Method<'a> {
        match text {
            "ACK" => Method::Ack,
            "BYE" => Method::Bye,
            "CANCEL" => Method::Cancel,
            "INFO" => Method::Info,
            "INVITE" => Method::Invite,
            "MESSAGE" => Method::Message,
            "NOTIFY" => Method::Notify,
            "OPTIONS" => Method::Options,
            "PRACK" => Method::Prack,
            "PUBLISH" => Method::Publish,
            "REFER" => Method::Refer,
            "REGISTER" => Method::Register,
            "SUBSCRIBE" => Method::Subscribe,
            "UPDATE" => Method::Update,
            other => Method::Other(other),
        }
    }

    /// Its text on the wire.
    pub fn as_str(&self) -> &'a str {
        match self {
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Info => "INFO",
            Method::Invite => "INVITE",
            Method::Message => "MESSAGE",
            Method::Notify => "NOTIFY",
            Method::Options => "OPTIONS",
            Method::Prack => "PRACK",
            Method::Publish => "PUBLISH",
            Method::Refer => "REFER",
            Method::Register => "REGISTER",
            Method::Subscribe => "SUBSCRIBE",
            Method::Update => "UPDATE",
            Method::Other(text) => text,
        }
    }

    /// The known method without a lifetime; `None` for `Other`.
    pub fn known(&self) -> Option<Method<'static>> {
        match Method::of(self.as_str()) {
            Method::Other(_) => None,
            Method::Ack => Some(Method::Ack),
            Method::Bye => Some(Method::Bye),
            Method::Cancel => Some(Method::Cancel),
            Method::Info => Some(Method::Info),
            Method::Invite => Some(Method::Invite),
            Method::Message => Some(Method::Message),
            Method::Notify => Some(Method::Notify),
            Method::Options => Some(Method::Options),
            Method::Prack => Some(Method::Prack),
            Method::Publish => Some(Method::Publish),
            Method::Refer => Some(Method::Refer),
            Method::Register => Some(Method::Register),
            Method::Subscribe => Some(Method::Subscribe),
            Method::Update => Some(Method::Update),
        }
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
