//! One `ServerConfig` per policy: the menu of suites in its exact order, the server's certificates, and the
//! trust that clients are verified against.

use std::sync::Arc;

use keyline_domain::cipher::{self, CertificateKey, TlsCiphers};
use keyline_domain::inventory::TlsMenu;
use keyline_domain::mode::SuiteKind;
use keyline_wire::integrity_only;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::acceptor::TlsContext;
use super::verify::{DeviceVerifier, TrustError};
use crate::pki::authority::{AuthorityError, ServerIdentity};

/// TLS 1.3 tickets a handshake gives out: one for the next connection. A phone opens one at a time.
const TICKETS: usize = 1;

/// Why a policy cannot be turned into a server.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// No suite of the menu is served by this build.
    #[error("parameter tls_ciphers `{0}`: none of its suites can be served")]
    EmptyMenu(&'static str),
    /// Neither an RSA nor an EC server certificate.
    #[error("the node has no certificate for call processing (CallManager, CallManager-EC)")]
    NoCertificate,
    /// An own certificate is damaged.
    #[error(transparent)]
    Own(#[from] AuthorityError),
    /// The client trust is unusable.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The second acceptor, for old phones.
    #[cfg(feature = "legacy-tls")]
    #[error(transparent)]
    Legacy(#[from] super::legacy::LegacyError),
    /// rustls refused the combination.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// The menu that the parameter `tls_ciphers` names.
pub fn menu(parameter: TlsMenu) -> TlsCiphers {
    match parameter {
        TlsMenu::StrongestRsaPreferred => TlsCiphers::StrongestRsaPreferred,
        TlsMenu::StrongestEcdsaPreferred => TlsCiphers::StrongestEcdsaPreferred,
        TlsMenu::MediumRsaPreferred => TlsCiphers::MediumRsaPreferred,
        TlsMenu::MediumEcdsaPreferred => TlsCiphers::MediumEcdsaPreferred,
        TlsMenu::AllRsaPreferred => TlsCiphers::AllRsaPreferred,
        TlsMenu::AllEcdsaPreferred => TlsCiphers::AllEcdsaPreferred,
    }
}

/// A provider that serves just the encrypting suites of a menu, TLS 1.3 before 1.2, in the menu's order.
/// Suites with static RSA key exchange are no business of rustls and are left out.
///
/// # Errors
/// [`PolicyError::EmptyMenu`].
pub fn provider(menu: TlsCiphers) -> Result<Arc<CryptoProvider>, PolicyError> {
    let stock = |id| aws_lc_rs::ALL_CIPHER_SUITES.iter().find(|s| u16::from(s.suite()) == id).copied();
    serving(menu.tls13().iter().chain(menu.tls12()), stock).ok_or(PolicyError::EmptyMenu(menu.as_str()))
}

/// The same with the integrity-only suites of a menu, if it has any (R119, R130).
pub fn integrity_only_provider(menu: TlsCiphers) -> Option<Arc<CryptoProvider>> {
    serving(menu.integrity_only().iter(), integrity_only::suite)
}

fn serving<'a>(
    menu: impl Iterator<Item = &'a cipher::Suite>,
    suite: impl Fn(u16) -> Option<SupportedCipherSuite>,
) -> Option<Arc<CryptoProvider>> {
    let cipher_suites: Vec<_> = menu.filter_map(|wanted| suite(wanted.id)).collect();
    let provider = CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() };
    (!provider.cipher_suites.is_empty()).then(|| Arc::new(provider))
}

/// The server sides of one policy. Which of them serves a client is chosen by what its ClientHello offers, so that
/// suites that encrypt and suites that do not never stand in one offer, and a client with suites of TLS 1.2 in
/// common only is not lost to its TLS 1.3.
#[derive(Debug, Clone)]
pub struct Configs {
    encrypting: Sides,
    integrity_only: Option<Sides>,
}

#[derive(Debug, Clone)]
struct Sides {
    tls13: Arc<ServerConfig>,
    tls12: Arc<ServerConfig>,
}

impl Configs {
    /// For SIP phones. Without a verifier no client certificate is asked for.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn new(
        menu: TlsCiphers,
        identity: &ServerIdentity,
        verifier: Option<&Arc<DeviceVerifier>>,
        ticketer: &Arc<dyn ProducesTickets>,
    ) -> Result<Self, PolicyError> {
        let sides = |provider: Arc<CryptoProvider>, menu12, prefer_ec| {
            let resolver = Arc::new(Resolver::new(menu12, prefer_ec, identity)?);
            let side = |versions: &[&'static SupportedProtocolVersion]| {
                let provider = Arc::clone(&provider);
                sip_server(provider, versions, Arc::clone(&resolver), verifier.cloned(), Arc::clone(ticketer))
            };
            Ok::<_, PolicyError>(Sides {
                tls13: side(&[&rustls::version::TLS13, &rustls::version::TLS12])?,
                tls12: side(&[&rustls::version::TLS12])?,
            })
        };
        let prefer_ec = !menu.prefers_rsa();
        let integrity_only =
            integrity_only_provider(menu).map(|p| sides(p, menu.integrity_only(), prefer_ec)).transpose()?;
        Ok(Self { encrypting: sides(provider(menu)?, menu.tls12(), prefer_ec)?, integrity_only })
    }

    /// The server side with such suites; with `tls13` false it does not speak TLS 1.3.
    pub fn of(&self, kind: SuiteKind, tls13: bool) -> &Arc<ServerConfig> {
        let sides = match (kind, &self.integrity_only) {
            (SuiteKind::IntegrityOnly, Some(sides)) => sides,
            _ => &self.encrypting,
        };
        if tls13 { &sides.tls13 } else { &sides.tls12 }
    }
}

fn sip_server(
    provider: Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
    resolver: Arc<Resolver>,
    verifier: Option<Arc<DeviceVerifier>>,
    ticketer: Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, PolicyError> {
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let builder = match verifier {
        Some(v) => builder.with_client_cert_verifier(v),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver);
    // The administrator's order rules, not the phone's (R122–R127).
    config.ignore_client_order = true;
    config.ticketer = ticketer;
    config.send_tls13_tickets = TICKETS;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A REGISTER in early data could be replayed.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// Server side for the admin API: stock suites, no client certificates, no resumption; the certificate is the one
/// that phones are shown now.
///
/// # Errors
/// [`PolicyError`].
pub fn admin_server(phones: Arc<TlsContext>) -> Result<ServerConfig, PolicyError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Present(phones)));
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Chooses among the own certificates of the moment.
#[derive(Debug)]
struct Present(Arc<TlsContext>);

impl ResolvesServerCert for Present {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Browsers and tools prefer EC; the menus are for phones.
        Resolver::new(TlsCiphers::MediumEcdsaPreferred.tls12(), true, &self.0.identity()).ok()?.resolve(hello)
    }
}

/// Chooses RSA or EC. rustls fixes the certificate before the suite, and of TLS 1.2 suites only those that fit
/// it remain: so the key type of the menu's first suite that the client offers decides. A client that offers
/// suites of TLS 1.3 only, which fit both, gets the menu's own preference. Either way the client must be able
/// to verify the signature.
#[derive(Debug)]
struct Resolver {
    identity: ServerIdentity,
    menu: &'static [cipher::Suite],
    prefer_ec: bool,
}

impl Resolver {
    fn new(
        menu: &'static [cipher::Suite],
        prefer_ec: bool,
        identity: &ServerIdentity,
    ) -> Result<Self, PolicyError> {
        if identity.rsa.is_none() && identity.ec.is_none() {
            return Err(PolicyError::NoCertificate);
        }
        Ok(Self { identity: identity.clone(), menu, prefer_ec })
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered = |s: &&cipher::Suite| {
            !s.legacy && !s.tls13 && hello.cipher_suites().contains(&CipherSuite::from(s.id))
        };
        let ec = match self.menu.iter().find(offered).map(|s| s.key) {
            Some(CertificateKey::Ecdsa) => true,
            Some(CertificateKey::Rsa) => false,
            Some(CertificateKey::Any) | None => self.prefer_ec,
        };
        let (first, second) = if ec {
            (&self.identity.ec, &self.identity.rsa)
        } else {
            (&self.identity.rsa, &self.identity.ec)
        };
        let fits = |c: &&Arc<CertifiedKey>| c.key.choose_scheme(hello.signature_schemes()).is_some();
        // Where none fits, rustls finds no suite or signature in common and says so in its alert.
        first.iter().chain(second).find(fits).or(first.as_ref()).or(second.as_ref()).cloned()
    }
}
