//! The second acceptor, for phones that rustls cannot serve: static RSA key exchange (TLS_RSA_WITH_AES_128_CBC_SHA,
//! TLS_RSA_WITH_NULL_SHA) and TLS 1.0 to 1.2, by OpenSSL at security level 0. Built with the feature `legacy-tls`,
//! used with `[tls] legacy = true`, on the same ports: what has been read of the ClientHello is put before the
//! connection again. It never sees a client that rustls could serve.
//!
//! Static RSA has no forward secrecy, and CBC and SHA-1 are weak: each such connection is counted.

mod chain;
mod stream;

use std::io;
use std::sync::Arc;

use keyline_actors::keyring::Material;
use keyline_domain::inventory::CertificateRow;
use keyline_domain::mode::SuiteKind;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    Error as SslError, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslRef,
    SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};

pub(super) use self::chain::Authorities;
pub use self::stream::LegacyStream;
use super::refused::{HandshakeRefused, Refusal};
use super::verify::ClientTrust;

/// What the second acceptor is set up with.
#[derive(Clone)]
pub(super) struct Contexts {
    encrypting: SslContext,
    integrity_only: SslContext,
    pub(super) authorities: Arc<Authorities>,
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contexts")
    }
}

/// Why it cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LegacyError {
    /// Static RSA needs an RSA certificate.
    #[error("[tls] legacy needs the RSA certificate CallManager, which this node does not have")]
    NoRsaCertificate,
    /// OpenSSL refuses the material.
    #[error("[tls] legacy cannot be set up: {0}")]
    OpenSsl(#[from] ErrorStack),
}

impl Contexts {
    /// With the node's RSA certificate, the OCSP response for it, and the trusted ones, which `kept` has read already if it is there; client
    /// certificates are asked for if `ask`.
    pub(super) fn new(
        (rsa, staple): (Option<&Material>, Option<&[u8]>),
        trusted: &[CertificateRow],
        kept: Option<&Self>,
        ask: bool,
    ) -> Result<Self, LegacyError> {
        let rsa = rsa.ok_or(LegacyError::NoRsaCertificate)?;
        let authorities = match kept {
            Some(kept) => Arc::clone(&kept.authorities),
            None => Arc::new(Authorities::of(&ClientTrust::read(trusted).0)?),
        };
        Ok(Self {
            authorities,
            encrypting: context("AES128-SHA:@SECLEVEL=0", rsa, staple, ask)?,
            integrity_only: context("NULL-SHA:@SECLEVEL=0", rsa, staple, ask)?,
        })
    }

    /// Makes a handshake: one kind of suites, never both, so that a client cannot be talked into the lesser one.
    pub(super) async fn accept<S>(
        &self,
        kind: SuiteKind,
        hello: Vec<u8>,
        stream: S,
    ) -> Result<LegacyStream<S>, HandshakeRefused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let context = if kind == SuiteKind::Encrypting { &self.encrypting } else { &self.integrity_only };
        let internal = |e: ErrorStack| HandshakeRefused::new(Refusal::Internal, e.to_string());
        let ssl = Ssl::new(context).map_err(internal)?;
        let mut stream = LegacyStream::new(ssl, hello, stream).map_err(internal)?;
        stream.accept().await.map_err(|error| refused(&error))?;
        Ok(stream)
    }
}

fn context(
    ciphers: &str,
    rsa: &Material,
    staple: Option<&[u8]>,
    ask: bool,
) -> Result<SslContext, ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::tls_server())?;
    context.set_security_level(0);
    context.clear_options(SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1);
    context.set_min_proto_version(Some(SslVersion::TLS1))?;
    context.set_max_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_cipher_list(ciphers)?;
    context.set_options(
        SslOptions::CIPHER_SERVER_PREFERENCE
            | SslOptions::NO_COMPRESSION
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::NO_TICKET,
    );
    // An idle connection holds no record buffers.
    context.set_mode(SslMode::RELEASE_BUFFERS);
    // Nothing is resumed: a session would outlive the trust that it was made under.
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    let mut chain = X509::stack_from_pem(rsa.certificate_pem.as_bytes())?.into_iter();
    if let Some(leaf) = chain.next() {
        context.set_certificate(&leaf)?;
    }
    for issuer in chain {
        context.add_extra_chain_cert(issuer)?;
    }
    let key = PKey::private_key_from_pem(rsa.private_key_pem.as_bytes())?;
    context.set_private_key(&key)?;
    context.check_private_key()?;
    if let Some(staple) = staple.map(<[u8]>::to_vec) {
        context.set_status_callback(move |ssl| ssl.set_ocsp_status(&staple).map(|()| true))?;
    }
    if ask {
        // OpenSSL checks possession of the key; whether the certificate is believed is judged after the
        // handshake, by what judges all others.
        context.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    }
    Ok(context.build())
}

/// The client's chain, leaf first.
pub(super) fn client_chain(ssl: &SslRef) -> Result<Vec<CertificateDer<'static>>, ErrorStack> {
    // On a server the leaf is not part of OpenSSL's peer chain.
    let leaf = ssl.peer_certificate();
    let others = ssl.peer_cert_chain().into_iter().flatten().map(|c| c.to_der());
    leaf.iter().map(|c| c.to_der()).chain(others).map(|der| der.map(CertificateDer::from)).collect()
}

/// What ended a handshake.
fn refused(error: &SslError) -> HandshakeRefused {
    if let Some(error) = error.io_error() {
        return HandshakeRefused::of_io(error);
    }
    let Some(stack) = error.ssl_error() else {
        return HandshakeRefused::of_io(&io::ErrorKind::UnexpectedEof.into());
    };
    let reason = stack.errors().first().and_then(|e| e.reason()).unwrap_or_default();
    let why = match reason {
        "no shared cipher" => Refusal::NoCommonSuite,
        "unsupported protocol" | "version too low" | "unknown protocol" | "wrong version number" => {
            Refusal::NoCommonVersion
        }
        "no shared signature algorithms" | "no suitable signature algorithm" => Refusal::NoCommonParameters,
        "unexpected eof while reading" => Refusal::PeerClosed,
        reason if reason.contains(" alert ") => Refusal::PeerRefused,
        reason if reason.contains("signature") || reason.contains("certificate") => {
            Refusal::ClientCertificateBad
        }
        _ => Refusal::Protocol,
    };
    HandshakeRefused::new(why, if reason.is_empty() { stack.to_string() } else { reason.to_owned() })
}
