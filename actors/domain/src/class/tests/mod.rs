use proptest::prelude::*;
use smallvec::smallvec;

use super::*;

mod explain;
mod table;

/// A leg that deserves the lock.
pub(super) fn secure(n: u8) -> LegFacts {
    LegFacts {
        device: DeviceName::parse(&format!("SEP0000000000{n:02X}")).unwrap(),
        model: "Cisco 8845".into(),
        trusted: true,
        transport: Transport::Tls,
        suite: SuiteKind::Encrypting,
        proof: PeerProof::Certificate,
        profile: "8845 secure".into(),
        applied_mode: DeviceSecurityMode::Encrypted,
        digest_authentication: false,
        cluster: ClusterMode::Mixed,
        answered: true,
        media: media_of(&[StreamProtection::Sdes]),
    }
}

pub(super) fn media_of(streams: &[StreamProtection]) -> LegMedia {
    LegMedia { streams: streams.into(), ..LegMedia::default() }
}

/// A phone that registered over UDP with a non-secure profile.
pub(super) fn plain(n: u8) -> LegFacts {
    LegFacts {
        transport: Transport::Udp,
        suite: SuiteKind::None,
        proof: PeerProof::None,
        profile: "8845 plain".into(),
        applied_mode: DeviceSecurityMode::NonSecure,
        media: media_of(&[StreamProtection::Plain]),
        ..secure(n)
    }
}

/// A phone on an integrity-only suite.
pub(super) fn shielded(n: u8) -> LegFacts {
    LegFacts {
        suite: SuiteKind::IntegrityOnly,
        applied_mode: DeviceSecurityMode::Authenticated,
        media: media_of(&[StreamProtection::Plain]),
        ..secure(n)
    }
}

pub(super) fn class(leg: &LegFacts) -> SecurityClass {
    class_of_leg(leg).class
}

pub(super) fn any_leg() -> impl Strategy<Value = LegFacts> {
    let transport = prop_oneof![1 => Just(Transport::Udp), 1 => Just(Transport::Tcp), 1 => Just(Transport::Tls), 1 => Just(Transport::Oauth)];
    let suite = prop_oneof![1 => Just(SuiteKind::None), 1 => Just(SuiteKind::IntegrityOnly), 3 => Just(SuiteKind::Encrypting)];
    let proof = prop_oneof![
        1 => Just(PeerProof::None),
        1 => Just(PeerProof::Digest),
        3 => Just(PeerProof::Certificate),
        1 => Just(PeerProof::Token)
    ];
    let mode = prop_oneof![
        1 => Just(DeviceSecurityMode::NonSecure),
        1 => Just(DeviceSecurityMode::Authenticated),
        3 => Just(DeviceSecurityMode::Encrypted)
    ];
    let stream = prop_oneof![
        1 => Just(StreamProtection::Refused),
        4 => Just(StreamProtection::Sdes),
        1 => Just(StreamProtection::Dtls),
        1 => Just(StreamProtection::Weakened),
        1 => Just(StreamProtection::Plain)
    ];
    let hold = prop_oneof![
        3 => Just(Hold::Off),
        1 => Just(Hold::On(HoldSource::Silent)),
        1 => Just(Hold::On(HoldSource::Srtp)),
        1 => Just(Hold::On(HoldSource::PlainRtp))
    ];
    let media = (proptest::collection::vec(stream, 0..3), hold, prop::bool::weighted(0.2));
    let flags = (prop::bool::weighted(0.8), any::<bool>(), prop::bool::weighted(0.8), any::<bool>());
    (0..4u8, transport, suite, proof, mode, media, flags).prop_map(
        |(n, transport, suite, proof, applied_mode, (streams, hold, keys_exposed), flags)| LegFacts {
            transport,
            suite,
            proof,
            applied_mode,
            trusted: flags.0,
            digest_authentication: flags.1,
            cluster: if flags.2 { ClusterMode::Mixed } else { ClusterMode::NonSecure },
            answered: flags.3,
            media: LegMedia { streams: streams.into(), hold, keys_exposed },
            ..secure(n)
        },
    )
}

/// The order of the design, written out a second time as the plain chain that it is.
fn model(leg: &LegFacts, shared_hop_exposed: bool) -> SecurityClass {
    let proven = leg.proof == PeerProof::Certificate
        || (leg.proof == PeerProof::Token && leg.transport == Transport::Oauth);
    let tls = matches!(leg.transport, Transport::Tls | Transport::Oauth) && leg.suite != SuiteKind::None;
    if !leg.trusted {
        return SecurityClass::NonSecure;
    }
    if !tls || !proven {
        return SecurityClass::NonSecure;
    }
    if leg.applied_mode == DeviceSecurityMode::NonSecure || leg.cluster == ClusterMode::NonSecure {
        return SecurityClass::NonSecure;
    }
    if leg.suite == SuiteKind::IntegrityOnly {
        return SecurityClass::Authenticated;
    }
    let exposed = shared_hop_exposed || leg.media.keys_exposed;
    let mut active = leg.media.streams.iter().filter(|s| **s != StreamProtection::Refused).peekable();
    let some = active.peek().is_some();
    let all = active.all(|s| match s {
        StreamProtection::Sdes => !exposed,
        StreamProtection::Dtls => true,
        _ => false,
    });
    if !some || !all || leg.media.hold == Hold::On(HoldSource::PlainRtp) {
        return SecurityClass::Authenticated;
    }
    SecurityClass::Encrypted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_class_follows_the_order_of_the_design(leg in any_leg()) {
        prop_assert_eq!(class(&leg), model(&leg, false));
    }

    #[test]
    fn r045_the_lock_needs_every_criterion(leg in any_leg()) {
        let explained = class_of_leg(&leg);
        let pass = explained.criteria.iter().all(Criterion::pass);
        prop_assert_eq!(explained.class == SecurityClass::Encrypted, pass);
    }

    #[test]
    fn r011_a_call_is_the_minimum_of_its_answered_legs(legs in proptest::collection::vec(any_leg(), 0..6)) {
        let answered: Vec<_> = legs.iter().filter(|l| l.answered).collect();
        let shared = answered.len() == 2
            && answered.iter().any(|l| !l.transport.is_tls() || l.suite != SuiteKind::Encrypting);
        let expected = answered.iter().map(|l| model(l, shared)).min().unwrap_or(SecurityClass::NonSecure);
        let call = class_of_call(&legs);
        prop_assert_eq!(call.class, expected);
        prop_assert_eq!(call.icon, expected.icon());
        prop_assert_eq!(call.legs.len(), answered.len());
    }

    #[test]
    fn r163_digest_never_changes_a_class(leg in any_leg()) {
        let other = LegFacts { digest_authentication: !leg.digest_authentication, ..leg.clone() };
        prop_assert_eq!(class(&leg), class(&other));
        let without = LegFacts { proof: PeerProof::None, ..leg.clone() };
        let digest = LegFacts { proof: PeerProof::Digest, ..leg };
        prop_assert_eq!(class(&digest), class(&without));
        prop_assert_eq!(class(&digest), SecurityClass::NonSecure);
    }

    /// Parties join, leave, are held and resumed in any order: who is there at the end decides.
    #[test]
    fn r049_the_order_of_events_does_not_matter(
        legs in proptest::collection::vec(any_leg(), 1..6),
        keys in proptest::collection::vec(any::<u32>(), 6),
        guest in any_leg(),
    ) {
        let in_order = class_of_call(&legs);
        let mut shuffled: Vec<_> = legs.iter().cloned().zip(keys).collect();
        shuffled.sort_by_key(|(_, key)| *key);
        let shuffled: Vec<_> = shuffled.into_iter().map(|(leg, _)| leg).collect();
        prop_assert_eq!(class_of_call(&shuffled).class, in_order.class);

        let mut call = shuffled;
        call.push(guest);
        let with_guest = class_of_call(&call);
        call.pop();
        prop_assert_eq!(class_of_call(&call).class, in_order.class, "as if the guest had never been there");
        // A third party never raises the class. (A second one can end a two-party call's shared hop.)
        if in_order.legs.len() > 2 {
            prop_assert!(with_guest.class <= in_order.class);
        }
    }

    #[test]
    fn r049_hold_and_resume_come_back_to_the_same_class(leg in any_leg(), silent in any::<bool>()) {
        let talking = LegFacts { media: LegMedia { hold: Hold::Off, ..leg.media.clone() }, ..leg };
        let mut held = talking.clone();
        held.media.hold = Hold::On(if silent { HoldSource::Silent } else { HoldSource::PlainRtp });
        let expected =
            if silent { class(&talking) } else { class(&talking).min(SecurityClass::Authenticated) };
        prop_assert_eq!(class(&held), expected);
        held.media.hold = Hold::Off;
        prop_assert_eq!(class(&held), class(&talking));
    }
}

#[test]
fn no_media_is_no_secure_media() {
    for streams in [smallvec![], smallvec![StreamProtection::Refused]] {
        let leg = LegFacts { media: LegMedia { streams, ..LegMedia::default() }, ..secure(1) };
        assert_eq!(class(&leg), SecurityClass::Authenticated);
    }
}
