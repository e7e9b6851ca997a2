//! SDP (RFC 8866) with SDES keys (RFC 4568): a bounded parser, a printer, and what a B2BUA needs to
//! carry an offer or an answer from one leg to another ([`bridge`]).
//!
//! What the parser keeps is what a bridge may forward. Lines about people and schedules (`i=`, `u=`,
//! `e=`, `p=` of the session, `r=`, `z=`) and the obsolete `k=` are recognised and dropped. An attribute
//! that cannot be used never fails the whole description; a line that breaks its structure does.
//!
//! Nothing here prints a key by `Debug`: see [`crypto::KeyMaterial`] and [`Attribute`].

pub mod bridge;
pub mod crypto;
mod error;
mod parse;
mod print;
mod summary;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

pub use crypto::{CryptoLine, CryptoRefusal, CryptoSuite, SuiteSet};
pub use error::SdpError;
pub use parse::parse;
pub use summary::{AnswerError, CryptoSummary, MediaProto, StreamSummary, Summary, validate_answer};

/// Text of a description: of the body that was read, or made here.
pub type Text<'a> = Cow<'a, str>;

/// A description that stands for itself.
pub type OwnedSdp = Sdp<'static>;

/// Longest body, in bytes.
pub const BODY_MAX: usize = 64 * 1024;
/// Most lines of a body.
pub const LINES_MAX: usize = 1024;
/// Most m-lines of a body.
pub const MEDIA_MAX: usize = 64;
/// Most `a=crypto` lines of one m-line.
pub const CRYPTO_MAX: usize = 32;

/// A session description. It borrows from the body that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdp<'a> {
    /// `o=`
    pub origin: Origin<'a>,
    /// `s=`; `-` when the line is missing or not UTF-8.
    pub name: Text<'a>,
    /// `c=` of the session.
    pub connection: Option<Connection<'a>>,
    /// `b=` of the session, without `b=`.
    pub bandwidth: Vec<Text<'a>>,
    /// First `t=`: start and stop; `0 0` when missing.
    pub time: Text<'a>,
    /// Direction of every m-line that has none of its own.
    pub direction: Option<Direction>,
    /// All other attributes of the session, in order.
    pub attributes: Vec<Attribute<'a>>,
    /// The m-lines, in order.
    pub media: Vec<Media<'a>>,
}

/// `o=` (RFC 8866 §5.2). Numbers are kept as text: peers send more digits than any integer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin<'a> {
    /// User name, or `-`; some phones write spaces into it.
    pub username: Text<'a>,
    /// Session id.
    pub session_id: Text<'a>,
    /// Session version.
    pub version: Text<'a>,
    /// Address type: `IP4`, `IP6` or whatever the peer wrote.
    pub address_type: Text<'a>,
    /// Address or host name.
    pub address: Text<'a>,
}

/// `c=` (RFC 8866 §5.7), Internet only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection<'a> {
    /// `IP6`, else `IP4`.
    pub ip6: bool,
    /// Address or host name, with `/ttl` or `/count` of a multicast address.
    pub address: Text<'a>,
}

/// One m-line and the lines below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media<'a> {
    /// `audio`, `video`, `application`…
    pub kind: Text<'a>,
    /// Port; 0 refuses or switches off.
    pub port: u16,
    /// Number of ports, where written.
    pub ports: Option<u16>,
    /// Transport protocol as written.
    pub proto: Text<'a>,
    /// Formats, at least one.
    pub formats: Vec<Text<'a>>,
    /// `i=`
    pub title: Option<Text<'a>>,
    /// First `c=` below the m-line.
    pub connection: Option<Connection<'a>>,
    /// `b=`, without `b=`.
    pub bandwidth: Vec<Text<'a>>,
    /// Usable `a=crypto` lines, in order.
    pub crypto: Vec<CryptoLine>,
    /// Why other `a=crypto` lines were left out, in order.
    pub crypto_refused: Vec<CryptoRefusal>,
    /// Own direction attribute.
    pub direction: Option<Direction>,
    /// All other attributes, in order.
    pub attributes: Vec<Attribute<'a>>,
}

/// `a=name` or `a=name:value`. `Debug` shows no value of an attribute that can hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Name, as written.
    pub name: Text<'a>,
    /// Value, when there is a colon.
    pub value: Option<Text<'a>>,
}

/// Direction attribute (RFC 8866 §6.7), as seen by the sender of the SDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// Sends only: the peer is on hold.
    SendOnly,
    /// Receives only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// As written after `a=`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|d| name.eq_ignore_ascii_case(d.as_str()))
    }

    fn without_receive(self) -> Self {
        match self {
            Self::SendRecv | Self::SendOnly => Self::SendOnly,
            Self::RecvOnly | Self::Inactive => Self::Inactive,
        }
    }
}

impl Connection<'_> {
    /// The unicast or multicast address without `/ttl`; `None` for a host name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }

    /// `0.0.0.0` (or `::`): the old way to say hold (RFC 3264 §8.4).
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    pub(super) fn host(&self) -> &str {
        self.address.split('/').next().unwrap_or_default()
    }
}

impl Media<'_> {
    /// The stream is wanted: its port is not 0, or it shares another stream's port (`a=bundle-only`,
    /// RFC 9143 §6).
    pub fn is_active(&self) -> bool {
        self.port != 0 || self.attributes.iter().any(|a| a.is("bundle-only"))
    }
}

impl<'t> Sdp<'t> {
    /// Connection in force for an m-line: its own, else the session's.
    pub fn connection_of<'a>(&'a self, media: &'a Media<'t>) -> Option<&'a Connection<'t>> {
        media.connection.as_ref().or(self.connection.as_ref())
    }

    /// The m-line agrees on its addresses by ICE. Then `0.0.0.0` says that there is no default one yet, as
    /// browsers write it that hide their own (RFC 8840 §4.1), and not that the stream is held.
    pub fn uses_ice(&self, media: &Media<'_>) -> bool {
        media.attributes.iter().chain(&self.attributes).any(|a| a.is("ice-ufrag"))
    }

    /// Direction in force for an m-line: its own, else the session's, else `sendrecv`; an address of
    /// `0.0.0.0` takes the receiving half away, unless there is ICE.
    pub fn direction_of(&self, media: &Media<'t>) -> Direction {
        let written = media.direction.or(self.direction).unwrap_or(Direction::SendRecv);
        match self.connection_of(media) {
            Some(c) if c.is_unspecified() && !self.uses_ice(media) => written.without_receive(),
            _ => written,
        }
    }

    /// The description without keys.
    pub fn summary(&self) -> Summary {
        summary::of(self)
    }

    /// The same, without the body that it was read from.
    pub fn into_owned(self) -> OwnedSdp {
        let lines = |lines: Vec<Text<'_>>| lines.into_iter().map(owned).collect();
        let attributes =
            |list: Vec<Attribute<'_>>| list.into_iter().map(Attribute::into_owned).collect::<Vec<_>>();
        Sdp {
            origin: Origin {
                username: owned(self.origin.username),
                session_id: owned(self.origin.session_id),
                version: owned(self.origin.version),
                address_type: owned(self.origin.address_type),
                address: owned(self.origin.address),
            },
            name: owned(self.name),
            connection: self.connection.map(Connection::into_owned),
            bandwidth: lines(self.bandwidth),
            time: owned(self.time),
            direction: self.direction,
            attributes: attributes(self.attributes),
            media: self
                .media
                .into_iter()
                .map(|m| Media {
                    kind: owned(m.kind),
                    port: m.port,
                    ports: m.ports,
                    proto: owned(m.proto),
                    formats: lines(m.formats),
                    title: m.title.map(owned),
                    connection: m.connection.map(Connection::into_owned),
                    bandwidth: lines(m.bandwidth),
                    crypto: m.crypto,
                    crypto_refused: m.crypto_refused,
                    direction: m.direction,
                    attributes: attributes(m.attributes),
                })
                .collect(),
        }
    }

    /// The body, with CRLF line ends.
    pub fn to_bytes(&self) -> Vec<u8> {
        print::print(self).0.into_bytes()
    }
}

fn owned(text: Text<'_>) -> Text<'static> {
    Cow::Owned(text.into_owned())
}

impl Connection<'_> {
    fn into_owned(self) -> Connection<'static> {
        Connection { ip6: self.ip6, address: owned(self.address) }
    }
}

impl Attribute<'_> {
    fn into_owned(self) -> Attribute<'static> {
        Attribute { name: owned(self.name), value: self.value.map(owned) }
    }

    /// Has this name, whatever its case: a peer may read names without regard to case, so a filter must.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl fmt::Debug for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => f.write_str(&self.name),
            Some(_) if SECRET.iter().any(|name| self.is(name)) => write!(f, "{}:(hidden)", self.name),
            Some(value) => write!(f, "{}:{value}", self.name),
        }
    }
}

/// Attributes whose values can hold keys or passwords.
const SECRET: [&str; 4] = ["crypto", "key-mgmt", "acap", "ice-pwd"];
