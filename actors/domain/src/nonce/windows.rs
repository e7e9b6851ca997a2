//! Nonce-count windows: a fixed array of atomics, lock-free, flat whatever arrives (design §4 Digest).
//!
//! A set is four slots and one word, the *directory*, with the four slots' 16-bit tags. Whoever claims
//! a slot replaces the whole directory by one compare-and-swap, so two threads can never give one nonce
//! two slots. Everything else of a slot (its times, its three window words) carries the tag of its
//! owner: after a change of owner the old words do not have to be wiped, they simply belong to nobody.
//! A thread that finds a foreign tag in a word looks at the directory again: still the owner, the word
//! is a leftover and is replaced; not the owner any more, it starts over.
//!
//! A window word covers 32 counts: tag (16 bits), number of the block of 32 (16 bits), bitmap (32
//! bits). Three words in turn cover at least the last [`NC_WINDOW`] counts. Setting a bit is one
//! compare-and-swap of the word that tag and block are part of, so of two equal counts exactly one wins.
//!
//! Two nonces with one tag in one set share a window. That can only refuse a count that was fresh (one
//! more round trip for about one nonce in 16,000), never take a repeat.
//!
//! **Eviction.** Expired owners go first, else the oldest, and never for a nonce that is not younger.
//! The set then remembers the issue time of the newest nonce that it ever evicted (the *floor*). A nonce
//! without a slot that was issued at or before the floor may have been counted here before, so it is
//! refused as [`NcVerdict::Evicted`] instead of being given a new, empty window. The floor rises before
//! the directory changes, and a claimer looks at it again after its claim. The phone's next nonce has
//! another place, so nobody is refused for long.
//!
//! **Room.** Placed by chance alone, half as many nonces as slots fill a seventh of the sets so far that their oldest
//! owner goes. So whoever mints asks first ([`Windows::roomier`]): of two ids the one whose set has fewer living
//! owners is taken, and at that load one nonce in fifty thousand is evicted. Which set a nonce belongs to still
//! follows from the nonce alone, so that nothing about the claim changes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{NonceFacts, NonceKeys};

/// The fewest slots, whatever the number of phones (design §4: at least 65,536). At 40,000 challenged requests a
/// second a slot is its owner's for six seconds then; with a quarter of them one nonce in fifty lost its slot within
/// the second in which it was minted, and its phone was asked once more.
pub const SLOTS_MIN: usize = 262_144;

/// Counts that lie no further than this behind the highest one seen are always judged one by one.
pub const NC_WINDOW: u32 = 64;

/// The first count that is not served any more: the phone is given a new nonce instead.
pub const NC_LIMIT: u32 = 1 << 21;

const WAYS: usize = 4;
const WORDS: usize = 3;
const WORD_BITS: u32 = 32;

/// The verdict on one nonce count. Everything but `Fresh` and, under the rule for retransmissions,
/// `Repeat` is answered by `stale=true`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NcVerdict {
    /// Seen for the first time, and now recorded.
    Fresh,
    /// Seen before.
    Repeat,
    /// So far behind the highest count that nobody knows any more.
    TooOld,
    /// The nonce lost its slot, or may have lost it.
    Evicted,
    /// Zero, or [`NC_LIMIT`] and more.
    OutOfRange,
}

#[derive(Debug, Default)]
struct Set {
    /// Four tags of 16 bits; 0 is a free slot.
    directory: AtomicU64,
    /// Newest issue time that was ever evicted here, plus one; 0: nothing was.
    floor: AtomicU64,
    /// Of each slot: tag (16), issue time (32), validity in units of two seconds (16).
    times: [AtomicU64; WAYS],
    /// Of each slot: the window.
    words: [[AtomicU64; WORDS]; WAYS],
}

/// The windows of one node.
#[derive(Debug)]
pub struct Windows {
    sets: Box<[Set]>,
}

impl Windows {
    /// At least `slots` slots, and at least four. 36 bytes each, taken at once.
    pub fn with_slots(slots: usize) -> Self {
        let sets = slots.div_ceil(WAYS).max(1);
        Self { sets: std::iter::repeat_with(Set::default).take(sets).collect() }
    }

    /// Slots for a number of phones with digest: two each, at least [`SLOTS_MIN`].
    pub fn for_phones(phones: usize) -> Self {
        Self::with_slots(phones.saturating_mul(2).max(SLOTS_MIN))
    }

    /// Number of slots.
    pub fn slots(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// Bytes that the array takes, now and for ever.
    pub fn bytes(&self) -> usize {
        std::mem::size_of_val(&*self.sets)
    }

    /// Slots that some nonce holds, expired ones included. Walks the array: for metrics, not for requests.
    pub fn occupied(&self) -> usize {
        let tags = |s: &Set| {
            let d = s.directory.load(Ordering::Relaxed);
            (0..WAYS).filter(|way| tag_at(d, *way) != 0).count()
        };
        self.sets.iter().map(tags).sum()
    }

    /// Counts one use of a nonce, claiming a slot for it if it has none.
    ///
    /// To be called only after the nonce was opened, is not expired, and the response is right: nothing
    /// that a stranger sends may claim a slot. `now_s` is Unix time in seconds, `validity_s` the applied
    /// profile's.
    pub fn use_nc(&self, nonce: &NonceFacts, nc: u32, now_s: u64, validity_s: u32) -> NcVerdict {
        if nc == 0 || nc >= NC_LIMIT {
            return NcVerdict::OutOfRange;
        }
        let set = &self.sets[self.set_of(nonce.place)];
        let tag = (nonce.place as u16).max(1);
        loop {
            let directory = set.directory.load(Ordering::Acquire);
            match (0..WAYS).find(|way| tag_at(directory, *way) == tag) {
                Some(way) => {
                    let owned = Owned { set, way, tag };
                    owned.keep_times(nonce.issued_s, validity_s);
                    if let Some(verdict) = owned.record(nc) {
                        return verdict;
                    }
                }
                None if !set.claim(directory, tag, now_s, nonce.issued_s) => return NcVerdict::Evicted,
                None => {}
            }
        }
    }

    /// An id for a nonce that is about to be minted under the current key: `id`, or another that follows from it
    /// where the set of that one has more room. `id` must be random, and so is the other then.
    pub fn roomier(&self, id: u64, keys: &NonceKeys, now_s: u64) -> u64 {
        let living = |id| self.sets[self.set_of(keys.current.place(id))].living(now_s);
        // Where two slots are free another look buys nothing.
        let own = living(id);
        if own < WAYS / 2 {
            return id;
        }
        let other = id ^ OTHER;
        if living(other) < own { other } else { id }
    }

    pub(super) fn set_of(&self, place: u64) -> usize {
        // The upper 48 bits choose the set, the lower 16 are the tag: independent of each other.
        ((u128::from(place >> 16) * self.sets.len() as u128) >> 48) as usize
    }
}

/// Makes of one random id another.
pub(super) const OTHER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Set {
    /// Owners whose nonces have not expired.
    fn living(&self, now_s: u64) -> usize {
        let directory = self.directory.load(Ordering::Relaxed);
        (0..WAYS)
            .filter(|way| {
                tag_at(directory, *way) != 0 && expires_s(self.times[*way].load(Ordering::Relaxed)) >= now_s
            })
            .count()
    }

    /// Tries to put `tag` into the place of a free, an expired or the oldest slot. `false`: this nonce
    /// gets no slot any more. `true`: look again, since somebody else may have been faster.
    fn claim(&self, directory: u64, tag: u16, now_s: u64, issued_s: u32) -> bool {
        if self.is_below_floor(issued_s) {
            return false;
        }
        let free = (0..WAYS).find(|way| tag_at(directory, *way) == 0);
        let Some(way) = free.or_else(|| self.make_room(directory, now_s, issued_s)) else {
            return false;
        };
        let next = with_tag(directory, way, tag);
        if self.directory.compare_exchange(directory, next, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return true;
        }
        // Between our look at the floor and our claim this very nonce may have come and gone.
        if self.is_below_floor(issued_s) {
            self.release(way, tag);
            return false;
        }
        true
    }

    /// Chooses the slot to be taken over and raises the floor to its owner's issue time. `None`: no
    /// owner is older than the nonce that asks.
    fn make_room(&self, directory: u64, now_s: u64, issued_s: u32) -> Option<usize> {
        let owner = |way: usize| {
            let times = self.times[way].load(Ordering::Acquire);
            // An owner that has not written its times yet came this very moment: it stays.
            (tag_of(times) == tag_at(directory, way)).then_some((times, way))
        };
        let victim = (0..WAYS)
            .filter_map(owner)
            .min_by_key(|(times, _)| (now_s <= expires_s(*times), issued_of(*times)))
            .filter(|(times, _)| issued_of(*times) < issued_s)?;
        self.floor.fetch_max(u64::from(issued_of(victim.0)) + 1, Ordering::AcqRel);
        Some(victim.1)
    }

    fn is_below_floor(&self, issued_s: u32) -> bool {
        u64::from(issued_s) < self.floor.load(Ordering::Acquire)
    }

    /// Gives a slot up again.
    fn release(&self, way: usize, tag: u16) {
        let mut directory = self.directory.load(Ordering::Acquire);
        while tag_at(directory, way) == tag {
            let next = with_tag(directory, way, 0);
            match self.directory.compare_exchange(directory, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => directory = now,
            }
        }
    }
}

/// A slot as the owner with `tag` sees it.
struct Owned<'a> {
    set: &'a Set,
    way: usize,
    tag: u16,
}

impl Owned<'_> {
    /// Still the owner? To be asked after each look at a word, never before.
    fn still(&self) -> bool {
        tag_at(self.set.directory.load(Ordering::Acquire), self.way) == self.tag
    }

    /// Writes the times down, or raises them: two nonces that share a tag count as the younger one, or
    /// its eviction would leave the floor below it.
    fn keep_times(&self, issued_s: u32, validity_s: u32) {
        let cell = &self.set.times[self.way];
        let mut seen = cell.load(Ordering::Acquire);
        loop {
            let mut next = times(self.tag, issued_s, validity_s);
            if tag_of(seen) == self.tag {
                let issued_s = issued_s.max(issued_of(seen));
                next = times(self.tag, issued_s, validity_s).max(times_with(seen, issued_s));
                if next == seen {
                    return;
                }
            } else if !self.still() {
                return;
            }
            match cell.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Records one count. `None`: the slot has another owner now.
    fn record(&self, nc: u32) -> Option<NcVerdict> {
        let block = (nc / WORD_BITS) as u16;
        let bit = 1u32 << (nc % WORD_BITS);
        let cell = &self.set.words[self.way][usize::from(block) % WORDS];
        let mut seen = cell.load(Ordering::Acquire);
        loop {
            let mut bits = bit;
            if tag_of(seen) == self.tag {
                let (known, recorded) = ((seen >> 32) as u16, seen as u32);
                if known > block {
                    return Some(NcVerdict::TooOld);
                }
                if known == block {
                    if recorded & bit != 0 {
                        return Some(NcVerdict::Repeat);
                    }
                    bits |= recorded;
                }
            } else if !self.still() {
                return None;
            }
            let next = u64::from(self.tag) << 48 | u64::from(block) << 32 | u64::from(bits);
            match cell.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(NcVerdict::Fresh),
                Err(now) => seen = now,
            }
        }
    }
}

fn tag_at(directory: u64, way: usize) -> u16 {
    (directory >> (16 * way)) as u16
}

fn with_tag(directory: u64, way: usize, tag: u16) -> u64 {
    directory & !(0xffff << (16 * way)) | u64::from(tag) << (16 * way)
}

/// The owner's tag in a word or in the times.
fn tag_of(word: u64) -> u16 {
    (word >> 48) as u16
}

fn times(tag: u16, issued_s: u32, validity_s: u32) -> u64 {
    let units = u64::from(validity_s.div_ceil(2).min(0xffff));
    u64::from(tag) << 48 | u64::from(issued_s) << 16 | units
}

/// The same tag and validity with another issue time.
fn times_with(word: u64, issued_s: u32) -> u64 {
    word & !(0xffff_ffff << 16) | u64::from(issued_s) << 16
}

fn issued_of(times: u64) -> u32 {
    (times >> 16) as u32
}

fn expires_s(times: u64) -> u64 {
    u64::from(issued_of(times)) + 2 * (times & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_former_owner_changes_nothing() {
        let windows = Windows::with_slots(4);
        let owner = NonceFacts::for_test(1, 1000);
        assert_eq!(windows.use_nc(&owner, 1, 1000, 600), NcVerdict::Fresh);
        let set = &windows.sets[0];
        let before = set.times[0].load(Ordering::Relaxed);
        let former = Owned { set, way: 0, tag: 99 };
        former.keep_times(5000, 600);
        assert_eq!(former.record(2), None);
        assert_eq!(set.times[0].load(Ordering::Relaxed), before);
        assert_eq!(windows.use_nc(&owner, 2, 1000, 600), NcVerdict::Fresh);
    }

    #[test]
    fn leftovers_of_a_former_owner_are_replaced() {
        let windows = Windows::with_slots(4);
        let leftover = u64::from(99u16) << 48 | 7 << 32 | 0xffff_ffff;
        windows.sets[0].words[0][0].store(leftover, Ordering::Relaxed);
        let owner = NonceFacts::for_test(1, 1000);
        assert_eq!(windows.use_nc(&owner, 1, 1000, 600), NcVerdict::Fresh);
        assert_eq!(windows.use_nc(&owner, 1, 1000, 600), NcVerdict::Repeat);
    }

    #[test]
    fn a_slot_is_given_up_by_its_owner_only() {
        let windows = Windows::with_slots(4);
        windows.use_nc(&NonceFacts::for_test(1, 1000), 1, 1000, 600);
        windows.sets[0].release(0, 2);
        assert_eq!(windows.occupied(), 1);
        windows.sets[0].release(0, 1);
        assert_eq!(windows.occupied(), 0);
    }
}
