//! Judging users, digest users and logins of a file (R195–R197, R204).

use crate::ids::{DeviceName, UserId};

use super::check::Scope;
use super::rows::{PhoneRow, UserRow};
use super::{Kind, Login, RowError};

impl Scope<'_> {
    /// A phone whose digest user this is after the file, other than `but`. A phone outside the file keeps its
    /// user; within the file the first one asking has it.
    fn holder(&self, user: &str, but: Option<&DeviceName>) -> Option<&DeviceName> {
        let stored = self.inventory.users.get(user).into_iter().flat_map(|u| u.devices.iter());
        let mut stored = stored.filter_map(|d| self.inventory.phone(*d)).map(|p| &p.name);
        let stored = stored.find(|name| Some(*name) != but && !self.phones.contains_key(name.as_str()));
        stored.or_else(|| self.holders.get(user).copied().filter(|name| Some(*name) != but))
    }

    /// A phone on which this user is logged in after the file, likewise.
    fn login_of(&self, user: &str, but: Option<&DeviceName>) -> Option<&DeviceName> {
        let stored = self.inventory.users.get(user).into_iter().flat_map(|u| u.logged_in.iter());
        let mut stored = stored.filter_map(|d| self.inventory.phone(*d)).map(|p| &p.name);
        let speaks =
            |name: &DeviceName| self.phones.get(name.as_str()).is_some_and(|row| row.em_user != Login::Keep);
        let stored = stored.find(|name| Some(*name) != but && !speaks(name));
        stored.or_else(|| self.logins.get(user).copied().filter(|name| Some(*name) != but))
    }

    fn has_credentials(&self, user: &str) -> Option<bool> {
        let stored = self.inventory.users.get(user).map(|u| u.credentials.is_some());
        match self.users.get(user) {
            Some((_, row)) => Some(row.digest_credentials.leaves_one(stored.unwrap_or(false))),
            None => stored,
        }
    }

    fn kind_of(&self, user: &str) -> Option<Kind> {
        let stored = || self.inventory.users.get(user).map(|u| u.store.kind());
        self.users.get(user).map(|(kind, _)| *kind).or_else(stored)
    }

    pub(super) fn check_user(&self, kind: Kind, row: &UserRow) -> Result<(), RowError> {
        let id: &UserId = &row.id;
        let stored = self.inventory.users.get(id).map(|u| u.store.kind());
        let in_file = self.users.get(id.as_str()).map(|(kind, _)| *kind);
        if let Some(other) = [stored, in_file].into_iter().flatten().find(|k| *k != kind) {
            return Err(RowError::UserInOtherStore { user: id.to_string(), other });
        }
        if !row.digest_credentials.leaves_one(true)
            && self.has_credentials(id.as_str()) == Some(false)
            && let Some(phone) = self.holder(id.as_str(), None).or_else(|| self.login_of(id.as_str(), None))
        {
            return Err(RowError::CredentialsInUse { user: id.to_string(), phone: phone.to_string() });
        }
        Ok(())
    }

    pub(super) fn check_digest_user(&self, row: &PhoneRow, user: &UserId) -> Result<(), RowError> {
        match self.has_credentials(user.as_str()) {
            Some(true) => {}
            Some(false) => {
                let (phone, user) = (row.name.to_string(), user.to_string());
                return Err(RowError::DigestUserWithoutCredentials { phone, user });
            }
            None => return Err(nobody(row, user, "end_user or application_user")),
        }
        if !self.counts(row) {
            return Ok(());
        }
        let other = self.holder(user.as_str(), Some(&row.name));
        match other.or_else(|| self.login_of(user.as_str(), Some(&row.name))) {
            Some(other) => Err(shared(row, user, other)),
            None => Ok(()),
        }
    }

    /// A login: an end user, whose credentials take the place of the owner's, on this phone only.
    pub(super) fn check_login(&self, row: &PhoneRow, digest: bool) -> Result<(), RowError> {
        let Login::In(user) = &row.em_user else { return Ok(()) };
        if self.kind_of(user.as_str()) != Some(Kind::EndUser) {
            return Err(nobody(row, user, "end_user"));
        }
        if digest && self.has_credentials(user.as_str()) != Some(true) {
            let (phone, user) = (row.name.to_string(), user.to_string());
            return Err(RowError::DigestUserWithoutCredentials { phone, user });
        }
        if !self.counts(row) {
            return Ok(());
        }
        if let Some(other) = self.login_of(user.as_str(), Some(&row.name)) {
            return Err(RowError::LoggedInElsewhere {
                phone: row.name.to_string(),
                user: user.to_string(),
                other: other.to_string(),
            });
        }
        match self.holder(user.as_str(), Some(&row.name)) {
            Some(other) => Err(shared(row, user, other)),
            None => Ok(()),
        }
    }

    /// Somebody is logged in on the phone after its row.
    pub(super) fn somebody_in(&self, row: &PhoneRow) -> bool {
        let stored = || {
            let phone = self.inventory.phone(*self.inventory.names.get(&row.name)?)?;
            phone.em_user().cloned()
        };
        match &row.em_user {
            Login::Keep => stored().is_some(),
            Login::Out => false,
            Login::In(_) => true,
        }
    }

    /// The row is the last one of its phone, and users are to be unique (R196).
    fn counts(&self, row: &PhoneRow) -> bool {
        let last = self.phones.get(row.name.as_str()).is_some_and(|last| std::ptr::eq(*last, row));
        last && !self.parameters.allow_shared_digest_user
    }
}

fn nobody(row: &PhoneRow, user: &UserId, kind: &'static str) -> RowError {
    RowError::ReferenceMissing { by: format!("phone {}", row.name), kind, name: user.to_string() }
}

fn shared(row: &PhoneRow, user: &UserId, other: &DeviceName) -> RowError {
    RowError::DigestUserShared {
        phone: row.name.to_string(),
        user: user.to_string(),
        other: other.to_string(),
    }
}
