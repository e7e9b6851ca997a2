//! How RocksDB is set up. Figures are measured on two cores with 200-byte rows.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options};

use crate::table::Table;

/// What a commit survives once it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The end of the process, also by `kill -9`: written to the log, not synced.
    #[default]
    Process,
    /// A power cut: synced to the disk before the answer.
    Power,
}

/// Settings of a [`RocksStore`](super::RocksStore).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RocksOptions {
    /// What a commit survives.
    pub durability: Durability,
    /// Whether a missing or empty folder becomes a new store; else it is an error.
    pub create: bool,
    /// Memory for blocks read from disk, in bytes.
    pub cache_bytes: usize,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self { durability: Durability::Process, create: true, cache_bytes: 128 << 20 }
    }
}

/// Options of the database as a whole.
pub(super) fn database(create: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(create);
    options.create_missing_column_families(true);
    options.set_max_background_jobs(2);
    // Pipelined writes are for several threads that write: here is one.
    // Bounds the time of a restart: a third of a second. Tables that are written seldom would keep old logs from being
    // dropped; beyond this they are flushed, which is little work.
    options.set_max_total_wal_size(96 << 20);
    // A record torn by a crash ends the log; what was promised lies ahead of it. The stricter modes
    // refuse to open after a power cut, which `process` allows to cost the last commits.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(8 << 20);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options
}

/// Options of a table's column family.
pub(super) fn family(table: Table, cache: &Cache) -> Options {
    match table {
        Table::Phones => tuned(64 << 20, 3, cache),
        Table::Calls => tuned(16 << 20, 3, cache),
        // Rows that change seldom: a large buffer would only hold what is on the disk anyway.
        Table::Config => tuned(2 << 20, 3, cache),
        Table::Meta | Table::Keys | Table::Audit | Table::Intents => tuned(1 << 20, 2, cache),
    }
}

/// Options of the store's own facts: two or three rows.
pub(super) fn own(cache: &Cache) -> Options {
    tuned(1 << 20, 2, cache)
}

fn tuned(write_buffer_bytes: usize, write_buffers: i32, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_block_size(16 << 10);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(write_buffer_bytes);
    options.set_max_write_buffer_number(write_buffers);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}
