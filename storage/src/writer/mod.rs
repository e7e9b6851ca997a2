//! The one thread that writes.
//!
//! Shards and the catalog hand commits over with [`Writer::try_submit`], which never blocks, and
//! are told the outcome through their [`CommitSink`]. The thread commits whatever is queued as soon
//! as the last commit returned: alone a commit waits for nobody, under load up to
//! [`BATCH_ROWS_MAX`] rows share one trip to the disk. There is no timer.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use self::bell::Bell;
use crate::batch::{Commit, Outcome};
use crate::error::StoreError;
use crate::store::{Health, Store};

mod bell;
mod stats;
mod worker;

pub use stats::{SECONDS_BUCKETS, StatsSnapshot, WriterStats};

/// Most rows that share one trip to the disk.
pub const BATCH_ROWS_MAX: usize = 512;

/// Who is told what became of commits.
pub trait CommitSink: Send + Sync {
    /// Outcomes of commits that were written together, each with the token given with it, in the
    /// order of submission. Called on the writer's thread: hand over and return, never block and
    /// never wait for another commit.
    fn done(&self, outcomes: Vec<(u64, Outcome)>);
}

/// Settings of a [`Writer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterOptions {
    /// Commits that may wait; more are refused with [`SubmitError::Full`]. At least 1.
    pub queue: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        // At a measured 170,000 rows/s with sync the queue is gone in a tenth of a second.
        Self { queue: 16_384 }
    }
}

/// Why a commit was not taken. It is given back; nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    /// As many commits wait as may wait: refuse the request that needs this one.
    #[error("the writer's queue is full")]
    Full(Commit),
    /// The writer was shut down.
    #[error("the writer is closed")]
    Closed(Commit),
}

/// Handle on the writing thread; clones share it. [`Writer::shutdown`], or the drop of the last
/// handle, writes what is queued, tells its sinks, and ends the thread.
#[derive(Clone)]
pub struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    /// Taken away by a shutdown; submitters hold it only for the time of a `try_send`.
    queue: RwLock<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Rung after each thing that the thread must see: a commit, or that a sender is gone.
    bell: Arc<Bell>,
    stats: Arc<WriterStats>,
}

/// One commit in the queue.
struct Job {
    commit: Commit,
    token: u64,
    sink: Arc<dyn CommitSink>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`StoreError::Backend`] if the operating system gives no thread.
    pub fn start(store: Arc<dyn Store>, options: WriterOptions) -> Result<Self, StoreError> {
        let (queue, jobs): (Sender<Job>, Receiver<Job>) = bounded(options.queue.max(1));
        let stats = Arc::new(WriterStats::default());
        let bell = Arc::new(Bell::default());
        let worker = worker::Worker::new(Arc::clone(&store), jobs, Arc::clone(&bell), Arc::clone(&stats));
        let thread = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| StoreError::backend("start the writer's thread", error))?;
        let shared =
            Shared { store, queue: RwLock::new(Some(queue)), thread: Mutex::new(Some(thread)), bell, stats };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Queues a commit. Its outcome comes to `sink` with `token`, exactly once. Never blocks.
    ///
    /// # Errors
    /// [`SubmitError`], with the commit: it will not be written.
    pub fn try_submit(
        &self,
        commit: Commit,
        token: u64,
        sink: &Arc<dyn CommitSink>,
    ) -> Result<(), SubmitError> {
        let queue = self.shared.queue.read().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else {
            return Err(SubmitError::Closed(commit));
        };
        match queue.try_send(Job { commit, token, sink: Arc::clone(sink) }) {
            Ok(()) => {
                self.shared.bell.ring();
                Ok(())
            }
            Err(TrySendError::Full(job)) => {
                self.shared.stats.refused();
                Err(SubmitError::Full(job.commit))
            }
            Err(TrySendError::Disconnected(job)) => Err(SubmitError::Closed(job.commit)),
        }
    }

    /// Commits and waits for the outcome: for tools, start and shutdown; never on an arbiter
    /// thread or in a sink. Waits for room in a full queue.
    pub fn submit_blocking(&self, commit: Commit) -> Outcome {
        let (answer, outcome) = bounded(1);
        let sink: Arc<dyn CommitSink> = Arc::new(Waiting { answer });
        let queue = self.shared.queue.read().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = queue.is_some_and(|queue| queue.send(Job { commit, token: 0, sink }).is_ok());
        // Also when this sender, gone now, was the last one.
        self.shared.bell.ring();
        if !sent {
            return Outcome::Unknown(StoreError::Closed);
        }
        outcome.recv().unwrap_or(Outcome::Unknown(StoreError::Closed))
    }

    /// Counters since the start.
    pub fn stats(&self) -> &Arc<WriterStats> {
        &self.shared.stats
    }

    /// Commits that wait now.
    pub fn queue_depth(&self) -> usize {
        let queue = self.shared.queue.read().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().map_or(0, Sender::len)
    }

    /// Commits that may wait.
    pub fn queue_limit(&self) -> usize {
        let queue = self.shared.queue.read().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().and_then(Sender::capacity).unwrap_or(0)
    }

    /// Whether commits are taken and the last write succeeded.
    pub fn health(&self) -> Health {
        let queue = self.shared.queue.read().unwrap_or_else(PoisonError::into_inner);
        if queue.is_none() { Health::Failing(StoreError::Closed) } else { self.shared.store.health() }
    }

    /// The store that is written to, for reads.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// Takes no more commits, writes what is queued, tells the sinks, and ends the thread. Returns
    /// when that is done; a second call returns at once.
    pub fn shutdown(&self) {
        self.shared.shutdown();
    }
}

impl Shared {
    fn shutdown(&self) {
        drop(self.queue.write().unwrap_or_else(PoisonError::into_inner).take());
        self.bell.ring();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A sink may hold the last handle: the thread cannot wait for itself, and need not.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the writer's thread panicked");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Sink of one caller that waits.
struct Waiting {
    answer: Sender<Outcome>,
}

impl CommitSink for Waiting {
    fn done(&self, outcomes: Vec<(u64, Outcome)>) {
        for (_, outcome) in outcomes {
            // Whoever waited may be gone; nobody else is interested.
            let _ = self.answer.try_send(outcome);
        }
    }
}

/// Runs what must not take the writer's thread with it.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(run))
}

#[cfg(test)]
mod tests;
