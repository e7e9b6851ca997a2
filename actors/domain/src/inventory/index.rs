//! Keeping the indexes right when a phone or a certificate comes or goes.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::ids::DeviceIndex;
use crate::profile::{SecurityProfile, is_predefined};

use super::Inventory;
use super::rows::CertificateRow;
use super::store::{PhoneEntry, ProfileEntry};
use super::stored::StoredCertificate;

impl Inventory {
    /// Enters a phone; everything it names exists.
    pub(super) fn link(&mut self, index: DeviceIndex, phone: &PhoneEntry, profile: Arc<SecurityProfile>) {
        let new = || ProfileEntry { profile, devices: Default::default() };
        self.profiles.entry(phone.profile).or_insert_with(new).devices.insert(index);
        for line in phone.lines.iter() {
            // In order of number: the same whatever happened before, also when a change was taken back.
            if let Some(devices) = self.lines.get_mut(line) {
                enter(devices, index);
            }
        }
        if let Some(user) = phone.digest_user.as_ref().and_then(|u| self.users.get_mut(u)) {
            enter(&mut user.devices, index);
        }
        if let Some(user) = phone.em_user().and_then(|u| self.users.get_mut(u)) {
            enter(&mut user.logged_in, index);
        }
        if let Some(common) = common_of(phone).and_then(|n| self.commons.get_mut(n)) {
            common.phones.insert(index);
        }
    }

    /// Takes a phone out.
    pub(super) fn unlink(&mut self, index: DeviceIndex, phone: &PhoneEntry) {
        if let Some(entry) = self.profiles.get_mut(&phone.profile) {
            entry.devices.remove(&index);
            if entry.devices.is_empty() && is_predefined(phone.profile) {
                self.profiles.remove(&phone.profile);
            }
        }
        for line in phone.lines.iter() {
            if let Some(devices) = self.lines.get_mut(line) {
                devices.retain(|d| *d != index);
            }
        }
        if let Some(user) = phone.digest_user.as_ref().and_then(|u| self.users.get_mut(u)) {
            // While a file moves a user from phone to phone, the new holder may come first.
            user.devices.retain(|d| *d != index);
        }
        if let Some(user) = phone.em_user().and_then(|u| self.users.get_mut(u)) {
            user.logged_in.retain(|d| *d != index);
        }
        if let Some(common) = common_of(phone).and_then(|n| self.commons.get_mut(n)) {
            common.phones.remove(&index);
        }
    }

    /// Enters a certificate, in place of an equal one.
    pub(super) fn add_certificate(&mut self, stored: StoredCertificate) {
        let StoredCertificate { mut row, facts } = stored;
        let key = (row.purpose, facts.fingerprint.clone());
        row.facts = Some(facts);
        self.tie(&row);
        if let Some(old) = self.certificates.insert(key, row) {
            self.untie(&old);
        }
    }

    /// Remembers that a certificate is tied to a phone.
    pub(super) fn tie(&mut self, row: &CertificateRow) {
        if let Some(phone) = &row.phone {
            *self.phone_certificates.entry(phone.clone()).or_default() += 1;
        }
    }

    /// Forgets that a certificate is tied to a phone.
    pub(super) fn untie(&mut self, row: &CertificateRow) {
        let Some(phone) = &row.phone else { return };
        if let Some(count) = self.phone_certificates.get_mut(phone) {
            *count -= 1;
            if *count == 0 {
                self.phone_certificates.remove(phone);
            }
        }
    }
}

/// Into its place in order of number.
fn enter<A: smallvec::Array<Item = DeviceIndex>>(devices: &mut SmallVec<A>, index: DeviceIndex) {
    if let Err(at) = devices.binary_search(&index) {
        devices.insert(at, index);
    }
}

fn common_of(phone: &PhoneEntry) -> Option<&str> {
    phone.extra.as_ref()?.common.as_deref()
}
