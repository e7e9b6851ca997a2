//! TCP and TLS connections: one task each, no timer and no read buffer of its own.
//!
//! Deadlines (unfinished message, idle stranger) are swept by the worker once a second over its table of
//! connections, so an idle connection costs its task and its socket only.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use keyline_domain::flow::StreamId;
use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::outbox::{Outbox, outbox};

const READ_BUFFER: usize = 64 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER]);
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
    /// A connection is ready; `None` refuses it.
    fn opened(&self, ends: &Ends, facts: F, outbox: Outbox) -> Option<StreamId>;
    /// Bytes arrived.
    fn bytes(&self, id: StreamId, bytes: &[u8]) -> After;
    /// A whole message arrived whose ends the transport knows.
    fn message(&self, id: StreamId, bytes: &[u8]) -> After;
    /// Bytes of a message arrived that is not whole yet.
    fn partial(&self, id: StreamId);
    /// Something arrived that is no message: a keepalive of the transport.
    fn control(&self, id: StreamId);
    /// A message is larger than allowed: the connection ends.
    fn too_large(&self, id: StreamId);
    /// The peer has not taken what was written to it in time: the connection ends.
    fn stuck(&self, id: StreamId);
    /// The connection is gone.
    fn closed(&self, id: StreamId);
    /// How long one write may take.
    fn write_deadline(&self) -> Duration;
}

/// A stream that can tell, without asking the system, that its peer takes nothing any more.
pub trait Peer {
    /// The connection was reset, or closed in both directions.
    fn is_gone(&self) -> bool;
}

impl Peer for TcpStream {
    fn is_gone(&self) -> bool {
        self.ready(Interest::WRITABLE)
            .now_or_never()
            .is_some_and(|ready| ready.is_ok_and(|ready| ready.is_write_closed()))
    }
}

/// Serves one connection until either side closes it.
pub async fn serve<S, F, K>(mut stream: S, ends: Ends, facts: F, sink: Rc<K>)
where
    S: AsyncRead + AsyncWrite + Unpin + Peer,
    K: Streams<F>,
{
    let (outbox, mut inbox) = outbox();
    let Some(id) = sink.opened(&ends, facts, outbox) else {
        let _ = stream.shutdown().await;
        return;
    };
    let mut gone = false;
    loop {
        let out = tokio::select! {
            biased;
            out = inbox.next() => out,
            after = read_once(&mut stream, &*sink, id) => match after {
                Came::After(After::Read) => continue,
                // Answers may already wait in the inbox (a 400 before the close): write them first.
                Came::After(After::Close) => {
                    while let Some(b) = inbox.waiting() {
                        if !write(&mut stream, &b, &*sink, id).await { break; }
                    }
                    break;
                }
                Came::End => break,
                Came::Broken => {
                    gone = true;
                    break;
                }
            },
        };
        let Some(bytes) = out else { break };
        if !write(&mut stream, &bytes, &*sink, id).await {
            break;
        }
        inbox.written(bytes.len());
    }
    sink.closed(id);
    // Nobody is left to be told of the end of a connection that broke.
    if !gone && !stream.is_gone() {
        let _ = tokio::time::timeout(sink.write_deadline(), stream.shutdown()).await;
    }
}

async fn write<S, F, K>(stream: &mut S, bytes: &[u8], sink: &K, id: StreamId) -> bool
where
    S: AsyncWrite + Unpin,
    K: Streams<F>,
{
    let all = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    in_time(all, sink, id).await
}

/// Whether a write succeeds within its deadline.
pub(super) async fn in_time<F, K, E>(
    write: impl Future<Output = Result<(), E>>,
    sink: &K,
    id: StreamId,
) -> bool
where
    K: Streams<F>,
{
    match tokio::time::timeout(sink.write_deadline(), write).await {
        Ok(done) => done.is_ok(),
        Err(_) => {
            sink.stuck(id);
            false
        }
    }
}

/// What a read brought.
enum Came {
    /// Bytes, and what the sink wants then.
    After(After),
    /// The peer says that it is done.
    End,
    /// An error, or an end without TLS' own.
    Broken,
}

/// One read through the worker's shared buffer.
async fn read_once<S, F, K>(stream: &mut S, sink: &K, id: StreamId) -> Came
where
    S: AsyncRead + Unpin,
    K: Streams<F>,
{
    poll_fn(|cx| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buf = ReadBuf::new(buffer);
            match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(())) if buf.filled().is_empty() => Poll::Ready(Came::End),
                Poll::Ready(Ok(())) => Poll::Ready(Came::After(sink.bytes(id, buf.filled()))),
                Poll::Ready(Err(_)) => Poll::Ready(Came::Broken),
            }
        })
    })
    .await
}

/// What the accept loop hands on: the listener's kind is known by its caller.
pub type Accepted = (TcpStream, SocketAddr);

/// Pause of an accept loop that cannot go on: doubled from the first to the second while nothing changes.
const REST: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Pause of an accept loop between two looks whether there is a seat again.
const WATCH: Duration = Duration::from_millis(2);

/// Connections taken between two looks at the sockets: registered phones, and handshakes under way, wait behind
/// all of them.
const AT_ONCE: u32 = 16;

/// One that is sent away counts as so many. That bounds what an overload costs, about a tenth of a worker's time:
/// who comes above it waits in the backlog, and when that is full the system drops his packets.
const SENT_AWAY: u32 = 2;

/// How long a connection waits in the backlog for a seat. In a storm of phones seats become free by the thousand
/// a second, and a phone that is refused has lost its session ticket; where none becomes free, strangers hold them,
/// and whoever comes is to know at once.
const PATIENCE: Duration = Duration::from_millis(100);

/// Who guards a listener.
pub trait Porter {
    /// There is no seat, for a reason that passes when others get on with theirs.
    fn is_full(&self) -> bool;
    /// Most who come now are sent away.
    fn is_busy(&self) -> bool;
    /// Sends somebody away, if he is one of those: the stream is then dropped. It does not block.
    fn refuses(&self, stream: &std::net::TcpStream, remote: SocketAddr) -> bool;
    /// Takes a connection.
    fn take(&self, accepted: Accepted);
    /// Connections cannot be accepted.
    fn failed(&self, error: &io::Error);
}

/// A listener that can be asked with and without waiting.
pub struct Listening {
    watched: TcpListener,
    /// The same socket: who is sent away at once need not be watched by the runtime first.
    beside: std::net::TcpListener,
}

impl Listening {
    /// Watches a listener that does not block. Runs within a runtime.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        Ok(Self { beside: listener.try_clone()?, watched: TcpListener::from_std(listener)? })
    }
}

/// Accepts until the task is dropped. When the process runs out of descriptors the loop rests instead of
/// spinning: pending connections stay in the backlog and are taken when descriptors are free again.
pub async fn accept(Listening { watched: listener, beside }: Listening, porter: impl Porter) {
    let at_once = || -> io::Result<Option<Accepted>> {
        let (stream, remote) = beside.accept()?;
        stream.set_nonblocking(true)?;
        if porter.refuses(&stream, remote) {
            return Ok(None);
        }
        Ok(Some((TcpStream::from_std(stream)?, remote)))
    };
    let mut rest = REST.0;
    let (mut stuck, mut taken) = (false, 0);
    loop {
        if taken >= AT_ONCE {
            taken = 0;
            // Comes back when the runtime has looked at its sockets.
            tokio::task::yield_now().await;
        }
        taken += 1;
        let since = Instant::now();
        while porter.is_full() && !stuck {
            tokio::time::sleep(WATCH).await;
            stuck = since.elapsed() > PATIENCE;
        }
        stuck &= porter.is_full();
        let accepted = match porter.is_busy().then(&at_once) {
            Some(Err(e)) if e.kind() == io::ErrorKind::WouldBlock => listener.accept().await.map(Some),
            Some(accepted) => accepted,
            None => listener.accept().await.map(Some),
        };
        match accepted {
            Ok(accepted) => {
                rest = REST.0;
                match accepted {
                    Some(accepted) => porter.take(accepted),
                    None => taken += SENT_AWAY - 1,
                }
            }
            Err(e) => {
                porter.failed(&e);
                if !matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    tokio::time::sleep(rest).await;
                    rest = (rest * 2).min(REST.1);
                }
            }
        }
    }
}

/// The error says that the process, or the system, has no descriptor left.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EMFILE | Errno::ENFILE))
}
