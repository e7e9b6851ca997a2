//! Phones by what their profile says, from the index of each profile's phones: model, protocol, mode and name of
//! the profile need no look at a phone (R178, R189).

use keyline_domain::ids::DeviceIndex;
use keyline_domain::profile::SecurityProfile;

use super::phones::{Phone, short};
use super::{Page, Position, Query, Row, SCAN_MAX, World, pick};

/// Columns that the profile decides.
const COLUMNS: [&str; 4] = ["security_profile", "model", "protocol", "device_security_mode"];

fn column(profile: &SecurityProfile, field: &str) -> String {
    match field {
        "security_profile" => profile.name.clone(),
        "model" => profile.model.clone(),
        "protocol" => profile.protocol.as_str().to_owned(),
        _ => profile.settings.device_security_mode.as_str().to_owned(),
    }
}

/// The columns of a profile, as filters see them.
struct Columns<'a>(&'a SecurityProfile);

impl Row for Columns<'_> {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        each(&column(self.0, field));
    }
}

/// The page, if an index leads to it: filters that leave few phones, or an order that profiles have.
pub(super) fn page(world: &World<'_>, query: &Query) -> Option<Page> {
    let ours: Vec<_> = query.filters.iter().filter(|f| COLUMNS.contains(&f.field)).collect();
    let sorted = COLUMNS.contains(&query.sort);
    if ours.is_empty() && !sorted {
        return None;
    }
    let groups = world.inventory.profiles_with_phones();
    let fitting: Vec<_> = groups.filter(|(p, _)| ours.iter().all(|f| f.admits(&Columns(p)))).collect();
    if sorted {
        return Some(grouped(world, query, fitting));
    }
    let phones: usize = fitting.iter().map(|(_, devices)| devices.len()).sum();
    // Of many phones a walk in the order of names finds a page sooner.
    (phones <= SCAN_MAX).then(|| {
        let indexes = fitting.iter().flat_map(|(_, devices)| devices.iter().copied());
        let views = indexes.filter_map(|index| world.inventory.phone_view(index));
        pick(query, "name", views.map(|view| Phone { view, world }), short)
    })
}

type Group<'a> = (&'a SecurityProfile, &'a std::collections::BTreeSet<DeviceIndex>);

/// Profile by profile in the order of a column; phones of one in the order in which they were added, which
/// never changes.
fn grouped(world: &World<'_>, query: &Query, groups: Vec<Group<'_>>) -> Page {
    let mut groups: Vec<_> =
        groups.into_iter().map(|(p, devices)| ((column(p, query.sort), p.id.0), devices)).collect();
    groups.sort_by(|a, b| if query.backwards { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) });
    let after = query.after.as_ref().and_then(|p| {
        let (id, index) = p.key.split_once('.')?;
        Some(((p.value.clone(), id.parse::<u32>().ok()?), DeviceIndex(index.parse().ok()?)))
    });
    let (mut page, mut seen) = (Page::default(), 0);
    let mut last: Option<Position> = None;
    for (at, devices) in groups {
        let from = match &after {
            Some((place, _)) if if query.backwards { at > *place } else { at < *place } => continue,
            Some((place, index)) if at == *place => Some(*index),
            _ => None,
        };
        let mut phones: Box<dyn Iterator<Item = DeviceIndex>> = match (query.backwards, from) {
            (false, None) => Box::new(devices.iter().copied()),
            (true, None) => Box::new(devices.iter().rev().copied()),
            (false, Some(from)) => Box::new(
                devices.range((std::ops::Bound::Excluded(from), std::ops::Bound::Unbounded)).copied(),
            ),
            (true, Some(from)) => Box::new(devices.range(..from).rev().copied()),
        };
        for index in &mut phones {
            if page.items.len() >= query.limit || seen >= SCAN_MAX {
                page.next = last.map(|last| query.cursor(&last));
                return page;
            }
            seen += 1;
            last = Some(Position { value: at.0.clone(), key: format!("{}.{}", at.1, index.0) });
            if let Some(view) = world.inventory.phone_view(index) {
                let phone = Phone { view, world };
                if query.admits(&phone) {
                    page.items.push(short(&phone));
                }
            }
        }
    }
    page
}
