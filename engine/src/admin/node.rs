//! What the admin servers ask of a running node, and the command line of a store that no node holds.

use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::pin::Pin;

use keyline_actors::audit::AuditReader;
use keyline_actors::board::{Role, Token};
use keyline_actors::catalog::{ChangeError, ChangeRequest, Changed, TokenChange, TokenRefused};
use keyline_domain::audit::Who;
use keyline_domain::ids::Dn;
use keyline_domain::subscription::MessageWaiting;
use serde_json::Value;

use super::lists::{Position, World};
use super::oauth::OauthApi;
use super::orders::{OrderRefused, PhoneOrder};
use super::problem::Problem;
use super::rollouts::RolloutApi;
use super::token::Presented;
use super::traces::TraceOf;
use super::views::{
    CallDetail, CallSecurityView, CallView, Health, ImportDone, ImportRefused, Readiness, RegistrationPage,
    RegistrationView,
};
use crate::limits::Limit;
use crate::pki::own::Asked;
use crate::trace::Stream;

/// A future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Writes a backup to where it is told.
pub type BackupWriter = Box<dyn FnOnce(&mut dyn Write) -> Result<(), String> + Send>;

/// Makes an answer from the configuration; it runs where that is written and must be short.
pub type Reading = Box<dyn FnOnce(&World<'_>) -> Result<Value, Problem> + Send>;

/// The running node. The plain functions read boards and answer at once; they are called on the admin
/// servers' own threads.
pub trait NodeApi: Send + Sync + 'static {
    /// Whether the node takes registrations and calls.
    fn ready(&self) -> Readiness;
    /// What is broken, if anything is.
    fn health(&self) -> Health;
    /// The node with its shards and their queues, as a row of `/nodes`.
    fn status(&self) -> Value;
    /// At most `limit` calls in progress that `keep` admits, in order of start and id, or backwards, behind a
    /// position (start, id).
    fn calls(
        &self,
        after: Option<&Position>,
        backwards: bool,
        limit: usize,
        keep: &dyn Fn(&CallView) -> bool,
    ) -> Vec<CallView>;
    /// A call in progress or one that ended lately.
    fn call(&self, id: &str) -> Option<CallDetail>;
    /// Security of a call in progress or of one that ended lately.
    fn call_security(&self, id: &str) -> Option<CallSecurityView>;
    /// At most `limit` bindings that `keep` admits, behind the place `after`. An unknown place gives what would
    /// stand behind it.
    fn registrations(
        &self,
        after: Option<&str>,
        limit: usize,
        keep: &dyn Fn(&RegistrationView) -> bool,
    ) -> RegistrationPage;
    /// Name and role of the token that is presented, if it is good now.
    fn role(&self, presented: &Presented) -> Option<(String, Role)>;
    /// All tokens but the one of the data directory.
    fn tokens(&self) -> Vec<Token>;
    /// Makes or revokes a token.
    fn change_token(&self, change: TokenChange, who: Who) -> BoxFuture<Result<(), TokenRefused>>;
    /// Counts what a limit refused.
    fn limited(&self, limit: Limit);
    /// Begins a trace.
    fn trace(&self, of: TraceOf) -> Result<Stream, Problem>;
    /// An answer made from the configuration, in order with all changes. `Busy` when the catalog gives none in
    /// time.
    fn read(&self, read: Reading) -> BoxFuture<Result<Value, Problem>>;
    /// Changes the configuration; done when it is committed and published.
    fn change(&self, request: ChangeRequest) -> BoxFuture<Result<Changed, ChangeError>>;
    /// Imports an inventory, all or nothing, while the node runs.
    fn import(&self, ndjson: Vec<u8>, who: Who) -> BoxFuture<Result<ImportDone, ImportRefused>>;
    /// Sets the messages that wait for a line; done when it is committed.
    fn set_messages(
        &self,
        line: Dn,
        waiting: MessageWaiting,
        who: Who,
    ) -> BoxFuture<Result<(), OrderRefused>>;
    /// Gives a phone an order; the status of its answer. Done when the audit has it.
    fn order(&self, phone: String, order: PhoneOrder, who: Who) -> BoxFuture<Result<u16, OrderRefused>>;
    /// Roll-outs of profiles.
    fn rollouts(&self) -> &dyn RolloutApi;
    /// The issuer of bearer tokens for phones.
    fn oauth(&self) -> &dyn OauthApi;
    /// The inventory as NDJSON without secrets; else why not, on one line.
    fn export(&self) -> BoxFuture<Result<Vec<u8>, String>>;
    /// Writes a backup; runs on a thread of its own and may take long. Else why not, on one line.
    fn backup(&self) -> BackupWriter;
    /// PEM of an own certificate: `CallManager`, `CallManager-EC` or `TFTP`.
    fn certificate(&self, name: &str) -> Option<String>;
    /// The node's own certificates as they are shown.
    fn own_certificates(&self) -> Vec<Value>;
    /// Does what is asked of an own certificate, or says what it would come to; done when it is committed and
    /// handshakes are served by it.
    fn own(&self, name: String, asked: Asked, dry_run: bool, who: Who) -> BoxFuture<Result<Value, Problem>>;
    /// Revocation lists as they are shown.
    fn revocation_lists(&self) -> Vec<Value>;
    /// Takes a revocation list, PEM; done when it is committed and handshakes are judged by it.
    fn install_crl(&self, pem: String, dry_run: bool, who: Who) -> BoxFuture<Result<Value, Problem>>;
    /// Takes one away.
    fn delete_crl(&self, name: String, dry_run: bool, who: Who) -> BoxFuture<Result<Value, Problem>>;
    /// Reads the audit; each of its calls may wait for the disk.
    fn audit(&self) -> AuditReader;
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
    /// The same as [`NodeApi::own`] in a store that no node holds.
    fn own(&mut self, name: &str, asked: &Asked, dry_run: bool) -> Result<Value, Problem>;
    /// All tokens but the one of the data directory.
    fn tokens(&self) -> Vec<Token>;
    /// Makes or revokes a token.
    fn change_token(&mut self, change: TokenChange) -> Result<(), TokenRefused>;
    /// Changes the configuration, by the same function as a running node.
    fn change(&mut self, request: ChangeRequest) -> Result<Changed, ChangeError>;
    /// Reads the audit.
    fn audit(&self) -> AuditReader;
    /// An answer made from the configuration.
    fn read(&self, read: Reading) -> Result<Value, Problem>;
}
