//! Certificates that their authority has revoked.

use keyline_domain::cipher::TlsCiphers;
use keyline_domain::inventory::Purpose;

use super::support::{Ca, PATIENT, Source, TLS12, TLS13, connect, context, row, runtime, stock};
use crate::pki::crl::{CrlError, accept};
use crate::tls::refused::Refusal;

const MENU: TlsCiphers = TlsCiphers::AllRsaPreferred;
const DAY: i64 = 86_400;

#[test]
fn a_revoked_certificate_is_refused_at_once_resumed_or_not_and_named() {
    let ca = Ca::new("Manufacturing");
    let (bad, good) = (ca.phone("SEP00AABBCCDD01"), ca.phone("SEP00AABBCCDD02"));
    runtime().block_on(async {
        for versions in [TLS12, TLS13] {
            let source = Source::new(MENU, &[row(Purpose::CapfTrust, &ca.pem)]);
            let context = context(&source, PATIENT);
            let phone = stock(versions, Some(&bad));
            connect(&context, &phone).await.unwrap().talk().await;
            source.crls(&[ca.revoke(&[&bad], -60, DAY)], false);
            // With its ticket, and without one.
            for phone in [phone, stock(versions, Some(&bad))] {
                let refused = connect(&context, &phone).await.err().unwrap();
                assert_eq!(refused.why, Refusal::ClientCertificateRevoked, "{versions:?}");
                let claim = refused.claim.unwrap();
                assert_eq!(claim.device.unwrap().as_str(), "SEP00AABBCCDD01");
            }
            let other = connect(&context, &stock(versions, Some(&good))).await.unwrap();
            assert!(other.facts.certificate.is_some());
            source.crls(&[], false);
            connect(&context, &stock(versions, Some(&bad))).await.unwrap();
        }
    });
}

#[test]
fn a_list_that_is_out_of_date_is_used_on_or_refuses_all_as_the_policy_says() {
    let ca = Ca::new("Manufacturing");
    let (bad, good) = (ca.phone("SEP00AABBCCDD01"), ca.phone("SEP00AABBCCDD02"));
    let old = ca.revoke(&[&bad], -2 * DAY, -DAY);
    runtime().block_on(async {
        let source = Source::new(MENU, &[row(Purpose::CapfTrust, &ca.pem)]);
        let context = context(&source, PATIENT);
        let why =
            async |holder| connect(&context, &stock(TLS13, Some(holder))).await.map(drop).map_err(|r| r.why);
        source.crls(std::slice::from_ref(&old), false);
        assert_eq!(why(&bad).await, Err(Refusal::ClientCertificateRevoked));
        assert_eq!(why(&good).await, Ok(()));
        source.crls(&[old], true);
        assert_eq!(why(&good).await, Err(Refusal::RevocationListExpired));
    });
}

#[test]
fn an_uploaded_certificate_is_believed_until_its_issuer_revokes_it() {
    let vendor = Ca::new("Vendor");
    let (bad, good) = (vendor.phone("Acme 1"), vendor.phone("Acme 2"));
    runtime().block_on(async {
        let rows = [&bad, &good].map(|holder| row(Purpose::VendorTrust, &holder.pem));
        let source = Source::new(MENU, &rows);
        let context = context(&source, PATIENT);
        source.crls(&[vendor.revoke(&[&bad], -60, DAY)], true);
        let refused = connect(&context, &stock(TLS13, Some(&bad))).await.err().unwrap();
        assert_eq!(refused.why, Refusal::ClientCertificateRevoked);
        connect(&context, &stock(TLS13, Some(&good))).await.unwrap();
    });
}

#[test]
fn a_list_is_taken_from_a_trusted_authority_only_and_never_an_older_one() {
    let (ca, other) = (Ca::new("Manufacturing"), Ca::new("Other"));
    let namesake = Ca::new("Manufacturing");
    let rows = [row(Purpose::CapfTrust, &ca.pem), row(Purpose::TrunkTrust, &other.pem)];
    let pem = |crl: &keyline_actors::catalog::Crl| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&crl.der);
        format!("-----BEGIN X509 CRL-----\n{text}\n-----END X509 CRL-----\n")
    };
    let now = keyline_actors::clock::now();
    let take = |crl: &keyline_actors::catalog::Crl, present: &[keyline_actors::catalog::Crl]| {
        accept(&pem(crl), &rows, present, now).map(|(change, _)| change).map_err(|e| e.code())
    };
    let first = ca.revoke(&[], -60, DAY);
    assert!(take(&first, &[]).unwrap().before.is_none());
    assert!(take(&ca.revoke(&[], -30, DAY), std::slice::from_ref(&first)).unwrap().before.is_some());
    for (list, code) in [
        // Of another purpose, of another key under the same name, of the past.
        (other.revoke(&[], -60, DAY), "crl_not_signed"),
        (namesake.revoke(&[], -60, DAY), "crl_not_signed"),
        (ca.revoke(&[], -DAY, -60), "crl_expired"),
        (ca.revoke(&[], -120, DAY), "crl_older"),
    ] {
        assert_eq!(take(&list, std::slice::from_ref(&first)).map(drop), Err(code));
    }
    assert_eq!(accept(&rows[0].pem, &rows, &[], now).map(drop), Err(CrlError::Unreadable));
}
