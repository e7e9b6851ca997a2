//! Certificates for phones: an authority whose phones prove their names by it, and self-signed ones of
//! another maker. Kept in a folder, so that a second run finds them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::tls::Identity;

/// Common name of the authority.
const AUTHORITY: &str = "Keyline Demo CA";
/// Years that a certificate lasts.
const YEARS: i32 = 5;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Making one failed.
    #[error("a certificate can not be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// The demo's authority and the folder of what it issued.
pub struct Authority {
    folder: PathBuf,
    /// Its certificate, PEM.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Loads or makes the authority of that folder.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn open(folder: &Path) -> Result<Authority, PkiError> {
        fs::create_dir_all(folder).map_err(|source| file_error(folder, source))?;
        let mut params = params(AUTHORITY);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let made = || {
            let key = KeyPair::generate()?;
            Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
        };
        let Identity { chain_pem, key_pem } = kept(folder, "demo-ca", made)?;
        // The same parameters and key make the same issuer.
        let issuer = Issuer::new(params.clone(), KeyPair::from_pem(&key_pem)?);
        Ok(Authority { folder: folder.to_owned(), pem: chain_pem, issuer })
    }

    /// Certificate and key of a device, signed by the authority: as a locally significant one.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn device(&self, name: &str) -> Result<Identity, PkiError> {
        kept(&self.folder, name, || {
            let key = KeyPair::generate()?;
            Ok((client(name).signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
        })
    }

    /// Certificate and key of a device, signed by the authority and kept nowhere.
    ///
    /// # Errors
    /// [`PkiError::Make`].
    pub fn issue(&self, name: &str) -> Result<Identity, PkiError> {
        let key = KeyPair::generate()?;
        let chain_pem = client(name).signed_by(&key, &self.issuer)?.pem();
        Ok(Identity { chain_pem, key_pem: key.serialize_pem() })
    }

    /// What a server asks a certificate for, signed by the authority: the chain with the authority behind it, PEM.
    ///
    /// # Errors
    /// [`PkiError::Make`] when it is no such request.
    pub fn sign(&self, request: &str) -> Result<String, PkiError> {
        let mut request = CertificateSigningRequestParams::from_pem(request)?;
        let lasting = params("");
        request.params.not_before = lasting.not_before;
        request.params.not_after = lasting.not_after;
        Ok(request.signed_by(&self.issuer)?.pem() + &self.pem)
    }

    /// Certificate and key of another maker's device: signed by itself.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn vendor(&self, name: &str) -> Result<Identity, PkiError> {
        kept(&self.folder, name, || {
            let key = KeyPair::generate()?;
            Ok((client(name).self_signed(&key)?.pem(), key.serialize_pem()))
        })
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Keyline Demo");
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let year = 1970 + i32::try_from(seconds / 31_556_952).unwrap_or(60);
    params.not_before = date_time_ymd(year - 1, 1, 1);
    params.not_after = date_time_ymd(year + YEARS, 1, 1);
    params
}

fn client(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn file_error(path: &Path, source: io::Error) -> PkiError {
    PkiError::File { path: path.to_owned(), source }
}

/// What is kept under that name, or makes and keeps it.
fn kept(
    folder: &Path,
    name: &str,
    make: impl FnOnce() -> Result<(String, String), rcgen::Error>,
) -> Result<Identity, PkiError> {
    let (pem, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    if let (Ok(chain_pem), Ok(key_pem)) = (fs::read_to_string(&pem), fs::read_to_string(&key)) {
        return Ok(Identity { chain_pem, key_pem });
    }
    let (chain_pem, key_pem) = make()?;
    for (path, text) in [(&key, &key_pem), (&pem, &chain_pem)] {
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|source| file_error(path, source))?;
    }
    Ok(Identity { chain_pem, key_pem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path()).unwrap();
        let phone = first.device("SEP0011AABBCC01").unwrap();
        let again = Authority::open(folder.path()).unwrap();
        assert_eq!(first.pem, again.pem);
        assert_eq!(phone.chain_pem, again.device("SEP0011AABBCC01").unwrap().chain_pem);
        assert_ne!(phone.chain_pem, again.device("SEP0011AABBCC02").unwrap().chain_pem);
    }
}
