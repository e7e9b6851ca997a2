//! What every backend must do, as functions over the contract alone.
//!
//! A backend's tests call [`all`] with a way to make an empty store. Each case panics with the
//! reason where the store breaks the contract.
#![allow(clippy::unwrap_used, reason = "a test suite: a panic is its way to report")]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::batch::{Commit, Guard, Outcome};
use crate::error::StoreError;
use crate::record::{Record, Revision, Seen};
use crate::snapshot;
use crate::store::{Consistency, Page, Store};
use crate::table::Table;

/// Runs every case, each on an empty store of its own.
pub fn all(make: &dyn Fn() -> Box<dyn Store>) {
    for case in [
        rows_come_back,
        deletes_and_overwrites,
        tables_are_apart,
        guards,
        a_conflict_writes_nothing,
        revisions_grow,
        a_group_sees_itself,
        scans_page,
        scans_keep_to_the_prefix,
        scans_of_a_moment,
        reads_show_all_in_order,
        one_winner_among_eight,
        snapshots_go_round,
        snapshots_refuse,
        limits_hold,
    ] {
        case(&*make());
    }
}

/// Shorthand: the row, which must be readable.
pub fn row(store: &dyn Store, table: Table, key: &[u8]) -> Option<Record> {
    store.get(table, key, Consistency::Linearizable).unwrap()
}

/// Shorthand: one put, which must commit.
pub fn put(store: &dyn Store, table: Table, key: &[u8], payload: &[u8]) -> Revision {
    let outcome = store.commit(&Commit::build().put(table, key, 1, payload).finish().unwrap());
    outcome.revision().unwrap_or_else(|| panic!("{outcome:?}"))
}

fn rows_come_back(store: &dyn Store) {
    assert_eq!(row(store, Table::Phones, b"SEP001122334455"), None);
    let binary: Vec<u8> = (0..=255).collect();
    let commit = Commit::build()
        .put(Table::Phones, b"SEP001122334455", 3, binary.clone())
        .put(Table::Config, binary.clone(), 0, Vec::new())
        .finish()
        .unwrap();
    let revision = store.commit(&commit).revision().unwrap();
    for consistency in [Consistency::Local, Consistency::Linearizable] {
        let read = store.get(Table::Phones, b"SEP001122334455", consistency).unwrap().unwrap();
        assert_eq!(read, Record { schema: 3, revision, payload: binary.clone() });
    }
    assert_eq!(row(store, Table::Config, &binary), Some(Record { schema: 0, revision, payload: Vec::new() }));
    assert!(store.health().is_good());
    store.sync().unwrap();
}

fn deletes_and_overwrites(store: &dyn Store) {
    let first = put(store, Table::Calls, b"a", b"1");
    let second = put(store, Table::Calls, b"a", b"2");
    assert!(second > first);
    assert_eq!(row(store, Table::Calls, b"a").unwrap().payload, b"2");
    let delete = Commit::build().delete(Table::Calls, b"a").delete(Table::Calls, b"never").finish().unwrap();
    assert!(store.commit(&delete).revision().unwrap() > second);
    assert_eq!(row(store, Table::Calls, b"a"), None);
}

fn tables_are_apart(store: &dyn Store) {
    for table in Table::ALL {
        put(store, table, b"same", table.name().as_bytes());
    }
    for table in Table::ALL {
        assert_eq!(row(store, table, b"same").unwrap().payload, table.name().as_bytes());
        assert_eq!(store.scan(table, b"", Page::FIRST, None).unwrap().rows.len(), 1);
    }
}

fn guards(store: &dyn Store) {
    let table = Table::Phones;
    let revision = put(store, table, b"there", b"1");
    let there = || b"there".to_vec();
    let gone = || b"gone".to_vec();
    let other = Revision(revision.0 + 1);
    for (guard, holds) in [
        (Guard::Absent(table, gone()), true),
        (Guard::Absent(table, there()), false),
        (Guard::Present(table, there()), true),
        (Guard::Present(table, gone()), false),
        (Guard::RevisionEquals(table, there(), revision), true),
        (Guard::RevisionEquals(table, there(), other), false),
        (Guard::RevisionEquals(table, gone(), revision), false),
        (Guard::RevisionEquals(table, gone(), Revision(0)), false),
    ] {
        let (_, key) = guard.row();
        let seen = row(store, table, key);
        // The first guard always holds, so a conflict must name the second.
        let commit =
            Commit::build().guard(Guard::Absent(table, gone())).guard(guard.clone()).finish().unwrap();
        match store.commit(&commit) {
            Outcome::Committed(at) => {
                assert!(holds, "{guard:?} held");
                assert_eq!(at, revision, "a commit that writes nothing takes no revision");
            }
            Outcome::Conflict(conflict) => {
                assert!(!holds, "{guard:?} did not hold");
                assert_eq!((conflict.guard, conflict.row), (1, seen));
            }
            Outcome::Unknown(error) => panic!("{guard:?}: {error}"),
        }
    }
}

fn a_conflict_writes_nothing(store: &dyn Store) {
    let before = put(store, Table::Phones, b"a", b"1");
    let commit = Commit::build()
        .guard(Guard::Absent(Table::Phones, b"a".to_vec()))
        .put(Table::Phones, b"b", 1, b"2".as_slice())
        .delete(Table::Phones, b"a")
        .finish()
        .unwrap();
    assert!(matches!(store.commit(&commit), Outcome::Conflict(_)));
    assert_eq!(row(store, Table::Phones, b"b"), None);
    assert_eq!(row(store, Table::Phones, b"a").unwrap().payload, b"1");
    assert_eq!(store.revision().unwrap(), before);
}

fn revisions_grow(store: &dyn Store) {
    assert_eq!(store.revision().unwrap(), Revision(0));
    let mut last = Revision(0);
    for number in 0_u8..20 {
        let revision = put(store, Table::Meta, &[number % 3 + 1], &[number]);
        assert!(revision > last);
        assert_eq!(row(store, Table::Meta, &[number % 3 + 1]).unwrap().revision, revision);
        assert_eq!(store.revision().unwrap(), revision);
        last = revision;
    }
}

fn a_group_sees_itself(store: &dyn Store) {
    let table = Table::Phones;
    let create = |value: &'static [u8]| {
        Commit::build()
            .guard(Guard::Absent(table, b"k".to_vec()))
            .put(table, b"k", 1, value)
            .finish()
            .unwrap()
    };
    let delete =
        Commit::build().guard(Guard::Present(table, b"k".to_vec())).delete(table, b"k").finish().unwrap();
    let group = [create(b"1"), create(b"2"), delete.clone(), delete, create(b"3")];
    let outcomes = store.commit_all(&group);
    let committed: Vec<bool> = outcomes.iter().map(|outcome| outcome.revision().is_some()).collect();
    assert_eq!(committed, [true, false, true, false, true]);
    let Outcome::Conflict(conflict) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert_eq!(conflict.row.as_ref().unwrap().payload, b"1");
    assert_eq!(conflict.row.as_ref().unwrap().revision, outcomes[0].revision().unwrap());
    assert_eq!(row(store, table, b"k").unwrap().payload, b"3");
    assert_eq!(row(store, table, b"k").unwrap().revision, outcomes[4].revision().unwrap());
    assert!(store.commit_all(&[]).is_empty());
}

fn scans_page(store: &dyn Store) {
    let keys: Vec<Vec<u8>> = (0..25_u8).map(|number| vec![b'k', number]).collect();
    for key in &keys {
        put(store, Table::Config, key, key);
    }
    for limit in [1, 2, 5, 24, 25, 26, usize::MAX] {
        let mut seen = Vec::new();
        let mut next: Option<Vec<u8>> = None;
        loop {
            let page = Page { after: next.as_deref(), limit };
            let found = store.scan(Table::Config, b"k", page, None).unwrap();
            assert!(found.rows.len() <= limit);
            assert!(found.rows.iter().all(|(key, row)| *key == row.payload));
            seen.extend(found.rows.into_iter().map(|(key, _)| key));
            next = found.next;
            if next.is_none() {
                break;
            }
            assert_eq!(next.as_ref(), seen.last());
        }
        assert_eq!(seen, keys, "limit {limit}");
    }
    // A limit of nothing is taken to one row, or a loop over pages would never end.
    let none = store.scan(Table::Config, b"k", Page { after: None, limit: 0 }, None).unwrap();
    assert_eq!(none.rows.len(), 1);
}

fn scans_keep_to_the_prefix(store: &dyn Store) {
    let keys: [&[u8]; 8] = [b"a", b"ab", b"ab\0", b"abc", b"ac", b"b", b"\xff", b"\xff\xff"];
    for key in keys {
        put(store, Table::Keys, key, b"");
    }
    let under = |prefix: &[u8], after: Option<&[u8]>| -> Vec<Vec<u8>> {
        let found = store.scan(Table::Keys, prefix, Page { after, limit: 100 }, None).unwrap();
        assert_eq!(found.next, None);
        found.rows.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(under(b"", None), keys);
    assert_eq!(under(b"ab", None), keys[1..4]);
    assert_eq!(under(b"ab", Some(b"ab")), keys[2..4]);
    assert_eq!(under(b"ab", Some(b"ab\0")), keys[3..4]);
    assert_eq!(under(b"ab", Some(b"a")), keys[1..4], "an earlier key is no reason to skip");
    assert!(under(b"ab", Some(b"b")).is_empty());
    assert_eq!(under(b"\xff", None), keys[6..]);
    assert_eq!(under(b"\xff\xff", None), keys[7..]);
    assert!(under(b"abcd", None).is_empty());
}

fn scans_of_a_moment(store: &dyn Store) {
    put(store, Table::Config, b"a", b"");
    let now = put(store, Table::Config, b"b", b"");
    let first = store.scan(Table::Config, b"", Page { after: None, limit: 1 }, Some(now)).unwrap();
    assert_eq!((first.revision, first.rows.len()), (now, 1));
    let current = put(store, Table::Meta, b"x", b"");
    match store.scan(Table::Config, b"", Page::after(b"a"), Some(now)) {
        // A backend with history shows the moment, one without refuses: never something newer.
        Ok(page) => assert_eq!(page.revision, now),
        Err(StoreError::RevisionGone { asked, current: at }) => assert_eq!((asked, at), (now, current)),
        Err(error) => panic!("{error}"),
    }
}

fn reads_show_all_in_order(store: &dyn Store) {
    let mut last = Revision(0);
    for number in (0..2_500_u32).rev() {
        last = put(store, Table::Config, format!("a/{number:05}").as_bytes(), &number.to_be_bytes());
    }
    put(store, Table::Config, b"b/1", b"other");
    let mut seen = Vec::new();
    let mut all = |key: &[u8], row: Seen<'_>| {
        assert_eq!((row.schema, row.revision > last), (1, false));
        seen.push((key.to_vec(), row.payload.to_vec()));
        ControlFlow::Continue(())
    };
    store.read(Table::Config, b"a/", &mut all).unwrap();
    let expected: Vec<_> =
        (0..2_500_u32).map(|n| (format!("a/{n:05}").into_bytes(), n.to_be_bytes().to_vec())).collect();
    assert_eq!(seen, expected);
    // Who has seen enough is asked no more.
    let mut count = 0;
    let mut few = |_: &[u8], _: Seen<'_>| {
        count += 1;
        if count < 7 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    store.read(Table::Config, b"", &mut few).unwrap();
    assert_eq!(count, 7);
    store.read(Table::Config, b"c/", &mut |_, _| panic!("there is none")).unwrap();
}

fn one_winner_among_eight(store: &dyn Store) {
    const THREADS: u64 = 8;
    const WINS: u64 = 50;
    put(store, Table::Phones, b"counter", &0_u64.to_be_bytes());
    let conflicts = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut wins = 0;
                while wins < WINS {
                    let seen = row(store, Table::Phones, b"counter").unwrap();
                    let value = u64::from_be_bytes(seen.payload.try_into().unwrap());
                    let commit = Commit::build()
                        .guard(Guard::RevisionEquals(Table::Phones, b"counter".to_vec(), seen.revision))
                        .put(Table::Phones, b"counter", 1, (value + 1).to_be_bytes())
                        .finish()
                        .unwrap();
                    match store.commit(&commit) {
                        Outcome::Committed(_) => wins += 1,
                        Outcome::Conflict(_) => {
                            conflicts.fetch_add(1, Ordering::Relaxed);
                        }
                        Outcome::Unknown(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let end = row(store, Table::Phones, b"counter").unwrap();
    assert_eq!(end.payload, (THREADS * WINS).to_be_bytes(), "an update was lost");
    assert_eq!(end.revision, Revision(THREADS * WINS + 1));
}

fn snapshots_go_round(store: &dyn Store) {
    for table in Table::ALL {
        for number in 1..4_u8 {
            put(store, table, &[number], &[number; 100]);
        }
    }
    let mut stream = Vec::new();
    let written = snapshot::write(store, &mut stream).unwrap();
    assert_eq!(written.rows, 21);
    assert_eq!(snapshot::check(&mut stream.as_slice()).unwrap(), written);
    let copy = crate::MemoryStore::new();
    assert_eq!(snapshot::read(&copy, written, &mut stream.as_slice()).unwrap(), written);
    for table in Table::ALL {
        assert_eq!(
            copy.scan(table, b"", Page::FIRST, None).unwrap(),
            store.scan(table, b"", Page::FIRST, None).unwrap()
        );
    }
    let mut again = Vec::new();
    snapshot::write(&copy, &mut again).unwrap();
    assert_eq!(again, stream);
    assert!(put(&copy, Table::Meta, b"x", b"") > written.revision, "revisions go on from the copy");
}

fn snapshots_refuse(store: &dyn Store) {
    let source = crate::MemoryStore::new();
    put(&source, Table::Phones, b"a", b"payload");
    let mut stream = Vec::new();
    let written = snapshot::write(&source, &mut stream).unwrap();
    for cut in 0..stream.len() {
        assert!(snapshot::check(&mut &stream[..cut]).is_err(), "cut at {cut}");
    }
    for place in 0..stream.len() {
        let mut changed = stream.clone();
        changed[place] ^= 1;
        assert!(snapshot::check(&mut changed.as_slice()).is_err(), "changed at {place}");
    }
    put(store, Table::Calls, b"a", b"");
    let refused = snapshot::read(store, written, &mut stream.as_slice());
    assert!(matches!(refused, Err(StoreError::NotEmpty { table: Table::Calls })), "{refused:?}");
    assert_eq!(row(store, Table::Phones, b"a"), None);
}

fn limits_hold(store: &dyn Store) {
    let limits = store.limits();
    let mut commit = Commit::build();
    for number in 0..limits.operations as u64 - 2 {
        commit = commit.put(Table::Config, number.to_be_bytes(), 1, b"x".as_slice());
    }
    let key = vec![b'k'; limits.key_bytes];
    let commit = commit
        .guard(Guard::Absent(Table::Phones, key.clone()))
        .put(Table::Phones, key.clone(), 1, vec![7; limits.value_bytes])
        .finish()
        .unwrap();
    let revision = store.commit(&commit).revision().unwrap();
    assert_eq!(revision, Revision(1), "one commit, one revision");
    assert_eq!(row(store, Table::Phones, &key).unwrap().payload.len(), limits.value_bytes);
    assert_eq!(store.scan(Table::Config, b"", Page::FIRST, None).unwrap().rows.len(), limits.operations - 2);
}
