//! Installed packages: their records, and what installing one comes to (R066–R069).

use serde::{Deserialize, Serialize};

use crate::model::{Package, PackageError, PackageType, Protocols, VendorClass, Version};

use super::mutate::Op;
use super::rows::{PhoneModelRow, Row, Tag};
use super::{Inventory, RowError};

/// An installed package. It comes from a signed file and never from a row, so rows of this kind cannot be
/// written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRow {
    /// Name.
    pub name: Box<str>,
    /// Installed version.
    pub version: Version,
    /// SHA-256 of the certificate that signed it, lower-case hex.
    pub signer: Box<str>,
    /// The phone models that it brought, this version or an earlier one.
    pub types: Vec<Box<str>>,
}

impl Inventory {
    /// The installed packages in order of name.
    pub fn packages(&self) -> impl Iterator<Item = &PackageRow> {
        self.packages.values()
    }

    /// The package that brought a model.
    pub fn package_of(&self, model: &str) -> Option<&PackageRow> {
        self.packages().find(|p| p.types.iter().any(|t| &**t == model))
    }

    /// The operations that install a package: its types, then its record, in one change.
    pub(super) fn install(&self, package: &Package) -> Result<Vec<Op>, RowError> {
        let old = self.packages.get(&package.name);
        if let Some(old) = old.filter(|old| old.version >= package.version) {
            return Err(RowError::Package(PackageError::NotNewer {
                name: package.name.to_string(),
                installed: old.version,
                given: package.version,
            }));
        }
        let mut ops = Vec::with_capacity(package.types.len() + 1);
        for one in &package.types {
            self.must_be_free(one, package)?;
            ops.push(Op::Put(Box::new(Row::PhoneModel(Box::new(row_of(one))))));
        }
        // Types that a new version leaves out stay: phones may have them.
        let mut types = old.map(|old| old.types.clone()).unwrap_or_default();
        types.extend(package.types.iter().map(|t| t.name.clone()));
        types.sort_unstable();
        types.dedup();
        let (name, version, signer) = (package.name.clone(), package.version, package.signer.clone());
        ops.push(Op::Put(Box::new(Row::Package(PackageRow { name, version, signer, types }))));
        Ok(ops)
    }

    /// A type is new, or this package's own, or the very row that somebody imported before.
    fn must_be_free(&self, one: &PackageType, package: &Package) -> Result<(), RowError> {
        let Some(model) = self.models.get(&one.name) else { return Ok(()) };
        let by = match self.package_of(&one.name) {
            Some(owner) if owner.name == package.name => return Ok(()),
            Some(owner) => format!("one of package `{}`", owner.name),
            None if **model == row_of(one).to_model(model.id) => return Ok(()),
            None => "a phone_model row that says something else; delete that first".to_owned(),
        };
        Err(RowError::Package(PackageError::TypeTaken { name: one.name.to_string(), by }))
    }
}

fn row_of(one: &PackageType) -> PhoneModelRow {
    PhoneModelRow {
        tag: Tag,
        name: one.name.clone(),
        vendor_class: VendorClass::Preferred,
        protocols: Protocols::SIP,
        trusted: one.trusted,
        capabilities: one.capabilities,
        tls_certificate: one.tls_certificate,
        features: one.features,
        secure_call_features: one.secure_call_features.clone(),
    }
}
