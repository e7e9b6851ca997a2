//! What the admin servers ask of a running node, and the command line of a store that no node holds.

use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::pin::Pin;

use super::views::{
    CallSecurityView, CallView, Health, ImportDone, ImportRefused, Readiness, RegistrationPage,
};

/// A future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Writes a backup to where it is told.
pub type BackupWriter = Box<dyn FnOnce(&mut dyn Write) -> Result<(), String> + Send>;

/// The running node. The plain functions read boards and answer at once; they are called on the admin
/// servers' own threads.
pub trait NodeApi: Send + Sync + 'static {
    /// Whether the node takes registrations and calls.
    fn ready(&self) -> Readiness;
    /// What is broken, if anything is.
    fn health(&self) -> Health;
    /// At most `limit` calls in progress, oldest first where that is cheap.
    fn calls(&self, limit: usize) -> Vec<CallView>;
    /// Security of a call in progress or of one that ended lately.
    fn call_security(&self, id: &str) -> Option<CallSecurityView>;
    /// At most `limit` bindings behind the cursor `after`. An unknown cursor gives what would stand
    /// behind it.
    fn registrations(&self, after: Option<&str>, limit: usize) -> RegistrationPage;
    /// Imports an inventory, all or nothing, while the node runs.
    fn import(&self, ndjson: Vec<u8>) -> BoxFuture<Result<ImportDone, ImportRefused>>;
    /// The inventory as NDJSON without secrets; else why not, on one line.
    fn export(&self) -> BoxFuture<Result<Vec<u8>, String>>;
    /// Writes a backup; runs on a thread of its own and may take long. Else why not, on one line.
    fn backup(&self) -> BackupWriter;
    /// PEM of an own certificate: `CallManager`, `CallManager-EC` or `TFTP`.
    fn certificate(&self, name: &str) -> Option<String>;
    /// All metrics in Prometheus' text form.
    fn metrics(&self) -> String;
}

/// A store opened by the command line, with no node running on it.
pub trait OfflineApi {
    /// Imports an inventory, all or nothing; it applies to every phone at once (design §5).
    fn import(&mut self, file: &Path) -> Result<ImportDone, ImportRefused>;
    /// Writes a backup; else why not, on one line.
    fn backup(&self, out: &mut dyn Write) -> Result<(), String>;
    /// Writes the inventory as NDJSON without secrets; else why not, on one line.
    fn export(&self, out: &mut dyn Write) -> Result<(), String>;
    /// PEM of an own certificate.
    fn certificate(&self, name: &str) -> Option<String>;
}
