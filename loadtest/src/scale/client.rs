//! A client of the admin API that keeps its connection and times what it asks.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ScaleError;
use crate::tls::TlsOptions;

/// Longest answer that is read, in bytes.
const BODY_MAX: usize = 64 << 20;
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection of its own to one node's admin API, over TLS.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    token: String,
}

/// An answer.
pub(crate) struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its body; `null` where that is not JSON.
    pub body: Value,
    /// From the request's first byte to the answer's last one.
    pub took: Duration,
}

impl Client {
    /// Connects to a node whose data folder is that, believing `roots_pem`.
    pub(crate) async fn connect(
        address: SocketAddr,
        data: &Path,
        roots_pem: &str,
    ) -> Result<Client, ScaleError> {
        let token =
            std::fs::read_to_string(data.join("admin.token")).map_err(ScaleError::io("admin.token"))?;
        let failed = |e: &dyn std::fmt::Display| ScaleError::Admin(format!("connecting: {e}"));
        let tls = TlsOptions::trusting(roots_pem).client_config().map_err(|e| failed(&e))?;
        let stream = TcpStream::connect(address).await.map_err(ScaleError::io("connecting"))?;
        stream.set_nodelay(true).map_err(ScaleError::io("connecting"))?;
        let name = TlsOptions::default().verified_name(address).map_err(|e| failed(&e))?;
        let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(ScaleError::io("TLS"))?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
        // It ends with the client.
        tokio::spawn(connection);
        Ok(Client { sender, host: address.to_string(), token: token.trim().to_owned() })
    }

    /// Asks below `/api/v1`, and waits for the whole answer.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ScaleError> {
        match tokio::time::timeout(PATIENCE, self.try_ask(method, path, body)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(ScaleError::Admin(format!("{method} {path}: {e}"))),
            Err(_) => Err(ScaleError::Admin(format!("{method} {path}: no answer within {PATIENCE:?}"))),
        }
    }

    /// The same, where anything but success is a fault.
    pub(crate) async fn done(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ScaleError> {
        let answer = self.ask(method, path, body).await?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(ScaleError::Admin(format!("{method} {path}: {} {}", answer.status, answer.body)))
    }

    async fn try_ask(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("Host", &self.host)
            .header("Authorization", format!("Bearer {}", self.token));
        let bytes = match body {
            Some(body) => {
                request = request.header("Content-Type", "application/json");
                Bytes::from(serde_json::to_vec(body)?)
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(bytes))?;
        self.sender.ready().await?;
        let start = Instant::now();
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await?.to_bytes();
        let took = start.elapsed();
        Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null), took })
    }
}
