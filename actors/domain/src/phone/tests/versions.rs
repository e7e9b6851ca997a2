//! Assigned and applied versions.

use super::*;

#[test]
fn r035_r218_assigning_changes_no_verdict_until_it_is_applied() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A)]), &at(0));
    let step = assign(&row, ProfileId(2));
    assert_eq!((&step.outcome, step.write, step.events.len()), (&Outcome::Silent, Write::Put, 0));
    let assigned = step.row.unwrap();
    assert_eq!(assigned.applied, row.applied);
    assert_eq!(assigned.in_grace(t(1)), None);
    assert_eq!(assigned.bindings, row.bindings);
    assert!(assigned.is_pending(ProfileVersion(1)));
    assert_eq!(assign(&assigned, ProfileId(2)), Step::idle());

    let applied = apply(&assigned, version(2, 1), t(10), 120).row.unwrap();
    assert_eq!(applied.applied, version(2, 1));
    assert!(!applied.is_pending(ProfileVersion(1)));
    assert!(applied.is_pending(ProfileVersion(2)), "saved again");
}

#[test]
fn a_registered_phone_is_taken_under_the_old_version_while_the_grace_runs() {
    let mut row = phone();
    let _ = take(&mut row, &request(1, [contact(A)]), &at(0));
    let applied = apply(&row, version(1, 2), t(10), 120).row.unwrap();
    assert_eq!(applied.in_grace(t(10)), Some(version(1, 1)));
    assert_eq!(applied.in_grace(UnixMillis(t(130).0 - 1)), Some(version(1, 1)));
    assert_eq!(applied.in_grace(t(130)), None);
    assert_eq!(Row::decode(&applied.encode()).unwrap().in_grace(t(129)), Some(version(1, 1)), "survives");
    assert_eq!(apply(&applied, version(1, 2), t(11), 120), Step::idle(), "again: nothing");
    let at_once = apply(&row, version(1, 2), t(10), 0).row.unwrap();
    assert_eq!(at_once.in_grace(t(10)), None);
    // A grace that is over leaves the row with the next change of it.
    let mut later = applied;
    let _ = take(&mut later, &request(2, [contact(A)]), &at(200));
    assert_eq!(later.previous, None);
}

#[test]
fn an_unregistered_phone_gets_the_new_version_at_once() {
    let mut row = phone();
    assert_eq!(apply(&row, version(1, 2), t(0), 120).row.unwrap().previous, None);
    let _ = take(&mut row, &request(1, [contact(A).expires(60)]), &at(0));
    assert_eq!(apply(&row, version(1, 2), t(60), 120).row.unwrap().previous, None, "it has ended");
}
