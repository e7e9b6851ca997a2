//! Whether what an open connection proved at its handshake would still be proven now.

use std::sync::Arc;

#[cfg(feature = "legacy-tls")]
use keyline_domain::cipher;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};

use super::acceptor::TlsContext;
use super::refused::HandshakeRefused;
use super::resume::TrustDigest;
use crate::flow::{ConnectionFacts, PeerCertificateFacts};

impl TlsContext {
    /// Digest of everything that clients' certificates are judged by now: trust and revocation lists. While it is
    /// the same, no connection need be judged again.
    pub fn trust(&self) -> TrustDigest {
        self.current().verifier().map_or([0; 32], |verifier| verifier.digest())
    }

    /// Judges the certificate of an open connection as a handshake would now. `None`: it showed none.
    ///
    /// # Errors
    /// Why a handshake with it would be refused.
    pub fn still(
        &self,
        facts: &ConnectionFacts,
    ) -> Result<Option<Arc<PeerCertificateFacts>>, HandshakeRefused> {
        let Some(shown) = &facts.certificate else { return Ok(None) };
        let chain: Vec<CertificateDer<'_>> = shown.ders.iter().map(|d| CertificateDer::from(&**d)).collect();
        #[cfg(feature = "legacy-tls")]
        let judged = match cipher::suite(facts.suite) {
            Some(suite) if suite.legacy => self.legacy_certificate(&chain),
            _ => self.certificate(&chain),
        };
        #[cfg(not(feature = "legacy-tls"))]
        let judged = self.certificate(&chain);
        match judged {
            Ok(Some(now)) => Ok(Some(now)),
            // Nothing is trusted any more. Who comes now is not asked; who was believed is not believed on.
            Ok(None) => Err(HandshakeRefused::of_certificate(&Error::from(CertificateError::UnknownIssuer))),
            Err(error) => Err(HandshakeRefused::of_certificate(&error)),
        }
    }
}
