//! Bearer tokens of the admin API: rows of the configuration that the catalog writes like any other. Only the
//! hash of a token is known here.

use std::collections::BTreeMap;

use keyline_domain::audit::{Draft, Happened, Who};
use keyline_storage::{Commit, Outcome, Store, Table};
use serde_json::{Value, json};

use super::import::Committer;
use super::{Catalog, SCHEMA, scan};
use crate::board::{Boards, Token};
use crate::error::OpenError;

/// Most tokens of a node: each presented one is compared with all.
pub const TOKENS_MAX: usize = 256;

/// Longest name of a token, in characters.
pub const TOKEN_NAME_MAX: usize = 64;

const PREFIX: &str = "api_token/";

/// A change of the tokens.
#[derive(Debug, Clone)]
pub enum TokenChange {
    /// A new one.
    Create(Token),
    /// Away with the one of this name.
    Revoke(Box<str>),
}

/// Why a token was not changed; nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefused {
    /// The name is no name.
    #[error("a token's name has 1 to {TOKEN_NAME_MAX} letters, digits, `.`, `_` or `-`")]
    Name,
    /// The name is taken.
    #[error("there is a token {0} already; revoke it first or take another name")]
    Exists(Box<str>),
    /// Nothing bears the name.
    #[error("there is no token {0}")]
    Unknown(Box<str>),
    /// There are enough.
    #[error("there are {TOKENS_MAX} tokens, which is the most; revoke one first")]
    TooMany,
    /// The store did not take it.
    #[error("the store did not take it: {0}")]
    Store(String),
}

impl TokenChange {
    fn name(&self) -> &str {
        match self {
            Self::Create(token) => &token.name,
            Self::Revoke(name) => name,
        }
    }

    /// The entry that tells of it.
    fn draft(&self, who: &Who, before: Option<&Token>, result: Happened) -> Draft {
        let (operation, after) = match self {
            Self::Create(token) => ("token_create", Some(shown(token))),
            Self::Revoke(_) => ("token_revoke", None),
        };
        Draft::new(who, operation, "token", self.name(), result)
            .with(before.map(shown).as_ref(), after.as_ref())
    }
}

impl TokenRefused {
    /// Stable code, as in the audit.
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "token_not_found",
            Self::Store(_) => "internal",
            Self::Name | Self::Exists(_) | Self::TooMany => "token_refused",
        }
    }
}

/// A token without its hash.
fn shown(token: &Token) -> Value {
    json!({ "name": token.name, "role": token.role, "created": token.created, "expires": token.expires })
}

fn is_name(name: &str) -> bool {
    (1..=TOKEN_NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Reads all tokens.
pub(super) fn load(store: &dyn Store) -> Result<BTreeMap<Box<str>, Token>, OpenError> {
    let mut tokens = BTreeMap::new();
    scan(store, PREFIX.as_bytes(), |key, value| {
        let token: Token = serde_json::from_slice(value).map_err(|e| e.to_string())?;
        tokens.insert(key.into(), token);
        Ok(())
    })?;
    Ok(tokens)
}

impl Catalog {
    /// All tokens, by name.
    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.values()
    }

    /// Judges a change, commits it with its entry of the audit, and takes it into memory. A refusal has an entry
    /// too.
    ///
    /// # Errors
    /// [`TokenRefused`].
    pub fn change_token(
        &mut self,
        change: TokenChange,
        who: &Who,
        committer: &dyn Committer,
    ) -> Result<(), TokenRefused> {
        if let Err(refused) = self.judge_token(&change) {
            let draft = change.draft(who, None, Happened::refused(refused.code()));
            self.note(draft, committer).map_err(|e| TokenRefused::Store(e.to_string()))?;
            return Err(refused);
        }
        let builder = match &change {
            TokenChange::Create(token) => {
                let bytes = serde_json::to_vec(token).map_err(|e| TokenRefused::Store(e.to_string()))?;
                Commit::build().put(Table::Config, key(&token.name), SCHEMA, bytes)
            }
            TokenChange::Revoke(name) => Commit::build().delete(Table::Config, key(name)),
        };
        let draft = change.draft(who, self.tokens.get(change.name()), Happened::Done);
        let (builder, pending) = self.audited(builder, draft);
        let commit = builder.finish().map_err(|e| TokenRefused::Store(e.to_string()))?;
        for outcome in committer.commit_all(std::slice::from_ref(&commit)) {
            match outcome {
                Outcome::Committed(_) => {}
                Outcome::Unknown(e) => return Err(TokenRefused::Store(e.to_string())),
                Outcome::Conflict(_) => {
                    return Err(TokenRefused::Store("changed by another writer".to_owned()));
                }
            }
        }
        self.audit_settled(pending);
        match change {
            TokenChange::Create(token) => {
                self.tokens.insert(token.name.clone(), token);
            }
            TokenChange::Revoke(name) => {
                self.tokens.remove(&name);
            }
        }
        Ok(())
    }

    fn judge_token(&self, change: &TokenChange) -> Result<(), TokenRefused> {
        match change {
            TokenChange::Create(token) if !is_name(&token.name) => Err(TokenRefused::Name),
            TokenChange::Create(token) if self.tokens.contains_key(&token.name) => {
                Err(TokenRefused::Exists(token.name.clone()))
            }
            TokenChange::Create(_) if self.tokens.len() >= TOKENS_MAX => Err(TokenRefused::TooMany),
            TokenChange::Revoke(name) if !self.tokens.contains_key(name) => {
                Err(TokenRefused::Unknown(name.clone()))
            }
            TokenChange::Create(_) | TokenChange::Revoke(_) => Ok(()),
        }
    }

    /// Publishes the tokens.
    pub(crate) fn publish_tokens(&self, boards: &Boards) {
        boards.tokens.set(self.tokens.values().cloned().collect());
    }
}

fn key(name: &str) -> Vec<u8> {
    format!("{PREFIX}{name}").into_bytes()
}
