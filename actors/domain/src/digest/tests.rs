use proptest::prelude::*;

use super::client::{Answer, Challenge};
use super::*;

const VECTORS: &str = include_str!("../../tests/fixtures/digest/digest_vectors.json");

/// Vectors of `auth-int`, which is neither offered nor taken: each must be known here, or the test fails.
const NOT_BUILT: [&str; 2] = ["sip-invite-sha-256-auth-int", "sip-register-sha-256-auth-int-emptybody"];

#[test]
fn r154_digest_vectors() {
    let file: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
    let mut checked = 0;
    for vector in file["vectors"].as_array().unwrap() {
        let text = |key: &str| vector[key].as_str().unwrap_or_else(|| panic!("{key} in {vector}"));
        let id = text("id");
        let algorithm = Algorithm::parse(text("algorithm"));
        let protection = match text("qop") {
            "" => Some(Protection::None),
            "auth" => Some(Protection::Auth { nc: text("nc"), cnonce: text("cnonce") }),
            _ => None,
        };
        let (Some(algorithm), Some(protection)) = (algorithm, protection) else {
            assert!(NOT_BUILT.contains(&id), "{id} is neither checked nor listed");
            continue;
        };
        let ha1 = Ha1::derive(algorithm, text("username"), text("realm"), text("password"));
        if !algorithm.is_session() {
            let hex: String = ha1.expose().iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, text("ha1"), "{id}");
        }
        let parts = Parts { method: text("method"), uri: text("uri"), nonce: text("nonce"), protection };
        assert_eq!(respond(&ha1, &parts).as_str(), text("response"), "{id}");
        assert!(verify(algorithm, Some(&ha1), &parts, text("response")), "{id}");
        // What RFC 7616 §3.9.2 prints belongs to no algorithm at all.
        if vector["printed_matches"] == false {
            assert!(!verify(algorithm, Some(&ha1), &parts, text("printed_response")), "{id}");
            assert!(!verify(algorithm, Some(&ha1), &parts, text("truncated_sha512_response")), "{id}");
        }
        checked += 1;
    }
    assert_eq!(checked, 11);
}

#[test]
fn a_session_key_takes_in_both_nonces() {
    for (session, plain) in [
        (Algorithm::Sha512_256Sess, Algorithm::Sha512_256),
        (Algorithm::Sha256Sess, Algorithm::Sha256),
        (Algorithm::Md5Sess, Algorithm::Md5),
    ] {
        let ha1 = Ha1::derive(session, "1001", "realm", "secret");
        let same = Ha1::derive(plain, "1001", "realm", "secret");
        assert_eq!(ha1.expose(), same.expose(), "one derived hash serves both forms");
        assert!(session.is_session() && !plain.is_session());
        let good = respond(&ha1, &parts());
        assert!(verify(session, Some(&ha1), &parts(), good.as_str()));
        assert_ne!(good.as_str(), respond(&same, &parts()).as_str());
        assert!(!verify(plain, Some(&same), &parts(), good.as_str()));
    }
}

fn parts() -> Parts<'static> {
    let protection = Protection::Auth { nc: "00000001", cnonce: "c0ffee01" };
    Parts { method: "REGISTER", uri: "sip:keyline.test", nonce: "bm9uY2U", protection }
}

#[test]
fn every_part_counts() {
    for algorithm in Algorithm::ALL {
        let ha1 = Ha1::derive(algorithm, "1001", "realm", "secret");
        let good = respond(&ha1, &parts());
        let others = [
            Parts { method: "register", ..parts() },
            Parts { uri: "sip:keyline.tes", ..parts() },
            Parts { nonce: "bm9uY2V", ..parts() },
            Parts { protection: Protection::Auth { nc: "00000002", cnonce: "c0ffee01" }, ..parts() },
            Parts { protection: Protection::Auth { nc: "00000001", cnonce: "c0ffee02" }, ..parts() },
            Parts { protection: Protection::None, ..parts() },
        ];
        for other in others {
            assert!(!verify(algorithm, Some(&ha1), &other, good.as_str()), "{other:?}");
        }
        for (user, realm, password) in
            [("1002", "realm", "secret"), ("1001", "other", "secret"), ("1001", "realm", "wrong")]
        {
            let other = Ha1::derive(algorithm, user, realm, password);
            assert!(!verify(algorithm, Some(&other), &parts(), good.as_str()));
        }
        assert!(verify(algorithm, Some(&ha1), &parts(), &good.as_str().to_uppercase()));
        assert!(!verify(algorithm, Some(&ha1), &parts(), &good.as_str()[1..]));
        assert!(!verify(algorithm, Some(&ha1), &parts(), &format!("{good}0")));
        assert!(!verify(algorithm, Some(&ha1), &parts(), &good.as_str().replacen(|_| true, "g", 1)));
    }
}

#[test]
fn nobody_answers_right_for_an_unknown_user() {
    // Not even by computing the response of the decoy.
    let decoy = Ha1::from_bytes(Algorithm::Md5, &[0; 16]).unwrap();
    let response = respond(&decoy, &parts());
    assert!(verify(Algorithm::Md5, Some(&decoy), &parts(), response.as_str()));
    assert!(!verify(Algorithm::Md5, None, &parts(), response.as_str()));
    assert!(!verify(Algorithm::Sha256, Some(&decoy), &parts(), response.as_str()));
}

#[test]
fn algorithms_of_the_parameter() {
    let set = AlgorithmSet::from_names(["SHA-512-256", "md5", "sha-256", "x"]);
    let strongest_first = [Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5];
    assert_eq!(set.iter().collect::<Vec<_>>(), strongest_first);
    assert!(AlgorithmSet::all().iter().eq(Algorithm::ALL));
    assert!(AlgorithmSet::from_names(["SHA-1", ""]).is_empty());
    assert_eq!(Algorithm::parse("md5-SESS"), Some(Algorithm::Md5Sess));
    assert!(Algorithm::ALL.iter().all(|a| Algorithm::parse(a.token()) == Some(*a)));
    assert!(!AlgorithmSet::from_names(["MD5"]).contains(Algorithm::Sha256));
}

#[test]
fn nonce_counts_are_eight_digits() {
    assert_eq!(parse_nc("00000001"), Some(1));
    assert_eq!(parse_nc("0000000A"), Some(10));
    assert_eq!(parse_nc("ffffffff"), Some(u32::MAX));
    for bad in ["", "1", "00000000", "0000001", "000000001", "+0000001", "0000000g", "0000000é"] {
        assert_eq!(parse_nc(bad), None, "{bad}");
    }
}

#[test]
fn a_client_answers() {
    let challenge = Challenge {
        realm: "keyline.test",
        nonce: "bm9uY2UtMDAwMQ==",
        algorithm: Algorithm::Md5,
        qop_auth: true,
        opaque: Some("a\"b"),
    };
    let ha1 = Ha1::derive(Algorithm::Md5, "1001", "keyline.test", "Blue-7-Canoe");
    let answer = Answer {
        challenge,
        user: "1001",
        ha1: &ha1,
        method: "REGISTER",
        uri: "sip:keyline.test",
        nc: 1,
        cnonce: "c0ffee01",
    };
    assert_eq!(
        answer.to_string(),
        "Digest username=\"1001\", realm=\"keyline.test\", nonce=\"bm9uY2UtMDAwMQ==\", \
         uri=\"sip:keyline.test\", response=\"2d703ba62eba6591bf3dc8f3fb5f5e5c\", algorithm=MD5, \
         cnonce=\"c0ffee01\", qop=auth, nc=00000001, opaque=\"a\\\"b\""
    );
    let without = Answer {
        challenge: Challenge { qop_auth: false, opaque: None, ..challenge },
        nc: 0xdead_beef,
        ..answer
    };
    let text = without.to_string();
    assert!(text.ends_with("response=\"1058516dad7670014ef45414aeb7625e\", algorithm=MD5"), "{text}");
    let late = Answer { nc: 0xdead_beef, ..answer };
    assert!(late.to_string().contains("nc=deadbeef"));
}

proptest! {
    #[test]
    fn what_a_client_says_the_server_takes(
        user in "\\PC{0,20}", password in "\\PC{0,20}", method in "[A-Z]{1,10}", uri in "\\PC{0,30}",
        nonce in "[A-Za-z0-9]{1,40}", cnonce in "\\PC{0,20}", nc in "[0-9a-fA-F]{8}", which in 0usize..6,
    ) {
        let algorithm = Algorithm::ALL[which];
        let ha1 = Ha1::derive(algorithm, &user, "ccmsipline", &password);
        let protection = Protection::Auth { nc: &nc, cnonce: &cnonce };
        let parts = Parts { method: &method, uri: &uri, nonce: &nonce, protection };
        let response = respond(&ha1, &parts);
        prop_assert_eq!(response.as_str().len(), 2 * algorithm.hash_len());
        prop_assert!(verify(algorithm, Some(&ha1), &parts, response.as_str()));
    }

    #[test]
    fn any_text_as_response_is_refused(given in "\\PC{0,80}") {
        let ha1 = Ha1::derive(Algorithm::Sha256, "u", "r", "p");
        prop_assert!(!verify(Algorithm::Sha256, Some(&ha1), &parts(), &given));
    }
}
