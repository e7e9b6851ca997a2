//! The phones' side of digest: a kept challenge whose uses are counted.

use keyline_domain::digest::client::{Answer, Challenge as Known};
use keyline_domain::digest::{Algorithm, Ha1};
use keyline_wire::sip::{Challenge, HeaderName, Message};

use super::users::User;

/// A kept challenge: one nonce, its uses counted.
pub(crate) struct Kept {
    realm: Box<str>,
    nonce: Box<str>,
    opaque: Option<Box<str>>,
    algorithm: Algorithm,
    qop_auth: bool,
    proxy: bool,
    ha1: Ha1,
    count: u32,
}

impl Kept {
    /// The challenge of a 401 or 407: the one with the wanted algorithm, else the topmost that is known.
    /// `known` is the challenge before: its HA1 is taken over when it still fits.
    pub(crate) fn read(
        response: &Message<'_>,
        user: &User,
        wanted: Option<Algorithm>,
        known: Option<&Kept>,
    ) -> Option<Kept> {
        let proxy = response.status() == Some(407);
        let header = if proxy { HeaderName::ProxyAuthenticate } else { HeaderName::WwwAuthenticate };
        let mut best: Option<Kept> = None;
        for challenge in response.all(header).map(Challenge::parse) {
            let Ok(Challenge::Digest(digest)) = challenge else { continue };
            let algorithm = Algorithm::parse(digest.algorithm.as_deref().unwrap_or("MD5"));
            let (Some(algorithm), Some(realm), Some(nonce)) = (algorithm, &digest.realm, &digest.nonce)
            else {
                continue;
            };
            let fits = wanted == Some(algorithm);
            if best.is_some() && !fits {
                continue;
            }
            let ha1 = match known {
                Some(known) if *known.realm == **realm && known.algorithm == algorithm => known.ha1.clone(),
                _ => Ha1::derive(algorithm, &user.user, realm, &user.password),
            };
            best = Some(Kept {
                realm: (**realm).into(),
                nonce: (**nonce).into(),
                opaque: digest.opaque.as_deref().map(Into::into),
                algorithm,
                qop_auth: digest.offers_auth(),
                proxy,
                ha1,
                count: 0,
            });
            if fits {
                break;
            }
        }
        best
    }

    /// Appends the header that answers under this nonce, its count one higher.
    pub(crate) fn authorize(&mut self, out: &mut String, user: &User, method: &str, uri: &str, salt: u32) {
        use std::fmt::Write as _;
        self.count += 1;
        let cnonce = format!("{:08x}", salt.wrapping_mul(0x9e37_79b1) ^ self.count);
        let challenge = Known {
            realm: &self.realm,
            nonce: &self.nonce,
            algorithm: self.algorithm,
            qop_auth: self.qop_auth,
            opaque: self.opaque.as_deref(),
        };
        let (ha1, nc) = (&self.ha1, self.count);
        let answer = Answer { challenge, user: &user.user, ha1, method, uri, nc, cnonce: &cnonce };
        let name = if self.proxy { "Proxy-Authorization" } else { "Authorization" };
        // Writing to a String can not fail.
        let _ = write!(out, "{name}: {answer}\r\n");
    }
}

#[cfg(test)]
mod tests {
    use keyline_domain::digest::{Parts, Protection, verify};
    use keyline_wire::sip::Credentials;

    use super::*;

    const CHALLENGE: &str = "SIP/2.0 401 Unauthorized\r\n\
        Via: SIP/2.0/UDP 127.0.0.1:4000;branch=z9hG4bK1\r\n\
        From: <sip:1@h>;tag=a\r\nTo: <sip:1@h>;tag=b\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n\
        WWW-Authenticate: Digest realm=\"ccmsipline\", nonce=\"sha\", algorithm=SHA-256, qop=\"auth\"\r\n\
        WWW-Authenticate: Digest realm=\"ccmsipline\", nonce=\"abc\", algorithm=MD5, qop=\"auth\", opaque=\"o\"\r\n\
        Content-Length: 0\r\n\r\n";

    #[test]
    fn the_wanted_algorithm_is_answered_rightly_and_its_uses_are_counted() {
        let user = User { number: "1".into(), user: "u".into(), password: "p".into(), device: None };
        let message = Message::parse(CHALLENGE.as_bytes()).unwrap();
        for (wanted, nonce) in [(Algorithm::Md5, "abc"), (Algorithm::Sha256, "sha")] {
            let mut kept = Kept::read(&message, &user, Some(wanted), None).unwrap();
            for count in 1..=2 {
                let mut header = String::new();
                kept.authorize(&mut header, &user, "REGISTER", "sip:h", 7);
                let value = header.trim_end().strip_prefix("Authorization: ").unwrap();
                let Ok(Credentials::Digest(digest)) = Credentials::parse(value) else { panic!("{value}") };
                assert_eq!((digest.nonce_count(), digest.nonce.as_deref()), (Some(count), Some(nonce)));
                let ha1 = Ha1::derive(wanted, "u", "ccmsipline", "p");
                let (nc, cnonce) = (digest.nc.as_deref().unwrap(), digest.cnonce.as_deref().unwrap());
                let protection = Protection::Auth { nc, cnonce };
                let parts = Parts { method: "REGISTER", uri: "sip:h", nonce, protection };
                assert!(verify(wanted, Some(&ha1), &parts, digest.response.as_deref().unwrap()));
            }
        }
        let top = Kept::read(&message, &user, None, None).unwrap();
        assert_eq!(&*top.nonce, "sha", "the topmost, RFC 8760");
    }
}
