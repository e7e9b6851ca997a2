//! SDP between legs: parsed once where it comes in, rewritten for the leg that it goes out on.
//!
//! Each leg has an origin line of its own (`keyline_wire::sdp::bridge`). Sessions are found by the tag that
//! we made for the leg. The map is `dashmap` (sharded locks, not lock-free): one short lock for each SDP of a
//! call, none for a REGISTER, because the two directions of a leg may be served by different workers.

use std::borrow::Cow;
use std::sync::Arc;

use dashmap::DashMap;
use keyline_actors::route::CallKey;
use keyline_domain::cipher::SrtpCiphers;
use keyline_domain::inventory::SrtpMenu;
use keyline_domain::media::{Body, CryptoFact, CryptoSuite, Direction, MediaFacts, MediaProto, StreamFacts};
use keyline_wire::sdp::bridge::{BridgeError, BridgePolicy, LegSession, Role, rewrite};
use keyline_wire::sdp::{self, SuiteSet, Summary};
use smallvec::SmallVec;

/// Media type of session descriptions.
pub const SDP_TYPE: &str = "application/sdp";

/// Sessions of one call; more than a fork can have are not kept.
const SESSIONS_MAX: usize = 130;

/// Sessions of one call by our tag on the leg.
type Sessions = SmallVec<[(Arc<str>, LegSession); 2]>;

/// Changes of one leg's SDP that one second of one start may see before versions could repeat.
const VERSIONS_PER_START: u64 = 1000;

/// SDP sessions of all calls.
pub struct MediaSessions {
    calls: DashMap<CallKey, Sessions, foldhash::quality::RandomState>,
    /// First version of a session that is made now, less the clock: grows with every start.
    base: u64,
}

impl MediaSessions {
    /// For the start of this number.
    pub fn new(start: u32) -> Self {
        Self { calls: DashMap::default(), base: u64::from(start) * VERSIONS_PER_START }
    }

    /// Forgets an ended call.
    pub fn forget(&self, call: CallKey) {
        self.calls.remove(&call);
    }

    /// A leg went over to another call: its session comes along.
    pub fn adopt(&self, from: CallKey, to: CallKey, tag: &str) {
        let session = self.calls.get_mut(&from).and_then(|mut sessions| {
            let at = sessions.iter().position(|(t, _)| &**t == tag)?;
            Some(sessions.remove(at))
        });
        let Some(session) = session else { return };
        let mut sessions = self.calls.entry(to).or_default();
        if !sessions.iter().any(|(t, _)| &**t == tag) {
            sessions.push(session);
        }
    }

    /// Calls that have sessions.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// No call has a session.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Remembers an SDP that came in on a leg.
    pub fn receive(&self, call: CallKey, tag: &Arc<str>, role: Role, summary: &Summary) {
        self.with(call, tag, |leg| {
            if let Err(error) = leg.receive_summary(role, summary) {
                tracing::info!(%call, %error, "an answer does not fit its offer");
            }
        });
    }

    /// Rewrites a body for a leg. `offer` is the offer that came in on the leg, when the body answers it.
    ///
    /// # Errors
    /// The status to fail with: 488 or that of the SDP.
    pub fn rewrite(
        &self,
        call: CallKey,
        tag: &Arc<str>,
        role: Role,
        body: &Body,
        offer: Option<&Summary>,
        policy: &BridgePolicy,
    ) -> Result<Vec<u8>, u16> {
        let sdp = sdp::parse(&body.bytes).map_err(|e| e.status())?;
        self.with(call, tag, |leg| {
            if let Some(offer) = offer {
                leg.offer_received = Some(offer.clone());
            }
            rewrite(sdp, role, leg, policy).map_err(|e: BridgeError| {
                tracing::info!(%call, error = %e, "media cannot be carried to this leg");
                e.status()
            })
        })
    }

    fn with<T>(&self, call: CallKey, tag: &Arc<str>, f: impl FnOnce(&mut LegSession) -> T) -> T {
        let mut sessions = self.calls.entry(call).or_default();
        let at = match sessions.iter().position(|(t, _)| t == tag) {
            Some(at) => at,
            None => {
                if sessions.len() >= SESSIONS_MAX {
                    sessions.remove(0);
                }
                // The id is derived, so that after a restart the leg keeps its session id; the version goes on
                // from the clock and the start's number, ahead of any count before (RFC 3264 §8).
                let mut leg = LegSession::new(session_id(tag));
                leg.version = keyline_actors::clock::now().0 / 1000 + self.base;
                sessions.push((Arc::clone(tag), leg));
                sessions.len() - 1
            }
        };
        f(&mut sessions[at].1)
    }
}

/// Of the tag alone: a leg that goes over to another call keeps its session.
fn session_id(tag: &str) -> u64 {
    use sha2::{Digest, Sha256};
    let mut h = Sha256::new();
    h.update(tag.as_bytes());
    let out = h.finalize();
    u64::from_be_bytes([out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7]])
}

/// Suites that may be negotiated under the parameter `srtp_ciphers`.
pub fn suites(menu: SrtpMenu) -> SuiteSet {
    let menu = match menu {
        SrtpMenu::Strongest => SrtpCiphers::Strongest,
        SrtpMenu::Medium => SrtpCiphers::Medium,
        SrtpMenu::All => SrtpCiphers::All,
    };
    SuiteSet::of(sdp::CryptoSuite::ALL.into_iter().filter(|s| menu.allows(suite(*s))))
}

/// Reads a message's body for a call. What an SDP says goes with it, for the leg that it came on.
///
/// # Errors
/// The status of the fault: 400, 413 or 488.
pub fn body(content_type: &str, bytes: &[u8]) -> Result<(Body, Option<Summary>), u16> {
    let is_sdp = content_type.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case(SDP_TYPE));
    let summary = if is_sdp { Some(sdp::parse(bytes).map_err(|e| e.status())?.summary()) } else { None };
    let media = summary.as_ref().map(|summary| Arc::new(facts(summary)));
    let content_type =
        if content_type == SDP_TYPE { Cow::Borrowed(SDP_TYPE) } else { content_type.to_owned().into() };
    Ok((Body { content_type, bytes: bytes.into(), media }, summary))
}

fn facts(summary: &Summary) -> MediaFacts {
    let streams = summary.streams.iter().map(|s| StreamFacts {
        kind: s.kind.clone(),
        active: s.active,
        proto: match s.proto {
            sdp::MediaProto::Rtp => MediaProto::Rtp,
            sdp::MediaProto::Srtp => MediaProto::Srtp,
            sdp::MediaProto::DtlsSrtp => MediaProto::DtlsSrtp,
            sdp::MediaProto::Other => MediaProto::Other,
        },
        direction: match s.direction {
            sdp::Direction::SendRecv => Direction::SendRecv,
            sdp::Direction::SendOnly => Direction::SendOnly,
            sdp::Direction::RecvOnly => Direction::RecvOnly,
            sdp::Direction::Inactive => Direction::Inactive,
        },
        crypto: s
            .crypto
            .iter()
            .map(|c| CryptoFact { tag: c.tag, suite: suite(c.suite), protects: c.protects })
            .collect(),
    });
    MediaFacts { streams: streams.collect() }
}

fn suite(s: sdp::CryptoSuite) -> CryptoSuite {
    match s {
        sdp::CryptoSuite::AesCm128HmacSha1_80 => CryptoSuite::AesCm128HmacSha1_80,
        sdp::CryptoSuite::AesCm128HmacSha1_32 => CryptoSuite::AesCm128HmacSha1_32,
        sdp::CryptoSuite::AesCm256HmacSha1_80 => CryptoSuite::AesCm256HmacSha1_80,
        sdp::CryptoSuite::AesCm256HmacSha1_32 => CryptoSuite::AesCm256HmacSha1_32,
        sdp::CryptoSuite::AeadAes128Gcm => CryptoSuite::AeadAes128Gcm,
        sdp::CryptoSuite::AeadAes256Gcm => CryptoSuite::AeadAes256Gcm,
    }
}
