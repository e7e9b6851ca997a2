//! One change of the configuration: judged in memory, committed as a whole, then published.
//!
//! The same function serves the administrator of a running node, the command line over a closed store, and
//! whoever only asks what a change would do: that one ends before the commit and goes back.

use keyline_domain::audit::{Draft, Happened, Who};
use keyline_domain::identity::SeenKind;
use keyline_domain::ids::{DeviceName, UnixMillis};
use keyline_domain::impact::{Impact, Live, Scope};
use keyline_domain::inventory::{Change, Event, Kind, Mutate, RowError, Step, Undo, Warning};
use keyline_storage::{Commit, CommitBuilder, Outcome, Store, Table, faults};
use serde_json::{Value, json};

use super::idempotency::{Noted, Repeatable};
use super::import::{Committer, Inspect};
use super::{Catalog, SCHEMA, VERSION_PREFIX, adopted, seen};
use crate::clock::now;

/// Most steps of one change.
pub const STEPS_MAX: usize = 32;

/// Most records of one change: what a store commits at once.
pub const RECORDS_MAX: usize = keyline_storage::batch::OPERATIONS_MAX;

/// The audit's head, and an entry that tells of a break in it.
const AUDIT_ROOM: usize = 2;

/// The answer to a repeatable request, and older ones that go with it.
const ANSWER_ROOM: usize = 1 + super::idempotency::PRUNED_AT_ONCE;

/// The note of a phone that was let in.
const NEWCOMER_ROOM: usize = 1;

/// A change that is asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChangeRequest {
    /// What to do, in order; all of it or nothing.
    pub steps: Vec<Step>,
    /// Say what would happen, and do nothing.
    pub dry_run: bool,
    /// The object of the first step must have this ETag.
    pub expect: Option<Box<str>>,
    /// The administrator insists (R214).
    pub forced: bool,
    /// Who asks.
    pub who: Who,
    /// The request may come again, and is then answered as before.
    pub repeatable: Option<Repeatable>,
    /// Most phones that auto-registration may have made; none: any number.
    pub adopted_max: Option<usize>,
}

/// A remark on a change that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Stable code.
    pub code: &'static str,
    /// What it means and what to do.
    pub text: &'static str,
    /// The object that it is about.
    pub name: String,
}

/// What a change did, or would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Kind of the first step's object.
    pub kind: Kind,
    /// Its name afterwards.
    pub name: String,
    /// Its row before, without secrets; `None` when it was not there.
    pub before: Option<Value>,
    /// Its row afterwards; `None` when it is gone.
    pub after: Option<Value>,
    /// Its ETag afterwards.
    pub etag: Option<String>,
    /// What is worth knowing.
    pub warnings: Vec<Remark>,
    /// What it would do to phones and calls, where somebody only asked.
    pub impact: Option<Box<Impact>>,
}

impl Changed {
    /// As JSON: `kind`, `name`, `before`, `after`, `etag`, `warnings` and, after a dry run, `impact`; never a secret.
    pub fn document(&self) -> Value {
        let warning = |w: &Remark| json!({ "code": w.code, "text": w.text, "name": w.name });
        json!({
            "kind": self.kind.as_str(),
            "name": self.name,
            "before": self.before,
            "after": self.after,
            "etag": self.etag,
            "warnings": self.warnings.iter().map(warning).collect::<Vec<_>>(),
            "impact": self.impact,
        })
    }
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// A rule is broken.
    #[error("{error}")]
    Refused {
        /// Which step, from 0.
        step: usize,
        /// The rule.
        error: RowError,
    },
    /// Somebody else changed the object meanwhile.
    #[error("{kind} {name:?} was changed meanwhile: its ETag is {now}; read it again")]
    Expected {
        /// Kind.
        kind: Kind,
        /// Name.
        name: String,
        /// Its ETag now, `none` when it is not there.
        now: String,
    },
    /// No step, or more than [`STEPS_MAX`].
    #[error("a change has 1 to {STEPS_MAX} steps, this one has {0}")]
    Steps(usize),
    /// More than [`RECORDS_MAX`] records.
    #[error("the change writes {0} records; at most {RECORDS_MAX} can be written at once: do it in parts")]
    TooLarge(usize),
    /// The same request was done already under its key; this is what it answered ([`Changed::document`]).
    #[error("the request was done already")]
    Done(Box<Value>),
    /// Another request had this key.
    #[error("another request was sent with this Idempotency-Key; take a new one")]
    KeyReused,
    /// The store did not take it.
    #[error("the store did not take it: {0}")]
    Store(String),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

/// What a change works with.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// Writes commits.
    pub committer: &'a dyn Committer,
    /// Reads certificates.
    pub inspect: &'a dyn Inspect,
    /// A certificate of this phone is known (R214).
    pub has_certificate: &'a dyn Fn(&DeviceName) -> bool,
    /// Phones and calls as they are now.
    pub live: &'a dyn Live,
    /// Now.
    pub now: UnixMillis,
    /// The closed store that it is done in; `None` when a node runs.
    pub offline: Option<&'a dyn Store>,
}

impl ChangeError {
    /// Stable code, that of the problem which tells of it: of the rule that is broken, or of what stands in the way.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { error: RowError::NotFound { kind, .. }, .. } => not_found(*kind),
            Self::Refused { error, .. } => error.code(),
            Self::Expected { .. } => "precondition_failed",
            Self::Steps(_) => "bad_request",
            Self::TooLarge(_) => "change_too_large",
            Self::Done(_) => "done_already",
            Self::KeyReused => "idempotency_key_reused",
            Self::Store(_) => "storage_failed",
            Self::Internal(_) => "internal",
        }
    }
}

fn not_found(kind: Kind) -> &'static str {
    match kind {
        Kind::Phone => "phone_not_found",
        Kind::SecurityProfile => "security_profile_not_found",
        Kind::EndUser | Kind::ApplicationUser => "user_not_found",
        Kind::Line => "line_not_found",
        Kind::Parameter => "parameter_not_found",
        Kind::PhoneModel => "phone_model_not_found",
        Kind::CommonPhoneProfile => "common_phone_profile_not_found",
        Kind::Certificate => "certificate_not_found",
        _ => "not_found",
    }
}

/// Done in memory, not yet anywhere else.
pub(super) struct Staged {
    changes: Vec<Change>,
    warnings: Vec<Remark>,
    pub(super) undo: Undo,
    /// An entry of the audit for each step.
    drafts: Vec<Draft>,
}

impl Catalog {
    /// Does all steps of a request in one commit with their entries of the audit, or nothing. Returns what to
    /// publish, in order. What is refused has an entry too, unless it was only asked what would be.
    ///
    /// # Errors
    /// [`ChangeError`]; memory is as before. After [`ChangeError::Store`] it is not known whether the commit was
    /// taken: read the configuration again.
    pub fn change(
        &mut self,
        request: &ChangeRequest,
        tools: Tools<'_>,
    ) -> Result<(Changed, Vec<Event>), ChangeError> {
        let result = self.change_unless_refused(request, tools);
        if let Err(error) = &result
            && !request.dry_run
            // What anybody on the network can ask for is counted and logged, not kept.
            && !request.steps.iter().any(|step| matches!(step, Step::Adopt(_)))
            && !matches!(error, ChangeError::Store(_) | ChangeError::Internal(_) | ChangeError::Done(_))
        {
            let at = if let ChangeError::Refused { step, .. } = error { *step } else { 0 };
            let (operation, (kind, name)) = match request.steps.get(at) {
                Some(step) => (step.as_str(), step.subject()),
                None => ("change", (Kind::Counter, None)),
            };
            let happened = Happened::refused(error.code());
            let name = name.unwrap_or_default();
            let draft = Draft::new(&request.who, operation, kind.as_str(), name, happened);
            self.note(draft, tools.committer).map_err(|e| ChangeError::Store(e.to_string()))?;
        }
        result
    }

    fn change_unless_refused(
        &mut self,
        request: &ChangeRequest,
        tools: Tools<'_>,
    ) -> Result<(Changed, Vec<Event>), ChangeError> {
        if request.dry_run {
            let mut asked = self.ask(request, tools)?;
            while !asked.is_done() {
                self.ask_on(request, tools, &mut asked)?;
            }
            return Ok((asked.answer(), Vec::new()));
        }
        let repeatable = request.repeatable.as_ref();
        if let Some(what) = repeatable {
            self.done_before(&request.who.name, what)?;
        }
        let (changed, _, Staged { changes, undo, drafts, .. }) = self.judged(request, tools)?;
        let noted = repeatable.map(|what| self.answer_to_keep(&request.who.name, what, &changed));
        let adopted = adopted::newcomer(request).map(|(_, name)| name.clone());
        match self.persist(changes, drafts, (noted, adopted), tools) {
            Ok(events) => {
                self.follow(&events);
                Ok((changed, events))
            }
            Err(error) => {
                self.inventory.revert(undo);
                Err(error)
            }
        }
    }

    /// Does all steps in memory, and says what that comes to and whom it touches.
    pub(super) fn judged(
        &mut self,
        request: &ChangeRequest,
        tools: Tools<'_>,
    ) -> Result<(Changed, Scope, Staged), ChangeError> {
        let Some(first) = request.steps.first().filter(|_| request.steps.len() <= STEPS_MAX) else {
            return Err(ChangeError::Steps(request.steps.len()));
        };
        let (kind, named) = first.subject();
        let named = named.map(str::to_owned);
        self.expected(request, kind, named.as_deref())?;
        self.room_for_newcomer(request)?;
        let before = named.as_deref().and_then(|name| self.row(kind, name));
        let mut staged = self.stage(request, tools)?;
        let name = match first {
            Step::Rename { to, .. } => to.clone(),
            _ => named.or_else(|| name_of_put(kind, &staged.changes)).unwrap_or_default(),
        };
        let mut warnings = std::mem::take(&mut staged.warnings);
        let after = self.row(kind, &name);
        let etag = self.etag(kind, &name);
        let scope = Scope::of(&self.inventory, &staged.changes);
        warnings.extend(self.mixed_remarks(&scope));
        let changed = Changed { kind, name, before, after, etag, warnings, impact: None };
        Ok((changed, scope, staged))
    }

    /// A row without secrets, as JSON.
    pub fn row(&self, kind: Kind, name: &str) -> Option<Value> {
        serde_json::from_str(&self.inventory.row_text(kind, name, false)?).ok()
    }

    /// The strong ETag of an object as configured, secrets included: 32 hex digits in quotes. Nobody without the
    /// node key can guess a secret from it.
    pub fn etag(&self, kind: Kind, name: &str) -> Option<String> {
        let text = self.inventory.row_text(kind, name, true)?;
        let mac = self.sealer.0.mac("etag", text.as_bytes());
        let hex: String = mac.iter().take(16).map(|b| format!("{b:02x}")).collect();
        Some(format!("\"{hex}\""))
    }

    fn expected(&self, request: &ChangeRequest, kind: Kind, name: Option<&str>) -> Result<(), ChangeError> {
        let Some(expect) = &request.expect else { return Ok(()) };
        let name = name.unwrap_or_default();
        let now = self.etag(kind, name);
        if now.as_deref() == Some(&**expect) {
            return Ok(());
        }
        Err(ChangeError::Expected {
            kind,
            name: name.to_owned(),
            now: now.unwrap_or_else(|| "none".to_owned()),
        })
    }

    /// Does all steps in memory, one after the other: each sees what those before it did.
    pub(super) fn stage(&mut self, request: &ChangeRequest, tools: Tools<'_>) -> Result<Staged, ChangeError> {
        let mut staged =
            Staged { changes: Vec::new(), warnings: Vec::new(), undo: Undo::default(), drafts: Vec::new() };
        let sealer = self.sealer.clone();
        let how = Mutate {
            sealer: &sealer,
            offline: tools.offline.is_some(),
            forced: request.forced,
            has_certificate: tools.has_certificate,
        };
        for (at, step) in request.steps.iter().enumerate() {
            let before = self.audited_row(step);
            let done = self
                .inventory
                .plan(step, &|pem| tools.inspect.inspect(pem))
                .and_then(|ops| self.inventory.mutate(ops, how).map_err(|refused| refused.error));
            match done {
                Ok(done) => {
                    staged.drafts.push(self.drafted(&request.who, step, before, &done.changes));
                    staged.undo.then(done.undo);
                    staged.changes.extend(done.changes);
                    staged.warnings.extend(done.warnings.into_iter().map(remark));
                }
                Err(error) => {
                    self.inventory.revert(staged.undo);
                    return Err(ChangeError::Refused { step: at, error });
                }
            }
        }
        // A saved profile keeps its version in a record of its own, a phone what it proved in two, its state, and that it was let in.
        let records = |c: &Change| match c {
            Change::Publish(Event::ProfileSaved { needs_apply: true, .. }) => 1,
            Change::Publish(Event::DeviceRemoved { .. }) => SeenKind::ALL.len() + 2,
            Change::Publish(_) => 0,
            Change::Put { .. } | Change::Delete { .. } => 1,
        };
        let records: usize = staged.changes.iter().map(records).sum();
        let records = records + staged.drafts.len() + AUDIT_ROOM + ANSWER_ROOM + NEWCOMER_ROOM;
        if records > RECORDS_MAX {
            self.inventory.revert(staged.undo);
            return Err(ChangeError::TooLarge(records));
        }
        Ok(staged)
    }

    /// One commit; memory follows it.
    fn persist(
        &mut self,
        changes: Vec<Change>,
        drafts: Vec<Draft>,
        (noted, adopted): (Option<Noted>, Option<DeviceName>),
        tools: Tools<'_>,
    ) -> Result<Vec<Event>, ChangeError> {
        let internal = |e: &dyn std::fmt::Display| ChangeError::Internal(e.to_string());
        let mut commit: CommitBuilder = Commit::build();
        let (mut events, mut versions, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        let key = |kind: Kind, key: &str| format!("{}/{key}", kind.as_str()).into_bytes();
        for change in changes {
            match change {
                Change::Put { kind, key: k, value } => {
                    commit = commit.put(Table::Config, key(kind, &k), SCHEMA, value);
                }
                Change::Delete { kind, key: k } => commit = commit.delete(Table::Config, key(kind, &k)),
                Change::Publish(event) => {
                    if let Event::ProfileSaved { id, version, needs_apply: true } = &event
                        && let Some(profile) = self.inventory.profile(*id)
                    {
                        let bytes = serde_json::to_vec(&profile.settings).map_err(|e| internal(&e))?;
                        let at = format!("{VERSION_PREFIX}{}/{}", id.0, version.0).into_bytes();
                        commit = commit.put(Table::Config, at, SCHEMA, bytes);
                        versions.push(((*id, *version), std::sync::Arc::new(profile.settings.clone())));
                    }
                    if let Event::DeviceRemoved { name, .. } = &event {
                        // Another phone of this name must not inherit what this one proved, nor its bindings.
                        commit = commit.delete(Table::Phones, name.as_str().as_bytes().to_vec());
                        for kind in SeenKind::ALL {
                            commit = commit.delete(Table::Meta, seen::key(name.as_str(), kind));
                        }
                        if self.adopted.contains(name) {
                            commit = commit.delete(Table::Meta, adopted::key(name));
                            gone.push(name.clone());
                        }
                    }
                    events.push(event);
                }
            }
        }
        if let Some(name) = &adopted {
            commit = commit.put(Table::Meta, adopted::key(name), SCHEMA, b"{}".to_vec());
        }
        if let Some(noted) = &noted {
            commit = noted.add_to(commit).map_err(|e| internal(&e))?;
        }
        let (commit, pending) = self.audit.add(commit, drafts, now());
        let commit = commit.finish().map_err(|e| internal(&e))?;
        faults::hit("change.before_commit");
        for outcome in tools.committer.commit_all(std::slice::from_ref(&commit)) {
            match outcome {
                Outcome::Committed(_) => {}
                Outcome::Unknown(e) => return Err(ChangeError::Store(e.to_string())),
                Outcome::Conflict(_) => {
                    return Err(ChangeError::Store("a row was changed by another writer".to_owned()));
                }
            }
        }
        faults::hit("change.after_commit");
        self.audit_settled(pending);
        if let Some(noted) = noted {
            self.remember(noted);
        }
        self.versions.extend(versions);
        self.adopted.retain(|name| !gone.contains(name));
        self.adopted.extend(adopted);
        if let Some(store) = tools.offline {
            self.apply_offline(&events, store, tools.committer).map_err(|e| internal(&e))?;
        }
        Ok(events)
    }
}

fn remark(warning: Warning) -> Remark {
    Remark { code: warning.code.as_str(), text: warning.code.text(), name: warning.first_name }
}

/// The name under which a new object was stored, where no field of it is the name.
fn name_of_put(of: Kind, changes: &[Change]) -> Option<String> {
    changes.iter().find_map(|change| match change {
        Change::Put { kind, key, .. } if *kind == of => Some(key.clone()),
        _ => None,
    })
}
