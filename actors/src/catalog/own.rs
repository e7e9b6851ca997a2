//! The node's own certificates: kept by the keyring, changed here, so that the change and its entry of the audit
//! are one commit and workers see it only when it is durable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::{Handler, Message};
use keyline_domain::audit::{Draft, Happened, Who};
use keyline_storage::{Commit, Outcome};
use serde_json::Value;

use super::Catalog;
use super::actor::{CatalogActor, ThroughWriter};
use super::import::Committer;
use crate::keyring::{Keyring, Own};
use crate::metrics::ActorKind;

/// A change of one own certificate, judged already: what is asked here is only that nobody was faster.
#[derive(Debug, Clone)]
pub struct OwnChange {
    /// Its name, as `CallManager`.
    pub name: Box<str>,
    /// What it was judged by.
    pub before: Arc<Own>,
    /// What takes its place.
    pub after: Arc<Own>,
    /// Operation in the audit.
    pub operation: &'static str,
    /// What the audit says of it before and after: public facts alone.
    pub told: (Option<Value>, Option<Value>),
}

/// Why an own certificate was not changed; nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnRefused {
    /// Another change came between.
    #[error("the certificate {0} was changed by somebody else just now; look at it again")]
    Changed(Box<str>),
    /// The store did not take it.
    #[error("the store did not take it: {0}")]
    Store(String),
}

/// Change an own certificate.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), OwnRefused>")]
pub(crate) struct ChangeOwn(pub(crate) OwnChange, pub(crate) Who);

impl OwnChange {
    fn draft(&self, who: &Who, result: Happened) -> Draft {
        let (before, after) = &self.told;
        Draft::new(who, self.operation, "own_certificate", &self.name, result)
            .with(before.as_ref(), after.as_ref())
    }
}

impl Catalog {
    /// Commits a change of an own certificate with its entry of the audit.
    ///
    /// # Errors
    /// [`OwnRefused`].
    pub fn change_own(
        &mut self,
        change: &OwnChange,
        who: &Who,
        keyring: &Keyring<'_>,
        committer: &dyn Committer,
    ) -> Result<(), OwnRefused> {
        let fault = |e: &dyn std::fmt::Display| OwnRefused::Store(e.to_string());
        let builder = keyring
            .replace(Commit::build(), &change.name, &change.before, &change.after)
            .map_err(|e| fault(&e))?;
        let (builder, pending) = self.audited(builder, change.draft(who, Happened::Done));
        let commit = builder.finish().map_err(|e| fault(&e))?;
        for outcome in committer.commit_all(std::slice::from_ref(&commit)) {
            match outcome {
                Outcome::Committed(_) => {}
                Outcome::Unknown(e) => return Err(fault(&e)),
                Outcome::Conflict(_) => return Err(OwnRefused::Changed(change.name.clone())),
            }
        }
        self.audit_settled(pending);
        Ok(())
    }
}

impl CatalogActor {
    /// Committed, then on the board, then the answer.
    fn change_own(&mut self, change: &OwnChange, who: &Who) -> Result<(), OwnRefused> {
        let present = self.boards.settings.own();
        if !present.get(&change.name).is_some_and(|own| Arc::ptr_eq(own, &change.before)) {
            return Err(OwnRefused::Changed(change.name.clone()));
        }
        let writer = self.writer.clone();
        let keyring = Keyring::new(&**writer.store(), &self.node_key);
        self.catalog.change_own(change, who, &keyring, &ThroughWriter(&writer))?;
        let mut own = (*present).clone();
        own.insert(change.name.clone(), Arc::clone(&change.after));
        self.boards.settings.set_own(own);
        Ok(())
    }

    /// After a commit whose outcome nobody knows the board shows what the store has.
    fn read_own_again(&self) {
        let writer = self.writer.clone();
        match Keyring::new(&**writer.store(), &self.node_key).own() {
            Ok(own) => self.boards.settings.set_own(own),
            Err(error) => tracing::error!(%error, "the node's own certificates cannot be read again"),
        }
    }
}

impl Handler<ChangeOwn> for CatalogActor {
    type Result = Result<(), OwnRefused>;

    fn handle(&mut self, ChangeOwn(change, who): ChangeOwn, _: &mut Self::Context) -> Self::Result {
        let done = catch_unwind(AssertUnwindSafe(|| self.change_own(&change, &who)));
        let done = done.unwrap_or_else(|_| {
            self.metrics.restarted(ActorKind::Catalog);
            Err(OwnRefused::Store("a fault inside the node; its log says where".to_owned()))
        });
        self.audit_written();
        if let Err(OwnRefused::Store(_)) = done {
            self.recover();
            self.read_own_again();
        }
        done
    }
}
