//! Builders for facts, shared by the tests.

mod digests;
mod modes;
mod rules;
mod table;
mod throttling;

use std::net::SocketAddr;

use super::*;
use crate::digest::Algorithm;
use crate::flow::{Flow, StreamId};
use crate::identity::{CertificateFacts, CertificateKey, ChainedTo, PeerCertificate};
use crate::ids::{DeviceName, Dn, UnixMillis, UserId};
use crate::mode::{ClusterMode, DeviceSecurityMode, ProfileTransport, SuiteKind, Transport};
use crate::oauth::TokenOutcome;
use crate::profile::{CapfMode, KeyOrder, ProfileSettings};

pub(super) const NAME: &str = "SEP00AABBCCDD01";
pub(super) const OTHER: &str = "SEP00AABBCCDD02";
pub(super) const UPLOAD: [u8; 32] = [9; 32];
pub(super) const STREAM: StreamId = StreamId { worker: 1, index: 2, generation: 3 };
pub(super) const LAST: LastRegister<'static> =
    LastRegister { call_id: "call", cseq: 7, nonce_id: Some(70), nc: 1 };

pub(super) fn settings(
    mode: DeviceSecurityMode,
    transport: ProfileTransport,
    digest: bool,
) -> ProfileSettings {
    ProfileSettings {
        device_security_mode: mode,
        transport,
        digest_authentication: digest,
        nonce_validity_s: 600,
        tftp_encrypted_config: false,
        oauth_authentication: false,
        exclude_digest_credentials: false,
        capf_authentication_mode: CapfMode::NullString,
        key_order: KeyOrder::RsaOnly,
        rsa_key_size: 2048,
        ec_key_size: 256,
        sip_phone_port: 5060,
    }
}

pub(super) fn non_secure(transport: ProfileTransport, digest: bool) -> ProfileSettings {
    settings(DeviceSecurityMode::NonSecure, transport, digest)
}

pub(super) fn secure(mode: DeviceSecurityMode, digest: bool) -> ProfileSettings {
    settings(mode, ProfileTransport::Tls, digest)
}

pub(super) fn certificate(cn: &str, sha256: [u8; 32]) -> CertificateFacts {
    CertificateFacts {
        sha256,
        subject: format!("CN={cn}"),
        subject_cn: Some(cn.to_owned()),
        san_dns: Vec::new(),
        san_other: false,
        issuer: "CN=CAPF".to_owned(),
        not_before: UnixMillis(0),
        not_after: UnixMillis(u64::MAX),
        key: CertificateKey::Ec(256),
        is_ca: false,
    }
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Owns what facts borrow.
pub(super) struct Owned {
    pub name: DeviceName,
    pub lines: Vec<Dn>,
    pub user: UserId,
    pub em: UserId,
}

impl Owned {
    pub(super) fn new() -> Self {
        Self {
            name: DeviceName::parse(NAME).unwrap(),
            lines: vec![Dn::parse("1001").unwrap(), Dn::parse("1002").unwrap()],
            user: UserId::parse("anna").unwrap(),
            em: UserId::parse("emma").unwrap(),
        }
    }

    pub(super) fn device<'a>(&'a self, settings: &'a ProfileSettings) -> DeviceFacts<'a> {
        DeviceFacts {
            name: &self.name,
            model: "Cisco 8845",
            preferred_vendor: false,
            shared_certificate: false,
            websocket: false,
            profile_name: "phones.example",
            settings,
            previous: None,
            lines: &self.lines,
            digest_user: Some(&self.user),
            em_user: None,
            uploaded_certificate: None,
            binding: None,
        }
    }
}

pub(super) fn register(transport: Transport) -> RequestFacts<'static> {
    RequestFacts {
        method: MethodKind::Register,
        in_dialog: false,
        standby_keepalive: false,
        to_server: false,
        transport,
        suite: if transport.is_tls() { SuiteKind::Encrypting } else { SuiteKind::None },
        certificate: None,
        token: TokenOutcome::Absent,
        source: address("192.0.2.1:5060"),
        stream: transport.is_reliable().then_some(STREAM),
        aors: &["1001"],
        call_id: "other",
        cseq: 1,
        merely_extends: false,
    }
}

pub(super) fn binding(transport: Transport) -> BindingFacts<'static> {
    let remote = address("192.0.2.1:5060");
    let flow = match transport {
        Transport::Udp => Flow::Udp { local: address("192.0.2.9:5060"), remote },
        _ => Flow::Stream { id: STREAM, transport, remote },
    };
    BindingFacts { flow, source: remote, live: true, last: LAST }
}

pub(super) fn mixed() -> Policy {
    Policy { cluster: ClusterMode::Mixed, ..Policy::default() }
}

pub(super) fn lsc(facts: &CertificateFacts) -> Option<PeerCertificate<'_>> {
    Some(PeerCertificate { facts, chain: ChainedTo::CapfTrust })
}

pub(super) fn right() -> RightDigest {
    RightDigest {
        nonce_id: 1,
        nc: 1,
        algorithm: Algorithm::Md5,
        of_expected_user: true,
        of_this_start: true,
        replayed: false,
    }
}

pub(super) fn refused(verdict: &Verdict) -> Option<(u16, Cause)> {
    match verdict {
        Verdict::Refuse(refusal) => Some((refusal.status, refusal.cause)),
        _ => None,
    }
}

pub(super) fn admitted(verdict: &Verdict) -> &Admission {
    match verdict {
        Verdict::Admit(admission) => admission,
        other => panic!("{other:?}"),
    }
}
