//! A bounded table of slots whose reuse is told apart by a generation.

use super::id::{GENERATION_MASK, SLOTS_MAX};

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

struct Entry<V> {
    generation: u32,
    next_free: u32,
    value: Option<V>,
}

/// Values by slot number. Slots of removed values are reused last in, first out; memory stays at
/// the highest number of values held at a time.
pub(super) struct Slots<V> {
    entries: Vec<Entry<V>>,
    free: u32,
    len: usize,
    limit: usize,
}

impl<V> Slots<V> {
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: Vec::new(), free: NONE, len: 0, limit: limit.min(SLOTS_MAX) }
    }

    /// Stores a value: its slot and generation. None when full.
    pub(super) fn insert(&mut self, value: V) -> Option<(u32, u32)> {
        if self.is_full() {
            return None;
        }
        self.len += 1;
        if self.free != NONE {
            let slot = self.free;
            let entry = &mut self.entries[slot as usize];
            self.free = entry.next_free;
            entry.value = Some(value);
            return Some((slot, entry.generation));
        }
        // Below SLOTS_MAX, so the number fits.
        let slot = self.entries.len() as u32;
        self.entries.push(Entry { generation: 0, next_free: NONE, value: Some(value) });
        Some((slot, 0))
    }

    /// Takes a value out and retires its handle.
    pub(super) fn remove(&mut self, slot: u32) -> Option<V> {
        let entry = self.entries.get_mut(slot as usize)?;
        let value = entry.value.take()?;
        entry.generation = (entry.generation + 1) & GENERATION_MASK;
        entry.next_free = self.free;
        self.free = slot;
        self.len -= 1;
        Some(value)
    }

    pub(super) fn get(&self, slot: u32, generation: u32) -> Option<&V> {
        let entry = self.entries.get(slot as usize)?;
        if entry.generation == generation { entry.value.as_ref() } else { None }
    }

    pub(super) fn get_mut(&mut self, slot: u32, generation: u32) -> Option<&mut V> {
        let entry = self.entries.get_mut(slot as usize)?;
        if entry.generation == generation { entry.value.as_mut() } else { None }
    }

    /// The value of a slot whatever its generation.
    pub(super) fn at(&mut self, slot: u32) -> Option<&mut V> {
        self.entries.get_mut(slot as usize)?.value.as_mut()
    }

    /// The present generation of a slot.
    pub(super) fn generation(&self, slot: u32) -> u32 {
        self.entries.get(slot as usize).map_or(0, |entry| entry.generation)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.len >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_has_another_generation() {
        let mut slots = Slots::new(2);
        let (a, first) = slots.insert('a').unwrap();
        let (b, _) = slots.insert('b').unwrap();
        assert!(slots.insert('c').is_none(), "the limit holds");
        assert_eq!(slots.remove(a), Some('a'));
        assert_eq!(slots.remove(a), None);
        let (c, second) = slots.insert('c').unwrap();
        assert_eq!((c, slots.len()), (a, 2));
        assert_ne!(first, second);
        assert_eq!(slots.get(a, first), None);
        assert_eq!(slots.get(c, second), Some(&'c'));
        assert_eq!(slots.remove(b), Some('b'));
    }
}
