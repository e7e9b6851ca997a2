//! Class of a leg and of a call (requirements B and D): one total order, explained criterion by
//! criterion, so that an operator can see why a lock is missing and which setting to change.
//!
//! A leg's class, in this order: device not trusted → non-secure; signaling not TLS, or the peer not
//! proven by a client certificate or by a bearer token on the OAuth port → non-secure; applied mode or
//! cluster non-secure → non-secure; integrity-only suite → authenticated; an active stream without SRTP
//! in the answer → authenticated; else encrypted. A call has the lowest class of its answered legs.
//! Digest never raises a class (R163): nothing here reads it but the explanation.

mod cause;
mod report;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

pub use cause::{Cause, Finding};
pub use report::{CallSecurity, LegSecurity, call_info_security, explain_text};

use crate::ids::DeviceName;
use crate::media::{Hold, HoldSource, LegMedia, StreamProtection};
use crate::mode::{ClusterMode, DeviceSecurityMode, PeerProof, SecurityClass, SuiteKind, Transport};

/// Everything that the class of one leg depends on, taken when the class is asked for: from the live
/// flow, the phone's applied profile, the cluster and the last answered offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegFacts {
    /// The device, or the trunk's name.
    pub device: DeviceName,
    /// Model name, for the explanation.
    pub model: Arc<str>,
    /// Trust of the model (R041): decided by the catalogue, by nobody else.
    pub trusted: bool,
    /// Transport of the device's flow.
    pub transport: Transport,
    /// What the flow's cipher suite gives.
    pub suite: SuiteKind,
    /// How the flow's peer proved its device.
    pub proof: PeerProof,
    /// Name of the assigned profile, for the explanation.
    pub profile: Arc<str>,
    /// Mode of the applied profile; while a roll-out's grace lasts, the lower of the old and new one.
    pub applied_mode: DeviceSecurityMode,
    /// The applied profile challenges requests. Explains a missing certificate, changes no class.
    pub digest_authentication: bool,
    /// Cluster security mode.
    pub cluster: ClusterMode,
    /// This leg was answered (the caller's own leg always was). Others do not count yet.
    pub answered: bool,
    /// Its media.
    pub media: LegMedia,
}

/// The three criteria of the lock icon (R045).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CriterionName {
    /// The device's model is trusted.
    Trusted,
    /// Signaling is authenticated and encrypted.
    Signaling,
    /// Media is under SRTP.
    Media,
}

impl CriterionName {
    /// Name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Signaling => "signaling",
            Self::Media => "media",
        }
    }
}

/// One criterion of one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criterion {
    /// Which one.
    pub name: CriterionName,
    /// Everything that speaks against it, the one that weighs most first. Empty: it passes.
    pub findings: SmallVec<[Finding; 1]>,
}

impl Criterion {
    /// Nothing speaks against it.
    pub fn pass(&self) -> bool {
        self.findings.is_empty()
    }
}

/// A class and the reasons for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The class.
    pub class: SecurityClass,
    /// Trusted, signaling, media. All are always judged, also when the first one already decides.
    pub criteria: [Criterion; 3],
}

/// Classifies one leg. `Encrypted` exactly when all three criteria pass.
pub fn class_of_leg(leg: &LegFacts) -> Explained {
    explain(leg, leg.media.keys_exposed)
}

/// Classifies a call or a conference: the minimum over its answered legs, `NonSecure` when there is none.
///
/// With two answered legs their media is one stream whose SDES keys crossed both hops, so a hop that does
/// not encrypt exposes them for both. With more, each leg's media ends at the bridge and only its own hop
/// counts.
pub fn class_of_call(legs: &[LegFacts]) -> CallSecurity {
    let shared = keys_are_shared(legs);
    let legs: Vec<LegSecurity> = answered(legs)
        .map(|leg| LegSecurity::new(leg.device.clone(), explain(leg, shared || leg.media.keys_exposed)))
        .collect();
    let class = legs.iter().map(|leg| leg.class).min().unwrap_or(SecurityClass::NonSecure);
    CallSecurity { class, icon: class.icon(), legs }
}

/// The class that [`class_of_call`] finds, without its reasons in words: by the same rules.
pub fn lowest_class(legs: &[LegFacts]) -> SecurityClass {
    let shared = keys_are_shared(legs);
    let class = |leg: &LegFacts| {
        let mut lowest = Lowest(SecurityClass::Encrypted);
        let exposed = shared || leg.media.keys_exposed || !hop_encrypts(leg);
        trust(leg, &mut lowest);
        signaling(leg, &mut lowest);
        media(leg, exposed, &mut lowest);
        lowest.0
    };
    answered(legs).map(class).min().unwrap_or(SecurityClass::NonSecure)
}

fn answered(legs: &[LegFacts]) -> impl Iterator<Item = &LegFacts> {
    legs.iter().filter(|leg| leg.answered)
}

fn keys_are_shared(legs: &[LegFacts]) -> bool {
    answered(legs).count() == 2 && answered(legs).any(|leg| !hop_encrypts(leg))
}

/// What takes note of what the rules find: in words, or of the class alone.
trait Findings {
    fn find(&mut self, cause: Cause, setting: impl FnOnce() -> String);
}

impl Findings for SmallVec<[Finding; 1]> {
    fn find(&mut self, cause: Cause, setting: impl FnOnce() -> String) {
        self.push(Finding::new(cause, setting()));
    }
}

struct Lowest(SecurityClass);

impl Findings for Lowest {
    fn find(&mut self, cause: Cause, _: impl FnOnce() -> String) {
        self.0 = self.0.min(cause.at_most());
    }
}

fn explain(leg: &LegFacts, keys_exposed: bool) -> Explained {
    let criterion = |name| Criterion { name, findings: SmallVec::new() };
    let mut criteria =
        [CriterionName::Trusted, CriterionName::Signaling, CriterionName::Media].map(criterion);
    trust(leg, &mut criteria[0].findings);
    signaling(leg, &mut criteria[1].findings);
    media(leg, keys_exposed || !hop_encrypts(leg), &mut criteria[2].findings);
    let class = criteria
        .iter()
        .flat_map(|criterion| &criterion.findings)
        .map(|finding| finding.cause.at_most())
        .min()
        .unwrap_or(SecurityClass::Encrypted);
    Explained { class, criteria }
}

/// Keys in a body on this leg's hop are secret.
fn hop_encrypts(leg: &LegFacts) -> bool {
    leg.transport.is_tls() && leg.suite == SuiteKind::Encrypting
}

fn trust(leg: &LegFacts, found: &mut impl Findings) {
    if !leg.trusted {
        found.find(Cause::DeviceNotTrusted, || format!("phone_model `{}`: trusted = false", leg.model));
    }
}

fn signaling(leg: &LegFacts, found: &mut impl Findings) {
    let profile = |field: &str, value: &str| format!("security_profile `{}`: {field} = {value}", leg.profile);
    let mode = || profile("device_security_mode", mode_name(leg.applied_mode));
    let tls = leg.transport.is_tls() && leg.suite != SuiteKind::None;
    if !tls {
        found.find(Cause::SignalingNotTls, mode);
    }
    match leg.proof {
        PeerProof::Certificate => {}
        PeerProof::Token if leg.transport == Transport::Oauth => {}
        PeerProof::Token => found.find(Cause::TokenOffOauthPort, || profile("oauth_authentication", "true")),
        // Without TLS there was no way to show a certificate: that finding is made above.
        PeerProof::None | PeerProof::Digest if tls => {
            let digest = if leg.digest_authentication { "true" } else { "false" };
            found.find(Cause::NoDeviceCertificate, || profile("digest_authentication", digest));
        }
        PeerProof::None | PeerProof::Digest => {}
    }
    if leg.applied_mode == DeviceSecurityMode::NonSecure {
        found.find(Cause::ProfileNonSecure, mode);
    }
    if leg.cluster == ClusterMode::NonSecure {
        found.find(Cause::ClusterNonSecure, || "parameter cluster_security_mode = non_secure".to_owned());
    }
    if tls && leg.suite == SuiteKind::IntegrityOnly {
        found.find(Cause::IntegrityOnlySuite, mode);
    }
}

fn media(leg: &LegFacts, keys_exposed: bool, found: &mut impl Findings) {
    let mut active = false;
    for (i, protection) in leg.media.streams.iter().enumerate() {
        let stream = i + 1;
        active |= *protection != StreamProtection::Refused;
        let cause = match protection {
            StreamProtection::Plain => Cause::StreamNotSrtp { stream },
            StreamProtection::Weakened => Cause::StreamWeakened { stream },
            StreamProtection::Sdes if keys_exposed => Cause::KeysExposed { stream },
            StreamProtection::Sdes | StreamProtection::Dtls | StreamProtection::Refused => continue,
        };
        let setting = match cause {
            Cause::KeysExposed { .. } => "device_security_mode of both devices' profiles",
            _ => "the phones' SRTP setting; parameter srtp_ciphers",
        };
        found.find(cause, || setting.to_owned());
    }
    if !active {
        found.find(Cause::NoMedia, || "the answer's SDP".to_owned());
    }
    if leg.media.hold == Hold::On(HoldSource::PlainRtp) {
        found.find(Cause::PlainHoldSource, || "the hold source".to_owned());
    }
}

fn mode_name(mode: DeviceSecurityMode) -> &'static str {
    match mode {
        DeviceSecurityMode::NonSecure => "non_secure",
        DeviceSecurityMode::Authenticated => "authenticated",
        DeviceSecurityMode::Encrypted => "encrypted",
    }
}
