//! UDP: one socket a worker and listener. What arrives is taken in turns of at most 64 datagrams, one system call
//! each; what a turn sends waits for its end and leaves the same way.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::rc::Rc;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use smallvec::SmallVec;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams taken in one turn before other tasks of the worker run, and most that leave in one system call.
const TURN: usize = 64;

/// Place for the largest datagram that IP can carry; nothing is cut off unnoticed.
const DATAGRAM_MAX: usize = 65_536;

/// Bytes that wait at most, not counting the last datagram.
const WAITING_BYTES_MAX: usize = 128 << 10;

thread_local! {
    /// One read buffer a worker: no buffer is held across an await. Only pages that were written to take memory.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; TURN * DATAGRAM_MAX]);
}

/// Who takes datagrams. Called on the worker's own thread only.
pub trait Datagrams {
    /// One datagram.
    fn datagram(&self, local: SocketAddr, remote: SocketAddr, bytes: &[u8]);
    /// The turn is over: hand on whatever was collected. `full`: more may wait in the socket.
    fn turn_over(&self, socket: &UdpSocket, local: SocketAddr, full: bool);
    /// The system reported an error on receive (ICMP unreachable and the like).
    fn receive_error(&self, error: &io::Error);
}

/// Reads the socket until the task is dropped.
pub async fn run<D: Datagrams>(socket: Rc<UdpSocket>, local: SocketAddr, sink: Rc<D>) {
    // One a socket: the system notes the length of the family's addresses in it.
    let mut headers = MultiHeaders::preallocate(TURN, None);
    loop {
        if let Err(e) = socket.readable().await {
            sink.receive_error(&e);
            tokio::task::yield_now().await;
            continue;
        }
        let full = match BUFFER
            .with_borrow_mut(|buffer| receive(&socket, local, &mut headers, buffer, &*sink))
        {
            // Nothing is left: to ask again would be a system call for that answer. What comes after the last
            // look makes the socket readable anew.
            Ok(n) if n < TURN => {
                let _ = socket.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
                false
            }
            Ok(_) => true,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => false,
            Err(e) => {
                sink.receive_error(&e);
                false
            }
        };
        sink.turn_over(&socket, local, full);
        tokio::task::yield_now().await;
    }
}

/// Takes what waits, at most a turn's worth, and says how many datagrams that was.
fn receive<D: Datagrams>(
    socket: &UdpSocket,
    local: SocketAddr,
    headers: &mut MultiHeaders<SockaddrStorage>,
    buffer: &mut [u8],
    sink: &D,
) -> io::Result<usize> {
    let mut parts = buffer.chunks_exact_mut(DATAGRAM_MAX);
    let mut places: [[IoSliceMut<'_>; 1]; TURN] =
        std::array::from_fn(|_| [IoSliceMut::new(parts.next().unwrap_or_default())]);
    let received = socket.try_io(Interest::READABLE, || {
        Ok(recvmmsg(socket.as_raw_fd(), headers, places.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?)
    })?;
    let mut count = 0;
    for message in received {
        count += 1;
        if let Some(remote) = message.address.as_ref().and_then(address) {
            // An empty datagram has no part.
            sink.datagram(local, remote, message.iovs().next().unwrap_or_default());
        }
    }
    Ok(count)
}

fn address(of: &SockaddrStorage) -> Option<SocketAddr> {
    match (of.as_sockaddr_in(), of.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddrV4::from(*v4).into()),
        (None, Some(v6)) => Some(SocketAddrV6::from(*v6).into()),
        (None, None) => None,
    }
}

/// A socket's datagrams that wait for the end of the turn. `W` says whose each is, for when it cannot be sent.
pub struct Outgoing<W> {
    socket: Rc<UdpSocket>,
    bytes: Vec<u8>,
    /// Where each ends in `bytes`, and whose it is.
    waiting: Vec<(usize, W)>,
    to: Vec<Option<SockaddrStorage>>,
    headers: MultiHeaders<SockaddrStorage>,
}

impl<W: Copy> Outgoing<W> {
    /// With nothing to be sent.
    pub fn new(socket: Rc<UdpSocket>) -> Self {
        let headers = MultiHeaders::preallocate(TURN, None);
        Self { socket, bytes: Vec::new(), waiting: Vec::new(), to: Vec::new(), headers }
    }

    /// Adds a datagram; `true` when no other should wait with it.
    pub fn push(&mut self, remote: SocketAddr, bytes: &[u8], whose: W) -> bool {
        self.bytes.extend_from_slice(bytes);
        self.waiting.push((self.bytes.len(), whose));
        self.to.push(Some(SockaddrStorage::from(remote)));
        self.waiting.len() >= TURN || self.bytes.len() > WAITING_BYTES_MAX
    }

    /// Sends what waits, in its order, and tells what the system refused. A full buffer of the socket is loss,
    /// which datagrams repair by repeating.
    pub fn flush(&mut self, mut refused: impl FnMut(W, SocketAddr, io::Error)) {
        let mut first = 0;
        while first < self.waiting.len() {
            let begin = first.checked_sub(1).map_or(0, |before| self.waiting[before].0);
            match self.send_from(first, begin) {
                // Never none without an error; if so all the same, the loop must end.
                Ok(sent) => first += sent.max(1),
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock
                        && let Some(remote) = self.to[first].as_ref().and_then(address)
                    {
                        refused(self.waiting[first].1, remote, error);
                    }
                    first += 1;
                }
            }
        }
        self.bytes.clear();
        self.waiting.clear();
        self.to.clear();
    }

    /// One system call for those from `first` on, whose bytes begin at `begin`; how many it took.
    fn send_from(&mut self, first: usize, mut begin: usize) -> io::Result<usize> {
        let parts: SmallVec<[[IoSlice<'_>; 1]; TURN]> = self.waiting[first..]
            .iter()
            .map(|(end, _)| [IoSlice::new(&self.bytes[std::mem::replace(&mut begin, *end)..*end])])
            .collect();
        let to = &self.to[first..];
        let flags = MsgFlags::MSG_DONTWAIT;
        Ok(sendmmsg(self.socket.as_raw_fd(), &mut self.headers, parts.iter(), to, [], flags)?.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Taken(RefCell<Vec<(SocketAddr, Vec<u8>)>>);

    impl Datagrams for Taken {
        fn datagram(&self, _: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
            self.0.borrow_mut().push((remote, bytes.to_vec()));
        }
        fn turn_over(&self, _: &UdpSocket, _: SocketAddr, _: bool) {}
        fn receive_error(&self, error: &io::Error) {
            panic!("{error}");
        }
    }

    async fn pair(host: &str) -> (Rc<UdpSocket>, Rc<UdpSocket>) {
        let any = (host, 0);
        (Rc::new(UdpSocket::bind(any).await.unwrap()), Rc::new(UdpSocket::bind(any).await.unwrap()))
    }

    /// Over both families, more than one turn, with an empty one and the largest one among them.
    #[test]
    fn datagrams_arrive_whole_in_order_and_from_whom_they_came() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            for host in ["127.0.0.1", "::1"] {
                let (from, to) = pair(host).await;
                let (source, local) = (from.local_addr().unwrap(), to.local_addr().unwrap());
                let bodies: Vec<Vec<u8>> = (0..TURN + 3)
                    .map(|i| match i {
                        5 => Vec::new(),
                        7 => vec![7; 65_000],
                        i => vec![u8::try_from(i).unwrap(); i * 10],
                    })
                    .collect();
                let mut out = Outgoing::new(from);
                for (i, body) in bodies.iter().enumerate() {
                    if out.push(local, body, i) {
                        out.flush(|i, _, e| panic!("{i}: {e}"));
                    }
                }
                out.flush(|i, _, e| panic!("{i}: {e}"));
                let (taken, mut headers) = (Taken(RefCell::default()), MultiHeaders::preallocate(TURN, None));
                let mut buffer = vec![0; TURN * DATAGRAM_MAX];
                let mut turns = Vec::new();
                while taken.0.borrow().len() < bodies.len() {
                    to.readable().await.unwrap();
                    match receive(&to, local, &mut headers, &mut buffer, &taken) {
                        Ok(n) => turns.push(n),
                        Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
                    }
                }
                assert_eq!(turns, [TURN, 3], "{host}");
                let expected: Vec<_> = bodies.into_iter().map(|b| (source, b)).collect();
                assert_eq!(taken.0.into_inner(), expected);
            }
        });
    }

    #[test]
    fn one_that_the_system_refuses_is_told_and_costs_no_other() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let (from, to) = pair("127.0.0.1").await;
            let good = to.local_addr().unwrap();
            let mut out = Outgoing::new(from);
            out.push(good, b"one", 1);
            // Another family, and one that is too large.
            out.push("[::1]:5060".parse().unwrap(), b"two", 2);
            out.push(good, &[0; 65_530], 3);
            out.push(good, b"four", 4);
            let mut refused = Vec::new();
            out.flush(|whose, _, _| refused.push(whose));
            assert_eq!(refused, [2, 3]);
            let mut buffer = [0; 16];
            assert_eq!(to.recv(&mut buffer).await.unwrap(), 3);
            assert_eq!(to.recv(&mut buffer).await.unwrap(), 4);
            out.flush(|_, _, _| panic!("nothing waits"));
        });
    }
}
