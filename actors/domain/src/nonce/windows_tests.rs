use std::collections::{HashMap, HashSet};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_700_000_000;
const ISSUED: u32 = NOW as u32;

fn nonce(place: u64, issued_s: u32) -> NonceFacts {
    NonceFacts::for_test(place, issued_s)
}

#[test]
fn counts_are_taken_once_in_any_order() {
    let windows = Windows::with_slots(4);
    let n = nonce(77, ISSUED);
    for nc in [1, 3, 2, 64, 5, 65, 40] {
        assert_eq!(windows.use_nc(&n, nc, NOW, 600), NcVerdict::Fresh, "{nc}");
        assert_eq!(windows.use_nc(&n, nc, NOW, 600), NcVerdict::Repeat, "{nc}");
    }
    assert_eq!(windows.use_nc(&n, 0, NOW, 600), NcVerdict::OutOfRange);
    assert_eq!(windows.use_nc(&n, NC_LIMIT, NOW, 600), NcVerdict::OutOfRange);
    assert_eq!(windows.use_nc(&n, NC_LIMIT - 1, NOW, 600), NcVerdict::Fresh);
    assert_eq!(windows.use_nc(&n, NC_LIMIT - 1, NOW, 600), NcVerdict::Repeat);
    assert_eq!(windows.occupied(), 1);
}

#[test]
fn at_least_the_last_64_are_judged_one_by_one() {
    for highest in [64u32, 65, 95, 96, 97, 1000, 4096] {
        let windows = Windows::with_slots(4);
        let n = nonce(9, ISSUED);
        assert_eq!(windows.use_nc(&n, highest, NOW, 600), NcVerdict::Fresh);
        for nc in (highest - NC_WINDOW + 1)..highest {
            assert_eq!(windows.use_nc(&n, nc, NOW, 600), NcVerdict::Fresh, "{nc} after {highest}");
        }
    }
}

#[test]
fn what_left_the_window_is_too_old() {
    let windows = Windows::with_slots(4);
    let n = nonce(9, ISSUED);
    for nc in 1..=1000 {
        assert_eq!(windows.use_nc(&n, nc, NOW, 600), NcVerdict::Fresh);
    }
    for nc in 1..=1000 {
        let verdict = windows.use_nc(&n, nc, NOW, 600);
        assert!(matches!(verdict, NcVerdict::Repeat | NcVerdict::TooOld), "{nc}: {verdict:?}");
    }
    assert_eq!(windows.use_nc(&n, 1, NOW, 600), NcVerdict::TooOld);
}

#[test]
fn the_evicted_owner_is_refused_and_never_starts_over() {
    let windows = Windows::with_slots(4);
    for tag in 1..=4u64 {
        let n = nonce(tag, ISSUED + tag as u32);
        assert_eq!(windows.use_nc(&n, 1, NOW + 10, 600), NcVerdict::Fresh);
    }
    // The fifth, younger one takes the place of the oldest.
    assert_eq!(windows.use_nc(&nonce(5, ISSUED + 9), 1, NOW + 10, 600), NcVerdict::Fresh);
    let first = nonce(1, ISSUED + 1);
    assert_eq!(windows.use_nc(&first, 1, NOW + 10, 600), NcVerdict::Evicted);
    assert_eq!(windows.use_nc(&first, 2, NOW + 10, 600), NcVerdict::Evicted);
    // The others keep their windows, and an unknown one as old as the evicted one is refused too.
    assert_eq!(windows.use_nc(&nonce(2, ISSUED + 2), 1, NOW + 10, 600), NcVerdict::Repeat);
    assert_eq!(windows.use_nc(&nonce(6, ISSUED + 1), 1, NOW + 10, 600), NcVerdict::Evicted);
    // Nobody is pushed out by a nonce that is not younger.
    assert_eq!(windows.use_nc(&nonce(7, ISSUED + 2), 1, NOW + 10, 600), NcVerdict::Evicted);
    assert_eq!(windows.use_nc(&nonce(2, ISSUED + 2), 2, NOW + 10, 600), NcVerdict::Fresh);
}

#[test]
fn expired_owners_go_first() {
    let windows = Windows::with_slots(4);
    // The second is younger than the first, but lives for ten seconds only.
    for (tag, issued, validity) in [(1, 0, 600), (2, 5, 10), (3, 20, 600), (4, 21, 600)] {
        assert_eq!(windows.use_nc(&nonce(tag, ISSUED + issued), 1, NOW + 21, validity), NcVerdict::Fresh);
    }
    assert_eq!(windows.use_nc(&nonce(5, ISSUED + 30), 1, NOW + 30, 600), NcVerdict::Fresh);
    assert_eq!(windows.use_nc(&nonce(1, ISSUED), 2, NOW + 30, 600), NcVerdict::Fresh);
    assert_eq!(windows.use_nc(&nonce(2, ISSUED + 5), 2, NOW + 30, 600), NcVerdict::Evicted);
}

#[test]
fn nonces_that_share_a_tag_are_never_taken_twice() {
    let windows = Windows::with_slots(4);
    // Same lower 16 bits, same (only) set: one window for both, with the younger one's time.
    let (old, young) = (nonce(0x1_0007, ISSUED), nonce(0x2_0007, ISSUED + 50));
    assert_eq!(windows.use_nc(&young, 1, NOW + 50, 600), NcVerdict::Fresh);
    assert_eq!(windows.use_nc(&old, 1, NOW + 50, 600), NcVerdict::Repeat);
    for tag in 1..=3u64 {
        windows.use_nc(&nonce(tag, ISSUED + 10), 1, NOW + 60, 600);
    }
    // The shared slot counts as the younger one's: the others go first.
    for tag in 11..=13u64 {
        assert_eq!(windows.use_nc(&old, 1, NOW + 70, 600), NcVerdict::Repeat);
        let next = nonce(tag, ISSUED + 60 + tag as u32);
        assert_eq!(windows.use_nc(&next, 1, NOW + 80, 600), NcVerdict::Fresh);
    }
    assert_eq!(windows.use_nc(&nonce(14, ISSUED + 80), 1, NOW + 80, 600), NcVerdict::Fresh);
    assert_eq!(windows.use_nc(&young, 1, NOW + 80, 600), NcVerdict::Evicted);
    assert_eq!(windows.use_nc(&old, 2, NOW + 80, 600), NcVerdict::Evicted);
}

#[test]
fn memory_is_flat() {
    let windows = Windows::with_slots(256);
    let before = windows.slots();
    for i in 0..100_000u64 {
        windows.use_nc(&nonce(i.wrapping_mul(0x9e37_79b9_7f4a_7c15), ISSUED + (i / 100) as u32), 1, NOW, 600);
    }
    assert_eq!(windows.slots(), before);
    assert!(windows.occupied() <= before);
    assert_eq!(windows.bytes(), before * 36);
    assert_eq!(Windows::for_phones(10).slots(), SLOTS_MIN);
    assert_eq!(Windows::for_phones(500_000).slots(), 1_000_000);
}

/// All threads use the same nonces and counts: each pair must be taken at most once over all threads, and
/// exactly once while no slot is contended.
fn race(windows: &Windows, nonces: u64, counts: u32, threads: usize) -> HashMap<(u64, u32), usize> {
    let barrier = Barrier::new(threads);
    let taken: Vec<Vec<(u64, u32)>> = std::thread::scope(|scope| {
        let run = |thread: usize| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let mut taken = Vec::new();
                for nc in 1..=counts {
                    for i in 0..nonces {
                        // Every thread its own order, so that they meet everywhere.
                        let i = if thread.is_multiple_of(2) { i } else { nonces - 1 - i };
                        let n = nonce(i.wrapping_mul(0x9e37_79b9_7f4a_7c15), ISSUED + i as u32);
                        if windows.use_nc(&n, nc, NOW, 600) == NcVerdict::Fresh {
                            taken.push((i, nc));
                        }
                    }
                }
                taken
            })
        };
        let handles: Vec<_> = (0..threads).map(run).collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    let mut times = HashMap::new();
    for pair in taken.into_iter().flatten() {
        *times.entry(pair).or_insert(0) += 1;
    }
    times
}

#[test]
fn of_two_threads_exactly_one_wins() {
    let windows = Windows::with_slots(4096);
    let times = race(&windows, 40, 300, 4);
    assert_eq!(times.len(), 40 * 300);
    assert!(times.values().all(|t| *t == 1));
}

#[test]
fn under_eviction_nobody_wins_twice() {
    for _ in 0..10 {
        let windows = Windows::with_slots(8);
        let times = race(&windows, 64, 20, 4);
        let twice: Vec<_> = times.iter().filter(|(_, t)| **t > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
        assert!(!times.is_empty());
    }
}

#[test]
fn first_claims_of_one_nonce_meet_in_one_slot() {
    for round in 0..2000u64 {
        let windows = Windows::with_slots(4);
        let fresh = AtomicUsize::new(0);
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    barrier.wait();
                    if windows.use_nc(&nonce(round, ISSUED), 1, NOW, 600) == NcVerdict::Fresh {
                        fresh.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!((fresh.load(Ordering::Relaxed), windows.occupied()), (1, 1));
    }
}

proptest! {
    /// Against the plainest model: whatever was taken once is never taken again, and as long as the set
    /// is not full every count inside the window is taken the first time.
    #[test]
    fn never_twice(uses in prop::collection::vec((0u64..12, 1u32..200, 0u64..60), 1..300)) {
        let windows = Windows::with_slots(4);
        let mut taken = HashSet::new();
        for (i, nc, later) in uses {
            // One nonce has one issue time.
            let n = nonce(i + 1, ISSUED + 3 * i as u32);
            let verdict = windows.use_nc(&n, nc, NOW + later, 30);
            if verdict == NcVerdict::Fresh {
                prop_assert!(taken.insert((i, nc)), "({i}, {nc}) twice");
            }
            if verdict == NcVerdict::Repeat {
                prop_assert!(taken.contains(&(i, nc)), "({i}, {nc}) never before");
            }
        }
    }

    #[test]
    fn undisturbed_windows_take_all(mut counts in prop::collection::vec(1u32..64, 1..64)) {
        let windows = Windows::with_slots(4);
        let n = nonce(3, ISSUED);
        let mut taken = HashSet::new();
        counts.push(63);
        for nc in counts {
            let want = if taken.insert(nc) { NcVerdict::Fresh } else { NcVerdict::Repeat };
            prop_assert_eq!(windows.use_nc(&n, nc, NOW, 600), want);
        }
    }
}

/// A fleet with half as many phones as slots, each of which was challenged and answered once, then comes back in
/// the same order under the nonces that it has: whoever registered first has the oldest one.
#[test]
fn a_whole_fleet_keeps_its_nonces() {
    const PHONES: u32 = 40_000;
    let keys = NonceKeys::new(NonceKey::new(1, &[7; NONCE_SECRET_LEN]), None);
    let windows = Windows::with_slots(2 * PHONES as usize);
    let mut random = 0x1234_5678_u64;
    let issued = |n: u32| UnixMillis((NOW + u64::from(n / 1000)) * 1000);
    let mut lost = 0;
    let nonces: Vec<NonceFacts> = (0..PHONES)
        .map(|n| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let now = issued(n);
            let id = windows.roomier(random ^ random >> 29, &keys, now.0 / 1000);
            let nonce = open(mint(id, 1, AlgorithmSet::all(), now, &keys).as_str(), &keys).unwrap();
            // Two of 65,536 tags may be the same.
            lost += usize::from(windows.use_nc(&nonce, 1, now.0 / 1000, 3600) != NcVerdict::Fresh);
            nonce
        })
        .collect();
    lost += nonces.iter().filter(|n| windows.use_nc(n, 2, NOW + 100, 3600) != NcVerdict::Fresh).count();
    // Placed by chance alone some 1,500 are lost.
    assert!(lost <= 20, "{lost} of {PHONES} lost their windows");
}

#[test]
fn room_is_where_nobody_lives() {
    let keys = NonceKeys::new(NonceKey::new(1, &[7; NONCE_SECRET_LEN]), None);
    let windows = Windows::with_slots(8);
    let set = |id: u64| windows.set_of(keys.current.place(id));
    let other = |id: u64| id ^ super::windows::OTHER;
    let id = (0..).find(|id| set(*id) != set(other(*id))).unwrap();
    let fact =
        |id| open(mint(id, 1, AlgorithmSet::all(), UnixMillis(NOW * 1000), &keys).as_str(), &keys).unwrap();
    // Two of the four slots of its set are taken by nonces that live until NOW + 600.
    for taken in (1_000..).filter(|n| set(*n) == set(id)).take(2) {
        assert_eq!(windows.roomier(id, &keys, NOW), id);
        assert_eq!(windows.use_nc(&fact(taken), 1, NOW, 600), NcVerdict::Fresh);
    }
    assert_eq!(windows.roomier(id, &keys, NOW), other(id));
    assert_eq!(windows.roomier(id, &keys, NOW + 601), id, "those have expired");
}
