//! REGISTER and its answers, with as little work as possible: the generator shares the machine.

use std::fmt::Write as _;
use std::net::SocketAddr;

use keyline_domain::digest::client::{Answer, Challenge};
use keyline_domain::digest::{Algorithm, Ha1};

use crate::inventory::{FleetPhone, MODEL_NUMBER};

/// In front of the device's number in a branch.
const BRANCH: &str = "z9hG4bK-fl.";

/// A kept challenge: one nonce, its uses counted.
#[derive(Clone)]
pub(super) struct Kept {
    pub realm: Box<str>,
    pub nonce: Box<str>,
    pub opaque: Option<Box<str>>,
    pub qop_auth: bool,
    pub ha1: Ha1,
    pub count: u32,
}

/// What one REGISTER says.
pub(super) struct Register<'r> {
    pub phone: &'r FleetPhone,
    pub index: usize,
    pub run: &'r str,
    pub host: &'r str,
    pub local: SocketAddr,
    pub cseq: u32,
    pub expires: u32,
    pub kept: Option<&'r mut Kept>,
}

impl Register<'_> {
    /// Writes it into `out`, which is emptied first.
    pub(super) fn write(self, out: &mut String) {
        let Register { phone, index, run, host, local, cseq, expires, kept } = self;
        let FleetPhone { device, dn, user, .. } = phone;
        let mac = device.strip_prefix("SEP").unwrap_or(device).to_ascii_lowercase();
        out.clear();
        // Writing to a String can not fail.
        let _ = write!(
            out,
            "REGISTER sip:{host} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch={BRANCH}{index}.{cseq};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{dn}@{host}>;tag={index:x}\r\n\
             To: <sip:{dn}@{host}>\r\n\
             Call-ID: {run}-{index}@{}\r\n\
             CSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{dn}@{local}>;+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-{mac}>\";\
             +u.sip!devicename.ccm.cisco.com=\"{device}\";+u.sip!model.ccm.cisco.com=\"{MODEL_NUMBER}\"\r\n\
             Expires: {expires}\r\n",
            local.ip()
        );
        if let Some(kept) = kept {
            kept.count += 1;
            let cnonce = format!("{:08x}", (index as u32).wrapping_mul(0x9e37_79b1) ^ kept.count);
            let answer = Answer {
                challenge: Challenge {
                    realm: &kept.realm,
                    nonce: &kept.nonce,
                    algorithm: Algorithm::Md5,
                    qop_auth: kept.qop_auth,
                    opaque: kept.opaque.as_deref(),
                },
                user,
                ha1: &kept.ha1,
                method: "REGISTER",
                uri: &format!("sip:{host}"),
                nc: kept.count,
                cnonce: &cnonce,
            };
            let _ = write!(out, "Authorization: {answer}\r\n");
        }
        out.push_str("User-Agent: Keyline-Loadtest\r\nContent-Length: 0\r\n\r\n");
    }
}

/// The start of a response that matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub status: u16,
    /// Device number and CSeq, from the branch.
    pub index: usize,
    pub cseq: u32,
}

/// Reads a response; `None` for anything else.
pub(super) fn read(bytes: &[u8]) -> Option<Seen> {
    let text = std::str::from_utf8(bytes).ok()?;
    let status = text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
    let (_, rest) = text.split_once(BRANCH)?;
    let end = rest.find([';', ',', '\r', ' '])?;
    let (index, cseq) = rest[..end].split_once('.')?;
    Some(Seen { status, index: index.parse().ok()?, cseq: cseq.parse().ok()? })
}

/// The MD5 challenge of a 401 or 407; `None` when it has none. `known` is the challenge before: its HA1
/// is taken over when the realm is the same.
pub(super) fn challenge(bytes: &[u8], phone: &FleetPhone, known: Option<&Kept>) -> Option<Kept> {
    let text = std::str::from_utf8(bytes).ok()?;
    let head = text.split("\r\n\r\n").next()?;
    let md5 = |line: &&str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let digest = value.trim_start().get(..6).is_some_and(|s| s.eq_ignore_ascii_case("digest"));
        let algorithm = directive(value, "algorithm").unwrap_or("MD5");
        name.eq_ignore_ascii_case("WWW-Authenticate") && digest && algorithm.eq_ignore_ascii_case("MD5")
    };
    let line = head.split("\r\n").find(md5)?;
    let (realm, nonce) = (directive(line, "realm")?, directive(line, "nonce")?);
    let ha1 = match known {
        Some(known) if &*known.realm == realm => known.ha1.clone(),
        _ => Ha1::derive(Algorithm::Md5, &phone.user, realm, &phone.password),
    };
    Some(Kept {
        realm: realm.into(),
        nonce: nonce.into(),
        opaque: directive(line, "opaque").map(Into::into),
        qop_auth: directive(line, "qop").is_some_and(|qop| qop.split(',').any(|q| q.trim() == "auth")),
        ha1,
        count: 0,
    })
}

/// The value of a directive, without quotes. Values hold no quoted pairs here.
fn directive<'t>(line: &'t str, name: &str) -> Option<&'t str> {
    let mut rest = line;
    loop {
        let at = rest.find(name)?;
        let before = rest[..at].chars().next_back();
        let after = &rest[at + name.len()..];
        let whole = before.is_none_or(|c| matches!(c, ' ' | ',' | '\t'));
        if let Some(value) = after.strip_prefix('=').filter(|_| whole) {
            return match value.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next(),
                None => value.split([',', ' ', '\r']).next(),
            };
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use keyline_domain::digest::{Parts, Protection, verify};
    use keyline_wire::sip::{Credentials, Message};

    use super::*;
    use crate::inventory::nth;

    const CHALLENGE: &str = "SIP/2.0 401 Unauthorized\r\n\
        Via: SIP/2.0/UDP 127.0.0.1:4000;branch=z9hG4bK-fl.17.3;received=127.0.0.1;rport=4000\r\n\
        WWW-Authenticate: Digest realm=\"ccmsipline\", nonce=\"sha\", algorithm=SHA-256, qop=\"auth\"\r\n\
        WWW-Authenticate: Digest realm=\"ccmsipline\", nonce=\"abc\", algorithm=MD5, qop=\"auth\", opaque=\"o\"\r\n\
        Content-Length: 0\r\n\r\n";

    #[test]
    fn the_answer_to_a_challenge_is_right() {
        let phone = nth(1, 17);
        assert_eq!(read(CHALLENGE.as_bytes()), Some(Seen { status: 401, index: 17, cseq: 3 }));
        let mut kept = challenge(CHALLENGE.as_bytes(), &phone, None).unwrap();
        let mut out = String::new();
        for count in 1..=2 {
            let register = Register {
                phone: &phone,
                index: 17,
                run: "r",
                host: "127.0.0.1",
                local: "127.0.0.1:4000".parse().unwrap(),
                cseq: 3 + count,
                expires: 3600,
                kept: Some(&mut kept),
            };
            register.write(&mut out);
            let message = Message::parse(out.as_bytes()).unwrap();
            assert_eq!(message.contact().unwrap().device_name().as_deref(), Some(&*phone.device));
            let Some(Ok(Credentials::Digest(digest))) = message.authorizations().next() else { panic!() };
            assert_eq!(digest.nonce_count(), Some(count));
            assert_eq!(digest.opaque.as_deref(), Some("o"));
            let ha1 = Ha1::derive(Algorithm::Md5, &phone.user, "ccmsipline", &phone.password);
            let protection = Protection::Auth {
                nc: digest.nc.as_deref().unwrap(),
                cnonce: digest.cnonce.as_deref().unwrap(),
            };
            let uri = digest.uri.as_deref().unwrap();
            let parts = Parts { method: "REGISTER", uri, nonce: "abc", protection };
            assert!(verify(Algorithm::Md5, Some(&ha1), &parts, digest.response.as_deref().unwrap()));
        }
    }

    #[test]
    fn directives_are_found_by_whole_names() {
        let line = "WWW-Authenticate: Digest xnonce=\"no\", nonce=\"yes\",stale=true, qop=auth";
        assert_eq!(directive(line, "nonce"), Some("yes"));
        assert_eq!(directive(line, "stale"), Some("true"));
        assert_eq!(directive(line, "qop"), Some("auth"));
        assert_eq!(directive(line, "realm"), None);
        assert_eq!(read(b"SIP/2.0 2"), None);
        assert_eq!(read(b"OPTIONS sip:x SIP/2.0\r\n"), None);
    }
}
