//! Keys that tokens are signed with: JSON Web Keys and sets of them (RFC 7517, RFC 7518 §6, RFC 8037).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Algorithm, Fault};

/// Largest key set, in bytes.
pub const KEY_SET_MAX: usize = 256 << 10;

/// Keys of one set that are kept.
pub const KEYS_MAX: usize = 64;

/// Bytes of RSA's modulus: 2048 to 8192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// Why a key set was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Too long.
    #[error("the key set has {0} bytes; at most {KEY_SET_MAX} are taken")]
    TooLarge(usize),
    /// No JSON, or no object with a list `keys`.
    #[error("no key set: write a JSON object with a list `keys` (RFC 7517 §5)")]
    NotASet,
    /// Too many keys.
    #[error("the key set has {0} keys; at most {KEYS_MAX} are taken")]
    TooMany(usize),
    /// A private key lies where everybody may read it.
    #[error("key number {0} of the set is a private key; give public keys only, and replace that one")]
    Private(usize),
    /// Nothing in it serves.
    #[error(
        "none of the {0} keys of the set serves: RSA of 2048 bits or more, EC P-256 or Ed25519 for signatures are taken"
    )]
    NoneServes(usize),
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa {
        /// Modulus.
        n: Box<[u8]>,
        /// Exponent.
        e: Box<[u8]>,
    },
    /// A point of P-256, uncompressed: 4, x, y.
    P256(Box<[u8; 65]>),
    /// A point of Ed25519.
    Ed25519([u8; 32]),
}

/// A key and what it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// `kid`.
    pub kid: Option<Box<str>>,
    /// The one algorithm that it verifies.
    pub algorithm: Algorithm,
    /// The key itself.
    pub material: KeyMaterial,
    /// Its thumbprint (RFC 7638): the same wherever the key comes from.
    pub thumbprint: [u8; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// A key of our own: its `kid` is its thumbprint.
    pub fn of_p256(point: [u8; 65]) -> Self {
        let material = KeyMaterial::P256(Box::new(point));
        let thumbprint = thumbprint(&material);
        let kid = Some(URL_SAFE_NO_PAD.encode(thumbprint).into());
        Self { kid, algorithm: Algorithm::Es256, material, thumbprint }
    }

    /// As a member of a published set.
    pub fn to_jwk(&self) -> Value {
        let mut all = members(&self.material);
        all.insert("use".to_owned(), "sig".into());
        all.insert("alg".to_owned(), self.algorithm.as_str().into());
        if let Some(kid) = &self.kid {
            all.insert("kid".to_owned(), (&**kid).into());
        }
        Value::Object(all)
    }

    /// Reads one key; `None`: it is none that serves here, and a set may well hold such.
    fn read(key: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        if key.contains_key("use") && text("use") != Some("sig") {
            return None;
        }
        if let Some(ops) = key.get("key_ops") {
            ops.as_array()?.iter().find(|op| op.as_str() == Some("verify"))?;
        }
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let (fits, material): (&[Algorithm], _) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (n, e) = (unsigned(&bytes("n")?), unsigned(&bytes("e")?));
                let odd = e.last().is_some_and(|low| low & 1 == 1) && e.len() <= 8 && *e != [1];
                if !RSA_BYTES.contains(&n.len()) || !odd {
                    return None;
                }
                (&[Algorithm::Rs256, Algorithm::Ps256], KeyMaterial::Rsa { n, e })
            }
            ("EC", Some("P-256")) => {
                let mut point = Box::new([4; 65]);
                point[1..33].copy_from_slice(&<[u8; 32]>::try_from(bytes("x")?).ok()?);
                point[33..].copy_from_slice(&<[u8; 32]>::try_from(bytes("y")?).ok()?);
                (&[Algorithm::Es256], KeyMaterial::P256(point))
            }
            ("OKP", Some("Ed25519")) => {
                (&[Algorithm::EdDsa], KeyMaterial::Ed25519(bytes("x")?.try_into().ok()?))
            }
            _ => return None,
        };
        // Many issuers leave `alg` out; what RSA keys are for is RS256 then (RFC 7518 §3.1 recommends it).
        let algorithm = match key.get("alg") {
            None => fits[0],
            Some(alg) => Algorithm::parse(alg.as_str()?).filter(|a| fits.contains(a))?,
        };
        let thumbprint = thumbprint(&material);
        Some(Self { kid: text("kid").map(Into::into), algorithm, material, thumbprint })
    }
}

/// The keys of one issuer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeySet(Vec<Key>);

impl KeySet {
    /// These keys.
    pub fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    /// Reads a set. Keys of other kinds and uses are passed over.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn read(json: &[u8]) -> Result<Self, KeySetError> {
        if json.len() > KEY_SET_MAX {
            return Err(KeySetError::TooLarge(json.len()));
        }
        let set: Map<String, Value> = serde_json::from_slice(json).map_err(|_| KeySetError::NotASet)?;
        let Some(Value::Array(keys)) = set.get("keys") else { return Err(KeySetError::NotASet) };
        if keys.len() > KEYS_MAX {
            return Err(KeySetError::TooMany(keys.len()));
        }
        let objects = || keys.iter().map(|k| k.as_object());
        if let Some(place) = objects().position(|k| k.is_some_and(|k| k.contains_key("d"))) {
            return Err(KeySetError::Private(place + 1));
        }
        let serve: Vec<Key> = objects().flatten().filter_map(Key::read).collect();
        if serve.is_empty() { Err(KeySetError::NoneServes(keys.len())) } else { Ok(Self(serve)) }
    }

    /// All keys.
    pub fn keys(&self) -> &[Key] {
        &self.0
    }

    /// Whether this very key is in the set.
    pub fn has(&self, thumbprint: &[u8; 32]) -> bool {
        self.0.iter().any(|k| k.thumbprint == *thumbprint)
    }

    /// The key that must have signed a token: by `kid`; without one, the only key of that algorithm.
    ///
    /// # Errors
    /// [`Fault::KeyUnknown`]; [`Fault::Algorithm`] where the key is for another one.
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, Fault> {
        let Some(kid) = kid else {
            let mut fit = self.0.iter().filter(|k| k.algorithm == algorithm);
            return match (fit.next(), fit.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(Fault::KeyUnknown),
            };
        };
        let mut named = self.0.iter().filter(|k| k.kid.as_deref() == Some(kid)).peekable();
        if named.peek().is_none() {
            return Err(Fault::KeyUnknown);
        }
        named.find(|k| k.algorithm == algorithm).ok_or(Fault::Algorithm)
    }
}

/// Without leading zeros.
fn unsigned(bytes: &[u8]) -> Box<[u8]> {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    bytes[zeros..].into()
}

/// The members that make up a public key.
fn members(material: &KeyMaterial) -> Map<String, Value> {
    let text = |bytes: &[u8]| Value::from(URL_SAFE_NO_PAD.encode(bytes));
    let pairs: Vec<(&str, Value)> = match material {
        KeyMaterial::Rsa { n, e } => vec![("e", text(e)), ("kty", "RSA".into()), ("n", text(n))],
        KeyMaterial::P256(point) => vec![
            ("crv", "P-256".into()),
            ("kty", "EC".into()),
            ("x", text(&point[1..33])),
            ("y", text(&point[33..])),
        ],
        KeyMaterial::Ed25519(x) => vec![("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", text(x))],
    };
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// RFC 7638 §3: over the required members in the order of their names.
fn thumbprint(material: &KeyMaterial) -> [u8; 32] {
    let members = members(material);
    let mut names: Vec<&String> = members.keys().collect();
    names.sort();
    let pairs: Vec<String> = names.iter().map(|name| format!("{:?}:{}", name, members[*name])).collect();
    Sha256::digest(format!("{{{}}}", pairs.join(","))).into()
}
