//! Pace, gate, states, and what counts as back.

use proptest::prelude::*;

use super::*;
use crate::flow::Flow;
use crate::ids::{DeviceName, Dn, ProfileId, ProfileVersion, UnixMillis};
use crate::phone::{AppliedVersion, Binding, ContactKey, Origin, Peer, Row};

fn at(ms: u64) -> UnixMillis {
    UnixMillis(1_760_000_000_000 + ms)
}

fn name(n: u64) -> DeviceName {
    DeviceName::parse(&format!("SEP{n:012X}")).unwrap()
}

fn rollout(total: u64, gate: Gate) -> Rollout {
    Rollout {
        id: RolloutId(1),
        applied: AppliedVersion { profile: ProfileId(1), version: ProfileVersion(2) },
        profile_name: "p".into(),
        order: Order::Apply,
        per_second: 100,
        gate,
        chosen: false,
        by: "test".into(),
        started: at(0),
        ended: None,
        state: RolloutState::Running,
        reason: None,
        cursor: None,
        walked: false,
        deferred: Vec::new(),
        counts: Counts { total, ..Counts::default() },
        failures: Failures::default(),
        failed_phones: Vec::new(),
        gate_from: (0, 0),
    }
}

proptest! {
    /// However the ticks fall, no second sees more phones than its budget and the one saved up before, and a
    /// steady clock gets the whole budget.
    #[test]
    fn r184_the_pace_is_kept(per_second in 1u32..5000, gaps in prop::collection::vec(0u64..3000, 1..60)) {
        let mut pace = Pace::new(per_second, at(0));
        let (mut now, mut spent) = (0, Vec::new());
        for gap in gaps {
            now += gap;
            let budget = pace.budget(at(now));
            pace.spend(budget);
            spent.push((now, budget as u64));
        }
        for (i, (from, _)) in spent.iter().enumerate() {
            let second: u64 =
                spent[i..].iter().take_while(|(t, _)| *t < from + 1000).map(|(_, n)| n).sum();
            prop_assert!(second <= 2 * u64::from(per_second), "{second} in a second from {from}");
        }
        let total: u64 = spent.iter().map(|(_, n)| n).sum();
        prop_assert!(total * 1000 <= now * u64::from(per_second));
    }

    /// The gate closes exactly when more than the given share of those tried failed, and enough were tried.
    #[test]
    fn the_gate_closes_at_its_share(
        percent in 0u8..=100,
        least in 0u32..30,
        outcomes in prop::collection::vec(prop::option::weighted(0.8, prop::bool::weighted(0.2)), 0..80),
    ) {
        let gate = Gate { failed_percent: percent, of_at_least: least, window_s: 10 };
        let mut r = rollout(1000, gate);
        let (mut tried, mut failed) = (0u64, 0u64);
        for outcome in outcomes {
            if r.state != RolloutState::Running {
                break;
            }
            let closes = match outcome {
                None => {
                    r.counts.unregistered += 1;
                    false
                }
                Some(fails) => {
                    r.counts.signalled += 1;
                    tried += 1;
                    if fails {
                        failed += 1;
                        r.failed(&name(tried), Failure::Silent)
                    } else {
                        r.confirmed();
                        false
                    }
                }
            };
            // Only a failure can close it.
            let over = matches!(outcome, Some(true)) && tried >= u64::from(least)
                && failed * 100 > tried * u64::from(percent);
            prop_assert_eq!(closes, over);
            prop_assert_eq!(r.state == RolloutState::Gated, over);
            prop_assert_eq!(r.left() + r.counts.reached(&r.failures), 1000);
            prop_assert_eq!(r.waiting(), 0);
        }
    }
}

#[test]
fn a_pace_that_rested_does_not_hurry() {
    let mut pace = Pace::new(10, at(0));
    assert_eq!(pace.budget(at(100)), 1);
    pace.spend(1);
    assert_eq!(pace.budget(at(60_000)), 10);
    pace.rest(at(60_000));
    assert_eq!(pace.budget(at(60_050)), 0);
    assert_eq!(pace.budget(at(0)), 0, "the clock went back");
}

#[test]
fn after_a_resume_the_gate_counts_anew() {
    let mut r = rollout(100, Gate { failed_percent: 50, of_at_least: 4, window_s: 1 });
    r.counts.signalled = 4;
    assert!(!r.failed(&name(1), Failure::Silent));
    assert!(!r.failed(&name(2), Failure::NotBack));
    assert!(r.failed(&name(3), Failure::RegistrationRefused));
    assert!(r.reason.as_deref().unwrap().contains("3 of 4"));
    assert_eq!((r.pause(), r.failed_phones.len()), (Err(NotNow::Is(RolloutState::Gated)), 3));
    r.resume().unwrap();
    assert_eq!((r.state, r.reason.clone()), (RolloutState::Running, None));
    assert!(!r.failed(&name(4), Failure::Unreachable), "one of one, but four are needed");
}

#[test]
fn orders_are_taken_in_the_states_that_they_fit() {
    let mut r = rollout(2, Gate::default());
    assert_eq!(r.resume(), Err(NotNow::Is(RolloutState::Running)));
    r.pause().unwrap();
    assert_eq!(r.pause(), Err(NotNow::Is(RolloutState::Paused)));
    r.resume().unwrap();
    r.counts.signalled = 2;
    r.walked = true;
    assert!(!r.finish_if_done(at(1)), "two are waited for");
    r.recovered();
    assert_eq!(r.counts.unknown, 2);
    assert!(r.finish_if_done(at(2)));
    assert_eq!((r.state, r.ended), (RolloutState::Finished, Some(at(2))));
    for refused in [r.pause(), r.resume(), r.stop(at(3))] {
        assert_eq!(refused, Err(NotNow::Ended(RolloutState::Finished)));
    }
    let mut other = rollout(2, Gate::default());
    other.stop(at(4)).unwrap();
    assert_eq!((other.state, other.left()), (RolloutState::Stopped, 2));
    other.hold("fault");
    assert_eq!(other.state, RolloutState::Stopped);
}

fn row(cseq: u32, lost: bool) -> Row {
    let flow = match lost {
        false => {
            Flow::Udp { local: "127.0.0.1:5060".parse().unwrap(), remote: "127.0.0.1:9".parse().unwrap() }
        }
        true => Flow::Lost { transport: crate::mode::Transport::Tcp, remote: "127.0.0.1:9".parse().unwrap() },
    };
    let origin = Origin {
        call_id: "c".into(),
        cseq,
        nonce: None,
        flow,
        peer: Peer::default(),
        path: Default::default(),
    };
    let mut row = Row::new(AppliedVersion { profile: ProfileId(1), version: ProfileVersion(1) });
    row.bindings.push(Binding {
        line: Dn::parse("1001").unwrap(),
        contact: "sip:1001@127.0.0.1:9".into(),
        key: ContactKey::of("x"),
        instance: None,
        reg_id: None,
        q: None,
        model: None,
        fresh: false,
        granted_until: at(60_000),
        persisted_until: at(60_000),
        origin,
    });
    row
}

#[test]
fn a_phone_is_back_when_it_answered_and_registered_again() {
    let before = row(1, false);
    let back = Back { mark: Mark::of(&before), until: at(10_000), answered: true };
    let silent = Back { answered: false, ..back };
    let now = at(1000);
    for (shown, again) in [(&before, false), (&row(2, false), true), (&row(2, true), false)] {
        assert_eq!(back.is_back(Some(shown), now), again);
        assert_eq!(back.is_back_at_last(Order::Reset, Some(shown), now), again);
        assert!(!silent.is_back(Some(shown), now));
        assert!(!silent.is_back_at_last(Order::Apply, Some(shown), now));
    }
    // What it was told may be nothing new to it.
    assert!(back.is_back_at_last(Order::Apply, Some(&before), now));
    assert!(!back.is_back_at_last(Order::Apply, Some(&row(2, true)), now));
    assert!(!back.is_back_at_last(Order::Apply, Some(&row(2, false)), at(60_000)), "its time is up");
    assert!(!back.is_back_at_last(Order::Apply, None, now));
}

#[test]
fn a_roll_out_survives_its_stored_form() {
    let mut r = rollout(7, Gate::default());
    r.cursor = Some(name(3));
    r.deferred.push(name(2));
    r.counts.signalled = 1;
    r.failed(&name(1), Failure::NotStored);
    let text = serde_json::to_vec(&r).unwrap();
    assert_eq!(serde_json::from_slice::<Rollout>(&text).unwrap(), r);
}

#[test]
fn what_ran_in_a_restored_backup_is_held_with_a_reason_and_what_stood_still_is_as_it_was() {
    for state in RolloutState::ALL {
        let mut r = rollout(10, Gate::default());
        r.state = state;
        let before = r.clone();
        let held = r.restored();
        assert_eq!(held, state == RolloutState::Running, "{state:?}");
        if held {
            assert_eq!(r.state, RolloutState::Paused);
            assert!(r.reason.as_deref().is_some_and(|why| why.contains("backup")));
            r.resume().unwrap();
            assert_eq!(r, Rollout { gate_from: r.gate_from, ..before });
        } else {
            assert_eq!(r, before);
        }
    }
}
