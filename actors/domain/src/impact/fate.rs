//! Admission's verdict on a phone that comes again as it came last.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::admit::{
    BindingFacts, Cause, DeviceFacts, DigestOutcome, Due, LastRegister, MethodKind, MicPolicy, Policy,
    RequestFacts, RightDigest, Verdict, decide, due,
};
use crate::digest::Algorithm;
use crate::identity::{ChainedTo, PeerCertificate, ShownCertificate};
use crate::ids::UnixMillis;
use crate::inventory::{self, Inventory, Parameters, PhoneView};
use crate::mode::{PeerProof, Transport};
use crate::model::{Capability, TlsCertificate, VendorClass};
use crate::oauth::{Claims, TokenOutcome};
use crate::phone::Binding;
use crate::profile::ProfileSettings;

use super::LivePhone;

/// What becomes of the next REGISTER of a phone that is registered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is not registered: there is no request to judge.
    NotRegistered,
    /// Served.
    Admitted,
    /// Challenged for a digest that it has not shown so far.
    Asked,
    /// Refused, or challenged in vain.
    Refused(Cause),
    /// It proved itself by a certificate that was not seen since the start.
    Unknown,
}

/// What the phone's digest would be worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Knows {
    /// It has the credentials of the user whose digest counts.
    Right,
    /// It has those of another user (R195).
    OtherUser,
    /// It has old ones.
    Wrong,
}

/// The parameters that bear on admission. The phone comes from where it came from, so the question of moves
/// does not arise.
pub fn policy_of(parameters: &Parameters) -> Policy {
    Policy {
        cluster: parameters.cluster_security_mode,
        mic: match parameters.mic_tls_policy {
            inventory::Policy::Warn => MicPolicy::Warn,
            inventory::Policy::Refuse => MicPolicy::Refuse,
        },
        allow_unproven_move: false,
    }
}

/// The binding that was made or refreshed last.
pub(super) fn newest(live: &LivePhone, now: UnixMillis) -> Option<&Binding> {
    live.row.as_ref()?.live(now).max_by_key(|b| b.granted_until)
}

/// Judges the next REGISTER of a phone under these settings and this configuration: the one that made its
/// newest binding, once more.
pub fn fate(
    inventory: &Inventory,
    phone: &PhoneView<'_>,
    live: &LivePhone,
    settings: &ProfileSettings,
    chain: &dyn Fn(&ShownCertificate) -> ChainedTo,
    knows: Knows,
    now: UnixMillis,
) -> Fate {
    let (Some(row), Some(binding)) = (live.row.as_ref(), newest(live, now)) else {
        return Fate::NotRegistered;
    };
    let origin = &binding.origin;
    let shown: Option<&Arc<ShownCertificate>> = live.shown.as_ref();
    let tls = matches!(origin.flow.transport(), Transport::Tls);
    if tls && shown.is_none() && origin.peer.proof == PeerProof::Certificate {
        return Fate::Unknown;
    }
    let certificate = shown
        .filter(|_| tls)
        .map(|s| PeerCertificate { facts: &s.facts, chain: chain(s) })
        // A certificate that chains to nothing ends the handshake: the phone comes without one, or not at all.
        ;
    let aors: SmallVec<[&str; 4]> = row.live(now).map(|b| b.line.as_str()).collect();
    // A phone that came with a token comes with one again.
    let again = Claims::of_device(phone.name.as_str());
    let request = RequestFacts {
        method: MethodKind::Register,
        in_dialog: false,
        standby_keepalive: false,
        to_server: false,
        transport: origin.flow.transport(),
        suite: origin.peer.suite_kind,
        certificate,
        token: if origin.peer.proof == PeerProof::Token {
            TokenOutcome::Right(&again)
        } else {
            TokenOutcome::Absent
        },
        source: origin.flow.remote(),
        stream: None,
        aors: &aors,
        call_id: &origin.call_id,
        cseq: origin.cseq.wrapping_add(1),
        merely_extends: true,
    };
    let uploaded = inventory.uploaded_certificate_of(phone.name);
    let device = DeviceFacts {
        name: phone.name,
        model: &phone.model.name,
        preferred_vendor: phone.model.vendor_class == VendorClass::Preferred,
        shared_certificate: phone.model.tls_certificate == TlsCertificate::Shared,
        websocket: phone.model.can(Capability::Websocket),
        profile_name: &phone.profile.name,
        settings,
        previous: None,
        lines: phone.lines,
        digest_user: phone.digest_user,
        em_user: phone.em_user,
        uploaded_certificate: uploaded.as_ref(),
        binding: Some(BindingFacts {
            flow: origin.flow,
            source: origin.flow.remote(),
            live: origin.flow.is_live(),
            last: LastRegister {
                call_id: &origin.call_id,
                cseq: origin.cseq,
                nonce_id: origin.nonce.map(|n| n.id),
                nc: origin.nonce.map_or(0, |n| n.nc),
            },
        }),
    };
    let policy = policy_of(inventory.parameters());
    let has_shown = origin.nonce.is_some();
    let outcome = match due(&request, Some(&device), &policy) {
        Due::Nothing | Due::Token | Due::Refused(_) => DigestOutcome::Absent,
        // Nobody's credentials are right for a phone without a user.
        Due::Digest { .. } if device.expected_user().is_none() => DigestOutcome::Wrong,
        Due::Digest { .. } if !has_shown => DigestOutcome::Absent,
        Due::Digest { .. } if knows == Knows::Wrong => DigestOutcome::Wrong,
        Due::Digest { .. } => DigestOutcome::Right(RightDigest {
            nonce_id: u64::MAX,
            nc: 1,
            algorithm: Algorithm::Md5,
            of_expected_user: knows == Knows::Right,
            of_this_start: true,
            replayed: false,
        }),
    };
    match decide(&request, Some(&device), &policy, outcome, false) {
        Verdict::Admit(_) => Fate::Admitted,
        Verdict::Challenge { cause: Cause::DigestAbsent, .. } => Fate::Asked,
        Verdict::Challenge { cause, .. } => Fate::Refused(cause),
        Verdict::Refuse(refusal) => Fate::Refused(refusal.cause),
    }
}
