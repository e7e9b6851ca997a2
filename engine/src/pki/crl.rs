//! Revocation lists (RFC 5280 §5) of the authorities that phones are verified against: read, verified, and asked.
//!
//! Certificates that chain to an authority are judged by rustls' own checks. What is believed as it is has no chain
//! there, and old phones' chains are walked by OpenSSL; [`Revocations`] answers for both by issuer and serial number.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use keyline_actors::catalog::{CRL_MAX, Crl, CrlChange, RevokedBy};
use keyline_domain::ids::UnixMillis;
use keyline_domain::inventory::{CertificateRow, Purpose};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, RootCertStore};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

use super::inspect;
use crate::instant::Timestamp;

/// Why a list was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// More than a row of the store takes.
    #[error("the revocation list has {0} bytes; at most {CRL_MAX} are taken")]
    TooLong(usize),
    /// Not one.
    #[error("this is no revocation list: it must begin with -----BEGIN X509 CRL-----")]
    Unreadable,
    /// One that cannot be judged by.
    #[error("the revocation list of {0} cannot be used: {1}")]
    Unusable(String, String),
    /// Nobody whom we trust has signed it.
    #[error(
        "no authority in CallManager-trust, CAPF-trust or vendor-trust has signed the revocation list of {0}"
    )]
    Unsigned(String),
    /// An older one than what is there.
    #[error("the revocation list of {0} is of {1}, which is older than the one in force of {2}")]
    Older(String, Timestamp, Timestamp),
    /// Out of date already.
    #[error("the revocation list of {0} was to be replaced by {1}; get a current one")]
    Expired(String, Timestamp),
}

impl CrlError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "crl_too_long",
            Self::Unreadable => "crl_unreadable",
            Self::Unusable(..) => "crl_unusable",
            Self::Unsigned(_) => "crl_not_signed",
            Self::Older(..) => "crl_older",
            Self::Expired(..) => "crl_expired",
        }
    }
}

/// What a list says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlFacts {
    /// SHA-256 of the issuer's name in DER, hex.
    pub name: String,
    /// The issuer (RFC 4514).
    pub issuer: String,
    /// Made then.
    pub this_update: UnixMillis,
    /// To be replaced by then; `None` when it does not say.
    pub next_update: Option<UnixMillis>,
    /// Certificates on it.
    pub revoked: usize,
}

impl CrlFacts {
    /// It is past its next update.
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.next_update.is_some_and(|until| until < now)
    }

    /// As it is shown.
    pub fn view(&self, now: UnixMillis) -> Value {
        json!({
            "name": self.name,
            "issuer": self.issuer,
            "this_update": Timestamp(self.this_update),
            "next_update": self.next_update.map(Timestamp),
            "revoked": self.revoked,
            "expired": self.is_expired(now),
        })
    }
}

fn millis(time: ASN1Time) -> UnixMillis {
    UnixMillis(u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1000))
}

fn parsed(der: &[u8]) -> Option<CertificateRevocationList<'_>> {
    let (rest, list) = CertificateRevocationList::from_der(der).ok()?;
    rest.is_empty().then_some(list)
}

/// What a list in DER says; `None` when it is none.
pub fn facts(der: &[u8]) -> Option<CrlFacts> {
    let list = parsed(der)?;
    let digest = Sha256::digest(list.issuer().as_raw());
    Some(CrlFacts {
        name: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        issuer: inspect::name_text(list.issuer())?,
        this_update: millis(list.last_update()),
        next_update: list.next_update().map(millis),
        revoked: list.iter_revoked_certificates().count(),
    })
}

/// Judges an upload by the trusted certificates and the lists that are there: the change that it comes to.
///
/// # Errors
/// [`CrlError`].
pub fn accept(
    pem: &str,
    trusted: &[CertificateRow],
    present: &[Crl],
    now: UnixMillis,
) -> Result<(CrlChange, Value), CrlError> {
    if pem.len() > 2 * CRL_MAX {
        return Err(CrlError::TooLong(pem.len()));
    }
    let der =
        CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).map_err(|_| CrlError::Unreadable)?;
    if der.len() > CRL_MAX {
        return Err(CrlError::TooLong(der.len()));
    }
    let facts_of = facts(&der).ok_or(CrlError::Unreadable)?;
    let list = parsed(&der).ok_or(CrlError::Unreadable)?;
    let issuer = || facts_of.issuer.clone();
    let signers = trusted
        .iter()
        .filter(|row| {
            matches!(row.purpose, Purpose::CallManagerTrust | Purpose::CapfTrust | Purpose::VendorTrust)
        })
        .filter_map(|row| inspect::pem(&row.pem).ok())
        .flatten();
    let signer =
        signers.into_iter().find(|der| signed_by(&list, der)).ok_or_else(|| CrlError::Unsigned(issuer()))?;
    usable(&signer, &der).map_err(|reason| CrlError::Unusable(issuer(), reason))?;
    if let Some(until) = facts_of.next_update.filter(|_| facts_of.is_expired(now)) {
        return Err(CrlError::Expired(issuer(), Timestamp(until)));
    }
    let old = present.iter().find(|crl| *crl.name == *facts_of.name);
    let before = old.and_then(|crl| facts(&crl.der));
    if let Some(before) = before.as_ref().filter(|before| before.this_update > facts_of.this_update) {
        return Err(CrlError::Older(
            issuer(),
            Timestamp(facts_of.this_update),
            Timestamp(before.this_update),
        ));
    }
    let after = facts_of.view(now);
    let change = CrlChange {
        name: facts_of.name.as_str().into(),
        before: old.map(|crl| Arc::clone(&crl.der)),
        after: Some(der.as_ref().into()),
        told: (before.map(|before| before.view(now)), Some(after.clone())),
    };
    Ok((change, after))
}

/// The change that takes a list away; `None` when there is none of this name.
pub fn remove(name: &str, present: &[Crl], now: UnixMillis) -> Option<CrlChange> {
    let old = present.iter().find(|crl| &*crl.name == name)?;
    Some(CrlChange {
        name: name.into(),
        before: Some(Arc::clone(&old.der)),
        after: None,
        told: (facts(&old.der).map(|facts| facts.view(now)), None),
    })
}

fn signed_by(list: &CertificateRevocationList<'_>, signer: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(signer) else { return false };
    if certificate.subject().as_raw() != list.issuer().as_raw() {
        return false;
    }
    let key = &*certificate.public_key().subject_public_key.data;
    let (message, signature) = (list.tbs_cert_list.as_ref(), &*list.signature_value.data);
    // An algorithm of another kind of key verifies nothing.
    let algorithms = default_provider().signature_verification_algorithms.all;
    algorithms.iter().any(|a| a.verify_signature(key, message, signature).is_ok())
}

/// Whether handshakes could be judged by it: rustls wants version 2 with number and authority key identifier.
fn usable(signer: &CertificateDer<'_>, der: &CertificateRevocationListDer<'_>) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(signer.clone().into_owned()).map_err(|e| e.to_string())?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .with_crls([CertificateRevocationListDer::from(der.to_vec())])
        .build()
        .map(drop)
        .map_err(|e| e.to_string())
}

#[derive(Debug, Default)]
struct OfIssuer {
    serials: HashSet<Vec<u8>>,
    /// When the list that ends first is to be replaced.
    until: Option<UnixMillis>,
}

/// Revoked certificates by issuer, for those that rustls does not judge.
#[derive(Debug, Default)]
pub struct Revocations {
    issuers: HashMap<Box<[u8]>, OfIssuer>,
    refuse_expired: bool,
}

impl Revocations {
    /// Reads all lists; one that cannot be read is left out: it was refused when it came.
    pub fn read(by: RevokedBy<'_>) -> Self {
        let mut issuers: HashMap<Box<[u8]>, OfIssuer> = HashMap::new();
        for list in by.lists.iter().filter_map(|crl| parsed(&crl.der)) {
            let serials = list.iter_revoked_certificates().map(|one| one.user_certificate.to_bytes_be());
            let known = issuers.entry(list.issuer().as_raw().into()).or_default();
            known.serials.extend(serials);
            known.until = known.until.into_iter().chain(list.next_update().map(millis)).min();
        }
        Self { issuers, refuse_expired: by.refuse_expired }
    }

    /// Why a certificate is not believed: it stands on the list of its issuer, or that list is out of date and such
    /// a one refuses.
    pub fn fault(&self, der: &[u8], now: UnixMillis) -> Option<CertificateError> {
        if self.issuers.is_empty() {
            return None;
        }
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let issuer = self.issuers.get(certificate.issuer().as_raw())?;
        if issuer.serials.contains(&certificate.serial.to_bytes_be()) {
            return Some(CertificateError::Revoked);
        }
        let late = self.refuse_expired && issuer.until.is_some_and(|until| until < now);
        late.then_some(CertificateError::ExpiredRevocationList)
    }
}

/// The lists as rustls takes them.
pub fn ders(crls: &[Crl]) -> Vec<CertificateRevocationListDer<'static>> {
    crls.iter().map(|crl| CertificateRevocationListDer::from(crl.der.to_vec())).collect()
}
