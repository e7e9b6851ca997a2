//! From directives to outcome, with real nonces and real hashes.

use super::*;
use crate::credential::{DerivedCredentials, Password};
use crate::digest::{AlgorithmSet, Ha1, Hex, Parts, Protection, respond};
use crate::nonce::{NonceKey, NonceKeys, NonceText, Windows, mint};

const REALM: &str = "ccmsipline";
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const URI: &str = "sip:keyline.test";

struct Node {
    keys: NonceKeys,
    windows: Windows,
    anna: DerivedCredentials,
    user: UserId,
}

impl Node {
    fn new() -> Self {
        Self {
            keys: NonceKeys::new(NonceKey::new(0, &[1; 32]), None),
            windows: Windows::with_slots(64),
            anna: DerivedCredentials::derive("anna", REALM, &Password::from_secret("secret".to_owned())),
            user: UserId::parse("anna").unwrap(),
        }
    }

    fn context(&self) -> DigestContext<'_> {
        DigestContext {
            keys: &self.keys,
            windows: &self.windows,
            now: NOW,
            start: 5,
            nonce_validity_s: 600,
            from_bound_source: true,
            allow_without_qop: true,
            expected_user: Some(&self.user),
        }
    }

    fn nonce(&self, id: u64, start: u32, set: AlgorithmSet) -> NonceText {
        mint(id, start, set, NOW, &self.keys)
    }

    fn check(&self, answer: &DigestAnswer<'_>, context: &DigestContext<'_>) -> DigestOutcome {
        check_digest(Some(answer), "REGISTER", Some(&self.anna), context)
    }
}

fn response(algorithm: Algorithm, password: &str, nonce: &str, protection: Protection<'_>) -> Hex {
    let ha1 = Ha1::derive(algorithm, "anna", REALM, password);
    respond(&ha1, &Parts { method: "REGISTER", uri: URI, nonce, protection })
}

const FIRST: Protection<'static> = Protection::Auth { nc: "00000001", cnonce: "c" };

fn answer<'a>(nonce: &'a str, response: &'a str) -> DigestAnswer<'a> {
    DigestAnswer {
        username: "anna",
        nonce,
        uri: URI,
        response,
        algorithm: Some("MD5"),
        qop: Some("auth"),
        nc: Some("00000001"),
        cnonce: Some("c"),
        uri_is_ours: true,
    }
}

#[test]
fn r194_the_right_answer_counts_once() {
    let node = Node::new();
    let nonce = node.nonce(70, 5, AlgorithmSet::all());
    for (algorithm, nc) in [(Algorithm::Md5, "00000001"), (Algorithm::Sha256, "0000000A")] {
        let good = response(algorithm, "secret", nonce.as_str(), Protection::Auth { nc, cnonce: "c" });
        let answer = DigestAnswer {
            algorithm: Some(algorithm.token()),
            nc: Some(nc),
            ..answer(nonce.as_str(), good.as_str())
        };
        let want =
            RightDigest { nonce_id: 70, nc: u32::from_str_radix(nc, 16).unwrap(), algorithm, ..right() };
        assert_eq!(node.check(&answer, &node.context()), DigestOutcome::Right(want));
        let again = RightDigest { replayed: true, ..want };
        assert_eq!(node.check(&answer, &node.context()), DigestOutcome::Right(again));
    }
    assert_eq!(check_digest(None, "REGISTER", Some(&node.anna), &node.context()), DigestOutcome::Absent);
}

#[test]
fn strangers_touch_no_window() {
    let node = Node::new();
    let nonce = node.nonce(70, 5, AlgorithmSet::all());
    let bad = response(Algorithm::Md5, "guess", nonce.as_str(), FIRST);
    let good = response(Algorithm::Md5, "secret", nonce.as_str(), FIRST);
    let wrong = answer(nonce.as_str(), bad.as_str());
    assert_eq!(node.check(&wrong, &node.context()), DigestOutcome::Wrong);
    let nobody = answer(nonce.as_str(), good.as_str());
    assert_eq!(check_digest(Some(&nobody), "REGISTER", None, &node.context()), DigestOutcome::Wrong);
    assert_eq!(
        check_digest(Some(&nobody), "INVITE", Some(&node.anna), &node.context()),
        DigestOutcome::Wrong
    );
    assert_eq!(node.windows.occupied(), 0);
}

#[test]
fn r153_an_expired_nonce_is_stale_for_right_credentials_only() {
    let node = Node::new();
    let nonce = node.nonce(70, 5, AlgorithmSet::all());
    let good = response(Algorithm::Md5, "secret", nonce.as_str(), FIRST);
    let bad = response(Algorithm::Md5, "guess", nonce.as_str(), FIRST);
    let late = DigestContext { now: NOW.plus_secs(601), ..node.context() };
    let outcome = node.check(&answer(nonce.as_str(), good.as_str()), &late);
    assert_eq!(outcome, DigestOutcome::Stale(Cause::NonceExpired));
    assert_eq!(node.check(&answer(nonce.as_str(), bad.as_str()), &late), DigestOutcome::Wrong);
    assert_eq!(node.windows.occupied(), 0);
    // The same credentials with a new nonce succeed.
    let next = mint(71, 5, AlgorithmSet::all(), late.now, &node.keys);
    let good = response(Algorithm::Md5, "secret", next.as_str(), FIRST);
    let outcome = node.check(&answer(next.as_str(), good.as_str()), &late);
    assert!(matches!(outcome, DigestOutcome::Right(_)), "{outcome:?}");
}

#[test]
fn an_algorithm_that_was_not_challenged_is_refused() {
    let node = Node::new();
    let sha = node.nonce(70, 5, AlgorithmSet::from_names(["SHA-256"]));
    let good = response(Algorithm::Md5, "secret", sha.as_str(), FIRST);
    let downgraded = answer(sha.as_str(), good.as_str());
    let silent = DigestAnswer { algorithm: None, ..downgraded };
    let strange = DigestAnswer { algorithm: Some("MD5-sess"), ..downgraded };
    for answer in [downgraded, silent, strange] {
        assert_eq!(node.check(&answer, &node.context()), DigestOutcome::Forged);
    }
    // An absent algorithm means MD5.
    let both = node.nonce(71, 5, AlgorithmSet::all());
    let good = response(Algorithm::Md5, "secret", both.as_str(), FIRST);
    let silent = DigestAnswer { algorithm: None, ..answer(both.as_str(), good.as_str()) };
    assert!(matches!(node.check(&silent, &node.context()), DigestOutcome::Right(_)));
    let foreign = NonceKeys::new(NonceKey::new(0, &[2; 32]), None);
    let context = DigestContext { keys: &foreign, ..node.context() };
    assert_eq!(node.check(&silent, &context), DigestOutcome::Forged);
}

#[test]
fn a_session_form_is_taken_where_it_was_challenged() {
    let node = Node::new();
    for (number, algorithm) in Algorithm::ALL.into_iter().enumerate() {
        let only = AlgorithmSet::EMPTY.with(algorithm);
        let nonce = node.nonce(80 + number as u64, 5, only);
        let good = response(algorithm, "secret", nonce.as_str(), FIRST);
        let own =
            DigestAnswer { algorithm: Some(algorithm.token()), ..answer(nonce.as_str(), good.as_str()) };
        assert!(matches!(node.check(&own, &node.context()), DigestOutcome::Right(_)), "{algorithm:?}");
        for other in Algorithm::ALL.into_iter().filter(|a| *a != algorithm) {
            let strange = DigestAnswer { algorithm: Some(other.token()), ..own };
            assert_eq!(node.check(&strange, &node.context()), DigestOutcome::Forged);
        }
        // Without qop there is no client nonce to take in.
        let bare = DigestAnswer { qop: None, nc: None, cnonce: None, ..own };
        let outcome = node.check(&bare, &node.context());
        assert_eq!(outcome == DigestOutcome::Malformed, algorithm.is_session(), "{outcome:?}");
    }
}

#[test]
fn without_qop_a_nonce_serves_once_and_only_if_allowed() {
    let node = Node::new();
    let nonce = node.nonce(70, 5, AlgorithmSet::all());
    let good = response(Algorithm::Md5, "secret", nonce.as_str(), Protection::None);
    let old = DigestAnswer { qop: None, nc: None, cnonce: None, ..answer(nonce.as_str(), good.as_str()) };
    let strict = DigestContext { allow_without_qop: false, ..node.context() };
    assert_eq!(node.check(&old, &strict), DigestOutcome::Malformed);
    let want = RightDigest { nonce_id: 70, ..right() };
    assert_eq!(node.check(&old, &node.context()), DigestOutcome::Right(want));
    let again = DigestOutcome::Right(RightDigest { replayed: true, ..want });
    assert_eq!(node.check(&old, &node.context()), again);
}

#[test]
fn unreadable_answers() {
    let node = Node::new();
    let nonce = node.nonce(70, 5, AlgorithmSet::all());
    let good = response(Algorithm::Md5, "secret", nonce.as_str(), FIRST);
    let base = answer(nonce.as_str(), good.as_str());
    let long = "x".repeat(1025);
    for bad in [
        DigestAnswer { nc: None, ..base },
        DigestAnswer { nc: Some("1"), ..base },
        DigestAnswer { nc: Some("00000000"), ..base },
        DigestAnswer { cnonce: None, ..base },
        DigestAnswer { cnonce: Some(&long), ..base },
        DigestAnswer { username: "", ..base },
        DigestAnswer { username: &long, ..base },
        DigestAnswer { uri: &long, ..base },
        DigestAnswer { nonce: &long, ..base },
        DigestAnswer { response: "", ..base },
    ] {
        assert_eq!(node.check(&bad, &node.context()), DigestOutcome::Malformed, "{bad:?}");
    }
    for qop in ["auth-int", "auth,auth-int", "", "x"] {
        let other = DigestAnswer { qop: Some(qop), ..base };
        assert_eq!(node.check(&other, &node.context()), DigestOutcome::QopNotOffered, "{qop}");
    }
    let moved = DigestAnswer { uri_is_ours: false, ..base };
    assert_eq!(node.check(&moved, &node.context()), DigestOutcome::ForeignUri);
    assert_eq!(node.windows.occupied(), 0);
}

#[test]
fn r195_the_user_logged_in_takes_the_owners_place() {
    let (own, profile) = (Owned::new(), non_secure(ProfileTransport::Udp, true));
    let device = own.device(&profile);
    let logged_in = DeviceFacts { em_user: Some(&own.em), ..device };
    let node = Node::new();
    // The owner's answer, before the login, during it, and after the logout.
    for (id, device, admit) in [(1, device, true), (2, logged_in, false), (3, device, true)] {
        let nonce = node.nonce(id, 5, AlgorithmSet::all());
        let good = response(Algorithm::Md5, "secret", nonce.as_str(), FIRST);
        let context = DigestContext { expected_user: device.expected_user(), ..node.context() };
        let outcome = node.check(&answer(nonce.as_str(), good.as_str()), &context);
        let got = decide(&register(Transport::Udp), Some(&device), &mixed(), outcome, false);
        assert_eq!(matches!(got, Verdict::Admit(_)), admit);
        assert_eq!(refused(&got).is_some(), !admit);
    }
    assert_eq!(logged_in.expected_user(), Some(&own.em));
}

#[test]
fn r196_without_a_digest_user_nobody_registers_under_digest() {
    let (own, profile) = (Owned::new(), non_secure(ProfileTransport::Udp, true));
    let device = DeviceFacts { digest_user: None, ..own.device(&profile) };
    let node = Node::new();
    let nonce = node.nonce(1, 5, AlgorithmSet::all());
    let good = response(Algorithm::Md5, "secret", nonce.as_str(), FIRST);
    let context = DigestContext { expected_user: device.expected_user(), ..node.context() };
    let outcome = node.check(&answer(nonce.as_str(), good.as_str()), &context);
    let got = decide(&register(Transport::Udp), Some(&device), &mixed(), outcome, false);
    assert_eq!(refused(&got), Some((403, Cause::DigestOfOtherUser)));
}

#[test]
fn nonces_of_an_earlier_start_are_told_apart() {
    let node = Node::new();
    let nonce = node.nonce(1, 4, AlgorithmSet::all());
    let good = response(Algorithm::Md5, "secret", nonce.as_str(), FIRST);
    let outcome = node.check(&answer(nonce.as_str(), good.as_str()), &node.context());
    assert_eq!(outcome, DigestOutcome::Right(RightDigest { of_this_start: false, ..right() }));
}
