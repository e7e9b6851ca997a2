//! A row at rest, and helpers for what is inside it.
//!
//! Stored form, numbers big-endian: `revision` u64, `schema` u8, CRC-32 u32, payload. The checksum
//! covers the table's number, the key, the revision, the schema and the payload, so a row that was
//! cut, changed, or put under another key does not pass.

use std::fmt;

use smallvec::SmallVec;

use crate::error::StoreError;
pub use crate::revision::Revision;
use crate::table::Table;

mod codec;

pub use codec::{DecodeError, Decoder, Encoder, Row};

/// A row as read.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Version of the payload's encoding, as given with the put.
    pub schema: u8,
    /// The commit that wrote the row.
    pub revision: Revision,
    /// The owner's bytes.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The payload may hold what nobody should read in a log.
        write!(f, "Record(schema {} revision {} {} bytes)", self.schema, self.revision, self.payload.len())
    }
}

/// A row as it lies in the store.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// Version of the payload's encoding.
    pub schema: u8,
    /// The commit that wrote the row.
    pub revision: Revision,
    /// The owner's bytes.
    pub payload: &'a [u8],
}

/// Bytes ahead of the payload in the stored form.
pub const HEADER_BYTES: usize = 8 + 1 + 4;

/// The stored form of a row.
pub(crate) fn to_stored(table: Table, key: &[u8], revision: Revision, schema: u8, payload: &[u8]) -> Vec<u8> {
    let mut stored = Vec::new();
    write_stored(&mut stored, table, key, revision, schema, payload);
    stored
}

/// Writes the stored form of a row into an empty buffer.
pub(crate) fn write_stored(
    out: &mut Vec<u8>,
    table: Table,
    key: &[u8],
    revision: Revision,
    schema: u8,
    payload: &[u8],
) {
    out.reserve(HEADER_BYTES + payload.len());
    out.extend_from_slice(&revision.0.to_be_bytes());
    out.push(schema);
    out.extend_from_slice(&checksum(table, key, out, payload).to_be_bytes());
    out.extend_from_slice(payload);
}

/// Reads the stored form back.
///
/// # Errors
/// [`StoreError::Damaged`] if it is too short or does not fit its checksum.
pub(crate) fn from_stored(table: Table, key: &[u8], stored: &[u8]) -> Result<Record, StoreError> {
    let Seen { schema, revision, payload } = seen(table, key, stored)?;
    Ok(Record { schema, revision, payload: payload.to_vec() })
}

/// The same in place.
///
/// # Errors
/// The same.
pub(crate) fn seen<'a>(table: Table, key: &[u8], stored: &'a [u8]) -> Result<Seen<'a>, StoreError> {
    let damaged = |reason| StoreError::Damaged { table, key: key.to_vec(), reason };
    let (head, rest) = stored.split_at_checked(9).ok_or_else(|| damaged("cut short"))?;
    let (sum, payload) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("cut short"))?;
    if checksum(table, key, head, payload) != u32::from_be_bytes(*sum) {
        return Err(damaged("the checksum does not fit"));
    }
    let (revision, schema) = head.split_first_chunk::<8>().ok_or_else(|| damaged("cut short"))?;
    Ok(Seen {
        schema: schema.first().copied().ok_or_else(|| damaged("cut short"))?,
        revision: Revision(u64::from_be_bytes(*revision)),
        payload,
    })
}

fn checksum(table: Table, key: &[u8], head: &[u8], payload: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    // In one piece: of many small ones each costs as much as all.
    let mut front: SmallVec<[u8; 64]> = SmallVec::from_slice(&[table.number()]);
    // With its length, so that bytes cannot move between key and payload.
    front.extend_from_slice(&(key.len() as u64).to_be_bytes());
    front.extend_from_slice(key);
    front.extend_from_slice(head);
    sum.update(&front);
    sum.update(payload);
    sum.finalize()
}

#[cfg(test)]
mod tests;
