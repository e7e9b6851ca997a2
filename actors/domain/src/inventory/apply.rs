//! Taking a checked row in: what to persist, what to publish.

use std::sync::Arc;

use crate::ids::{DeviceIndex, DeviceName, Dn, ProfileId, ProfileVersion, UserId};
use crate::model::{FIRST_IMPORTED_MODEL, LAST_MODEL, ModelId};
use crate::profile::{SecurityProfile, predefined_id, resolve};

use super::parse::shorten;
use super::rows::{CertificateRow, PhoneModelRow, PhoneRow, Row, SecurityProfileRow, UserRow};
use super::store::{CommonEntry, PhoneEntry, PhoneExtra, ProfileEntry, UserEntry, UserStore};
use super::stored::{self, StoredCertificate, StoredModel, StoredUser, bytes};
use super::{Inventory, Kind, ParameterRow, Purpose, RowError, Sealer};

/// How rows are applied.
#[derive(Clone, Copy)]
pub struct Apply<'a> {
    /// Seals secrets for storage.
    pub sealer: &'a dyn Sealer,
    /// No node runs: a new version of a profile applies at once (design §5, Profile versions), and
    /// [`Event::AppliesAtOnce`] says to whom.
    pub offline: bool,
}

/// One thing to do after a row was applied: persist in one commit, then publish in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Write this record.
    Put {
        /// Kind, that is, table.
        kind: Kind,
        /// Key within the kind.
        key: String,
        /// JSON.
        value: Vec<u8>,
    },
    /// Delete this record.
    Delete {
        /// Kind, that is, table.
        kind: Kind,
        /// Key within the kind.
        key: String,
    },
    /// Tell those whom it concerns.
    Publish(Event),
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A parameter acts from its commit.
    ParameterChanged(&'static str),
    /// A model was imported or changed; the devices of it have another trust or other abilities.
    ModelChanged(String),
    /// A model is gone.
    ModelRemoved(String),
    /// A profile was saved.
    ProfileSaved {
        /// The profile.
        id: ProfileId,
        /// Its version; as before when only name or description changed.
        version: ProfileVersion,
        /// The settings are new, so its phones are pending until they are applied.
        needs_apply: bool,
    },
    /// A profile is gone.
    ProfileRemoved(ProfileId),
    /// A common phone profile was saved or removed.
    CommonPhoneProfileChanged(String),
    /// The enterprise level was saved.
    EnterprisePhoneChanged,
    /// A user was saved; its credentials may be new.
    UserChanged {
        /// The user.
        id: UserId,
        /// The phone that uses its credentials.
        device: Option<DeviceName>,
    },
    /// A user is gone.
    UserRemoved(UserId),
    /// A line was saved, or other devices have it now.
    LineChanged(Dn),
    /// A line is gone.
    LineRemoved(Dn),
    /// A phone was added or changed.
    DeviceChanged {
        /// The phone.
        name: DeviceName,
        /// Its place.
        index: DeviceIndex,
        /// It is new, or another profile is assigned: it is pending until that is applied.
        assigned: bool,
    },
    /// A phone is gone.
    DeviceRemoved {
        /// The phone.
        name: DeviceName,
        /// Its place, which no other phone gets.
        index: DeviceIndex,
    },
    /// A certificate was saved or removed.
    CertificateChanged {
        /// What it is, or was, trusted for.
        purpose: Purpose,
        /// SHA-256 of its DER.
        fingerprint: String,
        /// The phone it is tied to.
        phone: Option<DeviceName>,
    },
    /// Offline: these phones are judged at once by the saved version of their profile.
    AppliesAtOnce {
        /// The phones.
        devices: Vec<DeviceName>,
    },
}

/// Rows in the order in which they must be applied: by kind, and of rows with one name the last only.
pub fn in_order(rows: Vec<Row>) -> Vec<Row> {
    let mut keyed: Vec<(Kind, String, usize, Row)> =
        rows.into_iter().enumerate().map(|(at, row)| (row.kind(), row.name(), at, row)).collect();
    keyed.sort_unstable_by(|a, b| (a.0, &a.1, a.2).cmp(&(b.0, &b.1, b.2)));
    let mut last: Vec<(Kind, String, usize, Row)> = Vec::with_capacity(keyed.len());
    for next in keyed {
        if last.last().is_some_and(|l| (l.0, &l.1) == (next.0, &next.1)) {
            last.pop();
        }
        last.push(next);
    }
    // Numbers are given in the order of the file.
    last.sort_unstable_by_key(|(kind, _, at, _)| (*kind, *at));
    last.into_iter().map(|(_, _, _, row)| row).collect()
}

impl Inventory {
    /// Takes a row in. It must have passed [`Inventory::check`], with its file, and rows must come as
    /// [`in_order`] gives them; a row that names something missing is refused all the same. When the
    /// commit of what this returns fails, the inventory is ahead of the store: load it again.
    pub fn apply(&mut self, row: Row, how: Apply<'_>) -> Result<Vec<Change>, RowError> {
        let mut changes = Vec::with_capacity(2);
        match row {
            Row::Parameter(r) => self.apply_parameter(&r, &mut changes),
            Row::PhoneModel(r) => self.apply_model(*r, &mut changes)?,
            Row::Package(r) => {
                changes.push(put(Kind::Package, &*r.name, bytes(&r)));
                self.packages.insert(r.name.clone(), r);
            }
            Row::SecurityProfile(r) => self.apply_profile(&r, how, &mut changes)?,
            Row::CommonPhoneProfile(r) => {
                changes.push(put(Kind::CommonPhoneProfile, &*r.name, bytes(&r)));
                changes.push(Change::Publish(Event::CommonPhoneProfileChanged(r.name.to_string())));
                let new = CommonEntry { hardening: r.hardening, phones: Default::default() };
                self.commons.entry(r.name).or_insert(new).hardening = r.hardening;
            }
            Row::EnterprisePhone(r) => {
                self.enterprise = Some(r.hardening);
                changes.push(put(Kind::EnterprisePhone, stored::ENTERPRISE_KEY, bytes(&r)));
                changes.push(Change::Publish(Event::EnterprisePhoneChanged));
            }
            Row::ApplicationUser(r) => {
                self.apply_user(UserStore::ApplicationUser, r, how.sealer, &mut changes)?;
            }
            Row::EndUser(r) => self.apply_user(UserStore::EndUser, r, how.sealer, &mut changes)?,
            Row::SipRealm(r) => self.apply_realm(r, how.sealer, &mut changes),
            Row::TrunkSecurityProfile(r) => self.apply_trunk_profile(*r, &mut changes),
            Row::Trunk(r) => self.apply_trunk(*r, &mut changes)?,
            Row::Line(r) => {
                changes.push(put(Kind::Line, r.dn.as_str(), b"{}".to_vec()));
                changes.push(Change::Publish(Event::LineChanged(r.dn.clone())));
                self.lines.entry(r.dn).or_default();
            }
            Row::Phone(r) => self.apply_phone(*r, how, &mut changes)?,
            Row::Certificate(r) => self.apply_certificate(*r, &mut changes)?,
        }
        Ok(changes)
    }

    fn apply_parameter(&mut self, row: &ParameterRow, changes: &mut Vec<Change>) {
        let key = row.key();
        self.parameters.set(row);
        self.set.insert(key.as_str().into(), row.value().clone());
        self.settle_nodes();
        changes.push(put(Kind::Parameter, key, bytes(row.value())));
        changes.push(Change::Publish(Event::ParameterChanged(row.spec().name)));
    }

    fn apply_model(&mut self, row: PhoneModelRow, changes: &mut Vec<Change>) -> Result<(), RowError> {
        if crate::model::builtin(&row.name).is_some() {
            return Err(RowError::ModelBuiltin { name: row.name.to_string() });
        }
        let id = match self.models.get(&row.name) {
            Some(old) => old.id,
            None => {
                let id = FIRST_IMPORTED_MODEL + self.models_made;
                if id > LAST_MODEL {
                    return Err(RowError::Full("phone model"));
                }
                self.models_made += 1;
                ModelId(id)
            }
        };
        let model = row.to_model(id);
        self.model_names.insert(id, row.name.clone());
        self.models.insert(row.name.clone(), Arc::new(model));
        let name = row.name.to_string();
        changes.push(put(Kind::PhoneModel, &*name, bytes(&StoredModel { id, row })));
        changes.push(Change::Publish(Event::ModelChanged(name)));
        Ok(())
    }

    fn apply_profile(
        &mut self,
        row: &SecurityProfileRow,
        how: Apply<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), RowError> {
        let name = row.name.to_string();
        if self.predefined_named(&name).is_some() {
            return Err(RowError::ProfilePredefined { name });
        }
        let by = || format!("security profile `{}`", row.name);
        let model = self.model(&row.model).ok_or_else(|| missing(by(), Kind::PhoneModel, &row.model))?;
        let protocol = row.protocol.unwrap_or_else(|| model.protocols.default_protocol());
        let settings = resolve(&row.fields(), model, protocol)
            .map_err(|error| RowError::Profile { name: name.clone(), error })?;
        let description = row.description.to_string();
        let old = self.profile_names.get(&*row.name).and_then(|id| self.profiles.get_mut(id));
        let (profile, needs_apply, devices) = match old {
            Some(entry) => {
                let old = &*entry.profile;
                if old.model != *row.model || old.protocol != protocol {
                    let (model, protocol) = (old.model.clone(), old.protocol);
                    return Err(RowError::ProfileIdentity { name, model, protocol });
                }
                let changed = old.settings != settings;
                if !changed && old.description == description {
                    return Ok(());
                }
                let version = ProfileVersion(old.version.0.saturating_add(u32::from(changed)));
                let new = SecurityProfile { version, description, settings, ..old.clone() };
                entry.profile = Arc::new(new);
                let devices: Vec<_> =
                    if how.offline && changed { entry.devices.iter().copied().collect() } else { Vec::new() };
                (entry.profile.clone(), changed, devices)
            }
            None => {
                if self.profiles_made >= predefined_id(ModelId(0), crate::mode::Protocol::Sip).0 - 1 {
                    return Err(RowError::Full("security profile"));
                }
                self.profiles_made += 1;
                let id = ProfileId(self.profiles_made);
                let version = ProfileVersion(1);
                let model = row.model.to_string();
                let predefined = false;
                let profile = Arc::new(SecurityProfile {
                    id,
                    version,
                    name,
                    description,
                    model,
                    protocol,
                    predefined,
                    settings,
                });
                let entry = ProfileEntry { profile: profile.clone(), devices: Default::default() };
                self.profiles.insert(id, entry);
                self.profile_names.insert(row.name.clone(), id);
                (profile, true, Vec::new())
            }
        };
        changes.push(put(Kind::SecurityProfile, stored::profile_key(profile.id), bytes(&*profile)));
        let (id, version) = (profile.id, profile.version);
        changes.push(Change::Publish(Event::ProfileSaved { id, version, needs_apply }));
        let devices: Vec<_> =
            devices.into_iter().filter_map(|d| self.phone(d).map(|p| p.name.clone())).collect();
        if !devices.is_empty() {
            changes.push(Change::Publish(Event::AppliesAtOnce { devices }));
        }
        Ok(())
    }

    fn apply_user(
        &mut self,
        store: UserStore,
        row: UserRow,
        sealer: &dyn Sealer,
        changes: &mut Vec<Change>,
    ) -> Result<(), RowError> {
        let new = UserEntry::new(store, None);
        let entry = self.users.entry(row.id.clone()).or_insert(new);
        if entry.store != store {
            return Err(RowError::UserInOtherStore { user: row.id.to_string(), other: entry.store.kind() });
        }
        entry.credentials = row.digest_credentials.over(entry.credentials.take());
        let (kind, key) = (store.kind(), row.id.as_str());
        let credentials = entry.credentials.as_ref().map(|c| stored::sealed(c, sealer, kind, key));
        let device = entry.logged_in.first().or(entry.devices.first()).copied();
        changes.push(put(kind, key, bytes(&StoredUser { credentials })));
        let device = device.and_then(|d| self.phone(d)).map(|p| p.name.clone());
        changes.push(Change::Publish(Event::UserChanged { id: row.id, device }));
        Ok(())
    }

    fn apply_phone(
        &mut self,
        row: PhoneRow,
        how: Apply<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), RowError> {
        let by = || format!("phone {}", row.name);
        let model = self.model(&row.model).ok_or_else(|| missing(by(), Kind::PhoneModel, &row.model))?;
        let protocol = row.protocol.unwrap_or_else(|| model.protocols.default_protocol());
        let profile = match &row.security_profile {
            None => predefined_id(model.id, protocol),
            Some(name) => self.profile_id(name).ok_or_else(|| missing(by(), Kind::SecurityProfile, name))?,
        };
        // The one number without a profile: predefined, of a protocol that the model does not speak.
        let Some(saved) = self.profile(profile) else {
            let (phone, model) = (row.name.to_string(), row.model.to_string());
            return Err(RowError::PhoneProtocol { phone, model, protocol });
        };
        if saved.model != *model.name || saved.protocol != protocol {
            return Err(RowError::ProfileOfOtherModel {
                phone: row.name.to_string(),
                model: row.model.to_string(),
                protocol,
                profile: saved.name.clone(),
                profile_model: saved.model.clone(),
                profile_protocol: saved.protocol,
            });
        }
        let model = model.id;
        if let Some(line) = row.lines.iter().find(|l| !self.lines.contains_key(*l)) {
            return Err(missing(by(), Kind::Line, line.as_str()));
        }
        let logged_in = if let super::Login::In(user) = &row.em_user { Some(user) } else { None };
        let users = [row.digest_user.as_ref(), logged_in];
        if let Some(user) = users.into_iter().flatten().find(|u| !self.users.contains_key(*u)) {
            return Err(missing(by(), Kind::EndUser, user.as_str()));
        }
        if let Some(name) = row.common_phone_profile.as_ref().filter(|n| !self.commons.contains_key(*n)) {
            return Err(missing(by(), Kind::CommonPhoneProfile, name));
        }
        let index = match self.names.get(&row.name) {
            Some(index) => *index,
            None => {
                let free = u32::try_from(self.phones.len()).ok().filter(|n| *n < u32::MAX);
                let index = DeviceIndex(free.ok_or(RowError::Full("phone"))?);
                self.phones.push(None);
                index
            }
        };
        let old = self.phones.get_mut(index.0 as usize).and_then(Option::take);
        // The order without its string keeps the string; no order at all drops it.
        let old_pin = old.as_ref().and_then(|p| p.extra.as_ref()).and_then(|e| e.capf_string.clone());
        let old_login = old.as_ref().and_then(|p| p.em_user()).cloned();
        let keeps = row.capf.is_some();
        let capf = row.capf.unwrap_or_default();
        let extra = PhoneExtra {
            common: row.common_phone_profile,
            hardening: row.hardening,
            capf_operation: capf.operation,
            capf_string: if keeps { capf.authentication_string.over(old_pin) } else { None },
            em_user: row.em_user.over(old_login),
        };
        let phone = PhoneEntry {
            name: row.name,
            // One empty text for all that have none.
            description: if row.description.is_empty() { Arc::default() } else { row.description.into() },
            // The names as they stand in the tables, so that each is there once.
            lines: row.lines.iter().filter_map(|l| Some(self.lines.get_key_value(l)?.0.clone())).collect(),
            digest_user: row.digest_user.map(|u| match self.users.get_key_value(&u) {
                Some((own, _)) => own.clone(),
                None => u,
            }),
            extra: (extra != PhoneExtra::default()).then(|| Box::new(extra)),
            model,
            profile,
            protocol,
        };
        changes.push(put(Kind::Phone, phone.name.as_str(), stored::phone_bytes(&phone, how.sealer)));
        let assigned = old.as_ref().is_none_or(|o| o.profile != profile);
        let name = phone.name.clone();
        let mut lines: Vec<Dn> = Vec::new();
        match &old {
            Some(old) if old.lines == phone.lines => {}
            old => {
                let before = old.as_ref().map(|o| &*o.lines).unwrap_or_default();
                lines.extend(before.iter().filter(|l| !phone.lines.contains(l)).cloned());
                lines.extend(phone.lines.iter().filter(|l| !before.contains(l)).cloned());
            }
        }
        if let Some(old) = &old {
            self.unlink(index, old);
        }
        self.link(index, &phone, saved);
        self.phones[index.0 as usize] = Some(phone);
        self.names.insert(name.clone(), index);
        changes.push(Change::Publish(Event::DeviceChanged { name: name.clone(), index, assigned }));
        changes.extend(lines.into_iter().map(|l| Change::Publish(Event::LineChanged(l))));
        if how.offline {
            changes.push(Change::Publish(Event::AppliesAtOnce { devices: vec![name] }));
        }
        Ok(())
    }

    fn apply_certificate(
        &mut self,
        mut row: CertificateRow,
        changes: &mut Vec<Change>,
    ) -> Result<(), RowError> {
        let Some(facts) = row.facts.take() else { return Err(RowError::CertificateUnread) };
        if let Some(phone) = row.phone.as_ref().filter(|p| !self.names.contains_key(*p)) {
            return Err(missing("certificate".to_owned(), Kind::Phone, phone.as_str()));
        }
        let (purpose, fingerprint) = (row.purpose, facts.fingerprint.to_string());
        let phone = row.phone.clone();
        let stored = StoredCertificate { row, facts };
        let key = stored::certificate_key(purpose, &fingerprint);
        changes.push(put(Kind::Certificate, key, bytes(&stored)));
        self.add_certificate(stored);
        let event = Event::CertificateChanged { purpose, fingerprint, phone };
        changes.push(Change::Publish(event));
        Ok(())
    }
}

pub(super) fn put(kind: Kind, key: impl Into<String>, value: Vec<u8>) -> Change {
    Change::Put { kind, key: key.into(), value }
}

fn missing(by: String, kind: Kind, name: &str) -> RowError {
    RowError::ReferenceMissing { by, kind: kind.as_str(), name: shorten(name) }
}
