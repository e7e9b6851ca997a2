//! How much waits in a UDP socket.

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt::ReceiveTimestampns,
    sockopt::RxqOvfl,
};

/// The queue of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queue {
    /// How long its oldest datagram has waited, microseconds.
    pub waited: u64,
    /// Datagrams were lost since the last look.
    pub lost: bool,
}

/// Has the kernel note when a datagram came, and how many did not fit. A system that cannot do so has no gate.
pub fn prepare(socket: &impl AsFd) {
    let noted = setsockopt(socket, ReceiveTimestampns, &true).and(setsockopt(socket, RxqOvfl, &1));
    if let Err(error) = noted {
        tracing::warn!(%error, "the kernel tells no waiting times: overload over UDP is noticed late");
    }
}

impl Queue {
    /// Looks at the oldest datagram without taking it, and counts in `lost` what the kernel dropped so far.
    pub fn of(socket: &impl AsRawFd, lost: &mut u32) -> Queue {
        let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec, u32);
        let mut bytes = [0; 1];
        let mut slices = [std::io::IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let Ok(found) =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)
        else {
            // Nothing waits.
            return Queue::default();
        };
        let mut queue = Queue::default();
        for message in found.cmsgs().into_iter().flatten() {
            match message {
                ControlMessageOwned::ScmTimestampns(at) => queue.waited = age(Duration::from(at)),
                ControlMessageOwned::RxqOvfl(count) => {
                    queue.lost = count != std::mem::replace(lost, count);
                }
                _ => {}
            }
        }
        queue
    }
}

/// Microseconds since a moment of the system's clock; 0 where that was set back meanwhile.
fn age(at: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_sub(at).as_micros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_kernel_tells_how_long_a_datagram_has_waited_and_what_it_dropped() {
        let (server, client) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        server.set_nonblocking(true).unwrap();
        socket2::SockRef::from(&server).set_recv_buffer_size(4_096).unwrap();
        prepare(&server);
        let mut lost = 0;
        assert_eq!(Queue::of(&server, &mut lost), Queue::default());
        let mut sent = 0;
        let queue = loop {
            client.send_to(&[b'x'; 1_000], server.local_addr().unwrap()).unwrap();
            sent += 1;
            let queue = Queue::of(&server, &mut lost);
            if queue.waited > 2_000 {
                break queue;
            }
        };
        assert!(!queue.lost && sent > 10);
        // The count stands with datagrams that came after the loss.
        let mut bytes = [0; 2_000];
        while server.recv(&mut bytes).is_ok() {}
        client.send_to(b"x", server.local_addr().unwrap()).unwrap();
        assert!(Queue::of(&server, &mut lost).lost && lost > 0);
        assert!(!Queue::of(&server, &mut lost).lost, "said once");
    }
}
