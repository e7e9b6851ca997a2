//! SIP trunks' side of TLS (R131–R133, R157): what a trunk offers to the far end under its profile's mode, and
//! what follows from the far end's answer.

use crate::cipher::{Suite, SuiteRefusal, TlsCiphers, check_suite};
use crate::mode::{DeviceSecurityMode, SuiteKind};

/// TLS alerts by which a far end says that no offered suite suits it (RFC 8446 §6.2): `handshake_failure`,
/// `insufficient_security`.
pub const NO_COMMON_SUITE: [u8; 2] = [40, 71];

/// How a trunk's connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrunkState {
    /// No TLS: calls go over TCP or UDP.
    Open,
    /// The handshake gave what the profile asks for.
    Secured(SuiteKind),
    /// Nothing can be offered: the profile is authenticated, and the parameter `tls_ciphers` has no NULL_SHA
    /// (R130).
    CipherPolicy,
    /// The far end has none of the suites: an authenticated trunk needs a far end with NULL_SHA, any other an
    /// encrypted profile (R132, R133).
    CipherMismatch,
    /// The far end chose a suite that is not of the profile's mode.
    Refused(SuiteRefusal),
    /// The far end cannot be reached, or broke the handshake off for another reason.
    Down,
}

impl TrunkState {
    /// Name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Secured(_) => "secured",
            Self::CipherPolicy => "cipher_policy",
            Self::CipherMismatch => "cipher_mismatch",
            Self::Refused(_) => "suite_refused",
            Self::Down => "down",
        }
    }

    /// Calls are taken and made; in every other state they are refused (R132).
    pub const fn carries_calls(self) -> bool {
        matches!(self, Self::Open | Self::Secured(_))
    }
}

/// What came of a handshake that the trunk began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// It succeeded with the suite of this IANA number.
    Done(u16),
    /// The far end sent an alert.
    Alert(u8),
    /// The connection failed.
    Failed,
}

/// The suites of a trunk's ClientHello, most wanted first; none for a non-secure trunk, which opens no TLS.
///
/// An authenticated trunk begins TLS with NULL_SHA and offers nothing else (R131). An encrypted one offers the
/// encrypting suites of the menu (R133) and no integrity-only one: a far end that prefers those would leave the
/// trunk below its mode.
pub fn offered(mode: DeviceSecurityMode, menu: TlsCiphers) -> Vec<&'static Suite> {
    match mode {
        DeviceSecurityMode::NonSecure => Vec::new(),
        DeviceSecurityMode::Authenticated => menu.integrity_only().iter().collect(),
        DeviceSecurityMode::Encrypted => menu.tls13().iter().chain(menu.tls12()).collect(),
    }
}

/// How the trunk stands after a handshake (R132).
pub fn state(mode: DeviceSecurityMode, menu: TlsCiphers, handshake: Handshake) -> TrunkState {
    if mode == DeviceSecurityMode::NonSecure {
        return TrunkState::Open;
    }
    let offer = offered(mode, menu);
    if offer.is_empty() {
        return TrunkState::CipherPolicy;
    }
    match handshake {
        Handshake::Done(id) => match offer.iter().find(|s| s.id == id) {
            Some(suite) => match check_suite(mode, suite.kind) {
                Ok(()) => TrunkState::Secured(suite.kind),
                Err(refusal) => TrunkState::Refused(refusal),
            },
            // Nobody can choose what was not offered.
            None => TrunkState::Down,
        },
        Handshake::Alert(alert) if NO_COMMON_SUITE.contains(&alert) => TrunkState::CipherMismatch,
        Handshake::Alert(_) | Handshake::Failed => TrunkState::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use DeviceSecurityMode::{Authenticated, Encrypted, NonSecure};

    const MODES: [DeviceSecurityMode; 3] = [NonSecure, Authenticated, Encrypted];

    #[test]
    fn r131_an_authenticated_trunk_begins_with_null_sha() {
        for menu in TlsCiphers::ALL {
            let offer = offered(Authenticated, menu);
            assert!(offer.iter().all(|s| s.kind == SuiteKind::IntegrityOnly), "{menu:?}");
            let all = matches!(menu, TlsCiphers::AllRsaPreferred | TlsCiphers::AllEcdsaPreferred);
            assert_eq!(offer.iter().any(|s| s.name.ends_with("_WITH_NULL_SHA")), all, "{menu:?}");
        }
    }

    #[test]
    fn r132_without_null_sha_at_the_far_end_no_call_passes() {
        let menu = TlsCiphers::AllRsaPreferred;
        for alert in NO_COMMON_SUITE {
            let state = state(Authenticated, menu, Handshake::Alert(alert));
            assert_eq!((state.as_str(), state.carries_calls()), ("cipher_mismatch", false));
        }
        // An encrypting suite was never offered, so a far end cannot have chosen it.
        assert!(!state(Authenticated, menu, Handshake::Done(0xC02F)).carries_calls());
        // With NULL_SHA calls pass.
        let up = state(Authenticated, menu, Handshake::Done(0xC010));
        assert_eq!(up, TrunkState::Secured(SuiteKind::IntegrityOnly));
        assert!(up.carries_calls());
        // Under the other menus there is nothing to begin with (R130).
        let none = state(Authenticated, TlsCiphers::MediumRsaPreferred, Handshake::Done(0xC010));
        assert_eq!((none.as_str(), none.carries_calls()), ("cipher_policy", false));
    }

    #[test]
    fn r133_an_encrypted_trunk_offers_what_encrypts() {
        for menu in TlsCiphers::ALL {
            let offer = offered(Encrypted, menu);
            assert!(offer.iter().all(|s| s.kind == SuiteKind::Encrypting), "{menu:?}");
            assert!(menu.tls12().iter().chain(menu.tls13()).all(|s| offer.contains(&s)), "{menu:?}");
            // The far end that refuses NULL_SHA is reached this way.
            for suite in offer {
                let state = state(Encrypted, menu, Handshake::Done(suite.id));
                assert_eq!(state, TrunkState::Secured(SuiteKind::Encrypting), "{}", suite.name);
            }
        }
    }

    /// The notes on trunks hold for SIP profiles as for SCCP ones: whatever the far end does, calls pass only
    /// over what the mode asks for.
    #[test]
    fn r157_a_trunk_never_carries_calls_below_its_mode() {
        let outcomes = (0..=u16::MAX).map(Handshake::Done).chain((0..=u8::MAX).map(Handshake::Alert));
        for handshake in outcomes.chain([Handshake::Failed]) {
            for mode in MODES {
                for menu in TlsCiphers::ALL {
                    match state(mode, menu, handshake) {
                        TrunkState::Open => assert_eq!(mode, NonSecure),
                        TrunkState::Secured(kind) => {
                            assert_eq!(
                                kind == SuiteKind::Encrypting,
                                mode == Encrypted,
                                "{mode:?} {handshake:?}"
                            );
                        }
                        closed => assert!(!closed.carries_calls()),
                    }
                }
            }
        }
    }
}
