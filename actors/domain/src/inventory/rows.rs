//! The shapes of the kinds (design §6). A row that exists is valid by itself: whatever can be judged
//! without other rows was judged when it was parsed.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use crate::hardening::Hardening;
use crate::ids::{DeviceName, Dn, UnixMillis, UserId};
use crate::mode::{DeviceSecurityMode, ProfileTransport, Protocol};
use crate::model::{Capabilities, Protocols, Stated, TlsCertificate, VendorClass};
use crate::profile::{CapfMode, CapfOperation, KeyOrder, ProfileFields};

use super::package::PackageRow;
use super::trunks::{SipRealmRow, TrunkRow, TrunkSecurityProfileRow};
use super::{Kind, ParameterRow, SecretField};

/// Most lines of one phone.
pub const LINES_MAX: usize = 200;

/// Longest name of a common phone profile, and longest description of a phone, in characters.
pub const TEXT_MAX: usize = 128;

/// Longest PEM text, in bytes: a leaf and its chain.
pub const PEM_MAX: usize = 64 * 1024;

/// Longest subject, in characters.
pub const SUBJECT_MAX: usize = 1024;

/// A row of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// `parameter`
    Parameter(ParameterRow),
    /// `phone_model`
    PhoneModel(Box<PhoneModelRow>),
    /// An installed package; never read from text.
    Package(PackageRow),
    /// `security_profile`
    SecurityProfile(Box<SecurityProfileRow>),
    /// `common_phone_profile`
    CommonPhoneProfile(CommonPhoneProfileRow),
    /// `enterprise_phone`
    EnterprisePhone(EnterprisePhoneRow),
    /// `application_user`
    ApplicationUser(UserRow),
    /// `end_user`
    EndUser(UserRow),
    /// `sip_realm`
    SipRealm(SipRealmRow),
    /// `trunk_security_profile`
    TrunkSecurityProfile(Box<TrunkSecurityProfileRow>),
    /// `trunk`
    Trunk(Box<TrunkRow>),
    /// `line`
    Line(LineRow),
    /// `phone`
    Phone(Box<PhoneRow>),
    /// `certificate`
    Certificate(Box<CertificateRow>),
}

impl Row {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Parameter(_) => Kind::Parameter,
            Self::PhoneModel(_) => Kind::PhoneModel,
            Self::Package(_) => Kind::Package,
            Self::SecurityProfile(_) => Kind::SecurityProfile,
            Self::CommonPhoneProfile(_) => Kind::CommonPhoneProfile,
            Self::EnterprisePhone(_) => Kind::EnterprisePhone,
            Self::ApplicationUser(_) => Kind::ApplicationUser,
            Self::EndUser(_) => Kind::EndUser,
            Self::SipRealm(_) => Kind::SipRealm,
            Self::TrunkSecurityProfile(_) => Kind::TrunkSecurityProfile,
            Self::Trunk(_) => Kind::Trunk,
            Self::Line(_) => Kind::Line,
            Self::Phone(_) => Kind::Phone,
            Self::Certificate(_) => Kind::Certificate,
        }
    }

    /// The name that is unique within the kind; a certificate's is purpose and fingerprint.
    pub fn name(&self) -> String {
        match self {
            Self::Parameter(r) => r.key(),
            Self::PhoneModel(r) => r.name.to_string(),
            Self::Package(r) => r.name.to_string(),
            Self::SecurityProfile(r) => r.name.to_string(),
            Self::CommonPhoneProfile(r) => r.name.to_string(),
            Self::EnterprisePhone(_) => "enterprise_phone".to_owned(),
            Self::ApplicationUser(r) | Self::EndUser(r) => r.id.to_string(),
            Self::SipRealm(r) => r.realm.to_string(),
            Self::TrunkSecurityProfile(r) => r.name.to_string(),
            Self::Trunk(r) => r.name.to_string(),
            Self::Line(r) => r.dn.to_string(),
            Self::Phone(r) => r.name.to_string(),
            Self::Certificate(r) => r.key().unwrap_or_default(),
        }
    }
}

/// Takes the field `kind` out of the way of `deny_unknown_fields`; it was read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tag;

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(d).map(|_| Self)
    }
}

/// `phone_model`: another maker's type of phone, or an own one newer than this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhoneModelRow {
    #[serde(default, rename = "kind", skip_serializing)]
    #[doc(hidden)]
    pub tag: Tag,
    /// Name, unique among built-in and imported ones.
    pub name: Box<str>,
    /// Category.
    pub vendor_class: VendorClass,
    /// Protocols, at least one.
    pub protocols: Protocols,
    /// Passed the security criteria (R039). Default false.
    #[serde(default)]
    pub trusted: bool,
    /// Abilities. `digest` is added to every SIP model (R069).
    #[serde(default)]
    pub capabilities: Capabilities,
    /// How its phones get a TLS certificate.
    #[serde(default)]
    pub tls_certificate: TlsCertificate,
    /// Features besides the capabilities, each yes or no; what is left out is unknown (R056).
    #[serde(default, skip_serializing_if = "Stated::is_empty")]
    pub features: Stated,
    /// Whatever else it offers in secure calls (R211).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secure_call_features: Vec<Box<str>>,
}

/// `security_profile`: the fields as written; what is in force follows from the model too
/// ([`crate::profile::resolve`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityProfileRow {
    #[serde(default, rename = "kind", skip_serializing)]
    #[doc(hidden)]
    pub tag: Tag,
    /// Name, unique (R103).
    pub name: Box<str>,
    /// At most 50 characters (R116).
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub description: Box<str>,
    /// Phone model.
    pub model: Box<str>,
    /// Protocol; default is the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Device security mode.
    pub device_security_mode: Option<DeviceSecurityMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Admitted transports.
    pub transport: Option<ProfileTransport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// All requests are challenged.
    pub digest_authentication: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Nonce lifetime in seconds.
    pub nonce_validity_s: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Only the encrypted file is served.
    pub tftp_encrypted_config: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Bearer token on the OAuth port.
    pub oauth_authentication: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Digest credentials stay out of the file.
    pub exclude_digest_credentials: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// CAPF authentication mode.
    pub capf_authentication_mode: Option<CapfMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Key order.
    pub key_order: Option<KeyOrder>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// RSA key size in bits.
    pub rsa_key_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// EC key size in bits.
    pub ec_key_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Port for requests to UDP phones without rport.
    pub sip_phone_port: Option<u16>,
}

impl SecurityProfileRow {
    /// The settings part, as the rules take it.
    pub fn fields(&self) -> ProfileFields {
        ProfileFields {
            device_security_mode: self.device_security_mode,
            transport: self.transport,
            digest_authentication: self.digest_authentication,
            nonce_validity_s: self.nonce_validity_s,
            tftp_encrypted_config: self.tftp_encrypted_config,
            oauth_authentication: self.oauth_authentication,
            exclude_digest_credentials: self.exclude_digest_credentials,
            capf_authentication_mode: self.capf_authentication_mode,
            key_order: self.key_order,
            rsa_key_size: self.rsa_key_size,
            ec_key_size: self.ec_key_size,
            sip_phone_port: self.sip_phone_port,
        }
    }
}

/// `common_phone_profile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommonPhoneProfileRow {
    #[serde(default, rename = "kind", skip_serializing)]
    #[doc(hidden)]
    pub tag: Tag,
    /// Name, unique.
    pub name: Box<str>,
    /// Switches of this level.
    #[serde(default, skip_serializing_if = "Hardening::is_empty")]
    pub hardening: Hardening,
}

/// `enterprise_phone`: there is one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnterprisePhoneRow {
    #[serde(default, rename = "kind", skip_serializing)]
    #[doc(hidden)]
    pub tag: Tag,
    /// Switches of this level.
    #[serde(default, skip_serializing_if = "Hardening::is_empty")]
    pub hardening: Hardening,
}

/// `end_user` or `application_user`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRow {
    #[serde(default, rename = "kind")]
    #[doc(hidden)]
    pub tag: Tag,
    /// Id, unique over both kinds.
    pub id: UserId,
    /// Alphanumeric, 1 to 128 characters (R204).
    #[serde(default)]
    pub digest_credentials: SecretField,
}

/// `line`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineRow {
    #[serde(default, rename = "kind", skip_serializing)]
    #[doc(hidden)]
    pub tag: Tag,
    /// Directory number, unique.
    pub dn: Dn,
}

/// `capf` of a phone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapfOrder {
    /// Default none.
    #[serde(default)]
    pub operation: CapfOperation,
    /// 4 to 10 digits that the user types (R135).
    #[serde(default)]
    pub authentication_string: SecretField,
}

/// `phone`. No field says whether it is trusted: that is the model's (R041).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhoneRow {
    #[serde(default, rename = "kind")]
    #[doc(hidden)]
    pub tag: Tag,
    /// Device name, unique.
    pub name: DeviceName,
    /// Phone model.
    pub model: Box<str>,
    /// Default is the model's.
    #[serde(default)]
    pub protocol: Option<Protocol>,
    /// At most [`TEXT_MAX`] characters.
    #[serde(default)]
    pub description: Box<str>,
    /// Name of its profile; default is the predefined non-secure one (R002, R212).
    #[serde(default)]
    pub security_profile: Option<Box<str>>,
    /// The user whose digest credentials the phone uses (R199).
    #[serde(default)]
    pub digest_user: Option<UserId>,
    /// Its lines in button order, at most [`LINES_MAX`], each once.
    #[serde(default)]
    pub lines: Vec<Dn>,
    /// Common phone profile.
    #[serde(default)]
    pub common_phone_profile: Option<Box<str>>,
    /// Switches of this level.
    #[serde(default)]
    pub hardening: Hardening,
    /// CAPF order.
    #[serde(default)]
    pub capf: Option<CapfOrder>,
    /// Who is logged in by Extension Mobility (R195).
    #[serde(default)]
    pub em_user: Login,
}

/// Who is logged in on a phone. That is the phone's state, not its configuration: a row that does not speak
/// of it logs nobody out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Login {
    /// The field is absent: as it is.
    #[default]
    Keep,
    /// The field is `null`: nobody.
    Out,
    /// This user.
    In(UserId),
}

impl Login {
    /// Who is logged in after this row, given who was before it.
    pub fn over(self, stored: Option<UserId>) -> Option<UserId> {
        match self {
            Self::Keep => stored,
            Self::Out => None,
            Self::In(user) => Some(user),
        }
    }
}

impl<'de> Deserialize<'de> for Login {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Option::<UserId>::deserialize(d)?.map_or(Self::Out, Self::In))
    }
}

/// What a certificate is trusted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purpose {
    /// Callers' certificates: MIC roots, other clusters' servers.
    #[serde(rename = "CallManager-trust")]
    CallManagerTrust,
    /// Issuers of LSCs (R082).
    #[serde(rename = "CAPF-trust")]
    CapfTrust,
    /// Signers that phones accept (R080).
    #[serde(rename = "Phone-SAST-trust")]
    PhoneSastTrust,
    /// Certificates of preferred-vendor phones (R055).
    #[serde(rename = "vendor-trust")]
    VendorTrust,
    /// Trunk peers.
    #[serde(rename = "trunk-trust")]
    TrunkTrust,
    /// Signers of packages of phone models (R066).
    #[serde(rename = "package-trust")]
    PackageTrust,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::CallManagerTrust,
        Self::CapfTrust,
        Self::PhoneSastTrust,
        Self::VendorTrust,
        Self::TrunkTrust,
        Self::PackageTrust,
    ];

    /// The purpose of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == name)
    }

    /// Name in rows and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallManagerTrust => "CallManager-trust",
            Self::CapfTrust => "CAPF-trust",
            Self::PhoneSastTrust => "Phone-SAST-trust",
            Self::VendorTrust => "vendor-trust",
            Self::TrunkTrust => "trunk-trust",
            Self::PackageTrust => "package-trust",
        }
    }
}

/// What was read from a certificate's PEM. Reading needs a certificate parser, so the caller does it
/// and puts the result into the row before the check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// SHA-256 of the DER, lower-case hex, 64 characters.
    pub fingerprint: Box<str>,
    /// Subject as text (RFC 4514).
    pub subject: Box<str>,
    /// Common name of the subject, empty when it has none.
    pub common_name: Box<str>,
    /// Subject alternative names of type DNS, as written.
    pub dns_names: Vec<Box<str>>,
    /// It has subject alternative names of another type (R074).
    pub other_names: bool,
    /// Basic constraints say CA.
    pub is_ca: bool,
    /// Start of validity.
    pub not_before: UnixMillis,
    /// End of validity.
    pub not_after: UnixMillis,
}

/// `certificate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRow {
    #[serde(default, rename = "kind", skip_serializing)]
    #[doc(hidden)]
    pub tag: Tag,
    /// What it is trusted for.
    pub purpose: Purpose,
    /// PEM text, at most [`PEM_MAX`] bytes.
    pub pem: Box<str>,
    /// The phone that a per-device vendor certificate belongs to (R072).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<DeviceName>,
    /// When given it must be the PEM's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<str>>,
    /// What was read from the PEM; not a field of the row.
    #[serde(skip)]
    pub facts: Option<CertificateFacts>,
}

impl CertificateRow {
    /// `<purpose>/<fingerprint>`; `None` before the PEM was read.
    pub fn key(&self) -> Option<String> {
        let facts = self.facts.as_ref()?;
        Some(format!("{}/{}", self.purpose.as_str(), facts.fingerprint))
    }
}
