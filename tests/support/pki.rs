//! A test's certificate authority and the certificates of its phones.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// A certificate with its chain and key, PEM.
#[derive(Clone)]
pub struct Issued {
    /// Leaf.
    pub certificate_pem: String,
    /// PKCS#8.
    pub key_pem: String,
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
        self.issue_for(common_name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Signs a server certificate for that common name, which is no host's.
    pub fn issue_server(&self, common_name: &str) -> Issued {
        self.issue_for(common_name, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn issue_for(&self, common_name: &str, purpose: ExtendedKeyUsagePurpose) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("a key pair");
        let certificate = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
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
