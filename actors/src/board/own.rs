//! The node's own certificates with their keys, and revocation lists, as the board of settings shows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A private key, PKCS#8, PEM; wiped when dropped.
pub type PrivateKeyPem = Zeroizing<String>;

/// The node's own certificates by name.
pub type OwnCertificates = BTreeMap<Box<str>, Arc<Own>>;

/// One of the node's own certificates.
#[derive(Clone)]
pub struct Own {
    /// What is served.
    pub material: Material,
    /// A key that was made for a certificate request and waits for its certificate.
    pub pending: Option<PrivateKeyPem>,
    /// OCSP response for what is served, DER; it says until when it holds.
    pub ocsp: Option<Arc<[u8]>>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Own")
    }
}

/// A certificate with its private key, as the engine makes it.
#[derive(Clone)]
pub struct Material {
    /// Certificate chain, leaf first, PEM.
    pub certificate_pem: String,
    /// PKCS#8 private key, PEM.
    pub private_key_pem: PrivateKeyPem,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Material")
    }
}

/// A revocation list as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    /// Its name: SHA-256 of its issuer's name, hex. An authority has one list.
    pub name: Box<str>,
    /// DER.
    pub der: Arc<[u8]>,
}
