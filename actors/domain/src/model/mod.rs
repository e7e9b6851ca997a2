//! Phone models: what a type of phone can do and whether it is trusted.
//!
//! Trust belongs to the model and to nothing else: no field of a phone sets it (R041, R042). Built-in
//! models are data of the program ([`builtin_models`]) and cannot be changed; other makers' types are
//! imported as `phone_model` rows.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::mode::SecurityClass;

mod builtin;
mod capability;
mod facts;
mod gateway;
mod package;
mod protocols;

pub use capability::{Capabilities, Capability};
pub use facts::{Certainty, Fact, Stated, Topic};
pub use gateway::{GatewayType, gateway_type, gateway_types, trust_shown};
pub use package::{
    Opened as OpenedPackage, PACKAGE_BYTES_MAX, Package, PackageError, PackageType, Signature, Version,
    judge as judge_package, open as open_package, seal as seal_package, signed_bytes,
};
pub use protocols::Protocols;

/// Longest model name, in characters.
pub const MODEL_NAME_MAX: usize = 64;

/// First number that an imported model can get; Cisco's own numbers are below.
pub const FIRST_IMPORTED_MODEL: u32 = 1_000_000;

/// Highest model number: it leaves room for the protocol bit and the mark of predefined profiles in
/// a [`crate::ids::ProfileId`].
pub const LAST_MODEL: u32 = (1 << 30) - 1;

/// Stable number of a model: for built-in ones Cisco's device type (621 is the 7821), for imported
/// ones counted from [`FIRST_IMPORTED_MODEL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelId(pub u32);

/// Phone category (R050).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VendorClass {
    /// Own-brand: may carry a manufacturer certificate, CAPF, encrypted configuration (R051).
    Own,
    /// Another maker's: no MIC, no CAPF (R054).
    Preferred,
}

/// How phones of a model get their TLS certificate (R071).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsCertificate {
    /// Each phone has its own, which names the phone (R073).
    #[default]
    PerDevice,
    /// All phones of a profile share one, which names the profile (R075).
    Shared,
}

/// A phone model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Stable number.
    pub id: ModelId,
    /// Name, unique: `Cisco 8845`.
    pub name: Cow<'static, str>,
    /// Protocols.
    pub protocols: Protocols,
    /// Category.
    pub vendor_class: VendorClass,
    /// Passed the security criteria, so that it may take part in a secure call (R039).
    pub trusted: bool,
    /// Abilities.
    pub capabilities: Capabilities,
    /// How its phones get a TLS certificate.
    pub tls_certificate: TlsCertificate,
    /// What the row of an imported model says besides its capabilities.
    pub stated: Stated,
    /// Names of whatever else the model offers in secure calls (R211); open-ended.
    pub secure_call_features: Cow<'static, [Box<str>]>,
}

/// A model as those keep it who have a phone of it: two words, whatever it says.
#[derive(Debug, Clone)]
pub enum SharedModel {
    /// Data of the program.
    Builtin(&'static Model),
    /// Imported.
    Imported(std::sync::Arc<Model>),
}

impl std::ops::Deref for SharedModel {
    type Target = Model;

    fn deref(&self) -> &Model {
        match self {
            Self::Builtin(model) => model,
            Self::Imported(model) => model,
        }
    }
}

impl PartialEq for SharedModel {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SharedModel {}

impl From<Model> for SharedModel {
    fn from(model: Model) -> Self {
        Self::Imported(std::sync::Arc::new(model))
    }
}

impl Model {
    /// Has the capability.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.has(capability)
    }

    /// A built-in one, which cannot be changed (R042).
    pub fn is_builtin(&self) -> bool {
        self.id.0 < FIRST_IMPORTED_MODEL
    }

    /// The icon that a phone of this model shows in a call of this class: none where the model is not
    /// known to show icons (R037, R058).
    pub fn icon(&self, class: SecurityClass) -> &'static str {
        if self.can(Capability::SecurityIcon) { class.icon() } else { SecurityClass::NonSecure.icon() }
    }

    /// What the model offers in a call of this class besides the icon: only trusted devices, and only in
    /// secure calls (R040, R211).
    pub fn features_in(&self, class: SecurityClass) -> impl Iterator<Item = &str> {
        let secure = self.trusted && class != SecurityClass::NonSecure;
        let tone = self.can(Capability::SecureTone).then_some(Capability::SecureTone.as_str());
        let all = tone.into_iter().chain(self.secure_call_features.iter().map(|f| &**f));
        all.filter(move |_| secure)
    }

    /// The part of a built-in name that certificates carry: `CP-8845-SEP…` for `Cisco 8845`.
    pub fn short_name(&self) -> &str {
        self.name.strip_prefix("Cisco ").unwrap_or(&self.name)
    }
}

/// All built-in models, sorted by name.
pub fn builtin_models() -> &'static [Model] {
    builtin::MODELS
}

/// The built-in model of this exact name.
pub fn builtin(name: &str) -> Option<&'static Model> {
    let i = builtin::MODELS.binary_search_by(|m| (*m.name).cmp(name)).ok()?;
    builtin::MODELS.get(i)
}

/// The built-in model with Cisco's number, as a phone names it in its Contact
/// (`+u.sip!model.ccm.cisco.com`) or in an SCCP Register.
pub fn builtin_by_number(number: u32) -> Option<&'static Model> {
    let models = builtin::MODELS;
    let at = BY_NUMBER.binary_search_by(|i| models[usize::from(*i)].id.0.cmp(&number)).ok()?;
    models.get(usize::from(BY_NUMBER[at]))
}

/// Positions in the table, sorted by number; made by the compiler.
static BY_NUMBER: [u16; builtin::MODELS.len()] = {
    let mut order = [0_u16; builtin::MODELS.len()];
    let mut i = 0;
    while i < order.len() {
        let number = builtin::MODELS[i].id.0;
        let mut at = i;
        while at > 0 && builtin::MODELS[order[at - 1] as usize].id.0 > number {
            order[at] = order[at - 1];
            at -= 1;
        }
        order[at] = i as u16;
        i += 1;
    }
    order
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_numbers_are_unique() {
        let all = builtin_models();
        assert!(all.windows(2).all(|w| w[0].name < w[1].name));
        let numbers: std::collections::HashSet<_> = all.iter().map(|m| m.id).collect();
        assert_eq!(numbers.len(), all.len());
        assert!(all.iter().all(|m| m.is_builtin() && m.name.chars().count() <= MODEL_NAME_MAX));
        for m in all {
            assert_eq!(builtin(&m.name), Some(m));
            assert_eq!(builtin_by_number(m.id.0), Some(m));
        }
    }

    #[test]
    fn known_numbers_have_their_names() {
        for (number, name) in [
            (621, "Cisco 7821"),
            (36224, "Cisco 8845"),
            (437, "Cisco 7975"),
            (503, "Cisco Unified Client Services Framework"),
            (374, "Third-party SIP Device (Advanced)"),
        ] {
            assert_eq!(builtin_by_number(number).map(|m| &*m.name), Some(name));
        }
        assert!(builtin("Cisco 8846").is_none());
    }

    #[test]
    fn r070_a_security_mode_means_tls() {
        for m in builtin_models() {
            assert!(!m.can(Capability::DeviceSecurityMode) || m.can(Capability::Tls), "{}", m.name);
            assert!(!m.trusted || m.can(Capability::Tls), "{}", m.name);
        }
    }

    #[test]
    fn r054_other_makers_have_neither_mic_nor_capf() {
        for m in builtin_models().iter().filter(|m| m.vendor_class == VendorClass::Preferred) {
            assert!(!m.can(Capability::Mic) && !m.can(Capability::Capf) && !m.trusted, "{}", m.name);
        }
    }

    #[test]
    fn r069_every_sip_model_answers_digest() {
        for m in builtin_models() {
            assert_eq!(m.can(Capability::Digest), m.protocols.sip, "{}", m.name);
        }
    }

    #[test]
    fn capability_sets_survive_json() {
        let set = Capabilities::of(&[Capability::Tls, Capability::SecureTone]);
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(text, r#"["tls","secure_tone"]"#);
        assert_eq!(serde_json::from_str::<Capabilities>(&text).unwrap(), set);
        assert!(serde_json::from_str::<Capabilities>(r#"["flight"]"#).is_err());
        assert!(serde_json::from_str::<Protocols>("[]").is_err());
    }
}
