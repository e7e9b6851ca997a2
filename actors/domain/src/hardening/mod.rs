//! Phone hardening: which level decides a switch (R016–R018), what it means on a model (R032), what is
//! written into a phone's file (R022), and what an administrator should know when saving (R023, R029).

use crate::model::{Model, Topic};

mod file;
mod switch;

pub use file::{Element, elements};
pub use switch::{Hardening, Switch};

/// Where the value of a switch comes from, the strongest level first (R018).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The phone's own row.
    Phone,
    /// Its common phone profile.
    CommonPhoneProfile,
    /// The enterprise phone configuration.
    EnterprisePhone,
    /// No level sets it: switches are on (R019, R024, R027, R032).
    Default,
}

impl Origin {
    /// Name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::CommonPhoneProfile => "common_phone_profile",
            Self::EnterprisePhone => "enterprise_phone",
            Self::Default => "default",
        }
    }
}

/// A switch as a phone gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Effective {
    /// Field name of the switch.
    pub name: &'static str,
    /// Its state.
    pub value: Switch,
    /// The level that set it.
    pub origin: Origin,
}

type Get = fn(&Hardening) -> Option<Switch>;

/// The switches in order: name and place in a level.
const SWITCHES: [(&str, Get); 7] = [
    ("gratuitous_arp", |h| h.gratuitous_arp),
    ("web_access", |h| h.web_access),
    ("pc_voice_vlan_access", |h| h.pc_voice_vlan_access),
    ("settings_access", |h| h.settings_access),
    ("pc_port", |h| h.pc_port),
    ("speakerphone", |h| h.speakerphone),
    ("headset", |h| h.headset),
];

/// Names of the switches: the one schema of the three levels (R017, R213).
pub fn switches() -> impl Iterator<Item = &'static str> {
    SWITCHES.into_iter().map(|(name, _)| name)
}

/// All switches with the level that decides each: phone before common phone profile before enterprise;
/// what a level leaves unset falls through (R018).
pub fn effective(phone: &Hardening, common: Option<&Hardening>, enterprise: &Hardening) -> [Effective; 7] {
    SWITCHES.map(|(name, get)| {
        let levels = [
            (get(phone), Origin::Phone),
            (common.and_then(get), Origin::CommonPhoneProfile),
            (get(enterprise), Origin::EnterprisePhone),
        ];
        let set = levels.into_iter().find_map(|(value, origin)| Some((value?, origin)));
        let (value, origin) = set.unwrap_or((Switch::Enabled, Origin::Default));
        Effective { name, value, origin }
    })
}

/// Whether a switch means something on phones of a model: `Some(false)` where it is known that it does
/// not, `None` where no source says (R032). Switching off what may not be there does no harm, so only
/// what is known to be missing is refused on a phone and left out of its view.
pub fn meaning(model: &Model, switch: &str) -> Option<bool> {
    match switch {
        "pc_port" => model.fact(Topic::PcPort).value,
        // Without a PC port no PC reaches the voice VLAN through the phone.
        "pc_voice_vlan_access" => match model.fact(Topic::PcPort).value {
            Some(false) => Some(false),
            known => model.fact(Topic::PcVoiceVlanDrop).value.filter(|drops| *drops).or(known),
        },
        _ => None,
    }
}

/// The first switch that `set` sets and that means nothing on the model (R032).
pub fn meaningless(model: &Model, set: &Hardening) -> Option<&'static str> {
    let given = SWITCHES.into_iter().filter(|(_, get)| get(set).is_some());
    given.map(|(name, _)| name).find(|name| meaning(model, name) == Some(false))
}

/// What an administrator should know when saving a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// R023.
    WebAccessDisabled,
    /// R029.
    SettingsAccessDisabled,
    /// The headset alone cannot be switched off (R034).
    HeadsetAlone,
}

/// What to say of a level that is saved.
pub fn advice(set: &Hardening) -> impl Iterator<Item = Advice> {
    let off = |switch: Option<Switch>| switch == Some(Switch::Disabled);
    let web = off(set.web_access).then_some(Advice::WebAccessDisabled);
    let settings = off(set.settings_access).then_some(Advice::SettingsAccessDisabled);
    let headset = (off(set.headset) && !off(set.speakerphone)).then_some(Advice::HeadsetAlone);
    [web, settings, headset].into_iter().flatten()
}

/// A set of switches for many phones at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// Name.
    pub name: &'static str,
    /// What it is for.
    pub text: &'static str,
    /// The switches that it sets.
    pub hardening: Hardening,
}

/// The templates.
pub const TEMPLATES: [Template; 1] = [Template {
    name: "lobby",
    text: "For phones that strangers can reach, in a lobby or a conference room (R033): all five switches are            disabled (R034). Speakerphone and headset stay as they are.",
    hardening: Hardening {
        gratuitous_arp: Some(Switch::Disabled),
        web_access: Some(Switch::Disabled),
        pc_voice_vlan_access: Some(Switch::Disabled),
        settings_access: Some(Switch::Disabled),
        pc_port: Some(Switch::Disabled),
        speakerphone: None,
        headset: None,
    },
}];

impl Hardening {
    /// This level with what `other` sets over it.
    #[must_use]
    pub fn overlaid(self, other: &Hardening) -> Self {
        Self {
            gratuitous_arp: other.gratuitous_arp.or(self.gratuitous_arp),
            web_access: other.web_access.or(self.web_access),
            pc_voice_vlan_access: other.pc_voice_vlan_access.or(self.pc_voice_vlan_access),
            settings_access: other.settings_access.or(self.settings_access),
            pc_port: other.pc_port.or(self.pc_port),
            speakerphone: other.speakerphone.or(self.speakerphone),
            headset: other.headset.or(self.headset),
        }
    }

    /// The template for a phone of a model: without the switches that mean nothing on it.
    #[must_use]
    pub fn fitting(self, model: &Model) -> Self {
        let keep = |name, value: Option<Switch>| value.filter(|_| meaning(model, name) != Some(false));
        Self {
            pc_port: keep("pc_port", self.pc_port),
            pc_voice_vlan_access: keep("pc_voice_vlan_access", self.pc_voice_vlan_access),
            ..self
        }
    }
}

#[cfg(test)]
mod tests;
