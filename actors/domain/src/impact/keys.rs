//! Keys that phones would have to make or to bear (R144, R146–R148).

use crate::inventory::{Inventory, PhoneView};
use crate::model::Topic;
use crate::profile::{KeyRemarks, RSA_COMMON_MAX, key_remarks};

use super::{Impact, KeyOfPhone, notes};

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

/// What a call-processing certificate with an RSA key of so many bits would do (R147): who may not register any
/// more is named if its model says so; of models that say nothing, nothing is known.
pub fn server_key(inventory: &Inventory, bits: u32) -> Impact {
    let mut impact = Impact::default();
    for phone in inventory.device_indexes().filter_map(|index| inventory.phone_view(index)) {
        impact.phones += 1;
        if bits > RSA_COMMON_MAX && needs_small_server_key(&phone) {
            impact.small_server_key_only.add(|| phone.name.clone());
        }
    }
    impact.notes = notes::of(&impact);
    impact
}
