//! The trust stores: what the inventory's certificates are trusted for, as DER.

use std::collections::HashSet;

use keyline_domain::inventory::{CertificateRow, Purpose};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use super::inspect::{self, InspectError};

/// Certificates by purpose, made anew whenever the inventory's change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stores {
    call_manager: Vec<CertificateDer<'static>>,
    capf: Vec<CertificateDer<'static>>,
    phone_sast: Vec<CertificateDer<'static>>,
    vendor: Vec<CertificateDer<'static>>,
    trunk: Vec<CertificateDer<'static>>,
    package: Vec<CertificateDer<'static>>,
}

/// A row whose PEM could be read when it was taken in and cannot now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("certificate {row}: {source}; it is left out, import it again")]
pub struct UnreadableRow {
    /// `<purpose>/<fingerprint>`.
    pub row: String,
    /// Why.
    pub source: InspectError,
}

impl Stores {
    /// Sorts rows into stores. A row for authorities gives all certificates of its PEM; one of
    /// vendor-trust the first only, since it is believed as it is and not as an issuer (R055). Rows
    /// that cannot be read are left out and named.
    pub fn collect<'a>(rows: impl IntoIterator<Item = &'a CertificateRow>) -> (Self, Vec<UnreadableRow>) {
        let (mut stores, mut unreadable) = (Self::default(), Vec::new());
        // A site may hold one uploaded certificate for each of its phones.
        let mut seen = HashSet::new();
        for row in rows {
            match inspect::pem(&row.pem) {
                Ok(mut certificates) => {
                    if row.purpose == Purpose::VendorTrust {
                        certificates.truncate(1);
                    }
                    certificates
                        .retain(|der| seen.insert((row.purpose, <[u8; 32]>::from(Sha256::digest(der)))));
                    stores.store(row.purpose).append(&mut certificates);
                }
                Err(source) => unreadable.push(UnreadableRow { row: row.key().unwrap_or_default(), source }),
            }
        }
        (stores, unreadable)
    }

    fn store(&mut self, purpose: Purpose) -> &mut Vec<CertificateDer<'static>> {
        match purpose {
            Purpose::CallManagerTrust => &mut self.call_manager,
            Purpose::CapfTrust => &mut self.capf,
            Purpose::PhoneSastTrust => &mut self.phone_sast,
            Purpose::VendorTrust => &mut self.vendor,
            Purpose::TrunkTrust => &mut self.trunk,
            Purpose::PackageTrust => &mut self.package,
        }
    }

    /// The certificates of one purpose, each once, in the order of the rows.
    pub fn of(&self, purpose: Purpose) -> &[CertificateDer<'static>] {
        match purpose {
            Purpose::CallManagerTrust => &self.call_manager,
            Purpose::CapfTrust => &self.capf,
            Purpose::PhoneSastTrust => &self.phone_sast,
            Purpose::VendorTrust => &self.vendor,
            Purpose::TrunkTrust => &self.trunk,
            Purpose::PackageTrust => &self.package,
        }
    }

    /// The issuers of phones' own certificates: CallManager-trust (MIC roots) and CAPF-trust (LSC
    /// issuers, R082), each once.
    pub fn phone_issuers(&self) -> Vec<CertificateDer<'static>> {
        let mut issuers = self.call_manager.clone();
        issuers.extend(self.capf.iter().filter(|der| !self.call_manager.contains(der)).cloned());
        issuers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(purpose: Purpose, pem: &str) -> CertificateRow {
        let facts = inspect::row_facts(pem).ok();
        CertificateRow {
            tag: Default::default(),
            purpose,
            pem: pem.into(),
            phone: None,
            subject: None,
            facts,
        }
    }

    fn made(name: &str) -> String {
        rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn each_purpose_has_its_store_and_each_certificate_stands_once() {
        let (mic, lsc, phone, issuer) = (made("mic"), made("lsc"), made("phone"), made("issuer"));
        let rows = [
            row(Purpose::CallManagerTrust, &format!("{mic}{lsc}")),
            row(Purpose::CallManagerTrust, &mic),
            row(Purpose::CapfTrust, &lsc),
            row(Purpose::CapfTrust, &issuer),
            row(Purpose::VendorTrust, &format!("{phone}{issuer}")),
        ];
        let (stores, unreadable) = Stores::collect(&rows);
        assert!(unreadable.is_empty());
        assert_eq!(stores.of(Purpose::CallManagerTrust).len(), 2);
        // The issuer in a vendor's chain is trusted for nothing.
        assert_eq!(stores.of(Purpose::VendorTrust), &inspect::pem(&phone).unwrap());
        assert!(stores.of(Purpose::TrunkTrust).is_empty() && stores.of(Purpose::PhoneSastTrust).is_empty());
        let issuers = stores.phone_issuers();
        assert_eq!(issuers.len(), 3);
        assert!(!issuers.contains(&inspect::pem(&phone).unwrap()[0]));
    }

    #[test]
    fn a_damaged_row_is_named_and_the_others_stay() {
        let mut damaged = row(Purpose::CapfTrust, &made("a"));
        damaged.pem = "nothing".into();
        let (stores, unreadable) = Stores::collect(&[damaged, row(Purpose::CapfTrust, &made("b"))]);
        assert_eq!(stores.of(Purpose::CapfTrust).len(), 1);
        assert!(unreadable[0].to_string().starts_with("certificate CAPF-trust/"));
    }
}
