//! Entries of the audit beside changes: what was refused, what phones were told, and keeping its length.

use std::panic::{AssertUnwindSafe, catch_unwind};

use actix::{Handler, Message};
use keyline_domain::audit::{Draft, Happened, Who};
use keyline_domain::ids::ProfileId;
use keyline_domain::inventory::{Change, Kind, Step};
use keyline_storage::{Commit, CommitBuilder, Outcome, Store};
use serde_json::Value;

use super::Catalog;
use super::actor::{CatalogActor, ThroughWriter};
use super::import::Committer;
use crate::audit::Pending;
use crate::clock::now;
use crate::metrics::ActorKind;

/// Prunings of one turn: what is left comes with the next one.
const PRUNINGS: usize = 16;

/// Why an entry was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit took no entry: {0}")]
pub struct NoteError(pub String);

/// Write an entry that belongs to no change of rows.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), NoteError>")]
pub(crate) struct Note(pub(crate) Draft);

impl Catalog {
    /// The row that a step is about, with its secrets: only a [`Draft`] may have it, which takes them out.
    pub(super) fn audited_row(&self, step: &Step) -> Option<Value> {
        let (kind, name) = step.subject();
        self.row_with_secrets(kind, name?)
    }

    fn row_with_secrets(&self, kind: Kind, name: &str) -> Option<Value> {
        serde_json::from_str(&self.inventory.row_text(kind, name, true)?).ok()
    }

    /// The entry of a step that was done in memory.
    pub(super) fn drafted(&self, who: &Who, step: &Step, before: Option<Value>, changes: &[Change]) -> Draft {
        let (kind, name) = step.subject();
        let mut others = self.written(changes);
        let name = match name {
            Some(name) => name.to_owned(),
            // Its name was computed: the first record of its kind.
            None => {
                let own = others.iter().position(|(k, _)| *k == kind).map(|at| others.remove(at).1);
                own.unwrap_or_default()
            }
        };
        let now_named = if let Step::Rename { to, .. } = step { to } else { &name };
        let after = self.row_with_secrets(kind, now_named);
        others.retain(|(k, other)| *k != kind || (other != now_named && *other != name));
        Draft::new(who, step.as_str(), kind.as_str(), &name, Happened::Done)
            .with(before.as_ref(), after.as_ref())
            .and(others.into_iter().map(|(kind, name)| format!("{}/{name}", kind.as_str())))
    }

    /// Objects whose records are written, by name where they have one; each once.
    fn written(&self, changes: &[Change]) -> Vec<(Kind, String)> {
        let mut all = Vec::new();
        for change in changes {
            let (Change::Put { kind, key, .. } | Change::Delete { kind, key }) = change else { continue };
            if *kind == Kind::Counter {
                continue;
            }
            let named = match kind {
                Kind::SecurityProfile => {
                    key.parse().ok().and_then(|id| self.inventory.profile(ProfileId(id)))
                }
                _ => None,
            };
            let named = (*kind, named.map_or_else(|| key.clone(), |profile| profile.name.clone()));
            if !all.contains(&named) {
                all.push(named);
            }
        }
        all
    }

    /// Puts an entry into the commit of what it tells of; [`Catalog::audit_settled`] once that is committed.
    pub(crate) fn audited(&self, commit: CommitBuilder, draft: Draft) -> (CommitBuilder, Pending) {
        self.audit.add(commit, vec![draft], now())
    }

    /// The commit is done.
    pub(crate) fn audit_settled(&mut self, pending: Pending) {
        self.audit.settle(pending);
    }

    /// Writes an entry in a commit of its own.
    ///
    /// # Errors
    /// [`NoteError`]; memory and store may differ then, and the catalog is to be read again.
    pub fn note(&mut self, draft: Draft, committer: &dyn Committer) -> Result<(), NoteError> {
        let (commit, pending) = self.audited(Commit::build(), draft);
        let commit = commit.finish().map_err(|e| NoteError(e.to_string()))?;
        for outcome in committer.commit_all(std::slice::from_ref(&commit)) {
            match outcome {
                Outcome::Committed(_) => {}
                Outcome::Unknown(e) => return Err(NoteError(e.to_string())),
                Outcome::Conflict(_) => return Err(NoteError("changed by another writer".to_owned())),
            }
        }
        self.audit_settled(pending);
        Ok(())
    }

    /// Takes away the oldest entries beyond `audit_keep`. A failure leaves them and is logged: it is tried again.
    pub(crate) fn prune_audit(&mut self, store: &dyn Store, committer: &dyn Committer) {
        let keep = u64::from(self.inventory.parameters().audit_keep);
        for _ in 0..PRUNINGS {
            let (commit, pending) = match self.audit.prune(store, keep) {
                Ok(Some(found)) => found,
                Ok(None) => return,
                Err(error) => return tracing::error!(%error, "the audit is not pruned"),
            };
            match committer.commit_all(std::slice::from_ref(&commit)).pop() {
                Some(Outcome::Committed(_)) => self.audit_settled(pending),
                other => return tracing::error!(?other, "the audit is not pruned"),
            }
        }
    }
}

impl CatalogActor {
    /// After whatever may have written entries: counts them, and keeps the audit's length.
    pub(super) fn audit_written(&mut self) {
        let counts = self.catalog.audit.take_counts();
        self.metrics.audited(counts.done, counts.refused);
        if counts.done + counts.refused > 0 {
            let writer = self.writer.clone();
            self.catalog.prune_audit(&**writer.store(), &ThroughWriter(&writer));
        }
    }
}

impl Handler<Note> for CatalogActor {
    type Result = Result<(), NoteError>;

    fn handle(&mut self, note: Note, _: &mut Self::Context) -> Self::Result {
        let writer = self.writer.clone();
        let step = catch_unwind(AssertUnwindSafe(|| self.catalog.note(note.0, &ThroughWriter(&writer))));
        let noted = step.unwrap_or_else(|_| {
            self.metrics.restarted(ActorKind::Catalog);
            Err(NoteError("a fault inside the node; its log says where".to_owned()))
        });
        self.audit_written();
        if noted.is_err() {
            self.recover();
        }
        noted
    }
}
