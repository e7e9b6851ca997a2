//! UDP: one socket a worker and listener, drained in turns of at most 64 datagrams.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::UdpSocket;

/// Datagrams taken in one turn before other tasks of the worker run.
const DRAIN: usize = 64;

/// Largest datagram that IP can carry; nothing is cut off unnoticed.
const DATAGRAM_MAX: usize = 65_535;

thread_local! {
    /// One read buffer a worker: no buffer is held across an await.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; DATAGRAM_MAX]);
}

/// Who takes datagrams. Called on the worker's own thread only.
pub trait Datagrams {
    /// One datagram.
    fn datagram(&self, local: SocketAddr, remote: SocketAddr, bytes: &[u8]);
    /// The turn is over: hand on whatever was collected.
    fn turn_over(&self);
    /// The system reported an error on receive (ICMP unreachable and the like).
    fn receive_error(&self, error: &std::io::Error);
}

/// Reads the socket until the task is dropped.
pub async fn run<D: Datagrams>(socket: Rc<UdpSocket>, local: SocketAddr, sink: Rc<D>) {
    loop {
        if let Err(e) = socket.readable().await {
            sink.receive_error(&e);
            tokio::task::yield_now().await;
            continue;
        }
        BUFFER.with_borrow_mut(|buffer| {
            for _ in 0..DRAIN {
                match socket.try_recv_from(buffer) {
                    Ok((n, remote)) => sink.datagram(local, remote, &buffer[..n]),
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(e) => sink.receive_error(&e),
                }
            }
        });
        sink.turn_over();
        tokio::task::yield_now().await;
    }
}
