//! What can go wrong between the tables and the disk.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::revision::Revision;
use crate::table::Table;

/// Why the store refused or failed. Cheap to copy, so that one failed write can be told to
/// everybody who waits for it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A row does not match its checksum or is cut short.
    #[error("damaged row in table {table}, key {}: {reason}; restore it from a backup or delete it", Printable(.key))]
    Damaged {
        /// Table of the row.
        table: Table,
        /// Key of the row.
        key: Vec<u8>,
        /// What does not fit.
        reason: &'static str,
    },
    /// The data were written by a later version of this program.
    #[error("{} holds format {found}, this version reads up to {supported}; use the version that wrote it or restore a backup", .path.display())]
    FormatTooNew {
        /// Format number found.
        found: u32,
        /// Highest format number that this version reads.
        supported: u32,
        /// The data folder.
        path: PathBuf,
    },
    /// A folder with data, but not with ours.
    #[error("{} is not a Keyline data folder: {reason}; choose another folder", .path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// What is missing or strange.
        reason: &'static str,
    },
    /// Another process (or this one) has the data open.
    #[error("{} is in use by another process; stop it, or use the running node's control socket", .path.display())]
    Locked {
        /// The data folder.
        path: PathBuf,
    },
    /// There is no such folder, and it was not to be created.
    #[error("{} does not exist; create it or correct [node] data_dir", .path.display())]
    NotFound {
        /// The data folder.
        path: PathBuf,
    },
    /// The operating system refused access.
    #[error("no permission for {}; give it to the user that runs this program", .path.display())]
    Permission {
        /// The folder or file.
        path: PathBuf,
    },
    /// An import of a whole store was cut off; what is there is incomplete.
    #[error("{} holds an unfinished restore; empty the folder and restore again", .path.display())]
    RestoreUnfinished {
        /// The data folder.
        path: PathBuf,
    },
    /// A whole store may only be imported into an empty one.
    #[error("the store is not empty (table {table} has rows); restore into an empty data folder")]
    NotEmpty {
        /// The first table with a row.
        table: Table,
    },
    /// The state of that revision is not kept.
    #[error("revision {asked} can no longer be read, the store is at {current}; start the scan again")]
    RevisionGone {
        /// Revision asked for.
        asked: Revision,
        /// Revision of the store now.
        current: Revision,
    },
    /// A stream of rows is cut off, damaged, or not one of ours.
    #[error("unreadable snapshot: {reason}; take another copy")]
    Snapshot {
        /// What does not fit.
        reason: &'static str,
    },
    /// The store is closed, or its writer is.
    #[error("the store is closed")]
    Closed,
    /// The engine or the operating system failed in an operation.
    #[error("storage failed to {operation}")]
    Backend {
        /// What was tried, in words that follow "failed to".
        operation: &'static str,
        /// What the engine said.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl StoreError {
    /// An engine's failure in `operation` (words that follow "failed to").
    pub fn backend(operation: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Backend { operation, source: Arc::new(source) }
    }

    /// The text with all causes, for a log line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// A key as text where it is text, else its bytes in hex; never longer than a log line bears.
pub(crate) struct Printable<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(PRINTED_KEY_MAX)];
        if shown.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            for byte in shown {
                write!(f, "{}", char::from(*byte))?;
            }
        } else {
            f.write_str("0x")?;
            for byte in shown {
                write!(f, "{byte:02x}")?;
            }
        }
        if shown.len() < self.0.len() { f.write_str("…") } else { Ok(()) }
    }
}

/// Longest part of a key in a message, in bytes.
const PRINTED_KEY_MAX: usize = 96;
