//! What a check says.

use crate::hardening::Advice;

use super::RowError;

/// Most errors that a report names; the rest is counted.
pub const ERRORS_MAX: usize = 1000;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Position of the row in the slice, from 0, and what is wrong; at most [`ERRORS_MAX`].
    pub errors: Vec<(usize, RowError)>,
    /// Errors beyond these.
    pub more_errors: usize,
    /// What is allowed but worth knowing, one entry a code.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// Everything may be applied.
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }
}

/// What is allowed but worth knowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WarningCode {
    /// R059.
    ClusterNonSecure,
    /// R165.
    CredentialsInPlainFile,
    /// R196.
    DigestWithoutUser,
    /// R136.
    NullString,
    /// R181, R214.
    NoKnownCertificate,
    /// R146.
    WeakRsaKey,
    /// R147, R148.
    LongRsaKey,
    /// R064, R144.
    EncryptedConfigNeedsRsa,
    /// R023.
    WebAccessDisabled,
    /// R029.
    SettingsAccessDisabled,
    /// R034.
    HeadsetAlone,
    /// R090.
    EndOfMaintenance,
    /// R214.
    CapfCertificateUnknown,
    /// R128, R129.
    SrtpCiphersDiffer,
}

impl WarningCode {
    /// Stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterNonSecure => "cluster_non_secure",
            Self::CredentialsInPlainFile => "credentials_in_plain_file",
            Self::DigestWithoutUser => "digest_without_user",
            Self::NullString => "capf_null_string",
            Self::NoKnownCertificate => "no_known_certificate",
            Self::WeakRsaKey => "weak_rsa_key",
            Self::LongRsaKey => "long_rsa_key",
            Self::EncryptedConfigNeedsRsa => "encrypted_config_needs_rsa",
            Self::WebAccessDisabled => "web_access_disabled",
            Self::SettingsAccessDisabled => "settings_access_disabled",
            Self::HeadsetAlone => "headset_alone",
            Self::EndOfMaintenance => "end_of_maintenance",
            Self::CapfCertificateUnknown => "capf_certificate_unknown",
            Self::SrtpCiphersDiffer => "srtp_ciphers_differ",
        }
    }

    /// What it means and what to do.
    pub fn text(self) -> &'static str {
        match self {
            Self::ClusterNonSecure => {
                "an authenticated or encrypted profile has no effect while cluster_security_mode is non_secure; \
                 set it to mixed"
            }
            Self::CredentialsInPlainFile => {
                "the profile sends digest credentials in a plain configuration file; set tftp_encrypted_config"
            }
            Self::DigestWithoutUser => {
                "the phone's profile asks for digest, but the phone has no digest_user, so it cannot register"
            }
            Self::NullString => {
                "CAPF by null string gives a certificate to whoever asks; use it in closed environments only"
            }
            Self::NoKnownCertificate => {
                "the phone's profile needs a certificate, and none of the phone is known; install or upload one"
            }
            Self::CapfCertificateUnknown => {
                "the phone's profile authenticates CAPF by a certificate, and none of the phone is known: the \
                 operation fails if it has none"
            }
            Self::WebAccessDisabled => {
                "with web_access disabled the quality report tool and serviceability applications that read the \
                 phone's pages get nothing from it"
            }
            Self::SettingsAccessDisabled => {
                "with settings_access disabled the user of the phone cannot save the volume setting any more"
            }
            Self::HeadsetAlone => {
                "a phone can switch its headset off together with the speakerphone only; disable both"
            }
            Self::EndOfMaintenance => {
                "the model gets no firmware any more: such phones should stay on releases before the change to \
                 SHA-256 signatures"
            }
            Self::SrtpCiphersDiffer => {
                "with a strongest or medium tls_ciphers the same level is recommended for srtp_ciphers: AEAD AES-256 \
                 GCM only, or both AEAD AES-GCM"
            }
            Self::WeakRsaKey => "RSA keys of 512 or 1024 bits are weak; use 2048 or more",
            Self::LongRsaKey => {
                "the model is not known to make RSA keys of more than 2048 bits; try it with one phone, or use 2048"
            }
            Self::EncryptedConfigNeedsRsa => {
                "with key_order ec_only phones get no certificate with an RSA key, and a configuration file can be \
                 encrypted for an RSA key only; use ec_preferred_rsa_backup or rsa_only, or switch \
                 tftp_encrypted_config off"
            }
        }
    }
}

impl From<Advice> for WarningCode {
    fn from(advice: Advice) -> Self {
        match advice {
            Advice::WebAccessDisabled => Self::WebAccessDisabled,
            Advice::SettingsAccessDisabled => Self::SettingsAccessDisabled,
            Advice::HeadsetAlone => Self::HeadsetAlone,
        }
    }
}

/// A warning and how often it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What.
    pub code: WarningCode,
    /// Position of the first row it applies to.
    pub first_row: usize,
    /// Name of that row.
    pub first_name: String,
    /// Number of rows.
    pub rows: usize,
}
