//! Where a device, a call or a tag lives: partition, shard and the dialog tags that carry both.
//!
//! A tag that the engine makes is `partition.slot.generation.mac` (design §3), all hexadecimal. The
//! lowest 16 bits of `generation` count the tags of the call, so that distinct dialogs of a call have
//! distinct tags; a wrong `mac` means that the tag is not ours and the request gets 481.

use hmac::{Hmac, KeyInit, Mac};
use keyline_domain::ids::{PARTITIONS, Partition};
use sha2::Sha256;

/// Number of a shard, which is also the number of its worker thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// Most shards (and workers) of one node.
pub const SHARDS_MAX: u16 = 256;

/// Longest text that can be one of our tags.
pub const TAG_MAX: usize = 48;

/// Partition → shard. A table, so that the number of shards may change at a restart.
#[derive(Debug, Clone)]
pub struct PartitionTable {
    shards: [ShardId; PARTITIONS],
    count: u16,
}

impl PartitionTable {
    /// Spreads the partitions over `count` shards (at least 1, at most [`SHARDS_MAX`]).
    pub fn even(count: u16) -> Self {
        let count = count.clamp(1, SHARDS_MAX);
        let mut shards = [ShardId(0); PARTITIONS];
        for (p, s) in shards.iter_mut().enumerate() {
            *s = ShardId((p % usize::from(count)) as u16);
        }
        Self { shards, count }
    }

    /// Shard of a partition.
    pub fn shard(&self, p: Partition) -> ShardId {
        self.shards[usize::from(p.0)]
    }

    /// Number of shards.
    pub fn count(&self) -> u16 {
        self.count
    }
}

/// Names one call on this node: the caller's partition, a counter, and the start of the node that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey {
    /// Partition of the caller's device; the call lives there for life.
    pub partition: Partition,
    /// Counts calls of the partition since the start.
    pub slot: u32,
    /// Start number of the node (24 bits): a slot of an earlier start is another call.
    pub generation: u32,
}

/// Bits of [`CallKey::generation`] that a tag carries.
pub const GENERATION_MASK: u32 = 0x00ff_ffff;

impl CallKey {
    /// As one number, for opaque tokens.
    pub fn pack(self) -> u64 {
        (u64::from(self.partition.0) << 56)
            | (u64::from(self.generation & GENERATION_MASK) << 32)
            | u64::from(self.slot)
    }

    /// The inverse of [`Self::pack`].
    pub fn unpack(v: u64) -> Self {
        Self {
            partition: Partition((v >> 56) as u8),
            generation: ((v >> 32) as u32) & GENERATION_MASK,
            slot: v as u32,
        }
    }
}

impl std::fmt::Display for CallKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x}-{:x}-{:x}", self.partition.0, self.generation, self.slot)
    }
}

impl std::str::FromStr for CallKey {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        let mut it = s.splitn(3, '-').map(|p| u32::from_str_radix(p, 16).map_err(|_| ()));
        let (p, g, slot) = (it.next().ok_or(())??, it.next().ok_or(())??, it.next().ok_or(())??);
        let partition = Partition(u8::try_from(p).map_err(|_| ())?);
        if g > GENERATION_MASK {
            return Err(());
        }
        Ok(Self { partition, slot, generation: g })
    }
}

/// Key under which tags are made; from the keyring, so that tags outlive a restart.
#[derive(Clone)]
pub struct TagKey(Hmac<Sha256>);

impl std::fmt::Debug for TagKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TagKey")
    }
}

impl TagKey {
    /// From 32 secret bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        // HMAC takes a key of any length, so this arm is never taken.
        Self(Hmac::new_from_slice(secret).unwrap_or_else(|_| unreachable!("HMAC keys have no length limit")))
    }

    fn mac(&self, partition: u8, slot: u32, generation: u64) -> u64 {
        let mut h = self.0.clone();
        h.update(&[partition]);
        h.update(&slot.to_be_bytes());
        h.update(&generation.to_be_bytes());
        let out = h.finalize().into_bytes();
        u64::from_be_bytes([out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7]])
    }

    /// Tag number `number` of a call.
    pub fn tag(&self, call: CallKey, number: u16) -> String {
        let generation = (u64::from(call.generation & GENERATION_MASK) << 16) | u64::from(number);
        let mac = self.mac(call.partition.0, call.slot, generation);
        let mut text = String::with_capacity(TAG_MAX);
        push_hex(&mut text, u64::from(call.partition.0), 2);
        for (number, least) in [(u64::from(call.slot), 1), (generation, 1), (mac, 16)] {
            text.push('.');
            push_hex(&mut text, number, least);
        }
        text
    }

    /// Call and tag number of one of our tags; `None` when it is not ours. Constant-time in the mac.
    pub fn parse(&self, tag: &str) -> Option<(CallKey, u16)> {
        if tag.len() > TAG_MAX {
            return None;
        }
        let mut parts = tag.split('.');
        let partition = u8::from_str_radix(parts.next()?, 16).ok()?;
        let slot = u32::from_str_radix(parts.next()?, 16).ok()?;
        let generation = u64::from_str_radix(parts.next()?, 16).ok()?;
        let mac = u64::from_str_radix(parts.next()?, 16).ok()?;
        if parts.next().is_some() || mac ^ self.mac(partition, slot, generation) != 0 {
            return None;
        }
        let start = u32::try_from(generation >> 16).ok().filter(|g| *g <= GENERATION_MASK)?;
        let key = CallKey { partition: Partition(partition), slot, generation: start };
        Some((key, generation as u16))
    }
}

/// Appends a number in hexadecimal digits, so many at least.
pub(crate) fn push_hex(out: &mut String, number: u64, least: u32) {
    let digits = (64 - number.leading_zeros()).div_ceil(4).max(least);
    for place in (0..digits).rev() {
        out.push(char::from(b"0123456789abcdef"[(number >> (4 * place)) as usize & 15]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_call_and_leg_and_resist_forgery() {
        let k = TagKey::new(&[7; 32]);
        let call = CallKey { partition: Partition(0xa1), slot: 77, generation: 0x00ab_cdef };
        let tag = k.tag(call, 300);
        assert!(tag.len() <= TAG_MAX);
        assert!(tag.starts_with("a1.4d.abcdef012c.") && tag.len() == 17 + 16, "{tag}");
        let zero = k.tag(CallKey { partition: Partition(0), slot: 0, generation: 0 }, 0);
        assert!(zero.starts_with("00.0.0.") && zero.len() == 7 + 16, "{zero}");
        assert_eq!(k.parse(&tag), Some((call, 300)));
        assert_eq!(TagKey::new(&[8; 32]).parse(&tag), None);
        let mut forged = tag.clone().into_bytes();
        let last = forged.len() - 1;
        forged[last] = if forged[last] == b'0' { b'1' } else { b'0' };
        assert_eq!(k.parse(std::str::from_utf8(&forged).unwrap()), None);
        for bad in ["", "a", "a.b.c", "1.2.3.4.5", &"f".repeat(200), "zz.1.1.1"] {
            assert_eq!(k.parse(bad), None);
        }
    }

    #[test]
    fn call_keys_survive_packing_and_printing() {
        let call = CallKey { partition: Partition(255), slot: u32::MAX, generation: GENERATION_MASK };
        assert_eq!(CallKey::unpack(call.pack()), call);
        assert_eq!(call.to_string().parse(), Ok(call));
        assert!("xx".parse::<CallKey>().is_err());
    }

    #[test]
    fn partitions_are_spread_evenly() {
        for n in [1u16, 2, 3, 7] {
            let t = PartitionTable::even(n);
            let mut seen = vec![0usize; usize::from(n)];
            for p in 0..=255u8 {
                seen[usize::from(t.shard(Partition(p)).0)] += 1;
            }
            let (lo, hi) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
            assert!(hi - lo <= 1, "{seen:?}");
        }
    }
}
