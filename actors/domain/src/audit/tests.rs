//! Whatever is done to a chain, it is found.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ids::UnixMillis;

const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn who() -> Who {
    Who::token("nightly", "operator", "192.0.2.7", Some("c0ffee"))
}

fn draft(n: u64) -> Draft {
    let result = if n.is_multiple_of(3) { Happened::refused("phone_not_found") } else { Happened::Done };
    Draft::new(&who(), "merge", "phone", &format!("SEP{n:012X}"), result)
        .with(Some(&json!({ "description": format!("desk {n}") })), Some(&json!({ "description": "lobby" })))
}

/// `count` entries after `base`, and the head over them.
fn chain(base: Mark, count: u64) -> (Head, Rows) {
    let (mut tip, mut rows) = (base, Rows::new());
    for seq in base.seq + 1..=base.seq + count {
        let (stored, hash) = draft(seq).placed(seq, UnixMillis(1_700_000_000_000 + seq)).store(&tip.hash);
        rows.push((entry_key(seq).to_vec(), stored));
        tip = Mark { seq, hash };
    }
    (Head { base, tip }, rows)
}

fn verify(head: Head, rows: &Rows, expected: Option<Mark>) -> Result<Verified, Fault> {
    let mut verifier = Verifier::new(head, expected);
    rows.iter().try_for_each(|(key, payload)| verifier.row(key, payload))?;
    verifier.finish()
}

fn somewhere() -> impl Strategy<Value = Mark> {
    (0u64..5, any::<[u8; 32]>()).prop_map(|(seq, hash)| match seq {
        0 => Mark::ORIGIN,
        seq => Mark { seq: seq * 1000, hash: Hash(hash) },
    })
}

proptest! {
    #[test]
    fn a_chain_is_whole_wherever_it_begins(base in somewhere(), count in 0u64..20) {
        let (head, rows) = chain(base, count);
        prop_assert_eq!(verify(head, &rows, None), Ok(Verified { entries: count, head, mark_found: false }));
        for mark in [head.tip, head.base] {
            prop_assert_eq!(verify(head, &rows, Some(mark)), Ok(Verified { entries: count, head, mark_found: true }));
        }
    }

    #[test]
    fn a_changed_byte_is_found_at_its_entry(base in somewhere(), count in 1u64..12, at: prop::sample::Index,
                                            byte: prop::sample::Index, mask in 1u8..) {
        let (head, mut rows) = chain(base, count);
        let at = at.index(rows.len());
        let row = &mut rows[at].1;
        let byte = byte.index(row.len());
        row[byte] ^= mask;
        let fault = verify(head, &rows, None).unwrap_err();
        prop_assert_eq!(fault.entry(), Some(base.seq + 1 + at as u64), "{}", fault);
    }

    #[test]
    fn a_changed_entry_with_a_hash_of_its_own_is_found_at_the_next(count in 2u64..12, at: prop::sample::Index) {
        let (head, mut rows) = chain(Mark::ORIGIN, count);
        let at = at.index(rows.len());
        let previous = if at == 0 { Hash::NONE } else { StoredEntry::split(&rows[at - 1].1).unwrap().hash };
        let mut entry = StoredEntry::split(&rows[at].1).unwrap().entry().unwrap();
        entry.who.name = "somebody else".into();
        rows[at].1 = entry.store(&previous).0;
        let fault = verify(head, &rows, None).unwrap_err();
        match at + 1 == rows.len() {
            true => prop_assert_eq!(fault, Fault::Rewritten),
            false => prop_assert_eq!(fault, Fault::Changed { seq: at as u64 + 2 }),
        }
    }

    #[test]
    fn a_removed_entry_is_named(base in somewhere(), count in 1u64..12, at: prop::sample::Index) {
        let (head, mut rows) = chain(base, count);
        let at = at.index(rows.len());
        rows.remove(at);
        let seq = base.seq + 1 + at as u64;
        let expected = match seq == head.tip.seq {
            true => Fault::Truncated { last: seq - 1, tip: seq },
            false => Fault::Missing { seq },
        };
        prop_assert_eq!(verify(head, &rows, None), Err(expected));
    }

    #[test]
    fn a_cut_end_is_named(base in somewhere(), count in 1u64..12, kept: prop::sample::Index) {
        let (head, mut rows) = chain(base, count);
        let kept = kept.index(rows.len());
        rows.truncate(kept);
        let last = base.seq + kept as u64;
        prop_assert_eq!(verify(head, &rows, None), Err(Fault::Truncated { last, tip: head.tip.seq }));
    }

    #[test]
    fn exchanged_entries_are_found_at_the_first(count in 2u64..12, a: prop::sample::Index, b: prop::sample::Index) {
        let (head, mut rows) = chain(Mark::ORIGIN, count);
        let (a, b) = (a.index(rows.len()), b.index(rows.len()));
        prop_assume!(a != b);
        let (a, b) = (a.min(b), a.max(b));
        let kept = rows[a].1.clone();
        rows[a].1 = std::mem::replace(&mut rows[b].1, kept);
        let fault = Fault::Moved { seq: a as u64 + 1, says: b as u64 + 1 };
        prop_assert_eq!(verify(head, &rows, None), Err(fault));
    }

    #[test]
    fn an_inserted_entry_is_found(count in 1u64..12, at: prop::sample::Index) {
        let (head, rows) = chain(Mark::ORIGIN, count);
        // One more in the middle moves the others up, so that all numbers stay without gaps.
        let at = at.index(rows.len() + 1);
        let mut more: Rows = Vec::new();
        let previous = if at == 0 { Hash::NONE } else { StoredEntry::split(&rows[at - 1].1).unwrap().hash };
        let forged = draft(99).placed(at as u64 + 1, UnixMillis(1)).store(&previous).0;
        more.extend(rows[..at].iter().cloned());
        more.push((entry_key(at as u64 + 1).to_vec(), forged));
        more.extend(rows[at..].iter().enumerate().map(|(i, (_, row))| (entry_key((at + i + 2) as u64).to_vec(), row.clone())));
        let fault = verify(head, &more, None).unwrap_err();
        // Its own place fits; the entry that stood there does not follow it, or the head does not cover it.
        let seq = fault.entry().unwrap();
        prop_assert!(seq == at as u64 + 1 || seq == at as u64 + 2, "{}", fault);
    }

    #[test]
    fn a_chain_written_anew_does_not_fit_the_head(count in 1u64..12, from: prop::sample::Index) {
        let (head, mut rows) = chain(Mark::ORIGIN, count);
        let from = from.index(rows.len());
        let mut previous = if from == 0 { Hash::NONE } else { StoredEntry::split(&rows[from - 1].1).unwrap().hash };
        for (i, row) in rows.iter_mut().enumerate().skip(from) {
            let mut entry = draft(i as u64 + 1).placed(i as u64 + 1, UnixMillis(5));
            entry.name = "SEP00AABBCCDD01".into();
            let (stored, hash) = entry.store(&previous);
            (row.1, previous) = (stored, hash);
        }
        prop_assert_eq!(verify(head, &rows, None), Err(Fault::Rewritten));
    }

    #[test]
    fn no_byte_of_a_head_can_be_changed(base in somewhere(), count in 0u64..4, byte: prop::sample::Index, mask in 1u8..) {
        let (head, _) = chain(base, count);
        let mut sealed = head.seal(&KEY);
        prop_assert_eq!(Head::open(&sealed, &KEY), Ok(head));
        prop_assert_eq!(Head::open(&sealed, &[8; KEY_BYTES]), Err(HeadFault::Forged));
        let byte = byte.index(sealed.len());
        sealed[byte] ^= mask;
        prop_assert!(Head::open(&sealed, &KEY).is_err());
    }

    #[test]
    fn rows_of_any_bytes_never_panic(rows in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..12),
                                                                    prop::collection::vec(any::<u8>(), 0..80)), 0..6),
                                     head in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Head::open(&head, &KEY);
        let _ = verify(chain(Mark::ORIGIN, 3).0, &rows, None);
    }
}

#[test]
fn a_taken_away_beginning_leaves_a_chain_that_can_be_verified() {
    let (head, rows) = chain(Mark::ORIGIN, 10);
    let base = Mark { seq: 6, hash: StoredEntry::split(&rows[5].1).unwrap().hash };
    let pruned = Head { base, tip: head.tip };
    assert_eq!(
        verify(pruned, &rows[6..].to_vec(), None),
        Ok(Verified { entries: 4, head: pruned, mark_found: false })
    );
    // Under the old head the beginning is missing, and with a wrong checkpoint nothing follows.
    assert_eq!(verify(head, &rows[6..].to_vec(), None), Err(Fault::Missing { seq: 1 }));
    let wrong = Head { base: Mark { seq: 6, hash: Hash([1; 32]) }, ..pruned };
    assert_eq!(verify(wrong, &rows[6..].to_vec(), None), Err(Fault::Changed { seq: 7 }));
    assert_eq!(verify(pruned, &rows[5..].to_vec(), None).unwrap_err().code(), "entry_surplus");
}

#[test]
fn what_stands_behind_the_end_was_added() {
    let (_, rows) = chain(Mark::ORIGIN, 4);
    let (head, _) = chain(Mark::ORIGIN, 3);
    assert_eq!(verify(head, &rows, None), Err(Fault::Surplus { seq: 4, first: 1, last: 3 }));
    let mut strange = chain(Mark::ORIGIN, 3).1;
    strange.push((b"note".to_vec(), Vec::new()));
    assert!(matches!(verify(head, &strange, None), Err(Fault::NotAnEntry { .. })));
}

#[test]
fn a_mark_that_was_kept_elsewhere_finds_an_older_copy() {
    let (head, rows) = chain(Mark::ORIGIN, 8);
    let noted: Mark = head.tip.to_string().parse().unwrap();
    assert_eq!(noted, head.tip);
    // The whole store was put back to where it was three entries ago: everything in it fits.
    let (old, _) = chain(Mark::ORIGIN, 5);
    assert!(verify(old, &rows[..5].to_vec(), None).is_ok());
    assert_eq!(verify(old, &rows[..5].to_vec(), Some(noted)), Err(Fault::MarkGone { seq: 8, last: 5 }));
    let other = Mark { seq: 5, hash: Hash([9; 32]) };
    assert_eq!(verify(head, &rows, Some(other)), Err(Fault::MarkDiffers { seq: 5 }));
    for bad in ["", "5", "x:00", "5:00", &format!("5:{}", "ä".repeat(32))] {
        assert!(bad.parse::<Mark>().is_err(), "{bad}");
    }
}

#[test]
fn a_break_that_the_node_found_stays_visible() {
    let (_, mut rows) = chain(Mark::ORIGIN, 2);
    let said = Draft::new(&Who::local(NODE), BROKEN, "audit", "the head is missing", Happened::Done);
    let (stored, hash) = said.placed(3, UnixMillis(3)).store(&Hash::NONE);
    rows.push((entry_key(3).to_vec(), stored));
    let head = Head { base: Mark::ORIGIN, tip: Mark { seq: 3, hash } };
    let fault = verify(head, &rows, None).unwrap_err();
    assert_eq!(fault, Fault::Broken { seq: 3, reason: "the head is missing".to_owned() });
}

#[test]
fn no_secret_reaches_an_entry() {
    let before = json!({
        "id": "anna", "digest_credentials": "hunter2hunter2",
        "capf": { "operation": "install", "authentication_string": "4711081542" },
    });
    let mut after = before.clone();
    after["digest_credentials"] = "correcthorse".into();
    after["capf"]["authentication_string"] = Value::Null;
    after["keys"] = json!([{ "private_key": "MIIEvQIBADANBg" }]);
    after["pem"] = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n".into();
    let entry =
        Draft::new(&who(), "merge", "end_user", "anna", Happened::Done).with(Some(&before), Some(&after));
    let entry = entry.placed(1, UnixMillis(1));
    let text = String::from_utf8(entry.store(&Hash::NONE).0[HASH_BYTES..].to_vec()).unwrap();
    for secret in ["hunter2", "correcthorse", "4711", "MIIEvQ", "PRIVATE"] {
        assert!(!text.contains(secret), "{text}");
    }
    let after = entry.after.unwrap();
    assert_eq!(after["digest_credentials"], "changed");
    assert_eq!(after["capf"]["authentication_string"], "not set");
    assert_eq!(after["keys"][0]["private_key"], "set");
    assert_eq!(entry.before.unwrap()["digest_credentials"], "set");
    // Another row without the secret: it was removed.
    let (_, gone) = redacted(Some(&json!({ "id": "anna", "pin": "4711" })), Some(&json!({ "id": "anna" })));
    assert_eq!(gone.unwrap(), json!({ "id": "anna", "pin": "not set" }));
    // What says already that something is set stays, so that a row may be redacted twice.
    let told = json!({ "digest_credentials": "changed", "token": true, "pin": false });
    let (_, told) = redacted(None, Some(&told));
    assert_eq!(told.unwrap(), json!({ "digest_credentials": "changed", "token": "set", "pin": "not set" }));
}

#[test]
fn an_entry_has_a_bound_and_says_what_is_cut() {
    let row = json!({ "description": "\"ü\\".repeat(BODY_MAX) });
    let long = "ü".repeat(NAME_MAX);
    let who = Who::token(&long, &long, &long, Some(&long));
    let entry = Draft::new(&who, &long, &long, &long, Happened::refused(&long)).with(Some(&row), Some(&row));
    let entry = entry.placed(1, UnixMillis(1));
    let (stored, _) = entry.store(&Hash::NONE);
    assert!(stored.len() < 2 * BODY_MAX, "{}", stored.len());
    let after = entry.after.unwrap();
    assert_eq!(after["truncated"]["bytes"], row.to_string().len());
    assert!(after["truncated"]["begins"].as_str().unwrap().starts_with("{\"description\":"));
}

#[test]
fn entries_are_read_as_they_were_written() {
    for n in 1..4 {
        let entry = draft(n).placed(n, UnixMillis(n));
        let (stored, hash) = entry.store(&Hash::NONE);
        let split = StoredEntry::split(&stored).unwrap();
        assert_eq!((split.hash, split.entry().unwrap()), (hash, entry));
    }
}
