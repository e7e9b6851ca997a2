//! Reading the audit.

use std::ops::ControlFlow;
use std::sync::Arc;

use keyline_domain::audit::{
    Draft, Entry, Fault, Hash, Head, KEY_BYTES, Mark, StoredEntry, Verified, Verifier, entry_key, entry_seq,
};
use keyline_domain::ids::UnixMillis;
use keyline_storage::seal::NodeKey;
use keyline_storage::{Commit, Consistency, MemoryStore, Page, Store, StoreError, Table};
use zeroize::Zeroizing;

use super::{AuditLog, HEAD, Key, key};

/// Entries are taken away while somebody reads: how often it is begun anew.
const ATTEMPTS: usize = 8;

/// Why the audit could not be read or verified.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// It is not whole.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// The store failed.
    #[error("{}", .0.chain())]
    Store(StoreError),
}

/// An entry as it was found.
pub type Found = Result<(Entry, Hash), String>;

/// Reads the audit of an opened store, also while the node runs. Every call may wait for the disk.
#[derive(Clone)]
pub struct AuditReader {
    store: Arc<dyn Store>,
    key: Arc<Key>,
}

impl std::fmt::Debug for AuditReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditReader")
    }
}

impl AuditReader {
    pub(crate) fn new(store: Arc<dyn Store>, node_key: &NodeKey) -> Self {
        Self { store, key: Arc::new(key(node_key)) }
    }

    /// Of an audit in memory with these entries, one a second, for tests of what shows it.
    pub fn of(drafts: Vec<Draft>) -> Self {
        let node_key = NodeKey::from_bytes(Zeroizing::new([0; KEY_BYTES]));
        let store = Arc::new(MemoryStore::new());
        for (n, draft) in (1..).zip(drafts) {
            // Memory takes everything, and these are far below any limit.
            let Ok(log) = AuditLog::load(&*store, &node_key) else { break };
            let (commit, _) = log.add(Commit::build(), vec![draft], UnixMillis(n * 1000));
            let _ = commit.finish().map(|commit| store.commit(&commit));
        }
        Self::new(store, &node_key)
    }

    /// Where it begins and ends. `None`: there is no head.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn head(&self) -> Result<Option<Head>, ReadError> {
        let row = self.store.get(Table::Meta, HEAD, Consistency::Local).map_err(ReadError::Store)?;
        let open = |row: keyline_storage::Record| Head::open(&row.payload, &self.key);
        Ok(row.map(open).transpose().map_err(Fault::Head)?)
    }

    /// The entry of this number; `None` where there is none (any more).
    ///
    /// # Errors
    /// [`StoreError`], but an entry that is damaged is told as what was found.
    pub fn entry(&self, seq: u64) -> Result<Option<Found>, StoreError> {
        let unreadable = |reason: String| Some(Err(reason));
        Ok(match self.store.get(Table::Audit, &entry_key(seq), Consistency::Local) {
            Ok(None) => None,
            Ok(Some(row)) => match StoredEntry::split(&row.payload) {
                Some(stored) => Some(stored.entry().map(|entry| (entry, stored.hash))),
                None => unreadable("it is cut short".to_owned()),
            },
            Err(e @ StoreError::Damaged { .. }) => unreadable(e.to_string()),
            Err(e) => return Err(e),
        })
    }

    /// Shows entries in the order of their numbers, or backwards, behind `after`, at most `most` of them, until
    /// `visit` breaks. Gives the number of the last one that was shown if there are more.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn walk(
        &self,
        after: Option<u64>,
        backwards: bool,
        most: usize,
        mut visit: impl FnMut(u64, Found) -> ControlFlow<()>,
    ) -> Result<Option<u64>, ReadError> {
        // Without a good head what is there can still be shown: from its first row to its last number.
        let (first, last) = match self.head() {
            Ok(Some(head)) => (head.base.seq + 1, head.tip.seq),
            Ok(None) | Err(ReadError::Fault(_)) => self.extent()?,
            Err(e) => return Err(e),
        };
        let mut seq = match (backwards, after) {
            (false, after) => after.map_or(first, |a| a.saturating_add(1)).max(first),
            (true, after) => after.map_or(last, |a| a.saturating_sub(1)).min(last),
        };
        for _ in 0..most {
            if seq < first || seq > last || seq == 0 {
                return Ok(None);
            }
            let found = self.entry(seq).map_err(ReadError::Store)?;
            let end = if backwards { seq == first } else { seq == last };
            let stop = found.is_some_and(|found| visit(seq, found).is_break());
            if end {
                return Ok(None);
            }
            if stop {
                return Ok(Some(seq));
            }
            seq = if backwards { seq - 1 } else { seq + 1 };
        }
        Ok(Some(if backwards { seq + 1 } else { seq - 1 }))
    }

    /// First and last number that are there.
    fn extent(&self) -> Result<(u64, u64), ReadError> {
        let (mut first, mut last, mut after) = (u64::MAX, 0, None::<Vec<u8>>);
        loop {
            let page = after.as_deref().map_or(Page::FIRST, Page::after);
            match self.store.scan(Table::Audit, b"", page, None) {
                Err(StoreError::Damaged { key, .. }) => after = Some(key),
                Err(e) => return Err(ReadError::Store(e)),
                Ok(found) => {
                    for seq in found.rows.iter().filter_map(|(key, _)| entry_seq(key)) {
                        (first, last) = (first.min(seq), last.max(seq));
                    }
                    match found.next {
                        Some(next) => after = Some(next),
                        None => return Ok((first, last)),
                    }
                }
            }
        }
    }

    /// Walks the whole chain. `expected`: a mark that was noted earlier.
    ///
    /// # Errors
    /// [`ReadError::Fault`] names the first thing that is wrong.
    pub fn verify(&self, expected: Option<Mark>) -> Result<Verified, ReadError> {
        let mut attempts = ATTEMPTS;
        loop {
            let head = self.head();
            let result = match &head {
                Ok(Some(head)) => self.check(*head, expected),
                Ok(None) => self.nothing(expected),
                Err(e) => Err(e.clone()),
            };
            attempts -= 1;
            // Whoever writes goes on meanwhile: what was taken away since is no fault.
            match result {
                Err(ReadError::Fault(_)) if attempts > 0 && self.moved(&head) => {}
                other => return other,
            }
        }
    }

    fn moved(&self, before: &Result<Option<Head>, ReadError>) -> bool {
        match (before, self.head()) {
            (Ok(before), Ok(now)) => *before != now,
            _ => false,
        }
    }

    fn nothing(&self, expected: Option<Mark>) -> Result<Verified, ReadError> {
        let first = Page { after: None, limit: 1 };
        match self.store.scan(Table::Audit, b"", first, None).map_err(ReadError::Store)?.rows.is_empty() {
            true => Ok(Verifier::new(Head::EMPTY, expected).finish()?),
            false => Err(Fault::HeadMissing.into()),
        }
    }

    fn check(&self, head: Head, expected: Option<Mark>) -> Result<Verified, ReadError> {
        let mut verifier = Verifier::new(head, expected);
        let mut after: Option<Vec<u8>> = None;
        let mut beyond = None;
        loop {
            let page = after.as_deref().map_or(Page::FIRST, Page::after);
            let found = match self.store.scan(Table::Audit, b"", page, None) {
                Ok(found) => found,
                Err(e @ StoreError::Damaged { .. }) => {
                    let seq = verifier.last() + 1;
                    return Err(Fault::Unreadable { seq, reason: e.to_string() }.into());
                }
                Err(e) => return Err(ReadError::Store(e)),
            };
            for (key, row) in &found.rows {
                match entry_seq(key) {
                    Some(seq) if seq > head.tip.seq => beyond = Some(seq),
                    _ => verifier.row(key, &row.payload)?,
                }
            }
            match found.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let verified = verifier.finish()?;
        // What was added since came with a head that covers it.
        let covered = self.head()?.map_or(0, |now| now.tip.seq);
        match beyond {
            Some(seq) if seq > covered => {
                let (first, last) = (head.base.seq + 1, head.tip.seq);
                Err(Fault::Surplus { seq: last + 1, first, last }.into())
            }
            _ => Ok(verified),
        }
    }
}
