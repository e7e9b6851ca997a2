//! A call between phones: a back-to-back user agent as a pure state machine.
//!
//! Towards the caller the call is a UAS, towards every phone that it rings a UAC; Call-IDs, tags, CSeq
//! numbers and route sets of the two sides have nothing in common (RFC 7092 §3.2). [`Call::start`] takes a
//! call that admission has allowed, [`Call::on`] one event; both return the [`Effects`] to carry out, in
//! order. No clock, no randomness, no SIP text: time and tags come with [`Env`].
//!
//! # Who does what
//!
//! | Matter | Engine (transactions) | Call |
//! |---|---|---|
//! | 100 Trying | sends it by itself | – |
//! | Retransmissions, Timers A–K | all | sees none |
//! | Via, From, Call-ID, CSeq of responses, Max-Forwards − 1, 420, Allow of a 405 | all | – |
//! | ACK to a non-2xx | sends and absorbs it | sees none |
//! | ACK to a 2xx of a phone | writes it from [`Effect::Ack`] | one for every 2xx reported, repeats too |
//! | 2xx to a phone's INVITE | repeats it, any transport, until [`Effect::StopRepeat`]; after 64·T1 reports [`Input::AckTimeout`] | matches [`Input::Ack`] by dialog and CSeq; BYE after a missing ACK |
//! | CANCEL in | finds the INVITE, answers the CANCEL (200, or 481), reports [`Input::Cancel`] | answers the INVITE 487 |
//! | CANCEL out | branch and CSeq of the INVITE; takes the answer to it | held until the first provisional; [`Effect::Forget`] after 64·T1 without a final |
//! | Responses | reports 100, every provisional, every final, every 2xx to INVITE | chooses (RFC 3261 §16.7) |
//! | Timer B/F, no flow, connection closed | [`Input::Failed`] for each open client transaction | 408 / 503 → 500 |
//! | SDP | parses it into `Body::media`, rewrites it for the other leg, strips SDES unless `carry_crypto` | order of offers and answers, who gets which body |
//! | In-dialog requests | routes by the tag, hands over Call-ID and tags | 481 for a wrong dialog, CSeq order, target refresh |
//! | After [`Effect::Finished`] | carries BYE and CANCEL on; ends a late 2xx by ACK and BYE | is gone |
//!
//! # A call
//!
//! ```text
//! caller            Call                     phones (group of highest q first)
//!   INVITE ────────► start ── Send INVITE ──► each binding, no_answer_s and ring cap armed
//!   180 ◄─────────── Reply ◄──────── 180 ──── one To tag of ours per early dialog of theirs
//!   200 ◄─────────── Reply ◄──────── 200 ──── first one wins; Ack to it; Cancel to the others with
//!   ACK ───────────► StopRepeat               Reason: SIP;cause=200;text="Call completed elsewhere"
//!   re-INVITE ─────► Send ── re-INVITE ─────► hold, resume, media change: passed through both ways
//!   200 ◄─────────── Reply ◄──────── 200 ──── Ack to it at once, or by the caller's ACK (late offer)
//!   BYE ───────────► Reply 200, Send BYE ───► Finished when all farewells are answered
//! ```
//!
//! **Early dialogs.** Each (phone, To tag) that sends a provisional gets a To tag of its own towards the
//! caller. One tag for all would break offer/answer: a caller takes the first SDP of a dialog as the answer
//! and ignores later ones (RFC 3261 §13.2.1), so a second phone's media would never be heard. The tag of the
//! phone that answers is the dialog's. A 18x with SDP always passes; a bare one only if the caller has not
//! heard that status, or if a dialog that it knows changes its status.
//!
//! **Reliable provisionals** (RFC 3262). Each leg has its own RSeq and PRACK. A phone's are acknowledged at once,
//! in order, except for one that brings an offer: that PRACK carries the caller's answer. Towards a caller that
//! supports them those with SDP are reliable, towards one that requires them all; a 2xx waits for their PRACK, and
//! without one in 64·T1 the INVITE gets 504. A further offer (UPDATE, or in the caller's PRACK) passes as UPDATE
//! once the first is settled on both sides.
//!
//! **Late offer.** An INVITE without SDP goes out without SDP; the 2xx's offer goes to the caller, the answer
//! of its ACK goes to the phone in a delayed ACK. Same for re-INVITEs.
//!
//! **Offers in an answered call.** One exchange at a time for both legs. A request that meets it gets 491 if
//! we have an INVITE out on that leg (RFC 3261 §14.1), 500 with Retry-After if the phone's own is unanswered
//! (§14.2); behind an exchange of our own on the other leg, or a missing ACK, one re-INVITE waits. A refused
//! re-INVITE changes nothing, 408 and 481 end the call (RFC 6141 §3.1). UPDATE without SDP is answered here;
//! with SDP it goes on as UPDATE where the other phone allows it, else as re-INVITE.
//!
//! **Statuses.** 401 and 407 of a phone never reach the other leg, nor does 503: they become 500 (RFC 3261
//! §16.7 step 6). 300, 301 and 302 are followed to lines of this node, none twice, [`REDIRECTS_MAX`] in a row at most;
//! what is not followed becomes 480. Nobody answers: 408; not registered: 480.
//!
//! **Security.** The class is the minimum over both answered legs, from the SDP *answer* in force and the
//! live connections; recomputed after every event, published on change. Phones with
//! [`PeerFeatures::callinfo`] are told: the caller in the 200, the called one by UPDATE or re-INVITE after its
//! ACK. A re-INVITE that is passed on carries the lower of the present class and what its offer can reach: a
//! loss shows before the media changes, a gain only after. A phone's own `Call-Info` with Cisco's security
//! URN is never passed on. An SDP that demands SDES does not cross to a leg that would show the keys: 488.
//!
//! **Session timers** (RFC 4028). Each answered leg has one of its own, also where the phone knows none: then we
//! refresh, and any answer counts as life. A leg that nobody refreshed in time ends the call.
//!
//! **Identity** (RFC 3325, 3323, 4916). Nothing that a phone asserts passes. Each leg has the identity that this node
//! proved, or a wish for privacy: the called phone hears the caller's in its INVITE, the caller the answering line's in
//! 18x and 2xx.
//!
//! **After a fault.** [`Effect::Journal`] carries the row from the 2xx on; [`Call::from_row`] goes on from it,
//! after [`Call::salvage`] of the broken one. [`Call::abort`] ends a call that has no row.

mod accept;
mod choose;
mod early;
mod effect;
mod end;
mod exchange;
mod extension;
mod flows;
mod identity;
mod input;
mod peer;
mod redirect;
mod refer;
mod rekey;
mod reliable;
mod replaces;
mod request;
mod ring;
mod row;
mod security;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod timer;
mod transfer;
mod types;
mod view;

pub use effect::{Effect, Effects, End, Find, Outgoing, OutgoingAck, Reply, TimerKind};
pub use extension::{Extensions, Rack, Refresher, SessionAsk};
pub use identity::{ANONYMOUS, Identity, Privacy, named};
pub use input::{Failure, Incoming, Input, Response};
pub use peer::{CallRef, Parcel, PeerMessage, Replaced};
pub use redirect::{REDIRECT_LINES_MAX, REDIRECTS_MAX, Redirect};
pub use refer::{Refer, ReferTo};
pub use row::{ClassChange, DialogRow, LegRow};
pub use state::Call;
pub use timer::{SESSION_MAX_S, SessionPolicy, SessionTimer};
pub use types::{
    CallerLeg, ClientTx, Dialog, DialogId, Header, Headers, LegId, Method, PeerFeatures, ServerTx, StartArgs,
    Tags, Target,
};
pub use view::{Party, PartyState};

use crate::ids::UnixMillis;

/// Legs of one call at most, the caller's included.
pub const LEGS_MAX: usize = 64;

/// Class changes kept in the row at most; the oldest go first.
pub const HISTORY_MAX: usize = 16;

/// Early dialogs of one phone that the caller is shown at most.
pub const EARLY_MAX: usize = 4;

/// Unwanted dialogs of forked INVITEs that one call ends at most; later 2xx are left to their timers.
pub const STRAYS_MAX: usize = 16;

/// INFO and MESSAGE under way in one call at most; above, 500 with Retry-After.
pub const RELAYS_MAX: usize = 8;

/// Headers passed on in one message at most.
pub const HEADERS_MAX: usize = 8;

/// Longest value of a header that is passed on, in bytes.
pub const HEADER_VALUE_MAX: usize = 1024;

/// Record-Route entries kept at most.
pub const ROUTES_MAX: usize = 16;

/// A call rings no longer than this, whatever its groups and provisionals (sip.md §13.20).
pub const RING_CAP_MS: u64 = 180_000;

/// How long a called phone without connection is waited for (design §3).
pub const TARGET_WAIT_MS: u64 = 5_000;

/// How long an answered call outlives the connection of one of its phones.
pub const FLOW_WAIT_MS: u64 = 60_000;

/// 64·T1: a cancelled INVITE without a final response is given up (RFC 3261 §9.1).
pub const CANCEL_WAIT_MS: u64 = 32_000;

/// T1 (RFC 3261 §17.1.1.1): first repeat of a reliable provisional.
pub const T1_MS: u64 = 500;

/// 64·T1: a reliable provisional without PRACK refuses its INVITE (RFC 3262 §3).
pub const PRACK_WAIT_MS: u64 = 32_000;

/// How long another call may take to lend its leg: it may have to wait for an answer of a phone first.
pub const CLAIM_WAIT_MS: u64 = 40_000;

/// Longer than a missing ACK (64·T1) and a BYE that nobody answers (64·T1) together.
pub const LINGER_MS: u64 = 70_000;

/// What a step may look at besides its input.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The time.
    pub now: UnixMillis,
    /// The call's tags.
    pub tags: &'a dyn Tags,
}

/// Headers that a call may pass from one leg to the other: the engine hands these in as `headers`, others are dropped.
pub fn passes(name: &str) -> bool {
    const PASSED: [&str; 9] = [
        "Alert-Info",
        "Call-Info",
        "Content-Disposition",
        "Content-Language",
        "Info-Package",
        "Priority",
        "Reason",
        "Retry-After",
        "Subject",
    ];
    PASSED.iter().any(|p| p.eq_ignore_ascii_case(name))
}

fn is_failure(status: u16) -> bool {
    (300..=699).contains(&status)
}
