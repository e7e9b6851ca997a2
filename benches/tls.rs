//! A whole handshake, the server's half of it: rustls, which the product uses, and OpenSSL, which Kamailio uses. One ECDSA
//! P-256 certificate, no client certificate, no ticket, the same rustls client in memory; only the server's time counts.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot run must say so")]

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use openssl::ssl::{HandshakeError, Ssl, SslAcceptor, SslMethod, SslOptions, SslVersion};
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::{PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls::server::NoServerSessionStorage;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
};

struct Site {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    openssl: SslAcceptor,
}

fn site(version: &'static SupportedProtocolVersion) -> Site {
    let own = rcgen::generate_simple_self_signed(["bench.test".to_owned()]).unwrap();
    // The same group for both: X25519. The certificate's curve must be among the client's for OpenSSL (RFC 8422 §5.1).
    let provider = Arc::new(rustls::crypto::CryptoProvider {
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    });
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.resumption = rustls::client::Resumption::disabled();
    let key = PrivateKeyDer::from_pem_slice(own.signing_key.serialize_pem().as_bytes()).unwrap();
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut openssl = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    let certificate = openssl::x509::X509::from_der(own.cert.der()).unwrap();
    let key = openssl::pkey::PKey::private_key_from_pem(own.signing_key.serialize_pem().as_bytes()).unwrap();
    openssl.set_certificate(&certificate).unwrap();
    openssl.set_private_key(&key).unwrap();
    openssl.set_groups_list("X25519:P-256").unwrap();
    openssl.set_options(SslOptions::NO_TICKET);
    openssl.set_num_tickets(0).unwrap();
    let only = if version.version == rustls::ProtocolVersion::TLSv1_3 {
        SslVersion::TLS1_3
    } else {
        SslVersion::TLS1_2
    };
    openssl.set_min_proto_version(Some(only)).unwrap();
    openssl.set_max_proto_version(Some(only)).unwrap();
    Site { client: Arc::new(client), server: Arc::new(server), openssl: openssl.build() }
}

fn client(site: &Site) -> ClientConnection {
    ClientConnection::new(Arc::clone(&site.client), ServerName::try_from("bench.test").unwrap()).unwrap()
}

fn by_rustls(site: &Site) -> Duration {
    let (mut client, mut took) = (client(site), Duration::ZERO);
    let mut server = ServerConnection::new(Arc::clone(&site.server)).unwrap();
    let (mut there, mut back) = (Vec::new(), Vec::new());
    while client.is_handshaking() || server.is_handshaking() {
        while client.wants_write() {
            client.write_tls(&mut there).unwrap();
        }
        let began = Instant::now();
        let mut from = &there[..];
        while !from.is_empty() {
            server.read_tls(&mut from).unwrap();
            server.process_new_packets().unwrap();
        }
        while server.wants_write() {
            server.write_tls(&mut back).unwrap();
        }
        took += began.elapsed();
        let mut from = &back[..];
        while !from.is_empty() {
            client.read_tls(&mut from).unwrap();
            client.process_new_packets().unwrap();
        }
        there.clear();
        back.clear();
    }
    took
}

/// Bytes for OpenSSL, and from it.
#[derive(Debug, Default, Clone)]
struct Pipe {
    there: Rc<RefCell<Vec<u8>>>,
    back: Rc<RefCell<Vec<u8>>>,
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut there = self.there.borrow_mut();
        let n = out.len().min(there.len());
        if n == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        out[..n].copy_from_slice(&there[..n]);
        there.drain(..n);
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.back.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn by_openssl(site: &Site) -> Duration {
    let (mut client, pipe, mut took) = (client(site), Pipe::default(), Duration::ZERO);
    let hand_over = |client: &mut ClientConnection| {
        let back = std::mem::take(&mut *pipe.back.borrow_mut());
        let mut from = &back[..];
        while !from.is_empty() {
            client.read_tls(&mut from).unwrap();
            client.process_new_packets().unwrap();
        }
        while client.wants_write() {
            client.write_tls(&mut *pipe.there.borrow_mut()).unwrap();
        }
    };
    hand_over(&mut client);
    let began = Instant::now();
    let mut step = Ssl::new(site.openssl.context()).unwrap().accept(pipe.clone());
    took += began.elapsed();
    loop {
        match step {
            Ok(_) => break,
            Err(HandshakeError::WouldBlock(middle)) => {
                hand_over(&mut client);
                let began = Instant::now();
                step = middle.handshake();
                took += began.elapsed();
            }
            Err(e) => panic!("{e}"),
        }
    }
    hand_over(&mut client);
    assert!(!client.is_handshaking());
    took
}

fn handshakes(c: &mut Criterion) {
    let mut group = c.benchmark_group("tls");
    for (name, version) in [("1.3", &rustls::version::TLS13), ("1.2", &rustls::version::TLS12)] {
        let site = site(version);
        group.bench_function(format!("rustls_{name}"), |b| {
            b.iter_custom(|n| (0..n).map(|_| by_rustls(&site)).sum());
        });
        group.bench_function(format!("openssl_{name}"), |b| {
            b.iter_custom(|n| (0..n).map(|_| by_openssl(&site)).sum());
        });
    }
    group.finish();
}

criterion_group!(tls, handshakes);
criterion_main!(tls);
