//! TLS and SRTP cipher menus (R121–R129) and the check of a suite against a device security mode.

pub mod choice;

use serde::{Deserialize, Serialize};

use crate::media::CryptoSuite;
use crate::mode::{DeviceSecurityMode, SuiteKind};

/// Key of the server certificate that a suite needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateKey {
    /// TLS 1.3: the suite does not say.
    Any,
    /// EC certificate.
    Ecdsa,
    /// RSA certificate.
    Rsa,
}

/// A TLS cipher suite that Keyline can offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Suite {
    /// Number in the IANA registry.
    pub id: u16,
    /// Name in the IANA registry.
    pub name: &'static str,
    /// What it gives.
    pub kind: SuiteKind,
    /// Certificate key.
    pub key: CertificateKey,
    /// Belongs to TLS 1.3.
    pub tls13: bool,
    /// Static RSA key exchange: only the legacy acceptor can serve it.
    pub legacy: bool,
}

/// Parameter `tls_ciphers` (R122–R127).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsCiphers {
    /// AES-256-GCM only, RSA first (R122).
    StrongestRsaPreferred,
    /// AES-256-GCM only, ECDSA first (R123).
    StrongestEcdsaPreferred,
    /// Both AES-GCM, RSA first (R124).
    MediumRsaPreferred,
    /// Both AES-GCM, ECDSA first (R125).
    MediumEcdsaPreferred,
    /// Medium, then static-RSA AES128-CBC-SHA1 (R126).
    #[default]
    AllRsaPreferred,
    /// Medium, then static-RSA AES128-CBC-SHA1 (R127).
    AllEcdsaPreferred,
}

/// Parameter `srtp_ciphers` (R128, R129).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SrtpCiphers {
    /// AEAD AES-256 GCM.
    Strongest,
    /// AEAD AES-256 and AES-128 GCM.
    Medium,
    /// Every suite that Keyline knows.
    #[default]
    All,
}

/// Why a handshake that succeeded is refused all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SuiteRefusal {
    /// The suite gives less than the applied mode asks for.
    #[error("the cipher suite gives less than the applied device security mode asks for")]
    BelowMode,
    /// An authenticated profile on an encrypting suite.
    #[error("the applied device security mode is authenticated, but the cipher suite encrypts")]
    NotOfMode,
}

impl SuiteRefusal {
    /// Name in audit records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BelowMode => "suite_below_mode",
            Self::NotOfMode => "suite_not_of_mode",
        }
    }
}

/// Judges the negotiated suite by the phone's applied mode, after the handshake (R119, R120). A
/// non-secure profile asks nothing of the suite: whether it may use TLS at all is admission's question
/// (R002).
pub fn check_suite(applied: DeviceSecurityMode, negotiated: SuiteKind) -> Result<(), SuiteRefusal> {
    match (applied, negotiated) {
        (DeviceSecurityMode::NonSecure, _)
        | (DeviceSecurityMode::Authenticated, SuiteKind::IntegrityOnly)
        | (DeviceSecurityMode::Encrypted, SuiteKind::Encrypting) => Ok(()),
        (DeviceSecurityMode::Authenticated, SuiteKind::Encrypting) => Err(SuiteRefusal::NotOfMode),
        (DeviceSecurityMode::Authenticated, SuiteKind::None)
        | (DeviceSecurityMode::Encrypted, SuiteKind::None | SuiteKind::IntegrityOnly) => {
            Err(SuiteRefusal::BelowMode)
        }
    }
}

impl TlsCiphers {
    /// All values, in the order of R122–R127.
    pub const ALL: [Self; 6] = [
        Self::StrongestRsaPreferred,
        Self::StrongestEcdsaPreferred,
        Self::MediumRsaPreferred,
        Self::MediumEcdsaPreferred,
        Self::AllRsaPreferred,
        Self::AllEcdsaPreferred,
    ];

    /// Encrypting suites for TLS 1.2 and below, most wanted first.
    pub fn tls12(self) -> &'static [Suite] {
        const RSA: [Suite; 5] = [RSA_256_GCM, ECDSA_256_GCM, RSA_128_GCM, ECDSA_128_GCM, STATIC_RSA_128_CBC];
        const EC: [Suite; 5] = [ECDSA_256_GCM, RSA_256_GCM, ECDSA_128_GCM, RSA_128_GCM, STATIC_RSA_128_CBC];
        match self {
            Self::StrongestRsaPreferred => &RSA[..2],
            Self::StrongestEcdsaPreferred => &EC[..2],
            Self::MediumRsaPreferred => &RSA[..4],
            Self::MediumEcdsaPreferred => &EC[..4],
            Self::AllRsaPreferred => &RSA,
            Self::AllEcdsaPreferred => &EC,
        }
    }

    /// Encrypting suites for TLS 1.3, most wanted first.
    pub fn tls13(self) -> &'static [Suite] {
        const GCM: [Suite; 2] = [TLS13_256_GCM, TLS13_128_GCM];
        match self {
            Self::StrongestRsaPreferred | Self::StrongestEcdsaPreferred => &GCM[..1],
            _ => &GCM,
        }
    }

    /// Integrity-only suites that this menu allows (R119, R130), most wanted first, for TLS 1.2 and
    /// 1.3. Empty but under `all_*`. The caller offers them only while an applied profile is
    /// authenticated, and chooses one only if the client offers no encrypting suite of the menu.
    pub fn integrity_only(self) -> &'static [Suite] {
        const RSA: [Suite; 4] = [TLS13_SHA256, RSA_NULL_SHA, ECDSA_NULL_SHA, STATIC_RSA_NULL_SHA];
        const EC: [Suite; 4] = [TLS13_SHA256, ECDSA_NULL_SHA, RSA_NULL_SHA, STATIC_RSA_NULL_SHA];
        match self {
            Self::AllRsaPreferred => &RSA,
            Self::AllEcdsaPreferred => &EC,
            _ => &[],
        }
    }

    /// The RSA certificate comes first where a client takes both.
    pub fn prefers_rsa(self) -> bool {
        matches!(self, Self::StrongestRsaPreferred | Self::MediumRsaPreferred | Self::AllRsaPreferred)
    }

    /// The SRTP menu that goes with this one (R128, R129).
    pub fn recommended_srtp(self) -> SrtpCiphers {
        match self {
            Self::StrongestRsaPreferred | Self::StrongestEcdsaPreferred => SrtpCiphers::Strongest,
            Self::MediumRsaPreferred | Self::MediumEcdsaPreferred => SrtpCiphers::Medium,
            Self::AllRsaPreferred | Self::AllEcdsaPreferred => SrtpCiphers::All,
        }
    }

    /// Name in the API and in import files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StrongestRsaPreferred => "strongest_rsa_preferred",
            Self::StrongestEcdsaPreferred => "strongest_ecdsa_preferred",
            Self::MediumRsaPreferred => "medium_rsa_preferred",
            Self::MediumEcdsaPreferred => "medium_ecdsa_preferred",
            Self::AllRsaPreferred => "all_rsa_preferred",
            Self::AllEcdsaPreferred => "all_ecdsa_preferred",
        }
    }
}

impl std::str::FromStr for TlsCiphers {
    type Err = CipherNameError;
    fn from_str(value: &str) -> Result<Self, CipherNameError> {
        Self::ALL
            .into_iter()
            .find(|m| m.as_str() == value)
            .ok_or_else(|| CipherNameError::new("tls_ciphers", value, &Self::ALL.map(Self::as_str)))
    }
}

impl SrtpCiphers {
    /// All values, strongest first.
    pub const ALL: [Self; 3] = [Self::Strongest, Self::Medium, Self::All];

    /// Allowed SDES suites, most wanted first.
    pub fn suites(self) -> &'static [CryptoSuite] {
        const ORDER: [CryptoSuite; 6] = [
            CryptoSuite::AeadAes256Gcm,
            CryptoSuite::AeadAes128Gcm,
            CryptoSuite::AesCm256HmacSha1_80,
            CryptoSuite::AesCm128HmacSha1_80,
            CryptoSuite::AesCm256HmacSha1_32,
            CryptoSuite::AesCm128HmacSha1_32,
        ];
        match self {
            Self::Strongest => &ORDER[..1],
            Self::Medium => &ORDER[..2],
            Self::All => &ORDER,
        }
    }

    /// This suite may be negotiated.
    pub fn allows(self, suite: CryptoSuite) -> bool {
        self.suites().contains(&suite)
    }

    /// Name in the API and in import files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strongest => "strongest",
            Self::Medium => "medium",
            Self::All => "all",
        }
    }
}

impl std::str::FromStr for SrtpCiphers {
    type Err = CipherNameError;
    fn from_str(value: &str) -> Result<Self, CipherNameError> {
        Self::ALL
            .into_iter()
            .find(|m| m.as_str() == value)
            .ok_or_else(|| CipherNameError::new("srtp_ciphers", value, &Self::ALL.map(Self::as_str)))
    }
}

/// A menu that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter {parameter} cannot be `{value}`; use one of {allowed}")]
pub struct CipherNameError {
    /// The parameter.
    pub parameter: &'static str,
    /// The refused value, cut to 64 characters.
    pub value: String,
    /// The allowed values.
    pub allowed: String,
}

impl CipherNameError {
    fn new(parameter: &'static str, value: &str, allowed: &[&str]) -> Self {
        Self { parameter, value: value.chars().take(64).collect(), allowed: allowed.join(", ") }
    }
}

/// The suite with this IANA number, if it is one that Keyline offers under some menu. Anything else was
/// never offered, so it cannot have been negotiated.
pub fn suite(id: u16) -> Option<&'static Suite> {
    SUITES.iter().find(|s| s.id == id)
}

const fn tls12(id: u16, name: &'static str, kind: SuiteKind, key: CertificateKey) -> Suite {
    Suite { id, name, kind, key, tls13: false, legacy: false }
}

const fn static_rsa(id: u16, name: &'static str, kind: SuiteKind) -> Suite {
    Suite { id, name, kind, key: CertificateKey::Rsa, tls13: false, legacy: true }
}

const fn tls13(id: u16, name: &'static str, kind: SuiteKind) -> Suite {
    Suite { id, name, kind, key: CertificateKey::Any, tls13: true, legacy: false }
}

use CertificateKey::{Ecdsa, Rsa};
use SuiteKind::{Encrypting, IntegrityOnly};

const RSA_256_GCM: Suite = tls12(0xC030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Encrypting, Rsa);
const ECDSA_256_GCM: Suite = tls12(0xC02C, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Encrypting, Ecdsa);
const RSA_128_GCM: Suite = tls12(0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Encrypting, Rsa);
const ECDSA_128_GCM: Suite = tls12(0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Encrypting, Ecdsa);
const STATIC_RSA_128_CBC: Suite = static_rsa(0x002F, "TLS_RSA_WITH_AES_128_CBC_SHA", Encrypting);
const RSA_NULL_SHA: Suite = tls12(0xC010, "TLS_ECDHE_RSA_WITH_NULL_SHA", IntegrityOnly, Rsa);
const ECDSA_NULL_SHA: Suite = tls12(0xC006, "TLS_ECDHE_ECDSA_WITH_NULL_SHA", IntegrityOnly, Ecdsa);
const STATIC_RSA_NULL_SHA: Suite = static_rsa(0x0002, "TLS_RSA_WITH_NULL_SHA", IntegrityOnly);
const TLS13_256_GCM: Suite = tls13(0x1302, "TLS_AES_256_GCM_SHA384", Encrypting);
const TLS13_128_GCM: Suite = tls13(0x1301, "TLS_AES_128_GCM_SHA256", Encrypting);
const TLS13_SHA256: Suite = tls13(0xC0B4, "TLS_SHA256_SHA256", IntegrityOnly);

/// All of them, for metrics.
pub const SUITES: [Suite; 11] = [
    RSA_256_GCM,
    ECDSA_256_GCM,
    RSA_128_GCM,
    ECDSA_128_GCM,
    STATIC_RSA_128_CBC,
    RSA_NULL_SHA,
    ECDSA_NULL_SHA,
    STATIC_RSA_NULL_SHA,
    TLS13_256_GCM,
    TLS13_128_GCM,
    TLS13_SHA256,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(suites: &[Suite]) -> Vec<u16> {
        suites.iter().map(|s| s.id).collect()
    }

    /// The legacy suite that old phones open TLS with is there under "All" and last; elsewhere it is not.
    #[test]
    fn r156_the_legacy_suite_is_available_under_all() {
        const AES128_SHA: u16 = 0x002F;
        for menu in TlsCiphers::ALL {
            let place = menu.tls12().iter().position(|s| s.id == AES128_SHA);
            let all = matches!(menu, TlsCiphers::AllRsaPreferred | TlsCiphers::AllEcdsaPreferred);
            assert_eq!(place, all.then(|| menu.tls12().len() - 1), "{menu:?}");
        }
        let legacy = suite(AES128_SHA).unwrap();
        assert_eq!(check_suite(DeviceSecurityMode::Encrypted, legacy.kind), Ok(()));
    }

    #[test]
    fn r122_strongest_rsa_preferred() {
        assert_eq!(ids(TlsCiphers::StrongestRsaPreferred.tls12()), [0xC030, 0xC02C]);
        assert_eq!(ids(TlsCiphers::StrongestRsaPreferred.tls13()), [0x1302]);
    }

    #[test]
    fn r123_strongest_ecdsa_preferred() {
        assert_eq!(ids(TlsCiphers::StrongestEcdsaPreferred.tls12()), [0xC02C, 0xC030]);
        assert_eq!(ids(TlsCiphers::StrongestEcdsaPreferred.tls13()), [0x1302]);
    }

    #[test]
    fn r124_medium_rsa_preferred() {
        assert_eq!(ids(TlsCiphers::MediumRsaPreferred.tls12()), [0xC030, 0xC02C, 0xC02F, 0xC02B]);
        assert_eq!(ids(TlsCiphers::MediumRsaPreferred.tls13()), [0x1302, 0x1301]);
    }

    #[test]
    fn r125_medium_ecdsa_preferred() {
        assert_eq!(ids(TlsCiphers::MediumEcdsaPreferred.tls12()), [0xC02C, 0xC030, 0xC02B, 0xC02F]);
        assert_eq!(ids(TlsCiphers::MediumEcdsaPreferred.tls13()), [0x1302, 0x1301]);
    }

    #[test]
    fn r126_all_rsa_preferred_is_medium_and_cbc_last() {
        assert_eq!(ids(TlsCiphers::AllRsaPreferred.tls12()), [0xC030, 0xC02C, 0xC02F, 0xC02B, 0x002F]);
    }

    #[test]
    fn r127_all_ecdsa_preferred_is_medium_and_cbc_last() {
        assert_eq!(ids(TlsCiphers::AllEcdsaPreferred.tls12()), [0xC02C, 0xC030, 0xC02B, 0xC02F, 0x002F]);
    }

    #[test]
    fn r119_integrity_only_suites_stay_out_of_the_encrypting_menus() {
        for menu in TlsCiphers::ALL {
            assert!(menu.tls12().iter().chain(menu.tls13()).all(|s| s.kind == Encrypting), "{menu:?}");
            assert!(menu.tls12().iter().all(|s| !s.tls13));
            assert!(menu.tls13().iter().all(|s| s.tls13));
            assert!(menu.integrity_only().iter().all(|s| s.kind == IntegrityOnly));
            for s in menu.tls12().iter().chain(menu.tls13()).chain(menu.integrity_only()) {
                assert_eq!(suite(s.id), Some(s));
            }
        }
    }

    #[test]
    fn r130_strongest_and_medium_offer_no_integrity_only_suite() {
        for menu in &TlsCiphers::ALL[..4] {
            assert!(menu.integrity_only().is_empty(), "{menu:?}");
        }
        assert_eq!(ids(TlsCiphers::AllRsaPreferred.integrity_only()), [0xC0B4, 0xC010, 0xC006, 0x0002]);
        assert_eq!(ids(TlsCiphers::AllEcdsaPreferred.integrity_only()), [0xC0B4, 0xC006, 0xC010, 0x0002]);
    }

    #[test]
    fn r128_r129_srtp_menus() {
        use CryptoSuite::{AeadAes128Gcm, AeadAes256Gcm, AesCm128HmacSha1_80};
        assert_eq!(TlsCiphers::StrongestEcdsaPreferred.recommended_srtp().suites(), [AeadAes256Gcm]);
        assert_eq!(
            TlsCiphers::MediumRsaPreferred.recommended_srtp().suites(),
            [AeadAes256Gcm, AeadAes128Gcm]
        );
        assert!(SrtpCiphers::All.allows(AesCm128HmacSha1_80));
        assert!(!SrtpCiphers::Medium.allows(AesCm128HmacSha1_80));
    }

    #[test]
    fn r119_r120_the_suite_must_fit_the_mode() {
        use DeviceSecurityMode::{Authenticated, Encrypted, NonSecure};
        assert_eq!(check_suite(Encrypted, IntegrityOnly).unwrap_err().as_str(), "suite_below_mode");
        assert_eq!(check_suite(Authenticated, Encrypting).unwrap_err().as_str(), "suite_not_of_mode");
        assert_eq!(check_suite(Authenticated, SuiteKind::None), Err(SuiteRefusal::BelowMode));
        assert_eq!(check_suite(Encrypted, SuiteKind::None), Err(SuiteRefusal::BelowMode));
        assert_eq!(check_suite(Encrypted, Encrypting), Ok(()));
        assert_eq!(check_suite(Authenticated, IntegrityOnly), Ok(()));
        for kind in [SuiteKind::None, IntegrityOnly, Encrypting] {
            assert_eq!(check_suite(NonSecure, kind), Ok(()));
        }
    }

    #[test]
    fn r121_names_in_the_api_are_the_serde_names() {
        for menu in TlsCiphers::ALL {
            assert_eq!(serde_json::to_value(menu).unwrap(), menu.as_str());
            assert_eq!(menu.as_str().parse(), Ok(menu));
        }
        for menu in SrtpCiphers::ALL {
            assert_eq!(serde_json::to_value(menu).unwrap(), menu.as_str());
            assert_eq!(menu.as_str().parse(), Ok(menu));
        }
        let refused = "strong".parse::<TlsCiphers>().unwrap_err();
        assert!(refused.to_string().contains("strongest_rsa_preferred"));
    }
}
