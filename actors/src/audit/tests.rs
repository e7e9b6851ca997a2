//! The audit over a store.

use std::ops::ControlFlow;
use std::sync::Arc;

use keyline_domain::audit::{Draft, Fault, Happened, Mark, Who, entry_key};
use keyline_domain::ids::UnixMillis;
use keyline_storage::{Commit, Consistency, MemoryStore, NodeKey, Outcome, Store, Table};
use serde_json::json;
use zeroize::Zeroizing;

use super::{AuditLog, AuditReader, HEAD, ReadError, SCHEMA};

fn node_key() -> NodeKey {
    NodeKey::from_bytes(Zeroizing::new([7; 32]))
}

fn draft(n: u64) -> Draft {
    let result = if n.is_multiple_of(5) { Happened::refused("line_not_found") } else { Happened::Done };
    Draft::new(&Who::default(), "merge", "line", &format!("{n}"), result)
        .with(None, Some(&json!({ "dn": n })))
}

fn commit(store: &dyn Store, builder: keyline_storage::CommitBuilder) {
    assert!(matches!(store.commit(&builder.finish().unwrap()), Outcome::Committed(_)));
}

fn append(log: &mut AuditLog, store: &dyn Store, n: u64) {
    let (builder, pending) = log.add(Commit::build(), vec![draft(n)], UnixMillis(n));
    commit(store, builder);
    log.settle(pending);
}

/// A store with so many entries.
fn written(count: u64) -> (Arc<MemoryStore>, AuditLog, AuditReader) {
    let store = Arc::new(MemoryStore::new());
    let mut log = AuditLog::load(&*store, &node_key()).unwrap();
    (1..=count).for_each(|n| append(&mut log, &*store, n));
    let reader = AuditReader::new(Arc::clone(&store) as Arc<dyn Store>, &node_key());
    (store, log, reader)
}

fn fault(reader: &AuditReader) -> Fault {
    match reader.verify(None) {
        Err(ReadError::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn entries_go_on_after_a_restart_and_are_walked_both_ways() {
    let (store, log, reader) = written(7);
    drop(log);
    let mut log = AuditLog::load(&*store, &node_key()).unwrap();
    append(&mut log, &*store, 8);
    assert_eq!(reader.verify(None).unwrap().entries, 8);
    let numbers = |after, backwards, most| {
        let mut seen = Vec::new();
        let next = reader.walk(after, backwards, most, |seq, found| {
            assert_eq!(found.unwrap().0.seq, seq);
            seen.push(seq);
            ControlFlow::Continue(())
        });
        (seen, next.unwrap())
    };
    assert_eq!(numbers(None, false, 3), (vec![1, 2, 3], Some(3)));
    assert_eq!(numbers(Some(3), false, 99), (vec![4, 5, 6, 7, 8], None));
    assert_eq!(numbers(None, true, 3), (vec![8, 7, 6], Some(6)));
    assert_eq!(numbers(Some(6), true, 5), (vec![5, 4, 3, 2, 1], None));
    assert_eq!(numbers(Some(1), true, 5), (vec![], None));
    assert_eq!(numbers(Some(8), false, 5), (vec![], None));
    assert!(reader.entry(9).unwrap().is_none() && reader.entry(0).unwrap().is_none());
}

#[test]
fn what_is_pruned_leaves_a_chain_that_can_be_verified() {
    let (store, mut log, reader) = written(300);
    let first = reader.verify(None).unwrap().head.tip;
    assert!(log.prune(&*store, 290).unwrap().is_none(), "a few too many are no reason to write");
    let mut commits = 0;
    while let Some((pruning, pending)) = log.prune(&*store, 100).unwrap() {
        assert!(matches!(store.commit(&pruning), Outcome::Committed(_)));
        log.settle(pending);
        commits += 1;
        let verified = reader.verify(Some(first)).unwrap();
        assert!(verified.mark_found && verified.entries >= 100);
    }
    assert!(commits > 1);
    let head = reader.head().unwrap().unwrap();
    assert!((100..164).contains(&(head.tip.seq - head.base.seq)), "{head:?}");
    // It goes on from there, and what was noted before the checkpoint is said not to be found.
    append(&mut log, &*store, 301);
    let (entry, _) = reader.entry(301).unwrap().unwrap().unwrap();
    assert_eq!(entry.seq, 301);
    assert!(!reader.verify(Some(Mark { seq: 5, ..first })).unwrap().mark_found);
    // A hole at the place of the checkpoint is not covered up.
    let hole = Commit::build().delete(Table::Audit, entry_key(head.base.seq + 90).to_vec());
    commit(&*store, hole);
    assert!(log.prune(&*store, 0).is_err());
    assert_eq!(fault(&reader), Fault::Missing { seq: head.base.seq + 90 });
}

#[test]
fn what_was_done_to_a_closed_store_is_named_and_stays_named() {
    type Tamper = fn(&dyn Store);
    fn row(store: &dyn Store, seq: u64) -> Vec<u8> {
        store.get(Table::Audit, &entry_key(seq), Consistency::Local).unwrap().unwrap().payload.to_vec()
    }
    fn put(store: &dyn Store, seq: u64, payload: Vec<u8>) {
        commit(store, Commit::build().put(Table::Audit, entry_key(seq).to_vec(), SCHEMA, payload));
    }
    let cases: [(&str, Tamper, Option<u64>); 7] = [
        (
            "entry_changed",
            |store| {
                let mut payload = row(store, 4);
                let last = payload.len() - 3;
                payload[last] ^= 1;
                put(store, 4, payload);
            },
            Some(4),
        ),
        (
            "entry_missing",
            |s| commit(s, Commit::build().delete(Table::Audit, entry_key(2).to_vec())),
            Some(2),
        ),
        (
            "entry_moved",
            |store| {
                let (a, b) = (row(store, 3), row(store, 6));
                put(store, 3, b);
                put(store, 6, a);
            },
            Some(3),
        ),
        (
            "audit_truncated",
            |store| {
                let cut =
                    (8..=9).fold(Commit::build(), |c, seq| c.delete(Table::Audit, entry_key(seq).to_vec()));
                commit(store, cut);
            },
            Some(8),
        ),
        ("entry_surplus", |store| put(store, 10, row(store, 9)), Some(10)),
        ("head_missing", |s| commit(s, Commit::build().delete(Table::Meta, HEAD.to_vec())), None),
        (
            "head_forged",
            |store| {
                let head = store.get(Table::Meta, HEAD, Consistency::Local).unwrap().unwrap();
                let mut head = head.payload.to_vec();
                head[48] ^= 1;
                commit(store, Commit::build().put(Table::Meta, HEAD.to_vec(), SCHEMA, head));
            },
            None,
        ),
    ];
    for (code, tamper, seq) in cases {
        let (store, log, reader) = written(9);
        drop(log);
        tamper(&*store);
        let found = fault(&reader);
        assert_eq!((found.code(), found.entry()), (code, seq), "{found}");
        // A node that starts on it and writes on does not cover it up, and overwrites nothing.
        let mut log = AuditLog::load(&*store, &node_key()).unwrap();
        (1..=3).for_each(|n| append(&mut log, &*store, n));
        let after = fault(&reader);
        let first = seq.unwrap_or(10);
        assert!(after.entry().is_some_and(|at| at <= first), "{code}: {after}");
        let (newest, _) = reader.entry(reader.head().unwrap().unwrap().tip.seq).unwrap().unwrap().unwrap();
        assert_eq!((newest.name.as_ref(), newest.seq >= 12), ("3", true));
    }
}

#[test]
fn an_entry_that_was_not_committed_leaves_no_gap() {
    let (store, mut log, reader) = written(2);
    let (_, lost) = log.add(Commit::build(), vec![draft(3)], UnixMillis(3));
    drop(lost);
    append(&mut log, &*store, 4);
    let verified = reader.verify(None).unwrap();
    assert_eq!((verified.entries, verified.head.tip.seq), (3, 3));
    assert_eq!(log.take_counts().done, 3);
    assert_eq!(log.take_counts(), super::log::Counts::default());
}

#[test]
fn verifying_does_not_mind_that_somebody_writes() {
    let (store, mut log, reader) = written(200);
    let end = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let verifier = {
        let end = Arc::clone(&end);
        std::thread::spawn(move || {
            let mut times = 0;
            while !end.load(std::sync::atomic::Ordering::Acquire) || times == 0 {
                reader.verify(None).unwrap();
                times += 1;
            }
            times
        })
    };
    for n in 201..1200 {
        append(&mut log, &*store, n);
        if let Some((pruning, pending)) = log.prune(&*store, 150).unwrap() {
            assert!(matches!(store.commit(&pruning), Outcome::Committed(_)));
            log.settle(pending);
        }
    }
    end.store(true, std::sync::atomic::Ordering::Release);
    assert!(verifier.join().unwrap() > 0);
}
