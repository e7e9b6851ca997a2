//! The policy changes while phones are connected, come back, or are in the middle of a handshake.

use std::sync::Arc;

use keyline_actors::keyring::Own;
use keyline_domain::cipher::TlsCiphers;
use keyline_domain::identity::ChainedTo;
use keyline_domain::inventory::{CertificateRow, Purpose};
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use super::support::{
    Ca, PATIENT, Source, TLS12, TLS13, connect, context, made, own, own_certificates, row, runtime, stock,
};
use crate::pki::authority::OwnCertificate;
use crate::tls::refused::Refusal;

const MENU: TlsCiphers = TlsCiphers::AllRsaPreferred;

fn trust(ca: &Ca) -> CertificateRow {
    row(Purpose::CallManagerTrust, &ca.pem)
}

#[test]
fn r052_after_the_authority_is_removed_a_resumed_session_is_not_believed() {
    let (ca, other) = (Ca::new("Manufacturing"), Ca::new("Other"));
    let phone = ca.phone("SEP00AABBCCDD01");
    runtime().block_on(async {
        for versions in [TLS12, TLS13] {
            let source = Source::new(MENU, &[trust(&ca), trust(&other)]);
            let context = context(&source, PATIENT);
            let phone = stock(versions, Some(&phone));
            connect(&context, &phone).await.unwrap().talk().await;
            let mut back = connect(&context, &phone).await.unwrap();
            assert!(back.resumed(), "{versions:?}");
            assert_eq!(back.facts.certificate.as_ref().map(|c| c.chain), Some(ChainedTo::CallManagerTrust));
            back.talk().await;

            source.trust(&[trust(&other)]);
            let refused = connect(&context, &phone).await.err().unwrap();
            assert_eq!(refused.why, Refusal::ClientCertificateUntrusted, "{versions:?}");
            // What was open stays open.
            back.talk().await;

            source.trust(&[]);
            let stranger = connect(&context, &stock(versions, None)).await.unwrap();
            assert!(stranger.facts.certificate.is_none());
        }
    });
}

#[test]
fn r055_a_phone_that_was_not_asked_is_asked_once_its_certificate_is_uploaded() {
    let phone = own("vendor phone", false);
    runtime().block_on(async {
        for versions in [TLS12, TLS13] {
            let source = Source::new(MENU, &[]);
            let context = context(&source, PATIENT);
            let config = stock(versions, Some(&phone));
            let mut first = connect(&context, &config).await.unwrap();
            assert!(first.facts.certificate.is_none());
            first.talk().await;
            source.trust(&[row(Purpose::VendorTrust, &phone.pem)]);
            // Its ticket would bring it back without a certificate for hours.
            let second = connect(&context, &config).await.unwrap();
            assert!(!second.resumed(), "{versions:?}");
            assert_eq!(second.facts.certificate.map(|c| c.chain), Some(ChainedTo::VendorTrust));
        }
    });
}

#[test]
fn r121_the_menu_changes_for_the_next_connection_and_closes_none() {
    runtime().block_on(async {
        let source = Source::new(TlsCiphers::AllRsaPreferred, &[]);
        let context = context(&source, PATIENT);
        let phone = stock(TLS12, None);
        let mut first = connect(&context, &phone).await.unwrap();
        assert_eq!(first.facts.suite, 0xC030);
        first.talk().await;
        source.menu(TlsCiphers::StrongestEcdsaPreferred);
        let mut second = connect(&context, &phone).await.unwrap();
        assert_eq!(second.facts.suite, 0xC02C);
        first.talk().await;
        second.talk().await;
    });
}

#[test]
fn r005_an_own_certificate_is_swapped_under_open_connections_and_sessions_stay() {
    let ca = Ca::new("Manufacturing");
    let holder = ca.phone("SEP00AABBCCDD01");
    runtime().block_on(async {
        for versions in [TLS12, TLS13] {
            let source = Source::new(TlsCiphers::AllEcdsaPreferred, &[trust(&ca)]);
            let context = context(&source, PATIENT);
            let phone = stock(versions, Some(&holder));
            let mut first = connect(&context, &phone).await.unwrap();
            first.talk().await;
            let mut own = own_certificates().clone();
            own.insert("CallManager-EC".into(), made(OwnCertificate::CallManagerEc));
            source.own(own.clone());
            // A phone that comes back needs no full handshake: the trust in it is the same.
            let mut back = connect(&context, &phone).await.unwrap();
            assert!(back.resumed(), "{versions:?}");
            let full = connect(&context, &stock(versions, Some(&holder))).await.unwrap();
            assert_ne!(full.shown(), first.shown());
            let pem = &own["CallManager-EC"].material.certificate_pem;
            assert_eq!(full.shown(), &crate::pki::inspect::pem(pem).unwrap()[0]);
            first.talk().await;
            back.talk().await;
        }
    });
}

#[test]
fn an_own_certificate_that_cannot_be_served_leaves_the_former_one() {
    runtime().block_on(async {
        let source = Source::new(TlsCiphers::AllEcdsaPreferred, &[]);
        let context = context(&source, PATIENT);
        let mut own = own_certificates().clone();
        let mut broken = Own::clone(&own["CallManager-EC"]);
        broken.material.certificate_pem.clear();
        own.insert("CallManager-EC".into(), Arc::new(broken));
        source.own(own);
        let shown = connect(&context, &stock(TLS13, None)).await.unwrap();
        let pem = &own_certificates()["CallManager-EC"].material.certificate_pem;
        assert_eq!(shown.shown(), &crate::pki::inspect::pem(pem).unwrap()[0]);
    });
}

#[test]
fn a_change_that_leaves_the_policy_as_it_is_keeps_sessions_and_config() {
    let ca = Ca::new("Manufacturing");
    runtime().block_on(async {
        let source = Source::new(MENU, &[trust(&ca)]);
        let context = context(&source, PATIENT);
        let phone = stock(TLS13, Some(&ca.phone("SEP00AABBCCDD01")));
        connect(&context, &phone).await.unwrap().talk().await;
        source.menu(MENU);
        let mut again = connect(&context, &phone).await.unwrap();
        assert!(again.resumed());
        again.talk().await;
        // The same certificates read again are the same trust.
        source.trust(&[trust(&ca)]);
        assert!(connect(&context, &phone).await.unwrap().resumed());
    });
}

#[test]
fn a_certificate_that_cannot_be_used_keeps_no_removed_one_in_force() {
    let (ca, other) = (Ca::new("Manufacturing"), Ca::new("Other"));
    let mut broken = trust(&other);
    broken.pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into();
    let (phone, good) = (ca.phone("SEP00AABBCCDD01"), other.phone("SEP00AABBCCDD02"));
    runtime().block_on(async {
        let source = Source::new(MENU, &[trust(&ca)]);
        let context = context(&source, PATIENT);
        source.trust(&[broken, trust(&other)]);
        let refused = connect(&context, &stock(TLS13, Some(&phone))).await.err().unwrap();
        assert_eq!(refused.why, Refusal::ClientCertificateUntrusted);
        connect(&context, &stock(TLS13, Some(&good))).await.unwrap();
    });
}

/// Changes the trust when the phone is asked for its certificate: after the server chose its policy.
#[derive(Debug)]
struct InTheMiddle {
    key: Arc<CertifiedKey>,
    change: Change,
}

struct Change(Arc<Source>, Vec<CertificateRow>);

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Change")
    }
}

impl ResolvesClientCert for InTheMiddle {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.change.0.trust(&self.change.1);
        Some(Arc::clone(&self.key))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn a_handshake_under_way_is_judged_by_the_trust_at_its_end() {
    let (ca, other) = (Ca::new("Manufacturing"), Ca::new("Other"));
    let holder = ca.phone("SEP00AABBCCDD01");
    runtime().block_on(async {
        for versions in [TLS12, TLS13] {
            let source = Source::new(MENU, &[trust(&ca)]);
            let context = context(&source, PATIENT);
            let mut config = ClientConfig::clone(&stock(versions, None));
            config.client_auth_cert_resolver = Arc::new(InTheMiddle {
                key: holder.certified(),
                change: Change(Arc::clone(&source), vec![trust(&other)]),
            });
            let refused = connect(&context, &Arc::new(config)).await.err().unwrap();
            assert_eq!(refused.why, Refusal::ClientCertificateUntrusted, "{versions:?}");
        }
    });
}
