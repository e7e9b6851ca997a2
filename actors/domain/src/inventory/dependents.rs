//! What names an object, from the indexes that are kept anyway: no list of phones is ever searched (R186).

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::ids::DeviceIndex;
use crate::profile::{SecurityProfile, is_predefined};

use super::{Inventory, Kind};

/// A place in the dependency records of an object: the group, and the rank in it.
pub type DependentsPlace = (u32, u64);

/// A part of an object's dependency records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dependents {
    /// All of them, not only those of this part.
    pub count: usize,
    /// Kind and name of each.
    pub items: Vec<(Kind, String)>,
    /// The last one here, if there are more.
    pub next: Option<DependentsPlace>,
}

/// Phones that an index leads to.
enum Phones<'a> {
    Many(&'a BTreeSet<DeviceIndex>),
    Few(&'a [DeviceIndex]),
}

impl<'a> Phones<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Many(all) => all.len(),
            Self::Few(all) => all.len(),
        }
    }

    fn after(&self, after: Option<DeviceIndex>) -> Box<dyn Iterator<Item = DeviceIndex> + 'a> {
        match self {
            Self::Many(all) => {
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                Box::new(all.range((from, Bound::Unbounded)).copied())
            }
            Self::Few(all) => {
                Box::new(all.iter().copied().filter(move |index| after.is_none_or(|after| *index > after)))
            }
        }
    }
}

/// Phones behind one thing that names the object, which may be a dependent itself.
struct Group<'a> {
    number: u32,
    own: Option<(Kind, &'a str)>,
    phones: Phones<'a>,
}

impl Inventory {
    /// At most `limit` of the objects that name this one, behind a place. Phones come in the order in which they
    /// were added; a model has its profiles, each with its phones.
    pub fn dependents(
        &self,
        kind: Kind,
        name: &str,
        after: Option<DependentsPlace>,
        limit: usize,
    ) -> Dependents {
        let groups = self.groups(kind, name);
        let count = groups.iter().map(|g| g.phones.len() + usize::from(g.own.is_some())).sum();
        let mut found = Dependents { count, ..Dependents::default() };
        let mut last = (0, 0);
        for group in &groups {
            let behind = match after {
                Some((number, _)) if group.number < number => continue,
                Some((number, rank)) if group.number == number => Some(rank),
                _ => None,
            };
            let own = group.own.filter(|_| behind.is_none()).map(|(kind, name)| (0, kind, name.to_owned()));
            let from = behind.filter(|rank| *rank > 0).and_then(|rank| u32::try_from(rank - 1).ok());
            let phones = group.phones.after(from.map(DeviceIndex)).filter_map(|index| {
                Some((u64::from(index.0) + 1, Kind::Phone, self.phone(index)?.name.to_string()))
            });
            for (rank, kind, name) in own.into_iter().chain(phones) {
                if found.items.len() >= limit {
                    found.next = Some(last);
                    return found;
                }
                found.items.push((kind, name));
                last = (group.number, rank);
            }
        }
        found
    }

    /// Every profile that phones have, with the phones.
    pub fn profiles_with_phones(&self) -> impl Iterator<Item = (&SecurityProfile, &BTreeSet<DeviceIndex>)> {
        self.profiles.values().filter(|e| !e.devices.is_empty()).map(|e| (&*e.profile, &e.devices))
    }

    fn groups(&self, kind: Kind, name: &str) -> Vec<Group<'_>> {
        let one = |phones| vec![Group { number: 0, own: None, phones }];
        match kind {
            Kind::SecurityProfile => {
                let entry = self.profile_id(name).and_then(|id| self.profiles.get(&id));
                entry.map_or_else(Vec::new, |entry| one(Phones::Many(&entry.devices)))
            }
            Kind::PhoneModel => self
                .profiles
                .iter()
                .filter(|(_, entry)| entry.profile.model == name)
                .map(|(id, entry)| Group {
                    number: id.0,
                    own: (!is_predefined(*id)).then_some((Kind::SecurityProfile, &*entry.profile.name)),
                    phones: Phones::Many(&entry.devices),
                })
                .collect(),
            Kind::CommonPhoneProfile => {
                self.commons.get(name).map_or_else(Vec::new, |common| one(Phones::Many(&common.phones)))
            }
            Kind::Line => self.lines.get(name).map_or_else(Vec::new, |all| one(Phones::Few(all))),
            Kind::ApplicationUser | Kind::EndUser => match self.users.get(name) {
                Some(user) if user.store.kind() == kind => vec![
                    Group { number: 0, own: None, phones: Phones::Few(&user.devices) },
                    Group { number: 1, own: None, phones: Phones::Few(&user.logged_in) },
                ],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}
