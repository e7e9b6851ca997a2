//! From the catalog's memory to the boards.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use keyline_domain::credential::DerivedCredentials;
use keyline_domain::ids::{DeviceIndex, ProfileId, UserId};
use keyline_domain::inventory::{Event, Kind, Purpose, Secret};
use keyline_domain::phone::AppliedVersion;

use super::Catalog;
use crate::board::{Boards, Device, Settings};

impl Catalog {
    /// Publishes everything once more.
    pub(crate) fn publish_all(&self, boards: &Boards) -> bool {
        self.publish_rest(boards);
        for dn in self.inventory.lines_after(None) {
            boards.devices.put_line(dn.clone());
        }
        for (user, secret) in self.inventory.secrets() {
            self.publish_secret(boards, user, secret);
        }
        let mut all = true;
        for index in self.inventory.device_indexes() {
            all &= self.publish_device(boards, index);
        }
        all
    }

    /// Publishes everything onto boards that have nothing yet: at start, before any packet is taken. Two threads do
    /// it; the other one makes credentials, and what phones are searched by.
    pub(crate) fn publish_new(&self, boards: &Boards) -> bool {
        self.publish_rest(boards);
        std::thread::scope(|scope| {
            let beside = scope.spawn(|| {
                for (user, secret) in self.inventory.secrets() {
                    self.publish_secret(boards, user, secret);
                }
                self.find();
            });
            for (dn, devices) in self.inventory.lines_from(Bound::Unbounded, false) {
                boards.devices.enter_line(dn.clone(), devices);
            }
            let mut all = true;
            for index in self.inventory.device_indexes() {
                if let Some(device) = self.device(boards, index) {
                    all &= boards.enter_device(device);
                }
            }
            // Whoever panics there panics here.
            beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all
        })
    }

    /// What there is little of.
    fn publish_rest(&self, boards: &Boards) {
        boards.settings.set(Settings::new(self.inventory.parameters().clone()));
        self.publish_certificates(boards);
        self.publish_tokens(boards);
        for (key, settings) in &self.versions {
            boards.profiles.put(AppliedVersion { profile: key.0, version: key.1 }, Arc::clone(settings));
        }
        for profile in self.inventory.profiles_after(None) {
            self.publish_profile(boards, profile.id);
        }
    }

    /// Publishes what events name. Returns the devices whose calls and rows must hear of it.
    pub(crate) fn publish(&self, boards: &Boards, events: &[Event]) -> BTreeSet<DeviceIndex> {
        let mut touched = BTreeSet::new();
        let mut certificates = false;
        let mut everybody = false;
        for event in events {
            match event {
                Event::ParameterChanged(name) => {
                    boards.settings.set(Settings::new(self.inventory.parameters().clone()));
                    match *name {
                        "sip_realm_station" => {
                            for (user, secret) in self.inventory.secrets() {
                                self.publish_secret(boards, user, secret);
                            }
                        }
                        "cluster_security_mode" => everybody = true,
                        _ => {}
                    }
                }
                Event::ModelChanged(model) => {
                    for view in self.inventory.devices_after(None).filter(|v| v.model.name == model.as_str())
                    {
                        self.publish_device(boards, view.index);
                        touched.insert(view.index);
                    }
                }
                // One entry, however many phones have it: they name their profile by its number.
                Event::ProfileSaved { id, .. } => self.publish_profile(boards, *id),
                Event::ProfileRemoved(id) => boards.profiles.remove(*id),
                Event::UserChanged { id, .. } | Event::UserRemoved(id) => self.publish_user(boards, id),
                Event::LineChanged(dn) => boards.devices.put_line(dn.clone()),
                Event::LineRemoved(dn) => boards.devices.remove_line(dn),
                Event::DeviceChanged { index, .. } => {
                    self.publish_device(boards, *index);
                    touched.insert(*index);
                }
                Event::DeviceRemoved { index, .. } => {
                    boards.remove_device(*index);
                    touched.insert(*index);
                }
                Event::CertificateChanged { phone, .. } => {
                    certificates = true;
                    if let Some(index) = phone.as_ref().and_then(|p| self.inventory.device_index(p)) {
                        self.publish_device(boards, index);
                        touched.insert(index);
                    }
                }
                Event::ModelRemoved(_)
                | Event::CommonPhoneProfileChanged(_)
                | Event::EnterprisePhoneChanged
                | Event::AppliesAtOnce { .. } => {}
            }
        }
        if certificates {
            self.publish_certificates(boards);
        }
        if everybody {
            touched.extend(self.inventory.devices_after(None).map(|v| v.index));
        }
        touched
    }

    fn publish_certificates(&self, boards: &Boards) {
        let all = Purpose::ALL.iter().flat_map(|p| self.inventory.certificates(*p)).cloned().collect();
        boards.settings.set_certificates(all);
    }

    fn publish_user(&self, boards: &Boards, id: &UserId) {
        match self.inventory.secret_of(id.as_str()) {
            Some((id, secret)) => self.publish_secret(boards, id, secret),
            None => boards.settings.put_user(id.clone(), None),
        }
    }

    fn publish_secret(&self, boards: &Boards, id: &UserId, secret: &Secret) {
        let realm = &self.inventory.parameters().sip_realm_station;
        let derived = DerivedCredentials::of(id.as_str(), realm, secret.expose());
        boards.settings.put_user(id.clone(), Some(derived));
    }

    /// Publishes the saved version and the name of a profile.
    fn publish_profile(&self, boards: &Boards, id: ProfileId) {
        if let Some(profile) = self.inventory.profile(id) {
            let saved = AppliedVersion { profile: id, version: profile.version };
            boards.profiles.save(saved, &profile.name, Arc::new(profile.settings.clone()));
        }
    }

    /// Publishes a device.
    fn publish_device(&self, boards: &Boards, index: DeviceIndex) -> bool {
        self.device(boards, index).is_none_or(|device| boards.put_device(device))
    }

    /// A device as it stands on the board.
    fn device(&self, boards: &Boards, index: DeviceIndex) -> Option<Device> {
        let view = self.inventory.device_at(index)?;
        // Predefined profiles come onto the board with their first device.
        if boards.profiles.saved(view.profile).is_none() {
            self.publish_profile(boards, view.profile);
        }
        Some(Device {
            index,
            vendor_certificate: self.inventory.uploaded_certificate_of(&view.name).map(Box::new),
            description: view.description,
            name: view.name,
            model: view.model,
            protocol: view.protocol,
            lines: view.lines,
            digest_user: view.digest_user,
            profile: view.profile,
            em_user: view.em_user,
        })
    }

    /// One line of NDJSON per row, in the order in which they can be imported.
    pub fn export(&self) -> impl Iterator<Item = String> {
        self.inventory.export(false)
    }

    /// Kinds that an export holds, for messages.
    pub fn kinds() -> impl Iterator<Item = Kind> {
        Kind::rows()
    }
}
