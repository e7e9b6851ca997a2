//! The phone's side of digest authentication (RFC 7616, RFC 8760): takes the topmost challenge it knows,
//! keeps the nonce and counts its uses.

use keyline_domain::digest::client::{Answer, Challenge as Known};
use keyline_domain::digest::{Algorithm, Ha1};
use keyline_wire::sip::{Challenge, HeaderName, Message};

use super::config::Login;

/// A challenge that is kept, with the number of times its nonce was used.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    qop_auth: bool,
    proxy: bool,
    ha1: Ha1,
    user: String,
    count: u32,
    cnonce: String,
}

/// What a response asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A challenge that can be answered; the flag says that only the nonce was too old.
    Answerable(Box<Session>, bool),
    /// Challenges, none of which can be answered.
    Unknown,
    /// No digest challenge.
    Nothing,
}

impl Session {
    /// Reads the challenges of a 401 or 407: the topmost whose algorithm the phone knows (RFC 8760 §2.4).
    pub(super) fn from_response(
        response: &Message<'_>,
        login: &Login,
        algorithms: &[Algorithm],
        cnonce: String,
    ) -> Asked {
        let proxy = response.status() == Some(407);
        let header = if proxy { HeaderName::ProxyAuthenticate } else { HeaderName::WwwAuthenticate };
        let mut asked = Asked::Nothing;
        for challenge in response.all(header).map(Challenge::parse) {
            let Ok(Challenge::Digest(digest)) = challenge else { continue };
            asked = Asked::Unknown;
            let algorithm = Algorithm::parse(digest.algorithm.as_deref().unwrap_or("MD5"));
            let (Some(algorithm), Some(realm), Some(nonce)) = (algorithm, &digest.realm, &digest.nonce)
            else {
                continue;
            };
            if !algorithms.contains(&algorithm) {
                continue;
            }
            let session = Session {
                realm: realm.to_string(),
                nonce: nonce.to_string(),
                opaque: digest.opaque.as_deref().map(str::to_owned),
                algorithm,
                qop_auth: digest.offers_auth(),
                proxy,
                ha1: Ha1::derive(algorithm, &login.user, realm, &login.password),
                user: login.user.clone(),
                count: 0,
                cnonce,
            };
            return Asked::Answerable(Box::new(session), digest.stale);
        }
        asked
    }

    /// The next answer under this nonce: header name and value.
    pub(super) fn authorize(&mut self, method: &str, uri: &str) -> (&'static str, String) {
        self.count += 1;
        self.authorize_as(method, uri, self.count)
    }

    /// An answer with that nonce count, counted or not.
    pub(super) fn authorize_as(&self, method: &str, uri: &str, nc: u32) -> (&'static str, String) {
        let challenge = Known {
            realm: &self.realm,
            nonce: &self.nonce,
            algorithm: self.algorithm,
            qop_auth: self.qop_auth,
            opaque: self.opaque.as_deref(),
        };
        let answer =
            Answer { challenge, user: &self.user, ha1: &self.ha1, method, uri, nc, cnonce: &self.cnonce };
        let name = if self.proxy { "Proxy-Authorization" } else { "Authorization" };
        (name, answer.to_string())
    }

    /// The nonce in use.
    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Algorithm of the answers.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Uses of the nonce so far.
    pub(super) fn count(&self) -> u32 {
        self.count
    }
}
