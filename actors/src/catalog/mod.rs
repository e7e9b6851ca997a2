//! The catalog: single writer of all configuration.
//!
//! It checks every change against its memory with the domain's inventory, commits, publishes to the boards,
//! then tells the shards. The same code serves an import into a closed store and one into a running node.

mod actor;
mod adopted;
mod asking;
mod audited;
mod change;
mod copy;
mod crl;
mod find;
mod idempotency;
mod impact;
mod import;
mod intent;
mod load;
mod messages;
mod own;
mod publish;
mod rotate;
mod seen;
mod tokens;
mod upgrade;
mod versions;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_cut_off;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use keyline_domain::find::PhoneIndex;
use keyline_domain::ids::{DeviceIndex, DeviceName, ProfileId, ProfileVersion};
use keyline_domain::inventory::{Inventory, Kind, LoadError, Sealer};
use keyline_domain::phone::AppliedVersion;
use keyline_domain::profile::ProfileSettings;
use keyline_storage::seal::{NodeKey, Sealed};
use keyline_storage::{Consistency, Page, Store, Table};
use zeroize::Zeroizing;

use crate::audit::AuditLog;
use crate::board::Token;
use crate::error::OpenError;

pub use crate::board::Crl;
pub(crate) use actor::{CatalogActor, ChangeConfig, ChangeToken, Export, Import, Look};
pub(crate) use asking::{AskChange, AskLists};
pub(crate) use audited::Note;
pub use audited::NoteError;
pub use change::{ChangeError, ChangeRequest, Changed, RECORDS_MAX, Remark, STEPS_MAX, Tools};
pub use crl::{CRL_MAX, CRLS_MAX, CrlChange, CrlRefused, RevokedBy};
pub(crate) use crl::{ChangeCrl, load_crls};
pub use idempotency::{ANSWERS_MAX, AnswersKept, KEPT_MS, KEY_MAX, Repeatable};
pub use import::{Committer, FILE_MAX, ImportDone, ImportError, Inspect, RowFault};
pub use keyline_domain::audit::Who;
pub use messages::MessagesError;
pub(crate) use messages::{SetMessages, load_messages};
pub(crate) use own::ChangeOwn;
pub use own::{OwnChange, OwnRefused};
pub(crate) use rotate::RotateOauth;
pub(crate) use seen::{See, load_seen};
pub use tokens::{TOKEN_NAME_MAX, TOKENS_MAX, TokenChange, TokenRefused};
pub(crate) use versions::SweepVersions;

/// Schema of [`Table::Config`] rows: JSON.
const SCHEMA: u8 = 1;

/// Prefix of profile versions that are no longer the saved one.
const VERSION_PREFIX: &str = "profile_version/";

/// Everything that is configured, in memory.
pub struct Catalog {
    inventory: Inventory,
    /// The store has phones of an earlier schema, which are brought over before anything else.
    earlier: bool,
    /// What phones are searched by, once it was asked for; follows the inventory with each commit.
    find: OnceLock<PhoneIndex>,
    /// Settings of every version that was ever saved and may still be applied to a phone.
    versions: HashMap<(ProfileId, ProfileVersion), Arc<ProfileSettings>>,
    sealer: NodeSealer,
    tokens: BTreeMap<Box<str>, Token>,
    audit: AuditLog,
    answers: idempotency::Answers,
    /// Phones that auto-registration made.
    adopted: HashSet<DeviceName>,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Catalog({:?})", self.inventory)
    }
}

impl Catalog {
    /// Reads all configuration, as the node of this name.
    ///
    /// # Errors
    /// [`OpenError`] names table and row when one cannot be read.
    pub fn load(store: &dyn Store, node_key: Arc<NodeKey>, node: &str) -> Result<Self, OpenError> {
        let sealer = NodeSealer(node_key);
        let (inventory, earlier) = load::inventory(store, &sealer, node)?;
        let mut versions = HashMap::new();
        scan(store, VERSION_PREFIX.as_bytes(), |key, value| {
            let (id, version) = key.split_once('/').ok_or("key is not id/version")?;
            let id = id.parse().map_err(|_| "id is not a number")?;
            let version = version.parse().map_err(|_| "version is not a number")?;
            let settings: ProfileSettings = serde_json::from_slice(value).map_err(|e| e.to_string())?;
            versions.insert((ProfileId(id), ProfileVersion(version)), Arc::new(settings));
            Ok(())
        })?;
        let audit = AuditLog::load(store, &sealer.0)?;
        let answers = idempotency::Answers::load(store)?;
        let (tokens, adopted) = (tokens::load(store)?, adopted::load(store)?);
        let find = OnceLock::new();
        Ok(Self { inventory, earlier, find, versions, sealer, tokens, audit, answers, adopted })
    }

    /// As [`Inventory::renumber`]; nothing was looked for yet.
    pub(crate) fn renumber(
        &mut self,
        number: impl Fn(&DeviceName) -> Option<DeviceIndex>,
        next: DeviceIndex,
    ) -> Result<(), LoadError> {
        self.inventory.renumber(number, next)
    }

    /// The model, for views.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// What a newly configured phone is judged by: the saved version of its profile.
    pub(crate) fn saved_version(&self, profile: ProfileId) -> Option<AppliedVersion> {
        self.inventory.profile(profile).map(|p| AppliedVersion { profile, version: p.version })
    }
}

/// Visits all rows of the configuration table under a prefix; the visitor gets the key without it.
fn scan(
    store: &dyn Store,
    prefix: &[u8],
    mut visit: impl FnMut(&str, &[u8]) -> Result<(), String>,
) -> Result<(), OpenError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = match &after {
            Some(key) => Page::after(key),
            None => Page::FIRST,
        };
        let found = store.scan(Table::Config, prefix, page, None)?;
        for (key, record) in &found.rows {
            let fault = |reason: String| OpenError::Row {
                table: Table::Config.name(),
                key: String::from_utf8_lossy(key).into_owned(),
                reason,
            };
            if record.schema != SCHEMA {
                // What is brought over later is not there yet.
                if upgrade::is_of_earlier(key, record.schema) {
                    continue;
                }
                return Err(fault(format!("its schema is {}, this version knows {SCHEMA}", record.schema)));
            }
            let name = key
                .get(prefix.len()..)
                .and_then(|k| std::str::from_utf8(k).ok())
                .ok_or_else(|| fault("the key is not text".to_owned()))?;
            visit(name, &record.payload).map_err(fault)?;
        }
        match found.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Seals secrets of configuration rows under the node key, bound to kind, key and field.
#[derive(Clone)]
struct NodeSealer(Arc<NodeKey>);

impl Sealer for NodeSealer {
    fn seal(&self, plain: &[u8], context: &str) -> Vec<u8> {
        // The only error is missing randomness; an empty seal never opens, so nothing is stored in clear.
        self.0.seal(Table::Config, context.as_bytes(), plain).map(Sealed::into_bytes).unwrap_or_else(
            |error| {
                tracing::error!(%error, context, "a secret could not be sealed");
                Vec::new()
            },
        )
    }

    fn open(&self, sealed: &[u8], context: &str) -> Option<Zeroizing<Vec<u8>>> {
        self.0.open(Table::Config, context.as_bytes(), &Sealed::from_bytes(sealed)).ok()
    }
}

/// First page or the rest: also used for phone rows and calls at start.
pub(crate) fn scan_table(
    store: &dyn Store,
    table: Table,
    mut visit: impl FnMut(&[u8], &keyline_storage::Record) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = match &after {
            Some(key) => Page::after(key),
            None => Page::FIRST,
        };
        let found = store.scan(table, b"", page, None)?;
        for (key, record) in &found.rows {
            visit(key, record)?;
        }
        match found.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// A record of [`Table::Config`], for tests and tools.
pub fn read(store: &dyn Store, kind: Kind, key: &str) -> Result<Option<Vec<u8>>, OpenError> {
    let key = format!("{}/{key}", kind.as_str());
    Ok(store.get(Table::Config, key.as_bytes(), Consistency::Local)?.map(|r| r.payload.to_vec()))
}
