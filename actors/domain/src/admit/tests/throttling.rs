use std::net::IpAddr;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const T: UnixMillis = UnixMillis(1_700_000_000_000);

#[test]
fn after_some_wrong_answers_a_source_gets_403() {
    let throttle = Throttle::with_sources(1024, 42);
    let (bad, good) = (ip("192.0.2.1"), ip("192.0.2.2"));
    for _ in 0..THROTTLE_AFTER {
        assert!(!throttle.is_over(bad, T));
        throttle.wrong(bad, T);
    }
    assert!(throttle.is_over(bad, T));
    assert!(!throttle.is_over(good, T));
    assert!(throttle.is_over(ip("::ffff:192.0.2.1"), T));

    let (own, profile) = (Owned::new(), non_secure(ProfileTransport::Udp, true));
    let (request, device) = (register(Transport::Udp), own.device(&profile));
    let got = |outcome| decide(&request, Some(&device), &mixed(), outcome, throttle.is_over(bad, T));
    assert_eq!(refused(&got(DigestOutcome::Wrong)), Some((403, Cause::DigestWrongTooOften)));
    assert!(got(DigestOutcome::Wrong).is_wrong_answer());
    // The owner behind the same address is served, and is challenged as ever.
    admitted(&got(DigestOutcome::Right(right())));
    let challenge = Verdict::Challenge { stale: false, cause: Cause::DigestAbsent };
    assert_eq!(got(DigestOutcome::Absent), challenge);
    assert!(!challenge.is_wrong_answer());
}

#[test]
fn wrong_answers_are_forgiven_in_time() {
    let throttle = Throttle::with_sources(4, 1);
    let bad = ip("2001:db8::1");
    for _ in 0..200 {
        throttle.wrong(bad, T);
    }
    // However many: all is forgiven after twice the limit.
    let free = T.plus_secs(THROTTLE_FORGET_S * u64::from(THROTTLE_AFTER + 1));
    assert!(throttle.is_over(bad, UnixMillis(free.0 - 1000)));
    assert!(!throttle.is_over(bad, free));
    // The next one at once brings it back over the limit; another /64 is another source.
    throttle.wrong(bad, free);
    assert!(throttle.is_over(bad, free));
    assert!(throttle.is_over(ip("2001:db8::2:3:4:5"), free));
    assert!(!throttle.is_over(ip("2001:db8:0:1::1"), free));
}

#[test]
fn slow_mistakes_never_add_up() {
    let throttle = Throttle::with_sources(4, 1);
    for i in 0..1000u64 {
        throttle.wrong(ip("192.0.2.1"), T.plus_secs(i * (THROTTLE_FORGET_S + 1)));
        assert!(!throttle.is_over(ip("192.0.2.1"), T.plus_secs(i * (THROTTLE_FORGET_S + 1))));
    }
}

#[test]
fn the_table_is_flat_and_forgets_the_least() {
    let throttle = Throttle::with_sources(4, 7);
    let bad = ip("192.0.2.1");
    for _ in 0..20 {
        throttle.wrong(bad, T);
    }
    // Thousands of others with one mistake each push each other out, not the worst.
    for i in 0..5000u32 {
        throttle.wrong(IpAddr::V4(i.to_be_bytes().into()), T);
    }
    assert!(throttle.is_over(bad, T));
}

#[test]
fn threads_lose_no_wrong_answer_of_an_uncontended_source() {
    let throttle = Throttle::with_sources(64, 7);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..2).for_each(|_| throttle.wrong(ip("192.0.2.1"), T)));
        }
    });
    assert!(throttle.is_over(ip("192.0.2.1"), T));
}

#[test]
fn digest_uris_name_us() {
    let served = ServedHosts::new(["keyline.test", "Alias.Test.", "192.0.2.9", "2001:db8::9"]);
    let request = UriParts { user: Some("1002"), host: "192.0.2.9" };
    let server = UriParts { user: None, host: "keyline.test" };
    let uri = |user, host| UriParts { user, host };
    for host in ["keyline.test", "KEYLINE.TEST.", "alias.test", "192.0.2.9", "[2001:DB8::0:9]", "2001:db8::9"]
    {
        assert!(uri_names_us(uri(Some("1002"), host), request, &served), "{host}");
        assert!(uri_names_us(uri(None, host), request, &served), "{host}");
        assert!(uri_names_us(uri(Some("1001"), host), server, &served), "{host}");
        assert!(!uri_names_us(uri(Some("1003"), host), request, &served), "{host}");
    }
    for host in ["evil.test", "192.0.2.8", "", "keyline.test.evil", "[keyline.test]", "[192.0.2.8]"] {
        assert!(!uri_names_us(uri(Some("1002"), host), request, &served), "{host}");
    }
    // The user part is case-sensitive (RFC 3261 §19.1.4).
    assert!(!uri_names_us(uri(Some("Ab"), "keyline.test"), uri(Some("ab"), "keyline.test"), &served));
    let any = ServedHosts::new(["0.0.0.0"]);
    assert!(any.contains("198.51.100.7") && !any.contains("[::1]") && !any.contains("keyline.test"));
}
