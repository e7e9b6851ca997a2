//! One entry.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::chain::{HASH_BYTES, Hash, link};
use super::redact::redacted;
use crate::ids::UnixMillis;

/// Longest row before or after a change, in bytes of its JSON; a longer one is cut, and the entry says so.
pub const BODY_MAX: usize = 8 * 1024;

/// Longest name, code or request id, in bytes; longer ones are cut.
pub const NAME_MAX: usize = 256;

/// Most other objects that an entry names.
pub const ALSO_MAX: usize = 32;

/// Operation of the entry that stands where a node found its audit broken: what follows it is a new chain.
pub const BROKEN: &str = "audit_broken";

/// Where somebody came from that is no address: the control socket, as the user that the node runs as.
pub const CONTROL_SOCKET: &str = "control socket";

/// A command that opened the store while no node ran.
pub const COMMAND_LINE: &str = "command line";

/// The node itself, as when it finishes at its start what a crash cut off.
pub const NODE: &str = "node";

/// Who asks for a change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Who {
    /// Name of the token; empty where none was needed.
    pub name: Box<str>,
    /// Role of the token; `admin` where none was needed.
    pub role: Box<str>,
    /// Address, [`CONTROL_SOCKET`], [`COMMAND_LINE`] or [`NODE`].
    pub source: Box<str>,
    /// Id of the request, as `X-Request-Id` of the answer bears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<str>>,
}

impl Who {
    /// Whoever presented a token, from an address.
    pub fn token(name: &str, role: &str, address: &str, request: Option<&str>) -> Self {
        Self { name: name.into(), role: role.into(), source: address.into(), request: request.map(Box::from) }
    }

    /// Somebody who needs no token: [`CONTROL_SOCKET`], [`COMMAND_LINE`] or [`NODE`].
    pub fn local(source: &str) -> Self {
        Self { role: "admin".into(), source: source.into(), ..Self::default() }
    }

    fn bounded(&self) -> Self {
        Self {
            name: cut(&self.name),
            role: cut(&self.role),
            source: cut(&self.source),
            request: self.request.as_deref().map(cut),
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// Done: committed together with its entry, or told to the phone.
    Done,
    /// Refused or failed; nothing was stored. The stable code of the problem.
    Refused(Box<str>),
}

impl Happened {
    /// Refused with this code.
    pub fn refused(code: &str) -> Self {
        Self::Refused(cut(code))
    }

    /// `done` or `refused`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused(_) => "refused",
        }
    }
}

/// An entry before it has its place in the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Who.
    pub who: Who,
    /// What was asked for: `create`, `replace`, `merge`, `remove`, `rename`, `copy`, `import`, `token_create`, …
    pub operation: Box<str>,
    /// Kind of the row, as in the inventory; `token`, `inventory`, … for what is none.
    pub kind: Box<str>,
    /// Name of the row.
    pub name: Box<str>,
    /// The row as it was; without secrets, of bounded size.
    before: Option<Value>,
    /// The row as it is now, or what was asked for where it was refused.
    after: Option<Value>,
    /// Other records that were written with it.
    also: Vec<Box<str>>,
    /// Result.
    pub result: Happened,
}

impl Draft {
    /// An entry without rows.
    pub fn new(who: &Who, operation: &str, kind: &str, name: &str, result: Happened) -> Self {
        Self {
            who: who.bounded(),
            operation: cut(operation),
            kind: cut(kind),
            name: cut(name),
            before: None,
            after: None,
            also: Vec::new(),
            result,
        }
    }

    /// With the row before and after. Secrets are taken out here, so no caller can forget it, and what is too
    /// large is cut.
    #[must_use]
    pub fn with(mut self, before: Option<&Value>, after: Option<&Value>) -> Self {
        let (before, after) = redacted(before, after);
        self.before = before.map(bounded);
        self.after = after.map(bounded);
        self
    }

    /// With the names of other objects that were written with it, as `security_profile/Lobby`; at most
    /// [`ALSO_MAX`] of them.
    #[must_use]
    pub fn and(mut self, others: impl IntoIterator<Item = String>) -> Self {
        self.also = others.into_iter().take(ALSO_MAX).map(|other| cut(&other)).collect();
        self
    }

    /// At its place.
    pub fn placed(self, seq: u64, at: UnixMillis) -> Entry {
        Entry {
            seq,
            at,
            who: self.who,
            operation: self.operation,
            kind: self.kind,
            name: self.name,
            before: self.before,
            after: self.after,
            also: self.also,
            result: self.result,
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Number, from 1, without gaps.
    pub seq: u64,
    /// When, by the clock of the node.
    pub at: UnixMillis,
    /// Who.
    pub who: Who,
    /// What was asked for.
    pub operation: Box<str>,
    /// Kind of the row.
    pub kind: Box<str>,
    /// Name of the row.
    pub name: Box<str>,
    /// Before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// After.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Other objects that were written with it, by kind and name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Box<str>>,
    /// Result.
    pub result: Happened,
}

impl Entry {
    /// As it is stored behind an entry with the hash `previous`, and its own hash.
    pub fn store(&self, previous: &Hash) -> (Vec<u8>, Hash) {
        let bytes = serde_json::to_vec(self).expect("entries have text keys and nothing that can fail");
        let hash = link(previous, &bytes);
        let mut stored = Vec::with_capacity(HASH_BYTES + bytes.len());
        stored.extend_from_slice(&hash.0);
        stored.extend_from_slice(&bytes);
        (stored, hash)
    }
}

/// A stored entry: its hash and the bytes that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredEntry<'a> {
    /// Hash over the entry and, through the hash before it, all earlier ones.
    pub hash: Hash,
    /// The entry as JSON.
    pub bytes: &'a [u8],
}

impl<'a> StoredEntry<'a> {
    /// Splits a stored payload; `None` where it is too short.
    pub fn split(payload: &'a [u8]) -> Option<Self> {
        let (hash, bytes) = payload.split_first_chunk::<HASH_BYTES>()?;
        Some(Self { hash: Hash(*hash), bytes })
    }

    /// The entry.
    ///
    /// # Errors
    /// What is wrong with its JSON.
    pub fn entry(&self) -> Result<Entry, String> {
        serde_json::from_slice(self.bytes).map_err(|e| e.to_string())
    }
}

/// Key of an entry: numbers in the order of their bytes.
pub fn entry_key(seq: u64) -> [u8; 8] {
    seq.to_be_bytes()
}

/// Number of the entry under a key.
pub fn entry_seq(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

fn cut(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(NAME_MAX)].into()
}

/// The row, or its beginning and its size where it is too large.
fn bounded(row: Value) -> Value {
    let text = row.to_string();
    if text.len() <= BODY_MAX {
        return row;
    }
    // Quotes and backslashes inside double at most, so the cut form keeps the limit.
    let begins = &text[..text.floor_char_boundary(BODY_MAX / 4)];
    json!({ "truncated": { "bytes": text.len(), "begins": begins } })
}
