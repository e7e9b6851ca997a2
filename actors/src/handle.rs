//! What the engine holds of the running tree.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::{Addr, ArbiterHandle};
use keyline_domain::audit::{Draft, Who};
use keyline_domain::identity::{CertificateFacts, SeenCertificate, SeenKind};
use keyline_domain::ids::{DeviceIndex, DeviceName, Dn, Partition, ProfileId};
use keyline_domain::impact::Impact;
use keyline_domain::rollout::{Rollout, RolloutId};
use keyline_domain::subscription::MessageWaiting;
use keyline_storage::writer::SECONDS_BUCKETS;
use keyline_storage::{Health, Writer};

use crate::audit::AuditReader;
use crate::backup::Backup;
use crate::board::Boards;
use crate::catalog::{
    AskChange, AskLists, Catalog, CatalogActor, ChangeConfig, ChangeCrl, ChangeError, ChangeOwn,
    ChangeRequest, ChangeToken, Changed, Crl, CrlChange, CrlRefused, Export, Import, ImportDone, ImportError,
    Look, MessagesError, Note, NoteError, OwnChange, OwnRefused, RotateOauth, See, SetMessages, TokenChange,
    TokenRefused,
};
use crate::profile::{
    Begin, Manager, OrderRollout, Quiesce, RolloutFacts, RolloutOrder, RolloutRefused, RolloutWanted,
    ask_facts,
};
use crate::route::{PartitionTable, ShardId};
use crate::shard::{Batch, Intent, Ping, ReleaseCalls, Shard};
use crate::signal::{Applied, ApplyTo, Asks, Registry, Word};
use crate::supervision::Fatal;

/// Where requests in dialogs are shed, in percent of the bound.
const DIALOG_PERCENT: usize = 800;

/// Kind of work, for shedding (design §4): the later in this list, the longer it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// New INVITE, SUBSCRIBE, MESSAGE: shed at 50 % of the bound.
    New,
    /// Initial REGISTER: shed at 75 %.
    Register,
    /// Refresh: shed at 95 %.
    Refresh,
    /// Requests in a dialog: shed only at [`DIALOG_PERCENT`], where memory itself is at stake.
    Dialog,
    /// CANCEL, ACK, responses, lost connections: never shed.
    Always,
}

impl Load {
    fn percent(self) -> usize {
        match self {
            Self::New => 50,
            Self::Register => 75,
            Self::Refresh => 95,
            Self::Dialog => DIALOG_PERCENT,
            Self::Always => usize::MAX,
        }
    }
}

/// The storage writer's counters at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StorageCounters {
    /// Rows committed.
    pub rows: u64,
    /// Commits committed.
    pub commits: u64,
    /// Commits refused by a guard.
    pub conflicts: u64,
    /// Commits of unknown outcome.
    pub failures: u64,
    /// Commits not taken because the queue was full.
    pub queue_full: u64,
    /// Commits that wait now.
    pub queued: u64,
    /// Trips to the disk.
    pub batches: u64,
    /// Seconds spent in all trips.
    pub write_seconds: f64,
    /// Upper bound in seconds and trips that took at most so long, cumulative.
    pub buckets: Vec<(f64, u64)>,
}

/// Handle on the tree; clones share it.
#[derive(Clone)]
pub struct Handle {
    /// Boards.
    pub boards: Arc<Boards>,
    /// Partition → shard.
    pub table: Arc<PartitionTable>,
    pub(crate) shards: Arc<Vec<Addr<Shard>>>,
    pub(crate) arbiters: Arc<Vec<ArbiterHandle>>,
    pub(crate) depth: Arc<Vec<Arc<AtomicUsize>>>,
    pub(crate) bound: usize,
    pub(crate) writer: Writer,
    pub(crate) catalog: Addr<CatalogActor>,
    pub(crate) rollouts: Addr<Manager>,
    pub(crate) signals: Arc<Registry>,
    pub(crate) fatal: Fatal,
    pub(crate) audit: AuditReader,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({} shards)", self.table.count())
    }
}

impl Handle {
    /// Shard of a partition.
    pub fn shard(&self, partition: Partition) -> ShardId {
        self.table.shard(partition)
    }

    /// Takes credit for one intent of this kind at a shard; `false` sheds it. A taken credit must be
    /// followed by [`Self::send`].
    pub fn admit(&self, shard: ShardId, load: Load) -> bool {
        let Some(depth) = self.depth.get(usize::from(shard.0)) else { return false };
        if !self.has_room_at(shard, load) {
            return false;
        }
        depth.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Whether work of this kind would be admitted at every shard now: for a peer whose shard is not known.
    pub fn has_room(&self, load: Load) -> bool {
        (0..self.table.count()).all(|shard| self.has_room_at(ShardId(shard), load))
    }

    /// Work of this kind would be taken now; for work that does not pass the shard but loads its phones.
    pub fn has_room_at(&self, shard: ShardId, load: Load) -> bool {
        let depth = self.depth.get(usize::from(shard.0)).map(|d| d.load(Ordering::Relaxed));
        load == Load::Always || depth.is_some_and(|d| d.saturating_mul(100) / self.bound < load.percent())
    }

    /// Gives back a credit for which no intent is sent.
    pub fn release(&self, shard: ShardId) {
        if let Some(depth) = self.depth.get(usize::from(shard.0)) {
            depth.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Sends intents whose credit was taken. Gives them back when the shard's mailbox is full or closed.
    pub fn send(&self, shard: ShardId, intents: Vec<Intent>) -> Result<(), Vec<Intent>> {
        let n = intents.len();
        let Some(addr) = self.shards.get(usize::from(shard.0)) else { return Err(intents) };
        match addr.try_send(Batch(intents)) {
            Ok(()) => Ok(()),
            Err(actix::prelude::SendError::Full(b) | actix::prelude::SendError::Closed(b)) => {
                if let Some(depth) = self.depth.get(usize::from(shard.0)) {
                    depth.fetch_sub(n, Ordering::AcqRel);
                }
                Err(b.0)
            }
        }
    }

    /// The thread of each worker.
    pub fn arbiters(&self) -> &[ArbiterHandle] {
        &self.arbiters
    }

    /// All shards take messages.
    pub fn shards_alive(&self) -> bool {
        self.shards.iter().all(Addr::connected)
    }

    /// Shards that take messages.
    pub fn shards_connected(&self) -> usize {
        self.shards.iter().filter(|s| s.connected()).count()
    }

    /// What is wrong with storage; `None` when it takes commits and the last one succeeded.
    pub fn storage_fault(&self) -> Option<String> {
        match self.writer.health() {
            Health::Good => None,
            Health::Failing(e) => Some(e.to_string()),
        }
    }

    /// The writer's counters.
    pub fn storage_counters(&self) -> StorageCounters {
        let s = self.writer.stats().snapshot();
        StorageCounters {
            rows: s.rows,
            commits: s.committed,
            conflicts: s.conflicts,
            failures: s.unknown,
            queue_full: s.refused,
            queued: u64::try_from(self.writer.queue_depth()).unwrap_or(u64::MAX),
            batches: s.batches,
            write_seconds: s.write_seconds,
            buckets: SECONDS_BUCKETS.into_iter().zip(s.buckets).collect(),
        }
    }

    /// Imports a file into the running node.
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn import(&self, text: Vec<u8>, who: Who) -> Result<ImportDone, ImportError> {
        match self.catalog.send(Import(text, who)).await {
            Ok(result) => result,
            Err(e) => Err(ImportError::Internal(e.to_string())),
        }
    }

    /// For a backup of the running node.
    pub fn backup(&self) -> Backup {
        Backup(Arc::clone(self.writer.store()))
    }

    /// Notes a certificate that a phone proved itself by, unless it is known. Nobody waits for it.
    pub fn see_certificate(&self, device: &DeviceName, kind: SeenKind, facts: &CertificateFacts) {
        if !self.boards.certificates.knows(device.as_str(), kind, &facts.sha256) {
            let certificate = SeenCertificate::of(facts, crate::clock::now());
            self.catalog.do_send(See { device: device.clone(), kind, certificate });
        }
    }

    /// Sets what waits for a line and tells its watchers; done when it is committed.
    ///
    /// # Errors
    /// [`MessagesError`].
    pub async fn set_messages(
        &self,
        line: Dn,
        waiting: MessageWaiting,
        who: Who,
    ) -> Result<(), MessagesError> {
        match self.catalog.send(SetMessages(line, waiting, who)).await {
            Ok(result) => result,
            Err(e) => Err(MessagesError::Store(e.to_string())),
        }
    }

    /// Configuration as NDJSON, without secrets.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub async fn export(&self) -> Result<Vec<u8>, String> {
        self.catalog.send(Export).await.map_err(|e| e.to_string())?
    }

    /// Every shard and the catalog took a message just now; `false` when one is gone. Waits for those that are busy.
    pub async fn answers(&self) -> bool {
        for shard in self.shards.iter() {
            if shard.send(Ping).await.is_err() {
                return false;
            }
        }
        self.catalog.send(Ping).await.is_ok()
    }

    /// Ends every call by BYE or CANCEL; each leaves the calls board when its phones have answered.
    pub fn release_calls(&self) {
        for shard in self.shards.iter() {
            shard.do_send(ReleaseCalls);
        }
    }

    /// Looks at the configuration where it is written: no change is half seen. Runs on the catalog's thread, so
    /// it must be short.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Catalog) -> R + Send + 'static,
    ) -> Result<R, String> {
        let (sender, answer) = tokio::sync::oneshot::channel();
        let look = Look(Box::new(move |catalog| {
            // Nobody waits any more: the answer is lost on nobody.
            let _ = sender.send(look(catalog));
        }));
        self.catalog.send(look).await.map_err(|e| e.to_string())?;
        answer.await.map_err(|_| "the catalog gave no answer".to_owned())
    }

    /// Changes the configuration; done when it is committed and published.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed.
    pub async fn change(&self, request: ChangeRequest) -> Result<Changed, ChangeError> {
        if request.dry_run {
            return self.ask_change(request).await;
        }
        match self.catalog.send(ChangeConfig(request)).await {
            Ok(result) => result,
            Err(e) => Err(ChangeError::Internal(e.to_string())),
        }
    }

    /// What a change would do, slice by slice: what others change meanwhile may be in the answer or not.
    async fn ask_change(&self, request: ChangeRequest) -> Result<Changed, ChangeError> {
        let (request, mut asked) = (Arc::new(request), None);
        loop {
            let step = AskChange { request: Arc::clone(&request), asked: asked.take() };
            let slice = self.catalog.send(step).await.map_err(|e| ChangeError::Internal(e.to_string()))??;
            if slice.is_done() {
                return Ok(slice.answer());
            }
            asked = Some(slice);
        }
    }

    /// Makes or revokes a token of the admin API; it acts once this is done.
    ///
    /// # Errors
    /// [`TokenRefused`].
    pub async fn change_token(&self, change: TokenChange, who: Who) -> Result<(), TokenRefused> {
        match self.catalog.send(ChangeToken(change, who)).await {
            Ok(result) => result,
            Err(e) => Err(TokenRefused::Store(e.to_string())),
        }
    }

    /// Changes one of the node's own certificates; handshakes are served by it once this is done.
    ///
    /// # Errors
    /// [`OwnRefused`].
    pub async fn change_own(&self, change: OwnChange, who: Who) -> Result<(), OwnRefused> {
        match self.catalog.send(ChangeOwn(change, who)).await {
            Ok(result) => result,
            Err(e) => Err(OwnRefused::Store(e.to_string())),
        }
    }

    /// Another key signs tokens for phones from now on; done when it is committed, with its entry of the audit.
    ///
    /// # Errors
    /// [`NoteError`].
    pub async fn rotate_oauth(&self, who: Who) -> Result<(), NoteError> {
        match self.catalog.send(RotateOauth(who)).await {
            Ok(result) => result,
            Err(e) => Err(NoteError(e.to_string())),
        }
    }

    /// Changes a revocation list; handshakes are judged by it once this is done.
    ///
    /// # Errors
    /// [`CrlRefused`].
    pub async fn change_crl(&self, change: CrlChange, who: Who) -> Result<(), CrlRefused> {
        match self.catalog.send(ChangeCrl(change, who)).await {
            Ok(result) => result,
            Err(e) => Err(CrlRefused::Store(e.to_string())),
        }
    }

    /// What other revocation lists would do to phones and calls, slice by slice.
    ///
    /// # Errors
    /// [`ChangeError::Internal`] when the catalog gives no answer.
    pub async fn ask_lists(&self, lists: Vec<Crl>) -> Result<Impact, ChangeError> {
        let (lists, mut asked) = (Arc::new(lists), Box::default());
        loop {
            let step = AskLists { lists: Arc::clone(&lists), asked };
            asked = self.catalog.send(step).await.map_err(|e| ChangeError::Internal(e.to_string()))??;
            if asked.is_done() {
                return Ok(asked.answer());
            }
        }
    }

    /// Reads the audit; asks nobody.
    pub fn audit(&self) -> AuditReader {
        self.audit.clone()
    }

    /// Writes an entry of the audit that belongs to no change of rows: what a phone was told, what was refused
    /// before it came to the catalog. Done when it is committed.
    ///
    /// # Errors
    /// [`NoteError`].
    pub async fn note(&self, draft: Draft) -> Result<(), NoteError> {
        match self.catalog.send(Note(draft)).await {
            Ok(result) => result,
            Err(e) => Err(NoteError(e.to_string())),
        }
    }

    /// What a roll-out of a profile would be about now: what an administrator confirms (R184).
    ///
    /// # Errors
    /// [`RolloutRefused`].
    pub async fn rollout_facts(
        &self,
        profile: String,
        chosen: Option<Vec<DeviceName>>,
    ) -> Result<RolloutFacts, RolloutRefused> {
        ask_facts(&self.catalog, profile, chosen).await
    }

    /// Begins a roll-out; it goes on also after a restart, once this is done.
    ///
    /// # Errors
    /// [`RolloutRefused`].
    pub async fn begin_rollout(&self, wanted: RolloutWanted) -> Result<Rollout, RolloutRefused> {
        self.rollouts.send(Begin(wanted)).await.map_err(|e| RolloutRefused::Internal(e.to_string()))?
    }

    /// Holds a roll-out, lets it go on, or ends it.
    ///
    /// # Errors
    /// [`RolloutRefused`].
    pub async fn order_rollout(&self, id: RolloutId, order: RolloutOrder) -> Result<Rollout, RolloutRefused> {
        let answer = self.rollouts.send(OrderRollout(id, order)).await;
        answer.map_err(|e| RolloutRefused::Internal(e.to_string()))?
    }

    /// One phone is judged by the saved version of its profile from now on, once this is done.
    ///
    /// # Errors
    /// When the shard does not answer.
    pub async fn apply_to(&self, device: DeviceIndex) -> Result<Applied, String> {
        let config = self.boards.devices.device(device);
        let saved = config.as_ref().and_then(|d| self.boards.profiles.saved(d.profile));
        let (Some(config), Some(applied)) = (config, saved) else { return Ok(Applied::Moved) };
        let shard = self.shards.get(usize::from(self.shard(config.name.partition()).0));
        let (sender, answer) = tokio::sync::oneshot::channel();
        let order = ApplyTo { devices: vec![device], applied, asks: Asks::One(sender) };
        shard.ok_or("there is no such shard")?.do_send(order);
        answer.await.map_err(|_| "the shard gave no answer".to_owned())
    }

    /// The roll-out of a profile hears what a phone answered to its signal.
    pub fn answered(&self, profile: ProfileId, device: DeviceIndex, status: Option<u16>) {
        self.signals.tell(profile, Word::Answered(device, status));
    }

    /// The roll-out that watches a phone hears that a registration of it was refused.
    pub fn refused(&self, device: DeviceIndex) {
        if let Some(config) = self.boards.devices.device(device) {
            self.signals.tell(config.profile, Word::Refused(device));
        }
    }

    /// The node stops: roll-outs begin nothing any more, and go on after the next start.
    pub fn quiesce_rollouts(&self) {
        self.rollouts.do_send(Quiesce);
    }

    /// Messages that wait for each shard, and how many may.
    pub fn queues(&self) -> (Vec<usize>, usize) {
        (self.depth.iter().map(|d| d.load(Ordering::Relaxed)).collect(), self.bound)
    }

    /// Ends the node: what runs on its threads is broken for good.
    pub fn give_up(&self, reason: String) {
        self.fatal.end(reason);
    }

    /// Waits until supervision gives the node up, and says why.
    pub async fn given_up(&self) -> String {
        self.fatal.reason().await
    }

    /// Writes what is queued and stops the writer: the last thing that a node does.
    pub fn close(&self) {
        self.writer.shutdown();
    }
}
