//! R122–R127: what is negotiated with a phone that offers everything in another order.

use keyline_domain::cipher::TlsCiphers;
use keyline_domain::mode::{SuiteKind, Transport};
use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;

use super::support::{PATIENT, Source, TLS12, TLS13, Versions, connect, context, identity, phone, runtime};
use crate::tls::refused::Refusal;

/// Suites in the order in which the server chooses them: the phone offers all but those chosen before, its
/// own favourite last. Ends with the reason of the final refusal.
fn order(menu: TlsCiphers, versions: Versions, ours: &[u16]) -> (Vec<u16>, Refusal) {
    runtime().block_on(async {
        let context = context(&Source::new(menu, &[]), PATIENT);
        let version = versions[0].version;
        // First the suites that the menu puts last.
        let mut offered: Vec<SupportedCipherSuite> =
            ALL_CIPHER_SUITES.iter().copied().filter(|s| s.version().version == version).collect();
        offered.sort_by_key(|s| std::cmp::Reverse(ours.iter().position(|o| *o == u16::from(s.suite()))));
        let mut chosen = Vec::new();
        loop {
            match connect(&context, &phone(versions, &offered, None)).await {
                Ok(mut connected) => {
                    connected.talk().await;
                    assert_eq!(connected.facts.suite_kind, SuiteKind::Encrypting);
                    assert_eq!(connected.facts.transport, Transport::Tls);
                    assert!(connected.facts.certificate.is_none());
                    check_key(&connected, menu);
                    offered.retain(|s| u16::from(s.suite()) != connected.facts.suite);
                    chosen.push(connected.facts.suite);
                }
                Err(refused) => return (chosen, refused.why),
            }
        }
    })
}

/// The certificate fits the suite; where any would (TLS 1.3), it is the menu's.
fn check_key(connected: &super::support::Connected, menu: TlsCiphers) {
    let rsa = match connected.facts.suite {
        0xC02F | 0xC030 => true,
        0xC02B | 0xC02C => false,
        _ => menu.prefers_rsa(),
    };
    let identity = &identity().0;
    let key = if rsa { &identity.rsa } else { &identity.ec };
    assert_eq!(connected.shown(), &key.as_ref().unwrap().cert[0], "{menu:?} {:x}", connected.facts.suite);
}

fn negotiated(menu: TlsCiphers, tls12: &[u16], tls13: &[u16]) {
    // What remains: ChaCha20 is of no menu, AES-128 of others than the strongest.
    let strongest = matches!(menu, TlsCiphers::StrongestRsaPreferred | TlsCiphers::StrongestEcdsaPreferred);
    let why = if strongest { Refusal::CipherPolicy } else { Refusal::NoCommonSuite };
    assert_eq!(order(menu, TLS12, tls12), (tls12.to_vec(), why), "{menu:?}");
    assert_eq!(order(menu, TLS13, tls13), (tls13.to_vec(), why), "{menu:?}");
}

#[test]
fn r122_strongest_rsa_preferred() {
    negotiated(TlsCiphers::StrongestRsaPreferred, &[0xC030, 0xC02C], &[0x1302]);
}

#[test]
fn r123_strongest_ecdsa_preferred() {
    negotiated(TlsCiphers::StrongestEcdsaPreferred, &[0xC02C, 0xC030], &[0x1302]);
}

#[test]
fn r124_medium_rsa_preferred() {
    negotiated(TlsCiphers::MediumRsaPreferred, &[0xC030, 0xC02C, 0xC02F, 0xC02B], &[0x1302, 0x1301]);
}

#[test]
fn r125_medium_ecdsa_preferred() {
    negotiated(TlsCiphers::MediumEcdsaPreferred, &[0xC02C, 0xC030, 0xC02B, 0xC02F], &[0x1302, 0x1301]);
}

#[test]
fn r126_all_rsa_preferred_without_the_suite_that_is_legacy() {
    negotiated(TlsCiphers::AllRsaPreferred, &[0xC030, 0xC02C, 0xC02F, 0xC02B], &[0x1302, 0x1301]);
}

#[test]
fn r127_all_ecdsa_preferred_without_the_suite_that_is_legacy() {
    negotiated(TlsCiphers::AllEcdsaPreferred, &[0xC02C, 0xC030, 0xC02B, 0xC02F], &[0x1302, 0x1301]);
}

#[test]
fn r120_a_phone_of_both_versions_gets_tls_1_3_and_an_encrypting_suite() {
    runtime().block_on(async {
        for menu in TlsCiphers::ALL {
            let context = context(&Source::new(menu, &[]), PATIENT);
            let connected =
                connect(&context, &phone(rustls::ALL_VERSIONS, ALL_CIPHER_SUITES, None)).await.unwrap();
            assert_eq!(connected.facts.suite, 0x1302, "{menu:?}");
            assert_eq!(connected.facts.suite_kind, SuiteKind::Encrypting);
            check_key(&connected, menu);
        }
    });
}
