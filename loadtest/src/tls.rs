//! The client's side of TLS: whom it believes and who it says it is.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use keyline_wire::integrity_only;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{CipherSuite, ClientConfig, RootCertStore, SupportedProtocolVersion};

/// TLS as one client speaks it. There is no way to believe any server: without roots no handshake works.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// Certificates that the server's chain must end in, PEM; a self-signed server certificate is its
    /// own root.
    pub roots_pem: String,
    /// Own certificate chain (leaf first) and private key, PEM; `None` sends no certificate.
    pub identity: Option<Identity>,
    /// Name that the server's certificate must bear; the server's IP address when `None`.
    pub server_name: Option<String>,
    /// Versions to offer.
    pub versions: Versions,
    /// Suites to offer, in order, integrity-only ones too; all that rustls has, which are none of these, when
    /// `None`. A phone in authenticated mode offers integrity-only suites alone.
    pub suites: Option<Vec<CipherSuite>>,
}

/// A certificate chain with its private key. `Debug` shows neither.
#[derive(Clone)]
pub struct Identity {
    /// Chain, leaf first, PEM.
    pub chain_pem: String,
    /// Private key, PEM.
    pub key_pem: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("identity", &self.identity)
            .field("server_name", &self.server_name)
            .field("versions", &self.versions)
            .field("suites", &self.suites)
            .finish_non_exhaustive()
    }
}

/// Protocol versions to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// TLS 1.3 and 1.2.
    #[default]
    Both,
    /// TLS 1.2 only.
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

/// What a handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSession {
    /// `TLSv1_2` or `TLSv1_3`.
    pub version: String,
    /// Suite, as IANA writes it.
    pub suite: String,
    /// DER of the server's leaf certificate.
    pub server_certificate: Vec<u8>,
}

/// Why a TLS client can not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Nothing to verify the server against.
    #[error("no root certificate is given; a client that believes any server proves nothing")]
    NoRoots,
    /// PEM text that can not be read.
    #[error("the {what} is not readable PEM: {reason}")]
    Pem {
        /// Which one.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The server name is neither a DNS name nor an address.
    #[error("`{name}` can not be verified as a server name: {source}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong.
        source: InvalidDnsNameError,
    },
    /// rustls refuses the material.
    #[error("TLS can not be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Certificates of a PEM text.
///
/// # Errors
/// [`TlsError::Pem`].
pub fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| TlsError::Pem { what, reason: e.to_string() })
}

impl TlsOptions {
    /// Believes these roots and sends no certificate.
    pub fn trusting(roots_pem: impl Into<String>) -> TlsOptions {
        TlsOptions { roots_pem: roots_pem.into(), ..TlsOptions::default() }
    }

    /// Sends this certificate.
    #[must_use]
    pub fn with_identity(mut self, chain_pem: impl Into<String>, key_pem: impl Into<String>) -> TlsOptions {
        self.identity = Some(Identity { chain_pem: chain_pem.into(), key_pem: key_pem.into() });
        self
    }

    /// The configuration for rustls. Sessions are never resumed, so every handshake is a whole one.
    ///
    /// # Errors
    /// [`TlsError`] for missing roots and unreadable material.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut config = self.resuming()?;
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// The configuration for rustls with a memory of sessions: the second handshake resumes the first.
    ///
    /// # Errors
    /// As [`TlsOptions::client_config`].
    pub fn resuming_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut config = self.resuming()?;
        // One server, one phone: few tickets.
        config.resumption = rustls::client::Resumption::in_memory_sessions(2);
        Ok(Arc::new(config))
    }

    fn resuming(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        for root in certificates("root certificate", &self.roots_pem)? {
            roots.add(root)?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let versions: &[&SupportedProtocolVersion] = match self.versions {
            Versions::Both => &[&rustls::version::TLS13, &rustls::version::TLS12],
            Versions::Tls12 => &[&rustls::version::TLS12],
            Versions::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(self.provider()))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots);
        Ok(match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = certificates("client certificate", &identity.chain_pem)?;
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
                    .map_err(|e| TlsError::Pem { what: "client key", reason: e.to_string() })?;
                builder.with_client_auth_cert(chain, key)?
            }
        })
    }

    /// The name that the server must prove.
    ///
    /// # Errors
    /// [`TlsError::Name`].
    pub fn verified_name(&self, server: SocketAddr) -> Result<ServerName<'static>, TlsError> {
        match &self.server_name {
            None => Ok(ServerName::IpAddress(server.ip().into())),
            Some(name) => ServerName::try_from(name.clone())
                .map_err(|source| TlsError::Name { name: name.clone(), source }),
        }
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = aws_lc_rs::default_provider();
        if let Some(wanted) = &self.suites {
            let all = std::mem::take(&mut provider.cipher_suites);
            let stock = |suite: &CipherSuite| all.iter().find(|have| have.suite() == *suite).copied();
            let find =
                |suite: &CipherSuite| stock(suite).or_else(|| integrity_only::suite(u16::from(*suite)));
            provider.cipher_suites = wanted.iter().filter_map(find).collect();
        }
        provider
    }
}
