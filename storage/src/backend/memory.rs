//! Rows in ordered maps: for tests, benches and tools. Nothing survives the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::backend::plan::{self, Rows};
use crate::batch::{Commit, Outcome};
use crate::error::StoreError;
use crate::record::{self, Record, Revision};
use crate::store::{
    Consistency, Health, Incoming, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Page, ScanPage, Store, Visit,
};
use crate::table::Table;

/// The contract over ordered maps, with the same stored form of rows as every other backend.
#[derive(Default)]
pub struct MemoryStore {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    tables: [BTreeMap<Vec<u8>, Vec<u8>>; Table::ALL.len()],
    revision: Revision,
    failing: Option<StoreError>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes every later write fail with this error, or succeed again with `None`. Lets tests of
    /// other crates see what they do when the disk fails.
    pub fn fail_writes(&self, error: Option<StoreError>) {
        self.write().failing = error;
    }

    /// Puts raw bytes where the stored form of a row belongs, or removes them: damage, for tests.
    pub fn put_raw(&self, table: Table, key: &[u8], stored: Option<Vec<u8>>) {
        let rows = &mut self.write().tables[table.index()];
        match stored {
            Some(stored) => rows.insert(key.to_vec(), stored),
            None => rows.remove(key),
        };
    }

    /// The stored form of a row.
    pub fn raw(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.read().tables[table.index()].get(key).cloned()
    }

    // A panic inside a lock leaves whole rows: every change below is one map operation a row and
    // nothing between them can panic.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows for Inner {
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Record>, StoreError> {
        let stored = self.tables[table.index()].get(key);
        stored.map(|stored| record::from_stored(table, key, stored)).transpose()
    }

    fn row_revision(&self, table: Table, key: &[u8]) -> Result<Option<Revision>, StoreError> {
        let stored = self.tables[table.index()].get(key);
        stored.map(|stored| record::seen(table, key, stored).map(|row| row.revision)).transpose()
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8], _: Consistency) -> Result<Option<Record>, StoreError> {
        self.read().row(table, key)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        page: Page<'_>,
        at_revision: Option<Revision>,
    ) -> Result<ScanPage, StoreError> {
        let inner = self.read();
        let revision = inner.revision;
        if let Some(asked) = at_revision.filter(|asked| *asked != revision) {
            return Err(StoreError::RevisionGone { asked, current: revision });
        }
        let from = match page.after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let found = inner.tables[table.index()]
            .range::<[u8], _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, stored)| Ok((key.clone(), record::from_stored(table, key, stored))));
        collect_page(found, page.limit, revision)
    }

    fn commit_all(&self, commits: &[Commit]) -> Vec<Outcome> {
        let mut inner = self.write();
        if let Some(error) = &inner.failing {
            return commits.iter().map(|_| Outcome::Unknown(error.clone())).collect();
        }
        let plan = plan::plan(commits, inner.revision, &*inner);
        for change in &plan.changes {
            let rows = &mut inner.tables[change.table.index()];
            match change.put {
                Some((revision, put)) => {
                    let stored =
                        record::to_stored(change.table, change.key, revision, put.schema, &put.payload);
                    rows.insert(change.key.to_vec(), stored);
                }
                None => {
                    rows.remove(change.key);
                }
            }
        }
        inner.revision = plan.last;
        plan.outcomes
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.read().failing.clone().map_or(Ok(()), Err)
    }

    fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.read().revision)
    }

    fn export(&self, visit: &mut Visit<'_>) -> Result<Revision, StoreError> {
        let inner = self.read();
        for table in Table::ALL {
            for (key, stored) in &inner.tables[table.index()] {
                visit(table, key, &record::from_stored(table, key, stored)?)?;
            }
        }
        Ok(inner.revision)
    }

    fn import(&self, revision: Revision, rows: &mut Incoming<'_>) -> Result<u64, StoreError> {
        let mut inner = self.write();
        if let Some(table) = Table::ALL.into_iter().find(|table| !inner.tables[table.index()].is_empty()) {
            return Err(StoreError::NotEmpty { table });
        }
        if let Some(error) = &inner.failing {
            return Err(error.clone());
        }
        let mut count = 0;
        let mut highest = revision.max(inner.revision);
        for row in rows {
            let (table, key, row) = row?;
            highest = highest.max(row.revision);
            let stored = record::to_stored(table, &key, row.revision, row.schema, &row.payload);
            inner.tables[table.index()].insert(key, stored);
            count += 1;
        }
        inner.revision = highest;
        Ok(count)
    }

    fn health(&self) -> Health {
        self.read().failing.clone().map_or(Health::Good, Health::Failing)
    }
}

/// Makes a page of what an iterator finds: up to `limit` rows, [`PAGE_BYTES_MAX`] bytes, and not
/// past a damaged row, which is an error only as the first row.
pub(crate) fn collect_page(
    found: impl Iterator<Item = Result<(Vec<u8>, Result<Record, StoreError>), StoreError>>,
    limit: usize,
    revision: Revision,
) -> Result<ScanPage, StoreError> {
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let mut rows: Vec<(Vec<u8>, Record)> = Vec::new();
    let mut bytes = 0;
    let mut more = false;
    for row in found {
        let (key, row) = row?;
        if rows.len() >= limit || bytes >= PAGE_BYTES_MAX {
            more = true;
            break;
        }
        match row {
            Ok(row) => {
                bytes += key.len() + row.payload.len();
                rows.push((key, row));
            }
            Err(error) if rows.is_empty() => return Err(error),
            Err(_) => {
                more = true;
                break;
            }
        }
    }
    let next = if more { rows.last().map(|(key, _)| key.clone()) } else { None };
    Ok(ScanPage { rows, next, revision })
}
