//! What is known of a phone's certificates (R057, R214): the last LSC and the last MIC that it proved itself by.

use serde::{Deserialize, Serialize};

use super::{CertificateFacts, Proven};
use crate::ids::UnixMillis;

/// Whose certificate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenKind {
    /// Locally significant certificate.
    Lsc,
    /// The manufacturer's certificate.
    Mic,
}

impl SeenKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Lsc, Self::Mic];

    /// Name in keys and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lsc => "lsc",
            Self::Mic => "mic",
        }
    }

    /// The kind of what was proven; uploaded certificates are known without being seen.
    pub const fn of(proven: Proven) -> Option<Self> {
        match proven {
            Proven::ByLsc => Some(Self::Lsc),
            Proven::ByMic => Some(Self::Mic),
            Proven::ByUpload | Proven::Profile => None,
        }
    }
}

/// A certificate as it was seen: public parts only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenCertificate {
    /// SHA-256 of the DER.
    pub sha256: [u8; 32],
    /// Subject as text (RFC 4514).
    pub subject: Box<str>,
    /// Issuer as text.
    pub issuer: Box<str>,
    /// Start of validity.
    pub not_before: UnixMillis,
    /// End of validity.
    pub not_after: UnixMillis,
    /// When it was first seen.
    pub seen: UnixMillis,
}

impl SeenCertificate {
    /// Of what a handshake showed.
    pub fn of(facts: &CertificateFacts, now: UnixMillis) -> Self {
        Self {
            sha256: facts.sha256,
            subject: facts.subject.as_str().into(),
            issuer: facts.issuer.as_str().into(),
            not_before: facts.not_before,
            not_after: facts.not_after,
            seen: now,
        }
    }
}

/// Both of a phone's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenCertificates {
    /// Locally significant certificate.
    pub lsc: Option<SeenCertificate>,
    /// Manufacturer's certificate.
    pub mic: Option<SeenCertificate>,
}

impl SeenCertificates {
    /// The one of a kind.
    pub const fn get(&self, kind: SeenKind) -> Option<&SeenCertificate> {
        match kind {
            SeenKind::Lsc => self.lsc.as_ref(),
            SeenKind::Mic => self.mic.as_ref(),
        }
    }

    /// Puts one in the place of its kind.
    pub fn set(&mut self, kind: SeenKind, certificate: SeenCertificate) {
        match kind {
            SeenKind::Lsc => self.lsc = Some(certificate),
            SeenKind::Mic => self.mic = Some(certificate),
        }
    }

    /// The one that TLS is to be authenticated by: the LSC wherever there is one that is in force (R112). The
    /// MIC is for getting an LSC (R111).
    pub fn preferred(&self, now: UnixMillis) -> Option<(SeenKind, &SeenCertificate)> {
        let in_force = |c: &&SeenCertificate| c.not_before <= now && now <= c.not_after;
        let of = |kind| self.get(kind).filter(in_force).map(|c| (kind, c));
        of(SeenKind::Lsc).or_else(|| of(SeenKind::Mic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(not_after: u64) -> SeenCertificate {
        SeenCertificate {
            sha256: [7; 32],
            subject: "CN=x".into(),
            issuer: "CN=y".into(),
            not_before: UnixMillis(10),
            not_after: UnixMillis(not_after),
            seen: UnixMillis(11),
        }
    }

    #[test]
    fn r112_the_lsc_is_preferred_when_both_exist() {
        let kind = |lsc: Option<u64>, mic: Option<u64>| {
            let known = SeenCertificates { lsc: lsc.map(certificate), mic: mic.map(certificate) };
            known.preferred(UnixMillis(50)).map(|(kind, _)| kind)
        };
        assert_eq!(kind(Some(90), Some(90)), Some(SeenKind::Lsc));
        assert_eq!(kind(None, Some(90)), Some(SeenKind::Mic));
        assert_eq!(kind(Some(90), None), Some(SeenKind::Lsc));
        assert_eq!(kind(None, None), None);
        // One that has run out proves nothing.
        assert_eq!(kind(Some(20), Some(90)), Some(SeenKind::Mic));
        assert_eq!(kind(Some(20), Some(20)), None);
    }
}
