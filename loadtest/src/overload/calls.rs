//! Too many calls: whole ones, INVITE, 407, INVITE, ringing, answer, BYE.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::{Fault, Measured, ORDINARY, ORDINARY_MS, Outcome, Plan, RECOVERY_S, SLOWER, Site, TIMES, stage};
use crate::inventory;
use crate::load::users::User;
use crate::load::{Amount, CallPlan, Carrier, Fleet, Job, Options, Span, Tally, Target};

/// Phones; a third of them, in pairs, has the ordinary calls after an overload.
pub(super) const PHONES: u32 = 6_000;
const ORDINARY_PHONES: u32 = 2_000;
/// Calls at a time while the capacity is measured.
const WINDOW: u64 = 64;
/// Seconds of ordinary calls that are judged together.
const PIECE_S: f64 = 0.25;
/// A caller gives up after that time.
const PATIENCE: Duration = Duration::from_secs(4);
const CALL: Job =
    Job::Call(CallPlan { hold: Duration::ZERO, ring: Duration::ZERO, busy: 0, cancel: 0, b2bua: false });

fn fleet(site: &Site, range: std::ops::Range<u32>, source: u8) -> Result<Fleet, Fault> {
    let target = Target { carrier: Carrier::Udp, address: site.address };
    let own = (1..=8).map(|n| Ipv4Addr::new(127, 0, source, n).into()).collect();
    let mut options = Options::new(target, own);
    options.window = u64::from(u32::MAX);
    options.challenge_calls = true;
    options.timeout = PATIENCE;
    let mut fleet = Fleet::open(range.map(|n| User::from(inventory::nth(1, n))).collect(), options)?;
    let phones = fleet.len() as u64;
    let registered = fleet.run(&Job::Register, amount(2_000.0, phones as f64 / 2_000.0));
    if registered.good != phones {
        return Err(format!("the phones do not register: {registered:?}").into());
    }
    Ok(fleet)
}

fn amount(rate: f64, seconds: f64) -> Amount {
    Amount { count: ((rate * seconds) as u64).max(1), rate, ramp: Duration::ZERO }
}

fn p99_ms(tally: &Tally) -> f64 {
    tally.span(Span::Operation).map_or(0.0, |times| times.value_at_quantile(0.99) as f64 / 1_000.0)
}

pub(super) fn measure(site: Site, plan: Plan) -> Result<Measured, Fault> {
    let mut many = fleet(&site, 0..PHONES - ORDINARY_PHONES, 1)?;
    let mut few = fleet(&site, PHONES - ORDINARY_PHONES..PHONES, 2)?;
    // As many as take about the time.
    let mut capacity = 1_000.0;
    for share in [0.2, 0.3, 1.0] {
        let count = ((capacity * plan.seconds * share) as u64).max(200);
        let tally = many.run_within(&CALL, Amount { count, rate: 0.0, ramp: Duration::ZERO }, Some(WINDOW));
        if tally.failed > 0 {
            return Err(format!("calls fail in a closed loop: {tally:?}").into());
        }
        capacity = tally.good as f64 / tally.elapsed.as_secs_f64();
    }
    let rate = capacity * ORDINARY;
    few.run(&CALL, amount(rate, plan.seconds / 2.0));
    let before = p99_ms(&few.run(&CALL, amount(rate, plan.seconds / 2.0)));
    eprintln!("calls: {capacity:.0}/s; at half of it 99 % within {before:.1} ms");
    let limit = (before * SLOWER).max(ORDINARY_MS);
    let mut stages = Vec::new();
    for times in TIMES {
        let dropped = site.dropped()?;
        let begun = Instant::now();
        let over = begun + Duration::from_secs_f64(plan.seconds);
        // Callers of the overload that were not served go on trying after its end, beside the ordinary ones.
        let (callers, load) = (&mut many, amount(capacity * times, plan.seconds));
        let (tally, recovery_s) = std::thread::scope(|scope| {
            let flood = scope.spawn(move || callers.run(&CALL, load));
            std::thread::sleep(over.saturating_duration_since(Instant::now()));
            let recovered = recovery(&mut few, rate, limit, over);
            (flood.join().unwrap_or_default(), recovered)
        });
        let after = site.dropped()?;
        let seconds = tally.timeline.seconds();
        let within = |of: fn(&crate::load::Second) -> u64| -> f64 {
            let whole = seconds.iter().take(plan.seconds as usize);
            whole.map(of).sum::<u64>() as f64 / plan.seconds.floor().max(1.0)
        };
        let mut retry_after = [0; 61];
        for (seconds, count) in &tally.retry_after {
            retry_after[(*seconds).min(60) as usize] += count;
        }
        let outcome = Outcome { p99_ms: p99_ms(&tally), admitted_p99_ms: None, retry_after, recovery_s };
        let offered = within(|s| s.begun);
        // Those of the patience after the end are repetitions too.
        let requests = offered + tally.repeated as f64 / (plan.seconds + PATIENCE.as_secs_f64());
        let per_s = [offered, requests, within(|s| s.good)];
        stages.push(stage(times, capacity, per_s, &outcome, [dropped, after]));
    }
    site.stop()?;
    Ok(Measured { operation: "call (407)", capacity_per_s: capacity, ordinary_p99_ms: before, stages })
}

/// Offers ordinary calls until a piece of them goes well in ordinary time; gives the seconds from the end of the
/// overload to the beginning of that piece.
fn recovery(fleet: &mut Fleet, rate: f64, limit_ms: f64, over: Instant) -> Option<f64> {
    while over.elapsed().as_secs_f64() < 2.0 * RECOVERY_S {
        let at = over.elapsed().as_secs_f64();
        let tally = fleet.run(&CALL, amount(rate, PIECE_S));
        if tally.failed == 0 && p99_ms(&tally) <= limit_ms {
            return Some(at);
        }
    }
    None
}
