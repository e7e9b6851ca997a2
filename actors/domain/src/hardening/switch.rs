//! The switches as rows hold them.

use serde::{Deserialize, Serialize};

/// State of a hardening switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// The hardening switches of one level; `None` falls through to the next level (R016–R018).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardening {
    /// Accept gratuitous ARP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gratuitous_arp: Option<Switch>,
    /// The phone's web pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_access: Option<Switch>,
    /// The PC port's access to the voice VLAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pc_voice_vlan_access: Option<Switch>,
    /// The settings key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_access: Option<Switch>,
    /// The PC port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pc_port: Option<Switch>,
    /// The speakerphone (R034).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speakerphone: Option<Switch>,
    /// The headset (R034).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headset: Option<Switch>,
}

impl Hardening {
    /// No switch is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
