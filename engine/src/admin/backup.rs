//! A backup over the control socket, streamed as it is read.

use std::io::{self, Write};

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::api::Node;
use super::problem::{Code, Problem};

/// Pieces that wait for a slow reader; each is at most what the writer buffers (256 KiB).
const PIECES: usize = 4;

/// Takes what the store's thread writes to the connection, and waits while that is full.
struct Pieces(mpsc::Sender<Result<Bytes, io::Error>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the reader has gone")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The stream ends with a count and a checksum: a reader sees when it was cut off.
pub(super) async fn backup(node: Node) -> Result<HttpResponse, Problem> {
    let write = node.backup();
    let (sender, mut pieces) = mpsc::channel(PIECES);
    // A thread of its own, ended by the end of the stream or of its reader: reading a store may take minutes.
    std::thread::Builder::new()
        .name("backup".to_owned())
        .spawn(move || {
            let failure = sender.clone();
            if let Err(reason) = write(&mut Pieces(sender)) {
                tracing::error!(reason, "a backup was not finished");
                let _ = failure.blocking_send(Err(io::Error::other(reason)));
            }
        })
        .map_err(|e| Problem::new(Code::Internal, format!("no thread for the backup: {e}")))?;
    let stream = futures_util::stream::poll_fn(move |context| pieces.poll_recv(context));
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/octet-stream")).streaming(stream))
}
