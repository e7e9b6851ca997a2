//! Why: closed sets with stable names, for logs, metrics and the admin API.

use crate::oauth::Fault;

/// Why a request was challenged or refused, or why an admitted one proves less than it could.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// No answer to a challenge was given yet.
    DigestAbsent,
    /// The answer lacks a directive, or one is unreadable.
    DigestMalformed,
    /// The answer's `qop` is not the one that was offered (`auth`).
    DigestQopNotOffered,
    /// The nonce is not ours, or the algorithm was not challenged with it.
    NonceForged,
    /// The nonce is ours and the answer is right, but its time has run out.
    NonceExpired,
    /// The nonce is ours and the answer is right, but its window is gone.
    NonceEvicted,
    /// The nonce is ours and the answer is right, but this count was used before.
    NonceReplayed,
    /// The nonce is of an earlier start and does not serve this request.
    NonceOfEarlierStart,
    /// Wrong credentials, or an unknown user, device or line: nobody is told which.
    DigestWrong,
    /// Too many wrong answers from one source.
    DigestWrongTooOften,
    /// The digest's `uri` names another server or another target.
    DigestUriForeign,
    /// A secure profile in a cluster that is not in mixed mode (R059).
    ClusterMode,
    /// TLS under a non-secure profile (R002).
    TlsNotInProfile,
    /// UDP or TCP where the profile has the other one (R158).
    TransportNotInProfile,
    /// UDP or TCP under a secure profile (R160).
    TlsRequired,
    /// OAuth port without OAuth in the profile (R167).
    OauthNotEnabled,
    /// OAuth port without a token.
    TokenRequired,
    /// Encrypted profile on an integrity-only suite.
    SuiteBelowMode,
    /// Authenticated profile on an encrypting suite.
    SuiteNotOfMode,
    /// No client certificate.
    NoDeviceCertificate,
    /// Preferred-vendor phone without an uploaded certificate (R055).
    VendorCertificateMissing,
    /// The client certificate chains to nothing that counts.
    CertificateUntrusted,
    /// The client certificate names no device.
    CertificateNamesNoDevice,
    /// The client certificate names another device (R073).
    CertificateOfOtherDevice,
    /// The manufacturer's certificate is of another model.
    CertificateOfOtherModel,
    /// The shared certificate does not name the profile (R075).
    CertificateOfOtherProfile,
    /// `mic_tls_policy` refuses manufacturer's certificates.
    MicRefused,
    /// The digest is right, but of a user who is not this device's.
    DigestOfOtherUser,
    /// An address of record that is none of the device's lines.
    LineOfOtherDevice,
    /// A second source for a live binding that nothing proves.
    UnprovenMove,
    /// A request of an unproven device, not on the flow that it registered on.
    NotOnItsFlow,
    /// The bearer token is no signed JWT in compact form.
    TokenMalformed,
    /// The bearer token is longer than is taken.
    TokenTooLarge,
    /// The token's algorithm is `none`, symmetric, or not that of its key.
    TokenAlgorithm,
    /// The token is of an issuer that is not trusted.
    TokenIssuer,
    /// The issuer has no key of the token's `kid`.
    TokenKeyUnknown,
    /// The same, while the issuer is asked for its keys anew.
    TokenKeyPending,
    /// The token's signature is wrong.
    TokenSignature,
    /// The token is meant for somebody else.
    TokenAudience,
    /// The token's time has run out.
    TokenExpired,
    /// The token's time has not come.
    TokenNotYetValid,
    /// The token lacks a scope that is required.
    TokenScope,
    /// The token names neither a device nor a user.
    TokenNamesNobody,
    /// The token is of another device.
    TokenOfOtherDevice,
    /// The token is of a user who has not this device.
    TokenOfOtherUser,
    /// The token is for other lines.
    TokenOfOtherLine,
    /// Too many wrong tokens from one source.
    TokenWrongTooOften,
    /// A bearer token on another port than the OAuth port.
    TokenOffOauthPort,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 48] = [
        Self::DigestAbsent,
        Self::DigestMalformed,
        Self::DigestQopNotOffered,
        Self::NonceForged,
        Self::NonceExpired,
        Self::NonceEvicted,
        Self::NonceReplayed,
        Self::NonceOfEarlierStart,
        Self::DigestWrong,
        Self::DigestWrongTooOften,
        Self::DigestUriForeign,
        Self::ClusterMode,
        Self::TlsNotInProfile,
        Self::TransportNotInProfile,
        Self::TlsRequired,
        Self::OauthNotEnabled,
        Self::TokenRequired,
        Self::SuiteBelowMode,
        Self::SuiteNotOfMode,
        Self::NoDeviceCertificate,
        Self::VendorCertificateMissing,
        Self::CertificateUntrusted,
        Self::CertificateNamesNoDevice,
        Self::CertificateOfOtherDevice,
        Self::CertificateOfOtherModel,
        Self::CertificateOfOtherProfile,
        Self::MicRefused,
        Self::DigestOfOtherUser,
        Self::LineOfOtherDevice,
        Self::UnprovenMove,
        Self::NotOnItsFlow,
        Self::TokenMalformed,
        Self::TokenTooLarge,
        Self::TokenAlgorithm,
        Self::TokenIssuer,
        Self::TokenKeyUnknown,
        Self::TokenKeyPending,
        Self::TokenSignature,
        Self::TokenAudience,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenScope,
        Self::TokenNamesNobody,
        Self::TokenOfOtherDevice,
        Self::TokenOfOtherUser,
        Self::TokenOfOtherLine,
        Self::TokenWrongTooOften,
        Self::TokenOffOauthPort,
    ];

    /// Stable code: metric label, log field and code in the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DigestAbsent => "digest_absent",
            Self::DigestMalformed => "digest_malformed",
            Self::NonceForged => "nonce_forged",
            Self::NonceExpired => "nonce_expired",
            Self::NonceEvicted => "nonce_evicted",
            Self::NonceReplayed => "nonce_replayed",
            Self::NonceOfEarlierStart => "nonce_of_earlier_start",
            Self::DigestWrong => "digest_wrong",
            Self::DigestWrongTooOften => "digest_wrong_too_often",
            Self::DigestUriForeign => "digest_uri_foreign",
            Self::DigestQopNotOffered => "digest_qop_not_offered",
            Self::ClusterMode => "cluster_mode",
            Self::TlsNotInProfile => "tls_not_in_profile",
            Self::TransportNotInProfile => "transport_not_in_profile",
            Self::TlsRequired => "tls_required",
            Self::OauthNotEnabled => "oauth_not_enabled",
            Self::TokenRequired => "token_required",
            Self::SuiteBelowMode => "suite_below_mode",
            Self::SuiteNotOfMode => "suite_not_of_mode",
            Self::NoDeviceCertificate => "no_device_certificate",
            Self::VendorCertificateMissing => "vendor_certificate_missing",
            Self::CertificateUntrusted => "certificate_untrusted",
            Self::CertificateNamesNoDevice => "certificate_names_no_device",
            Self::CertificateOfOtherDevice => "certificate_of_other_device",
            Self::CertificateOfOtherModel => "certificate_of_other_model",
            Self::CertificateOfOtherProfile => "certificate_of_other_profile",
            Self::MicRefused => "mic_refused",
            Self::DigestOfOtherUser => "digest_of_other_user",
            Self::LineOfOtherDevice => "line_of_other_device",
            Self::UnprovenMove => "unproven_move",
            Self::NotOnItsFlow => "not_on_its_flow",
            Self::TokenMalformed => "token_malformed",
            Self::TokenTooLarge => "token_too_large",
            Self::TokenAlgorithm => "token_algorithm",
            Self::TokenIssuer => "token_issuer",
            Self::TokenKeyUnknown => "token_key_unknown",
            Self::TokenKeyPending => "token_key_pending",
            Self::TokenSignature => "token_signature",
            Self::TokenAudience => "token_audience",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenScope => "token_scope",
            Self::TokenNamesNobody => "token_names_nobody",
            Self::TokenOfOtherDevice => "token_of_other_device",
            Self::TokenOfOtherUser => "token_of_other_user",
            Self::TokenOfOtherLine => "token_of_other_line",
            Self::TokenWrongTooOften => "token_wrong_too_often",
            Self::TokenOffOauthPort => "token_off_oauth_port",
        }
    }

    /// What an operator reads, with what to do; also fit for a Warning header (code 399), since it
    /// tells a peer nothing that it did not say itself.
    pub fn text(self) -> &'static str {
        match self {
            Self::DigestAbsent => "digest authentication required",
            Self::DigestMalformed => "unreadable digest answer",
            Self::DigestQopNotOffered => "qop was not offered: answer with qop=auth",
            Self::NonceForged => "nonce not issued here",
            Self::NonceExpired => "nonce expired",
            Self::NonceEvicted => "nonce no longer known",
            Self::NonceReplayed => "nonce count used before",
            Self::NonceOfEarlierStart => "nonce issued before the last start",
            Self::DigestWrong => "wrong credentials",
            Self::DigestWrongTooOften => "too many wrong credentials from this address; wait a minute",
            Self::DigestUriForeign => "digest uri names another target",
            Self::ClusterMode => "cluster mode: secure profiles need mixed mode",
            Self::TlsNotInProfile => "non-secure profile: register over UDP or TCP",
            Self::TransportNotInProfile => "transport is not in the security profile",
            Self::TlsRequired => "secure profile: register over TLS",
            Self::OauthNotEnabled => {
                "SIP OAuth Registration port Mismatch: OAuth is not enabled in the security profile"
            }
            Self::TokenRequired => "bearer token required",
            Self::SuiteBelowMode => "encrypted profile: cipher suite without encryption",
            Self::SuiteNotOfMode => "authenticated profile: cipher suite with encryption",
            Self::NoDeviceCertificate => "no device certificate",
            Self::VendorCertificateMissing => "no certificate uploaded for this device",
            Self::CertificateUntrusted => "device certificate is not trusted",
            Self::CertificateNamesNoDevice => "certificate names no device",
            Self::CertificateOfOtherDevice => "certificate is of another device",
            Self::CertificateOfOtherModel => "certificate is of another model",
            Self::CertificateOfOtherProfile => "shared certificate does not name the profile",
            Self::MicRefused => "manufacturer certificates are refused; install an LSC",
            Self::DigestOfOtherUser => "digest user is not this device's",
            Self::LineOfOtherDevice => "line is not this device's",
            Self::UnprovenMove => "device is registered from another address",
            Self::NotOnItsFlow => "device is not registered on this connection",
            Self::TokenMalformed => "bearer token is no signed JWT",
            Self::TokenTooLarge => "bearer token is too long",
            Self::TokenAlgorithm => "bearer token is signed with an algorithm that its key is not for",
            Self::TokenIssuer => "bearer token is of an issuer that is not trusted",
            Self::TokenKeyUnknown => "bearer token is signed with an unknown key",
            Self::TokenKeyPending => "the keys of the token's issuer are being read anew; try again",
            Self::TokenSignature => "bearer token has a wrong signature",
            Self::TokenAudience => "bearer token is meant for another audience",
            Self::TokenExpired => "bearer token has expired",
            Self::TokenNotYetValid => "bearer token is not valid yet",
            Self::TokenScope => "bearer token lacks a scope",
            Self::TokenNamesNobody => "bearer token names neither device nor user",
            Self::TokenOfOtherDevice => "bearer token is of another device",
            Self::TokenOfOtherUser => "bearer token is of a user who has not this device",
            Self::TokenOfOtherLine => "bearer token is for other lines",
            Self::TokenWrongTooOften => "too many wrong tokens from this address; wait a minute",
            Self::TokenOffOauthPort => {
                "SIP OAuth Registration port Mismatch: tokens serve on the OAuth port only"
            }
        }
    }

    /// The event that goes with a refusal for this cause.
    pub fn event(self) -> Option<Event> {
        match self {
            Self::CertificateNamesNoDevice
            | Self::CertificateOfOtherDevice
            | Self::CertificateOfOtherModel
            | Self::CertificateOfOtherProfile
            | Self::DigestOfOtherUser
            | Self::LineOfOtherDevice
            | Self::TokenNamesNobody
            | Self::TokenOfOtherDevice
            | Self::TokenOfOtherUser
            | Self::TokenOfOtherLine => Some(Event::IdentityConflict),
            Self::UnprovenMove => Some(Event::UnprovenMove),
            Self::DigestWrongTooOften | Self::TokenWrongTooOften => Some(Event::DigestFlood),
            Self::MicRefused => Some(Event::ManufacturerCertificate),
            Self::ClusterMode
            | Self::TlsNotInProfile
            | Self::TransportNotInProfile
            | Self::TlsRequired
            | Self::OauthNotEnabled
            | Self::TokenScope
            | Self::TokenOffOauthPort
            | Self::SuiteBelowMode
            | Self::SuiteNotOfMode
            | Self::NoDeviceCertificate
            | Self::VendorCertificateMissing
            | Self::CertificateUntrusted => Some(Event::RegistrationRefused),
            Self::DigestAbsent
            | Self::DigestMalformed
            | Self::NonceForged
            | Self::NonceExpired
            | Self::NonceEvicted
            | Self::NonceReplayed
            | Self::NonceOfEarlierStart
            | Self::DigestWrong
            | Self::DigestUriForeign
            | Self::DigestQopNotOffered
            | Self::NotOnItsFlow
            | Self::TokenRequired
            | Self::TokenMalformed
            | Self::TokenTooLarge
            | Self::TokenAlgorithm
            | Self::TokenIssuer
            | Self::TokenKeyUnknown
            | Self::TokenKeyPending
            | Self::TokenSignature
            | Self::TokenAudience
            | Self::TokenExpired
            | Self::TokenNotYetValid => None,
        }
    }
}

/// Why a token does not serve, as admission says it.
impl From<Fault> for Cause {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed => Self::TokenMalformed,
            Fault::TooLarge => Self::TokenTooLarge,
            Fault::Algorithm => Self::TokenAlgorithm,
            Fault::Issuer => Self::TokenIssuer,
            Fault::KeyUnknown => Self::TokenKeyUnknown,
            Fault::KeyPending => Self::TokenKeyPending,
            Fault::Signature => Self::TokenSignature,
            Fault::Audience => Self::TokenAudience,
            Fault::Expired => Self::TokenExpired,
            Fault::NotYetValid => Self::TokenNotYetValid,
            Fault::Scope => Self::TokenScope,
            Fault::NamesNobody => Self::TokenNamesNobody,
            Fault::OtherDevice => Self::TokenOfOtherDevice,
            Fault::OtherUser => Self::TokenOfOtherUser,
            Fault::OtherLine => Self::TokenOfOtherLine,
        }
    }
}

/// What is written to the audit record and counted. "Refuse" in the requirements includes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// Two proofs, or a proof and the line, name different devices.
    IdentityConflict,
    /// Wrong answers without end from one source.
    DigestFlood,
    /// A manufacturer's certificate was used, or refused, on the SIP port.
    ManufacturerCertificate,
    /// A second source wanted the binding of a device that nothing proves.
    UnprovenMove,
    /// A known device cannot register the way it tries to.
    RegistrationRefused,
}

impl Event {
    /// Stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdentityConflict => "identity_conflict",
            Self::DigestFlood => "digest_flood",
            Self::ManufacturerCertificate => "manufacturer_certificate",
            Self::UnprovenMove => "unproven_move",
            Self::RegistrationRefused => "registration_refused",
        }
    }
}
