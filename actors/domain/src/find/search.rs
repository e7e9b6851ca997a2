//! Searching an index: criteria, an order, a place to go on from.

use std::cmp::Ordering;

use super::block::{Block, Mask, NONE, Needle, ROWS};
use super::criterion::{Criterion, Field, Pattern, ProfileField, TextField};
use super::index::PhoneIndex;
use crate::ids::DeviceIndex;
use crate::profile::SecurityProfile;

/// Phones that one search shows to `keep` at most.
pub const LOOKED_MAX: usize = 50_000;

/// Phones that are looked at one by one before all texts are scanned at once: where many fit, a page is full
/// before.
const ONE_BY_ONE: usize = 4096;

/// Phones that fit, up to which they are put in order by themselves rather than sought in the order of all.
const FEW: usize = 10_000;

/// What phones are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Name.
    Name,
    /// Description by its bytes, then name.
    Description,
    /// What the profile says, then the profile's number; phones of one profile in the order in which they were
    /// added.
    Profile(ProfileField),
}

/// The place of a phone in an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The value that is ordered by; empty for names.
    pub value: String,
    /// What tells apart those of one value: the name, or `profile.phone` as numbers.
    pub key: String,
}

/// What is sought.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// All must hold.
    pub criteria: &'a [Criterion],
    /// The order.
    pub sort: Sort,
    /// From its end.
    pub backwards: bool,
    /// Behind this place.
    pub after: Option<&'a Place>,
    /// Most phones, 1 or more.
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Phones in order.
    pub phones: Vec<DeviceIndex>,
    /// Where to go on; `None` when there are no more.
    pub next: Option<Place>,
}

fn column(profile: &SecurityProfile, field: ProfileField) -> &str {
    match field {
        ProfileField::Name => &profile.name,
        ProfileField::Model => &profile.model,
        ProfileField::Protocol => profile.protocol.as_str(),
        ProfileField::Mode => profile.settings.device_security_mode.as_str(),
    }
}

/// Names are kept in upper case, all else as it was written and compared in lower case.
fn folded(criterion: &Criterion) -> String {
    match criterion.field {
        Field::Text(TextField::Name) => criterion.text.to_ascii_uppercase(),
        _ => criterion.text.to_ascii_lowercase(),
    }
}

/// Criteria made ready.
struct Ready<'a> {
    needles: Vec<Needle<'a>>,
    /// Of each profile whether its phones may fit.
    profiles: Vec<bool>,
    all: bool,
}

impl Ready<'_> {
    fn profile(&self, number: u32) -> bool {
        self.profiles.get(number as usize).copied().unwrap_or_default()
    }

    fn admits(&self, block: &Block, row: usize) -> bool {
        self.profile(block.profiles[row]) && self.needles.iter().all(|needle| block.admits(needle, row))
    }
}

/// Shows phones to whoever knows more of them, and collects those that are kept.
struct Page<'a> {
    found: Found,
    limit: usize,
    looked: usize,
    keep: Option<&'a mut dyn FnMut(DeviceIndex) -> bool>,
}

impl Page<'_> {
    /// Takes one more; true when that is enough.
    fn take(&mut self, number: u32) -> bool {
        let index = DeviceIndex(number);
        let kept = match &mut self.keep {
            None => true,
            Some(keep) => {
                self.looked += 1;
                keep(index)
            }
        };
        if kept {
            self.found.phones.push(index);
        }
        self.found.phones.len() >= self.limit || self.looked >= LOOKED_MAX
    }
}

impl PhoneIndex {
    /// Searches. `keep` knows what the index does not; where it is given a search may end early, with few phones
    /// or none and a place to go on.
    pub fn search(&self, search: &Search<'_>, keep: Option<&mut dyn FnMut(DeviceIndex) -> bool>) -> Found {
        let folded: Vec<String> = search.criteria.iter().map(folded).collect();
        let ready = self.ready(search.criteria, &folded);
        let page = Page { found: Found::default(), limit: search.limit, looked: 0, keep };
        match search.sort {
            Sort::Profile(field) => self.by_profile(search, field, &ready, page),
            Sort::Name => self.by_name(search, &ready, page),
            Sort::Description => {
                let key = |number| self.texts.described(number);
                let after = search.after.map(|p| (p.value.as_str(), p.key.as_str()));
                let place = |number| {
                    let (value, key) = self.texts.described(number);
                    Place { value: value.to_owned(), key: key.to_owned() }
                };
                let order = &self.descriptions;
                let compare = |a, b| key(a).cmp(&key(b));
                match search.backwards {
                    false => {
                        let from = order.from(|n| after.is_some_and(|after| key(n) <= after));
                        self.walk(from, &ready, page, |_| false, compare, place)
                    }
                    true => {
                        let from = order.back(|n| after.is_none_or(|after| key(n) < after));
                        self.walk(from, &ready, page, |_| false, |a, b| compare(b, a), place)
                    }
                }
            }
        }
    }

    fn ready<'a>(&self, criteria: &'a [Criterion], folded: &'a [String]) -> Ready<'a> {
        let needles: Vec<_> = criteria
            .iter()
            .zip(folded)
            .filter_map(|(c, folded)| match c.field {
                Field::Text(field) => Some(Needle::new(field, c.pattern, &c.text, folded)),
                Field::Profile(_) => None,
            })
            .collect();
        let fits = |profile: &SecurityProfile| {
            criteria.iter().all(|c| match c.field {
                Field::Text(_) => true,
                Field::Profile(field) => c.pattern.admits(std::iter::once(column(profile, field)), &c.text),
            })
        };
        let profiles =
            self.profiles.list.iter().map(|p| p.as_ref().is_some_and(|p| fits(p))).collect::<Vec<_>>();
        Ready { needles, profiles, all: criteria.is_empty() }
    }

    /// By name the order itself leads to names with a common beginning; they are kept in upper case.
    fn by_name(&self, search: &Search<'_>, ready: &Ready<'_>, page: Page<'_>) -> Found {
        let begins = search.criteria.iter().find(|c| {
            c.field == Field::Text(TextField::Name)
                && matches!(c.pattern, Pattern::Begins | Pattern::IsExactly)
        });
        let prefix = begins.map(|c| c.text.to_ascii_uppercase()).unwrap_or_default();
        let after = search.after.map(|p| p.key.as_str());
        let over = |number| !prefix.is_empty() && !self.texts.name(number).starts_with(&prefix);
        let compare = |a, b| self.texts.name(a).cmp(self.texts.name(b));
        let place = |number| Place { value: String::new(), key: self.texts.name(number).to_owned() };
        match search.backwards {
            false => {
                let below = |n| {
                    self.texts.name(n) < prefix.as_str() || after.is_some_and(|a| self.texts.name(n) <= a)
                };
                self.walk(self.names.from(below), ready, page, over, compare, place)
            }
            true => {
                let within = |name: &str| name < prefix.as_str() || name.starts_with(&prefix);
                let below = |n| within(self.texts.name(n)) && after.is_none_or(|a| self.texts.name(n) < a);
                self.walk(self.names.back(below), ready, page, over, |a, b| compare(b, a), place)
            }
        }
    }

    fn walk(
        &self,
        numbers: impl Iterator<Item = u32>,
        ready: &Ready<'_>,
        mut page: Page<'_>,
        over: impl Fn(u32) -> bool,
        compare: impl Fn(u32, u32) -> Ordering,
        place: impl Fn(u32) -> Place,
    ) -> Found {
        let mut mask: Option<Vec<Mask>> = None;
        let mut numbers = numbers.take_while(|n| !over(*n)).enumerate().peekable();
        while let Some((seen, number)) = numbers.next() {
            let (at, row) = (number as usize / ROWS, number as usize % ROWS);
            let fits = match &mask {
                _ if ready.all => true,
                Some(mask) => mask.get(at).is_some_and(|m| m[row / 64] & (1 << (row % 64)) != 0),
                None => self.texts.blocks.get(at).is_some_and(|block| ready.admits(block, row)),
            };
            if fits && page.take(number) {
                page.found.next = numbers.peek().is_some().then(|| place(number));
                break;
            }
            if seen >= ONE_BY_ONE && mask.is_none() && !ready.all {
                let all = self.mask(ready);
                if fitting(&all) <= FEW {
                    return rest(&all, number, compare, page, place);
                }
                mask = Some(all);
            }
        }
        page.found
    }

    /// Of every phone whether it fits.
    fn mask(&self, ready: &Ready<'_>) -> Vec<Mask> {
        let mut folded = Vec::new();
        let fitting = |block: &Block| {
            let mut mask = Mask::default();
            for (row, profile) in block.profiles.iter().enumerate() {
                mask[row / 64] |= u64::from(*profile != NONE && ready.profile(*profile)) << (row % 64);
            }
            mask
        };
        let blocks = self.texts.blocks.iter().map(|block| {
            let mut mask = fitting(block);
            for needle in &ready.needles {
                if mask == Mask::default() {
                    break;
                }
                block.narrow(needle, &mut mask, &mut folded);
            }
            mask
        });
        blocks.collect()
    }

    /// Profile by profile: one pass over the profiles of all phones deals them out.
    fn by_profile(
        &self,
        search: &Search<'_>,
        field: ProfileField,
        ready: &Ready<'_>,
        mut page: Page<'_>,
    ) -> Found {
        let after = search.after.and_then(|place| {
            let (id, number) = place.key.split_once('.')?;
            Some(((place.value.as_str(), id.parse::<u32>().ok()?), number.parse::<u32>().ok()?))
        });
        let mut groups: Vec<((&str, u32), usize)> = Vec::new();
        for (number, profile) in self.profiles.list.iter().enumerate() {
            if let Some(profile) = profile.as_ref().filter(|_| ready.profiles[number]) {
                groups.push(((column(profile, field), profile.id.0), number));
            }
        }
        groups.sort_unstable();
        if search.backwards {
            groups.reverse();
        }
        groups.retain(|(at, _)| {
            after.is_none_or(|(place, _)| if search.backwards { *at <= place } else { *at >= place })
        });
        let mut rank = vec![usize::MAX; self.profiles.list.len()];
        groups.iter().enumerate().for_each(|(at, (_, number))| rank[*number] = at);
        // Whom nobody looks at more closely there is no need for more than a page of.
        let most = if page.keep.is_some() { usize::MAX } else { search.limit + 1 };
        let mut dealt: Vec<Vec<u32>> = vec![Vec::new(); groups.len()];
        let behind = |at: usize, number: u32| match after {
            Some((place, index)) if groups[at].0 == place => {
                if search.backwards {
                    number < index
                } else {
                    number > index
                }
            }
            _ => true,
        };
        let mask = (!ready.needles.is_empty()).then(|| self.mask(ready));
        let mut deal = |number: usize| {
            let (block, row) = (number / ROWS, number % ROWS);
            let profile = self.texts.blocks[block].profiles[row];
            let at = rank.get(profile as usize).copied().unwrap_or(usize::MAX);
            let Some(group) = dealt.get_mut(at).filter(|group| group.len() < most) else { return };
            let fits = mask.as_ref().is_none_or(|m| m[block][row / 64] & (1 << (row % 64)) != 0);
            if let Some(number) = u32::try_from(number).ok().filter(|n| fits && behind(at, *n)) {
                group.push(number);
            }
        };
        let all = 0..self.texts.blocks.len() * ROWS;
        if search.backwards {
            all.rev().for_each(&mut deal)
        } else {
            all.for_each(&mut deal)
        }
        let order =
            groups.iter().zip(&dealt).flat_map(|((at, _), group)| group.iter().map(move |n| (at, *n)));
        let mut order = order.peekable();
        while let Some((at, number)) = order.next() {
            if page.take(number) {
                let place = || Place { value: at.0.to_owned(), key: format!("{}.{number}", at.1) };
                page.found.next = order.peek().is_some().then(place);
                break;
            }
        }
        page.found
    }
}

/// How many phones fit.
fn fitting(mask: &[Mask]) -> usize {
    mask.iter().flatten().map(|word| word.count_ones() as usize).sum()
}

/// Those that fit and stand behind a phone, in order.
fn rest(
    mask: &[Mask],
    behind: u32,
    compare: impl Fn(u32, u32) -> Ordering,
    mut page: Page<'_>,
    place: impl Fn(u32) -> Place,
) -> Found {
    let words = mask.iter().flatten().zip((0_u32..).step_by(64));
    let bits = words.filter(|(word, _)| **word != 0).flat_map(|(word, first)| {
        let word = *word;
        (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| first + bit)
    });
    let mut numbers: Vec<u32> = bits.filter(|n| compare(*n, behind) == Ordering::Greater).collect();
    numbers.sort_unstable_by(|a, b| compare(*a, *b));
    let mut numbers = numbers.into_iter().peekable();
    while let Some(number) = numbers.next() {
        if page.take(number) {
            page.found.next = numbers.peek().is_some().then(|| place(number));
            break;
        }
    }
    page.found
}
