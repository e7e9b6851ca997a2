//! Keys of nonces, of tokens and of TLS tickets rotate: a new one is committed, then it is used; those before it
//! still open.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use actix::{Handler, Message};
use keyline_domain::audit::{Draft, Happened, Who};
use keyline_storage::{Commit, Outcome};

use super::actor::{CatalogActor, ThroughWriter};
use super::audited::NoteError;
use crate::clock::now;
use crate::error::OpenError;
use crate::keyring::{Keyring, NonceRow, TicketRow, fresh_secret};
use crate::metrics::ActorKind;

/// How often it is asked whether a key is due.
pub(super) const CHECK: Duration = Duration::from_secs(1);

/// Rotate the secrets of token keys now.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), NoteError>")]
pub(crate) struct RotateOauth(pub(crate) Who);

impl Handler<RotateOauth> for CatalogActor {
    type Result = Result<(), NoteError>;

    fn handle(&mut self, RotateOauth(who): RotateOauth, _: &mut Self::Context) -> Self::Result {
        let writer = self.writer.clone();
        let step = catch_unwind(AssertUnwindSafe(|| {
            self.rotate_oauth(true).map_err(|e| NoteError(e.to_string()))?;
            let draft = Draft::new(&who, "oauth_rotate", "oauth_key", "", Happened::Done);
            self.catalog.note(draft, &ThroughWriter(&writer))
        }));
        let done = step.unwrap_or_else(|_| {
            self.metrics.restarted(ActorKind::Catalog);
            Err(NoteError("a fault inside the node; its log says where".to_owned()))
        });
        self.audit_written();
        if done.is_err() {
            self.recover();
        }
        done
    }
}

impl CatalogActor {
    /// Rotates what has served for its period. A failure leaves the keys as they are and is tried again at the
    /// next check.
    pub(super) fn rotate_keys(&mut self) {
        self.guarded("nonce keys", Self::rotate_nonces);
        self.guarded("keys of tokens", |actor| actor.rotate_oauth(false));
        self.guarded("keys of TLS tickets", Self::rotate_tickets);
    }

    fn guarded(&mut self, what: &str, rotate: impl FnOnce(&mut Self) -> Result<(), OpenError>) {
        match catch_unwind(AssertUnwindSafe(|| rotate(self))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the {what} did not rotate"),
            Err(_) => {
                self.metrics.restarted(ActorKind::Catalog);
                tracing::error!("the rotation of the {what} panicked");
            }
        }
    }

    /// Rotates the secrets of token keys when the current one has signed for its period, or at once when it is
    /// `asked` to. Whoever has a token keeps it: its key stays known until the next rotation.
    ///
    /// # Errors
    /// [`OpenError`]; what was in force stays so.
    pub(crate) fn rotate_oauth(&mut self, asked: bool) -> Result<(), OpenError> {
        let keyring = Keyring::new(&**self.writer.store(), &self.node_key);
        let row: &NonceRow = match &mut self.oauth {
            Some(row) => row,
            none => none.insert(keyring.oauth()?),
        };
        let at = now();
        if !asked && !row.is_due(at, self.oauth_key_s) {
            return Ok(());
        }
        let next = row.rotated(fresh_secret()?, at);
        let commit = keyring.oauth_commit(&next)?;
        self.oauth = None;
        if self.is_kept(commit)? {
            self.boards.keys.set_oauth(next.secrets());
            self.oauth = Some(next);
            tracing::info!("a new key signs tokens from now on; tokens of the key before it are still taken");
        }
        Ok(())
    }

    fn rotate_nonces(&mut self) -> Result<(), OpenError> {
        // No nonce may outlive the key before the current one, or phones with right credentials would be
        // told that theirs was forged.
        let period_s = self.nonce_key_s.max(u64::from(self.boards.profiles.longest_nonce_validity_s()) + 1);
        let keyring = Keyring::new(&**self.writer.store(), &self.node_key);
        let row: &NonceRow = match &mut self.nonces {
            Some(row) => row,
            none => none.insert(keyring.nonces()?),
        };
        let at = now();
        if !row.is_due(at, period_s) {
            return Ok(());
        }
        let next = row.rotated(fresh_secret()?, at);
        let commit = keyring.nonce_commit(&next)?;
        // Until it is committed nothing is published; else what is in the store is read again at the next check.
        self.nonces = None;
        if self.is_kept(commit)? {
            self.boards.keys.set_nonce(next.keys());
            self.nonces = Some(next);
            self.metrics.nonce_key_rotations.inc();
            tracing::info!("a new nonce key mints from now on");
        }
        Ok(())
    }

    fn rotate_tickets(&mut self) -> Result<(), OpenError> {
        let keyring = Keyring::new(&**self.writer.store(), &self.node_key);
        let row: &TicketRow = match &mut self.tickets {
            Some(row) => row,
            none => none.insert(keyring.tickets()?),
        };
        let at = now();
        if !row.is_due(at, self.ticket_key_s) {
            return Ok(());
        }
        let next = row.rotated(fresh_secret()?, at, self.ticket_key_s);
        let commit = keyring.ticket_commit(&next)?;
        self.tickets = None;
        if self.is_kept(commit)? {
            self.boards.keys.set_tickets(next.keys());
            self.tickets = Some(next);
            self.metrics.ticket_key_rotations.inc();
            tracing::info!("a new key makes TLS tickets from now on");
        }
        Ok(())
    }

    /// Commits; `false` when another process was faster.
    fn is_kept(&self, commit: Commit) -> Result<bool, OpenError> {
        match self.writer.submit_blocking(commit) {
            Outcome::Committed(_) => Ok(true),
            Outcome::Unknown(e) => Err(e.into()),
            Outcome::Conflict(_) => Ok(false),
        }
    }
}
