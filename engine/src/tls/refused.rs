//! Why a handshake came to nothing: a closed set for metrics, and one line for the operator.

use std::fmt;
use std::io;

use super::verify::claim::Claim;
use keyline_domain::cipher::choice::NoChoice;
use rustls::{CertificateError, Error, InvalidMessage, PeerIncompatible};

/// Why a handshake was refused or broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Connected and sent nothing.
    Silent,
    /// Took too long from its first byte.
    Deadline,
    /// The first bytes are no ClientHello.
    BadHello,
    /// TLS 1.1 or older.
    NoCommonVersion,
    /// What the client offers could be served under another `tls_ciphers`, or while a profile is
    /// authenticated (R130).
    CipherPolicy,
    /// What the client offers is served with `[tls] legacy` only.
    LegacyOff,
    /// No suite in common with the menu in force, or that this node knows at all.
    NoCommonSuite,
    /// No key exchange group or signature algorithm in common.
    NoCommonParameters,
    /// The client's certificate chains to nothing that is trusted.
    ClientCertificateUntrusted,
    /// The client's certificate is not valid now.
    ClientCertificateExpired,
    /// The client's certificate was revoked by its authority.
    ClientCertificateRevoked,
    /// The revocation list of the client's authority is out of date, and `expired_crl_policy` refuses.
    RevocationListExpired,
    /// The client's certificate cannot be used, or it has not its key.
    ClientCertificateBad,
    /// The client refused us by an alert.
    PeerRefused,
    /// The client closed the connection.
    PeerClosed,
    /// The client broke the protocol after its ClientHello.
    Protocol,
    /// Too many wait for a handshake.
    Overload,
    /// A failure of our own.
    Internal,
}

impl Refusal {
    /// All, for metrics that start at zero.
    pub const ALL: [Self; 18] = [
        Self::Silent,
        Self::Deadline,
        Self::BadHello,
        Self::NoCommonVersion,
        Self::CipherPolicy,
        Self::LegacyOff,
        Self::NoCommonSuite,
        Self::NoCommonParameters,
        Self::ClientCertificateUntrusted,
        Self::ClientCertificateExpired,
        Self::ClientCertificateRevoked,
        Self::RevocationListExpired,
        Self::ClientCertificateBad,
        Self::PeerRefused,
        Self::PeerClosed,
        Self::Protocol,
        Self::Overload,
        Self::Internal,
    ];

    /// Name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Deadline => "deadline",
            Self::BadHello => "bad_hello",
            Self::NoCommonVersion => "no_common_version",
            Self::CipherPolicy => "cipher_policy",
            Self::LegacyOff => "legacy_off",
            Self::NoCommonSuite => "no_common_suite",
            Self::NoCommonParameters => "no_common_parameters",
            Self::ClientCertificateUntrusted => "client_certificate_untrusted",
            Self::ClientCertificateExpired => "client_certificate_expired",
            Self::ClientCertificateRevoked => "client_certificate_revoked",
            Self::RevocationListExpired => "revocation_list_expired",
            Self::ClientCertificateBad => "client_certificate_bad",
            Self::PeerRefused => "peer_refused",
            Self::PeerClosed => "peer_closed",
            Self::Protocol => "protocol",
            Self::Overload => "overload",
            Self::Internal => "internal",
        }
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Silent => "nothing to do: a port scan, a health check or a cut line",
            Self::Deadline => {
                "the client or the line is too slow, or this node is overloaded: see limits.handshake_s"
            }
            Self::BadHello => {
                "the client does not speak TLS on this port: check transport and port of the phone"
            }
            Self::NoCommonVersion => {
                "TLS 1.2 and 1.3 are served, older ones with [tls] legacy: update the client or its TLS settings"
            }
            Self::CipherPolicy => {
                "cipher policy: a phone in authenticated mode needs tls_ciphers all_* and a profile of that mode;                  else widen tls_ciphers, or change the phone's device security mode or software"
            }
            Self::LegacyOff => {
                "an old phone: set [tls] legacy = true if its weak TLS is to be served, or change its software"
            }
            Self::NoCommonSuite => "update the client: it offers no suite that any tls_ciphers would serve",
            Self::NoCommonParameters => "update the client: it offers only outdated curves or signatures",
            Self::ClientCertificateUntrusted => {
                "upload the issuer as CallManager-trust or CAPF-trust, or the certificate itself as vendor-trust"
            }
            Self::ClientCertificateExpired => "renew the client's certificate, or set its clock and ours",
            Self::ClientCertificateRevoked => {
                "install a new certificate on the phone, or find out why a revoked one is used"
            }
            Self::RevocationListExpired => {
                "upload a current revocation list of the authority, or set the parameter expired_crl_policy to warn"
            }
            Self::ClientCertificateBad => "replace the client's certificate",
            Self::PeerRefused => {
                "the client does not accept our certificate or settings: renew its trust list"
            }
            Self::PeerClosed => "nothing to do unless it happens often: see the client's own log",
            Self::Protocol => "update the client, or look for a device on the line that changes its packets",
            Self::Overload => {
                "nothing to do if phones come back after a cut; else more cores, EC certificates, or a higher limits.handshakes_waiting"
            }
            Self::Internal => "see the log of this node and report it",
        }
    }
}

/// A handshake that came to nothing: `Display` is one line with the cause and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeRefused {
    /// Why.
    pub why: Refusal,
    /// What was found, in words.
    pub detail: String,
    /// Whom the certificate names that was refused; that is not proven.
    pub claim: Option<Claim>,
}

impl fmt::Display for HandshakeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.detail, self.why.advice())
    }
}

impl std::error::Error for HandshakeRefused {}

impl HandshakeRefused {
    /// A refusal with its finding.
    pub fn new(why: Refusal, detail: impl Into<String>) -> Self {
        Self { why, detail: detail.into(), claim: None }
    }

    /// Name in metrics and logs.
    pub fn as_str(&self) -> &'static str {
        self.why.as_str()
    }

    /// What ended the reading of a ClientHello.
    pub(super) fn in_hello(error: &Error) -> Self {
        let why = match of_tls(error) {
            Refusal::Protocol | Refusal::ClientCertificateBad => Refusal::BadHello,
            other => other,
        };
        Self::new(why, error.to_string())
    }

    /// What ended the handshake after the ClientHello, for which there was a suite or was none.
    pub(super) fn in_handshake(error: &io::Error, none: Option<NoChoice>) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            return Self::of_io(error);
        };
        match (of_tls(tls), none) {
            // rustls names what it misses first, for instance a group for a suite that it lacks.
            (Refusal::NoCommonParameters | Refusal::NoCommonSuite | Refusal::NoCommonVersion, Some(none)) => {
                Self::new(of_choice(none), none.to_string())
            }
            (why, _) => Self::new(why, tls.to_string()),
        }
    }

    /// The certificate of a client is not, or no longer, believed.
    pub(super) fn of_certificate(error: &Error) -> Self {
        Self::new(of_tls(error), error.to_string())
    }

    /// The connection failed below TLS.
    pub(super) fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, UnexpectedEof, WriteZero,
        };
        match error.kind() {
            UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected | WriteZero
            | TimedOut => {
                Self::new(Refusal::PeerClosed, "the client closed the connection during the handshake")
            }
            _ => Self::new(Refusal::Internal, error.to_string()),
        }
    }
}

fn of_choice(none: NoChoice) -> Refusal {
    match none {
        NoChoice::Version => Refusal::NoCommonVersion,
        NoChoice::Policy => Refusal::CipherPolicy,
        NoChoice::LegacyOff => Refusal::LegacyOff,
        NoChoice::Suite => Refusal::NoCommonSuite,
    }
}

fn of_tls(error: &Error) -> Refusal {
    match error {
        Error::InvalidCertificate(fault) => of_client_certificate(fault),
        Error::PeerIncompatible(fault) => match fault {
            PeerIncompatible::NoCipherSuitesInCommon => Refusal::NoCommonSuite,
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            // Came with TLS 1.2 (RFC 5246 §7.4.1.4.1): rustls misses it before it looks at the version.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled => Refusal::NoCommonVersion,
            _ => Refusal::NoCommonParameters,
        },
        Error::AlertReceived(_) => Refusal::PeerRefused,
        Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => Refusal::NoCommonVersion,
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_)
        | Error::DecryptError
        | Error::PeerSentOversizedRecord => Refusal::Protocol,
        Error::NoCertificatesPresented => Refusal::ClientCertificateBad,
        _ => Refusal::Internal,
    }
}

fn of_client_certificate(fault: &CertificateError) -> Refusal {
    match fault {
        CertificateError::UnknownIssuer => Refusal::ClientCertificateUntrusted,
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Refusal::ClientCertificateExpired,
        CertificateError::Revoked => Refusal::ClientCertificateRevoked,
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            Refusal::RevocationListExpired
        }
        _ => Refusal::ClientCertificateBad,
    }
}
