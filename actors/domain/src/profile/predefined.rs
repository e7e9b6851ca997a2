//! The predefined non-secure profile of each model and protocol (R094): computed, never stored, so
//! that a hundred models cost nothing. Its number follows from the model's:
//! `1 << 31 | model << 1 | protocol` (SIP 0, SCCP 1). Profiles that administrators make are counted
//! from 1 and stay below `1 << 31`.

use crate::ids::{ProfileId, ProfileVersion};
use crate::mode::Protocol;
use crate::model::{Model, ModelId};

use super::SecurityProfile;
use super::rules::{ProfileFields, resolve};

/// Set in the number of every predefined profile and of no other.
const MARK: u32 = 1 << 31;

const SIP_SUFFIX: &str = " - Standard SIP Non-Secure Profile";
const SCCP_SUFFIX: &str = " - Standard SCCP Non-Secure Profile";

/// Number of the predefined profile of a model and protocol.
pub fn predefined_id(model: ModelId, protocol: Protocol) -> ProfileId {
    ProfileId(MARK | model.0 << 1 | u32::from(protocol == Protocol::Sccp))
}

/// The number is that of a predefined profile.
pub fn is_predefined(id: ProfileId) -> bool {
    id.0 & MARK != 0
}

/// The model and protocol that a predefined profile's number stands for.
pub fn predefined_of(id: ProfileId) -> Option<(ModelId, Protocol)> {
    let protocol = if id.0 & 1 == 0 { Protocol::Sip } else { Protocol::Sccp };
    is_predefined(id).then_some((ModelId((id.0 & !MARK) >> 1), protocol))
}

/// `<model> - Standard SIP Non-Secure Profile`, or with SCCP.
pub fn predefined_name(model: &str, protocol: Protocol) -> String {
    let suffix = match protocol {
        Protocol::Sip => SIP_SUFFIX,
        Protocol::Sccp => SCCP_SUFFIX,
    };
    [model, suffix].concat()
}

/// Model and protocol when `name` has the form of a predefined profile's name; whether such a model
/// exists is for the caller to find out.
pub fn split_predefined_name(name: &str) -> Option<(&str, Protocol)> {
    let sip = name.strip_suffix(SIP_SUFFIX).map(|m| (m, Protocol::Sip));
    sip.or_else(|| name.strip_suffix(SCCP_SUFFIX).map(|m| (m, Protocol::Sccp)))
}

/// The predefined profile of a model and protocol, `None` when the model does not speak it. Its
/// version is always 1, because it cannot be changed (R099).
pub fn predefined(model: &Model, protocol: Protocol) -> Option<SecurityProfile> {
    let settings = resolve(&ProfileFields::default(), model, protocol).ok()?;
    Some(SecurityProfile {
        id: predefined_id(model.id, protocol),
        version: ProfileVersion(1),
        name: predefined_name(&model.name, protocol),
        description: String::new(),
        model: model.name.clone().into_owned(),
        protocol,
        predefined: true,
        settings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mode::{DeviceSecurityMode, ProfileTransport};
    use crate::model::{LAST_MODEL, builtin, builtin_models};

    #[test]
    fn r094_one_per_model_and_protocol() {
        let mut ids = std::collections::HashSet::new();
        for model in builtin_models() {
            for protocol in [Protocol::Sip, Protocol::Sccp] {
                let found = predefined(model, protocol);
                assert_eq!(found.is_some(), model.protocols.has(protocol), "{}", model.name);
                let Some(p) = found else { continue };
                assert_eq!(p.settings.device_security_mode, DeviceSecurityMode::NonSecure);
                assert!(p.predefined && !p.settings.digest_authentication && ids.insert(p.id));
                assert_eq!(split_predefined_name(&p.name), Some((&*model.name, protocol)));
                assert_eq!(predefined_of(p.id), Some((model.id, protocol)));
            }
        }
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let p = predefined(builtin("Cisco 8845").unwrap(), Protocol::Sip).unwrap();
        assert_eq!(p.name, "Cisco 8845 - Standard SIP Non-Secure Profile");
        assert_eq!(p.settings.transport, ProfileTransport::TcpUdp);
        let p = predefined(builtin("Cisco 7965").unwrap(), Protocol::Sccp).unwrap();
        assert_eq!(p.name, "Cisco 7965 - Standard SCCP Non-Secure Profile");
        assert_eq!(p.settings.transport, ProfileTransport::Tcp);
        assert_eq!(split_predefined_name("Branch phones"), None);
    }

    #[test]
    fn numbers_do_not_meet() {
        let last = predefined_id(ModelId(LAST_MODEL), Protocol::Sccp);
        assert_eq!(predefined_of(last), Some((ModelId(LAST_MODEL), Protocol::Sccp)));
        assert_eq!(predefined_of(ProfileId(MARK - 1)), None);
    }
}
