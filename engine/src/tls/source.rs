//! Where the policy of a TLS port comes from.

use std::sync::Arc;

use keyline_actors::board::{Boards, TicketKeys};
use keyline_actors::catalog::Crl;
use keyline_actors::keyring::OwnCertificates;
use keyline_domain::cipher::TlsCiphers;
use keyline_domain::inventory::{CertificateRow, Policy};

use super::policy;
use super::resume::TicketSource;

/// Where the policy comes from.
pub trait PolicySource: TicketSource {
    /// Moves whenever the menu or the certificates change, after the change can be read.
    fn generation(&self) -> u64;
    /// The menu in force.
    fn menu(&self) -> TlsCiphers;
    /// All trusted certificates.
    fn certificates(&self) -> Arc<Vec<CertificateRow>>;
    /// Revocation lists, and whether one that is out of date refuses its authority's certificates.
    fn crls(&self) -> (Arc<Vec<Crl>>, bool);
    /// The node's own certificates with their keys.
    fn own(&self) -> Arc<OwnCertificates>;
    /// Some applied profile is authenticated, asked at every handshake.
    fn authenticated(&self) -> bool;
}

impl PolicySource for Boards {
    fn generation(&self) -> u64 {
        self.settings.generation()
    }

    fn menu(&self) -> TlsCiphers {
        policy::menu(self.settings.load().parameters.tls_ciphers)
    }

    fn certificates(&self) -> Arc<Vec<CertificateRow>> {
        self.settings.certificates()
    }

    fn crls(&self) -> (Arc<Vec<Crl>>, bool) {
        let refuse = self.settings.load().parameters.expired_crl_policy == Policy::Refuse;
        (self.settings.crls(), refuse)
    }

    fn own(&self) -> Arc<OwnCertificates> {
        self.settings.own()
    }

    fn authenticated(&self) -> bool {
        self.profiles.authenticated_in_use()
    }
}

/// The source of the OAuth port: the same menu, and no client certificate is asked for, since there a token
/// proves who somebody is (R167). A ticket is bound to the trust of its port: on the other one it is worth something only where no certificate is asked for either.
pub struct TokenPort(Arc<dyn PolicySource>, Arc<Vec<CertificateRow>>);

impl TokenPort {
    /// Beside the policy of the other ports.
    pub fn beside(source: Arc<dyn PolicySource>) -> Arc<Self> {
        Arc::new(Self(source, Arc::default()))
    }
}

impl TicketSource for TokenPort {
    fn ticket_keys(&self) -> TicketKeys {
        self.0.ticket_keys()
    }
}

impl PolicySource for TokenPort {
    fn generation(&self) -> u64 {
        self.0.generation()
    }

    fn menu(&self) -> TlsCiphers {
        self.0.menu()
    }

    fn certificates(&self) -> Arc<Vec<CertificateRow>> {
        Arc::clone(&self.1)
    }

    fn crls(&self) -> (Arc<Vec<Crl>>, bool) {
        self.0.crls()
    }

    fn own(&self) -> Arc<OwnCertificates> {
        self.0.own()
    }

    /// A token goes with encryption only (R166), and would be read by anybody without it.
    fn authenticated(&self) -> bool {
        false
    }
}
