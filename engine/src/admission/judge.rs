//! From a request to a verdict.

use std::net::SocketAddr;
use std::sync::Arc;

use keyline_actors::board::{Boards, DeviceSlot};
use keyline_domain::admit::{
    BindingFacts, DeviceFacts, DigestAnswer, DigestContext, DigestOutcome, Due, LastRegister, MethodKind,
    RequestFacts, UriParts, Verdict, check_digest, decide, due, uri_names_us,
};
use keyline_domain::flow::StreamId;
use keyline_domain::identity::{Claim, Directory, PeerCertificate, resolve};
use keyline_domain::ids::{DeviceIndex, UnixMillis};
use keyline_domain::mode::Transport;
use keyline_domain::mode::{PeerProof, SuiteKind};
use keyline_domain::model::{Capability, TlsCertificate, VendorClass};
use keyline_domain::phone::{self, AppliedVersion, Binding, Register, Row};
use keyline_wire::sip::{Credentials, DigestCredentials, Message, Uri};
use smallvec::SmallVec;

use super::{Admission, bearer};
use crate::flow::ConnectionFacts;
use crate::oauth::Verified;

/// How a request came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Listener.
    pub transport: Transport,
    /// Packet's source.
    pub source: SocketAddr,
    /// The connection; `None` over UDP.
    pub stream: Option<StreamId>,
    /// What the connection proved; `None` over UDP.
    pub facts: Option<&'a ConnectionFacts>,
    /// The token that requests on the connection were last served for.
    pub token: Option<&'a Arc<Verified>>,
    /// Now.
    pub now: UnixMillis,
}

/// What a request says of itself.
#[derive(Clone, Copy)]
pub struct Speaker<'a> {
    /// Device name parameter of the Contact.
    pub contact_device: Option<&'a str>,
    /// User parts of the addresses of record that it speaks for.
    pub aors: &'a [&'a str],
    /// In a dialog of ours.
    pub in_dialog: bool,
    /// Standby keepalive.
    pub standby_keepalive: bool,
    /// OPTIONS to the server itself.
    pub to_server: bool,
    /// Makes the facts of a REGISTER, where it matters whether it merely extends its contacts.
    pub register: Option<&'a dyn Fn() -> Register>,
}

/// The outcome.
#[derive(Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The claimed device.
    pub device: Option<DeviceIndex>,
    /// Some proof was due: without one only the flow tells the phone from a stranger.
    pub proof_due: bool,
    /// The token that it was served for; its connection rests on it from now on.
    pub token: Option<Arc<Verified>>,
    /// The profile version that it was judged by; with a device always there.
    pub applied: Option<AppliedVersion>,
}

struct Look<'a>(&'a Boards);

impl Directory for Look<'_> {
    fn device_named(&self, name: &str) -> Option<DeviceIndex> {
        // Canonical names are in upper case; most phones send them so.
        self.0.devices.by_name(name).or_else(|| self.0.devices.by_name(&name.to_ascii_uppercase()))
    }

    fn device_of_digest_user(&self, user: &str) -> Option<DeviceIndex> {
        self.0.devices.by_digest_user(user)
    }

    fn only_device_of_line(&self, dn: &str) -> Option<DeviceIndex> {
        match self.0.devices.by_line(dn).as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    fn has_line(&self, device: DeviceIndex, dn: &str) -> bool {
        self.0.devices.device(device).is_some_and(|d| d.lines.iter().any(|l| l.as_str() == dn))
    }
}

/// Judges a request.
pub fn judge(
    admission: &Admission,
    boards: &Boards,
    message: &Message<'_>,
    arrival: &Arrival<'_>,
    speaker: &Speaker<'_>,
) -> Judged {
    let settings = boards.settings.load();
    let parameters = &settings.parameters;
    let policy = admission.policy(parameters);
    let credentials = digest_for_realm(message, &parameters.sip_realm_station);
    let certificate = arrival.facts.and_then(|f| f.certificate.as_deref());
    let token = bearer::of(admission, boards, message, arrival);
    let claim = Claim {
        contact_device: speaker.contact_device,
        digest_user: credentials.as_ref().and_then(|c| c.username.as_deref()),
        line: speaker.aors.first().copied(),
        certificate_cn: certificate.and_then(|c| c.facts.subject_cn.as_deref()),
        token_device: bearer::device(&token),
        bound: speaker.aors.first().and_then(|dn| bound_on_flow(boards, dn, arrival)),
    };
    let device = resolve(&claim, &Look(boards)).map(|(d, _)| d);
    let request = RequestFacts {
        method: message.method().map_or(MethodKind::Other, |m| MethodKind::of(m.as_str())),
        in_dialog: speaker.in_dialog,
        standby_keepalive: speaker.standby_keepalive,
        to_server: speaker.to_server,
        transport: arrival.transport,
        suite: arrival.facts.map_or(SuiteKind::None, |f| f.suite_kind),
        certificate: certificate.map(|c| PeerCertificate { facts: &c.facts, chain: c.chain }),
        token: token.outcome(),
        source: arrival.source,
        stream: arrival.stream,
        aors: speaker.aors,
        call_id: message.call_id().unwrap_or_default(),
        cseq: message.cseq().map_or(0, |c| c.number),
        merely_extends: false,
    };
    let slot = device.and_then(|d| boards.devices.slot(d));
    let config = slot.and_then(DeviceSlot::device);
    let row = slot.and_then(DeviceSlot::row);
    let judgement =
        config.as_ref().and_then(|config| boards.profiles.judge(config.profile, row.as_deref(), arrival.now));
    let applied = judgement.as_ref().map(|j| &j.settings);
    let previous =
        row.as_ref().and_then(|r| r.in_grace(arrival.now)).and_then(|a| boards.profiles.settings(a));
    let facts = config.as_ref().zip(judgement.as_ref()).map(|(config, judgement)| DeviceFacts {
        name: &config.name,
        model: &config.model.name,
        preferred_vendor: config.model.vendor_class == VendorClass::Preferred,
        shared_certificate: config.model.tls_certificate == TlsCertificate::Shared,
        websocket: config.model.can(Capability::Websocket),
        profile_name: &judgement.assigned_name,
        settings: &judgement.settings,
        previous: previous.as_deref(),
        lines: &config.lines,
        digest_user: config.digest_user.as_ref(),
        em_user: config.em_user.as_ref(),
        uploaded_certificate: config.vendor_certificate.as_deref(),
        binding: row.as_deref().and_then(|r| binding_facts(r, arrival, &request)),
    });
    let device = facts.as_ref().and(device);
    let proof = due(&request, facts.as_ref(), &policy);
    let proof_due = matches!(proof, Due::Digest { .. } | Due::Token)
        || applied
            .is_some_and(|s| s.device_security_mode != keyline_domain::mode::DeviceSecurityMode::NonSecure);
    let outcome = match proof {
        Due::Digest { nonce_validity_s } => {
            let keys = boards.keys.load();
            let answer = credentials.as_ref().map(|c| answer(c, message, admission));
            let user = answer.as_ref().and_then(|a| boards.settings.credentials(a.username));
            let context = DigestContext {
                keys: &keys.nonce,
                windows: &admission.windows,
                now: arrival.now,
                start: keys.start,
                nonce_validity_s,
                from_bound_source: facts
                    .as_ref()
                    .and_then(|f| f.binding)
                    .is_some_and(|b| b.source.ip() == arrival.source.ip()),
                allow_without_qop: parameters.allow_digest_without_qop,
                expected_user: facts.as_ref().and_then(DeviceFacts::expected_user),
            };
            let method = message.method().map_or("", |m| m.as_str());
            check_digest(answer.as_ref(), method, user.as_deref(), &context)
        }
        Due::Nothing | Due::Token | Due::Refused(_) => DigestOutcome::Absent,
    };
    // Asked only of a right answer under a nonce of an earlier start: few, and the facts cost something.
    let merely_extends = matches!(&outcome, DigestOutcome::Right(right) if !right.of_this_start)
        && speaker
            .register
            .zip(row.as_deref())
            .is_some_and(|(register, row)| phone::extends_only(row, &register(), arrival.now));
    let request = RequestFacts { merely_extends, ..request };
    let too_often = (outcome != DigestOutcome::Absent || proof == Due::Token)
        && admission.throttle.is_over(arrival.source.ip(), arrival.now);
    let verdict = decide(&request, facts.as_ref(), &policy, outcome, too_often);
    if verdict.is_wrong_answer() {
        admission.wrong_answer(arrival.source.ip(), arrival.now);
    }
    let applied = judgement.as_ref().filter(|_| device.is_some()).map(|j| j.applied);
    let served = matches!(&verdict, Verdict::Admit(admitted) if admitted.proof == PeerProof::Token);
    let token = token.verified().filter(|_| served);
    Judged { verdict, device, proof_due, token, applied }
}

/// The digest answer for our realm: others are for other servers on the path.
fn digest_for_realm<'m>(message: &'m Message<'_>, realm: &str) -> Option<DigestCredentials<'m>> {
    message.authorizations().chain(message.proxy_authorizations()).find_map(|c| match c {
        Ok(Credentials::Digest(d)) if d.realm.as_deref() == Some(realm) => Some(d),
        _ => None,
    })
}

fn answer<'a>(
    c: &'a DigestCredentials<'_>,
    message: &Message<'_>,
    admission: &Admission,
) -> DigestAnswer<'a> {
    let uri = c.uri.as_deref().unwrap_or_default();
    DigestAnswer {
        username: c.username.as_deref().unwrap_or_default(),
        nonce: c.nonce.as_deref().unwrap_or_default(),
        uri,
        response: c.response.as_deref().unwrap_or_default(),
        algorithm: c.algorithm.as_deref(),
        qop: c.qop.as_deref(),
        nc: c.nc.as_deref(),
        cnonce: c.cnonce.as_deref(),
        uri_is_ours: names_us(uri, message, admission),
    }
}

fn names_us(directive: &str, message: &Message<'_>, admission: &Admission) -> bool {
    let request = message.request_uri().unwrap_or_default();
    if directive == request {
        // Most clients: nothing to take apart but the host.
        return message.uri().and_then(|uri| uri.host).is_some_and(|host| admission.is_our_host(&host));
    }
    let (Some((host, user)), Some((request_host, request_user))) = (host_user(directive), host_user(request))
    else {
        return false;
    };
    uri_names_us(
        UriParts { user: user.as_deref(), host: &host },
        UriParts { user: request_user.as_deref(), host: &request_host },
        &admission.hosts.load(),
    )
}

/// Host in canonical text and unescaped user of a SIP URI.
pub(crate) fn host_user(uri: &str) -> Option<(String, Option<String>)> {
    let uri = Uri::parse(uri).ok()?;
    let mut host = String::new();
    uri.host?.push_canonical(&mut host);
    let user = match uri.user {
        Some(_) => Some(uri.aor_user()?.into_owned()),
        None => None,
    };
    Some((host, user))
}

/// Of the devices that share a line, the one that is registered on this very flow.
fn bound_on_flow(boards: &Boards, dn: &str, arrival: &Arrival<'_>) -> Option<DeviceIndex> {
    let devices = boards.devices.by_line(dn);
    if devices.len() < 2 {
        return None;
    }
    devices.into_iter().find(|d| {
        boards
            .devices
            .slot(*d)
            .and_then(DeviceSlot::row)
            .is_some_and(|row| row.live(arrival.now).any(|b| on_flow(b, arrival)))
    })
}

fn on_flow(binding: &Binding, arrival: &Arrival<'_>) -> bool {
    match (arrival.stream, binding.origin.flow) {
        (Some(id), keyline_domain::flow::Flow::Stream { id: own, .. }) => id == own,
        (None, keyline_domain::flow::Flow::Udp { remote, .. }) => remote == arrival.source,
        _ => false,
    }
}

/// The binding that a request is measured by: the one on its own flow, else the one that its Call-ID
/// wrote, else the first.
fn binding_facts<'r>(
    row: &'r Row,
    arrival: &Arrival<'_>,
    request: &RequestFacts<'_>,
) -> Option<BindingFacts<'r>> {
    let live: SmallVec<[&Binding; 2]> = row.live(arrival.now).collect();
    let binding = live
        .iter()
        .find(|b| on_flow(b, arrival))
        .or_else(|| live.iter().find(|b| &*b.origin.call_id == request.call_id))
        .or_else(|| live.first())?;
    let origin = &binding.origin;
    Some(BindingFacts {
        flow: origin.flow,
        source: origin.flow.remote(),
        live: origin.flow.is_live(),
        last: LastRegister {
            call_id: &origin.call_id,
            cseq: origin.cseq,
            nonce_id: origin.nonce.map(|n| n.id),
            nc: origin.nonce.map_or(0, |n| n.nc),
        },
    })
}
