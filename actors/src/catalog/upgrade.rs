//! Rows of an earlier schema, brought over when the store is opened.
//!
//! In schema 0 a phone had its device security mode itself; since schema 1 its profile has it. Each phone is one
//! commit, with the profile that is made for it and its entry in the audit: a start that is cut off goes on with
//! those that are left.

use keyline_domain::audit::{NODE, Who};
use keyline_domain::inventory::{Kind, Step};
use keyline_storage::{Page, Store, Table};
use serde_json::Value;

use super::import::Inspect;
use super::{Catalog, ChangeRequest, Tools};
use crate::clock::now;
use crate::error::OpenError;

/// The schema in which phones had their mode themselves.
const EARLIER: u8 = 0;

/// Phones of one page.
const PAGE: usize = 1000;

fn prefix() -> String {
    format!("{}/", Kind::Phone.as_str())
}

/// A row that [`Catalog::upgrade`] brings over.
pub(super) fn is_of_earlier(key: &[u8], schema: u8) -> bool {
    schema == EARLIER && key.starts_with(prefix().as_bytes())
}

impl Catalog {
    /// Brings phones of the earlier schema over; how many there were. Every phone keeps its mode (R003), by a
    /// profile of its model and protocol (R110).
    ///
    /// # Errors
    /// [`OpenError`] names the row that cannot be brought over; those before it are.
    pub(crate) fn upgrade(&mut self, store: &dyn Store, inspect: &dyn Inspect) -> Result<usize, OpenError> {
        if !self.earlier {
            return Ok(0);
        }
        let (prefix, mut after, mut count) = (prefix(), None::<Vec<u8>>, 0);
        loop {
            let page = Page { after: after.as_deref(), limit: PAGE };
            let found = store.scan(Table::Config, prefix.as_bytes(), page, None)?;
            for (key, record) in found.rows.iter().filter(|(key, r)| is_of_earlier(key, r.schema)) {
                let fault = |reason: String| OpenError::Row {
                    table: Table::Config.name(),
                    key: String::from_utf8_lossy(key).into_owned(),
                    reason,
                };
                let body: Value =
                    serde_json::from_slice(&record.payload).map_err(|e| fault(e.to_string()))?;
                let request = ChangeRequest {
                    steps: vec![Step::Upgrade { body }],
                    forced: true,
                    who: Who::local(NODE),
                    ..ChangeRequest::default()
                };
                let tools = Tools {
                    committer: &store,
                    inspect,
                    has_certificate: &|_| true,
                    live: &(),
                    now: now(),
                    offline: Some(store),
                };
                let (changed, _) = self.change(&request, tools).map_err(|e| fault(e.to_string()))?;
                if format!("{prefix}{}", changed.name).as_bytes() != key.as_slice() {
                    return Err(fault(format!("the row is of {}", changed.name)));
                }
                count += 1;
            }
            match found.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.earlier = false;
        if count > 0 {
            tracing::info!(count, "phones of an earlier schema were brought over");
            self.prune_audit(store, &store);
        }
        Ok(count)
    }
}
