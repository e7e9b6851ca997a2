//! The writer on RocksDB: rows a second when many wait, and the time of one that waits alone.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot run must say so")]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use keyline_storage::{
    Commit, CommitSink, Durability, Outcome, RocksOptions, RocksStore, Store, Table, Writer, WriterOptions,
};

/// Bytes of a registered phone's row, about.
const ROW: usize = 220;
/// Commits of a burst.
const BURST: u64 = 8_192;

/// Counts outcomes back to the bench.
struct Sink(SyncSender<usize>);

impl CommitSink for Sink {
    fn done(&self, outcomes: Vec<(u64, Outcome)>) {
        assert!(outcomes.iter().all(|(_, o)| matches!(o, Outcome::Committed(_))));
        let _ = self.0.send(outcomes.len());
    }
}

fn commit(n: u64) -> Commit {
    let key = format!("SEP{n:012X}");
    Commit::build().put(Table::Phones, key.into_bytes(), 1, vec![(n % 251) as u8; ROW]).finish().unwrap()
}

fn burst(writer: &Writer, commits: Vec<Commit>, sink: &Arc<dyn CommitSink>, done: &Receiver<usize>) {
    let mut wanted = commits.len();
    for (token, commit) in commits.into_iter().enumerate() {
        writer.try_submit(commit, token as u64, sink).unwrap();
    }
    while wanted > 0 {
        wanted -= done.recv().unwrap();
    }
}

fn benches(c: &mut Criterion) {
    for (name, durability) in [("process", Durability::Process), ("power", Durability::Power)] {
        let folder = tempfile::tempdir().unwrap();
        let options = RocksOptions { durability, ..RocksOptions::default() };
        let store: Arc<dyn Store> = Arc::new(RocksStore::open(folder.path(), options).unwrap());
        let writer = Writer::start(store, WriterOptions::default()).unwrap();
        let (told, done) = sync_channel(BURST as usize);
        let sink: Arc<dyn CommitSink> = Arc::new(Sink(told));
        let mut next = 0;
        let mut group = c.benchmark_group("storage");
        group.sample_size(20);
        group.throughput(Throughput::Elements(BURST));
        group.bench_function(format!("burst_of_{BURST}_{name}"), |b| {
            b.iter_batched(
                || {
                    next += BURST;
                    (next..next + BURST).map(commit).collect::<Vec<_>>()
                },
                |commits| burst(&writer, commits, &sink, &done),
                BatchSize::PerIteration,
            );
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("one_alone_{name}"), |b| {
            b.iter_batched(
                || {
                    next += 1;
                    vec![commit(next)]
                },
                |commits| burst(&writer, commits, &sink, &done),
                BatchSize::PerIteration,
            );
        });
        group.finish();
        writer.shutdown();
    }
}

criterion_group!(storage, benches);
criterion_main!(storage);
