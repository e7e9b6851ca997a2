//! Opening a node: the only place where a storage engine is chosen.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};

use actix::{Arbiter, Supervisor};
use keyline_domain::audit::Who;
use keyline_domain::call::DialogRow;
use keyline_domain::ids::{DeviceIndex, DeviceName, UnixMillis};
use keyline_domain::phone::{self, Row};
use keyline_storage::seal::NodeKey;
use keyline_storage::{
    Consistency, Durability, MemoryStore, Page, RocksOptions, RocksStore, Seen, Store, Table, Writer,
    WriterOptions, faults,
};
use prometheus::Registry as MetricRegistry;

use crate::audit::AuditReader;
use crate::backup::{Backup, STORE};
use crate::board::{
    Boards, CallBoard, CertificateBoard, DeviceBoard, KeyBoard, Keys, ProfileBoard, RefusalBoard,
    RolloutBoard, Settings, SettingsBoard, TokenBoard, WatchBoard,
};
use crate::catalog::{
    Catalog, CatalogActor, ChangeError, ChangeRequest, Changed, ImportDone, ImportError, Inspect, OwnChange,
    OwnRefused, TokenChange, TokenRefused, Tools, load_crls, load_messages, load_seen, scan_table,
};
use crate::clock::now;
use crate::error::OpenError;
use crate::handle::Handle;
use crate::keyring::Keyring;
use crate::metrics::Metrics;
use crate::outlet::Outlet;
use crate::profile::{self, Manager, RolloutMetrics};
use crate::route::{CallKey, PartitionTable, ShardId};
use crate::shard::{RecoveredCall, ResumeCalls, Router, Shard, ShardSetup};
use crate::signal::Registry;
use crate::supervision::{CATALOG_MAX, Fatal, Intensity};

/// Storage engine of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// RocksDB in the data directory.
    RocksDb,
    /// Memory: nothing outlives the process.
    Memory,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Name of this node (R208).
    pub node: String,
    /// Data directory.
    pub data_dir: PathBuf,
    /// Node key file, made with mode 0600 when missing.
    pub key_file: PathBuf,
    /// Storage engine.
    pub engine: Engine,
    /// Synced before the answer, or the write-ahead log alone.
    pub power_safe: bool,
}

/// How the tree runs.
#[derive(Debug, Clone, Copy)]
pub struct TreeOptions {
    /// Number of shards, at least 1.
    pub shards: u16,
    /// Intents that may wait at one shard.
    pub queue: usize,
    /// An active phone without a message for so long becomes a row again, in milliseconds.
    pub phone_idle_ms: u64,
    /// Calls of one shard.
    pub calls_per_shard: usize,
    /// A second source may take over a device with no proof due.
    pub allow_unproven_move: bool,
    /// Subscriptions that one phone may have.
    pub subscriptions_per_phone: usize,
    /// Seconds for which a nonce key mints before the next one does.
    pub nonce_key_s: u64,
    /// Seconds for which a token key signs before the next one does.
    pub oauth_key_s: u64,
    /// Seconds for which a key makes TLS tickets before the next one does.
    pub ticket_key_s: u64,
}

/// An opened store with its configuration, before or without running.
pub struct Opened {
    store: Arc<dyn Store>,
    node_key: Arc<NodeKey>,
    catalog: Catalog,
    options: OpenOptions,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened({})", self.options.data_dir.display())
    }
}

/// Opens a store, making an empty one where there is none, and finishes an import that was cut off.
///
/// # Errors
/// [`OpenError`], one clear line.
pub fn open(options: OpenOptions, inspect: &dyn Inspect) -> Result<Opened, OpenError> {
    let store: Arc<dyn Store> = match options.engine {
        Engine::RocksDb => {
            let durability = if options.power_safe { Durability::Power } else { Durability::Process };
            Arc::new(RocksStore::open(
                &options.data_dir.join(STORE),
                RocksOptions { durability, ..RocksOptions::default() },
            )?)
        }
        Engine::Memory => Arc::new(MemoryStore::new()),
    };
    // Sealed rows without their key are lost: a new key would only hide that.
    let first = store.scan(Table::Keys, b"", Page { after: None, limit: 1 }, None)?.rows.is_empty();
    let node_key =
        if first { NodeKey::load_or_create(&options.key_file) } else { NodeKey::load(&options.key_file) };
    let node_key = Arc::new(node_key.map_err(|e| OpenError::Key(e.to_string()))?);
    let mut catalog = Catalog::load(&*store, Arc::clone(&node_key), &options.node)?;
    let finished = catalog.roll_forward(&options.data_dir, &*store, inspect, &&*store).map_err(|e| {
        OpenError::Row { table: Table::Intents.name(), key: "import".to_owned(), reason: e.to_string() }
    })?;
    if finished {
        faults::hit("boot.rolled_forward");
        catalog = Catalog::load(&*store, Arc::clone(&node_key), &options.node)?;
    }
    catalog.upgrade(&*store, inspect)?;
    Ok(Opened { store, node_key, catalog, options })
}

impl Opened {
    /// Imports a file while no node runs.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn import(
        &mut self,
        text: &[u8],
        who: &Who,
        inspect: &dyn Inspect,
    ) -> Result<ImportDone, ImportError> {
        let store = Arc::clone(&self.store);
        let (done, _) =
            self.catalog.import(text, true, who, &self.options.data_dir, &*store, &&*store, inspect)?;
        self.catalog.prune_audit(&*store, &&*store);
        store.sync()?;
        Ok(done)
    }

    /// Changes the configuration while no node runs: a changed profile applies at once.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed. After [`ChangeError::Store`] open the store again.
    pub fn change(&mut self, request: &ChangeRequest, inspect: &dyn Inspect) -> Result<Changed, ChangeError> {
        let store = Arc::clone(&self.store);
        // What a phone proved when it last registered counts as known (R214).
        let known = |name: &DeviceName| {
            let record =
                store.get(Table::Phones, name.as_str().as_bytes(), Consistency::Local).ok().flatten();
            record
                .and_then(|record| Row::decode(&record.payload).ok())
                .is_some_and(|row| row.has_certificate())
        };
        let tools = Tools {
            committer: &&*store,
            inspect,
            has_certificate: &known,
            live: &(),
            now: now(),
            offline: Some(&*store),
        };
        let (changed, _) = self.catalog.change(request, tools)?;
        self.catalog.prune_audit(&*store, &&*store);
        store.sync().map_err(|e| ChangeError::Store(e.to_string()))?;
        Ok(changed)
    }

    /// Makes or revokes a token of the admin API while no node runs.
    ///
    /// # Errors
    /// [`TokenRefused`].
    pub fn change_token(&mut self, change: TokenChange, who: &Who) -> Result<(), TokenRefused> {
        self.catalog.change_token(change, who, &&*self.store)?;
        self.store.sync().map_err(|e| TokenRefused::Store(e.to_string()))
    }

    /// Changes one of the node's own certificates while no node runs.
    ///
    /// # Errors
    /// [`OwnRefused`].
    pub fn change_own(&mut self, change: &OwnChange, who: &Who) -> Result<(), OwnRefused> {
        let store = Arc::clone(&self.store);
        let keyring = Keyring::new(&*store, &self.node_key);
        self.catalog.change_own(change, who, &keyring, &&*store)?;
        store.sync().map_err(|e| OwnRefused::Store(e.to_string()))
    }

    /// For a backup while no node runs.
    pub fn backup(&self) -> Backup {
        Backup(Arc::clone(&self.store))
    }

    /// Reads the audit.
    pub fn audit(&self) -> AuditReader {
        AuditReader::new(Arc::clone(&self.store), &self.node_key)
    }

    /// Configuration.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Keys and certificates.
    pub fn keyring(&self) -> Keyring<'_> {
        Keyring::new(&*self.store, &self.node_key)
    }

    /// Loads keys, phone rows and calls, and publishes the boards. The node's start number grows.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn load(self) -> Result<Loaded, OpenError> {
        let keys: Keys = self.keyring().start()?;
        faults::hit("boot.keys_loaded");
        let inventory = self.catalog.inventory();
        let boards = Arc::new(Boards {
            devices: DeviceBoard::with_room(inventory.phone_count(), inventory.line_count()),
            profiles: ProfileBoard::default(),
            settings: SettingsBoard::with_room(
                Settings::new(inventory.parameters().clone()),
                inventory.user_count(),
            ),
            calls: CallBoard::default(),
            keys: KeyBoard::new(keys),
            watch: WatchBoard::default(),
            tokens: TokenBoard::default(),
            certificates: CertificateBoard::default(),
            refusals: RefusalBoard::default(),
            rollouts: RolloutBoard::default(),
        });
        if !self.catalog.publish_new(&boards) {
            return Err(OpenError::TooManyDevices { limit: crate::board::DEVICES_MAX });
        }
        boards.settings.set_own(self.keyring().own()?);
        boards.settings.set_crls(load_crls(&*self.store)?);
        load_messages(&*self.store, &boards)?;
        load_seen(&*self.store, &boards)?;
        let registered = load_rows(&*self.store, &boards)?;
        let calls = load_calls(&*self.store)?;
        faults::hit("boot.rows_loaded");
        Ok(Loaded { opened: self, boards, registered, calls })
    }
}

/// A node that knows everything and runs nothing yet.
pub struct Loaded {
    opened: Opened,
    boards: Arc<Boards>,
    registered: i64,
    calls: Vec<RecoveredCall>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Loaded({} registered)", self.registered)
    }
}

impl Loaded {
    /// The boards, already published.
    pub fn boards(&self) -> &Arc<Boards> {
        &self.boards
    }

    /// Keys and certificates.
    pub fn keyring(&self) -> Keyring<'_> {
        self.opened.keyring()
    }

    /// Starts the workers' threads, the shards and the catalog. Must be called within an actix system.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn start(
        self,
        tree: TreeOptions,
        outlet: Arc<dyn Outlet>,
        inspect: Arc<dyn Inspect + Send + Sync>,
        registry: &MetricRegistry,
    ) -> Result<Handle, OpenError> {
        let Loaded { opened, boards, registered, calls } = self;
        let stored = profile::load(&*opened.store)?;
        let metrics = Metrics::new(registry)?;
        metrics.registered_devices.set(registered);
        let table = Arc::new(PartitionTable::even(tree.shards));
        let count = usize::from(table.count());
        let writer = Writer::start(Arc::clone(&opened.store), WriterOptions::default())?;
        let router = Arc::new(Router::new());
        let fatal = Fatal::default();
        let depth: Vec<_> = (0..count).map(|_| Arc::new(AtomicUsize::new(0))).collect();
        let keys = Arc::clone(&boards.keys.load());
        let mut recovered: Vec<Vec<RecoveredCall>> = (0..count).map(|_| Vec::new()).collect();
        for call in calls {
            let shard = usize::from(table.shard(call.key.partition).0);
            recovered[shard].push(call);
        }
        let signals = Arc::new(Registry::default());
        let tools = Arc::new(profile::Tools {
            boards: Arc::clone(&boards),
            table: Arc::clone(&table),
            router: Arc::clone(&router),
            catalog: OnceLock::new(),
            writer: writer.clone(),
            metrics: metrics.clone(),
            own_metrics: RolloutMetrics::new(registry)?,
            registry: Arc::clone(&signals),
        });
        // Roll-outs may wait for the disk, and for nobody else.
        let own = Arbiter::new().handle();
        // Before the catalog looks for versions that nobody needs.
        let rollouts = Manager::new(Arc::clone(&tools), own.clone(), stored);
        let mut shards = Vec::with_capacity(count);
        let mut arbiters = Vec::with_capacity(count);
        for (i, recovered) in recovered.into_iter().enumerate() {
            let arbiter = Arbiter::new();
            let setup = ShardSetup {
                id: ShardId(i as u16),
                table: Arc::clone(&table),
                boards: Arc::clone(&boards),
                writer: writer.clone(),
                outlet: Arc::clone(&outlet),
                metrics: metrics.clone(),
                tags: keys.tags.clone(),
                start: keys.start,
                router: Arc::clone(&router),
                depth: Arc::clone(&depth[i]),
                calls_max: tree.calls_per_shard,
                allow_unproven_move: tree.allow_unproven_move,
                subscriptions_per_phone: tree.subscriptions_per_phone,
                recovered,
                fatal: fatal.clone(),
                phone_idle_ms: tree.phone_idle_ms,
                signals: Arc::clone(&signals),
            };
            shards.push(Supervisor::start_in_arbiter(&arbiter.handle(), move |_| Shard::new(setup)));
            arbiters.push(arbiter.handle());
            // The handle ends the thread only when asked; the thread lives as long as the process.
            drop(arbiter);
        }
        // Set once, here; a second set cannot happen.
        let _ = router.set(shards.clone());
        for shard in &shards {
            shard.do_send(ResumeCalls);
        }
        let audit = opened.audit();
        let catalog = CatalogActor {
            catalog: opened.catalog,
            node_key: opened.node_key,
            data: opened.options.data_dir,
            writer: writer.clone(),
            boards: Arc::clone(&boards),
            table: Arc::clone(&table),
            router,
            inspect,
            metrics,
            nonces: None,
            nonce_key_s: tree.nonce_key_s,
            oauth: None,
            oauth_key_s: tree.oauth_key_s,
            tickets: None,
            ticket_key_s: tree.ticket_key_s,
            restarts: Intensity::new(CATALOG_MAX),
            fatal: fatal.clone(),
        };
        let arbiter = Arbiter::new();
        let catalog = Supervisor::start_in_arbiter(&arbiter.handle(), move |_| catalog);
        // Set once, here; a second set cannot happen.
        let _ = tools.catalog.set(catalog.clone());
        let rollouts = Supervisor::start_in_arbiter(&own, move |_| rollouts);
        Ok(Handle {
            boards,
            table,
            shards: Arc::new(shards),
            arbiters: Arc::new(arbiters),
            depth: Arc::new(depth),
            bound: tree.queue.max(1),
            writer,
            catalog,
            rollouts,
            signals,
            fatal,
            audit,
        })
    }
}

/// Rows that go from one thread to the other at once, and how many such batches may wait.
const BATCH: usize = 512;
const AHEAD: usize = 16;

/// Phone rows onto the board, as they stand after a restart. One thread reads and checks them, the other publishes.
fn load_rows(store: &dyn Store, boards: &Boards) -> Result<i64, OpenError> {
    type Batch = Result<Vec<(DeviceIndex, Row)>, OpenError>;
    let at = now();
    std::thread::scope(|scope| {
        let (out, batches) = sync_channel::<Batch>(AHEAD);
        scope.spawn(move || {
            let (mut batch, mut fault) = (Vec::with_capacity(BATCH), None);
            let done = store.read(Table::Phones, b"", &mut |key, row| {
                match row_of(boards, key, row, at) {
                    // Of a device that was deleted by a version that left its row behind, or while it was written.
                    Ok(None) => {}
                    Ok(Some(found)) => batch.push(found),
                    Err(error) => {
                        fault = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                let full = batch.len() == BATCH;
                match full && out.send(Ok(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)))).is_err()
                {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            // Nobody takes it any more where another fault came first.
            let _ = out.send(done.map_err(OpenError::from).and_then(|()| fault.map_or(Ok(batch), Err)));
        });
        let mut registered = 0;
        for batch in batches {
            for (index, row) in batch? {
                registered += i64::from(!row.bindings.is_empty());
                boards.publish_first(index, row);
            }
        }
        Ok(registered)
    })
}

/// A phone's row as it stands after a restart; none where there is no such phone.
fn row_of(
    boards: &Boards,
    key: &[u8],
    stored: Seen<'_>,
    at: UnixMillis,
) -> Result<Option<(DeviceIndex, Row)>, OpenError> {
    let fault = |reason: String| OpenError::Row {
        table: Table::Phones.name(),
        key: String::from_utf8_lossy(key).into_owned(),
        reason,
    };
    let name = std::str::from_utf8(key).map_err(|e| fault(e.to_string()))?;
    let Some(index) = boards.devices.by_name(name) else {
        DeviceName::parse(name).map_err(|e| fault(e.to_string()))?;
        return Ok(None);
    };
    let mut row = Row::decode(stored.payload).map_err(|e| fault(e.to_string()))?;
    row.revision = stored.revision.0;
    Ok(phone::recover(row, at).row.map(|row| (index, row)))
}

/// Dialog rows of calls that were answered before the node stopped.
fn load_calls(store: &dyn Store) -> Result<Vec<RecoveredCall>, OpenError> {
    let mut calls = Vec::new();
    scan_table(store, Table::Calls, |key, record| {
        let fault = |reason: &str| OpenError::Row {
            table: Table::Calls.name(),
            key: key.iter().map(|b| format!("{b:02x}")).collect(),
            reason: reason.to_owned(),
        };
        let number: [u8; 8] = key.try_into().map_err(|_| fault("the key has not 8 bytes"))?;
        match serde_json::from_slice::<DialogRow>(&record.payload) {
            Ok(row) => {
                let key = CallKey::unpack(u64::from_be_bytes(number));
                calls.push(RecoveredCall { key, row: Box::new(row) });
            }
            // One lost call is no reason to stay down: its phones get 481.
            Err(error) => tracing::error!(%error, "a dialog row cannot be read and is skipped"),
        }
        Ok(())
    })?;
    Ok(calls)
}
