//! The command line's end of the control socket: HTTP/1.1 over a Unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
pub use hyper::Method;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderValue;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::remote::Remote;
use super::socket::{CONTROL_SOCKET, ShortPath};

/// Answers that are read as a whole end here, in bytes.
const ANSWER_MAX: usize = 64 << 20;

/// Longest line of an answer that comes line by line, in bytes.
const LINE_MAX: usize = 1 << 20;

/// How long a node may take to begin its answer to a question; an import may take any time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a node could not be asked, or what it refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The socket is another user's.
    #[error("{} belongs to another user; run this command as the user that the node runs as", path.display())]
    OtherUser {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be reached for another reason.
    #[error("cannot reach the node at {}: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A node elsewhere cannot be asked.
    #[error("cannot ask {url}: {reason}")]
    Remote {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
    /// The connection broke.
    #[error("the node ended the connection: {0}; its log says why")]
    Broken(#[from] hyper::Error),
    /// No answer in time.
    #[error("the node did not answer within {} s; its log says why", PATIENCE.as_secs())]
    Silent,
    /// The answer is larger than any answer should be.
    #[error("the node's answer exceeds {ANSWER_MAX} bytes")]
    TooLarge,
    /// The node refused; the problem document is inside.
    #[error("{}", detail(.0))]
    Refused(Value),
    /// The node's answer is not what was asked for: another version of the program, perhaps.
    #[error("the node's answer cannot be understood; are node and command of the same version?")]
    Strange,
    /// What was received could not be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    /// A value that a header cannot carry.
    #[error("{name}: a header cannot carry this value; use visible characters")]
    Header {
        /// The header.
        name: &'static str,
    },
    /// No runtime.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

/// Detail and code of a problem document.
fn detail(problem: &Value) -> String {
    let detail = problem["detail"].as_str().unwrap_or("the node refused without a reason");
    match problem["code"].as_str() {
        Some(code) => format!("{detail} ({code})"),
        None => detail.to_owned(),
    }
}

/// A request with a body, or one whose answer has a status or a header that matters.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Method.
    pub method: Method,
    /// Path and query, every part escaped.
    pub path: &'a str,
    /// Media type of the body.
    pub media: Option<&'static str>,
    /// Body.
    pub body: Option<Vec<u8>>,
    /// Further headers, names in lower case.
    pub headers: Vec<(&'static str, &'a str)>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// `ETag`.
    pub etag: Option<String>,
    /// JSON body; `null` when there is none.
    pub body: Value,
}

/// A connection to a running node.
pub struct Control {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    /// Value of `Authorization`; over the control socket there is none.
    authorization: Option<HeaderValue>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Control {
    /// Connects to the node that runs on a data folder; `None` if none does.
    pub fn connect(data_dir: &Path) -> Result<Option<Self>, ControlError> {
        let path = data_dir.join(CONTROL_SOCKET);
        let failed = |source: io::Error| match source.kind() {
            // Nobody listens: never started, or ended without cleaning up.
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
            io::ErrorKind::PermissionDenied => Err(ControlError::OtherUser { path: path.clone() }),
            _ => Err(ControlError::Connect { path: path.clone(), source }),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ControlError::Runtime)?;
        let short = match ShortPath::of(data_dir, CONTROL_SOCKET) {
            Ok(short) => short,
            Err(e) => return failed(e),
        };
        let stream = match runtime.block_on(UnixStream::connect(short.as_path())) {
            Ok(stream) => stream,
            Err(e) => return failed(e),
        };
        let (sender, connection) = runtime.block_on(handshake(TokioIo::new(stream)))?;
        // It ends with the connection; what went wrong is told to whoever waits for an answer.
        runtime.spawn(async move { drop(connection.await) });
        Ok(Some(Self { runtime, sender, host: HeaderValue::from_static("keyline"), authorization: None }))
    }

    /// Connects to the admin API of a node anywhere.
    pub fn remote(remote: &Remote) -> Result<Self, ControlError> {
        let failed = |reason: String| ControlError::Remote { url: remote.url.clone(), reason };
        let (host, port) = remote.host_and_port().map_err(failed)?;
        let failed = |reason: String| ControlError::Remote { url: remote.url.clone(), reason };
        let authorization = HeaderValue::from_str(&format!("Bearer {}", remote.token.trim()))
            .map(|mut value| {
                value.set_sensitive(true);
                value
            })
            .map_err(|_| failed("the token has characters that a header cannot carry".to_owned()))?;
        let tls = remote.tls().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ControlError::Runtime)?;
        let exchange = async {
            let stream = tokio::net::TcpStream::connect((host.as_str(), port)).await?;
            let name = rustls::pki_types::ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            tokio_rustls::TlsConnector::from(tls).connect(name, stream).await
        };
        let stream = runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange).await });
        let failed = |reason: String| ControlError::Remote { url: remote.url.clone(), reason };
        let stream = stream.map_err(|_| ControlError::Silent)?.map_err(|e| failed(e.to_string()))?;
        let (sender, connection) = runtime.block_on(handshake(TokioIo::new(stream)))?;
        runtime.spawn(async move { drop(connection.await) });
        let host = HeaderValue::from_str(&format!("{host}:{port}")).map_err(|e| failed(e.to_string()))?;
        Ok(Self { runtime, sender, host, authorization: Some(authorization) })
    }

    fn request(&self, method: Method, path: &str, accept: &'static str, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = request(method, path, accept, body);
        let headers = request.headers_mut();
        headers.insert(hyper::header::HOST, self.host.clone());
        if let Some(authorization) = &self.authorization {
            headers.insert(hyper::header::AUTHORIZATION, authorization.clone());
        }
        request
    }

    /// GET of a path, as text.
    pub fn text(&mut self, path: &str) -> Result<String, ControlError> {
        let body = self.whole(self.request(Method::GET, path, "text/plain", Bytes::new()), Some(PATIENCE))?;
        String::from_utf8(body).map_err(|_| ControlError::Strange)
    }

    /// GET of a path, as JSON.
    pub fn json(&mut self, path: &str) -> Result<Value, ControlError> {
        let body =
            self.whole(self.request(Method::GET, path, "application/json", Bytes::new()), Some(PATIENCE))?;
        serde_json::from_slice(&body).map_err(|_| ControlError::Strange)
    }

    /// GET of a path, as JSON, with the status: for answers that say no by it.
    pub fn status(&mut self, path: &str) -> Result<(u16, Value), ControlError> {
        let ask = self.request(Method::GET, path, "application/json", Bytes::new());
        let answer = self.exchange(ask, Some(PATIENCE))?;
        Ok((answer.status, answer.body))
    }

    /// POST of a body to a path; the answer is JSON.
    pub fn post(&mut self, path: &str, body: Vec<u8>) -> Result<Value, ControlError> {
        let body = self.whole(self.request(Method::POST, path, "application/json", body.into()), None)?;
        serde_json::from_slice(&body).map_err(|_| ControlError::Strange)
    }

    /// Any request; its answer, if the node did what was asked (2xx).
    pub fn ask(&mut self, ask: Ask<'_>) -> Result<Answer, ControlError> {
        let Ask { method, path, media, body, headers } = ask;
        let mut request = self.request(method, path, "application/json", body.unwrap_or_default().into());
        if let Some(media) = media {
            request.headers_mut().insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(media));
        }
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| ControlError::Header { name })?;
            request.headers_mut().insert(name, value);
        }
        let answer = self.exchange(request, None)?;
        match answer.status {
            200..=299 => Ok(answer),
            _ => Err(ControlError::Refused(answer.body)),
        }
    }

    fn exchange(
        &mut self,
        ask: Request<Full<Bytes>>,
        patience: Option<Duration>,
    ) -> Result<Answer, ControlError> {
        let Self { runtime, sender, .. } = self;
        runtime.block_on(async {
            let answer = begun(sender, ask, patience).await?;
            let status = answer.status().as_u16();
            let text = |name| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
            let etag = text(hyper::header::ETAG);
            let body = collect(answer.into_body()).await?;
            let body = match body.is_empty() {
                true => Value::Null,
                false => serde_json::from_slice(&body).map_err(|_| ControlError::Strange)?,
            };
            Ok(Answer { status, etag, body })
        })
    }

    /// GET of a path whose answer comes line by line, perhaps for ever; `false` from `take` ends it.
    pub fn lines(
        &mut self,
        path: &str,
        mut take: impl FnMut(&str) -> Result<bool, ControlError>,
    ) -> Result<(), ControlError> {
        let ask = self.request(Method::GET, path, "application/x-ndjson", Bytes::new());
        let Self { runtime, sender, .. } = self;
        runtime.block_on(async {
            let mut body = successful(sender, ask, Some(PATIENCE)).await?.into_body();
            let mut rest = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame?;
                let Some(piece) = frame.data_ref() else { continue };
                rest.extend_from_slice(piece);
                while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let line = std::str::from_utf8(&line).map_err(|_| ControlError::Strange)?.trim();
                    if !line.is_empty() && !take(line)? {
                        return Ok(());
                    }
                }
                if rest.len() > LINE_MAX {
                    return Err(ControlError::TooLarge);
                }
            }
            Ok(())
        })
    }

    /// GET of a path, handed on piece by piece as it comes.
    pub fn copy(&mut self, path: &str, out: &mut dyn io::Write) -> Result<(), ControlError> {
        let ask = self.request(Method::GET, path, "*/*", Bytes::new());
        let Self { runtime, sender, .. } = self;
        runtime.block_on(async {
            let answer = successful(sender, ask, None).await?;
            each(answer.into_body(), |piece| out.write_all(piece).map_err(ControlError::Output)).await
        })
    }

    fn whole(
        &mut self,
        ask: Request<Full<Bytes>>,
        patience: Option<Duration>,
    ) -> Result<Vec<u8>, ControlError> {
        let Self { runtime, sender, .. } = self;
        runtime.block_on(async {
            let answer = successful(sender, ask, patience).await?;
            collect(answer.into_body()).await
        })
    }
}

fn request(method: Method, path: &str, accept: &'static str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    // Paths are made by this program with every part escaped; a slip of ours asks for the root, a 404.
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(hyper::header::ACCEPT, HeaderValue::from_static(accept));
    request
}

/// Sends a request; its answer begins.
async fn begun(
    sender: &mut SendRequest<Full<Bytes>>,
    ask: Request<Full<Bytes>>,
    patience: Option<Duration>,
) -> Result<Response<Incoming>, ControlError> {
    let exchange = async {
        sender.ready().await?;
        sender.send_request(ask).await
    };
    Ok(match patience {
        Some(limit) => tokio::time::timeout(limit, exchange).await.map_err(|_| ControlError::Silent)??,
        None => exchange.await?,
    })
}

async fn successful(
    sender: &mut SendRequest<Full<Bytes>>,
    ask: Request<Full<Bytes>>,
    patience: Option<Duration>,
) -> Result<Response<Incoming>, ControlError> {
    let answer = begun(sender, ask, patience).await?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let body = collect(answer.into_body()).await?;
    Err(serde_json::from_slice(&body).map_or(ControlError::Strange, ControlError::Refused))
}

async fn collect(body: Incoming) -> Result<Vec<u8>, ControlError> {
    let mut whole = Vec::new();
    each(body, |piece| {
        if whole.len() + piece.len() > ANSWER_MAX {
            return Err(ControlError::TooLarge);
        }
        whole.extend_from_slice(piece);
        Ok(())
    })
    .await?;
    Ok(whole)
}

async fn each(
    mut body: Incoming,
    mut take: impl FnMut(&[u8]) -> Result<(), ControlError>,
) -> Result<(), ControlError> {
    while let Some(frame) = body.frame().await {
        if let Some(piece) = frame?.data_ref() {
            take(piece)?;
        }
    }
    Ok(())
}

/// Escapes a text as one part of a path or one value of a query (RFC 3986 §2.1).
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
