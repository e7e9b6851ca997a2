//! What a phone must show for an operation (R135–R141).

use crate::profile::CapfMode;

/// What is known of one certificate of a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Usable.
    Good,
    /// Revoked, or its issuer is no longer trusted (R141).
    Compromised,
}

/// The certificates that a phone holds; both may be there (R140).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Held {
    /// The manufacturer's.
    pub mic: Option<State>,
    /// The locally significant one.
    pub lsc: Option<State>,
}

/// The certificate that an operation uses: one at a time (R140).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Used {
    /// The manufacturer's.
    Mic,
    /// The locally significant one.
    Lsc,
}

impl Used {
    /// Name in records and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mic => "mic",
            Self::Lsc => "lsc",
        }
    }
}

/// What an operation takes as the phone's proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The string that somebody types at the phone (R135).
    AuthenticationString,
    /// None: whoever asks is served; for closed environments only (R136).
    Nothing,
    /// This certificate and no other.
    Certificate(Used),
}

/// Why an operation fails before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProofFault {
    /// R138.
    #[error("the phone has no certificate; choose authentication_string or null_string to install one")]
    NoCertificate,
    /// R141: the other certificate is not taken in its place.
    #[error("the {} of the phone is compromised; choose the mode with precedence to the other one", .0.as_str())]
    Compromised(Used),
}

impl ProofFault {
    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoCertificate => "capf_no_certificate",
            Self::Compromised(_) => "capf_certificate_compromised",
        }
    }
}

/// The proof that an operation takes from a phone with these certificates.
///
/// With precedence the first one counts if it is there at all, and the second one only if the first is
/// not: a compromised first one fails, because the administrator is to change the mode (R141), and nobody
/// who holds the other certificate gets in by a silent fallback.
///
/// # Errors
/// [`ProofFault`].
pub fn proof_of(mode: CapfMode, held: Held) -> Result<Proof, ProofFault> {
    let order = match mode {
        CapfMode::AuthenticationString => return Ok(Proof::AuthenticationString),
        CapfMode::NullString => return Ok(Proof::Nothing),
        CapfMode::ExistingCertificateLsc => [(Used::Lsc, held.lsc), (Used::Mic, held.mic)],
        CapfMode::ExistingCertificateMic => [(Used::Mic, held.mic), (Used::Lsc, held.lsc)],
    };
    let there = order.into_iter().find_map(|(used, state)| state.map(|s| (used, s)));
    match there {
        None => Err(ProofFault::NoCertificate),
        Some((used, State::Compromised)) => Err(ProofFault::Compromised(used)),
        Some((used, State::Good)) => Ok(Proof::Certificate(used)),
    }
}
