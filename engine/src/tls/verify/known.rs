//! Certificates that were judged good: a fixed table without locks and without growth, one a node for all its
//! policies. A judgement belongs to the trust that it was made under; under another one it counts for nothing
//! and its place is free.
//!
//! A certificate has four places, chosen by its fingerprint. Where all four are taken by others that still
//! hold, one gives way and is simply judged again: with a load of a half that happens to one in a hundred.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use keyline_domain::ids::UnixMillis;

use super::Fingerprint;
use crate::flow::PeerCertificateFacts;
use crate::tls::resume::TrustDigest;

/// Places of one certificate.
const WAYS: usize = 4;

struct Entry {
    trust: TrustDigest,
    until: UnixMillis,
    facts: Arc<PeerCertificateFacts>,
}

/// The table.
pub struct Known {
    slots: Box<[ArcSwapOption<Entry>]>,
    found: AtomicU64,
    judged: AtomicU64,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Known({} places)", self.slots.len())
    }
}

impl Known {
    /// Room for that many certificates, rounded up to a power of two: 8 bytes each empty, about 2 KB taken.
    pub fn new(certificates: usize) -> Arc<Self> {
        let slots = certificates.max(WAYS).next_power_of_two();
        Arc::new(Self {
            slots: (0..slots).map(|_| ArcSwapOption::empty()).collect(),
            found: AtomicU64::new(0),
            judged: AtomicU64::new(0),
        })
    }

    /// How often a judgement was found, and how often one was made.
    pub fn counts(&self) -> (u64, u64) {
        (self.found.load(Ordering::Relaxed), self.judged.load(Ordering::Relaxed))
    }

    /// What was found out about a certificate under this trust, while it still holds.
    pub(super) fn get(
        &self,
        print: &Fingerprint,
        trust: &TrustDigest,
        now: UnixMillis,
    ) -> Option<Arc<PeerCertificateFacts>> {
        for slot in self.set(print) {
            let entry = slot.load();
            let Some(entry) = entry.as_ref() else { continue };
            if entry.facts.facts.sha256 == *print && entry.holds(trust, now) {
                self.found.fetch_add(1, Ordering::Relaxed);
                return Some(Arc::clone(&entry.facts));
            }
        }
        None
    }

    /// Keeps a judgement until a moment, inclusive.
    pub(super) fn put(
        &self,
        trust: &TrustDigest,
        now: UnixMillis,
        until: UnixMillis,
        facts: Arc<PeerCertificateFacts>,
    ) {
        let judged = self.judged.fetch_add(1, Ordering::Relaxed);
        let set = self.set(&facts.facts.sha256);
        let free = set.iter().find(|slot| {
            slot.load()
                .as_ref()
                .is_none_or(|e| e.facts.facts.sha256 == facts.facts.sha256 || !e.holds(trust, now))
        });
        // Else whoever has the place that it is the turn of.
        let slot = free.unwrap_or(&set[judged as usize % WAYS]);
        slot.store(Some(Arc::new(Entry { trust: *trust, until, facts })));
    }

    fn set(&self, print: &Fingerprint) -> &[ArcSwapOption<Entry>] {
        // The fingerprint of a certificate that an authority has signed is as good as random; whoever makes
        // many that collide only has them judged again.
        let [a, b, c, d, ..] = *print;
        let set = u32::from_le_bytes([a, b, c, d]) as usize % (self.slots.len() / WAYS);
        &self.slots[set * WAYS..][..WAYS]
    }
}

impl Entry {
    fn holds(&self, trust: &TrustDigest, now: UnixMillis) -> bool {
        self.trust == *trust && self.facts.facts.not_before <= now && now <= self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::support::Ca;
    use keyline_domain::identity::ChainedTo;

    const NOW: UnixMillis = UnixMillis(2_000_000_000_000);
    const NEVER: UnixMillis = UnixMillis(u64::MAX);

    /// Facts of a certificate whose fingerprint is that number.
    fn facts(number: u16) -> Arc<PeerCertificateFacts> {
        let mut facts = crate::pki::inspect::facts(&Ca::new("Manufacturing").phone("SEP1").chain[0]).unwrap();
        facts.sha256 = [0; 32];
        facts.sha256[..2].copy_from_slice(&number.to_le_bytes());
        facts.not_before = UnixMillis(1_000);
        Arc::new(PeerCertificateFacts { facts, chain: ChainedTo::CapfTrust, ders: Box::default() })
    }

    #[test]
    fn r052_a_judgement_holds_under_its_trust_and_in_its_time_only() {
        let (known, phone) = (Known::new(64), facts(5));
        let print = phone.facts.sha256;
        known.put(&[1; 32], NOW, UnixMillis(NOW.0 + 10), phone);
        assert!(known.get(&print, &[1; 32], NOW).is_some());
        assert!(known.get(&print, &[2; 32], NOW).is_none(), "another trust");
        assert!(known.get(&print, &[1; 32], UnixMillis(NOW.0 + 10)).is_some());
        assert!(known.get(&print, &[1; 32], UnixMillis(NOW.0 + 11)).is_none(), "too late");
        assert!(known.get(&print, &[1; 32], UnixMillis(999)).is_none(), "too early");
        assert!(known.get(&facts(6).facts.sha256, &[1; 32], NOW).is_none());
        assert_eq!(known.counts(), (2, 1));
    }

    #[test]
    fn it_never_grows_and_what_is_void_gives_way_first() {
        let known = Known::new(8);
        assert_eq!(known.slots.len(), 8);
        let taken = || known.slots.iter().filter(|s| s.load().is_some()).count();
        // All in the same set.
        for n in 0..5 {
            known.put(&[1; 32], NOW, NEVER, facts(n * 2));
        }
        assert_eq!(taken(), 4);
        known.put(&[1; 32], NOW, NEVER, facts(8));
        assert_eq!(taken(), 4, "the same certificate takes no second place");
        // Under a new trust all of them are void: the new ones find room beside each other.
        for n in 0..4 {
            known.put(&[2; 32], NOW, NEVER, facts(n * 2));
        }
        assert!((0..4).all(|n| known.get(&facts(n * 2).facts.sha256, &[2; 32], NOW).is_some()));
        for n in 0..200 {
            known.put(&[2; 32], NOW, NEVER, facts(n));
        }
        assert_eq!(taken(), 8);
    }
}
