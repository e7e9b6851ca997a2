use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rocksdb::Options;
use tempfile::TempDir;

use super::*;
use crate::batch::Guard;
use crate::conformance::{put, row};
use crate::writer::{Writer, WriterOptions};

fn open(path: &Path) -> RocksStore {
    RocksStore::open(path, RocksOptions::default()).unwrap()
}

fn refusal(path: &Path, options: RocksOptions) -> StoreError {
    match RocksStore::open(path, options) {
        Ok(_) => panic!("{} opened", path.display()),
        Err(error) => error,
    }
}

#[test]
fn rows_and_revisions_outlive_the_store() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new/data");
    let first = {
        let store = open(&path);
        put(&store, Table::Meta, b"a", b"1");
        put(&store, Table::Phones, b"a", b"2")
    };
    let store = open(&path);
    assert_eq!(store.path(), path);
    assert_eq!(row(&store, Table::Meta, b"a").unwrap().payload, b"1");
    assert_eq!(row(&store, Table::Phones, b"a").unwrap().revision, first);
    assert_eq!(store.revision().unwrap(), first);
    assert_eq!(put(&store, Table::Phones, b"b", b"3"), Revision(first.0 + 1));
}

/// Not a test of its own: the process that [`every_acknowledged_row_survives_kill_9`] kills. It
/// prints each key after its commit was acknowledged.
#[test]
#[ignore = "started by every_acknowledged_row_survives_kill_9"]
fn commits_until_killed() {
    let Ok(path) = std::env::var(CHILD_PATH) else { return };
    let durability = match std::env::var(CHILD_DURABILITY).as_deref() {
        Ok("power") => Durability::Power,
        _ => Durability::Process,
    };
    let options = RocksOptions { durability, ..RocksOptions::default() };
    let store = RocksStore::open(Path::new(&path), options).unwrap();
    let writer = Writer::start(Arc::new(store), WriterOptions::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                for number in 0.. {
                    let key = format!("{thread}-{number}");
                    let commit = Commit::build()
                        .put(Table::Phones, key.as_bytes(), 1, key.as_bytes())
                        .put(Table::Calls, key.as_bytes(), 1, key.as_bytes())
                        .finish()
                        .unwrap();
                    let revision = writer.submit_blocking(commit).revision().unwrap();
                    println!("acknowledged {key} {revision}");
                }
            });
        }
    });
}

const CHILD_PATH: &str = "KEYLINE_TEST_KILL_PATH";
const CHILD_DURABILITY: &str = "KEYLINE_TEST_KILL_DURABILITY";

#[test]
fn every_acknowledged_row_survives_kill_9() {
    for durability in ["process", "power"] {
        let folder = TempDir::new().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "backend::rocks::tests::commits_until_killed", "--ignored", "--nocapture"])
            .env(CHILD_PATH, folder.path())
            .env(CHILD_DURABILITY, durability)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut acknowledged = Vec::new();
        let mut killed = false;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            // The last line may be cut by the kill: it has fewer words then, or none at all.
            let Some((_, rest)) = line.split_once("acknowledged ") else { continue };
            let Some((key, _)) = rest.split_once(' ') else { continue };
            acknowledged.push(key.to_owned());
            if acknowledged.len() == 2_000 && !killed {
                killed = true;
                let error = refusal(folder.path(), RocksOptions::default());
                assert!(matches!(error, StoreError::Locked { .. }), "{error}");
                // SIGKILL; what is already in the pipe is still read.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(killed, "the child ended by itself after {} rows", acknowledged.len());
        let store = open(folder.path());
        for key in &acknowledged {
            for table in [Table::Phones, Table::Calls] {
                let found = row(&store, table, key.as_bytes());
                assert_eq!(found.map(|row| row.payload).as_deref(), Some(key.as_bytes()), "{durability}");
            }
        }
        // No commit is there by half, and the revision is that of the newest row.
        let mut newest = Revision(0);
        let mut counts = [0_u64; 2];
        store
            .export(&mut |table, _, row| {
                newest = newest.max(row.revision);
                counts[usize::from(table == Table::Calls)] += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(counts[0], counts[1]);
        assert_eq!(store.revision().unwrap(), newest);
    }
}

#[test]
fn a_torn_log_costs_only_what_is_torn() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for number in 0..100_u8 {
        put(&store, Table::Phones, &[number], &[number; 200]);
    }
    drop(store);
    let log = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let length = fs::metadata(&log).unwrap().len();
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(length - 3).unwrap();
    let store = open(folder.path());
    for number in 0..99_u8 {
        assert_eq!(row(&store, Table::Phones, &[number]).unwrap().payload, [number; 200]);
    }
    assert_eq!(row(&store, Table::Phones, &[99]), None);
    assert_eq!(store.revision().unwrap(), Revision(99));
}

#[test]
fn a_damaged_row_is_named_and_can_be_stepped_over() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for key in [b"a", b"b", b"c"] {
        put(&store, Table::Phones, key, b"payload");
    }
    let family = store.family(Table::Phones).unwrap();
    let mut stored = store.db.get_cf(family, b"b").unwrap().unwrap();
    let last = stored.len() - 1;
    stored[last] ^= 1;
    store.db.put_cf(family, b"b", stored).unwrap();

    let error = store.get(Table::Phones, b"b", Consistency::Local).unwrap_err();
    assert!(
        matches!(&error, StoreError::Damaged { table: Table::Phones, key, .. } if key == b"b"),
        "{error}"
    );

    // Whoever reads all in one go has seen what lies ahead of it.
    let mut seen = Vec::new();
    let read = store.read(Table::Phones, b"", &mut |key, _| {
        seen.push(key.to_vec());
        std::ops::ControlFlow::Continue(())
    });
    assert!(matches!(&read, Err(StoreError::Damaged { key, .. }) if key == b"b"), "{read:?}");
    assert_eq!(seen, [b"a"]);

    // The page ends ahead of it, the next page is the error, the one after goes on.
    let first = store.scan(Table::Phones, b"", Page::FIRST, None).unwrap();
    assert_eq!((first.rows.len(), first.next.as_deref()), (1, Some(b"a".as_slice())));
    let error = store.scan(Table::Phones, b"", Page::after(b"a"), None).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { key, .. } if key == b"b"), "{error}");
    let rest = store.scan(Table::Phones, b"", Page::after(b"b"), None).unwrap();
    assert_eq!((rest.rows.len(), rest.next), (1, None));

    let error = store.export(&mut |_, _, _| Ok(())).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");

    // A guard on it is not decided by guessing, and others of the group are not held up.
    let on_it = Commit::build()
        .guard(Guard::Present(Table::Phones, b"b".to_vec()))
        .put(Table::Phones, b"x", 1, vec![])
        .finish()
        .unwrap();
    let other = Commit::build().put(Table::Phones, b"y", 1, vec![]).finish().unwrap();
    let outcomes = store.commit_all(&[on_it, other]);
    assert!(matches!(&outcomes[0], Outcome::Unknown(StoreError::Damaged { .. })), "{outcomes:?}");
    assert!(outcomes[1].revision().is_some());
    assert_eq!(row(&store, Table::Phones, b"x"), None);
    assert!(store.health().is_good(), "the disk writes");

    // Writing it anew heals it.
    put(&store, Table::Phones, b"b", b"new");
    assert_eq!(row(&store, Table::Phones, b"b").unwrap().payload, b"new");
}

#[test]
fn a_damaged_file_is_an_error() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for number in 0..200_u8 {
        put(&store, Table::Phones, &[number], &[number; 100]);
    }
    store.db.flush_cf(store.family(Table::Phones).unwrap()).unwrap();
    drop(store);
    let file = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .unwrap();
    let mut content = fs::read(&file).unwrap();
    content[40] ^= 0xff;
    fs::write(&file, content).unwrap();
    // RocksDB may notice at open or at read; it must not be silence.
    match RocksStore::open(folder.path(), RocksOptions::default()) {
        Err(StoreError::Backend { .. }) => {}
        Err(error) => panic!("{error}"),
        Ok(store) => {
            let error = store.get(Table::Phones, &[0], Consistency::Local).unwrap_err();
            assert!(matches!(error, StoreError::Backend { .. }), "{error}");
            assert!(error.chain().contains("Corruption"), "{}", error.chain());
            assert!(store.scan(Table::Phones, b"", Page::FIRST, None).is_err());
        }
    }
}

#[test]
fn a_later_format_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    put(&store, Table::Phones, b"a", b"1");
    store.db.put(open::FORMAT_KEY, (FORMAT + 1).to_be_bytes()).unwrap();
    drop(store);
    let error = refusal(folder.path(), RocksOptions::default());
    assert!(
        matches!(&error, StoreError::FormatTooNew { found, supported: FORMAT, path }
            if *found == FORMAT + 1 && path == folder.path()),
        "{error}"
    );
    assert!(error.to_string().contains("holds format 2, this version reads up to 1"), "{error}");

    // Also if it has a table that this version does not know.
    let families = DB::list_cf(&Options::default(), folder.path()).unwrap();
    let mut db = DB::open_cf(&Options::default(), folder.path(), families).unwrap();
    db.create_cf("leases", &Options::default()).unwrap();
    drop(db);
    let error = refusal(folder.path(), RocksOptions::default());
    assert!(matches!(error, StoreError::FormatTooNew { .. }), "{error}");
}

#[test]
fn other_folders_are_refused() {
    let folder = TempDir::new().unwrap();
    let absent = folder.path().join("absent");
    let existing_only = RocksOptions { create: false, ..RocksOptions::default() };
    assert!(matches!(refusal(&absent, existing_only), StoreError::NotFound { .. }));
    assert!(!absent.exists());

    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(matches!(refusal(&empty, existing_only), StoreError::NotOurs { .. }));

    let used = folder.path().join("used");
    fs::create_dir(&used).unwrap();
    fs::write(used.join("thesis.tex"), "x").unwrap();
    assert!(matches!(refusal(&used, RocksOptions::default()), StoreError::NotOurs { .. }));
    assert_eq!(fs::read_dir(&used).unwrap().count(), 1, "nothing was added");

    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(matches!(refusal(&file, RocksOptions::default()), StoreError::NotOurs { .. }));

    let foreign = folder.path().join("foreign");
    DB::open_default(&foreign).unwrap().put(b"k", b"v").unwrap();
    assert!(matches!(refusal(&foreign, RocksOptions::default()), StoreError::NotOurs { .. }));

    // Nobody, not even root, makes folders there.
    let error = refusal(Path::new("/sys/keyline"), RocksOptions::default());
    assert!(matches!(error, StoreError::Permission { .. }), "{error}");
}

#[test]
fn a_second_open_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let error = refusal(folder.path(), RocksOptions::default());
    assert!(matches!(&error, StoreError::Locked { path } if path == folder.path()), "{error}");
    drop(store);
    open(folder.path());
}

#[test]
fn a_restore_that_was_cut_off_is_noticed() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let good = (Table::Phones, b"a".to_vec(), Record { schema: 1, revision: Revision(9), payload: vec![] });
    let mut rows = [Ok(good.clone()), Err(StoreError::Snapshot { reason: "it is cut off" })].into_iter();
    assert!(matches!(store.import(Revision(20), &mut rows), Err(StoreError::Snapshot { .. })));
    drop(store);
    let error = refusal(folder.path(), RocksOptions::default());
    assert!(matches!(error, StoreError::RestoreUnfinished { .. }), "{error}");

    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    assert_eq!(store.import(Revision(20), &mut [Ok(good)].into_iter()).unwrap(), 1);
    drop(store);
    let store = open(folder.path());
    assert_eq!(row(&store, Table::Phones, b"a").unwrap().revision, Revision(9));
    assert_eq!(put(&store, Table::Phones, b"b", b""), Revision(21));
}

#[test]
fn a_failed_write_is_unknown_and_health_says_so() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()));
    // A database that cannot be written stands for a disk that cannot.
    let families = Table::ALL.map(Table::name);
    let db = DB::open_cf_for_read_only(&Options::default(), folder.path(), families, false).unwrap();
    let store = RocksStore {
        db,
        path: folder.path().to_owned(),
        durability: Durability::Power,
        writing: Mutex::new(Writing { revision: Revision(0) }),
        health: Mutex::new(Health::Good),
    };
    let write = Commit::build().put(Table::Phones, b"a", 1, vec![]).finish().unwrap();
    let conflict = Commit::build().guard(Guard::Present(Table::Phones, b"b".to_vec())).finish().unwrap();
    let outcomes = store.commit_all(&[write, conflict.clone()]);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))), "{outcomes:?}");
    assert!(!store.health().is_good());
    assert_eq!(row(&store, Table::Phones, b"a"), None);
    assert!(matches!(store.commit(&conflict), Outcome::Conflict(_)), "judging needs no write");
}

#[test]
fn the_end_of_a_prefix() {
    assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
    assert_eq!(after_prefix(b"a\xff"), Some(b"b".to_vec()));
    assert_eq!(after_prefix(b"\xff\xff"), None);
    assert_eq!(after_prefix(b""), None);
}
