//! The fields of a profile as data: their names, what was written into them, and the settings that they make.

use crate::mode::{DeviceSecurityMode, ProfileTransport};

use super::super::{CapfMode, KeyOrder, ProfileSettings};
use super::ProfileFields;

/// A field of a profile that depends on model and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Field {
    /// `device_security_mode`
    DeviceSecurityMode,
    /// `transport`
    Transport,
    /// `digest_authentication`
    DigestAuthentication,
    /// `nonce_validity_s`
    NonceValidityS,
    /// `tftp_encrypted_config`
    TftpEncryptedConfig,
    /// `oauth_authentication`
    OauthAuthentication,
    /// `exclude_digest_credentials`
    ExcludeDigestCredentials,
    /// `capf_authentication_mode`
    CapfAuthenticationMode,
    /// `key_order`
    KeyOrder,
    /// `rsa_key_size`
    RsaKeySize,
    /// `ec_key_size`
    EcKeySize,
    /// `sip_phone_port`
    SipPhonePort,
}

impl Field {
    /// All of them, in the order in which they are judged.
    pub const ALL: [Self; 12] = [
        Self::DeviceSecurityMode,
        Self::Transport,
        Self::DigestAuthentication,
        Self::NonceValidityS,
        Self::TftpEncryptedConfig,
        Self::OauthAuthentication,
        Self::ExcludeDigestCredentials,
        Self::CapfAuthenticationMode,
        Self::KeyOrder,
        Self::RsaKeySize,
        Self::EcKeySize,
        Self::SipPhonePort,
    ];

    /// Name in rows and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceSecurityMode => "device_security_mode",
            Self::Transport => "transport",
            Self::DigestAuthentication => "digest_authentication",
            Self::NonceValidityS => "nonce_validity_s",
            Self::TftpEncryptedConfig => "tftp_encrypted_config",
            Self::OauthAuthentication => "oauth_authentication",
            Self::ExcludeDigestCredentials => "exclude_digest_credentials",
            Self::CapfAuthenticationMode => "capf_authentication_mode",
            Self::KeyOrder => "key_order",
            Self::RsaKeySize => "rsa_key_size",
            Self::EcKeySize => "ec_key_size",
            Self::SipPhonePort => "sip_phone_port",
        }
    }

    /// Unit of its number.
    pub const fn unit(self) -> Option<&'static str> {
        match self {
            Self::NonceValidityS => Some("seconds"),
            Self::RsaKeySize | Self::EcKeySize => Some("bits"),
            _ => None,
        }
    }

    /// Help (R036).
    pub fn help(self) -> &'static str {
        crate::help::of("security_profile", self.as_str()).map_or("", |h| h.text)
    }
}

/// A value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    /// A switch.
    Bool(bool),
    /// A choice.
    Text(&'static str),
    /// A number.
    Number(u32),
}

impl Value {
    pub(super) fn text(self) -> &'static str {
        if let Self::Text(text) = self { text } else { "" }
    }

    fn number(self) -> u32 {
        if let Self::Number(n) = self { n } else { 0 }
    }
}

impl ProfileFields {
    /// What was written into a field.
    pub fn get(&self, field: Field) -> Option<Value> {
        match field {
            Field::DeviceSecurityMode => self.device_security_mode.map(|v| Value::Text(v.as_str())),
            Field::Transport => self.transport.map(|v| Value::Text(v.as_str())),
            Field::DigestAuthentication => self.digest_authentication.map(Value::Bool),
            Field::NonceValidityS => self.nonce_validity_s.map(Value::Number),
            Field::TftpEncryptedConfig => self.tftp_encrypted_config.map(Value::Bool),
            Field::OauthAuthentication => self.oauth_authentication.map(Value::Bool),
            Field::ExcludeDigestCredentials => self.exclude_digest_credentials.map(Value::Bool),
            Field::CapfAuthenticationMode => self.capf_authentication_mode.map(|v| Value::Text(v.as_str())),
            Field::KeyOrder => self.key_order.map(|v| Value::Text(v.as_str())),
            Field::RsaKeySize => self.rsa_key_size.map(Value::Number),
            Field::EcKeySize => self.ec_key_size.map(Value::Number),
            Field::SipPhonePort => self.sip_phone_port.map(|v| Value::Number(v.into())),
        }
    }
}

/// The values of all fields.
pub(super) struct Chosen(pub(super) [Value; Field::ALL.len()]);

impl Chosen {
    pub(super) fn of(&self, field: Field) -> Value {
        self.0[field as usize]
    }

    /// The settings that they make.
    pub(super) fn settings(&self) -> ProfileSettings {
        let on = |field| self.of(field) == Value::Bool(true);
        let text = |field| self.of(field).text();
        let number = |field| self.of(field).number();
        ProfileSettings {
            device_security_mode: match text(Field::DeviceSecurityMode) {
                "encrypted" => DeviceSecurityMode::Encrypted,
                "authenticated" => DeviceSecurityMode::Authenticated,
                _ => DeviceSecurityMode::NonSecure,
            },
            transport: match text(Field::Transport) {
                "tls" => ProfileTransport::Tls,
                "tcp" => ProfileTransport::Tcp,
                "udp" => ProfileTransport::Udp,
                _ => ProfileTransport::TcpUdp,
            },
            digest_authentication: on(Field::DigestAuthentication),
            nonce_validity_s: number(Field::NonceValidityS),
            tftp_encrypted_config: on(Field::TftpEncryptedConfig),
            oauth_authentication: on(Field::OauthAuthentication),
            exclude_digest_credentials: on(Field::ExcludeDigestCredentials),
            capf_authentication_mode: match text(Field::CapfAuthenticationMode) {
                "null_string" => CapfMode::NullString,
                "existing_certificate_lsc" => CapfMode::ExistingCertificateLsc,
                "existing_certificate_mic" => CapfMode::ExistingCertificateMic,
                _ => CapfMode::AuthenticationString,
            },
            key_order: match text(Field::KeyOrder) {
                "ec_only" => KeyOrder::EcOnly,
                "ec_preferred_rsa_backup" => KeyOrder::EcPreferredRsaBackup,
                _ => KeyOrder::RsaOnly,
            },
            rsa_key_size: number(Field::RsaKeySize),
            ec_key_size: number(Field::EcKeySize),
            sip_phone_port: u16::try_from(number(Field::SipPhonePort)).unwrap_or(u16::MAX),
        }
    }
}
