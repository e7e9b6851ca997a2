//! Signatures: those of issuers checked, those of our own issuer made.

use aws_lc_rs::agreement;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyline_domain::oauth::{Algorithm, Key, KeyMaterial};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Whether a signature over these bytes is the key's, by the one algorithm that the key is for.
pub fn is_signed_by(key: &Key, signed: &[u8], signature: &[u8]) -> bool {
    let checked = match (&key.material, key.algorithm) {
        (KeyMaterial::Rsa { n, e }, Algorithm::Rs256) => {
            PublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
        }
        (KeyMaterial::Rsa { n, e }, Algorithm::Ps256) => {
            PublicKeyComponents { n, e }.verify(&RSA_PSS_2048_8192_SHA256, signed, signature)
        }
        (KeyMaterial::P256(point), Algorithm::Es256) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point[..]).verify(signed, signature)
        }
        (KeyMaterial::Ed25519(point), Algorithm::EdDsa) => {
            UnparsedPublicKey::new(&ED25519, point).verify(signed, signature)
        }
        _ => return false,
    };
    checked.is_ok()
}

/// A key of our own issuer.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    /// Its public half.
    pub public: Key,
}

impl SigningKey {
    /// The key that a secret of the keyring stands for. The secret is hashed until it is a number below the order
    /// of the curve, which the first time fails once in 2^32.
    ///
    /// `None` only if the library fails.
    pub fn of(secret: &[u8; 32]) -> Option<Self> {
        let mut scalar = Zeroizing::new([0; 32]);
        for attempt in 0..8u8 {
            scalar.copy_from_slice(&Sha256::new_with_prefix(secret).chain_update([attempt]).finalize());
            let Ok(private) = agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, &*scalar) else {
                continue;
            };
            let point: [u8; 65] = private.compute_public_key().ok()?.as_ref().try_into().ok()?;
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &*scalar, &point).ok()?;
            return Some(Self { pair, public: Key::of_p256(point) });
        }
        None
    }

    /// A token with these claims, which are a JSON object. `None` only if the library fails.
    pub fn token(&self, claims: &serde_json::Value) -> Option<Zeroizing<String>> {
        let header = serde_json::json!({ "alg": "ES256", "typ": "at+jwt", "kid": self.public.kid });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut token = Zeroizing::new(format!("{}.{}", part(&header), part(claims)));
        let signature = self.pair.sign(&SystemRandom::new(), token.as_bytes()).ok()?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature.as_ref()));
        Some(token)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A bare signature, for tests that build tokens which no issuer would.
#[cfg(test)]
pub(super) fn tests_sign(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    key.pair.sign(&SystemRandom::new(), message).map(|s| s.as_ref().to_vec()).unwrap_or_default()
}
