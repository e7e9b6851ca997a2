//! Integrity-only suites between rustls and rustls: what is chosen, what goes over the wire, what a change on the way
//! does.

use keyline_domain::cipher::TlsCiphers;
use keyline_domain::mode::SuiteKind;
use keyline_wire::integrity_only;
use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{PATIENT, Source, Versions, connect, context, phone, runtime};
use crate::tls::refused::Refusal;

const BOTH: Versions = rustls::ALL_VERSIONS;

fn ours(ids: &[u16]) -> Vec<SupportedCipherSuite> {
    ids.iter().map(|id| integrity_only::suite(*id).unwrap()).collect()
}

#[test]
fn r119_the_menus_order_rules_among_integrity_only_suites() {
    runtime().block_on(async {
        for (menu, order) in [
            (TlsCiphers::AllRsaPreferred, [0xC0B4, 0xC010, 0xC006]),
            (TlsCiphers::AllEcdsaPreferred, [0xC0B4, 0xC006, 0xC010]),
        ] {
            let source = Source::new(menu, &[]);
            let context = context(&source, PATIENT);
            let mut offered = order.to_vec();
            offered.reverse();
            let config = |ids: &[u16]| phone(BOTH, &ours(ids), None);
            let refused = connect(&context, &config(&offered)).await.err().unwrap();
            assert_eq!(refused.why, Refusal::CipherPolicy, "no applied profile is authenticated");
            source.authenticated(true);
            for suite in order {
                let mut connected = connect(&context, &config(&offered)).await.unwrap();
                connected.talk().await;
                let facts = (connected.facts.suite, connected.facts.suite_kind);
                assert_eq!(facts, (suite, SuiteKind::IntegrityOnly));
                offered.retain(|id| *id != suite);
            }
        }
    });
}

#[test]
fn r119_r120_an_encrypting_suite_is_taken_wherever_the_client_offers_one() {
    runtime().block_on(async {
        for menu in TlsCiphers::ALL {
            let source = Source::new(menu, &[]);
            source.authenticated(true);
            let context = context(&source, PATIENT);
            let all: Vec<_> = integrity_only::suites().iter().chain(ALL_CIPHER_SUITES).copied().collect();
            let connected = connect(&context, &phone(BOTH, &all, None)).await.unwrap();
            assert_eq!(connected.facts.suite_kind, SuiteKind::Encrypting, "{menu:?}");
        }
    });
}

/// rustls on the server would agree on TLS 1.3 first and find no suite for it then.
#[test]
fn a_client_whose_suites_of_tls_1_3_are_of_no_menu_is_served_with_tls_1_2() {
    let chacha = |s: &&SupportedCipherSuite| u16::from(s.suite()) == 0x1303;
    let chacha = *ALL_CIPHER_SUITES.iter().find(chacha).unwrap();
    let gcm = *ALL_CIPHER_SUITES.iter().find(|s| u16::from(s.suite()) == 0xC02B).unwrap();
    runtime().block_on(async {
        let source = Source::new(TlsCiphers::AllRsaPreferred, &[]);
        source.authenticated(true);
        let context = context(&source, PATIENT);
        for (other, suite) in [(gcm, 0xC02B), (ours(&[0xC010])[0], 0xC010)] {
            let mut connected = connect(&context, &phone(BOTH, &[chacha, other], None)).await.unwrap();
            connected.talk().await;
            assert_eq!(connected.facts.suite, suite);
        }
    });
}

#[test]
fn r119_a_phone_resumes_with_an_integrity_only_suite() {
    runtime().block_on(async {
        let source = Source::new(TlsCiphers::AllRsaPreferred, &[]);
        source.authenticated(true);
        let context = context(&source, PATIENT);
        for suite in [0xC0B4, 0xC010] {
            let config = phone(BOTH, &ours(&[suite]), None);
            connect(&context, &config).await.unwrap().talk().await;
            let mut back = connect(&context, &config).await.unwrap();
            back.talk().await;
            assert!(back.resumed(), "{suite:x}");
            assert_eq!(back.facts.suite, suite);
        }
    });
}

/// In plain sight, but not to be changed: the server ends the connection and hands nothing on.
#[test]
fn r119_a_flipped_byte_ends_the_connection() {
    const TEXT: &[u8] = b"REGISTER sip:keyline.local SIP/2.0";
    runtime().block_on(async {
        let source = Source::new(TlsCiphers::AllRsaPreferred, &[]);
        source.authenticated(true);
        let context = context(&source, PATIENT);
        for suite in [0xC0B4, 0xC010, 0xC006] {
            for flip in [false, true] {
                let mut connected = connect(&context, &phone(BOTH, &ours(&[suite]), None)).await.unwrap();
                connected.talk().await;
                let mut record = Vec::new();
                let (below, session) = connected.client.get_mut();
                std::io::Write::write_all(&mut session.writer(), TEXT).unwrap();
                while session.wants_write() {
                    session.write_tls(&mut record).unwrap();
                }
                let at = record.windows(TEXT.len()).position(|w| w == TEXT).expect("plain text");
                record[at + 3] ^= u8::from(flip);
                below.write_all(&record).await.unwrap();
                let mut got = vec![0; 100];
                let read = connected.server.read(&mut got).await;
                if flip {
                    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::InvalidData, "{suite:x}");
                } else {
                    assert_eq!(&got[..read.unwrap()], TEXT, "{suite:x}");
                }
            }
        }
    });
}
