use proptest::prelude::*;

use super::protect::answer_protects;
use super::*;

const GCM: CryptoFact = CryptoFact { tag: 1, suite: CryptoSuite::AeadAes256Gcm, protects: true };

fn stream(proto: MediaProto, direction: Direction, crypto: &[CryptoFact]) -> StreamFacts {
    StreamFacts { kind: "audio".into(), active: true, proto, direction, crypto: crypto.into() }
}

fn one(stream: StreamFacts) -> MediaFacts {
    MediaFacts { streams: SmallVec::from_iter([stream]) }
}

fn srtp(direction: Direction) -> MediaFacts {
    one(stream(MediaProto::Srtp, direction, &[GCM]))
}

fn rtp(direction: Direction) -> MediaFacts {
    one(stream(MediaProto::Rtp, direction, &[]))
}

use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
use MediaProto::{DtlsSrtp, Rtp, Srtp};

#[test]
fn rfc3264_directions_are_answered_by_their_counterparts() {
    assert_eq!(SendOnly.answered_with(SendRecv), RecvOnly);
    assert_eq!(RecvOnly.answered_with(SendRecv), SendOnly);
    assert_eq!(Inactive.answered_with(SendRecv), Inactive);
    assert_eq!(SendRecv.answered_with(SendOnly), SendOnly);
    assert_eq!(SendOnly.answered_with(SendOnly), Inactive);
    for d in [SendRecv, SendOnly, RecvOnly, Inactive] {
        assert_eq!(d.reversed().reversed(), d);
        assert_eq!(Direction::of(d.sends(), d.receives()), d);
        assert_eq!(serde_json::to_value(d).unwrap().as_str().unwrap().replace('_', ""), d.as_str());
    }
}

#[test]
fn a_party_holds_when_it_wants_nothing() {
    assert!(rtp(SendOnly).is_held() && rtp(Inactive).is_held());
    assert!(!rtp(SendRecv).is_held() && !rtp(RecvOnly).is_held() && !MediaFacts::default().is_held());
    let mut two = rtp(SendOnly);
    two.streams.push(stream(Rtp, SendRecv, &[]));
    assert!(!two.is_held(), "one stream goes on");
    two.streams[1].active = false;
    assert!(two.is_held(), "a refused stream does not count");
    assert_eq!(hold_change(Some(&rtp(SendRecv)), &rtp(SendOnly)), HoldChange::Hold);
    assert_eq!(hold_change(Some(&rtp(Inactive)), &rtp(SendRecv)), HoldChange::Resume);
    assert_eq!(hold_change(Some(&rtp(Inactive)), &rtp(SendOnly)), HoldChange::Unchanged);
    assert_eq!(hold_change(None, &rtp(SendOnly)), HoldChange::Hold);
}

#[test]
fn srtp_counts_by_the_answer() {
    let protects = |offer: &[CryptoFact], answer: &[CryptoFact]| {
        let answer = one(stream(Srtp, SendRecv, answer));
        answer_protects(&one(stream(Srtp, SendRecv, offer)), &answer)[0]
    };
    let other_tag = CryptoFact { tag: 2, ..GCM };
    let other_suite = CryptoFact { suite: CryptoSuite::AesCm128HmacSha1_80, ..GCM };
    let weak = CryptoFact { protects: false, ..GCM };
    assert_eq!(protects(&[other_tag, GCM], &[GCM]), StreamProtection::Sdes);
    assert_eq!(protects(&[GCM], &[]), StreamProtection::Plain);
    assert_eq!(protects(&[], &[GCM]), StreamProtection::Plain);
    assert_eq!(protects(&[GCM], &[other_tag]), StreamProtection::Plain);
    assert_eq!(protects(&[GCM], &[other_suite]), StreamProtection::Plain);
    assert_eq!(protects(&[GCM, other_tag], &[GCM, other_tag]), StreamProtection::Plain);
    assert_eq!(
        protects(&[weak], &[GCM]),
        StreamProtection::Weakened,
        "the offerer's direction is in the clear"
    );
    assert_eq!(protects(&[GCM], &[weak]), StreamProtection::Weakened);
}

#[test]
fn other_profiles_count_by_the_answer_too() {
    let kinds = |offer: MediaFacts, answer: MediaFacts| answer_protects(&offer, &answer)[0];
    let optional = one(stream(Rtp, SendRecv, &[GCM]));
    assert_eq!(kinds(optional.clone(), optional.clone()), StreamProtection::Sdes);
    assert_eq!(kinds(optional, rtp(SendRecv)), StreamProtection::Plain);
    let dtls = one(stream(DtlsSrtp, SendRecv, &[]));
    assert_eq!(kinds(dtls.clone(), dtls.clone()), StreamProtection::Dtls);
    assert_eq!(kinds(dtls, rtp(SendRecv)), StreamProtection::Plain);
    assert_eq!(kinds(srtp(SendRecv), rtp(SendRecv)), StreamProtection::Plain);
    let other = one(stream(MediaProto::Other, SendRecv, &[GCM]));
    assert_eq!(kinds(other.clone(), other), StreamProtection::Plain);
    let mut off = srtp(SendRecv);
    off.streams[0].active = false;
    assert_eq!(kinds(srtp(SendRecv), off.clone()), StreamProtection::Refused);
    assert_eq!(kinds(off, srtp(SendRecv)), StreamProtection::Plain, "revived by the answer");
    assert_eq!(answer_protects(&srtp(SendRecv), &MediaFacts::default())[0], StreamProtection::Plain);
}

#[test]
fn a_hold_keeps_what_was_agreed_and_notes_its_source() {
    let talking = LegMedia::agreed(&srtp(SendRecv), &srtp(SendRecv));
    let after = |offer: &MediaFacts, answer: &MediaFacts| {
        let mut media = talking.clone();
        media.renegotiated(offer, answer);
        assert_eq!(media.streams, talking.streams);
        media.hold
    };
    assert_eq!(after(&srtp(SendOnly), &srtp(RecvOnly)), Hold::On(HoldSource::Srtp));
    assert_eq!(after(&rtp(SendOnly), &rtp(RecvOnly)), Hold::On(HoldSource::PlainRtp));
    assert_eq!(after(&rtp(Inactive), &rtp(Inactive)), Hold::On(HoldSource::Silent));
    assert_eq!(after(&rtp(SendRecv), &rtp(SendOnly)), Hold::On(HoldSource::PlainRtp), "held by the answerer");
}

#[test]
fn a_resume_is_judged_afresh() {
    let mut media = LegMedia::agreed(&srtp(SendRecv), &srtp(SendRecv));
    media.renegotiated(&rtp(Inactive), &rtp(Inactive));
    media.renegotiated(&rtp(SendRecv), &rtp(SendRecv));
    assert_eq!(media, LegMedia::agreed(&rtp(SendRecv), &rtp(SendRecv)));
    media.renegotiated(&srtp(SendRecv), &srtp(SendRecv));
    assert_eq!(media.streams[0], StreamProtection::Sdes);
    assert!(media.uses_sdes());
}

#[test]
fn a_call_that_begins_held_has_nothing_to_keep() {
    let media = LegMedia::agreed(&rtp(SendOnly), &rtp(RecvOnly));
    assert_eq!(media.streams[0], StreamProtection::Plain);
    assert_eq!(media.hold, Hold::On(HoldSource::PlainRtp));
}

proptest! {
    /// Whatever was negotiated and held before, the last exchange that is no hold decides alone.
    #[test]
    fn r049_media_depends_on_the_last_exchange_not_on_the_way(
        steps in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..4usize), 0..8),
        secure in any::<bool>(),
    ) {
        let facts = |secure: bool, d| if secure { srtp(d) } else { rtp(d) };
        let mut media = LegMedia::default();
        for (offer, answer, direction) in steps {
            let direction = [SendRecv, SendOnly, RecvOnly, Inactive][direction];
            media.renegotiated(&facts(offer, direction), &facts(answer, direction.reversed()));
        }
        let mut held = media.clone();
        held.renegotiated(&rtp(Inactive), &rtp(Inactive));
        prop_assert_eq!(held.hold, Hold::On(HoldSource::Silent));
        if !media.streams.is_empty() {
            prop_assert_eq!(&held.streams, &media.streams, "silence changes nothing");
        }
        held.renegotiated(&facts(secure, SendRecv), &facts(secure, SendRecv));
        prop_assert_eq!(held, LegMedia::agreed(&facts(secure, SendRecv), &facts(secure, SendRecv)));
    }
}
