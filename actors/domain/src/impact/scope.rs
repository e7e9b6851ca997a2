//! Whom a change touches: single phones by their number, the phones of whole profiles and common phone profiles by
//! theirs, so that a save of a profile of a million phones costs no list of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{DeviceIndex, Dn, ProfileId, UserId};
use crate::inventory::{Change, Event, Inventory, PhoneView, Purpose};
use crate::mode::DeviceSecurityMode;

use super::{MixedLine, lines};

/// Phones that one slice looks at: some milliseconds.
pub const SLICE: usize = 16_384;

/// A part of the phones in question: numbers from `from` on, below `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    from: u32,
    to: u32,
    last: bool,
}

impl Slice {
    /// There is none behind it.
    pub fn is_last(self) -> bool {
        self.last
    }
}

/// All phones of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    /// The change has to be applied to them before it acts.
    applies: bool,
    /// As it is saved afterwards.
    mode: DeviceSecurityMode,
}

/// Whom a change touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Single phones, and whether the change has to be applied to them before it acts.
    phones: BTreeMap<DeviceIndex, bool>,
    /// All phones of these profiles.
    profiles: BTreeMap<ProfileId, Group>,
    /// All phones of these common phone profiles.
    commons: BTreeSet<String>,
    /// A parameter or an authority: any phone may be touched.
    pub(super) everybody: bool,
    /// Trust stores change.
    pub(super) trust: bool,
    /// Hardening switches change.
    pub(super) web: bool,
    /// The TLS menu changes.
    pub(super) menu: bool,
    /// Users whose credentials may change.
    pub(super) users: BTreeSet<UserId>,
}

impl Scope {
    /// Reads off the changes whom they touch; `inventory` is as it is with them done.
    pub fn of(inventory: &Inventory, changes: &[Change]) -> Self {
        let mut scope = Self::default();
        for change in changes {
            let Change::Publish(event) = change else { continue };
            match event {
                Event::ProfileSaved { id, needs_apply, .. } => {
                    scope.touch_profile(inventory, *id, *needs_apply);
                }
                Event::DeviceChanged { index, assigned, .. } => {
                    scope.touch(*index, *assigned);
                    scope.web = true;
                }
                Event::DeviceRemoved { index, .. } => scope.touch(*index, false),
                Event::ModelChanged(model) => {
                    let profiles = inventory.profiles_with_phones().filter(|(p, _)| p.model == *model);
                    for (profile, _) in profiles {
                        scope.touch_profile(inventory, profile.id, false);
                    }
                }
                Event::UserChanged { id, .. } => {
                    scope.users.insert(id.clone());
                    for index in inventory.devices_with_user(id.as_str()) {
                        scope.touch(index, false);
                    }
                }
                Event::ParameterChanged(name) => match *name {
                    "cluster_security_mode" | "mic_tls_policy" => scope.everybody = true,
                    "expired_crl_policy" => (scope.everybody, scope.trust) = (true, true),
                    "tls_ciphers" => (scope.everybody, scope.menu) = (true, true),
                    _ => {}
                },
                Event::CertificateChanged { purpose, phone, .. } => match (purpose, phone) {
                    (Purpose::CallManagerTrust | Purpose::CapfTrust, _) | (Purpose::VendorTrust, None) => {
                        (scope.everybody, scope.trust) = (true, true);
                    }
                    (Purpose::VendorTrust, Some(phone)) => {
                        scope.trust = true;
                        if let Some(index) = inventory.device_index(phone) {
                            scope.touch(index, false);
                        }
                    }
                    (Purpose::PhoneSastTrust | Purpose::TrunkTrust | Purpose::PackageTrust, _) => {}
                },
                Event::CommonPhoneProfileChanged(name) => {
                    scope.web = true;
                    scope.commons.insert(name.clone());
                }
                Event::EnterprisePhoneChanged => (scope.everybody, scope.web) = (true, true),
                _ => {}
            }
        }
        scope
    }

    /// All phones, by their certificates: a revocation list changes, and nothing of the inventory.
    pub fn of_certificates() -> Self {
        Self { everybody: true, trust: true, ..Self::default() }
    }

    fn touch(&mut self, index: DeviceIndex, applies: bool) {
        *self.phones.entry(index).or_default() |= applies;
    }

    fn touch_profile(&mut self, inventory: &Inventory, id: ProfileId, applies: bool) {
        if let Some(profile) = inventory.profile(id) {
            let mode = profile.settings.device_security_mode;
            let group = self.profiles.entry(id).or_insert(Group { applies, mode });
            *group = Group { applies: group.applies | applies, mode };
        }
    }

    /// The change touches no phone.
    pub fn is_empty(&self) -> bool {
        self.phones.is_empty() && self.profiles.is_empty() && self.commons.is_empty() && !self.everybody
    }

    /// The phone is touched by itself: row, lines, user or profile of its own may change.
    pub(super) fn is_single(&self, index: DeviceIndex) -> bool {
        self.phones.contains_key(&index)
    }

    /// The phone is touched, and the change is to be applied to it before it acts.
    pub(super) fn applies(&self, phone: &PhoneView<'_>) -> Option<bool> {
        let single = self.phones.get(&phone.index).copied();
        let group = self.profiles.get(&phone.profile.id).map(|group| group.applies);
        let common = phone.common_phone_profile.is_some_and(|name| self.commons.contains(name));
        let other = (common || self.everybody).then_some(false);
        [single, group, other].into_iter().flatten().reduce(|a, b| a | b)
    }

    /// Another mode is saved for the profile of a phone that is as it was before the change.
    pub(super) fn changes_mode(&self, phone: &PhoneView<'_>) -> bool {
        let group = self.profiles.get(&phone.profile.id);
        group.is_some_and(|group| group.mode != phone.profile.settings.device_security_mode)
    }

    /// How many phones are touched, roughly: some may be counted twice.
    fn count(&self, inventory: &Inventory) -> usize {
        let profiles = self.profiles.keys().map(|id| inventory.device_count_of(*id));
        let commons = self.commons.iter().map(|name| inventory.device_count_of_common(name));
        match self.everybody {
            true => inventory.phone_count() + self.phones.len(),
            false => self.phones.len() + profiles.sum::<usize>() + commons.sum::<usize>(),
        }
    }

    /// The slice behind another one, or the first, of about `most` phones ([`SLICE`]). So few are one slice.
    pub fn slice(&self, inventory: &Inventory, after: Option<Slice>, most: usize) -> Slice {
        let (count, places) = (self.count(inventory).max(1), inventory.device_places());
        let width = u64::try_from(most * places.max(most) / count).unwrap_or(u64::MAX).max(most as u64);
        let from = after.map_or(0, |slice| slice.to);
        let to = u64::from(from) + width;
        // New phones have their numbers behind all others.
        match count <= most || to >= places as u64 {
            true => Slice { from, to: u32::MAX, last: true },
            false => Slice { from, to: u32::try_from(to).unwrap_or(u32::MAX), last: false },
        }
    }

    /// The phones of a slice in order of their numbers, also those that are not there before or after.
    pub(super) fn members(&self, inventory: &Inventory, slice: Slice) -> Vec<DeviceIndex> {
        let (from, to) = (DeviceIndex(slice.from), DeviceIndex(slice.to));
        let mut members: Vec<DeviceIndex> = self.phones.range(from..to).map(|(index, _)| *index).collect();
        if self.everybody {
            members.extend(inventory.device_indexes_between(from, to));
        } else {
            let profiles = self.profiles.keys();
            members.extend(profiles.flat_map(|id| inventory.device_indexes_of_between(*id, from, to)));
            let commons = self.commons.iter();
            members.extend(commons.flat_map(|name| inventory.devices_of_common_between(name, from, to)));
        }
        members.sort_unstable();
        members.dedup();
        members
    }
}

/// Shared lines that are mixed now, of the phones that a change touches; none when these are more than `most`.
pub fn mixed_now(inventory: &Inventory, scope: &Scope, most: usize) -> Vec<MixedLine> {
    if scope.everybody || scope.count(inventory) > most {
        return Vec::new();
    }
    let members = scope.members(inventory, scope.slice(inventory, None, most));
    let phones = members.iter().filter_map(|index| inventory.phone_view(*index));
    let shared: BTreeSet<Dn> = phones.flat_map(|p| lines::shared(inventory, p.lines.iter())).collect();
    shared.iter().filter_map(|line| lines::mixed(inventory, line)).take(most).collect()
}
