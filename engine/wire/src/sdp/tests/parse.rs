use super::*;

fn error(text: &str) -> SdpError {
    crate::sdp::parse(text.as_bytes()).unwrap_err()
}

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

#[test]
fn a_phone_s_offer_is_read_whole() {
    let offer = sdp(&(HEAD.to_owned()
        + "b=AS:64\r\na=sendonly\r\nm=audio 49170/2 RTP/AVP 0 101\r\ni=talk\r\nc=IN IP6 2001:db8::1\r\n\
           a=rtpmap:0 PCMU/8000\r\na=recvonly\r\na=rtcp-mux\r\nm=video 0 RTP/AVPF 99\r\n"));
    let audio = &offer.media[0];
    assert_eq!((audio.port, audio.ports, &*audio.proto), (49170, Some(2), "RTP/AVP"));
    assert_eq!(audio.formats, ["0", "101"]);
    assert_eq!(audio.attributes[0].name.as_ref(), "rtpmap");
    assert_eq!(audio.attributes[1].value, None);
    assert_eq!(offer.direction_of(audio), Direction::RecvOnly);
    assert_eq!(offer.direction_of(&offer.media[1]), Direction::SendOnly, "inherited from the session");
    assert_eq!(offer.connection_of(audio).unwrap().ip().unwrap().to_string(), "2001:db8::1");
    assert!(!offer.media[1].is_active());
    assert_eq!(sdp(&text(offer.to_bytes())), offer);
}

#[test]
fn the_old_hold_takes_the_receiving_half_away() {
    for (attribute, direction) in [
        ("", Direction::SendOnly),
        ("a=sendrecv\r\n", Direction::SendOnly),
        ("a=recvonly\r\n", Direction::Inactive),
        ("a=inactive\r\n", Direction::Inactive),
    ] {
        let held = sdp(&format!("{HEAD}m=audio 4 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n{attribute}"));
        assert_eq!(held.summary().streams[0].direction, direction, "{attribute}");
    }
}

#[test]
fn phones_that_err_are_understood() {
    // No s=, no t=, LF only, a blank line at the end, blanks in the user name, no format when refused.
    let offer = sdp(
        "v=0\no=Cisco SIP UA 8 0 IN IP4 192.0.2.1\nc=IN IP4 192.0.2.1\nm=audio 9 RTP/AVP 0\nm=video 0 RTP/AVP\n\n",
    );
    assert_eq!((&*offer.origin.username, &*offer.origin.session_id), ("Cisco SIP UA", "8"));
    assert_eq!((&*offer.name, &*offer.time), ("-", "0 0"));
    assert_eq!(offer.media[1].formats, ["0"]);
    // One attribute that cannot be used costs only itself.
    let mut bytes = HEAD.as_bytes().to_vec();
    bytes.extend_from_slice(b"i=caf\xe9\r\na=\r\na=bad name:1\r\na=x:\xff\r\na=crypto:1 X inline:k\r\nm=audio 9 RTP/AVP 0\r\na=ptime:20\r\n");
    let offer = crate::sdp::parse(&bytes).unwrap();
    assert!(offer.attributes.is_empty());
    assert_eq!(offer.media[0].attributes.len(), 1);
}

#[test]
fn broken_structure_is_named_by_line_and_status() {
    let line = |number, expected| SdpError::Line { number, expected };
    assert_eq!(error(""), SdpError::Missing { what: "`v=` line" });
    assert_eq!(error("o=- 1 1 IN IP4 192.0.2.1\r\n"), line(1, "`v=0`"));
    assert_eq!(error("v=0\r\ns=-\r\n"), SdpError::Missing { what: "`o=` line" });
    assert_eq!(error("v=0\r\no=- 1 IN IP4 h\r\n"), line(2, "`o=user id version IN IP4 address`"));
    assert_eq!(error("v=0\r\nhello\r\n"), line(2, "a letter and `=`"));
    assert_eq!(error("v=0\r\nx=1\r\n"), line(2, "a line type of RFC 8866"));
    assert_eq!(error("v=0\r\no=- 1 1 IN IP4 h\r\no=- 1 1 IN IP4 h\r\n"), line(3, "only one `o=` line"));
    assert_eq!(error("v=0\r\nc=TN RFC2543 +1201\r\n"), SdpError::Network { number: 2 });
    assert_eq!(
        error("v=0\r\nc=IN IP4 2001:db8::1\r\n"),
        line(2, "an address of the type that the line names")
    );
    assert_eq!(error("v=0\r\nc=IN IP4 300.1.1.1\r\n"), line(2, "an address of the type that the line names"));
    assert_eq!(error("v=0\r\na=x\ry\r\n"), line(2, "no NUL and no CR inside a line"));
    assert_eq!(error("v=0\r\nm=audio 65536 RTP/AVP 0\r\n"), line(2, "a port of 0 to 65535"));
    assert_eq!(error("v=0\r\nm=audio +9 RTP/AVP 0\r\n"), line(2, "a port of 0 to 65535"));
    assert_eq!(error("v=0\r\nm=audio 9 RTP/AVP\r\n"), line(2, "at least one format"));
    assert_eq!(error("v=0\r\nm=audio 9 RTP//AVP 0\r\n"), line(2, "a media kind and a protocol"));
    assert_eq!(error("v=0\r\nt=now later\r\n"), line(2, "`t=start stop`"));
    assert_eq!(
        error("v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 9 RTP/AVP 0\r\n"),
        SdpError::Missing { what: "`c=` line for an active m-line" }
    );
    assert_eq!(
        error(&format!("{HEAD}m=audio 9 RTP/AVP 0\r\ns=late\r\n")),
        line(7, "a line that may stand below an m-line")
    );
    assert_eq!([error("x").status(), error("v=0\r\nc=TN A b\r\n").status()], [400, 488]);
}

#[test]
fn every_limit_is_held() {
    let full = |n: usize| format!("{HEAD}{}", "m=audio 9 RTP/AVP 0\r\n".repeat(n));
    assert_eq!(sdp(&full(MEDIA_MAX)).media.len(), MEDIA_MAX);
    assert_eq!(error(&full(MEDIA_MAX + 1)), SdpError::TooMany { what: "m-lines", limit: MEDIA_MAX });
    let lines = |n: usize| format!("{HEAD}{}", "a=x\r\n".repeat(n - 5));
    assert_eq!(sdp(&lines(LINES_MAX)).attributes.len(), LINES_MAX - 5);
    assert_eq!(error(&lines(LINES_MAX + 1)), SdpError::TooMany { what: "lines", limit: LINES_MAX });
    let keys = |n: usize| format!("{HEAD}m=audio 9 RTP/SAVP 0\r\n{}", "a=crypto:1 X inline:k\r\n".repeat(n));
    assert_eq!(sdp(&keys(CRYPTO_MAX)).media[0].crypto_refused.len(), CRYPTO_MAX);
    assert!(matches!(error(&keys(CRYPTO_MAX + 1)), SdpError::TooMany { limit: CRYPTO_MAX, .. }));
    let long = "v=0\r\n".to_owned() + &"a".repeat(BODY_MAX);
    assert_eq!(error(&long), SdpError::TooLong { length: BODY_MAX + 5, limit: BODY_MAX });
    assert_eq!(error(&long).status(), 413);
}

#[test]
fn dtls_without_a_fingerprint_is_no_srtp() {
    let m = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n";
    let proto = |text: String| sdp(&text).summary().streams[0].proto;
    assert_eq!(proto(format!("{HEAD}{m}")), MediaProto::Other);
    assert_eq!(proto(format!("{HEAD}{m}a=fingerprint:sha-256 AB\r\n")), MediaProto::DtlsSrtp);
    assert_eq!(proto(format!("{HEAD}a=fingerprint:sha-256 AB\r\n{m}")), MediaProto::DtlsSrtp);
    assert_eq!(proto(format!("{HEAD}m=audio 9 rtp/savpf 0\r\n")), MediaProto::Srtp);
    assert_eq!(proto(format!("{HEAD}m=image 9 udptl t38\r\n")), MediaProto::Other);
}

#[test]
fn a_bundled_stream_on_port_0_is_active() {
    let offer = sdp(&format!("{HEAD}m=video 0 RTP/AVP 99\r\na=bundle-only\r\n"));
    assert!(offer.summary().streams[0].active);
}
