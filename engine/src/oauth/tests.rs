//! Tokens of every algorithm, what attackers make of them, and keys that come and go.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyline_actors::board::{Keys, TicketKey, TicketKeys};
use keyline_actors::route::TagKey;
use keyline_domain::nonce::{NonceKey, NonceKeys};
use keyline_domain::oauth::{ClaimNames, KeySetError};
use prometheus::Registry;
use serde_json::{Value, json};

use super::*;
use crate::config::KeySource;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const ISSUER: &str = "https://issuer.example";

fn settings() -> config::Oauth {
    config::Oauth {
        embedded: true,
        issuer: "https://keyline.example".to_owned(),
        authz_server: "https://keyline.example".to_owned(),
        audience: vec!["keyline".to_owned()],
        scope: vec!["sip".to_owned()],
        skew_s: 60,
        token_s: 3600,
        key_s: 86_400,
        key_set: Some(KeySource::File("nowhere".into())),
        key_set_issuer: ISSUER.to_owned(),
        key_set_ca: None,
        refresh_s: 60,
        claims: ClaimNames::default(),
    }
}

/// A board whose token keys are made of these secrets.
fn board(number: u8, previous: Option<u8>) -> KeyBoard {
    let secret = |byte: u8| Zeroizing::new([byte; 32]);
    KeyBoard::new(Keys {
        nonce: NonceKeys::new(NonceKey::new(0, &[1; 32]), None),
        oauth: OauthSecrets::new((number, 7), secret(number), previous.map(secret)),
        tickets: TicketKeys::new([Arc::new(TicketKey { id: 1, since: UnixMillis(0), secret: secret(3) })]),
        tags: TagKey::new(&[2; 32]),
        start: 1,
    })
}

fn oauth(keys: &KeyBoard) -> Oauth {
    Oauth::new(&settings(), keys, 64, OauthMetrics::new(&Registry::new()).unwrap())
}

fn text(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "keyline", "scope": "sip", "sub": "anna", "exp": NOW.0 / 1000 + 600})
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A signer and its public key.
struct Signer {
    algorithm: &'static str,
    jwk: Value,
    sign: Sign,
}

impl Signer {
    fn rsa(algorithm: &'static str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        // RSAPublicKey in DER: the header of 2048 bits is always the same, and so is the exponent 65537.
        let n = URL_SAFE_NO_PAD.encode(&pair.public_key().as_ref()[9..265]);
        let jwk = json!({"kty": "RSA", "kid": algorithm, "alg": algorithm, "n": n, "e": "AQAB"});
        let padding = if algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
        let sign = Box::new(move |message: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        });
        Self { algorithm, jwk, sign }
    }

    fn ed25519() -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[5; 32]).unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "x": x});
        Self { algorithm: "EdDSA", jwk, sign: Box::new(move |m| pair.sign(m).as_ref().to_vec()) }
    }

    fn p256(kid: &str) -> Self {
        let key = SigningKey::of(&[6; 32]).unwrap();
        let mut jwk = key.public.to_jwk();
        jwk["kid"] = kid.into();
        let sign = move |message: &[u8]| {
            // The signer's own form is a whole token; its last part is a signature over the first two.
            sign::tests_sign(&key, message)
        };
        Self { algorithm: "ES256", jwk, sign: Box::new(sign) }
    }

    fn token_of(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", text(header), text(claims));
        let signature = (self.sign)(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn token(&self, claims: &Value) -> String {
        self.token_of(&json!({"alg": self.algorithm, "kid": self.jwk["kid"]}), claims)
    }
}

fn set_of(signers: &[&Signer]) -> KeySet {
    let keys: Vec<&Value> = signers.iter().map(|s| &s.jwk).collect();
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

#[test]
fn every_algorithm_verifies_and_nothing_tampered_does() {
    let keys = board(1, None);
    let signers = [Signer::rsa("RS256"), Signer::rsa("PS256"), Signer::p256("ES256"), Signer::ed25519()];
    for signer in &signers {
        let oauth = oauth(&keys);
        oauth.answered(Some(set_of(&signers.each_ref())));
        let check =
            |token: &str| oauth.check(&keys, token, NOW).map(|v| v.claims.user.clone().unwrap().to_string());
        let name = signer.algorithm;
        let token = signer.token(&claims());
        assert_eq!(check(&token).as_deref(), Ok("anna"), "{name}");
        // Another claim under the same signature; another signature over the same claims.
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let mut other = claims();
        other["sub"] = "bob".into();
        assert_eq!(check(&format!("{header}.{}.{signature}", text(&other))), Err(Fault::Signature), "{name}");
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            bytes[at] ^= 1;
            let tampered = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&bytes));
            assert_eq!(check(&tampered), Err(Fault::Signature), "{name} byte {at}");
            bytes[at] ^= 1;
        }
        bytes.pop();
        let cut = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&bytes));
        assert_eq!(check(&cut), Err(Fault::Signature), "{name}");
        // Another key's signature under this kid, and this key under the name of other algorithms.
        for wrong in &signers {
            let claimed = signer.token_of(&json!({"alg": wrong.algorithm, "kid": name}), &claims());
            match wrong.algorithm == name {
                true => assert!(check(&claimed).is_ok()),
                false => assert_eq!(check(&claimed), Err(Fault::Algorithm), "{name} as {}", wrong.algorithm),
            }
            let forged = wrong.token_of(&json!({"alg": name, "kid": name}), &claims());
            if wrong.algorithm != name {
                assert_eq!(check(&forged), Err(Fault::Signature), "{} as {name}", wrong.algorithm);
            }
        }
        // HMAC under the public key, and no signature at all.
        for algorithm in ["HS256", "none"] {
            let forged = signer.token_of(&json!({"alg": algorithm, "kid": name}), &claims());
            assert_eq!(check(&forged), Err(Fault::Algorithm), "{algorithm}");
        }
        // A key that the token brings along.
        let header = json!({"alg": name, "kid": "mine", "jwk": signer.jwk});
        assert!(check(&signer.token_of(&header, &claims())).is_err());
    }
}

#[test]
fn a_remembered_token_is_judged_again_each_time() {
    let keys = board(1, None);
    let oauth = oauth(&keys);
    let (old, new) = (Signer::p256("old"), Signer::ed25519());
    oauth.answered(Some(set_of(&[&old])));
    let token = old.token(&claims());
    let at = |seconds: u64| UnixMillis(NOW.0 + seconds * 1000);
    let verified = oauth.check(&keys, &token, NOW).unwrap();
    assert!(Arc::ptr_eq(&verified, &oauth.check(&keys, &token, at(1)).unwrap()), "remembered");
    assert!(oauth.check(&keys, &token, at(659)).is_ok());
    assert_eq!(oauth.check(&keys, &token, at(660)).unwrap_err(), Fault::Expired);
    // The issuer rotates: first both keys, then the new one alone. Then what rests on the old token ends.
    oauth.answered(Some(set_of(&[&old, &new])));
    assert!(oauth.check(&keys, &token, NOW).is_ok());
    assert!(oauth.check(&keys, &new.token(&claims()), NOW).is_ok());
    oauth.answered(Some(set_of(&[&new])));
    assert_eq!(oauth.again(&keys, &verified, NOW), Err(Fault::KeyUnknown));
    assert_eq!(oauth.check(&keys, &token, NOW).unwrap_err(), Fault::KeyUnknown);
    // A set that cannot be read changes nothing.
    assert_eq!(KeySet::read(b"{}"), Err(KeySetError::NotASet));
    oauth.answered(None);
    assert!(oauth.check(&keys, &new.token(&claims()), NOW).is_ok());
}

#[test]
fn an_unknown_key_has_the_issuer_asked_once_and_not_at_every_request() {
    let keys = board(1, None);
    let oauth = oauth(&keys);
    oauth.answered(Some(set_of(&[&Signer::p256("known")])));
    let strange = Signer::ed25519().token(&claims());
    let check = |ms: u64| oauth.check(&keys, &strange, UnixMillis(NOW.0 + ms)).unwrap_err();
    assert_eq!(check(0), Fault::KeyPending);
    assert_eq!(check(1), Fault::KeyPending, "still under way");
    oauth.answered(None);
    assert_eq!(check(2), Fault::KeyUnknown);
    assert_eq!(check(9_999), Fault::KeyUnknown);
    assert_eq!(check(10_000), Fault::KeyPending, "asked again after a while");
    oauth.answered(Some(set_of(&[&Signer::ed25519()])));
    assert!(oauth.check(&keys, &strange, NOW).is_ok());
}

#[test]
fn own_tokens_outlive_one_rotation_and_keys_of_issuers_do_not_mix() {
    let keys = board(1, None);
    let own = oauth(&keys);
    let issue = |oauth: &Oauth, keys: &KeyBoard, holder| {
        oauth.issue(keys, holder, &["1001".to_owned()], 600, NOW, [3; 16]).unwrap()
    };
    let issued = issue(&own, &keys, For::Phone("SEP00AABBCCDD01"));
    assert_eq!(issued.expires, NOW.0 / 1000 + 600);
    let verified = own.check(&keys, &issued.token, NOW).unwrap();
    assert_eq!(verified.claims.devices, ["SEP00AABBCCDD01".into()]);
    assert_eq!(verified.claims.lines.as_deref(), Some(&["1001".into()][..]));
    let of_user = issue(&own, &keys, For::User("anna"));
    let claims_of_user = own.check(&keys, &of_user.token, NOW).unwrap();
    assert_eq!(claims_of_user.claims.user.as_deref(), Some("anna"));
    assert!(claims_of_user.claims.devices.is_empty());

    let published = own.published(&keys);
    assert_eq!(published["keys"].as_array().unwrap().len(), 1);
    assert_eq!(KeySet::read(published.to_string().as_bytes()).unwrap().keys()[0].thumbprint, verified.key);
    // One rotation: the old token holds, new ones are of the new key. Two: it does not.
    let once = board(2, Some(1));
    assert!(own.check(&once, &issued.token, NOW).is_ok());
    let newer = issue(&own, &once, For::User("anna"));
    assert_ne!(own.check(&once, &newer.token, NOW).unwrap().key, verified.key);
    let twice = board(3, Some(2));
    assert_eq!(own.check(&twice, &issued.token, NOW).unwrap_err(), Fault::KeyUnknown);
    assert!(own.check(&twice, &newer.token, NOW).is_ok());
    // The same secrets after a restart are the same key.
    assert!(oauth(&twice).check(&twice, &newer.token, NOW).is_ok());

    // The issuer outside knows its own key only, and cannot speak for the node.
    let outside = Signer::p256("k");
    own.answered(Some(set_of(&[&outside])));
    let mut as_node = claims();
    as_node["iss"] = settings().issuer.into();
    assert_eq!(own.check(&twice, &outside.token(&as_node), NOW).unwrap_err(), Fault::KeyUnknown);
    let mut stranger = claims();
    stranger["iss"] = "https://stranger.example".into();
    assert_eq!(own.check(&twice, &outside.token(&stranger), NOW).unwrap_err(), Fault::Issuer);
    assert_eq!(own.check(&twice, &"x".repeat(TOKEN_MAX + 1), NOW).unwrap_err(), Fault::TooLarge);
}

#[test]
fn tokens_and_keys_are_never_shown() {
    let keys = board(1, None);
    let own = oauth(&keys);
    let issued = own.issue(&keys, For::User("anna"), &[], 60, NOW, [0; 16]).unwrap();
    let signature = issued.token.rsplit_once('.').unwrap().1.to_owned();
    let verified = own.check(&keys, &issued.token, NOW).unwrap();
    let shown = format!("{own:?} {verified:?} {:?} {:?}", keys.load().oauth, SigningKey::of(&[1; 32]));
    assert!(!shown.contains(&signature) && !shown.contains("[1, 1, 1"), "{shown}");
}
