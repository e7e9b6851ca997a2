//! TLS of simulated phones: whom they believe, which certificate each shows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::users::User;
use crate::pki::Authority;
use crate::tls::{Identity, TlsError, TlsOptions};

/// Where the phones' certificates come from.
pub enum Certificates {
    /// Phones show none.
    None,
    /// All show this one.
    One(Identity),
    /// Each has `NAME.pem` and `NAME.key` in a folder; NAME is its device name, else its number.
    Folder(PathBuf),
    /// Each gets one of this authority when it first connects.
    Made(Box<Authority>),
}

/// TLS of a fleet.
pub struct TlsSetup {
    options: TlsOptions,
    certificates: Certificates,
    resume: bool,
}

/// Why a phone has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Material that can not be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A certificate can not be made.
    #[error(transparent)]
    Pki(#[from] crate::pki::PkiError),
    /// A file can not be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl TlsSetup {
    /// `options` says whom to believe and which versions to offer; its own identity is not used.
    pub fn new(options: TlsOptions, certificates: Certificates, resume: bool) -> TlsSetup {
        TlsSetup { options, certificates, resume }
    }

    /// The configuration of a phone's next connection.
    pub(super) fn config(&self, user: &User) -> Result<Arc<ClientConfig>, SetupError> {
        let name = user.device.as_deref().unwrap_or(&user.number);
        let identity = match &self.certificates {
            Certificates::None => None,
            Certificates::One(identity) => Some(identity.clone()),
            Certificates::Made(authority) => Some(authority.issue(name)?),
            Certificates::Folder(folder) => {
                let read = |end: &str| {
                    let path = folder.join(format!("{name}.{end}"));
                    std::fs::read_to_string(&path).map_err(|source| SetupError::File { path, source })
                };
                Some(Identity { chain_pem: read("pem")?, key_pem: read("key")? })
            }
        };
        let options = TlsOptions { identity, ..self.options.clone() };
        Ok(if self.resume { options.resuming_config()? } else { options.client_config()? })
    }

    /// The name that the server must prove.
    pub(super) fn name(&self, server: SocketAddr) -> Result<ServerName<'static>, SetupError> {
        Ok(self.options.verified_name(server)?)
    }
}
