//! Bearer tokens of the admin API: who may ask for what.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use keyline_domain::ids::UnixMillis;
use serde::{Deserialize, Serialize};

/// What a token allows; each role allows what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Read everything but signaling.
    ReadOnly,
    /// Also trace phones and calls.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ReadOnly, Self::Operator, Self::Admin];

    /// Name on the command line and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(())
    }
}

/// A token as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Name, unique.
    pub name: Box<str>,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created: UnixMillis,
    /// It is void from here on; `None`: until it is revoked.
    pub expires: Option<UnixMillis>,
    /// SHA-256 of its text.
    pub hash: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, {})", self.name, self.role)
    }
}

/// The board. A snapshot: whoever checks a presented token looks at all of them, in its own constant-time way.
#[derive(Debug, Default)]
pub struct TokenBoard(ArcSwap<Vec<Token>>);

impl TokenBoard {
    /// All tokens, also those whose time is over.
    pub fn load(&self) -> Arc<Vec<Token>> {
        self.0.load_full()
    }

    pub(crate) fn set(&self, tokens: Vec<Token>) {
        self.0.store(Arc::new(tokens));
    }
}
