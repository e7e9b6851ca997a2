//! A roll-out: what was asked, how far it is, when it stops by itself.

use serde::{Deserialize, Serialize};

use super::Order;
use crate::ids::{DeviceName, UnixMillis};
use crate::phone::AppliedVersion;

/// Fastest pace, in phones a second.
pub const PER_SECOND_MAX: u32 = 100_000;

/// Longest time that a phone may take to come back, in seconds.
pub const WINDOW_MAX_S: u32 = 3600;

/// Names of phones that failed which are kept.
pub const FAILED_NAMES_MAX: usize = 100;

/// Number of a roll-out; it is never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutId(pub u64);

impl std::fmt::Display for RolloutId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// When a roll-out stops by itself: too many of the phones that it signalled did not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// It stops above so many percent; 100 never stops.
    pub failed_percent: u8,
    /// But not before so many phones were signalled.
    pub of_at_least: u32,
    /// A phone must be back after so many seconds; 0: after the apply grace (`apply_grace_s`).
    pub window_s: u32,
}

impl Default for Gate {
    fn default() -> Self {
        Self { failed_percent: 5, of_at_least: 20, window_s: 0 }
    }
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// It walks.
    Running,
    /// An administrator holds it, or it was restored from a backup.
    Paused,
    /// It stopped by itself and can be resumed.
    Gated,
    /// An administrator ended it.
    Stopped,
    /// All phones were reached, and it is known what became of them.
    Finished,
}

impl RolloutState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Running, Self::Paused, Self::Gated, Self::Stopped, Self::Finished];

    /// As in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Gated => "gated",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
        }
    }

    /// It is over for good.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Stopped | Self::Finished)
    }
}

/// Why a phone counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// It gave no answer to the signal.
    Silent,
    /// It answered the signal with a refusal.
    Refused,
    /// It could not be signalled: its connection was lost and did not come back.
    Unreachable,
    /// It answered, and did not come back in time.
    NotBack,
    /// Its registration was refused under the new version.
    RegistrationRefused,
    /// The version could not be stored for it: it is judged as before.
    NotStored,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Silent,
        Self::Refused,
        Self::Unreachable,
        Self::NotBack,
        Self::RegistrationRefused,
        Self::NotStored,
    ];

    /// As in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::NotBack => "not_back",
            Self::RegistrationRefused => "registration_refused",
            Self::NotStored => "not_stored",
        }
    }
}

/// Failures by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Failures {
    /// [`Failure::Silent`].
    pub silent: u64,
    /// [`Failure::Refused`].
    pub refused: u64,
    /// [`Failure::Unreachable`].
    pub unreachable: u64,
    /// [`Failure::NotBack`].
    pub not_back: u64,
    /// [`Failure::RegistrationRefused`].
    pub registration_refused: u64,
    /// [`Failure::NotStored`].
    pub not_stored: u64,
}

/// How far it is, in phones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// When it began.
    pub total: u64,
    /// With nothing registered: they are judged by the saved version anyhow and hear nothing.
    pub unregistered: u64,
    /// Judged by the new version, and told so.
    pub signalled: u64,
    /// Signalled, and back.
    pub confirmed: u64,
    /// Not back, or not reached.
    pub failed: u64,
    /// Signalled before a restart of the node: what became of them is not known.
    pub unknown: u64,
    /// Passed over: removed, or moved to another profile meanwhile.
    pub skipped: u64,
}

impl Counts {
    /// Phones that it has dealt with.
    pub fn reached(&self, failures: &Failures) -> u64 {
        self.unregistered + self.signalled + self.skipped + failures.unreachable + failures.not_stored
    }
}

/// Why an order to a roll-out was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// It is over.
    #[error("the roll-out has ended: it is {}", .0.as_str())]
    Ended(RolloutState),
    /// It is so already, or cannot become so.
    #[error("the roll-out is {}", .0.as_str())]
    Is(RolloutState),
}

/// A roll-out, as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Number.
    pub id: RolloutId,
    /// Profile and the version that it brings.
    pub applied: AppliedVersion,
    /// Name of the profile when it began.
    pub profile_name: Box<str>,
    /// What phones are told.
    pub order: Order,
    /// Pace, in phones a second.
    pub per_second: u32,
    /// When it stops by itself.
    pub gate: Gate,
    /// Of chosen phones, whose names are stored beside it; else of all.
    pub chosen: bool,
    /// Who asked for it.
    pub by: Box<str>,
    /// When.
    pub started: UnixMillis,
    /// When it ended.
    pub ended: Option<UnixMillis>,
    /// How it stands.
    pub state: RolloutState,
    /// Why it stopped by itself, or is held without anybody's order.
    pub reason: Option<Box<str>>,
    /// All phones up to this name were dealt with, but for those in `deferred`.
    pub cursor: Option<DeviceName>,
    /// All phones were visited.
    pub walked: bool,
    /// Phones before the cursor that wait for their connection.
    pub deferred: Vec<DeviceName>,
    /// How far it is.
    pub counts: Counts,
    /// Failures by reason.
    pub failures: Failures,
    /// The first phones that failed.
    pub failed_phones: Vec<DeviceName>,
    /// Signalled and failed when it was last let go: the gate counts from there.
    #[serde(default)]
    pub gate_from: (u64, u64),
}

impl Rollout {
    /// Phones that were not dealt with yet.
    pub fn left(&self) -> u64 {
        let left = self.counts.total.saturating_sub(self.counts.reached(&self.failures));
        // Phones that came to the profile, or left it, while it was walked are in no count.
        if self.walked { left.min(self.deferred.len() as u64) } else { left }
    }

    /// Phones that were signalled and of which nothing is known yet.
    pub fn waiting(&self) -> u64 {
        let c = &self.counts;
        let not_signalled = self.failures.unreachable + self.failures.not_stored;
        c.signalled.saturating_sub(c.confirmed + c.unknown + c.failed.saturating_sub(not_signalled))
    }

    /// A phone is back.
    pub fn confirmed(&mut self) {
        self.counts.confirmed += 1;
    }

    /// A phone failed. True when the gate closes by it.
    pub fn failed(&mut self, phone: &DeviceName, why: Failure) -> bool {
        self.counts.failed += 1;
        let f = &mut self.failures;
        *match why {
            Failure::Silent => &mut f.silent,
            Failure::Refused => &mut f.refused,
            Failure::Unreachable => &mut f.unreachable,
            Failure::NotBack => &mut f.not_back,
            Failure::RegistrationRefused => &mut f.registration_refused,
            Failure::NotStored => &mut f.not_stored,
        } += 1;
        if self.failed_phones.len() < FAILED_NAMES_MAX {
            self.failed_phones.push(phone.clone());
        }
        self.judge_gate()
    }

    /// Phones that were tried and failed since it was last let go.
    fn tried_and_failed(&self) -> (u64, u64) {
        let tried = self.counts.signalled + self.failures.unreachable + self.failures.not_stored;
        (tried.saturating_sub(self.gate_from.0), self.counts.failed.saturating_sub(self.gate_from.1))
    }

    fn judge_gate(&mut self) -> bool {
        let (tried, failed) = self.tried_and_failed();
        let enough = tried >= u64::from(self.gate.of_at_least);
        let over = failed.saturating_mul(100) > tried.saturating_mul(u64::from(self.gate.failed_percent));
        if self.state != RolloutState::Running || !enough || !over {
            return false;
        }
        self.state = RolloutState::Gated;
        let limit = self.gate.failed_percent;
        self.reason =
            Some(format!("{failed} of {tried} phones did not come back: more than {limit} %").into());
        true
    }

    /// An administrator holds it.
    ///
    /// # Errors
    /// [`NotNow`] when it does not run.
    pub fn pause(&mut self) -> Result<(), NotNow> {
        match self.state {
            RolloutState::Running => {
                self.state = RolloutState::Paused;
                Ok(())
            }
            state => Err(not_now(state)),
        }
    }

    /// An administrator lets it go on; the gate begins to count anew.
    ///
    /// # Errors
    /// [`NotNow`] unless it is held or stopped by itself.
    pub fn resume(&mut self) -> Result<(), NotNow> {
        match self.state {
            RolloutState::Paused | RolloutState::Gated => {
                let tried = self.counts.signalled + self.failures.unreachable + self.failures.not_stored;
                self.gate_from = (tried, self.counts.failed);
                self.state = RolloutState::Running;
                self.reason = None;
                Ok(())
            }
            state => Err(not_now(state)),
        }
    }

    /// An administrator ends it: phones that were not reached stay as they are.
    ///
    /// # Errors
    /// [`NotNow`] when it is over.
    pub fn stop(&mut self, now: UnixMillis) -> Result<(), NotNow> {
        if self.state.has_ended() {
            return Err(NotNow::Ended(self.state));
        }
        self.state = RolloutState::Stopped;
        self.ended = Some(now);
        Ok(())
    }

    /// Something is wrong inside the node: it holds until an administrator lets it go on.
    pub fn hold(&mut self, reason: &str) {
        if self.state == RolloutState::Running {
            self.state = RolloutState::Gated;
            self.reason = Some(reason.into());
        }
    }

    /// It stood in a backup that was restored: the phones have gone on since, so an administrator must say that it is
    /// still meant. Whether anything changed.
    pub fn restored(&mut self) -> bool {
        let runs = self.state == RolloutState::Running;
        if runs {
            self.state = RolloutState::Paused;
            self.reason =
                Some("it was restored from a backup: resume it if it is still meant, or stop it".into());
        }
        runs
    }

    /// It is over when all phones were visited and nothing is waited for.
    pub fn finish_if_done(&mut self, now: UnixMillis) -> bool {
        let done = self.state == RolloutState::Running
            && self.walked
            && self.deferred.is_empty()
            && self.waiting() == 0;
        if done {
            self.state = RolloutState::Finished;
            self.ended = Some(now);
        }
        done
    }

    /// After a restart of the node nobody waits any more for the phones that were signalled before.
    pub fn recovered(&mut self) {
        self.counts.unknown += self.waiting();
    }
}

fn not_now(state: RolloutState) -> NotNow {
    if state.has_ended() { NotNow::Ended(state) } else { NotNow::Is(state) }
}
