//! An old phone's connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use openssl::error::ErrorStack;
use openssl::ssl::{Error, Ssl, SslRef};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_openssl::SslStream;

/// A connection under OpenSSL.
#[derive(Debug)]
pub struct LegacyStream<S>(SslStream<Ahead<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> LegacyStream<S> {
    /// Over a connection of which `hello` was read already.
    pub(super) fn new(ssl: Ssl, hello: Vec<u8>, stream: S) -> Result<Self, ErrorStack> {
        SslStream::new(ssl, Ahead { ahead: hello, taken: 0, stream }).map(Self)
    }

    /// The handshake.
    pub(super) async fn accept(&mut self) -> Result<(), Error> {
        Pin::new(&mut self.0).accept().await
    }
}

impl<S> LegacyStream<S> {
    /// The session.
    pub(in crate::tls) fn ssl(&self) -> &SslRef {
        self.0.ssl()
    }

    /// The session went on from a ticket.
    pub fn resumed(&self) -> bool {
        self.ssl().session_reused()
    }

    /// Version that was agreed on: `1.2`, `1.1` or `1.0`.
    pub fn version(&self) -> &'static str {
        match self.ssl().version_str() {
            "TLSv1.2" => "1.2",
            "TLSv1.1" => "1.1",
            "TLSv1" => "1.0",
            _ => "other",
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for LegacyStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LegacyStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A connection with bytes before it that were read already.
#[derive(Debug)]
struct Ahead<S> {
    ahead: Vec<u8>,
    taken: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.ahead[self.taken..];
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..length]);
        self.taken += length;
        if self.taken == self.ahead.len() {
            (self.ahead, self.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
