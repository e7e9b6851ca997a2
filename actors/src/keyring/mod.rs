//! Keys that outlive a restart: sealed rows, read through the key board.
//!
//! Nonce and tag keys are made here; key pairs and certificates are made by the engine and kept here as
//! named material. Nothing leaves this module unsealed but through its typed readers.

use std::sync::Arc;

use keyline_domain::nonce::NONCE_SECRET_LEN;
use keyline_storage::seal::{NodeKey, Sealed};
use keyline_storage::{Commit, CommitBuilder, Consistency, Outcome, Page, Store, Table, faults};
use zeroize::Zeroizing;

use crate::board::Keys;
use crate::clock::now;
use crate::error::OpenError;
use crate::route::{GENERATION_MASK, TagKey};

mod nonces;
mod tickets;

pub(crate) use nonces::NonceRow;
pub(crate) use tickets::TicketRow;

const SCHEMA: u8 = 1;
/// Rows removed in one commit.
const OPS_PER_COMMIT: usize = 100;
const NONCE: &[u8] = b"nonce";
const OAUTH: &[u8] = b"oauth";
/// Private keys: this and a name.
const PRIVATE: &str = "private/";
/// Private keys that wait for their certificate, behind [`PRIVATE`].
const PENDING: &str = "pending/";
/// Certificates of named material: this and a name.
const CERTIFICATE: &str = "certificate/";
/// OCSP responses for own certificates, which are public: this and a name.
const OCSP: &str = "ocsp/";
/// Most own certificates that are read: there are a handful.
const MATERIALS_MAX: usize = 64;
const TAGS: &[u8] = b"tags";
const START: &[u8] = b"start";
const TICKETS: &[u8] = b"tickets";

pub use crate::board::{Material, Own, OwnCertificates, PrivateKeyPem};

/// The keyring of an opened store.
pub struct Keyring<'a> {
    store: &'a dyn Store,
    node_key: &'a NodeKey,
}

impl<'a> Keyring<'a> {
    /// Over a store, under the node key.
    pub fn new(store: &'a dyn Store, node_key: &'a NodeKey) -> Self {
        Self { store, node_key }
    }

    /// Keys for a node that starts now: made at first start, read later; the start number grows by one.
    ///
    /// # Errors
    /// [`OpenError`] when the store fails, a row cannot be unsealed (another node key) or no randomness is
    /// to be had.
    pub fn start(&self) -> Result<Keys, OpenError> {
        let (nonce, oauth) = (self.nonces()?, self.oauth()?);
        let tickets = self.tickets()?.keys();
        let tags = self.secret(TAGS)?;
        let start = match self.store.get(Table::Meta, START, Consistency::Linearizable)? {
            Some(r) => u32::from_be_bytes(
                r.payload
                    .get(..4)
                    .and_then(|b| b.try_into().ok())
                    .ok_or_else(|| damaged(START, "not 4 bytes"))?,
            ),
            None => 0,
        };
        // Skips 0, so that "no start" stays distinguishable after a wrap.
        let start = (start.wrapping_add(1) & GENERATION_MASK).max(1);
        self.put(Table::Meta, START, start.to_be_bytes().to_vec())?;
        let (nonce, oauth) = (nonce.keys(), oauth.secrets());
        Ok(Keys { nonce, oauth, tickets, tags: TagKey::new(&tags), start })
    }

    /// The nonce keys, made at the first start.
    pub(crate) fn nonces(&self) -> Result<NonceRow, OpenError> {
        self.rotating(NONCE)
    }

    /// The secrets of the keys that sign tokens, made at the first start.
    pub(crate) fn oauth(&self) -> Result<NonceRow, OpenError> {
        self.rotating(OAUTH)
    }

    fn rotating(&self, name: &[u8]) -> Result<NonceRow, OpenError> {
        if let Some(r) = self.store.get(Table::Keys, name, Consistency::Linearizable)? {
            let open = self.unseal(name, &r.payload)?;
            return NonceRow::read(&open).ok_or_else(|| damaged(name, "not keys that rotate"));
        }
        let first = NonceRow::first(fresh_secret()?, now());
        self.put(Table::Keys, name, self.sealed(name, &first.write())?)?;
        Ok(first)
    }

    /// The commit that keeps these secrets of token keys.
    pub(crate) fn oauth_commit(&self, row: &NonceRow) -> Result<Commit, OpenError> {
        Commit::build()
            .put(Table::Keys, OAUTH.to_vec(), SCHEMA, self.sealed(OAUTH, &row.write())?)
            .finish()
            .map_err(|e| damaged(OAUTH, &e.to_string()))
    }

    /// The commit that keeps these nonce keys.
    pub(crate) fn nonce_commit(&self, row: &NonceRow) -> Result<Commit, OpenError> {
        Commit::build()
            .put(Table::Keys, NONCE.to_vec(), SCHEMA, self.sealed(NONCE, &row.write())?)
            .finish()
            .map_err(|e| damaged(NONCE, &e.to_string()))
    }

    /// The keys of TLS tickets, made at the first start.
    pub(crate) fn tickets(&self) -> Result<TicketRow, OpenError> {
        if let Some(r) = self.store.get(Table::Keys, TICKETS, Consistency::Linearizable)? {
            let open = self.unseal(TICKETS, &r.payload)?;
            return TicketRow::read(&open).ok_or_else(|| damaged(TICKETS, "not the keys of TLS tickets"));
        }
        let first = TicketRow::first(fresh_secret()?, now());
        self.put(Table::Keys, TICKETS, self.sealed(TICKETS, &first.write())?)?;
        Ok(first)
    }

    /// The commit that keeps these ticket keys.
    pub(crate) fn ticket_commit(&self, row: &TicketRow) -> Result<Commit, OpenError> {
        Commit::build()
            .put(Table::Keys, TICKETS.to_vec(), SCHEMA, self.sealed(TICKETS, &row.write())?)
            .finish()
            .map_err(|e| damaged(TICKETS, &e.to_string()))
    }

    /// Named material: `CallManager`, `TFTP` and so on (R004). `None` before it was made.
    pub fn material(&self, name: &str) -> Result<Option<Material>, OpenError> {
        let (public, private) = material_keys(name);
        let Some(certificate) = self.store.get(Table::Keys, &public, Consistency::Linearizable)? else {
            return Ok(None);
        };
        let Some(sealed) = self.store.get(Table::Keys, &private, Consistency::Linearizable)? else {
            return Err(damaged(&private, "the private key is missing"));
        };
        let key = self.unseal(&private, &sealed.payload)?;
        let text = |bytes: &[u8], key: &[u8]| {
            std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| damaged(key, "not text"))
        };
        Ok(Some(Material {
            certificate_pem: text(&certificate.payload, &public)?,
            private_key_pem: Zeroizing::new(text(&key, &private)?),
        }))
    }

    /// The certificate of named material, which is public.
    pub fn certificate(&self, name: &str) -> Result<Option<String>, OpenError> {
        let (public, _) = material_keys(name);
        match self.store.get(Table::Keys, &public, Consistency::Linearizable)? {
            Some(r) => Ok(Some(String::from_utf8_lossy(&r.payload).into_owned())),
            None => Ok(None),
        }
    }

    /// All own certificates with their keys, and the keys that wait for a certificate, for the board.
    ///
    /// # Errors
    /// [`OpenError`] when the store fails or a row cannot be unsealed.
    pub fn own(&self) -> Result<OwnCertificates, OpenError> {
        let page = Page { after: None, limit: MATERIALS_MAX };
        let found = self.store.scan(Table::Keys, CERTIFICATE.as_bytes(), page, None)?;
        let mut own = OwnCertificates::new();
        for (key, _) in found.rows {
            let name =
                std::str::from_utf8(&key[CERTIFICATE.len()..]).map_err(|_| damaged(&key, "not text"))?;
            let Some(material) = self.material(name)? else { continue };
            let pending = self.pending(name)?;
            let ocsp = self.store.get(Table::Keys, &ocsp_key(name), Consistency::Linearizable)?;
            let ocsp = ocsp.map(|row| row.payload.into());
            own.insert(name.into(), Arc::new(Own { material, pending, ocsp }));
        }
        Ok(own)
    }

    /// The key that waits for a certificate of this name.
    fn pending(&self, name: &str) -> Result<Option<PrivateKeyPem>, OpenError> {
        let key = pending_key(name);
        let Some(row) = self.store.get(Table::Keys, &key, Consistency::Linearizable)? else {
            return Ok(None);
        };
        let open = self.unseal(&key, &row.payload)?;
        let text = std::str::from_utf8(&open).map_err(|_| damaged(&key, "not text"))?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    /// Adds to a commit what turns `before` into `after`: only the rows that differ.
    ///
    /// # Errors
    /// [`OpenError::Key`] when the node key does not seal.
    pub(crate) fn replace(
        &self,
        mut commit: CommitBuilder,
        name: &str,
        before: &Own,
        after: &Own,
    ) -> Result<CommitBuilder, OpenError> {
        let (public, private) = material_keys(name);
        if before.material.certificate_pem != after.material.certificate_pem {
            let pem = after.material.certificate_pem.clone().into_bytes();
            commit = commit.put(Table::Keys, public, SCHEMA, pem);
        }
        if before.material.private_key_pem != after.material.private_key_pem {
            let sealed = self.sealed(&private, after.material.private_key_pem.as_bytes())?;
            commit = commit.put(Table::Keys, private, SCHEMA, sealed);
        }
        commit = match &after.ocsp {
            same if *same == before.ocsp => commit,
            Some(der) => commit.put(Table::Keys, ocsp_key(name), SCHEMA, der.to_vec()),
            None => commit.delete(Table::Keys, ocsp_key(name)),
        };
        let key = pending_key(name);
        Ok(match &after.pending {
            same if *same == before.pending => commit,
            Some(pending) => {
                let sealed = self.sealed(&key, pending.as_bytes())?;
                commit.put(Table::Keys, key, SCHEMA, sealed)
            }
            None => commit.delete(Table::Keys, key),
        })
    }

    /// Keeps named material; both rows in one commit.
    pub fn put_material(&self, name: &str, material: &Material) -> Result<(), OpenError> {
        let (public, private) = material_keys(name);
        let sealed = self
            .node_key
            .seal(Table::Keys, &private, material.private_key_pem.as_bytes())
            .map_err(|e| OpenError::Key(e.to_string()))?;
        let commit = Commit::build()
            .put(Table::Keys, public, SCHEMA, material.certificate_pem.clone().into_bytes())
            .put(Table::Keys, private.clone(), SCHEMA, sealed.into_bytes())
            .finish()
            .map_err(|e| damaged(&private, &e.to_string()))?;
        faults::hit_on("keyring.before_commit", || name.to_owned());
        let outcome = self.store.commit(&commit);
        faults::hit_on("keyring.after_commit", || name.to_owned());
        committed(outcome, &private)
    }

    /// That the node key opens what is sealed here.
    ///
    /// # Errors
    /// [`OpenError`] when it does not.
    pub fn check(&self) -> Result<(), OpenError> {
        // Certificates are made when the store is, tag keys at the first start.
        for prefix in [PRIVATE.as_bytes(), TAGS] {
            let page = self.store.scan(Table::Keys, prefix, Page { after: None, limit: 1 }, None)?;
            for (key, row) in page.rows {
                self.unseal(&key, &row.payload)?;
            }
        }
        Ok(())
    }

    /// Drops what must not come back with a restored store: nonce keys, since windows of used counts are not part
    /// of it, and dialog rows, since those calls are over.
    ///
    /// # Errors
    /// [`OpenError`] when the store fails.
    pub fn forget_past(&self) -> Result<(), OpenError> {
        for (table, prefix) in [(Table::Keys, NONCE), (Table::Calls, &b""[..])] {
            loop {
                let page =
                    self.store.scan(table, prefix, Page { after: None, limit: OPS_PER_COMMIT }, None)?;
                let Some(last) = page.rows.last().map(|row| row.0.to_vec()) else { break };
                let commit = page.rows.iter().fold(Commit::build(), |c, row| c.delete(table, row.0.to_vec()));
                let commit = commit.finish().map_err(|e| damaged(&last, &e.to_string()))?;
                committed(self.store.commit(&commit), &last)?;
            }
        }
        Ok(())
    }

    fn sealed(&self, key: &[u8], payload: &[u8]) -> Result<Vec<u8>, OpenError> {
        let sealed =
            self.node_key.seal(Table::Keys, key, payload).map_err(|e| OpenError::Key(e.to_string()))?;
        Ok(sealed.into_bytes())
    }

    fn secret(&self, key: &[u8]) -> Result<Zeroizing<[u8; NONCE_SECRET_LEN]>, OpenError> {
        if let Some(r) = self.store.get(Table::Keys, key, Consistency::Linearizable)? {
            let open = self.unseal(key, &r.payload)?;
            let bytes: [u8; NONCE_SECRET_LEN] =
                open.as_slice().try_into().map_err(|_| damaged(key, "not 32 bytes"))?;
            return Ok(Zeroizing::new(bytes));
        }
        let fresh = fresh_secret()?;
        self.put(Table::Keys, key, self.sealed(key, fresh.as_ref())?)?;
        Ok(fresh)
    }

    fn unseal(&self, key: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.node_key
            .open(Table::Keys, key, &Sealed::from_bytes(bytes))
            .map_err(|e| OpenError::Key(e.to_string()))
    }

    fn put(&self, table: Table, key: &[u8], payload: Vec<u8>) -> Result<(), OpenError> {
        let commit = Commit::build()
            .put(table, key.to_vec(), SCHEMA, payload)
            .finish()
            .map_err(|e| damaged(key, &e.to_string()))?;
        let name = || String::from_utf8_lossy(key).into_owned();
        faults::hit_on("keyring.before_commit", name);
        let outcome = self.store.commit(&commit);
        faults::hit_on("keyring.after_commit", name);
        committed(outcome, key)
    }
}

pub(crate) fn fresh_secret() -> Result<Zeroizing<[u8; NONCE_SECRET_LEN]>, OpenError> {
    let mut fresh = Zeroizing::new([0u8; NONCE_SECRET_LEN]);
    getrandom::fill(fresh.as_mut()).map_err(|e| OpenError::Random(e.to_string()))?;
    Ok(fresh)
}

fn material_keys(name: &str) -> (Vec<u8>, Vec<u8>) {
    (format!("{CERTIFICATE}{name}").into_bytes(), format!("{PRIVATE}{name}").into_bytes())
}

fn ocsp_key(name: &str) -> Vec<u8> {
    format!("{OCSP}{name}").into_bytes()
}

fn pending_key(name: &str) -> Vec<u8> {
    format!("{PRIVATE}{PENDING}{name}").into_bytes()
}

fn committed(outcome: Outcome, key: &[u8]) -> Result<(), OpenError> {
    match outcome {
        Outcome::Committed(_) => Ok(()),
        Outcome::Unknown(e) => Err(e.into()),
        Outcome::Conflict(_) => Err(damaged(key, "changed by another process")),
    }
}

fn damaged(key: &[u8], reason: &str) -> OpenError {
    OpenError::Row {
        table: Table::Keys.name(),
        key: String::from_utf8_lossy(key).into_owned(),
        reason: reason.to_owned(),
    }
}
