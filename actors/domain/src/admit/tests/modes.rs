//! What the mode of a profile, its OAuth and its digest ask for.

use super::*;
use crate::mode::{PeerProof, Protocol};
use crate::oauth::{Claims, Fault};
use DeviceSecurityMode::{Authenticated, Encrypted};
use DigestOutcome::Absent;
use ProfileTransport::TcpUdp;

fn verdict(request: &RequestFacts<'_>, device: &DeviceFacts<'_>, outcome: DigestOutcome) -> Verdict {
    decide(request, Some(device), &mixed(), outcome, false)
}

/// The SIP modes are the SCCP ones: whatever the protocol of the profile, the mode says which transport, suite and
/// proof are due.
#[test]
fn r155_the_modes_ask_for_the_same_on_both_protocols() {
    let (own, facts) = (Owned::new(), certificate(NAME, [0; 32]));
    let model = crate::model::builtin("Cisco 7975").unwrap();
    for mode in [DeviceSecurityMode::NonSecure, Authenticated, Encrypted] {
        let verdicts = [Protocol::Sip, Protocol::Sccp].map(|protocol| {
            let fields =
                crate::profile::ProfileFields { device_security_mode: Some(mode), ..Default::default() };
            let profile = crate::profile::resolve(&fields, model, protocol).unwrap();
            let device = own.device(&profile);
            let suites = [SuiteKind::None, SuiteKind::IntegrityOnly, SuiteKind::Encrypting];
            let tls = suites.map(|suite| {
                let request = RequestFacts { suite, certificate: lsc(&facts), ..register(Transport::Tls) };
                refused(&verdict(&request, &device, Absent))
            });
            (tls, refused(&verdict(&register(Transport::Tcp), &device, Absent)))
        });
        assert_eq!(verdicts[0], verdicts[1], "{mode:?}");
        let served = verdicts[0].0.iter().filter(|refusal| refusal.is_none()).count();
        assert_eq!(
            served,
            usize::from(mode != DeviceSecurityMode::NonSecure),
            "one kind of suite a mode, {mode:?}"
        );
    }
}

#[test]
fn r167_the_oauth_port_is_for_profiles_with_oauth() {
    let (own, facts, claims) = (Owned::new(), certificate(NAME, [0; 32]), Claims::of_device(NAME));
    let token = TokenOutcome::Right(&claims);
    for oauth in [false, true] {
        let profile = ProfileSettings { oauth_authentication: oauth, ..secure(Encrypted, false) };
        let device = own.device(&profile);
        // A certificate proves nothing there, and is not asked for.
        let request = RequestFacts { certificate: lsc(&facts), ..register(Transport::Oauth) };
        let with_token = verdict(&RequestFacts { token, ..request }, &device, Absent);
        let without = verdict(&request, &device, Absent);
        if oauth {
            assert_eq!(admitted(&with_token).proof, PeerProof::Token);
            assert_eq!(admitted(&with_token).certificate, None);
            assert_eq!(without, Verdict::Challenge { stale: false, cause: Cause::TokenRequired });
        } else {
            assert_eq!(refused(&with_token), Some((403, Cause::OauthNotEnabled)));
            assert_eq!(refused(&without), Some((403, Cause::OauthNotEnabled)));
        }
        // The TLS port is as before: there the certificate proves, and a token nothing.
        for token in [TokenOutcome::Absent, TokenOutcome::OffPort, token] {
            let request = RequestFacts { certificate: lsc(&facts), token, ..register(Transport::Tls) };
            assert_eq!(admitted(&verdict(&request, &device, Absent)).proof, PeerProof::Certificate);
            let request = RequestFacts { token, ..register(Transport::Tls) };
            let cause = match (oauth, token) {
                (true, TokenOutcome::OffPort) => Cause::TokenOffOauthPort,
                _ => Cause::NoDeviceCertificate,
            };
            assert_eq!(refused(&verdict(&request, &device, Absent)), Some((403, cause)));
        }
    }
    // Whoever registers by digest, or without anything, is not served there, whatever he shows.
    for profile in [
        non_secure(TcpUdp, true),
        non_secure(TcpUdp, false),
        secure(Encrypted, true),
        secure(Authenticated, false),
    ] {
        let device = own.device(&profile);
        for token in [TokenOutcome::Absent, token] {
            let request = RequestFacts { token, ..register(Transport::Oauth) };
            for outcome in [Absent, DigestOutcome::Right(right())] {
                let non_secure = profile.device_security_mode == DeviceSecurityMode::NonSecure;
                let cause = if non_secure { Cause::TlsNotInProfile } else { Cause::OauthNotEnabled };
                assert_eq!(refused(&verdict(&request, &device, outcome)), Some((403, cause)));
            }
        }
    }
}

#[test]
fn r168_a_token_serves_over_an_encrypting_suite_in_a_mixed_cluster_only() {
    let (own, claims) = (Owned::new(), Claims::of_device(NAME));
    let profile = ProfileSettings { oauth_authentication: true, ..secure(Encrypted, false) };
    let request = RequestFacts { token: TokenOutcome::Right(&claims), ..register(Transport::Oauth) };
    let weak = RequestFacts { suite: SuiteKind::IntegrityOnly, ..request };
    assert_eq!(refused(&verdict(&weak, &own.device(&profile), Absent)), Some((403, Cause::SuiteBelowMode)));
    let cluster = decide(&request, Some(&own.device(&profile)), &Policy::default(), Absent, false);
    assert_eq!(refused(&cluster), Some((403, Cause::ClusterMode)));
}

#[test]
fn a_bad_token_is_challenged_anew_and_one_of_somebody_else_is_not() {
    let own = Owned::new();
    let profile = ProfileSettings { oauth_authentication: true, ..secure(Encrypted, false) };
    let device = own.device(&profile);
    let got = |token, device, too_often| {
        let request = RequestFacts { token, ..register(Transport::Oauth) };
        decide(&request, device, &mixed(), Absent, too_often)
    };
    for fault in [
        Fault::Malformed,
        Fault::TooLarge,
        Fault::Algorithm,
        Fault::Issuer,
        Fault::KeyUnknown,
        Fault::Signature,
        Fault::Audience,
        Fault::Expired,
        Fault::NotYetValid,
    ] {
        let bad = TokenOutcome::Bad(fault);
        let challenge = Verdict::Challenge { stale: false, cause: fault.into() };
        assert_eq!(got(bad, Some(&device), false), challenge);
        assert_eq!(got(bad, None, false), challenge, "nobody learns which devices there are");
        // A token that ran out, or whose key did, is no guess: it is never held against its source.
        let expected = match challenge.is_wrong_answer() {
            true => Some((403, Cause::TokenWrongTooOften)),
            false => None,
        };
        assert_eq!(
            expected.is_none(),
            matches!(fault, Fault::Expired | Fault::NotYetValid | Fault::KeyUnknown)
        );
        assert_eq!(refused(&got(bad, Some(&device), true)), expected);
    }
    assert_eq!(
        refused(&got(TokenOutcome::Bad(Fault::KeyPending), Some(&device), true)),
        Some((503, Cause::TokenKeyPending))
    );
    assert_eq!(
        refused(&got(TokenOutcome::Bad(Fault::Scope), Some(&device), false)),
        Some((403, Cause::TokenScope))
    );
    let other = Claims::of_device(OTHER);
    for device in [Some(&device), None] {
        let refusal = got(TokenOutcome::Right(&other), device, false);
        assert_eq!(refused(&refusal), Some((403, Cause::TokenOfOtherDevice)));
        let Verdict::Refuse(refusal) = refusal else { panic!() };
        assert_eq!(refusal.event, Some(Event::IdentityConflict));
    }
    assert_eq!(
        got(TokenOutcome::Absent, None, true),
        Verdict::Challenge { stale: false, cause: Cause::TokenRequired }
    );
    // A token is no licence for lines of others.
    let claims = Claims::of_device(NAME);
    let request =
        RequestFacts { token: TokenOutcome::Right(&claims), aors: &["1003"], ..register(Transport::Oauth) };
    assert_eq!(refused(&verdict(&request, &device, Absent)), Some((403, Cause::LineOfOtherDevice)));
}

#[test]
fn r205_the_digest_user_acts_only_under_a_profile_with_digest() {
    let own = Owned::new();
    for digest in [false, true] {
        let profile = non_secure(TcpUdp, digest);
        let device = own.device(&profile);
        assert!(device.digest_user.is_some(), "one is chosen either way");
        let got = verdict(&register(Transport::Udp), &device, Absent);
        match digest {
            true => assert_eq!(got, Verdict::Challenge { stale: false, cause: Cause::DigestAbsent }),
            false => assert_eq!(admitted(&got).proof, PeerProof::None),
        }
    }
}
