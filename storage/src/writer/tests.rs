use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use tempfile::TempDir;

use super::*;
use crate::batch::Guard;
use crate::conformance::row;
use crate::record::{Record, Revision};
use crate::store::{Consistency, Incoming, Page, ScanPage, Visit};
use crate::table::Table;
use crate::{MemoryStore, RocksOptions, RocksStore};

/// A store whose writes wait to be let through, one by one: so a test decides what is queued.
struct Gate {
    store: MemoryStore,
    entered: Sender<usize>,
    pass: Receiver<()>,
    panics: AtomicBool,
}

/// The test's side of a [`Gate`].
struct Keeper {
    /// Size of each group that arrived at the gate.
    entered: Receiver<usize>,
    pass: Sender<()>,
}

fn gate() -> (Arc<Gate>, Keeper) {
    let (entered, arrivals) = bounded(1000);
    let (pass, passes) = bounded(1000);
    let gate = Gate { store: MemoryStore::new(), entered, pass: passes, panics: AtomicBool::new(false) };
    (Arc::new(gate), Keeper { entered: arrivals, pass })
}

impl Store for Gate {
    fn get(&self, table: Table, key: &[u8], how: Consistency) -> Result<Option<Record>, StoreError> {
        self.store.get(table, key, how)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        page: Page<'_>,
        at: Option<Revision>,
    ) -> Result<ScanPage, StoreError> {
        self.store.scan(table, prefix, page, at)
    }

    fn commit_all(&self, commits: &[Commit]) -> Vec<Outcome> {
        self.entered.send(commits.len()).unwrap();
        self.pass.recv().unwrap();
        assert!(!self.panics.load(Ordering::Relaxed), "as the test wants it");
        self.store.commit_all(commits)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }

    fn revision(&self) -> Result<Revision, StoreError> {
        self.store.revision()
    }

    fn export(&self, visit: &mut Visit<'_>) -> Result<Revision, StoreError> {
        self.store.export(visit)
    }

    fn import(&self, revision: Revision, rows: &mut Incoming<'_>) -> Result<u64, StoreError> {
        self.store.import(revision, rows)
    }

    fn health(&self) -> Health {
        self.store.health()
    }
}

/// Hands what a sink is told to the test.
struct Inbox(Sender<Vec<(u64, Outcome)>>);

impl CommitSink for Inbox {
    fn done(&self, outcomes: Vec<(u64, Outcome)>) {
        self.0.send(outcomes).unwrap();
    }
}

/// What a sink was told, one entry a call.
type Told = Receiver<Vec<(u64, Outcome)>>;

fn inbox() -> (Arc<dyn CommitSink>, Told) {
    let (sender, receiver) = bounded(10_000);
    (Arc::new(Inbox(sender)), receiver)
}

fn writer(store: Arc<dyn Store>, queue: usize) -> Writer {
    Writer::start(store, WriterOptions { queue }).unwrap()
}

fn commit(number: u64) -> Commit {
    Commit::build().put(Table::Phones, number.to_be_bytes(), 1, vec![1]).finish().unwrap()
}

#[test]
fn what_is_queued_shares_a_write_up_to_the_limit() {
    let (store, keeper) = gate();
    let writer = writer(store.clone(), 5_000);
    let (sink, inbox) = inbox();
    writer.try_submit(commit(0), 0, &sink).unwrap();
    assert_eq!(keeper.entered.recv().unwrap(), 1, "alone it waits for nobody");
    for number in 1..=1_000 {
        writer.try_submit(commit(number), number, &sink).unwrap();
    }
    assert_eq!(writer.queue_depth(), 1_000);
    for size in [BATCH_ROWS_MAX, 1_000 - BATCH_ROWS_MAX] {
        keeper.pass.send(()).unwrap();
        assert_eq!(keeper.entered.recv().unwrap(), size);
    }
    keeper.pass.send(()).unwrap();
    let groups: Vec<Vec<(u64, Outcome)>> = (0..3).map(|_| inbox.recv().unwrap()).collect();
    let tokens: Vec<u64> = groups.iter().flatten().map(|(token, _)| *token).collect();
    assert_eq!(tokens, (0..=1_000).collect::<Vec<_>>(), "in order, each once");
    let revisions: Vec<u64> =
        groups.iter().flatten().map(|(_, outcome)| outcome.revision().unwrap().0).collect();
    assert_eq!(revisions, (1..=1_001).collect::<Vec<_>>());
    let stats = writer.stats().snapshot();
    assert_eq!((stats.batches, stats.committed, stats.rows), (3, 1_001, 1_001));
    assert_eq!(stats.largest_batch, BATCH_ROWS_MAX as u64);
    assert!(stats.write_seconds > 0.0);
    assert!(stats.buckets.is_sorted(), "buckets are cumulative");
}

#[test]
fn a_commit_that_does_not_fit_is_first_in_the_next_write() {
    let (store, keeper) = gate();
    let writer = writer(store.clone(), 100);
    let (sink, inbox) = inbox();
    writer.try_submit(commit(0), 0, &sink).unwrap();
    keeper.entered.recv().unwrap();
    for number in 0..7 {
        let mut rows = Commit::build();
        for row in 0..99_u64 {
            rows = rows.put(Table::Config, (number * 1_000 + row).to_be_bytes(), 1, vec![]);
        }
        writer.try_submit(rows.finish().unwrap(), number + 1, &sink).unwrap();
    }
    // 99 rows each: five fit into 512.
    for size in [5, 2] {
        keeper.pass.send(()).unwrap();
        assert_eq!(keeper.entered.recv().unwrap(), size);
    }
    keeper.pass.send(()).unwrap();
    let tokens: Vec<u64> = (0..3).flat_map(|_| inbox.recv().unwrap()).map(|(token, _)| token).collect();
    assert_eq!(tokens, (0..8).collect::<Vec<_>>());
}

#[test]
fn each_sink_is_told_its_own() {
    let (store, keeper) = gate();
    let writer = writer(store.clone(), 100);
    let inboxes: Vec<_> = (0..3).map(|_| inbox()).collect();
    writer.try_submit(commit(100), 100, &inboxes[0].0).unwrap();
    keeper.entered.recv().unwrap();
    for token in 0..9 {
        writer.try_submit(commit(token), token, &inboxes[token as usize % 3].0).unwrap();
    }
    keeper.pass.send(()).unwrap();
    keeper.pass.send(()).unwrap();
    inboxes[0].1.recv().unwrap();
    for (number, (_, inbox)) in inboxes.iter().enumerate() {
        let tokens: Vec<u64> = inbox.recv().unwrap().into_iter().map(|(token, _)| token).collect();
        assert_eq!(tokens, (0..3).map(|round| round * 3 + number as u64).collect::<Vec<_>>());
    }
}

#[test]
fn a_full_queue_gives_the_commit_back() {
    let (store, keeper) = gate();
    let writer = writer(store.clone(), 4);
    let (sink, inbox) = inbox();
    writer.try_submit(commit(0), 0, &sink).unwrap();
    keeper.entered.recv().unwrap();
    for number in 1..=4 {
        writer.try_submit(commit(number), number, &sink).unwrap();
    }
    match writer.try_submit(commit(5), 5, &sink) {
        Err(SubmitError::Full(back)) => assert_eq!(back, commit(5)),
        other => panic!("{other:?}"),
    }
    assert_eq!((writer.queue_depth(), writer.queue_limit()), (4, 4));
    assert_eq!(writer.stats().snapshot().refused, 1);
    keeper.pass.send(()).unwrap();
    keeper.pass.send(()).unwrap();
    assert_eq!(inbox.recv().unwrap().len() + inbox.recv().unwrap().len(), 5);
    assert_eq!(row(&*store, Table::Phones, &5_u64.to_be_bytes()), None);
}

#[test]
fn a_shutdown_writes_what_is_queued() {
    let (store, keeper) = gate();
    let writer = writer(store.clone(), 100);
    let (sink, inbox) = inbox();
    for number in 0..50 {
        writer.try_submit(commit(number), number, &sink).unwrap();
    }
    for _ in 0..51 {
        keeper.pass.send(()).unwrap();
    }
    let clone = writer.clone();
    writer.shutdown();
    clone.shutdown();
    assert_eq!(inbox.try_iter().flatten().filter(|(_, outcome)| outcome.revision().is_some()).count(), 50);
    assert!(matches!(clone.try_submit(commit(51), 51, &sink), Err(SubmitError::Closed(_))));
    assert!(matches!(clone.submit_blocking(commit(51)), Outcome::Unknown(StoreError::Closed)));
    assert!(!clone.health().is_good());
    assert_eq!((clone.queue_depth(), clone.queue_limit()), (0, 0));
}

#[test]
fn a_failed_write_is_unknown_to_all_and_heals() {
    let store = Arc::new(MemoryStore::new());
    let writer = writer(store.clone(), 100);
    store.fail_writes(Some(StoreError::Closed));
    assert!(matches!(writer.submit_blocking(commit(1)), Outcome::Unknown(_)));
    assert!(!writer.health().is_good());
    assert_eq!(writer.stats().snapshot().unknown, 1);
    store.fail_writes(None);
    assert_eq!(writer.submit_blocking(commit(1)).revision(), Some(Revision(1)));
    assert!(writer.health().is_good());
}

#[test]
fn a_panic_of_store_or_sink_does_not_end_the_writer() {
    struct Rude;
    impl CommitSink for Rude {
        fn done(&self, _: Vec<(u64, Outcome)>) {
            panic!("as the test wants it");
        }
    }
    let (store, keeper) = gate();
    let writer = writer(store.clone(), 100);
    for _ in 0..3 {
        keeper.pass.send(()).unwrap();
    }
    let rude: Arc<dyn CommitSink> = Arc::new(Rude);
    writer.try_submit(commit(0), 0, &rude).unwrap();
    assert!(writer.submit_blocking(commit(1)).revision().is_some());
    store.panics.store(true, Ordering::Relaxed);
    keeper.pass.send(()).unwrap();
    assert!(matches!(writer.submit_blocking(commit(2)), Outcome::Unknown(_)));
    store.panics.store(false, Ordering::Relaxed);
    keeper.pass.send(()).unwrap();
    assert!(writer.submit_blocking(commit(3)).revision().is_some());
}

#[test]
fn the_last_handle_may_be_dropped_by_a_sink() {
    struct Holder(Mutex<Option<Writer>>, Sender<()>);
    impl CommitSink for Holder {
        fn done(&self, _: Vec<(u64, Outcome)>) {
            drop(self.0.lock().unwrap().take());
            self.1.send(()).unwrap();
        }
    }
    let (store, keeper) = gate();
    let writer = writer(store, 100);
    let (done, dropped) = bounded(1);
    let holder = Arc::new(Holder(Mutex::new(None), done));
    let sink: Arc<dyn CommitSink> = holder.clone();
    writer.try_submit(commit(0), 0, &sink).unwrap();
    *holder.0.lock().unwrap() = Some(writer);
    keeper.pass.send(()).unwrap();
    dropped.recv().unwrap();
}

#[test]
fn load_is_written_in_groups() {
    const THREADS: u64 = 4;
    const COMMITS: u64 = 3_000;
    let folder = TempDir::new().unwrap();
    let store = Arc::new(RocksStore::open(folder.path(), RocksOptions::default()).unwrap());
    let writer = writer(store.clone(), 1_000);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let writer = &writer;
            scope.spawn(move || {
                let (sink, inbox) = inbox();
                let mut answers = vec![0_u8; COMMITS as usize];
                let mut open = 0;
                for token in 0..COMMITS {
                    let mut next = commit(number * COMMITS + token);
                    loop {
                        match writer.try_submit(next, token, &sink) {
                            Ok(()) => break,
                            Err(SubmitError::Full(back)) => next = back,
                            Err(error) => panic!("{error}"),
                        }
                        thread::yield_now();
                    }
                    open += 1;
                }
                while open > 0 {
                    for (token, outcome) in inbox.recv().unwrap() {
                        assert!(outcome.revision().is_some());
                        answers[token as usize] += 1;
                        open -= 1;
                    }
                }
                assert!(answers.iter().all(|count| *count == 1), "each commit is answered once");
            });
        }
    });
    writer.shutdown();
    let stats = writer.stats().snapshot();
    assert_eq!((stats.committed, stats.rows), (THREADS * COMMITS, THREADS * COMMITS));
    assert!(stats.batches < stats.committed, "{stats:?}");
    assert!(stats.largest_batch > 1 && stats.largest_batch <= BATCH_ROWS_MAX as u64, "{stats:?}");
    assert_eq!(store.revision().unwrap(), Revision(THREADS * COMMITS));
}

#[test]
fn guards_have_one_winner_through_the_writer() {
    const THREADS: u64 = 8;
    const WINS: u64 = 40;
    let folder = TempDir::new().unwrap();
    let store = Arc::new(RocksStore::open(folder.path(), RocksOptions::default()).unwrap());
    let writer = writer(store.clone(), 100);
    let key = b"counter".as_slice();
    writer.submit_blocking(Commit::build().put(Table::Phones, key, 1, 0_u64.to_be_bytes()).finish().unwrap());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut seen = row(&*store, Table::Phones, key).unwrap();
                let mut wins = 0;
                while wins < WINS {
                    let value = u64::from_be_bytes(seen.payload.clone().try_into().unwrap());
                    let commit = Commit::build()
                        .guard(Guard::RevisionEquals(Table::Phones, key.to_vec(), seen.revision))
                        .put(Table::Phones, key, 1, (value + 1).to_be_bytes())
                        .finish()
                        .unwrap();
                    seen = match writer.submit_blocking(commit) {
                        Outcome::Committed(revision) => {
                            wins += 1;
                            Record { schema: 1, revision, payload: (value + 1).to_be_bytes().to_vec() }
                        }
                        // The conflict brings the row with it: no second read is needed.
                        Outcome::Conflict(conflict) => conflict.row.unwrap(),
                        Outcome::Unknown(error) => panic!("{error}"),
                    };
                }
            });
        }
    });
    let end = row(&*store, Table::Phones, key).unwrap();
    assert_eq!(end.payload, (THREADS * WINS).to_be_bytes(), "an update was lost");
}
