use super::*;

fn uri(text: &str) -> Uri<'_> {
    Uri::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn parts_are_split() {
    let u = uri("sips:al%69ce:pw@[2001:DB8::1]:5071;transport=tls;lr?Replaces=a%40b&Subject=x");
    assert_eq!(u.scheme, Scheme::Sips);
    assert_eq!((u.user, u.password, u.port), (Some("al%69ce"), Some("pw"), Some(5071)));
    assert_eq!(u.host, Some(Host::V6("2001:db8::1".parse().unwrap())));
    assert_eq!(u.param("TRANSPORT").unwrap().value, Some("tls"));
    assert!(u.param("lr").is_some_and(|lr| lr.value.is_none()));
    assert_eq!(u.header("replaces").unwrap(), "a@b");
    assert_eq!(u.aor_user().unwrap(), "alice");
    assert_eq!(u.aor().unwrap(), "sips:alice@[2001:db8::1]");
}

#[test]
fn semicolon_and_question_mark_belong_to_the_user_part() {
    let u = uri("sip:user;par=u%40example.net@example.com");
    assert_eq!(u.user, Some("user;par=u%40example.net"));
    assert_eq!(u.params().count(), 0);
    let u = uri(
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(x)@example.com",
    );
    assert_eq!(u.host, Some(Host::Name("example.com")));
    assert!(!u.has_headers());
}

#[test]
fn control_characters_are_never_decoded() {
    for user in ["a%00b", "a%0d%0aVia", "a%0Ab", "a%7f", "a%", "a%4", "a%zz", "%ff"] {
        let text = format!("sip:{user}@example.com");
        assert_eq!(uri(&text).aor_user(), None, "{user}");
        assert_eq!(uri(&text).aor(), None, "{user}");
    }
}

#[test]
fn malformed_uris_are_refused() {
    for (text, error) in [
        ("alice", UriError::Scheme),
        ("1sip:a@b", UriError::Scheme),
        ("sip:", UriError::Host),
        ("sip:a@", UriError::Host),
        ("sip:@b", UriError::User),
        ("sip:a@b@c", UriError::User),
        ("sip:2001:db8::10", UriError::Host),
        ("sip:a@example.com:port", UriError::Port),
        ("sip:a@example.com:65536", UriError::Port),
        ("sip:a@1.2.3.400", UriError::Host),
        ("sip:a@[::1", UriError::Host),
        ("sip:a@[::1]5060", UriError::Host),
        ("sip:a@b; lr", UriError::Character),
        ("<sip:a@b>", UriError::Character),
        ("sip:a@b;;lr", UriError::Params),
        ("sip:a@b;", UriError::Params),
        ("tel:", UriError::User),
        ("urn:", UriError::Host),
    ] {
        assert_eq!(Uri::parse(text).unwrap_err(), error, "{text}");
    }
    let many = format!("sip:a@b{}", ";x".repeat(65));
    assert_eq!(Uri::parse(&many).unwrap_err(), UriError::Params);
}

#[test]
fn equality_follows_the_rfc_examples() {
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:a@[2001:db8:0::1]", "sip:a@[2001:DB8::1]"),
        ("tel:+1-201-555-0123", "tel:+1(201)5550123"),
    ] {
        assert!(uri(a).equivalent(&uri(b)) && uri(b).equivalent(&uri(a)), "{a} {b}");
    }
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@b.com", "sips:a@b.com"),
        ("sip:a%3Bb@c.com", "sip:a;b@c.com"),
        ("sip:a:x@b.com", "sip:a@b.com"),
    ] {
        assert!(!uri(a).equivalent(&uri(b)) && !uri(b).equivalent(&uri(a)), "{a} {b}");
    }
}

#[test]
fn a_uri_with_a_repeated_parameter_is_equivalent_to_itself() {
    for text in ["tel:+1;x=1;x=2", "sip:a@b;x=1;x=2", "sips:a@b?h=1&h=2"] {
        let uri = Uri::parse(text).unwrap();
        assert!(uri.equivalent(&uri), "{text}");
    }
    let (a, b) = (Uri::parse("tel:+1;x=1;x=2").unwrap(), Uri::parse("tel:+1;x=1").unwrap());
    assert_eq!(a.equivalent(&b), b.equivalent(&a));
}
