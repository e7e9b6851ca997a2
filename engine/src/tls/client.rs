//! TLS of connections that this node begins: the one place where their policy is made. The suites are those that
//! `keyline_domain::trunk` says, in its order and no others; the far end must prove itself by a certificate that
//! chains to trunk-trust.

use std::fmt;
use std::sync::Arc;

use keyline_domain::cipher::TlsCiphers;
use keyline_domain::mode::DeviceSecurityMode;
use keyline_domain::trunk;
use keyline_wire::integrity_only;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ResolvesClientCert, Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion,
};

use crate::pki::authority::ServerIdentity;
use crate::pki::inspect;

/// What a client needs besides mode and menu.
#[derive(Debug, Clone)]
pub struct FarEnd<'a> {
    /// Authorities of trunk-trust.
    pub trusted: &'a [CertificateDer<'static>],
    /// The subject that its certificate must have; else the certificate must name the host.
    pub subject: Option<&'a str>,
    /// What we show when it asks.
    pub own: &'a ServerIdentity,
}

/// The client side of a mode: `None` where nothing can be offered, because the mode opens no TLS or the menu has no
/// suite for it (R130).
///
/// # Errors
/// rustls' own, when it refuses the combination.
pub fn outgoing(
    mode: DeviceSecurityMode,
    menu: TlsCiphers,
    far: &FarEnd<'_>,
) -> Result<Option<Arc<ClientConfig>>, Error> {
    let suites: Vec<SupportedCipherSuite> = trunk::offered(mode, menu)
        .iter()
        .filter_map(|wanted| {
            let stock =
                aws_lc_rs::ALL_CIPHER_SUITES.iter().find(|s| u16::from(s.suite()) == wanted.id).copied();
            // Suites with static RSA key exchange are no business of rustls and are left out.
            stock.or_else(|| integrity_only::suite(wanted.id))
        })
        .collect();
    if suites.is_empty() {
        return Ok(None);
    }
    let versions: Vec<&'static SupportedProtocolVersion> = [&rustls::version::TLS13, &rustls::version::TLS12]
        .into_iter()
        .filter(|version| suites.iter().any(|s| s.version().version == version.version))
        .collect();
    let provider = Arc::new(CryptoProvider { cipher_suites: suites, ..aws_lc_rs::default_provider() });
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(far.trusted.iter().cloned());
    let verifier = FarEndVerifier {
        roots,
        subject: far.subject.map(str::to_owned),
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(Shown(far.own.clone())));
    // A trunk connects seldom, and each time under the policy of that moment.
    config.resumption = Resumption::disabled();
    Ok(Some(Arc::new(config)))
}

/// Chain to trunk-trust, then the subject of the profile or the host's name.
struct FarEndVerifier {
    roots: RootCertStore,
    subject: Option<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for FarEndVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarEndVerifier").field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for FarEndVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &leaf,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        match &self.subject {
            None => verify_server_name(&leaf, server_name)?,
            Some(wanted) => {
                let facts = inspect::facts(end_entity).map_err(|_| CertificateError::BadEncoding)?;
                let named = facts.subject == *wanted || facts.subject_cn.as_deref() == Some(wanted);
                if !named {
                    return Err(CertificateError::NotValidForName.into());
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The own certificate that fits what the far end can verify.
#[derive(Debug)]
struct Shown(ServerIdentity);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fits = |c: &&Arc<CertifiedKey>| c.key.choose_scheme(schemes).is_some();
        self.0.ec.iter().chain(&self.0.rsa).find(fits).cloned()
    }

    fn has_certs(&self) -> bool {
        self.0.ec.is_some() || self.0.rsa.is_some()
    }
}
