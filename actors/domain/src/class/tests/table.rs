use super::*;

use SecurityClass::{Authenticated, Encrypted, NonSecure};

#[test]
fn r011_r012_two_parties() {
    let kinds = |n| [(secure(n), Encrypted), (shielded(n), Authenticated), (plain(n), NonSecure)];
    for (a, class_a) in kinds(1) {
        for (b, class_b) in kinds(2) {
            let call = class_of_call(&[a.clone(), b]);
            assert_eq!(call.class, class_a.min(class_b), "{class_a:?} {class_b:?}");
        }
    }
}

#[test]
fn r012_one_non_secure_device_among_many_decides() {
    for parties in 2..=8u8 {
        let all: Vec<_> = (0..parties).map(secure).collect();
        assert_eq!(class_of_call(&all).class, Encrypted);
        for odd in 0..parties {
            let mut call = all.clone();
            call[usize::from(odd)] = plain(odd);
            assert_eq!(class_of_call(&call).class, NonSecure);
            call[usize::from(odd)] = shielded(odd);
            assert_eq!(class_of_call(&call).class, Authenticated);
        }
    }
}

#[test]
fn r045_lock_needs_trust_and_signaling_and_media() {
    for row in 0..8u8 {
        let [trusted, signaling, media] = [row & 1 != 0, row & 2 != 0, row & 4 != 0];
        // Keys agreed between the ends: media does not depend on signaling, so that all 8 rows exist.
        let mut leg = LegFacts { trusted, media: media_of(&[StreamProtection::Dtls]), ..secure(1) };
        if !signaling {
            leg.suite = SuiteKind::IntegrityOnly;
        }
        if !media {
            leg.media = media_of(&[StreamProtection::Plain]);
        }
        let call = class_of_call(&[leg.clone()]);
        assert_eq!(call.icon == "lock", trusted && signaling && media, "row {row:03b}");
        let judged = class_of_leg(&leg).criteria.map(|c| c.pass());
        assert_eq!(judged, [trusted, signaling, media], "each by itself, row {row:03b}");
    }
}

#[test]
fn r046_an_untrusted_device_keeps_the_call_unsecure_and_is_named() {
    let untrusted = LegFacts { trusted: false, model: "Generic SIP".into(), ..secure(2) };
    let call = class_of_call(&[secure(1), untrusted]);
    assert_eq!((call.class, call.icon), (NonSecure, "none"));
    let shown = explain_text("c1", &call);
    assert!(shown.contains("SEP000000000002: non_secure <- keeps the call"), "{shown}");
    assert!(
        shown.contains("device model not trusted (phone_model `Generic SIP`: trusted = false)"),
        "{shown}"
    );
}

#[test]
fn r047_a_conference_follows_who_is_in_it() {
    let mut conference = vec![secure(1), secure(2), secure(3)];
    assert_eq!(class_of_call(&conference).class, Encrypted);
    conference.push(LegFacts { trusted: false, ..secure(4) });
    let joined = class_of_call(&conference);
    assert_eq!((joined.class, joined.legs[3].class, joined.legs[0].class), (NonSecure, NonSecure, Encrypted));
    conference.push(shielded(5));
    conference.remove(3);
    assert_eq!(class_of_call(&conference).class, Authenticated, "the untrusted party left");
    conference.pop();
    assert_eq!(class_of_call(&conference).class, Encrypted);
}

#[test]
fn r048_the_called_device_s_type_decides_the_caller_s_icon() {
    let caller = secure(1);
    let untrusted = LegFacts { trusted: false, ..secure(3) };
    assert_eq!(class_of_call(&[caller.clone(), secure(2)]).icon, "lock");
    assert_eq!(class_of_call(&[caller, untrusted]).icon, "none");
}

#[test]
fn r058_icons_and_call_info_go_by_the_class() {
    let call = |b| class_of_call(&[secure(1), b]);
    assert_eq!((call(secure(2)).icon, call(secure(2)).call_info()), ("lock", "Encrypted"));
    assert_eq!((call(shielded(2)).icon, call(shielded(2)).call_info()), ("shield", "Authenticated"));
    assert_eq!((call(plain(2)).icon, call(plain(2)).call_info()), ("none", "NotAuthenticated"));
    assert_eq!(call_info_security(None), "Unknown");
}

#[test]
fn only_answered_legs_count() {
    let ringing = LegFacts { answered: false, ..plain(2) };
    let call = class_of_call(&[secure(1), ringing.clone(), secure(3)]);
    assert_eq!((call.class, call.legs.len()), (Encrypted, 2));
    assert_eq!(class_of_call(&[ringing]).class, NonSecure);
    assert_eq!(class_of_call(&[]).class, NonSecure);
}

#[test]
fn keys_that_crossed_a_clear_hop_are_no_srtp() {
    // Two parties share their media: the integrity-only hop read both keys.
    let call = class_of_call(&[secure(1), LegFacts { media: secure(2).media, ..shielded(2) }]);
    assert_eq!(call.legs[0].class, Authenticated);
    assert!(explain_text("c", &call).contains("stream 1: SDES keys crossed a non-encrypting hop"));
    // DTLS keys are agreed between the ends.
    let dtls = |leg: LegFacts| LegFacts { media: media_of(&[StreamProtection::Dtls]), ..leg };
    assert_eq!(class_of_call(&[dtls(secure(1)), dtls(shielded(2))]).legs[0].class, Encrypted);
    // At a bridge each leg's keys are its own.
    let call = class_of_call(&[secure(1), secure(2), shielded(3)]);
    assert_eq!(call.legs[0].class, Encrypted);
    let told = LegFacts { media: LegMedia { keys_exposed: true, ..secure(1).media }, ..secure(1) };
    assert_eq!(class(&told), Authenticated);
}

#[test]
fn a_token_proves_on_the_oauth_port_only() {
    let token = LegFacts { proof: PeerProof::Token, transport: Transport::Oauth, ..secure(1) };
    assert_eq!(class(&token), Encrypted);
    assert_eq!(class(&LegFacts { transport: Transport::Tls, ..token }), NonSecure);
}

/// The icon tells of both: that the call is secure, and that the connected device is trusted.
#[test]
fn r038_the_icon_needs_a_secure_call_and_a_trusted_device() {
    for (secured, trusted, icon) in
        [(true, true, "lock"), (true, false, "none"), (false, true, "none"), (false, false, "none")]
    {
        let far = LegFacts { trusted, ..if secured { secure(2) } else { plain(2) } };
        assert_eq!(class_of_call(&[secure(1), far]).icon, icon, "secure {secured}, trusted {trusted}");
    }
}
