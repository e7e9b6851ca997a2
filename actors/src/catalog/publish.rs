//! From the catalog's memory to the boards.

use std::collections::BTreeSet;
use std::sync::Arc;

use keyline_domain::credential::{DerivedCredentials, Password};
use keyline_domain::ids::{DeviceIndex, ProfileId, UserId};
use keyline_domain::inventory::{Event, Kind, Purpose};
use keyline_domain::phone::AppliedVersion;

use super::Catalog;
use crate::board::{Boards, Device, Settings};

impl Catalog {
    /// Publishes everything: at start, before any packet is taken.
    pub(crate) fn publish_all(&self, boards: &Boards) -> bool {
        boards.settings.set(Settings::new(self.inventory.parameters().clone()));
        self.publish_certificates(boards);
        self.publish_tokens(boards);
        for (key, settings) in &self.versions {
            boards.profiles.put(AppliedVersion { profile: key.0, version: key.1 }, Arc::clone(settings));
        }
        for profile in self.inventory.profiles_after(None) {
            self.publish_profile(boards, profile.id);
        }
        for dn in self.inventory.lines_after(None) {
            boards.devices.put_line(dn.clone());
        }
        for user in self.inventory.users_after(None) {
            self.publish_user(boards, &user.id);
        }
        let mut all = true;
        for view in self.inventory.devices_after(None) {
            all &= self.publish_device(boards, view.index);
        }
        all
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
                            for user in self.inventory.users_after(None) {
                                self.publish_user(boards, &user.id);
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
        let credentials = self.inventory.user(id.as_str()).and_then(|u| u.credentials).map(|secret| {
            let password = Password::from_secret(secret.expose().to_owned());
            let realm = &self.inventory.parameters().sip_realm_station;
            DerivedCredentials::derive(id.as_str(), realm, &password)
        });
        boards.settings.put_user(id.clone(), credentials);
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
        let Some(view) = self.inventory.device_at(index) else { return true };
        // Predefined profiles come onto the board with their first device.
        if boards.profiles.saved(view.profile).is_none() {
            self.publish_profile(boards, view.profile);
        }
        let vendor_certificate = self
            .inventory
            .certificates(Purpose::VendorTrust)
            .find(|c| c.phone.as_ref() == Some(&view.name))
            .and_then(|c| c.facts.as_ref())
            .and_then(|f| fingerprint(&f.fingerprint));
        let details = self.inventory.phone_details(&view.name);
        let device = Device {
            index,
            description: details.map(|d| Arc::from(&*d.description)).unwrap_or_default(),
            name: view.name,
            model: view.model,
            protocol: view.protocol,
            lines: view.lines,
            digest_user: view.digest_user,
            profile: view.profile,
            em_user: view.em_user,
            vendor_certificate,
        };
        boards.put_device(device)
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

fn fingerprint(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 {
        return None;
    }
    let mut out = [0u8; 32];
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(out)
}
