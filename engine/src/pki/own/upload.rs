//! Whether a certificate of another authority may take the place of an own one (R005): the key is one that the
//! node has, the chain is complete up to a root that was uploaded, all dates hold, names and usages fit.

use std::sync::Arc;

use keyline_actors::keyring::Own;
use keyline_domain::identity::{CertificateFacts, CertificateKey};
use keyline_domain::ids::UnixMillis;
use keyline_domain::inventory::Purpose;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};
use serde_json::{Value, json};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{Grounds, joined, material, warning};
use crate::instant::Timestamp;
use crate::pki::authority::{OwnCertificate, certified};
use crate::pki::inspect::{self, InspectError};

/// Least bits of an RSA key.
const RSA_MIN: u32 = 2048;

/// Longest path from a leaf to its root.
const PATH_MAX: usize = inspect::CERTIFICATES_MAX + 1;

/// Why a certificate was not taken; the one that is served stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadRefused {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] InspectError),
    /// The key is not ours.
    #[error(
        "{0} is for another key than the node's: have the request signed that `keyline cert csr --name {1}` prints          now"
    )]
    Key(String, &'static str),
    /// An authority is no server.
    #[error("{0} is an authority's certificate; the first one of the upload must be the node's own")]
    Authority(String),
    /// The key is too weak.
    #[error("{0} has an RSA key of {1} bits; at least {RSA_MIN} are taken")]
    Weak(String, u32),
    /// A link is missing.
    #[error(
        "{0} was issued by {1}, which is neither in the upload nor in CallManager-trust: add it to the upload, or, if it is a root, to CallManager-trust"
    )]
    Incomplete(String, String),
    /// The root is not trusted here.
    #[error(
        "the root {0} was not uploaded: `keyline cert add CallManager-trust --pem FILE` first, so that it is clear          whom this node belongs to"
    )]
    Root(String),
    /// A signature or a constraint of the chain does not hold.
    #[error("the chain of {0} does not hold: {1}")]
    Broken(String, String),
    /// Not yet.
    #[error("{0} is valid from {1} on only; look at this node's clock and the authority's")]
    NotYet(String, Timestamp),
    /// No longer.
    #[error("{0} was valid until {1}; have it issued anew")]
    Expired(String, Timestamp),
    /// It may not be used so.
    #[error("{0} may not be used so: {1}")]
    Usage(String, &'static str),
    /// It is another host's.
    #[error(
        "{0} names none of this node's hosts ({1}); have one of them put into its subject alternative names"
    )]
    Names(String, String),
}

impl UploadRefused {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(error) => error.code(),
            Self::Key(..) => "certificate_key_mismatch",
            Self::Authority(_) => "certificate_is_authority",
            Self::Weak(..) => "certificate_key_weak",
            Self::Incomplete(..) => "certificate_chain_incomplete",
            Self::Root(_) => "certificate_root_unknown",
            Self::Broken(..) => "certificate_chain_broken",
            Self::NotYet(..) => "certificate_not_yet_valid",
            Self::Expired(..) => "certificate_expired",
            Self::Usage(..) => "certificate_usage",
            Self::Names(..) => "certificate_names",
        }
    }
}

/// An upload that may be served.
pub(super) struct Judged {
    pub(super) own: Own,
    pub(super) warnings: Vec<Value>,
}

struct Link<'a> {
    der: &'a CertificateDer<'static>,
    facts: CertificateFacts,
}

fn links<'a>(ders: &'a [CertificateDer<'static>]) -> Result<Vec<Link<'a>>, InspectError> {
    ders.iter().map(|der| Ok(Link { der, facts: inspect::facts(der)? })).collect()
}

pub(super) fn judge(
    which: OwnCertificate,
    pem: &str,
    present: &Arc<Own>,
    grounds: &Grounds<'_>,
) -> Result<Judged, UploadRefused> {
    let ders = inspect::pem(pem)?;
    let uploaded = links(&ders)?;
    let Some((leaf, others)) = uploaded.split_first() else { return Err(InspectError::None.into()) };
    let name = leaf.facts.subject.clone();
    // Whose key it is comes first: what else is wrong does not matter if it is not ours.
    let candidates = [Some(&present.material.private_key_pem), present.pending.as_ref()];
    let leaf_pem = joined(std::slice::from_ref(leaf.der));
    let of_key =
        |key: &&zeroize::Zeroizing<String>| certified(which.name(), &material(&leaf_pem, key)).is_ok();
    let Some(key) = candidates.into_iter().flatten().find(of_key) else {
        return Err(UploadRefused::Key(name, which.name()));
    };
    if leaf.facts.is_ca {
        return Err(UploadRefused::Authority(name));
    }
    if let CertificateKey::Rsa(bits) = leaf.facts.key
        && bits < RSA_MIN
    {
        return Err(UploadRefused::Weak(name, bits));
    }
    let trusted: Vec<_> = grounds
        .trusted
        .iter()
        .filter(|row| row.purpose == Purpose::CallManagerTrust)
        .filter_map(|row| inspect::pem(&row.pem).ok())
        .flatten()
        .collect();
    let roots: Vec<_> = trusted
        .iter()
        .filter_map(|der| Some(Link { der, facts: inspect::facts(der).ok()? }))
        .filter(|link| link.facts.is_ca)
        .collect();
    let path = path(leaf, others, &roots)?;
    for link in &path {
        in_time(&link.facts, grounds.now)?;
    }
    let mut warnings = usage(which, leaf)?;
    let served: Vec<_> = path
        .iter()
        .filter(|link| !roots.iter().any(|root| root.der == link.der))
        .map(|link| link.der.clone())
        .collect();
    warnings.extend(names(&served, &roots, grounds)?);
    if served.len() < uploaded.len() {
        let text = "certificates of the upload that the chain does not need, or that are trusted already, are not served";
        warnings.push(warning("certificates_left_out", text.to_owned(), &json!({})));
    }
    let used_pending = present.pending.as_ref() == Some(key);
    // A response for the certificate before says nothing of this one.
    let own = Own {
        ocsp: None,
        material: material(&joined(&served), key),
        pending: present.pending.clone().filter(|_| !used_pending),
    };
    Ok(Judged { own, warnings })
}

/// From the leaf to a root that is trusted, by names; signatures are verified later.
fn path<'a>(
    leaf: &'a Link<'a>,
    others: &'a [Link<'a>],
    roots: &'a [Link<'a>],
) -> Result<Vec<&'a Link<'a>>, UploadRefused> {
    let mut path = vec![leaf];
    while path.len() < PATH_MAX {
        let last = path[path.len() - 1];
        if roots.iter().any(|root| root.der == last.der) {
            return Ok(path);
        }
        let issues = |link: &&Link<'_>| link.facts.subject == last.facts.issuer;
        if let Some(root) = roots.iter().find(issues) {
            path.push(root);
            return Ok(path);
        }
        if last.facts.subject == last.facts.issuer {
            return Err(UploadRefused::Root(last.facts.subject.clone()));
        }
        let unused = |link: &&Link<'_>| !path.iter().any(|known| known.der == link.der);
        let Some(next) = others.iter().filter(unused).find(issues) else {
            return Err(UploadRefused::Incomplete(last.facts.subject.clone(), last.facts.issuer.clone()));
        };
        path.push(next);
    }
    Err(UploadRefused::Broken(leaf.facts.subject.clone(), "it has too many links".to_owned()))
}

fn in_time(facts: &CertificateFacts, now: UnixMillis) -> Result<(), UploadRefused> {
    if now < facts.not_before {
        return Err(UploadRefused::NotYet(facts.subject.clone(), Timestamp(facts.not_before)));
    }
    if now > facts.not_after {
        return Err(UploadRefused::Expired(facts.subject.clone(), Timestamp(facts.not_after)));
    }
    Ok(())
}

/// Key usage and extended key usage: what is said must include what is done with it.
fn usage(which: OwnCertificate, leaf: &Link<'_>) -> Result<Vec<Value>, UploadRefused> {
    let damaged = InspectError::Certificate("its usages are damaged");
    let (_, certificate) = X509Certificate::from_der(leaf.der).map_err(|_| damaged.clone())?;
    let refused = |what| Err(UploadRefused::Usage(leaf.facts.subject.clone(), what));
    let key_usage = certificate.key_usage().map_err(|_| damaged.clone())?;
    if key_usage.is_some_and(|usage| !usage.value.digital_signature()) {
        return refused("its key usage lacks digitalSignature");
    }
    let mut warnings = Vec::new();
    if let Some(usage) = certificate.extended_key_usage().map_err(|_| damaged)? {
        let (usage, any) = (usage.value, usage.value.any);
        if !usage.server_auth && !any {
            return refused("its extended key usage lacks serverAuth");
        }
        if which != OwnCertificate::Tftp && !usage.client_auth && !any {
            let text =
                "its extended key usage lacks clientAuth: trunks that ask for our certificate refuse it";
            warnings.push(warning("no_client_auth", text.to_owned(), &json!({})));
        }
    }
    Ok(warnings)
}

/// Verifies the chain as a phone would, for each of the node's hosts; hosts that are not named are told.
fn names(
    served: &[CertificateDer<'static>],
    roots: &[Link<'_>],
    grounds: &Grounds<'_>,
) -> Result<Vec<Value>, UploadRefused> {
    let subject =
        |der: &CertificateDer<'_>| inspect::facts(der).map_or_else(|_| String::new(), |f| f.subject);
    let Some((leaf, chain)) = served.split_first() else {
        let name = "the certificate".to_owned();
        return Err(UploadRefused::Broken(name, "it is itself in CallManager-trust".to_owned()));
    };
    let broken = |what: &dyn std::fmt::Display| UploadRefused::Broken(subject(leaf), what.to_string());
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().map(|root| root.der.clone()));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map_err(|e| broken(&e))?;
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_millis(grounds.now.0));
    let (mut named, mut missing) = (0, Vec::new());
    for host in &grounds.site.hosts {
        if host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            continue;
        }
        let Ok(server) = ServerName::try_from(host.clone()) else { continue };
        match verifier.verify_server_cert(leaf, chain, &server, &[], now) {
            Ok(_) => named += 1,
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => missing.push(host.as_str()),
            Err(Error::InvalidCertificate(CertificateError::InvalidPurpose)) => {
                return Err(UploadRefused::Usage(subject(leaf), "its extended key usage lacks serverAuth"));
            }
            Err(error) => return Err(broken(&error)),
        }
    }
    if named == 0 {
        return Err(UploadRefused::Names(subject(leaf), missing.join(", ")));
    }
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let text =
        format!("it does not name {}: phones that reach the node so may refuse it", missing.join(", "));
    Ok(vec![warning("hosts_not_named", text, &json!({ "hosts": missing }))])
}
