//! Bearer tokens of the SIP OAuth listener: whose signatures are believed, tokens that were verified, and the
//! node's own issuer. What a token is worth is judged by `keyline_domain::oauth`.
//!
//! * [`sign`]: signatures, checked and made.
//! * [`cache`]: tokens whose signature was found right.
//! * [`source`]: the key set of an issuer outside, from a file or over HTTPS.
//! * [`metrics`]: what is counted.

pub mod cache;
pub mod metrics;
pub mod sign;
pub mod source;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use keyline_actors::board::{KeyBoard, OauthSecrets};
use keyline_domain::ids::UnixMillis;
use keyline_domain::oauth::{Claims, Expected, Fault, KeySet, TOKEN_MAX, Token, judge};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use self::cache::Cache;
use self::metrics::OauthMetrics;
use self::sign::SigningKey;
use crate::config;

/// An unknown `kid` has the issuer asked for its keys at most this often.
const ASK_AGAIN_MS: u64 = 10_000;

/// A token whose signature is right.
#[derive(Debug)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// Thumbprint of the key that signed it: the token serves only as long as the key does.
    pub key: [u8; 32],
    /// SHA-256 of the token's text.
    pub digest: [u8; 32],
}

/// An issuer and its keys.
#[derive(Debug)]
struct Issuer {
    name: String,
    keys: KeySet,
}

/// The keys of our own issuer.
struct Own {
    secrets: OauthSecrets,
    current: SigningKey,
    issuer: Issuer,
}

/// Everything about tokens that a node has.
pub struct Oauth {
    settings: config::Oauth,
    own: Option<ArcSwap<Own>>,
    outside: Option<ArcSwap<Issuer>>,
    cache: Cache,
    /// When an unknown key may have the issuer asked again, milliseconds since 1970.
    ask_again: AtomicU64,
    asking: AtomicBool,
    asked: Notify,
    /// Counters.
    pub metrics: OauthMetrics,
}

impl std::fmt::Debug for Oauth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Oauth")
    }
}

/// A token that was issued. Not to be shown but to whom it was issued for.
pub struct Issued {
    /// The token: whoever has it is the phone.
    pub token: Zeroizing<String>,
    /// When it ends, seconds since 1970.
    pub expires: u64,
}

/// For whom a token is issued.
#[derive(Debug, Clone, Copy)]
pub enum For<'a> {
    /// This phone alone.
    Phone(&'a str),
    /// Whatever phone has this user.
    User(&'a str),
}

impl Oauth {
    /// With the keys of the key board, for `tokens` verified ones.
    pub fn new(settings: &config::Oauth, keys: &KeyBoard, tokens: usize, metrics: OauthMetrics) -> Self {
        let own = settings.embedded.then(|| Own::new(&keys.load().oauth, &settings.issuer)).flatten();
        let outside = settings
            .key_set
            .as_ref()
            .map(|_| Issuer { name: settings.key_set_issuer.clone(), keys: KeySet::default() });
        if let Some(own) = &own {
            metrics.keys("own", own.issuer.keys.keys().len());
        }
        Self {
            settings: settings.clone(),
            own: own.map(ArcSwap::from_pointee),
            outside: outside.map(ArcSwap::from_pointee),
            cache: Cache::new(tokens),
            ask_again: AtomicU64::new(0),
            asking: AtomicBool::new(false),
            asked: Notify::new(),
            metrics,
        }
    }

    /// What was configured.
    pub fn settings(&self) -> &config::Oauth {
        &self.settings
    }

    /// Checks a token: its signature, unless that was done before, and whether it holds now.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn check(&self, keys: &KeyBoard, text: &str, now: UnixMillis) -> Result<Arc<Verified>, Fault> {
        let result = self.look(keys, text, now);
        self.metrics.token(result.as_ref().err().copied());
        result
    }

    fn look(&self, keys: &KeyBoard, text: &str, now: UnixMillis) -> Result<Arc<Verified>, Fault> {
        // Before anything is paid for it.
        if text.len() > TOKEN_MAX {
            return Err(Fault::TooLarge);
        }
        let digest: [u8; 32] = Sha256::digest(text).into();
        if let Some(known) = self.cache.get(&digest) {
            self.again(keys, &known, now)?;
            return Ok(known);
        }
        let token = Token::read(text)?;
        let claims = Claims::read(&token, &self.settings.claims)?;
        let find = || {
            self.with_issuer(keys, &claims.issuer, |issuer, outside| {
                match issuer.keys.find(token.kid.as_deref(), token.algorithm) {
                    Err(Fault::KeyUnknown) if outside && self.is_asked(now) => Err(Fault::KeyPending),
                    found => found.cloned(),
                }
            })
        };
        // The answer may have come between the look at the set and the question whether it is on its way.
        let key = match find() {
            Err(Fault::KeyUnknown) => find(),
            found => found,
        }?;
        if !sign::is_signed_by(&key, token.signed.as_bytes(), &token.signature) {
            return Err(Fault::Signature);
        }
        let verified = Arc::new(Verified { claims, key: key.thumbprint, digest });
        self.again(keys, &verified, now)?;
        self.cache.put(&verified);
        Ok(verified)
    }

    /// Judges a verified token once more: its key may have been withdrawn, its time may have run out.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn again(&self, keys: &KeyBoard, verified: &Verified, now: UnixMillis) -> Result<(), Fault> {
        self.with_issuer(keys, &verified.claims.issuer, |issuer, _| {
            if !issuer.keys.has(&verified.key) {
                return Err(Fault::KeyUnknown);
            }
            let expected = Expected {
                issuer: &issuer.name,
                audience: &self.settings.audience,
                scope: &self.settings.scope,
                skew_s: self.settings.skew_s,
            };
            judge(&verified.claims, &expected, now)
        })
    }

    /// Each issuer has keys of its own: those of one are worth nothing under the name of another (RFC 8725 §3.8).
    fn with_issuer<T>(
        &self,
        keys: &KeyBoard,
        name: &str,
        f: impl FnOnce(&Issuer, bool) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if let Some(own) = self.own(keys).filter(|own| own.issuer.name == name) {
            return f(&own.issuer, false);
        }
        match self.outside.as_ref().map(ArcSwap::load).filter(|issuer| issuer.name == name) {
            Some(issuer) => f(&issuer, true),
            None => Err(Fault::Issuer),
        }
    }

    /// Our own keys, made anew when the keyring has rotated them.
    fn own(&self, keys: &KeyBoard) -> Option<Arc<Own>> {
        let place = self.own.as_ref()?;
        let (keys, own) = (keys.load(), place.load_full());
        if keys.oauth == own.secrets {
            return Some(own);
        }
        match Own::new(&keys.oauth, &self.settings.issuer) {
            Some(new) => {
                let new = Arc::new(new);
                place.store(Arc::clone(&new));
                self.metrics.keys("own", new.issuer.keys.keys().len());
                Some(new)
            }
            None => Some(own),
        }
    }

    /// Whether the issuer outside is being asked for its keys; asks, if that was not done just now.
    fn is_asked(&self, now: UnixMillis) -> bool {
        let due = |at: u64| (now.0 >= at || at - now.0 > ASK_AGAIN_MS).then_some(now.0 + ASK_AGAIN_MS);
        if self.ask_again.fetch_update(Ordering::AcqRel, Ordering::Relaxed, due).is_ok() {
            self.asking.store(true, Ordering::Release);
            self.asked.notify_one();
        }
        self.asking.load(Ordering::Acquire)
    }

    /// Other keys of the issuer outside from now on; `None`: they could not be had, the former ones stay.
    fn answered(&self, keys: Option<KeySet>) {
        if let (Some(keys), Some(place)) = (keys, &self.outside) {
            self.metrics.keys("outside", keys.keys().len());
            place.store(Arc::new(Issuer { name: self.settings.key_set_issuer.clone(), keys }));
        }
        self.asking.store(false, Ordering::Release);
    }

    /// Issues a token; `None` where the node has no issuer of its own.
    pub fn issue(
        &self,
        keys: &KeyBoard,
        holder: For<'_>,
        lines: &[String],
        lifetime_s: u64,
        now: UnixMillis,
        id: [u8; 16],
    ) -> Option<Issued> {
        let own = self.own(keys)?;
        let now_s = now.0 / 1000;
        let expires = now_s + lifetime_s;
        let names = &self.settings.claims;
        let mut claims = serde_json::Map::new();
        match holder {
            For::Phone(name) => {
                claims.insert("sub".to_owned(), name.into());
                claims.insert(names.device.clone(), name.into());
            }
            For::User(user) => {
                claims.insert("sub".to_owned(), user.into());
                claims.insert(names.user.clone(), user.into());
            }
        }
        if !lines.is_empty() {
            claims.insert(names.lines.clone(), lines.into());
        }
        for (name, value) in [
            ("iss", self.settings.issuer.as_str().into()),
            ("aud", self.settings.audience.as_slice().into()),
            ("scope", self.settings.scope.join(" ").into()),
            ("iat", now_s.into()),
            ("nbf", now_s.into()),
            ("exp", expires.into()),
            ("jti", hex(&id).into()),
            ("client_id", "keyline".into()),
        ] {
            let value: serde_json::Value = value;
            claims.insert(name.to_owned(), value);
        }
        let token = own.current.token(&serde_json::Value::Object(claims))?;
        self.metrics.issued.inc();
        Some(Issued { token, expires })
    }

    /// The public keys of our own issuer as a key set (RFC 7517 §5).
    pub fn published(&self, keys: &KeyBoard) -> serde_json::Value {
        let own = self.own(keys);
        let keys = own.iter().flat_map(|own| own.issuer.keys.keys()).map(|k| k.to_jwk());
        serde_json::json!({ "keys": keys.collect::<Vec<_>>() })
    }
}

impl Own {
    fn new(secrets: &OauthSecrets, name: &str) -> Option<Self> {
        let current = SigningKey::of(secrets.current())?;
        let before = secrets.previous().and_then(SigningKey::of).map(|key| key.public);
        let keys = KeySet::new(std::iter::once(current.public.clone()).chain(before).collect());
        Some(Self { secrets: secrets.clone(), current, issuer: Issuer { name: name.to_owned(), keys } })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
