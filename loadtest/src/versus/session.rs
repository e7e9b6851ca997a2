//! One server over one transport: all its rows.

use std::path::Path;
use std::time::Duration;

use super::contender::{Contender, Running, start};
use super::{Fault, Figure, Plan, Row};
use crate::load::users::User;
use crate::load::{
    Amount, CallPlan, Carrier, Certificates, Fleet, Job, Options, Process, Tally, Target, TlsSetup,
    own_addresses,
};
use crate::tls::TlsOptions;

/// Own addresses of phones over UDP: load of many sources.
const SOURCES: usize = 16;
/// Calls at a time.
const CALLS_OPEN: u64 = 64;
/// Connections that are being made at a time.
const CONNECTING: u64 = 32;
/// A row with a larger share of failures is none.
const FAILED_MAX: f64 = 0.01;
/// Seconds of a row at part load.
const PART_S: f64 = 4.0;

type Measured = Result<Figure, String>;
type Rows = Vec<(Row, Measured, Measured)>;

/// What is done, in the order in which it is done.
const OPERATIONS: [(&str, Job); 4] = [
    ("REGISTER (401 + 200)", Job::Register),
    ("refresh", Job::Refresh),
    ("OPTIONS", Job::Options),
    ("call with 407", Job::Call(CALLS)),
];
const CALLS: CallPlan =
    CallPlan { hold: Duration::ZERO, ring: Duration::ZERO, busy: 0, cancel: 0, b2bua: false };

/// Measures all rows; what fails says why.
pub(super) fn measure(keyline: &Path, folder: &Path, plan: &Plan, carrier: Carrier, who: Contender) -> Rows {
    let first = match carrier {
        Carrier::Udp => 0,
        Carrier::Tcp => OPERATIONS.len(),
        Carrier::Tls => 2 * OPERATIONS.len(),
    };
    let row = |place: usize| Row {
        place: (first + place) as u8,
        transport: carrier.via(),
        operation: OPERATIONS[place].0,
    };
    let places = || (0..OPERATIONS.len()).filter(|place| carrier == Carrier::Udp || *place != 2);
    let (busy, part) = match both(keyline, folder, plan, carrier, who) {
        Ok(both) => both,
        Err(e) => {
            let why = e.to_string();
            return places().map(|place| (row(place), Err(why.clone()), Err(why.clone()))).collect();
        }
    };
    places().map(|place| (row(place), busy[place].clone(), part[place].clone())).collect()
}

type Four = [Measured; 4];

fn both(
    keyline: &Path,
    folder: &Path,
    plan: &Plan,
    carrier: Carrier,
    who: Contender,
) -> Result<(Four, Four), Fault> {
    let phones = if carrier == Carrier::Udp { plan.phones } else { plan.stream_phones }.next_multiple_of(2);
    let few = ((plan.part_rate * PART_S) as u32).clamp(2, phones).next_multiple_of(2);
    let mut running = start(who, keyline, folder, carrier, phones + few)?;
    let mut users = std::mem::take(&mut running.users);
    let rest = users.split_off(phones as usize);
    let mut busy = Session::open(&running, carrier, users, plan.window)?;
    let saturated = busy.all(plan.calls, 0.0);
    // The phones before stay where they are: to close their connections is no part of these rows.
    let part = Session::open(&running, carrier, rest, u64::from(u32::MAX))?.all(0, plan.part_rate);
    Ok((saturated, part))
}

struct Session {
    fleet: Fleet,
    process: Process,
    carrier: Carrier,
}

impl Session {
    fn open(running: &Running, carrier: Carrier, users: Vec<User>, window: u64) -> Result<Session, Fault> {
        let target = Target { carrier, address: running.address };
        let connections = if carrier == Carrier::Udp { SOURCES * 10_000 } else { users.len() };
        let mut options = Options::new(target, own_addresses(running.address, connections)?);
        options.window = window;
        options.challenge_calls = true;
        options.timeout = Duration::from_secs(10);
        if carrier == Carrier::Tls {
            let tls = TlsOptions::trusting(running.roots.clone());
            options.tls = Some(TlsSetup::new(tls, Certificates::None, false));
        }
        Ok(Session { fleet: Fleet::open(users, options)?, process: running.process, carrier })
    }

    /// At a rate, or in a closed loop where there is none.
    fn all(&mut self, calls: u64, rate: f64) -> Four {
        let phones = self.fleet.len() as u64;
        if self.carrier != Carrier::Udp {
            // Connections are made first, and are no part of any row.
            let connected = self.fleet.run_within(&Job::Options, amount(phones, 0.0), Some(CONNECTING));
            if self.fleet.connected() < phones {
                let why =
                    format!("only {} of {phones} connections stand: {connected:?}", self.fleet.connected());
                return std::array::from_fn(|_| Err(why.clone()));
            }
        }
        std::array::from_fn(|place| {
            let job = &OPERATIONS[place].1;
            let (count, rate) = match (job, rate > 0.0) {
                // Those that a phone does once a minute, in the time of those that it does all the time.
                (Job::Call(_), true) => ((rate / 10.0 * PART_S) as u64, rate / 10.0),
                (Job::Call(_), false) => (calls, 0.0),
                (Job::Register, _) => (phones, rate),
                (_, true) => ((rate * PART_S) as u64, rate),
                (_, false) => (2 * phones, 0.0),
            };
            if place == 2 && self.carrier != Carrier::Udp {
                return Err("not measured".into());
            }
            let open = matches!(job, Job::Call(_)).then_some(CALLS_OPEN);
            self.one(job, amount(count, rate), open).map_err(|e| e.to_string())
        })
    }

    fn one(&mut self, job: &Job, amount: Amount, open: Option<u64>) -> Result<Figure, Fault> {
        let before = (self.process.cpu_of_family()?, self.process.waited_of_family());
        let tally = self.fleet.run_within(job, amount, open);
        let cpu = self.process.cpu_of_family()?.saturating_sub(before.0);
        figure(&tally, cpu, self.process.waited_of_family().saturating_sub(before.1))
    }
}

fn figure(tally: &Tally, cpu: Duration, waited: Duration) -> Result<Figure, Fault> {
    let (elapsed, begun) = (tally.elapsed.as_secs_f64().max(1e-9), tally.begun.max(1) as f64);
    let failed = (begun - tally.good as f64).max(0.0) / begun;
    if failed > FAILED_MAX {
        return Err(format!("{:.1} % failed: {tally:?}", 100.0 * failed).into());
    }
    Ok(Figure {
        us: cpu.as_secs_f64() * 1e6 / tally.good.max(1) as f64,
        per_s: tally.good as f64 / elapsed,
        // Several threads may wait at a time.
        busy: ((cpu + waited).as_secs_f64() / elapsed).min(1.0),
        failed,
    })
}

fn amount(count: u64, rate: f64) -> Amount {
    Amount { count, rate, ramp: Duration::ZERO }
}
