//! A test's certificate authority and the certificates of its phones.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};

/// A certificate with its chain and key, PEM.
#[derive(Clone)]
pub struct Issued {
    /// Leaf.
    pub certificate_pem: String,
    /// PKCS#8.
    pub key_pem: String,
    /// Serial number.
    pub serial: u64,
}

/// A root that signs device certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one; it lives as long as the test.
    pub fn new(common_name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key pair");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("a self-signed root") }
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Signs a client certificate for that common name: `SEP<MAC>` for an LSC,
    /// `CP-<model>-SEP<MAC>` for a manufacturer's one.
    pub fn issue(&self, common_name: &str) -> Issued {
        self.issue_with(common_name, |_| {})
    }

    /// Signs a server certificate for that common name, which is no host's.
    pub fn issue_server(&self, common_name: &str) -> Issued {
        self.issue_with(common_name, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// The same, over since yesterday.
    pub fn issue_expired(&self, common_name: &str) -> Issued {
        self.issue_with(common_name, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    /// The same with alternative names: DNS names, and addresses.
    pub fn issue_named(&self, common_name: &str, dns: &[&str], addresses: &[&str]) -> Issued {
        self.issue_with(common_name, |params| {
            let dns = dns.iter().map(|name| SanType::DnsName((*name).try_into().expect("a DNS name")));
            let addresses = addresses.iter().map(|ip| SanType::IpAddress(ip.parse().expect("an address")));
            params.subject_alt_names = dns.chain(addresses).collect();
        })
    }

    /// A list of revoked certificates, PEM, valid for some years.
    pub fn revoke(&self, number: u64, revoked: &[&Issued]) -> String {
        let revoked = revoked.iter().map(|issued| RevokedCertParams {
            serial_number: SerialNumber::from(issued.serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2999, 1, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a signed list").pem().expect("PEM")
    }

    fn issue_with(&self, common_name: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        static SERIAL: AtomicU64 = AtomicU64::new(0x4_0000);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key pair");
        let certificate = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), serial }
    }
}

impl Issued {
    /// Writes certificate and key into one file, as baresip wants them.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, format!("{}{}", self.certificate_pem, self.key_pem)).expect("a PEM file");
        path
    }
}
