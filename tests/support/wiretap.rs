//! A tap between a TLS client and a node: hands bytes on, keeps them, and changes one if it is told to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Who sent bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The client.
    Client,
    /// The node.
    Node,
}

/// What was read, in order.
type Seen = Arc<Mutex<Vec<(From, Vec<u8>)>>>;

/// One connection through the tap.
#[derive(Debug)]
pub struct Wiretap {
    /// Where the client connects.
    pub address: SocketAddr,
    seen: Seen,
    thread: Option<JoinHandle<()>>,
}

impl Wiretap {
    /// Takes one connection to that node. The first time that `flip` is found in what the client sends, one bit
    /// of its last byte is changed on the way.
    pub fn start(node: SocketAddr, flip: Option<&'static [u8]>) -> Wiretap {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let of_thread = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let (client, _) = listener.accept().expect("a client");
            let server = TcpStream::connect(node).expect("the node");
            let back = {
                let (client, server) =
                    (client.try_clone().expect("a socket"), server.try_clone().expect("one"));
                let seen = Arc::clone(&of_thread);
                std::thread::spawn(move || hand_on(From::Node, server, client, &seen, None))
            };
            hand_on(From::Client, client, server, &of_thread, flip);
            back.join().expect("the way back");
        });
        Wiretap { address, seen, thread: Some(thread) }
    }

    /// Waits until both sides have closed. What went over the wire, as it was sent.
    pub fn finish(mut self) -> Vec<(From, Vec<u8>)> {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the tap");
        }
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn hand_on(
    who: From,
    mut from: TcpStream,
    mut to: TcpStream,
    seen: &Mutex<Vec<(From, Vec<u8>)>>,
    mut flip: Option<&'static [u8]>,
) {
    let mut buffer = vec![0; 1 << 15];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let bytes = &mut buffer[..length];
        seen.lock().unwrap_or_else(PoisonError::into_inner).push((who, bytes.to_vec()));
        if let Some(text) = flip
            && let Some(at) = bytes.windows(text.len()).position(|w| w == text)
        {
            bytes[at + text.len() - 1] ^= 1;
            flip = None;
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Writes what went over a wire as a capture file, for tshark: one TCP connection to port 5061.
pub fn write_pcap(path: &Path, wire: &[(From, Vec<u8>)]) {
    const LINKTYPE_RAW: u32 = 101;
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 1 << 16, LINKTYPE_RAW] {
        file.extend(u32::to_le_bytes(word));
    }
    // The client's and the node's next sequence numbers.
    let mut next = [1000u32, 9000];
    let mut time = 0u32;
    let mut segment = |from: From, flags: u8, data: &[u8], next: &mut [u32; 2]| {
        let (ports, own, other) = match from {
            From::Client => ([40_000u16, 5061], 0, 1),
            From::Node => ([5061, 40_000], 1, 0),
        };
        let length = u16::try_from(40 + data.len()).expect("a packet");
        let mut packet = vec![0x45, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(Ipv4Addr::LOCALHOST.octets());
        packet.extend(Ipv4Addr::LOCALHOST.octets());
        packet.extend(ports.iter().flat_map(|p| p.to_be_bytes()));
        packet.extend(next[own].to_be_bytes());
        packet.extend(next[other].to_be_bytes());
        packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(data);
        next[own] += u32::try_from(data.len()).expect("a length") + u32::from(flags & SYN != 0);
        time += 1;
        for word in [time, 0, u32::from(length), u32::from(length)] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    };
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    segment(From::Client, SYN, &[], &mut next);
    segment(From::Node, SYN | ACK, &[], &mut next);
    segment(From::Client, ACK, &[], &mut next);
    for (from, bytes) in wire {
        for part in bytes.chunks(1400) {
            segment(*from, ACK | 8, part, &mut next);
        }
    }
    std::fs::write(path, file).expect("a capture file");
}
