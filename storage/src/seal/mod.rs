//! Secrets at rest: sealed under the node key, bound to the row they belong to.
//!
//! XChaCha20-Poly1305 with a random nonce. The table and key of the row are authenticated with the
//! secret, so a sealed value that is copied into another row does not open there. Stored form:
//! form byte, 4 bytes that name the node key, 24 bytes of nonce, ciphertext with tag.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::Printable;
use crate::table::Table;

mod keyfile;

/// Bytes of a node key.
pub const KEY_BYTES: usize = 32;

/// Longest secret, in bytes: private keys and certificates with room to spare.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// The key under which a node seals its secrets (`[node] key_file`). Wiped from memory on drop;
/// has no text form.
pub struct NodeKey {
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl NodeKey {
    /// The key of these bytes, for example one derived from a passphrase.
    pub fn from_bytes(key: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self { key }
    }

    /// First bytes of a digest of the key: says which key sealed a value, nothing about the key.
    pub fn id(&self) -> KeyId {
        let digest = Sha256::new().chain_update(b"keyline node key id").chain_update(*self.key).finalize();
        let mut id = [0; 4];
        id.copy_from_slice(&digest[..4]);
        KeyId(id)
    }

    /// HMAC-SHA256 of `data` under a key that is derived for `purpose` alone: marks that nobody without the node
    /// key can make, or guess a secret from.
    pub fn mac(&self, purpose: &str, data: &[u8]) -> [u8; 32] {
        let keyed = |key: &[u8], data: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
            mac.update(data);
            Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()))
        };
        let derived = keyed(&*self.key, format!("keyline mac {purpose}").as_bytes());
        *keyed(&*derived, data)
    }

    /// Seals `secret` for the row `key` of `table`.
    ///
    /// # Errors
    /// [`SealError::TooLong`] above [`SECRET_BYTES_MAX`]; [`SealError::Random`].
    pub fn seal(&self, table: Table, key: &[u8], secret: &[u8]) -> Result<Sealed, SealError> {
        if secret.len() > SECRET_BYTES_MAX {
            return Err(SealError::TooLong { length: secret.len(), limit: SECRET_BYTES_MAX });
        }
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
        let id = self.id();
        let context = context(table, key);
        let ciphertext = self
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: &context })
            .map_err(|_| SealError::TooLong { length: secret.len(), limit: SECRET_BYTES_MAX })?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + ciphertext.len());
        bytes.push(FORM);
        bytes.extend_from_slice(&id.0);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&ciphertext);
        Ok(Sealed(bytes))
    }

    /// Opens what was sealed for the row `key` of `table`. The result wipes itself.
    ///
    /// # Errors
    /// [`SealError::WrongKey`] if another node key sealed it; [`SealError::Damaged`] if it was
    /// changed or sealed for another row; [`SealError::Form`].
    pub fn open(&self, table: Table, key: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let damaged = || SealError::Damaged { table, key: key.to_vec() };
        let (form, rest) = sealed.0.split_first().ok_or_else(damaged)?;
        if *form != FORM {
            return Err(SealError::Form { found: *form, supported: FORM });
        }
        let (id, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
        let sealed_by = KeyId(*id);
        if sealed_by != self.id() {
            return Err(SealError::WrongKey { sealed_by, given: self.id() });
        }
        let context = context(table, key);
        self.cipher()
            .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &context })
            .map(Zeroizing::new)
            .map_err(|_| damaged())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key).into())
    }
}

/// A sealed secret, as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Takes bytes read from a row; whether they open is seen at [`NodeKey::open`].
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes to store.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Names a node key without telling anything about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId(pub [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// Why a secret cannot be sealed or opened, or a node key not be had.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Another node key sealed the value.
    #[error(
        "sealed under node key {sealed_by}, but [node] key_file holds {given}; put the right key file back"
    )]
    WrongKey {
        /// The key that is needed.
        sealed_by: KeyId,
        /// The key that was tried.
        given: KeyId,
    },
    /// The value was changed, or belongs to another row.
    #[error("sealed secret in table {table}, key {} does not open: damaged or from another row", Printable(.key))]
    Damaged {
        /// Table of the row.
        table: Table,
        /// Key of the row.
        key: Vec<u8>,
    },
    /// A later version sealed the value.
    #[error("sealed in form {found}, this version knows form {supported}")]
    Form {
        /// Form found.
        found: u8,
        /// Form known.
        supported: u8,
    },
    /// A secret longer than the limit.
    #[error("secret of {length} bytes, at most {limit} are allowed")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
    /// Others than the owner may read the key file.
    #[error("{} has mode {mode:04o}, others may use it; set 0600", .path.display())]
    KeyFileMode {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no key.
    #[error("{} holds no node key: 64 hex digits or 32 raw bytes are wanted, {length} bytes are there", .path.display())]
    KeyFileForm {
        /// The key file.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// There is no such file, although secrets were sealed before.
    #[error("node key file {} does not exist; put it back, without it sealed secrets are lost", .path.display())]
    KeyFileMissing {
        /// The key file.
        path: PathBuf,
    },
    /// The file cannot be read or made.
    #[error("cannot {operation} node key file {}", .path.display())]
    KeyFile {
        /// "read" or "create".
        operation: &'static str,
        /// The key file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<std::io::Error>,
    },
}

/// What is authenticated with a secret: where it belongs.
fn context(table: Table, key: &[u8]) -> Vec<u8> {
    let mut context = Vec::with_capacity(2 + key.len());
    context.push(FORM);
    context.push(table.number());
    context.extend_from_slice(key);
    context
}

/// The only form so far.
const FORM: u8 = 1;

const NONCE_BYTES: usize = 24;

const HEAD_BYTES: usize = 1 + 4 + NONCE_BYTES;

#[cfg(test)]
mod tests;
