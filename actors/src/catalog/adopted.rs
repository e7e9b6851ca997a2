//! Phones that auto-registration made (R212): noted with their rows, so that their number has a bound that a restart does
//! not forget. One that is deleted counts no more.

use std::collections::HashSet;

use keyline_domain::ids::DeviceName;
use keyline_domain::inventory::{RowError, Step};
use keyline_storage::{Page, Store, Table};

use super::{Catalog, ChangeError, ChangeRequest};
use crate::error::OpenError;

const PREFIX: &str = "auto_registered/";
const PAGE: usize = 1000;

/// Key of the note.
pub(super) fn key(device: &DeviceName) -> Vec<u8> {
    format!("{PREFIX}{device}").into_bytes()
}

/// Reads all notes.
pub(super) fn load(store: &dyn Store) -> Result<HashSet<DeviceName>, OpenError> {
    let mut found = HashSet::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = Page { after: after.as_deref(), limit: PAGE };
        let page = store.scan(Table::Meta, PREFIX.as_bytes(), page, None)?;
        let name =
            |key: &[u8]| std::str::from_utf8(key).ok()?.strip_prefix(PREFIX).map(DeviceName::parse)?.ok();
        // What cannot be read is one phone less in a count.
        found.extend(page.rows.iter().filter_map(|(key, _)| name(key)));
        after = page.rows.last().map(|(key, _)| key.to_vec());
        if page.rows.len() < PAGE {
            return Ok(found);
        }
    }
}

/// The phone that a request lets in.
pub(super) fn newcomer(request: &ChangeRequest) -> Option<(usize, &DeviceName)> {
    request.steps.iter().enumerate().find_map(|(at, step)| match step {
        Step::Adopt(new) => Some((at, &new.name)),
        _ => None,
    })
}

impl Catalog {
    /// Whether one more may be let in.
    pub(super) fn room_for_newcomer(&self, request: &ChangeRequest) -> Result<(), ChangeError> {
        let (made, most) = (self.adopted.len(), request.adopted_max.unwrap_or(usize::MAX));
        match newcomer(request) {
            Some((step, name)) if made >= most => {
                let name = name.to_string();
                Err(ChangeError::Refused { step, error: RowError::AdoptionFull { name, made, most } })
            }
            _ => Ok(()),
        }
    }
}
