//! The row of the keys that seal TLS session tickets: the newest makes tickets, those before it still open.

use std::sync::Arc;

use keyline_domain::ids::UnixMillis;
use zeroize::Zeroizing;

use crate::board::{TICKET_SECRET_LEN, TicketKey, TicketKeys};

/// Keys that are kept at a time: a ticket opens for at most so many periods.
pub(crate) const KEPT: usize = 4;

const ID: usize = 4;
const HEAD: usize = ID + 8;
const ENTRY: usize = HEAD + TICKET_SECRET_LEN;

/// The keys as they are kept. Unsealed bytes, newest first, each: id (4), time in milliseconds (8), secret
/// (32).
#[derive(Clone)]
pub(crate) struct TicketRow(Vec<Arc<TicketKey>>);

impl TicketRow {
    pub(super) fn first(secret: Zeroizing<[u8; TICKET_SECRET_LEN]>, now: UnixMillis) -> Self {
        Self(vec![Arc::new(TicketKey { id: 1, since: now, secret })])
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(ENTRY) || bytes.len() > KEPT * ENTRY {
            return None;
        }
        let entry = |e: &[u8]| {
            Some(Arc::new(TicketKey {
                id: u32::from_be_bytes(e.get(..ID)?.try_into().ok()?),
                since: UnixMillis(u64::from_be_bytes(e.get(ID..HEAD)?.try_into().ok()?)),
                secret: Zeroizing::new(e.get(HEAD..)?.try_into().ok()?),
            }))
        };
        bytes.chunks_exact(ENTRY).map(entry).collect::<Option<_>>().map(Self)
    }

    pub(super) fn write(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.0.len() * ENTRY));
        for key in &self.0 {
            out.extend_from_slice(&key.id.to_be_bytes());
            out.extend_from_slice(&key.since.0.to_be_bytes());
            out.extend_from_slice(key.secret.as_ref());
        }
        out
    }

    pub(crate) fn keys(&self) -> TicketKeys {
        TicketKeys::new(self.0.iter().cloned())
    }

    /// Whether the newest key has served for its period. A clock set back makes it due at once.
    pub(crate) fn is_due(&self, now: UnixMillis, period_s: u64) -> bool {
        let since = self.0[0].since.0;
        now.0 < since || now.0 - since >= period_s.saturating_mul(1000)
    }

    /// The row in which a new key makes tickets. The others open them on, each until its own time, counted
    /// from its first ticket, is over.
    pub(crate) fn rotated(
        &self,
        secret: Zeroizing<[u8; TICKET_SECRET_LEN]>,
        now: UnixMillis,
        period_s: u64,
    ) -> Self {
        let lifetime = period_s.saturating_mul(1000 * KEPT as u64);
        let holds = |key: &&Arc<TicketKey>| now.0.saturating_sub(key.since.0) < lifetime;
        let new = Arc::new(TicketKey { id: self.0[0].id.wrapping_add(1), since: now, secret });
        Self(std::iter::once(new).chain(self.0.iter().filter(holds).cloned()).take(KEPT).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> Zeroizing<[u8; TICKET_SECRET_LEN]> {
        Zeroizing::new([byte; TICKET_SECRET_LEN])
    }

    fn ids(row: &TicketRow) -> Vec<u32> {
        row.0.iter().map(|k| k.id).collect()
    }

    #[test]
    fn rows_come_back_as_written() {
        let row = TicketRow::first(secret(1), UnixMillis(7)).rotated(secret(2), UnixMillis(9), 10);
        let again = TicketRow::read(&row.write()).unwrap();
        assert_eq!(ids(&again), [2, 1]);
        assert_eq!(again.0[0].secret, secret(2));
        assert_eq!((again.0[1].secret.clone(), again.0[1].since), (secret(1), UnixMillis(7)));
        for length in [0, ENTRY - 1, ENTRY + 1, (KEPT + 1) * ENTRY] {
            assert!(TicketRow::read(&vec![0; length]).is_none(), "{length}");
        }
    }

    #[test]
    fn the_newest_makes_tickets_and_the_others_open_them_until_their_time_is_over() {
        let mut row = TicketRow::first(secret(0), UnixMillis(0));
        for n in 1..10_u8 {
            row = row.rotated(secret(n), UnixMillis(u64::from(n) * 10_000), 10);
            assert_eq!(row.keys().current().id, u32::from(n) + 1);
            assert!(row.0.len() <= KEPT);
        }
        assert_eq!(ids(&row), [10, 9, 8, 7]);
        assert!(row.keys().get(7).is_some() && row.keys().get(6).is_none());
        // A node that was down for long keeps no key past its time.
        let late = row.rotated(secret(11), UnixMillis(125_000), 10);
        assert_eq!(ids(&late), [11, 10]);
    }

    #[test]
    fn a_key_is_due_after_its_period_and_when_the_clock_ran_backwards() {
        let row = TicketRow::first(secret(1), UnixMillis(100_000));
        for (at, due) in [(100_000, false), (109_999, false), (110_000, true), (99_999, true)] {
            assert_eq!(row.is_due(UnixMillis(at), 10), due, "{at}");
        }
    }
}
