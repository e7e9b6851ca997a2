//! Phones against a scripted server and against each other.

mod calls;

use std::sync::Arc;
use std::time::Duration;

use keyline_domain::digest::Algorithm;
use keyline_wire::sip::HeaderName;

use super::{Event, Phone, PhoneConfig, PhoneError, Transport};
use crate::switchboard::{self, Rules, Switchboard};
use crate::tls::{TlsOptions, Versions};

fn guarded() -> Rules {
    Rules { password: Some("secret".into()), ..Rules::default() }
}

fn config(board: &Switchboard, transport: &str, dn: &str) -> PhoneConfig {
    let (server, transport) = match transport {
        "udp" => (board.udp, Transport::Udp),
        "tcp" => (board.tcp, Transport::Tcp),
        _ => (board.tls, Transport::Tls(Box::new(TlsOptions::trusting(board.ca.pem.clone())))),
    };
    let mut config = PhoneConfig::new(server, transport, dn).login(dn, "secret");
    config.t1 = Duration::from_millis(50);
    config
}

async fn phone(board: &Switchboard, transport: &str, dn: &str) -> Phone {
    let phone = Phone::start(config(board, transport, dn)).await.unwrap();
    phone.register().await.unwrap();
    phone
}

async fn board(rules: Rules) -> Arc<Switchboard> {
    Switchboard::start(rules).await
}

#[tokio::test]
async fn registers_over_every_transport_and_counts_the_nonce() {
    let board = board(guarded()).await;
    for transport in ["udp", "tcp", "tls"] {
        let phone = Phone::start(config(&board, transport, "1001")).await.unwrap();
        let granted = phone.register().await.unwrap();
        assert_eq!(granted.expires, 3600, "{transport}");
        let (nonce, algorithm, count) = phone.nonce().unwrap();
        assert_eq!((algorithm, count), ("SHA-256", 1));

        phone.refresh().await.unwrap();
        assert_eq!(phone.nonce().unwrap(), (nonce, "SHA-256", 2));
        let sent = phone.record().find(0, |e| e.is_request("REGISTER"));
        let cseqs: Vec<_> = sent.iter().map(|e| e.message.as_ref().unwrap().cseq().unwrap().number).collect();
        assert_eq!(cseqs, [101, 102, 103]);
        assert!(sent.windows(2).all(|w| w[0].header("Call-ID") == w[1].header("Call-ID")));
        assert!(sent[2].header("Authorization").unwrap().contains("nc=00000002"));

        assert_eq!(phone.unregister().await.unwrap().expires, 0);
    }
}

#[tokio::test]
async fn takes_the_topmost_algorithm_it_knows() {
    let board = board(guarded()).await;
    let mut config = config(&board, "udp", "1001");
    config.algorithms = vec![Algorithm::Md5];
    let phone = Phone::start(config.clone()).await.unwrap();
    phone.register().await.unwrap();
    assert_eq!(phone.nonce().unwrap().1, "MD5");

    config.algorithms = Vec::new();
    let phone = Phone::start(config).await.unwrap();
    assert!(matches!(phone.register().await, Err(PhoneError::Challenge { .. })));
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let board = board(guarded()).await;
    let phone = Phone::start(config(&board, "tcp", "1001").login("1001", "wrong")).await.unwrap();
    let refused = phone.register().await;
    assert!(matches!(refused, Err(PhoneError::Refused { status: 401, .. })), "{refused:?}");
    assert_eq!(phone.record().find(0, |e| e.is_request("REGISTER")).len(), 2);
}

#[tokio::test]
async fn a_stale_nonce_and_a_short_expiry_are_mended() {
    let rules = Rules { stale_after: Some(1), min_expires: 600, ..guarded() };
    let board = board(rules).await;
    let phone = Phone::start(config(&board, "udp", "1001")).await.unwrap();
    let granted = phone.register_for(60).await.unwrap();
    assert_eq!(granted.expires, 600);
    assert_eq!(phone.nonce().unwrap().2, 1, "the second REGISTER needed a fresh nonce");
    let seen = |status| phone.record().find(0, |e| e.is_response(status, "REGISTER")).len();
    assert_eq!((seen(401), seen(423), seen(200)), (2, 1, 1));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let board = board(Rules::default()).await;
    board.rules.lock().unwrap().lose.insert("REGISTER".into(), 2);
    let phone = Phone::start(config(&board, "udp", "1001")).await.unwrap();
    phone.register().await.unwrap();
    let sent = phone.record().find(0, |e| e.is_request("REGISTER"));
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|e| e.bytes == sent[0].bytes));
}

#[tokio::test]
async fn a_cisco_phone_says_who_it_is() {
    let board = board(Rules::default()).await;
    let mut config = config(&board, "tcp", "1001").cisco("SEP0011AABBCCDD", 36224).line("1002");
    config.bulk = true;
    let phone = Phone::start(config).await.unwrap();
    phone.register().await.unwrap();
    let sent = phone.record().find(0, |e| e.is_request("REGISTER"));
    let message = sent[0].message.as_ref().unwrap();
    let contact = message.contact().unwrap();
    assert_eq!(contact.device_name().as_deref(), Some("SEP0011AABBCCDD"));
    assert_eq!(contact.model().as_deref(), Some("36224"));
    let instance = contact.instance();
    assert_eq!(instance.as_deref(), Some("<urn:uuid:00000000-0000-0000-0000-0011aabbccdd>"));
    assert!(message.lists(HeaderName::Supported, "X-cisco-callinfo"));
    assert_eq!(sent.len(), 1, "all lines by one request");
    assert!(String::from_utf8_lossy(message.body()).contains("bulkregisterreq"));
}

#[tokio::test]
async fn a_server_is_believed_only_with_its_root_and_name() {
    let board = board(Rules::default()).await;
    let start = async |tls: TlsOptions| {
        let transport = Transport::Tls(Box::new(tls));
        Phone::start(PhoneConfig::new(board.tls, transport, "1001")).await
    };
    assert!(matches!(start(TlsOptions::default()).await, Err(PhoneError::Tls(_))));
    let other = switchboard::Authority::new();
    let refused = start(TlsOptions::trusting(other.pem.clone())).await;
    assert!(matches!(refused, Err(PhoneError::Handshake { .. })));
    let misnamed =
        TlsOptions { server_name: Some("else.example".into()), ..TlsOptions::trusting(board.ca.pem.clone()) };
    assert!(matches!(start(misnamed).await, Err(PhoneError::Handshake { .. })));

    let (chain, key) = board.ca.issue("SEP001122334455");
    let mut tls = TlsOptions::trusting(board.ca.pem.clone()).with_identity(chain, key);
    tls.versions = Versions::Tls12;
    tls.suites = Some(vec![rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]);
    let phone = start(tls).await.unwrap();
    let session = phone.tls().unwrap();
    assert_eq!(session.version, "TLSv1_2");
    assert_eq!(session.suite, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
    phone.register().await.unwrap();
    assert_eq!(*board.clients.lock().unwrap(), 1);
}

#[tokio::test]
async fn raw_bytes_and_pings_go_as_they_are() {
    let board = board(Rules::default()).await;
    let phone = Phone::start(config(&board, "tcp", "1001")).await.unwrap();
    phone.ping().await.unwrap();
    let request = "INVITE sip:nobody@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKx\r\n\
        From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    let answer: Event = phone.exchange_raw(request.as_bytes()).await.unwrap();
    assert!(answer.is_response(404, "INVITE"), "{}", answer.text());

    phone.disconnect();
    assert!(matches!(phone.send_raw(b"x"), Err(PhoneError::Closed { .. })));
    phone.reconnect().await.unwrap();
    phone.register().await.unwrap();
}
