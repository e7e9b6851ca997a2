use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::ids::{DeviceIndex, DeviceName, UnixMillis};

fn facts(cn: Option<&str>, dns: &[&str], other: bool) -> CertificateFacts {
    CertificateFacts {
        sha256: [1; 32],
        subject: cn.map(|c| format!("CN={c}")).unwrap_or_default(),
        subject_cn: cn.map(str::to_owned),
        san_dns: dns.iter().map(|d| (*d).to_owned()).collect(),
        san_other: other,
        issuer: "CN=issuer".to_owned(),
        not_before: UnixMillis(1000),
        not_after: UnixMillis(2000),
        key: CertificateKey::Ec(256),
        is_ca: false,
    }
}

#[test]
fn common_names() {
    let device = DeviceName::parse("SEP00AABBCCDD01").unwrap();
    assert_eq!(CertificateName::parse("sep00aabbccdd01"), CertificateName::Lsc(device.clone()));
    let mic = |model: &str| CertificateName::Mic { model: model.to_owned(), device: device.clone() };
    assert_eq!(CertificateName::parse("CP-8845-SEP00AABBCCDD01"), mic("8845"));
    assert_eq!(CertificateName::parse("CP-7941G-GE-SEP00AABBCCDD01"), mic("7941G-GE"));
    for other in [
        "",
        "SEP00AABBCCDD0",
        "SEP00AABBCCDD0G",
        "XSEP00AABBCCDD01",
        "CP-SEP00AABBCCDD01",
        "CP--SEP00AABBCCDD01",
        "XX-8845-SEP00AABBCCDD01",
        "CP-8845SEP00AABBCCDD01",
        "CSFJOHN",
        "CP-ü-SEP00AABBCCDD01",
        "SEP00AABBCCDDü",
    ] {
        assert_eq!(CertificateName::parse(other), CertificateName::Other, "{other}");
    }
    assert_eq!(CertificateName::parse("CP-8845-SEP00AABBCCDD01").device(), Some(&device));
}

#[test]
fn models_of_manufacturer_certificates() {
    for (cn, model) in [
        ("8845", "Cisco 8845"),
        ("7945G", "Cisco 7945"),
        ("7945", "Cisco 7945"),
        ("7941G-GE", "Cisco 7941G-GE"),
        ("7970g", "Cisco 7970"),
    ] {
        assert!(model_fits(cn, model), "{cn} {model}");
    }
    for (cn, model) in [
        ("8845", "Cisco 8865"),
        ("884", "Cisco 8845"),
        ("88455", "Cisco 8845"),
        ("7941G-GE", "Cisco 7941"),
        ("7941", "Cisco 7941G-GE"),
        ("G", ""),
        ("", ""),
        ("-", "Cisco "),
    ] {
        assert!(!model_fits(cn, model), "{cn} {model}");
    }
}

#[test]
fn r074_a_shared_certificate_needs_a_dns_name() {
    assert_eq!(shared_name(&facts(Some("phones"), &[], true), "phones"), Err(SharedNameFault::NoDnsName));
    assert_eq!(shared_name(&facts(None, &["phones"], true), "phones"), Ok(()));
}

#[test]
fn r075_the_profile_bears_exactly_the_dns_name() {
    let f = facts(Some("other"), &["phones.example"], false);
    assert_eq!(shared_name(&f, "phones.example"), Ok(()));
    for name in ["Phones.example", "phones.example.", "phones", "phones.example ", "", "other"] {
        assert_eq!(shared_name(&f, name), Err(SharedNameFault::OtherName), "{name}");
    }
}

#[test]
fn r076_without_alternative_names_the_common_name_counts() {
    assert_eq!(shared_name(&facts(Some("phones"), &[], false), "phones"), Ok(()));
    assert_eq!(shared_name(&facts(Some("phones"), &[], false), "Phones"), Err(SharedNameFault::OtherName));
    assert_eq!(shared_name(&facts(None, &[], false), ""), Err(SharedNameFault::NoName));
}

#[test]
fn dates_are_inclusive() {
    let f = facts(None, &[], false);
    let current: Vec<bool> = [999, 1000, 2000, 2001].iter().map(|t| f.is_current(UnixMillis(*t))).collect();
    assert_eq!(current, [false, true, true, false]);
}

/// Devices by name, their lines, and the digest users by device.
#[derive(Default)]
struct Phones {
    devices: HashMap<String, (u32, Vec<&'static str>, Option<&'static str>)>,
}

impl Phones {
    fn with(mut self, name: &str, index: u32, lines: &[&'static str], user: Option<&'static str>) -> Self {
        self.devices.insert(name.to_owned(), (index, lines.to_vec(), user));
        self
    }
    fn only(
        &self,
        test: impl Fn(&(u32, Vec<&'static str>, Option<&'static str>)) -> bool,
    ) -> Option<DeviceIndex> {
        let mut all = self.devices.values().filter(|d| test(d));
        let first = all.next()?;
        all.next().is_none().then_some(DeviceIndex(first.0))
    }
}

impl Directory for Phones {
    fn device_named(&self, name: &str) -> Option<DeviceIndex> {
        self.devices.get(&name.to_ascii_uppercase()).map(|d| DeviceIndex(d.0))
    }
    fn device_of_digest_user(&self, user: &str) -> Option<DeviceIndex> {
        self.only(|d| d.2 == Some(user))
    }
    fn only_device_of_line(&self, dn: &str) -> Option<DeviceIndex> {
        self.only(|d| d.1.contains(&dn))
    }
    fn has_line(&self, device: DeviceIndex, dn: &str) -> bool {
        self.devices.values().any(|d| d.0 == device.0 && d.1.contains(&dn))
    }
}

const A: &str = "SEP00AABBCCDD0A";
const B: &str = "SEP00AABBCCDD0B";

fn phones() -> Phones {
    Phones::default().with(A, 1, &["1001", "2000"], Some("anna")).with(B, 2, &["1002", "2000"], Some("bert"))
}

#[test]
fn claims_are_taken_in_order() {
    let full = Claim {
        contact_device: Some("sep00aabbccdd0a"),
        digest_user: Some("bert"),
        line: Some("1002"),
        certificate_cn: Some(B),
        token_device: None,
        bound: Some(DeviceIndex(2)),
    };
    let got = |claim: &Claim<'_>| resolve(claim, &phones()).map(|(d, by)| (d.0, by));
    assert_eq!(got(&full), Some((1, ClaimedBy::ContactDevice)));
    assert_eq!(got(&Claim { contact_device: Some("SEP000000000000"), ..full }), None);
    let user = Claim { contact_device: None, ..full };
    assert_eq!(got(&user), Some((2, ClaimedBy::DigestUser)));
    let line = Claim { digest_user: Some("nobody"), line: Some("1001"), ..user };
    assert_eq!(got(&line), Some((1, ClaimedBy::Line)));
    let shared = Claim { line: Some("2000"), ..line };
    assert_eq!(got(&shared), Some((2, ClaimedBy::Flow)));
    let by_certificate = Claim { bound: Some(DeviceIndex(9)), ..shared };
    assert_eq!(got(&by_certificate), Some((2, ClaimedBy::Certificate)));
    let by_token = Claim { token_device: Some(A), ..by_certificate };
    assert_eq!(got(&by_token), Some((1, ClaimedBy::Token)));
    assert_eq!(got(&Claim { token_device: Some("SEP00AABBCCDD0C"), ..by_token }).map(|g| g.0), Some(2));
    assert_eq!(got(&Claim { certificate_cn: None, ..by_certificate }), None);
    assert_eq!(got(&Claim { line: Some("9999"), ..shared }), None);
    assert_eq!(got(&Claim::default()), None);
}

#[test]
fn r196_a_shared_digest_user_names_no_device() {
    let phones = phones().with("SEP00AABBCCDD0C", 3, &["1003"], Some("anna"));
    let claim = Claim { digest_user: Some("anna"), line: Some("1003"), ..Claim::default() };
    assert_eq!(resolve(&claim, &phones), Some((DeviceIndex(3), ClaimedBy::Line)));
    assert_eq!(resolve(&Claim { line: None, ..claim }, &phones), None);
}

proptest! {
    #[test]
    fn any_common_name_is_read(cn in "\\PC{0,40}", model in "\\PC{0,20}") {
        let name = CertificateName::parse(&cn);
        prop_assert!(name.device().is_none() || cn.to_ascii_uppercase().contains("SEP"));
        let _ = model_fits(&model, &cn);
    }
}
