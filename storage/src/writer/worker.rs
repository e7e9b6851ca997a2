//! The writing thread's loop.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, TryRecvError};

use super::bell::Bell;
use super::{BATCH_ROWS_MAX, CommitSink, Job, WriterStats, guarded};
use crate::batch::{Commit, Outcome};
use crate::error::StoreError;
use crate::faults;
use crate::store::Store;

pub(super) struct Worker {
    store: Arc<dyn Store>,
    jobs: Receiver<Job>,
    bell: Arc<Bell>,
    stats: Arc<WriterStats>,
    /// A commit that did not fit into the last batch: the first of the next one.
    held: Option<Job>,
}

/// Who submitted a commit, beside the commit itself.
struct Origin {
    token: u64,
    sink: Arc<dyn CommitSink>,
}

/// A sink and what it is told.
type Group = (Arc<dyn CommitSink>, Vec<(u64, Outcome)>);

impl Worker {
    pub(super) fn new(
        store: Arc<dyn Store>,
        jobs: Receiver<Job>,
        bell: Arc<Bell>,
        stats: Arc<WriterStats>,
    ) -> Self {
        Self { store, jobs, bell, stats, held: None }
    }

    /// Writes until every handle is gone and the queue is empty.
    pub(super) fn run(mut self) {
        while let Some((commits, origins)) = self.next_batch() {
            let started = Instant::now();
            // A fault on purpose here is one of the process, or time that the disk takes.
            faults::hit_on("writer.before_commit", || table(&commits));
            let outcomes = self.write(&commits);
            faults::hit_on("writer.after_commit", || table(&commits));
            self.stats.written(&outcomes, commits.iter().map(Commit::rows), started.elapsed());
            tell(origins, outcomes);
        }
    }

    /// Waits for a commit, then takes what else is there, up to [`BATCH_ROWS_MAX`] rows. `None` when
    /// there will be no more.
    fn next_batch(&mut self) -> Option<(Vec<Commit>, Vec<Origin>)> {
        let first = match self.held.take() {
            Some(job) => job,
            None => self.bell.wait(|| match self.jobs.try_recv() {
                Ok(job) => Some(Some(job)),
                Err(TryRecvError::Disconnected) => Some(None),
                Err(TryRecvError::Empty) => None,
            })?,
        };
        let mut rows = first.commit.rows();
        let mut commits = vec![first.commit];
        let mut origins = vec![Origin { token: first.token, sink: first.sink }];
        // Commits that write nothing count too, or guards alone could make an endless batch.
        while commits.len() < BATCH_ROWS_MAX
            && let Ok(job) = self.jobs.try_recv()
        {
            rows += job.commit.rows();
            if rows > BATCH_ROWS_MAX {
                self.held = Some(job);
                break;
            }
            commits.push(job.commit);
            origins.push(Origin { token: job.token, sink: job.sink });
        }
        Some((commits, origins))
    }

    fn write(&self, commits: &[Commit]) -> Vec<Outcome> {
        let unknown =
            |error: StoreError| commits.iter().map(|_| Outcome::Unknown(error.clone())).collect::<Vec<_>>();
        match guarded(|| self.store.commit_all(commits)) {
            Ok(outcomes) if outcomes.len() == commits.len() => outcomes,
            Ok(outcomes) => {
                tracing::error!(
                    commits = commits.len(),
                    outcomes = outcomes.len(),
                    "the store left commits unanswered"
                );
                unknown(StoreError::backend("answer every commit", Broken("outcomes are missing")))
            }
            Err(_) => {
                tracing::error!(commits = commits.len(), "the store panicked in a write");
                unknown(StoreError::backend("write", Broken("the engine panicked")))
            }
        }
    }
}

/// Table of the first row that a batch writes, the subject of a fault.
fn table(commits: &[Commit]) -> String {
    let put = commits.iter().find_map(|c| c.puts().first().map(|p| p.table));
    let delete = || commits.iter().find_map(|c| c.deletes().first().map(|d| d.0));
    put.or_else(delete).map_or(String::new(), |t| t.name().to_owned())
}

/// Tells each sink its outcomes, all of one batch at once.
fn tell(origins: Vec<Origin>, outcomes: Vec<Outcome>) {
    let mut groups: Vec<Group> = Vec::new();
    for (origin, outcome) in origins.into_iter().zip(outcomes) {
        let told = (origin.token, outcome);
        // A few sinks, one a shard; whoever waits for its own commit is one more.
        match groups.iter_mut().find(|(sink, _)| Arc::ptr_eq(sink, &origin.sink)) {
            Some((_, outcomes)) => outcomes.push(told),
            None => groups.push((origin.sink, vec![told])),
        }
    }
    for (sink, outcomes) in groups {
        if guarded(|| sink.done(outcomes)).is_err() {
            // What the sink's owner missed it finds by reading its rows again.
            tracing::error!("a commit sink panicked");
        }
    }
}

/// A fault of the backend itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broken(&'static str);
