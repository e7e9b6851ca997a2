//! Reading all configuration at the start, on two threads: one reads rows and checks them, the other opens what is
//! sealed, puts them in order and sees to references.

use std::ops::ControlFlow;
use std::sync::mpsc::{SyncSender, sync_channel};

use keyline_domain::inventory::{Inventory, Kind, LoadError, Loading, Stored};
use keyline_storage::{Store, Table};

use super::{NodeSealer, SCHEMA, upgrade};
use crate::error::OpenError;

/// Rows that go from one thread to the other at once, and how many such batches may wait.
const BATCH: usize = 1024;
const AHEAD: usize = 16;

type Batch = Result<Vec<Stored>, OpenError>;

/// The inventory, and whether there are phones of an earlier schema, which are not in it.
pub(super) fn inventory(
    store: &dyn Store,
    sealer: &NodeSealer,
    node: &str,
) -> Result<(Inventory, bool), OpenError> {
    std::thread::scope(|scope| {
        let (out, batches) = sync_channel::<Batch>(AHEAD);
        let reader = scope.spawn(move || read(store, sealer, &out));
        let mut loading = Loading::new(node);
        for batch in batches {
            for stored in batch? {
                loading.take(stored, sealer).map_err(misplaced)?;
            }
        }
        // Whoever panics there panics here.
        let earlier = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((loading.finish().map_err(misplaced)?, earlier))
    })
}

/// Reads kind by kind, until all was read or nobody takes it any more.
fn read(store: &dyn Store, sealer: &NodeSealer, out: &SyncSender<Batch>) -> bool {
    let mut earlier = false;
    for kind in Kind::LOAD_ORDER {
        let prefix = format!("{}/", kind.as_str());
        let (mut batch, mut fault) = (Vec::with_capacity(BATCH), None);
        let done = store.read(Table::Config, prefix.as_bytes(), &mut |key, row| {
            if row.schema != SCHEMA && upgrade::is_of_earlier(key, row.schema) {
                earlier = true;
                return ControlFlow::Continue(());
            }
            match one(kind, &prefix, key, row.schema, row.payload, sealer) {
                Ok(stored) => batch.push(stored),
                Err(error) => {
                    fault = Some(error);
                    return ControlFlow::Break(());
                }
            }
            if batch.len() < BATCH
                || out.send(Ok(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)))).is_ok()
            {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        let end = done.map_err(OpenError::from).and_then(|()| fault.map_or(Ok(batch), Err));
        let failed = end.is_err();
        if out.send(end).is_err() || failed {
            break;
        }
    }
    earlier
}

fn one(
    kind: Kind,
    prefix: &str,
    key: &[u8],
    schema: u8,
    payload: &[u8],
    sealer: &NodeSealer,
) -> Result<Stored, OpenError> {
    let fault = |reason: String| OpenError::Row {
        table: Table::Config.name(),
        key: String::from_utf8_lossy(key).into_owned(),
        reason,
    };
    if schema != SCHEMA {
        return Err(fault(format!("its schema is {schema}, this version knows {SCHEMA}")));
    }
    let name = key
        .get(prefix.len()..)
        .and_then(|k| std::str::from_utf8(k).ok())
        .ok_or_else(|| fault("the key is not text".to_owned()))?;
    Stored::read(kind, name, payload, sealer).map_err(|e| fault(e.to_string()))
}

fn misplaced(error: LoadError) -> OpenError {
    let (kind, key) = error.row();
    OpenError::Row {
        table: Table::Config.name(),
        key: format!("{}/{key}", kind.as_str()),
        reason: error.to_string(),
    }
}
