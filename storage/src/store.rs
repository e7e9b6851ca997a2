//! The contract.

use std::ops::ControlFlow;

use crate::batch::{Commit, KEY_BYTES_MAX, OPERATIONS_MAX, Outcome, VALUE_BYTES_MAX};
use crate::error::StoreError;
use crate::record::{Record, Revision, Seen};
use crate::table::Table;

/// Most rows in one page of a scan.
pub const PAGE_ROWS_MAX: usize = 10_000;

/// Payload bytes after which a page of a scan ends, whatever its row limit.
pub const PAGE_BYTES_MAX: usize = 16 << 20;

/// A transactional, ordered store of rows (design §5).
///
/// All calls may block on the disk: never call them on an arbiter thread. Commits of a running node
/// go through the [`Writer`](crate::writer::Writer).
///
/// Commits are totally ordered; each one that writes gets the next [`Revision`], which grows also
/// over restarts and may have gaps. Guards are judged against all earlier commits, so of two
/// commits that guard one row's revision and write that row, exactly one succeeds.
pub trait Store: Send + Sync {
    /// The row under `key`, if any. On one node both consistencies see every finished commit.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the row does not fit its checksum; [`StoreError::Backend`].
    fn get(&self, table: Table, key: &[u8], consistency: Consistency) -> Result<Option<Record>, StoreError>;

    /// Rows whose key begins with `prefix` (empty: all), in the order of their keys, one page.
    /// All rows of a page are of one moment; its [`ScanPage::revision`] names it. With
    /// `at_revision` the page is of that moment or refused: pages read with the first page's
    /// revision together are one consistent view.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the first row of the page is damaged: to step over it, scan again
    /// after its key. A page ends before a damaged row, so no row ahead of it is lost.
    /// [`StoreError::RevisionGone`] if the state at `at_revision` is not kept (backends without
    /// history keep only the present one). [`StoreError::Backend`].
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        page: Page<'_>,
        at_revision: Option<Revision>,
    ) -> Result<ScanPage, StoreError>;

    /// Shows rows whose key begins with `prefix` (empty: all), in the order of their keys and of one moment, as they
    /// lie there: for the start of a node, which reads everything. Ends early, without an error, where `see` says so.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] at the first damaged row; [`StoreError::Backend`].
    fn read(&self, table: Table, prefix: &[u8], see: &mut See<'_>) -> Result<(), StoreError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = Page { after: after.as_deref(), limit: PAGE_ROWS_MAX };
            let found = self.scan(table, prefix, page, None)?;
            for (key, row) in &found.rows {
                let seen = Seen { schema: row.schema, revision: row.revision, payload: &row.payload };
                if see(key, seen).is_break() {
                    return Ok(());
                }
            }
            match found.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Carries out several commits in their order, each as a whole, and gives one outcome each.
    /// A later commit's guards see the earlier ones. One trip to the disk: if that fails, all of
    /// them are [`Outcome::Unknown`].
    fn commit_all(&self, commits: &[Commit]) -> Vec<Outcome>;

    /// Carries out one commit.
    fn commit(&self, commit: &Commit) -> Outcome {
        self.commit_all(std::slice::from_ref(commit)).pop().unwrap_or(Outcome::Unknown(StoreError::Closed))
    }

    /// Makes everything committed so far survive a power cut, whatever the durability setting.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    fn sync(&self) -> Result<(), StoreError>;

    /// Revision of the last commit that wrote.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    fn revision(&self) -> Result<Revision, StoreError>;

    /// Shows every row of every table, as of one moment, and gives that moment's revision. Secrets
    /// are shown as they are stored: sealed.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] at the first damaged row; whatever `visit` returns;
    /// [`StoreError::Backend`].
    fn export(&self, visit: &mut Visit<'_>) -> Result<Revision, StoreError>;

    /// Fills an empty store with exported rows, which keep their revisions, and goes on from
    /// `revision`. A store in which this was cut off refuses to open.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`]; the first error among the rows; [`StoreError::Backend`]. Only after
    /// [`StoreError::NotEmpty`] is the store as before.
    fn import(&self, revision: Revision, rows: &mut Incoming<'_>) -> Result<u64, StoreError>;

    /// What fits into one operation.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Whether writes succeed.
    fn health(&self) -> Health;
}

/// Who is shown rows with their keys; a break ends it.
pub type See<'a> = dyn FnMut(&[u8], Seen<'_>) -> ControlFlow<()> + 'a;

/// Who is shown the rows of an export.
pub type Visit<'a> = dyn FnMut(Table, &[u8], &Record) -> Result<(), StoreError> + 'a;

/// The rows of an import.
pub type Incoming<'a> = dyn Iterator<Item = Result<(Table, Vec<u8>, Record), StoreError>> + 'a;

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// What this node knows.
    Local,
    /// At least as new as every commit that finished anywhere before the read began.
    Linearizable,
}

/// Which part of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<'a> {
    /// Only keys after this one; `None` from the beginning.
    pub after: Option<&'a [u8]>,
    /// Most rows, 1 to [`PAGE_ROWS_MAX`]; other values are taken to the nearest of these.
    pub limit: usize,
}

impl Page<'static> {
    /// The first page, as large as allowed.
    pub const FIRST: Self = Page { after: None, limit: PAGE_ROWS_MAX };
}

impl<'a> Page<'a> {
    /// The page after `key`, as large as allowed.
    pub fn after(key: &'a [u8]) -> Self {
        Page { after: Some(key), limit: PAGE_ROWS_MAX }
    }
}

/// One page of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanPage {
    /// Keys with their rows, in the order of the keys.
    pub rows: Vec<(Vec<u8>, Record)>,
    /// Where to go on: the last key of this page; `None` if nothing follows.
    pub next: Option<Vec<u8>>,
    /// Revision of the store that the page shows.
    pub revision: Revision,
}

/// What fits into one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Guards, puts and deletes in one commit.
    pub operations: usize,
    /// Bytes in a key.
    pub key_bytes: usize,
    /// Bytes in a payload.
    pub value_bytes: usize,
    /// Rows in a page.
    pub page_rows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: OPERATIONS_MAX,
            key_bytes: KEY_BYTES_MAX,
            value_bytes: VALUE_BYTES_MAX,
            page_rows: PAGE_ROWS_MAX,
        }
    }
}

/// Whether writes succeed.
#[derive(Debug, Clone)]
pub enum Health {
    /// The last write succeeded, or there was none.
    Good,
    /// The last write failed, for this reason. The next one that succeeds makes it good again.
    Failing(StoreError),
}

impl Health {
    /// Whether the node may call itself ready, as far as storage goes.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Good)
    }
}
