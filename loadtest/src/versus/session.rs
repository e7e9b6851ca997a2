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
/// Handshakes of the row at saturation, and how many are under way at a time.
const HANDSHAKES: u64 = 2_000;
const HANDSHAKES_OPEN: u64 = 64;

type Measured = Result<Figure, String>;
/// Rows, and bytes by what they are for.
type Rows = (Vec<(Row, Measured, Measured)>, Vec<(&'static str, f64)>);

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
    let all = match all(keyline, folder, plan, carrier, who) {
        Ok(all) => all,
        Err(e) => {
            let why = e.to_string();
            return (
                places().map(|place| (row(place), Err(why.clone()), Err(why.clone()))).collect(),
                Vec::new(),
            );
        }
    };
    let mut rows: Vec<_> =
        places().map(|place| (row(place), all.busy[place].clone(), all.part[place].clone())).collect();
    if let Some((busy, part)) = all.handshakes {
        let place = (3 * OPERATIONS.len()) as u8;
        rows.push((Row { place, transport: "TLS", operation: "handshake (TLS 1.3)" }, busy, part));
    }
    (rows, all.memory)
}

type Four = [Measured; 4];

struct All {
    busy: Four,
    part: Four,
    /// Over TLS.
    handshakes: Option<(Measured, Measured)>,
    memory: Vec<(&'static str, f64)>,
}

fn all(keyline: &Path, folder: &Path, plan: &Plan, carrier: Carrier, who: Contender) -> Result<All, Fault> {
    let phones = if carrier == Carrier::Udp { plan.phones } else { plan.stream_phones }.next_multiple_of(2);
    let few = ((plan.part_rate * plan.part_s) as u32).clamp(2, phones).next_multiple_of(2);
    let mut running = start(who, keyline, folder, carrier, phones + few)?;
    let mut users = std::mem::take(&mut running.users);
    let rest = users.split_off(phones as usize);
    let mut session = Session::open(&running, carrier, users, plan)?;
    let handshakes = (carrier == Carrier::Tls).then(|| session.handshakes(plan));
    let before = running.process.memory_of_family();
    let mut memory = Vec::new();
    let mut note = |what, process: Process, phones: u32| {
        let more = process.memory_of_family().saturating_sub(before);
        memory.push((what, more as f64 / f64::from(phones)));
    };
    if carrier != Carrier::Udp {
        session.connect()?;
        note(
            if carrier == Carrier::Tls { "idle TLS phone" } else { "idle TCP phone" },
            running.process,
            phones,
        );
    }
    let busy = session.all(plan, 0.0);
    if carrier == Carrier::Udp {
        // Right after the rows: what the server keeps of their transactions is in it.
        note("registered UDP phone, transactions included", running.process, phones);
    }
    // The phones before stay where they are: to close their connections is no part of these rows.
    let mut session = Session::open(&running, carrier, rest, plan)?;
    session.window = u64::from(u32::MAX);
    session.connect()?;
    let part = session.all(plan, plan.part_rate);
    Ok(All { busy, part, handshakes, memory })
}

struct Session {
    fleet: Fleet,
    process: Process,
    carrier: Carrier,
    window: u64,
}

impl Session {
    fn open(running: &Running, carrier: Carrier, users: Vec<User>, plan: &Plan) -> Result<Session, Fault> {
        let target = Target { carrier, address: running.address };
        let connections = if carrier == Carrier::Udp { SOURCES * 10_000 } else { users.len() };
        let mut options = Options::new(target, own_addresses(running.address, connections)?);
        options.window = u64::from(u32::MAX);
        options.challenge_calls = true;
        options.timeout = Duration::from_secs(10);
        if carrier == Carrier::Tls {
            let tls = TlsOptions::trusting(running.roots.clone());
            options.tls = Some(TlsSetup::new(tls, Certificates::None, false));
        }
        let fleet = Fleet::open(users, options)?;
        Ok(Session { fleet, process: running.process, carrier, window: plan.window })
    }

    /// Whole handshakes of connections that are closed at once, as busy as it can be made and at part load.
    fn handshakes(&mut self, plan: &Plan) -> (Measured, Measured) {
        let job = Job::Handshake { links: HANDSHAKES_OPEN as u32 };
        let rate = plan.part_rate / 10.0;
        let busy = self.one(&job, amount(HANDSHAKES, 0.0), Some(HANDSHAKES_OPEN));
        let part = self.one(&job, amount((rate * plan.part_s) as u64, rate), Some(HANDSHAKES_OPEN));
        (busy.map_err(|e| e.to_string()), part.map_err(|e| e.to_string()))
    }

    /// Connections are made first, and are no part of any row.
    fn connect(&mut self) -> Result<(), Fault> {
        let phones = self.fleet.len() as u64;
        if self.carrier == Carrier::Udp {
            return Ok(());
        }
        let connected = self.fleet.run_within(&Job::Options, amount(phones, 0.0), Some(CONNECTING));
        if self.fleet.connected() < phones {
            return Err(format!(
                "only {} of {phones} connections stand: {connected:?}",
                self.fleet.connected()
            )
            .into());
        }
        Ok(())
    }

    /// At a rate, or in a closed loop where there is none.
    fn all(&mut self, plan: &Plan, rate: f64) -> Four {
        let phones = self.fleet.len() as u64;
        std::array::from_fn(|place| {
            let job = &OPERATIONS[place].1;
            let (count, rate) = match (job, rate > 0.0) {
                // Those that a phone does once a minute, in the time of those that it does all the time.
                (Job::Call(_), true) => ((rate / 10.0 * plan.part_s) as u64, rate / 10.0),
                (Job::Call(_), false) => (plan.calls, 0.0),
                (Job::Register, _) => (phones, rate),
                (_, true) => ((rate * plan.part_s) as u64, rate),
                (_, false) => (2 * phones, 0.0),
            };
            if place == 2 && self.carrier != Carrier::Udp {
                return Err("not measured".into());
            }
            let open = if matches!(job, Job::Call(_)) { CALLS_OPEN.min(self.window) } else { self.window };
            let open = if rate > 0.0 { self.window } else { open };
            self.one(job, amount(count, rate), Some(open)).map_err(|e| e.to_string())
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
