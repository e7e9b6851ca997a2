//! Which proof is due: transport, cluster mode, suite and certificate against one version of a profile.

use crate::identity::{CertificateFault, Expected, Proven, prove};
use crate::mode::{ClusterMode, DeviceSecurityMode, ProfileTransport, SuiteKind, Transport};
use crate::oauth::TokenOutcome;
use crate::profile::ProfileSettings;

use super::{Cause, DeviceFacts, MethodKind, MicPolicy, Policy, RequestFacts};

/// What the engine has to do before [`super::decide`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing: pass [`super::DigestOutcome::Absent`].
    Nothing,
    /// Check the digest answer, with the nonce validity of the profile that asks for it. For an unknown
    /// device the check runs against nobody's credentials.
    Digest {
        /// Seconds (R152).
        nonce_validity_s: u32,
    },
    /// A bearer token: what [`RequestFacts::token`] says of it decides. Pass [`super::DigestOutcome::Absent`].
    Token,
    /// Nothing helps: refused whatever is shown.
    Refused(Cause),
}

/// Says which proof is due from the claimed device; `None` is an unknown device, which is challenged
/// like one with a wrong password.
pub fn due(request: &RequestFacts<'_>, device: Option<&DeviceFacts<'_>>, policy: &Policy) -> Due {
    /// Validity for devices that nobody knows: the default of R152.
    const UNKNOWN_VALIDITY_S: u32 = 600;
    if is_exempt(request) {
        return Due::Nothing;
    }
    let Some(device) = device else {
        if request.transport == Transport::Oauth {
            return Due::Token;
        }
        return Due::Digest { nonce_validity_s: UNKNOWN_VALIDITY_S };
    };
    let applied = demand(request, device, device.settings, policy);
    let previous = device.previous.map(|s| demand(request, device, s, policy));
    // During the grace time either version is enough. A digest answer is looked at if either asks for
    // it: the other may be satisfied without, but then the answer does no harm.
    let asking = [Some((applied, device.settings)), previous.zip(device.previous)];
    for (demand, settings) in asking.into_iter().flatten() {
        if demand.is_ok_and(|d| d.digest) {
            return Due::Digest { nonce_validity_s: settings.nonce_validity_s };
        }
    }
    match (applied, previous) {
        (Ok(demand), _) | (_, Some(Ok(demand))) if demand.token => Due::Token,
        (Ok(_), _) | (_, Some(Ok(_))) => Due::Nothing,
        (Err(cause), _) => Due::Refused(cause),
    }
}

/// Requests that are served without any proof: ACK and CANCEL, which cannot be challenged and are
/// matched to the request that was admitted; OPTIONS to the server itself and the standby keepalive,
/// which change nothing and are answered alike for everybody (R193).
pub(super) fn is_exempt(request: &RequestFacts<'_>) -> bool {
    match request.method {
        MethodKind::Ack | MethodKind::Cancel => true,
        MethodKind::Options => request.to_server,
        MethodKind::Register => request.standby_keepalive,
        MethodKind::Other => false,
    }
}

/// What one version of a profile still asks for, after transport, suite and certificate were judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    /// A right digest.
    pub digest: bool,
    /// A right bearer token that names the device.
    pub token: bool,
    /// What the certificate proved, if one was due and given.
    pub certificate: Option<Proven>,
    /// A certificate was due; the digest stands in for it.
    pub certificate_lacking: bool,
}

/// Judges everything but the digest against one version of the profile (design §5 Identity).
pub(super) fn demand(
    request: &RequestFacts<'_>,
    device: &DeviceFacts<'_>,
    settings: &ProfileSettings,
    policy: &Policy,
) -> Result<Demand, Cause> {
    let digest = settings.digest_authentication;
    if request.transport.is_websocket() {
        return websocket(device, settings);
    }
    if settings.device_security_mode == DeviceSecurityMode::NonSecure {
        non_secure_transport(request.transport, settings.transport)?;
        return Ok(Demand { digest, token: false, certificate: None, certificate_lacking: false });
    }
    if policy.cluster == ClusterMode::NonSecure {
        return Err(Cause::ClusterMode);
    }
    match request.transport {
        Transport::Udp | Transport::Tcp => return Err(Cause::TlsRequired),
        Transport::Oauth if !settings.oauth_authentication => return Err(Cause::OauthNotEnabled),
        // The token takes the place of both certificate and digest (R168).
        Transport::Oauth => {
            suite_fits(request.suite, settings.device_security_mode)?;
            return Ok(Demand { digest: false, token: true, certificate: None, certificate_lacking: false });
        }
        // WebSocket was judged above.
        Transport::Tls | Transport::Ws | Transport::Wss => {}
    }
    suite_fits(request.suite, settings.device_security_mode)?;
    let expected = Expected {
        name: device.name,
        model: device.model,
        profile_name: device.profile_name,
        preferred_vendor: device.preferred_vendor,
        shared_certificate: device.shared_certificate,
        uploaded: device.uploaded_certificate,
    };
    let Some(certificate) = &request.certificate else {
        if settings.oauth_authentication && request.token == TokenOutcome::OffPort {
            return Err(Cause::TokenOffOauthPort);
        }
        // A shared certificate is uploaded for no phone in particular.
        let own = device.preferred_vendor && !device.shared_certificate;
        return match (own && device.uploaded_certificate.is_none(), digest) {
            (true, _) => Err(Cause::VendorCertificateMissing),
            (false, false) => Err(Cause::NoDeviceCertificate),
            (false, true) => {
                Ok(Demand { digest, token: false, certificate: None, certificate_lacking: true })
            }
        };
    };
    match prove(certificate, &expected) {
        Ok(Proven::ByMic) if policy.mic == MicPolicy::Refuse => Err(Cause::MicRefused),
        Ok(proven) => {
            Ok(Demand { digest, token: false, certificate: Some(proven), certificate_lacking: false })
        }
        Err(fault) => Err(cause_of(fault)),
    }
}

/// A browser shows no device certificate, so WebSocket serves non-secure profiles only, by digest or without any
/// proof as the profile says; TLS under it (`wss`) is what browsers ask for, no proof, and raises no class. The
/// profile's transport field does not know WebSocket (R158, R161): the model says whether a phone may use it.
fn websocket(device: &DeviceFacts<'_>, settings: &ProfileSettings) -> Result<Demand, Cause> {
    if settings.device_security_mode != DeviceSecurityMode::NonSecure || !device.websocket {
        return Err(Cause::TransportNotInProfile);
    }
    let digest = settings.digest_authentication;
    Ok(Demand { digest, token: false, certificate: None, certificate_lacking: false })
}

/// R002, R158: a non-secure profile is served on exactly its transports.
fn non_secure_transport(used: Transport, allowed: ProfileTransport) -> Result<(), Cause> {
    match (used, allowed) {
        (Transport::Tls | Transport::Oauth | Transport::Ws | Transport::Wss, _) => {
            Err(Cause::TlsNotInProfile)
        }
        (Transport::Udp, ProfileTransport::Udp | ProfileTransport::TcpUdp)
        | (Transport::Tcp, ProfileTransport::Tcp | ProfileTransport::TcpUdp) => Ok(()),
        (Transport::Udp | Transport::Tcp, _) => Err(Cause::TransportNotInProfile),
    }
}

/// R119, R120: the suite must be of the kind that the mode names.
fn suite_fits(suite: SuiteKind, mode: DeviceSecurityMode) -> Result<(), Cause> {
    match (mode, suite) {
        (DeviceSecurityMode::Authenticated, SuiteKind::IntegrityOnly)
        | (DeviceSecurityMode::Encrypted, SuiteKind::Encrypting) => Ok(()),
        (DeviceSecurityMode::Authenticated, _) => Err(Cause::SuiteNotOfMode),
        (_, _) => Err(Cause::SuiteBelowMode),
    }
}

fn cause_of(fault: CertificateFault) -> Cause {
    match fault {
        CertificateFault::NoUpload => Cause::VendorCertificateMissing,
        CertificateFault::Untrusted => Cause::CertificateUntrusted,
        CertificateFault::OtherDevice => Cause::CertificateOfOtherDevice,
        CertificateFault::NoDevice => Cause::CertificateNamesNoDevice,
        CertificateFault::OtherModel => Cause::CertificateOfOtherModel,
        CertificateFault::OtherProfile => Cause::CertificateOfOtherProfile,
    }
}
