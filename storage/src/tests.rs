//! The suite over both backends, and both against each other.

use proptest::prelude::*;

use crate::batch::{CommitBuilder, CommitError, KEY_BYTES_MAX, OPERATIONS_MAX, VALUE_BYTES_MAX};
use crate::conformance;
use crate::{Commit, Guard, MemoryStore, Outcome, Page, Revision, RocksOptions, RocksStore, Store, Table};

/// A RocksDB store in a folder that goes away with it.
struct Temporary {
    store: RocksStore,
    // After the store: it is dropped first.
    _folder: tempfile::TempDir,
}

impl Temporary {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: RocksStore::open(folder.path(), RocksOptions::default()).unwrap(), _folder: folder }
    }
}

#[test]
fn memory_conforms() {
    conformance::all(&|| Box::new(MemoryStore::new()));
}

#[test]
fn rocksdb_conforms() {
    // The folders outlive the stores that the suite takes apart.
    let folder = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    conformance::all(&|| {
        count.set(count.get() + 1);
        let path = folder.path().join(count.get().to_string());
        Box::new(RocksStore::open(&path, RocksOptions::default()).unwrap())
    });
}

/// One step of a random history. Few keys and few tables, so that steps meet.
#[derive(Debug, Clone)]
struct Step {
    guards: Vec<(u8, u8, u8)>,
    puts: Vec<(u8, Vec<u8>)>,
    deletes: Vec<u8>,
}

fn step() -> impl Strategy<Value = Step> {
    (
        proptest::collection::vec((0_u8..4, 0_u8..6, 0_u8..8), 0..3),
        proptest::collection::vec((0_u8..6, proptest::collection::vec(any::<u8>(), 0..8)), 0..3),
        proptest::collection::vec(0_u8..6, 0..2),
    )
        .prop_map(|(guards, puts, deletes)| Step { guards, puts, deletes })
}

/// Keys of different lengths with common beginnings, over two tables.
fn place(number: u8) -> (Table, Vec<u8>) {
    let table = if number.is_multiple_of(2) { Table::Phones } else { Table::Calls };
    (table, vec![b'k'; usize::from(number / 2) + 1])
}

fn commit_of(step: &Step) -> Option<Commit> {
    let mut commit = Commit::build();
    for (kind, number, revision) in &step.guards {
        let (table, key) = place(*number);
        commit = commit.guard(match kind {
            0 => Guard::Absent(table, key),
            1 => Guard::Present(table, key),
            _ => Guard::RevisionEquals(table, key, Revision(u64::from(*revision))),
        });
    }
    for (number, payload) in &step.puts {
        let (table, key) = place(*number);
        commit = commit.put(table, key, *number, payload.clone());
    }
    for number in &step.deletes {
        let (table, key) = place(*number);
        commit = commit.delete(table, key);
    }
    // A row that is written twice makes no commit; the history is shorter then.
    commit.finish().ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn backends_agree(groups in proptest::collection::vec(proptest::collection::vec(step(), 0..5), 1..20)) {
        let memory = MemoryStore::new();
        let rocks = Temporary::new();
        for group in &groups {
            let commits: Vec<Commit> = group.iter().filter_map(commit_of).collect();
            let ours = memory.commit_all(&commits);
            let theirs = rocks.store.commit_all(&commits);
            prop_assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
            prop_assert_eq!(memory.revision().unwrap(), rocks.store.revision().unwrap());
            for table in [Table::Phones, Table::Calls] {
                for prefix in [b"".as_slice(), b"k", b"kk"] {
                    for page in [Page::FIRST, Page { after: None, limit: 1 }, Page::after(b"kk")] {
                        prop_assert_eq!(
                            memory.scan(table, prefix, page, None).unwrap(),
                            rocks.store.scan(table, prefix, page, None).unwrap()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_group_equals_its_commits_one_by_one(group in proptest::collection::vec(step(), 0..12)) {
        let together = MemoryStore::new();
        let alone = MemoryStore::new();
        let commits: Vec<Commit> = group.iter().filter_map(commit_of).collect();
        let at_once = together.commit_all(&commits);
        let one_by_one: Vec<Outcome> = commits.iter().map(|commit| alone.commit(commit)).collect();
        prop_assert_eq!(format!("{at_once:?}"), format!("{one_by_one:?}"));
    }
}

fn refused(commit: CommitBuilder) -> CommitError {
    commit.finish().unwrap_err()
}

#[test]
fn a_commit_beyond_a_limit_cannot_be_made() {
    let mut many = Commit::build();
    for number in 0..OPERATIONS_MAX as u64 {
        many = many.put(Table::Config, number.to_be_bytes(), 1, vec![]);
    }
    assert_eq!(many.operations(), OPERATIONS_MAX);
    assert!(many.clone().finish().is_ok());
    assert_eq!(
        refused(many.guard(Guard::Absent(Table::Config, b"x".to_vec()))),
        CommitError::TooManyOperations { count: OPERATIONS_MAX + 1, limit: OPERATIONS_MAX }
    );
    let table = Table::Phones;
    assert_eq!(refused(Commit::build().delete(table, b"")), CommitError::EmptyKey { table });
    assert_eq!(
        refused(Commit::build().guard(Guard::Present(table, vec![b'k'; KEY_BYTES_MAX + 1]))),
        CommitError::KeyTooLong { table, length: KEY_BYTES_MAX + 1, limit: KEY_BYTES_MAX }
    );
    assert_eq!(
        refused(Commit::build().put(table, b"k", 1, vec![0; VALUE_BYTES_MAX + 1])),
        CommitError::ValueTooLong {
            table,
            key: b"k".to_vec(),
            length: VALUE_BYTES_MAX + 1,
            limit: VALUE_BYTES_MAX
        }
    );
    assert_eq!(
        refused(Commit::build().put(table, b"k", 1, vec![]).delete(table, b"k")),
        CommitError::RowTwice { table, key: b"k".to_vec() }
    );
}

#[test]
fn tables_and_their_numbers_fit() {
    for (index, table) in Table::ALL.into_iter().enumerate() {
        assert_eq!(table.index(), index);
        assert_eq!(Table::from_number(table.number()), Some(table));
    }
    assert_eq!(Table::from_number(0), None);
    assert_eq!(Table::from_number(8), None);
}
