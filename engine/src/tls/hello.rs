//! The first bytes of a client: read before anybody makes the handshake, so that it can be chosen who does.

use std::io;

use keyline_wire::hello::{Hello, Offer, read};
use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::refused::{HandshakeRefused, Refusal};

/// Largest ClientHello in bytes: tickets with a client's chain and post-quantum key shares fit in.
pub const HELLO_MAX: usize = 16 << 10;

/// Bytes read at once before the ClientHello is whole.
pub(super) const CHUNK: usize = 2 << 10;

/// Reads until the ClientHello is whole, or can be none; `bytes` begins with what came first. What the client offers
/// is `None` when it cannot be read.
pub(super) async fn hello<S>(
    stream: &mut S,
    mut bytes: Vec<u8>,
) -> Result<(Vec<u8>, Option<Offer>), HandshakeRefused>
where
    S: AsyncRead + Unpin,
{
    loop {
        match read(&bytes) {
            Hello::Whole(offer) => return Ok((bytes, Some(offer))),
            Hello::Not => return Ok((bytes, None)),
            Hello::More if bytes.len() > HELLO_MAX => {
                return Err(HandshakeRefused::new(
                    Refusal::BadHello,
                    format!("the ClientHello has more than {HELLO_MAX} bytes"),
                ));
            }
            Hello::More => {}
        }
        bytes.reserve(CHUNK);
        if stream.read_buf(&mut bytes).await.map_err(|e| HandshakeRefused::of_io(&e))? == 0 {
            return Err(HandshakeRefused::of_io(&io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// Hands a ClientHello to rustls. No future: it would be as large as all that rustls knows by then.
///
/// # Errors
/// Why it is none, and the alert that says so.
pub(super) fn accept(mut bytes: &[u8]) -> Result<Accepted, (HandshakeRefused, Vec<u8>)> {
    let silent = |detail: &str| (HandshakeRefused::new(Refusal::BadHello, detail), Vec::new());
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes).map_err(|e| silent(&e.to_string()))?;
        match acceptor.accept() {
            // Bytes that the acceptor has not taken would be lost.
            Ok(Some(_)) if !bytes.is_empty() => return Err(silent("too much behind the ClientHello")),
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                // Writing to a Vec can not fail.
                let _ = alert.write_all(&mut bytes);
                return Err((HandshakeRefused::in_hello(&error), bytes));
            }
        }
    }
    Err(silent("the ClientHello cannot be read"))
}

/// Tells a client why it is refused. Best effort: it may not even speak TLS.
pub(super) async fn alert<S>(stream: &mut S, alert: &[u8])
where
    S: AsyncWrite + Unpin,
{
    let _ = stream.write_all(alert).await;
    let _ = stream.flush().await;
}
