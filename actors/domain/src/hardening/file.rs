//! What the switches write into a phone's configuration file (provisioning.md §6). The elements stand in
//! `vendorConfig` and its two siblings; their polarity differs.

use super::{Effective, Switch};

/// One element of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Name of the element.
    pub name: &'static str,
    /// Its text.
    pub value: &'static str,
}

/// The elements for effective switches, always all of them (R022), in the order of the switches. Nothing
/// else of the file depends on a switch: the router's address least of all (R020).
pub fn elements(effective: &[Effective]) -> Vec<Element> {
    let disabled = |name| effective.iter().any(|e| e.name == name && e.value == Switch::Disabled);
    let number = |name, element, enabled, off| Element {
        name: element,
        value: if disabled(name) { off } else { enabled },
    };
    let speaker = disabled("speakerphone");
    // A phone knows no headset switch of its own (R034: the speakerphone, or speakerphone and headset).
    let both = speaker && disabled("headset");
    let flag = |on| if on { "true" } else { "false" };
    vec![
        number("gratuitous_arp", "garp", "0", "1"),
        number("web_access", "webAccess", "0", "1"),
        number("pc_voice_vlan_access", "voiceVlanAccess", "0", "1"),
        number("settings_access", "settingsAccess", "1", "0"),
        number("pc_port", "pcPort", "0", "1"),
        Element { name: "disableSpeaker", value: flag(speaker) },
        Element { name: "disableSpeakerAndHeadset", value: flag(both) },
    ]
}
