//! The requirements, one by one.

use super::*;
use crate::identity::Proven;
use crate::mode::PeerProof;
use DeviceSecurityMode::{Authenticated, Encrypted};
use DigestOutcome::{Absent, Right, Stale, Wrong};
use ProfileTransport::{Tcp, TcpUdp, Udp};

const STALE: fn(Cause) -> Verdict = |cause| Verdict::Challenge { stale: true, cause };
const CHALLENGE: fn(Cause) -> Verdict = |cause| Verdict::Challenge { stale: false, cause };

fn verdict(request: &RequestFacts<'_>, device: &DeviceFacts<'_>, outcome: DigestOutcome) -> Verdict {
    decide(request, Some(device), &mixed(), outcome, false)
}

#[test]
fn r002_tls_is_refused_under_a_non_secure_profile() {
    let (own, profile) = (Owned::new(), non_secure(TcpUdp, false));
    let device = own.device(&profile);
    for transport in [Transport::Udp, Transport::Tcp] {
        let verdict = decide(&register(transport), Some(&device), &Policy::default(), Absent, false);
        assert_eq!(admitted(&verdict).proof, PeerProof::None);
    }
    let facts = certificate(NAME, [0; 32]);
    let tls = RequestFacts { certificate: lsc(&facts), ..register(Transport::Tls) };
    for request in [register(Transport::Tls), tls, register(Transport::Oauth)] {
        assert_eq!(refused(&verdict(&request, &device, Absent)), Some((403, Cause::TlsNotInProfile)));
    }
}

#[test]
fn r158_r161_websocket_is_the_models_business_and_for_non_secure_profiles() {
    let own = Owned::new();
    for transport in [Transport::Ws, Transport::Wss] {
        for allowed in [Udp, Tcp, TcpUdp] {
            let profile = non_secure(allowed, false);
            let device = DeviceFacts { websocket: true, ..own.device(&profile) };
            assert_eq!(admitted(&verdict(&register(transport), &device, Absent)).proof, PeerProof::None);
            let other = own.device(&profile);
            let refusal = Some((403, Cause::TransportNotInProfile));
            assert_eq!(refused(&verdict(&register(transport), &other, Absent)), refusal);
            // And it gives no other transport.
            let tcp = verdict(&register(Transport::Tcp), &device, Absent);
            assert_eq!(refused(&tcp).is_some(), allowed == Udp);
        }
        let digest = non_secure(Udp, true);
        let device = DeviceFacts { websocket: true, ..own.device(&digest) };
        assert_eq!(verdict(&register(transport), &device, Absent), CHALLENGE(Cause::DigestAbsent));
        for mode in [Authenticated, Encrypted] {
            let profile = secure(mode, true);
            let device = DeviceFacts { websocket: true, ..own.device(&profile) };
            let refusal = Some((403, Cause::TransportNotInProfile));
            assert_eq!(refused(&verdict(&register(transport), &device, Absent)), refusal);
        }
    }
}

#[test]
fn r055_preferred_vendor_phones_need_their_upload() {
    let (own, facts) = (Owned::new(), certificate("anything", UPLOAD));
    let vendor = Some(PeerCertificate { facts: &facts, chain: ChainedTo::VendorTrust });
    let named = certificate(NAME, [0; 32]);
    for digest in [false, true] {
        let profile = secure(Encrypted, digest);
        let lacking = DeviceFacts { preferred_vendor: true, ..own.device(&profile) };
        // Neither a right digest nor a certificate that names the phone makes up for it (R054).
        for certificate in [None, vendor, lsc(&named)] {
            let request = RequestFacts { certificate, ..register(Transport::Tls) };
            let got = verdict(&request, &lacking, Right(right()));
            assert_eq!(refused(&got), Some((403, Cause::VendorCertificateMissing)));
        }
        let uploaded = DeviceFacts { uploaded_certificate: Some(&UPLOAD), ..lacking };
        let request = RequestFacts { certificate: vendor, ..register(Transport::Tls) };
        let got = verdict(&request, &uploaded, Right(right()));
        assert_eq!(admitted(&got).certificate, Some(Proven::ByUpload));
        let request = RequestFacts { certificate: lsc(&named), ..request };
        let got = verdict(&request, &uploaded, Right(right()));
        assert_eq!(refused(&got), Some((403, Cause::CertificateUntrusted)));
    }
}

#[test]
fn r052_r053_manufacturer_and_local_certificates() {
    let (own, profile) = (Owned::new(), secure(Encrypted, false));
    let device = own.device(&profile);
    let (local, maker) = (certificate(NAME, [0; 32]), certificate(&format!("CP-8845-{NAME}"), [0; 32]));
    let with = |facts| RequestFacts { certificate: lsc(facts), ..register(Transport::Tls) };
    let got = verdict(&with(&local), &device, Absent);
    assert_eq!((admitted(&got).certificate, admitted(&got).event), (Some(Proven::ByLsc), None));
    let got = verdict(&with(&maker), &device, Absent);
    assert_eq!(admitted(&got).certificate, Some(Proven::ByMic));
    assert_eq!(admitted(&got).event, Some(Event::ManufacturerCertificate));
    let strict = Policy { mic: MicPolicy::Refuse, ..mixed() };
    let got = decide(&with(&maker), Some(&device), &strict, Absent, false);
    assert_eq!(refused(&got), Some((403, Cause::MicRefused)));
    let other_model = certificate(&format!("CP-8865-{NAME}"), [0; 32]);
    let got = verdict(&with(&other_model), &device, Absent);
    assert_eq!(refused(&got), Some((403, Cause::CertificateOfOtherModel)));
    // The maker's roots were removed from the trust store.
    let untrusted = Some(PeerCertificate { facts: &maker, chain: ChainedTo::Nothing });
    let request = RequestFacts { certificate: untrusted, ..register(Transport::Tls) };
    assert_eq!(refused(&verdict(&request, &device, Absent)), Some((403, Cause::CertificateUntrusted)));
}

#[test]
fn r059_secure_profiles_need_mixed_mode() {
    let (own, facts) = (Owned::new(), certificate(NAME, [0; 32]));
    for (mode, digest) in [(Authenticated, false), (Encrypted, false), (Encrypted, true)] {
        let profile = secure(mode, digest);
        let request = RequestFacts { certificate: lsc(&facts), ..register(Transport::Tls) };
        let got = decide(&request, Some(&own.device(&profile)), &Policy::default(), Right(right()), false);
        let Verdict::Refuse(refusal) = got else { panic!("{got:?}") };
        assert_eq!((refusal.status, refusal.cause.as_str()), (403, "cluster_mode"));
        assert!(refusal.cause.text().contains("cluster mode"));
    }
}

#[test]
fn r073_a_certificate_of_another_phone_is_refused() {
    let own = Owned::new();
    let named = certificate(OTHER, [0; 32]);
    let uploaded = certificate("vendor", [8; 32]);
    for digest in [false, true] {
        let profile = secure(Encrypted, digest);
        let device = own.device(&profile);
        let preferred = DeviceFacts { preferred_vendor: true, uploaded_certificate: Some(&UPLOAD), ..device };
        for (device, facts, chain) in [
            (device, &named, ChainedTo::CapfTrust),
            (device, &named, ChainedTo::CallManagerTrust),
            (preferred, &uploaded, ChainedTo::VendorTrust),
        ] {
            let certificate = Some(PeerCertificate { facts, chain });
            let request = RequestFacts { certificate, ..register(Transport::Tls) };
            let got = verdict(&request, &device, Right(right()));
            assert_eq!(refused(&got), Some((403, Cause::CertificateOfOtherDevice)));
            let Verdict::Refuse(refusal) = got else { panic!() };
            assert_eq!(refusal.event, Some(Event::IdentityConflict));
        }
    }
}

#[test]
fn r077_phones_of_one_profile_share_a_certificate() {
    let (own, profile) = (Owned::new(), secure(Authenticated, false));
    let shared = DeviceFacts {
        preferred_vendor: true,
        shared_certificate: true,
        uploaded_certificate: None,
        ..own.device(&profile)
    };
    let mut facts = certificate("x", UPLOAD);
    facts.san_dns = vec!["phones.example".to_owned()];
    let certificate = Some(PeerCertificate { facts: &facts, chain: ChainedTo::VendorTrust });
    let request = RequestFacts { certificate, suite: SuiteKind::IntegrityOnly, ..register(Transport::Tls) };
    let got = verdict(&request, &shared, Absent);
    assert_eq!(admitted(&got).certificate, Some(Proven::Profile));
    assert_eq!(admitted(&got).proof, PeerProof::Certificate);
    let renamed = DeviceFacts { profile_name: "Phones.example", ..shared };
    let got = verdict(&request, &renamed, Absent);
    assert_eq!(refused(&got), Some((403, Cause::CertificateOfOtherProfile)));
}

#[test]
fn r119_r120_the_suite_must_be_of_the_mode() {
    let (own, facts) = (Owned::new(), certificate(NAME, [0; 32]));
    for (mode, suite, want) in [
        (Encrypted, SuiteKind::IntegrityOnly, Some((403, Cause::SuiteBelowMode))),
        (Authenticated, SuiteKind::Encrypting, Some((403, Cause::SuiteNotOfMode))),
        (Encrypted, SuiteKind::Encrypting, None),
        (Authenticated, SuiteKind::IntegrityOnly, None),
    ] {
        let profile = secure(mode, false);
        let request = RequestFacts { certificate: lsc(&facts), suite, ..register(Transport::Tls) };
        assert_eq!(refused(&verdict(&request, &own.device(&profile), Absent)), want, "{mode:?} {suite:?}");
    }
}

#[test]
fn r153_only_right_credentials_get_a_stale_challenge() {
    let (own, profile) = (Owned::new(), non_secure(Udp, true));
    let device = own.device(&profile);
    let got = |outcome| verdict(&register(Transport::Udp), &device, outcome);
    assert_eq!(got(Stale(Cause::NonceExpired)), STALE(Cause::NonceExpired));
    assert_eq!(got(Stale(Cause::NonceEvicted)), STALE(Cause::NonceEvicted));
    assert_eq!(got(Wrong), CHALLENGE(Cause::DigestWrong));
    assert_eq!(got(DigestOutcome::Forged), CHALLENGE(Cause::NonceForged));
    assert_eq!(got(Absent), CHALLENGE(Cause::DigestAbsent));
    let replayed = RightDigest { replayed: true, ..right() };
    assert_eq!(got(Right(replayed)), STALE(Cause::NonceReplayed));
}

#[test]
fn r158_a_profile_is_served_on_its_transports_only() {
    let own = Owned::new();
    for (profile, udp, tcp) in [(Udp, true, false), (Tcp, false, true), (TcpUdp, true, true)] {
        for digest in [false, true] {
            let profile = non_secure(profile, digest);
            for (transport, open) in [(Transport::Udp, udp), (Transport::Tcp, tcp)] {
                let got = verdict(&register(transport), &own.device(&profile), Right(right()));
                let want = (!open).then_some((403, Cause::TransportNotInProfile));
                assert_eq!(refused(&got), want, "{transport:?}");
            }
        }
    }
}

#[test]
fn r160_secure_profiles_are_served_on_tls_only() {
    let own = Owned::new();
    for (mode, digest) in [(Authenticated, false), (Encrypted, false), (Encrypted, true)] {
        for transport in [Transport::Udp, Transport::Tcp] {
            let profile = secure(mode, digest);
            let got = verdict(&register(transport), &own.device(&profile), Right(right()));
            assert_eq!(refused(&got), Some((403, Cause::TlsRequired)));
        }
    }
}

#[test]
fn r162_digest_and_certificate_are_both_due() {
    let (own, profile, facts) = (Owned::new(), secure(Encrypted, true), certificate(NAME, [0; 32]));
    let device = own.device(&profile);
    let request = RequestFacts { certificate: lsc(&facts), ..register(Transport::Tls) };
    assert_eq!(due(&request, Some(&device), &mixed()), Due::Digest { nonce_validity_s: 600 });
    assert_eq!(verdict(&request, &device, Absent), CHALLENGE(Cause::DigestAbsent));
    assert_eq!(verdict(&request, &device, Wrong), CHALLENGE(Cause::DigestWrong));
    let got = verdict(&request, &device, Right(right()));
    assert_eq!(admitted(&got).proof, PeerProof::Certificate);
    assert_eq!(admitted(&got).nonce, Some((1, 1)));
}

#[test]
fn r163_digest_stands_in_for_a_missing_certificate_but_proves_less() {
    let (own, profile) = (Owned::new(), secure(Encrypted, true));
    let got = verdict(&register(Transport::Tls), &own.device(&profile), Right(right()));
    assert_eq!(admitted(&got).proof, PeerProof::Digest);
    assert_eq!(admitted(&got).cause, Some(Cause::NoDeviceCertificate));
    // Without digest: 403, never 401.
    let profile = secure(Encrypted, false);
    for outcome in [Absent, Wrong, Right(right())] {
        let got = verdict(&register(Transport::Tls), &own.device(&profile), outcome);
        assert_eq!(refused(&got), Some((403, Cause::NoDeviceCertificate)));
    }
}

#[test]
fn r192_r193_every_request_is_challenged_but_keepalives_ack_and_cancel() {
    let (own, profile) = (Owned::new(), non_secure(Udp, true));
    let device = DeviceFacts { binding: Some(binding(Transport::Udp)), ..own.device(&profile) };
    let base = register(Transport::Udp);
    let challenged =
        ["REGISTER", "INVITE", "BYE", "OPTIONS", "SUBSCRIBE", "NOTIFY", "REFER", "ack", "PUBLISH"];
    for (method, in_dialog) in challenged.into_iter().flat_map(|m| [(m, false), (m, true)]) {
        let request = RequestFacts { method: MethodKind::of(method), in_dialog, ..base };
        assert_eq!(verdict(&request, &device, Absent), CHALLENGE(Cause::DigestAbsent), "{method}");
        assert_eq!(verdict(&request, &device, Wrong), CHALLENGE(Cause::DigestWrong), "{method}");
    }
    let exempt = [
        RequestFacts { method: MethodKind::Ack, ..base },
        RequestFacts { method: MethodKind::Cancel, ..base },
        RequestFacts { method: MethodKind::Options, to_server: true, ..base },
        RequestFacts { standby_keepalive: true, ..base },
    ];
    for request in exempt {
        for device in [Some(&device), None] {
            assert_eq!(due(&request, device, &mixed()), Due::Nothing);
            let got = decide(&request, device, &mixed(), Absent, true);
            assert_eq!((admitted(&got).under, admitted(&got).proof), (Under::Exempt, PeerProof::None));
        }
    }
}

#[test]
fn r194_wrong_users_and_lines_are_refused() {
    let (own, profile) = (Owned::new(), non_secure(Udp, true));
    let device = own.device(&profile);
    let other = RightDigest { of_expected_user: false, ..right() };
    let got = verdict(&register(Transport::Udp), &device, Right(other));
    assert_eq!(refused(&got), Some((403, Cause::DigestOfOtherUser)));
    for aors in [&["1003"][..], &["1001", "1003"], &[], &[""]] {
        let request = RequestFacts { aors, ..register(Transport::Udp) };
        let got = verdict(&request, &device, Right(right()));
        assert_eq!(refused(&got), Some((403, Cause::LineOfOtherDevice)), "{aors:?}");
        // Nobody learns which lines exist before he has proved anything.
        assert_eq!(verdict(&request, &device, Absent), CHALLENGE(Cause::DigestAbsent));
        assert_eq!(verdict(&request, &device, Wrong), CHALLENGE(Cause::DigestWrong));
    }
    let bulk = RequestFacts { aors: &["1001", "1002"], ..register(Transport::Udp) };
    admitted(&verdict(&bulk, &device, Right(right())));
}

#[test]
fn unknown_devices_are_answered_like_wrong_passwords() {
    let (own, profile) = (Owned::new(), non_secure(Udp, true));
    let device = own.device(&profile);
    let request = register(Transport::Udp);
    assert_eq!(due(&request, None, &mixed()), due(&request, Some(&device), &mixed()));
    for too_often in [false, true] {
        for outcome in [Absent, DigestOutcome::Malformed, DigestOutcome::Forged, Wrong] {
            let known = decide(&request, Some(&device), &mixed(), outcome, too_often);
            assert_eq!(decide(&request, None, &mixed(), outcome, too_often), known);
        }
        // Somebody's right password does not bring an unknown device to life.
        let wrong = decide(&request, Some(&device), &mixed(), Wrong, too_often);
        for outcome in [Right(right()), Stale(Cause::NonceExpired)] {
            assert_eq!(decide(&request, None, &mixed(), outcome, too_often), wrong);
        }
    }
}

#[test]
fn unproven_devices_are_served_on_their_flow_only() {
    let (own, profile) = (Owned::new(), non_secure(TcpUdp, false));
    let invite = |transport| RequestFacts { method: MethodKind::Other, ..register(transport) };
    let bound = |b| DeviceFacts { binding: Some(b), ..own.device(&profile) };
    for transport in [Transport::Udp, Transport::Tcp] {
        admitted(&verdict(&invite(transport), &bound(binding(transport)), Absent));
    }
    // Behind a NAT the port counts; a flow to the phone's own port says nothing about its source port.
    let from = |source| RequestFacts { source: address(source), ..invite(Transport::Udp) };
    let mapped = address("192.0.2.1:40000");
    let nat = BindingFacts {
        flow: Flow::Udp { local: address("192.0.2.9:5060"), remote: mapped },
        source: mapped,
        ..binding(Transport::Udp)
    };
    admitted(&verdict(&from("192.0.2.1:40000"), &bound(nat), Absent));
    admitted(&verdict(&from("192.0.2.1:49152"), &bound(binding(Transport::Udp)), Absent));
    let other_stream = StreamId { generation: 4, ..STREAM };
    let reconnected = RequestFacts { stream: Some(other_stream), ..invite(Transport::Tcp) };
    let remote = address("192.0.2.1:5060");
    let lost = BindingFacts {
        flow: Flow::Lost { transport: Transport::Tcp, remote },
        live: false,
        ..binding(Transport::Tcp)
    };
    for (request, device) in [
        (invite(Transport::Udp), own.device(&profile)),
        (from("192.0.2.1:40001"), bound(nat)),
        (from("192.0.2.2:40000"), bound(nat)),
        (from("192.0.2.2:5060"), bound(binding(Transport::Udp))),
        (invite(Transport::Tcp), bound(binding(Transport::Udp))),
        (invite(Transport::Udp), bound(binding(Transport::Tcp))),
        (reconnected, bound(binding(Transport::Tcp))),
        (invite(Transport::Tcp), bound(lost)),
    ] {
        assert_eq!(refused(&verdict(&request, &device, Absent)), Some((403, Cause::NotOnItsFlow)));
    }
}

#[test]
fn a_second_source_cannot_take_an_unproven_binding() {
    let (own, profile) = (Owned::new(), non_secure(TcpUdp, false));
    let device = DeviceFacts { binding: Some(binding(Transport::Udp)), ..own.device(&profile) };
    let elsewhere = RequestFacts { source: address("192.0.2.2:5060"), ..register(Transport::Udp) };
    let got = verdict(&elsewhere, &device, Absent);
    assert_eq!(refused(&got), Some((403, Cause::UnprovenMove)));
    let same_host = RequestFacts { source: address("192.0.2.1:9999"), ..elsewhere };
    admitted(&verdict(&same_host, &device, Absent));
    let lax = Policy { allow_unproven_move: true, ..mixed() };
    admitted(&decide(&elsewhere, Some(&device), &lax, Absent, false));
    let dead = BindingFacts { live: false, ..binding(Transport::Tcp) };
    admitted(&verdict(&elsewhere, &DeviceFacts { binding: Some(dead), ..device }, Absent));
    // A proof moves it at any time.
    let profile = non_secure(Udp, true);
    let device = DeviceFacts { settings: &profile, ..device };
    admitted(&verdict(&elsewhere, &device, Right(right())));
}

#[test]
fn repeats_count_from_the_same_source_only() {
    let (own, profile) = (Owned::new(), non_secure(Udp, true));
    let device = DeviceFacts { binding: Some(binding(Transport::Udp)), ..own.device(&profile) };
    let again = RequestFacts { call_id: "call", cseq: 7, ..register(Transport::Udp) };
    let used = RightDigest { nonce_id: 70, replayed: true, ..right() };
    assert!(admitted(&verdict(&again, &device, Right(used))).repeated);
    // After kill -9 the windows are empty and the start is another: still the same request.
    let reborn = RightDigest { replayed: false, of_this_start: false, ..used };
    assert!(admitted(&verdict(&again, &device, Right(reborn))).repeated);
    let stale = STALE(Cause::NonceReplayed);
    let elsewhere = RequestFacts { source: address("192.0.2.2:5060"), ..again };
    assert_eq!(verdict(&elsewhere, &device, Right(used)), stale);
    assert_eq!(verdict(&RequestFacts { cseq: 8, ..again }, &device, Right(used)), stale);
    assert_eq!(verdict(&RequestFacts { call_id: "x", ..again }, &device, Right(used)), stale);
    let other_nc = RightDigest { nc: 2, ..used };
    assert_eq!(verdict(&again, &device, Right(other_nc)), stale);
    let invite = RequestFacts { method: MethodKind::Other, ..again };
    assert_eq!(verdict(&invite, &device, Right(used)), stale);

    // Without digest Call-ID, CSeq and source are all there is to compare.
    let (open, last) = (non_secure(Udp, false), LastRegister { nonce_id: None, nc: 0, ..LAST });
    let bound = BindingFacts { last, ..binding(Transport::Udp) };
    let device = DeviceFacts { binding: Some(bound), ..own.device(&open) };
    assert!(admitted(&verdict(&again, &device, Absent)).repeated);
    assert!(!admitted(&verdict(&RequestFacts { cseq: 8, ..again }, &device, Absent)).repeated);
}

#[test]
fn a_nonce_of_an_earlier_start_only_extends_a_row() {
    let (own, profile) = (Owned::new(), non_secure(TcpUdp, true));
    let device = DeviceFacts { binding: Some(binding(Transport::Udp)), ..own.device(&profile) };
    let old = Right(RightDigest { of_this_start: false, ..right() });
    let stale = STALE(Cause::NonceOfEarlierStart);
    for transport in [Transport::Udp, Transport::Tcp] {
        let refresh = RequestFacts { merely_extends: true, ..register(transport) };
        admitted(&verdict(&refresh, &device, old));
        assert_eq!(verdict(&register(transport), &device, old), stale);
        let elsewhere = RequestFacts { source: address("192.0.2.2:5060"), ..refresh };
        assert_eq!(verdict(&elsewhere, &device, old), stale);
        let invite = RequestFacts { method: MethodKind::Other, ..refresh };
        assert_eq!(verdict(&invite, &device, old), stale);
        assert_eq!(verdict(&refresh, &own.device(&profile), old), stale);
    }
    // Nobody can repeat what went over TLS.
    let profile = secure(Encrypted, true);
    admitted(&verdict(&register(Transport::Tls), &own.device(&profile), old));
}

#[test]
fn within_the_grace_time_either_version_is_enough() {
    let (own, facts) = (Owned::new(), certificate(NAME, [0; 32]));
    let (old, new) = (non_secure(Udp, true), secure(Encrypted, false));
    let device = DeviceFacts { previous: Some(&old), ..own.device(&new) };
    let tls = RequestFacts { certificate: lsc(&facts), ..register(Transport::Tls) };
    let got = verdict(&tls, &device, Absent);
    assert_eq!((admitted(&got).under, admitted(&got).mode), (Under::Applied, Encrypted));
    let udp = register(Transport::Udp);
    assert_eq!(due(&udp, Some(&device), &mixed()), Due::Digest { nonce_validity_s: 600 });
    assert_eq!(verdict(&udp, &device, Absent), CHALLENGE(Cause::DigestAbsent));
    let got = verdict(&udp, &device, Right(right()));
    assert_eq!((admitted(&got).under, admitted(&got).mode), (Under::Previous, DeviceSecurityMode::NonSecure));
    // The old one never raises the class.
    let device = DeviceFacts { previous: Some(&new), ..own.device(&old) };
    let got = verdict(&tls, &device, Absent);
    assert_eq!((admitted(&got).under, admitted(&got).mode), (Under::Previous, DeviceSecurityMode::NonSecure));
    // Neither: the applied version's reason.
    let got = verdict(&register(Transport::Tcp), &device, Right(right()));
    assert_eq!(refused(&got), Some((403, Cause::TransportNotInProfile)));
}

#[test]
fn causes_have_names_of_their_own() {
    let names: std::collections::HashSet<_> = Cause::ALL.iter().map(|c| c.as_str()).collect();
    let texts: std::collections::HashSet<_> = Cause::ALL.iter().map(|c| c.text()).collect();
    assert_eq!((names.len(), texts.len()), (Cause::ALL.len(), Cause::ALL.len()));
    assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    // Fit for a quoted Warning text as they are.
    assert!(texts.iter().all(|t| t.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\')));
}
