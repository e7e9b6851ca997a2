//! What a roll-out hears of its phones.

use keyline_domain::audit::{Draft, Happened, NODE, Who};
use keyline_domain::ids::{DeviceIndex, DeviceName, UnixMillis};
use keyline_domain::rollout::{Failure, RolloutState};

use super::actor::ProfileActor;
use super::metrics::Outcome;
use crate::catalog::Note;
use crate::signal::{Applied, Word};

/// Tries to store a version for one phone.
const TRIES: u8 = 5;

impl ProfileActor {
    pub(super) fn heard(&mut self, word: Word, at: UnixMillis) {
        match word {
            Word::Applied(device, what) => self.heard_applied(device, what, at),
            Word::Answered(device, status) => self.heard_answer(device, status, at),
            Word::Changed(device) => self.heard_changed(device, at),
            Word::Refused(device) => {
                if self.watching.contains_key(&device) {
                    self.fail(device, Failure::RegistrationRefused);
                }
            }
        }
    }

    fn heard_applied(&mut self, device: DeviceIndex, what: Applied, at: UnixMillis) {
        // What is not under way was asked for before a restart of this actor.
        let Some(mut sent) = self.sent.remove(&device) else { return };
        self.dirty = true;
        let tried_again = matches!(what, Applied::Busy) || (what == Applied::Failed && sent.tries < TRIES);
        if !tried_again && !self.rollout.deferred.is_empty() {
            self.rollout.deferred.retain(|name| *name != sent.name);
        }
        let metrics = self.tools.own_metrics.clone();
        match what {
            Applied::Done => {
                self.rollout.counts.signalled += 1;
                metrics.count(Outcome::Signalled, 1);
                self.watch(device, sent, at);
            }
            Applied::Unregistered => {
                self.unwatch(device);
                self.rollout.counts.unregistered += 1;
                metrics.count(Outcome::Unregistered, 1);
            }
            Applied::Moved => {
                self.unwatch(device);
                self.rollout.counts.skipped += 1;
                metrics.count(Outcome::Skipped, 1);
            }
            Applied::Busy | Applied::Failed if tried_again => {
                sent.tries = sent.tries.saturating_add(1);
                sent.since = at;
                sent.again = true;
                self.sent.insert(device, sent);
            }
            Applied::Busy | Applied::Failed => {
                self.unwatch(device);
                self.failed(&sent.name, Failure::NotStored);
            }
        }
    }

    fn heard_answer(&mut self, device: DeviceIndex, status: Option<u16>, at: UnixMillis) {
        let Some(watched) = self.watching.get_mut(&device) else { return };
        match status {
            Some(200..=299) => {
                if !std::mem::replace(&mut watched.back.answered, true) {
                    self.unanswered = self.unanswered.saturating_sub(1);
                }
                self.confirm_if_back(device, at);
            }
            Some(_) => self.fail(device, Failure::Refused),
            None => self.fail(device, Failure::Silent),
        }
    }

    fn heard_changed(&mut self, device: DeviceIndex, at: UnixMillis) {
        if self.deferred.contains_key(&device) {
            if self.rollout.state == RolloutState::Running && self.is_reachable(device, at) {
                self.take_up(device, at);
            }
            return;
        }
        self.confirm_if_back(device, at);
    }

    fn confirm_if_back(&mut self, device: DeviceIndex, at: UnixMillis) {
        let row = self.row(device);
        if self.watching.get(&device).is_some_and(|w| w.back.is_back(row.as_deref(), at)) {
            self.confirm(device);
        }
    }

    /// What has waited long enough.
    pub(super) fn expire(&mut self, at: UnixMillis) {
        while let Some((until, device)) = self.deadlines.front().copied() {
            if until > at {
                break;
            }
            self.deadlines.pop_front();
            let row = self.row(device);
            // An earlier deadline than the phone's own is one of an earlier watch.
            let Some(watched) = self.watching.get(&device).filter(|w| w.back.until <= at) else { continue };
            if watched.back.is_back_at_last(self.rollout.order, row.as_deref(), at) {
                self.confirm(device);
            } else {
                let why = if watched.back.answered { Failure::NotBack } else { Failure::Silent };
                self.fail(device, why);
            }
        }
        let late: Vec<_> = self.deferred.iter().filter(|(_, d)| d.until <= at).map(|(i, _)| *i).collect();
        for device in late {
            if let Some(deferred) = self.deferred.remove(&device) {
                self.unwatch(device);
                self.rollout.deferred.retain(|n| *n != deferred.name);
                self.failed(&deferred.name, Failure::Unreachable);
            }
        }
    }

    fn confirm(&mut self, device: DeviceIndex) {
        self.forget(device);
        self.rollout.confirmed();
        self.tools.own_metrics.count(Outcome::Confirmed, 1);
        self.dirty = true;
    }

    fn fail(&mut self, device: DeviceIndex, why: Failure) {
        if let Some(name) = self.forget(device) {
            self.failed(&name, why);
        }
    }

    /// A phone is not watched any more.
    fn forget(&mut self, device: DeviceIndex) -> Option<DeviceName> {
        let watched = self.watching.remove(&device)?;
        if !watched.back.answered {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
        self.unwatch(device);
        Some(watched.name)
    }

    fn failed(&mut self, name: &DeviceName, why: Failure) {
        self.dirty = true;
        self.tools.own_metrics.failed(why);
        tracing::info!(device = name.as_str(), rollout = self.rollout.id.0, why = why.as_str(), "not back");
        if self.rollout.failed(name, why) {
            self.tools.own_metrics.gated.inc();
            let reason = self.rollout.reason.as_deref().unwrap_or_default();
            tracing::warn!(rollout = self.rollout.id.0, reason, "the roll-out stopped by itself");
            if let Some(catalog) = self.tools.catalog.get() {
                let (who, why) = (Who::local(NODE), serde_json::json!({ "reason": reason }));
                let id = self.rollout.id.to_string();
                let draft = Draft::new(&who, "rollout_gated", "rollout", &id, Happened::Done);
                catalog.do_send(Note(draft.with(None, Some(&why))));
            }
            self.urgent = true;
        }
    }
}
