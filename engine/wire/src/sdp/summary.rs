use smallvec::SmallVec;

use super::{CryptoSuite, Direction, Media, Sdp};

/// Transport profile of an m-line (RFC 8866 §5.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaProto {
    /// RTP/AVP, RTP/AVPF.
    Rtp,
    /// RTP/SAVP, RTP/SAVPF: SRTP keyed by SDES.
    Srtp,
    /// UDP/TLS/RTP/SAVP(F) with a fingerprint: SRTP keyed by DTLS.
    DtlsSrtp,
    /// Anything else.
    Other,
}

/// An SDP without its keys: what rules about calls need to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Summary {
    /// The m-lines, in order.
    pub streams: SmallVec<[StreamSummary; 2]>,
}

/// One m-line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamSummary {
    /// `audio`, `video`, `application`…
    pub kind: Box<str>,
    /// Wanted: see [`Media::is_active`].
    pub active: bool,
    /// Transport profile.
    pub proto: MediaProto,
    /// Transport protocol as written.
    pub proto_text: Box<str>,
    /// Direction in force, from the sender's side.
    pub direction: Direction,
    /// Usable crypto lines, in order.
    pub crypto: SmallVec<[CryptoSummary; 2]>,
}

/// One usable `a=crypto` line, without its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CryptoSummary {
    /// Tag.
    pub tag: u32,
    /// Suite.
    pub suite: CryptoSuite,
    /// Encrypts and authenticates.
    pub protects: bool,
}

/// How an answer breaks the offer/answer model. A call cannot go on with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Another number of m-lines (RFC 3264 §6).
    #[error("the answer has {answered} m-lines, the offer {offered}")]
    MediaCount {
        /// m-lines of the offer.
        offered: usize,
        /// m-lines of the answer.
        answered: usize,
    },
    /// Another kind of media in this place.
    #[error("m-line {stream} of the answer is of another media kind than offered")]
    Kind {
        /// Number of the m-line, from 1.
        stream: usize,
    },
    /// RTP/SAVP answered by RTP/AVP and the like (RFC 3264 §6.1).
    #[error("m-line {stream} of the answer has another transport protocol than offered")]
    Proto {
        /// Number of the m-line, from 1.
        stream: usize,
    },
    /// A stream that the offer switched off is on in the answer.
    #[error("m-line {stream} of the answer is active but was offered with port 0")]
    Revived {
        /// Number of the m-line, from 1.
        stream: usize,
    },
    /// SRTP without exactly one usable line (RFC 4568 §5.1.2).
    #[error("m-line {stream} of the answer needs exactly one usable a=crypto line and has {found}")]
    CryptoCount {
        /// Number of the m-line, from 1.
        stream: usize,
        /// Usable lines found.
        found: usize,
    },
    /// A tag, or a suite under that tag, that was not offered (RFC 4568 §7.1.2).
    #[error("m-line {stream} of the answer takes a crypto tag and suite that were not offered")]
    CryptoNotOffered {
        /// Number of the m-line, from 1.
        stream: usize,
    },
}

/// Checks an answer against the offer it answers. Refused m-lines are not looked into. RTP/AVP with
/// `a=crypto` is no error in any combination: without one matching line it is plain RTP.
pub fn validate_answer(offer: &Summary, answer: &Summary) -> Result<(), AnswerError> {
    let (offered, answered) = (offer.streams.len(), answer.streams.len());
    if offered != answered {
        return Err(AnswerError::MediaCount { offered, answered });
    }
    for (i, (o, a)) in offer.streams.iter().zip(&answer.streams).enumerate() {
        let stream = i + 1;
        if !a.active {
            continue;
        }
        if !o.active {
            return Err(AnswerError::Revived { stream });
        }
        if !o.kind.eq_ignore_ascii_case(&a.kind) {
            return Err(AnswerError::Kind { stream });
        }
        if o.proto != a.proto {
            return Err(AnswerError::Proto { stream });
        }
        if a.proto == MediaProto::Srtp {
            let [line] = a.crypto.as_slice() else {
                return Err(AnswerError::CryptoCount { stream, found: a.crypto.len() });
            };
            if !o.offers(line.tag, line.suite) {
                return Err(AnswerError::CryptoNotOffered { stream });
            }
        }
    }
    Ok(())
}

impl StreamSummary {
    /// A line with this tag and suite is among the stream's.
    pub fn offers(&self, tag: u32, suite: CryptoSuite) -> bool {
        self.crypto.iter().any(|line| line.tag == tag && line.suite == suite)
    }
}

pub(super) fn of(sdp: &Sdp<'_>) -> Summary {
    let fingerprint = sdp.attributes.iter().any(|a| a.is("fingerprint"));
    let streams = sdp.media.iter().map(|media| StreamSummary {
        kind: (*media.kind).into(),
        active: media.is_active(),
        proto: proto_of(media, fingerprint),
        proto_text: (*media.proto).into(),
        direction: sdp.direction_of(media),
        crypto: media
            .crypto
            .iter()
            .map(|line| CryptoSummary { tag: line.tag, suite: line.suite, protects: line.protects() })
            .collect(),
    });
    Summary { streams: streams.collect() }
}

/// DTLS-SRTP whose handshake no fingerprint ties to the signaling is nobody's secret (RFC 5763 §5), so
/// without one it counts as `Other`.
pub(super) fn proto_of(media: &Media<'_>, session_fingerprint: bool) -> MediaProto {
    let is = |names: &[&str]| names.iter().any(|name| media.proto.eq_ignore_ascii_case(name));
    if is(&["RTP/AVP", "RTP/AVPF"]) {
        MediaProto::Rtp
    } else if is(&["RTP/SAVP", "RTP/SAVPF"]) {
        MediaProto::Srtp
    } else if is(&["UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF"])
        && (session_fingerprint || media.attributes.iter().any(|a| a.is("fingerprint")))
    {
        MediaProto::DtlsSrtp
    } else {
        MediaProto::Other
    }
}
