//! Reads certificates: PEM or DER to the facts that `keyline_domain` judges. Nothing is verified here.

mod name;

#[cfg(test)]
mod tests;

use keyline_domain::identity::{CertificateFacts, CertificateKey};
use keyline_domain::ids::UnixMillis;
use keyline_domain::inventory::{self, PEM_MAX, SUBJECT_MAX};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject, SectionKind};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Most certificates in one PEM text: a leaf and a long chain.
pub const CERTIFICATES_MAX: usize = 16;

/// Most subject alternative names of one certificate.
pub const NAMES_MAX: usize = 256;

/// Why a text or its bytes are not the certificate that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// More text than a chain of certificates needs.
    #[error("the PEM has {0} bytes; at most {PEM_MAX} are taken")]
    TextTooLong(usize),
    /// Broken armour or base64.
    #[error(
        "the PEM is damaged: copy it again from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"
    )]
    Pem,
    /// No certificate in it.
    #[error("the PEM holds no certificate: it must begin with -----BEGIN CERTIFICATE-----")]
    None,
    /// Too many.
    #[error(
        "the PEM holds more than {CERTIFICATES_MAX} certificates; leave out those that the chain does not need"
    )]
    TooMany,
    /// A private key, which has no place in a certificate row.
    #[error("the PEM holds a private key; upload the certificate alone and take the key for disclosed")]
    PrivateKey,
    /// Not X.509, or not DER.
    #[error("the certificate cannot be read: {0}")]
    Certificate(&'static str),
    /// More names than any phone has.
    #[error("the certificate has more than {NAMES_MAX} alternative names")]
    TooManyNames,
    /// A subject or issuer beyond the limit.
    #[error("the certificate's {0} has more than {SUBJECT_MAX} characters")]
    NameTooLong(&'static str),
}

impl InspectError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TextTooLong(_) | Self::Pem | Self::None | Self::TooMany | Self::PrivateKey => {
                "certificate_pem"
            }
            Self::Certificate(_) | Self::TooManyNames | Self::NameTooLong(_) => "certificate_unreadable",
        }
    }
}

/// The certificates of a PEM text in its order, at least one. Text around them does not count.
pub fn pem(text: &str) -> Result<Vec<CertificateDer<'static>>, InspectError> {
    if text.len() > PEM_MAX {
        return Err(InspectError::TextTooLong(text.len()));
    }
    let mut found = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        match section.map_err(|_| InspectError::Pem)? {
            (SectionKind::Certificate, _) if found.len() == CERTIFICATES_MAX => {
                return Err(InspectError::TooMany);
            }
            (SectionKind::Certificate, der) => found.push(CertificateDer::from(der)),
            (SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _) => {
                return Err(InspectError::PrivateKey);
            }
            _ => {}
        }
    }
    // An encrypted key is not a section that is recognised, but it is one.
    if text.contains("PRIVATE KEY-----") {
        return Err(InspectError::PrivateKey);
    }
    if found.is_empty() { Err(InspectError::None) } else { Ok(found) }
}

/// SHA-256 of a certificate's DER as lower-case hex: its name in the inventory.
pub fn fingerprint(der: &[u8]) -> String {
    hex(&Sha256::digest(der))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a certificate says, for judging who presents it.
pub fn facts(der: &[u8]) -> Result<CertificateFacts, InspectError> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_| InspectError::Certificate("it is not X.509 in DER"))?;
    if !rest.is_empty() {
        return Err(InspectError::Certificate("bytes follow behind its end"));
    }
    let mut san_dns = Vec::new();
    let mut san_other = false;
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| InspectError::Certificate("its alternative names are damaged or stand twice"))?;
    for (place, general) in names.iter().flat_map(|names| &names.value.general_names).enumerate() {
        if place == NAMES_MAX {
            return Err(InspectError::TooManyNames);
        }
        match general {
            GeneralName::DNSName(dns) => san_dns.push((*dns).to_owned()),
            GeneralName::Invalid(..) => {
                return Err(InspectError::Certificate("one of its alternative names is damaged"));
            }
            _ => san_other = true,
        }
    }
    let constraints = certificate
        .basic_constraints()
        .map_err(|_| InspectError::Certificate("its basic constraints are damaged or stand twice"))?;
    let text = |name, which| name::text(name, SUBJECT_MAX).ok_or(InspectError::NameTooLong(which));
    let validity = certificate.validity();
    Ok(CertificateFacts {
        sha256: Sha256::digest(der).into(),
        subject: text(certificate.subject(), "subject")?,
        subject_cn: name::common_name(certificate.subject()),
        san_dns,
        san_other,
        issuer: text(certificate.issuer(), "issuer")?,
        not_before: millis(validity.not_before),
        not_after: millis(validity.not_after),
        key: key(certificate.public_key()),
        is_ca: constraints.is_some_and(|constraints| constraints.value.ca),
    })
}

/// A name as text; `None` when it is longer than names may be.
pub fn name_text(name: &x509_parser::x509::X509Name<'_>) -> Option<String> {
    name::text(name, SUBJECT_MAX)
}

/// What an inventory row's PEM says: the facts of its first certificate. All the others must be readable
/// too.
pub fn row_facts(text: &str) -> Result<inventory::CertificateFacts, InspectError> {
    let certificates = pem(text)?;
    let mut first = None;
    for der in &certificates {
        let facts = facts(der)?;
        first.get_or_insert(facts);
    }
    first.map(|facts| for_inventory(&facts)).ok_or(InspectError::None)
}

/// The same facts in the inventory's shape.
pub fn for_inventory(facts: &CertificateFacts) -> inventory::CertificateFacts {
    inventory::CertificateFacts {
        fingerprint: hex(&facts.sha256).into(),
        subject: facts.subject.as_str().into(),
        common_name: facts.subject_cn.as_deref().unwrap_or_default().into(),
        dns_names: facts.san_dns.iter().map(|name| name.as_str().into()).collect(),
        other_names: facts.san_other,
        is_ca: facts.is_ca,
        not_before: facts.not_before,
        not_after: facts.not_after,
    }
}

/// Dates before 1970 count as 1970.
fn millis(time: ASN1Time) -> UnixMillis {
    UnixMillis(u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1000))
}

fn key(info: &SubjectPublicKeyInfo<'_>) -> CertificateKey {
    /// Named curves (RFC 5480 §2.1.1.1) with their bits.
    const CURVES: [(&str, u32); 3] =
        [("1.2.840.10045.3.1.7", 256), ("1.3.132.0.34", 384), ("1.3.132.0.35", 521)];
    match info.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let modulus: &[u8] = rsa.modulus;
            let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
            let bits = match modulus.get(zeros) {
                Some(first) => (modulus.len() - zeros) * 8 - first.leading_zeros() as usize,
                None => 0,
            };
            CertificateKey::Rsa(u32::try_from(bits).unwrap_or(u32::MAX))
        }
        Ok(PublicKey::EC(point)) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
            let named = curve.map(|oid| oid.to_id_string());
            let bits = named.and_then(|oid| CURVES.iter().find(|(known, _)| *known == oid));
            let bits =
                bits.map_or_else(|| u32::try_from(point.key_size()).unwrap_or(u32::MAX), |(_, bits)| *bits);
            CertificateKey::Ec(bits)
        }
        _ => CertificateKey::Other,
    }
}
