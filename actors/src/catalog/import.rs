//! Import: all or nothing (design §5).
//!
//! Check the whole file; commit an intent row with its hash beside a synced, sealed copy under DATA/import;
//! apply in batches; take the intent away. A start that finds an intent rolls it forward before `ready`.

use std::path::{Path, PathBuf};

use keyline_domain::audit::{Draft, Happened, Who};
use keyline_domain::impact::Chains;
use keyline_domain::inventory::{
    Apply, CertificateRow, Change, Event, Report, Row, WarningCode, in_order, parse_row,
};
use keyline_domain::phone::{self, Row as PhoneRow};
use keyline_storage::{Commit, CommitBuilder, Consistency, Outcome, Store, StoreError, Table, faults};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::crl::RevokedBy;
use super::intent::{Intent, imported};
use super::{Catalog, SCHEMA, VERSION_PREFIX, copy};
use crate::journal::PHONE_SCHEMA;

/// Largest file, in bytes: about five million rows.
pub const FILE_MAX: usize = 1 << 30;

/// Operations of one commit; the storage contract allows 100.
const BATCH: usize = 96;
/// Commits handed to the store at a time.
const GROUP: usize = 64;

const INTENT: &[u8] = b"import";

/// Reads the facts of a PEM certificate; the engine's part.
pub trait Inspect {
    /// Facts of the first certificate, or why there is none.
    fn inspect(&self, pem: &str) -> Result<keyline_domain::inventory::CertificateFacts, String>;

    /// Judges certificates that phones showed by other trust stores and revocation lists, as a handshake would.
    /// Without a TLS verifier they stay what they were.
    fn chains<'a>(&'a self, _trusted: &[CertificateRow], _revoked: RevokedBy<'_>) -> Chains<'a> {
        super::impact::as_shown()
    }
}

/// Writes commits and waits: the store itself, or the running node's writer.
pub trait Committer {
    /// Outcomes in order.
    fn commit_all(&self, commits: &[Commit]) -> Vec<Outcome>;
}

impl<T: Store + ?Sized> Committer for &T {
    fn commit_all(&self, commits: &[Commit]) -> Vec<Outcome> {
        Store::commit_all(*self, commits)
    }
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportDone {
    /// Rows in the file.
    pub rows: usize,
    /// Records written.
    pub written: usize,
    /// Code, text, how often, and the first row (from 1) of each kind of warning.
    pub warnings: Vec<(&'static str, &'static str, usize, usize)>,
}

/// A bad row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// Line of the file, from 1.
    pub row: usize,
    /// Stable code.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Rows are wrong; nothing was changed.
    #[error("{} rows are wrong; nothing was imported", .faults.len() + .more)]
    Rows {
        /// The first of them, in order.
        faults: Vec<RowFault>,
        /// How many more there are.
        more: usize,
    },
    /// The file is too large.
    #[error("the file has {size} bytes; at most {limit} are taken: split it")]
    TooLarge {
        /// Bytes.
        size: usize,
        /// Limit.
        limit: usize,
    },
    /// The file is not text.
    #[error("line {0} is not UTF-8")]
    NotText(usize),
    /// Storage failed; what was begun is finished at the next start.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The copy under DATA/import could not be written or read.
    #[error("{path}: {source}", path = .path.display())]
    Copy {
        /// File.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The sealed copy does not open or is not the one that was announced.
    #[error("{path}: {reason}", path = .path.display())]
    CopyDamaged {
        /// File.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl ImportError {
    /// Stable code, as in the audit.
    fn code(&self) -> &'static str {
        match self {
            Self::Rows { .. } => "import_refused",
            Self::TooLarge { .. } => "file_too_large",
            Self::NotText(_) => "file_not_text",
            Self::Store(_) | Self::Copy { .. } | Self::CopyDamaged { .. } => "storage_failed",
            Self::Internal(_) => "internal",
        }
    }

    /// Line and code of the first bad row. Never its reason, which may quote it.
    fn first(&self) -> Value {
        match self {
            Self::Rows { faults, more } => {
                let first = faults.first().map(|f| json!({ "line": f.row, "code": f.code }));
                json!({ "wrong_rows": faults.len() + more, "row": first })
            }
            Self::NotText(line) => json!({ "line": line }),
            _ => Value::Null,
        }
    }
}

struct Parsed {
    rows: Vec<Row>,
    /// Line of each row.
    lines: Vec<usize>,
}

fn parse(text: &[u8], inspect: &dyn Inspect) -> Result<Parsed, ImportError> {
    if text.len() > FILE_MAX {
        return Err(ImportError::TooLarge { size: text.len(), limit: FILE_MAX });
    }
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    let (mut faults, mut more) = (Vec::new(), 0usize);
    for (at, line) in text.split(|b| *b == b'\n').enumerate() {
        let number = at + 1;
        let line = std::str::from_utf8(line).map_err(|_| ImportError::NotText(number))?.trim();
        if line.is_empty() {
            continue;
        }
        let row = parse_row(line).map_err(|e| (e.code(), e.to_string())).and_then(|row| match row {
            Row::Certificate(mut c) => {
                c.facts = Some(inspect.inspect(&c.pem).map_err(|e| ("certificate_unreadable", e))?);
                Ok(Row::Certificate(c))
            }
            row => Ok(row),
        });
        match row {
            Ok(row) => {
                rows.push(row);
                lines.push(number);
            }
            Err((code, reason)) if faults.len() < keyline_domain::inventory::ERRORS_MAX => {
                faults.push(RowFault { row: number, code, reason });
            }
            Err(_) => more += 1,
        }
    }
    if faults.is_empty() { Ok(Parsed { rows, lines }) } else { Err(ImportError::Rows { faults, more }) }
}

impl Catalog {
    /// Imports a file. `offline` when no node runs: a changed profile then applies at once. One entry of the
    /// audit tells of the whole file, also where it is refused.
    ///
    /// Returns what to publish, in order.
    ///
    /// # Errors
    /// [`ImportError`]; with `Rows`, `TooLarge` and `NotText` nothing was changed.
    #[allow(
        clippy::too_many_arguments,
        reason = "each is another part of the world, and there are two callers"
    )]
    pub fn import(
        &mut self,
        text: &[u8],
        offline: bool,
        who: &Who,
        data: &Path,
        store: &dyn Store,
        committer: &dyn Committer,
        inspect: &dyn Inspect,
    ) -> Result<(ImportDone, Vec<Event>), ImportError> {
        let hash = hex(&Sha256::digest(text));
        let judged = parse(text, inspect).and_then(|parsed| {
            let report = self.inventory.check(&parsed.rows, true);
            refuse(&report, &parsed.lines)?;
            Ok((parsed, report))
        });
        let (Parsed { rows, lines }, report) = match judged {
            Ok(judged) => judged,
            Err(error) => {
                let refused = Happened::refused(error.code());
                let what = json!({ "bytes": text.len(), "first": error.first() });
                let draft = Draft::new(who, "import", "inventory", &hash, refused).with(None, Some(&what));
                self.note(draft, committer).map_err(|e| ImportError::Internal(e.to_string()))?;
                return Err(error);
            }
        };
        let mut done = ImportDone { rows: rows.len(), ..ImportDone::default() };
        for w in &report.warnings {
            let line = lines.get(w.first_row).copied().unwrap_or_default();
            done.warnings.push((w.code.as_str(), WarningCode::text(w.code), w.rows, line));
        }
        let count = rows.len();
        self.announce(text, &Intent { offline, hash: hash.clone(), who: who.clone() }, data, committer)?;
        let (written, events) = self.apply(rows, offline, store, committer)?;
        done.written = written;
        self.conclude(&hash, imported(who, &hash, count, written), data, committer)?;
        Ok((done, events))
    }

    /// Finishes an import that a crash cut off. True when there was one.
    pub(crate) fn roll_forward(
        &mut self,
        data: &Path,
        store: &dyn Store,
        inspect: &dyn Inspect,
        committer: &dyn Committer,
    ) -> Result<bool, ImportError> {
        let Some(intent) = store.get(Table::Intents, INTENT, Consistency::Linearizable)? else {
            // Copies without an intent were never announced.
            copy::remove_all(data);
            return Ok(false);
        };
        let Intent { offline, hash: announced, who } = Intent::read(&intent.payload);
        let text = copy::read(data, &announced, &self.sealer.0)?;
        let hash = hex(&Sha256::digest(&text));
        if hash != announced {
            return Err(ImportError::Internal(
                "the copy of an import is not the one that was announced".to_owned(),
            ));
        }
        let Parsed { rows, .. } = parse(&text, inspect)?;
        tracing::warn!(rows = rows.len(), "an import was cut off; finishing it");
        let count = rows.len();
        let (written, _) = self.apply(rows, offline, store, committer)?;
        self.conclude(&hash, imported(&who, &hash, count, written), data, committer)?;
        Ok(true)
    }

    /// Synced, sealed copy first, then the intent row: an intent always has its file.
    fn announce(
        &self,
        text: &[u8],
        intent: &Intent,
        data: &Path,
        committer: &dyn Committer,
    ) -> Result<(), ImportError> {
        faults::hit("import.before_copy");
        copy::write(data, &intent.hash, &self.sealer.0, text)?;
        faults::hit("import.after_copy");
        commit(committer, Commit::build().put(Table::Intents, INTENT.to_vec(), SCHEMA, intent.write()))?;
        faults::hit("import.announced");
        Ok(())
    }

    /// The intent goes in the commit that brings the entry of the audit.
    fn conclude(
        &mut self,
        hash: &str,
        draft: Draft,
        data: &Path,
        committer: &dyn Committer,
    ) -> Result<(), ImportError> {
        faults::hit("import.applied");
        let (end, pending) = self.audited(Commit::build().delete(Table::Intents, INTENT.to_vec()), draft);
        commit(committer, end)?;
        self.audit_settled(pending);
        faults::hit("import.concluded");
        copy::remove(data, hash);
        Ok(())
    }

    fn apply(
        &mut self,
        rows: Vec<Row>,
        offline: bool,
        store: &dyn Store,
        committer: &dyn Committer,
    ) -> Result<(usize, Vec<Event>), ImportError> {
        let mut batches = Batches::new(committer);
        let mut events = Vec::new();
        let sealer = self.sealer.clone();
        for row in in_order(rows) {
            let how = Apply { sealer: &sealer, offline };
            let changes = self.inventory.apply(row, how).map_err(|e| ImportError::Internal(e.to_string()))?;
            for change in changes {
                match change {
                    Change::Put { kind, key, value } => {
                        batches.put(Table::Config, format!("{}/{key}", kind.as_str()), value)?;
                    }
                    Change::Delete { kind, key } => {
                        batches.delete(Table::Config, format!("{}/{key}", kind.as_str()))?;
                    }
                    Change::Publish(event) => {
                        if let Event::ProfileSaved { id, version, .. } = &event
                            && let Some(profile) = self.inventory.profile(*id)
                        {
                            let bytes = serde_json::to_vec(&profile.settings)
                                .map_err(|e| ImportError::Internal(e.to_string()))?;
                            batches.put(
                                Table::Config,
                                format!("{VERSION_PREFIX}{}/{}", id.0, version.0),
                                bytes,
                            )?;
                            self.versions
                                .insert((*id, *version), std::sync::Arc::new(profile.settings.clone()));
                        }
                        events.push(event);
                    }
                }
            }
        }
        if offline {
            self.apply_at_once(&events, store, &mut batches)?;
        }
        let written = batches.finish()?;
        self.follow(&events);
        Ok((written, events))
    }

    /// As [`Self::apply_at_once`], in commits of its own: a crash between leaves phones that wait for an apply.
    pub(super) fn apply_offline(
        &self,
        events: &[Event],
        store: &dyn Store,
        committer: &dyn Committer,
    ) -> Result<(), ImportError> {
        let mut batches = Batches::new(committer);
        self.apply_at_once(events, store, &mut batches)?;
        batches.finish().map(|_| ())
    }

    /// No node runs: phones that have a row are judged by the saved version at once.
    fn apply_at_once(
        &self,
        events: &[Event],
        store: &dyn Store,
        batches: &mut Batches<'_>,
    ) -> Result<(), ImportError> {
        let phones_exist = !store
            .scan(Table::Phones, b"", keyline_storage::Page { after: None, limit: 1 }, None)?
            .rows
            .is_empty();
        if !phones_exist {
            return Ok(());
        }
        let names = events.iter().flat_map(|e| match e {
            Event::AppliesAtOnce { devices } => devices.as_slice(),
            _ => &[],
        });
        for name in names {
            let key = name.as_str().as_bytes();
            let Some(record) = store.get(Table::Phones, key, Consistency::Linearizable)? else { continue };
            let row = PhoneRow::decode(&record.payload).map_err(|e| ImportError::Internal(e.to_string()))?;
            let Some(view) = self.inventory.device(name) else { continue };
            let Some(applied) = self.saved_version(view.profile) else { continue };
            let step = phone::apply(&row, applied, keyline_domain::ids::UnixMillis(0), 0);
            if let Some(new) = step.row {
                batches.put_schema(Table::Phones, name.as_str().to_owned(), PHONE_SCHEMA, new.encode())?;
            }
        }
        Ok(())
    }
}

fn refuse(report: &Report, lines: &[usize]) -> Result<(), ImportError> {
    if report.is_ok() {
        return Ok(());
    }
    let faults = report
        .errors
        .iter()
        .map(|(at, e)| RowFault {
            row: lines.get(*at).copied().unwrap_or_default(),
            code: e.code(),
            reason: e.to_string(),
        })
        .collect();
    Err(ImportError::Rows { faults, more: report.more_errors })
}

/// Collects operations into commits and commits into groups.
struct Batches<'a> {
    committer: &'a dyn Committer,
    open: CommitBuilder,
    ready: Vec<Commit>,
    written: usize,
}

impl<'a> Batches<'a> {
    fn new(committer: &'a dyn Committer) -> Self {
        Self { committer, open: Commit::build(), ready: Vec::new(), written: 0 }
    }

    fn put(&mut self, table: Table, key: String, value: Vec<u8>) -> Result<(), ImportError> {
        self.put_schema(table, key, SCHEMA, value)
    }

    fn put_schema(
        &mut self,
        table: Table,
        key: String,
        schema: u8,
        value: Vec<u8>,
    ) -> Result<(), ImportError> {
        self.open =
            std::mem::replace(&mut self.open, Commit::build()).put(table, key.into_bytes(), schema, value);
        self.step()
    }

    fn delete(&mut self, table: Table, key: String) -> Result<(), ImportError> {
        self.open = std::mem::replace(&mut self.open, Commit::build()).delete(table, key.into_bytes());
        self.step()
    }

    fn step(&mut self) -> Result<(), ImportError> {
        self.written += 1;
        if self.open.operations() >= BATCH {
            self.close()?;
        }
        if self.ready.len() >= GROUP {
            self.write()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), ImportError> {
        if self.open.operations() > 0 {
            let commit = std::mem::replace(&mut self.open, Commit::build()).finish();
            self.ready.push(commit.map_err(|e| ImportError::Internal(e.to_string()))?);
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), ImportError> {
        faults::hit("import.batch");
        for outcome in self.committer.commit_all(&self.ready) {
            settle(outcome)?;
        }
        self.ready.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<usize, ImportError> {
        self.close()?;
        self.write()?;
        Ok(self.written)
    }
}

fn commit(committer: &dyn Committer, builder: CommitBuilder) -> Result<(), ImportError> {
    let commit = builder.finish().map_err(|e| ImportError::Internal(e.to_string()))?;
    committer.commit_all(std::slice::from_ref(&commit)).into_iter().try_for_each(settle)
}

fn settle(outcome: Outcome) -> Result<(), ImportError> {
    match outcome {
        Outcome::Committed(_) => Ok(()),
        Outcome::Unknown(e) => Err(e.into()),
        Outcome::Conflict(_) => Err(ImportError::Internal("a row was changed by another writer".to_owned())),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
