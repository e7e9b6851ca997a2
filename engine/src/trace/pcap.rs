//! pcapng with made-up IP, UDP and TCP headers around traced messages.
//!
//! The addresses and ports are the real ones, so that any tool shows the ladder between phone and node. Over TLS
//! the message is written decrypted as TCP; our port 5061, which tools take for TLS, is written as 5060.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

/// Raw IP, version by the first nibble.
const LINKTYPE_RAW: u16 = 101;

/// Payload of one packet: what fits into an IPv4 packet with a TCP header.
const SEGMENT_MAX: usize = 65_000;

const UDP: u8 = 17;
const TCP: u8 = 6;

/// One message to be written.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Microseconds since 1970.
    pub at_us: u64,
    /// From.
    pub source: SocketAddr,
    /// To.
    pub destination: SocketAddr,
    /// Over UDP; else over a stream.
    pub is_udp: bool,
    /// The message was encrypted on its way.
    pub was_tls: bool,
    /// Its bytes.
    pub message: &'a [u8],
}

/// A file that grows message by message and is whole after each.
pub struct Pcap<W: Write> {
    out: W,
    /// Next sequence number of each direction of a connection.
    sequence: HashMap<(SocketAddr, SocketAddr), u32>,
}

impl<W: Write> std::fmt::Debug for Pcap<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pcap({} streams)", self.sequence.len())
    }
}

impl<W: Write> Pcap<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// What the output says.
    pub fn new(mut out: W) -> io::Result<Self> {
        let mut section = Vec::new();
        section.extend(0x1a2b_3c4d_u32.to_le_bytes());
        section.extend(1u16.to_le_bytes());
        section.extend(0u16.to_le_bytes());
        section.extend(u64::MAX.to_le_bytes());
        out.write_all(&block(0x0a0d_0d0a, &section))?;
        let mut interface = Vec::new();
        interface.extend(LINKTYPE_RAW.to_le_bytes());
        interface.extend([0; 2]);
        interface.extend(0u32.to_le_bytes());
        out.write_all(&block(1, &interface))?;
        out.flush()?;
        Ok(Self { out, sequence: HashMap::new() })
    }

    /// Adds a message.
    ///
    /// # Errors
    /// What the output says.
    pub fn write(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let plain = |mut a: SocketAddr| {
            a.set_ip(a.ip().to_canonical());
            if packet.was_tls && a.port() == 5061 {
                a.set_port(5060);
            }
            a
        };
        let (source, destination) = (plain(packet.source), plain(packet.destination));
        for piece in packet.message.chunks(SEGMENT_MAX) {
            let payload = match packet.is_udp {
                true => udp(source, destination, piece),
                false => self.tcp(source, destination, piece),
            };
            let bytes = ip(source.ip(), destination.ip(), if packet.is_udp { UDP } else { TCP }, &payload);
            let mut body = Vec::with_capacity(bytes.len() + 80);
            body.extend(0u32.to_le_bytes());
            body.extend(((packet.at_us >> 32) as u32).to_le_bytes());
            body.extend((packet.at_us as u32).to_le_bytes());
            let length = (bytes.len() as u32).to_le_bytes();
            body.extend(length);
            body.extend(length);
            body.extend(&bytes);
            pad(&mut body);
            if packet.was_tls {
                option(&mut body, 1, b"was encrypted (TLS); secrets are masked");
                body.extend([0; 4]);
            }
            self.out.write_all(&block(6, &body))?;
        }
        self.out.flush()
    }

    fn tcp(&mut self, source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
        let acknowledged = self.sequence.get(&(destination, source)).copied().unwrap_or(1);
        let next = self.sequence.entry((source, destination)).or_insert(1);
        let mut out = Vec::with_capacity(20 + payload.len());
        out.extend(source.port().to_be_bytes());
        out.extend(destination.port().to_be_bytes());
        out.extend(next.to_be_bytes());
        out.extend(acknowledged.to_be_bytes());
        // Header of five words; PSH and ACK.
        out.extend([0x50, 0x18]);
        out.extend(u16::MAX.to_be_bytes());
        out.extend([0; 4]);
        out.extend(payload);
        *next = next.wrapping_add(payload.len() as u32);
        let sum = checksum(source.ip(), destination.ip(), TCP, &out);
        out[16..18].copy_from_slice(&sum.to_be_bytes());
        out
    }
}

fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + payload.len());
    out.extend(source.port().to_be_bytes());
    out.extend(destination.port().to_be_bytes());
    out.extend(((payload.len() + 8) as u16).to_be_bytes());
    out.extend([0; 2]);
    out.extend(payload);
    let sum = match checksum(source.ip(), destination.ip(), UDP, &out) {
        // Zero means that there is none (RFC 768).
        0 => u16::MAX,
        sum => sum,
    };
    out[6..8].copy_from_slice(&sum.to_be_bytes());
    out
}

fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(40 + payload.len());
    match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend([0x45, 0]);
            out.extend(((payload.len() + 20) as u16).to_be_bytes());
            out.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            out.extend(from.octets());
            out.extend(to.octets());
            let sum = fold(words(&out));
            out[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (from, to) => {
            out.extend([0x60, 0, 0, 0]);
            out.extend((payload.len() as u16).to_be_bytes());
            out.extend([protocol, 64]);
            out.extend(six(from));
            out.extend(six(to));
        }
    }
    out.extend(payload);
    out
}

fn six(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Sum of 16-bit words.
fn words(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(w.get(1).copied().unwrap_or(0))).sum()
}

/// The one's complement of the one's complement sum (RFC 1071).
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn checksum(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let addresses = match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => words(&from.octets()) + words(&to.octets()),
        (from, to) => words(&six(from)) + words(&six(to)),
    };
    fold(addresses + u64::from(protocol) + payload.len() as u64 + words(payload))
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    pad(out);
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    let mut out = Vec::with_capacity(body.len() + 12);
    out.extend(kind.to_le_bytes());
    out.extend(length);
    out.extend(body);
    out.extend(length);
    out
}
