//! Parameters and users: snapshots that the catalog replaces as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use keyline_domain::credential::DerivedCredentials;
use keyline_domain::digest::AlgorithmSet;
use keyline_domain::ids::UserId;
use keyline_domain::inventory::{CertificateRow, Parameters};
use keyline_domain::phone::ExpiryLimits;
use papaya::HashMap;

use super::{Crl, OwnCertificates};

/// The parameters in force and what is derived from them once instead of per packet.
#[derive(Debug, Clone)]
pub struct Settings {
    /// All parameters.
    pub parameters: Parameters,
    /// `digest_algorithms`, in the order of challenges.
    pub algorithms: AlgorithmSet,
}

impl Settings {
    /// From the inventory's parameters.
    pub fn new(parameters: Parameters) -> Self {
        let algorithms = parameters.digest_algorithms.iter().fold(AlgorithmSet::EMPTY, |set, a| set.with(*a));
        Self { parameters, algorithms }
    }
}

/// Parameters in force, users' derived credentials, and certificates: the trusted ones and the node's own.
#[derive(Debug)]
pub struct SettingsBoard {
    settings: ArcSwap<Settings>,
    users: HashMap<UserId, Arc<DerivedCredentials>, foldhash::quality::RandomState>,
    certificates: ArcSwap<Vec<CertificateRow>>,
    own: ArcSwap<OwnCertificates>,
    crls: ArcSwap<Vec<Crl>>,
    /// Counts changes of parameters and certificates: whoever built something from them builds it anew.
    generation: AtomicU64,
}

impl SettingsBoard {
    /// A board with these parameters and no users.
    pub fn new(settings: Settings) -> Self {
        Self::with_room(settings, 0)
    }

    /// The same with room for so many users.
    pub(crate) fn with_room(settings: Settings, users: usize) -> Self {
        let hasher = foldhash::quality::RandomState::default();
        Self {
            settings: ArcSwap::from_pointee(settings),
            users: HashMap::builder().capacity(users).hasher(hasher).build(),
            certificates: ArcSwap::default(),
            own: ArcSwap::default(),
            crls: ArcSwap::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// Parameters in force. The guard must not be held across an await.
    pub fn load(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Trusted certificates of all purposes.
    pub fn certificates(&self) -> Arc<Vec<CertificateRow>> {
        self.certificates.load_full()
    }

    /// The node's own certificates with their keys.
    pub fn own(&self) -> Arc<OwnCertificates> {
        self.own.load_full()
    }

    /// Revocation lists.
    pub fn crls(&self) -> Arc<Vec<Crl>> {
        self.crls.load_full()
    }

    /// Changes whenever parameters, certificates or revocation lists change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Limits for registrations.
    pub fn expiry_limits(&self) -> ExpiryLimits {
        let p = &self.settings.load().parameters;
        ExpiryLimits {
            min: p.register_expires_min,
            max: p.register_expires_max,
            default: p.register_expires_default,
        }
    }

    /// Derived credentials of a user for the realm in force.
    pub fn credentials(&self, user: &str) -> Option<Arc<DerivedCredentials>> {
        self.users.pin().get(user).cloned()
    }

    pub(crate) fn set(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn set_certificates(&self, certificates: Vec<CertificateRow>) {
        self.certificates.store(Arc::new(certificates));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn set_own(&self, own: OwnCertificates) {
        self.own.store(Arc::new(own));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn set_crls(&self, crls: Vec<Crl>) {
        self.crls.store(Arc::new(crls));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn put_user(&self, user: UserId, credentials: Option<DerivedCredentials>) {
        match credentials {
            Some(c) => {
                self.users.pin().insert(user, Arc::new(c));
            }
            None => {
                self.users.pin().remove(&user);
            }
        }
    }
}
