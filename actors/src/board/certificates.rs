//! What phones proved themselves by, last.

use std::sync::Arc;

use keyline_domain::identity::{SeenCertificate, SeenCertificates, SeenKind};
use keyline_domain::ids::DeviceName;
use papaya::HashMap;

/// Certificates that were seen, by device. The catalog writes it when it has committed one.
#[derive(Debug, Default)]
pub struct CertificateBoard {
    seen: HashMap<DeviceName, Arc<SeenCertificates>, foldhash::quality::RandomState>,
}

impl CertificateBoard {
    /// What is known of a device.
    pub fn of(&self, device: &str) -> Option<Arc<SeenCertificates>> {
        self.seen.pin().get(device).cloned()
    }

    /// This very certificate is known already: once a connection that is asked, so it allocates nothing.
    pub fn knows(&self, device: &str, kind: SeenKind, sha256: &[u8; 32]) -> bool {
        self.seen.pin().get(device).and_then(|c| c.get(kind)).is_some_and(|c| c.sha256 == *sha256)
    }

    pub(crate) fn set(&self, device: &DeviceName, kind: SeenKind, certificate: SeenCertificate) {
        let pin = self.seen.pin();
        let mut known = pin.get(device).map(|c| SeenCertificates::clone(c)).unwrap_or_default();
        known.set(kind, certificate);
        pin.insert(device.clone(), Arc::new(known));
    }

    pub(crate) fn forget(&self, device: &DeviceName) {
        self.seen.pin().remove(device);
    }
}
