//! What the mode of a profile, its OAuth and its digest ask for.

use super::*;
use crate::mode::{PeerProof, Protocol};
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
    let (own, facts) = (Owned::new(), certificate(NAME, [0; 32]));
    for oauth in [false, true] {
        let profile = ProfileSettings { oauth_authentication: oauth, ..secure(Encrypted, false) };
        let request = RequestFacts { certificate: lsc(&facts), ..register(Transport::Oauth) };
        let cause = if oauth { Cause::TokenRequired } else { Cause::OauthNotEnabled };
        assert_eq!(refused(&verdict(&request, &own.device(&profile), Absent)), Some((403, cause)));
        // The TLS port is as before.
        let request = RequestFacts { certificate: lsc(&facts), ..register(Transport::Tls) };
        assert_eq!(refused(&verdict(&request, &own.device(&profile), Absent)), None);
    }
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
