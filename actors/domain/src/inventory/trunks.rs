//! SIP realms, trunk security profiles and trunks as records (R190, R201).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::UserId;
use crate::mode::DeviceSecurityMode;

use super::apply::{Change, put};
use super::check::Scope;
use super::parse::shorten;
use super::rows::{Row, TEXT_MAX, Tag};
use super::stored::{self, bytes, form, from_bytes};
use super::{Inventory, Kind, LoadError, RowError, Sealer, Secret, SecretField};

/// Longest realm and longest destination, in characters.
pub const REALM_MAX: usize = 128;

/// `sip_realm`: what answers a challenge of a trunk's far end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SipRealmRow {
    #[serde(default, rename = "kind")]
    #[doc(hidden)]
    pub tag: Tag,
    /// Realm as the far end writes it, byte for byte; unique.
    pub realm: Box<str>,
    /// User name that the far end knows.
    pub user: UserId,
    /// Alphanumeric, as those of users.
    #[serde(default)]
    pub digest_credentials: SecretField,
}

/// `trunk_security_profile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkSecurityProfileRow {
    #[serde(default, rename = "kind", skip_serializing)]
    #[doc(hidden)]
    pub tag: Tag,
    /// Name, unique.
    pub name: Box<str>,
    /// As that of a phone security profile.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub description: Box<str>,
    /// Default non_secure.
    #[serde(default)]
    pub device_security_mode: DeviceSecurityMode,
    /// Requests of the far end are challenged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub digest_authentication: bool,
    /// Subject that the far end's certificate must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x509_subject: Option<Box<str>>,
}

/// `trunk`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkRow {
    #[serde(default, rename = "kind", skip_serializing)]
    #[doc(hidden)]
    pub tag: Tag,
    /// Name, unique.
    pub name: Box<str>,
    /// At most [`TEXT_MAX`] characters.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub description: Box<str>,
    /// Host, or host and port, of the far end.
    pub destination: Box<str>,
    /// Its security profile; none: non-secure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_profile: Option<Box<str>>,
}

/// What answers the challenges of a realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealmView<'a> {
    /// Realm.
    pub realm: &'a str,
    /// User name.
    pub user: &'a UserId,
    /// Credentials, if any are set.
    pub credentials: Option<&'a Secret>,
}

/// Why a challenge that came in on a trunk is not answered (R201).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RealmFault {
    /// No row of that realm.
    #[error("no sip_realm is configured for this realm; add one")]
    Unknown,
    /// A row without credentials.
    #[error("the sip_realm of this realm has no digest_credentials; set them")]
    NoCredentials,
}

#[derive(Clone, PartialEq, Eq)]
struct RealmEntry {
    user: UserId,
    credentials: Option<Secret>,
}

#[derive(Serialize, Deserialize)]
struct StoredRealm {
    user: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credentials: Option<String>,
}

#[derive(Serialize)]
struct RealmOut<'a> {
    realm: &'a str,
    user: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_credentials: Option<&'a str>,
}

/// All records about trunks: few, so a change keeps a copy of them for the way back.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Trunking {
    realms: BTreeMap<Box<str>, RealmEntry>,
    profiles: BTreeMap<Box<str>, TrunkSecurityProfileRow>,
    trunks: BTreeMap<Box<str>, TrunkRow>,
}

impl Trunking {
    pub(super) fn contains(&self, kind: Kind, name: &str) -> bool {
        match kind {
            Kind::SipRealm => self.realms.contains_key(name),
            Kind::TrunkSecurityProfile => self.profiles.contains_key(name),
            _ => self.trunks.contains_key(name),
        }
    }
}

impl Inventory {
    /// What answers a challenge of this realm on a trunk (R201).
    ///
    /// # Errors
    /// [`RealmFault`]: the request fails.
    pub fn answer_to(&self, realm: &str) -> Result<(&UserId, &Secret), RealmFault> {
        let entry = self.trunking.realms.get(realm).ok_or(RealmFault::Unknown)?;
        entry.credentials.as_ref().map(|c| (&entry.user, c)).ok_or(RealmFault::NoCredentials)
    }

    /// All realms in order.
    pub fn sip_realms(&self) -> impl Iterator<Item = RealmView<'_>> {
        self.trunking.realms.iter().map(|(realm, entry)| RealmView {
            realm,
            user: &entry.user,
            credentials: entry.credentials.as_ref(),
        })
    }

    /// All trunk security profiles in order of name.
    pub fn trunk_security_profiles(&self) -> impl Iterator<Item = &TrunkSecurityProfileRow> {
        self.trunking.profiles.values()
    }

    /// All trunks in order of name.
    pub fn trunks(&self) -> impl Iterator<Item = &TrunkRow> {
        self.trunking.trunks.values()
    }

    pub(super) fn apply_realm(&mut self, row: SipRealmRow, sealer: &dyn Sealer, changes: &mut Vec<Change>) {
        let old = self.trunking.realms.remove(&row.realm).and_then(|r| r.credentials);
        let entry = RealmEntry { user: row.user, credentials: row.digest_credentials.over(old) };
        let kind = Kind::SipRealm;
        let credentials = entry.credentials.as_ref().map(|c| stored::sealed(c, sealer, kind, &row.realm));
        changes.push(put(kind, &*row.realm, bytes(&StoredRealm { user: entry.user.clone(), credentials })));
        self.trunking.realms.insert(row.realm, entry);
    }

    pub(super) fn apply_trunk_profile(&mut self, row: TrunkSecurityProfileRow, changes: &mut Vec<Change>) {
        changes.push(put(Kind::TrunkSecurityProfile, &*row.name, bytes(&row)));
        self.trunking.profiles.insert(row.name.clone(), row);
    }

    pub(super) fn apply_trunk(&mut self, row: TrunkRow, changes: &mut Vec<Change>) -> Result<(), RowError> {
        if let Some(name) = row.security_profile.as_ref().filter(|n| !self.trunking.profiles.contains_key(*n))
        {
            return Err(missing(&row.name, name));
        }
        changes.push(put(Kind::Trunk, &*row.name, bytes(&row)));
        self.trunking.trunks.insert(row.name.clone(), row);
        Ok(())
    }

    pub(super) fn remove_trunking(
        &mut self,
        kind: Kind,
        name: &str,
        changes: &mut Vec<Change>,
    ) -> Result<(), RowError> {
        if !self.trunking.contains(kind, name) {
            return Err(RowError::NotFound { kind, name: shorten(name) });
        }
        match kind {
            Kind::SipRealm => {
                self.trunking.realms.remove(name);
            }
            Kind::TrunkSecurityProfile => {
                let user =
                    self.trunking.trunks.values().find(|t| t.security_profile.as_deref() == Some(name));
                if let Some(trunk) = user {
                    let by = format!("trunk {}", trunk.name);
                    return Err(RowError::InUse { kind, name: name.to_owned(), by });
                }
                self.trunking.profiles.remove(name);
            }
            _ => {
                self.trunking.trunks.remove(name);
            }
        }
        changes.push(Change::Delete { kind, key: name.to_owned() });
        Ok(())
    }

    pub(super) fn load_trunking(
        &mut self,
        kind: Kind,
        key: &str,
        bytes: &[u8],
        sealer: &dyn Sealer,
    ) -> Result<(), LoadError> {
        match kind {
            Kind::SipRealm => {
                let StoredRealm { user, credentials } = from_bytes(kind, key, bytes)?;
                let credentials = stored::opened(credentials, sealer, kind, key)?;
                self.trunking.realms.insert(key.into(), RealmEntry { user, credentials });
            }
            Kind::TrunkSecurityProfile => {
                let row: TrunkSecurityProfileRow = from_bytes(kind, key, bytes)?;
                self.trunking.profiles.insert(key.into(), row);
            }
            Kind::Trunk => {
                let row: TrunkRow = from_bytes(kind, key, bytes)?;
                self.trunking.trunks.insert(key.into(), row);
            }
            _ => return Err(form(kind, key, &"no record of a trunk")),
        }
        Ok(())
    }

    /// One row as JSON.
    pub(super) fn trunking_text(&self, kind: Kind, name: &str, secrets: bool) -> Option<String> {
        Some(match kind {
            Kind::SipRealm => {
                let (realm, entry) = self.trunking.realms.get_key_value(name)?;
                let secret = entry.credentials.as_ref().filter(|_| secrets).map(Secret::expose);
                super::export::line(kind, RealmOut { realm, user: &entry.user, digest_credentials: secret })
            }
            Kind::TrunkSecurityProfile => super::export::line(kind, self.trunking.profiles.get(name)?),
            _ => super::export::line(kind, self.trunking.trunks.get(name)?),
        })
    }

    /// All rows as JSON.
    pub(super) fn trunking_lines(&self, secrets: bool) -> impl Iterator<Item = String> {
        let realms = self.trunking.realms.keys().map(|n| (Kind::SipRealm, n));
        let profiles = self.trunking.profiles.keys().map(|n| (Kind::TrunkSecurityProfile, n));
        let trunks = self.trunking.trunks.keys().map(|n| (Kind::Trunk, n));
        let all = realms.chain(profiles).chain(trunks);
        all.filter_map(move |(kind, name)| self.trunking_text(kind, name, secrets))
    }
}

impl Scope<'_> {
    /// A secure trunk needs the permission (R190); what a trunk names must be there.
    pub(super) fn check_trunking(&self, row: &Row, rows: &[Row]) -> Result<(), RowError> {
        match row {
            Row::TrunkSecurityProfile(r) => self.permitted(&r.name, r.device_security_mode),
            Row::Trunk(r) => {
                let Some(name) = &r.security_profile else { return Ok(()) };
                let in_file = rows.iter().rev().find_map(|row| match row {
                    Row::TrunkSecurityProfile(p) if p.name == *name => Some(&**p),
                    _ => None,
                });
                let profile = in_file.or_else(|| self.inventory.trunking.profiles.get(name));
                let profile = profile.ok_or_else(|| missing(&r.name, name))?;
                self.permitted(&r.name, profile.device_security_mode)
            }
            _ => Ok(()),
        }
    }

    fn permitted(&self, name: &str, mode: DeviceSecurityMode) -> Result<(), RowError> {
        if mode == DeviceSecurityMode::NonSecure || self.parameters.export_controlled_allowed {
            return Ok(());
        }
        Err(RowError::ExportControlled { name: shorten(name) })
    }
}

fn missing(trunk: &str, profile: &str) -> RowError {
    RowError::ReferenceMissing {
        by: format!("trunk {}", shorten(trunk)),
        kind: Kind::TrunkSecurityProfile.as_str(),
        name: shorten(profile),
    }
}

/// Judges a row by itself: labels of 1 to so many characters.
pub(super) fn labels(row: &Row) -> Vec<(Kind, &'static str, &str, usize)> {
    match row {
        Row::SipRealm(r) => vec![(Kind::SipRealm, "realm", &*r.realm, REALM_MAX)],
        Row::TrunkSecurityProfile(r) => vec![(Kind::TrunkSecurityProfile, "name", &*r.name, TEXT_MAX)],
        Row::Trunk(r) => vec![
            (Kind::Trunk, "name", &*r.name, TEXT_MAX),
            (Kind::Trunk, "destination", &*r.destination, REALM_MAX),
        ],
        _ => Vec::new(),
    }
}
