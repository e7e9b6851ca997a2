//! Every combination of facts, against rules that are stated here a second time.

use super::*;
use crate::mode::PeerProof;
use crate::oauth::{Claims, Fault, TokenOutcome};
use DeviceSecurityMode::{Authenticated, Encrypted, NonSecure};

const OUTCOMES: [DigestOutcome; 11] = [
    DigestOutcome::Absent,
    DigestOutcome::Malformed,
    DigestOutcome::ForeignUri,
    DigestOutcome::Forged,
    DigestOutcome::Wrong,
    DigestOutcome::Stale(Cause::NonceExpired),
    DigestOutcome::Right(RIGHT),
    DigestOutcome::Right(RightDigest { of_expected_user: false, ..RIGHT }),
    DigestOutcome::Right(RightDigest { replayed: true, ..RIGHT }),
    DigestOutcome::Right(RightDigest { of_this_start: false, ..RIGHT }),
    DigestOutcome::Right(RightDigest { replayed: true, nonce_id: 70, ..RIGHT }),
];

const RIGHT: RightDigest = RightDigest {
    nonce_id: 1,
    nc: 1,
    algorithm: Algorithm::Md5,
    of_expected_user: true,
    of_this_start: true,
    replayed: false,
};

/// A certificate as the peer sent it, and whether it proves a device of each kind: own brand, preferred
/// vendor with an upload, preferred vendor with a shared upload.
struct Sent {
    facts: CertificateFacts,
    chain: ChainedTo,
    proves: [bool; 3],
}

fn certificates() -> Vec<Sent> {
    let sent = |cn: &str, sha256, chain, proves| Sent { facts: certificate(cn, sha256), chain, proves };
    let none = [false; 3];
    vec![
        sent(NAME, [0; 32], ChainedTo::CapfTrust, [true, false, false]),
        sent(OTHER, [0; 32], ChainedTo::CapfTrust, none),
        sent("CP-8845-SEP00AABBCCDD01", [0; 32], ChainedTo::CallManagerTrust, [true, false, false]),
        sent("CP-8865-SEP00AABBCCDD01", [0; 32], ChainedTo::CallManagerTrust, none),
        sent(NAME, [0; 32], ChainedTo::Nothing, none),
        sent(NAME, UPLOAD, ChainedTo::VendorTrust, [false, true, false]),
        sent("phones.example", UPLOAD, ChainedTo::VendorTrust, [false, true, true]),
        // A shared certificate is uploaded for no phone: any that is there and bears the profile's name.
        sent("phones.example", [8; 32], ChainedTo::VendorTrust, [false, false, true]),
    ]
}

fn profiles() -> Vec<ProfileSettings> {
    let mut all = Vec::new();
    for digest in [false, true] {
        for transport in [ProfileTransport::Tcp, ProfileTransport::Udp, ProfileTransport::TcpUdp] {
            all.push(non_secure(transport, digest));
        }
        all.push(secure(Authenticated, digest));
        all.push(secure(Encrypted, digest));
    }
    all.push(ProfileSettings { oauth_authentication: true, ..secure(Encrypted, false) });
    all
}

/// Requests on every listener with every suite that it can have and every certificate.
fn requests<'a>(sent: &'a [Sent], claims: &'a Claims) -> Vec<(RequestFacts<'a>, Option<&'a Sent>)> {
    let mut all = Vec::new();
    for method in [MethodKind::Register, MethodKind::Other] {
        for in_dialog in [false, true] {
            let base =
                RequestFacts { method, in_dialog, call_id: "call", cseq: 7, ..register(Transport::Udp) };
            let on = |transport| RequestFacts { transport, stream: Some(STREAM), ..base };
            all.push((RequestFacts { stream: None, ..base }, None));
            all.push((on(Transport::Tcp), None));
            for suite in [SuiteKind::IntegrityOnly, SuiteKind::Encrypting] {
                let tls = RequestFacts { suite, ..on(Transport::Tls) };
                all.push((tls, None));
                for s in sent {
                    let certificate = Some(PeerCertificate { facts: &s.facts, chain: s.chain });
                    all.push((RequestFacts { certificate, ..tls }, Some(s)));
                }
            }
            let oauth = RequestFacts { suite: SuiteKind::Encrypting, ..on(Transport::Oauth) };
            for token in
                [TokenOutcome::Absent, TokenOutcome::Bad(Fault::Expired), TokenOutcome::Right(claims)]
            {
                all.push((RequestFacts { token, ..oauth }, None));
            }
        }
    }
    all
}

fn bindings() -> [Option<BindingFacts<'static>>; 4] {
    let elsewhere = address("192.0.2.2:5060");
    [
        None,
        Some(binding(Transport::Udp)),
        Some(binding(Transport::Tcp)),
        Some(BindingFacts { source: elsewhere, ..binding(Transport::Udp) }),
    ]
}

/// One row of the table, with what the rules need to know.
struct Row<'a> {
    request: RequestFacts<'a>,
    sent: Option<&'a Sent>,
    device: DeviceFacts<'a>,
    policy: Policy,
    outcome: DigestOutcome,
    too_often: bool,
}

impl Row<'_> {
    fn check(&self) {
        let Row { request, device, policy, outcome, .. } = self;
        let verdict = decide(request, Some(device), policy, *outcome, self.too_often);
        match &verdict {
            Verdict::Admit(admission) => self.check_admission(admission),
            Verdict::Challenge { stale, .. } => {
                if request.transport == Transport::Oauth {
                    assert!(!*stale && !matches!(request.token, TokenOutcome::Right(_)));
                    return;
                }
                let digest = |s: &ProfileSettings| s.digest_authentication;
                assert!(digest(device.settings) || device.previous.is_some_and(digest), "401 without digest");
                let knows = matches!(outcome, DigestOutcome::Stale(_) | DigestOutcome::Right(_));
                assert_eq!(*stale, knows, "stale only, and always, after right credentials");
                assert!(!(self.too_often && *outcome == DigestOutcome::Wrong));
            }
            Verdict::Refuse(refusal) => {
                assert!(matches!(refusal.status, 400 | 403));
                assert_eq!(refusal.event, refusal.cause.event());
            }
        }
        match due(request, Some(device), policy) {
            Due::Refused(cause) => assert_eq!(refused(&verdict), Some((403, cause))),
            Due::Nothing => assert!(!matches!(verdict, Verdict::Challenge { .. })),
            Due::Digest { .. } => {}
            Due::Token => assert_eq!(request.transport, Transport::Oauth),
        }
    }

    fn check_admission(&self, admission: &Admission) {
        let Row { request, device, policy, outcome, .. } = self;
        let settings = match admission.under {
            Under::Applied => device.settings,
            Under::Previous => device.previous.unwrap(),
            Under::Exempt => panic!("nothing here is exempt"),
        };
        let digest = settings.digest_authentication;
        // Lines.
        assert!(request.in_dialog || request.aors == ["1001"]);
        // Transport, cluster mode and suite.
        let secure = settings.device_security_mode != NonSecure;
        let oauth = request.transport == Transport::Oauth;
        assert_eq!(secure, oauth || request.transport == Transport::Tls);
        assert!(!secure || policy.cluster == ClusterMode::Mixed);
        match settings.device_security_mode {
            NonSecure => assert!(
                settings.transport == ProfileTransport::TcpUdp
                    || (settings.transport == ProfileTransport::Udp) == (request.transport == Transport::Udp)
            ),
            Authenticated => assert_eq!(request.suite, SuiteKind::IntegrityOnly),
            Encrypted => assert_eq!(request.suite, SuiteKind::Encrypting),
        }
        // The certificate: due under a secure profile, replaced by digest only where none was sent.
        assert_eq!(admission.proof == PeerProof::Token, oauth);
        assert!(!oauth || (settings.oauth_authentication && matches!(request.token, TokenOutcome::Right(_))));
        if secure && !oauth {
            let kind = match (device.preferred_vendor, device.shared_certificate) {
                (false, _) => 0,
                (true, false) => 1,
                (true, true) => 2,
            };
            assert!(
                !device.preferred_vendor
                    || device.shared_certificate
                    || device.uploaded_certificate.is_some()
            );
            match self.sent {
                Some(sent) => assert!(sent.proves[kind]),
                None => assert!(digest && admission.cause == Some(Cause::NoDeviceCertificate)),
            }
        }
        let proven = secure && self.sent.is_some();
        assert_eq!(admission.proof == PeerProof::Certificate, proven);
        // The digest.
        if digest {
            let DigestOutcome::Right(right) = outcome else { panic!("{outcome:?}") };
            assert!(right.of_expected_user);
            assert!(!right.replayed || admission.repeated);
            assert!(right.of_this_start || secure);
            assert_eq!(admission.nonce, Some((right.nonce_id, right.nc)));
        } else {
            assert_eq!(admission.nonce, None);
        }
        assert_eq!(admission.proof == PeerProof::Digest, digest && !proven);
        // Nothing proved: only on its own flow, or from its own host.
        if admission.proof == PeerProof::None {
            let own = device.binding.is_none_or(|b| b.source.ip() == request.source.ip());
            match request.method {
                MethodKind::Register => assert!(own || policy.allow_unproven_move),
                _ => assert!(device.binding.is_some_and(|b| b.flow.transport() == request.transport) && own),
            }
        }
        assert!(admission.mode <= device.settings.device_security_mode);
        assert!(admission.mode <= settings.device_security_mode);
    }
}

#[test]
fn no_row_of_the_table_breaks_a_rule() {
    let (own, profiles, sent) = (Owned::new(), profiles(), certificates());
    let claims = Claims::of_device(NAME);
    let requests = requests(&sent, &claims);
    let previous = non_secure(ProfileTransport::Udp, false);
    let kinds = [(false, false, None), (true, false, None), (true, false, Some(&UPLOAD)), (true, true, None)];
    let policies = [
        (Policy { cluster: ClusterMode::NonSecure, ..Policy::default() }, true),
        (mixed(), false),
        (Policy { mic: MicPolicy::Refuse, allow_unproven_move: true, ..mixed() }, true),
    ];
    let aors: [&[&str]; 2] = [&["1001"], &["1001", "1003"]];
    let mut rows = 0u32;
    for settings in &profiles {
        for previous in [None, Some(&previous)] {
            for (preferred_vendor, shared_certificate, uploaded_certificate) in kinds {
                for binding in bindings() {
                    let device = DeviceFacts {
                        previous,
                        preferred_vendor,
                        shared_certificate,
                        uploaded_certificate,
                        binding,
                        ..own.device(settings)
                    };
                    for (request, sent) in &requests {
                        for (policy, too_often) in policies {
                            for outcome in OUTCOMES {
                                for aors in aors {
                                    let request = RequestFacts { aors, ..*request };
                                    Row { request, sent: *sent, device, policy, outcome, too_often }.check();
                                    rows += 1;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(rows, 11 * 2 * 4 * 4 * (4 * 23) * 3 * 11 * 2);
}

#[test]
fn r202_the_cluster_mode_has_no_effect_on_digest() {
    let own = Owned::new();
    for digest in [false, true] {
        for transport in [ProfileTransport::Tcp, ProfileTransport::Udp, ProfileTransport::TcpUdp] {
            let profile = non_secure(transport, digest);
            let device = DeviceFacts { binding: Some(binding(Transport::Udp)), ..own.device(&profile) };
            for (request, _) in requests(&[], &Claims::of_device(NAME)) {
                for device in [Some(&device), None] {
                    for (outcome, too_often) in OUTCOMES.into_iter().flat_map(|o| [(o, false), (o, true)]) {
                        let under = |cluster| {
                            let policy = Policy { cluster, ..Policy::default() };
                            (
                                due(&request, device, &policy),
                                decide(&request, device, &policy, outcome, too_often),
                            )
                        };
                        assert_eq!(under(ClusterMode::NonSecure), under(ClusterMode::Mixed));
                    }
                }
            }
        }
    }
}

#[test]
fn nobody_unknown_is_admitted() {
    for (request, _) in requests(&certificates(), &Claims::of_device(NAME)) {
        for outcome in OUTCOMES {
            let verdict = decide(&request, None, &mixed(), outcome, false);
            assert!(!matches!(verdict, Verdict::Admit(_)), "{verdict:?}");
        }
    }
}
