//! The next phones of a profile, in order of name: an order that a restart does not change.

use std::ops::Bound;
use std::sync::Arc;

use keyline_domain::ids::{DeviceIndex, DeviceName, ProfileId, UnixMillis};

use super::{RolloutFacts, RolloutRefused};
use crate::board::{Boards, DeviceSlot};
use crate::catalog::Catalog;

/// Phones that one look passes: about ten milliseconds of the catalog's time.
const LOOK_MAX: usize = 20_000;

/// What is asked for.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) profile: ProfileId,
    pub(super) after: Option<DeviceName>,
    pub(super) chosen: Option<Arc<[DeviceName]>>,
    /// Most registered phones.
    pub(super) most: usize,
    pub(super) at: UnixMillis,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Registered phones.
    pub(super) phones: Vec<(DeviceIndex, DeviceName)>,
    /// With nothing registered.
    pub(super) unregistered: u64,
    /// Chosen, but gone or of another profile now.
    pub(super) skipped: u64,
    /// All up to here were looked at.
    pub(super) cursor: Option<DeviceName>,
    /// There are no more.
    pub(super) end: bool,
}

/// Looks from the cursor on until there are enough registered phones.
pub(super) fn next(catalog: &Catalog, boards: &Boards, ask: &Ask) -> Found {
    let inventory = catalog.inventory();
    let mut found = Found { cursor: ask.after.clone(), ..Found::default() };
    // `None`: of another profile, or gone.
    let mut look = |name: &DeviceName, device: Option<DeviceIndex>| -> bool {
        let row = device.and_then(|i| boards.devices.slot(i)).and_then(DeviceSlot::row);
        match device {
            None if ask.chosen.is_some() => found.skipped += 1,
            None => {}
            Some(index) if row.is_some_and(|r| r.is_registered(ask.at)) => {
                if found.phones.len() >= ask.most {
                    return false;
                }
                found.phones.push((index, name.clone()));
            }
            Some(_) => found.unregistered += 1,
        }
        found.cursor = Some(name.clone());
        true
    };
    let mut passed = 0;
    let mut whole = true;
    if let Some(chosen) = &ask.chosen {
        let from = ask.after.as_ref().map_or(0, |after| chosen.partition_point(|n| n <= after));
        for name in &chosen[from..] {
            let view = inventory.device(name).filter(|v| v.profile == ask.profile);
            passed += 1;
            if passed > LOOK_MAX || !look(name, view.map(|v| v.index)) {
                whole = false;
                break;
            }
        }
    } else {
        let from = ask.after.as_ref().map_or(Bound::Unbounded, |name| Bound::Excluded(name.as_str()));
        for view in inventory.phones_from(from, false) {
            let own = view.profile.id == ask.profile;
            passed += 1;
            if passed > LOOK_MAX || !look(view.name, own.then_some(view.index)) {
                whole = false;
                break;
            }
        }
    }
    found.end = whole;
    found
}

/// What a roll-out of a profile would be about.
pub(super) fn facts(
    catalog: &Catalog,
    name: &str,
    chosen: Option<&[DeviceName]>,
) -> Result<RolloutFacts, RolloutRefused> {
    let inventory = catalog.inventory();
    let profile = inventory.profile_id(name).and_then(|id| inventory.profile(id));
    let profile = profile.ok_or_else(|| RolloutRefused::NoProfile(name.to_owned()))?;
    let applied = keyline_domain::phone::AppliedVersion { profile: profile.id, version: profile.version };
    let phones = match chosen {
        None => inventory.device_count_of(profile.id),
        Some(chosen) => {
            if chosen.is_empty() || chosen.len() > super::CHOSEN_MAX {
                return Err(RolloutRefused::Chosen(chosen.len()));
            }
            let other = chosen.iter().find(|n| inventory.device(n).is_none_or(|v| v.profile != profile.id));
            if let Some(other) = other {
                return Err(RolloutRefused::NotOfProfile(other.clone()));
            }
            chosen.len()
        }
    };
    let phones = u64::try_from(phones).unwrap_or(u64::MAX);
    Ok(RolloutFacts { profile: profile.id, name: profile.name.as_str().into(), applied, phones })
}
