//! Where a node elsewhere is, and what it must prove.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Port of the admin API.
const PORT: u16 = 8443;

/// A node elsewhere.
pub struct Remote {
    /// `https://host:port`.
    pub url: String,
    /// Bearer token.
    pub token: String,
    /// The certificate that it must prove, or its issuer, PEM.
    pub ca: String,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Remote {
    /// Of the URL; only HTTPS is spoken: a token does not travel in the clear.
    pub(super) fn host_and_port(&self) -> Result<(String, u16), String> {
        let uri: hyper::Uri = self.url.parse().map_err(|e| format!("{e}"))?;
        if uri.scheme_str() != Some("https") {
            return Err("the URL must begin with https://".to_owned());
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err("the URL ends with host and port".to_owned());
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        match host.is_empty() {
            true => Err("the URL names no host".to_owned()),
            false => Ok((host.to_owned(), uri.port_u16().unwrap_or(PORT))),
        }
    }

    pub(super) fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        let mut roots = RootCertStore::empty();
        for der in CertificateDer::pem_slice_iter(self.ca.as_bytes()) {
            let der = der.map_err(|e| format!("--ca-file: {e}"))?;
            roots.add(der).map_err(|e| format!("--ca-file: {e}"))?;
        }
        if roots.is_empty() {
            return Err("--ca-file holds no certificate".to_owned());
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::Remote;

    #[test]
    fn only_https_with_host_and_port_is_asked() {
        let of = |url: &str| {
            Remote { url: url.to_owned(), token: String::new(), ca: String::new() }.host_and_port()
        };
        assert_eq!(of("https://voice.example.net:9443"), Ok(("voice.example.net".to_owned(), 9443)));
        assert_eq!(of("https://[::1]/"), Ok(("::1".to_owned(), 8443)));
        for wrong in ["http://a:1", "a:1", "https://a/b", "https://a/?b", "", "https://"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
