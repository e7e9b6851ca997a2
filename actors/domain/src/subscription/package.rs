//! Event packages, what they watch, and what stands there now.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Dn, UnixMillis};

/// An event package that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Package {
    /// Dialogs of a line (RFC 4235).
    Dialog,
    /// Registrations of a line (RFC 3680).
    Registration,
    /// Messages that wait (RFC 3842).
    MessageSummary,
}

impl Package {
    /// All of them, in the order of Allow-Events.
    pub const ALL: [Self; 3] = [Self::Dialog, Self::Registration, Self::MessageSummary];

    /// Token of the Event header; compares with case (RFC 6665 §8.2.1).
    pub fn token(self) -> &'static str {
        match self {
            Self::Dialog => "dialog",
            Self::Registration => "reg",
            Self::MessageSummary => "message-summary",
        }
    }

    /// Reads an Event header's package; `None`: 489.
    pub fn parse(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.token() == token)
    }

    /// Media type of its notifications.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Dialog => "application/dialog-info+xml",
            Self::Registration => "application/reginfo+xml",
            Self::MessageSummary => "application/simple-message-summary",
        }
    }

    /// Seconds granted when the phone names none (RFC 4235 §3.4, RFC 3680 §4.4; RFC 3842 §3.4 leaves it open).
    pub fn default_expires(self) -> u32 {
        match self {
            Self::Dialog | Self::MessageSummary => 3600,
            Self::Registration => 3761,
        }
    }
}

/// What a subscription is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Watched {
    /// Package.
    pub package: Package,
    /// Line.
    pub line: Dn,
}

/// State of a dialog (RFC 4235 §3.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DialogState {
    /// The phone has sent an INVITE, nothing came back yet.
    Trying,
    /// It rings: the other side of `trying`.
    Early,
    /// Answered.
    Confirmed,
    /// Over. Never stands in a snapshot: it is what a missing dialog is told as.
    Terminated,
}

impl DialogState {
    /// As in the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trying => "trying",
            Self::Early => "early",
            Self::Confirmed => "confirmed",
            Self::Terminated => "terminated",
        }
    }
}

/// Who began a dialog, seen from the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The line called.
    Initiator,
    /// The line was called.
    Recipient,
}

impl Direction {
    /// As in the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initiator => "initiator",
            Self::Recipient => "recipient",
        }
    }
}

/// One dialog of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialogItem {
    /// Names it among the line's dialogs, and nowhere else: no Call-ID or tag of a leg may be made of it,
    /// since whoever knows those could speak into the dialog.
    pub id: Arc<str>,
    /// State.
    pub state: DialogState,
    /// Who began it.
    pub direction: Direction,
    /// The other party's number.
    pub remote: Arc<str>,
}

/// One contact of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactItem {
    /// Names it among the line's contacts.
    pub id: Arc<str>,
    /// URI as registered.
    pub uri: Arc<str>,
    /// When its time is up.
    pub until: UnixMillis,
    /// q in thousandths.
    pub q: Option<u16>,
}

/// Voice messages of a line (RFC 3842 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageWaiting {
    /// New ones.
    pub new: u32,
    /// Old ones.
    #[serde(default)]
    pub old: u32,
    /// New urgent ones, among `new`.
    #[serde(default)]
    pub urgent_new: u32,
    /// Old urgent ones, among `old`.
    #[serde(default)]
    pub urgent_old: u32,
}

/// What stands at a watched line now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshot {
    /// Dialogs in progress.
    Dialogs(Vec<DialogItem>),
    /// Live contacts.
    Contacts(Vec<ContactItem>),
    /// Messages.
    Messages(MessageWaiting),
}
