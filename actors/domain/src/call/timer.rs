//! Session timers (RFC 4028): one for each answered leg, with nothing in common. The phone or we refresh; who is
//! silent for too long is taken for gone, so that no call outlives its phones.

use serde::{Deserialize, Serialize};

use super::effect::TimerKind;
use super::exchange::Kind;
use super::extension::{Refresher, SessionAsk};
use super::state::{Call, Leg, LegState, Phase};
use super::types::{ClientTx, Header, Headers, LegId, Method};
use crate::ids::UnixMillis;

/// Longest interval that is agreed to, in seconds.
pub const SESSION_MAX_S: u32 = 86_400;

/// A 422 is obeyed so often on one leg.
const RAISES_MAX: u8 = 2;

/// After a refresh that was refused for now.
const RETRY_MS: u64 = 5_000;

/// What a rebuilt call gives its phones, whatever ran out meanwhile.
const GRACE_MS: u64 = 35_000;

/// How sessions are timed, as parameters set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPolicy {
    /// Interval that is asked for, in seconds.
    pub expires_s: u32,
    /// Shortest interval that is taken, in seconds (RFC 4028 §5: 90).
    pub min_se_s: u32,
}

impl Default for SessionPolicy {
    fn default() -> Self {
        Self { expires_s: 1800, min_se_s: 90 }
    }
}

/// The timer of an answered leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTimer {
    /// Interval in seconds.
    pub interval_s: u32,
    /// We refresh; else the phone.
    pub ours: bool,
    /// The phone knows session timers; else any answer of it counts as life.
    pub known: bool,
    /// The last refresh.
    pub since: UnixMillis,
}

impl SessionTimer {
    fn interval_ms(&self) -> u64 {
        u64::from(self.interval_s) * 1000
    }

    /// When the one that does not refresh gives up: 32 s or a third before the end (RFC 4028 §10).
    fn ends_at(&self) -> u64 {
        self.since.0 + self.interval_ms() - (self.interval_ms() / 3).min(32_000)
    }

    /// When we refresh: at half of the interval (RFC 4028 §10).
    fn refresh_at(&self) -> u64 {
        self.since.0 + self.interval_ms() / 2
    }
}

/// What a 2xx of ours agrees to.
///
/// # Errors
/// Min-SE of the 422 that is due.
fn agree(ask: SessionAsk, timer: bool, update: bool, policy: SessionPolicy) -> Result<(u32, bool), u32> {
    if ask.expires.is_some_and(|e| e < policy.min_se_s) && timer {
        return Err(policy.min_se_s);
    }
    let floor = policy.min_se_s.max(ask.min_se.unwrap_or(0));
    let interval = ask.expires.map_or(policy.expires_s, |e| e.min(policy.expires_s)).max(floor);
    let ours = match ask.refresher {
        _ if !timer => true,
        Some(who) => who == Refresher::Uas,
        // Where UPDATE is allowed a refresh of ours disturbs nothing; else the phone knows its SDP best.
        None => update,
    };
    Ok((interval.min(SESSION_MAX_S), ours))
}

impl Call {
    /// A phone asks for a session: remembers it for the 2xx, or gives back the Min-SE of the 422 that is due.
    pub(super) fn session_asked(&mut self, from: LegId, ask: SessionAsk) -> Result<(), Header> {
        let policy = self.session;
        let Some(leg) = self.leg_mut(from) else { return Ok(()) };
        leg.asked = ask;
        match agree(ask, leg.peer.timer, leg.peer.update, policy) {
            Ok(_) => Ok(()),
            Err(min) => Err(Header::new("Min-SE", min.to_string())),
        }
    }

    /// The timer starts with our 2xx to a phone; its headers.
    pub(super) fn session_granted(&mut self, to: LegId) -> Headers {
        let (policy, since) = (self.session, self.now);
        let mut headers = Headers::new();
        let Some(leg) = self.leg_mut(to) else { return headers };
        let known = leg.peer.timer;
        let Ok((interval_s, ours)) = agree(leg.asked, known, leg.peer.update, policy) else { return headers };
        leg.session = Some(SessionTimer { interval_s, ours, known, since });
        if known {
            let who = if ours { "uas" } else { "uac" };
            headers.push(Header::new("Session-Expires", format!("{interval_s};refresher={who}")));
            headers.push(Header::new("Require", "timer"));
        }
        self.arm_session(to, 0);
        headers
    }

    /// What an INVITE or UPDATE of ours asks for. Without it a request in the dialog would switch the timer off.
    pub(super) fn session_wanted(&self, to: LegId, method: Method) -> Headers {
        let mut headers = Headers::new();
        let Some(leg) = self.leg(to) else { return headers };
        let first = method == Method::Invite && leg.dialog.remote_tag.is_none();
        let in_dialog = leg.session.filter(|t| t.known && matches!(method, Method::Invite | Method::Update));
        let min = self.session.min_se_s.max(leg.min_se_s);
        let value = match in_dialog {
            Some(timer) => {
                let who = if timer.ours { "uac" } else { "uas" };
                format!("{};refresher={who}", timer.interval_s.max(leg.min_se_s))
            }
            None if first => self.session.expires_s.max(min).to_string(),
            None => return headers,
        };
        headers.push(Header::new("Session-Expires", value));
        headers.push(Header::new("Min-SE", min.to_string()));
        headers
    }

    /// A 2xx of a phone: its timer starts or goes on.
    pub(super) fn session_agreed(&mut self, with: LegId, said: SessionAsk) {
        let (policy, since) = (self.session, self.now);
        let Some(leg) = self.leg_mut(with) else { return };
        let before = leg.session.map(|t| t.interval_s);
        let interval_s = said.expires.or(before).unwrap_or(policy.expires_s);
        let interval_s = interval_s.clamp(policy.min_se_s, SESSION_MAX_S.max(policy.min_se_s));
        // Who says nothing of a timer will not refresh.
        let ours = said.expires.is_none() || said.refresher != Some(Refresher::Uas);
        let known = said.expires.is_some();
        leg.session = Some(SessionTimer { interval_s, ours, known, since });
        leg.refresh_due = false;
        self.arm_session(with, 0);
    }

    /// A phone wants a longer interval than it was offered: true if it is asked again.
    pub(super) fn session_raised(&mut self, id: LegId, min_se: Option<u32>) -> bool {
        let Some(leg) = self.leg_mut(id) else { return false };
        let Some(min) = min_se.filter(|m| (leg.min_se_s + 1..=SESSION_MAX_S).contains(m)) else {
            return false;
        };
        if leg.raises >= RAISES_MAX {
            return false;
        }
        (leg.min_se_s, leg.raises) = (min, leg.raises + 1);
        true
    }

    /// Arms both timers of a leg; no earlier than `from_now` milliseconds from now.
    pub(super) fn arm_session(&mut self, id: LegId, from_now: u64) {
        self.dirty = true;
        let Some(timer) = self.leg(id).and_then(|l| l.session) else { return };
        let now = self.now.0;
        let after = |at: u64| at.saturating_sub(now).max(from_now);
        self.disarm(TimerKind::SessionRefresh(id));
        if timer.ours {
            let spread = self.random(from_now.min(timer.interval_ms() / 4));
            self.arm(TimerKind::SessionRefresh(id), timer.refresh_at().saturating_sub(now).max(spread));
        }
        self.arm(TimerKind::SessionEnd(id), after(timer.ends_at()));
    }

    /// After a restart: nobody is ended for what ran out while nobody listened.
    pub(super) fn resume_sessions(&mut self) {
        for id in self.ids() {
            self.arm_session(id, GRACE_MS);
        }
        self.dirty = false;
    }

    /// Half of the interval is over.
    pub(super) fn session_half(&mut self, id: LegId) {
        if let Some(leg) = self.leg_mut(id) {
            leg.refresh_due = true;
        }
    }

    /// Nobody refreshed in time: the call ends (RFC 4028 §10).
    pub(super) fn session_over(&mut self, id: LegId) {
        if self.phase == Phase::Up && self.leg(id).is_some_and(|l| l.state == LegState::Up) {
            self.lost(id, true);
        }
    }

    /// Refreshes a leg whose time has come: by UPDATE; else by a re-INVITE that repeats the SDP in force; a
    /// phone of which that is not known any more is asked for an offer, or only whether it lives.
    pub(super) fn refresh(&mut self, id: LegId) {
        let Some(leg) = self.leg(id).filter(|l| l.wants_refresh()) else { return };
        let (update, sdp) = (leg.peer.update, leg.sdp_in_force.clone());
        let known = leg.session.is_some_and(|t| t.known);
        let headers: Headers = self.indication_for(id).into_iter().collect();
        match (update, sdp) {
            (true, _) => self.refresh_by(id, Method::Update, headers),
            (false, Some(sdp)) => self.ask(Kind::Refresh, id, Method::Invite, Some(sdp), headers),
            (false, None) if known => self.ask(Kind::Rekey, id, Method::Invite, None, headers),
            (false, None) => self.refresh_by(id, Method::Options, Headers::new()),
        }
        if let Some(leg) = self.leg_mut(id) {
            leg.refresh_due = false;
        }
    }

    fn refresh_by(&mut self, id: LegId, method: Method, headers: Headers) {
        let token = self.send(id, method, None, headers);
        if let Some(leg) = self.leg_mut(id) {
            leg.refresh = Some(token);
        }
    }

    /// The final answer to a refresh outside of an exchange. False if the token is none.
    pub(super) fn on_refreshed(&mut self, token: ClientTx, status: u16, said: SessionAsk) -> bool {
        let Some(leg) = self.legs.iter_mut().find(|l| l.refresh == Some(token)) else { return false };
        leg.refresh = None;
        let id = leg.id;
        match status {
            200..=299 => self.session_agreed(id, said),
            405 | 501 if leg.peer.update => (leg.peer.update, leg.refresh_due) = (false, true),
            _ => self.refresh_refused(id, status, said),
        }
        true
    }

    /// A refresh was refused.
    pub(super) fn refresh_refused(&mut self, id: LegId, status: u16, said: SessionAsk) {
        let known = self.leg(id).and_then(|l| l.session).is_some_and(|t| t.known);
        match status {
            408 | 481 => self.lost(id, status == 408),
            422 if self.session_raised(id, said.min_se) => self.session_half(id),
            // It answers, so it lives; more it never promised.
            _ if !known => self.session_agreed(id, SessionAsk::default()),
            _ => self.arm(TimerKind::SessionRefresh(id), RETRY_MS),
        }
    }
}

impl Leg {
    fn wants_refresh(&self) -> bool {
        self.refresh_due && self.refresh.is_none() && self.state == LegState::Up && self.flow.is_live()
    }
}
