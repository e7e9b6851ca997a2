//! Backup of a node's durable state, and the way back from it.
//!
//! A backup is one stream of all rows as of one moment ([`keyline_storage::snapshot`]). Secrets in it stay sealed
//! under the node key, which is not part of it: whoever has the file alone has no secret.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyline_storage::seal::NodeKey;
use keyline_storage::{Durability, RocksOptions, RocksStore, Store, StoreError, snapshot};

pub use keyline_storage::snapshot::Summary;

use crate::error::OpenError;
use crate::keyring::Keyring;
use crate::profile::hold_restored;

/// Where a restore lives until it is whole.
const YOUNG: &str = "store.restoring";

/// The store's folder in the data directory.
pub(crate) const STORE: &str = "store";

/// Why there is no backup or restore, in the operator's words.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The store or the stream.
    #[error("{}", .0.chain())]
    Store(#[from] StoreError),
    /// The file cannot be read or written.
    #[error("cannot {operation} {}: {source}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is data already.
    #[error("{} exists; restore into an empty data directory: stop the node and move the old one away", .path.display())]
    NotEmpty {
        /// The store's folder.
        path: PathBuf,
    },
    /// The node key is missing or is another one.
    #[error(
        "{0} (a backup does not hold the node key: put the key file of the node that was backed up in its place, mode 0600)"
    )]
    Key(String),
}

/// A source of backups that may move to another thread.
#[derive(Clone)]
pub struct Backup(pub(crate) Arc<dyn Store>);

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Backup")
    }
}

impl Backup {
    /// Writes the state of one moment. Reads the store: never call it on a worker's thread.
    ///
    /// # Errors
    /// [`BackupError::Store`] at a damaged row, or if reading or writing fails.
    pub fn write(&self, out: &mut dyn Write) -> Result<Summary, BackupError> {
        let mut out = io::BufWriter::with_capacity(1 << 18, out);
        let summary = snapshot::write(&*self.0, &mut out)?;
        out.flush().map_err(|e| StoreError::backend("write the backup", e))?;
        Ok(summary)
    }
}

/// Reads a whole backup and says what is in it.
///
/// # Errors
/// [`BackupError`] when it is cut off, damaged or none of ours.
pub fn check(file: &Path) -> Result<Summary, BackupError> {
    Ok(snapshot::check(&mut reader(file)?)?)
}

/// Fills the empty data directory `data` from a backup; on any error it is as it was. The node key must be in place.
/// Nonces and calls of the past are left out: a nonce must not serve twice, and the phones of those calls have hung up.
/// Roll-outs that were open are held: nobody may be surprised by phones that restart.
///
/// # Errors
/// [`BackupError`].
pub fn restore(file: &Path, data: &Path, key_file: &Path) -> Result<Summary, BackupError> {
    let place = data.join(STORE);
    if place.exists() {
        return Err(BackupError::NotEmpty { path: place });
    }
    let summary = check(file)?;
    let key = NodeKey::load(key_file).map_err(|e| BackupError::Key(e.to_string()))?;
    let young = data.join(YOUNG);
    clear(&young)?;
    let filled = fill(file, &young, summary, &key);
    match filled {
        Ok(()) => {
            fs::rename(&young, &place).map_err(|source| BackupError::File {
                operation: "put the store in place at",
                path: place,
                source,
            })?;
            fs::File::open(data)
                .and_then(|folder| folder.sync_all())
                .map_err(|source| BackupError::File { operation: "sync", path: data.to_owned(), source })?;
            Ok(summary)
        }
        Err(error) => {
            // What cannot be removed now is removed by the next attempt.
            let _ = clear(&young);
            Err(error)
        }
    }
}

fn fill(file: &Path, young: &Path, summary: Summary, key: &NodeKey) -> Result<(), BackupError> {
    let store =
        RocksStore::open(young, RocksOptions { durability: Durability::Power, ..RocksOptions::default() })?;
    snapshot::read(&store, summary, &mut reader(file)?)?;
    let keyring = Keyring::new(&store, key);
    let settled = keyring.check().and_then(|()| keyring.forget_past()).and_then(|()| hold_restored(&store));
    settled.map_err(|e| match e {
        OpenError::Store(e) => BackupError::Store(e),
        other => BackupError::Key(other.to_string()),
    })?;
    Ok(store.sync()?)
}

fn clear(young: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(young) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(BackupError::File { operation: "remove", path: young.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn reader(file: &Path) -> Result<impl Read, BackupError> {
    let open = fs::File::open(file).map_err(|source| BackupError::File {
        operation: "read",
        path: file.to_owned(),
        source,
    })?;
    Ok(io::BufReader::with_capacity(1 << 18, open))
}
