//! Walking a chain.

use super::chain::{Head, HeadFault, Mark, link};
use super::entry::{BROKEN, StoredEntry, entry_seq};

/// The first thing that is wrong with an audit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There are entries and no head.
    #[error("the head is missing, so nobody can say where the audit ends; it was removed")]
    HeadMissing,
    /// The head is not ours.
    #[error("the head is not good: {0}")]
    Head(HeadFault),
    /// A row that is no entry.
    #[error("a row with the key {key} stands among the entries; it was added")]
    NotAnEntry {
        /// Its key in hexadecimal.
        key: String,
    },
    /// An entry is gone.
    #[error("entry {seq} is missing")]
    Missing {
        /// Its number.
        seq: u64,
    },
    /// An entry stands outside of what the head covers.
    #[error("entry {seq} stands outside of the audit, which has {first} to {last}; it was added")]
    Surplus {
        /// Its number.
        seq: u64,
        /// First that is covered.
        first: u64,
        /// Last that is covered.
        last: u64,
    },
    /// Another entry stands at this place.
    #[error("at the place of entry {seq} stands one that calls itself {says}; they were exchanged")]
    Moved {
        /// The place.
        seq: u64,
        /// The number inside.
        says: u64,
    },
    /// The hash does not fit.
    #[error("entry {seq} was changed, or does not follow the one before it")]
    Changed {
        /// Its number.
        seq: u64,
    },
    /// The row cannot be read.
    #[error("entry {seq} cannot be read: {reason}")]
    Unreadable {
        /// Its number.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// The end is gone.
    #[error("the audit ends with entry {last}, but its head says {tip}: entries {} to {tip} were removed", last + 1)]
    Truncated {
        /// The last that is there.
        last: u64,
        /// The last there was.
        tip: u64,
    },
    /// The entries fit together but are not those that the head was written for.
    #[error("the entries are not those of the head, although they fit together: they were written anew")]
    Rewritten,
    /// The node itself found the audit broken.
    #[error("entry {seq}: the node found the audit broken and began a new chain: {reason}")]
    Broken {
        /// Number of the entry that says so.
        seq: u64,
        /// What the node found.
        reason: String,
    },
    /// A mark that was kept elsewhere is not in the chain.
    #[error("entry {seq} is not the one that was noted: the audit was written anew or put back")]
    MarkDiffers {
        /// Its number.
        seq: u64,
    },
    /// A mark that was kept elsewhere is newer than the audit.
    #[error("entry {seq} was noted, but the audit ends with {last}: an older copy was put back")]
    MarkGone {
        /// Its number.
        seq: u64,
        /// The last that is there.
        last: u64,
    },
}

impl Fault {
    /// Number of the entry that the fault names, if it names one.
    pub fn entry(&self) -> Option<u64> {
        match self {
            Self::HeadMissing | Self::Head(_) | Self::NotAnEntry { .. } | Self::Rewritten => None,
            Self::Missing { seq }
            | Self::Surplus { seq, .. }
            | Self::Moved { seq, .. }
            | Self::Changed { seq }
            | Self::Unreadable { seq, .. }
            | Self::Broken { seq, .. }
            | Self::MarkDiffers { seq }
            | Self::MarkGone { seq, .. } => Some(*seq),
            Self::Truncated { last, .. } => Some(last + 1),
        }
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::HeadMissing => "head_missing",
            Self::Head(_) => "head_forged",
            Self::NotAnEntry { .. } => "not_an_entry",
            Self::Missing { .. } => "entry_missing",
            Self::Surplus { .. } => "entry_surplus",
            Self::Moved { .. } => "entry_moved",
            Self::Changed { .. } => "entry_changed",
            Self::Unreadable { .. } => "entry_unreadable",
            Self::Truncated { .. } => "audit_truncated",
            Self::Rewritten => "audit_rewritten",
            Self::Broken { .. } => "audit_broken",
            Self::MarkDiffers { .. } => "mark_differs",
            Self::MarkGone { .. } => "mark_gone",
        }
    }
}

/// An audit that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Entries that were walked.
    pub entries: u64,
    /// Where it begins and ends.
    pub head: Head,
    /// The mark that was kept elsewhere was found in its place; `false` where none was given, or its entry was
    /// taken away by now.
    pub mark_found: bool,
}

/// Walks a chain, entry by entry in the order of their keys.
#[derive(Debug, Clone)]
pub struct Verifier {
    head: Head,
    at: Mark,
    expected: Option<Mark>,
    mark_found: bool,
}

impl Verifier {
    /// From the beginning that the head names. `expected`: a mark that was kept elsewhere.
    pub fn new(head: Head, expected: Option<Mark>) -> Self {
        // One before the checkpoint can no longer be looked for.
        let expected = expected.filter(|m| m.seq >= head.base.seq);
        Self { head, at: head.base, expected, mark_found: false }
    }

    /// Number of the last entry that was walked.
    pub fn last(&self) -> u64 {
        self.at.seq
    }

    /// The next row of the table.
    ///
    /// # Errors
    /// [`Fault`]: what is wrong here; nothing behind it need be looked at.
    pub fn row(&mut self, key: &[u8], payload: &[u8]) -> Result<(), Fault> {
        let Some(seq) = entry_seq(key) else {
            let key = key.iter().take(64).map(|b| format!("{b:02x}")).collect();
            return Err(Fault::NotAnEntry { key });
        };
        self.expect()?;
        let due = self.at.seq.saturating_add(1);
        let (first, last) = (self.head.base.seq.saturating_add(1), self.head.tip.seq);
        if seq < due || seq > last {
            // Also where the end was cut and something put behind it: the head tells that later.
            return match seq > last && self.at.seq < last {
                true => Err(Fault::Missing { seq: due }),
                false => Err(Fault::Surplus { seq, first, last }),
            };
        }
        if seq > due {
            return Err(Fault::Missing { seq: due });
        }
        let stored = StoredEntry::split(payload)
            .ok_or_else(|| Fault::Unreadable { seq, reason: "it is cut short".to_owned() })?;
        let entry = stored.entry();
        if let Ok(entry) = &entry
            && &*entry.operation == BROKEN
            && entry.seq == seq
        {
            let reason = entry.name.to_string();
            return Err(Fault::Broken { seq, reason });
        }
        if link(&self.at.hash, stored.bytes) != stored.hash {
            return Err(match entry {
                Ok(entry) if entry.seq != seq => Fault::Moved { seq, says: entry.seq },
                _ => Fault::Changed { seq },
            });
        }
        match entry {
            Ok(entry) if entry.seq == seq => {}
            Ok(entry) => return Err(Fault::Moved { seq, says: entry.seq }),
            Err(reason) => return Err(Fault::Unreadable { seq, reason }),
        }
        self.at = Mark { seq, hash: stored.hash };
        Ok(())
    }

    /// Compares the mark, where the walk has come to it.
    fn expect(&mut self) -> Result<(), Fault> {
        let Some(mark) = self.expected.take_if(|m| m.seq == self.at.seq) else { return Ok(()) };
        self.mark_found = mark == self.at;
        if self.mark_found { Ok(()) } else { Err(Fault::MarkDiffers { seq: mark.seq }) }
    }

    /// After the last row.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn finish(mut self) -> Result<Verified, Fault> {
        let tip = self.head.tip;
        self.expect()?;
        if self.at.seq < tip.seq {
            return Err(Fault::Truncated { last: self.at.seq, tip: tip.seq });
        }
        if self.at.hash != tip.hash {
            return Err(Fault::Rewritten);
        }
        if let Some(mark) = self.expected {
            return Err(Fault::MarkGone { seq: mark.seq, last: tip.seq });
        }
        let entries = tip.seq - self.head.base.seq;
        Ok(Verified { entries, head: self.head, mark_found: self.mark_found })
    }
}
