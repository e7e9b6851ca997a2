//! Chains of old phones: RSA below 2048 bits and signatures with SHA-1, which rustls' verification does not know.
//! OpenSSL walks such a chain, by the same trust, and each certificate of the chain that it found is looked up in the
//! same revocation lists; nothing else is taken from it.

use keyline_domain::identity::ChainedTo;
use openssl::error::ErrorStack;
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{X509, X509PurposeId, X509StoreContext};
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};

use crate::flow::PeerCertificateFacts;
use crate::pki::inspect;
use crate::tls::verify::ClientTrust;

/// What a leaf chains to, and the certificates from it to the authority, DER.
type Walked = (ChainedTo, Vec<Vec<u8>>);

/// The authorities that phones' chains may lead to.
pub(in crate::tls) struct Authorities(Vec<(ChainedTo, X509Store)>);

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authorities")
    }
}

impl Authorities {
    /// Those of a trust.
    ///
    /// # Errors
    /// When OpenSSL cannot read one of them.
    pub(in crate::tls) fn of(trust: &ClientTrust) -> Result<Self, ErrorStack> {
        let mut stores = Vec::new();
        for (to, ders) in
            [(ChainedTo::CallManagerTrust, &trust.call_manager), (ChainedTo::CapfTrust, &trust.capf)]
        {
            if ders.is_empty() {
                continue;
            }
            let mut store = X509StoreBuilder::new()?;
            for der in ders {
                store.add_cert(X509::from_der(der)?)?;
            }
            let mut param = X509VerifyParam::new()?;
            param.set_auth_level(0);
            param.set_purpose(X509PurposeId::SSL_CLIENT)?;
            store.set_param(&param)?;
            stores.push((to, store.build()));
        }
        Ok(Self(stores))
    }

    /// Judges a chain, leaf first, after rustls' verification gave `verdict` on it. Asked only where that one
    /// lacks an algorithm. `revoked` says what stands against a certificate of the chain.
    ///
    /// # Errors
    /// `verdict`, where the chain is not believed here either; what `revoked` says.
    pub(in crate::tls) fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        verdict: Error,
        revoked: &dyn Fn(&[u8]) -> Option<CertificateError>,
    ) -> Result<PeerCertificateFacts, Error> {
        if !lacks_algorithm(&verdict) {
            return Err(verdict);
        }
        let Some((leaf, intermediates)) = chain.split_first() else { return Err(verdict) };
        match inspect::facts(leaf) {
            // As there: a phone's own certificate that says it is an authority is believed as it is, or not at all.
            Ok(facts) if !facts.is_ca => match self.chain(leaf, intermediates) {
                Ok(Some((to, walked))) => {
                    if let Some(fault) = walked.iter().find_map(|der| revoked(der)) {
                        return Err(fault.into());
                    }
                    let ders = chain.iter().map(|der| der.as_ref().into()).collect();
                    Ok(PeerCertificateFacts { facts, chain: to, ders })
                }
                Ok(None) | Err(_) => Err(verdict),
            },
            _ => Err(verdict),
        }
    }

    /// What a leaf chains to, and the certificates from it to the authority.
    fn chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<Option<Walked>, ErrorStack> {
        let leaf = X509::from_der(leaf)?;
        let mut between = Stack::new()?;
        for der in intermediates {
            between.push(X509::from_der(der)?)?;
        }
        for (to, store) in &self.0 {
            let walked = X509StoreContext::new()?.init(store, &leaf, &between, |walk| {
                if !walk.verify_cert()? {
                    return Ok(None);
                }
                let chain = walk.chain().into_iter().flatten();
                chain.map(|one| one.to_der()).collect::<Result<Vec<_>, _>>().map(Some)
            })?;
            if let Some(walked) = walked {
                return Ok(Some((*to, walked)));
            }
        }
        Ok(None)
    }
}

/// Said of RSA keys below 2048 bits (the signature does not verify with any algorithm that is there) and of
/// signatures with SHA-1.
fn lacks_algorithm(verdict: &Error) -> bool {
    matches!(
        verdict,
        Error::InvalidCertificate(
            CertificateError::BadSignature
                | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
        )
    )
}
