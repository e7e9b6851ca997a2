//! Names to begin with.

use crate::mode::{DeviceSecurityMode, Protocol};
use crate::model::Model;

/// A name for a new profile, with model and protocol in it as the tip asks for (R115, R150).
pub fn proposed_name(model: &Model, protocol: Protocol, mode: DeviceSecurityMode) -> String {
    let mode = match mode {
        DeviceSecurityMode::NonSecure => "Non-Secure",
        DeviceSecurityMode::Authenticated => "Authenticated",
        DeviceSecurityMode::Encrypted => "Encrypted",
    };
    format!("{} - {} {mode}", model.name, protocol.label())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::builtin_models;
    use crate::profile::check_name;

    #[test]
    fn r115_r150_the_proposal_has_model_and_protocol() {
        for model in builtin_models() {
            for protocol in model.protocols.iter() {
                for mode in [DeviceSecurityMode::NonSecure, DeviceSecurityMode::Encrypted] {
                    let name = proposed_name(model, protocol, mode);
                    assert!(name.contains(&*model.name) && name.contains(protocol.label()), "{name}");
                    assert_eq!(check_name(&name), Ok(()));
                    assert!(crate::profile::split_predefined_name(&name).is_none(), "{name}");
                }
            }
        }
    }
}
