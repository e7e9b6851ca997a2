//! Transaction handles: worker, slot and generation in 64 bits.

/// Most slots of one table (24 bits of a packed handle).
pub const SLOTS_MAX: usize = 1 << 24;

/// Generations wrap after this many reuses of one slot (24 bits of a packed handle).
pub(super) const GENERATION_MASK: u32 = (1 << 24) - 1;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name {
            /// The worker whose table holds the transaction.
            pub worker: u16,
            /// Slot in that table, below [`SLOTS_MAX`].
            pub slot: u32,
            /// Tells users of a reused slot apart; 24 bits.
            pub generation: u32,
        }

        impl $name {
            /// The handle in one number: worker (16 bits), slot (24), generation (24).
            pub fn to_u64(self) -> u64 {
                (u64::from(self.worker) << 48)
                    | (u64::from(self.slot & 0x00ff_ffff) << 24)
                    | u64::from(self.generation & GENERATION_MASK)
            }

            /// The handle back from [`Self::to_u64`]. Every number is a handle; one that no table
            /// gave out matches no transaction.
            pub fn from_u64(packed: u64) -> Self {
                Self {
                    worker: (packed >> 48) as u16,
                    slot: (packed >> 24) as u32 & 0x00ff_ffff,
                    generation: packed as u32 & GENERATION_MASK,
                }
            }
        }
    };
}

handle! {
    /// A request that arrived and is being answered.
    ServerTxId
}

handle! {
    /// A request of ours that waits for its answer.
    ClientTxId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_every_field() {
        let id = ServerTxId { worker: 0xbeef, slot: 0x00ab_cdef, generation: 0x0012_3456 };
        assert_eq!(id.to_u64(), 0xbeef_abcd_ef12_3456);
        assert_eq!(ServerTxId::from_u64(id.to_u64()), id);
        let top = ClientTxId { worker: u16::MAX, slot: 0x00ff_ffff, generation: GENERATION_MASK };
        assert_eq!(ClientTxId::from_u64(top.to_u64()), top);
    }
}
