//! Whose signature a device package bears (R066). What it may say is judged by `keyline_domain::model`.

use keyline_domain::ids::UnixMillis;
use keyline_domain::inventory::{CertificateRow, Purpose};
use keyline_domain::model::{OpenedPackage, Signature, signed_bytes};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::SignatureVerificationAlgorithm;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::inspect;

/// DER of the algorithm identifiers of the keys that may sign, without their outer tag: Ed25519 (RFC 8410), and
/// ECDSA on P-256 and P-384 (RFC 5480).
const KEYS: [&[u8]; 3] = [
    &[0x06, 0x03, 0x2b, 0x65, 0x70],
    &[
        0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
        0x01, 0x07,
    ],
    &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
];

/// Looks for a signature of one of the certificates with purpose package-trust. A key id, if there is one,
/// must be the certificate's fingerprint; without one every trusted certificate is tried.
pub fn verify<'a>(
    package: &OpenedPackage,
    rows: impl Iterator<Item = &'a CertificateRow>,
    now: UnixMillis,
) -> Signature {
    let message = signed_bytes(&package.payload);
    let trusted: Vec<_> = rows
        .filter(|row| row.purpose == Purpose::PackageTrust)
        .filter_map(|row| Some((row.facts.as_ref()?, row)))
        .collect();
    let mut named = false;
    for (keyid, signature) in &package.signatures {
        for (facts, row) in &trusted {
            if !keyid.is_empty() && !keyid.eq_ignore_ascii_case(&facts.fingerprint) {
                continue;
            }
            named |= !keyid.is_empty();
            if !signed_by(&row.pem, &message, signature) {
                continue;
            }
            if now < facts.not_before || now > facts.not_after {
                return Signature::Expired(facts.subject.to_string());
            }
            return Signature::Good(facts.fingerprint.clone());
        }
    }
    if named { Signature::Wrong } else { Signature::Unknown }
}

fn signed_by(pem: &str, message: &[u8], signature: &[u8]) -> bool {
    let Ok(certificates) = inspect::pem(pem) else { return false };
    let Some(der) = certificates.first() else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    let key = certificate.public_key();
    let Some(kind) = KEYS.into_iter().find(|kind| *kind == identifier(&certificate)) else { return false };
    let point = &*key.subject_public_key.data;
    let fits =
        |algorithm: &&&dyn SignatureVerificationAlgorithm| algorithm.public_key_alg_id().as_ref() == kind;
    let algorithms = default_provider().signature_verification_algorithms.all;
    algorithms.iter().filter(fits).any(|a| a.verify_signature(point, message, signature).is_ok())
}

/// The algorithm identifier of a certificate's key, as in [`KEYS`].
fn identifier(certificate: &X509Certificate<'_>) -> Vec<u8> {
    let algorithm = &certificate.public_key().algorithm;
    let object = |oid: &[u8]| {
        let mut out = vec![0x06, u8::try_from(oid.len()).unwrap_or(0)];
        out.extend_from_slice(oid);
        out
    };
    let mut out = object(algorithm.algorithm.as_bytes());
    if let Some(curve) = algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok()) {
        out.extend(object(curve.as_bytes()));
    }
    out
}

#[cfg(test)]
mod tests {
    use keyline_domain::model::{open_package, seal_package};
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SigningKey,
    };

    use super::*;

    fn signer(algorithm: &'static rcgen::SignatureAlgorithm) -> (KeyPair, CertificateRow) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(vec!["acme".to_owned()]).unwrap().self_signed(&key).unwrap();
        let pem = certificate.pem();
        let facts = inspect::row_facts(&pem).ok();
        let (purpose, pem) = (Purpose::PackageTrust, pem.into());
        (key, CertificateRow { tag: Default::default(), purpose, pem, phone: None, subject: None, facts })
    }

    fn fingerprint(row: &CertificateRow) -> Box<str> {
        row.facts.as_ref().unwrap().fingerprint.clone()
    }

    fn package(payload: &[u8], keyid: &str, key: &KeyPair) -> OpenedPackage {
        let signature = key.sign(&signed_bytes(payload)).unwrap();
        open_package(seal_package(payload, &[(keyid, signature)]).as_bytes()).unwrap()
    }

    fn now(row: &CertificateRow) -> UnixMillis {
        UnixMillis(row.facts.as_ref().unwrap().not_before.0 + 1)
    }

    #[test]
    fn r066_only_a_trusted_signer_s_own_signature_counts() {
        for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
            let (key, row) = signer(algorithm);
            let (other_key, other) = signer(algorithm);
            let own = fingerprint(&row);
            for keyid in ["", &own] {
                let good = package(b"{}", keyid, &key);
                assert_eq!(
                    verify(&good, [&other, &row].into_iter(), now(&row)),
                    Signature::Good(own.clone())
                );
                let mut changed = good.clone();
                changed.payload = b"{ }".to_vec();
                let expected = if keyid.is_empty() { Signature::Unknown } else { Signature::Wrong };
                assert_eq!(verify(&changed, [&row].into_iter(), now(&row)), expected);
                assert_eq!(verify(&good, [&other].into_iter(), now(&row)), Signature::Unknown);
                assert_eq!(verify(&good, [].into_iter(), now(&row)), Signature::Unknown);
            }
            // Another trusted vendor's key under this one's name.
            let forged = package(b"{}", &own, &other_key);
            assert_eq!(verify(&forged, [&row, &other].into_iter(), now(&row)), Signature::Wrong);
        }
    }

    #[test]
    fn r066_a_certificate_of_another_purpose_or_time_signs_nothing() {
        let (key, row) = signer(&PKCS_ED25519);
        let good = package(b"{}", "", &key);
        let vendor = CertificateRow { purpose: Purpose::VendorTrust, ..row.clone() };
        assert_eq!(verify(&good, [&vendor].into_iter(), now(&row)), Signature::Unknown);
        let facts = row.facts.clone().unwrap();
        for at in [UnixMillis(facts.not_before.0 - 1), UnixMillis(facts.not_after.0 + 1)] {
            assert!(matches!(verify(&good, [&row].into_iter(), at), Signature::Expired(_)));
        }
        let short = OpenedPackage { signatures: vec![("".into(), vec![0; 3])], ..good };
        assert_eq!(verify(&short, [&row].into_iter(), now(&row)), Signature::Unknown);
    }
}
