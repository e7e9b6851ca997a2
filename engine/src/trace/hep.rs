//! HEPv3, the encapsulation that SIP capture servers take over UDP: `HEP3`, the total length, then chunks of
//! vendor (0), type, length and value, all in network order.

use std::net::IpAddr;

use super::pcap::Packet;

/// Largest datagram that is sent.
pub const DATAGRAM_MAX: usize = 65_000;

/// The protocol of the payload: SIP.
const SIP: u8 = 1;

/// One message as a datagram; `None` when it does not fit into one.
pub fn encode(packet: &Packet<'_>, agent: u32, call_id: Option<&str>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(packet.message.len() + 128);
    out.extend(b"HEP3\0\0");
    let (source, destination) = (packet.source.ip().to_canonical(), packet.destination.ip().to_canonical());
    match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            chunk(&mut out, 1, &[2]);
            chunk(&mut out, 3, &from.octets());
            chunk(&mut out, 4, &to.octets());
        }
        (from, to) => {
            let six = |ip: IpAddr| match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            chunk(&mut out, 1, &[10]);
            chunk(&mut out, 5, &six(from));
            chunk(&mut out, 6, &six(to));
        }
    }
    chunk(&mut out, 2, &[if packet.is_udp { 17 } else { 6 }]);
    chunk(&mut out, 7, &packet.source.port().to_be_bytes());
    chunk(&mut out, 8, &packet.destination.port().to_be_bytes());
    chunk(&mut out, 9, &((packet.at_us / 1_000_000) as u32).to_be_bytes());
    chunk(&mut out, 10, &((packet.at_us % 1_000_000) as u32).to_be_bytes());
    chunk(&mut out, 11, &[SIP]);
    chunk(&mut out, 12, &agent.to_be_bytes());
    if let Some(id) = call_id.filter(|id| id.len() <= 256) {
        chunk(&mut out, 17, id.as_bytes());
    }
    if out.len() + 6 + packet.message.len() > DATAGRAM_MAX {
        return None;
    }
    chunk(&mut out, 15, packet.message);
    let length = (out.len() as u16).to_be_bytes();
    out[4..6].copy_from_slice(&length);
    Some(out)
}

fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend([0, 0]);
    out.extend(kind.to_be_bytes());
    out.extend((value.len() as u16 + 6).to_be_bytes());
    out.extend(value);
}
