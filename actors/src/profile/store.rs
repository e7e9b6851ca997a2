//! Roll-outs at rest: one row each, and one with the chosen phones where not all were meant.

use keyline_domain::ids::DeviceName;
use keyline_domain::rollout::{Rollout, RolloutId};
use keyline_storage::{Commit, Outcome, Page, Record, Store, Table, Writer};

use crate::error::OpenError;

const PREFIX: &str = "rollout/";
const PHONES: &str = "rollout_phones/";
const SCHEMA: u8 = 1;
const PAGE: usize = 100;

fn key(prefix: &str, id: RolloutId) -> Vec<u8> {
    format!("{prefix}{:016x}", id.0).into_bytes()
}

fn settle(outcome: Outcome) -> Result<(), String> {
    match outcome {
        Outcome::Committed(_) => Ok(()),
        Outcome::Conflict(_) => Err("another writer won".to_owned()),
        Outcome::Unknown(e) => Err(e.to_string()),
    }
}

/// Writes how a roll-out stands, and when it begins its chosen phones. Waits for the disk.
pub(super) fn put(writer: &Writer, rollout: &Rollout, chosen: Option<&[DeviceName]>) -> Result<(), String> {
    let mut commit = Commit::build().put(Table::Intents, key(PREFIX, rollout.id), SCHEMA, bytes(rollout)?);
    if let Some(chosen) = chosen {
        commit = commit.put(Table::Intents, key(PHONES, rollout.id), SCHEMA, bytes(chosen)?);
    }
    settle(writer.submit_blocking(commit.finish().map_err(|e| e.to_string())?))
}

fn bytes<T: serde::Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(|e| e.to_string())
}

/// Forgets roll-outs that ended long ago.
pub(super) fn forget(writer: &Writer, ids: &[RolloutId]) -> Result<(), String> {
    for id in ids {
        let commit =
            Commit::build().delete(Table::Intents, key(PREFIX, *id)).delete(Table::Intents, key(PHONES, *id));
        settle(writer.submit_blocking(commit.finish().map_err(|e| e.to_string())?))?;
    }
    Ok(())
}

/// How a roll-out stands in the store.
pub(super) fn read(store: &dyn Store, id: RolloutId) -> Result<Rollout, String> {
    let row = store.get(Table::Intents, &key(PREFIX, id), keyline_storage::Consistency::Linearizable);
    let row = row.map_err(|e| e.to_string())?.ok_or("the row is gone")?;
    serde_json::from_slice(&row.payload).map_err(|e| e.to_string())
}

/// A backup was restored into this store: what it had open is held.
///
/// # Errors
/// [`OpenError`]; some may be held then and others not.
pub(crate) fn hold_restored(store: &dyn Store) -> Result<(), OpenError> {
    for (mut rollout, _) in load(store)? {
        if !rollout.restored() {
            continue;
        }
        let at = key(PREFIX, rollout.id);
        let bytes = bytes(&rollout).map_err(|e| fault(&at, &e))?;
        let commit = Commit::build().put(Table::Intents, at.clone(), SCHEMA, bytes).finish();
        let outcome = store.commit(&commit.map_err(|e| fault(&at, &e))?);
        settle(outcome).map_err(|e| fault(&at, &e))?;
    }
    Ok(())
}

/// A roll-out and its chosen phones, as a start finds them.
pub(crate) type Stored = (Rollout, Option<Vec<DeviceName>>);

/// Reads all roll-outs.
///
/// # Errors
/// [`OpenError`] names a row that cannot be read.
pub(crate) fn load(store: &dyn Store) -> Result<Vec<Stored>, OpenError> {
    let mut all: Vec<Stored> = Vec::new();
    scan(store, PREFIX, |key, record| {
        let rollout: Rollout = serde_json::from_slice(&record.payload).map_err(|e| fault(key, &e))?;
        all.push((rollout, None));
        Ok(())
    })?;
    scan(store, PHONES, |k, record| {
        let Some((_, chosen)) = all.iter_mut().find(|(r, _)| key(PHONES, r.id) == k) else { return Ok(()) };
        *chosen = Some(serde_json::from_slice(&record.payload).map_err(|e| fault(k, &e))?);
        Ok(())
    })?;
    Ok(all)
}

fn fault(key: &[u8], reason: &dyn std::fmt::Display) -> OpenError {
    let key = String::from_utf8_lossy(key).into_owned();
    OpenError::Row { table: Table::Intents.name(), key, reason: reason.to_string() }
}

fn scan(
    store: &dyn Store,
    prefix: &str,
    mut visit: impl FnMut(&[u8], &Record) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = Page { after: after.as_deref(), limit: PAGE };
        let found = store.scan(Table::Intents, prefix.as_bytes(), page, None)?;
        for (key, record) in &found.rows {
            visit(key, record)?;
        }
        match found.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}
