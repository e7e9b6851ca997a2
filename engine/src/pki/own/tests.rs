//! What is taken in place of an own certificate, and what is not.

use keyline_domain::inventory::Purpose;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

use super::*;

const WHICH: OwnCertificate = OwnCertificate::CallManagerEc;

/// An authority, and the certificate that it has itself.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn named(cn: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, cn);
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

impl Ca {
    fn new(cn: &str, above: Option<&Ca>) -> Self {
        let (mut params, key) = (named(cn), key());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let made = match above {
            Some(ca) => params.signed_by(&key, &ca.issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        Self { pem: made.pem(), issuer: Issuer::new(params, key) }
    }

    fn sign(&self, own: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = named("node-1");
        params.subject_alt_names = vec![SanType::DnsName("keyline.local".try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        params.signed_by(own, &self.issuer).unwrap().pem()
    }
}

struct Place {
    own: Arc<Own>,
    site: Site,
    trusted: Vec<CertificateRow>,
    now: UnixMillis,
}

fn row(purpose: Purpose, pem: &str) -> CertificateRow {
    let facts = inspect::row_facts(pem).ok();
    CertificateRow { tag: Default::default(), purpose, pem: pem.into(), phone: None, subject: None, facts }
}

impl Place {
    fn new(which: OwnCertificate, trusted: &[(Purpose, &Ca)]) -> Self {
        let site = Site { node: "node-1".to_owned(), hosts: vec!["keyline.local".to_owned()] };
        let now = keyline_actors::clock::now();
        let seconds = i64::try_from(now.0 / 1000).unwrap();
        let material = authority::self_signed(which, &site.node, &site.hosts, [3; 16], seconds).unwrap();
        let trusted = trusted.iter().map(|(purpose, ca)| row(*purpose, &ca.pem)).collect();
        Self { own: Arc::new(Own { material, pending: None, ocsp: None }), site, trusted, now }
    }

    fn key(&self) -> KeyPair {
        KeyPair::from_pem(&self.own.material.private_key_pem).unwrap()
    }

    fn ask(&self, which: OwnCertificate, asked: &Asked) -> Result<Decided, OwnError> {
        let small_keys = [("Acme 1".to_owned(), 7)];
        let grounds = Grounds {
            site: &self.site,
            trusted: &self.trusted,
            small_keys: &small_keys,
            now: self.now,
            random: [9; 16],
        };
        decide(which, asked, &self.own, &grounds)
    }

    fn upload(&self, pem: &str) -> Result<Decided, &'static str> {
        self.ask(WHICH, &Asked::Upload(pem.to_owned())).map_err(|error| match error {
            OwnError::Upload(refused) => refused.code(),
            other => panic!("{other}"),
        })
    }
}

fn days(params: &mut CertificateParams, from: i64, until: i64) {
    let at = |d: i64| time::OffsetDateTime::now_utc() + time::Duration::days(d);
    (params.not_before, params.not_after) = (at(from), at(until));
}

#[test]
fn r005_a_chain_up_to_an_uploaded_root_is_taken_in_any_order() {
    let root = Ca::new("Root", None);
    let middle = Ca::new("Middle", Some(&root));
    let place = Place::new(WHICH, &[(Purpose::CallManagerTrust, &root)]);
    let leaf = middle.sign(&place.key(), |_| {});
    let other = Ca::new("Unrelated", None);
    let decided = place.upload(&format!("{leaf}{}{}{}", other.pem, root.pem, middle.pem)).unwrap();
    let change = decided.change.expect("a change");
    // Leaf and intermediate are served, the root is not, nor what does not belong to the chain.
    let served = inspect::pem(&change.after.material.certificate_pem).unwrap();
    let expected = [&leaf, &middle.pem].map(|pem| inspect::pem(pem).unwrap().remove(0));
    assert_eq!(served, expected);
    assert_eq!(change.after.material.private_key_pem, place.own.material.private_key_pem);
    assert_eq!(decided.answer["after"]["issuer"], "CN=Middle");
    assert_eq!(decided.answer["warnings"][0]["code"], "certificates_left_out");
    assert!(Arc::ptr_eq(&change.before, &place.own));
    // What is there already is no change.
    let again = Place { own: Arc::clone(&change.after), ..place };
    assert!(again.upload(&format!("{leaf}{}", middle.pem)).unwrap().change.is_none());
}

#[test]
fn r005_every_fault_of_a_certificate_has_a_code_of_its_own() {
    let root = Ca::new("Root", None);
    let (middle, stranger) = (Ca::new("Middle", Some(&root)), Ca::new("Stranger", None));
    let place = Place::new(WHICH, &[(Purpose::CallManagerTrust, &root), (Purpose::CapfTrust, &stranger)]);
    let own = place.key();
    let of = |ca: &Ca, change: &dyn Fn(&mut CertificateParams)| ca.sign(&own, change);
    let good = of(&root, &|_| {});
    // An authority of the same name that is another one: only its signature tells.
    let forged = of(&Ca::new("Root", None), &|_| {});
    let chain_of = |leaf: String, ca: &Ca| format!("{leaf}{}", ca.pem);
    for (code, pem) in [
        ("certificate_pem", "nothing".to_owned()),
        ("certificate_pem", format!("{good}{}", own.serialize_pem())),
        ("certificate_key_mismatch", root.sign(&key(), |_| {})),
        ("certificate_is_authority", of(&root, &|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("certificate_chain_incomplete", of(&middle, &|_| {})),
        // Trusted, but for something else.
        ("certificate_root_unknown", chain_of(of(&stranger, &|_| {}), &stranger)),
        ("certificate_root_unknown", place.own.material.certificate_pem.clone()),
        ("certificate_chain_broken", forged),
        ("certificate_not_yet_valid", of(&root, &|p| days(p, 2, 9))),
        ("certificate_expired", of(&root, &|p| days(p, -9, -2))),
        (
            "certificate_usage",
            of(&root, &|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
        ),
        ("certificate_usage", of(&root, &|p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment])),
        (
            "certificate_names",
            of(&root, &|p| {
                p.subject_alt_names = vec![SanType::DnsName("other.example".try_into().unwrap())];
            }),
        ),
        ("certificate_names", of(&root, &|p| p.subject_alt_names.clear())),
    ] {
        assert_eq!(place.upload(&pem).map(|_| ()), Err(code));
    }
    assert!(place.upload(&good).is_ok());
}

#[test]
fn r005_what_is_only_unwise_is_told() {
    let root = Ca::new("Root", None);
    let mut place = Place::new(WHICH, &[(Purpose::CallManagerTrust, &root)]);
    place.site.hosts.push("pbx.example.com".to_owned());
    let pem = root.sign(&place.key(), |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let warnings = place.upload(&pem).unwrap().answer["warnings"].clone();
    let codes: Vec<_> = warnings.as_array().unwrap().iter().map(|w| w["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["no_client_auth", "hosts_not_named"]);
    assert_eq!(warnings[1]["hosts"], json!(["pbx.example.com"]));
}

#[test]
fn r147_a_larger_key_comes_by_a_request_and_names_the_models_that_cannot_take_it() {
    let root = Ca::new("Root", None);
    let which = OwnCertificate::CallManager;
    let place = Place::new(which, &[(Purpose::CallManagerTrust, &root)]);
    let asked = |bits| Asked::Request(Request { new_key: true, rsa_bits: Some(bits) });
    assert!(matches!(place.ask(which, &asked(1024)), Err(OwnError::Bits(1024))));
    let decided = place.ask(which, &asked(3072)).unwrap();
    let change = decided.change.expect("the key is kept");
    assert!(decided.answer["csr"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    // Until its certificate comes everything stays.
    assert_eq!(change.after.material.certificate_pem, place.own.material.certificate_pem);
    let waiting = Place { own: Arc::clone(&change.after), ..place };
    let new = KeyPair::from_pem(change.after.pending.as_ref().unwrap()).unwrap();
    let decided = waiting.ask(which, &Asked::Upload(root.sign(&new, |_| {}))).unwrap();
    assert_eq!(decided.answer["after"]["rsa_bits"], 3072);
    let warning = &decided.answer["warnings"][0];
    assert_eq!((&warning["code"], &warning["model"]), (&json!("small_server_key_only"), &json!("Acme 1")));
    let after = decided.change.unwrap().after;
    assert!(after.pending.is_none());
    assert_eq!(&after.material.private_key_pem, change.after.pending.as_ref().unwrap());
    // A certificate for the key in force leaves the one that waits.
    let decided = waiting.ask(which, &Asked::Upload(root.sign(&waiting.key(), |_| {}))).unwrap();
    assert!(decided.change.unwrap().after.pending.is_some());
    assert_eq!(decided.answer["warnings"], json!([]));
}

#[test]
fn a_certificate_is_made_anew_only_for_who_names_the_present_one() {
    let place = Place::new(WHICH, &[]);
    let refused = place.ask(WHICH, &Asked::Regenerate("00".repeat(32))).unwrap_err();
    let OwnError::Confirmation { present, .. } = refused else { panic!("{refused}") };
    let decided = place.ask(WHICH, &Asked::Regenerate(present.clone())).unwrap();
    assert_eq!(decided.answer["before"]["fingerprint"], present);
    let after = decided.change.unwrap().after;
    assert_ne!(after.material.private_key_pem, place.own.material.private_key_pem);
    assert_eq!(view("CallManager-EC", &after, UnixMillis(0))["self_signed"], true);
}
