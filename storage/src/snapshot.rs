//! All rows of a store as one stream: out for a backup, in for a restore.
//!
//! Stream, numbers big-endian: the 8 bytes `KEYLINE` and the form number, then a row each: table
//! u8, key length u32, payload length u32, revision u64, schema u8, key, payload; then a zero byte,
//! the number of rows u64, the store's revision u64, and a CRC-32 over everything ahead of it. Sealed secrets
//! stay sealed; the node key is not part of it.

use std::io::{self, Read, Write};

use crate::batch::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::error::StoreError;
use crate::record::{Record, Revision};
use crate::store::Store;
use crate::table::Table;

/// What a stream held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Rows of all tables.
    pub rows: u64,
    /// Revision of the store at the moment of the copy.
    pub revision: Revision,
}

/// Writes every row of `store`, as of one moment. Not buffered: give a buffered writer, and flush
/// or sync it afterwards.
///
/// # Errors
/// [`StoreError::Damaged`] at a damaged row, [`StoreError::Backend`] if reading or writing fails.
pub fn write(store: &dyn Store, out: &mut dyn Write) -> Result<Summary, StoreError> {
    let mut out = Summed { inner: out, sum: crc32fast::Hasher::new() };
    out.put(&magic())?;
    let mut rows = 0;
    let revision = store.export(&mut |table, key, row| {
        rows += 1;
        let mut head = Vec::with_capacity(ROW_HEAD_BYTES);
        head.push(table.number());
        head.extend_from_slice(&length(key)?.to_be_bytes());
        head.extend_from_slice(&length(&row.payload)?.to_be_bytes());
        head.extend_from_slice(&row.revision.0.to_be_bytes());
        head.push(row.schema);
        out.put(&head)?;
        out.put(key)?;
        out.put(&row.payload)
    })?;
    out.put(&[END])?;
    out.put(&u64::to_be_bytes(rows))?;
    out.put(&revision.0.to_be_bytes())?;
    let sum = out.sum.clone().finalize();
    out.put(&sum.to_be_bytes())?;
    Ok(Summary { rows, revision })
}

/// Checks a whole stream without a store: read it once with this, and only then into a store.
///
/// # Errors
/// [`StoreError::Snapshot`] if it is cut off, damaged or not ours; [`StoreError::Backend`] if
/// reading fails.
pub fn check(input: &mut dyn Read) -> Result<Summary, StoreError> {
    let mut rows = Rows::open(input)?;
    rows.by_ref().try_for_each(|row| row.map(|_| ()))?;
    rows.summary.ok_or(CUT)
}

/// Fills an empty store from a stream that [`check`] found whole.
///
/// # Errors
/// [`StoreError::NotEmpty`]; else as [`check`], and then the store is not usable.
pub fn read(store: &dyn Store, summary: Summary, input: &mut dyn Read) -> Result<Summary, StoreError> {
    let mut rows = Rows::open(input)?;
    store.import(summary.revision, &mut rows)?;
    match rows.summary {
        Some(found) if found == summary => Ok(found),
        Some(_) => Err(StoreError::Snapshot { reason: "it changed since it was checked" }),
        None => Err(CUT),
    }
}

struct Summed<'a> {
    inner: &'a mut dyn Write,
    sum: crc32fast::Hasher,
}

impl Summed<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.sum.update(bytes);
        self.inner.write_all(bytes).map_err(|error| StoreError::backend("write the snapshot", error))
    }
}

/// Rows of a stream; at its end the checked summary.
struct Rows<'a> {
    input: &'a mut dyn Read,
    sum: crc32fast::Hasher,
    rows: u64,
    summary: Option<Summary>,
    done: bool,
}

impl<'a> Rows<'a> {
    fn open(input: &'a mut dyn Read) -> Result<Self, StoreError> {
        let mut rows = Self { input, sum: crc32fast::Hasher::new(), rows: 0, summary: None, done: false };
        let found = rows.array::<MAGIC_BYTES>()?;
        if found[..MAGIC_BYTES - 1] != magic()[..MAGIC_BYTES - 1] {
            return Err(StoreError::Snapshot { reason: "it does not begin like one" });
        }
        if found != magic() {
            return Err(StoreError::Snapshot { reason: "another version of this program wrote it" });
        }
        Ok(rows)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => CUT,
            _ => StoreError::backend("read the snapshot", error),
        })?;
        self.sum.update(bytes);
        Ok(())
    }

    fn bytes(&mut self, length: u32, limit: usize) -> Result<Vec<u8>, StoreError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limit {
            return Err(StoreError::Snapshot { reason: "a length in it is beyond the limit" });
        }
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn row(&mut self) -> Result<Option<(Table, Vec<u8>, Record)>, StoreError> {
        let [number] = self.array()?;
        if number == END {
            return self.end().map(|()| None);
        }
        let table = Table::from_number(number)
            .ok_or(StoreError::Snapshot { reason: "it holds a table that this version does not know" })?;
        let key_length = u32::from_be_bytes(self.array()?);
        let payload_length = u32::from_be_bytes(self.array()?);
        let revision = Revision(u64::from_be_bytes(self.array()?));
        let [schema] = self.array()?;
        let key = self.bytes(key_length, KEY_BYTES_MAX)?;
        let payload = self.bytes(payload_length, VALUE_BYTES_MAX)?;
        self.rows += 1;
        Ok(Some((table, key, Record { schema, revision, payload })))
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let rows = u64::from_be_bytes(self.array()?);
        let revision = Revision(u64::from_be_bytes(self.array()?));
        let expected = self.sum.clone().finalize();
        if u32::from_be_bytes(self.array()?) != expected {
            return Err(StoreError::Snapshot { reason: "its checksum does not fit" });
        }
        if rows != self.rows {
            return Err(StoreError::Snapshot { reason: "rows are missing" });
        }
        self.summary = Some(Summary { rows, revision });
        Ok(())
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<(Table, Vec<u8>, Record), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let row = self.row().transpose();
        self.done = !matches!(row, Some(Ok(_)));
        row
    }
}

fn length(bytes: &[u8]) -> Result<u32, StoreError> {
    u32::try_from(bytes.len()).map_err(|_| StoreError::Snapshot { reason: "a row is too long" })
}

const fn magic() -> [u8; MAGIC_BYTES] {
    *b"KEYLINE\x01"
}

const MAGIC_BYTES: usize = 8;

/// In place of a table's number: no more rows.
const END: u8 = 0;

const ROW_HEAD_BYTES: usize = 1 + 4 + 4 + 8 + 1;

const CUT: StoreError = StoreError::Snapshot { reason: "it is cut off" };
