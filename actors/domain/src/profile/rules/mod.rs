//! Which settings a profile may have (R097–R098, R116–R117, R144–R174).
//!
//! [`options`] is the one capability function: it says which fields a model and protocol have, with which
//! values, under which conditions. [`resolve`] takes the fields that somebody wrote and gives the settings
//! in force, or the first rule they break; it knows no rule of its own but walks what [`options`] says. API,
//! command line and import go through these two, so nothing is offered that would be refused (R215).

use crate::mode::{DeviceSecurityMode, ProfileTransport, Protocol};

use super::{CapfMode, KeyOrder};

mod field;
mod options;
mod resolve;

pub use field::{Field, Value};
pub use options::{Absent, Condition, FieldOption, Options, PhoneOptions, Size, Values, options};
pub use resolve::resolve;

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

/// Longest RSA key that counts as weak, in bits (R146, R172).
pub const RSA_WEAK_MAX: u32 = 1024;

const RSA_KEY_SIZE_DEFAULT: u32 = 2048;
/// What the source gives SIP profiles (R172): weak, so it is told and not used.
const RSA_KEY_SIZE_LEGACY_SIP: u32 = 1024;
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
    #[error("`{model}` does not support that `device_security_mode`; use {allowed}")]
    Mode {
        /// Model.
        model: String,
        /// The ones that it supports.
        allowed: String,
    },
    /// R158, R160, R161.
    #[error("transport {given} does not go with this model and device_security_mode; use {allowed}")]
    Transport {
        /// As given.
        given: &'static str,
        /// The ones that go.
        allowed: String,
    },
    /// A choice that the model does not support.
    #[error("`{model}` does not support `{field}` {given}; use {allowed}")]
    Choice {
        /// Model.
        model: String,
        /// Field.
        field: &'static str,
        /// As given.
        given: &'static str,
        /// The ones that it supports.
        allowed: String,
    },
    /// R097, R164, R170, R171.
    #[error(
        "`{model}` on {} has no `{field}`; leave the field out, and where the profile has it from before, set it to null",
        .protocol.label()
    )]
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
            Self::Choice { .. } => "choice_unsupported",
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

#[cfg(test)]
mod tests;
