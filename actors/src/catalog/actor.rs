//! The catalog as an actor, on an arbiter of its own: it may wait for the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised};
use keyline_domain::audit::Who;
use keyline_domain::ids::{DeviceIndex, DeviceName};
use keyline_storage::seal::NodeKey;
use keyline_storage::{Commit, Outcome, Writer, faults};

use super::impact::NodeLive;
use super::import::{Committer, ImportDone, ImportError, Inspect};
use super::{Catalog, ChangeError, ChangeRequest, Changed, TokenChange, TokenRefused, Tools};
use crate::board::Boards;
use crate::clock::now;
use crate::keyring::{NonceRow, TicketRow};
use crate::metrics::{ActorKind, Metrics};
use crate::route::PartitionTable;
use crate::shard::{DeviceChanged, Ping, Router};
use crate::supervision::{Fatal, Intensity};

/// Import a file into the running node.
#[derive(Message)]
#[rtype(result = "Result<ImportDone, ImportError>")]
pub(crate) struct Import(pub(crate) Vec<u8>, pub(crate) Who);

/// Write out the configuration as NDJSON, without secrets.
#[derive(Message)]
#[rtype(result = "Result<Vec<u8>, String>")]
pub(crate) struct Export;

/// Look at the configuration, in order with all changes.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Look(pub(crate) Box<dyn FnOnce(&Catalog) + Send>);

/// Change the configuration.
#[derive(Message)]
#[rtype(result = "Result<Changed, ChangeError>")]
pub(crate) struct ChangeConfig(pub(crate) ChangeRequest);

/// Make or revoke a token of the admin API.
#[derive(Message)]
#[rtype(result = "Result<(), TokenRefused>")]
pub(crate) struct ChangeToken(pub(crate) TokenChange, pub(crate) Who);

/// The actor.
pub(crate) struct CatalogActor {
    pub(crate) catalog: Catalog,
    pub(crate) node_key: Arc<NodeKey>,
    pub(crate) data: PathBuf,
    pub(crate) writer: Writer,
    pub(crate) boards: Arc<Boards>,
    pub(crate) table: Arc<PartitionTable>,
    pub(crate) router: Arc<Router>,
    pub(crate) inspect: Arc<dyn Inspect + Send + Sync>,
    pub(crate) metrics: Metrics,
    /// The nonce keys as they are kept, once they were read.
    pub(crate) nonces: Option<NonceRow>,
    /// Seconds for which a nonce key mints.
    pub(crate) nonce_key_s: u64,
    /// Secrets of token keys as they are stored; read when needed.
    pub(crate) oauth: Option<NonceRow>,
    /// Seconds for which a token key signs.
    pub(crate) oauth_key_s: u64,
    /// The keys of TLS tickets as they are kept, once they were read.
    pub(crate) tickets: Option<TicketRow>,
    /// Seconds for which a ticket key makes tickets.
    pub(crate) ticket_key_s: u64,
    pub(crate) restarts: Intensity,
    pub(crate) fatal: Fatal,
}

impl Actor for CatalogActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // A node that was down for long has keys past their time.
        self.rotate_keys();
        ctx.run_interval(super::rotate::CHECK, |actor, _| actor.rotate_keys());
        self.sweep_versions();
        ctx.run_interval(super::versions::SWEEP, |actor, _| actor.sweep_versions());
    }
}

impl Supervised for CatalogActor {}

impl Drop for CatalogActor {
    fn drop(&mut self) {
        // A panic that nobody caught: actix restarts nothing then, and a node without its catalog would take
        // no change for ever.
        if std::thread::panicking() {
            self.fatal.end("the catalog was dropped by a panic".to_owned());
        }
    }
}

/// Commits through the node's one writer.
pub(super) struct ThroughWriter<'a>(pub(super) &'a Writer);

impl Committer for ThroughWriter<'_> {
    fn commit_all(&self, commits: &[Commit]) -> Vec<Outcome> {
        commits.iter().map(|c| self.0.submit_blocking(c.clone())).collect()
    }
}

/// How an import stands after a fault.
pub(super) enum After {
    /// Nothing of it was announced: all is as before.
    Nothing,
    /// It was announced, so it was finished.
    Finished,
    /// Storage does not let it be finished now.
    AtNextStart,
}

impl CatalogActor {
    /// The memory may be ahead of the store after a fault, or behind it: it is read again, an import that was
    /// announced is finished, and the boards are published anew.
    pub(super) fn recover(&mut self) -> After {
        let store = Arc::clone(self.writer.store());
        let node = self.catalog.inventory().nodes().next().unwrap_or_default().to_owned();
        match Catalog::load(&*store, Arc::clone(&self.node_key), &node) {
            Ok(mut fresh) => {
                // The boards, the shards and whoever else speaks of a phone by its number go on with those they have.
                let boards = &self.boards.devices;
                let next = DeviceIndex(u32::try_from(boards.len()).unwrap_or(u32::MAX));
                if let Err(error) = fresh.renumber(|name| boards.by_name(name.as_str()), next) {
                    tracing::error!(%error, "the configuration was read again, but phones cannot be told apart");
                    return After::AtNextStart;
                }
                self.catalog = fresh;
            }
            Err(error) => {
                tracing::error!(%error, "the configuration cannot be read again");
                return After::AtNextStart;
            }
        }
        let through = ThroughWriter(&self.writer);
        match self.catalog.roll_forward(&self.data, &*store, &*self.inspect, &through) {
            Ok(false) => After::Nothing,
            Ok(true) => {
                self.catalog.publish_all(&self.boards);
                self.tell_shards(
                    (0..self.boards.devices.len()).filter_map(|i| u32::try_from(i).ok().map(DeviceIndex)),
                );
                After::Finished
            }
            Err(error) => {
                tracing::error!(%error, "a cut-off import cannot be finished now");
                After::AtNextStart
            }
        }
    }

    /// Does something with what a change works with.
    pub(super) fn tooled<R>(&mut self, work: impl FnOnce(&mut Catalog, Tools<'_>) -> R) -> R {
        let boards = &self.boards;
        // What a phone proved when it registered counts as known (R214).
        let known = |name: &DeviceName| {
            let index = boards.devices.by_name(name.as_str());
            let row = index.and_then(|i| boards.devices.slot(i)).and_then(|slot| slot.row());
            row.is_some_and(|row| row.has_certificate()) || boards.certificates.of(name.as_str()).is_some()
        };
        let committer = ThroughWriter(&self.writer);
        let at = now();
        let lists = boards.settings.crls();
        let live = NodeLive { boards, inspect: &*self.inspect, now: at, lists: &lists };
        let tools = Tools {
            live: &live,
            now: at,
            committer: &committer,
            inspect: &*self.inspect,
            has_certificate: &known,
            offline: None,
        };
        work(&mut self.catalog, tools)
    }

    /// A panic was caught: counted, and too many end the node.
    pub(super) fn panicked(&mut self) -> After {
        self.metrics.restarted(ActorKind::Catalog);
        tracing::error!("the catalog panicked; it reads its memory again");
        if self.restarts.failed(now().0) {
            self.fatal.end("the catalog panics again and again".to_owned());
        }
        catch_unwind(AssertUnwindSafe(|| self.recover())).unwrap_or(After::AtNextStart)
    }

    fn tell_shards(&self, touched: impl Iterator<Item = DeviceIndex>) {
        let Some(shards) = self.router.get() else { return };
        for index in touched {
            let Some(device) = self.boards.devices.device(index) else { continue };
            let shard = self.table.shard(device.name.partition());
            if let Some(addr) = shards.get(usize::from(shard.0)) {
                self.metrics.devices_touched.inc();
                addr.do_send(DeviceChanged(index));
            }
        }
    }
}

impl Handler<Import> for CatalogActor {
    type Result = Result<ImportDone, ImportError>;

    fn handle(&mut self, import: Import, _: &mut Self::Context) -> Self::Result {
        let writer = self.writer.clone();
        // Outside of the guard: what the last net is for.
        faults::hit("catalog.uncaught");
        let result = catch_unwind(AssertUnwindSafe(|| {
            let store = writer.store();
            self.catalog.import(
                &import.0,
                false,
                &import.1,
                &self.data,
                &**store,
                &ThroughWriter(&writer),
                &*self.inspect,
            )
        }));
        self.audit_written();
        match result {
            Ok(Ok((done, events))) => {
                let touched = self.catalog.publish(&self.boards, &events);
                self.tell_shards(touched.into_iter());
                self.collect_after(&events);
                Ok(done)
            }
            Ok(Err(e)) => {
                if !matches!(
                    e,
                    ImportError::Rows { .. } | ImportError::TooLarge { .. } | ImportError::NotText(_)
                ) {
                    self.recover();
                }
                Err(e)
            }
            Err(_) => Err(ImportError::Internal(
                match self.panicked() {
                    After::Nothing => "the catalog failed; nothing was imported",
                    After::Finished => "the catalog failed and was restarted; the import is finished",
                    After::AtNextStart => "the catalog failed; the import is finished at the next start",
                }
                .to_owned(),
            )),
        }
    }
}

impl Handler<Ping> for CatalogActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<Export> for CatalogActor {
    type Result = Result<Vec<u8>, String>;

    fn handle(&mut self, _: Export, _: &mut Self::Context) -> Self::Result {
        let written = catch_unwind(AssertUnwindSafe(|| {
            faults::hit("catalog.export");
            let mut out = Vec::new();
            for line in self.catalog.export() {
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
            out
        }));
        written.map_err(|_| {
            self.panicked();
            "the catalog failed and was restarted; ask again".to_owned()
        })
    }
}

impl Handler<Look> for CatalogActor {
    type Result = ();

    fn handle(&mut self, look: Look, _: &mut Self::Context) {
        // Whoever asked sees that no answer comes.
        if catch_unwind(AssertUnwindSafe(|| (look.0)(&self.catalog))).is_err() {
            self.metrics.restarted(ActorKind::Catalog);
            tracing::error!("a look at the configuration panicked");
        }
    }
}

impl Handler<ChangeConfig> for CatalogActor {
    type Result = Result<Changed, ChangeError>;

    fn handle(&mut self, ChangeConfig(request): ChangeConfig, _: &mut Self::Context) -> Self::Result {
        let step = catch_unwind(AssertUnwindSafe(|| {
            faults::hit("catalog.change");
            self.tooled(|catalog, tools| catalog.change(&request, tools))
        }));
        self.audit_written();
        let kept = self.catalog.answers_kept();
        self.metrics.answers(kept.answers, kept.evicted);
        if matches!(step, Ok(Err(ChangeError::Done(_)))) {
            self.metrics.answers_replayed.inc();
        }
        match step {
            Ok(Ok((changed, events))) => {
                let touched = self.catalog.publish(&self.boards, &events);
                self.tell_shards(touched.into_iter());
                self.collect_after(&events);
                Ok(changed)
            }
            Ok(Err(error)) => {
                // It is not known what the store has: memory follows it.
                if matches!(error, ChangeError::Store(_) | ChangeError::Internal(_)) {
                    self.recover();
                }
                Err(error)
            }
            Err(_) => {
                self.panicked();
                Err(ChangeError::Internal(
                    "the catalog failed and was restarted; look before you repeat".to_owned(),
                ))
            }
        }
    }
}

impl Handler<ChangeToken> for CatalogActor {
    type Result = Result<(), TokenRefused>;

    fn handle(&mut self, change: ChangeToken, _: &mut Self::Context) -> Self::Result {
        let writer = self.writer.clone();
        let step = catch_unwind(AssertUnwindSafe(|| {
            self.catalog.change_token(change.0, &change.1, &ThroughWriter(&writer))
        }));
        let changed = step.unwrap_or_else(|_| {
            self.metrics.restarted(ActorKind::Catalog);
            tracing::error!("a change of the tokens panicked; the configuration is read again");
            Err(TokenRefused::Store("a fault inside the node; its log says where".to_owned()))
        });
        self.audit_written();
        match &changed {
            Ok(()) => self.catalog.publish_tokens(&self.boards),
            // Memory and store may differ now.
            Err(TokenRefused::Store(_)) => {
                self.recover();
            }
            Err(_) => {}
        }
        changed
    }
}
