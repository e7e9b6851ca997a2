//! A commit and what becomes of it.

use std::fmt;

use smallvec::SmallVec;

use crate::error::{Printable, StoreError};
use crate::record::{Record, Revision};
use crate::table::Table;

/// Most guards, puts and deletes together in one commit (design §5; etcd's default is 128).
pub const OPERATIONS_MAX: usize = 100;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// Longest payload of a row, in bytes (etcd's default request limit is 1.5 MiB).
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// A condition on a row that must hold at the moment of the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// The row does not exist.
    Absent(Table, Vec<u8>),
    /// The row exists, with any revision.
    Present(Table, Vec<u8>),
    /// The row exists and was last written by this commit: nobody changed it since it was read.
    RevisionEquals(Table, Vec<u8>, Revision),
}

impl Guard {
    /// Table and key of the row that the guard looks at.
    pub fn row(&self) -> (Table, &[u8]) {
        match self {
            Self::Absent(table, key) | Self::Present(table, key) | Self::RevisionEquals(table, key, _) => {
                (*table, key)
            }
        }
    }

    /// Whether the guard holds for the row as it is.
    pub fn holds(&self, row: Option<Revision>) -> bool {
        match self {
            Self::Absent(..) => row.is_none(),
            Self::Present(..) => row.is_some(),
            Self::RevisionEquals(_, _, wanted) => row == Some(*wanted),
        }
    }
}

/// A row to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct Put {
    /// Table of the row.
    pub table: Table,
    /// Key of the row.
    pub key: Vec<u8>,
    /// Version of the payload's encoding, chosen by the table's owner.
    pub schema: u8,
    /// The owner's bytes.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Put({} {} schema {} {} bytes)",
            self.table,
            Printable(&self.key),
            self.schema,
            self.payload.len()
        )
    }
}

/// Guards, puts and deletes that happen together or not at all. Made by [`Commit::build`], which
/// checks every limit, so a commit that exists is one that every backend can carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Most have one.
    guards: SmallVec<[Guard; 1]>,
    puts: Vec<Put>,
    deletes: Vec<(Table, Vec<u8>)>,
}

impl Commit {
    /// Starts a commit without any operation.
    pub fn build() -> CommitBuilder {
        CommitBuilder { commit: Self { guards: SmallVec::new(), puts: Vec::new(), deletes: Vec::new() } }
    }

    /// The conditions, in the order in which they are checked.
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// The rows to write.
    pub fn puts(&self) -> &[Put] {
        &self.puts
    }

    /// The rows to delete; deleting an absent row is no error.
    pub fn deletes(&self) -> &[(Table, Vec<u8>)] {
        &self.deletes
    }

    /// Rows that the commit writes or deletes.
    pub fn rows(&self) -> usize {
        self.puts.len() + self.deletes.len()
    }
}

/// Collects the operations of a [`Commit`].
#[derive(Debug, Clone)]
#[must_use = "nothing is committed before `finish` and `Store::commit`"]
pub struct CommitBuilder {
    commit: Commit,
}

impl CommitBuilder {
    /// Adds a condition.
    pub fn guard(mut self, guard: Guard) -> Self {
        self.commit.guards.push(guard);
        self
    }

    /// Adds a row to be written. `schema` is the version of the payload's encoding.
    pub fn put(
        mut self,
        table: Table,
        key: impl Into<Vec<u8>>,
        schema: u8,
        payload: impl Into<Vec<u8>>,
    ) -> Self {
        self.commit.puts.push(Put { table, key: key.into(), schema, payload: payload.into() });
        self
    }

    /// Adds a row to be deleted.
    pub fn delete(mut self, table: Table, key: impl Into<Vec<u8>>) -> Self {
        self.commit.deletes.push((table, key.into()));
        self
    }

    /// Operations so far; a caller with many rows starts a new commit at [`OPERATIONS_MAX`].
    pub fn operations(&self) -> usize {
        self.commit.guards.len() + self.commit.rows()
    }

    /// Checks the limits and gives the commit.
    ///
    /// # Errors
    /// [`CommitError`] with the value and the limit, if an operation is one too many, a key is
    /// empty or too long, a payload is too long, or a row is written or deleted twice.
    pub fn finish(self) -> Result<Commit, CommitError> {
        let commit = self.commit;
        let count = commit.guards.len() + commit.rows();
        if count > OPERATIONS_MAX {
            return Err(CommitError::TooManyOperations { count, limit: OPERATIONS_MAX });
        }
        let mut written: SmallVec<[(Table, &[u8]); 2]> = commit
            .puts
            .iter()
            .map(|put| (put.table, put.key.as_slice()))
            .chain(commit.deletes.iter().map(|(table, key)| (*table, key.as_slice())))
            .collect();
        for (table, key) in commit.guards.iter().map(Guard::row).chain(written.iter().copied()) {
            if key.is_empty() {
                return Err(CommitError::EmptyKey { table });
            }
            if key.len() > KEY_BYTES_MAX {
                return Err(CommitError::KeyTooLong { table, length: key.len(), limit: KEY_BYTES_MAX });
            }
        }
        for put in &commit.puts {
            if put.payload.len() > VALUE_BYTES_MAX {
                return Err(CommitError::ValueTooLong {
                    table: put.table,
                    key: put.key.clone(),
                    length: put.payload.len(),
                    limit: VALUE_BYTES_MAX,
                });
            }
        }
        if written.len() > 1 {
            written.sort_unstable();
            if let Some(pair) = written.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(CommitError::RowTwice { table: pair[0].0, key: pair[0].1.to_vec() });
            }
        }
        drop(written);
        Ok(commit)
    }
}

/// Why operations do not make a commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// More guards, puts and deletes than one commit may hold.
    #[error("{count} operations in one commit, at most {limit} are allowed; split it")]
    TooManyOperations {
        /// Operations given.
        count: usize,
        /// Operations allowed.
        limit: usize,
    },
    /// A key without a byte.
    #[error("empty key in table {table}")]
    EmptyKey {
        /// Table of the row.
        table: Table,
    },
    /// A key longer than the limit.
    #[error("key of {length} bytes in table {table}, at most {limit} are allowed")]
    KeyTooLong {
        /// Table of the row.
        table: Table,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A payload longer than the limit.
    #[error("row of {length} bytes in table {table}, key {}, at most {limit} are allowed", Printable(.key))]
    ValueTooLong {
        /// Table of the row.
        table: Table,
        /// Key of the row.
        key: Vec<u8>,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Two writes of one row in one commit: their order would have no meaning.
    #[error("table {table}, key {} is written twice in one commit; keep the last one", Printable(.key))]
    RowTwice {
        /// Table of the row.
        table: Table,
        /// Key of the row.
        key: Vec<u8>,
    },
}

/// What became of a commit.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Durable as promised. Rows written by it bear this revision. A commit that writes nothing
    /// gets the revision at which its guards held.
    Committed(Revision),
    /// A guard did not hold; nothing changed.
    Conflict(Conflict),
    /// It may or may not have happened, for this reason: read the rows again before going on.
    Unknown(StoreError),
}

impl Outcome {
    /// The revision, if committed.
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Self::Committed(revision) => Some(*revision),
            Self::Conflict(_) | Self::Unknown(_) => None,
        }
    }
}

/// The guard that did not hold, and the row as it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Index in [`Commit::guards`].
    pub guard: usize,
    /// The row that the guard looked at; `None` if there is none.
    pub row: Option<Record>,
}
