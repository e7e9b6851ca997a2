//! The loop of one generator thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keyline_wire::sip::Message;
use nix::time::{ClockId, clock_gettime};

use super::core::{Core, Fired, Received};
use super::links::{Arrival, Inbox};
use super::scenario::Scenario;
use super::tally::Tally;
use crate::pace::Pace;

/// Begun in one go before answers are looked at.
const BATCH: u64 = 64;
/// Longest wait for sockets.
const WAIT_MAX: u64 = 250_000;

/// What other threads may see of a run.
#[derive(Debug, Default)]
pub struct Progress {
    /// Operations begun.
    pub begun: AtomicU64,
    /// Operations that went well.
    pub good: AtomicU64,
    /// Operations that failed.
    pub failed: AtomicU64,
}

/// One phase of one thread.
pub(super) struct Phase<'p> {
    pub pace: Pace,
    pub count: u64,
    /// Goes on serving phones until then, microseconds of the core's clock.
    pub until: u64,
    /// Operations that are open at a time at most; `u64::MAX`: any number.
    pub window: u64,
    pub progress: &'p Arc<Progress>,
}

/// Runs a scenario until all its operations are over; gives what it counted.
pub(super) fn run(core: &mut Core, scenario: &mut impl Scenario, phase: &Phase<'_>) -> Tally {
    core.silence();
    let start = core.clock();
    let cpu = thread_cpu();
    let (mut inbox, mut next, mut shown) = (Inbox::default(), 0, (0, 0, 0));
    // Without a rate and with a window the loop is closed: an operation is meant to begin when there is room.
    let closed = phase.window != u64::MAX && phase.pace.length().is_zero();
    loop {
        let now = core.clock();
        let counts = core.tally.counts();
        core.tally.timeline.turn(now - start, counts);
        let room = BATCH.min(phase.window.saturating_sub(scenario.open()));
        let due = phase.pace.due(Duration::from_micros(now - start)).min(phase.count).min(next + room);
        while next < due {
            let now = core.clock();
            core.tally.begun += 1;
            let intended = start + phase.pace.at(next).as_micros() as u64;
            scenario.begin(core, next, if closed { now } else { intended });
            next += 1;
        }
        core.clock();
        timers(core, scenario);
        if next >= phase.count && scenario.open() == 0 && core.now >= phase.until {
            break;
        }
        let begin = (next < phase.count && scenario.open() < phase.window)
            .then(|| start + phase.pace.at(next).as_micros() as u64);
        let until = begin.into_iter().chain(core.next_timer()).min().unwrap_or(u64::MAX);
        let now = core.clock();
        let wait = until.saturating_sub(now).min(WAIT_MAX);
        inbox.clear();
        core.links.receive(now, Duration::from_micros(wait), &mut inbox);
        core.clock();
        for (link, arrival) in inbox.iter() {
            deliver(core, scenario, link, arrival);
        }
        publish(core, phase.progress, &mut shown);
    }
    scenario.end(core);
    publish(core, phase.progress, &mut shown);
    let counts = core.tally.counts();
    core.tally.timeline.settle(counts);
    core.tally.cpu_us = thread_cpu().saturating_sub(cpu);
    std::mem::take(&mut core.tally)
}

fn timers(core: &mut Core, scenario: &mut impl Scenario) {
    while let Some(fired) = core.fire() {
        match fired {
            Fired::Nothing => {}
            Fired::TimedOut(purpose) => scenario.gone(core, purpose),
            Fired::Scenario(id) => scenario.alarm(core, id),
        }
    }
}

fn deliver(core: &mut Core, scenario: &mut impl Scenario, link: u32, arrival: Arrival<'_>) {
    let bytes = match arrival {
        Arrival::Message(bytes) => bytes,
        Arrival::Pong => return scenario.pong(core, link),
        Arrival::Opened(opened) => return scenario.opened(core, link, opened),
        Arrival::Lost(why) => return scenario.lost(core, link, why),
    };
    core.tally.received += 1;
    let Ok(message) = Message::parse(bytes) else {
        core.tally.outcome("unreadable");
        return;
    };
    if !message.is_request() {
        match core.match_response(&message) {
            Received::Heard(heard) => scenario.heard(core, &heard, &message),
            Received::Stray => scenario.stray(core, &message),
            Received::Absorbed => {}
        }
        return;
    }
    let number = message.request_uri().and_then(user_of);
    let phone = number.and_then(|number| core.phone_of(number));
    match phone {
        Some(phone) => scenario.asked(core, phone, &message),
        None => core.tally.outcome("request_for_nobody"),
    }
}

/// User part of a SIP URI.
fn user_of(uri: &str) -> Option<&str> {
    let rest = uri.strip_prefix("sip:").or_else(|| uri.strip_prefix("sips:"))?;
    Some(rest.split_once('@')?.0)
}

fn publish(core: &Core, progress: &Progress, shown: &mut (u64, u64, u64)) {
    let Tally { begun, good, failed, .. } = core.tally;
    progress.begun.fetch_add(begun - shown.0, Ordering::Relaxed);
    progress.good.fetch_add(good - shown.1, Ordering::Relaxed);
    progress.failed.fetch_add(failed - shown.2, Ordering::Relaxed);
    *shown = (begun, good, failed);
}

/// Processor time of this thread, microseconds.
fn thread_cpu() -> u64 {
    let Ok(time) = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID) else { return 0 };
    time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_processor_time_is_counted() {
        let before = thread_cpu();
        let work = (0..2_000_000_u64).fold(1, |sum, n| std::hint::black_box(sum ^ (n << 1)));
        assert!(work > 0 && thread_cpu() > before);
        assert_eq!((user_of("sip:12@h:1"), user_of("sip:h")), (Some("12"), None));
    }
}
