//! Keys that phones would have to make or to bear (R144, R146–R148).

use crate::inventory::{Inventory, PhoneView};
use crate::model::Topic;
use crate::profile::{KeyRemarks, key_remarks};

use super::{Impact, KeyOfPhone};

/// What stands to be said of one phone's keys, by its assigned profile as saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keys {
    remarks: KeyRemarks,
    small_server_key: bool,
}

impl Keys {
    pub(super) fn of(phone: &PhoneView<'_>) -> Self {
        Self {
            remarks: key_remarks(&phone.profile.settings, phone.model, phone.profile.protocol),
            small_server_key: needs_small_server_key(phone),
        }
    }

    /// Names what was not so before.
    pub(super) fn tell(self, before: Option<Self>, phone: &PhoneView<'_>, impact: &mut Impact) {
        let (now, was) = (self.remarks, before.map(|b| b.remarks).unwrap_or_default());
        let key = |bits, supported| KeyOfPhone {
            phone: phone.name.clone(),
            model: phone.model.name.clone().into(),
            bits,
            supported,
        };
        if now.file_needs_rsa && !was.file_needs_rsa {
            impact.encrypted_config_needs_rsa.add(|| phone.name.clone());
        }
        if let Some(long) = now.long.filter(|_| now.long != was.long) {
            impact.long_rsa_keys.add(|| key(long.bits, long.supported));
        }
        if let Some(bits) = now.weak.filter(|_| now.weak != was.weak) {
            let supported = || Topic::rsa(bits).and_then(|topic| phone.model.fact(topic).value);
            impact.weak_rsa_keys.add(|| key(bits, supported()));
        }
        if self.small_server_key && !before.is_some_and(|b| b.small_server_key) {
            impact.small_server_key_only.add(|| phone.name.clone());
        }
    }
}

fn needs_small_server_key(phone: &PhoneView<'_>) -> bool {
    phone.model.fact(Topic::SmallServerKeyOnly).value == Some(true)
}

/// Models with phones that may not register when the call-processing certificate has an RSA key of more than
/// 2048 bits (R147), and how many phones; of models that say nothing, nothing is known. Phones are counted by
/// their profiles, none is looked at.
pub fn small_server_keys(inventory: &Inventory) -> Vec<(String, usize)> {
    inventory
        .models()
        .filter(|model| model.fact(Topic::SmallServerKeyOnly).value == Some(true))
        .map(|model| {
            let profiles = inventory.all_profiles().filter(|profile| *profile.model == *model.name);
            let ids = profiles.filter_map(|profile| inventory.profile_id(&profile.name));
            (model.name.to_string(), ids.map(|id| inventory.device_count_of(id)).sum())
        })
        .filter(|(_, phones): &(String, usize)| *phones > 0)
        .collect()
}
