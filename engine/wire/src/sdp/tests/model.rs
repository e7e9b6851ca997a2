use std::borrow::Cow;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::crypto::{Lifetime, parse as parse_crypto};
use super::*;

fn text_without_breaks() -> impl Strategy<Value = Text<'static>> {
    "[ -~\u{e9}]{1,20}".prop_map(Cow::Owned)
}

fn direction() -> impl Strategy<Value = Direction> {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    prop_oneof![Just(SendRecv), Just(SendOnly), Just(RecvOnly), Just(Inactive)]
}

fn connection() -> impl Strategy<Value = Connection<'static>> {
    prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|ip| (false, ip.to_string())),
        any::<std::net::Ipv6Addr>().prop_map(|ip| (true, ip.to_string())),
        Just((false, "224.2.1.1/127/3".to_owned())),
        Just((true, "media.example.net".to_owned())),
    ]
    .prop_map(|(ip6, address)| Connection { ip6, address: address.into() })
}

fn attribute() -> impl Strategy<Value = Attribute<'static>> {
    ("[a-z][a-z0-9-]{2,8}", option::of("[ -~]{0,20}"))
        .prop_filter("names with a field of their own", |(name, _)| {
            name != "crypto" && Direction::named(name).is_none()
        })
        .prop_map(|(name, value)| Attribute { name: name.into(), value: value.map(Cow::Owned) })
}

fn line(tag: u32) -> impl Strategy<Value = CryptoLine> {
    let lifetime = prop_oneof![
        Just(None),
        (0..=48u8).prop_map(|n| Some(Lifetime::PowerOfTwo(n))),
        (1..=1u64 << 48).prop_map(|n| Some(Lifetime::Packets(n))),
    ];
    (0..6usize, any::<u8>(), lifetime, any::<[bool; 3]>()).prop_map(move |(suite, fill, lifetime, weak)| {
        let text = crypto_line(tag, CryptoSuite::ALL[suite], fill);
        let mut line = parse_crypto(text.trim().strip_prefix("a=crypto:").unwrap()).unwrap();
        line.lifetime = lifetime;
        [
            line.weakening.unencrypted_srtp,
            line.weakening.unencrypted_srtcp,
            line.weakening.unauthenticated_srtp,
        ] = weak;
        line
    })
}

fn media() -> impl Strategy<Value = Media<'static>> {
    let proto = prop_oneof![Just("RTP/AVP"), Just("RTP/SAVP"), Just("RTP/AVPF"), Just("udptl")];
    let crypto =
        prop_oneof![Just(()).prop_map(|()| Vec::new()), (line(1), line(9)).prop_map(|(a, b)| vec![a, b])];
    let head = ("[a-z]{1,8}", any::<u16>(), option::of(1..9u16), proto, vec("[a-z0-9*-]{1,5}", 1..4));
    let rest = (option::of(text_without_breaks()), option::of(connection()), option::of(direction()));
    (head, rest, crypto, vec(attribute(), 0..4)).prop_map(|(head, rest, crypto, attributes)| Media {
        kind: head.0.into(),
        port: head.1,
        ports: head.2,
        proto: head.3.into(),
        formats: head.4.into_iter().map(Cow::Owned).collect(),
        title: rest.0,
        connection: rest.1,
        bandwidth: vec!["AS:64".into()],
        crypto,
        crypto_refused: Vec::new(),
        direction: rest.2,
        attributes,
    })
}

pub(super) fn description() -> impl Strategy<Value = Sdp<'static>> {
    let origin = ("[a-zA-Z-]{1,9}", any::<u64>(), any::<u128>()).prop_map(|(username, id, version)| Origin {
        username: username.into(),
        session_id: id.to_string().into(),
        version: version.to_string().into(),
        address_type: "IP4".into(),
        address: "192.0.2.9".into(),
    });
    (
        origin,
        text_without_breaks(),
        connection(),
        option::of(direction()),
        vec(attribute(), 0..4),
        vec(media(), 0..4),
    )
        .prop_map(|(origin, name, connection, direction, attributes, media)| Sdp {
            origin,
            name,
            connection: Some(connection),
            bandwidth: vec!["CT:1".into()],
            time: "0 0".into(),
            direction,
            attributes,
            media,
        })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_equal(sdp in description()) {
        prop_assert_eq!(crate::sdp::parse(&sdp.to_bytes()).map(Sdp::into_owned), Ok(sdp));
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = crate::sdp::parse(&bytes);
    }

    /// Near-SDP reaches deeper than noise: real lines, shuffled, cut and repeated.
    #[test]
    fn what_was_read_prints_to_what_reads_the_same(
        lines in vec(prop_oneof![
            Just("c=IN IP4 0.0.0.0".to_owned()), Just("c=IN IP6 ::1/3".to_owned()), Just("t=0 0".to_owned()),
            Just("m=audio 9 RTP/SAVP 0".to_owned()), Just("m=video 0/2 RTP/AVP".to_owned()),
            Just("a=crypto:1 AEAD_AES_128_GCM inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==".to_owned()),
            Just("a=crypto:1 X inline:".to_owned()), Just("a=SendOnly".to_owned()), Just("a=inactive ".to_owned()),
            "a=[ -~]{0,12}", "[a-z]=[ -~]{0,12}", "k=[ -~]{0,5}", "s=.{0,6}",
        ], 0..12),
    ) {
        let text = format!("v=0\r\no=- 1 1 IN IP4 h\r\n{}\r\n", lines.join("\r\n"));
        if let Ok(mut first) = crate::sdp::parse(text.as_bytes()) {
            for media in &mut first.media {
                media.crypto_refused.clear();
            }
            prop_assert_eq!(crate::sdp::parse(&first.to_bytes()).map(Sdp::into_owned), Ok(first.into_owned()));
        }
    }
}
