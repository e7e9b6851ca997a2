//! Redirection (RFC 3261 §8.1.3.4): a phone that forwards its calls names another line, which is rung in its place.
//! Only lines of this node are followed, none twice, so many times at most.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Env;
use super::choose::Verdict;
use super::effect::{Effect, TimerKind};
use super::input::Response;
use super::state::{Call, Leg, LegState, Phase};
use super::types::{Header, Headers, LegId, Target};
use crate::ids::Dn;

/// How often one call is forwarded in a row at most.
pub const REDIRECTS_MAX: usize = 5;

/// Lines of one redirection that are followed at most.
pub const REDIRECT_LINES_MAX: usize = 8;

/// Reasons of a diversion (RFC 5806 §4.4) that a phone may give; another one is not passed on.
const REASONS: [&str; 11] = [
    "user-busy",
    "no-answer",
    "unavailable",
    "unconditional",
    "time-of-day",
    "do-not-disturb",
    "deflection",
    "follow-me",
    "out-of-service",
    "away",
    "unknown",
];

/// A line of this node to which a phone forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// Its number.
    pub line: Dn,
    /// Its name-addr.
    pub uri: Arc<str>,
}

/// One forwarding behind a leg.
#[derive(Debug, Clone)]
pub(super) struct Diversion {
    /// Name-addr of the line that forwarded.
    by: Arc<str>,
    reason: Arc<str>,
}

impl Call {
    /// A 3xx of a ringing phone: asks where the new lines are. False if there is nothing to follow.
    pub(super) fn redirected(&mut self, id: LegId, response: &Response) -> bool {
        let Some(leg) = self.leg(id) else { return false };
        if self.phase != Phase::Ringing || leg.diverted.len() >= REDIRECTS_MAX {
            return false;
        }
        let mut lines: SmallVec<[Redirect; 1]> = SmallVec::new();
        for to in &response.ext.redirects {
            let known = self.visited.contains(&to.line) || lines.iter().any(|l| l.line == to.line);
            if !known && lines.len() < REDIRECT_LINES_MAX {
                lines.push(to.clone());
            }
        }
        if lines.is_empty() {
            return false;
        }
        let said = response.ext.diversion.as_deref().unwrap_or_default();
        // A phone that rang was asked by its user; one that did not had its orders.
        let guess = if leg.early.is_empty() { "unconditional" } else { "deflection" };
        let known = REASONS.iter().find(|r| r.eq_ignore_ascii_case(said));
        let (by, reason) = (leg.dialog.remote_uri.clone(), Arc::from(*known.unwrap_or(&guess)));
        let from = leg.dialog.local_uri.clone();
        self.visited.extend(lines.iter().map(|l| l.line.clone()));
        self.drop_relays(id);
        self.drop_early(id, 481);
        if let Some(leg) = self.leg_mut(id) {
            leg.diverted.push(Diversion { by, reason });
            leg.state = LegState::Forwarding;
        }
        self.out.push(Effect::Locate { leg: id, lines: lines.into_vec(), from });
        true
    }

    /// The bindings of the lines that a phone forwarded to.
    pub(super) fn located(&mut self, id: LegId, targets: Vec<Target>, env: Env<'_>) {
        let Some(leg) = self.leg_mut(id).filter(|l| l.state == LegState::Forwarding) else { return };
        leg.state = LegState::Gone;
        let diverted = leg.diverted.clone();
        if self.phase != Phase::Ringing {
            return;
        }
        let known = self.legs.len();
        let due = self.add_targets(targets, env);
        for leg in self.legs.iter_mut().skip(known) {
            leg.diverted.clone_from(&diverted);
        }
        for id in due {
            self.try_leg(id);
        }
        if self.legs.iter().any(Leg::is_trying) {
            return self.arm(TimerKind::NoAnswer, self.no_answer_ms);
        }
        self.best = Some(Verdict::better(self.best.take(), Verdict::local(480)));
        self.next_group();
    }

    /// What a phone hears of the forwardings that led to it: Diversion, the last one first (RFC 5806), and
    /// History-Info (RFC 7044).
    pub(super) fn diversion_of(&self, id: LegId) -> Headers {
        let mut headers = Headers::new();
        let Some(leg) = self.leg(id).filter(|l| !l.diverted.is_empty()) else { return headers };
        for step in leg.diverted.iter().rev() {
            let value = format!("{};reason={};counter=1", step.by, step.reason);
            headers.push(Header::new("Diversion", value));
        }
        let (mut history, mut index) = (String::new(), String::from("1"));
        for (i, step) in leg.diverted.iter().enumerate() {
            let uri = step.by.trim_end_matches('>');
            let mapped = if i == 0 { "" } else { ";mp=1" };
            history.push_str(&format!("{uri}?Reason=SIP%3Bcause%3D302>;index={index}{mapped}, "));
            index.push_str(".1");
        }
        history.push_str(&format!("{};index={index};mp=1", leg.dialog.remote_uri));
        headers.push(Header::new("History-Info", history));
        headers
    }
}
