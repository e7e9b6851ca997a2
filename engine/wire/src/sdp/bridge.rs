//! Carrying an offer or an answer from one leg to another. A B2BUA never passes SDP untouched: each leg
//! has an origin line of its own whose version counts this leg's changes (RFC 3264 §8), and SDES keys
//! go only where every hop may see them.
//!
//! Use, per leg: [`LegSession::receive`] for each SDP that comes in on the leg, [`rewrite`] for each SDP
//! that goes out on it. Both remember the leg's last offers, so that answers can be checked and fitted.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;
use std::ops::Range;

use smallvec::SmallVec;

use super::print::print;
use super::summary::proto_of;
use super::{Attribute, Connection, CryptoRefusal, Media, MediaProto, Sdp, StreamSummary, SuiteSet, Summary};

/// What may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BridgePolicy {
    /// Both legs' signaling is TLS, so SDES keys stay between the phones and this server.
    pub carry_crypto: bool,
    /// Suites that may be negotiated (parameter `srtp_ciphers`).
    pub suites: SuiteSet,
}

/// The SDP's part in the offer/answer model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// An offer.
    Offer,
    /// An answer, also a provisional one.
    Answer,
}

/// What a leg remembers of the SDP on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LegSession {
    /// Session id in our origin line on this leg.
    pub id: u64,
    /// Version of the last SDP sent on this leg; 0 before the first.
    pub version: u64,
    /// Hash of what was last sent but its version, to tell a change. Stays in memory: it says something about
    /// keys. A phone that makes two descriptions collide keeps its own change from the other phone, no more.
    pub content: Option<u64>,
    /// Media address last sent on this leg: stands in for `0.0.0.0` in an old-style hold.
    pub address: Option<IpAddr>,
    /// Last offer received on this leg: our answers must fit it.
    pub offer_received: Option<Summary>,
    /// Last offer sent on this leg: its answers must fit it.
    pub offer_sent: Option<Summary>,
}

/// Why an SDP cannot be carried to a leg. The leg is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BridgeError {
    /// SRTP only, towards a leg that must not see keys.
    #[error(
        "m-line {stream} is SRTP only, but a hop of the call is not TLS; offer RTP/AVP beside it or use TLS"
    )]
    SrtpNotCarried {
        /// Number of the m-line, from 1.
        stream: usize,
    },
    /// SRTP without a key line that can be used.
    #[error("m-line {stream} is SRTP without a usable a=crypto line{}", first(refused.first()))]
    NoUsableCrypto {
        /// Number of the m-line, from 1.
        stream: usize,
        /// Why its lines were left out, in order; empty when policy allows none of their suites.
        refused: Vec<CryptoRefusal>,
    },
    /// The answer does not fit the offer that this leg made.
    #[error(transparent)]
    Answer(#[from] super::AnswerError),
}

impl BridgeError {
    /// SIP status: the media cannot be agreed on (RFC 3261 §21.4.26).
    pub fn status(&self) -> u16 {
        488
    }
}

fn first(refused: Option<&CryptoRefusal>) -> String {
    refused.map(|r| format!(" (the first one: {r})")).unwrap_or_default()
}

impl LegSession {
    /// A new leg. `id` is random; a bit is dropped so that it fits a signed 64-bit integer (RFC 3264 §5).
    pub fn new(id: u64) -> Self {
        Self { id: id >> 1, ..Self::default() }
    }

    /// Takes in an SDP that came on this leg. An offer is remembered; an answer is checked against the
    /// offer that was sent, where one is known. The summary is of the SDP as received.
    pub fn receive(&mut self, role: Role, sdp: &Sdp<'_>) -> Result<Summary, super::AnswerError> {
        let summary = sdp.summary();
        self.receive_summary(role, &summary)?;
        Ok(summary)
    }

    /// The same for one that was read before.
    pub fn receive_summary(&mut self, role: Role, summary: &Summary) -> Result<(), super::AnswerError> {
        match (role, &self.offer_sent) {
            (Role::Offer, _) => self.offer_received = Some(summary.clone()),
            (Role::Answer, Some(offer)) => super::validate_answer(offer, summary)?,
            (Role::Answer, None) => {}
        }
        Ok(())
    }
}

/// Rewrites an SDP of another leg for `leg` and prints it.
///
/// An m-line of RTP/SAVP that cannot carry keys (policy, or no usable line) is switched off in an offer
/// (port 0) where an active RTP/AVP line of its kind stands beside it, or where it is not audio and
/// something active remains; else the offer is refused. RTP/AVP with `a=crypto` becomes plain RTP/AVP
/// when keys are not carried. An answer keeps the number and order of the m-lines, bears the transport
/// protocol of the offer that this leg made and only key lines that it offered. Attributes that nobody here
/// knows pass.
pub fn rewrite(
    sdp: Sdp<'_>,
    role: Role,
    leg: &mut LegSession,
    policy: &BridgePolicy,
) -> Result<Vec<u8>, BridgeError> {
    let mut out = sdp;
    for media in &mut out.media {
        media.crypto.retain(|line| policy.carry_crypto && policy.suites.contains(line.suite));
        media.attributes.retain(passes);
    }
    out.attributes.retain(passes);
    match role {
        Role::Offer => fit_offer(&mut out, policy)?,
        Role::Answer => fit_answer(&mut out, leg.offer_received.as_ref(), policy)?,
    }
    modern_hold(&mut out, leg.address);
    out.name = Cow::Borrowed("-");
    let address = media_address(&out);
    set_origin(leg, &mut out);
    // Most are new: the text is made with the next version, and only an unchanged one gets the old one back.
    let (mut text, version) = print(&out);
    let content = hash(&text, version.clone());
    if leg.content == Some(content) {
        text.replace_range(version, &leg.version.to_string());
    } else {
        leg.version += 1;
        leg.content = Some(content);
    }
    leg.address = address.or(leg.address);
    if role == Role::Offer {
        leg.offer_sent = Some(out.summary());
    }
    Ok(text.into_bytes())
}

/// Attributes that never cross: MIKEY keys (RFC 4567), which nobody here can judge, and capability
/// negotiation (RFC 5939), which could bring keys and transport protocols back that were taken out.
fn passes(attribute: &Attribute<'_>) -> bool {
    const STOPPED: [&str; 8] = ["crypto", "key-mgmt", "acap", "tcap", "pcfg", "acfg", "creq", "csup"];
    !STOPPED.iter().any(|name| attribute.is(name))
}

fn lacks_keys(media: &Media<'_>) -> bool {
    media.is_active() && proto_of(media, false) == MediaProto::Srtp && media.crypto.is_empty()
}

fn no_keys(media: &Media<'_>, stream: usize, policy: &BridgePolicy) -> BridgeError {
    if policy.carry_crypto {
        BridgeError::NoUsableCrypto { stream, refused: media.crypto_refused.clone() }
    } else {
        BridgeError::SrtpNotCarried { stream }
    }
}

fn fit_offer(out: &mut Sdp<'_>, policy: &BridgePolicy) -> Result<(), BridgeError> {
    let Some(first) = out.media.iter().position(lacks_keys) else { return Ok(()) };
    let usable = |media: &Media<'_>| media.is_active() && !lacks_keys(media);
    let beside = |kind: &str| {
        out.media
            .iter()
            .any(|m| usable(m) && m.kind.eq_ignore_ascii_case(kind) && proto_of(m, false) == MediaProto::Rtp)
    };
    let stuck = out
        .media
        .iter()
        .position(|m| lacks_keys(m) && m.kind.eq_ignore_ascii_case("audio") && !beside(&m.kind));
    let stuck = stuck.or_else(|| (!out.media.iter().any(usable)).then_some(first));
    if let Some((i, media)) = stuck.and_then(|i| out.media.get(i).map(|m| (i, m))) {
        return Err(no_keys(media, i + 1, policy));
    }
    for media in out.media.iter_mut().filter(|m| lacks_keys(m)) {
        switch_off(media);
    }
    // A group must not name a line that is off (RFC 9143 §7.2), and nothing needs the group.
    out.attributes.retain(|a| !a.is("group"));
    Ok(())
}

fn fit_answer(out: &mut Sdp<'_>, offer: Option<&Summary>, policy: &BridgePolicy) -> Result<(), BridgeError> {
    if let Some(offer) = offer {
        let (offered, answered) = (offer.streams.len(), out.media.len());
        if offered != answered {
            return Err(super::AnswerError::MediaCount { offered, answered }.into());
        }
        for (i, (o, media)) in offer.streams.iter().zip(&mut out.media).enumerate() {
            fit_stream(o, media, i + 1)?;
        }
    }
    match out.media.iter().position(lacks_keys).and_then(|i| out.media.get(i).map(|m| (i, m))) {
        Some((i, media)) => Err(no_keys(media, i + 1, policy)),
        None => Ok(()),
    }
}

fn fit_stream(
    offered: &StreamSummary,
    media: &mut Media<'_>,
    stream: usize,
) -> Result<(), super::AnswerError> {
    if !offered.active {
        switch_off(media);
    }
    let same = offered.proto_text.eq_ignore_ascii_case(&media.proto);
    let class = proto_of(media, true);
    if media.is_active() && !same && (class != offered.proto || class == MediaProto::Other) {
        return Err(super::AnswerError::Proto { stream });
    }
    if *media.proto != *offered.proto_text {
        media.proto = Cow::Owned(offered.proto_text.to_string());
    }
    media.crypto.retain(|line| offered.offers(line.tag, line.suite));
    if media.crypto.len() > 1 {
        media.crypto.clear();
    }
    Ok(())
}

fn switch_off(media: &mut Media<'_>) {
    media.port = 0;
    media.ports = None;
    media.crypto.clear();
    media.attributes.retain(|a| !a.is("bundle-only"));
}

/// Turns `c=0.0.0.0` into a direction attribute and an address that exists: another one of the same body,
/// else the one last sent on this leg, else the one in the peer's origin line. `0.0.0.0` stays only where
/// none is known, and with ICE, where it means something else. The same body gives the same result again, or its version would count for nothing.
fn modern_hold(out: &mut Sdp<'_>, known: Option<IpAddr>) {
    let unspecified = |c: &Option<Connection<'_>>| c.as_ref().is_some_and(Connection::is_unspecified);
    let held: SmallVec<[bool; 4]> = out
        .media
        .iter()
        .map(|m| out.connection_of(m).is_some_and(Connection::is_unspecified) && !out.uses_ice(m))
        .collect();
    if !held.contains(&true) {
        return;
    }
    for i in 0..out.media.len() {
        let Some(direction) = out.media.get(i).map(|m| out.direction_of(m)) else { continue };
        if let Some(media) = out.media.get_mut(i) {
            media.direction = Some(direction);
        }
    }
    out.direction = None;
    let origin = out.origin.address.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified());
    let Some(ip) = media_address(out).or(known).or(origin) else { return };
    let own = out.media.iter_mut().zip(held).filter(|(_, held)| *held).map(|(m, _)| &mut m.connection);
    let every = std::iter::once(&mut out.connection).chain(own);
    for connection in every.filter(|c| unspecified(c)) {
        *connection = Some(Connection { ip6: ip.is_ipv6(), address: ip.to_string().into() });
    }
}

fn first_connection<'o, 't>(out: &'o Sdp<'t>) -> Option<&'o Connection<'t>> {
    out.connection.as_ref().or_else(|| out.media.iter().find_map(|m| m.connection.as_ref()))
}

/// The first address of the body that media can go to.
fn media_address(out: &Sdp<'_>) -> Option<IpAddr> {
    let all = out.connection.iter().chain(out.media.iter().filter_map(|m| m.connection.as_ref()));
    all.filter_map(|c| c.ip()).find(|ip| !ip.is_unspecified())
}

/// Our origin line: a neutral user name and the media address, so that it tells nothing that the rest of
/// the body does not. Its version is the one after the last.
fn set_origin(leg: &LegSession, out: &mut Sdp<'_>) {
    if let Some(c) = first_connection(out) {
        let address = match &c.address {
            Cow::Borrowed(text) => Cow::Borrowed(text.split('/').next().unwrap_or_default()),
            Cow::Owned(_) => Cow::Owned(c.host().to_owned()),
        };
        (out.origin.address_type, out.origin.address) =
            (Cow::Borrowed(if c.ip6 { "IP6" } else { "IP4" }), address);
    }
    out.origin.username = Cow::Borrowed("keyline");
    out.origin.session_id = Cow::Owned(leg.id.to_string());
    out.origin.version = Cow::Owned((leg.version + 1).to_string());
}

fn hash(text: &str, version: Range<usize>) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&text.as_bytes()[..version.start]);
    hasher.write(&text.as_bytes()[version.end..]);
    hasher.finish()
}
