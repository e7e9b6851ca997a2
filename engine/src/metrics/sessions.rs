//! What was negotiated, and how much of it is weak.

use keyline_domain::cipher;
use keyline_domain::mode::SuiteKind;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::add;

/// TLS 1.0 and 1.1 (RFC 8996).
const OLD_VERSION: usize = 0;
/// Without forward secrecy (RFC 9325 §4.1).
const STATIC_RSA: usize = 1;
/// Without encryption: what a phone in authenticated mode is to have (R119).
const NOT_ENCRYPTED: usize = 2;
const WEAK: [&str; 3] = ["version_before_1_2", "static_rsa", "not_encrypted"];

/// Why an open connection's certificate is no longer believed: reasons of handshakes. Any other is counted as the
/// last.
const REVOKED: [&str; 5] = [
    "client_certificate_untrusted",
    "client_certificate_expired",
    "client_certificate_revoked",
    "revocation_list_expired",
    "client_certificate_bad",
];

/// Counters of completed handshakes.
#[derive(Debug, Clone)]
pub(super) struct SessionMetrics {
    /// In the order of [`cipher::SUITES`].
    suites: [IntCounter; cipher::SUITES.len()],
    weak: [IntCounter; WEAK.len()],
    revoked: [IntCounter; REVOKED.len()],
}

impl SessionMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let named = |name: &str, help: &str, label: &str| {
            add(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)
        };
        let suites = named("keyline_tls_suites_total", "Completed TLS handshakes by cipher suite", "suite")?;
        let weak = named(
            "keyline_tls_weak_total",
            "Completed TLS handshakes with weak cryptography, by what is weak in it",
            "weakness",
        )?;
        let revoked = named(
            "keyline_tls_revoked_total",
            "Open TLS connections closed because their client certificate is no longer believed, by reason",
            "reason",
        )?;
        Ok(Self {
            revoked: REVOKED.map(|reason| revoked.with_label_values(&[reason])),
            suites: cipher::SUITES.map(|suite| suites.with_label_values(&[suite.name])),
            weak: WEAK.map(|weakness| weak.with_label_values(&[weakness])),
        })
    }

    pub(super) fn revoked(&self, reason: &str) {
        self.revoked[super::among(&REVOKED, reason)].inc();
    }

    pub(super) fn session(&self, version: &str, suite: u16) {
        let Some(place) = cipher::SUITES.iter().position(|s| s.id == suite) else { return };
        self.suites[place].inc();
        let suite = cipher::SUITES[place];
        for (weak, what) in [
            (matches!(version, "1.0" | "1.1"), OLD_VERSION),
            (suite.legacy, STATIC_RSA),
            (suite.kind == SuiteKind::IntegrityOnly, NOT_ENCRYPTED),
        ] {
            if weak {
                self.weak[what].inc();
            }
        }
    }
}
