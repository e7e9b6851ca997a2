//! Clients that say nothing, stop in the middle, or do not speak TLS.

use std::time::Duration;

use keyline_domain::cipher::TlsCiphers;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::support::{PATIENT, Source, context, runtime};
use crate::tls::acceptor::Deadlines;
use crate::tls::hello::HELLO_MAX;
use crate::tls::refused::{HandshakeRefused, Refusal};

const SHORT: Duration = Duration::from_millis(20);

/// Sends bytes, keeps the connection open or closes it, and waits for the server's verdict. Also what the
/// server said.
fn send(deadlines: Deadlines, bytes: &[u8], close: bool) -> (HandshakeRefused, Vec<u8>) {
    runtime().block_on(async {
        let context = context(&Source::new(TlsCiphers::AllRsaPreferred, &[]), deadlines);
        let (mut near, far) = duplex(64 << 10);
        near.write_all(bytes).await.unwrap();
        if close {
            near.shutdown().await.unwrap();
        }
        let refused = context.handshake(far).await.err().unwrap();
        // The server's end is dropped by now, so this ends.
        let mut said = Vec::new();
        near.read_to_end(&mut said).await.unwrap();
        (refused, said)
    })
}

/// The beginning of a ClientHello that never ends.
const HALF: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

#[test]
fn a_client_that_says_nothing_is_closed() {
    let deadlines = Deadlines { first_byte: SHORT, ..PATIENT };
    assert_eq!(send(deadlines, b"", false).0.why, Refusal::Silent);
    assert_eq!(send(PATIENT, b"", true).0.why, Refusal::PeerClosed);
}

#[test]
fn a_half_open_hello_is_closed_at_the_deadline() {
    let deadlines = Deadlines { handshake: SHORT, ..PATIENT };
    assert_eq!(send(deadlines, &HALF, false).0.why, Refusal::Deadline);
    assert_eq!(send(PATIENT, &HALF, true).0.why, Refusal::PeerClosed);
}

#[test]
fn what_is_no_tls_gets_an_alert_and_is_closed_at_once() {
    for bytes in [&b"REGISTER sip:keyline.local SIP/2.0\r\n\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", &[0; 64]] {
        let (refused, said) = send(PATIENT, bytes, false);
        assert_eq!(refused.why, Refusal::BadHello, "{refused}");
        assert_eq!(said.first(), Some(&21), "an alert");
    }
}

#[test]
fn a_hello_without_end_is_bounded() {
    // Records of one ClientHello that claims to be as large as can be.
    let mut bytes = Vec::new();
    for i in 0..12u8 {
        bytes.extend_from_slice(&[22, 3, 1, 0x08, 0]);
        let mut record = vec![0; 0x800];
        if i == 0 {
            record[..4].copy_from_slice(&[1, 0, 0xff, 0xf0]);
        }
        bytes.extend(record);
    }
    assert!(bytes.len() > HELLO_MAX);
    assert_eq!(send(PATIENT, &bytes, false).0.why, Refusal::BadHello);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbage_is_refused_and_never_panics(
        head in prop_oneof![Just(vec![]), Just(vec![22, 3, 1]), Just(HALF.to_vec())],
        tail in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let (refused, _) = send(PATIENT, &[head, tail].concat(), true);
        prop_assert!(matches!(
            refused.why,
            Refusal::BadHello | Refusal::PeerClosed | Refusal::NoCommonVersion | Refusal::NoCommonSuite
                | Refusal::NoCommonParameters | Refusal::Protocol
        ), "{refused:?}");
    }
}
