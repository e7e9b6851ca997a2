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
    assert!(assigned.is_pending(version(2, 1), t(1)));
    assert_eq!(assign(&assigned, ProfileId(2)), Step::idle());

    let applied = apply(&assigned, version(2, 1), t(10), 120).row.unwrap();
    assert_eq!(applied.applied, version(2, 1));
    assert!(!applied.is_pending(version(2, 1), t(11)));
    assert!(applied.is_pending(version(2, 2), t(11)), "saved again");
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

#[test]
fn r183_a_phone_with_nothing_registered_is_judged_by_what_is_saved_and_never_waits() {
    let mut row = phone();
    assert_eq!(row.judged_by(version(1, 7), t(0)), version(1, 7));
    assert!(!row.is_pending(version(1, 7), t(0)));
    assert_eq!(row.versions().count(), 0);
    let _ = take(&mut row, &request(1, [contact(A).expires(60)]), &at(0));
    assert_eq!(row.judged_by(version(1, 7), t(59)), version(1, 1));
    assert!(row.is_pending(version(1, 7), t(59)));
    assert_eq!(row.versions().collect::<Vec<_>>(), [version(1, 1)]);
    assert_eq!(row.judged_by(version(2, 3), t(60)), version(2, 3), "its time is up");
}

#[test]
fn a_register_takes_over_what_it_was_judged_by_only_while_nothing_is_registered() {
    let mut row = phone();
    let adopted = adopt(&row, version(2, 3), t(0)).into_owned();
    assert_eq!((adopted.assigned, adopted.applied), (ProfileId(2), version(2, 3)));
    assert!(matches!(adopt(&row, version(1, 1), t(0)), std::borrow::Cow::Borrowed(_)));
    let _ = take(&mut row, &request(1, [contact(A).expires(60)]), &at(0));
    assert_eq!(adopt(&row, version(2, 3), t(59)).applied, version(1, 1));
    assert_eq!(adopt(&row, version(2, 3), t(60)).applied, version(2, 3));
    // A phone that starts anew within the grace is still taken under the old version.
    let applied = apply(&row, version(1, 2), t(10), 120).row.unwrap();
    let back = adopt(&applied, version(1, 3), t(60)).into_owned();
    assert_eq!((back.applied, back.in_grace(t(61))), (version(1, 3), Some(version(1, 1))));
    assert_eq!(applied.versions().collect::<Vec<_>>(), [version(1, 2), version(1, 1)]);
}
