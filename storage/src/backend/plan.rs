//! Judging commits in their order before anything is written.
//!
//! A backend holds its write lock, asks for a plan, writes the plan's changes in one go and then
//! answers. So guards are judged against the rows at rest plus what earlier commits of the same
//! group are about to write, and no other commit comes between judgement and write.

use std::collections::HashMap;

use crate::batch::{Commit, Conflict, Guard, Outcome, Put};
use crate::error::StoreError;
use crate::record::{Record, Revision};
use crate::table::Table;

/// Rows at rest.
pub(crate) trait Rows {
    /// The row under `key`.
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Record>, StoreError>;

    /// Its revision, after the same checks.
    fn row_revision(&self, table: Table, key: &[u8]) -> Result<Option<Revision>, StoreError>;
}

/// What to write and what to answer once it is written.
pub(crate) struct Plan<'a> {
    /// One outcome a commit, in their order.
    pub(crate) outcomes: Vec<Outcome>,
    /// Rows to write, in their order: a later change of a row wins.
    pub(crate) changes: Vec<Change<'a>>,
    /// Revision after the last change.
    pub(crate) last: Revision,
}

/// One row to write or delete.
pub(crate) struct Change<'a> {
    pub(crate) table: Table,
    pub(crate) key: &'a [u8],
    /// The new row and the revision of its commit; `None` deletes.
    pub(crate) put: Option<(Revision, &'a Put)>,
}

/// What earlier commits of the group made of a row.
type Overlay<'a> = HashMap<(Table, &'a [u8]), Option<(Revision, &'a Put)>, foldhash::quality::RandomState>;

/// Judges `commits` in their order, the first of which may get the revision after `start`.
///
/// A commit whose guard meets a damaged row is [`Outcome::Unknown`] and writes nothing.
pub(crate) fn plan<'a>(commits: &'a [Commit], start: Revision, rows: &dyn Rows) -> Plan<'a> {
    let mut plan = Plan {
        outcomes: Vec::with_capacity(commits.len()),
        changes: Vec::with_capacity(commits.len()),
        last: start,
    };
    let mut overlay = Overlay::default();
    // A single commit cannot meet an earlier one: no need to remember what it writes.
    let remember = commits.len() > 1;
    if remember {
        overlay.reserve(commits.len());
    }
    for commit in commits {
        match first_failing(commit.guards(), &overlay, rows) {
            Ok(None) => {}
            Ok(Some(conflict)) => {
                plan.outcomes.push(Outcome::Conflict(conflict));
                continue;
            }
            Err(error) => {
                plan.outcomes.push(Outcome::Unknown(error));
                continue;
            }
        }
        if commit.rows() > 0 {
            plan.last = Revision(plan.last.0 + 1);
        }
        plan.outcomes.push(Outcome::Committed(plan.last));
        let revision = plan.last;
        let puts = commit.puts().iter().map(|put| (put.table, put.key.as_slice(), Some((revision, put))));
        let deletes = commit.deletes().iter().map(|(table, key)| (*table, key.as_slice(), None));
        for (table, key, put) in puts.chain(deletes) {
            if remember {
                overlay.insert((table, key), put);
            }
            plan.changes.push(Change { table, key, put });
        }
    }
    plan
}

fn first_failing(
    guards: &[Guard],
    overlay: &Overlay<'_>,
    rows: &dyn Rows,
) -> Result<Option<Conflict>, StoreError> {
    for (index, guard) in guards.iter().enumerate() {
        let (table, key) = guard.row();
        let written = overlay.get(&(table, key));
        let found = match written {
            Some(written) => written.map(|(revision, _)| revision),
            None => rows.row_revision(table, key)?,
        };
        if !guard.holds(found) {
            // The whole row only for whoever is refused.
            let row = match written {
                Some(written) => written.map(|(revision, put)| Record {
                    schema: put.schema,
                    revision,
                    payload: put.payload.clone(),
                }),
                None => rows.row(table, key)?,
            };
            return Ok(Some(Conflict { guard: index, row }));
        }
    }
    Ok(None)
}
