//! Borrowed views in order of name, for whoever lists the inventory: from any place on, in both directions.

use std::ops::Bound;

use crate::ids::{DeviceIndex, DeviceName, Dn, ProfileId, UserId};
use crate::mode::Protocol;
use crate::model::{Model, builtin_models};
use crate::profile::{SecurityProfile, is_predefined, predefined};

use super::parameter::addressed;
use super::store::PhoneEntry;
use super::{CapfOperation, CertificateRow, Hardening, Inventory, PARAMETERS, ParameterSpec, ParameterValue};
use super::{UserStore, UserView};

/// A phone with what is written down about it.
#[derive(Debug, Clone, Copy)]
pub struct PhoneView<'a> {
    /// Its place on the boards.
    pub index: DeviceIndex,
    /// Name.
    pub name: &'a DeviceName,
    /// Description; may be empty.
    pub description: &'a str,
    /// Model, whose word on trust is the only one (R041).
    pub model: &'a Model,
    /// Protocol.
    pub protocol: Protocol,
    /// The assigned profile at its saved version.
    pub profile: &'a SecurityProfile,
    /// Lines in button order.
    pub lines: &'a [Dn],
    /// Whose digest credentials it uses.
    pub digest_user: Option<&'a UserId>,
    /// Who is logged in by Extension Mobility.
    pub em_user: Option<&'a UserId>,
    /// Common phone profile.
    pub common_phone_profile: Option<&'a str>,
    /// Switches of the phone itself.
    pub hardening: Hardening,
    /// CAPF operation that is ordered.
    pub capf_operation: CapfOperation,
}

/// Rows that can be walked through.
pub type Rows<'a, T> = Box<dyn Iterator<Item = T> + 'a>;

/// A parameter as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterView {
    /// Its line in the table.
    pub spec: &'static ParameterSpec,
    /// The node it is for; `None` for all.
    pub node: Option<Box<str>>,
    /// Its key: name, or `name@node`.
    pub key: String,
    /// The value that holds there.
    pub value: ParameterValue,
    /// It was set there, and is no default.
    pub set: bool,
    /// Its node runs no call processing: the value has no effect.
    pub inactive: bool,
}

impl Inventory {
    /// Phones by name from a place on; backwards: the place is the upper end.
    pub fn phones_from<'a>(&'a self, place: Bound<&str>, backwards: bool) -> Rows<'a, PhoneView<'a>> {
        let view = move |(_, index): (&DeviceName, &DeviceIndex)| self.phone_view(*index);
        match backwards {
            false => Box::new(self.names.range::<str, _>((place, Bound::Unbounded)).filter_map(view)),
            true => Box::new(self.names.range::<str, _>((Bound::Unbounded, place)).rev().filter_map(view)),
        }
    }

    /// One phone, by its canonical name.
    pub fn phone_named(&self, name: &str) -> Option<PhoneView<'_>> {
        self.phone_view(*self.names.get(name)?)
    }

    /// One phone, by its place on the boards.
    pub fn phone_view(&self, index: DeviceIndex) -> Option<PhoneView<'_>> {
        let phone: &PhoneEntry = self.phone(index)?;
        let extra = phone.extra.as_deref();
        Some(PhoneView {
            index,
            name: &phone.name,
            description: &phone.description,
            model: self.model_by_id(phone.model)?,
            protocol: phone.protocol,
            profile: &self.profiles.get(&phone.profile)?.profile,
            lines: &phone.lines,
            digest_user: phone.digest_user.as_ref(),
            em_user: phone.em_user(),
            common_phone_profile: extra.and_then(|e| e.common.as_deref()),
            hardening: extra.map(|e| e.hardening).unwrap_or_default(),
            capf_operation: extra.map(|e| e.capf_operation).unwrap_or_default(),
        })
    }

    /// Users of a store by id from a place on; backwards: the place is the upper end.
    pub fn users_from<'a>(
        &'a self,
        store: UserStore,
        place: Bound<&str>,
        backwards: bool,
    ) -> Rows<'a, UserView> {
        let view = move |(id, entry): (&UserId, &super::store::UserEntry)| {
            (entry.store == store).then(|| super::store::user_view(id, entry))
        };
        match backwards {
            false => Box::new(self.users.range::<str, _>((place, Bound::Unbounded)).filter_map(view)),
            true => Box::new(self.users.range::<str, _>((Bound::Unbounded, place)).rev().filter_map(view)),
        }
    }

    /// Lines with their devices by number from a place on; backwards: the place is the upper end.
    pub fn lines_from<'a>(
        &'a self,
        place: Bound<&str>,
        backwards: bool,
    ) -> Rows<'a, (&'a Dn, &'a [DeviceIndex])> {
        match backwards {
            false => Box::new(
                self.lines.range::<str, _>((place, Bound::Unbounded)).map(|(dn, all)| (dn, all.as_slice())),
            ),
            true => Box::new(
                self.lines
                    .range::<str, _>((Bound::Unbounded, place))
                    .rev()
                    .map(|(dn, all)| (dn, all.as_slice())),
            ),
        }
    }

    /// The places of all phones.
    pub fn device_indexes(&self) -> impl Iterator<Item = DeviceIndex> {
        let there = self.phones.iter().enumerate().filter(|(_, phone)| phone.is_some());
        there.filter_map(|(at, _)| u32::try_from(at).ok().map(DeviceIndex))
    }

    /// The places of a profile's phones.
    pub fn device_indexes_of(&self, profile: ProfileId) -> impl Iterator<Item = DeviceIndex> {
        self.profiles.get(&profile).into_iter().flat_map(|entry| entry.devices.iter().copied())
    }

    /// Places that phones have or had: the next new one gets this.
    pub fn device_places(&self) -> usize {
        self.phones.len()
    }

    /// The places of all phones from one on, below another.
    pub fn device_indexes_between(
        &self,
        from: DeviceIndex,
        to: DeviceIndex,
    ) -> impl Iterator<Item = DeviceIndex> {
        let to = (to.0 as usize).min(self.phones.len());
        let part = self.phones.get(from.0 as usize..to).unwrap_or_default();
        (from.0..).zip(part).filter(|(_, phone)| phone.is_some()).map(|(at, _)| DeviceIndex(at))
    }

    /// The places of a profile's phones from one on, below another.
    pub fn device_indexes_of_between(
        &self,
        profile: ProfileId,
        from: DeviceIndex,
        to: DeviceIndex,
    ) -> impl Iterator<Item = DeviceIndex> {
        let entry = self.profiles.get(&profile).into_iter();
        entry.flat_map(move |entry| entry.devices.range(from..to).copied())
    }

    /// The places of a common phone profile's phones from one on, below another.
    pub fn devices_of_common_between(
        &self,
        name: &str,
        from: DeviceIndex,
        to: DeviceIndex,
    ) -> impl Iterator<Item = DeviceIndex> {
        self.commons.get(name).into_iter().flat_map(move |common| common.phones.range(from..to).copied())
    }

    /// How many phones name a common phone profile.
    pub fn device_count_of_common(&self, name: &str) -> usize {
        self.commons.get(name).map_or(0, |common| common.phones.len())
    }

    /// The places of the phones that use a user's credentials: as digest user, or logged in.
    pub fn devices_with_user(&self, id: &str) -> impl Iterator<Item = DeviceIndex> {
        let user = self.users.get(id);
        user.into_iter().flat_map(|u| u.devices.iter().chain(&u.logged_in).copied())
    }

    /// SHA-256 of the vendor certificate that was uploaded for a phone (R055, R072).
    pub fn uploaded_certificate_of(&self, phone: &DeviceName) -> Option<[u8; 32]> {
        if !self.phone_certificates.contains_key(phone) {
            return None;
        }
        let mut rows = self.certificates(super::Purpose::VendorTrust);
        let row = rows.find(|row| row.phone.as_ref() == Some(phone))?;
        unhex(&row.facts.as_ref()?.fingerprint)
    }

    /// All models, built-in ones first.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        builtin_models().iter().chain(self.imported_models())
    }

    /// All profiles, the predefined one of each model and protocol included (R094).
    pub fn all_profiles(&self) -> impl Iterator<Item = SecurityProfile> {
        let given = self.models().flat_map(|m| m.protocols.iter().filter_map(|p| predefined(m, p)));
        let made = self.profiles.iter().filter(|(id, _)| !is_predefined(**id));
        given.chain(made.map(|(_, entry)| (*entry.profile).clone()))
    }

    /// All parameters with their value, and whether it was set; behind those of the cluster what nodes have
    /// of their own (R208).
    pub fn all_parameters(&self) -> impl Iterator<Item = ParameterView> {
        let of_cluster = PARAMETERS.iter().map(|spec| self.parameter(spec, None));
        let of_nodes = self.set.keys().filter_map(|key| match addressed(key) {
            Ok((spec, Some(node))) => Some(self.parameter(spec, Some(node))),
            _ => None,
        });
        of_cluster.chain(of_nodes)
    }

    /// One of them by its key. A node that runs call processing has a view of its own also where the value of
    /// the cluster holds.
    pub fn parameter_view(&self, key: &str) -> Option<ParameterView> {
        let (spec, node) = addressed(key).ok()?;
        let there = node.is_none_or(|node| self.nodes().any(|n| n == node) || self.set.contains_key(key));
        there.then(|| self.parameter(spec, node))
    }

    pub(super) fn parameter(&self, spec: &'static ParameterSpec, node: Option<&str>) -> ParameterView {
        let key = node.map_or_else(|| spec.name.to_owned(), |node| format!("{}@{node}", spec.name));
        let own = self.set.get(key.as_str());
        let cluster = || self.set.get(spec.name).cloned().unwrap_or_else(|| spec.default_value());
        let value = own.cloned().unwrap_or_else(cluster);
        let inactive = node.is_some_and(|node| !self.nodes().any(|active| active == node));
        ParameterView { spec, node: node.map(Box::from), set: own.is_some(), inactive, key, value }
    }

    /// All common phone profiles by name, with their switches and the number of their phones.
    pub fn all_common_phone_profiles(&self) -> impl Iterator<Item = (&str, Hardening, usize)> {
        self.commons.iter().map(|(name, common)| (&**name, common.hardening, common.phones.len()))
    }

    /// All trusted certificates, by purpose and fingerprint.
    pub fn all_certificates(&self) -> impl Iterator<Item = &CertificateRow> {
        self.certificates.values()
    }
}

fn unhex(hex: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if hex.len() != 2 * out.len() {
        return None;
    }
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(out)
}
