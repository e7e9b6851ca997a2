//! Opening a data folder, with an answer for every way in which that can fail.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rocksdb::{
    Cache, ColumnFamilyDescriptor, DB, DEFAULT_COLUMN_FAMILY_NAME, IteratorMode, Options, WriteBatch,
    WriteOptions,
};

use super::{FORMAT, RocksOptions, options};
use crate::error::StoreError;
use crate::record::Revision;
use crate::table::Table;

/// Own fact: format number, u32 big-endian.
pub(super) const FORMAT_KEY: &[u8] = b"format";

/// Own fact: revision of the last commit, u64 big-endian.
pub(super) const REVISION_KEY: &[u8] = b"revision";

/// Own fact: an import of a whole store began and has not ended.
pub(super) const RESTORING_KEY: &[u8] = b"restoring";

/// Opens or makes the database.
pub(super) fn database(path: &Path, options: RocksOptions) -> Result<DB, StoreError> {
    let existing = prepare(path, options.create)?;
    if existing {
        foreign_families(path)?;
    }
    let cache = Cache::new_lru_cache(options.cache_bytes);
    let own = ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, options::own(&cache));
    let tables = Table::ALL
        .into_iter()
        .map(|table| ColumnFamilyDescriptor::new(table.name(), options::family(table, &cache)));
    DB::open_cf_descriptors(
        &options::database(!existing),
        path,
        std::iter::once(own).chain(tables).collect::<Vec<_>>(),
    )
    .map_err(|error| explain(path, error))
}

/// Checks the store's own facts, writes them if the store is new, and gives its revision.
pub(super) fn check(db: &DB, path: &Path) -> Result<Revision, StoreError> {
    let fact = |key| db.get(key).map_err(|error| StoreError::backend("read the store's own facts", error));
    match fact(FORMAT_KEY)? {
        Some(stored) => {
            let found = stored.as_slice().try_into().map(u32::from_be_bytes).map_err(|_| {
                StoreError::NotOurs { path: path.to_owned(), reason: "its format number is unreadable" }
            })?;
            if found > FORMAT {
                return Err(StoreError::FormatTooNew { found, supported: FORMAT, path: path.to_owned() });
            }
        }
        None => {
            // Ours has its format number before anything else.
            if db.iterator(IteratorMode::Start).next().is_some() {
                let reason = "its format number is missing";
                return Err(StoreError::NotOurs { path: path.to_owned(), reason });
            }
            let mut batch = WriteBatch::default();
            batch.put(FORMAT_KEY, FORMAT.to_be_bytes());
            batch.put(REVISION_KEY, 0_u64.to_be_bytes());
            let mut options = WriteOptions::default();
            options.set_sync(true);
            db.write_opt(batch, &options)
                .map_err(|error| StoreError::backend("write the store's own facts", error))?;
        }
    }
    if fact(RESTORING_KEY)?.is_some() {
        return Err(StoreError::RestoreUnfinished { path: path.to_owned() });
    }
    revision_in(db.get(REVISION_KEY))
}

/// The revision that a read of [`REVISION_KEY`] found.
pub(super) fn revision_in(read: Result<Option<Vec<u8>>, rocksdb::Error>) -> Result<Revision, StoreError> {
    let stored = read.map_err(|error| StoreError::backend("read the revision", error))?;
    stored
        .as_deref()
        .and_then(|stored| stored.try_into().ok())
        .map(|stored| Revision(u64::from_be_bytes(stored)))
        .ok_or_else(|| StoreError::backend("read the revision", NoRevision))
}

/// The own fact is missing or has another length.
#[derive(Debug, thiserror::Error)]
#[error("the store's revision is missing or damaged")]
struct NoRevision;

/// Makes the folder where that is wanted; says whether it holds a database already.
fn prepare(path: &Path, create: bool) -> Result<bool, StoreError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::Permission { path: path.to_owned() }
        }
        io::ErrorKind::NotFound => StoreError::NotFound { path: path.to_owned() },
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            StoreError::NotOurs { path: path.to_owned(), reason: "it is not a folder" }
        }
        _ => StoreError::backend("open the data folder", error),
    };
    if create {
        // Bindings and sealed keys are nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    }
    let mut entries = fs::read_dir(path).map_err(failed)?;
    if path.join("CURRENT").exists() {
        return Ok(true);
    }
    if !create {
        let reason = "it holds no database";
        return Err(StoreError::NotOurs { path: path.to_owned(), reason });
    }
    // A crash in the very first open may leave RocksDB's own files; anything else is not ours.
    let strange = entries.any(|entry| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            !["LOCK", "LOG", "IDENTITY", "MANIFEST", "OPTIONS"].iter().any(|own| name.starts_with(own))
                && !name.ends_with(".dbtmp")
                && !name.ends_with(".log")
        })
    });
    if strange {
        let reason = "it holds other files and no database";
        return Err(StoreError::NotOurs { path: path.to_owned(), reason });
    }
    Ok(false)
}

/// A later format may have tables that this version cannot open: RocksDB would fail on them before
/// the format number can be read. The names alone tell that.
fn foreign_families(path: &Path) -> Result<(), StoreError> {
    let families = DB::list_cf(&Options::default(), path).map_err(|error| explain(path, error))?;
    let known = |name: &String| {
        name == DEFAULT_COLUMN_FAMILY_NAME || Table::ALL.into_iter().any(|table| table.name() == name)
    };
    if families.iter().all(known) {
        return Ok(());
    }
    let found = stored_format(path)?;
    match found {
        Some(found) if found > FORMAT => {
            Err(StoreError::FormatTooNew { found, supported: FORMAT, path: path.to_owned() })
        }
        _ => Err(StoreError::NotOurs { path: path.to_owned(), reason: "it holds an unknown table" }),
    }
}

/// The format number, read without touching or knowing any table.
fn stored_format(path: &Path) -> Result<Option<u32>, StoreError> {
    let db = DB::open_cf_for_read_only(&Options::default(), path, [DEFAULT_COLUMN_FAMILY_NAME], false)
        .map_err(|error| explain(path, error))?;
    let stored = db.get(FORMAT_KEY).map_err(|error| explain(path, error))?;
    Ok(stored.and_then(|stored| stored.as_slice().try_into().ok()).map(u32::from_be_bytes))
}

/// RocksDB says what happened only in words.
fn explain(path: &Path, error: rocksdb::Error) -> StoreError {
    let text = error.to_string();
    let lock = text.contains("/LOCK");
    if text.contains("Permission denied") {
        StoreError::Permission { path: path.to_owned() }
    } else if lock && (text.contains("lock hold by") || text.contains("Resource temporarily unavailable")) {
        StoreError::Locked { path: path.to_owned() }
    } else {
        StoreError::backend("open the database", error)
    }
}
