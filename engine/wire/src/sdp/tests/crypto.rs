use super::super::crypto::{CryptoRefusal, Lifetime, parse};
use super::*;

/// Key of the examples in RFC 4568 §4.
const RFC4568: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

fn key(bytes: usize) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(vec![0xA5; bytes])
}

#[test]
fn rfc4568_rfc6188_rfc7714_key_lengths() {
    let want = [30, 30, 46, 46, 28, 44];
    let characters = [40, 40, 64, 64, 40, 60];
    for ((suite, bytes), chars) in CryptoSuite::ALL.into_iter().zip(want).zip(characters) {
        assert_eq!(suite.key_bytes(), bytes);
        for length in 0..64 {
            let line = parse(&format!("1 {} inline:{}", suite.name(), key(length)));
            if length == bytes {
                assert_eq!(key(length).len(), chars);
                assert_eq!(line.unwrap().key.expose(), vec![0xA5; bytes]);
            } else {
                assert_eq!(line, Err(CryptoRefusal::Key { expected: bytes }), "{suite:?} {length}");
            }
        }
    }
}

#[test]
fn padding_and_alphabet_are_strict() {
    let long = key(46);
    let suite = "AES_256_CM_HMAC_SHA1_80";
    let refused = Err(CryptoRefusal::Key { expected: 46 });
    assert!(parse(&format!("1 {suite} inline:{long}")).is_ok());
    for bad in
        [long.trim_end_matches('=').to_owned(), long.replace('p', "-"), format!("{long}="), String::new()]
    {
        assert_eq!(parse(&format!("1 {suite} inline:{bad}")), refused, "{bad}");
    }
}

#[test]
fn the_parts_of_a_line() {
    let suite = "AES_CM_128_HMAC_SHA1_80";
    let with = |rest: &str| parse(&format!("2 {suite} inline:{RFC4568}{rest}"));
    let plain = with("").unwrap();
    assert_eq!((plain.tag, plain.lifetime, plain.protects()), (2, None, true));
    assert_eq!(with("|2^20").unwrap().lifetime, Some(Lifetime::PowerOfTwo(20)));
    assert_eq!(with("|1048576").unwrap().lifetime, Some(Lifetime::Packets(1 << 20)));
    assert_eq!(with("|2^48").unwrap().lifetime, Some(Lifetime::PowerOfTwo(48)));
    for bad in ["|2^49", "|0", "|", "|2^", "|281474976710657", "|99999999999999999999", "|+5"] {
        assert_eq!(with(bad), Err(CryptoRefusal::Lifetime), "{bad}");
    }
    // The lines of the RFC's own examples use MKIs.
    assert_eq!(with("|2^20|1:4 FEC_ORDER=FEC_SRTP"), Err(CryptoRefusal::Mki));
    assert_eq!(with("|1:4"), Err(CryptoRefusal::Mki));
    assert_eq!(with(&format!("|2^20|1:4;inline:{RFC4568}|2^20|2:4")), Err(CryptoRefusal::Mki));
    assert_eq!(with("|2^20|1:4|x"), Err(CryptoRefusal::Syntax));
    for bad in
        [" KDR=1", " FEC_ORDER=SRTP_FEC", " FEC_KEY=inline:x", " WSH=64", " X", " UNENCRYPTED_SRTP KDR=0"]
    {
        assert_eq!(with(bad), Err(CryptoRefusal::SessionParameter), "{bad}");
    }
    assert!(with(" -vendor-hint=1").unwrap().protects());
    for weak in ["UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP", "UNAUTHENTICATED_SRTP", "unencrypted_srtp"] {
        assert!(!with(&format!(" {weak}")).unwrap().protects(), "{weak}");
    }
}

#[test]
fn other_lines_are_left_out_by_reason() {
    for bad in ["", "1", "1 AES_CM_128_HMAC_SHA1_80", "x AES_CM_128_HMAC_SHA1_80 inline:x"] {
        assert_eq!(parse(bad), Err(CryptoRefusal::Syntax), "{bad}");
    }
    assert_eq!(parse("1234567890 AEAD_AES_128_GCM inline:x"), Err(CryptoRefusal::Syntax));
    assert_eq!(parse(&format!("1 AES_CM_128_HMAC_SHA1_80 uri:{RFC4568}")), Err(CryptoRefusal::Syntax));
    assert_eq!(parse(&format!("1 AEAD_AES_256_GCM_8 inline:{}", key(44))), Err(CryptoRefusal::UnknownSuite));
    let offer = sdp(&body(
        1,
        &[
            "m=audio 9 RTP/SAVP 0\r\n",
            "a=crypto:1 AEAD_AES_256_GCM_8 inline:abc\r\n",
            &crypto_line(2, CryptoSuite::AeadAes256Gcm, 1),
            &crypto_line(2, CryptoSuite::AeadAes128Gcm, 1),
        ],
    ));
    let audio = &offer.media[0];
    assert_eq!(audio.crypto.len(), 1);
    assert_eq!(audio.crypto_refused, [CryptoRefusal::UnknownSuite, CryptoRefusal::DuplicateTag]);
}

#[test]
fn debug_never_shows_a_key() {
    let line = crypto_line(1, CryptoSuite::AesCm128HmacSha1_80, 7);
    let secret = line.trim().rsplit(':').next().unwrap().to_owned();
    let text = body(1, &["m=audio 9 RTP/SAVP 0\r\n", &line, &format!("a=key-mgmt:mikey {secret}\r\n")])
        + &format!("a=acap:1 crypto:1 X inline:{secret}\r\na=ice-pwd:{secret}\r\n");
    let shown = format!("{:?}", sdp(&text));
    assert!(shown.contains("KeyMaterial(30 bytes)") && shown.contains("ice-pwd"));
    assert!(!shown.contains(&secret) && !shown.contains("7, 7, 7"), "{shown}");
}
