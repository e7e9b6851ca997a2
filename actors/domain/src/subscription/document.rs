//! What one NOTIFY says.

use super::package::{ContactItem, DialogItem, DialogState, MessageWaiting, Snapshot};
use crate::ids::UnixMillis;

/// Content of one notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Counts the documents of a subscription from 0 (RFC 4235 §4.1, RFC 3680 §5.1).
    pub version: u32,
    /// Everything, or only what changed since the last one.
    pub full: bool,
    /// What it lists.
    pub items: Items,
}

/// What a document lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Items {
    /// Dialogs; ended ones as terminated in a difference.
    Dialogs(Vec<DialogItem>),
    /// Contacts with what happened to them.
    Contacts {
        /// The line has a contact now.
        active: bool,
        /// Contact, and why it is told (RFC 3680 §5.3): `registered`, or for one that is gone `expired` or
        /// `unregistered`.
        contacts: Vec<(ContactItem, &'static str)>,
    },
    /// Messages.
    Messages(MessageWaiting),
}

/// Everything that stands there.
pub(super) fn full(now: &Snapshot) -> Items {
    match now {
        Snapshot::Dialogs(list) => Items::Dialogs(list.clone()),
        Snapshot::Contacts(list) => Items::Contacts {
            active: !list.is_empty(),
            contacts: list.iter().map(|c| (c.clone(), "registered")).collect(),
        },
        Snapshot::Messages(m) => Items::Messages(*m),
    }
}

/// What changed; `None` when nothing did.
pub(super) fn difference(before: &Snapshot, now: &Snapshot, at: UnixMillis) -> Option<Items> {
    match (before, now) {
        (Snapshot::Dialogs(before), Snapshot::Dialogs(now)) => {
            let ended = before.iter().filter(|b| now.iter().all(|n| n.id != b.id));
            let ended = ended.map(|b| DialogItem { state: DialogState::Terminated, ..b.clone() });
            let changed = now.iter().filter(|n| !before.contains(n)).cloned();
            let list: Vec<_> = ended.chain(changed).collect();
            (!list.is_empty()).then_some(Items::Dialogs(list))
        }
        (Snapshot::Contacts(before), Snapshot::Contacts(now)) => {
            let gone = before.iter().filter(|b| now.iter().all(|n| n.id != b.id));
            let gone = gone.map(|b| (b.clone(), if b.until <= at { "expired" } else { "unregistered" }));
            let new = now.iter().filter(|n| before.iter().all(|b| !same_contact(b, n)));
            let contacts: Vec<_> = gone.chain(new.map(|n| (n.clone(), "registered"))).collect();
            (!contacts.is_empty()).then_some(Items::Contacts { active: !now.is_empty(), contacts })
        }
        (Snapshot::Messages(before), Snapshot::Messages(now)) => {
            (before != now).then_some(Items::Messages(*now))
        }
        // A subscription never changes its package.
        (_, now) => Some(full(now)),
    }
}

/// A refresh alone is not told: it would cost every watcher a NOTIFY for each REGISTER.
fn same_contact(a: &ContactItem, b: &ContactItem) -> bool {
    a.id == b.id && a.uri == b.uri && a.q == b.q
}
