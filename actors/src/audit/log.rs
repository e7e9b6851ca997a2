//! Writing the audit.

use keyline_domain::audit::{
    BROKEN, Draft, Happened, Hash, Head, Mark, NODE, StoredEntry, Who, entry_key, entry_seq,
};
use keyline_domain::ids::UnixMillis;
use keyline_storage::seal::NodeKey;
use keyline_storage::{Commit, CommitBuilder, Consistency, Page, Store, StoreError, Table};

use super::{HEAD, Key, SCHEMA, damaged, key};
use crate::error::OpenError;

/// Entries beyond what is kept before some are taken away: one commit for many.
const SLACK: u64 = 64;

/// Entries that one commit takes away.
const PRUNED_MAX: u64 = 90;

/// The end of the chain, in the hands of the one who writes it.
pub(crate) struct AuditLog {
    key: Key,
    head: Head,
    /// What was wrong when it was loaded; told by the next entry, and no longer.
    broken: Option<String>,
    counts: Counts,
}

/// Entries written since they were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Of changes that were done.
    pub(crate) done: u64,
    /// Of changes that were refused.
    pub(crate) refused: u64,
}

/// Entries in an open commit: they count once that is committed.
#[must_use = "entries that are not settled are overwritten by the next ones"]
pub(crate) struct Pending {
    head: Head,
    counts: Counts,
}

impl AuditLog {
    /// Reads where the chain ends. A chain that does not end as its head says is no reason to keep phones from
    /// their node: the next entry tells of it for as long as it is kept.
    ///
    /// # Errors
    /// [`OpenError`] when the store cannot be read.
    pub(crate) fn load(store: &dyn Store, node_key: &NodeKey) -> Result<Self, OpenError> {
        let key = key(node_key);
        let (head, broken) = match find(store, &key)? {
            Ok(head) => (head, None),
            Err((opened, reason)) => {
                tracing::error!(reason, "the audit is not whole; `keyline audit verify` says where");
                (anew(store, opened)?, Some(reason))
            }
        };
        Ok(Self { key, head, broken, counts: Counts::default() })
    }

    /// Puts entries into the commit of what they tell of. They count when [`AuditLog::settle`] is told that it
    /// was committed. Adds one operation an entry and one or two more.
    pub(crate) fn add(
        &self,
        mut commit: CommitBuilder,
        drafts: Vec<Draft>,
        at: UnixMillis,
    ) -> (CommitBuilder, Pending) {
        let (mut head, mut counts) = (self.head, self.counts);
        let broken = self
            .broken
            .iter()
            .map(|reason| Draft::new(&Who::local(NODE), BROKEN, "audit", reason, Happened::Done));
        for draft in broken.chain(drafts) {
            match draft.result {
                Happened::Done => counts.done += 1,
                Happened::Refused(_) => counts.refused += 1,
            }
            let seq = head.tip.seq + 1;
            let (stored, hash) = draft.placed(seq, at).store(&head.tip.hash);
            commit = commit.put(Table::Audit, entry_key(seq).to_vec(), SCHEMA, stored);
            head.tip = Mark { seq, hash };
        }
        commit = commit.put(Table::Meta, HEAD.to_vec(), SCHEMA, head.seal(&self.key));
        (commit, Pending { head, counts })
    }

    /// What was added is committed.
    pub(crate) fn settle(&mut self, pending: Pending) {
        (self.head, self.counts) = (pending.head, pending.counts);
        self.broken = None;
    }

    /// A commit that takes away the oldest entries beyond `keep`, if there are enough of them. The head then
    /// names the last of them, so that what is kept can be verified.
    ///
    /// # Errors
    /// [`OpenError`] when the store cannot be read.
    pub(crate) fn prune(&self, store: &dyn Store, keep: u64) -> Result<Option<(Commit, Pending)>, OpenError> {
        let Head { base, tip } = self.head;
        let beyond = (tip.seq - base.seq).saturating_sub(keep);
        if beyond < SLACK || self.broken.is_some() {
            return Ok(None);
        }
        let upto = base.seq + beyond.min(PRUNED_MAX);
        let last = entry_key(upto);
        let row = store.get(Table::Audit, &last, Consistency::Linearizable)?;
        let Some(entry) = row.as_ref().and_then(|r| StoredEntry::split(&r.payload)) else {
            // A hole is not covered up: what follows stays until somebody has looked at it.
            return Err(damaged(&last, format!("entry {upto} is missing; the audit is not pruned")));
        };
        let mut head = self.head;
        head.base = Mark { seq: upto, hash: entry.hash };
        let commit = (base.seq + 1..=upto)
            .fold(Commit::build(), |c, seq| c.delete(Table::Audit, entry_key(seq).to_vec()))
            .put(Table::Meta, HEAD.to_vec(), SCHEMA, head.seal(&self.key));
        let commit = commit.finish().map_err(|e| damaged(HEAD, e.to_string()))?;
        Ok(Some((commit, Pending { head, counts: self.counts })))
    }

    /// Entries written since this was asked for last.
    pub(crate) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

/// The head, if the chain ends where it says; else the head as far as it could be read, and what is wrong.
fn find(store: &dyn Store, key: &Key) -> Result<Result<Head, (Option<Head>, String)>, StoreError> {
    let first = Page { after: None, limit: 1 };
    let Some(row) = store.get(Table::Meta, HEAD, Consistency::Linearizable)? else {
        let some = !store.scan(Table::Audit, b"", first, None)?.rows.is_empty();
        return Ok(if some { Err((None, "its head is missing".to_owned())) } else { Ok(Head::EMPTY) });
    };
    let head = match Head::open(&row.payload, key) {
        Ok(head) => head,
        Err(fault) => return Ok(Err((None, format!("its head is not good: {fault}")))),
    };
    if head.tip.seq > head.base.seq {
        let last = match store.get(Table::Audit, &entry_key(head.tip.seq), Consistency::Linearizable) {
            Err(StoreError::Damaged { .. }) => None,
            other => other?,
        };
        let hash = last.as_ref().and_then(|r| StoredEntry::split(&r.payload)).map(|e| e.hash);
        if hash != Some(head.tip.hash) {
            return Ok(Err((Some(head), format!("its last entry, {}, is missing or another", head.tip.seq))));
        }
    }
    let behind = Page { after: Some(&entry_key(head.tip.seq)), limit: 1 };
    let surplus = store.scan(Table::Audit, b"", behind, None)?.rows;
    Ok(match surplus.is_empty() {
        true => Ok(head),
        false => Err((Some(head), format!("there are entries behind its last one, {}", head.tip.seq))),
    })
}

/// Where a new chain begins: behind everything that is there, so that nothing is overwritten.
fn anew(store: &dyn Store, opened: Option<Head>) -> Result<Head, StoreError> {
    let mut last = opened.map_or(0, |head| head.tip.seq);
    let mut first = None;
    let mut after = opened.map(|head| entry_key(head.tip.seq).to_vec());
    loop {
        let page = match &after {
            Some(key) => Page::after(key),
            None => Page::FIRST,
        };
        let found = match store.scan(Table::Audit, b"", page, None) {
            Err(StoreError::Damaged { key, .. }) => {
                after = Some(key);
                continue;
            }
            other => other?,
        };
        for (key, _) in &found.rows {
            if let Some(seq) = entry_seq(key) {
                first.get_or_insert(seq);
                last = last.max(seq);
            }
        }
        match found.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let base = match (opened, first) {
        (Some(head), _) => head.base,
        (None, Some(first)) if first > 1 => Mark { seq: first - 1, hash: Hash::NONE },
        (None, _) => Mark::ORIGIN,
    };
    Ok(Head { base, tip: Mark { seq: last, hash: Hash::NONE } })
}
