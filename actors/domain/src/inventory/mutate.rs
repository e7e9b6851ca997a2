//! Changing the inventory: several operations as one, all or nothing, with the way back.

use crate::ids::DeviceName;
use crate::profile::{SecurityProfile, check_name};

use super::apply::{Change, Event, put};
use super::parse::shorten;
use super::report::Warning;
use super::rows::Row;
use super::stored::{self, bytes};
use super::{Apply, Inventory, Kind, RowError, Sealer, Undo};
use std::sync::Arc;

/// One operation of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Save a row, new or in place of the one of its name.
    Put(Box<Row>),
    /// Delete something; of a certificate `<purpose>/<fingerprint>`.
    Remove {
        /// What.
        kind: Kind,
        /// Which.
        name: String,
    },
    /// Give a security profile another name; its phones follow (R103).
    Rename {
        /// Name now.
        name: String,
        /// Name afterwards.
        to: String,
    },
}

/// How operations are judged and stored.
#[derive(Clone, Copy)]
pub struct Mutate<'a> {
    /// Seals secrets for storage.
    pub sealer: &'a dyn Sealer,
    /// No node runs: a changed profile applies at once.
    pub offline: bool,
    /// The administrator insists: R181 warns whatever the policy.
    pub forced: bool,
    /// A certificate was seen on, or issued to, this phone (R214).
    pub has_certificate: &'a dyn Fn(&DeviceName) -> bool,
}

/// What operations did to the memory.
#[derive(Debug)]
pub struct Mutated {
    /// What to persist in one commit, and what to publish after it, in order.
    pub changes: Vec<Change>,
    /// What is allowed but worth knowing; positions are those of the operations.
    pub warnings: Vec<Warning>,
    /// The way back, for when the commit fails or nobody wanted more than an answer.
    pub undo: Undo,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refused {
    /// Position of the operation, from 0.
    pub at: usize,
    /// What is wrong with it.
    pub error: RowError,
}

impl Inventory {
    /// Does all operations in order, or none of them: on an error the inventory is as before. Neighbouring
    /// rows are judged together, so that they may name each other.
    ///
    /// # Errors
    /// [`Refused`] names the first operation that breaks a rule.
    pub fn mutate(&mut self, ops: Vec<Op>, how: Mutate<'_>) -> Result<Mutated, Refused> {
        let mut done = Mutated { changes: Vec::new(), warnings: Vec::new(), undo: Undo::default() };
        let mut puts: Vec<Row> = Vec::new();
        let end = ops.len();
        // A last empty turn applies the rows that are left.
        for (at, op) in ops.into_iter().map(Some).chain([None]).enumerate() {
            let result = match op {
                Some(Op::Put(row)) => {
                    puts.push(*row);
                    Ok(())
                }
                other => self.put_all(&mut puts, at, how, &mut done).and_then(|()| {
                    let one = |error| Refused { at: at.min(end), error };
                    match other {
                        Some(Op::Remove { kind, name }) => {
                            self.remove_one(kind, &name, &mut done).map_err(one)
                        }
                        Some(Op::Rename { name, to }) => self.rename(&name, &to, &mut done).map_err(one),
                        Some(Op::Put(_)) | None => Ok(()),
                    }
                }),
            };
            if let Err(refused) = result {
                self.revert(done.undo);
                return Err(refused);
            }
        }
        Ok(done)
    }

    /// Checks and applies the rows that stand directly before operation `end`.
    fn put_all(
        &mut self,
        puts: &mut Vec<Row>,
        end: usize,
        how: Mutate<'_>,
        done: &mut Mutated,
    ) -> Result<(), Refused> {
        let rows = std::mem::take(puts);
        let first = end - rows.len();
        let report = self.check_knowing(&rows, how.forced, how.has_certificate);
        if let Some((at, error)) = report.errors.into_iter().next() {
            return Err(Refused { at: first + at, error });
        }
        done.warnings
            .extend(report.warnings.into_iter().map(|w| Warning { first_row: first + w.first_row, ..w }));
        for row in super::in_order(rows) {
            let before = self.before_put(&row);
            let apply = Apply { sealer: how.sealer, offline: how.offline };
            // Refused rows change nothing, so there is nothing of them to take back.
            let changes = self.apply(row, apply).map_err(|error| Refused { at: first, error })?;
            done.undo.then(before);
            done.changes.extend(changes);
        }
        Ok(())
    }

    fn remove_one(&mut self, kind: Kind, name: &str, done: &mut Mutated) -> Result<(), RowError> {
        let before = self.before_remove(kind, name);
        let changes = self.remove(kind, name)?;
        done.undo.then(before);
        done.changes.extend(changes);
        Ok(())
    }

    /// Another name for a security profile. Phones name it by number, so nothing else is written (R103).
    fn rename(&mut self, name: &str, to: &str, done: &mut Mutated) -> Result<(), RowError> {
        let kind = Kind::SecurityProfile;
        let id = match self.profile_names.get(name) {
            Some(id) => *id,
            None if self.predefined_named(name).is_some() => {
                return Err(RowError::ProfilePredefined { name: shorten(name) });
            }
            None => return Err(RowError::NotFound { kind, name: shorten(name) }),
        };
        check_name(to).map_err(|error| RowError::Profile { name: shorten(to), error })?;
        if name == to {
            return Ok(());
        }
        if self.profile_id(to).is_some() {
            return Err(RowError::Exists { kind, name: shorten(to) });
        }
        let before = self.before_rename(id, to);
        let Some(entry) = self.profiles.get_mut(&id) else {
            return Err(RowError::NotFound { kind, name: shorten(name) });
        };
        let new = SecurityProfile { name: to.to_owned(), ..(*entry.profile).clone() };
        entry.profile = Arc::new(new);
        let profile = Arc::clone(&entry.profile);
        self.profile_names.remove(name);
        self.profile_names.insert(to.into(), id);
        done.undo.then(before);
        done.changes.push(put(kind, stored::profile_key(id), bytes(&*profile)));
        let saved = Event::ProfileSaved { id, version: profile.version, needs_apply: false };
        done.changes.push(Change::Publish(saved));
        Ok(())
    }
}
