use std::collections::HashSet;

use super::*;
use crate::mode::SecurityClass;
use crate::model::{ModelId, Protocols, TlsCertificate, VendorClass, builtin, builtin_models};

fn of(name: &str, topic: Topic) -> Fact {
    builtin(name).unwrap().fact(topic)
}

/// A model that a row made.
fn imported(capabilities: &[Capability], stated: Stated) -> Model {
    Model {
        id: ModelId(crate::model::FIRST_IMPORTED_MODEL),
        name: "Acme 1".into(),
        protocols: Protocols::SIP,
        vendor_class: VendorClass::Preferred,
        trusted: true,
        capabilities: crate::model::Capabilities::of(capabilities),
        tls_certificate: TlsCertificate::PerDevice,
        stated,
        secure_call_features: vec!["voice print".into()].into(),
    }
}

#[test]
fn a_capability_is_a_fact_whose_value_is_yes() {
    for model in builtin_models() {
        for topic in Topic::ALL {
            let fact = model.fact(topic);
            assert_eq!(
                fact.value.is_none(),
                fact.certainty == Certainty::Unknown,
                "{} {topic:?}",
                model.name
            );
            assert_eq!(fact.value.is_some(), fact.source.is_some(), "{} {topic:?}", model.name);
            if let Some(capability) = topic.capability() {
                assert_eq!(model.can(capability), fact.value == Some(true), "{} {topic:?}", model.name);
            }
        }
        assert_eq!(model.trusted, model.fact(Topic::Trusted).value == Some(true), "{}", model.name);
        assert_eq!(model.protocols.sip, model.fact(Topic::Sip).value == Some(true), "{}", model.name);
    }
}

#[test]
fn names_of_topics_are_unique_and_read_back() {
    let names: HashSet<_> = Topic::ALL.map(Topic::as_str).into_iter().collect();
    assert_eq!(names.len(), Topic::ALL.len());
    for topic in Topic::ALL {
        assert_eq!(Topic::parse(topic.as_str()), Some(topic));
        assert!(topic.help().len() > 20);
        if let Some(capability) = topic.capability() {
            assert_eq!(capability.as_str(), topic.as_str());
        }
    }
    for capability in Capability::ALL {
        assert!(Topic::ALL.iter().any(|t| t.capability() == Some(capability)), "{capability:?}");
    }
}

#[test]
fn r026_two_models_drop_tagged_packets() {
    for model in builtin_models() {
        let fact = model.fact(Topic::PcVoiceVlanDrop);
        let known = ["Cisco 7942", "Cisco 7962"].contains(&&*model.name);
        assert_eq!(fact.value == Some(true), known, "{}", model.name);
        if known {
            assert_eq!((fact.certainty, fact.source), (Certainty::Documented, Some("R026")));
            assert_eq!(model.fact(Topic::PcPort).value, Some(true));
        }
    }
}

#[test]
fn r050_r051_r054_two_categories() {
    for model in builtin_models() {
        let own = model.vendor_class == VendorClass::Own;
        for topic in [Topic::Mic, Topic::Capf, Topic::EncryptedConfig] {
            let value = model.fact(topic).value;
            assert!(own || value == Some(false), "{} {topic:?}", model.name);
            assert!(!own || value != Some(false), "{} {topic:?}", model.name);
        }
    }
    for topic in [Topic::Mic, Topic::Capf] {
        assert_eq!(of("Cisco 8845", topic).certainty, Certainty::Documented);
        assert_eq!(of("Cisco 8851NR", topic).certainty, Certainty::Family);
        assert_eq!(of("Cisco 9841", topic).certainty, Certainty::Unknown);
    }
}

#[test]
fn r063_r170_two_models_have_their_credentials_typed_in() {
    for model in builtin_models() {
        let manual = ["Cisco 7942", "Cisco 7962"].contains(&&*model.name);
        assert_eq!(model.fact(Topic::ManualDigest).value == Some(true), manual, "{}", model.name);
    }
}

#[test]
fn r089_three_families_check_sha1_but_take_sha256_certificates() {
    for (name, expected) in [
        ("Cisco 7965", Some(true)),
        ("Cisco 7941G-GE", Some(true)),
        ("Cisco 8945", Some(true)),
        ("Cisco 9971", Some(true)),
        ("Cisco 8845", None),
        ("Cisco 7821", None),
        ("Cisco 6945", None),
        ("Cisco 9841", None),
        ("Third-party SIP Device (Basic)", None),
    ] {
        for topic in [Topic::Sha256Lsc, Topic::Sha1SignaturesOnly] {
            assert_eq!(of(name, topic).value, expected, "{name} {topic:?}");
        }
    }
}

#[test]
fn r169_soft_clients_have_oauth() {
    for model in builtin_models() {
        let client =
            ["Client Services Framework", "Dual Mode", "Jabber"].iter().any(|c| model.name.contains(c));
        assert_eq!(model.can(Capability::Oauth), client, "{}", model.name);
        assert!(!client || model.can(Capability::SecurityEncryption));
    }
}

#[test]
fn r090_r147_r148_what_no_source_says_is_unknown() {
    for topic in [Topic::EndOfMaintenance, Topic::SmallServerKeyOnly, Topic::Rsa4096, Topic::SecureTone] {
        for model in builtin_models() {
            assert_eq!(model.fact(topic).certainty, Certainty::Unknown, "{} {topic:?}", model.name);
            assert!(topic.capability().is_none_or(|c| !model.can(c)));
        }
    }
    let said = Stated::NONE.with(Topic::Rsa4096, false).with(Topic::EndOfMaintenance, true);
    let model = imported(&[], said);
    assert_eq!(model.fact(Topic::Rsa4096).value, Some(false));
    assert_eq!(model.fact(Topic::EndOfMaintenance).value, Some(true));
    assert_eq!(model.fact(Topic::Rsa3072).value, None);
}

#[test]
fn r037_the_flag_of_the_model_decides_about_the_icon() {
    for class in [SecurityClass::NonSecure, SecurityClass::Authenticated, SecurityClass::Encrypted] {
        assert_eq!(imported(&[Capability::SecurityIcon], Stated::NONE).icon(class), class.icon());
        assert_eq!(imported(&[], Stated::NONE).icon(class), "none");
    }
}

#[test]
fn r040_r211_tone_and_other_features_come_with_secure_calls_of_trusted_devices() {
    let with_tone = imported(&[Capability::SecureTone], Stated::NONE);
    let list = |m: &Model, class| m.features_in(class).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(list(&with_tone, SecurityClass::Encrypted), ["secure_tone", "voice print"]);
    assert_eq!(list(&imported(&[], Stated::NONE), SecurityClass::Authenticated), ["voice print"]);
    assert!(list(&with_tone, SecurityClass::NonSecure).is_empty());
    let untrusted = Model { trusted: false, ..with_tone };
    assert!(list(&untrusted, SecurityClass::Encrypted).is_empty());
}

#[test]
fn a_mode_without_names_of_its_kinds_is_both() {
    let topics = [Topic::SecurityAuthentication, Topic::SecurityEncryption];
    let value = |c: &[Capability], t| imported(c, Stated::NONE).fact(t).value;
    use Capability::{DeviceSecurityMode as Mode, SecurityEncryption as Encryption, Tls};
    assert_eq!(topics.map(|t| value(&[Tls, Mode], t)), [Some(true); 2]);
    assert_eq!(topics.map(|t| value(&[Tls, Mode, Encryption], t)), [Some(false), Some(true)]);
    assert_eq!(topics.map(|t| value(&[Tls], t)), [Some(false); 2]);
}

#[test]
fn what_is_stated_is_kept_apart_from_what_is_not() {
    let said = Stated::NONE.with(Topic::PcPort, true).with(Topic::EcKeys, false).with(Topic::PcPort, false);
    assert_eq!(said.iter().collect::<Vec<_>>(), [(Topic::PcPort, false), (Topic::EcKeys, false)]);
    assert_eq!(serde_json::to_string(&said).unwrap(), r#"{"pc_port":false,"ec_keys":false}"#);
    assert_eq!(said.get(Topic::Rsa512), None);
    assert!(Stated::NONE.is_empty() && !said.is_empty());
}
