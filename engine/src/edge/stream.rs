//! TCP and TLS connections: one task each, no timer and no read buffer of its own.
//!
//! Deadlines (unfinished message, idle stranger) are swept by the worker once a second over its table of
//! connections, so an idle connection costs its task and its socket only.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use keyline_domain::flow::StreamId;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;

/// Messages that may wait for one peer to read. What really bounds them is `[limits] write_queue_bytes`.
const OUTBOX: usize = 4096;

/// A write that makes no progress for so long ends the connection.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

const READ_BUFFER: usize = 64 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER]);
}

/// What a connection's task is told.
#[derive(Debug)]
pub enum Out {
    /// Write this.
    Bytes(Arc<[u8]>),
    /// Write what was queued before, then close.
    Close,
}

/// Where bytes for one connection wait; a peer that stops reading is disconnected.
#[derive(Debug)]
pub struct Outbox {
    sender: mpsc::Sender<Out>,
    queued: Rc<Cell<usize>>,
}

impl Outbox {
    /// Queues bytes; `false` when more than `limit` bytes would wait, or the task is gone.
    pub fn send(&self, bytes: Arc<[u8]>, limit: usize) -> bool {
        let queued = self.queued.get() + bytes.len();
        if queued > limit || self.sender.try_send(Out::Bytes(bytes)).is_err() {
            return false;
        }
        self.queued.set(queued);
        true
    }

    /// Asks the task to write what is queued and close. A full queue is asked again by the next sweep.
    pub fn close(&self) {
        let _ = self.sender.try_send(Out::Close);
    }
}

/// What the sink wants after it saw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Go on reading.
    Read,
    /// Framing is lost or the peer is refused: flush and close.
    Close,
}

/// Addresses of a connection.
#[derive(Debug, Clone)]
pub struct Ends {
    /// Ours.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

/// Who takes stream bytes. Called on the worker's own thread only.
pub trait Streams<F> {
    /// A connection is ready; `None` refuses it (limit reached).
    fn opened(&self, ends: &Ends, facts: F, outbox: Outbox) -> Option<StreamId>;
    /// Bytes arrived.
    fn bytes(&self, id: StreamId, bytes: &[u8]) -> After;
    /// The connection is gone.
    fn closed(&self, id: StreamId);
}

/// Serves one connection until either side closes it.
pub async fn serve<S, F, K>(mut stream: S, ends: Ends, facts: F, sink: Rc<K>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    K: Streams<F>,
{
    let (sender, mut inbox) = mpsc::channel(OUTBOX);
    let queued = Rc::new(Cell::new(0));
    let outbox = Outbox { sender, queued: Rc::clone(&queued) };
    let Some(id) = sink.opened(&ends, facts, outbox) else {
        let _ = stream.shutdown().await;
        return;
    };
    loop {
        let out = tokio::select! {
            biased;
            out = inbox.recv() => out,
            after = read_once(&mut stream, &*sink, id) => match after {
                Some(After::Read) => continue,
                // Answers may already wait in the inbox (a 400 before the close): write them first.
                Some(After::Close) => {
                    while let Ok(Out::Bytes(b)) = inbox.try_recv() {
                        if !write(&mut stream, &b).await { break; }
                    }
                    break;
                }
                None => break,
            },
        };
        match out {
            Some(Out::Bytes(b)) => {
                if !write(&mut stream, &b).await {
                    break;
                }
                queued.set(queued.get().saturating_sub(b.len()));
            }
            Some(Out::Close) | None => break,
        }
    }
    sink.closed(id);
    let _ = tokio::time::timeout(WRITE_DEADLINE, stream.shutdown()).await;
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> bool {
    let all = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    matches!(tokio::time::timeout(WRITE_DEADLINE, all).await, Ok(Ok(())))
}

/// One read through the worker's shared buffer; `None` at the end of the stream or on an error.
async fn read_once<S, F, K>(stream: &mut S, sink: &K, id: StreamId) -> Option<After>
where
    S: AsyncRead + Unpin,
    K: Streams<F>,
{
    poll_fn(|cx| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buf = ReadBuf::new(buffer);
            match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    Poll::Ready(Some(sink.bytes(id, buf.filled())))
                }
                Poll::Ready(_) => Poll::Ready(None),
            }
        })
    })
    .await
}

/// What the accept loop hands on: the listener's kind is known by its caller.
pub type Accepted = (tokio::net::TcpStream, SocketAddr);

/// Accepts until the task is dropped. When the process runs out of descriptors the loop rests instead of
/// spinning: the pending connection stays in the backlog.
pub async fn accept<A>(
    listener: Arc<tokio::net::TcpListener>,
    mut on_error: impl FnMut(&std::io::Error),
    take: A,
) where
    A: Fn(Accepted),
{
    const REST: Duration = Duration::from_millis(200);
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                // Signaling messages are small and each one matters at once.
                let _ = stream.set_nodelay(true);
                take((stream, remote));
            }
            Err(e) => {
                on_error(&e);
                if !matches!(
                    e.kind(),
                    std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::ConnectionReset
                ) {
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}
