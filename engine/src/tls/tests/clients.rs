//! Client certificates: whom they make a phone, and what refuses them.

use keyline_domain::cipher::TlsCiphers;
use keyline_domain::identity::ChainedTo;
use keyline_domain::inventory::Purpose;

use super::support::{Ca, Holder, PATIENT, Source, TLS12, TLS13, connect, context, own, row, runtime, stock};
use crate::tls::refused::Refusal;
use crate::tls::verify::fingerprint;

const MENU: TlsCiphers = TlsCiphers::AllRsaPreferred;

/// What a phone with this certificate is, the same in both versions, fresh and known.
fn judged(
    rows: &[keyline_domain::inventory::CertificateRow],
    holder: Option<&Holder>,
) -> Result<Option<ChainedTo>, Refusal> {
    runtime().block_on(async {
        let context = context(&Source::new(MENU, rows), PATIENT);
        let mut all = Vec::new();
        for versions in [TLS12, TLS13, TLS12, TLS13] {
            all.push(match connect(&context, &stock(versions, holder)).await {
                Ok(mut connected) => {
                    connected.talk().await;
                    let proven = connected.facts.certificate.map(|c| {
                        assert_eq!(c.facts.sha256, fingerprint(&holder.unwrap().chain[0]));
                        c.chain
                    });
                    Ok(proven)
                }
                Err(refused) => {
                    assert!(!refused.to_string().is_empty());
                    Err(refused.why)
                }
            });
        }
        assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        all[0]
    })
}

#[test]
fn r052_a_certificate_of_a_trusted_authority_is_believed() {
    let ca = Ca::new("Manufacturing");
    let phone = ca.phone("CP-8845-SEP00AABBCCDD01");
    let trusted = [row(Purpose::CallManagerTrust, &ca.pem)];
    assert_eq!(judged(&trusted, Some(&phone)), Ok(Some(ChainedTo::CallManagerTrust)));
    assert_eq!(judged(&trusted, None), Ok(None));
    // Nothing is trusted: no certificate is asked for, so none is believed.
    assert_eq!(judged(&[], Some(&phone)), Ok(None));
}

#[test]
fn r052_a_chain_with_an_intermediate_is_believed_and_without_it_is_not() {
    let root = Ca::new("Root");
    let middle = root.below("Manufacturing");
    let mut phone = middle.phone("SEP00AABBCCDD01");
    let trusted = [row(Purpose::CallManagerTrust, &root.pem)];
    assert_eq!(judged(&trusted, Some(&phone)), Err(Refusal::ClientCertificateUntrusted));
    phone.chain.push(middle.der.clone());
    assert_eq!(judged(&trusted, Some(&phone)), Ok(Some(ChainedTo::CallManagerTrust)));
}

#[test]
fn r082_issuers_in_capf_trust_count_for_phones() {
    let (mic, capf) = (Ca::new("Manufacturing"), Ca::new("CAPF of another cluster"));
    let trusted = [row(Purpose::CallManagerTrust, &mic.pem), row(Purpose::CapfTrust, &capf.pem)];
    assert_eq!(judged(&trusted, Some(&capf.phone("SEP00AABBCCDD01"))), Ok(Some(ChainedTo::CapfTrust)));
    assert_eq!(judged(&trusted, Some(&mic.phone("SEP00AABBCCDD01"))), Ok(Some(ChainedTo::CallManagerTrust)));
    assert_eq!(
        judged(&trusted[..1], Some(&capf.phone("SEP00AABBCCDD01"))),
        Err(Refusal::ClientCertificateUntrusted)
    );
}

#[test]
fn stores_of_other_purposes_do_not_count() {
    let ca = Ca::new("Somebody");
    for purpose in [Purpose::PhoneSastTrust, Purpose::TrunkTrust] {
        let trusted = [row(purpose, &ca.pem), row(Purpose::CallManagerTrust, &Ca::new("Other").pem)];
        assert_eq!(
            judged(&trusted, Some(&ca.phone("SEP00AABBCCDD01"))),
            Err(Refusal::ClientCertificateUntrusted)
        );
    }
}

#[test]
fn a_certificate_out_of_its_time_ends_the_handshake() {
    let ca = Ca::new("Manufacturing");
    let trusted = [row(Purpose::CallManagerTrust, &ca.pem)];
    let (old, early) = (ca.issue("SEP00AABBCCDD01", -7200, -3600), ca.issue("SEP00AABBCCDD01", 3600, 7200));
    for phone in [&old, &early] {
        assert_eq!(judged(&trusted, Some(phone)), Err(Refusal::ClientCertificateExpired));
        let uploaded = [row(Purpose::VendorTrust, &phone.pem)];
        assert_eq!(judged(&uploaded, Some(phone)), Err(Refusal::ClientCertificateExpired));
    }
}

#[test]
fn r055_r072_an_uploaded_certificate_is_believed_without_an_authority() {
    for is_ca in [false, true] {
        let (phone, other) = (own("vendor phone", is_ca), own("vendor phone", is_ca));
        let trusted = [row(Purpose::VendorTrust, &phone.pem)];
        assert_eq!(judged(&trusted, Some(&phone)), Ok(Some(ChainedTo::VendorTrust)));
        assert_eq!(judged(&trusted, Some(&other)), Err(Refusal::ClientCertificateUntrusted));
        // Also where the facts of the row are not there yet.
        let mut bare = trusted.clone();
        bare[0].facts = None;
        assert_eq!(judged(&bare, Some(&phone)), Ok(Some(ChainedTo::VendorTrust)));
    }
}

#[test]
fn r055_an_upload_makes_no_authority_of_the_phone() {
    let ca = Ca::new("A phone with an authority's certificate");
    let forged = ca.phone("SEP00AABBCCDD02");
    let trusted = [row(Purpose::VendorTrust, &ca.pem)];
    assert_eq!(judged(&trusted, Some(&forged)), Err(Refusal::ClientCertificateUntrusted));
    // A chain in the upload counts for nothing either: the first certificate is the phone's.
    let phone = own("vendor phone", false);
    let trusted = [row(Purpose::VendorTrust, &format!("{}{}", phone.pem, ca.pem))];
    assert_eq!(judged(&trusted, Some(&phone)), Ok(Some(ChainedTo::VendorTrust)));
    assert_eq!(judged(&trusted, Some(&forged)), Err(Refusal::ClientCertificateUntrusted));
}

#[test]
fn a_certificate_in_call_manager_trust_that_is_no_authority_speaks_for_itself_only() {
    let phone = own("SEP00AABBCCDD01", false);
    // Signed with the phone's key, in the name of the phone's certificate.
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "SEP00AABBCCDD01");
    let issuer = rcgen::Issuer::from_params(&params, &phone.key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut named = rcgen::CertificateParams::default();
    named.distinguished_name.push(rcgen::DnType::CommonName, "SEP00AABBCCDD99");
    let made = named.signed_by(&key, &issuer).unwrap();
    let forged = Holder { chain: vec![made.der().clone()], pem: made.pem(), key };

    let trusted = [row(Purpose::CallManagerTrust, &phone.pem)];
    assert_eq!(judged(&trusted, Some(&phone)), Ok(Some(ChainedTo::CallManagerTrust)));
    assert_eq!(judged(&trusted, Some(&forged)), Err(Refusal::ClientCertificateUntrusted));
}

#[test]
fn a_stolen_certificate_without_its_key_is_refused() {
    let ca = Ca::new("Manufacturing");
    let (phone, thief) = (ca.phone("SEP00AABBCCDD01"), ca.phone("SEP00AABBCCDD02"));
    let trusted = [row(Purpose::CallManagerTrust, &ca.pem)];
    // The good one first, so that its certificate is known already.
    assert_eq!(judged(&trusted, Some(&phone)), Ok(Some(ChainedTo::CallManagerTrust)));
    runtime().block_on(async {
        let context = context(&Source::new(MENU, &trusted), PATIENT);
        connect(&context, &stock(TLS13, Some(&phone))).await.unwrap();
        for versions in [TLS12, TLS13] {
            let config = stock(versions, None);
            let mut config = rustls::ClientConfig::clone(&config);
            let stolen = rustls::sign::CertifiedKey::new(phone.chain.clone(), thief.certified().key.clone());
            config.client_auth_cert_resolver =
                std::sync::Arc::new(rustls::sign::SingleCertAndKey::from(stolen));
            let refused = connect(&context, &std::sync::Arc::new(config)).await.err().unwrap();
            assert_eq!(refused.why, Refusal::ClientCertificateBad);
        }
    });
}
