use proptest::prelude::*;

use super::super::CapfOperation;
use super::*;
use crate::model::{
    Capabilities, Capability, FIRST_IMPORTED_MODEL, Model, ModelId, Protocols, Stated, TlsCertificate, Topic,
    VendorClass, builtin, builtin_models,
};

fn own() -> &'static Model {
    builtin("Cisco 8845").unwrap()
}

/// An own-brand model of an imported row that can do everything, except what is said otherwise.
fn imported(without: &[Capability], stated: Stated) -> Model {
    let all: Vec<_> = Capability::ALL.into_iter().filter(|c| !without.contains(c)).collect();
    Model {
        id: ModelId(FIRST_IMPORTED_MODEL),
        name: "Own 1".into(),
        protocols: Protocols::BOTH,
        vendor_class: VendorClass::Own,
        trusted: true,
        capabilities: Capabilities::of(&all),
        tls_certificate: TlsCertificate::PerDevice,
        stated,
        secure_call_features: (&[]).into(),
    }
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
    let model = imported(&[], Stated::NONE);
    assert!(!resolve(&ProfileFields::default(), &model, Protocol::Sip).unwrap().oauth_authentication);
    for bits in 0..16_u32 {
        let [tls, encrypted, digest, config] = [bits & 1, bits & 2, bits & 4, bits & 8].map(|b| b != 0);
        let f = |oauth| {
            fields(|f| {
                f.device_security_mode = Some(match (encrypted, tls) {
                    (true, _) => DeviceSecurityMode::Encrypted,
                    (false, true) => DeviceSecurityMode::Authenticated,
                    (false, false) => DeviceSecurityMode::NonSecure,
                });
                f.transport = Some(if tls { ProfileTransport::Tls } else { ProfileTransport::TcpUdp });
                f.digest_authentication = Some(digest);
                f.tftp_encrypted_config = Some(config);
                f.oauth_authentication = Some(oauth);
            })
        };
        let good = tls && encrypted && !digest && !config;
        let expected = match good {
            true => "ok",
            // The transport does not go with the mode, whatever OAuth says.
            false if encrypted && !tls => "transport_not_allowed",
            false => "oauth_conditions",
        };
        assert_eq!(code(&f(true), &model, Protocol::Sip), expected, "{:?}", f(true));
        let without = if encrypted && !tls { "transport_not_allowed" } else { "ok" };
        assert_eq!(code(&f(false), &model, Protocol::Sip), without);
    }
}

#[test]
fn r168_every_broken_condition_is_named() {
    let f = fields(|f| {
        f.digest_authentication = Some(true);
        f.tftp_encrypted_config = Some(true);
        f.oauth_authentication = Some(true);
    });
    let text = resolve(&f, &imported(&[], Stated::NONE), Protocol::Sip).unwrap_err().to_string();
    for part in [
        "device_security_mode is non_secure",
        "transport is tcp_udp",
        "digest_authentication is on",
        "tftp_encrypted_config is on",
    ] {
        assert!(text.contains(part), "{part} in {text}");
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
fn r067_the_kinds_of_security_of_a_type_are_its_modes() {
    use Capability::{DeviceSecurityMode as Mode, SecurityAuthentication as A, SecurityEncryption as E};
    for (without, modes) in [
        (&[Mode][..], None),
        (&[][..], Some("non_secure, authenticated, encrypted")),
        (&[A, E][..], Some("non_secure, authenticated, encrypted")),
        (&[A][..], Some("non_secure, encrypted")),
        (&[E][..], Some("non_secure, authenticated")),
    ] {
        let model = imported(without, Stated::NONE);
        let offered = options(&model, Protocol::Sip);
        let shown = offered.field(Field::DeviceSecurityMode).ok().map(|o| o.values.in_words());
        assert_eq!(shown.as_deref(), modes, "{without:?}");
        for mode in MODES {
            let allowed = modes.unwrap_or("non_secure").split(", ").any(|m| m == mode.as_str());
            let expected = if allowed { "ok" } else { "mode_unsupported" };
            let f = fields(|f| f.device_security_mode = Some(mode));
            assert_eq!(code(&f, &model, Protocol::Sip), expected, "{without:?} {mode:?}");
        }
    }
}

#[test]
fn r144_r147_sizes_that_a_model_lacks_are_not_offered() {
    let said = Stated::NONE.with(Topic::Rsa4096, false).with(Topic::Rsa3072, true).with(Topic::EcKeys, false);
    let model = imported(&[], said);
    let offered = options(&model, Protocol::Sccp);
    let Ok(FieldOption { values: Values::Sizes(sizes), .. }) = offered.field(Field::RsaKeySize) else {
        panic!("no sizes")
    };
    let known: Vec<_> = sizes.iter().map(|s| (s.bits, s.supported, s.weak)).collect();
    let unknown = [(512, None, true), (1024, None, true), (2048, None, false)];
    assert_eq!(known[..3], unknown);
    assert_eq!(known[3..], [(3072, Some(true), false)]);
    assert_eq!(code(&fields(|f| f.rsa_key_size = Some(4096)), &model, Protocol::Sccp), "out_of_range");
    assert_eq!(code(&fields(|f| f.rsa_key_size = Some(3072)), &model, Protocol::Sccp), "ok");
    let order = |order| code(&fields(|f| f.key_order = Some(order)), &model, Protocol::Sip);
    assert_eq!(order(KeyOrder::EcOnly), "choice_unsupported");
    assert_eq!(order(KeyOrder::EcPreferredRsaBackup), "ok");
}

#[test]
fn r172_the_default_is_strong_and_the_legacy_one_is_told_as_weak() {
    for (protocol, legacy) in [(Protocol::Sip, Some(Value::Number(1024))), (Protocol::Sccp, None)] {
        let model = builtin("Cisco 7965").unwrap();
        let offered = options(model, protocol);
        let option = offered.field(Field::RsaKeySize).unwrap();
        assert_eq!((option.default, option.legacy_default), (Value::Number(2048), legacy));
        let Values::Sizes(sizes) = &option.values else { panic!("no sizes") };
        let list: Vec<_> = sizes.iter().map(|s| s.bits).collect();
        assert_eq!(list, RSA_KEY_SIZES, "one list for both protocols");
        assert!(sizes.iter().all(|s| s.weak == (s.bits <= 1024)));
        assert_eq!(resolve(&ProfileFields::default(), model, protocol).unwrap().rsa_key_size, 2048);
    }
}

#[test]
fn r054_r142_capf_operations_are_those_of_the_model_on_both_protocols() {
    for model in builtin_models() {
        let operations = PhoneOptions::of(model).capf_operations;
        let expected: &[CapfOperation] = if model.can(Capability::Capf) { &CapfOperation::ALL } else { &[] };
        assert_eq!(operations, expected, "{}", model.name);
        if model.vendor_class == VendorClass::Preferred {
            assert!(operations.is_empty(), "{}", model.name);
        }
        for protocol in model.protocols.iter() {
            let capf = options(model, protocol).has(Field::CapfAuthenticationMode);
            assert_eq!(capf, !operations.is_empty(), "{} {protocol:?}", model.name);
        }
    }
    assert!(CapfOperation::ALL.contains(&CapfOperation::Delete));
}

#[test]
fn r036_every_field_has_help_and_r159_r163_say_what_they_must() {
    for field in Field::ALL {
        assert!(field.help().len() > 20, "{field:?}");
    }
    assert!(Field::Transport.help().contains("no security"));
    assert!(Field::DigestAuthentication.help().contains("authenticates no device"));
}

#[test]
fn r174_the_phone_port_applies_to_udp_only() {
    let offered = options(own(), Protocol::Sip);
    let applies = offered.field(Field::SipPhonePort).unwrap().applies;
    for (transport, expected) in [("udp", true), ("tcp_udp", true), ("tcp", false), ("tls", false)] {
        let shown =
            applies.iter().all(|(f, all)| *f == Field::Transport && all.contains(&Value::Text(transport)));
        assert_eq!(shown, expected, "{transport}");
    }
}

/// The fields with one value more.
fn with(mut f: ProfileFields, field: Field, value: Value) -> ProfileFields {
    let text = |v: Value| if let Value::Text(t) = v { t } else { panic!("{v:?}") };
    let on = |v: Value| v == Value::Bool(true);
    let number = |v: Value| if let Value::Number(n) = v { n } else { panic!("{v:?}") };
    let pick = |name: &'static str| MODES.into_iter().find(|m| m.as_str() == name);
    match field {
        Field::DeviceSecurityMode => f.device_security_mode = pick(text(value)),
        Field::Transport => f.transport = TRANSPORTS.into_iter().find(|t| t.as_str() == text(value)),
        Field::DigestAuthentication => f.digest_authentication = Some(on(value)),
        Field::NonceValidityS => f.nonce_validity_s = Some(number(value)),
        Field::TftpEncryptedConfig => f.tftp_encrypted_config = Some(on(value)),
        Field::OauthAuthentication => f.oauth_authentication = Some(on(value)),
        Field::ExcludeDigestCredentials => f.exclude_digest_credentials = Some(on(value)),
        Field::CapfAuthenticationMode => {
            f.capf_authentication_mode = CAPF_MODES.into_iter().find(|m| m.as_str() == text(value));
        }
        Field::KeyOrder => f.key_order = ORDERS.into_iter().find(|o| o.as_str() == text(value)),
        Field::RsaKeySize => f.rsa_key_size = Some(number(value)),
        Field::EcKeySize => f.ec_key_size = Some(number(value)),
        Field::SipPhonePort => f.sip_phone_port = u16::try_from(number(value)).ok(),
    }
    f
}

const CAPF_MODES: [CapfMode; 4] = [
    CapfMode::AuthenticationString,
    CapfMode::NullString,
    CapfMode::ExistingCertificateLsc,
    CapfMode::ExistingCertificateMic,
];
const ORDERS: [KeyOrder; 3] = [KeyOrder::RsaOnly, KeyOrder::EcOnly, KeyOrder::EcPreferredRsaBackup];

/// Values to try on a field: all that anything offers, and some that nothing does.
fn values(field: Field) -> Vec<Value> {
    let texts = |all: &[&'static str]| all.iter().map(|t| Value::Text(t)).collect();
    let numbers = |all: &[u32]| all.iter().map(|n| Value::Number(*n)).collect();
    match field {
        Field::DeviceSecurityMode => texts(&MODES.map(DeviceSecurityMode::as_str)),
        Field::Transport => texts(&TRANSPORTS.map(ProfileTransport::as_str)),
        Field::CapfAuthenticationMode => texts(&CAPF_MODES.map(CapfMode::as_str)),
        Field::KeyOrder => texts(&ORDERS.map(KeyOrder::as_str)),
        Field::NonceValidityS => numbers(&[0, 1, 600, 86_400, 86_401]),
        Field::RsaKeySize => numbers(&[511, 512, 1024, 2048, 3072, 4096, 8192]),
        Field::EcKeySize => numbers(&[192, 256, 384, 521]),
        Field::SipPhonePort => numbers(&[0, 1, 5060, 65_535]),
        _ => vec![Value::Bool(false), Value::Bool(true)],
    }
}

fn written() -> impl Strategy<Value = ProfileFields> {
    let one = |field: Field| proptest::option::weighted(0.4, proptest::sample::select(values(field)));
    let each: Vec<_> = Field::ALL.into_iter().map(one).collect();
    each.prop_map(|all| {
        let given = Field::ALL.into_iter().zip(all).filter_map(|(f, v)| Some((f, v?)));
        given.fold(ProfileFields::default(), |f, (field, value)| with(f, field, value))
    })
}

fn any_model() -> impl Strategy<Value = Model> {
    let stated = [Topic::EcKeys, Topic::Rsa512, Topic::Rsa2048, Topic::Rsa4096, Topic::Ec384];
    let made = (
        proptest::sample::subsequence(Capability::ALL.to_vec(), 0..=Capability::ALL.len()),
        any::<bool>(),
        proptest::collection::vec(proptest::option::of(any::<bool>()), stated.len()),
    );
    let made = made.prop_map(move |(without, own, said)| {
        let said = stated.into_iter().zip(said).filter_map(|(t, v)| Some((t, v?)));
        let stated = said.fold(Stated::NONE, |s, (topic, value)| s.with(topic, value));
        let class = if own { VendorClass::Own } else { VendorClass::Preferred };
        Model { vendor_class: class, ..imported(&without, stated) }
    });
    prop_oneof![made, proptest::sample::select(builtin_models().to_vec())]
}

/// What a form does with the options, without the code of `resolve`: it shows fields, takes one of their
/// values, and greys out what a condition forbids.
fn a_form_takes(f: &ProfileFields, offered: &Options) -> bool {
    let first = |field: Field, chosen: &dyn Fn(Field) -> Value| match offered.field(field) {
        Err(absent) => absent.value,
        Ok(option) => {
            let fits = |v: Value| {
                let about = option.conditions.iter().filter(|c| c.values.contains(&v));
                about.flat_map(|c| c.needs).all(|(other, all)| all.contains(&chosen(*other)))
            };
            match &option.values {
                _ if fits(option.default) => option.default,
                Values::Choice(all) => {
                    all.iter().map(|t| Value::Text(t)).find(|v| fits(*v)).unwrap_or(option.default)
                }
                _ => option.default,
            }
        }
    };
    let mode = f
        .get(Field::DeviceSecurityMode)
        .unwrap_or_else(|| first(Field::DeviceSecurityMode, &|_| unreachable!()));
    let of = |field: Field| f.get(field).unwrap_or_else(|| first(field, &|_| mode));
    Field::ALL.into_iter().all(|field| match offered.field(field) {
        Err(absent) => f.get(field).is_none_or(|given| Some(given) == absent.accepts),
        Ok(option) => {
            let value = of(field);
            let about = option.conditions.iter().filter(|c| c.values.contains(&value));
            option.values.has(value)
                && about.flat_map(|c| c.needs).all(|(other, all)| all.contains(&of(*other)))
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn r215_what_is_offered_is_accepted_and_nothing_else(model in any_model(), f in written(), sip in any::<bool>()) {
        let protocol = if sip { Protocol::Sip } else { Protocol::Sccp };
        let offered = options(&model, protocol);
        let shown = model.protocols.has(protocol) && a_form_takes(&f, &offered);
        prop_assert_eq!(resolve(&f, &model, protocol).is_ok(), shown, "{} {:?} {:?}", model.name, protocol, f);
    }

    #[test]
    fn r097_r215_each_field_alone_is_taken_exactly_where_it_is_offered(model in any_model(), at in 0..Field::ALL.len()) {
        let field = Field::ALL[at];
        for protocol in model.protocols.iter() {
            let offered = options(&model, protocol);
            for value in values(field) {
                let f = with(ProfileFields::default(), field, value);
                let alone = match offered.field(field) {
                    Err(absent) => absent.accepts == Some(value),
                    Ok(option) => option.values.has(value) && a_form_takes(&f, &offered),
                };
                prop_assert_eq!(resolve(&f, &model, protocol).is_ok(), alone, "{} {:?} {:?}", model.name, field, value);
            }
        }
    }

    #[test]
    fn r215_settings_that_were_resolved_are_the_ones_that_were_given(model in any_model(), f in written()) {
        for protocol in model.protocols.iter() {
            let Ok(settings) = resolve(&f, &model, protocol) else { continue };
            let again = ProfileFields {
                device_security_mode: Some(settings.device_security_mode),
                transport: Some(settings.transport),
                ..f.clone()
            };
            prop_assert_eq!(resolve(&again, &model, protocol), Ok(settings));
        }
    }
}
