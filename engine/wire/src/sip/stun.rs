//! STUN keepalives on the SIP port (RFC 5389 binding requests, RFC 5626 §3.5.2, §8).

use std::net::{IpAddr, SocketAddr};

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
/// Attributes below this must be understood.
const OPTIONAL: u16 = 0x8000;
/// Those of RFC 5389 that a request may carry: USERNAME, MESSAGE-INTEGRITY, REALM, NONCE.
const UNDERSTOOD: [u16; 4] = [0x0006, 0x0008, 0x0014, 0x0015];
/// Unknown attributes named in a 420 answer.
const MAX_UNKNOWN: usize = 8;

/// Whether a datagram is STUN and not SIP: first byte 0 or 1, and the magic cookie.
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER && datagram[0] <= 1 && datagram[4..8] == COOKIE
}

/// The answer to a binding request from `source`: success with XOR-MAPPED-ADDRESS, or error 420 when a
/// mandatory attribute is unknown. `None` when it is no well-formed binding request.
pub fn answer(datagram: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    if !is_stun(datagram) || word(datagram, 0)? != BINDING_REQUEST {
        return None;
    }
    let body = &datagram[HEADER..];
    if usize::from(word(datagram, 2)?) != body.len() || !body.len().is_multiple_of(4) {
        return None;
    }
    let unknown = unknown_attributes(body)?;
    let mut attribute = Vec::with_capacity(24);
    let kind = if unknown.is_empty() {
        push_address(&mut attribute, source, &datagram[4..HEADER]);
        BINDING_SUCCESS
    } else {
        push_error(&mut attribute, &unknown);
        BINDING_ERROR
    };
    let mut out = Vec::with_capacity(HEADER + attribute.len());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&(attribute.len() as u16).to_be_bytes());
    out.extend_from_slice(&datagram[4..HEADER]);
    out.extend_from_slice(&attribute);
    Some(out)
}

/// Mandatory attributes that are not understood; `None` when the attributes are malformed.
fn unknown_attributes(mut body: &[u8]) -> Option<Vec<u16>> {
    let mut unknown = Vec::new();
    while !body.is_empty() {
        let (kind, length) = (word(body, 0)?, usize::from(word(body, 2)?));
        let padded = 4 + length.next_multiple_of(4);
        body = body.get(padded..)?;
        if kind < OPTIONAL && !UNDERSTOOD.contains(&kind) && unknown.len() < MAX_UNKNOWN {
            unknown.push(kind);
        }
    }
    Some(unknown)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// `mask` is the cookie and the transaction id, with which the address is hidden from meddling NATs.
fn push_address(out: &mut Vec<u8>, source: SocketAddr, mask: &[u8]) {
    let (family, bytes) = match source.ip().to_canonical() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    out.extend_from_slice(&XOR_MAPPED_ADDRESS.to_be_bytes());
    out.extend_from_slice(&(4 + bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(&[0, family]);
    let port = source.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
    out.extend_from_slice(&port.to_be_bytes());
    out.extend(bytes.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
}

fn push_error(out: &mut Vec<u8>, unknown: &[u16]) {
    out.extend_from_slice(&ERROR_CODE.to_be_bytes());
    out.extend_from_slice(&[0, 4, 0, 0, 4, 20]);
    out.extend_from_slice(&UNKNOWN_ATTRIBUTES.to_be_bytes());
    out.extend_from_slice(&(2 * unknown.len() as u16).to_be_bytes());
    for kind in unknown {
        out.extend_from_slice(&kind.to_be_bytes());
    }
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 1, 0, attributes.len() as u8];
        out.extend_from_slice(&COOKIE);
        out.extend_from_slice(&[0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);
        out.extend_from_slice(attributes);
        out
    }

    // The address bytes of the sample responses in RFC 5769 §2.2 and §2.3.
    #[test]
    fn the_mapped_address_is_hidden_as_in_rfc_5769() {
        let answer4 = answer(&request(&[]), "192.0.2.1:32853".parse().unwrap()).unwrap();
        assert_eq!(answer4[..4], [0x01, 0x01, 0x00, 0x0c]);
        assert_eq!(answer4[20..], [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        let source = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        let answer6 = answer(&request(&[]), source).unwrap();
        assert_eq!(
            answer6[20..],
            [
                0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1,
                0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9
            ]
        );
    }

    #[test]
    fn unknown_mandatory_attributes_get_420_and_optional_ones_do_not() {
        let source = "192.0.2.1:5060".parse().unwrap();
        let software = [0x80, 0x22, 0, 3, b'a', b'b', b'c', 0];
        assert_eq!(answer(&request(&software), source).unwrap()[..2], [1, 1]);
        let odd = [0x7f, 0xff, 0, 0];
        let refusal = answer(&request(&odd), source).unwrap();
        assert_eq!(refusal[..2], [1, 0x11]);
        assert_eq!(refusal[20..], [0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 2, 0x7f, 0xff, 0, 0]);
    }

    #[test]
    fn other_datagrams_get_no_answer() {
        let source = "192.0.2.1:5060".parse().unwrap();
        let mut indication = request(&[]);
        indication[1] = 0x11;
        let mut wrong_length = request(&[]);
        wrong_length[3] = 4;
        for datagram in
            [indication, wrong_length, request(&[0x80, 0x22, 0, 9]), b"OPTIONS sip:a SIP/2.0".to_vec()]
        {
            assert_eq!(answer(&datagram, source), None);
        }
        assert!(!is_stun(&[0; 19]) && !is_stun(&[0; 20]));
    }
}
