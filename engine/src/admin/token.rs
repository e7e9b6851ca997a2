//! The administrator's bearer token (RFC 6750): kept as a hash, compared in constant time.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// File in the data folder.
pub const TOKEN_FILE: &str = "admin.token";

/// Longest token, in bytes.
pub const TOKEN_MAX: usize = 1024;

/// Why there is no usable token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the admin token {}: {source}; restore the file or write a new token into it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Empty, too long, or with characters that a header cannot carry.
    #[error("the admin token of {place} must have 1 to {TOKEN_MAX} visible ASCII characters and no spaces")]
    Unusable {
        /// File or variable.
        place: String,
    },
    /// The file cannot be written.
    #[error("cannot write the admin token {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A token to compare with. It holds the hash, so that neither its text nor its length shows.
#[derive(Clone)]
pub struct AdminToken([u8; 32]);

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

impl AdminToken {
    /// Takes the text of a token; white space around it does not count. `place` names its origin in
    /// the error.
    pub fn new(text: &str, place: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() || text.len() > TOKEN_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError::Unusable { place: place.to_owned() });
        }
        Ok(Self(Sha256::digest(text.as_bytes()).into()))
    }

    /// Reads `DATA/admin.token`.
    pub fn read(data_dir: &Path) -> Result<Self, TokenError> {
        let path = data_dir.join(TOKEN_FILE);
        let mut text = String::new();
        let read = std::fs::File::open(&path)
            .and_then(|file| file.take(TOKEN_MAX as u64 + 16).read_to_string(&mut text));
        match read {
            Ok(_) => Self::new(&text, &path.display().to_string()),
            Err(source) => Err(TokenError::Read { path, source }),
        }
    }

    /// Writes `DATA/admin.token`, readable by its owner only, at the first initialisation: `given`
    /// (from KEYLINE_ADMIN_TOKEN) or else 64 hexadecimal digits of `random`. A file that is there stays.
    pub fn create(data_dir: &Path, given: Option<&str>, random: [u8; 32]) -> Result<(), TokenError> {
        let text = match given {
            Some(given) => {
                Self::new(given, "KEYLINE_ADMIN_TOKEN")?;
                given.trim().to_owned()
            }
            None => random.iter().map(|b| format!("{b:02x}")).collect(),
        };
        let path = data_dir.join(TOKEN_FILE);
        let write = || {
            let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
                other => other?,
            };
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        write().map_err(|source| TokenError::Write { path: path.clone(), source })
    }

    /// The presented token is this one.
    pub fn is(&self, presented: &Presented) -> bool {
        presented.is(&self.0)
    }

    /// The value of an `Authorization` header proves the administrator.
    pub fn admits(&self, authorization: &str) -> bool {
        Presented::of(authorization).is_some_and(|p| self.is(&p))
    }
}

/// The hash of a token that somebody presents.
pub struct Presented([u8; 32]);

impl Presented {
    /// From the value of an `Authorization` header; `None` for another scheme (RFC 7235 §2.1: its case does not
    /// matter).
    pub fn of(authorization: &str) -> Option<Self> {
        let (scheme, given) = authorization.split_once(' ')?;
        scheme.eq_ignore_ascii_case("Bearer").then(|| Self::of_text(given.trim_matches(' ')))
    }

    /// From the text of a token.
    pub fn of_text(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// What is kept of it.
    pub fn hash(&self) -> [u8; 32] {
        self.0
    }

    /// Whether this is the kept hash, in constant time.
    pub fn is(&self, hash: &[u8; 32]) -> bool {
        bool::from(self.0.ct_eq(hash))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_written_once_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        AdminToken::create(dir.path(), None, [7; 32]).unwrap();
        AdminToken::create(dir.path(), Some("another"), [8; 32]).unwrap();
        let path = dir.path().join(TOKEN_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let token = AdminToken::read(dir.path()).unwrap();
        assert!(token.admits(&format!("Bearer {}", "07".repeat(32))));
        assert!(token.admits(&format!("bearer {}", "07".repeat(32))));
        assert!(!token.admits("Bearer another"));
        assert!(!format!("{token:?}").contains("07"));
    }

    #[test]
    fn only_the_whole_token_counts() {
        let token = AdminToken::new(" s3cret\n", "test").unwrap();
        assert!(token.admits("Bearer s3cret"));
        for wrong in ["", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret1", "Basic s3cret", "s3cret"] {
            assert!(!token.admits(wrong), "{wrong}");
        }
    }

    #[test]
    fn unusable_tokens_are_refused_with_their_place() {
        for bad in ["", "  ", "a b", "ü", &"x".repeat(TOKEN_MAX + 1)] {
            let error = AdminToken::new(bad, "KEYLINE_ADMIN_TOKEN").unwrap_err();
            assert!(error.to_string().contains("KEYLINE_ADMIN_TOKEN"));
        }
        assert!(matches!(AdminToken::read(Path::new("/nowhere")), Err(TokenError::Read { .. })));
    }
}
