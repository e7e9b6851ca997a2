//! Shared lines of encrypted phones (R015).

use std::collections::BTreeSet;

use crate::ids::{DeviceName, Dn};
use crate::inventory::Inventory;
use crate::mode::DeviceSecurityMode;

use super::{MixedLine, Some1000};

/// Devices of a line that are set to encrypted, and those that are not: by their assigned profiles as saved.
pub(super) fn sides(inventory: &Inventory, line: &Dn) -> (Some1000<DeviceName>, Some1000<DeviceName>) {
    let (mut encrypted, mut others) = (Some1000::default(), Some1000::default());
    for phone in inventory.devices_on(line.as_str()).filter_map(|index| inventory.phone_view(index)) {
        let mode = phone.profile.settings.device_security_mode;
        let side = if mode == DeviceSecurityMode::Encrypted { &mut encrypted } else { &mut others };
        side.add(|| phone.name.clone());
    }
    (encrypted, others)
}

/// The line as it stands, if it is mixed.
pub(super) fn mixed(inventory: &Inventory, line: &Dn) -> Option<MixedLine> {
    let (encrypted, offending) = sides(inventory, line);
    let mixed = !encrypted.is_empty() && !offending.is_empty();
    mixed.then(|| MixedLine { line: line.clone(), encrypted, offending })
}

/// How many devices of each line offend now; lines that only one device has cannot be mixed.
pub(super) fn shared<'a>(inventory: &Inventory, lines: impl Iterator<Item = &'a Dn>) -> BTreeSet<Dn> {
    lines.filter(|dn| inventory.devices_on(dn.as_str()).nth(1).is_some()).cloned().collect()
}
