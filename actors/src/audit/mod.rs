//! The audit at rest: a table of chained entries and a head under a key, written with what they tell of.
//!
//! [`log`] is the catalog's end: it adds entries to the commit of the change itself, so that neither is ever
//! there without the other. [`reader`] is everybody else's: pages, single entries, verification; it reads the
//! store and asks no actor.

mod log;
mod reader;

#[cfg(test)]
mod tests;

use keyline_storage::Table;
use keyline_storage::seal::NodeKey;
use zeroize::Zeroizing;

pub(crate) use log::{AuditLog, Pending};
pub use reader::{AuditReader, Found, ReadError};

/// Where the head stands, in [`Table::Meta`].
const HEAD: &[u8] = b"audit/head";

/// Version of entries and head at rest.
const SCHEMA: u8 = 1;

type Key = Zeroizing<[u8; keyline_domain::audit::KEY_BYTES]>;

fn key(node_key: &NodeKey) -> Key {
    Zeroizing::new(node_key.mac("audit head", b""))
}

fn damaged(key: &[u8], reason: String) -> crate::error::OpenError {
    let key = String::from_utf8_lossy(key).into_owned();
    crate::error::OpenError::Row { table: Table::Audit.name(), key, reason }
}
