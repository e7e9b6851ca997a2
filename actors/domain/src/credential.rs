//! Digest credentials: the password, what is derived from it, and the users that own it (R194–R198).

use std::collections::HashMap;
use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::digest::{Algorithm, Ha1};
use crate::ids::UserId;

/// Longest digest credentials, in characters.
pub const PASSWORD_MAX: usize = 128;

/// Why digest credentials were refused. The text never holds the credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing given.
    #[error("digest credentials are empty; give 1 to {PASSWORD_MAX} letters and digits")]
    Empty,
    /// Longer than [`PASSWORD_MAX`].
    #[error("digest credentials have {0} characters; at most {PASSWORD_MAX} are allowed")]
    TooLong(usize),
    /// Not alphanumeric (R204).
    #[error("digest credentials hold a character that is neither letter nor digit; use A-Z a-z 0-9")]
    NotAlphanumeric,
    /// Credentials and their confirmation differ (R204).
    #[error("digest credentials and their confirmation differ; enter the same text twice")]
    Mismatch,
}

/// Digest credentials of a user: wiped when dropped, redacted when shown, compared in constant time.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Credentials as an administrator enters them: letters and digits (R204).
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        let length = text.chars().count();
        match length {
            0 => Err(PasswordError::Empty),
            n if n > PASSWORD_MAX => Err(PasswordError::TooLong(n)),
            _ if !text.bytes().all(|b| b.is_ascii_alphanumeric()) => Err(PasswordError::NotAlphanumeric),
            _ => Ok(Self(Zeroizing::new(text.to_owned()))),
        }
    }

    /// Credentials entered twice (R204).
    pub fn confirmed(text: &str, again: &str) -> Result<Self, PasswordError> {
        let password = Self::parse(text)?;
        if password == Self::from_secret(again.to_owned()) {
            Ok(password)
        } else {
            Err(PasswordError::Mismatch)
        }
    }

    /// Credentials that others made (a far realm's, R201) or that come back from storage: no rule
    /// but secrecy.
    pub fn from_secret(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text. Needed by the phone's file and by a change of realm only (design §5 Secrets).
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

/// H(A1) of one user for the realm in force, one per hash: 80 bytes, in memory only.
#[derive(Clone, PartialEq, Eq)]
pub struct DerivedCredentials {
    sha512_256: [u8; 32],
    sha256: [u8; 32],
    md5: [u8; 16],
}

impl DerivedCredentials {
    /// Derives all hashes for a realm.
    pub fn derive(user: &str, realm: &str, password: &Password) -> Self {
        Self::of(user, realm, password.expose())
    }

    /// The same of a password that somebody else keeps.
    pub fn of(user: &str, realm: &str, password: &str) -> Self {
        let mut own = Self { sha512_256: [0; 32], sha256: [0; 32], md5: [0; 16] };
        let ha1 = |algorithm| Ha1::derive(algorithm, user, realm, password);
        own.sha512_256.copy_from_slice(ha1(Algorithm::Sha512_256).expose());
        own.sha256.copy_from_slice(ha1(Algorithm::Sha256).expose());
        own.md5.copy_from_slice(ha1(Algorithm::Md5).expose());
        own
    }

    /// H(A1) under one algorithm.
    pub fn ha1(&self, algorithm: Algorithm) -> Option<Ha1> {
        match algorithm {
            Algorithm::Sha512_256 | Algorithm::Sha512_256Sess => Ha1::from_bytes(algorithm, &self.sha512_256),
            Algorithm::Sha256 | Algorithm::Sha256Sess => Ha1::from_bytes(algorithm, &self.sha256),
            Algorithm::Md5 | Algorithm::Md5Sess => Ha1::from_bytes(algorithm, &self.md5),
        }
    }
}

impl Drop for DerivedCredentials {
    fn drop(&mut self) {
        self.sha512_256.zeroize();
        self.sha256.zeroize();
        self.md5.zeroize();
    }
}

impl fmt::Debug for DerivedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedCredentials(redacted)")
    }
}

/// Which record holds a user (R197).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserKind {
    /// `end_user`.
    EndUser,
    /// `application_user`.
    ApplicationUser,
}

/// The digest credentials of both kinds of user under one realm. A user id names one record: where
/// both kinds hold it, the end user's credentials count.
#[derive(Debug, Default, Clone)]
pub struct CredentialTable {
    end_users: HashMap<UserId, DerivedCredentials>,
    application_users: HashMap<UserId, DerivedCredentials>,
}

impl CredentialTable {
    /// Sets or replaces one user's credentials.
    pub fn insert(&mut self, kind: UserKind, user: UserId, credentials: DerivedCredentials) {
        self.store_mut(kind).insert(user, credentials);
    }

    /// Forgets one user; tells whether there was one.
    pub fn remove(&mut self, kind: UserKind, user: &str) -> bool {
        self.store_mut(kind).remove(user).is_some()
    }

    /// Credentials of a user of either kind. User ids are case-sensitive: they are hashed.
    pub fn get(&self, user: &str) -> Option<&DerivedCredentials> {
        self.end_users.get(user).or_else(|| self.application_users.get(user))
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.end_users.len() + self.application_users.len()
    }

    /// Whether nobody has credentials.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn store_mut(&mut self, kind: UserKind) -> &mut HashMap<UserId, DerivedCredentials> {
        match kind {
            UserKind::EndUser => &mut self.end_users,
            UserKind::ApplicationUser => &mut self.application_users,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(user: &str, password: &str) -> DerivedCredentials {
        DerivedCredentials::derive(user, "ccmsipline", &Password::from_secret(password.to_owned()))
    }

    #[test]
    fn secrets_never_show() {
        let password = Password::parse("Blue7Canoe").unwrap();
        assert_eq!(format!("{password:?}"), "Password(redacted)");
        let derived = derived("anna", "Blue7Canoe");
        let text = format!("{derived:?} {:?}", derived.ha1(Algorithm::Md5));
        assert!(text.contains("redacted") && !text.contains('['), "{text}");
    }

    #[test]
    fn r204_credentials_are_alphanumeric_and_confirmed() {
        assert!(Password::confirmed("abc123", "abc123").is_ok());
        assert_eq!(Password::confirmed("abc123", "abc124"), Err(PasswordError::Mismatch));
        assert_eq!(Password::confirmed("abc123", "abc1234"), Err(PasswordError::Mismatch));
        for bad in ["a b", "a-b", "pässwort", "a:b", "a\"b"] {
            assert_eq!(Password::parse(bad), Err(PasswordError::NotAlphanumeric), "{bad}");
        }
        assert_eq!(Password::parse(""), Err(PasswordError::Empty));
        assert_eq!(Password::parse(&"x".repeat(129)), Err(PasswordError::TooLong(129)));
    }

    #[test]
    fn r197_r198_both_kinds_of_user_have_credentials() {
        let mut table = CredentialTable::default();
        let (end, app) = (derived("anna", "one"), derived("cti", "two"));
        table.insert(UserKind::EndUser, UserId::parse("anna").unwrap(), end.clone());
        table.insert(UserKind::ApplicationUser, UserId::parse("cti").unwrap(), app.clone());
        assert_eq!(table.get("anna"), Some(&end));
        assert_eq!(table.get("cti"), Some(&app));
        assert_eq!(table.get("Anna"), None);
        assert!(!table.remove(UserKind::EndUser, "cti"));
        assert!(table.remove(UserKind::ApplicationUser, "cti"));
        assert_eq!((table.get("cti"), table.len(), table.is_empty()), (None, 1, false));
    }
}
