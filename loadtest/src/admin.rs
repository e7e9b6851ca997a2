//! The little of the admin API that the demo and the tests read.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::{TlsError, TlsOptions};

/// Longest answer that is read, in bytes.
const BODY_MAX: usize = 4 << 20;
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The token can not be read.
    #[error("the administrator's token {path}: {source}")]
    Token {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// TLS can not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The request failed.
    #[error("GET {path}: {reason}")]
    Get {
        /// The path.
        path: String,
        /// What happened.
        reason: String,
    },
}

/// A client of one node's admin API.
pub struct Admin {
    address: SocketAddr,
    token: String,
    tls: Arc<ClientConfig>,
}

impl Admin {
    /// A client that believes `roots_pem` and bears the token of that data folder.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn new(address: SocketAddr, data: &Path, roots_pem: &str) -> Result<Admin, AdminError> {
        let path = data.join("admin.token");
        let token = std::fs::read_to_string(&path)
            .map_err(|source| AdminError::Token { path: path.display().to_string(), source })?;
        let tls = TlsOptions::trusting(roots_pem).client_config()?;
        Ok(Admin { address, token: token.trim().to_owned(), tls })
    }

    /// The JSON under a path.
    ///
    /// # Errors
    /// [`AdminError::Get`] also for every status but 200.
    pub async fn get(&self, path: &str) -> Result<Value, AdminError> {
        let failed = |reason: String| AdminError::Get { path: path.to_owned(), reason };
        match tokio::time::timeout(PATIENCE, self.try_get(path)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(fault)) => Err(failed(fault.to_string())),
            Err(_) => Err(failed(format!("no answer within {PATIENCE:?}"))),
        }
    }

    async fn try_get(&self, path: &str) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = TlsOptions::default().verified_name(self.address)?;
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let running = tokio::spawn(connection);
        let request = Request::get(path)
            .header("Host", self.address.to_string())
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Accept", "application/json")
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await?.to_bytes();
        running.abort();
        if status != hyper::StatusCode::OK {
            return Err(format!("{status} {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(serde_json::from_slice(&body)?)
    }
}
