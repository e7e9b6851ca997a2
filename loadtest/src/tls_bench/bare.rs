//! A TLS server that does nothing but TLS: what a handshake costs without a signaling engine around it. It asks
//! for client certificates, gives out tickets and answers a keepalive, each as a node does.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SanType};
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::tls::certificates;

/// Files in its folder.
pub(crate) const CERTIFICATE: &str = "bare.pem";
pub(crate) const KEY: &str = "bare.key";
const CLIENTS: &str = "clients.pem";

/// Writes certificate and key of such a server, and whom it believes; gives the certificate.
///
/// # Errors
/// Files, or the making of a certificate.
pub fn prepare(
    folder: &Path,
    rsa: bool,
    clients: &str,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    fs::create_dir_all(folder)?;
    let key = if rsa {
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?
    } else {
        KeyPair::generate()?
    };
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "bare");
    params.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
    let pem = params.self_signed(&key)?.pem();
    for (name, text) in [(CERTIFICATE, &*pem), (KEY, &key.serialize_pem()), (CLIENTS, clients)] {
        fs::write(folder.join(name), text)?;
    }
    Ok(pem)
}

/// Runs [`serve`] on this thread, in a runtime of its own.
///
/// # Errors
/// As [`serve`].
pub fn run(folder: &Path, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(folder, ready))
}

/// Serves on a free port of the loopback address for ever; `ready` is told which.
///
/// # Errors
/// Files and sockets.
pub async fn serve(folder: &Path, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(config(folder).map_err(io::Error::other)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    ready(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // Whatever becomes of one connection is the client's to count.
            let _ = one(acceptor, stream).await;
        });
    }
}

async fn one(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await? > 0 {
        stream.write_all(b"\r\n").await?;
        stream.flush().await?;
    }
    Ok(())
}

fn config(folder: &Path) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error + Send + Sync>> {
    let text = |name: &str| fs::read_to_string(folder.join(name));
    let mut roots = RootCertStore::empty();
    for root in certificates("client authority", &text(CLIENTS)?)? {
        roots.add(root)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            certificates("certificate", &text(CERTIFICATE)?)?,
            PrivateKeyDer::from_pem_slice(text(KEY)?.as_bytes())?,
        )?;
    config.ignore_client_order = true;
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}
