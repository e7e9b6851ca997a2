//! Why the tree cannot be opened or a command cannot be carried out, in the operator's words.

use keyline_storage::StoreError;

/// Opening the supervisor tree failed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store cannot be opened or read.
    #[error("{}", .0.chain())]
    Store(#[from] StoreError),
    /// A row was written by something newer or is damaged.
    #[error("{table} row {key}: {reason}; restore a backup or use the version that wrote it")]
    Row {
        /// Table name.
        table: &'static str,
        /// Key, printable.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// The node key file is unusable.
    #[error("{0}")]
    Key(String),
    /// Metrics were registered twice.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The system gave no randomness.
    #[error("the system gave no random bytes: {0}")]
    Random(String),
    /// More devices than a node can hold.
    #[error("the store holds more devices than a node can ({limit})")]
    TooManyDevices {
        /// The limit.
        limit: usize,
    },
}
