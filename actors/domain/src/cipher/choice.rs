//! With what a client is served, by what its ClientHello offers (design §4, §6): an encrypting suite of the menu
//! wherever there is one, an integrity-only one else. Suites with static RSA key exchange, and versions before
//! TLS 1.2, are a matter of the second acceptor.

use super::{Suite, TlsCiphers, suite};
use crate::mode::SuiteKind;

/// What a ClientHello offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer<'a> {
    /// IANA numbers, in the client's order, which counts for nothing (R122–R127).
    pub suites: &'a [u16],
    /// TLS 1.3.
    pub tls13: bool,
    /// TLS 1.2.
    pub tls12: bool,
}

/// What the node may choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Parameter `tls_ciphers`.
    pub menu: TlsCiphers,
    /// Some applied profile is authenticated: integrity-only suites are offered as far as the menu has any.
    pub authenticated: bool,
    /// Configuration `[tls] legacy`: the second acceptor is there.
    pub legacy: bool,
}

/// Who makes the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The one for TLS 1.3 and 1.2. With `tls13` false no suite of TLS 1.3 is in common, so that the handshake
    /// must not agree on that version first.
    Modern {
        /// TLS 1.3 may be agreed on.
        tls13: bool,
    },
    /// The one for static RSA and for versions down to TLS 1.0.
    Legacy,
}

/// How a client is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Encrypting or integrity-only suites, never both.
    pub kind: SuiteKind,
    /// By whom.
    pub server: Server,
}

/// Why there is nothing to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NoChoice {
    /// Before TLS 1.2, and nothing for the second acceptor.
    #[error("the client speaks no TLS version that is served")]
    Version,
    /// What the client offers could be served under another menu, or while a profile is authenticated (R130).
    #[error("the cipher policy forbids what the client offers")]
    Policy,
    /// The menu has what the client offers, but only the second acceptor could serve it.
    #[error("what the client offers is served with [tls] legacy only")]
    LegacyOff,
    /// No suite that Keyline knows.
    #[error("the client offers no suite that is known here")]
    Suite,
}

impl Offer<'_> {
    /// A suite counts only together with a version that has it. Static RSA is older than TLS 1.2.
    fn has(&self, suite: &Suite) -> bool {
        let version = if suite.tls13 { self.tls13 } else { self.tls12 || suite.legacy };
        version && self.suites.contains(&suite.id)
    }

    fn modern(&self, suites: impl Iterator<Item = &'static Suite>) -> Option<Server> {
        let mut found = suites.filter(|s| !s.legacy && self.has(s)).map(|s| s.tls13).peekable();
        found.peek()?;
        Some(Server::Modern { tls13: found.any(|tls13| tls13) })
    }

    fn legacy(&self, mut suites: impl Iterator<Item = &'static Suite>) -> bool {
        suites.any(|s| s.legacy && self.has(s))
    }
}

impl Policy {
    /// Chooses.
    ///
    /// # Errors
    /// [`NoChoice`].
    pub fn choose(self, offer: Offer<'_>) -> Result<Choice, NoChoice> {
        let integrity_only = if self.authenticated { self.menu.integrity_only() } else { &[] };
        let encrypting = || self.menu.tls13().iter().chain(self.menu.tls12());
        let legacy = |kind| match self.legacy {
            true => Ok(Choice { kind, server: Server::Legacy }),
            // An encrypting suite that is not served all the same keeps an integrity-only one from being chosen.
            false if offer.tls12 || offer.tls13 => Err(NoChoice::LegacyOff),
            false => Err(NoChoice::Version),
        };
        if let Some(server) = offer.modern(encrypting()) {
            return Ok(Choice { kind: SuiteKind::Encrypting, server });
        }
        if offer.legacy(encrypting()) {
            return legacy(SuiteKind::Encrypting);
        }
        if let Some(server) = offer.modern(integrity_only.iter()) {
            return Ok(Choice { kind: SuiteKind::IntegrityOnly, server });
        }
        if offer.legacy(integrity_only.iter()) {
            return legacy(SuiteKind::IntegrityOnly);
        }
        Err(match offer.suites.iter().any(|id| suite(*id).is_some_and(|s| offer.has(s))) {
            true => NoChoice::Policy,
            false if offer.tls12 || offer.tls13 => NoChoice::Suite,
            false => NoChoice::Version,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SuiteKind::{Encrypting, IntegrityOnly};

    const AES128_SHA: u16 = 0x002F;
    const NULL_SHA: u16 = 0x0002;
    const ECDHE_RSA_NULL_SHA: u16 = 0xC010;
    const SHA256_SHA256: u16 = 0xC0B4;
    const ALL: [TlsCiphers; 2] = [TlsCiphers::AllRsaPreferred, TlsCiphers::AllEcdsaPreferred];

    fn policy(menu: TlsCiphers) -> Policy {
        Policy { menu, authenticated: true, legacy: true }
    }

    fn v13(suites: &[u16]) -> Offer<'_> {
        Offer { suites, tls13: true, tls12: true }
    }

    fn v12(suites: &[u16]) -> Offer<'_> {
        Offer { suites, tls13: false, tls12: true }
    }

    fn v10(suites: &[u16]) -> Offer<'_> {
        Offer { suites, tls13: false, tls12: false }
    }

    fn chosen(kind: SuiteKind, server: Server) -> Result<Choice, NoChoice> {
        Ok(Choice { kind, server })
    }

    const MODERN13: Server = Server::Modern { tls13: true };
    const MODERN12: Server = Server::Modern { tls13: false };

    /// Each suite of each menu by itself, whatever else the client offers that is not of the menu.
    #[test]
    fn r122_to_r127_each_suite_of_each_menu_is_served() {
        for menu in TlsCiphers::ALL {
            for s in menu.tls13() {
                assert_eq!(
                    policy(menu).choose(v13(&[0x1303, s.id])),
                    chosen(Encrypting, MODERN13),
                    "{}",
                    s.name
                );
                // In a hello of TLS 1.2 it means nothing.
                assert_eq!(policy(menu).choose(v12(&[s.id])), Err(NoChoice::Suite), "{}", s.name);
            }
            for s in menu.tls12() {
                let server = if s.legacy { Server::Legacy } else { MODERN12 };
                for offer in [v12(&[0x1303, s.id]), v13(&[0x1303, s.id])] {
                    assert_eq!(policy(menu).choose(offer), chosen(Encrypting, server), "{}", s.name);
                }
            }
        }
    }

    #[test]
    fn r119_an_integrity_only_suite_is_chosen_only_without_an_encrypting_one() {
        for menu in ALL {
            for s in menu.integrity_only() {
                let server = match (s.legacy, s.tls13) {
                    (true, _) => Server::Legacy,
                    (_, tls13) => Server::Modern { tls13 },
                };
                // ChaCha20 encrypts, but is of no menu.
                for other in [0x1303, 0xCCA8, 0x1305] {
                    let got = policy(menu).choose(v13(&[s.id, other]));
                    assert_eq!(got, chosen(IntegrityOnly, server), "{}", s.name);
                }
                for better in menu.tls13().iter().chain(menu.tls12()) {
                    let got = policy(menu).choose(v13(&[s.id, better.id])).unwrap();
                    assert_eq!(got.kind, Encrypting, "{} and {}", s.name, better.name);
                }
            }
            assert_eq!(
                policy(menu).choose(v13(&[ECDHE_RSA_NULL_SHA, NULL_SHA])),
                chosen(IntegrityOnly, MODERN12)
            );
            assert_eq!(
                policy(menu).choose(v13(&[ECDHE_RSA_NULL_SHA, SHA256_SHA256])),
                chosen(IntegrityOnly, MODERN13)
            );
        }
    }

    #[test]
    fn r130_without_integrity_only_suites_an_authenticated_phone_is_refused_by_the_policy() {
        let offered: Vec<u16> = TlsCiphers::AllRsaPreferred.integrity_only().iter().map(|s| s.id).collect();
        for menu in &TlsCiphers::ALL[..4] {
            assert_eq!(policy(*menu).choose(v13(&offered)), Err(NoChoice::Policy), "{menu:?}");
            assert_eq!(policy(*menu).choose(v10(&[NULL_SHA])), Err(NoChoice::Policy), "{menu:?}");
        }
        for menu in ALL {
            let nobody = Policy { authenticated: false, ..policy(menu) };
            assert_eq!(nobody.choose(v13(&offered)), Err(NoChoice::Policy), "{menu:?}");
        }
        let strongest = policy(TlsCiphers::StrongestRsaPreferred);
        assert_eq!(strongest.choose(v12(&[0xC02F])), Err(NoChoice::Policy));
        assert_eq!(strongest.choose(v12(&[0xCCA8, 0x0035])), Err(NoChoice::Suite));
        assert_eq!(strongest.choose(v10(&[0x0035])), Err(NoChoice::Version));
    }

    #[test]
    fn r156_old_phones_come_to_the_second_acceptor_if_it_is_there() {
        for menu in ALL {
            for (suites, kind) in [
                (&[AES128_SHA][..], Encrypting),
                (&[NULL_SHA], IntegrityOnly),
                (&[NULL_SHA, AES128_SHA], Encrypting),
            ] {
                for offer in [v10(suites), v12(suites)] {
                    assert_eq!(policy(menu).choose(offer), chosen(kind, Server::Legacy));
                    let off = Policy { legacy: false, ..policy(menu) };
                    let why = if offer.tls12 { NoChoice::LegacyOff } else { NoChoice::Version };
                    assert_eq!(off.choose(offer), Err(why));
                }
            }
            // What rustls serves comes first, and no encrypting suite is passed over for an integrity-only one.
            assert_eq!(policy(menu).choose(v12(&[AES128_SHA, 0xC02F])), chosen(Encrypting, MODERN12));
            let both = v12(&[AES128_SHA, ECDHE_RSA_NULL_SHA]);
            assert_eq!(policy(menu).choose(both), chosen(Encrypting, Server::Legacy));
            let off = Policy { legacy: false, ..policy(menu) };
            assert_eq!(off.choose(both), Err(NoChoice::LegacyOff));
            assert_eq!(off.choose(v12(&[ECDHE_RSA_NULL_SHA])), chosen(IntegrityOnly, MODERN12));
        }
    }
}
