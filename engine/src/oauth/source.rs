//! The key set of an issuer outside: a file, or an HTTPS URL. Read at start, at its pace, on SIGHUP, and when a
//! token names a key that is not known; whatever goes wrong leaves the former keys in force.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use keyline_domain::oauth::{KEY_SET_MAX, KeySet};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Oauth;
use crate::config::KeySource;

/// For one answer, from the connection to its last byte.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long a start waits for it.
const AT_START: Duration = Duration::from_secs(3);

/// Pause after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Where systems keep the authorities that they trust.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Reads the key set once, waiting a little while for it, and keeps reading it until the runtime ends.
pub async fn start(oauth: &Arc<Oauth>) {
    let Some(source) = oauth.settings.key_set.clone() else { return };
    let first = Arc::clone(oauth);
    let (done, waiting) = tokio::sync::oneshot::channel();
    actix::spawn(async move {
        let mut fine = read(&first, &source).await;
        let _ = done.send(());
        loop {
            let refresh = Duration::from_secs(first.settings.refresh_s);
            let pause = if fine { refresh } else { refresh.min(AFTER_FAILURE) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = first.asked.notified() => {}
            }
            fine = read(&first, &source).await;
        }
    });
    let _ = tokio::time::timeout(AT_START, waiting).await;
}

impl Oauth {
    /// Has the key set read again soon.
    pub fn read_again(&self) {
        self.asked.notify_one();
    }
}

async fn read(oauth: &Oauth, source: &KeySource) -> bool {
    let text = match source {
        KeySource::File(path) => file(path),
        KeySource::Url(url) => {
            match tokio::time::timeout(DEADLINE, url_of(url, oauth.settings.key_set_ca.as_deref())).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
            }
        }
    };
    let keys = text.and_then(|text| KeySet::read(&text).map_err(|e| e.to_string()));
    oauth.metrics.read(keys.is_ok());
    match keys {
        Ok(keys) => {
            tracing::info!(source = %source, keys = keys.keys().len(), "the key set of the tokens' issuer was read");
            oauth.answered(Some(keys));
            true
        }
        Err(error) => {
            tracing::error!(source = %source, %error, "the key set of the tokens' issuer cannot be read; the former keys stay");
            oauth.answered(None);
            false
        }
    }
}

/// A local file of bounded size: short enough to be read on this thread.
fn file(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut text = Vec::new();
    let opened = std::fs::File::open(path).map_err(|e| e.to_string())?;
    opened.take(KEY_SET_MAX as u64 + 1).read_to_end(&mut text).map_err(|e| e.to_string())?;
    Ok(text)
}

async fn url_of(url: &str, ca: Option<&Path>) -> Result<Vec<u8>, String> {
    let said = |e: &dyn std::fmt::Display| e.to_string();
    let url: Uri = url.parse().map_err(|e: hyper::http::uri::InvalidUri| said(&e))?;
    let (host, authority) = url.host().zip(url.authority()).ok_or("the URL names no host")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|e| said(&e))?;
    let tls = TlsConnector::from(client(ca)?);
    let stream = TcpStream::connect((bare, url.port_u16().unwrap_or(443))).await.map_err(|e| said(&e))?;
    let stream = tls.connect(name, stream).await.map_err(|e| said(&e))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| said(&e))?;
    let driver = actix::spawn(connection);
    let path = url.path_and_query().map_or("/", |p| p.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|e| said(&e))?;
    let response = sender.send_request(request).await.map_err(|e| said(&e))?;
    // Redirects would lead to where nobody has said that keys are: not followed.
    if response.status() != hyper::StatusCode::OK {
        return Err(format!("the server answered {}", response.status()));
    }
    let body = Limited::new(response.into_body(), KEY_SET_MAX).collect().await.map_err(|e| said(&e))?;
    driver.abort();
    Ok(body.to_bytes().to_vec())
}

/// TLS towards the issuer: its certificate must chain to `key_set_ca`, or to what the system trusts.
fn client(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let path = match ca {
        Some(path) => path,
        None => SYSTEM_ROOTS
            .map(Path::new)
            .into_iter()
            .find(|p| p.exists())
            .ok_or("this system has no bundle of authorities: name one as oauth.key_set_ca")?,
    };
    let list = CertificateDer::pem_file_iter(path).map_err(|e| format!("{}: {e}", path.display()))?;
    roots.add_parsable_certificates(list.filter_map(Result::ok));
    if roots.is_empty() {
        return Err(format!("{} holds no certificate", path.display()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
