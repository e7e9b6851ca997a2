//! Makes the node's own certificates at first start (R004): self-signed, non-CA, one for call processing
//! (RSA and EC side by side) and one for TFTP; and reads them at every start.
//!
//! What exists is never made again, neither by a restart nor by an upgrade nor because the node got another
//! name or address (R007): phones hold these certificates in their trust lists.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use keyline_actors::error::OpenError;
use keyline_actors::keyring::{Keyring, Material, Own, OwnCertificates};
use keyline_domain::ids::UnixMillis;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SanType, SerialNumber,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::ocsp::{self, OcspFacts};

/// Lifetime of a self-signed certificate in days: five years, as the call managers of the field do.
const LIFETIME_DAYS: i64 = 5 * 365;

/// Seconds by which a certificate is dated back: phones' clocks are rarely exact.
const DATED_BACK_S: i64 = 3600;

/// RFC 5280 appendix A.1: a common name has at most 64 characters.
const COMMON_NAME_MAX: usize = 64;

/// The node's own certificates (design §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnCertificate {
    /// Call processing, RSA.
    CallManager,
    /// Call processing, EC.
    CallManagerEc,
    /// Signs configuration files.
    Tftp,
}

impl OwnCertificate {
    /// All that are made at first start.
    pub const ALL: [Self; 3] = [Self::CallManager, Self::CallManagerEc, Self::Tftp];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|which| which.name() == name)
    }

    /// Name in the contract: of the material in the keyring and of `keyline cert export --name`.
    pub fn name(self) -> &'static str {
        match self {
            Self::CallManager => "CallManager",
            Self::CallManagerEc => "CallManager-EC",
            Self::Tftp => "TFTP",
        }
    }
}

/// The server's own certificates with their keys, side by side (design §6: CallManager, CallManager-EC).
#[derive(Debug, Default, Clone)]
pub struct ServerIdentity {
    /// CallManager.
    pub rsa: Option<Arc<CertifiedKey>>,
    /// CallManager-EC.
    pub ec: Option<Arc<CertifiedKey>>,
    /// Until when the OCSP responses hold that they carry; `None` without one.
    pub stapled_until: Option<UnixMillis>,
}

/// Why the node has no usable certificates of its own.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The keyring cannot be read or written.
    #[error("own certificate {name}: {source}")]
    Keyring {
        /// Which certificate.
        name: &'static str,
        /// What the keyring says.
        source: OpenError,
    },
    /// A host of the node cannot stand in a certificate.
    #[error("`{host}` cannot be a subject alternative name; correct node.domain or node.aliases: {source}")]
    Host {
        /// The refused host.
        host: String,
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// The key pair or the certificate could not be made.
    #[error("own certificate {name} could not be made: {source}")]
    Make {
        /// Which certificate.
        name: &'static str,
        /// What went wrong.
        source: rcgen::Error,
    },
    /// The system gave no random serial number.
    #[error("own certificate {name}: no randomness: {reason}")]
    Random {
        /// Which certificate.
        name: &'static str,
        /// What the system says.
        reason: String,
    },
    /// What is stored is no certificate with its key.
    #[error(
        "own certificate {name} is stored but cannot be used: {reason}; restore a backup of the data folder \
         (it is never replaced silently: phones trust it)"
    )]
    Damaged {
        /// Which certificate.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Makes what is missing and keeps it; what is there must be usable. `hosts` are the names and
/// addresses under which phones reach the node: domain, aliases, listener addresses; they become SANs of
/// certificates that are made now.
///
/// # Errors
/// [`AuthorityError`]; what exists is left as it is then.
pub fn ensure(keyring: &Keyring<'_>, node: &str, hosts: &[String]) -> Result<(), AuthorityError> {
    for which in OwnCertificate::ALL {
        let name = which.name();
        let keyring_error = |source| AuthorityError::Keyring { name, source };
        let material = match keyring.material(name).map_err(keyring_error)? {
            Some(material) => material,
            None => {
                let mut serial = [0u8; 16];
                getrandom::fill(&mut serial)
                    .map_err(|e| AuthorityError::Random { name, reason: e.to_string() })?;
                let made = self_signed(which, node, hosts, serial, unix_now())?;
                keyring.put_material(name, &made).map_err(keyring_error)?;
                tracing::info!(certificate = name, "own certificate made and kept");
                made
            }
        };
        // So that a damaged one is found at start and not by the first phone.
        certified(name, &material)?;
    }
    Ok(())
}

/// When the OCSP response of an own certificate holds, if it has one.
pub fn ocsp_facts(own: &Own) -> Option<OcspFacts> {
    let response = own.ocsp.as_deref()?;
    let leaf = CertificateDer::from_pem_slice(own.material.certificate_pem.as_bytes()).ok()?;
    ocsp::facts(response, &leaf)
}

/// The certificates of call processing among the node's own, with their OCSP responses while these hold.
///
/// # Errors
/// [`AuthorityError::Damaged`].
pub fn identity(own: &OwnCertificates, now: UnixMillis) -> Result<ServerIdentity, AuthorityError> {
    let mut stapled_until = None;
    let mut read = |which: OwnCertificate| {
        let Some(own) = own.get(which.name()) else { return Ok(None) };
        let certified = certified(which.name(), &own.material)?;
        let Some(facts) = ocsp_facts(own).filter(|facts| facts.is_current(now)) else {
            return Ok(Some(certified));
        };
        stapled_until = stapled_until.into_iter().chain([facts.next_update]).min();
        let ocsp = own.ocsp.as_ref().map(|der| der.to_vec());
        Ok(Some(Arc::new(CertifiedKey { ocsp, ..CertifiedKey::clone(&certified) })))
    };
    let (rsa, ec) = (read(OwnCertificate::CallManager)?, read(OwnCertificate::CallManagerEc)?);
    Ok(ServerIdentity { rsa, ec, stapled_until })
}

/// The node's own certificates by name, PEM, leaf first: public, for export and for the admin API.
///
/// # Errors
/// [`AuthorityError::Keyring`].
pub fn certificates(keyring: &Keyring<'_>) -> Result<HashMap<String, String>, AuthorityError> {
    let mut found = HashMap::new();
    for which in OwnCertificate::ALL {
        let name = which.name();
        if let Some(pem) =
            keyring.certificate(name).map_err(|source| AuthorityError::Keyring { name, source })?
        {
            found.insert(name.to_owned(), pem);
        }
    }
    Ok(found)
}

/// Makes one self-signed certificate. `hosts` become its SANs, each once; `serial` is 16 random bytes, `now`
/// is Unix seconds.
///
/// # Errors
/// [`AuthorityError::Host`], [`AuthorityError::Make`].
pub fn self_signed(
    which: OwnCertificate,
    node: &str,
    hosts: &[String],
    serial: [u8; 16],
    now: i64,
) -> Result<Material, AuthorityError> {
    let fail = |source| AuthorityError::Make { name: which.name(), source };
    let key = new_key(which, RsaKeySize::_2048)?;
    let mut params = parameters(which, node, hosts)?;
    params.serial_number = Some(SerialNumber::from_slice(&positive(serial)));
    params.not_before = at(now.saturating_sub(DATED_BACK_S));
    params.not_after = at(now.saturating_add(LIFETIME_DAYS * 86_400));
    let certificate = params.self_signed(&key).map_err(fail)?;
    Ok(Material { certificate_pem: certificate.pem(), private_key_pem: key.serialize_pem().into() })
}

/// A key of the kind that a certificate has.
fn new_key(which: OwnCertificate, bits: RsaKeySize) -> Result<KeyPair, AuthorityError> {
    let made = match which {
        OwnCertificate::CallManager | OwnCertificate::Tftp => {
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, bits)
        }
        OwnCertificate::CallManagerEc => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
    };
    made.map_err(|source| AuthorityError::Make { name: which.name(), source })
}

/// A new private key, PKCS#8 PEM, for a certificate request; `None` when there are no RSA keys of so many bits.
///
/// # Errors
/// [`AuthorityError::Make`].
pub fn private_key(
    which: OwnCertificate,
    rsa_bits: u32,
) -> Result<Option<Zeroizing<String>>, AuthorityError> {
    let bits = match rsa_bits {
        2048 => RsaKeySize::_2048,
        3072 => RsaKeySize::_3072,
        4096 => RsaKeySize::_4096,
        _ => return Ok(None),
    };
    Ok(Some(new_key(which, bits)?.serialize_pem().into()))
}

/// A certificate request (RFC 2986, PEM) for a private key, with the names and usages that the node's own
/// certificate has.
///
/// # Errors
/// [`AuthorityError::Host`], [`AuthorityError::Make`].
pub fn request(
    which: OwnCertificate,
    node: &str,
    hosts: &[String],
    private_key_pem: &str,
) -> Result<String, AuthorityError> {
    let fail = |source| AuthorityError::Make { name: which.name(), source };
    let key = KeyPair::from_pem(private_key_pem).map_err(fail)?;
    let params = parameters(which, node, hosts)?;
    params.serialize_request(&key).and_then(|request| request.pem()).map_err(fail)
}

/// Subject, names and usages of an own certificate.
fn parameters(
    which: OwnCertificate,
    node: &str,
    hosts: &[String],
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, node.chars().take(COMMON_NAME_MAX).collect::<String>());
    subject.push(DnType::OrganizationName, "Keyline");
    // Tells the certificates of one node apart: a trust list names them by subject and serial.
    subject.push(DnType::OrganizationalUnitName, which.name());
    params.distinguished_name = subject;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = match which {
        // RFC 5480 §3: an EC key does not encipher keys.
        OwnCertificate::CallManagerEc => vec![KeyUsagePurpose::DigitalSignature],
        _ => vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment],
    };
    params.extended_key_usages = match which {
        OwnCertificate::Tftp => {
            vec![ExtendedKeyUsagePurpose::CodeSigning, ExtendedKeyUsagePurpose::ServerAuth]
        }
        // A server towards phones, a client towards trunks.
        _ => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
    };
    for host in hosts.iter().collect::<BTreeSet<_>>() {
        let name = match host.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => continue,
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => {
                let host_error = |source| AuthorityError::Host { host: host.clone(), source };
                SanType::DnsName(host.as_str().try_into().map_err(host_error)?)
            }
        };
        params.subject_alt_names.push(name);
    }
    Ok(params)
}

/// Reads a chain with its key and checks that they belong together.
pub(crate) fn certified(
    name: &'static str,
    material: &Material,
) -> Result<Arc<CertifiedKey>, AuthorityError> {
    let damaged = |reason: String| AuthorityError::Damaged { name, reason };
    let chain = CertificateDer::pem_slice_iter(material.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| damaged(format!("certificate: {e}")))?;
    if chain.is_empty() {
        return Err(damaged("there is no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(material.private_key_pem.as_bytes())
        .map_err(|e| damaged(format!("private key: {e}")))?;
    // Fails when the key is not the certificate's.
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|e| damaged(e.to_string()))?;
    Ok(Arc::new(certified))
}

/// RFC 5280 §4.1.2.2: a serial number is positive.
fn positive(mut serial: [u8; 16]) -> [u8; 16] {
    serial[0] = (serial[0] & 0x7f) | 0x01;
    serial
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn at(unix_seconds: i64) -> time::OffsetDateTime {
    // Beyond year 9999 only with a broken clock; the epoch then makes the certificate visibly wrong.
    time::OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
