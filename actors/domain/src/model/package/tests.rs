use super::*;

fn manifest(types: &str) -> String {
    format!(r#"{{"name":"Acme phones","version":"1.2","types":[{types}]}}"#)
}

fn judged(text: &str) -> Result<Package, PackageError> {
    judge(text.as_bytes(), Signature::Good("ab".into()))
}

fn code(types: &str) -> &'static str {
    judged(&manifest(types)).map_or_else(|e| e.code(), |_| "ok")
}

#[test]
fn r066_the_signature_is_judged_before_anything_else() {
    for (signature, expected) in [
        (Signature::Wrong, "package_signature"),
        (Signature::Unknown, "package_signer_unknown"),
        (Signature::Expired("it ended".to_owned()), "package_signer_expired"),
    ] {
        for text in [manifest(r#"{"name":"Acme 1"}"#), "rubbish".to_owned()] {
            assert_eq!(judge(text.as_bytes(), signature.clone()).unwrap_err().code(), expected);
        }
    }
    assert_eq!(&*judged(&manifest(r#"{"name":"Acme 1"}"#)).unwrap().signer, "ab");
}

#[test]
fn r066_versions_are_compared_number_by_number() {
    let version = |t| Version::parse(t).unwrap();
    for (older, newer) in [("1", "1.0.1"), ("1.9", "1.10"), ("1.2.3", "2"), ("0.0.0.1", "0.0.0.2")] {
        assert!(version(older) < version(newer), "{older} {newer}");
    }
    assert_eq!(version("1.0"), version("1"));
    for (text, shown) in
        [("1", "1.0"), ("1.0.0.0", "1.0"), ("2.10", "2.10"), ("0", "0.0"), ("1.0.3", "1.0.3")]
    {
        assert_eq!(version(text).to_string(), shown);
    }
    for wrong in ["", "1.", ".1", "a", "1.2.3.4.5", "-1", "+1", "4294967296", "1 "] {
        assert_eq!(Version::parse(wrong), None, "{wrong:?}");
    }
}

#[test]
fn r067_r069_r070_security_comes_from_the_two_fields() {
    for (encryption, authentication) in [(false, false), (true, false), (false, true), (true, true)] {
        let secure = encryption || authentication;
        let certificate = if secure { r#","tls_certificate":"per_device""# } else { "" };
        let text = format!(
            r#"{{"name":"Acme 1","security_encryption":{encryption},"security_authentication":{authentication}{certificate}}}"#
        );
        let package = judged(&manifest(&text)).unwrap();
        let has = |c| package.types[0].capabilities.has(c);
        assert_eq!(has(Capability::DeviceSecurityMode), secure, "{text}");
        assert_eq!(has(Capability::Tls), secure);
        assert_eq!(has(Capability::SecurityEncryption), encryption);
        assert_eq!(has(Capability::SecurityAuthentication), authentication);
        assert!(has(Capability::Digest), "R069");
        for own in [Capability::Mic, Capability::Capf, Capability::EncryptedConfig] {
            assert!(!has(own), "R054");
        }
    }
}

#[test]
fn r071_the_supplier_says_which_tls_mode() {
    for (types, expected) in [
        (r#"{"name":"Acme 1","security_encryption":true}"#, "package_manifest"),
        (r#"{"name":"Acme 1","security_encryption":true,"tls_certificate":"shared"}"#, "ok"),
        (r#"{"name":"Acme 1","security_encryption":true,"tls_certificate":"per_device"}"#, "ok"),
        (r#"{"name":"Acme 1","security_encryption":true,"tls_certificate":"both"}"#, "package_manifest"),
        (r#"{"name":"Acme 1","tls_certificate":"shared"}"#, "package_manifest"),
    ] {
        assert_eq!(code(types), expected, "{types}");
    }
}

#[test]
fn r054_r066_a_manifest_may_not_say_everything() {
    for (types, expected) in [
        ("", "package_manifest"),
        (r#"{"name":""}"#, "package_manifest"),
        (r#"{"name":"Acme 1"},{"name":"Acme 1"}"#, "package_manifest"),
        (r#"{"name":"Cisco 8845"}"#, "package_type_taken"),
        (r#"{"name":"Acme 1","capabilities":["mic"]}"#, "package_manifest"),
        (r#"{"name":"Acme 1","capabilities":["device_security_mode"]}"#, "package_manifest"),
        (r#"{"name":"Acme 1","capabilities":["secure_tone"]}"#, "ok"),
        (r#"{"name":"Acme 1","trusted":true}"#, "package_manifest"),
        (r#"{"name":"Acme 1","vendor_class":"own"}"#, "package_manifest"),
        (r#"{"name":"Acme 1","features":{"pc_port":false}}"#, "ok"),
        (r#"{"name":"Acme 1","features":{"flight":true}}"#, "package_manifest"),
    ] {
        assert_eq!(code(types), expected, "{types}");
    }
    let many: Vec<_> = (0..=TYPES_MAX).map(|n| format!(r#"{{"name":"Acme {n}"}}"#)).collect();
    assert_eq!(code(&many.join(",")), "package_manifest");
    assert_eq!(code(&many[..TYPES_MAX].join(",")), "ok");
}

#[test]
fn a_file_opens_to_what_was_sealed_and_nothing_else_opens() {
    let payload = manifest(r#"{"name":"Acme 1"}"#).into_bytes();
    let file = seal(&payload, &[("k1", vec![1, 2]), ("k2", vec![3])]);
    let opened = open(file.as_bytes()).unwrap();
    assert_eq!(opened.payload, payload);
    assert_eq!(opened.signatures, [("k1".into(), vec![1, 2]), ("k2".into(), vec![3])]);
    for wrong in [
        "".to_owned(),
        "[]".to_owned(),
        file.replace("version=1", "version=2"),
        file.replace("\"sig\":\"", "\"sig\":\"*"),
        seal(&payload, &[]),
        seal(&payload, &vec![("k", vec![1]); SIGNATURES_MAX + 1]),
        format!("{file}{}", " ".repeat(PACKAGE_BYTES_MAX)),
    ] {
        assert_eq!(open(wrong.as_bytes()).unwrap_err().code(), "package_unreadable");
    }
}

#[test]
fn the_signed_bytes_are_those_of_the_envelope_s_specification() {
    let bytes = signed_bytes(b"hello");
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text, format!("DSSEv1 {} {PAYLOAD_TYPE} 5 hello", PAYLOAD_TYPE.len()));
    assert_ne!(signed_bytes(b"hello "), signed_bytes(b"hello"));
}
