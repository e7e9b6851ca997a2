//! What clients are verified against, read from the inventory's certificates.

use std::collections::HashMap;

use keyline_domain::identity::ChainedTo;
use keyline_domain::inventory::{CertificateRow, Purpose};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use super::{Fingerprint, fingerprint};
use crate::pki::inspect;
use crate::tls::resume::TrustDigest;

/// The trust that one policy is built with: immutable, replaced as a whole when a store changes.
#[derive(Debug, Default, Clone)]
pub struct ClientTrust {
    /// Authorities of CallManager-trust: roots of LSCs and MICs (R052).
    pub call_manager: Vec<CertificateDer<'static>>,
    /// Authorities of CAPF-trust: issuers of LSCs, of another cluster too (R082).
    pub capf: Vec<CertificateDer<'static>>,
    /// Certificates that are believed as they are, and what for: all of vendor-trust (R055, R072–R077), and
    /// those of the other two stores, which may be no authorities at all.
    pub exact: HashMap<Fingerprint, ChainedTo>,
}

/// A certificate of a trust store that is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{row} is not used for TLS: {reason}; remove it, or upload it again")]
pub struct LeftOut {
    /// `<purpose>/<fingerprint>`, its name in the inventory.
    pub row: String,
    /// What is wrong with it.
    pub reason: String,
}

impl ClientTrust {
    /// Reads the stores that count for phones. A certificate that cannot be used is left out and named: it
    /// makes nobody trusted, and must not keep the removal of another one from taking effect.
    ///
    /// Only a certificate whose basic constraints say CA becomes an authority. Any other, say a phone's own,
    /// is believed as it is: its holder must not be able to issue certificates for other phones.
    pub fn read(rows: &[CertificateRow]) -> (Self, Vec<LeftOut>) {
        let (mut trust, mut left_out) = (Self::default(), Vec::new());
        for row in rows {
            let fault = match row.purpose {
                Purpose::VendorTrust => trust.add_exact(row),
                Purpose::CallManagerTrust => trust.add_authorities(row, ChainedTo::CallManagerTrust),
                Purpose::CapfTrust => trust.add_authorities(row, ChainedTo::CapfTrust),
                Purpose::PhoneSastTrust | Purpose::TrunkTrust | Purpose::PackageTrust => Ok(()),
            };
            if let Err(reason) = fault {
                left_out.push(LeftOut {
                    row: row.key().unwrap_or_else(|| row.purpose.as_str().to_owned()),
                    reason,
                });
            }
        }
        (trust, left_out)
    }

    /// Vendor certificates may be as many as phones: the fingerprint is in the row's facts already.
    fn add_exact(&mut self, row: &CertificateRow) -> Result<(), String> {
        let known = row.facts.as_ref().and_then(|f| unhex(&f.fingerprint));
        let print = match known {
            Some(print) => print,
            None => {
                let ders = inspect::pem(&row.pem).map_err(|e| e.to_string())?;
                fingerprint(ders.first().ok_or("it is empty")?)
            }
        };
        // Stronger than a mere entry in another store: it ties a device (R073).
        self.exact.insert(print, ChainedTo::VendorTrust);
        Ok(())
    }

    fn add_authorities(&mut self, row: &CertificateRow, to: ChainedTo) -> Result<(), String> {
        for der in inspect::pem(&row.pem).map_err(|e| e.to_string())? {
            let facts = inspect::facts(&der).map_err(|e| e.to_string())?;
            self.exact.entry(facts.sha256).or_insert(to);
            if !facts.is_ca {
                continue;
            }
            // Tried here, so that one unusable authority does not spoil the store.
            RootCertStore::empty()
                .add(der.clone())
                .map_err(|e| format!("it cannot be a trust anchor: {e}"))?;
            match to {
                ChainedTo::CapfTrust => self.capf.push(der),
                _ => self.call_manager.push(der),
            }
        }
        Ok(())
    }

    /// Nothing is trusted.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty()
    }

    /// Something is believed that is no authority.
    pub(super) fn has_others(&self) -> bool {
        self.exact.len() > self.call_manager.len() + self.capf.len()
            || self.exact.values().any(|to| *to == ChainedTo::VendorTrust)
    }

    /// Digest of all of it, for tickets: equal trust, equal digest.
    pub fn digest(&self) -> TrustDigest {
        let mut all: Vec<(Fingerprint, u8)> = self.exact.iter().map(|(p, to)| (*p, mark(*to))).collect();
        all.sort_unstable();
        let mut digest = Sha256::new();
        for (print, to) in all {
            digest.update(print);
            digest.update([to]);
        }
        digest.finalize().into()
    }
}

fn mark(to: ChainedTo) -> u8 {
    match to {
        ChainedTo::Nothing => 0,
        ChainedTo::CapfTrust => 1,
        ChainedTo::CallManagerTrust => 2,
        ChainedTo::VendorTrust => 3,
    }
}

fn unhex(text: &str) -> Option<Fingerprint> {
    let mut out = Fingerprint::default();
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != out.len() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(pairs) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_from_hex() {
        assert_eq!(unhex(&"0aF1".repeat(16)).map(|p| (p[0], p[31])), Some((0x0a, 0xf1)));
        assert_eq!(unhex(&"0a".repeat(31)), None);
        assert_eq!(unhex(&"0g".repeat(32)), None);
        assert_eq!(unhex(&"é".repeat(32)), None);
    }
}
