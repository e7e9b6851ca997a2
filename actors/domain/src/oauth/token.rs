//! The compact form (RFC 7515 §7.1), taken apart.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::Fault;

/// Longest token, in bytes. Those of the usual issuers have one to three thousand.
pub const TOKEN_MAX: usize = 8 << 10;

/// Longest signature, in bytes: RSA with 8192 bits.
pub const SIGNATURE_MAX: usize = 1024;

/// Longest `kid`, in bytes.
const KID_MAX: usize = 256;

/// Media types that an access token may have (RFC 9068 §2.1; `JWT` is what older issuers write).
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1): asymmetric ones only, so that nobody can sign with what
/// is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa];

    /// Name in `alg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// By its name, which is case-sensitive (RFC 7515 §4.1.1).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == name)
    }
}

/// A token taken apart; nothing of it is believed yet.
pub struct Token<'a> {
    /// What it says it is signed with.
    pub algorithm: Algorithm,
    /// Which key it says it is signed with.
    pub kid: Option<String>,
    /// What the signature is over.
    pub signed: &'a str,
    /// The signature.
    pub signature: Vec<u8>,
    pub(super) payload: Map<String, Value>,
}

/// Without signature and contents: whoever has them all has the token.
impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`Fault::TooLarge`], [`Fault::Malformed`], or [`Fault::Algorithm`] for `none`, symmetric and unknown ones.
    pub fn read(text: &'a str) -> Result<Self, Fault> {
        if text.len() > TOKEN_MAX {
            return Err(Fault::TooLarge);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Fault::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Fault::Malformed)?;
        let header = object(header)?;
        // What must be understood and is not here (RFC 7515 §4.1.11): nothing is understood.
        if header.contains_key("crit") {
            return Err(Fault::Malformed);
        }
        let typ = match header.get("typ") {
            None => TYPES[0],
            Some(Value::String(typ)) => typ,
            Some(_) => return Err(Fault::Malformed),
        };
        if !TYPES.iter().any(|t| t.eq_ignore_ascii_case(typ)) {
            return Err(Fault::Malformed);
        }
        let Some(Value::String(algorithm)) = header.get("alg") else { return Err(Fault::Malformed) };
        let algorithm = Algorithm::parse(algorithm).ok_or(Fault::Algorithm)?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID_MAX => Some(kid.clone()),
            Some(_) => return Err(Fault::Malformed),
        };
        let payload = object(payload)?;
        let signature = decode(signature)?;
        if signature.is_empty() || signature.len() > SIGNATURE_MAX {
            return Err(Fault::Malformed);
        }
        Ok(Self { algorithm, kid, signed, signature, payload })
    }
}

/// base64url without padding and without stray bits: each token has one form only.
fn decode(text: &str) -> Result<Vec<u8>, Fault> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Fault::Malformed)
}

fn object(text: &str) -> Result<Map<String, Value>, Fault> {
    serde_json::from_slice(&decode(text)?).map_err(|_| Fault::Malformed)
}
