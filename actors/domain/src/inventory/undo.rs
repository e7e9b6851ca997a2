//! Taking a change back: what a row found before it was applied, and the way there again.
//!
//! A change that cannot be committed, and one that is only asked what it would do, must leave no trace in
//! memory. Copying an inventory of a million phones for that would cost more than the change.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::{DeviceIndex, DeviceName, Dn, ProfileId, UserId};
use crate::model::Model;
use crate::profile::SecurityProfile;

use super::rows::Row;
use super::store::{CommonEntry, PhoneEntry, ProfileEntry, UserEntry};
use super::{CertificateRow, Hardening, Inventory, Kind, ParameterValue, Parameters, Purpose};

/// The way back from a change, last step first.
#[derive(Default)]
#[must_use = "dropping it makes the change final"]
pub struct Undo(Vec<Before>);

impl std::fmt::Debug for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Undo({} steps)", self.0.len())
    }
}

/// What was there before a row.
enum Before {
    Parameters(Box<Parameters>, BTreeMap<Box<str>, ParameterValue>),
    Model { name: Box<str>, model: Option<Arc<Model>>, made: u32 },
    Package { name: Box<str>, row: Option<super::PackageRow> },
    Profile { name: Box<str>, profile: Option<Arc<SecurityProfile>>, made: u32 },
    Renamed { id: ProfileId, profile: Arc<SecurityProfile>, to: Box<str> },
    Common { name: Box<str>, hardening: Option<Hardening> },
    Enterprise(Option<Hardening>),
    User { id: UserId, entry: Option<UserEntry> },
    Line { dn: Dn, existed: bool },
    Phone { name: DeviceName, index: Option<DeviceIndex>, entry: Option<PhoneEntry>, places: usize },
    Certificate { key: (Purpose, Box<str>), row: Option<CertificateRow> },
    Trunking(Box<super::trunks::Trunking>),
}

impl Undo {
    /// Joins the way back from what was done after this.
    pub fn then(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

impl Inventory {
    /// What is there before a row is applied.
    pub(super) fn before_put(&self, row: &Row) -> Undo {
        Undo(vec![match row {
            Row::Parameter(_) => self.before_parameters(),
            Row::PhoneModel(r) => self.before_model(&r.name),
            Row::Package(r) => self.before_package(&r.name),
            Row::SecurityProfile(r) => self.before_profile(&r.name),
            Row::CommonPhoneProfile(r) => self.before_common(&r.name),
            Row::EnterprisePhone(_) => Before::Enterprise(self.enterprise),
            Row::ApplicationUser(r) | Row::EndUser(r) => self.before_user(&r.id),
            Row::SipRealm(_) | Row::TrunkSecurityProfile(_) | Row::Trunk(_) => self.before_trunking(),
            Row::Line(r) => Before::Line { dn: r.dn.clone(), existed: self.lines.contains_key(&r.dn) },
            Row::Phone(r) => self.before_phone(&r.name),
            Row::Certificate(r) => {
                let fingerprint = r.facts.as_ref().map(|f| f.fingerprint.clone()).unwrap_or_default();
                self.before_certificate((r.purpose, fingerprint))
            }
        }])
    }

    /// What is there before something is removed.
    pub(super) fn before_remove(&self, kind: Kind, name: &str) -> Undo {
        let mut found = Vec::new();
        match kind {
            Kind::Counter => {}
            Kind::Parameter => found.push(self.before_parameters()),
            Kind::PhoneModel => found.push(self.before_model(name)),
            Kind::Package => found.push(self.before_package(name)),
            Kind::SecurityProfile => found.push(self.before_profile(name)),
            Kind::CommonPhoneProfile => found.push(self.before_common(name)),
            Kind::EnterprisePhone => found.push(Before::Enterprise(self.enterprise)),
            Kind::ApplicationUser | Kind::EndUser => {
                found.extend(UserId::parse(name).ok().map(|id| self.before_user(&id)));
            }
            Kind::SipRealm | Kind::TrunkSecurityProfile | Kind::Trunk => found.push(self.before_trunking()),
            Kind::Line => {
                let dn = Dn::parse(name).ok();
                found.extend(dn.map(|dn| Before::Line { existed: self.lines.contains_key(&dn), dn }));
            }
            Kind::Phone => {
                if let Ok(name) = DeviceName::parse(name) {
                    found.push(self.before_phone(&name));
                    // Its certificates go with it.
                    let tied = self.certificates.iter().filter(|(_, row)| row.phone.as_ref() == Some(&name));
                    found.extend(
                        tied.map(|(key, row)| Before::Certificate {
                            key: key.clone(),
                            row: Some(row.clone()),
                        }),
                    );
                }
            }
            Kind::Certificate => {
                found.extend(super::remove::certificate_key(name).map(|key| self.before_certificate(key)));
            }
        }
        Undo(found)
    }

    /// What is there before a profile gets another name.
    pub(super) fn before_rename(&self, id: ProfileId, to: &str) -> Undo {
        let profile = self.profiles.get(&id).map(|e| Arc::clone(&e.profile));
        Undo(profile.map(|profile| Before::Renamed { id, profile, to: to.into() }).into_iter().collect())
    }

    fn before_trunking(&self) -> Before {
        Before::Trunking(Box::new(self.trunking.clone()))
    }

    fn before_parameters(&self) -> Before {
        Before::Parameters(Box::new(self.parameters.clone()), self.set.clone())
    }

    fn before_model(&self, name: &str) -> Before {
        Before::Model { name: name.into(), model: self.models.get(name).cloned(), made: self.models_made }
    }

    fn before_package(&self, name: &str) -> Before {
        Before::Package { name: name.into(), row: self.packages.get(name).cloned() }
    }

    fn before_profile(&self, name: &str) -> Before {
        let entry = self.profile_names.get(name).and_then(|id| self.profiles.get(id));
        let profile = entry.map(|e| Arc::clone(&e.profile));
        Before::Profile { name: name.into(), profile, made: self.profiles_made }
    }

    fn before_common(&self, name: &str) -> Before {
        Before::Common { name: name.into(), hardening: self.commons.get(name).map(|c| c.hardening) }
    }

    fn before_user(&self, id: &UserId) -> Before {
        Before::User { id: id.clone(), entry: self.users.get(id).cloned() }
    }

    fn before_phone(&self, name: &DeviceName) -> Before {
        let index = self.device_index(name);
        let entry = index.and_then(|i| self.phone(i)).cloned();
        Before::Phone { name: name.clone(), index, entry, places: self.phones.len() }
    }

    fn before_certificate(&self, key: (Purpose, Box<str>)) -> Before {
        Before::Certificate { row: self.certificates.get(&key).cloned(), key }
    }

    /// Puts everything back as it was before the change, indexes and counters included.
    pub fn revert(&mut self, undo: Undo) {
        for before in undo.0.into_iter().rev() {
            self.restore(before);
        }
    }

    fn restore(&mut self, before: Before) {
        match before {
            Before::Parameters(parameters, set) => {
                self.parameters = *parameters;
                self.set = set;
            }
            Before::Model { name, model, made } => {
                if let Some(now) = self.models.remove(&name) {
                    self.model_names.remove(&now.id);
                }
                if let Some(model) = model {
                    self.model_names.insert(model.id, name.clone());
                    self.models.insert(name, model);
                }
                self.models_made = made;
            }
            Before::Profile { name, profile, made } => {
                match profile {
                    // Its phones stay: a profile that has some is changed, never removed (R101).
                    Some(profile) => {
                        self.profile_names.insert(name, profile.id);
                        let new =
                            || ProfileEntry { profile: Arc::clone(&profile), devices: Default::default() };
                        self.profiles.entry(profile.id).or_insert_with(new).profile = Arc::clone(&profile);
                    }
                    None => {
                        if let Some(id) = self.profile_names.remove(&name) {
                            self.profiles.remove(&id);
                        }
                    }
                }
                self.profiles_made = made;
            }
            Before::Renamed { id, profile, to } => {
                self.profile_names.remove(&to);
                self.profile_names.insert(profile.name.as_str().into(), id);
                if let Some(entry) = self.profiles.get_mut(&id) {
                    entry.profile = profile;
                }
            }
            Before::Trunking(trunking) => self.trunking = *trunking,
            // Its phones stay: one that has some is changed, never removed.
            Before::Common { name, hardening: Some(hardening) } => {
                let new = CommonEntry { hardening, phones: Default::default() };
                self.commons.entry(name).or_insert(new).hardening = hardening;
            }
            Before::Common { name, hardening: None } => {
                self.commons.remove(&name);
            }
            Before::Package { name, row } => put_back(&mut self.packages, name, row),
            Before::Enterprise(hardening) => self.enterprise = hardening,
            Before::User { id, entry } => put_back(&mut self.users, id, entry),
            Before::Line { dn, existed: true } => {
                self.lines.entry(dn).or_default();
            }
            Before::Line { dn, existed: false } => {
                self.lines.remove(&dn);
            }
            Before::Phone { name, index, entry, places } => self.restore_phone(name, index, entry, places),
            Before::Certificate { key, row } => {
                if let Some(now) = self.certificates.remove(&key) {
                    self.untie(&now);
                }
                if let Some(row) = row {
                    self.tie(&row);
                    self.certificates.insert(key, row);
                }
            }
        }
    }

    fn restore_phone(
        &mut self,
        name: DeviceName,
        index: Option<DeviceIndex>,
        entry: Option<PhoneEntry>,
        places: usize,
    ) {
        if let Some(now) = self.names.remove(&name)
            && let Some(phone) = self.phones.get_mut(now.0 as usize).and_then(Option::take)
        {
            self.unlink(now, &phone);
        }
        self.phones.truncate(places);
        if let (Some(index), Some(phone)) = (index, entry)
            && let Some(profile) = self.profile(phone.profile)
        {
            self.link(index, &phone, profile);
            self.names.insert(name, index);
            if let Some(place) = self.phones.get_mut(index.0 as usize) {
                *place = Some(phone);
            }
        }
    }
}

fn put_back<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, entry: Option<V>) {
    match entry {
        Some(entry) => map.insert(key, entry),
        None => map.remove(&key),
    };
}
