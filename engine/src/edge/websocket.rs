//! SIP over WebSocket (RFC 7118): each message of the WebSocket, text or binary, is one SIP message.
//!
//! Limits are those of streams: a handshake deadline, a size, a deadline for a message from its first byte, and
//! none of this costs an idle connection a timer.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderMap, StatusCode};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use super::outbox::outbox;
use super::stream::{After, Ends, Streams, in_time};

/// The sub-protocol that a client must ask for (RFC 7118 §4).
const SUBPROTOCOL: &str = "sip";

/// Read buffer of one connection; a message that is larger grows it for its time.
const READ_BUFFER: usize = 4 << 10;

/// Which clients are taken, and how much they may send at once.
#[derive(Debug, Clone)]
pub struct Policy {
    /// `[websocket] origins`, in lower case; `*` stands for all.
    pub origins: Vec<String>,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// For the whole handshake.
    pub deadline: Duration,
}

/// Why a handshake failed: label of `keyline_websocket_handshakes_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeRefused {
    /// No WebSocket request, or a broken one.
    BadRequest,
    /// Not finished in time.
    Deadline,
    /// The page's origin is not allowed: 403.
    Origin,
    /// The sub-protocol `sip` was not asked for: 400.
    Subprotocol,
}

impl UpgradeRefused {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Deadline => "deadline",
            Self::Origin => "origin_refused",
            Self::Subprotocol => "no_subprotocol",
        }
    }

    fn answer(self) -> ErrorResponse {
        let (status, text) = match self {
            Self::Origin => (StatusCode::FORBIDDEN, "this origin is not in [websocket] origins"),
            _ => (StatusCode::BAD_REQUEST, "ask for the sub-protocol sip (RFC 7118)"),
        };
        let mut answer = ErrorResponse::new(Some(format!("{text}\n")));
        *answer.status_mut() = status;
        answer
    }
}

impl Policy {
    /// Browsers name the page's origin, and a page cannot forge it; other clients name none. Without this check
    /// any page that a user looks at could use the phones that the user's network reaches (RFC 6455 §10.2).
    fn judge(&self, headers: &HeaderMap) -> Result<(), UpgradeRefused> {
        let allowed = |origin: &HeaderValue| {
            let own = origin.to_str().unwrap_or_default();
            self.origins.iter().any(|o| o == "*" || o.eq_ignore_ascii_case(own))
        };
        if !headers.get_all(ORIGIN).iter().all(allowed) {
            return Err(UpgradeRefused::Origin);
        }
        let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
        match offered.flat_map(|v| v.split(',')).any(|name| name.trim() == SUBPROTOCOL) {
            true => Ok(()),
            false => Err(UpgradeRefused::Subprotocol),
        }
    }
}

/// A stream that counts what was read, so that a message that has begun can be told from silence.
#[derive(Debug)]
pub struct Watched<S> {
    inner: S,
    read: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.read += buf.filled().len() - before;
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A connection after its handshake.
pub type Socket<S> = WebSocketStream<Watched<S>>;

/// Makes the handshake of a connection just accepted (RFC 6455 §4.2, RFC 7118 §4).
///
/// # Errors
/// [`UpgradeRefused`]; the client has got its answer where there was a request to answer.
#[allow(clippy::result_large_err, reason = "an answer as the library shapes it, once a connection")]
pub async fn upgrade<S>(stream: S, policy: &Policy) -> Result<Socket<S>, UpgradeRefused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(policy.message_bytes))
        .max_frame_size(Some(policy.message_bytes));
    let mut verdict = Ok(());
    let judge = |request: &Request, mut response: Response| {
        verdict = policy.judge(request.headers());
        verdict.map_err(UpgradeRefused::answer)?;
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    };
    let watched = Watched { inner: stream, read: 0 };
    // Boxed: a connection's task lives on for days and must not keep room for its handshake.
    let handshake = Box::pin(accept_hdr_async_with_config(watched, judge, Some(config)));
    match tokio::time::timeout(policy.deadline, handshake).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(_)) => Err(verdict.err().unwrap_or(UpgradeRefused::BadRequest)),
        Err(_) => Err(UpgradeRefused::Deadline),
    }
}

/// Serves one connection until either side closes it.
pub async fn serve<S, F, K>(mut socket: Socket<S>, ends: Ends, facts: F, sink: Rc<K>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    K: Streams<F>,
{
    let (outbox, mut inbox) = outbox();
    let Some(id) = sink.opened(&ends, facts, outbox) else { return };
    let mut reason = CloseCode::Normal;
    loop {
        let came = tokio::select! {
            biased;
            out = inbox.next() => {
                let Some(bytes) = out else { break };
                let length = bytes.len();
                if !in_time(socket.send(message(&bytes)), &*sink, id).await {
                    break;
                }
                inbox.written(length);
                continue;
            }
            came = poll_fn(|cx| {
                let polled = socket.poll_next_unpin(cx);
                if polled.is_pending() && std::mem::take(&mut socket.get_mut().read) > 0 {
                    sink.partial(id);
                }
                polled
            }) => came,
        };
        let after = match came {
            Some(Ok(Message::Text(text))) => sink.message(id, text.as_bytes()),
            Some(Ok(Message::Binary(bytes))) => sink.message(id, &bytes),
            // The library answers pings and closes by itself.
            Some(Ok(_)) => {
                sink.control(id);
                After::Read
            }
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                sink.too_large(id);
                reason = CloseCode::Size;
                break;
            }
            Some(Err(_)) | None => break,
        };
        // What the read took belongs to what it gave.
        socket.get_mut().read = 0;
        if after == After::Close {
            break;
        }
    }
    sink.closed(id);
    let frame = CloseFrame { code: reason, reason: Utf8Bytes::default() };
    let _ = tokio::time::timeout(sink.write_deadline(), socket.close(Some(frame))).await;
}

/// Text where it is one: browsers' stacks expect it.
fn message(bytes: &Arc<[u8]>) -> Message {
    match std::str::from_utf8(bytes) {
        Ok(text) => Message::Text(text.into()),
        Err(_) => Message::Binary(bytes.to_vec().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_must_be_listed_and_the_sub_protocol_asked_for() {
        let judge = |origins: &[&str], headers: &[(&'static str, &'static str)]| {
            let policy = Policy {
                origins: origins.iter().map(|o| (*o).to_owned()).collect(),
                message_bytes: 1,
                deadline: Duration::ZERO,
            };
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_static(value));
            }
            policy.judge(&map)
        };
        let sip = ("sec-websocket-protocol", "sip");
        let page = "https://phone.example.com";
        let from = |value| ("origin", value);
        for (origins, headers, expected) in [
            // No browser names no origin.
            (&[][..], &[sip][..], Ok(())),
            (&[], &[sip, from("https://phone.example.com")], Err(UpgradeRefused::Origin)),
            (&[page], &[sip, from("https://Phone.example.com")], Ok(())),
            (&[page], &[sip, from("https://phone.example.com:8443")], Err(UpgradeRefused::Origin)),
            (&[page], &[sip, from("null")], Err(UpgradeRefused::Origin)),
            (&[page], &[sip, from(page), from("https://evil.example")], Err(UpgradeRefused::Origin)),
            (&["*"], &[sip, from("https://evil.example")], Ok(())),
            (&[], &[("sec-websocket-protocol", "mqtt, sip")], Ok(())),
            (&[], &[("sec-websocket-protocol", "msrp")], Err(UpgradeRefused::Subprotocol)),
            (&[], &[], Err(UpgradeRefused::Subprotocol)),
        ] {
            assert_eq!(judge(origins, headers), expected, "{origins:?} {headers:?}");
        }
    }
}
