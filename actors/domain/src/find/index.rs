//! The index itself, and how it follows the inventory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::block::{Block, ROWS};
use super::criterion::TextField;
use super::order::Order;
use crate::ids::{DeviceIndex, ProfileId};
use crate::inventory::Inventory;
use crate::profile::SecurityProfile;

/// Changed phones from which on, and the share of all, it is made anew rather than brought up to date.
const ANEW: usize = 4096;

/// Profiles by a number of their own, so that what is known of each is an array.
#[derive(Debug, Clone, Default)]
pub(super) struct Profiles {
    numbers: BTreeMap<ProfileId, u32>,
    /// `None`: deleted.
    pub(super) list: Vec<Option<Arc<SecurityProfile>>>,
}

impl Profiles {
    pub(super) fn number(&self, id: ProfileId) -> Option<u32> {
        self.numbers.get(&id).copied()
    }

    fn set(&mut self, inventory: &Inventory, id: ProfileId) {
        let profile = inventory.profile(id);
        match self.number(id).and_then(|n| self.list.get_mut(n as usize)) {
            Some(place) => *place = profile,
            None => {
                self.numbers.insert(id, u32::try_from(self.list.len()).unwrap_or(u32::MAX));
                self.list.push(profile);
            }
        }
    }
}

/// Texts of all phones.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    pub(super) blocks: Arc<Vec<Arc<Block>>>,
}

impl Texts {
    fn block(&self, number: u32) -> Option<(&Block, usize)> {
        let number = number as usize;
        Some((self.blocks.get(number / ROWS)?, number % ROWS))
    }

    fn has(&self, number: u32) -> bool {
        self.block(number).is_some_and(|(block, row)| block.has(row))
    }

    pub(super) fn text(&self, field: TextField, number: u32) -> &str {
        self.block(number).map_or("", |(block, row)| block.text(field, row))
    }

    pub(super) fn name(&self, number: u32) -> &str {
        self.text(TextField::Name, number)
    }

    /// What phones are in order of, by description.
    pub(super) fn described(&self, number: u32) -> (&str, &str) {
        (self.text(TextField::Description, number), self.name(number))
    }
}

/// What phones are searched by. A clone is a view that stands still.
#[derive(Debug, Clone, Default)]
pub struct PhoneIndex {
    pub(super) texts: Texts,
    pub(super) names: Order,
    pub(super) descriptions: Order,
    pub(super) profiles: Arc<Profiles>,
}

impl PhoneIndex {
    /// Of an inventory as it is now.
    pub fn of(inventory: &Inventory) -> Self {
        let mut profiles = Profiles::default();
        for (profile, _) in inventory.profiles_with_phones() {
            profiles.set(inventory, profile.id);
        }
        let count = inventory.device_indexes().last().map_or(0, |last| last.0 as usize / ROWS + 1);
        let blocks = (0..count).map(|number| Arc::new(Block::of(inventory, &profiles, number))).collect();
        let names: Vec<u32> =
            inventory.phones_from(Bound::Unbounded, false).map(|phone| phone.index.0).collect();
        let texts = Texts { blocks: Arc::new(blocks) };
        // Most are told apart by their first bytes.
        let head = |text: &str| {
            let mut head = [0; 8];
            let len = text.len().min(8);
            head[..len].copy_from_slice(&text.as_bytes()[..len]);
            u64::from_be_bytes(head)
        };
        let mut sorted: Vec<(u64, u32)> =
            names.iter().map(|n| (head(texts.text(TextField::Description, *n)), *n)).collect();
        sorted.sort_unstable_by(|(a, m), (b, n)| {
            a.cmp(b).then_with(|| texts.described(*m).cmp(&texts.described(*n)))
        });
        let descriptions: Vec<u32> = sorted.into_iter().map(|(_, number)| number).collect();
        let (names, descriptions) = (Order::of(&names), Order::of(&descriptions));
        Self { texts, names, descriptions, profiles: Arc::new(profiles) }
    }

    /// Phones.
    pub fn len(&self) -> usize {
        self.names.from(|_| false).count()
    }

    /// There is no phone.
    pub fn is_empty(&self) -> bool {
        self.texts.blocks.is_empty()
    }

    /// Follows the inventory, of which these phones and profiles may have changed since.
    pub fn update(&mut self, inventory: &Inventory, phones: &[DeviceIndex], profiles: &[ProfileId]) {
        if phones.len() > ANEW.max(inventory.phone_count() / 16) {
            *self = Self::of(inventory);
            return;
        }
        for id in profiles {
            Arc::make_mut(&mut self.profiles).set(inventory, *id);
        }
        let changed: BTreeSet<u32> = phones.iter().map(|index| index.0).collect();
        for id in changed.iter().filter_map(|n| Some(inventory.phone_view(DeviceIndex(*n))?.profile.id)) {
            if self.profiles.number(id).is_none() {
                Arc::make_mut(&mut self.profiles).set(inventory, id);
            }
        }
        let (mut renamed, mut moved) = (Vec::new(), Vec::new());
        for number in &changed {
            let new = inventory.phone_view(DeviceIndex(*number));
            let was = self.texts.has(*number);
            if was != new.is_some() {
                renamed.push(*number);
            }
            let same =
                was && new.is_some_and(|p| p.description == self.texts.text(TextField::Description, *number));
            if !same {
                moved.push(*number);
            }
        }
        // Out by what they were, in by what they are: in between nothing in the orders has changed.
        let Self { texts, names, descriptions, .. } = self;
        for number in renamed.iter().filter(|n| texts.has(**n)) {
            names.remove(*number, |other| texts.name(other).cmp(texts.name(*number)));
        }
        for number in moved.iter().filter(|n| texts.has(**n)) {
            descriptions.remove(*number, |other| texts.described(other).cmp(&texts.described(*number)));
        }
        self.read_again(inventory, &changed);
        let Self { texts, names, descriptions, .. } = self;
        for number in renamed.iter().filter(|n| texts.has(**n)) {
            names.insert(*number, |other| texts.name(other).cmp(texts.name(*number)));
        }
        for number in moved.iter().filter(|n| texts.has(**n)) {
            descriptions.insert(*number, |other| texts.described(other).cmp(&texts.described(*number)));
        }
    }

    /// Blocks of changed phones.
    fn read_again(&mut self, inventory: &Inventory, changed: &BTreeSet<u32>) {
        let numbers: BTreeSet<usize> = changed.iter().map(|n| *n as usize / ROWS).collect();
        let Some(last) = numbers.last() else { return };
        let profiles = Arc::clone(&self.profiles);
        let blocks = Arc::make_mut(&mut self.texts.blocks);
        while blocks.len() <= *last {
            blocks.push(Arc::new(Block::of(inventory, &profiles, blocks.len())));
        }
        for number in numbers {
            blocks[number] = Arc::new(Block::of(inventory, &profiles, number));
        }
    }

    /// Bytes that it takes, all told.
    pub fn bytes(&self) -> usize {
        self.texts.blocks.iter().map(|b| b.bytes()).sum::<usize>()
            + self.names.bytes()
            + self.descriptions.bytes()
    }
}
