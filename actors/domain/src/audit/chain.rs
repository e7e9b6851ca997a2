//! The chain: each entry's hash covers its bytes and the hash before it, and a head under a key says where the
//! chain begins and ends.
//!
//! Without the head a chain could be cut at its end, or written anew from any place on, and would still fit
//! together. The key is derived from the node key, which is in no backup. Whoever has both the store and the
//! node key, or puts back an older copy of the whole store, is not found by this: keep [`Mark`]s elsewhere.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// Bytes of the head's key.
pub const KEY_BYTES: usize = 32;

/// A hash of the chain (SHA-256).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// What stands before the first entry.
    pub const NONE: Self = Self([0; HASH_BYTES]);

    /// From 64 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let mut out = [0; HASH_BYTES];
        if hex.len() != 2 * HASH_BYTES || !hex.is_ascii() {
            return None;
        }
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
        }
        Some(Self(out))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Hash of an entry behind the hash `previous`.
pub fn link(previous: &Hash, entry: &[u8]) -> Hash {
    let sum = Sha256::new()
        .chain_update(b"keyline audit entry\0")
        .chain_update(previous.0)
        .chain_update((entry.len() as u64).to_be_bytes())
        .chain_update(entry);
    Hash(sum.finalize().into())
}

/// A place in the chain: the entry of this number has this hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Number of the entry; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Mark {
    /// Before the first entry.
    pub const ORIGIN: Self = Self { seq: 0, hash: Hash::NONE };
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl std::str::FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (seq, hash) = text.split_once(':').ok_or(())?;
        Ok(Self { seq: seq.parse().map_err(|_| ())?, hash: Hash::parse(hash).ok_or(())? })
    }
}

/// Where the kept chain begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last entry that was taken away: the checkpoint that the first kept one follows.
    pub base: Mark,
    /// The last entry.
    pub tip: Mark,
}

/// Why a head says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// It has another form.
    #[error("it has not the form of this version")]
    Form,
    /// It was not written under the key.
    #[error("it was changed, or written under another node key")]
    Forged,
}

const FORM: u8 = 1;
const MAC_BYTES: usize = 32;
const BODY_BYTES: usize = 1 + 2 * (8 + HASH_BYTES);

impl Head {
    /// Of an audit without entries.
    pub const EMPTY: Self = Self { base: Mark::ORIGIN, tip: Mark::ORIGIN };

    /// As it is stored, under a key.
    pub fn seal(&self, key: &[u8; KEY_BYTES]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BODY_BYTES + MAC_BYTES);
        bytes.push(FORM);
        for mark in [self.base, self.tip] {
            bytes.extend_from_slice(&mark.seq.to_be_bytes());
            bytes.extend_from_slice(&mark.hash.0);
        }
        let mac = mac(key, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        bytes
    }

    /// Reads a stored head.
    ///
    /// # Errors
    /// [`HeadFault`].
    pub fn open(bytes: &[u8], key: &[u8; KEY_BYTES]) -> Result<Self, HeadFault> {
        if bytes.len() != BODY_BYTES + MAC_BYTES || bytes.first() != Some(&FORM) {
            return Err(HeadFault::Form);
        }
        let (body, tag) = bytes.split_at(BODY_BYTES);
        mac(key, body).verify_slice(tag).map_err(|_| HeadFault::Forged)?;
        let mark = |from: usize| -> Option<Mark> {
            let (seq, rest) = body.get(from..)?.split_first_chunk::<8>()?;
            let hash = rest.first_chunk::<HASH_BYTES>()?;
            Some(Mark { seq: u64::from_be_bytes(*seq), hash: Hash(*hash) })
        };
        match (mark(1), mark(1 + 8 + HASH_BYTES)) {
            (Some(base), Some(tip)) if base.seq <= tip.seq => Ok(Self { base, tip }),
            _ => Err(HeadFault::Form),
        }
    }
}

fn mac(key: &[u8; KEY_BYTES], body: &[u8]) -> Hmac<Sha256> {
    // RFC 2104: a key shorter than the block is filled up with zeros.
    let mut block = [0; 64];
    block[..KEY_BYTES].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    mac.update(b"keyline audit head\0");
    mac.update(body);
    mac
}
