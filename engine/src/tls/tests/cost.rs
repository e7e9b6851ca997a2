//! What a handshake costs the server, beside rustls alone. Prints figures, asserts nothing about time:
//! `cargo test --release -p keyline-engine --lib tls::tests::cost -- --ignored --nocapture`.

use std::io::Cursor;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyline_domain::cipher::TlsCiphers;
use keyline_domain::inventory::Purpose;
use keyline_domain::mode::SuiteKind;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::server::{Acceptor, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::support::{Ca, PATIENT, Source, TLS12, TLS13, context, identity, row, stock};
use crate::tls::acceptor::TlsContext;

const ROUNDS: u32 = 2_000;

/// Carries both sides to the end in memory; time of the server's side only.
fn drive(
    client: &Arc<ClientConfig>,
    mut start: impl FnMut(&[u8]) -> ServerConnection,
) -> (Duration, ServerConnection) {
    let name = ServerName::try_from("keyline.local").unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let (mut spent, mut server) = (Duration::ZERO, None::<ServerConnection>);
    loop {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let idle = bytes.is_empty();
        let began = Instant::now();
        let mut answer = Vec::new();
        let it = match &mut server {
            None => server.insert(start(&bytes)),
            Some(server) => {
                let mut bytes = Cursor::new(&bytes);
                while bytes.position() < bytes.get_ref().len() as u64 {
                    server.read_tls(&mut bytes).unwrap();
                    server.process_new_packets().unwrap();
                }
                server
            }
        };
        while it.wants_write() {
            it.write_tls(&mut answer).unwrap();
        }
        spent += began.elapsed();
        if answer.is_empty() && idle {
            break;
        }
        let mut answer = Cursor::new(&answer);
        while answer.position() < answer.get_ref().len() as u64 {
            client.read_tls(&mut answer).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    (spent, server.unwrap())
}

fn bare(config: &Arc<ServerConfig>, hello: &[u8]) -> ServerConnection {
    let mut server = ServerConnection::new(Arc::clone(config)).unwrap();
    server.read_tls(&mut Cursor::new(hello)).unwrap();
    server.process_new_packets().unwrap();
    server
}

/// The same steps as `TlsContext::handshake` takes, without a socket.
fn ours(context: &TlsContext, hello: &[u8]) -> ServerConnection {
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut Cursor::new(hello)).unwrap();
    let accepted = acceptor.accept().unwrap().unwrap();
    accepted.into_connection(Arc::clone(context.current().configs.of(SuiteKind::Encrypting, true))).unwrap()
}

fn report(what: &str, mut one: impl FnMut() -> Duration) {
    for _ in 0..ROUNDS / 10 {
        one();
    }
    // The middle one: builds and tests that share the machine spoil a mean.
    let mut all: Vec<Duration> = (0..ROUNDS).map(|_| one()).collect();
    all.sort_unstable();
    eprintln!("{what:<40} {:>7.1} us", all[all.len() / 2].as_secs_f64() * 1e6);
}

#[test]
#[ignore = "measures; run it alone, in a release build"]
fn handshakes() {
    let ca = Ca::new("Manufacturing");
    let holder = ca.phone("SEP00AABBCCDD01");
    let mut roots = RootCertStore::empty();
    roots.add(ca.der.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let ec = identity().0.ec.clone().unwrap();
    let mut plain = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(ec)));
    plain.send_tls13_tickets = 1;
    let plain = Arc::new(plain);
    let trusted = [row(Purpose::CallManagerTrust, &ca.pem)];
    let source = Source::new(TlsCiphers::MediumEcdsaPreferred, &trusted);
    let context = context(&source, PATIENT);

    for (name, versions) in [("TLS 1.2", TLS12), ("TLS 1.3", TLS13)] {
        let fresh = || {
            let mut config = ClientConfig::clone(&stock(versions, Some(&holder)));
            config.resumption = rustls::client::Resumption::disabled();
            Arc::new(config)
        };
        let client = fresh();
        report(&format!("{name} full, rustls alone"), || drive(&client, |hello| bare(&plain, hello)).0);
        let whole = |client: &Arc<ClientConfig>| {
            let (spent, server) = drive(client, |hello| ours(&context, hello));
            let began = Instant::now();
            assert!(context.facts(&server).unwrap().certificate.is_some());
            spent + began.elapsed()
        };
        report(&format!("{name} full, Keyline, phone known"), || whole(&client));
        report(&format!("{name} full, Keyline, phone new"), || {
            // A change of the trust: the first handshake after it finds nothing judged yet.
            source.trust(&[trusted[0].clone()]);
            context.current();
            whole(&client)
        });
        let client = stock(versions, Some(&holder));
        report(&format!("{name} resumed, rustls alone"), || drive(&client, |hello| bare(&plain, hello)).0);
        let client = stock(versions, Some(&holder));
        report(&format!("{name} resumed, Keyline"), || whole(&client));
    }
}
