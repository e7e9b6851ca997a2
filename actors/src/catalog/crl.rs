//! Revocation lists: rows that the catalog writes. What they say is read and verified by the engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::{Handler, Message};
use keyline_domain::audit::{Draft, Happened, Who};
use keyline_storage::{Commit, Outcome, Page, Store, Table};
use serde_json::Value;

use super::actor::{CatalogActor, ThroughWriter};
use crate::board::Crl;
use crate::error::OpenError;
use crate::metrics::ActorKind;

const PREFIX: &str = "crl/";
const SCHEMA: u8 = 1;

/// Most lists of a node: one for each authority.
pub const CRLS_MAX: usize = 64;

/// Longest list, in bytes: about 25,000 certificates. A row of the store takes no more.
pub const CRL_MAX: usize = 1 << 20;

/// A change of one list, judged already.
#[derive(Debug, Clone)]
pub struct CrlChange {
    /// Its name.
    pub name: Box<str>,
    /// What it was judged by.
    pub before: Option<Arc<[u8]>>,
    /// What takes its place; none: it is gone.
    pub after: Option<Arc<[u8]>>,
    /// What the audit says of it before and after.
    pub told: (Option<Value>, Option<Value>),
}

/// Revocation lists, and how they are used.
#[derive(Debug, Clone, Copy, Default)]
pub struct RevokedBy<'a> {
    /// The lists.
    pub lists: &'a [Crl],
    /// One past its next update refuses its authority's certificates.
    pub refuse_expired: bool,
}

impl CrlChange {
    /// All lists once it is done.
    pub fn done_to(&self, lists: &[Crl]) -> Vec<Crl> {
        let others = lists.iter().filter(|crl| crl.name != self.name).cloned();
        let new = self.after.iter().map(|der| Crl { name: self.name.clone(), der: Arc::clone(der) });
        others.chain(new).collect()
    }
}

/// Why a list was not changed; nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlRefused {
    /// There are enough.
    #[error("there are {CRLS_MAX} revocation lists, which is the most; delete one first")]
    TooMany,
    /// Another change came between.
    #[error("the revocation list was changed by somebody else just now; look at it again")]
    Changed,
    /// The store did not take it.
    #[error("the store did not take it: {0}")]
    Store(String),
}

/// Change a list.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), CrlRefused>")]
pub(crate) struct ChangeCrl(pub(crate) CrlChange, pub(crate) Who);

fn key(name: &str) -> Vec<u8> {
    format!("{PREFIX}{name}").into_bytes()
}

/// All lists, at start.
pub(crate) fn load_crls(store: &dyn Store) -> Result<Vec<Crl>, OpenError> {
    let page = Page { after: None, limit: CRLS_MAX };
    let found = store.scan(Table::Meta, PREFIX.as_bytes(), page, None)?;
    let crl = |(key, row): (Box<[u8]>, keyline_storage::Record)| {
        let name = String::from_utf8_lossy(&key[PREFIX.len()..]).into();
        Crl { name, der: row.payload.into() }
    };
    Ok(found.rows.into_iter().map(|(key, row)| crl((key.into(), row))).collect())
}

impl CatalogActor {
    /// Committed, then on the board, then the answer.
    fn change_crl(&mut self, change: &CrlChange, who: &Who) -> Result<(), CrlRefused> {
        let fault = |e: &dyn std::fmt::Display| CrlRefused::Store(e.to_string());
        let all = self.boards.settings.crls();
        let place = all.iter().position(|crl| crl.name == change.name);
        if place.map(|at| &all[at].der) != change.before.as_ref() {
            return Err(CrlRefused::Changed);
        }
        if place.is_none() && all.len() >= CRLS_MAX {
            return Err(CrlRefused::TooMany);
        }
        let (builder, operation) = match &change.after {
            Some(der) => {
                (Commit::build().put(Table::Meta, key(&change.name), SCHEMA, der.to_vec()), "crl_install")
            }
            None => (Commit::build().delete(Table::Meta, key(&change.name)), "crl_delete"),
        };
        let (before, after) = &change.told;
        let draft = Draft::new(who, operation, "revocation_list", &change.name, Happened::Done)
            .with(before.as_ref(), after.as_ref());
        let (builder, pending) = self.catalog.audited(builder, draft);
        let commit = builder.finish().map_err(|e| fault(&e))?;
        match self.writer.submit_blocking(commit) {
            Outcome::Committed(_) => {}
            Outcome::Conflict(_) => return Err(CrlRefused::Changed),
            Outcome::Unknown(e) => return Err(fault(&e)),
        }
        self.catalog.audit_settled(pending);
        self.boards.settings.set_crls(change.done_to(&all));
        Ok(())
    }
}

impl Handler<ChangeCrl> for CatalogActor {
    type Result = Result<(), CrlRefused>;

    fn handle(&mut self, ChangeCrl(change, who): ChangeCrl, _: &mut Self::Context) -> Self::Result {
        let done = catch_unwind(AssertUnwindSafe(|| self.change_crl(&change, &who)));
        let done = done.unwrap_or_else(|_| {
            self.metrics.restarted(ActorKind::Catalog);
            Err(CrlRefused::Store("a fault inside the node; its log says where".to_owned()))
        });
        self.audit_written();
        if let Err(CrlRefused::Store(_)) = done {
            self.recover();
            match load_crls(&**ThroughWriter(&self.writer.clone()).0.store()) {
                Ok(crls) => self.boards.settings.set_crls(crls),
                Err(error) => tracing::error!(%error, "the revocation lists cannot be read again"),
            }
        }
        done
    }
}
