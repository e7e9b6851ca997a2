//! What phones may subscribe to, and who did: dialogs and messages of each line, and its watchers.
//!
//! `dashmap`: sharded locks, not lock-free. Met at the changes of a call and of a registration, never by a
//! refresh.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dashmap::{DashMap, Entry};
use keyline_domain::ids::{DeviceIndex, Dn};
use keyline_domain::subscription::{DialogItem, MessageWaiting, Watched};
use smallvec::SmallVec;

use crate::route::{CallKey, push_hex};

/// Dialogs of one line that a document tells at most.
const DIALOGS_TOLD: usize = 64;

/// The board.
#[derive(Debug, Default)]
pub struct WatchBoard {
    watchers: DashMap<Watched, SmallVec<[DeviceIndex; 2]>>,
    /// Lines are configured ones: nobody outside chooses the keys.
    dialogs: DashMap<Dn, SmallVec<[(CallKey, DialogItem); 1]>, foldhash::quality::RandomState>,
    messages: DashMap<Dn, MessageWaiting>,
    count: AtomicI64,
    ids: RandomState,
}

impl WatchBoard {
    /// Subscriptions of the node.
    pub fn count(&self) -> usize {
        usize::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Messages that wait for a line.
    pub fn messages(&self, dn: &str) -> MessageWaiting {
        Dn::parse(dn).ok().and_then(|dn| self.messages.get(&dn).map(|m| *m)).unwrap_or_default()
    }

    /// Dialogs of a line.
    pub fn dialogs(&self, dn: &Dn) -> Vec<DialogItem> {
        let items = self.dialogs.get(dn);
        items.map(|d| d.iter().take(DIALOGS_TOLD).map(|(_, item)| item.clone()).collect()).unwrap_or_default()
    }

    /// A name for one party of a call: the same while the process lives, and nothing that a leg's ids could be
    /// told from.
    pub(crate) fn dialog_id(&self, call: CallKey, leg: u16) -> Arc<str> {
        let mut text = String::with_capacity(16);
        push_hex(&mut text, self.ids.hash_one((call, leg)), 16);
        text.into()
    }

    pub(crate) fn counted(&self, by: i64) -> i64 {
        self.count.fetch_add(by, Ordering::Relaxed) + by
    }

    pub(crate) fn set_messages(&self, dn: Dn, waiting: MessageWaiting) {
        if waiting == MessageWaiting::default() {
            self.messages.remove(&dn);
        } else {
            self.messages.insert(dn, waiting);
        }
    }

    /// The dialogs of a call as they stand now, each with its line; `before` is what was set last. Returns the
    /// lines where something changed.
    pub(crate) fn set_dialogs(
        &self,
        call: CallKey,
        before: &[(Dn, DialogItem)],
        now: &[(Dn, DialogItem)],
    ) -> SmallVec<[Dn; 2]> {
        let mut changed: SmallVec<[Dn; 2]> = SmallVec::new();
        let mut note = |dn: &Dn| {
            if !changed.contains(dn) {
                changed.push(dn.clone());
            }
        };
        for (dn, item) in before.iter().filter(|b| !now.contains(b)) {
            note(dn);
            // What only changed is replaced below.
            if now.iter().any(|(line, other)| line == dn && other.id == item.id) {
                continue;
            }
            if let Entry::Occupied(mut list) = self.dialogs.entry(dn.clone()) {
                list.get_mut().retain(|(c, i)| *c != call || i.id != item.id);
                if list.get().is_empty() {
                    list.remove();
                }
            }
        }
        for (dn, item) in now.iter().filter(|n| !before.contains(n)) {
            note(dn);
            let mut list = self.dialogs.entry(dn.clone()).or_default();
            match list.iter_mut().find(|(c, i)| *c == call && i.id == item.id) {
                Some((_, place)) => *place = item.clone(),
                None => list.push((call, item.clone())),
            }
        }
        changed
    }

    pub(crate) fn watch(&self, what: Watched, device: DeviceIndex) {
        let mut devices = self.watchers.entry(what).or_default();
        if !devices.contains(&device) {
            devices.push(device);
        }
    }

    pub(crate) fn unwatch(&self, what: &Watched, device: DeviceIndex) {
        if let Some(mut devices) = self.watchers.get_mut(what) {
            devices.retain(|d| *d != device);
        }
        self.watchers.remove_if(what, |_, devices| devices.is_empty());
    }

    pub(crate) fn watchers(&self, what: &Watched) -> SmallVec<[DeviceIndex; 2]> {
        self.watchers.get(what).map(|d| d.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyline_domain::ids::Partition;
    use keyline_domain::subscription::{DialogState, Direction};

    #[test]
    fn lines_change_where_dialogs_do() {
        let board = WatchBoard::default();
        let call = CallKey { partition: Partition(1), slot: 7, generation: 1 };
        let dn = |n: &str| Dn::parse(n).unwrap();
        let item = |leg: u16, state| DialogItem {
            id: board.dialog_id(call, leg),
            state,
            direction: Direction::Recipient,
            remote: "1009".into(),
        };
        let first = [(dn("1001"), item(0, DialogState::Trying)), (dn("1002"), item(1, DialogState::Early))];
        assert_eq!(board.set_dialogs(call, &[], &first).len(), 2);
        let second = [first[0].clone(), (dn("1002"), item(1, DialogState::Confirmed))];
        assert_eq!(board.set_dialogs(call, &first, &second)[..], [dn("1002")]);
        assert_eq!(board.dialogs(&dn("1002")), [second[1].1.clone()], "the one before is replaced");
        assert_eq!(board.set_dialogs(call, &second, &[]).len(), 2);
        assert!(board.dialogs.is_empty() && board.dialogs(&dn("1001")).is_empty());
        // Ids tell nothing and differ.
        assert_ne!(board.dialog_id(call, 0), board.dialog_id(call, 1));
    }

    #[test]
    fn watchers_are_kept_once_and_forgotten() {
        let board = WatchBoard::default();
        let what = Watched {
            package: keyline_domain::subscription::Package::Dialog,
            line: Dn::parse("1001").unwrap(),
        };
        for device in [1, 1, 2] {
            board.watch(what.clone(), DeviceIndex(device));
        }
        assert_eq!(board.watchers(&what)[..], [DeviceIndex(1), DeviceIndex(2)]);
        board.unwatch(&what, DeviceIndex(1));
        board.unwatch(&what, DeviceIndex(2));
        board.unwatch(&what, DeviceIndex(2));
        assert!(board.watchers.is_empty());
    }
}
