//! Is a stream really under SRTP? Judged from the answer, against the offer that it answers (RFC 4568
//! §5.1.2, §7.1), and kept over holds.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Direction, MediaFacts, MediaProto, StreamFacts};

/// What protects one m-line after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamProtection {
    /// Port 0 in the offer or in the answer: nothing flows, nothing to protect.
    Refused,
    /// SRTP both ways, keys in the SDP: as secret as every hop that carried them.
    Sdes,
    /// SRTP both ways, keys agreed between the ends.
    Dtls,
    /// Keys were agreed, but a session parameter switches encryption or authentication off.
    Weakened,
    /// RTP, or an answer that does not match its offer.
    Plain,
}

/// Where the sound of a hold comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldSource {
    /// Silence: no media flows.
    #[default]
    Silent,
    /// The holding side sends under SRTP.
    Srtp,
    /// The holding side, or music on hold, sends plain RTP.
    PlainRtp,
}

/// Hold state of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Media flows as agreed.
    #[default]
    Off,
    /// Held, by either side.
    On(HoldSource),
}

/// What a leg's class needs to know about its media. A value, kept over holds, small enough to journal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct LegMedia {
    /// Protection of every m-line as of the last answer that was not a hold; empty before the first.
    pub streams: SmallVec<[StreamProtection; 2]>,
    /// Hold state.
    pub hold: Hold,
    /// The SDES keys also crossed a hop that does not encrypt (beside this leg's own, which is judged
    /// from its suite). `class::class_of_call` finds this out for the two legs of a call by itself.
    pub keys_exposed: bool,
}

impl LegMedia {
    /// State after the first answer.
    pub fn agreed(offer: &MediaFacts, answer: &MediaFacts) -> Self {
        let mut media = Self::default();
        media.renegotiated(offer, answer);
        media
    }

    /// Takes in an answered offer. A hold keeps the protection that was agreed before it and only notes
    /// where its sound comes from; anything else replaces the protection.
    pub fn renegotiated(&mut self, offer: &MediaFacts, answer: &MediaFacts) {
        let streams = answer_protects(offer, answer);
        if !(offer.is_held() || answer.is_held()) {
            *self = Self { streams, hold: Hold::Off, keys_exposed: self.keys_exposed };
            return;
        }
        let source = if !(offer.flows() && answer.flows()) {
            HoldSource::Silent
        } else if flowing(offer, answer, &streams).all(StreamProtection::is_srtp) {
            HoldSource::Srtp
        } else {
            HoldSource::PlainRtp
        };
        self.hold = Hold::On(source);
        if self.streams.is_empty() {
            self.streams = streams;
        }
    }

    /// SDES keys are in use on some stream.
    pub fn uses_sdes(&self) -> bool {
        self.streams.contains(&StreamProtection::Sdes)
    }
}

impl StreamProtection {
    /// SRTP both ways.
    pub fn is_srtp(self) -> bool {
        matches!(self, Self::Sdes | Self::Dtls)
    }
}

/// Protection of each m-line of an answered offer, one entry an m-line of the OFFER, in order. An m-line
/// that the answer leaves out was not accepted, so it counts as plain.
///
/// SDES protects when the answer holds exactly one usable line, the offer holds a line with its tag and
/// suite, and neither weakens: the offerer's line keys one direction, the answerer's the other.
pub fn answer_protects(offer: &MediaFacts, answer: &MediaFacts) -> SmallVec<[StreamProtection; 2]> {
    offer
        .streams
        .iter()
        .enumerate()
        .map(|(i, offered)| match answer.streams.get(i) {
            Some(answered) => stream_protects(offered, answered),
            None if offered.active => StreamProtection::Plain,
            None => StreamProtection::Refused,
        })
        .collect()
}

fn stream_protects(offered: &StreamFacts, answered: &StreamFacts) -> StreamProtection {
    if !answered.active {
        return StreamProtection::Refused;
    }
    // An answer that revives or re-types a stream agrees on nothing.
    if !offered.active || offered.kind != answered.kind || offered.proto != answered.proto {
        return StreamProtection::Plain;
    }
    match answered.proto {
        MediaProto::DtlsSrtp => StreamProtection::Dtls,
        // RTP/AVP with a=crypto is SRTP as well once a line was answered ("type b", in no RFC but common).
        MediaProto::Srtp | MediaProto::Rtp => {
            let [line] = answered.crypto.as_slice() else { return StreamProtection::Plain };
            match offered.crypto.iter().find(|o| o.tag == line.tag && o.suite == line.suite) {
                None => StreamProtection::Plain,
                Some(o) if o.protects && line.protects => StreamProtection::Sdes,
                Some(_) => StreamProtection::Weakened,
            }
        }
        MediaProto::Other => StreamProtection::Plain,
    }
}

/// Protection of the streams on which media flows in both the offer's and the answer's words.
fn flowing<'a>(
    offer: &'a MediaFacts,
    answer: &'a MediaFacts,
    streams: &'a [StreamProtection],
) -> impl Iterator<Item = StreamProtection> + 'a {
    let live = |s: &StreamFacts| s.active && s.direction != Direction::Inactive;
    streams
        .iter()
        .zip(&offer.streams)
        .zip(&answer.streams)
        .filter_map(move |((protection, o), a)| (live(o) && live(a)).then_some(*protection))
}
