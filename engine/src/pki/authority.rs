//! Makes the node's own certificates at first start (R004): self-signed, non-CA, one for call processing
//! (RSA and EC side by side) and one for TFTP.

use std::net::IpAddr;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SanType, SerialNumber,
};

/// Lifetime of a self-signed certificate in days: five years, as the call managers of the field do.
const LIFETIME_DAYS: i64 = 5 * 365;

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

    /// Name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::CallManager => "CallManager",
            Self::CallManagerEc => "CallManager-EC",
            Self::Tftp => "TFTP",
        }
    }
}

/// A key pair with its certificate. `Debug` never shows the key.
#[derive(Clone)]
pub struct Material {
    /// Leaf first.
    pub certificate_pem: String,
    /// PKCS#8.
    pub private_key_pem: String,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Material")
    }
}

/// Makes one self-signed certificate. `hosts` become its SANs; `serial` is 16 random bytes, `now` is Unix
/// seconds.
pub fn self_signed(
    which: OwnCertificate,
    node: &str,
    hosts: &[String],
    serial: [u8; 16],
    now: i64,
) -> Result<Material, rcgen::Error> {
    let key = match which {
        OwnCertificate::CallManager | OwnCertificate::Tftp => {
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?
        }
        OwnCertificate::CallManagerEc => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
    };
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, node);
    subject.push(DnType::OrganizationName, "Keyline");
    subject.push(DnType::OrganizationalUnitName, which.name());
    params.distinguished_name = subject;
    params.is_ca = IsCa::ExplicitNoCa;
    params.serial_number = Some(SerialNumber::from_slice(&positive(serial)));
    // An hour back: phones' clocks are rarely exact.
    params.not_before = at(now - 3600);
    params.not_after = at(now + LIFETIME_DAYS * 86_400);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = match which {
        OwnCertificate::Tftp => vec![ExtendedKeyUsagePurpose::CodeSigning, ExtendedKeyUsagePurpose::ServerAuth],
        _ => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
    };
    for h in hosts {
        params.subject_alt_names.push(match h.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(h.as_str().try_into()?),
        });
    }
    let certificate = params.self_signed(&key)?;
    Ok(Material { certificate_pem: certificate.pem(), private_key_pem: key.serialize_pem() })
}

/// RFC 5280 §4.1.2.2: a serial number is positive.
fn positive(mut serial: [u8; 16]) -> [u8; 16] {
    serial[0] = (serial[0] & 0x7f) | 0x01;
    serial
}

fn at(unix_seconds: i64) -> time::OffsetDateTime {
    // Beyond year 9999 only with a broken clock; the epoch then makes the certificate visibly wrong.
    time::OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}
