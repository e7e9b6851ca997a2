//! Phone security profiles (requirements J–L).

use serde::{Deserialize, Serialize};

use crate::ids::{ProfileId, ProfileVersion};
use crate::mode::{DeviceSecurityMode, ProfileTransport, Protocol};

mod keys;
mod naming;
mod predefined;
mod rules;

pub use keys::{KeyRemarks, LongKey, RSA_COMMON_MAX, key_remarks};
pub use naming::proposed_name;

pub use predefined::{
    is_predefined, predefined, predefined_id, predefined_name, predefined_of, split_predefined_name,
};
pub use rules::{
    Absent, Condition, DESCRIPTION_MAX, EC_KEY_SIZES, Field, FieldOption, NAME_MAX, NONCE_VALIDITY_DEFAULT_S,
    NONCE_VALIDITY_S, Options, PhoneOptions, ProfileError, ProfileFields, RSA_KEY_SIZES, RSA_WEAK_MAX, Size,
    Value, Values, check_description, check_name, options, resolve,
};

/// CAPF authentication mode (R135–R141).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapfMode {
    /// By authentication string.
    AuthenticationString,
    /// By null string.
    NullString,
    /// By existing certificate, precedence to LSC.
    ExistingCertificateLsc,
    /// By existing certificate, precedence to MIC.
    ExistingCertificateMic,
}

/// A CAPF operation asked for on a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapfOperation {
    /// Nothing is scheduled.
    #[default]
    None,
    /// A first certificate.
    Install,
    /// Another certificate.
    Upgrade,
    /// Remove the certificate.
    Delete,
    /// Fetch the phone's certificates.
    Troubleshoot,
}

impl CapfMode {
    /// Name in rows and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticationString => "authentication_string",
            Self::NullString => "null_string",
            Self::ExistingCertificateLsc => "existing_certificate_lsc",
            Self::ExistingCertificateMic => "existing_certificate_mic",
        }
    }
}

impl CapfOperation {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Install, Self::Upgrade, Self::Delete, Self::Troubleshoot];

    /// Name in rows and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Install => "install",
            Self::Upgrade => "upgrade",
            Self::Delete => "delete",
            Self::Troubleshoot => "troubleshoot",
        }
    }
}

impl KeyOrder {
    /// Name in rows and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaOnly => "rsa_only",
            Self::EcOnly => "ec_only",
            Self::EcPreferredRsaBackup => "ec_preferred_rsa_backup",
        }
    }
}

/// Key order (R144).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrder {
    /// RSA only.
    RsaOnly,
    /// EC only.
    EcOnly,
    /// EC preferred, RSA backup.
    EcPreferredRsaBackup,
}

/// The security settings of one profile version: what admission judges by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProfileSettings {
    /// Device security mode.
    pub device_security_mode: DeviceSecurityMode,
    /// Admitted transports.
    pub transport: ProfileTransport,
    /// All requests are challenged (R162).
    pub digest_authentication: bool,
    /// Nonce lifetime in seconds, 1–86400 (R152).
    pub nonce_validity_s: u32,
    /// Only the encrypted file is served (R134).
    pub tftp_encrypted_config: bool,
    /// Bearer token on the OAuth port (R166).
    pub oauth_authentication: bool,
    /// Digest credentials stay out of the file (R170).
    pub exclude_digest_credentials: bool,
    /// CAPF authentication mode.
    pub capf_authentication_mode: CapfMode,
    /// Key order.
    pub key_order: KeyOrder,
    /// RSA key size in bits (R146).
    pub rsa_key_size: u32,
    /// EC key size in bits (R149).
    pub ec_key_size: u32,
    /// Port for requests to UDP phones without rport (R174).
    pub sip_phone_port: u16,
}

/// One saved version of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityProfile {
    /// Stable number.
    pub id: ProfileId,
    /// Version, from 1.
    pub version: ProfileVersion,
    /// Name, unique (R103).
    pub name: String,
    /// At most 50 characters (R116).
    pub description: String,
    /// Phone model (R091).
    pub model: String,
    /// Protocol (R091).
    pub protocol: Protocol,
    /// Predefined profiles cannot be changed or deleted (R099, R100).
    pub predefined: bool,
    /// The settings.
    pub settings: ProfileSettings,
}
