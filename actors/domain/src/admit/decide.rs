//! The verdict (design §5 Identity, Repeats; requirements O).

use crate::flow::Flow;
use crate::identity::Proven;
use crate::mode::{DeviceSecurityMode, PeerProof, Transport};
use crate::oauth::{Claims, Fault, Holder, TokenOutcome, names};
use crate::profile::ProfileSettings;

use super::due::{demand, is_exempt};
use super::{
    Cause, DeviceFacts, DigestOutcome, Event, LastRegister, MethodKind, Policy, RequestFacts, RightDigest,
};

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Served.
    Admit(Admission),
    /// 401 with one challenge for each algorithm (RFC 8760 §2.3), all with one fresh nonce; on the OAuth port
    /// 401 or 407 with a Bearer challenge (RFC 8898 §2.1).
    Challenge {
        /// `stale=true`: the credentials were right, only the nonce was not (R153). Never after a wrong
        /// answer, or a phone would try the same password for ever.
        stale: bool,
        /// Why.
        cause: Cause,
    },
    /// A final answer.
    Refuse(Refusal),
}

/// On what terms a request is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// What the peer proved: it decides the class of its legs. Digest alone never raises one (R163).
    pub proof: PeerProof,
    /// What the certificate proved.
    pub certificate: Option<Proven>,
    /// Id and count of the nonce, to be kept in the row of a REGISTER.
    pub nonce: Option<(u64, u32)>,
    /// Which version of the profile was satisfied.
    pub under: Under,
    /// Highest mode by which legs may be classified: during the grace time the lower of the two.
    pub mode: DeviceSecurityMode,
    /// The REGISTER that wrote the row, once more: answer with the present bindings, change nothing.
    pub repeated: bool,
    /// Why it proves less than its profile wants ([`Cause::NoDeviceCertificate`]).
    pub cause: Option<Cause>,
    /// Event to be recorded although it is served.
    pub event: Option<Event>,
}

/// Which version of the profile a request satisfied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Under {
    /// None: the request needs no proof from anybody (R193).
    Exempt,
    /// The applied version.
    Applied,
    /// The version before, within its grace time.
    Previous,
}

/// A final refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Status code.
    pub status: u16,
    /// Reason phrase.
    pub reason: &'static str,
    /// Why.
    pub cause: Cause,
    /// Event to be recorded.
    pub event: Option<Event>,
}

impl Verdict {
    fn challenge(cause: Cause) -> Self {
        Self::Challenge { stale: false, cause }
    }

    fn stale(cause: Cause) -> Self {
        Self::Challenge { stale: true, cause }
    }

    fn forbid(cause: Cause) -> Self {
        Self::Refuse(Refusal { status: 403, reason: "Forbidden", cause, event: cause.event() })
    }

    fn bad_request(cause: Cause) -> Self {
        Self::Refuse(Refusal { status: 400, reason: "Bad Request", cause, event: cause.event() })
    }

    /// A wrong answer, to be counted by [`super::Throttle::wrong`].
    pub fn is_wrong_answer(&self) -> bool {
        match self {
            // A token that has run out, or whose key was withdrawn, was right once.
            Self::Challenge { cause, .. } => matches!(
                cause,
                Cause::DigestWrong
                    | Cause::TokenMalformed
                    | Cause::TokenTooLarge
                    | Cause::TokenAlgorithm
                    | Cause::TokenIssuer
                    | Cause::TokenSignature
                    | Cause::TokenAudience
            ),
            Self::Refuse(refusal) => {
                matches!(refusal.cause, Cause::DigestWrongTooOften | Cause::TokenWrongTooOften)
            }
            Self::Admit(_) => false,
        }
    }
}

/// Gives the verdict on a request of the claimed device (`None`: nobody knows it).
///
/// `outcome` is that of [`super::check_digest`], `Absent` where [`super::due`] asked for none.
/// `too_often` is [`super::Throttle::is_over`] of the source: it turns the challenge after a wrong
/// answer into 403 and touches nothing else, so a right answer from the same address is served.
pub fn decide(
    request: &RequestFacts<'_>,
    device: Option<&DeviceFacts<'_>>,
    policy: &Policy,
    outcome: DigestOutcome,
    too_often: bool,
) -> Verdict {
    if is_exempt(request) {
        return Verdict::Admit(Admission {
            proof: PeerProof::None,
            certificate: None,
            nonce: None,
            under: Under::Exempt,
            mode: DeviceSecurityMode::NonSecure,
            repeated: false,
            cause: None,
            event: None,
        });
    }
    let Some(device) = device else {
        if request.transport == Transport::Oauth {
            // As a device of somebody else is refused.
            let other = Verdict::forbid(Cause::TokenOfOtherDevice);
            return token_of(request, too_often).map_or_else(|verdict| verdict, |_| other);
        }
        // Whoever has right credentials of his own learns no more here than one with wrong ones.
        let right = matches!(outcome, DigestOutcome::Stale(_) | DigestOutcome::Right(_));
        let outcome = if right { DigestOutcome::Wrong } else { outcome };
        return not_right(outcome, too_often).unwrap_or_else(|| wrong(too_often));
    };
    let judge = |settings, under| under_version(request, device, policy, outcome, too_often, settings, under);
    let applied = judge(device.settings, Under::Applied);
    let Some(previous) = device.previous.filter(|_| !matches!(applied, Verdict::Admit(_))) else {
        return applied;
    };
    match (judge(previous, Under::Previous), &applied) {
        (admitted @ Verdict::Admit(_), _) => admitted,
        (challenge @ Verdict::Challenge { .. }, Verdict::Refuse(_)) => challenge,
        _ => applied,
    }
}

fn under_version(
    request: &RequestFacts<'_>,
    device: &DeviceFacts<'_>,
    policy: &Policy,
    outcome: DigestOutcome,
    too_often: bool,
    settings: &ProfileSettings,
    under: Under,
) -> Verdict {
    let demand = match demand(request, device, settings, policy) {
        Ok(demand) => demand,
        Err(cause) => return Verdict::forbid(cause),
    };
    let mut nonce = None;
    if demand.token {
        let claims = match token_of(request, too_often) {
            Ok(claims) => claims,
            Err(verdict) => return verdict,
        };
        let aors = if request.in_dialog { &[] } else { request.aors };
        let holder = Holder { device: device.name, user: device.expected_user(), aors };
        if let Err(fault) = names(claims, &holder) {
            return Verdict::forbid(fault.into());
        }
    }
    if demand.digest {
        let DigestOutcome::Right(right) = outcome else {
            return not_right(outcome, too_often).unwrap_or_else(|| wrong(too_often));
        };
        nonce = Some((right.nonce_id, right.nc));
        if let Some(verdict) = refuse_right(request, device, &right) {
            return verdict;
        }
    }
    if !speaks_for_its_lines(request, device) {
        return Verdict::forbid(Cause::LineOfOtherDevice);
    }
    let proof = match (demand.certificate, demand.digest) {
        _ if demand.token => PeerProof::Token,
        (Some(_), _) => PeerProof::Certificate,
        (None, true) => PeerProof::Digest,
        (None, false) => PeerProof::None,
    };
    if proof == PeerProof::None
        && let Some(cause) = off_its_flow(request, device, policy)
    {
        return Verdict::forbid(cause);
    }
    Verdict::Admit(Admission {
        proof,
        certificate: demand.certificate,
        nonce,
        under,
        mode: settings.device_security_mode.min(device.settings.device_security_mode),
        repeated: is_repeat(request, device, nonce),
        cause: demand.certificate_lacking.then_some(Cause::NoDeviceCertificate),
        event: (demand.certificate == Some(Proven::ByMic)).then_some(Event::ManufacturerCertificate),
    })
}

/// The answer to everything but a right digest; `None` when it is right.
fn not_right(outcome: DigestOutcome, too_often: bool) -> Option<Verdict> {
    Some(match outcome {
        DigestOutcome::Absent => Verdict::challenge(Cause::DigestAbsent),
        DigestOutcome::Malformed => Verdict::bad_request(Cause::DigestMalformed),
        DigestOutcome::QopNotOffered => Verdict::bad_request(Cause::DigestQopNotOffered),
        DigestOutcome::ForeignUri => Verdict::bad_request(Cause::DigestUriForeign),
        DigestOutcome::Forged => Verdict::challenge(Cause::NonceForged),
        DigestOutcome::Wrong => wrong(too_often),
        DigestOutcome::Stale(cause) => Verdict::stale(cause),
        DigestOutcome::Right(_) => return None,
    })
}

/// What the request's token says, if its signature is right and it holds; else the answer.
fn token_of<'a>(request: &RequestFacts<'a>, too_often: bool) -> Result<&'a Claims, Verdict> {
    let fault = match request.token {
        TokenOutcome::Right(claims) => return Ok(claims),
        TokenOutcome::Absent | TokenOutcome::OffPort => return Err(Verdict::challenge(Cause::TokenRequired)),
        TokenOutcome::Bad(fault) => fault,
    };
    Err(match fault {
        Fault::Scope => Verdict::forbid(fault.into()),
        // The phone comes back with the same token, which may be a good one.
        Fault::KeyPending => Verdict::Refuse(Refusal {
            status: 503,
            reason: "Service Unavailable",
            cause: fault.into(),
            event: None,
        }),
        _ => {
            let challenge = Verdict::challenge(fault.into());
            match too_often && challenge.is_wrong_answer() {
                true => Verdict::forbid(Cause::TokenWrongTooOften),
                false => challenge,
            }
        }
    })
}

fn wrong(too_often: bool) -> Verdict {
    if too_often {
        Verdict::forbid(Cause::DigestWrongTooOften)
    } else {
        Verdict::challenge(Cause::DigestWrong)
    }
}

/// What a right digest is refused for: another user's (R195), a count used before, a nonce of an earlier
/// start (design §5 Repeats).
fn refuse_right(
    request: &RequestFacts<'_>,
    device: &DeviceFacts<'_>,
    right: &RightDigest,
) -> Option<Verdict> {
    let repeated = is_repeat(request, device, Some((right.nonce_id, right.nc)));
    if !right.of_expected_user {
        return Some(Verdict::forbid(Cause::DigestOfOtherUser));
    }
    if right.replayed && !repeated {
        return Some(Verdict::stale(Cause::NonceReplayed));
    }
    // TLS keeps strangers from repeating what they saw; UDP and TCP do not, and the windows that would
    // notice it went with the earlier start.
    let open = matches!(request.transport, Transport::Udp | Transport::Tcp | Transport::Ws);
    if !right.of_this_start && open && !repeated && !extends_its_row(request, device) {
        return Some(Verdict::stale(Cause::NonceOfEarlierStart));
    }
    None
}

fn extends_its_row(request: &RequestFacts<'_>, device: &DeviceFacts<'_>) -> bool {
    request.method == MethodKind::Register
        && request.merely_extends
        && device.binding.is_some_and(|b| b.source.ip() == request.source.ip())
}

/// The REGISTER that wrote the row, from the same source IP (design §5 Repeats).
fn is_repeat(request: &RequestFacts<'_>, device: &DeviceFacts<'_>, nonce: Option<(u64, u32)>) -> bool {
    let (nonce_id, nc) = (nonce.map(|n| n.0), nonce.map_or(0, |n| n.1));
    let this = LastRegister { call_id: request.call_id, cseq: request.cseq, nonce_id, nc };
    request.method == MethodKind::Register
        && device.binding.is_some_and(|b| b.last == this && b.source.ip() == request.source.ip())
}

/// Every address of record must be one of the device's lines; in a dialog the tag has named the device.
fn speaks_for_its_lines(request: &RequestFacts<'_>, device: &DeviceFacts<'_>) -> bool {
    let own = |aor: &&str| device.lines.iter().any(|dn| dn.as_str() == *aor);
    request.in_dialog || (!request.aors.is_empty() && request.aors.iter().all(own))
}

/// Devices that nothing proves are served only on the flow that they registered on, and a second source
/// cannot take a live binding away from them.
fn off_its_flow(request: &RequestFacts<'_>, device: &DeviceFacts<'_>, policy: &Policy) -> Option<Cause> {
    if request.method == MethodKind::Register {
        let taken = device.binding.is_some_and(|b| b.live && b.source.ip() != request.source.ip());
        return (taken && !policy.allow_unproven_move).then_some(Cause::UnprovenMove);
    }
    let on_flow = device.binding.is_some_and(|b| match b.flow {
        Flow::Udp { remote, .. } => {
            // Without rport the flow leads to the phone's own port (R174), while its requests may leave
            // from any: then the IP address is all that can be compared.
            let any_port = remote.port() == device.settings.sip_phone_port;
            request.transport == Transport::Udp
                && b.source.ip() == request.source.ip()
                && (any_port || b.source.port() == request.source.port())
        }
        Flow::Stream { id, .. } => request.stream == Some(id),
        Flow::Lost { .. } => false,
    });
    (!on_flow).then_some(Cause::NotOnItsFlow)
}
