//! A connection under TLS, whoever made its handshake.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

#[cfg(feature = "legacy-tls")]
use super::legacy::LegacyStream;
use crate::edge::stream::Peer;

/// A connection whose handshake is done.
/// Boxed: it is handed on by value, and each task that does so would keep room for it twice.
#[derive(Debug)]
pub enum Secured<S> {
    /// TLS 1.3 or 1.2.
    Modern(Box<TlsStream<S>>),
    /// An old phone's.
    #[cfg(feature = "legacy-tls")]
    Legacy(Box<LegacyStream<S>>),
}

impl<S> Secured<S> {
    /// Version that was agreed on, for metrics: `1.3`, `1.2`, `1.1` or `1.0`.
    pub fn version(&self) -> &'static str {
        match self {
            Self::Modern(stream) => match stream.get_ref().1.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
                Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
                _ => "other",
            },
            #[cfg(feature = "legacy-tls")]
            Self::Legacy(stream) => stream.version(),
        }
    }

    /// The session went on from a ticket.
    pub fn resumed(&self) -> bool {
        match self {
            Self::Modern(stream) => {
                stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
            }
            #[cfg(feature = "legacy-tls")]
            Self::Legacy(stream) => stream.resumed(),
        }
    }
}

impl<S: Peer> Peer for Secured<S> {
    fn is_gone(&self) -> bool {
        match self {
            Self::Modern(stream) => stream.get_ref().0.is_gone(),
            // Its closing is tried.
            #[cfg(feature = "legacy-tls")]
            Self::Legacy(_) => false,
        }
    }
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Secured::Modern($stream) => {
                let $stream = Pin::new($stream.as_mut());
                $call
            }
            #[cfg(feature = "legacy-tls")]
            Secured::Legacy($stream) => {
                let $stream = Pin::new($stream.as_mut());
                $call
            }
        }
    };
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buf))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
