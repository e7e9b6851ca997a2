//! One `ServerConfig` per policy: the menu of suites in its exact order, the server's certificates, and the
//! trust that clients are verified against.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite};

use super::verify::{ClientTrust, DeviceVerifier, TrustError};

/// Sessions kept for resumption; rustls' default is 256, far below one storm of phones.
const SESSIONS: usize = 32_768;

/// Why a policy cannot be turned into a server.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// No suite of the menu is served by this build.
    #[error("no cipher suite of the menu can be served")]
    EmptyMenu,
    /// Neither an RSA nor an EC server certificate.
    #[error("no server certificate")]
    NoCertificate,
    /// The client trust is unusable.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// rustls refused the combination.
    #[error("TLS set-up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// The server's own certificates, side by side (design §6: CallManager, CallManager-EC).
#[derive(Debug, Default, Clone)]
pub struct ServerIdentity {
    /// CallManager.
    pub rsa: Option<Arc<CertifiedKey>>,
    /// CallManager-EC.
    pub ec: Option<Arc<CertifiedKey>>,
}

/// A provider that serves just `menu` (IANA numbers), TLS 1.3 and 1.2, in that order of preference.
/// Suites that rustls cannot serve (static RSA) are left to the legacy acceptor.
pub fn provider(menu: &[u16]) -> Result<Arc<CryptoProvider>, PolicyError> {
    let mut p = aws_lc_rs::default_provider();
    let suites: Vec<SupportedCipherSuite> = menu
        .iter()
        .filter_map(|id| {
            aws_lc_rs::ALL_CIPHER_SUITES.iter().find(|s| s.suite() == CipherSuite::from(*id)).copied()
        })
        .collect();
    if suites.is_empty() {
        return Err(PolicyError::EmptyMenu);
    }
    p.cipher_suites = suites;
    Ok(Arc::new(p))
}

/// Builds the server side for SIP phones.
pub fn sip_server(
    menu: &[u16],
    identity: &ServerIdentity,
    trust: &ClientTrust,
) -> Result<Arc<ServerConfig>, PolicyError> {
    let provider = provider(menu)?;
    let verifier = DeviceVerifier::build(trust, &provider)?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = match verifier {
        Some(v) => builder.with_client_cert_verifier(v),
        None => builder.with_no_client_auth(),
    };
    let resolver = Resolver::new(menu, identity)?;
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    // The administrator's order rules, not the phone's (R122–R127).
    config.ignore_client_order = true;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    // A REGISTER in early data could be replayed.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// Server side for the admin API: stock suites, no client certificates.
pub fn admin_server(identity: &ServerIdentity) -> Result<ServerConfig, PolicyError> {
    let menu: Vec<u16> = aws_lc_rs::DEFAULT_CIPHER_SUITES.iter().map(|s| u16::from(s.suite())).collect();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver::new(&menu, identity)?));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Chooses RSA or EC. rustls fixes the certificate before the suite, so for TLS 1.2 the key type of the
/// menu's first suite that the client offers decides; TLS 1.3 suites fit both, there the menu's own
/// preference decides among what the client can verify.
#[derive(Debug)]
struct Resolver {
    identity: ServerIdentity,
    menu: Vec<(CipherSuite, Option<SignatureAlgorithm>)>,
    prefer_ec: bool,
}

impl Resolver {
    fn new(menu: &[u16], identity: &ServerIdentity) -> Result<Self, PolicyError> {
        if identity.rsa.is_none() && identity.ec.is_none() {
            return Err(PolicyError::NoCertificate);
        }
        let menu: Vec<_> = menu.iter().map(|id| (CipherSuite::from(*id), key_of(CipherSuite::from(*id)))).collect();
        let prefer_ec = menu.iter().find_map(|(_, k)| *k) == Some(SignatureAlgorithm::ECDSA);
        Ok(Self { identity: identity.clone(), menu, prefer_ec })
    }

    fn pick(&self, ec: bool) -> Option<Arc<CertifiedKey>> {
        let (first, second) =
            if ec { (&self.identity.ec, &self.identity.rsa) } else { (&self.identity.rsa, &self.identity.ec) };
        first.as_ref().or(second.as_ref()).cloned()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let verifies = |wanted: SignatureAlgorithm| {
            hello.signature_schemes().iter().any(|s| algorithm(*s) == Some(wanted))
        };
        let (rsa, ec) = (verifies(SignatureAlgorithm::RSA), verifies(SignatureAlgorithm::ECDSA));
        let offers_13 = hello.cipher_suites().iter().any(|s| is_tls13(*s));
        let by_suite = self
            .menu
            .iter()
            .filter(|(s, _)| hello.cipher_suites().contains(s))
            .find_map(|(_, key)| *key)
            .map(|k| k == SignatureAlgorithm::ECDSA);
        let want_ec = match by_suite {
            Some(ec) if !offers_13 => ec,
            _ => self.prefer_ec,
        };
        match (want_ec, rsa, ec) {
            (true, _, true) | (false, false, true) => self.pick(true),
            _ => self.pick(false),
        }
    }
}

/// Key type that a TLS 1.2 suite authenticates with; `None` for TLS 1.3 suites.
fn key_of(suite: CipherSuite) -> Option<SignatureAlgorithm> {
    let name = format!("{suite:?}");
    if name.contains("ECDSA") {
        Some(SignatureAlgorithm::ECDSA)
    } else if name.starts_with("TLS_ECDHE_RSA") || name.starts_with("TLS_RSA") {
        Some(SignatureAlgorithm::RSA)
    } else {
        None
    }
}

fn is_tls13(suite: CipherSuite) -> bool {
    // RFC 8446 §B.4: 0x1301–0x1305.
    (0x1301..=0x1305).contains(&u16::from(suite))
}

fn algorithm(scheme: SignatureScheme) -> Option<SignatureAlgorithm> {
    match scheme {
        SignatureScheme::RSA_PKCS1_SHA256
        | SignatureScheme::RSA_PKCS1_SHA384
        | SignatureScheme::RSA_PKCS1_SHA512
        | SignatureScheme::RSA_PSS_SHA256
        | SignatureScheme::RSA_PSS_SHA384
        | SignatureScheme::RSA_PSS_SHA512 => Some(SignatureAlgorithm::RSA),
        SignatureScheme::ECDSA_NISTP256_SHA256
        | SignatureScheme::ECDSA_NISTP384_SHA384
        | SignatureScheme::ECDSA_NISTP521_SHA512 => Some(SignatureAlgorithm::ECDSA),
        _ => None,
    }
}
