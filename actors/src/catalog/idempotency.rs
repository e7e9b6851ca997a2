//! Requests that may be repeated: what a change answered is stored with it, in the same commit, so that the
//! same request under the same key changes nothing again, also after a crash between commit and answer.

use std::collections::{HashMap, VecDeque};

use keyline_domain::ids::UnixMillis;
use keyline_storage::{CommitBuilder, Page, Store, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Catalog, ChangeError, Changed, SCHEMA};
use crate::clock::now;
use crate::error::OpenError;

/// How long an answer is kept, in milliseconds: a day.
pub const KEPT_MS: u64 = 24 * 3600 * 1000;

/// Most answers that are kept; the oldest gives way.
pub const ANSWERS_MAX: usize = 8192;

/// Longest key, in characters.
pub const KEY_MAX: usize = 64;

/// Largest answer that is kept whole, in bytes. Of a larger one the rows are left out.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// Deletes that one commit takes along.
pub(super) const PRUNED_AT_ONCE: usize = 4;

const PREFIX: &str = "idempotency/";
const PAGE: usize = 1000;

/// A request that may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeatable {
    /// From `Idempotency-Key`, 1 to [`KEY_MAX`] visible ASCII characters; a part of a request adds its place. Keys of different tokens are different.
    pub key: Box<str>,
    /// SHA-256 of all that makes the request what it is.
    pub request: [u8; 32],
}

impl Repeatable {
    /// The key can be used.
    pub fn is_key(key: &str) -> bool {
        (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
    }
}

/// As it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answered {
    at: UnixMillis,
    /// A keyed digest of the request: its body may hold secrets.
    request: String,
    answer: Value,
}

/// The answers that are kept.
#[derive(Debug, Default)]
pub(super) struct Answers {
    by_key: HashMap<Box<str>, Answered>,
    /// In order of their time.
    order: VecDeque<Box<str>>,
    evicted: u64,
}

/// What the metrics show of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswersKept {
    /// Answers that are kept.
    pub answers: usize,
    /// Those that gave way before their time since the start.
    pub evicted: u64,
}

/// What is stored with a change that may be repeated.
pub(super) struct Noted {
    name: Box<str>,
    answered: Answered,
    pruned: Vec<Box<str>>,
}

impl Answers {
    /// Reads all, oldest first.
    pub(super) fn load(store: &dyn Store) -> Result<Self, OpenError> {
        let mut found: Vec<(Box<str>, Answered)> = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = Page { after: after.as_deref(), limit: PAGE };
            let page = store.scan(Table::Meta, PREFIX.as_bytes(), page, None)?;
            for (key, row) in &page.rows {
                let name = std::str::from_utf8(key).ok().and_then(|k| k.strip_prefix(PREFIX));
                match (name, serde_json::from_slice(&row.payload)) {
                    (Some(name), Ok(answered)) => found.push((name.into(), answered)),
                    // Who repeats that request is judged anew: no reason to stay down.
                    _ => tracing::error!("the answer to a repeatable request cannot be read and is skipped"),
                }
            }
            after = page.rows.last().map(|(key, _)| key.to_vec());
            if page.rows.len() < PAGE {
                break;
            }
        }
        found.sort_by_key(|(_, answered)| answered.at);
        let order = found.iter().map(|(name, _)| name.clone()).collect();
        Ok(Self { by_key: found.into_iter().collect(), order, evicted: 0 })
    }

    /// The oldest ones that must go before another one comes: those whose time is over, and so many that there
    /// is room; few at once, so that a commit stays small.
    fn due(&self, at: UnixMillis) -> impl Iterator<Item = &Box<str>> {
        let over = (self.order.len() + 1).saturating_sub(ANSWERS_MAX);
        self.order
            .iter()
            .enumerate()
            .take_while(move |(n, name)| {
                let old = |a: &Answered| a.at.0.saturating_add(KEPT_MS) <= at.0;
                *n < over || self.by_key.get(&**name).is_none_or(old)
            })
            .take(PRUNED_AT_ONCE)
            .map(|(_, name)| name)
    }
}

impl Catalog {
    /// How many answers are kept.
    pub fn answers_kept(&self) -> AnswersKept {
        AnswersKept { answers: self.answers.order.len(), evicted: self.answers.evicted }
    }

    /// The answer to a request that was done already.
    ///
    /// # Errors
    /// [`ChangeError::Done`] with that answer; [`ChangeError::KeyReused`] when it was another request.
    pub(super) fn done_before(&self, owner: &str, what: &Repeatable) -> Result<(), ChangeError> {
        let Some(known) = self.answers.by_key.get(&*name(owner, &what.key)) else { return Ok(()) };
        if known.at.0.saturating_add(KEPT_MS) <= now().0 {
            return Ok(());
        }
        match known.request == self.digest_of(what) {
            true => Err(ChangeError::Done(Box::new(known.answer.clone()))),
            false => Err(ChangeError::KeyReused),
        }
    }

    fn digest_of(&self, what: &Repeatable) -> String {
        let mac = self.sealer.0.mac("idempotency", &what.request);
        mac.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// What must be stored with a change; [`Catalog::remember`] takes it in once that is committed.
    pub(super) fn answer_to_keep(&self, owner: &str, what: &Repeatable, changed: &Changed) -> Noted {
        let mut answer = changed.document();
        if answer.to_string().len() > ANSWER_BYTES_MAX {
            answer["before"] = Value::Null;
            answer["after"] = Value::Null;
        }
        let at = now();
        let answered = Answered { at, request: self.digest_of(what), answer };
        Noted { name: name(owner, &what.key), answered, pruned: self.answers.due(at).cloned().collect() }
    }

    /// Takes in what was committed.
    pub(super) fn remember(&mut self, noted: Noted) {
        let at = noted.answered.at;
        for name in &noted.pruned {
            let gone = self.answers.by_key.remove(name);
            let early = gone.is_some_and(|a| a.at.0.saturating_add(KEPT_MS) > at.0);
            self.answers.evicted += u64::from(early);
        }
        let pruned = noted.pruned.len().min(self.answers.order.len());
        self.answers.order.drain(..pruned);
        // A key whose time is over may come again before it was pruned.
        self.answers.order.retain(|name| *name != noted.name);
        self.answers.order.push_back(noted.name.clone());
        self.answers.by_key.insert(noted.name, noted.answered);
    }
}

impl Noted {
    /// Adds it to a commit.
    pub(super) fn add_to(&self, commit: CommitBuilder) -> Result<CommitBuilder, serde_json::Error> {
        let row = serde_json::to_vec(&self.answered)?;
        let commit = self
            .pruned
            .iter()
            .filter(|name| **name != self.name)
            .fold(commit, |commit, name| commit.delete(Table::Meta, key(name)));
        Ok(commit.put(Table::Meta, key(&self.name), SCHEMA, row))
    }
}

/// A token's name has no `/`.
fn name(owner: &str, key: &str) -> Box<str> {
    format!("{}/{key}", owner.replace('/', "_")).into()
}

fn key(name: &str) -> Vec<u8> {
    format!("{PREFIX}{name}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(times: &[u64]) -> Answers {
        let mut all = Answers::default();
        for (n, at) in times.iter().enumerate() {
            let name: Box<str> = format!("t/{n}").into();
            let at = UnixMillis(*at);
            let answered = Answered { at, request: String::new(), answer: Value::Null };
            all.by_key.insert(name.clone(), answered);
            all.order.push_back(name);
        }
        all
    }

    #[test]
    fn what_is_a_day_old_goes_and_few_at_once() {
        let due = |all: &Answers, at| all.due(UnixMillis(at)).count();
        let all = answers(&[0, 0, 1, 5]);
        assert_eq!(due(&all, KEPT_MS - 1), 0);
        assert_eq!(due(&all, KEPT_MS), 2);
        assert_eq!(due(&all, KEPT_MS + 5), 4);
        assert_eq!(due(&answers(&[0; 100]), KEPT_MS), PRUNED_AT_ONCE);
        assert_eq!(due(&answers(&vec![KEPT_MS; ANSWERS_MAX - 1]), KEPT_MS), 0);
        assert_eq!(due(&answers(&vec![KEPT_MS; ANSWERS_MAX]), KEPT_MS), 1, "the oldest gives way");
    }

    #[test]
    fn a_key_is_short_and_visible() {
        assert!(Repeatable::is_key("a") && Repeatable::is_key(&"~".repeat(KEY_MAX)));
        for wrong in ["", " ", "a b", "ü", "a\n", &"a".repeat(KEY_MAX + 1)] {
            assert!(!Repeatable::is_key(wrong), "{wrong:?}");
        }
    }
}
