//! Certificates made for the purpose, and garbage.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, DnValue, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize, SanType,
};

use super::*;

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn params(names: &[(DnType, &str)]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in names {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params
}

#[test]
fn everything_that_is_judged_is_read() {
    let mut params = params(&[
        (DnType::CountryName, "US"),
        (DnType::OrganizationName, "Acme, Inc."),
        (DnType::CommonName, "CP-8845-SEP00AABBCCDD01"),
    ]);
    params.not_before = time::OffsetDateTime::from_unix_timestamp(1_600_000_000).unwrap();
    params.not_after = time::OffsetDateTime::from_unix_timestamp(1_900_000_000).unwrap();
    params.subject_alt_names = vec![
        SanType::DnsName("phone.example.com".try_into().unwrap()),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::DnsName("Other.example.com".try_into().unwrap()),
    ];
    let made = params.self_signed(&key()).unwrap();
    let facts = facts(made.der()).unwrap();
    assert_eq!(facts.subject, "CN=CP-8845-SEP00AABBCCDD01,O=Acme\\, Inc.,C=US");
    assert_eq!(facts.issuer, facts.subject);
    assert_eq!(facts.subject_cn.as_deref(), Some("CP-8845-SEP00AABBCCDD01"));
    assert_eq!(facts.san_dns, ["phone.example.com", "Other.example.com"]);
    assert!(facts.san_other && !facts.is_ca);
    assert_eq!(facts.not_before, UnixMillis(1_600_000_000_000));
    assert_eq!(facts.not_after, UnixMillis(1_900_000_000_000));
    assert_eq!(facts.key, CertificateKey::Ec(256));

    let row = row_facts(&made.pem()).unwrap();
    assert_eq!(&*row.fingerprint, fingerprint(made.der()));
    assert_eq!(row.fingerprint.len(), 64);
    assert_eq!(&*row.subject, facts.subject);
    assert_eq!((row.dns_names.len(), row.other_names), (2, true));
}

#[test]
fn keys_and_authorities_are_told_apart() {
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let mut authority = params(&[]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let read = facts(authority.self_signed(&p384).unwrap().der()).unwrap();
    assert_eq!((read.key, read.is_ca), (CertificateKey::Ec(384), true));
    assert_eq!((read.subject.as_str(), read.subject_cn), ("", None));
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let read = facts(params(&[]).self_signed(&rsa).unwrap().der()).unwrap();
    assert_eq!((read.key, read.is_ca), (CertificateKey::Rsa(2048), false));
}

#[test]
fn names_in_other_alphabets_and_types_are_text_or_hex() {
    let mut params = params(&[(DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 9, 21]), "x")]);
    let bmp = DnValue::BmpString("Büro".try_into().unwrap());
    params.distinguished_name.push(DnType::CommonName, bmp);
    let facts = facts(params.self_signed(&key()).unwrap().der()).unwrap();
    assert_eq!(facts.subject_cn.as_deref(), Some("Büro"));
    assert_eq!(facts.subject, "CN=Büro,1.3.6.1.4.1.9.21=#0c0178");
}

#[test]
fn what_is_no_certificate_is_named() {
    let pem_of = |pair: &KeyPair| pair.serialize_pem();
    let good = params(&[]).self_signed(&key()).unwrap().pem();
    assert_eq!(pem(""), Err(InspectError::None));
    assert_eq!(pem(&"x".repeat(PEM_MAX + 1)), Err(InspectError::TextTooLong(PEM_MAX + 1)));
    assert_eq!(pem(&format!("{good}{}", pem_of(&key()))), Err(InspectError::PrivateKey));
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(pem(&format!("{good}{encrypted}")), Err(InspectError::PrivateKey));
    assert_eq!(pem(&good.replace("-----END", "-----OOPS")), Err(InspectError::Pem));
    assert_eq!(pem(&good.repeat(CERTIFICATES_MAX + 1)), Err(InspectError::TooMany));
    assert_eq!(pem(&good.repeat(2)).unwrap().len(), 2);
    assert!(pem(&format!("Subject: me\r\n\r\n{}", good.replace('\n', "\r\n"))).is_ok());
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    // The second of two is damaged: the row is refused, not half of it taken.
    let error = row_facts(&format!("{good}{empty}")).unwrap_err();
    assert_eq!(error.code(), "certificate_unreadable");
}

#[test]
fn a_certificate_with_bytes_behind_it_or_a_name_twice_is_refused() {
    let mut params = params(&[(DnType::CommonName, "a")]);
    params.subject_alt_names = vec![SanType::DnsName("a".try_into().unwrap())];
    let mut longer = params.self_signed(&key()).unwrap().der().to_vec();
    longer.push(0);
    assert!(facts(&longer).is_err());
    // subjectAltName once more: SEQUENCE { dNSName "b" }.
    let again = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0x03, 0x82, 0x01, b'b']);
    params.custom_extensions = vec![again];
    assert!(facts(params.self_signed(&key()).unwrap().der()).is_err());
}

#[test]
fn sizes_are_bounded() {
    let mut many = params(&[]);
    many.subject_alt_names =
        (0..=NAMES_MAX).map(|n| SanType::DnsName(format!("n{n}").try_into().unwrap())).collect();
    assert_eq!(facts(many.self_signed(&key()).unwrap().der()), Err(InspectError::TooManyNames));
    let long = params(&[(DnType::CommonName, &"x".repeat(SUBJECT_MAX))]);
    assert_eq!(facts(long.self_signed(&key()).unwrap().der()), Err(InspectError::NameTooLong("subject")));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600), text in "\\PC{0,400}") {
        let _ = facts(&bytes);
        let _ = row_facts(&text);
        let armoured = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        let _ = row_facts(&armoured);
    }

    #[test]
    fn a_damaged_certificate_never_panics(places in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
                                         cut in any::<usize>()) {
        use std::sync::OnceLock;
        static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
        let good = GOOD.get_or_init(|| {
            let mut params = params(&[(DnType::CommonName, "SEP00AABBCCDD01")]);
            params.subject_alt_names = vec![SanType::DnsName("a".try_into().unwrap())];
            params.self_signed(&key()).unwrap().der().to_vec()
        });
        let mut bytes = good.clone();
        for (place, value) in places {
            let at = place % bytes.len();
            bytes[at] = value;
        }
        let _ = facts(&bytes);
        bytes.truncate(cut % bytes.len());
        prop_assert!(facts(&bytes).is_err());
    }
}
