use super::*;
use crate::model::builtin;

fn own() -> &'static Model {
    builtin("Cisco 8845").unwrap()
}

fn third_party() -> &'static Model {
    builtin("Third-party SIP Device (Basic)").unwrap()
}

fn fields(f: impl FnOnce(&mut ProfileFields)) -> ProfileFields {
    let mut all = ProfileFields::default();
    f(&mut all);
    all
}

fn code(f: &ProfileFields, model: &Model, protocol: Protocol) -> &'static str {
    resolve(f, model, protocol).map_or_else(|e| e.code(), |_| "ok")
}

type Set = fn(&mut ProfileFields);

const MODES: [DeviceSecurityMode; 3] =
    [DeviceSecurityMode::NonSecure, DeviceSecurityMode::Authenticated, DeviceSecurityMode::Encrypted];
const TRANSPORTS: [ProfileTransport; 4] =
    [ProfileTransport::Tcp, ProfileTransport::Udp, ProfileTransport::TcpUdp, ProfileTransport::Tls];

#[test]
fn r098_no_security_means_non_secure() {
    for mode in MODES {
        let f = fields(|f| f.device_security_mode = Some(mode));
        let expected = if mode == DeviceSecurityMode::NonSecure { "ok" } else { "mode_unsupported" };
        assert_eq!(code(&f, third_party(), Protocol::Sip), expected);
    }
}

#[test]
fn r116_fifty_characters_of_any_language() {
    assert_eq!(check_description(&"電".repeat(50)), Ok(()));
    assert_eq!(check_description(&"電".repeat(51)), Err(ProfileError::DescriptionTooLong { length: 51 }));
}

#[test]
fn r117_forbidden_characters() {
    for bad in ['"', '%', '&', '\\', '<', '>'] {
        for text in [bad.to_string(), format!("a{bad}b"), format!("ab{bad}")] {
            assert_eq!(check_description(&text), Err(ProfileError::DescriptionCharacter { bad }));
        }
    }
    assert_eq!(check_description("Kai's 3rd floor: #1 (été) * / ; = ? @ ! $"), Ok(()));
}

#[test]
fn names_have_limits() {
    assert!(check_name("").is_err());
    assert!(check_name(" a").is_err());
    assert!(check_name("a\nb").is_err());
    assert!(check_name(&"é".repeat(NAME_MAX)).is_ok());
    assert!(check_name(&"é".repeat(NAME_MAX + 1)).is_err());
}

#[test]
fn r152_nonce_validity() {
    assert_eq!(resolve(&ProfileFields::default(), own(), Protocol::Sip).unwrap().nonce_validity_s, 600);
    for (value, expected) in
        [(0, "out_of_range"), (1, "ok"), (86_400, "ok"), (86_401, "out_of_range"), (u32::MAX, "out_of_range")]
    {
        assert_eq!(code(&fields(|f| f.nonce_validity_s = Some(value)), own(), Protocol::Sip), expected);
    }
}

#[test]
fn r158_r160_transport_follows_the_mode() {
    for mode in MODES {
        for transport in TRANSPORTS {
            let f = fields(|f| {
                f.device_security_mode = Some(mode);
                f.transport = Some(transport);
            });
            let secure = mode != DeviceSecurityMode::NonSecure;
            let expected =
                if secure == (transport == ProfileTransport::Tls) { "ok" } else { "transport_not_allowed" };
            assert_eq!(code(&f, own(), Protocol::Sip), expected, "{mode:?} {transport:?}");
        }
        let f = fields(|f| f.device_security_mode = Some(mode));
        let chosen = resolve(&f, own(), Protocol::Sip).unwrap().transport;
        assert_eq!(chosen == ProfileTransport::Tls, mode != DeviceSecurityMode::NonSecure);
    }
}

#[test]
fn r161_without_a_mode_the_transport_is_udp() {
    let settings = resolve(&ProfileFields::default(), third_party(), Protocol::Sip).unwrap();
    assert_eq!(settings.transport, ProfileTransport::Udp);
    for transport in TRANSPORTS {
        let f = fields(|f| f.transport = Some(transport));
        let expected = if transport == ProfileTransport::Udp { "ok" } else { "transport_not_allowed" };
        assert_eq!(code(&f, third_party(), Protocol::Sip), expected);
    }
}

#[test]
fn r164_r171_other_makers_have_no_encrypted_file_and_no_capf() {
    let all: [(Set, &str); 5] = [
        (|f| f.tftp_encrypted_config = Some(true), "tftp_encrypted_config"),
        (|f| f.capf_authentication_mode = Some(CapfMode::NullString), "capf_authentication_mode"),
        (|f| f.key_order = Some(KeyOrder::EcOnly), "key_order"),
        (|f| f.rsa_key_size = Some(2048), "rsa_key_size"),
        (|f| f.ec_key_size = Some(256), "ec_key_size"),
    ];
    for (set, name) in all {
        let f = fields(set);
        assert_eq!(code(&f, own(), Protocol::Sip), "ok", "{name}");
        let refused = resolve(&f, third_party(), Protocol::Sip).unwrap_err();
        assert!(matches!(refused, ProfileError::Unsupported { field, .. } if field == name));
    }
}

#[test]
fn r166_r168_oauth_needs_all_four() {
    assert!(!resolve(&ProfileFields::default(), own(), Protocol::Sip).unwrap().oauth_authentication);
    for bits in 0..16_u32 {
        let [tls, encrypted, digest, config] = [bits & 1, bits & 2, bits & 4, bits & 8].map(|b| b != 0);
        let f = fields(|f| {
            f.device_security_mode = Some(match (encrypted, tls) {
                (true, _) => DeviceSecurityMode::Encrypted,
                (false, true) => DeviceSecurityMode::Authenticated,
                (false, false) => DeviceSecurityMode::NonSecure,
            });
            f.transport = Some(if tls { ProfileTransport::Tls } else { ProfileTransport::TcpUdp });
            f.digest_authentication = Some(digest);
            f.tftp_encrypted_config = Some(config);
            f.oauth_authentication = Some(true);
        });
        let good = tls && encrypted && !digest && !config;
        assert_eq!(resolve(&f, own(), Protocol::Sip).is_ok(), good, "{f:?}");
    }
    // The rule itself, with the combinations that the transport rule would catch first.
    for bits in 0..16_u32 {
        let [tls, encrypted, digest, config] = [bits & 1, bits & 2, bits & 4, bits & 8].map(|b| b != 0);
        let mode = if encrypted { DeviceSecurityMode::Encrypted } else { DeviceSecurityMode::NonSecure };
        let transport = if tls { ProfileTransport::Tls } else { ProfileTransport::Tcp };
        let good = tls && encrypted && !digest && !config;
        assert_eq!(check_oauth(mode, transport, digest, config).is_ok(), good);
    }
}

#[test]
fn r169_oauth_is_for_models_that_have_it() {
    let f = fields(|f| {
        f.device_security_mode = Some(DeviceSecurityMode::Encrypted);
        f.oauth_authentication = Some(true);
    });
    let client = builtin("Cisco Unified Client Services Framework").unwrap();
    assert_eq!(code(&f, client, Protocol::Sip), "ok");
    assert_eq!(code(&f, builtin("Cisco 7965").unwrap(), Protocol::Sip), "field_unsupported");
}

#[test]
fn r170_only_phones_with_typed_credentials_may_leave_them_out() {
    let f = fields(|f| f.exclude_digest_credentials = Some(true));
    for (model, protocol, expected) in [
        ("Cisco 7942", Protocol::Sip, "ok"),
        ("Cisco 7962", Protocol::Sip, "ok"),
        ("Cisco 7942", Protocol::Sccp, "field_unsupported"),
        ("Cisco 8845", Protocol::Sip, "field_unsupported"),
    ] {
        assert_eq!(code(&f, builtin(model).unwrap(), protocol), expected, "{model}");
    }
}

#[test]
fn r097_sccp_has_no_sip_fields() {
    let all: [Set; 4] = [
        |f| f.digest_authentication = Some(true),
        |f| f.nonce_validity_s = Some(30),
        |f| f.sip_phone_port = Some(5070),
        |f| f.oauth_authentication = Some(true),
    ];
    let model = builtin("Cisco 7975").unwrap();
    for set in all {
        assert_eq!(code(&fields(set), model, Protocol::Sccp), "field_unsupported");
    }
    assert_eq!(code(&ProfileFields::default(), own(), Protocol::Sccp), "model_protocol");
}

#[test]
fn r146_r149_key_sizes() {
    for size in [511, 512, 1024, 1536, 2048, 3072, 4096, 8192] {
        let expected = if RSA_KEY_SIZES.contains(&size) { "ok" } else { "out_of_range" };
        assert_eq!(code(&fields(|f| f.rsa_key_size = Some(size)), own(), Protocol::Sip), expected);
    }
    for size in [192, 256, 384, 521, 512] {
        let expected = if EC_KEY_SIZES.contains(&size) { "ok" } else { "out_of_range" };
        assert_eq!(code(&fields(|f| f.ec_key_size = Some(size)), own(), Protocol::Sip), expected);
    }
    assert_eq!(code(&fields(|f| f.sip_phone_port = Some(0)), own(), Protocol::Sip), "out_of_range");
}

#[test]
fn r215_what_is_offered_is_accepted_and_nothing_else() {
    for model in crate::model::builtin_models() {
        for protocol in model.protocols.iter() {
            let offered = options(model, protocol);
            for mode in MODES {
                for transport in TRANSPORTS {
                    let f = fields(|f| {
                        f.device_security_mode = Some(mode);
                        f.transport = Some(transport);
                    });
                    let shown =
                        offered.modes.contains(&mode) && offered.transports(mode).contains(&transport);
                    assert_eq!(resolve(&f, model, protocol).is_ok(), shown, "{} {f:?}", model.name);
                }
            }
            let encrypted = fields(|f| f.tftp_encrypted_config = Some(true));
            assert_eq!(resolve(&encrypted, model, protocol).is_ok(), offered.encrypted_config);
            let capf = fields(|f| f.key_order = Some(KeyOrder::RsaOnly));
            assert_eq!(resolve(&capf, model, protocol).is_ok(), offered.capf);
        }
    }
}
