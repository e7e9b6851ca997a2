//! The tables, by kind of row.

use std::fmt;

/// One kind of row. In RocksDB a column family, elsewhere a prefix.
///
/// Keys and values are bytes; their meaning belongs to whoever owns the table. Numbers are stored
/// in checksums and streams: they never change, new kinds get new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Facts about the node and its cluster: start number, placement, cursors.
    Meta = 1,
    /// Configuration, one row an inventory row: profiles, users, lines, parameters.
    Config = 2,
    /// Phone rows with their bindings. By far the most written table.
    Phones = 3,
    /// Dialog rows of calls from 2xx on.
    Calls = 4,
    /// Key material, sealed.
    Keys = 5,
    /// Who changed what and when.
    Audit = 6,
    /// Work that must be finished after a restart: imports, roll-outs.
    Intents = 7,
}

impl Table {
    /// Every table, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Meta, Self::Config, Self::Phones, Self::Calls, Self::Keys, Self::Audit, Self::Intents];

    /// The number that stands for the table in checksums and streams.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The table with this number, if any.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.number() == number)
    }

    /// The name at rest (of the column family) and in every message.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Config => "config",
            Self::Phones => "phones",
            Self::Calls => "calls",
            Self::Keys => "keys",
            Self::Audit => "audit",
            Self::Intents => "intents",
        }
    }

    /// Position in [`Table::ALL`], for arrays with one entry a table.
    pub(crate) const fn index(self) -> usize {
        self as usize - 1
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
