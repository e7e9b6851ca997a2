//! Why phones were refused, last.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use keyline_domain::ids::{DeviceIndex, UnixMillis};

/// Refusals of one phone that are kept.
pub const KEPT: usize = 8;

/// Phones of which refusals are kept; a later phone takes the place of an earlier one.
const SLOTS: usize = 4096;

/// Where a phone was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedAt {
    /// In the TLS handshake: the certificate that was shown names the phone, which proves nothing.
    Handshake,
    /// A request that claims to be of the phone.
    Request,
    /// While its connection was open: the certificate that it was proven by is no longer believed.
    Connection,
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub at: UnixMillis,
    /// Where.
    pub stage: RefusedAt,
    /// Code of the reason, as in metrics and log.
    pub reason: &'static str,
    /// Who was refused.
    pub peer: SocketAddr,
}

struct Entry {
    device: DeviceIndex,
    /// Newest first.
    refused: Vec<Refused>,
}

/// The last refusals of the phones that were refused last. Whoever refuses notes it: there is no owner to ask.
pub struct RefusalBoard(Box<[ArcSwapOption<Entry>]>);

impl std::fmt::Debug for RefusalBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefusalBoard")
    }
}

impl Default for RefusalBoard {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| ArcSwapOption::empty()).collect())
    }
}

impl RefusalBoard {
    /// Notes one.
    pub fn note(&self, device: DeviceIndex, refused: &Refused) {
        self.slot(device).rcu(|old| {
            let known = old.as_ref().filter(|entry| entry.device == device);
            let before = known.iter().flat_map(|entry| entry.refused.iter().cloned());
            let all = std::iter::once(refused.clone()).chain(before).take(KEPT).collect();
            Some(Arc::new(Entry { device, refused: all }))
        });
    }

    /// Those of a phone, newest first.
    pub fn of(&self, device: DeviceIndex) -> Vec<Refused> {
        let entry = self.slot(device).load();
        let own = entry.as_ref().filter(|entry| entry.device == device);
        own.map(|entry| entry.refused.clone()).unwrap_or_default()
    }

    fn slot(&self, device: DeviceIndex) -> &ArcSwapOption<Entry> {
        &self.0[device.0 as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(at: u64) -> Refused {
        let peer = SocketAddr::from(([127, 0, 0, 1], 5061));
        Refused { at: UnixMillis(at), stage: RefusedAt::Request, reason: "digest_wrong", peer }
    }

    #[test]
    fn the_last_few_of_a_phone_are_kept_and_memory_is_bounded() {
        let board = RefusalBoard::default();
        (0..20).for_each(|at| board.note(DeviceIndex(7), &refused(at)));
        let kept = board.of(DeviceIndex(7));
        assert_eq!(kept.iter().map(|r| r.at.0).collect::<Vec<_>>(), (12..20).rev().collect::<Vec<_>>());
        // Another phone of the same slot takes it.
        let other = DeviceIndex(7 + u32::try_from(SLOTS).unwrap());
        board.note(other, &refused(30));
        assert!(board.of(DeviceIndex(7)).is_empty());
        assert_eq!(board.of(other).len(), 1);
    }
}
