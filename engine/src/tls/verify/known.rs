//! Certificates that one verifier has judged good: a fixed array of slots, no lock, no growth. A slot is
//! chosen by the fingerprint; the later certificate wins it, and the other one is simply judged again.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use keyline_domain::ids::UnixMillis;

use super::Fingerprint;
use crate::flow::PeerCertificateFacts;

/// Slots, a power of two: 256 KB empty, about 60 MB when all are taken.
const SLOTS: usize = 1 << 15;

struct Entry {
    until: UnixMillis,
    facts: Arc<PeerCertificateFacts>,
}

/// The slots.
pub(super) struct Known(Box<[ArcSwapOption<Entry>]>);

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

impl Known {
    pub(super) fn new() -> Self {
        Self((0..SLOTS).map(|_| ArcSwapOption::empty()).collect())
    }

    /// What was found out about a certificate, while it still holds.
    pub(super) fn get(&self, print: &Fingerprint, now: UnixMillis) -> Option<Arc<PeerCertificateFacts>> {
        let entry = self.slot(print).load();
        let entry = entry.as_ref()?;
        let holds =
            entry.facts.facts.sha256 == *print && entry.facts.facts.not_before <= now && now <= entry.until;
        holds.then(|| Arc::clone(&entry.facts))
    }

    /// Keeps a judgement until a moment, inclusive.
    pub(super) fn put(&self, print: Fingerprint, until: UnixMillis, facts: Arc<PeerCertificateFacts>) {
        debug_assert_eq!(print, facts.facts.sha256);
        self.slot(&print).store(Some(Arc::new(Entry { until, facts })));
    }

    fn slot(&self, print: &Fingerprint) -> &ArcSwapOption<Entry> {
        // The fingerprint of a certificate that an authority has signed is as good as random; whoever makes
        // two that collide only has them judged again.
        let [a, b, c, d, ..] = *print;
        &self.0[u32::from_le_bytes([a, b, c, d]) as usize % SLOTS]
    }
}
