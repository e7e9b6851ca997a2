//! What an administrator may do with the node's own certificates: request one, put one of another authority in the
//! place of the self-signed one (R005), and make a self-signed one anew.
//!
//! Nothing here writes: [`decide`] judges what is asked by what there is and says which change it comes to. A
//! running node and the command line without one commit it by the same function of the catalog.

mod upload;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use keyline_actors::catalog::OwnChange;
use keyline_actors::keyring::{Material, Own};
use keyline_domain::identity::{CertificateFacts, CertificateKey};
use keyline_domain::ids::UnixMillis;
use keyline_domain::inventory::{CertificateRow, Purpose};
use serde::Deserialize;
use serde_json::{Value, json};

pub use self::upload::UploadRefused;
use super::authority::{self, AuthorityError, OwnCertificate};
use super::inspect;
use super::ocsp::{self, OcspError};
use crate::instant::Timestamp;

/// RSA bits of a new key where nothing is said: what every phone takes (R147).
const RSA_BITS: u32 = 2048;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A certificate request.
    Request(Request),
    /// The certificate of another authority, PEM: leaf, then its chain.
    Upload(String),
    /// A new key and a self-signed certificate; the fingerprint of the one that it replaces confirms it.
    Regenerate(String),
    /// An OCSP response that handshakes are to carry along, DER; none takes it off.
    Staple(Option<Vec<u8>>),
}

/// For which key a certificate is requested.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// A new key, which waits for its certificate; else the key in force.
    pub new_key: bool,
    /// Bits of a new RSA key: 2048, 3072 or 4096.
    pub rsa_bits: Option<u32>,
}

/// Who the node is.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name.
    pub node: String,
    /// Names and addresses under which phones reach it.
    pub hosts: Vec<String>,
}

/// By what a request is judged.
#[derive(Debug)]
pub struct Grounds<'a> {
    /// The node.
    pub site: &'a Site,
    /// Trusted certificates of all purposes.
    pub trusted: &'a [CertificateRow],
    /// Models that may not register when the server's RSA key is large, with their phones (R147).
    pub small_keys: &'a [(String, usize)],
    /// Now.
    pub now: UnixMillis,
    /// For a serial number.
    pub random: [u8; 16],
}

/// What a request comes to.
#[derive(Debug)]
pub struct Decided {
    /// The answer.
    pub answer: Value,
    /// What is to be committed first; none where nothing changes.
    pub change: Option<OwnChange>,
}

/// Why nothing is done.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// There are no such keys.
    #[error("rsa_bits is {0}; use 2048, 3072 or 4096")]
    Bits(u32),
    /// A certificate was refused.
    #[error(transparent)]
    Upload(#[from] UploadRefused),
    /// An OCSP response was refused.
    #[error(transparent)]
    Ocsp(#[from] OcspError),
    /// What was confirmed is not what is there.
    #[error("{name} has the fingerprint {present}, not {confirmed}: look at it again and confirm that one")]
    Confirmation {
        /// Which certificate.
        name: &'static str,
        /// The fingerprint of the one that is served.
        present: String,
        /// What was sent.
        confirmed: String,
    },
    /// It could not be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// Judges what is asked of one certificate.
///
/// # Errors
/// [`OwnError`].
pub fn decide(
    which: OwnCertificate,
    asked: &Asked,
    present: &Arc<Own>,
    grounds: &Grounds<'_>,
) -> Result<Decided, OwnError> {
    match asked {
        Asked::Request(wanted) => request(which, wanted, present, grounds.site),
        Asked::Upload(pem) => {
            let judged = upload::judge(which, pem, present, grounds)?;
            Ok(replaced(which, "own_certificate_install", present, judged.own, judged.warnings, grounds))
        }
        Asked::Staple(response) => staple(which, response.as_deref(), present, grounds),
        Asked::Regenerate(confirmed) => {
            let shown = shown(&present.material.certificate_pem);
            let fingerprint = shown["fingerprint"].as_str().unwrap_or_default();
            if !confirmed.eq_ignore_ascii_case(fingerprint) {
                let (name, present) = (which.name(), fingerprint.to_owned());
                return Err(OwnError::Confirmation { name, present, confirmed: confirmed.clone() });
            }
            let now = i64::try_from(grounds.now.0 / 1000).unwrap_or(i64::MAX);
            let site = grounds.site;
            let material = authority::self_signed(which, &site.node, &site.hosts, grounds.random, now)?;
            let own = Own { material, pending: present.pending.clone(), ocsp: None };
            Ok(replaced(which, "own_certificate_regenerate", present, own, Vec::new(), grounds))
        }
    }
}

fn request(
    which: OwnCertificate,
    wanted: &Request,
    present: &Arc<Own>,
    site: &Site,
) -> Result<Decided, OwnError> {
    let bits = wanted.rsa_bits.unwrap_or(RSA_BITS);
    let new = match wanted.new_key {
        true => Some(authority::private_key(which, bits)?.ok_or(OwnError::Bits(bits))?),
        false => None,
    };
    let key = new.as_ref().unwrap_or(&present.material.private_key_pem);
    let pem = authority::request(which, &site.node, &site.hosts, key)?;
    let kind = if wanted.new_key { "new" } else { "present" };
    let answer = json!({ "name": which.name(), "key": kind, "csr": pem });
    let change = new.map(|key| OwnChange {
        name: which.name().into(),
        before: Arc::clone(present),
        after: Arc::new(Own { pending: Some(key), ..Own::clone(present) }),
        operation: "own_certificate_request",
        told: (None, Some(json!({ "key": kind }))),
    });
    Ok(Decided { answer, change })
}

fn staple(
    which: OwnCertificate,
    response: Option<&[u8]>,
    present: &Arc<Own>,
    grounds: &Grounds<'_>,
) -> Result<Decided, OwnError> {
    let before = stapled(present, grounds.now);
    let after = match response {
        Some(response) => {
            let chain = inspect::pem(&present.material.certificate_pem).map_err(UploadRefused::from)?;
            let trusted = grounds.trusted.iter().filter(|row| row.purpose == Purpose::CallManagerTrust);
            let authorities: Vec<_> =
                trusted.filter_map(|row| inspect::pem(&row.pem).ok()).flatten().collect();
            ocsp::judge(response, &chain, &authorities, grounds.now)?.view(grounds.now)
        }
        None => Value::Null,
    };
    let changed = present.ocsp.as_deref() != response;
    let answer = json!({
        "name": which.name(), "changed": changed, "before": before, "after": after, "warnings": [],
    });
    let change = changed.then(|| OwnChange {
        name: which.name().into(),
        before: Arc::clone(present),
        after: Arc::new(Own { ocsp: response.map(Arc::from), ..Own::clone(present) }),
        operation: "own_certificate_ocsp",
        told: (Some(before), Some(after)),
    });
    Ok(Decided { answer, change })
}

/// When the OCSP response of an own certificate holds; null where there is none.
pub fn stapled(own: &Own, now: UnixMillis) -> Value {
    let facts = authority::ocsp_facts(own);
    facts.map_or(Value::Null, |facts| facts.view(now))
}

fn replaced(
    which: OwnCertificate,
    operation: &'static str,
    present: &Arc<Own>,
    own: Own,
    mut warnings: Vec<Value>,
    grounds: &Grounds<'_>,
) -> Decided {
    let (before, after) = (shown(&present.material.certificate_pem), shown(&own.material.certificate_pem));
    let changed = before["fingerprint"] != after["fingerprint"] || before["chain"] != after["chain"];
    if which == OwnCertificate::CallManager && after["rsa_bits"].as_u64().is_some_and(|bits| bits > 2048) {
        warnings.extend(grounds.small_keys.iter().map(|(model, phones)| {
            warning(
                "small_server_key_only",
                format!(
                    "{model}: its {phones} phones may not register with an RSA key of more than 2048 bits"
                ),
                &json!({ "model": model, "phones": phones }),
            )
        }));
    }
    let answer = json!({
        "name": which.name(), "changed": changed, "before": before, "after": after, "warnings": warnings,
    });
    let change = changed.then(|| OwnChange {
        name: which.name().into(),
        before: Arc::clone(present),
        after: Arc::new(own),
        operation,
        told: (Some(before), Some(after)),
    });
    Decided { answer, change }
}

fn warning(code: &str, text: String, more: &Value) -> Value {
    let mut out = json!({ "code": code, "text": text });
    if let (Some(out), Some(more)) = (out.as_object_mut(), more.as_object()) {
        out.extend(more.clone());
    }
    out
}

/// One own certificate as it is shown, with its chain; public parts alone.
pub fn view(name: &str, own: &Own, now: UnixMillis) -> Value {
    let mut out = shown(&own.material.certificate_pem);
    out["name"] = name.into();
    out["pem"] = own.material.certificate_pem.as_str().into();
    out["ocsp"] = stapled(own, now);
    out["request_pending"] = own.pending.is_some().into();
    out
}

/// What a chain says: its leaf, and the subjects of all.
fn shown(pem: &str) -> Value {
    let chain: Vec<CertificateFacts> = inspect::pem(pem)
        .map(|ders| ders.iter().filter_map(|der| inspect::facts(der).ok()).collect())
        .unwrap_or_default();
    let Some(leaf) = chain.first() else { return json!({ "fingerprint": null, "chain": [] }) };
    let (key, rsa_bits) = match leaf.key {
        CertificateKey::Rsa(bits) => ("rsa", Some(bits)),
        CertificateKey::Ec(_) => ("ec", None),
        CertificateKey::Other => ("other", None),
    };
    json!({
        "fingerprint": inspect::for_inventory(leaf).fingerprint,
        "subject": leaf.subject,
        "issuer": leaf.issuer,
        "self_signed": leaf.subject == leaf.issuer,
        "dns_names": leaf.san_dns,
        "key": key,
        "rsa_bits": rsa_bits,
        "not_before": Timestamp(leaf.not_before),
        "not_after": Timestamp(leaf.not_after),
        "chain": chain.iter().map(|facts| facts.subject.as_str()).collect::<Vec<_>>(),
    })
}

/// A chain in its order, as PEM.
fn joined(ders: &[rustls::pki_types::CertificateDer<'_>]) -> String {
    use base64::Engine as _;
    let mut out = String::new();
    for der in ders {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        // RFC 7468 §2: lines of 64 characters.
        for line in text.as_bytes().chunks(64) {
            out.push_str(&String::from_utf8_lossy(line));
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}

/// A certificate under a key.
fn material(chain: &str, key: &zeroize::Zeroizing<String>) -> Material {
    Material { certificate_pem: chain.to_owned(), private_key_pem: key.clone() }
}
