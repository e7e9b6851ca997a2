//! The admin API over TLS.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::fake::Fake;
use crate::admin::{AdminToken, ApiSetup, Setup, start};

#[test]
fn the_api_speaks_tls_and_wants_the_token() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let tls = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let api = ApiSetup {
        address: "127.0.0.1:0".parse().unwrap(),
        tls,
        token: AdminToken::new("correct-horse", "test").unwrap(),
        wrong_tokens: 20,
        requests_per_source: 100,
        requests_per_token: 100,
        body_bytes: 4096,
        import_bytes: 4096,
    };
    let setup = Setup { metrics: None, api: Some(api), control: None };
    let running = start(Arc::new(Fake::default()), setup).unwrap();
    let address = running.api.unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let statuses = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut statuses = Vec::new();
        for token in ["Bearer correct-horse", "Bearer wrong"] {
            let request = Request::get("/api/v1/registrations")
                .header("host", "localhost")
                .header("authorization", token)
                .body(Empty::<Bytes>::new())
                .unwrap();
            sender.ready().await.unwrap();
            let answer = sender.send_request(request).await.unwrap();
            statuses.push(answer.status().as_u16());
            answer.into_body().collect().await.unwrap();
        }
        statuses
    });
    assert_eq!(statuses, [200, 401]);
    running.stop();
}
