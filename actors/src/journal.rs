//! Rows on their way to storage and back: one submission per row, outcomes handed to the shard that asked.

use std::sync::Arc;

use keyline_domain::ids::DeviceName;
use keyline_storage::{Commit, CommitSink, Guard, Outcome, Revision, SubmitError, Table, Writer};

use crate::route::CallKey;

/// Schema of [`Table::Phones`] rows: the phone codec's own first byte rules, this one only names the form.
pub const PHONE_SCHEMA: u8 = 1;

/// Schema of [`Table::Calls`] rows: JSON of a dialog row.
pub const CALL_SCHEMA: u8 = 1;

/// Token of a commit that nobody waits for.
pub const NOT_AWAITED: u64 = u64::MAX;

/// One shard's way to the writer.
#[derive(Clone)]
pub struct Journal {
    writer: Writer,
    sink: Arc<dyn CommitSink>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}

/// The writer's queue is full or closed; nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

impl Journal {
    /// A journal whose outcomes go to `sink`.
    pub fn new(writer: Writer, sink: Arc<dyn CommitSink>) -> Self {
        Self { writer, sink }
    }

    /// Writes a phone row, guarded by the revision that the shard read (0: there was none).
    pub fn put_phone(
        &self,
        name: &DeviceName,
        revision: u64,
        row: Vec<u8>,
        token: u64,
    ) -> Result<(), Refused> {
        let key = name.as_str().as_bytes().to_vec();
        let guard = match revision {
            0 => Guard::Absent(Table::Phones, key.clone()),
            r => Guard::RevisionEquals(Table::Phones, key.clone(), Revision(r)),
        };
        let commit = Commit::build().guard(guard).put(Table::Phones, key, PHONE_SCHEMA, row).finish();
        self.submit(commit.map_err(|_| Refused)?, token)
    }

    /// Keeps the dialog row of an answered call; not awaited.
    pub fn put_call(&self, call: CallKey, row: Vec<u8>) -> Result<(), Refused> {
        let commit = Commit::build().put(Table::Calls, call_key(call), CALL_SCHEMA, row).finish();
        self.submit(commit.map_err(|_| Refused)?, NOT_AWAITED)
    }

    /// Keeps the row of a call that took over a leg of another, whose row goes: one commit, so that a crash
    /// leaves the old calls or the new one. Not awaited.
    pub fn put_call_over(&self, call: CallKey, row: Vec<u8>, over: CallKey) -> Result<(), Refused> {
        let commit = Commit::build().put(Table::Calls, call_key(call), CALL_SCHEMA, row);
        let commit = commit.delete(Table::Calls, call_key(over)).finish();
        self.submit(commit.map_err(|_| Refused)?, NOT_AWAITED)
    }

    /// Forgets the row of an ended call; not awaited.
    pub fn delete_call(&self, call: CallKey) -> Result<(), Refused> {
        let commit = Commit::build().delete(Table::Calls, call_key(call)).finish();
        self.submit(commit.map_err(|_| Refused)?, NOT_AWAITED)
    }

    fn submit(&self, commit: Commit, token: u64) -> Result<(), Refused> {
        match self.writer.try_submit(commit, token, &self.sink) {
            Ok(()) => Ok(()),
            Err(SubmitError::Full(_) | SubmitError::Closed(_)) => Err(Refused),
        }
    }
}

/// Storage key of a call: partition first, so that a partition's calls lie together.
pub fn call_key(call: CallKey) -> Vec<u8> {
    call.pack().to_be_bytes().to_vec()
}

/// Outcomes of one write, as a shard gets them.
pub type Outcomes = Vec<(u64, Outcome)>;
