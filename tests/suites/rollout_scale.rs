//! Apply Config to many registered phones at once, with `kill -9` in the middle, and the administration's questions
//! over a fleet: the programs behind `make rollout-scale` and `make admin-scale`, small.

use keyline_loadtest::scale::{Plan, RolloutPlan, measure, roll_out};
use keyline_tests::node::binary;

/// The program itself refuses every phone that is judged by the wrong version, forgotten, or not back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r183_r206_a_thousand_phones_are_judged_as_they_were_told_over_kill_9() {
    let plan = RolloutPlan { phones: 1_000, per_second: 500, refresh_per_s: 100 };
    let done = roll_out(&binary(), plan).await.unwrap();
    println!("{done}");
    assert!((400..1_000).contains(&done.told_at_kill), "{}", done.told_at_kill);
    assert!(done.old_before > 0, "nobody refreshed under the old version");
    // What was told and not yet stored is told again: a quarter of a second of the pace, and what was under way.
    assert!(done.told_again < 500, "{} were told twice", done.told_again);
    assert_eq!(done.rollout["phones"]["total"], 1_000);
}

/// It fails when an answer has other rows than the fleet should give.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r175_r176_r178_r186_r189_a_fleet_is_found_in_every_way() {
    let done = measure(&binary(), Plan { phones: 20_000, samples: 4 }, None).await.unwrap();
    println!("{done}");
    assert!(done.queries.len() > 40 && done.save.count == 20);
}
