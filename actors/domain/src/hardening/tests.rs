use super::*;

const LEVELS: [Option<Switch>; 3] = [None, Some(Switch::Enabled), Some(Switch::Disabled)];

/// Every combination of three levels, for each switch.
#[test]
fn r018_the_nearest_level_that_sets_a_switch_decides() {
    type Set = fn(&mut Hardening, Option<Switch>);
    let setters: [Set; 7] = [
        |h, s| h.gratuitous_arp = s,
        |h, s| h.web_access = s,
        |h, s| h.pc_voice_vlan_access = s,
        |h, s| h.settings_access = s,
        |h, s| h.pc_port = s,
        |h, s| h.speakerphone = s,
        |h, s| h.headset = s,
    ];
    for (i, set) in setters.iter().enumerate() {
        for phone in LEVELS {
            for common in LEVELS {
                for enterprise in LEVELS {
                    let level = |value| {
                        let mut h = Hardening::default();
                        set(&mut h, value);
                        h
                    };
                    let all = effective(&level(phone), Some(&level(common)), &level(enterprise));
                    let expected = phone.or(common).or(enterprise).unwrap_or(Switch::Enabled);
                    assert_eq!(all[i].value, expected, "{}", all[i].name);
                    let origin = match (phone, common, enterprise) {
                        (Some(_), ..) => Origin::Phone,
                        (None, Some(_), _) => Origin::CommonPhoneProfile,
                        (None, None, Some(_)) => Origin::EnterprisePhone,
                        _ => Origin::Default,
                    };
                    assert_eq!(all[i].origin, origin, "{}", all[i].name);
                    assert!(all.iter().enumerate().all(|(k, e)| k == i || e.origin == Origin::Default));
                }
            }
        }
    }
}

fn all(value: Option<Switch>) -> Hardening {
    Hardening {
        gratuitous_arp: value,
        web_access: value,
        pc_voice_vlan_access: value,
        settings_access: value,
        pc_port: value,
        speakerphone: value,
        headset: value,
    }
}

fn value(elements: &[Element], name: &str) -> &'static str {
    elements.iter().find(|e| e.name == name).map_or("absent", |e| e.value)
}

fn file(phone: &Hardening) -> Vec<Element> {
    elements(&effective(phone, None, &Hardening::default()))
}

#[test]
fn r016_r021_r022_r025_r028_the_file_says_every_switch_in_its_own_polarity() {
    let on = file(&Hardening::default());
    let off = file(&all(Some(Switch::Disabled)));
    for (name, enabled, disabled) in [
        ("garp", "0", "1"),
        ("webAccess", "0", "1"),
        ("voiceVlanAccess", "0", "1"),
        ("settingsAccess", "1", "0"),
        ("pcPort", "0", "1"),
        ("disableSpeaker", "false", "true"),
        ("disableSpeakerAndHeadset", "false", "true"),
    ] {
        assert_eq!((value(&on, name), value(&off, name)), (enabled, disabled), "{name}");
    }
}

#[test]
fn r019_r024_r027_r032_all_switches_are_on_by_default() {
    let none = Hardening::default();
    for e in effective(&none, Some(&none), &none) {
        assert_eq!((e.value, e.origin), (Switch::Enabled, Origin::Default), "{}", e.name);
    }
}

#[test]
fn r020_gratuitous_arp_changes_one_element_and_nothing_else() {
    let off = file(&Hardening { gratuitous_arp: Some(Switch::Disabled), ..Hardening::default() });
    let on = file(&Hardening::default());
    let changed: Vec<_> = on.iter().zip(&off).filter(|(a, b)| a != b).map(|(a, _)| a.name).collect();
    assert_eq!(changed, ["garp"]);
}

#[test]
fn r034_speakerphone_alone_or_speakerphone_and_headset() {
    let off = Some(Switch::Disabled);
    for (speakerphone, headset, speaker, both) in [
        (None, None, "false", "false"),
        (off, None, "true", "false"),
        (off, off, "true", "true"),
        (None, off, "false", "false"),
    ] {
        let set = Hardening { speakerphone, headset, ..Hardening::default() };
        let written = file(&set);
        assert_eq!(value(&written, "disableSpeaker"), speaker, "{set:?}");
        assert_eq!(value(&written, "disableSpeakerAndHeadset"), both, "{set:?}");
        let alone = headset.is_some() && speakerphone.is_none();
        assert_eq!(advice(&set).any(|a| a == Advice::HeadsetAlone), alone, "{set:?}");
    }
}

#[test]
fn r023_r029_saving_says_what_follows() {
    let web = Hardening { web_access: Some(Switch::Disabled), ..Hardening::default() };
    assert_eq!(advice(&web).collect::<Vec<_>>(), [Advice::WebAccessDisabled]);
    let settings = Hardening { settings_access: Some(Switch::Disabled), ..Hardening::default() };
    assert_eq!(advice(&settings).collect::<Vec<_>>(), [Advice::SettingsAccessDisabled]);
    assert_eq!(advice(&all(Some(Switch::Enabled))).count(), 0);
    assert_eq!(advice(&Hardening::default()).count(), 0);
}

#[test]
fn r032_the_pc_port_means_nothing_where_there_is_none() {
    let model = |name| crate::model::builtin(name).unwrap();
    for (name, known) in [
        ("Cisco 7942", Some(true)),
        ("Cisco 8845", None),
        ("Cisco Unified Client Services Framework", Some(false)),
    ] {
        assert_eq!(meaning(model(name), "pc_port"), known, "{name}");
        let refused = [Switch::Enabled, Switch::Disabled].map(|switch| {
            let set = Hardening { pc_port: Some(switch), ..Hardening::default() };
            meaningless(model(name), &set)
        });
        let expected = (known == Some(false)).then_some("pc_port");
        assert_eq!(refused, [expected; 2], "{name}");
        assert_eq!(meaningless(model(name), &Hardening::default()), None);
        assert_eq!(meaning(model(name), "web_access"), None);
    }
    let client = model("Cisco Unified Client Services Framework");
    let vlan = Hardening { pc_voice_vlan_access: Some(Switch::Disabled), ..Hardening::default() };
    assert_eq!(meaningless(client, &vlan), Some("pc_voice_vlan_access"));
}

#[test]
fn r033_the_lobby_template_closes_what_a_stranger_could_use() {
    let lobby = TEMPLATES.iter().find(|t| t.name == "lobby").unwrap();
    let own = Hardening {
        headset: Some(Switch::Enabled),
        web_access: Some(Switch::Enabled),
        ..Hardening::default()
    };
    let after = own.overlaid(&lobby.hardening);
    let written = file(&after);
    for name in ["garp", "webAccess", "voiceVlanAccess", "pcPort"] {
        assert_eq!(value(&written, name), "1", "{name}");
    }
    assert_eq!(value(&written, "settingsAccess"), "0");
    assert_eq!((after.headset, after.speakerphone), (Some(Switch::Enabled), None));
    let client = crate::model::builtin("Cisco Jabber for Tablet").unwrap();
    assert_eq!(meaningless(client, &lobby.hardening.fitting(client)), None);
    assert_eq!(lobby.hardening.fitting(client).web_access, Some(Switch::Disabled));
}

#[test]
fn r017_r213_the_three_levels_have_one_schema() {
    let names: Vec<_> = switches().collect();
    for name in &names {
        let text = format!(r#"{{"{name}":"disabled"}}"#);
        let level: Hardening = serde_json::from_str(&text).unwrap();
        let none = Hardening::default();
        for (found, origin) in [
            (effective(&level, Some(&none), &none), Origin::Phone),
            (effective(&none, Some(&level), &none), Origin::CommonPhoneProfile),
            (effective(&none, None, &level), Origin::EnterprisePhone),
        ] {
            let one = found.iter().find(|e| e.name == *name).unwrap();
            assert_eq!((one.value, one.origin), (Switch::Disabled, origin), "{name}");
        }
        assert!(crate::help::of("hardening", name).is_some(), "{name} has no help");
    }
    assert_eq!(crate::help::of_kind("hardening").unwrap().fields.len(), names.len());
}
