//! Nonce keys and token keys rotate: a new one is committed, then it mints; the one before it still opens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use keyline_storage::Outcome;

use super::actor::CatalogActor;
use crate::clock::now;
use crate::error::OpenError;
use crate::keyring::{Keyring, NonceRow, fresh_secret};
use crate::metrics::ActorKind;

/// How often it is asked whether a key is due.
pub(super) const CHECK: Duration = Duration::from_secs(1);

impl CatalogActor {
    /// Rotates the nonce keys when the current one has minted for its period. A failure leaves the keys as
    /// they are and is tried again at the next check.
    pub(super) fn rotate_nonces(&mut self) {
        match catch_unwind(AssertUnwindSafe(|| self.rotate_if_due().and(self.rotate_oauth(false)))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "keys did not rotate"),
            Err(_) => {
                self.metrics.restarted(ActorKind::Catalog);
                tracing::error!("the rotation of keys panicked");
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
        match self.writer.submit_blocking(keyring.oauth_commit(&next)?) {
            Outcome::Committed(_) => {}
            Outcome::Unknown(e) => {
                self.oauth = None;
                return Err(e.into());
            }
            Outcome::Conflict(_) => {
                self.oauth = None;
                return Ok(());
            }
        }
        self.boards.keys.set_oauth(next.secrets());
        self.oauth = Some(next);
        tracing::info!("a new key signs tokens from now on; tokens of the key before it are still taken");
        Ok(())
    }

    fn rotate_if_due(&mut self) -> Result<(), OpenError> {
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
        match self.writer.submit_blocking(keyring.nonce_commit(&next)?) {
            Outcome::Committed(_) => {}
            // Nothing was published; what is in the store is read again at the next check.
            Outcome::Unknown(e) => {
                self.nonces = None;
                return Err(e.into());
            }
            Outcome::Conflict(_) => {
                self.nonces = None;
                return Ok(());
            }
        }
        self.boards.keys.set_nonce(next.keys());
        self.nonces = Some(next);
        self.metrics.nonce_key_rotations.inc();
        tracing::info!("a new nonce key mints from now on");
        Ok(())
    }
}
