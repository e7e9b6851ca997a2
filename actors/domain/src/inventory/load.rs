//! Rebuilding the inventory from stored records.
//!
//! In two halves, so that two threads can share the work: [`Stored::read`] reads one record by itself; [`Loading`] takes
//! what was read, in order, opens users' secrets (half of the work that a user is) and sees to references. Kinds of which there are many are
//! gathered and entered at once: a tree that is built from sorted rows has full nodes, half the size of one that
//! grew row by row.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::ids::{DeviceIndex, DeviceName, Dn, UserId};
use crate::model::FIRST_IMPORTED_MODEL;
use crate::profile::SecurityProfile;

use super::rows::{CommonPhoneProfileRow, EnterprisePhoneRow};
use super::store::{CommonEntry, PhoneEntry, ProfileEntry, UserEntry, UserStore};
use super::stored::{self, StoredCertificate, StoredModel, StoredUser, form, from_bytes, phone_from};
use super::{Inventory, Kind, LoadError, ParameterRow, Sealer};

/// A stored record that was read; nothing that it names was looked for yet.
pub struct Stored(What);

enum What {
    /// With the sealed credentials.
    User(UserStore, UserId, Option<String>),
    Line(Dn),
    Phone(Box<PhoneEntry>),
    /// Kinds of which there are few are read where they are taken.
    Other(Kind, Box<str>, Box<[u8]>),
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.0 {
            What::User(..) => "Stored(user)",
            What::Line(_) => "Stored(line)",
            What::Phone(_) => "Stored(phone)",
            What::Other(kind, ..) => kind.as_str(),
        })
    }
}

impl Stored {
    /// Reads a record as a [`super::Change::Put`] wrote it.
    ///
    /// # Errors
    /// [`LoadError`], when it is not one of its kind, or its secret does not open.
    pub fn read(kind: Kind, key: &str, bytes: &[u8], sealer: &dyn Sealer) -> Result<Self, LoadError> {
        let user = |store: UserStore| {
            let id = UserId::parse(key).map_err(|e| form(kind, key, &e))?;
            let StoredUser { credentials } = from_bytes(kind, key, bytes)?;
            Ok(What::User(store, id, credentials))
        };
        Ok(Self(match kind {
            Kind::ApplicationUser => user(UserStore::ApplicationUser)?,
            Kind::EndUser => user(UserStore::EndUser)?,
            Kind::Line => What::Line(Dn::parse(key).map_err(|e| form(kind, key, &e))?),
            Kind::Phone => {
                let name = DeviceName::parse(key).map_err(|e| form(kind, key, &e))?;
                What::Phone(Box::new(phone_from(name, bytes, sealer)?))
            }
            _ => What::Other(kind, key.into(), bytes.into()),
        }))
    }
}

/// An inventory that is being rebuilt.
#[derive(Default)]
pub struct Loading {
    inventory: Inventory,
    users: Vec<(UserId, UserEntry)>,
    lines: Vec<(Dn, SmallVec<[DeviceIndex; 4]>)>,
    names: Vec<(DeviceName, DeviceIndex)>,
}

impl Loading {
    /// Nothing was read yet. `node` is the name of the node that loads.
    pub fn new(node: &str) -> Self {
        let mut inventory = Inventory::new();
        inventory.serve_on(&[node]);
        Self { inventory, ..Self::default() }
    }

    /// Takes one record. Kinds must come in [`Kind::LOAD_ORDER`]; within a kind any order does, and that of keys is
    /// the quickest.
    ///
    /// # Errors
    /// [`LoadError`] names the record, and what it names that is not there.
    pub fn take(&mut self, stored: Stored, sealer: &dyn Sealer) -> Result<(), LoadError> {
        match stored.0 {
            What::User(store, id, sealed) => {
                let entry = user_entry(store, &id, sealed, sealer)?;
                self.users.push((id, entry));
                Ok(())
            }
            What::Line(dn) => {
                self.lines.push((dn, SmallVec::new()));
                Ok(())
            }
            What::Phone(phone) => {
                self.settle();
                let name = phone.name.clone();
                let index = self.inventory.enter_phone(*phone)?;
                self.names.push((name, index));
                Ok(())
            }
            What::Other(kind, key, bytes) => {
                self.settle();
                self.settle_names()?;
                self.inventory.load_other(kind, &key, &bytes, sealer)
            }
        }
    }

    /// The inventory.
    ///
    /// # Errors
    /// [`LoadError::Form`], when a phone was there twice.
    pub fn finish(mut self) -> Result<Inventory, LoadError> {
        self.settle();
        self.settle_names()?;
        self.inventory.phones.shrink_to_fit();
        for entry in self.inventory.profiles.values_mut() {
            entry.devices = std::mem::take(&mut entry.devices).into_iter().collect();
        }
        Ok(self.inventory)
    }

    /// Enters users and lines, which phones name.
    fn settle(&mut self) {
        join(&mut self.inventory.users, &mut self.users);
        join(&mut self.inventory.lines, &mut self.lines);
    }

    fn settle_names(&mut self) -> Result<(), LoadError> {
        let count = self.inventory.names.len() + self.names.len();
        let last = self.names.last().map(|(name, _)| name.clone());
        join(&mut self.inventory.names, &mut self.names);
        match last {
            Some(last) if self.inventory.names.len() != count => {
                Err(form(Kind::Phone, last.as_str(), &"this one or one before it was loaded twice"))
            }
            _ => Ok(()),
        }
    }
}

fn user_entry(
    store: UserStore,
    id: &UserId,
    sealed: Option<String>,
    sealer: &dyn Sealer,
) -> Result<UserEntry, LoadError> {
    let credentials = stored::opened(sealed, sealer, store.kind(), id.as_str())?;
    Ok(UserEntry::new(store, credentials))
}

/// Enters all at once where there is nothing yet.
fn join<K: Ord, V>(map: &mut BTreeMap<K, V>, new: &mut Vec<(K, V)>) {
    let new = std::mem::take(new);
    match map.is_empty() {
        true if new.is_empty() => {}
        true => *map = new.into_iter().collect(),
        false => map.extend(new),
    }
}

impl Inventory {
    /// Takes one stored record, as a [`super::Change::Put`] wrote it, into an inventory that is being
    /// rebuilt. Kinds must come in [`Kind::LOAD_ORDER`]; within a kind any order does. [`Loading`] is the quick way.
    pub fn load(
        &mut self,
        kind: Kind,
        key: &str,
        bytes: &[u8],
        sealer: &dyn Sealer,
    ) -> Result<(), LoadError> {
        match Stored::read(kind, key, bytes, sealer)?.0 {
            What::User(store, id, sealed) => {
                let entry = user_entry(store, &id, sealed, sealer)?;
                self.users.insert(id, entry);
                Ok(())
            }
            What::Line(dn) => {
                self.lines.entry(dn).or_default();
                Ok(())
            }
            What::Phone(phone) => {
                if self.names.contains_key(&phone.name) {
                    return Err(form(kind, key, &"loaded twice"));
                }
                let name = phone.name.clone();
                let index = self.enter_phone(*phone)?;
                self.names.insert(name, index);
                Ok(())
            }
            What::Other(kind, key, bytes) => self.load_other(kind, &key, &bytes, sealer),
        }
    }

    fn load_other(
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
            Kind::SipRealm | Kind::TrunkSecurityProfile | Kind::Trunk => {
                self.load_trunking(kind, key, bytes, sealer)?;
            }
            Kind::Certificate => {
                let stored: StoredCertificate = from_bytes(kind, key, bytes)?;
                if let Some(phone) = stored.row.phone.as_ref().filter(|p| !self.names.contains_key(*p)) {
                    return Err(missing(kind, key, format!("phone {phone}")));
                }
                self.add_certificate(stored);
            }
            // Read in the first half.
            Kind::ApplicationUser | Kind::EndUser | Kind::Line | Kind::Phone => {}
        }
        Ok(())
    }

    /// Gives each phone the number that it is known by elsewhere: one read again from the store has those of the order
    /// of names, and a node that runs has numbered its phones in the order in which they came. Phones without a
    /// number get the next ones from `next` on, which must be above all that were ever given.
    ///
    /// # Errors
    /// [`LoadError`] as when a phone is loaded, and when two phones have one number.
    pub fn renumber(
        &mut self,
        number: impl Fn(&DeviceName) -> Option<DeviceIndex>,
        next: DeviceIndex,
    ) -> Result<(), LoadError> {
        let phones = std::mem::take(&mut self.phones).into_iter().flatten();
        let mut phones: Vec<_> = phones.map(|phone| (number(&phone.name), phone)).collect();
        // Those without one keep the order of their names.
        phones.sort_by_key(|(index, _)| index.map_or(u32::MAX, |index| index.0));
        self.names.clear();
        self.lines.values_mut().for_each(SmallVec::clear);
        self.profiles.values_mut().for_each(|entry| entry.devices.clear());
        self.commons.values_mut().for_each(|entry| entry.phones.clear());
        for user in self.users.values_mut() {
            user.devices.clear();
            user.logged_in.clear();
        }
        for (index, phone) in phones {
            let place = index.unwrap_or(next).0 as usize;
            if index.is_some_and(|index| index >= next) {
                return Err(form(Kind::Phone, phone.name.as_str(), &"its number was never given"));
            }
            if index.is_some() && self.phones.len() > place {
                return Err(form(Kind::Phone, phone.name.as_str(), &"another phone has its number"));
            }
            // Numbers of phones that are gone stay empty.
            let empty = place.saturating_sub(self.phones.len());
            self.phones.extend(std::iter::repeat_with(|| None).take(empty));
            let name = phone.name.clone();
            let index = self.enter_phone(phone)?;
            self.names.insert(name, index);
        }
        // Nor does a new phone get the number of one that is gone.
        let least = self.phones.len().max(next.0 as usize);
        self.phones.resize_with(least, || None);
        Ok(())
    }

    /// Enters a phone but for its name. What it names must be there, and is shared from there on.
    fn enter_phone(&mut self, mut phone: PhoneEntry) -> Result<DeviceIndex, LoadError> {
        let kind = Kind::Phone;
        let key = phone.name.clone();
        if self.model_by_id(phone.model).is_none() {
            return Err(missing(kind, key.as_str(), format!("phone_model number {}", phone.model.0)));
        }
        let full = |_| form(kind, key.as_str(), &"too many phones");
        let index = DeviceIndex(u32::try_from(self.phones.len()).map_err(full)?);
        match self.profiles.get_mut(&phone.profile) {
            Some(entry) => {
                entry.devices.insert(index);
            }
            None => {
                let gone =
                    || missing(kind, key.as_str(), format!("security_profile number {}", phone.profile.0));
                let profile = self.profile(phone.profile).ok_or_else(gone)?;
                let devices = std::iter::once(index).collect();
                self.profiles.insert(phone.profile, ProfileEntry { profile, devices });
            }
        }
        let mut lines: SmallVec<[Dn; 4]> = SmallVec::with_capacity(phone.lines.len());
        for dn in phone.lines.iter() {
            let (dn, devices) = found(&mut self.lines, dn.as_str())
                .ok_or_else(|| missing(kind, key.as_str(), format!("line {dn}")))?;
            lines.push(dn.clone());
            // The highest number so far.
            if devices.last() != Some(&index) {
                devices.push(index);
            }
        }
        phone.lines = lines.into_iter().collect();
        let gone = |id: &UserId| missing(kind, key.as_str(), format!("user `{id}`"));
        if let Some(id) = &mut phone.digest_user {
            let (own, entry) = found(&mut self.users, id.as_str()).ok_or_else(|| gone(id))?;
            *id = own.clone();
            entry.devices.push(index);
        }
        if let Some(id) = phone.extra.as_mut().and_then(|e| e.em_user.as_mut()) {
            let (own, entry) = found(&mut self.users, id.as_str()).ok_or_else(|| gone(id))?;
            *id = own.clone();
            entry.logged_in.push(index);
        }
        if let Some(common) = phone.extra.as_ref().and_then(|e| e.common.as_deref())
            && let Some(common) = self.commons.get_mut(common)
        {
            common.phones.insert(index);
        }
        self.phones.push(Some(phone));
        Ok(index)
    }
}

/// An entry with its key.
fn found<'m, K: Ord + std::borrow::Borrow<str>, V>(
    map: &'m mut BTreeMap<K, V>,
    key: &str,
) -> Option<(&'m K, &'m mut V)> {
    map.range_mut::<str, _>((Bound::Included(key), Bound::Included(key))).next()
}

fn missing(kind: Kind, key: &str, missing: String) -> LoadError {
    LoadError::Reference { kind, key: key.to_owned(), missing }
}
