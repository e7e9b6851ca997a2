//! Phones that refresh while an administrator saves new versions of their profile and applies them.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{Fault, PLAIN, Site, amount, roll_out, users, work};
use crate::load::{Job, Span, Tally, machine};

/// How it is to be.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Phones over UDP.
    pub phones: u32,
    /// Refreshes a second.
    pub rate: f64,
    /// Seconds without changes, and with them.
    pub seconds: f64,
    /// Seconds between two versions.
    pub every: f64,
    /// Phones a second that a roll-out may reach.
    pub per_second: u32,
}

/// What the phones noticed.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// Phones.
    pub phones: u32,
    /// Versions saved.
    pub versions: u64,
    /// Roll-outs begun; one brings all versions that were saved while the one before was open.
    pub rollouts: u64,
    /// Phones that roll-outs told, each as often as it was told.
    pub reached: u64,
    /// Good, begun, p50, p99 and longest time of refreshes in milliseconds: without changes, with them.
    pub refreshes: [(u64, u64, [f64; 3]); 2],
    /// First reasons of failures.
    pub faults: Vec<String>,
    /// Processor, cores, kernel.
    pub machine: String,
}

impl Changed {
    /// No refresh failed, and versions reached phones.
    pub fn holds(&self) -> bool {
        self.refreshes.iter().all(|(good, begun, _)| good == begun) && self.versions > 0 && self.reached > 0
    }
}

/// Measures a program.
///
/// # Errors
/// When the node cannot be run or refuses a change.
pub async fn change(binary: &Path, plan: Change) -> Result<Changed, Fault> {
    let site = Site::new(binary, plan.phones, 0).await?;
    let fleet = site.plain(users(PLAIN, 0..plan.phones), 1)?;
    let all = amount(2_000.0, f64::from(plan.phones) / 2_000.0);
    let refreshes = amount(plan.rate, plan.seconds);
    let before = move || {
        let (fleet, registered) = work(fleet, &Job::Register, all);
        let (fleet, calm) = work(fleet, &Job::Refresh, refreshes);
        (fleet, registered, calm)
    };
    let (fleet, registered, calm) = tokio::task::spawn_blocking(before).await?;
    if registered.good != u64::from(plan.phones) {
        return Err(format!("the phones do not register: {registered:?}").into());
    }
    let mut busy = tokio::task::spawn_blocking(move || work(fleet, &Job::Refresh, refreshes));
    let mut client = site.client().await?;
    let (mut versions, mut rollouts) = (0, Vec::new());
    let mut tick = tokio::time::interval(Duration::from_secs_f64(plan.every.max(0.1)));
    let done = loop {
        tokio::select! {
            done = &mut busy => break done?,
            _ = tick.tick() => {
                versions += 1;
                rollouts.extend(roll_out(&mut client, versions, plan.per_second).await?);
            }
        }
    };
    let mut reached = 0;
    for id in &rollouts {
        let rollout = client.done("GET", &format!("/rollouts/{id}"), None).await?.body;
        reached += rollout["phones"]["signalled"].as_u64().unwrap_or(0);
    }
    site.server.stop().await?;
    let (_, tally) = done;
    let faults = [calm.faults.clone(), tally.faults.clone()].concat();
    let of = |tally: &Tally| {
        let at =
            |share| tally.span(Span::Operation).map_or(0.0, |t| t.value_at_quantile(share) as f64 / 1_000.0);
        (tally.good, tally.begun, [at(0.5), at(0.99), at(1.0)])
    };
    let refreshes = [of(&calm), of(&tally)];
    let rollouts = rollouts.len() as u64;
    Ok(Changed { phones: plan.phones, versions, rollouts, reached, refreshes, faults, machine: machine() })
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "machine   {}; phones and node share it", self.machine)?;
        let Changed { phones, versions, rollouts, reached, .. } = self;
        writeln!(
            f,
            "phones    {phones}; {versions} versions saved, {rollouts} roll-outs, phones told {reached} times"
        )?;
        writeln!(
            f,
            "{:<24}{:>9} {:>9}{:>10}{:>10}{:>10}",
            "refreshes", "good", "begun", "p50 ms", "p99 ms", "max ms"
        )?;
        for (name, (good, begun, [p50, p99, max])) in
            ["  without changes", "  with them"].iter().zip(&self.refreshes)
        {
            writeln!(f, "{name:<24}{good:>9} {begun:>9}{p50:>10.2}{p99:>10.2}{max:>10.2}")?;
        }
        self.faults.iter().try_for_each(|why| writeln!(f, "fault     {why}"))
    }
}
