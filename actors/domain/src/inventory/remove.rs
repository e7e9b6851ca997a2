//! Deleting: refused while something names the thing (R101, R185, R217).

use crate::ids::{DeviceIndex, DeviceName};
use crate::model::builtin;

use super::apply::{Change, Event, put};
use super::parameter::addressed;
use super::parse::shorten;
use super::store::UserStore;
use super::stored::{self, bytes};
use super::{Inventory, Kind, Purpose, RowError};

impl Inventory {
    /// Deletes what `kind` and `name` say (of a certificate `<purpose>/<fingerprint>`). Removing a
    /// parameter or the enterprise level means its default again. A phone's own certificates go with
    /// it.
    pub fn remove(&mut self, kind: Kind, name: &str) -> Result<Vec<Change>, RowError> {
        let gone = || RowError::NotFound { kind, name: shorten(name) };
        let used = |by: String| RowError::InUse { kind, name: name.to_owned(), by };
        let mut changes = Vec::new();
        match kind {
            Kind::Counter => return Err(gone()),
            Kind::Parameter => return self.remove_parameter(name),
            Kind::PhoneModel => {
                if builtin(name).is_some() {
                    return Err(RowError::ModelBuiltin { name: name.to_owned() });
                }
                let model = self.models.get(name).ok_or_else(gone)?;
                let entry = self.profiles.values().find(|e| e.profile.model == name);
                if let Some(entry) = entry {
                    let first = entry.devices.first().and_then(|d| self.phone(*d));
                    return Err(used(match first {
                        Some(phone) => format!("phone {} and its like", phone.name),
                        None => format!("security profile `{}`", entry.profile.name),
                    }));
                }
                let id = model.id;
                self.models.remove(name);
                self.model_names.remove(&id);
                changes.push(Change::Delete { kind, key: name.to_owned() });
                changes.push(put(Kind::Counter, stored::MODEL_COUNTER, bytes(&self.models_made)));
                changes.push(Change::Publish(Event::ModelRemoved(name.to_owned())));
            }
            Kind::Package => {
                let types = &self.packages.get(name).ok_or_else(gone)?.types;
                if let Some(first) = types.iter().find(|t| self.models.contains_key(*t)) {
                    return Err(used(format!("the phone models that it brought, as `{first}`")));
                }
                self.packages.remove(name);
                changes.push(Change::Delete { kind, key: name.to_owned() });
            }
            Kind::SecurityProfile => {
                let id = match self.profile_names.get(name) {
                    Some(id) => *id,
                    None if self.predefined_named(name).is_some() => {
                        return Err(RowError::ProfilePredefined { name: name.to_owned() });
                    }
                    None => return Err(gone()),
                };
                let devices = self.device_count_of(id);
                if let Some(first) = self.devices_of(id, None).next() {
                    return Err(used(by_phones(devices, first)));
                }
                self.profiles.remove(&id);
                self.profile_names.remove(name);
                changes.push(Change::Delete { kind, key: stored::profile_key(id) });
                changes.push(put(Kind::Counter, stored::PROFILE_COUNTER, bytes(&self.profiles_made)));
                changes.push(Change::Publish(Event::ProfileRemoved(id)));
            }
            Kind::CommonPhoneProfile => {
                let phones = self.commons.get(name).ok_or_else(gone)?.phones.len();
                if phones > 0 {
                    return Err(used(counted(phones, "phone")));
                }
                self.commons.remove(name);
                changes.push(Change::Delete { kind, key: name.to_owned() });
                changes.push(Change::Publish(Event::CommonPhoneProfileChanged(name.to_owned())));
            }
            Kind::EnterprisePhone => {
                self.enterprise.take().ok_or_else(gone)?;
                changes.push(Change::Delete { kind, key: stored::ENTERPRISE_KEY.to_owned() });
                changes.push(Change::Publish(Event::EnterprisePhoneChanged));
            }
            Kind::ApplicationUser => self.remove_user(UserStore::ApplicationUser, name, &mut changes)?,
            Kind::EndUser => self.remove_user(UserStore::EndUser, name, &mut changes)?,
            Kind::SipRealm | Kind::TrunkSecurityProfile | Kind::Trunk => {
                self.remove_trunking(kind, name, &mut changes)?;
            }
            Kind::Line => {
                let devices = self.lines.get(name).ok_or_else(gone)?;
                if let Some(first) = devices.first() {
                    return Err(used(by_phones(devices.len(), self.label(*first))));
                }
                if let Some((dn, _)) = self.lines.remove_entry(name) {
                    changes.push(Change::Delete { kind, key: name.to_owned() });
                    changes.push(Change::Publish(Event::LineRemoved(dn)));
                }
            }
            Kind::Phone => self.remove_phone(name, &mut changes)?,
            Kind::Certificate => {
                let key = certificate_key(name).ok_or_else(gone)?;
                let row = self.certificates.remove(&key).ok_or_else(gone)?;
                self.untie(&row);
                self.certificate_gone(key, row.phone, &mut changes);
            }
        }
        Ok(changes)
    }

    fn remove_parameter(&mut self, name: &str) -> Result<Vec<Change>, RowError> {
        let (spec, node) = addressed(name)?;
        if node.is_none() {
            let mut after = self.parameters.clone();
            after.reset(spec);
            after.check()?;
            self.parameters = after;
        }
        self.set.remove(name);
        self.settle_nodes();
        Ok(vec![
            Change::Delete { kind: Kind::Parameter, key: name.to_owned() },
            Change::Publish(Event::ParameterChanged(spec.name)),
        ])
    }

    fn remove_user(
        &mut self,
        store: UserStore,
        name: &str,
        changes: &mut Vec<Change>,
    ) -> Result<(), RowError> {
        let kind = store.kind();
        let entry = self.users.get(name).filter(|u| u.store == store);
        let entry = entry.ok_or_else(|| RowError::NotFound { kind, name: shorten(name) })?;
        let by = match (entry.devices.first(), entry.logged_in.first()) {
            (Some(device), _) => Some(format!("phone {} as its digest user", self.label(*device))),
            (None, Some(device)) => Some(format!("phone {}, on which it is logged in", self.label(*device))),
            (None, None) => None,
        };
        if let Some(by) = by {
            return Err(RowError::InUse { kind, name: name.to_owned(), by });
        }
        if let Some((id, _)) = self.users.remove_entry(name) {
            changes.push(Change::Delete { kind, key: name.to_owned() });
            changes.push(Change::Publish(Event::UserRemoved(id)));
        }
        Ok(())
    }

    fn remove_phone(&mut self, name: &str, changes: &mut Vec<Change>) -> Result<(), RowError> {
        let kind = Kind::Phone;
        let gone = || RowError::NotFound { kind, name: shorten(name) };
        let name = DeviceName::parse(name).map_err(|_| gone())?;
        let index = self.names.remove(&name).ok_or_else(gone)?;
        changes.push(Change::Delete { kind, key: name.to_string() });
        changes.push(Change::Publish(Event::DeviceRemoved { name: name.clone(), index }));
        if let Some(phone) = self.phones.get_mut(index.0 as usize).and_then(Option::take) {
            self.unlink(index, &phone);
            changes.extend(phone.lines.iter().map(|l| Change::Publish(Event::LineChanged(l.clone()))));
        }
        // Another phone of this name must not inherit the certificates.
        if self.phone_certificates.remove(&name).is_some() {
            let tied = self.certificates.iter().filter(|(_, row)| row.phone.as_ref() == Some(&name));
            let keys: Vec<_> = tied.map(|(key, _)| key.clone()).collect();
            for key in keys {
                self.certificates.remove(&key);
                self.certificate_gone(key, Some(name.clone()), changes);
            }
        }
        Ok(())
    }

    fn certificate_gone(
        &self,
        (purpose, fingerprint): (Purpose, Box<str>),
        phone: Option<DeviceName>,
        changes: &mut Vec<Change>,
    ) {
        let key = stored::certificate_key(purpose, &fingerprint);
        let fingerprint = fingerprint.into();
        changes.push(Change::Delete { kind: Kind::Certificate, key });
        changes.push(Change::Publish(Event::CertificateChanged { purpose, fingerprint, phone }));
    }

    fn label(&self, index: DeviceIndex) -> &str {
        self.phone(index).map_or("?", |p| p.name.as_str())
    }
}

pub(super) fn certificate_key(name: &str) -> Option<(Purpose, Box<str>)> {
    let (purpose, fingerprint) = name.split_once('/')?;
    Some((Purpose::parse(purpose)?, fingerprint.into()))
}

/// `1 phone`, `2 phones`.
pub(super) fn counted(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// Who stands in the way of a removal.
fn by_phones(count: usize, first: impl std::fmt::Display) -> String {
    match count {
        1 => format!("phone {first}"),
        count => format!("{count} phones, the first is {first}"),
    }
}
