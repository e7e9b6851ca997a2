//! Tokens as issuers write them, and as attackers do. Signatures are tested where they are checked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ids::{DeviceName, UnixMillis, UserId};

const NOW: u64 = 1_800_000_000;
const SKEW: u64 = 60;

fn compact(header: &Value, payload: &Value) -> String {
    let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
    format!("{}.{}.{}", part(header), part(payload), URL_SAFE_NO_PAD.encode([7; 64]))
}

fn header() -> Value {
    json!({"alg": "ES256", "typ": "at+jwt", "kid": "one"})
}

fn payload() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": ["keyline", "others"], "exp": NOW + 600, "nbf": NOW,
        "scope": "openid sip", "sub": "anna", "device": "SEP00AABBCCDD01",
    })
}

fn with(mut base: Value, name: &str, value: Value) -> Value {
    base[name] = value;
    base
}

fn without(mut base: Value, name: &str) -> Value {
    base.as_object_mut().unwrap().remove(name);
    base
}

fn read(payload: &Value) -> Result<Claims, Fault> {
    let text = compact(&header(), payload);
    Claims::read(&Token::read(&text)?, &ClaimNames::default())
}

fn judged(payload: &Value, at_s: u64) -> Result<(), Fault> {
    let (audience, scope) = (["keyline".to_owned()], ["sip".to_owned()]);
    let expected =
        Expected { issuer: "https://issuer.example", audience: &audience, scope: &scope, skew_s: SKEW };
    judge(&read(payload)?, &expected, UnixMillis(at_s * 1000))
}

#[test]
fn tokens_are_taken_apart_and_the_dangerous_ones_refused() {
    let text = compact(&header(), &payload());
    let token = Token::read(&text).unwrap();
    assert_eq!((token.algorithm, token.kid.as_deref()), (Algorithm::Es256, Some("one")));
    assert_eq!(token.signature, [7; 64]);
    assert!(text.starts_with(token.signed) && token.signed.matches('.').count() == 1);
    assert!(!format!("{token:?}").contains(token.signed), "nothing of it is shown");

    for algorithm in ["none", "None", "NONE", "", "HS256", "HS512", "es256", "RS1", "ES384"] {
        let text = compact(&with(header(), "alg", algorithm.into()), &payload());
        assert_eq!(Token::read(&text).unwrap_err(), Fault::Algorithm, "{algorithm}");
    }
    for bad in [
        with(header(), "alg", json!(["ES256"])),
        without(header(), "alg"),
        with(header(), "crit", json!(["b64"])),
        with(header(), "typ", "secevent+jwt".into()),
        with(header(), "typ", json!(1)),
        with(header(), "kid", json!(1)),
        with(header(), "kid", "k".repeat(257).into()),
        json!([]),
    ] {
        assert_eq!(Token::read(&compact(&bad, &payload())).unwrap_err(), Fault::Malformed, "{bad}");
    }
    for typ in ["JWT", "jwt", "AT+JWT", "application/at+jwt"] {
        assert!(Token::read(&compact(&with(header(), "typ", typ.into()), &payload())).is_ok(), "{typ}");
    }
    let stripped = text.rsplit_once('.').unwrap().0;
    for bad in ["", ".", "..", "a.b", "a.b.c", stripped, &format!("{stripped}."), &format!("{text}.a")] {
        assert_eq!(Token::read(bad).unwrap_err(), Fault::Malformed, "{bad:?}");
    }
    // One form only: no padding, no stray bits, no other alphabet.
    for tail in ["=", "\n", " "] {
        assert_eq!(Token::read(&format!("{text}{tail}")).unwrap_err(), Fault::Malformed, "{tail:?}");
    }
    let long = compact(&header(), &with(payload(), "pad", "x".repeat(TOKEN_MAX).into()));
    assert_eq!(Token::read(&long).unwrap_err(), Fault::TooLarge);
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let text =
        format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(header().to_string()), URL_SAFE_NO_PAD.encode(deep));
    assert_eq!(Token::read(&text).unwrap_err(), Fault::Malformed);
}

#[test]
fn a_token_holds_for_its_audience_scope_issuer_and_time_alone() {
    assert_eq!(judged(&payload(), NOW), Ok(()));
    for (name, value, fault) in [
        ("iss", json!("https://other.example"), Fault::Issuer),
        ("aud", json!("others"), Fault::Audience),
        ("aud", json!([]), Fault::Audience),
        ("scope", json!("openid"), Fault::Scope),
        ("scope", json!("sipx xsip"), Fault::Scope),
        ("exp", json!(NOW - SKEW), Fault::Expired),
        ("nbf", json!(NOW + SKEW + 1), Fault::NotYetValid),
        ("exp", json!("1800000600"), Fault::Malformed),
        ("exp", json!(-1), Fault::Malformed),
        ("exp", json!(1e300), Fault::Malformed),
        ("exp", json!(u64::MAX), Fault::Malformed),
        ("nbf", Value::Null, Fault::Malformed),
        ("aud", json!([1]), Fault::Malformed),
        ("aud", json!(vec!["a"; 65]), Fault::Malformed),
        ("sub", json!(["anna"]), Fault::Malformed),
        ("device", json!({}), Fault::Malformed),
        ("lines", json!(7), Fault::Malformed),
        ("iss", json!("x".repeat(1025)), Fault::Malformed),
    ] {
        assert_eq!(judged(&with(payload(), name, value.clone()), NOW), Err(fault), "{name} {value}");
    }
    for (name, fault) in [
        ("iss", Fault::Malformed),
        ("exp", Fault::Malformed),
        ("aud", Fault::Audience),
        ("scope", Fault::Scope),
    ] {
        assert_eq!(judged(&without(payload(), name), NOW), Err(fault), "{name}");
    }
    assert_eq!(judged(&with(payload(), "aud", json!("keyline")), NOW), Ok(()));
    assert_eq!(judged(&with(without(payload(), "scope"), "scp", json!(["sip"])), NOW), Ok(()));
    assert_eq!(judged(&with(payload(), "exp", json!(NOW as f64 + 0.5)), NOW), Ok(()));
    assert_eq!(judged(&without(payload(), "nbf"), 0), Ok(()));
}

#[test]
fn a_token_is_of_its_devices_else_of_its_user() {
    let (device, anna) = (DeviceName::parse("SEP00AABBCCDD01").unwrap(), UserId::parse("anna").unwrap());
    let holder = |user, aors| Holder { device: &device, user, aors };
    let own = holder(Some(&anna), &["1001"][..]);
    let got = |claims: Value, holder: &Holder<'_>| {
        let base = without(without(payload(), "device"), "sub");
        let claims = claims.as_object().unwrap().iter().fold(base, |p, (n, v)| with(p, n, v.clone()));
        names(&read(&claims).unwrap(), holder)
    };
    for (claims, expected) in [
        (json!({}), Err(Fault::NamesNobody)),
        (json!({"sub": "anna"}), Ok(())),
        (json!({"sub": "Anna"}), Err(Fault::OtherUser)),
        (json!({"sub": "bob"}), Err(Fault::OtherUser)),
        (json!({"sub": "sep00aabbccdd01"}), Ok(())),
        (json!({"device": "sep00aabbccdd01"}), Ok(())),
        (json!({"device": ["SEP00AABBCCDD09", "SEP00AABBCCDD01"], "sub": "bob"}), Ok(())),
        // The user's other phone: the device decides.
        (json!({"device": "SEP00AABBCCDD02", "sub": "anna"}), Err(Fault::OtherDevice)),
        (json!({"device": "SEP00AABBCCDD0"}), Err(Fault::OtherDevice)),
        (json!({"device": "SEP00AABBCCDD01", "lines": "1001"}), Ok(())),
        (json!({"device": "SEP00AABBCCDD01", "lines": ["1002", "1001"]}), Ok(())),
        (json!({"device": "SEP00AABBCCDD01", "lines": ["1002"]}), Err(Fault::OtherLine)),
        (json!({"device": "SEP00AABBCCDD01", "lines": []}), Err(Fault::OtherLine)),
    ] {
        assert_eq!(got(claims.clone(), &own), expected, "{claims}");
    }
    assert_eq!(got(json!({"sub": "anna"}), &holder(None, &["1001"])), Err(Fault::OtherUser));
    let both = holder(Some(&anna), &["1001", "1002"]);
    assert_eq!(got(json!({"sub": "anna", "lines": ["1001"]}), &both), Err(Fault::OtherLine));
    assert_eq!(
        got(json!({"sub": "anna", "lines": ["1001"]}), &holder(Some(&anna), &[])),
        Ok(()),
        "in a dialog"
    );
}

/// The key of RFC 7638 §3.1 with its thumbprint, and what else a set may hold.
#[test]
fn key_sets_give_keys_by_kid_and_each_key_has_its_algorithm() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let point = URL_SAFE_NO_PAD.encode([9; 32]);
    let rsa = json!({"kty": "RSA", "n": n, "e": "AQAB", "kid": "2011-04-29"});
    let set = json!({"keys": [
        rsa,
        {"kty": "RSA", "n": n, "e": "AQAB", "kid": "pss", "alg": "PS256", "use": "sig"},
        {"kty": "EC", "crv": "P-256", "x": point, "y": point, "kid": "ec"},
        {"kty": "OKP", "crv": "Ed25519", "x": point, "kid": "ed", "key_ops": ["verify"]},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
        {"kty": "RSA", "n": n, "e": "AQAB", "kid": "enc", "use": "enc"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "small"},
        {"kty": "RSA", "n": n, "e": "AQ", "kid": "one"},
        {"kty": "EC", "crv": "P-256", "x": point, "y": point, "kid": "wrong", "alg": "RS256"},
        {"kty": "EC", "crv": "secp256k1", "x": point, "y": point, "kid": "curve"},
        "nonsense",
    ]});
    let keys = KeySet::read(set.to_string().as_bytes()).unwrap();
    let kids: Vec<&str> = keys.keys().iter().filter_map(|k| k.kid.as_deref()).collect();
    assert_eq!(kids, ["2011-04-29", "pss", "ec", "ed"]);
    let of = |kid, algorithm| keys.find(kid, algorithm).map(|k| k.kid.as_deref().unwrap());
    assert_eq!(of(Some("2011-04-29"), Algorithm::Rs256), Ok("2011-04-29"));
    assert_eq!(
        of(Some("2011-04-29"), Algorithm::Ps256),
        Err(Fault::Algorithm),
        "the key fixes the algorithm"
    );
    assert_eq!(of(Some("ec"), Algorithm::Rs256), Err(Fault::Algorithm));
    assert_eq!(of(Some("shared"), Algorithm::Rs256), Err(Fault::KeyUnknown));
    assert_eq!(of(None, Algorithm::Es256), Ok("ec"), "the only one");
    assert_eq!(of(Some(""), Algorithm::Es256), Err(Fault::KeyUnknown));
    let twice = json!({"keys": [rsa, with(rsa.clone(), "kid", "again".into())]}).to_string();
    let twice = KeySet::read(twice.as_bytes()).unwrap();
    assert_eq!(twice.find(None, Algorithm::Rs256), Err(Fault::KeyUnknown), "which of the two is not guessed");

    let first = &keys.keys()[0];
    assert_eq!(URL_SAFE_NO_PAD.encode(first.thumbprint), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert!(keys.has(&first.thumbprint) && !KeySet::default().has(&first.thumbprint));
    // What is published is read back as the same keys.
    let published = json!({"keys": keys.keys().iter().map(Key::to_jwk).collect::<Vec<_>>()});
    assert_eq!(KeySet::read(published.to_string().as_bytes()).unwrap(), keys);
}

#[test]
fn key_sets_that_cannot_be_meant_are_refused() {
    let read = |text: &str| KeySet::read(text.as_bytes()).unwrap_err();
    for bad in ["", "{}", "[]", "{\"keys\": {}}", "<html>"] {
        assert_eq!(read(bad), KeySetError::NotASet, "{bad}");
    }
    assert_eq!(read("{\"keys\": []}"), KeySetError::NoneServes(0));
    assert_eq!(read("{\"keys\": [{}, {\"kty\": \"EC\", \"d\": \"AA\"}]}"), KeySetError::Private(2));
    assert_eq!(read(&json!({"keys": vec![json!({}); 65]}).to_string()), KeySetError::TooMany(65));
    assert_eq!(read(&" ".repeat(KEY_SET_MAX + 1)), KeySetError::TooLarge(KEY_SET_MAX + 1));
}

proptest! {
    /// Nothing that is sent panics, and what is taken has the bounds that it promises.
    #[test]
    fn any_text_is_refused_or_bounded(parts in prop::collection::vec("[A-Za-z0-9_=-]{0,40}", 0..5), any in ".{0,200}") {
        for text in [parts.join("."), any] {
            if let Ok(token) = Token::read(&text) {
                prop_assert!(token.signature.len() <= SIGNATURE_MAX);
                let _ = Claims::read(&token, &ClaimNames::default());
            }
        }
    }

    #[test]
    fn any_claim_may_have_any_shape(name in prop::sample::select(vec!["iss", "aud", "exp", "nbf", "scope", "sub", "device", "lines"]),
        value in prop_oneof![
            Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from), ".{0,20}".prop_map(Value::from),
            prop::collection::vec(".{0,5}", 0..70).prop_map(Value::from),
        ]) {
        if let Ok(claims) = read(&with(payload(), name, value)) {
            prop_assert!(claims.audience.len() <= 64 && claims.devices.len() <= 64 && claims.scope.len() <= 128);
        }
    }

    /// A token holds exactly from `nbf` less the skew until `exp` plus the skew.
    #[test]
    fn time_decides(exp in 1u64..4_000_000_000, nbf in 0u64..4_000_000_000, now in 0u64..4_000_000_000) {
        let payload = with(with(payload(), "exp", exp.into()), "nbf", nbf.into());
        let holds = now < exp + SKEW && now + SKEW >= nbf;
        prop_assert_eq!(judged(&payload, now).is_ok(), holds);
    }
}
