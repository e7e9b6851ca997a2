//! Messages of the flood: all first requests have the same length, so that the kernel cuts sixty of them out of one
//! call; what changes from one to the next has a fixed place.

use keyline_domain::digest::client::{Answer, Challenge};
use keyline_domain::digest::{Algorithm, Ha1};

use crate::inventory::{FleetPhone, MODEL_NUMBER};

/// In front of the numbers in a branch.
const BRANCH: &str = "z9hG4bKov";
const CSEQ_FIRST: u32 = 1_000_000;

/// Which request of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copy {
    First = 0,
    Second = 1,
}

/// Number of a request: phone, attempt, which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub phone: u32,
    pub attempt: u32,
    pub copy: Copy,
}

/// What a response says, as far as the flood looks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard<'m> {
    pub status: u16,
    pub ticket: Ticket,
    pub text: &'m str,
}

/// Writes a REGISTER; with `credentials` (a whole header line) it is longer.
pub(super) fn register(
    out: &mut Vec<u8>,
    from: &str,
    host: &str,
    phone: &FleetPhone,
    ticket: Ticket,
    credentials: &str,
) {
    use std::io::Write as _;
    let FleetPhone { device, dn, .. } = phone;
    let mac = device.strip_prefix("SEP").unwrap_or(device);
    let Ticket { phone: index, attempt, copy } = ticket;
    let cseq = CSEQ_FIRST + 2 * (attempt % 1_000_000) + copy as u32;
    // Writing to memory can not fail.
    let _ = write!(
        out,
        "REGISTER sip:{host} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch={BRANCH}{index:06x}{attempt:06x}{};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{dn}@{host}>;tag={index:06x}\r\nTo: <sip:{dn}@{host}>\r\n\
         Call-ID: ov{index:06x}@{host}\r\nCSeq: {cseq} REGISTER\r\n\
         Contact: <sip:{dn}@{from}>;+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-{mac}>\"\
         ;+u.sip!devicename.ccm.cisco.com=\"{device}\";+u.sip!model.ccm.cisco.com=\"{MODEL_NUMBER}\"\r\n\
         Expires: 3600\r\n{credentials}User-Agent: Keyline-Loadtest\r\nContent-Length: 0\r\n\r\n",
        copy as u8,
    );
}

/// The first request of a phone, to be written again with another attempt's number.
pub(super) struct Template {
    pub bytes: Vec<u8>,
    attempt: usize,
    cseq: usize,
}

impl Template {
    pub(super) fn new(from: &str, host: &str, phone: &FleetPhone, index: u32) -> Template {
        let mut bytes = Vec::with_capacity(640);
        register(&mut bytes, from, host, phone, Ticket { phone: index, attempt: 0, copy: Copy::First }, "");
        let find = |what: &[u8]| bytes.windows(what.len()).position(|w| w == what).unwrap_or(0) + what.len();
        let (attempt, cseq) = (find(BRANCH.as_bytes()) + 6, find(b"CSeq: "));
        Template { bytes, attempt, cseq }
    }

    /// The same request with another number.
    pub(super) fn renew(&mut self, attempt: u32) {
        let mut value = attempt & 0xff_ffff;
        for place in self.bytes[self.attempt..self.attempt + 6].iter_mut().rev() {
            *place = b"0123456789abcdef"[(value & 15) as usize];
            value >>= 4;
        }
        let mut value = CSEQ_FIRST + 2 * (attempt % 1_000_000);
        for place in self.bytes[self.cseq..self.cseq + 7].iter_mut().rev() {
            *place = b'0' + (value % 10) as u8;
            value /= 10;
        }
    }
}

/// Reads a response to one of our requests.
pub(super) fn read(bytes: &[u8]) -> Option<Heard<'_>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let status = text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
    let after = &text[text.find(BRANCH)? + BRANCH.len()..];
    let number = |range: std::ops::Range<usize>| u32::from_str_radix(after.get(range)?, 16).ok();
    let copy = match after.as_bytes().get(12)? {
        b'0' => Copy::First,
        b'1' => Copy::Second,
        _ => return None,
    };
    Some(Heard { status, ticket: Ticket { phone: number(0..6)?, attempt: number(6..12)?, copy }, text })
}

/// The header that answers the challenge of a 401. `ha1` is derived once.
pub(super) fn credentials(
    text: &str,
    host: &str,
    phone: &FleetPhone,
    ha1: &mut Option<Ha1>,
) -> Option<String> {
    let (realm, nonce) = (value(text, "realm=\"")?, value(text, "nonce=\"")?);
    let algorithm = Algorithm::Md5;
    let ha1 = ha1.get_or_insert_with(|| Ha1::derive(algorithm, &phone.user, realm, &phone.password));
    let challenge = Challenge { realm, nonce, algorithm, qop_auth: true, opaque: None };
    let uri = format!("sip:{host}");
    let answer = Answer {
        challenge,
        user: &phone.user,
        ha1,
        method: "REGISTER",
        uri: &uri,
        nc: 1,
        cnonce: "0a4f113b",
    };
    Some(format!("Authorization: {answer}\r\n"))
}

fn value<'t>(text: &'t str, before: &str) -> Option<&'t str> {
    let after = &text[text.find(before)? + before.len()..];
    Some(&after[..after.find('"')?])
}

/// Seconds of a Retry-After.
pub(super) fn retry_after(text: &str) -> Option<u32> {
    let after = &text[text.find("\r\nRetry-After:")? + 14..];
    after[..after.find('\r')?].trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use keyline_wire::sip::{HeaderName, Message};

    use super::*;
    use crate::inventory;

    #[test]
    fn a_renewed_template_is_the_request_written_anew_and_all_have_one_length() {
        let (from, host) = ("127.0.0.1:40000", "127.0.0.1:5060");
        let mut lengths = std::collections::BTreeSet::new();
        for index in [0, 7, 59_999] {
            let phone = inventory::nth(1, index);
            let mut template = Template::new(from, host, &phone, index);
            for attempt in [1, 255, 999_999, 1_000_001] {
                template.renew(attempt);
                let mut anew = Vec::new();
                let ticket = Ticket { phone: index, attempt, copy: Copy::First };
                register(&mut anew, from, host, &phone, ticket, "");
                assert_eq!(template.bytes, anew, "{attempt}");
                lengths.insert(anew.len());
                let message = Message::parse(&anew).unwrap();
                assert!(message.contact().is_some() && message.to().is_some());
            }
        }
        assert_eq!(lengths.len(), 1);
    }

    #[test]
    fn responses_are_told_apart_and_a_challenge_is_answered() {
        let text = "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKov00000a00001f1;rport=1\r\n\
                    WWW-Authenticate: Digest realm=\"r\", nonce=\"abc\", algorithm=MD5, qop=\"auth\"\r\n\r\n";
        let heard = read(text.as_bytes()).unwrap();
        assert_eq!((heard.status, heard.ticket.phone, heard.ticket.attempt), (401, 10, 31));
        assert_eq!(heard.ticket.copy, Copy::Second);
        let phone = inventory::nth(1, 10);
        let header = credentials(heard.text, "h", &phone, &mut None).unwrap();
        let mut request = Vec::new();
        register(&mut request, "h:1", "h", &phone, heard.ticket, &header);
        let message = Message::parse(&request).unwrap();
        assert!(message.first(HeaderName::Authorization).unwrap().contains("nonce=\"abc\""));
        assert_eq!(retry_after("SIP/2.0 503 x\r\nRetry-After: 17\r\n\r\n"), Some(17));
        assert_eq!(read(b"SIP/2.0 200 OK\r\nVia: x;branch=z9hG4bKother\r\n\r\n"), None);
    }
}
