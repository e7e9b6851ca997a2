//! An OCSP response goes with the server's certificate while it holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use der::asn1::{BitString, OctetString};
use der::{Decode, Encode};
use keyline_actors::clock::now;
use keyline_actors::keyring::{Material, Own};
use keyline_domain::cipher::TlsCiphers;
use rcgen::SigningKey as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspResponse, ResponderId, ResponseData, SingleResponse, Version,
};

use super::support::{PATIENT, Source, TLS13, connect, context, own_certificates, runtime, stock};
use crate::pki::ocsp::{self, OcspError};

/// An authority's response for a certificate that it has issued, until so many seconds from now.
struct Responder {
    key: rcgen::KeyPair,
    issuer: CertificateDer<'static>,
    leaf: Material,
}

impl Responder {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Issuer");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::CertifiedIssuer::self_signed(params, &key).unwrap();
        let own = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["keyline.local".to_owned()]).unwrap();
        params.serial_number = Some(rcgen::SerialNumber::from(0x1_0000_u64));
        let leaf = params.signed_by(&own, &issuer).unwrap();
        let leaf = Material { certificate_pem: leaf.pem(), private_key_pem: own.serialize_pem().into() };
        let issuer = issuer.der().clone();
        Self { key, issuer, leaf }
    }

    fn says(&self, serial: &[u8], from: i64, until: i64) -> Vec<u8> {
        let (_, issuer) = x509_parser::parse_x509_certificate(&self.issuer).unwrap();
        let hash = |bytes: &[u8]| {
            OctetString::new(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()).unwrap()
        };
        let at = |seconds: i64| {
            let unix = i64::try_from(now().0 / 1000).unwrap() + seconds;
            let unix = Duration::from_secs(u64::try_from(unix).unwrap());
            x509_ocsp::OcspGeneralizedTime(der::asn1::GeneralizedTime::from_unix_duration(unix).unwrap())
        };
        // AlgorithmIdentifiers in DER: SHA-1 with NULL, ecdsa-with-SHA256.
        let sha1 = [0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0];
        let ecdsa = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let one = SingleResponse {
            cert_id: CertId {
                hash_algorithm: Decode::from_der(&sha1).unwrap(),
                issuer_name_hash: hash(issuer.subject().as_raw()),
                issuer_key_hash: hash(&issuer.public_key().subject_public_key.data),
                serial_number: Decode::from_der(&[&[2, serial.len() as u8], serial].concat()).unwrap(),
            },
            cert_status: CertStatus::good(),
            this_update: at(from),
            next_update: Some(at(until)),
            single_extensions: None,
        };
        let data = ResponseData {
            version: Version::V1,
            responder_id: ResponderId::ByKey(hash(&issuer.public_key().subject_public_key.data)),
            produced_at: at(from),
            responses: vec![one],
            response_extensions: None,
        };
        let signature = self.key.sign(&data.to_der().unwrap()).unwrap();
        let basic = BasicOcspResponse {
            tbs_response_data: data,
            signature_algorithm: Decode::from_der(&ecdsa).unwrap(),
            signature: BitString::from_bytes(&signature).unwrap(),
            certs: None,
        };
        OcspResponse::successful(basic).unwrap().to_der().unwrap()
    }

    fn judge(&self, response: &[u8]) -> Result<(), &'static str> {
        let leaf = CertificateDer::from_pem_slice(self.leaf.certificate_pem.as_bytes()).unwrap();
        let judged = ocsp::judge(response, &[leaf], std::slice::from_ref(&self.issuer), now());
        judged.map(drop).map_err(|error: OcspError| error.code())
    }
}

/// The serial number of [`Responder`]'s leaf.
const SERIAL: &[u8] = &[1, 0, 0];

#[test]
fn a_response_is_judged_by_its_certificate_its_signer_and_its_time() {
    let responder = Responder::new();
    let good = responder.says(SERIAL, -60, 60);
    assert_eq!(responder.judge(&good), Ok(()));
    for (from, until, code) in
        [(-120, -60, "ocsp_expired"), (3600, 7200, "ocsp_not_yet_valid"), (-60, 0, "ocsp_expired")]
    {
        assert_eq!(responder.judge(&responder.says(SERIAL, from, until)), Err(code));
    }
    assert_eq!(responder.judge(&responder.says(&[2], -60, 60)), Err("ocsp_of_other_certificate"));
    assert_eq!(responder.judge(&Responder::new().says(SERIAL, -60, 60)), Err("ocsp_of_other_certificate"));
    assert_eq!(responder.judge(&vec![0; ocsp::OCSP_MAX + 1]), Err("ocsp_too_long"));
    assert_eq!(responder.judge(&[0x30, 3, 0x0a, 1, 3]), Err("ocsp_not_successful"));
    // What it says, and the signature below it.
    for place in [good.len() / 2, good.len() - 1] {
        let mut other = good.clone();
        other[place] ^= 1;
        assert!(responder.judge(&other).is_err(), "byte {place}");
    }
}

#[test]
fn a_response_that_is_over_is_left_out_of_handshakes() {
    let responder = Responder::new();
    let source = Source::new(TlsCiphers::AllEcdsaPreferred, &[]);
    let mut own = own_certificates().clone();
    let staple = |until| {
        let ocsp = Some(responder.says(SERIAL, -60, until).into());
        Arc::new(Own { material: responder.leaf.clone(), pending: None, ocsp })
    };
    own.insert("CallManager-EC".into(), staple(3));
    source.own(own.clone());
    let context = context(&source, PATIENT);
    let carries = || context.identity().ec.unwrap().ocsp.is_some();
    assert!(carries());
    runtime().block_on(async {
        connect(&context, &stock(TLS13, None)).await.unwrap();
        let began = Instant::now();
        while carries() {
            assert!(began.elapsed() < Duration::from_secs(20));
            tokio::task::yield_now().await;
        }
        connect(&context, &stock(TLS13, None)).await.unwrap();
    });
    own.insert("CallManager-EC".into(), staple(3600));
    source.own(own);
    assert!(carries(), "the next one is taken at once");
}
