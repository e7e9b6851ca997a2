//! The compact row of an answered call: enough to hang up, hold, resume and explain after a restart.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::effect::{Effects, TimerKind};
use super::identity::Identity;
use super::state::{Call, Leg, LegState, Phase};
use super::timer::{SessionPolicy, SessionTimer};
use super::types::{Dialog, LegId, PeerFeatures};
use super::{Env, FLOW_WAIT_MS};
use crate::class::LegFacts;
use crate::flow::Flow;
use crate::ids::UnixMillis;
use crate::mode::SecurityClass;

/// One change of the call's class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassChange {
    /// When.
    pub at: UnixMillis,
    /// The class from then on.
    pub class: SecurityClass,
}

/// One answered leg. Holds no body and no key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegRow {
    /// Number of the leg in its call.
    pub leg: LegId,
    /// Device, connection, media.
    pub facts: LegFacts,
    /// Dialog ids, CSeq numbers, route set, target.
    pub dialog: Dialog,
    /// Its flow. In serialized form a stream becomes `Flow::Lost`: no connection outlives the process.
    #[serde(with = "flow_form")]
    pub flow: Flow,
    /// What the phone can do.
    pub peer: PeerFeatures,
    /// Value of the last security indication sent to it.
    pub indicated: Option<SecurityClass>,
    /// What the other leg may be told of it.
    #[serde(default)]
    pub identity: Identity,
    /// Its session timer.
    #[serde(default)]
    pub session: Option<SessionTimer>,
    /// The phone made the Call-ID. Absent in rows of versions without transfers, where that is leg 0.
    #[serde(default)]
    pub made_call_id: Option<bool>,
}

/// Journaled from the 2xx on (design §5); [`super::Call::from_row`] makes a call of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogRow {
    /// When it was answered.
    pub answered_at: UnixMillis,
    /// Caller, or who came in its place.
    pub caller: LegRow,
    /// The phone that answered, or who came in its place.
    pub callee: LegRow,
    /// Changes of the class, oldest first, at most [`super::HISTORY_MAX`].
    pub history: SmallVec<[ClassChange; 4]>,
    /// First unused number of a client transaction.
    pub next_token: u64,
    /// First unused number of a tag.
    pub next_tag: u16,
    /// State of the random numbers.
    pub seed: u64,
    /// Session timers.
    #[serde(default)]
    pub session: SessionPolicy,
}

/// CSeq numbers that a rebuilt leg skips: requests that were sent after the row was written.
pub(super) const CSEQ_GAP: u32 = 128;

/// Client transactions that a rebuilt call skips, so that late answers to old ones find nothing.
const TOKEN_GAP: u64 = 1 << 20;

impl Call {
    /// The row as it stands; `None` before the answer and after the end.
    pub fn row(&self) -> Option<DialogRow> {
        if self.phase != Phase::Up {
            return None;
        }
        let row = |leg: &Leg| LegRow {
            leg: leg.id,
            facts: leg.facts.clone(),
            dialog: leg.dialog.clone(),
            flow: leg.flow,
            peer: leg.peer,
            indicated: leg.indicated,
            identity: leg.identity.clone(),
            session: leg.session,
            made_call_id: Some(leg.caller),
        };
        Some(DialogRow {
            answered_at: self.answered_at,
            caller: row(self.leg(self.first)?),
            callee: row(self.leg(self.winner?)?),
            history: self.history.clone(),
            next_token: self.next_token,
            next_tag: self.next_tag,
            seed: self.seed,
            session: self.session,
        })
    }

    /// Rebuilds an answered call from its row and publishes its security. Transactions of the time before are
    /// forgotten; legs without connection wait for their phones.
    pub fn from_row(row: DialogRow, env: Env<'_>) -> (Self, Effects) {
        let mut call = Self::empty(row.seed);
        call.phase = Phase::Up;
        (call.confirmed, call.now, call.session) = (true, env.now, row.session);
        (call.first, call.winner) = (row.caller.leg, Some(row.callee.leg));
        call.answered_at = row.answered_at;
        call.history = row.history;
        call.next_token = row.next_token.saturating_add(TOKEN_GAP);
        call.next_tag = row.next_tag;
        for saved in [row.caller, row.callee] {
            let media = saved.facts.media.clone();
            let mut leg = Leg::new(saved.leg, saved.facts, saved.flow, saved.dialog);
            (leg.facts.answered, leg.facts.media) = (true, media);
            leg.dialog.local_cseq = leg.dialog.local_cseq.saturating_add(CSEQ_GAP);
            (leg.peer, leg.indicated, leg.state) = (saved.peer, saved.indicated, LegState::Up);
            (leg.session, leg.identity) = (saved.session, saved.identity);
            leg.caller = saved.made_call_id.unwrap_or(saved.leg == LegId::CALLER);
            let (id, live) = (leg.id, leg.flow.is_live());
            call.legs.push(leg);
            if !live {
                call.arm(TimerKind::FlowWait(id), FLOW_WAIT_MS);
            }
        }
        call.resume_sessions();
        let effects = call.settle(env);
        (call, effects)
    }
}

mod flow_form {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::flow::Flow;
    use crate::mode::Transport;

    #[derive(Serialize, Deserialize)]
    enum Form {
        Udp { local: SocketAddr, remote: SocketAddr },
        Stream { transport: Transport, remote: SocketAddr },
    }

    pub(super) fn serialize<S: Serializer>(flow: &Flow, s: S) -> Result<S::Ok, S::Error> {
        match *flow {
            Flow::Udp { local, remote } => Form::Udp { local, remote },
            Flow::Stream { transport, remote, .. } | Flow::Lost { transport, remote } => {
                Form::Stream { transport, remote }
            }
        }
        .serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Flow, D::Error> {
        Ok(match Form::deserialize(d)? {
            Form::Udp { local, remote } => Flow::Udp { local, remote },
            Form::Stream { transport, remote } => Flow::Lost { transport, remote },
        })
    }
}
