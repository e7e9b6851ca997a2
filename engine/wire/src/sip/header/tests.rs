use crate::sip::{
    Challenge, ContentType, Credentials, Cseq, Event, Expires, HeaderError, NameAddr, Reason, Replaces,
    RetryAfter, SessionExpires, SubscriptionState, Via,
};

fn address(text: &str) -> NameAddr<'_> {
    NameAddr::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn the_contact_of_a_cisco_phone_is_read_whole() {
    let contact = address(
        "<sip:2f6c7d1e@192.0.2.40:51234;transport=tls>;+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-0c75bd123456>\"\
         ;reg-id=1;+u.sip!devicename.ccm.cisco.com=\"SEP0C75BD123456\";+u.sip!model.ccm.cisco.com=\"683\";expires=0\
         ;cisco-keep-alive;q=0.7",
    );
    assert_eq!(contact.uri.port, Some(51234));
    assert_eq!(contact.instance().unwrap(), "<urn:uuid:00000000-0000-0000-0000-0c75bd123456>");
    assert_eq!((contact.reg_id(), contact.q()), (Some(1), Some(700)));
    assert_eq!(contact.device_name().unwrap(), "SEP0C75BD123456");
    assert_eq!(contact.model().unwrap(), "683");
    assert!(contact.cisco_keep_alive());
    assert_eq!(contact.expires(), Some(Expires { seconds: 0, malformed: false }));
    let plain = address("sip:a@b");
    assert_eq!((plain.expires(), plain.q(), plain.reg_id(), plain.tag()), (None, None, None, None));
    assert!(plain.instance().is_none() && plain.device_name().is_none() && !plain.cisco_keep_alive());
}

#[test]
fn preferences_are_thousandths_and_nonsense_is_none() {
    for (q, value) in [
        ("1", Some(1000)),
        ("1.000", Some(1000)),
        ("0", Some(0)),
        ("0.33", Some(330)),
        ("0.5", Some(500)),
        ("0.001", Some(1)),
        (".5", Some(500)),
        ("1.1", None),
        ("2", None),
        ("0.1234", None),
        ("-1", None),
        ("x", None),
    ] {
        assert_eq!(address(&format!("<sip:a@b>;q={q}")).q(), value, "{q}");
    }
    for (id, value) in
        [("0", None), ("1", Some(1)), ("2147483647", Some(2147483647)), ("2147483648", None), ("a", None)]
    {
        assert_eq!(address(&format!("<sip:a@b>;reg-id={id}")).reg_id(), value, "{id}");
    }
}

#[test]
fn lifetimes_are_cut_and_garbage_is_an_hour() {
    for (text, seconds, malformed) in [
        ("0", 0, false),
        ("3600", 3600, false),
        ("0060", 60, false),
        ("4294967295", u32::MAX, false),
        ("4294967296", u32::MAX, false),
        ("1000000000000000000000000000000", u32::MAX, false),
        ("", 3600, true),
        ("-1", 3600, true),
        ("1h", 3600, true),
        ("1.5", 3600, true),
    ] {
        assert_eq!(Expires::parse(text), Expires { seconds, malformed }, "{text}");
    }
}

#[test]
fn via_is_read_with_every_spelling_of_its_sender() {
    let via =
        Via::parse("SIP/2.0/TLS [2001:db8::9]:6050;branch=z9hG4bKx;alias;received=[2001:db8::1];rport=77")
            .unwrap();
    assert_eq!((via.host.to_string(), via.port), ("[2001:db8::9]".to_owned(), Some(6050)));
    assert_eq!(via.unique_branch(), Some("z9hG4bKx"));
    assert!(via.alias() && via.has_rport());
    assert_eq!((via.rport(), via.received()), (Some(77), Some("2001:db8::1".parse().unwrap())));
    let bare = Via::parse("SIP/2.0/UDP h : 5080 ;received=2001:db8::9:255;branch=z9hG4bK;rport").unwrap();
    assert_eq!((bare.port, bare.received()), (Some(5080), Some("2001:db8::9:255".parse().unwrap())));
    assert_eq!((bare.branch(), bare.unique_branch(), bare.rport()), (Some("z9hG4bK"), None, None));
    assert_eq!(Via::parse("SIP/2.0/UDP h;branch=Z9HG4BKx").unwrap().unique_branch(), None);
    for broken in
        ["", "SIP/2.0", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0/UDP a b", "HTTP/1.1/TCP h", "SIP/2.0/UDP ::1"]
    {
        assert!(Via::parse(broken).is_err(), "{broken}");
    }
}

#[test]
fn credentials_other_than_digest_are_told_apart() {
    assert_eq!(Credentials::parse("NoOneKnows x=y"), Ok(Credentials::Other("NoOneKnows")));
    let Ok(Credentials::Bearer(token)) = Credentials::parse("bearer abc.def") else { panic!("not a token") };
    assert_eq!((token.0, format!("{token:?}").contains("abc")), ("abc.def", false));
    assert!(Credentials::parse("Bearer").is_err() && Credentials::parse("Bearer a b").is_err());
    for broken in [
        "Digest username=\"a\",username=\"b\"",
        "Digest nc=00000001,nc=00000002",
        "Digest realm=\"open",
        "Digest realm=\"a\"b",
        "Digest re alm=\"a\"",
        "Digest realm",
        "Digest userhash=true,userhash=false",
        "",
    ] {
        assert!(Credentials::parse(broken).is_err(), "{broken}");
    }
    let many = format!("Digest {}", "x=y,".repeat(40));
    assert_eq!(Credentials::parse(&many), Err(HeaderError::List));
    let Ok(Credentials::Digest(digest)) = Credentials::parse("Digest response=\"secret\",nonce=n") else {
        panic!()
    };
    assert!(!format!("{digest:?}").contains("secret"));
}

#[test]
fn challenges_are_read_by_the_client_side() {
    let value = "Digest realm=\"ccmsipline\", nonce=\"n\\\"1\", stale=TRUE, algorithm=SHA-256, qop=\"auth,auth-int\", opaque=\"o\"";
    let Ok(Challenge::Digest(digest)) = Challenge::parse(value) else { panic!("not digest") };
    assert!(digest.stale && digest.offers_auth());
    assert_eq!((digest.realm.as_deref(), digest.nonce.as_deref()), (Some("ccmsipline"), Some("n\"1")));
    assert_eq!((digest.algorithm.as_deref(), digest.opaque.as_deref()), (Some("SHA-256"), Some("o")));
    let Ok(Challenge::Bearer(bearer)) = Challenge::parse("Bearer realm=\"r\",error=\"invalid_token\"") else {
        panic!()
    };
    assert_eq!(bearer.error.as_deref(), Some("invalid_token"));
    assert_eq!(Challenge::parse("Basic realm=\"x\""), Ok(Challenge::Other("Basic")));
}

#[test]
fn small_headers_are_read() {
    assert_eq!(Cseq::parse("0009 INVITE").unwrap().number, 9);
    assert!(
        Cseq::parse("9INVITE").is_err() && Cseq::parse("9 a b").is_err() && Cseq::parse(" INVITE").is_err()
    );
    assert_eq!(
        RetryAfter::parse("18000;duration=3600"),
        Ok(RetryAfter { seconds: 18000, duration: Some(3600) })
    );
    assert_eq!(RetryAfter::parse("120 (I'm in a meeting)"), Ok(RetryAfter { seconds: 120, duration: None }));
    assert_eq!(RetryAfter::parse("949302838503028349304023988"), Err(HeaderError::Range));
    assert!(SessionExpires::parse("90;refresher=nobody").is_err());
    let state = SubscriptionState::parse("Terminated;reason=noresource;retry-after=5").unwrap();
    assert!(state.is_terminated());
    assert_eq!((state.reason, state.retry_after, state.expires), (Some("noresource"), Some(5), None));
    assert_eq!(Event::parse("refer;id=7").unwrap().id, Some("7"));
    let reason = Reason::parse("SIP ;cause=200 ;text=\"Call completed elsewhere\"").unwrap();
    assert_eq!((reason.protocol, reason.cause), ("SIP", Some(200)));
    assert_eq!(reason.text.as_deref(), Some("Call completed elsewhere"));
    let replaces = Replaces::parse("a@b;from-tag=f;to-tag=t;early-only").unwrap();
    assert_eq!((replaces.call_id, replaces.to_tag, replaces.from_tag), ("a@b", "t", "f"));
    assert!(replaces.early_only && Replaces::parse("a@b;to-tag=t").is_err());
    assert!(ContentType::parse("text / plain;charset=utf-8").is_ok());
    assert!(ContentType::parse("text").is_err() && ContentType::parse("a/b/c").is_err());
}
