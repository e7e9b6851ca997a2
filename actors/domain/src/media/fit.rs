//! Whether an answer answers its offer, as far as facts tell (RFC 3264 §6, RFC 4568 §5.1.2). The codec checks
//! the text again where it is rewritten; this is for the choice of who has answered a call.

use super::{MediaFacts, MediaProto, StreamFacts};

impl MediaFacts {
    /// The answer has as many m-lines as this offer, of the same kinds and transport profiles; an accepted SRTP
    /// line takes exactly one of the offered key lines where keys were carried. A line that was offered with
    /// port 0 is not looked into: it is switched off on the way.
    pub fn is_answered_by(&self, answer: &Self, keys_carried: bool) -> bool {
        let pairs = self.streams.iter().zip(&answer.streams);
        self.streams.len() == answer.streams.len() && pairs.into_iter().all(|(o, a)| fits(o, a, keys_carried))
    }
}

fn fits(offered: &StreamFacts, answered: &StreamFacts, keys_carried: bool) -> bool {
    if !answered.active || !offered.active {
        return true;
    }
    let same = offered.kind.eq_ignore_ascii_case(&answered.kind) && offered.proto == answered.proto;
    if !same || offered.proto != MediaProto::Srtp || !keys_carried {
        return same;
    }
    let [line] = answered.crypto.as_slice() else { return false };
    offered.crypto.iter().any(|o| o.tag == line.tag && o.suite == line.suite)
}
