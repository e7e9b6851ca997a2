//! The in-memory model and its views.
//!
//! Phones sit in a table by number; indexes hold numbers, so that a phone with its line and its user
//! stays within some hundred bytes. Maps are ordered: exports and pages come out the same every time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::ids::{DeviceIndex, DeviceName, Dn, ProfileId, ProfileVersion, UserId};
use crate::mode::Protocol;
use crate::model::{FIRST_IMPORTED_MODEL, Model, ModelId, SharedModel, builtin, builtin_by_number};
use crate::profile::{
    SecurityProfile, is_predefined, predefined, predefined_id, predefined_of, split_predefined_name,
};

use super::{CapfOperation, CertificateRow, Hardening, Kind, ParameterValue, Parameters, Purpose, Secret};

/// Which of the two user stores (R197, R198).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserStore {
    /// `end_user`
    EndUser,
    /// `application_user`
    ApplicationUser,
}

impl UserStore {
    /// The kind of its rows.
    pub fn kind(self) -> Kind {
        match self {
            Self::EndUser => Kind::EndUser,
            Self::ApplicationUser => Kind::ApplicationUser,
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct UserEntry {
    pub(super) store: UserStore,
    pub(super) credentials: Option<Secret>,
    /// The phones whose digest user it is (R196: one, unless policy allows more), in order of number.
    pub(super) devices: SmallVec<[DeviceIndex; 2]>,
    /// The phones on which it is logged in by Extension Mobility, likewise.
    pub(super) logged_in: SmallVec<[DeviceIndex; 2]>,
}

impl UserEntry {
    /// A user that no phone names yet.
    pub(super) fn new(store: UserStore, credentials: Option<Secret>) -> Self {
        Self { store, credentials, devices: SmallVec::new(), logged_in: SmallVec::new() }
    }
}

/// What most phones don't have.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct PhoneExtra {
    pub(super) common: Option<Box<str>>,
    pub(super) hardening: Hardening,
    pub(super) capf_operation: CapfOperation,
    pub(super) capf_string: Option<Secret>,
    pub(super) em_user: Option<UserId>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct PhoneEntry {
    pub(super) name: DeviceName,
    /// Shared with the boards.
    pub(super) description: Arc<str>,
    pub(super) lines: Arc<[Dn]>,
    pub(super) digest_user: Option<UserId>,
    pub(super) extra: Option<Box<PhoneExtra>>,
    pub(super) model: ModelId,
    pub(super) profile: ProfileId,
    pub(super) protocol: Protocol,
}

impl PhoneEntry {
    /// Who is logged in.
    pub(super) fn em_user(&self) -> Option<&UserId> {
        self.extra.as_ref()?.em_user.as_ref()
    }
}

#[derive(PartialEq, Eq)]
pub(super) struct ProfileEntry {
    pub(super) profile: Arc<SecurityProfile>,
    pub(super) devices: BTreeSet<DeviceIndex>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct CommonEntry {
    pub(super) hardening: Hardening,
    pub(super) phones: BTreeSet<DeviceIndex>,
}

/// All configuration of a cluster, in memory. One writer owns it; views leave it as owned values.
#[derive(Default, PartialEq)]
pub struct Inventory {
    pub(super) parameters: Parameters,
    /// The parameters that were set, for export and storage.
    pub(super) set: BTreeMap<Box<str>, ParameterValue>,
    /// Nodes that run call processing, the own one first.
    pub(super) nodes: Vec<Box<str>>,
    pub(super) models: BTreeMap<Box<str>, Arc<Model>>,
    pub(super) model_names: BTreeMap<ModelId, Box<str>>,
    pub(super) models_made: u32,
    pub(super) packages: BTreeMap<Box<str>, super::PackageRow>,
    /// Those that administrators made, and the predefined ones that have devices.
    pub(super) profiles: BTreeMap<ProfileId, ProfileEntry>,
    pub(super) profile_names: BTreeMap<Box<str>, ProfileId>,
    pub(super) profiles_made: u32,
    pub(super) users: BTreeMap<UserId, UserEntry>,
    pub(super) lines: BTreeMap<Dn, SmallVec<[DeviceIndex; 4]>>,
    pub(super) phones: Vec<Option<PhoneEntry>>,
    pub(super) names: BTreeMap<DeviceName, DeviceIndex>,
    pub(super) commons: BTreeMap<Box<str>, CommonEntry>,
    pub(super) enterprise: Option<Hardening>,
    pub(super) trunking: super::trunks::Trunking,
    pub(super) certificates: BTreeMap<(Purpose, Box<str>), CertificateRow>,
    /// Certificates tied to a phone.
    pub(super) phone_certificates: BTreeMap<DeviceName, u32>,
}

/// What admission and calls need to know about a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceView {
    /// Its place in the directory.
    pub index: DeviceIndex,
    /// Name.
    pub name: DeviceName,
    /// What people call it; may be empty.
    pub description: Arc<str>,
    /// Its model: category, capabilities, kind of TLS certificate, and trust (R041).
    pub model: SharedModel,
    /// Protocol.
    pub protocol: Protocol,
    /// Lines in button order.
    pub lines: Arc<[Dn]>,
    /// Whose digest credentials it uses (R199).
    pub digest_user: Option<UserId>,
    /// Who is logged in, and takes that user's place (R195).
    pub em_user: Option<UserId>,
    /// The assigned profile.
    pub profile: ProfileId,
    /// Saved version of the assigned profile; what the phone is judged by may be older.
    pub profile_version: ProfileVersion,
}

impl DeviceView {
    /// Passed the security criteria: the model's word and nobody else's (R041, R042).
    pub fn trusted(&self) -> bool {
        self.model.trusted
    }
}

/// What else is written down about a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneDetails {
    /// Description.
    pub description: Box<str>,
    /// Common phone profile.
    pub common_phone_profile: Option<Box<str>>,
    /// Switches of the phone itself.
    pub hardening: Hardening,
    /// CAPF operation that is ordered.
    pub capf_operation: CapfOperation,
    /// What the user must type for it.
    pub capf_authentication_string: Option<Secret>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserView {
    /// Id.
    pub id: UserId,
    /// Its store.
    pub store: UserStore,
    /// Digest credentials, if any are set.
    pub credentials: Option<Secret>,
    /// The phone whose digest user it is; the first one where policy allows several.
    pub device: Option<DeviceIndex>,
    /// The phone on which it is logged in; the first one likewise.
    pub logged_in: Option<DeviceIndex>,
}

impl Inventory {
    /// Empty: non-secure cluster (R001), built-in models, predefined profiles.
    pub fn new() -> Self {
        Self::default()
    }

    /// The parameters in force.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Number of phones.
    pub fn phone_count(&self) -> usize {
        self.names.len()
    }

    /// Number of lines.
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// Number of users of both stores.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// A model by name, built-in or imported.
    pub fn model(&self, name: &str) -> Option<&Model> {
        builtin(name).or_else(|| self.models.get(name).map(|m| &**m))
    }

    /// A model by number.
    pub fn model_by_id(&self, id: ModelId) -> Option<&Model> {
        if id.0 < FIRST_IMPORTED_MODEL {
            return builtin_by_number(id.0);
        }
        self.models.get(self.model_names.get(&id)?).map(|m| &**m)
    }

    /// A model by number, to keep.
    fn shared_model(&self, id: ModelId) -> Option<SharedModel> {
        if id.0 < FIRST_IMPORTED_MODEL {
            return builtin_by_number(id.0).map(SharedModel::Builtin);
        }
        self.models.get(self.model_names.get(&id)?).cloned().map(SharedModel::Imported)
    }

    /// The imported models in order of name.
    pub fn imported_models(&self) -> impl Iterator<Item = &Model> {
        self.models.values().map(|m| &**m)
    }

    /// A profile by number, predefined ones included.
    pub fn profile(&self, id: ProfileId) -> Option<Arc<SecurityProfile>> {
        if let Some(entry) = self.profiles.get(&id) {
            return Some(entry.profile.clone());
        }
        let (model, protocol) = predefined_of(id)?;
        predefined(self.model_by_id(model)?, protocol).map(Arc::new)
    }

    /// The number of a profile by name, predefined ones included.
    pub fn profile_id(&self, name: &str) -> Option<ProfileId> {
        self.profile_names.get(name).copied().or_else(|| self.predefined_named(name))
    }

    /// The predefined profile of this name, when its model exists and speaks the protocol.
    pub(super) fn predefined_named(&self, name: &str) -> Option<ProfileId> {
        let (model, protocol) = split_predefined_name(name)?;
        let model = self.model(model)?;
        model.protocols.has(protocol).then(|| predefined_id(model.id, protocol))
    }

    /// The profiles that administrators made, by number, after a given one.
    pub fn profiles_after(&self, after: Option<ProfileId>) -> impl Iterator<Item = &Arc<SecurityProfile>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.profiles
            .range((from, Bound::Unbounded))
            .filter(|(id, _)| !is_predefined(**id))
            .map(|(_, entry)| &entry.profile)
    }

    /// The profiles that a phone of this model and protocol may have, the predefined one first
    /// (R114, R180).
    pub fn profiles_for(&self, model: &str, protocol: Protocol) -> Vec<Arc<SecurityProfile>> {
        let first = self.model(model).and_then(|m| predefined(m, protocol)).map(Arc::new);
        let made = self.profiles_after(None).filter(|p| p.model == model && p.protocol == protocol);
        first.into_iter().chain(made.cloned()).collect()
    }

    /// The devices of a profile in order of their numbers, after a given one: a roll-out can stop and
    /// go on (R102, R186).
    pub fn devices_of(
        &self,
        profile: ProfileId,
        after: Option<DeviceIndex>,
    ) -> impl Iterator<Item = &DeviceName> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.profiles
            .get(&profile)
            .into_iter()
            .flat_map(move |entry| entry.devices.range((from, Bound::Unbounded)))
            .filter_map(|index| self.phone(*index).map(|p| &p.name))
    }

    /// How many devices have a profile.
    pub fn device_count_of(&self, profile: ProfileId) -> usize {
        self.profiles.get(&profile).map_or(0, |entry| entry.devices.len())
    }

    /// A device.
    pub fn device(&self, name: &DeviceName) -> Option<DeviceView> {
        self.device_at(self.device_index(name)?)
    }

    /// A device by number.
    pub fn device_at(&self, index: DeviceIndex) -> Option<DeviceView> {
        let phone = self.phone(index)?;
        Some(DeviceView {
            index,
            name: phone.name.clone(),
            description: phone.description.clone(),
            model: self.shared_model(phone.model)?,
            protocol: phone.protocol,
            lines: phone.lines.clone(),
            digest_user: phone.digest_user.clone(),
            em_user: phone.em_user().cloned(),
            profile: phone.profile,
            profile_version: self.profiles.get(&phone.profile)?.profile.version,
        })
    }

    /// The rest of what is written down about a device.
    pub fn phone_details(&self, name: &DeviceName) -> Option<PhoneDetails> {
        let phone = self.phone(self.device_index(name)?)?;
        let extra = phone.extra.as_deref();
        Some(PhoneDetails {
            description: (*phone.description).into(),
            common_phone_profile: extra.and_then(|e| e.common.clone()),
            hardening: extra.map(|e| e.hardening).unwrap_or_default(),
            capf_operation: extra.map(|e| e.capf_operation).unwrap_or_default(),
            capf_authentication_string: extra.and_then(|e| e.capf_string.clone()),
        })
    }

    /// A device's number.
    pub fn device_index(&self, name: &DeviceName) -> Option<DeviceIndex> {
        self.names.get(name).copied()
    }

    /// All devices in order of name, after a given name.
    pub fn devices_after(&self, after: Option<&DeviceName>) -> impl Iterator<Item = DeviceView> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.names
            .range::<DeviceName, _>((from, Bound::Unbounded))
            .filter_map(|(_, index)| self.device_at(*index))
    }

    /// A line exists.
    pub fn has_line(&self, dn: &str) -> bool {
        self.lines.contains_key(dn)
    }

    /// The lines in order, after a given one.
    pub fn lines_after(&self, after: Option<&Dn>) -> impl Iterator<Item = &Dn> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.lines.range::<Dn, _>((from, Bound::Unbounded)).map(|(dn, _)| dn)
    }

    /// The devices that have a line, in order of their numbers (R014: several may).
    pub fn devices_on(&self, dn: &str) -> impl Iterator<Item = DeviceIndex> {
        self.lines.get(dn).into_iter().flatten().copied()
    }

    /// A user of either store.
    pub fn user(&self, id: &str) -> Option<UserView> {
        self.users.get_key_value(id).map(|(id, entry)| user_view(id, entry))
    }

    /// The users of both stores in order, after a given one.
    pub fn users_after(&self, after: Option<&UserId>) -> impl Iterator<Item = UserView> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.users.range::<UserId, _>((from, Bound::Unbounded)).map(|(id, entry)| user_view(id, entry))
    }

    /// All users of both stores that have digest credentials, with these.
    pub fn secrets(&self) -> impl Iterator<Item = (&UserId, &Secret)> {
        self.users.iter().filter_map(|(id, entry)| Some((id, entry.credentials.as_ref()?)))
    }

    /// One of them.
    pub fn secret_of(&self, id: &str) -> Option<(&UserId, &Secret)> {
        let (id, entry) = self.users.get_key_value(id)?;
        Some((id, entry.credentials.as_ref()?))
    }

    /// The devices whose digest user this is, in order of their numbers.
    pub fn devices_of_digest_user(&self, id: &str) -> &[DeviceIndex] {
        self.users.get(id).map(|u| u.devices.as_slice()).unwrap_or_default()
    }

    /// Switches of a common phone profile.
    pub fn common_phone_profile(&self, name: &str) -> Option<Hardening> {
        self.commons.get(name).map(|c| c.hardening)
    }

    /// Switches of the enterprise level.
    pub fn enterprise_phone(&self) -> Hardening {
        self.enterprise.unwrap_or_default()
    }

    /// The certificates of a purpose in order of fingerprint.
    pub fn certificates(&self, purpose: Purpose) -> impl Iterator<Item = &CertificateRow> {
        self.certificates.iter().filter(move |((p, _), _)| *p == purpose).map(|(_, row)| row)
    }

    /// A certificate by purpose and fingerprint (lower-case hex).
    pub fn certificate(&self, purpose: Purpose, fingerprint: &str) -> Option<&CertificateRow> {
        self.certificates.get(&(purpose, fingerprint.into()))
    }

    pub(super) fn phone(&self, index: DeviceIndex) -> Option<&PhoneEntry> {
        self.phones.get(index.0 as usize)?.as_ref()
    }
}

impl std::fmt::Debug for Inventory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inventory")
            .field("phones", &self.names.len())
            .field("lines", &self.lines.len())
            .field("users", &self.users.len())
            .field("profiles", &self.profile_names.len())
            .field("models", &self.models.len())
            .field("certificates", &self.certificates.len())
            .finish()
    }
}

pub(super) fn user_view(id: &UserId, entry: &UserEntry) -> UserView {
    UserView {
        id: id.clone(),
        store: entry.store,
        credentials: entry.credentials.clone(),
        device: entry.devices.first().copied(),
        logged_in: entry.logged_in.first().copied(),
    }
}
