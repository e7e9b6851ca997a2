//! The kinds of rows.

use std::fmt;

/// A kind of row, and of stored record. Order is load and apply order: whatever a row names belongs
/// to an earlier kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Stored only: the next number of profiles and of imported models, so that none is given twice.
    Counter,
    /// `parameter`
    Parameter,
    /// `phone_model`
    PhoneModel,
    /// Stored only: an installed package of phone models, which comes as a signed file.
    Package,
    /// `security_profile`
    SecurityProfile,
    /// `common_phone_profile`
    CommonPhoneProfile,
    /// `enterprise_phone`
    EnterprisePhone,
    /// `application_user`
    ApplicationUser,
    /// `end_user`
    EndUser,
    /// `sip_realm`
    SipRealm,
    /// `trunk_security_profile`
    TrunkSecurityProfile,
    /// `trunk`
    Trunk,
    /// `line`
    Line,
    /// `phone`
    Phone,
    /// `certificate`
    Certificate,
}

impl Kind {
    /// All kinds in the order in which stored records must be loaded.
    pub const LOAD_ORDER: [Self; 15] = [
        Self::Counter,
        Self::Parameter,
        Self::PhoneModel,
        Self::Package,
        Self::SecurityProfile,
        Self::CommonPhoneProfile,
        Self::EnterprisePhone,
        Self::ApplicationUser,
        Self::EndUser,
        Self::SipRealm,
        Self::TrunkSecurityProfile,
        Self::Trunk,
        Self::Line,
        Self::Phone,
        Self::Certificate,
    ];

    /// The kinds that rows may have, in order.
    pub fn rows() -> impl Iterator<Item = Self> {
        Self::LOAD_ORDER.into_iter().filter(|k| !matches!(k, Self::Counter | Self::Package))
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::rows().find(|k| k.as_str() == name)
    }

    /// Value of the field `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Parameter => "parameter",
            Self::PhoneModel => "phone_model",
            Self::Package => "package",
            Self::SecurityProfile => "security_profile",
            Self::CommonPhoneProfile => "common_phone_profile",
            Self::EnterprisePhone => "enterprise_phone",
            Self::ApplicationUser => "application_user",
            Self::EndUser => "end_user",
            Self::SipRealm => "sip_realm",
            Self::TrunkSecurityProfile => "trunk_security_profile",
            Self::Trunk => "trunk",
            Self::Line => "line",
            Self::Phone => "phone",
            Self::Certificate => "certificate",
        }
    }

    /// Field names of a row of this kind, without `kind`.
    pub const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Counter | Self::Package => &[],
            Self::Parameter => &["name", "node", "value"],
            Self::PhoneModel => &[
                "name",
                "vendor_class",
                "protocols",
                "trusted",
                "capabilities",
                "tls_certificate",
                "features",
                "secure_call_features",
            ],
            Self::SecurityProfile => &[
                "name",
                "description",
                "model",
                "protocol",
                "device_security_mode",
                "transport",
                "digest_authentication",
                "nonce_validity_s",
                "tftp_encrypted_config",
                "oauth_authentication",
                "exclude_digest_credentials",
                "capf_authentication_mode",
                "key_order",
                "rsa_key_size",
                "ec_key_size",
                "sip_phone_port",
            ],
            Self::CommonPhoneProfile => &["name", "hardening"],
            Self::EnterprisePhone => &["hardening"],
            Self::ApplicationUser | Self::EndUser => &["id", "digest_credentials"],
            Self::SipRealm => &["realm", "user", "digest_credentials"],
            Self::TrunkSecurityProfile => {
                &["name", "description", "device_security_mode", "digest_authentication", "x509_subject"]
            }
            Self::Trunk => &["name", "description", "destination", "security_profile"],
            Self::Line => &["dn"],
            Self::Phone => &[
                "name",
                "model",
                "protocol",
                "description",
                "security_profile",
                "digest_user",
                "lines",
                "common_phone_profile",
                "hardening",
                "capf",
                "em_user",
            ],
            Self::Certificate => &["purpose", "pem", "phone", "subject"],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
