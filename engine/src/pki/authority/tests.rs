//! First start, later starts, and what a damaged store does.

use std::process::Command;

use keyline_actors::catalog::Inspect;
use keyline_actors::system::{self, Engine, OpenOptions, Opened};
use keyline_domain::inventory::CertificateFacts;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::GeneralName;

use super::*;

struct NoImport;

impl Inspect for NoImport {
    fn inspect(&self, _: &str) -> Result<CertificateFacts, String> {
        Err("nothing is imported here".to_owned())
    }
}

fn hosts() -> Vec<String> {
    ["keyline.local", "pbx.example.com", "127.0.0.1", "::1", "0.0.0.0", "127.0.0.1"]
        .map(str::to_owned)
        .to_vec()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// A store in memory; its node key is in the folder.
fn store() -> (tempfile::TempDir, Opened) {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        node: "node".to_owned(),
        data_dir: dir.path().to_owned(),
        key_file: dir.path().join("node.key"),
        engine: Engine::Memory,
        power_safe: false,
    };
    let opened = system::open(options, &NoImport).unwrap();
    (dir, opened)
}

#[test]
fn r004_first_start_makes_distinct_self_signed_certificates_that_are_no_authorities() {
    let (dir, store) = store();
    let keyring = &store.keyring();
    assert!(certificates(keyring).unwrap().is_empty());
    ensure(keyring, "node-1", &hosts()).unwrap();
    let all = certificates(keyring).unwrap();
    let mut keys = BTreeSet::new();
    for (name, rsa) in [("CallManager", true), ("CallManager-EC", false), ("TFTP", true)] {
        let der = der(&all[name]);
        let (_, cert) = parse_x509_certificate(&der).unwrap();
        assert_eq!(cert.subject(), cert.issuer());
        let file = dir.path().join(name);
        std::fs::write(&file, &all[name]).unwrap();
        let mut verify = Command::new("openssl");
        verify.args(["verify", "-check_ss_sig", "-partial_chain", "-CAfile"]);
        assert!(
            verify.args([&file, &file]).status().expect("the openssl program is there").success(),
            "{name}"
        );
        assert!(!cert.is_ca(), "{name}");
        assert!(cert.validity().is_valid());
        let subject = cert.subject().to_string();
        assert!(subject.contains("CN=node-1") && subject.contains(&format!("OU={name}")), "{subject}");
        let usage = cert.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth);
        assert_eq!(usage.code_signing, name == "TFTP");
        assert!(cert.key_usage().unwrap().unwrap().value.digital_signature());
        assert_eq!(
            cert.public_key().parsed().is_ok_and(|k| matches!(k,
            x509_parser::public_key::PublicKey::RSA(r) if r.key_size() == 2048)),
            rsa
        );
        let sans = &cert.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(
            sans.iter().filter(|n| matches!(n, GeneralName::DNSName(_))).count(),
            2,
            "domain and alias: {sans:?}"
        );
        assert_eq!(sans.iter().filter(|n| matches!(n, GeneralName::IPAddress(_))).count(), 2, "{sans:?}");
        assert!(cert.raw_serial().len() <= 20 && cert.raw_serial()[0] & 0x80 == 0);
        keys.insert(cert.public_key().raw.to_vec());
    }
    assert_eq!((all.len(), keys.len()), (3, 3));
}

#[test]
fn r007_what_exists_is_not_made_again() {
    let (_dir, store) = store();
    let keyring = &store.keyring();
    ensure(keyring, "node-1", &hosts()).unwrap();
    let first = identity(&keyring.own().unwrap(), UnixMillis(0)).unwrap();
    let before = certificates(keyring).unwrap();
    ensure(keyring, "renamed", &["other.example.com".to_owned()]).unwrap();
    let second = identity(&keyring.own().unwrap(), UnixMillis(0)).unwrap();
    assert_eq!(certificates(keyring).unwrap(), before);
    for (a, b, name) in [(&first.rsa, &second.rsa, "CallManager"), (&first.ec, &second.ec, "CallManager-EC")]
    {
        let (a, b) = (a.as_ref().unwrap(), b.as_ref().unwrap());
        assert_eq!(a.cert, b.cert);
        assert_eq!(a.cert[0], der(&before[name]));
    }
}

#[test]
fn r005_a_key_of_another_certificate_is_refused_and_nothing_is_replaced() {
    let (_dir, store) = store();
    let keyring = &store.keyring();
    ensure(keyring, "node-1", &hosts()).unwrap();
    let mut mixed = keyring.material("CallManager").unwrap().unwrap();
    let other = self_signed(OwnCertificate::CallManager, "node-1", &[], [1; 16], 1_700_000_000).unwrap();
    mixed.private_key_pem = other.private_key_pem;
    for broken in [mixed, Material { certificate_pem: String::new(), private_key_pem: String::new().into() }]
    {
        keyring.put_material("CallManager", &broken).unwrap();
        let error = ensure(keyring, "node-1", &hosts()).unwrap_err();
        assert!(matches!(error, AuthorityError::Damaged { name: "CallManager", .. }), "{error}");
        assert_eq!(keyring.certificate("CallManager").unwrap(), Some(broken.certificate_pem));
    }
}

#[test]
fn a_host_that_cannot_be_a_name_is_named() {
    let hosts = ["bücher.example".to_owned()];
    let error = self_signed(OwnCertificate::CallManagerEc, "n", &hosts, [0; 16], 0).err().unwrap();
    assert!(error.to_string().contains("bücher.example"), "{error}");
}

#[test]
fn a_certificate_is_dated_back_and_its_serial_is_positive() {
    let long = "n".repeat(80);
    let made = self_signed(OwnCertificate::CallManagerEc, &long, &[], [0xff; 16], 1_700_000_000).unwrap();
    let der = der(&made.certificate_pem);
    let (_, cert) = parse_x509_certificate(&der).unwrap();
    assert_eq!(cert.validity().not_before.timestamp(), 1_700_000_000 - 3600);
    assert_eq!(cert.validity().not_after.timestamp(), 1_700_000_000 + 5 * 365 * 86_400);
    assert_eq!(cert.raw_serial()[0], 0x7f);
    let cn = cert.subject().iter_common_name().next().unwrap().as_str().unwrap();
    assert_eq!(cn.len(), 64);
}
