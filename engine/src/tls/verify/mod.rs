//! Who a TLS client is: chains to CallManager-trust, or exactly an uploaded vendor certificate.
//!
//! A client certificate is asked for, never demanded: whether one is due is a matter of the device's
//! profile, which is known only from its REGISTER (design §5). One that is sent and cannot be verified ends
//! the handshake.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use rustls::DistinguishedName;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

/// SHA-256 of a certificate's DER form.
pub type Fingerprint = [u8; 32];

/// Fingerprint of a certificate.
pub fn fingerprint(der: &[u8]) -> Fingerprint {
    Sha256::digest(der).into()
}

/// The trust that one `ServerConfig` is built with: immutable, replaced as a whole when a store changes.
#[derive(Debug, Default, Clone)]
pub struct ClientTrust {
    /// CallManager-trust: roots of LSCs and MICs, DER.
    pub roots: Vec<CertificateDer<'static>>,
    /// vendor-trust: certificates that are believed as they are (R055, R072–R077), DER.
    pub exact: Vec<CertificateDer<'static>>,
}

/// Verifies clients against one [`ClientTrust`].
pub struct DeviceVerifier {
    chain: Option<Arc<dyn ClientCertVerifier>>,
    exact: HashSet<Fingerprint>,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for DeviceVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceVerifier({} uploaded certificates)", self.exact.len())
    }
}

/// A trust store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The certificate cannot serve as a trust anchor.
    #[error("CallManager-trust: certificate {index} cannot be a trust anchor: {source}")]
    Anchor {
        /// Place in the store, from 0.
        index: usize,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The verifier cannot be built from these roots.
    #[error("CallManager-trust cannot be used: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

impl DeviceVerifier {
    /// Builds the verifier; `Ok(None)` when nothing is trusted, so that no certificate is asked for.
    pub fn build(trust: &ClientTrust, provider: &Arc<CryptoProvider>) -> Result<Option<Arc<Self>>, TrustError> {
        if trust.roots.is_empty() && trust.exact.is_empty() {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        for (index, der) in trust.roots.iter().enumerate() {
            roots.add(der.clone()).map_err(|source| TrustError::Anchor { index, source })?;
        }
        let chain = if roots.is_empty() {
            None
        } else {
            Some(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .allow_unauthenticated()
                    .build()?,
            )
        };
        // With uploaded certificates the hints would hide them from a client that filters by issuer.
        let hints = match &chain {
            Some(c) if trust.exact.is_empty() => c.root_hint_subjects().to_vec(),
            _ => Vec::new(),
        };
        Ok(Some(Arc::new(Self {
            chain,
            exact: trust.exact.iter().map(|c| fingerprint(c)).collect(),
            hints,
            algorithms: provider.signature_verification_algorithms,
        })))
    }
}

impl ClientCertVerifier for DeviceVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.exact.contains(&fingerprint(leaf)) {
            return within_validity(leaf, now).map(|()| ClientCertVerified::assertion());
        }
        match &self.chain {
            Some(c) => c.verify_client_cert(leaf, intermediates, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// An uploaded certificate is believed as it is, but not before its time nor after.
fn within_validity(der: &[u8], now: UnixTime) -> Result<(), rustls::Error> {
    let Ok((_, cert)) = x509_parser::parse_x509_certificate(der) else {
        return Err(CertificateError::BadEncoding.into());
    };
    let now = now.as_secs() as i64;
    let validity = cert.validity();
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}
