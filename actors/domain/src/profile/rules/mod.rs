//! Which settings a profile may have (R097–R098, R116–R117, R144–R174).
//!
//! [`options`] says what a model and protocol offer; [`resolve`] takes the fields that somebody wrote
//! and gives the settings in force, or the first rule they break. Both the admin API and the import
//! go through these two, so nothing is offered that would be refused (R215).

use crate::mode::{DeviceSecurityMode, ProfileTransport, Protocol};
use crate::model::{Capability, Model, VendorClass};

use super::{CapfMode, KeyOrder, ProfileSettings};

/// Longest profile name, in characters: a DNS name fits, which the name must equal where phones
/// share a certificate (R075).
pub const NAME_MAX: usize = 253;

/// Longest description, in characters, not bytes (R116).
pub const DESCRIPTION_MAX: usize = 50;

/// Nonce lifetime when none is given, in seconds (R152).
pub const NONCE_VALIDITY_DEFAULT_S: u32 = 600;

/// Shortest and longest nonce lifetime, in seconds (R152).
pub const NONCE_VALIDITY_S: (u32, u32) = (1, 86_400);

/// RSA key sizes in bits (R146).
pub const RSA_KEY_SIZES: [u32; 5] = [512, 1024, 2048, 3072, 4096];

/// EC key sizes in bits (R149).
pub const EC_KEY_SIZES: [u32; 3] = [256, 384, 521];

const RSA_KEY_SIZE_DEFAULT: u32 = 2048;
const EC_KEY_SIZE_DEFAULT: u32 = 384;
const SIP_PHONE_PORT_DEFAULT: u16 = 5060;

/// Not allowed in a description (R117).
const DESCRIPTION_FORBIDDEN: [char; 6] = ['"', '%', '&', '\\', '<', '>'];

/// The fields of a profile as somebody wrote them; `None` is a field left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileFields {
    /// Default non_secure.
    pub device_security_mode: Option<DeviceSecurityMode>,
    /// Default: the only one, or `tcp_udp`.
    pub transport: Option<ProfileTransport>,
    /// Default off.
    pub digest_authentication: Option<bool>,
    /// Default 600 s.
    pub nonce_validity_s: Option<u32>,
    /// Default off.
    pub tftp_encrypted_config: Option<bool>,
    /// Default off.
    pub oauth_authentication: Option<bool>,
    /// Default off.
    pub exclude_digest_credentials: Option<bool>,
    /// Default authentication_string, the one that needs somebody at the phone.
    pub capf_authentication_mode: Option<CapfMode>,
    /// Default rsa_only.
    pub key_order: Option<KeyOrder>,
    /// Default 2048 (R172: the legacy default 1024 is weak).
    pub rsa_key_size: Option<u32>,
    /// Default 384.
    pub ec_key_size: Option<u32>,
    /// Default 5060.
    pub sip_phone_port: Option<u16>,
}

/// What a model and protocol offer in a profile: the one capability function for API, UI and import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldOptions {
    /// Device security modes; only `non_secure` when the mode cannot be configured.
    pub modes: &'static [DeviceSecurityMode],
    /// Transports while non-secure, the default first.
    pub non_secure_transports: &'static [ProfileTransport],
    /// Digest authentication, nonce validity, phone port.
    pub sip_fields: bool,
    /// Encrypted configuration (R164).
    pub encrypted_config: bool,
    /// OAuth (R169).
    pub oauth: bool,
    /// Leaving digest credentials out of the file (R170).
    pub exclude_digest_credentials: bool,
    /// CAPF authentication mode, key order and sizes (R171).
    pub capf: bool,
}

impl FieldOptions {
    /// The transports that go with a mode, the default first (R158, R160).
    pub fn transports(&self, mode: DeviceSecurityMode) -> &'static [ProfileTransport] {
        match mode {
            DeviceSecurityMode::NonSecure => self.non_secure_transports,
            DeviceSecurityMode::Authenticated | DeviceSecurityMode::Encrypted => &[ProfileTransport::Tls],
        }
    }
}

/// Which rule a profile breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Empty, too long or with a character that names may not hold.
    #[error("profile name {0}")]
    Name(String),
    /// R116.
    #[error("description has {length} characters; at most {DESCRIPTION_MAX} are allowed")]
    DescriptionTooLong {
        /// Characters given.
        length: usize,
    },
    /// R117.
    #[error("description holds {bad:?}; it may not hold \" % & \\ < > or control characters")]
    DescriptionCharacter {
        /// The first offending character.
        bad: char,
    },
    /// The model does not speak the protocol.
    #[error("`{model}` does not speak {}", .protocol.label())]
    Protocol {
        /// Model.
        model: String,
        /// Protocol asked for.
        protocol: Protocol,
    },
    /// R098.
    #[error("`{model}` supports no device security mode, so `device_security_mode` must be non_secure")]
    Mode {
        /// Model.
        model: String,
    },
    /// R158, R160, R161.
    #[error("transport {given} does not go with this model and device_security_mode; use {allowed}")]
    Transport {
        /// As given.
        given: &'static str,
        /// The ones that go.
        allowed: String,
    },
    /// R097, R164, R170, R171.
    #[error("`{model}` on {} has no `{field}`; leave the field out", .protocol.label())]
    Unsupported {
        /// Model.
        model: String,
        /// Protocol.
        protocol: Protocol,
        /// Field.
        field: &'static str,
    },
    /// R146, R149, R152, R174.
    #[error("`{field}` is {value}; allowed are {allowed}")]
    Range {
        /// Field.
        field: &'static str,
        /// As given.
        value: u32,
        /// Allowed values in words.
        allowed: String,
    },
    /// R166, R168.
    #[error(
        "`oauth_authentication` needs device_security_mode encrypted, transport tls, digest_authentication \
         off and tftp_encrypted_config off; here {broken}"
    )]
    Oauth {
        /// The conditions that fail.
        broken: String,
    },
}

impl ProfileError {
    /// Stable code for the API and for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name(_) => "profile_name",
            Self::DescriptionTooLong { .. } => "description_too_long",
            Self::DescriptionCharacter { .. } => "description_character",
            Self::Protocol { .. } => "model_protocol",
            Self::Mode { .. } => "mode_unsupported",
            Self::Transport { .. } => "transport_not_allowed",
            Self::Unsupported { .. } => "field_unsupported",
            Self::Range { .. } => "out_of_range",
            Self::Oauth { .. } => "oauth_conditions",
        }
    }
}

/// Checks a profile name: 1 to [`NAME_MAX`] characters, no control characters, no blank at an end.
pub fn check_name(name: &str) -> Result<(), ProfileError> {
    let length = name.chars().count();
    let fault = if name.is_empty() {
        "is empty".to_owned()
    } else if length > NAME_MAX {
        format!("has {length} characters; at most {NAME_MAX} are allowed")
    } else if name.chars().any(char::is_control) {
        "holds a control character".to_owned()
    } else if name.trim() != name {
        format!("`{name}` begins or ends with a blank")
    } else {
        return Ok(());
    };
    Err(ProfileError::Name(fault))
}

/// Checks a description (R116, R117).
pub fn check_description(text: &str) -> Result<(), ProfileError> {
    let length = text.chars().count();
    if length > DESCRIPTION_MAX {
        return Err(ProfileError::DescriptionTooLong { length });
    }
    match text.chars().find(|c| DESCRIPTION_FORBIDDEN.contains(c) || c.is_control()) {
        Some(bad) => Err(ProfileError::DescriptionCharacter { bad }),
        None => Ok(()),
    }
}

/// What `model` offers on `protocol`.
pub fn options(model: &Model, protocol: Protocol) -> FieldOptions {
    use DeviceSecurityMode::{Authenticated, Encrypted, NonSecure};
    use ProfileTransport::{Tcp, TcpUdp, Udp};
    let own = model.vendor_class == VendorClass::Own;
    let sip = protocol == Protocol::Sip;
    let has_mode = model.can(Capability::DeviceSecurityMode);
    FieldOptions {
        modes: if has_mode { &[NonSecure, Authenticated, Encrypted] } else { &[NonSecure] },
        non_secure_transports: match (sip, has_mode) {
            (true, true) => &[TcpUdp, Tcp, Udp],
            (true, false) => &[Udp],
            (false, _) => &[Tcp],
        },
        sip_fields: sip,
        encrypted_config: own && model.can(Capability::EncryptedConfig),
        oauth: sip && has_mode && model.can(Capability::Oauth),
        exclude_digest_credentials: sip && model.can(Capability::ManualDigest),
        capf: own && model.can(Capability::Capf),
    }
}

/// The settings in force for the given fields, or the first broken rule.
pub fn resolve(
    fields: &ProfileFields,
    model: &Model,
    protocol: Protocol,
) -> Result<ProfileSettings, ProfileError> {
    if !model.protocols.has(protocol) {
        return Err(ProfileError::Protocol { model: model.name.to_string(), protocol });
    }
    let offered = options(model, protocol);
    let mode = fields.device_security_mode.unwrap_or_default();
    if !offered.modes.contains(&mode) {
        return Err(ProfileError::Mode { model: model.name.to_string() });
    }
    // A switch that is written as `false` says no more than one left out; a value for a field that
    // the model does not have is refused.
    let digest = fields.digest_authentication.unwrap_or(false);
    let encrypted_config = fields.tftp_encrypted_config.unwrap_or(false);
    let oauth = fields.oauth_authentication.unwrap_or(false);
    let exclude = fields.exclude_digest_credentials.unwrap_or(false);
    let unless = [
        (digest, offered.sip_fields && model.can(Capability::Digest), "digest_authentication"),
        (
            fields.nonce_validity_s.is_some_and(|n| n != NONCE_VALIDITY_DEFAULT_S),
            offered.sip_fields,
            "nonce_validity_s",
        ),
        (
            fields.sip_phone_port.is_some_and(|p| p != SIP_PHONE_PORT_DEFAULT),
            offered.sip_fields,
            "sip_phone_port",
        ),
        (encrypted_config, offered.encrypted_config, "tftp_encrypted_config"),
        (exclude, offered.exclude_digest_credentials, "exclude_digest_credentials"),
        (fields.capf_authentication_mode.is_some(), offered.capf, "capf_authentication_mode"),
        (fields.key_order.is_some(), offered.capf, "key_order"),
        (fields.rsa_key_size.is_some(), offered.capf, "rsa_key_size"),
        (fields.ec_key_size.is_some(), offered.capf, "ec_key_size"),
        (oauth, offered.oauth, "oauth_authentication"),
    ];
    if let Some((_, _, field)) = unless.into_iter().find(|(given, has, _)| *given && !has) {
        return Err(ProfileError::Unsupported { model: model.name.to_string(), protocol, field });
    }
    let transport = transport(fields.transport, offered.transports(mode))?;
    if oauth {
        check_oauth(mode, transport, digest, encrypted_config)?;
    }
    Ok(ProfileSettings {
        device_security_mode: mode,
        transport,
        digest_authentication: digest,
        nonce_validity_s: in_range(
            "nonce_validity_s",
            fields.nonce_validity_s.unwrap_or(NONCE_VALIDITY_DEFAULT_S),
            NONCE_VALIDITY_S,
        )?,
        tftp_encrypted_config: encrypted_config,
        oauth_authentication: oauth,
        exclude_digest_credentials: exclude,
        capf_authentication_mode: fields.capf_authentication_mode.unwrap_or(CapfMode::AuthenticationString),
        key_order: fields.key_order.unwrap_or(KeyOrder::RsaOnly),
        rsa_key_size: one_of(
            "rsa_key_size",
            fields.rsa_key_size.unwrap_or(RSA_KEY_SIZE_DEFAULT),
            &RSA_KEY_SIZES,
        )?,
        ec_key_size: one_of("ec_key_size", fields.ec_key_size.unwrap_or(EC_KEY_SIZE_DEFAULT), &EC_KEY_SIZES)?,
        sip_phone_port: match fields.sip_phone_port {
            Some(0) => {
                in_range("sip_phone_port", 0, (1, u32::from(u16::MAX)))?;
                SIP_PHONE_PORT_DEFAULT
            }
            Some(port) => port,
            None => SIP_PHONE_PORT_DEFAULT,
        },
    })
}

fn transport(
    given: Option<ProfileTransport>,
    allowed: &'static [ProfileTransport],
) -> Result<ProfileTransport, ProfileError> {
    match given {
        None => Ok(allowed[0]),
        Some(t) if allowed.contains(&t) => Ok(t),
        Some(t) => Err(ProfileError::Transport {
            given: transport_name(t),
            allowed: allowed.iter().map(|t| transport_name(*t)).collect::<Vec<_>>().join(", "),
        }),
    }
}

fn check_oauth(
    mode: DeviceSecurityMode,
    transport: ProfileTransport,
    digest: bool,
    encrypted_config: bool,
) -> Result<(), ProfileError> {
    let conditions = [
        (mode != DeviceSecurityMode::Encrypted, "device_security_mode is not encrypted"),
        (transport != ProfileTransport::Tls, "transport is not tls"),
        (digest, "digest_authentication is on"),
        (encrypted_config, "tftp_encrypted_config is on"),
    ];
    let broken: Vec<_> = conditions.into_iter().filter(|(b, _)| *b).map(|(_, text)| text).collect();
    if broken.is_empty() { Ok(()) } else { Err(ProfileError::Oauth { broken: broken.join(", ") }) }
}

fn in_range(field: &'static str, value: u32, (min, max): (u32, u32)) -> Result<u32, ProfileError> {
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(ProfileError::Range { field, value, allowed: format!("{min} to {max}") })
}

fn one_of(field: &'static str, value: u32, allowed: &[u32]) -> Result<u32, ProfileError> {
    if allowed.contains(&value) {
        return Ok(value);
    }
    let allowed = allowed.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    Err(ProfileError::Range { field, value, allowed })
}

fn transport_name(t: ProfileTransport) -> &'static str {
    match t {
        ProfileTransport::Tcp => "tcp",
        ProfileTransport::Udp => "udp",
        ProfileTransport::TcpUdp => "tcp_udp",
        ProfileTransport::Tls => "tls",
    }
}

#[cfg(test)]
mod tests;
