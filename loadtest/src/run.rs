//! Runs jobs as the command line says and reports them.

use std::time::Duration;

use keyline_loadtest::load::{Amount, Carrier, Fleet, Job, Process, Report, Sampler, machine};
use keyline_loadtest::pages;
use serde::Serialize;

use crate::Fault;
use crate::args::Load;

/// A fleet with what it has to report.
pub struct Run {
    /// What was asked for.
    pub load: Load,
    fleet: Fleet,
    process: Option<Process>,
    reports: Vec<Report>,
}

#[derive(Serialize)]
struct File<'r> {
    command: String,
    machine: String,
    reports: &'r [Report],
}

/// Opens the fleet, lets `work` run its jobs, writes the reports. `Ok(false)`: too many failures.
pub async fn apply(
    load: Load,
    resume: bool,
    work: impl FnOnce(&mut Run) -> Result<(), Fault> + Send + 'static,
) -> Result<bool, Fault> {
    // The options hold what only one thread may use; all of it runs on a thread of its own.
    let whole = move || -> Result<bool, String> {
        let mut run = Run::open(load, resume).map_err(|e| e.to_string())?;
        work(&mut run).map_err(|e| e.to_string())?;
        run.end().map_err(|e| e.to_string())
    };
    Ok(tokio::task::spawn_blocking(whole).await??)
}

impl Run {
    fn open(load: Load, resume: bool) -> Result<Run, Fault> {
        let process = match load.pid {
            Some(pid) => Some(Process::of(pid).map_err(|e| format!("--pid {pid}: {e}"))?),
            None => None,
        };
        let fleet = Fleet::open(load.users()?, load.options(resume)?)?;
        Ok(Run { load, fleet, process, reports: Vec::new() })
    }

    /// Registers all phones before a job, at that rate. They must register.
    pub fn prepare(&mut self, rate: f64) -> Result<(), Fault> {
        let amount = Amount { count: self.fleet.len() as u64, rate, ramp: Duration::ZERO };
        self.measure("register", &Job::Register, amount)
    }

    /// Runs the job that was asked for; `default` operations without --count and --duration.
    pub fn job(&mut self, name: &'static str, job: &Job, default: u64) -> Result<(), Fault> {
        let amount = self.load.amount(default)?;
        self.measure(name, job, amount)
    }

    /// Runs a job, then the same again while others attack the server: what the phones notice is the difference.
    pub fn attacked(&mut self, count: usize, rate: f64) -> Result<(), Fault> {
        let amount = self.load.amount(self.phones())?;
        self.measure("calm", &Job::Refresh, amount)?;
        let mut crowd = self.load.attackers(count)?;
        let offered = Amount { count: (rate * amount.length()) as u64, rate, ramp: Duration::ZERO };
        let thread = std::thread::spawn(move || {
            let tally = crowd.run(&Job::Attack, offered);
            (crowd.len() as u64, tally)
        });
        self.measure("attacked", &Job::Refresh, amount)?;
        let (crowd, tally) = thread.join().map_err(|_| "the attackers panicked")?;
        self.reports.push(Report::new("attack", self.load.target(), crowd, rate, &tally));
        Ok(())
    }

    /// Runs a job at the pace at which phones keep their bindings alive: each once in half of its time to live.
    pub fn steady(&mut self) -> Result<(), Fault> {
        let amount = self.load.steady(self.phones())?;
        self.measure("steady", &Job::Refresh, amount)
    }

    /// Phones.
    pub fn phones(&self) -> u64 {
        self.fleet.len() as u64
    }

    fn measure(&mut self, name: &'static str, job: &Job, amount: Amount) -> Result<(), Fault> {
        let look = |process: Option<Process>| {
            process.map(|p| Ok::<_, std::io::Error>((p.cpu_of_family()?, p.memory_of_family())))
        };
        let before = look(self.process).transpose()?;
        let sampler = self.process.map(Sampler::start);
        let tally = self.fleet.run(job, amount);
        let samples = sampler.map(Sampler::end).unwrap_or_default();
        let after = look(self.process).transpose()?;
        let mut report = Report::new(name, self.load.target(), self.phones(), amount.rate, &tally);
        report.connections = self.fleet.connected();
        report.samples = samples;
        if let (Some((cpu, memory)), Some((cpu_after, memory_after))) = (before, after) {
            report = report.with_server(cpu_after.saturating_sub(cpu), memory, memory_after);
        }
        self.reports.push(report);
        Ok(())
    }

    #[allow(clippy::print_stdout, reason = "the result of a command")]
    fn end(mut self) -> Result<bool, Fault> {
        let to_stdout = self.load.json.as_deref().is_some_and(|path| path.as_os_str() == "-");
        if !to_stdout {
            self.reports.iter().for_each(|report| println!("{report}"));
        }
        let command = std::env::args().collect::<Vec<_>>().join(" ");
        let file = File { command, machine: machine(), reports: &self.reports };
        let text = serde_json::to_string_pretty(&file)?;
        if to_stdout {
            println!("{text}");
        } else if let Some(path) = &self.load.json {
            std::fs::write(path, format!("{text}\n")).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        if let Some(path) = &self.load.report {
            let page = pages::of_run(&pages::Kept::parse(&text)?);
            std::fs::write(path, page).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        let stay = self.load.stay()?;
        if !stay.is_zero() {
            let before = self.fleet.connected();
            let tally = self.fleet.attend(stay);
            let lost = before - self.fleet.connected().min(before);
            eprintln!("stayed {stay:?}: {} messages served, {lost} connections lost", tally.received);
        }
        let failures: u64 = self.reports.iter().map(Report::failures).sum();
        if failures > self.load.max_failures {
            eprintln!("{failures} failures; --max-failures {}", self.load.max_failures);
        }
        Ok(failures <= self.load.max_failures)
    }
}

/// Whether a target is a connection.
pub fn is_stream(load: &Load) -> bool {
    load.carrier() != Carrier::Udp
}
