//! Facts of a certificate and what they prove. Parsing and chain building are the engine's; here facts
//! are judged.

use crate::ids::{DeviceName, UnixMillis};

/// Key of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateKey {
    /// RSA with this many bits.
    Rsa(u32),
    /// Elliptic curve with this many bits.
    Ec(u32),
    /// Another algorithm.
    Other,
}

/// What a certificate says, as the engine read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// SHA-256 of the DER: the certificate's identity.
    pub sha256: [u8; 32],
    /// Whole subject as text (RFC 4514).
    pub subject: String,
    /// First common name of the subject.
    pub subject_cn: Option<String>,
    /// Subject alternative names of type DNS, as written.
    pub san_dns: Vec<String>,
    /// Whether there are subject alternative names of another type (IP, URI, e-mail …).
    pub san_other: bool,
    /// Whole issuer as text (RFC 4514).
    pub issuer: String,
    /// Valid from.
    pub not_before: UnixMillis,
    /// Valid until, inclusive.
    pub not_after: UnixMillis,
    /// Key.
    pub key: CertificateKey,
    /// Basic constraints say CA.
    pub is_ca: bool,
}

impl CertificateFacts {
    /// Whether `now` lies within its dates.
    pub fn is_current(&self, now: UnixMillis) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// What a client certificate was verified against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChainedTo {
    /// Nothing we trust.
    Nothing,
    /// CAPF-trust: our CAPF, or a manufacturer.
    CapfTrust,
    /// CallManager-trust.
    CallManagerTrust,
    /// vendor-trust: an uploaded certificate.
    VendorTrust,
}

/// The client certificate of a live connection.
#[derive(Debug, Clone, Copy)]
pub struct PeerCertificate<'a> {
    /// Its facts.
    pub facts: &'a CertificateFacts,
    /// What it chained to.
    pub chain: ChainedTo,
}

/// A client certificate that a handshake verified, kept with what it takes to judge it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    /// What it says.
    pub facts: CertificateFacts,
    /// What it chained to.
    pub chain: ChainedTo,
    /// The certificate and what was sent with it, in DER, leaf first.
    pub ders: Box<[Box<[u8]>]>,
}

/// What a common name names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateName {
    /// `SEP<MAC>`: a locally significant certificate.
    Lsc(DeviceName),
    /// `CP-<model>-SEP<MAC>`: a manufacturer's certificate.
    Mic {
        /// The part between `CP-` and `-SEP`, as written.
        model: String,
        /// The device.
        device: DeviceName,
    },
    /// Anything else: names no device.
    Other,
}

impl CertificateName {
    /// Reads a common name, without regard to case.
    pub fn parse(cn: &str) -> Self {
        /// `SEP` and 12 digits.
        const SEP_LEN: usize = 15;
        let sep = |text: &str| {
            let hardware = text.len() == SEP_LEN && text[..3].eq_ignore_ascii_case("SEP");
            if hardware { DeviceName::parse(text).ok() } else { None }
        };
        if !cn.is_ascii() {
            return Self::Other;
        }
        if let Some(device) = sep(cn) {
            return Self::Lsc(device);
        }
        let Some((front, name)) = cn.len().checked_sub(SEP_LEN).map(|at| cn.split_at(at)) else {
            return Self::Other;
        };
        let mic = front.get(..3).is_some_and(|cp| cp.eq_ignore_ascii_case("CP-"));
        match (front.get(3..).and_then(|m| m.strip_suffix('-')), sep(name)) {
            (Some(model), Some(device)) if mic && !model.is_empty() => {
                Self::Mic { model: model.to_owned(), device }
            }
            _ => Self::Other,
        }
    }

    /// The device that it names.
    pub fn device(&self) -> Option<&DeviceName> {
        match self {
            Self::Lsc(device) | Self::Mic { device, .. } => Some(device),
            Self::Other => None,
        }
    }
}

/// Whether the model in a manufacturer's certificate (`8845`, `7945G`, `7941G-GE`) is that of a device
/// type (`Cisco 8845`, `Cisco 7945`, `Cisco 7941G-GE`). Letters and digits are compared without regard
/// to case; one final `G`, which the manufacturer adds at will, does not count.
pub fn model_fits(in_certificate: &str, model: &str) -> bool {
    let bare = |text: &str| {
        let mut bare: String =
            text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        if bare.len() > 1 && bare.ends_with('G') && bare.as_bytes()[bare.len() - 2].is_ascii_digit() {
            bare.pop();
        }
        bare
    };
    let own = model.strip_prefix("Cisco ").unwrap_or(model);
    let named = bare(in_certificate);
    !named.is_empty() && named == bare(own)
}

/// Why a certificate cannot be a shared one (R074–R076).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SharedNameFault {
    /// It has alternative names, but none of type DNS (R074).
    #[error("the certificate has no alternative name of type DNS; security is not enabled")]
    NoDnsName,
    /// It has neither alternative names nor a common name (R076).
    #[error("the certificate has neither an alternative name nor a common name; security is not enabled")]
    NoName,
    /// The profile's name is not exactly the certificate's (R075).
    #[error("the name of the profile is not exactly the name in the certificate; security is not enabled")]
    OtherName,
}

/// Whether a shared certificate belongs to the profile of this name: exactly one of its DNS names, or,
/// if it has no alternative name at all, its common name. Byte for byte: case and dots count (R075).
pub fn shared_name(facts: &CertificateFacts, profile_name: &str) -> Result<(), SharedNameFault> {
    let fits = match (&facts.san_dns[..], facts.san_other, &facts.subject_cn) {
        ([], true, _) => return Err(SharedNameFault::NoDnsName),
        ([], false, None) => return Err(SharedNameFault::NoName),
        ([], false, Some(cn)) => cn == profile_name,
        (names, _, _) => names.iter().any(|n| n == profile_name),
    };
    if fits { Ok(()) } else { Err(SharedNameFault::OtherName) }
}

/// What a good certificate proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proven {
    /// The device, by a locally significant certificate.
    ByLsc,
    /// The device, by the manufacturer's certificate.
    ByMic,
    /// The device, by its own uploaded certificate.
    ByUpload,
    /// The profile only, by a shared uploaded certificate.
    Profile,
}

/// Why a certificate does not prove the claimed device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateFault {
    /// A preferred-vendor device for which nothing was uploaded (R055).
    NoUpload,
    /// It chains to nothing that counts for this kind of device.
    Untrusted,
    /// It names another device, or is another device's upload (R073).
    OtherDevice,
    /// It names no device at all.
    NoDevice,
    /// A manufacturer's certificate of another model.
    OtherModel,
    /// A shared certificate under a profile of another name (R075).
    OtherProfile,
}

/// The device side of the judgement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub name: &'a DeviceName,
    pub model: &'a str,
    pub profile_name: &'a str,
    pub preferred_vendor: bool,
    pub shared_certificate: bool,
    pub uploaded: Option<&'a [u8; 32]>,
}

/// Judges a certificate that was sent for a claimed device (design §5, R052, R053, R055, R073–R076).
///
/// Own-brand devices are named by the common name of a certificate that chains to CAPF-trust or
/// CallManager-trust. Preferred-vendor devices have neither (R054): only the uploaded certificate
/// itself counts, by fingerprint.
pub(crate) fn prove(
    certificate: &PeerCertificate<'_>,
    expected: &Expected<'_>,
) -> Result<Proven, CertificateFault> {
    let facts = certificate.facts;
    if expected.preferred_vendor && expected.shared_certificate {
        // It is uploaded for no phone (R071): that it is there, and bears the profile's name, is the proof.
        if certificate.chain != ChainedTo::VendorTrust {
            return Err(CertificateFault::Untrusted);
        }
        return match shared_name(facts, expected.profile_name) {
            Ok(()) => Ok(Proven::Profile),
            Err(_) => Err(CertificateFault::OtherProfile),
        };
    }
    if expected.preferred_vendor {
        let uploaded = expected.uploaded.ok_or(CertificateFault::NoUpload)?;
        if certificate.chain != ChainedTo::VendorTrust {
            return Err(CertificateFault::Untrusted);
        }
        if facts.sha256 != *uploaded {
            return Err(CertificateFault::OtherDevice);
        }
        return Ok(Proven::ByUpload);
    }
    if !matches!(certificate.chain, ChainedTo::CapfTrust | ChainedTo::CallManagerTrust) {
        return Err(CertificateFault::Untrusted);
    }
    let name = CertificateName::parse(facts.subject_cn.as_deref().unwrap_or_default());
    match &name {
        CertificateName::Other => Err(CertificateFault::NoDevice),
        CertificateName::Lsc(device) | CertificateName::Mic { device, .. } if device != expected.name => {
            Err(CertificateFault::OtherDevice)
        }
        CertificateName::Lsc(_) => Ok(Proven::ByLsc),
        CertificateName::Mic { model, .. } if model_fits(model, expected.model) => Ok(Proven::ByMic),
        CertificateName::Mic { .. } => Err(CertificateFault::OtherModel),
    }
}
