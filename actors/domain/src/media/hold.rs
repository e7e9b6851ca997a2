//! Hold and resume, read from directions (RFC 3264 §8.4).

use super::{Direction, MediaFacts, StreamFacts};

impl Direction {
    /// The sender of the SDP sends media.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// The sender of the SDP wants media.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The direction with these two halves.
    pub fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// The same stream seen from the other end.
    pub fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    /// What an answerer that wishes `wish` answers to this offered direction: `sendonly` is answered
    /// by at most `recvonly`, `inactive` by `inactive` (RFC 3264 §6.1).
    pub fn answered_with(self, wish: Self) -> Self {
        Self::of(wish.sends() && self.receives(), wish.receives() && self.sends())
    }

    /// As written after `a=`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

impl MediaFacts {
    /// Streams whose port is not 0, each with its number, counted from 1 over all m-lines.
    pub fn active(&self) -> impl Iterator<Item = (usize, &StreamFacts)> {
        self.streams.iter().enumerate().filter(|(_, s)| s.active).map(|(i, s)| (i + 1, s))
    }

    /// Whoever sent this SDP holds its peer: it wants no media on any active stream. An SDP without
    /// active streams holds nobody.
    pub fn is_held(&self) -> bool {
        let mut any = false;
        for (_, stream) in self.active() {
            if stream.direction.receives() {
                return false;
            }
            any = true;
        }
        any
    }

    /// Media flows in at least one direction.
    pub fn flows(&self) -> bool {
        self.active().any(|(_, s)| s.direction != Direction::Inactive)
    }
}

/// What a new SDP of one party changes about its hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldChange {
    /// It holds now and did not before.
    Hold,
    /// It held before and does not now. Says nothing about the other side's own hold.
    Resume,
    /// As before.
    Unchanged,
}

/// Compares two SDPs of the SAME party. Each side's hold is its own: a held side that resumes must
/// not un-hold the other (RFC 3264 §8.4).
pub fn hold_change(before: Option<&MediaFacts>, after: &MediaFacts) -> HoldChange {
    match (before.is_some_and(MediaFacts::is_held), after.is_held()) {
        (false, true) => HoldChange::Hold,
        (true, false) => HoldChange::Resume,
        _ => HoldChange::Unchanged,
    }
}
