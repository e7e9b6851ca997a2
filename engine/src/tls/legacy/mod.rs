//! The second acceptor, for phones that rustls cannot serve: static RSA key exchange (TLS_RSA_WITH_AES_128_CBC_SHA,
//! TLS_RSA_WITH_NULL_SHA) and TLS 1.0 to 1.2, by OpenSSL at security level 0. Built with the feature `legacy-tls`,
//! used with `[tls] legacy = true`, on the same ports: what has been read of the ClientHello is put before the
//! connection again. It never sees a client that rustls could serve.
//!
//! Static RSA has no forward secrecy, and CBC and SHA-1 are weak: each such connection is counted.

mod chain;
mod stream;
mod tickets;

use std::io;
use std::sync::Arc;

use keyline_actors::board::TicketKeys;
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
use self::tickets::Keys;
pub(super) use self::tickets::Spent;
use super::refused::{HandshakeRefused, Refusal};
use super::resume::TrustDigest;
use super::verify::ClientTrust;

/// What the second acceptor is set up with.
#[derive(Clone)]
pub(super) struct Contexts {
    encrypting: Sides,
    integrity_only: Sides,
    /// Those that tickets are made and opened with.
    pub(super) tickets: TicketKeys,
    pub(super) authorities: Arc<Authorities>,
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contexts")
    }
}

/// The contexts of one kind of suites.
#[derive(Clone)]
struct Sides {
    /// For each ticket key in force, newest first, by the name in front of its tickets.
    resuming: Vec<([u8; tickets::NAME], SslContext)>,
    /// Opens no ticket and makes none.
    plain: SslContext,
}

/// What the second acceptor serves with, besides the trust.
pub(super) struct Serves<'a> {
    /// The RSA certificate with its key.
    pub rsa: Option<&'a Material>,
    /// The OCSP response for it.
    pub staple: Option<&'a [u8]>,
    /// Keys of tickets.
    pub tickets: TicketKeys,
    /// What clients are judged by.
    pub trust: TrustDigest,
    /// Client certificates are asked for.
    pub ask: bool,
}

/// How a client wants to begin.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin<'a> {
    /// With this ticket, or with a whole handshake and a new one.
    Resuming(Option<&'a [u8]>),
    /// Whatever it has, with a whole handshake.
    Whole,
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
    /// With the trusted certificates, which `kept` has read already if it is there.
    pub(super) fn new(
        serves: &Serves<'_>,
        trusted: &[CertificateRow],
        kept: Option<&Self>,
    ) -> Result<Self, LegacyError> {
        let rsa = serves.rsa.ok_or(LegacyError::NoRsaCertificate)?;
        let authorities = match kept {
            Some(kept) => Arc::clone(&kept.authorities),
            None => Arc::new(Authorities::of(&ClientTrust::read(trusted).0)?),
        };
        let sides = |ciphers, kind| {
            let keyed = serves.tickets.iter().map(|key| {
                let keys = Keys::of(key, &serves.trust, kind);
                Ok((keys.name(), context(ciphers, rsa, serves, Some(&keys))?))
            });
            let resuming = keyed.collect::<Result<_, ErrorStack>>()?;
            Ok::<_, ErrorStack>(Sides { resuming, plain: context(ciphers, rsa, serves, None)? })
        };
        Ok(Self {
            authorities,
            encrypting: sides("AES128-SHA:@SECLEVEL=0", SuiteKind::Encrypting)?,
            integrity_only: sides("NULL-SHA:@SECLEVEL=0", SuiteKind::IntegrityOnly)?,
            tickets: serves.tickets.clone(),
        })
    }

    /// Makes a handshake: one kind of suites, never both, so that a client cannot be talked into the lesser one.
    pub(super) async fn accept<S>(
        &self,
        kind: SuiteKind,
        begin: Begin<'_>,
        hello: Vec<u8>,
        stream: S,
    ) -> Result<LegacyStream<S>, HandshakeRefused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let sides = if kind == SuiteKind::Encrypting { &self.encrypting } else { &self.integrity_only };
        let context = sides.for_client(begin);
        let internal = |e: ErrorStack| HandshakeRefused::new(Refusal::Internal, e.to_string());
        let ssl = Ssl::new(context).map_err(internal)?;
        let mut stream = LegacyStream::new(ssl, hello, stream).map_err(internal)?;
        stream.accept().await.map_err(|error| refused(&error))?;
        Ok(stream)
    }
}

impl Sides {
    fn for_client(&self, begin: Begin<'_>) -> &SslContext {
        let Begin::Resuming(ticket) = begin else { return &self.plain };
        let made_it = |(name, _): &&([u8; tickets::NAME], SslContext)| {
            ticket.is_some_and(|ticket| ticket.starts_with(name))
        };
        let found = self.resuming.iter().find(made_it).or(self.resuming.first());
        found.map_or(&self.plain, |(_, context)| context)
    }
}

fn context(
    ciphers: &str,
    rsa: &Material,
    serves: &Serves<'_>,
    keys: Option<&Keys>,
) -> Result<SslContext, ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::tls_server())?;
    context.set_security_level(0);
    context.clear_options(SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1);
    context.set_min_proto_version(Some(SslVersion::TLS1))?;
    context.set_max_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_cipher_list(ciphers)?;
    context.set_options(
        SslOptions::CIPHER_SERVER_PREFERENCE | SslOptions::NO_COMPRESSION | SslOptions::NO_RENEGOTIATION,
    );
    // An idle connection holds no record buffers.
    context.set_mode(SslMode::RELEASE_BUFFERS);
    // Sessions are kept by the phones alone, in tickets.
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    match keys {
        Some(keys) => {
            keys.put_into(&context)?;
            // What asks for certificates must say whose sessions these are.
            context.set_session_id_context(&keys.name())?;
        }
        None => {
            context.set_options(SslOptions::NO_TICKET);
        }
    }
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
    if let Some(staple) = serves.staple.map(<[u8]>::to_vec) {
        context.set_status_callback(move |ssl| ssl.set_ocsp_status(&staple).map(|()| true))?;
    }
    if serves.ask {
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
