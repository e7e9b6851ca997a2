//! Rebuilding the inventory from stored records.

use std::sync::Arc;

use crate::ids::{DeviceIndex, DeviceName, Dn, UserId};
use crate::model::FIRST_IMPORTED_MODEL;
use crate::profile::SecurityProfile;

use super::rows::{CommonPhoneProfileRow, EnterprisePhoneRow};
use super::store::{CommonEntry, ProfileEntry, UserEntry, UserStore};
use super::stored::{self, StoredCertificate, StoredModel, StoredUser, form, from_bytes, phone_from};
use super::{Inventory, Kind, LoadError, ParameterRow, Sealer};

impl Inventory {
    /// Takes one stored record, as a [`super::Change::Put`] wrote it, into an inventory that is being
    /// rebuilt. Kinds must come in [`Kind::LOAD_ORDER`]; within a kind any order does.
    pub fn load(
        &mut self,
        kind: Kind,
        key: &str,
        bytes: &[u8],
        sealer: &dyn Sealer,
    ) -> Result<(), LoadError> {
        match kind {
            Kind::Counter => {
                let made: u32 = from_bytes(kind, key, bytes)?;
                match key {
                    stored::PROFILE_COUNTER => self.profiles_made = self.profiles_made.max(made),
                    stored::MODEL_COUNTER => self.models_made = self.models_made.max(made),
                    _ => return Err(form(kind, key, &"unknown counter")),
                }
            }
            Kind::Parameter => {
                let row =
                    ParameterRow::new(key, from_bytes(kind, key, bytes)?).map_err(|e| form(kind, key, &e))?;
                self.parameters.set(&row);
                self.set.insert(key.into(), row.value().clone());
                self.settle_nodes();
            }
            Kind::PhoneModel => {
                let StoredModel { id, row } = from_bytes(kind, key, bytes)?;
                self.models_made = self.models_made.max((id.0 + 1).saturating_sub(FIRST_IMPORTED_MODEL));
                self.model_names.insert(id, row.name.clone());
                self.models.insert(row.name.clone(), Arc::new(row.to_model(id)));
            }
            Kind::Package => {
                let row: super::PackageRow = from_bytes(kind, key, bytes)?;
                self.packages.insert(row.name.clone(), row);
            }
            Kind::SecurityProfile => {
                let profile: SecurityProfile = from_bytes(kind, key, bytes)?;
                if self.model(&profile.model).is_none() {
                    return Err(missing(kind, key, format!("phone_model `{}`", profile.model)));
                }
                let id = profile.id;
                self.profiles_made = self.profiles_made.max(id.0);
                self.profile_names.insert(profile.name.as_str().into(), id);
                let entry = ProfileEntry { profile: Arc::new(profile), devices: Default::default() };
                self.profiles.insert(id, entry);
            }
            Kind::CommonPhoneProfile => {
                let row: CommonPhoneProfileRow = from_bytes(kind, key, bytes)?;
                self.commons
                    .insert(row.name, CommonEntry { hardening: row.hardening, phones: Default::default() });
            }
            Kind::EnterprisePhone => {
                let row: EnterprisePhoneRow = from_bytes(kind, key, bytes)?;
                self.enterprise = Some(row.hardening);
            }
            Kind::ApplicationUser => self.load_user(UserStore::ApplicationUser, key, bytes, sealer)?,
            Kind::EndUser => self.load_user(UserStore::EndUser, key, bytes, sealer)?,
            Kind::SipRealm | Kind::TrunkSecurityProfile | Kind::Trunk => {
                self.load_trunking(kind, key, bytes, sealer)?;
            }
            Kind::Line => {
                let dn = Dn::parse(key).map_err(|e| form(kind, key, &e))?;
                self.lines.entry(dn).or_default();
            }
            Kind::Phone => self.load_phone(key, bytes, sealer)?,
            Kind::Certificate => {
                let stored: StoredCertificate = from_bytes(kind, key, bytes)?;
                if let Some(phone) = stored.row.phone.as_ref().filter(|p| !self.names.contains_key(*p)) {
                    return Err(missing(kind, key, format!("phone {phone}")));
                }
                self.add_certificate(stored);
            }
        }
        Ok(())
    }

    fn load_user(
        &mut self,
        store: UserStore,
        key: &str,
        bytes: &[u8],
        sealer: &dyn Sealer,
    ) -> Result<(), LoadError> {
        let kind = store.kind();
        let id = UserId::parse(key).map_err(|e| form(kind, key, &e))?;
        let StoredUser { credentials } = from_bytes(kind, key, bytes)?;
        let credentials = stored::opened(credentials, sealer, kind, key)?;
        self.users.insert(
            id,
            UserEntry { store, credentials, devices: Default::default(), logged_in: Default::default() },
        );
        Ok(())
    }

    fn load_phone(&mut self, key: &str, bytes: &[u8], sealer: &dyn Sealer) -> Result<(), LoadError> {
        let kind = Kind::Phone;
        let name = DeviceName::parse(key).map_err(|e| form(kind, key, &e))?;
        let phone = phone_from(name, bytes, sealer)?;
        let profile = self
            .profile(phone.profile)
            .ok_or_else(|| missing(kind, key, format!("security_profile number {}", phone.profile.0)))?;
        if self.model_by_id(phone.model).is_none() {
            return Err(missing(kind, key, format!("phone_model number {}", phone.model.0)));
        }
        if let Some(line) = phone.lines.iter().find(|l| !self.lines.contains_key(*l)) {
            return Err(missing(kind, key, format!("line {line}")));
        }
        if let Some(user) = [phone.digest_user.as_ref(), phone.em_user()]
            .into_iter()
            .flatten()
            .find(|u| !self.users.contains_key(*u))
        {
            return Err(missing(kind, key, format!("user `{user}`")));
        }
        if self.names.contains_key(&phone.name) {
            return Err(form(kind, key, &"loaded twice"));
        }
        let index =
            DeviceIndex(u32::try_from(self.phones.len()).map_err(|_| form(kind, key, &"too many phones"))?);
        self.link(index, &phone, profile);
        self.names.insert(phone.name.clone(), index);
        self.phones.push(Some(phone));
        Ok(())
    }
}

fn missing(kind: Kind, key: &str, missing: String) -> LoadError {
    LoadError::Reference { kind, key: key.to_owned(), missing }
}
