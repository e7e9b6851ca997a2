//! Texts of 256 phones that were added one after the other, one text behind the other.

use super::criterion::{Pattern, TEXTS, TextField};
use super::index::Profiles;
use crate::ids::DeviceIndex;
use crate::inventory::Inventory;

/// Phones of a block.
pub(super) const ROWS: usize = 256;

/// A bit for each phone of a block.
pub(super) type Mask = [u64; ROWS / 64];

/// Stands between two lines of one phone; no line has it in its name.
const BETWEEN: char = '\n';

/// What no phone has as the number of its profile.
pub(super) const NONE: u32 = u32::MAX;

/// One text of each phone.
#[derive(Debug, Default, PartialEq, Eq)]
struct Column {
    text: Box<str>,
    /// Where the text of each phone ends; nothing where all are empty.
    ends: Box<[u32]>,
}

/// A block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    columns: [Column; TEXTS],
    /// The profile of each as a place in [`Profiles`]; [`NONE`] where there is no phone.
    pub(super) profiles: Box<[u32; ROWS]>,
}

/// A criterion on a text, made ready to be asked of a million phones.
pub(super) struct Needle<'a> {
    pub(super) field: TextField,
    pub(super) pattern: Pattern,
    pub(super) text: &'a str,
    /// As the texts are compared: names in upper case, all else in lower case.
    finder: memchr::memmem::Finder<'a>,
    letters: bool,
}

impl<'a> Needle<'a> {
    /// `folded` is `text` in upper case for names, in lower case else.
    pub(super) fn new(field: TextField, pattern: Pattern, text: &'a str, folded: &'a str) -> Self {
        let letters = field != TextField::Name && text.bytes().any(|b| b.is_ascii_alphabetic());
        Self { field, pattern, text, finder: memchr::memmem::Finder::new(folded), letters }
    }
}

impl Column {
    fn get(&self, row: usize) -> &str {
        let Some(end) = self.ends.get(row) else { return "" };
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.text[begin as usize..*end as usize]
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * 4
    }
}

impl Block {
    /// Reads phones `number * 256` and following off the inventory.
    pub(super) fn of(inventory: &Inventory, known: &Profiles, number: usize) -> Self {
        let mut texts: [(String, Vec<u32>); TEXTS] = Default::default();
        let mut profiles = Box::new([NONE; ROWS]);
        for row in 0..ROWS {
            let index = u32::try_from(number * ROWS + row).map(DeviceIndex);
            if let Some(phone) = index.ok().and_then(|index| inventory.phone_view(index)) {
                profiles[row] = known.number(phone.profile.id).unwrap_or(NONE);
                texts[TextField::Name as usize].0.push_str(phone.name.as_str());
                texts[TextField::Description as usize].0.push_str(phone.description);
                for (at, dn) in phone.lines.iter().enumerate() {
                    let lines = &mut texts[TextField::Line as usize].0;
                    if at > 0 {
                        lines.push(BETWEEN);
                    }
                    lines.push_str(dn.as_str());
                }
                let user = |user: Option<&'_ crate::ids::UserId>| user.map_or("", |u| u.as_str()).to_owned();
                texts[TextField::DigestUser as usize].0.push_str(&user(phone.digest_user));
                texts[TextField::EmUser as usize].0.push_str(&user(phone.em_user));
                texts[TextField::Common as usize].0.push_str(phone.common_phone_profile.unwrap_or_default());
            }
            for (text, ends) in &mut texts {
                // 256 phones with lines of 32 and texts of 128 characters stay far below this.
                ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
            }
        }
        let columns = texts.map(|(text, ends)| match text.is_empty() {
            true => Column::default(),
            false => Column { text: text.into(), ends: ends.into() },
        });
        Self { columns, profiles }
    }

    /// The whole text of a phone; lines one behind the other.
    pub(super) fn text(&self, field: TextField, row: usize) -> &str {
        self.columns[field as usize].get(row)
    }

    /// There is such a phone.
    pub(super) fn has(&self, row: usize) -> bool {
        self.profiles[row] != NONE
    }

    /// The phone fits.
    pub(super) fn admits(&self, needle: &Needle<'_>, row: usize) -> bool {
        let text = self.text(needle.field, row);
        match needle.pattern {
            Pattern::IsEmpty => text.is_empty(),
            Pattern::IsNotEmpty => !text.is_empty(),
            _ if text.is_empty() => false,
            pattern if needle.field == TextField::Line => {
                text.split(BETWEEN).any(|dn| pattern.holds(dn, needle.text))
            }
            pattern => pattern.holds(text, needle.text),
        }
    }

    /// Takes phones that do not fit out of the mask. `folded` is room to work in.
    pub(super) fn narrow(&self, needle: &Needle<'_>, mask: &mut Mask, folded: &mut Vec<u8>) {
        let column = &self.columns[needle.field as usize];
        if column.ends.is_empty() {
            if needle.pattern != Pattern::IsEmpty {
                *mask = Mask::default();
            }
            return;
        }
        if needle.pattern == Pattern::Contains {
            let fits = self.containing(needle, column, folded);
            mask.iter_mut().zip(fits).for_each(|(m, f)| *m &= f);
            return;
        }
        for row in 0..ROWS {
            if mask[row / 64] & (1 << (row % 64)) != 0 && !self.admits(needle, row) {
                mask[row / 64] &= !(1 << (row % 64));
            }
        }
    }

    /// Looks through all texts at once, as there are rarely any that fit.
    fn containing(&self, needle: &Needle<'_>, column: &Column, folded: &mut Vec<u8>) -> Mask {
        let mut mask = Mask::default();
        let hay: &[u8] = match needle.letters {
            false => column.text.as_bytes(),
            true => {
                folded.clear();
                folded.extend_from_slice(column.text.as_bytes());
                folded.make_ascii_lowercase();
                folded
            }
        };
        let (mut from, mut row) = (0, 0);
        while let Some(at) = hay.get(from..).and_then(|rest| needle.finder.find(rest)).map(|at| from + at) {
            while row < ROWS && column.ends[row] as usize <= at {
                row += 1;
            }
            if row == ROWS {
                break;
            }
            // It may reach into the next text.
            if self.admits(needle, row) {
                mask[row / 64] |= 1 << (row % 64);
                from = column.ends[row] as usize;
            } else {
                from = at + 1;
            }
        }
        mask
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + ROWS * 4 + self.columns.iter().map(Column::bytes).sum::<usize>()
    }
}
