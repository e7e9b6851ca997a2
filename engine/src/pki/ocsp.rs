//! OCSP responses (RFC 6960) for the node's own certificates, which handshakes carry along (RFC 6066 §8, RFC 8446
//! §4.4.2.1): a client learns that the certificate stands without asking anybody.
//!
//! A response is judged when it is brought and at each start: it must be of this certificate, signed by its issuer
//! or by whom that one has charged with it, say *good*, and be current. It is public and holds no secret.

use aws_lc_rs::digest::{self, digest};
use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use keyline_domain::ids::UnixMillis;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, OcspResponseStatus,
    ResponderId, SingleResponse,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::inspect;
use crate::instant::Timestamp;

/// Largest response, in bytes: with a delegate's certificate about 3 KB; every handshake that asks carries it.
pub const OCSP_MAX: usize = 16 << 10;

/// By how much a responder's clock may be ahead of ours.
const SKEW_MS: u64 = 300_000;

/// id-pkix-ocsp-basic (RFC 6960 §4.2.1).
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");

/// Hash algorithms of a CertID. SHA-1 is what responders use; it names here and proves nothing.
const HASHES: [(ObjectIdentifier, &digest::Algorithm); 4] = [
    (ObjectIdentifier::new_unwrap("1.3.14.3.2.26"), &digest::SHA1_FOR_LEGACY_USE_ONLY),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"), &digest::SHA256),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"), &digest::SHA384),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"), &digest::SHA512),
];

/// Why a response is not carried along.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OcspError {
    /// Too large for handshakes.
    #[error("the OCSP response has {0} bytes; at most {OCSP_MAX} are taken")]
    TooLong(usize),
    /// Not one.
    #[error("this is no OCSP response in DER, as `openssl ocsp -respout FILE` writes it")]
    Unreadable,
    /// The responder had none to give.
    #[error("the responder says {0}: ask it again")]
    NotSuccessful(&'static str),
    /// The issuer is not known, or there is none.
    #[error(
        "the issuer of {0} is neither in its chain nor in CallManager-trust; a self-signed certificate has no OCSP response"
    )]
    NoIssuer(String),
    /// Of another one.
    #[error(
        "the OCSP response says nothing of {0}: ask the responder for the certificate that is served now"
    )]
    OtherCertificate(String),
    /// Nobody who may say so.
    #[error(
        "neither the issuer of {0} nor a responder that it has charged with it has signed the OCSP response"
    )]
    Unsigned(String),
    /// It tells against us.
    #[error("the OCSP response says that {0} is {1}: phones would refuse it; install another certificate")]
    NotGood(String, &'static str),
    /// It never ends.
    #[error("the OCSP response has no nextUpdate: without an end it cannot be carried along")]
    Endless,
    /// From the future.
    #[error("the OCSP response is of {0} only; look at this node's clock and the responder's")]
    NotYet(Timestamp),
    /// Over.
    #[error("the OCSP response was to be replaced by {0}; get a current one")]
    Expired(Timestamp),
}

impl OcspError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "ocsp_too_long",
            Self::Unreadable => "ocsp_unreadable",
            Self::NotSuccessful(_) => "ocsp_not_successful",
            Self::NoIssuer(_) => "ocsp_no_issuer",
            Self::OtherCertificate(_) => "ocsp_of_other_certificate",
            Self::Unsigned(_) => "ocsp_not_signed",
            Self::NotGood(..) => "ocsp_not_good",
            Self::Endless => "ocsp_endless",
            Self::NotYet(_) => "ocsp_not_yet_valid",
            Self::Expired(_) => "ocsp_expired",
        }
    }
}

/// When a response holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OcspFacts {
    /// Known to be right then.
    pub this_update: UnixMillis,
    /// Carried along until then.
    pub next_update: UnixMillis,
}

impl OcspFacts {
    /// It may be carried along.
    pub fn is_current(self, now: UnixMillis) -> bool {
        self.this_update.0 <= now.0.saturating_add(SKEW_MS) && now < self.next_update
    }

    /// As it is shown.
    pub fn view(self, now: UnixMillis) -> Value {
        json!({
            "this_update": Timestamp(self.this_update),
            "next_update": Timestamp(self.next_update),
            "current": self.is_current(now),
        })
    }
}

/// When a response that was judged before holds; what cannot be read holds never.
pub fn facts(response: &[u8], leaf: &[u8]) -> Option<OcspFacts> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let basic = basic(response).ok()?;
    times(basic.tbs_response_data.responses.iter().find(|one| has_serial(one, &certificate))?).ok()
}

/// Judges a response for a chain, leaf first; its issuer is looked for in the chain and among `authorities`.
///
/// # Errors
/// [`OcspError`].
pub fn judge(
    response: &[u8],
    chain: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'_>],
    now: UnixMillis,
) -> Result<OcspFacts, OcspError> {
    if response.len() > OCSP_MAX {
        return Err(OcspError::TooLong(response.len()));
    }
    let basic = basic(response)?;
    let (leaf, others) = chain.split_first().ok_or(OcspError::Unreadable)?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| OcspError::Unreadable)?;
    let name = inspect::name_text(leaf.subject()).unwrap_or_default();
    let issuers = others.iter().chain(authorities).filter_map(|der| X509Certificate::from_der(der).ok());
    let (_, issuer) = issuers
        .into_iter()
        .find(|(_, issuer)| issued(issuer, &leaf))
        .ok_or_else(|| OcspError::NoIssuer(name.clone()))?;
    let data = &basic.tbs_response_data;
    let one = data
        .responses
        .iter()
        .find(|one| has_serial(one, &leaf) && of_issuer(&one.cert_id, &issuer))
        .ok_or_else(|| OcspError::OtherCertificate(name.clone()))?;
    if !signed(&basic, &issuer, now) {
        return Err(OcspError::Unsigned(name));
    }
    match one.cert_status {
        CertStatus::Good(_) => {}
        CertStatus::Revoked(_) => return Err(OcspError::NotGood(name, "revoked")),
        CertStatus::Unknown(_) => return Err(OcspError::NotGood(name, "unknown")),
    }
    let facts = times(one)?;
    if facts.this_update.0 > now.0.saturating_add(SKEW_MS) {
        return Err(OcspError::NotYet(Timestamp(facts.this_update)));
    }
    if facts.next_update <= now {
        return Err(OcspError::Expired(Timestamp(facts.next_update)));
    }
    Ok(facts)
}

fn basic(response: &[u8]) -> Result<BasicOcspResponse, OcspError> {
    let response = OcspResponse::from_der(response).map_err(|_| OcspError::Unreadable)?;
    let refused = match response.response_status {
        OcspResponseStatus::Successful => None,
        OcspResponseStatus::MalformedRequest => Some("malformedRequest"),
        OcspResponseStatus::InternalError => Some("internalError"),
        OcspResponseStatus::TryLater => Some("tryLater"),
        OcspResponseStatus::SigRequired => Some("sigRequired"),
        OcspResponseStatus::Unauthorized => Some("unauthorized"),
    };
    if let Some(refused) = refused {
        return Err(OcspError::NotSuccessful(refused));
    }
    let bytes = response.response_bytes.filter(|bytes| bytes.response_type == BASIC);
    let bytes = bytes.ok_or(OcspError::Unreadable)?;
    BasicOcspResponse::from_der(bytes.response.as_bytes()).map_err(|_| OcspError::Unreadable)
}

fn times(one: &SingleResponse) -> Result<OcspFacts, OcspError> {
    let millis = |time: &OcspGeneralizedTime| {
        UnixMillis(u64::try_from(time.0.to_unix_duration().as_millis()).unwrap_or(u64::MAX))
    };
    let next = one.next_update.as_ref().ok_or(OcspError::Endless)?;
    Ok(OcspFacts { this_update: millis(&one.this_update), next_update: millis(next) })
}

/// Both as numbers: a certificate may write leading zeros otherwise than a responder.
fn has_serial(one: &SingleResponse, certificate: &X509Certificate<'_>) -> bool {
    let bare = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
    bare(one.cert_id.serial_number.as_bytes()) == bare(certificate.raw_serial())
}

fn of_issuer(id: &CertId, issuer: &X509Certificate<'_>) -> bool {
    let Some((_, hash)) = HASHES.iter().find(|(oid, _)| *oid == id.hash_algorithm.oid) else { return false };
    let name = digest(hash, issuer.subject().as_raw());
    let key = digest(hash, &issuer.public_key().subject_public_key.data);
    id.issuer_name_hash.as_bytes() == name.as_ref() && id.issuer_key_hash.as_bytes() == key.as_ref()
}

/// The issuer itself has signed, or one whose certificate it has issued for that (RFC 6960 §4.2.2.2).
fn signed(basic: &BasicOcspResponse, issuer: &X509Certificate<'_>, now: UnixMillis) -> bool {
    let (Ok(message), Some(signature)) = (basic.tbs_response_data.to_der(), basic.signature.as_bytes())
    else {
        return false;
    };
    let responder = &basic.tbs_response_data.responder_id;
    let by = |signer: &X509Certificate<'_>| {
        is_responder(responder, signer) && verifies(signer, &message, signature)
    };
    if by(issuer) {
        return true;
    }
    let delegates = basic.certs.iter().flatten().filter_map(|certificate| certificate.to_der().ok());
    delegates.into_iter().any(|der| {
        let Ok((_, delegate)) = X509Certificate::from_der(&der) else { return false };
        let usage = delegate.extended_key_usage();
        let charged = usage.is_ok_and(|usage| usage.is_some_and(|usage| usage.value.ocsp_signing));
        let seconds = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
        let valid = delegate.validity();
        let current = valid.not_before.timestamp() <= seconds && seconds <= valid.not_after.timestamp();
        charged && current && issued(issuer, &delegate) && by(&delegate)
    })
}

fn is_responder(id: &ResponderId, signer: &X509Certificate<'_>) -> bool {
    match id {
        ResponderId::ByName(name) => name.to_der().is_ok_and(|name| name == signer.subject().as_raw()),
        ResponderId::ByKey(hash) => {
            let key = &signer.public_key().subject_public_key.data;
            hash.as_bytes() == digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key).as_ref()
        }
    }
}

fn issued(issuer: &X509Certificate<'_>, certificate: &X509Certificate<'_>) -> bool {
    issuer.subject().as_raw() == certificate.issuer().as_raw()
        // One that signs itself is nobody's.
        && issuer.tbs_certificate.as_ref() != certificate.tbs_certificate.as_ref()
        && verifies(issuer, certificate.tbs_certificate.as_ref(), &certificate.signature_value.data)
}

fn verifies(signer: &X509Certificate<'_>, message: &[u8], signature: &[u8]) -> bool {
    let key = &*signer.public_key().subject_public_key.data;
    // An algorithm of another kind of key verifies nothing.
    let algorithms = default_provider().signature_verification_algorithms.all;
    algorithms.iter().any(|a| a.verify_signature(key, message, signature).is_ok())
}
