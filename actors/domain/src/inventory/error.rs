//! Why a row, a file or a removal is refused.

use crate::mode::Protocol;
use crate::model::PackageError;
use crate::profile::ProfileError;

use super::Kind;

/// Why a row is refused. The text names the value, the limit and what to do; [`RowError::code`] is
/// stable. No text holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// Not a JSON object.
    #[error("not a JSON object: {reason}")]
    Json {
        /// What the parser says.
        reason: String,
    },
    /// Longer than [`super::ROW_BYTES_MAX`].
    #[error("row has {bytes} bytes; at most {} are allowed", super::ROW_BYTES_MAX)]
    TooLong {
        /// Bytes of the row.
        bytes: usize,
    },
    /// No `kind`.
    #[error("field `kind` is missing; it is one of {}", kinds())]
    KindMissing,
    /// A `kind` that nobody knows.
    #[error("unknown kind `{kind}`{hint}; known are {}", kinds())]
    KindUnknown {
        /// As given, shortened.
        kind: String,
        /// ` (did you mean …?)` or nothing.
        hint: String,
    },
    /// A field that the kind does not have.
    #[error("{kind} has no field `{field}`{hint}")]
    FieldUnknown {
        /// Kind of the row.
        kind: Kind,
        /// As given, shortened.
        field: String,
        /// The nearest known field, or why there is none.
        hint: String,
    },
    /// A field that must be there.
    #[error("{kind}: field `{field}` is missing")]
    FieldMissing {
        /// Kind of the row.
        kind: Kind,
        /// The field.
        field: String,
    },
    /// A value of the wrong type, range or form.
    #[error("{kind}: field `{field}`: {reason}")]
    Field {
        /// Kind of the row.
        kind: Kind,
        /// The field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A parameter that nobody knows.
    #[error("unknown parameter `{name}`{hint}")]
    ParameterUnknown {
        /// As given, shortened.
        name: String,
        /// ` (did you mean …?)` or nothing.
        hint: String,
    },
    /// A parameter's value of the wrong type or range.
    #[error("parameter `{name}`: {value} is not allowed; give {allowed}")]
    ParameterValue {
        /// The parameter.
        name: &'static str,
        /// As given, shortened.
        value: String,
        /// Allowed values in words.
        allowed: String,
    },
    /// A node's own value of a parameter that is the same on all nodes.
    #[error(
        "parameter `{name}` is one for all nodes, so node `{node}` has none of its own; leave the node out"
    )]
    ParameterOfCluster {
        /// The parameter.
        name: &'static str,
        /// The node asked for.
        node: String,
    },
    /// A name that no node can have.
    #[error("`{name}` is no node name; use 1 to 64 letters, digits, `-`, `_` and `.`")]
    NodeName {
        /// As given.
        name: String,
    },
    /// A node on which call processing does not run (R208).
    #[error(
        "parameter `{name}`: call processing is not active on node `{node}`; active: {active}. Name one of them, \
         or leave the node out to set it for all"
    )]
    NodeInactive {
        /// The parameter.
        name: &'static str,
        /// The node asked for.
        node: String,
        /// The nodes that run call processing.
        active: String,
    },
    /// Parameters that contradict each other.
    #[error("parameters contradict each other: {0}")]
    ParameterConflict(String),
    /// A profile breaks a rule of profiles.
    #[error("security profile `{name}`: {error}")]
    Profile {
        /// The profile.
        name: String,
        /// The rule.
        error: ProfileError,
    },
    /// R099, R100.
    #[error(
        "`{name}` is a predefined profile, which cannot be changed or deleted; copy it under another name"
    )]
    ProfilePredefined {
        /// The profile.
        name: String,
    },
    /// Model and protocol are part of a profile's identity (R091).
    #[error(
        "security profile `{name}` is for `{model}` on {}; that cannot change, make another profile",
        .protocol.label()
    )]
    ProfileIdentity {
        /// The profile.
        name: String,
        /// Its model.
        model: String,
        /// Its protocol.
        protocol: Protocol,
    },
    /// R180.
    #[error(
        "phone {phone} is a `{model}` on {}, but security profile `{profile}` is for `{profile_model}` on {}",
        .protocol.label(),
        .profile_protocol.label()
    )]
    ProfileOfOtherModel {
        /// The phone.
        phone: String,
        /// Its model.
        model: String,
        /// Its protocol.
        protocol: Protocol,
        /// The profile.
        profile: String,
        /// The profile's model.
        profile_model: String,
        /// The profile's protocol.
        profile_protocol: Protocol,
    },
    /// R042.
    #[error("`{name}` is a built-in model, which cannot be changed")]
    ModelBuiltin {
        /// The model.
        name: String,
    },
    /// Attributes of a model that contradict each other.
    #[error("phone model `{name}`: {reason}")]
    Model {
        /// The model.
        name: String,
        /// The contradiction.
        reason: String,
    },
    /// The row names something that is neither stored nor in the file.
    #[error("{by} names {kind} `{name}`, which does not exist; add it, in the same file if you like")]
    ReferenceMissing {
        /// The row that names it.
        by: String,
        /// Kind of the missing thing.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The model does not speak the phone's protocol.
    #[error("phone {phone}: `{model}` does not speak {}", .protocol.label())]
    PhoneProtocol {
        /// The phone.
        phone: String,
        /// Its model.
        model: String,
        /// The protocol asked for.
        protocol: Protocol,
    },
    /// R062, R197.
    #[error(
        "phone {phone}: digest user `{user}` has no digest_credentials; set them first (an export without \
         secrets leaves them out)"
    )]
    DigestUserWithoutCredentials {
        /// The phone.
        phone: String,
        /// The user.
        user: String,
    },
    /// R196.
    #[error("phone {phone}: digest user `{user}` is already that of phone {other}; each phone needs its own")]
    DigestUserShared {
        /// The phone.
        phone: String,
        /// The user.
        user: String,
        /// The phone that has it.
        other: String,
    },
    /// R195: a user is logged in on one phone, unless policy allows more.
    #[error("phone {phone}: user `{user}` is logged in on phone {other}; log it out there first")]
    LoggedInElsewhere {
        /// The phone.
        phone: String,
        /// The user.
        user: String,
        /// The phone where it is logged in.
        other: String,
    },
    /// R146 under the policy `refuse`.
    #[error(
        "security profile `{name}`: RSA keys of {bits} bits are weak, and the parameter weak_keys forbids them; \
         use 2048 or more"
    )]
    WeakKey {
        /// The profile.
        name: String,
        /// Bits.
        bits: u32,
    },
    /// R032.
    #[error("phone {phone}: `{switch}` means nothing on a `{model}`; leave the switch out")]
    SwitchMeaningless {
        /// The phone.
        phone: String,
        /// Its model.
        model: String,
        /// The switch.
        switch: &'static str,
    },
    /// R066–R071.
    #[error("{0}")]
    Package(PackageError),
    /// What a signed package says of a model is not an administrator's to change (R042, R066).
    #[error(
        "phone model `{name}` came with package `{package}`; only a newer version of it changes the model"
    )]
    ModelOfPackage {
        /// The model.
        name: String,
        /// The package.
        package: String,
    },
    /// R071: a certificate of its own for a phone whose type shares one.
    #[error("certificate: phones of `{model}` share a certificate, so none belongs to {phone} alone")]
    CertificateMode {
        /// The phone.
        phone: String,
        /// Its model.
        model: String,
    },
    /// One id in both stores would make a digest user ambiguous.
    #[error("user `{user}` exists as {other}; an id may be in one of end_user and application_user only")]
    UserInOtherStore {
        /// The user.
        user: String,
        /// The store that has it.
        other: Kind,
    },
    /// Credentials that a phone needs cannot be cleared.
    #[error("user `{user}` is the digest user of phone {phone}; give the phone another one first")]
    CredentialsInUse {
        /// The user.
        user: String,
        /// The phone.
        phone: String,
    },
    /// R181 under the policy `refuse`.
    #[error(
        "phone {phone}: no certificate of it is known, and its profile needs one; install or upload one first, \
         or repeat with force"
    )]
    NoKnownCertificate {
        /// The phone.
        phone: String,
    },
    /// R190.
    #[error(
        "{name}: secure trunks need the export-controlled permission (parameter export_controlled_allowed); use \
         device_security_mode non_secure"
    )]
    ExportControlled {
        /// The trunk or its profile.
        name: String,
    },
    /// R054: other makers' phones, and models without it.
    #[error("phone {phone}: `{model}` has no CAPF, so no operation can be ordered for it")]
    CapfUnsupported {
        /// The phone.
        phone: String,
        /// Its model.
        model: String,
    },
    /// R105, R135.
    #[error(
        "phone {phone}: its profile authenticates CAPF by a string, and none is set; give \
         capf.authentication_string, or choose another authentication_mode first"
    )]
    CapfSettingsMissing {
        /// The phone.
        phone: String,
    },
    /// R214.
    #[error(
        "phone {phone}: its profile authenticates CAPF by a certificate that the phone has, and none of it is \
         known; choose another authentication_mode, or repeat with force"
    )]
    CapfCertificateUnknown {
        /// The phone.
        phone: String,
    },
    /// The certificate was not read before the check.
    #[error("certificate without facts: its PEM must be read before the row is checked")]
    CertificateUnread,
    /// The optional subject of the row is not that of the PEM.
    #[error("certificate: field `subject` is `{given}`, but the PEM's subject is `{found}`")]
    CertificateSubject {
        /// As given.
        given: String,
        /// As read.
        found: String,
    },
    /// R101, R185 and the like.
    #[error("{kind} `{name}` is in use by {by}; change or delete those first")]
    InUse {
        /// Kind.
        kind: Kind,
        /// Name.
        name: String,
        /// By what, with a count and an example.
        by: String,
    },
    /// Auto-registration lets this phone not in (R212).
    #[error("phone {name} is not let in by auto-registration: {reason}")]
    Adoption {
        /// The phone.
        name: String,
        /// Why.
        reason: String,
    },
    /// R212: auto-registration made as many phones as it may.
    #[error(
        "phone {name} is not let in: auto-registration made {made} phones, and [limits] auto_registered_phones \
         allows {most}; delete those that nobody wants, or raise it"
    )]
    AdoptionFull {
        /// The phone.
        name: String,
        /// How many it made that are still there.
        made: usize,
        /// The limit.
        most: usize,
    },
    /// Something of that name is there.
    #[error("there is a {kind} `{name}` already; change that one, or take another name")]
    Exists {
        /// Kind.
        kind: Kind,
        /// Name, shortened.
        name: String,
    },
    /// Nothing of that name.
    #[error("there is no {kind} `{name}`")]
    NotFound {
        /// Kind.
        kind: Kind,
        /// Name, shortened.
        name: String,
    },
    /// A numbering is used up.
    #[error("no number is left for another {0}")]
    Full(&'static str),
}

impl RowError {
    /// Stable code for the API, scripts and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json { .. } => "json",
            Self::TooLong { .. } => "row_too_long",
            Self::KindMissing => "kind_missing",
            Self::KindUnknown { .. } => "kind_unknown",
            Self::ExportControlled { .. } => "export_controlled",
            Self::FieldUnknown { .. } => "field_unknown",
            Self::FieldMissing { .. } => "field_missing",
            Self::Field { .. } => "field_invalid",
            Self::ParameterUnknown { .. } => "parameter_unknown",
            Self::ParameterValue { .. } => "parameter_value",
            Self::ParameterOfCluster { .. } => "parameter_of_cluster",
            Self::NodeName { .. } => "node_name",
            Self::NodeInactive { .. } => "node_inactive",
            Self::ParameterConflict(_) => "parameter_conflict",
            Self::Profile { error, .. } => error.code(),
            Self::ProfilePredefined { .. } => "profile_predefined",
            Self::ProfileIdentity { .. } => "profile_identity",
            Self::ProfileOfOtherModel { .. } => "profile_of_other_model",
            Self::ModelBuiltin { .. } => "model_builtin",
            Self::Model { .. } => "model_invalid",
            Self::ReferenceMissing { .. } => "reference_missing",
            Self::PhoneProtocol { .. } => "model_protocol",
            Self::DigestUserWithoutCredentials { .. } => "digest_user_without_credentials",
            Self::DigestUserShared { .. } => "digest_user_shared",
            Self::LoggedInElsewhere { .. } => "logged_in_elsewhere",
            Self::WeakKey { .. } => "weak_key",
            Self::SwitchMeaningless { .. } => "switch_meaningless",
            Self::Package(error) => error.code(),
            Self::ModelOfPackage { .. } => "model_of_package",
            Self::CertificateMode { .. } => "certificate_mode",
            Self::UserInOtherStore { .. } => "user_in_other_store",
            Self::CredentialsInUse { .. } => "credentials_in_use",
            Self::NoKnownCertificate { .. } => "no_known_certificate",
            Self::CapfUnsupported { .. } => "capf_unsupported",
            Self::CapfSettingsMissing { .. } => "capf_settings_missing",
            Self::CapfCertificateUnknown { .. } => "capf_certificate_unknown",
            Self::CertificateUnread => "certificate_unread",
            Self::CertificateSubject { .. } => "certificate_subject",
            Self::InUse { .. } => "in_use",
            Self::Adoption { .. } => "auto_registration",
            Self::AdoptionFull { .. } => "auto_registration_full",
            Self::Exists { .. } => "exists",
            Self::NotFound { .. } => "not_found",
            Self::Full(_) => "full",
        }
    }
}

/// Why a stored record cannot be loaded: the data directory was made by another version or damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Not the stored form of the kind.
    #[error("stored {kind} `{key}` cannot be read: {reason}")]
    Form {
        /// Kind.
        kind: Kind,
        /// Key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// The secret does not open: another node key, or moved bytes.
    #[error(
        "the secret of stored {kind} `{key}` does not open; is `[node] key_file` the one it was made with?"
    )]
    Sealed {
        /// Kind.
        kind: Kind,
        /// Key.
        key: String,
    },
    /// Names something that was not loaded before it.
    #[error("stored {kind} `{key}` names {missing}, which is not stored; load kinds in Kind::LOAD_ORDER")]
    Reference {
        /// Kind.
        kind: Kind,
        /// Key.
        key: String,
        /// What is missing.
        missing: String,
    },
}

fn kinds() -> String {
    Kind::rows().map(Kind::as_str).collect::<Vec<_>>().join(", ")
}

impl LoadError {
    /// The row that it is about.
    pub fn row(&self) -> (Kind, &str) {
        match self {
            Self::Form { kind, key, .. } | Self::Sealed { kind, key } | Self::Reference { kind, key, .. } => {
                (*kind, key)
            }
        }
    }
}
