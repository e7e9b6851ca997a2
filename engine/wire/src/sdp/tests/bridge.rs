use proptest::prelude::*;

use super::super::bridge::{BridgeError, BridgePolicy, LegSession, Role, rewrite};
use super::*;

const SECURE: BridgePolicy = BridgePolicy { carry_crypto: true, suites: SuiteSet::ALL };
const CLEAR: BridgePolicy = BridgePolicy { carry_crypto: false, suites: SuiteSet::ALL };
const AVP: &str = "m=audio 9 RTP/AVP 0\r\n";
const SAVP: &str = "m=audio 7 RTP/SAVP 0\r\n";

fn gcm(tag: u32) -> String {
    crypto_line(tag, CryptoSuite::AeadAes256Gcm, 3)
}

fn offer(text: &str, leg: &mut LegSession, policy: &BridgePolicy) -> Result<String, BridgeError> {
    rewrite(sdp(text), Role::Offer, leg, policy).map(super::text)
}

/// An offer from `a` to `b` and its answer back; the answer as `a` gets it.
fn exchange(offer: &str, answer: &str, policy: &BridgePolicy) -> Result<String, BridgeError> {
    let (mut a, mut b) = (LegSession::new(2), LegSession::new(4));
    a.receive(Role::Offer, &sdp(offer)).unwrap();
    rewrite(sdp(offer), Role::Offer, &mut b, policy)?;
    b.receive(Role::Answer, &sdp(answer))?;
    rewrite(sdp(answer), Role::Answer, &mut a, policy).map(super::text)
}

#[test]
fn each_leg_has_its_own_neutral_origin() {
    let text = body(
        77,
        &["b=AS:64\r\na=tool:x\r\n", AVP, "a=rtpmap:0 PCMU/8000\r\na=x-unknown:1\r\na=rtcp-mux\r\n"],
    );
    let with_people =
        text.replace("c=IN", "i=lunch\r\nu=http://alice\r\ne=alice@example.net\r\np=+1\r\nc=IN");
    let out = offer(&with_people, &mut LegSession::new(2 * 1234), &SECURE).unwrap();
    assert_eq!(
        out,
        "v=0\r\no=keyline 1234 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nb=AS:64\r\nt=0 0\r\na=tool:x\r\n\
         m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=x-unknown:1\r\na=rtcp-mux\r\n"
    );
    assert_eq!(LegSession::new(u64::MAX).id, i64::MAX as u64);
}

#[test]
fn rfc3264_the_version_counts_this_leg_s_changes() {
    let mut leg = LegSession::new(2);
    let version = |text: &str, leg: &mut LegSession| {
        let out = offer(text, leg, &SECURE).unwrap();
        sdp(&out).origin.version.parse::<u64>().unwrap()
    };
    let (first, held) = (body(1, &[AVP]), body(1, &[AVP, "a=sendonly\r\n"]));
    assert_eq!(version(&first, &mut leg), 1);
    assert_eq!(version(&first, &mut leg), 1, "the same again");
    assert_eq!(version(&body(2, &[AVP]), &mut leg), 1, "only the other side counted on");
    assert_eq!(version(&held, &mut leg), 2);
    assert_eq!(version(&first, &mut leg), 3, "changed back is changed");
    let mut copy = LegSession { offer_received: None, offer_sent: None, ..leg.clone() };
    assert_eq!(version(&first, &mut copy), 3, "offers count for nothing");
    // An answer counts like an offer; a refused SDP counts nothing.
    let before = leg.clone();
    assert!(offer(&body(1, &[SAVP]), &mut leg, &CLEAR).is_err());
    assert_eq!(leg, before);
    let out = rewrite(sdp(&held), Role::Answer, &mut leg, &SECURE).unwrap();
    assert_eq!(&*sdp(&text(out)).origin.version, "4");
}

#[test]
fn keys_pass_only_where_every_hop_is_tls() {
    let both = body(
        1,
        &[AVP, &gcm(1), "a=key-mgmt:mikey AAAA\r\na=acap:1 crypto:1 X inline:k\r\na=Crypto:9 x y\r\n"],
    );
    let carried = offer(&both, &mut LegSession::new(2), &SECURE).unwrap();
    assert!(carried.contains(gcm(1).as_str()) && !carried.contains("mikey") && !carried.contains("acap"));
    let clear = offer(&both, &mut LegSession::new(2), &CLEAR).unwrap();
    assert!(!clear.to_ascii_lowercase().contains("crypto") && !clear.contains("inline"), "{clear}");
    assert!(clear.contains(AVP));
}

#[test]
fn srtp_only_is_refused_towards_a_clear_leg() {
    let refused = offer(&body(1, &[SAVP, &gcm(1)]), &mut LegSession::new(2), &CLEAR).unwrap_err();
    assert_eq!(refused, BridgeError::SrtpNotCarried { stream: 1 });
    assert_eq!(refused.status(), 488);
    // Video beside it is no alternative to audio.
    let with_video = body(1, &["m=video 5 RTP/AVP 99\r\n", SAVP, &gcm(1)]);
    assert_eq!(
        offer(&with_video, &mut LegSession::new(2), &CLEAR),
        Err(BridgeError::SrtpNotCarried { stream: 2 })
    );
    let only_video = body(1, &["m=video 5 RTP/SAVP 99\r\n", &gcm(1)]);
    assert!(offer(&only_video, &mut LegSession::new(2), &CLEAR).is_err());
}

#[test]
fn an_alternative_keeps_the_call_and_the_order_of_m_lines() {
    let head = "a=group:BUNDLE 1 2\r\n";
    let text = body(1, &[head, SAVP, &gcm(1), AVP, "m=video 5 RTP/SAVPF 99\r\n", &gcm(1)]);
    let mut leg = LegSession::new(2);
    let out = offer(&text, &mut leg, &CLEAR).unwrap();
    let ports: Vec<_> = sdp(&out).media.iter().map(|m| (m.proto.to_string(), m.port)).collect();
    assert_eq!(ports, [("RTP/SAVP".into(), 0), ("RTP/AVP".into(), 9), ("RTP/SAVPF".into(), 0)]);
    assert!(!out.contains("group") && !out.contains("inline"));
    // An answer that revives a line that was switched off is refused.
    let revived = body(1, &[SAVP, &gcm(1), AVP, "m=video 0 RTP/SAVPF 99\r\n"]);
    assert_eq!(leg.receive(Role::Answer, &sdp(&revived)), Err(AnswerError::Revived { stream: 1 }));
}

#[test]
fn srtp_without_a_usable_line_is_refused_with_the_reason() {
    let text = body(1, &[SAVP, "a=crypto:1 AEAD_AES_256_GCM_8 inline:x\r\n"]);
    let refused = offer(&text, &mut LegSession::new(2), &SECURE).unwrap_err();
    assert!(refused.to_string().contains("unknown suite"), "{refused}");
    let strong = BridgePolicy { carry_crypto: true, suites: SuiteSet::of([CryptoSuite::AeadAes256Gcm]) };
    let weak = crypto_line(1, CryptoSuite::AesCm128HmacSha1_80, 1);
    assert_eq!(
        offer(&body(1, &[SAVP, &weak]), &mut LegSession::new(2), &strong),
        Err(BridgeError::NoUsableCrypto { stream: 1, refused: vec![] })
    );
    let mixed = offer(&body(1, &[SAVP, &weak, &gcm(2)]), &mut LegSession::new(2), &strong).unwrap();
    assert!(mixed.contains("a=crypto:2") && !mixed.contains("a=crypto:1"));
}

#[test]
fn an_answer_fits_the_offer_of_the_leg_it_goes_to() {
    let keyed = body(1, &[SAVP, &gcm(1)]);
    assert!(exchange(&keyed, &keyed, &SECURE).unwrap().contains("a=crypto:1"));
    // RTP/AVP for RTP/AVPF of the same class is put right; SAVP for AVP is not.
    let feedback = body(1, &["m=audio 9 RTP/AVPF 0\r\n"]);
    assert!(exchange(&feedback, &body(1, &[AVP]), &SECURE).unwrap().contains("RTP/AVPF"));
    let wrong = |answer: &str, error: AnswerError| {
        assert_eq!(exchange(&keyed, answer, &SECURE), Err(BridgeError::Answer(error)), "{answer}");
    };
    wrong(&body(1, &[AVP]), AnswerError::Proto { stream: 1 });
    wrong(&body(1, &[SAVP]), AnswerError::CryptoCount { stream: 1, found: 0 });
    wrong(&body(1, &[SAVP, &gcm(1), &gcm(2)]), AnswerError::CryptoCount { stream: 1, found: 2 });
    wrong(&body(1, &[SAVP, &gcm(5)]), AnswerError::CryptoNotOffered { stream: 1 });
    let other_suite = crypto_line(1, CryptoSuite::AeadAes128Gcm, 1);
    wrong(&body(1, &[SAVP, &other_suite]), AnswerError::CryptoNotOffered { stream: 1 });
    wrong(&body(1, &["m=video 9 RTP/SAVP 0\r\n", &gcm(1)]), AnswerError::Kind { stream: 1 });
    wrong(&body(1, &[SAVP, &gcm(1), AVP]), AnswerError::MediaCount { offered: 1, answered: 2 });
    assert!(
        exchange(&keyed, &body(1, &["m=audio 0 RTP/AVP 0\r\n"]), &SECURE)
            .unwrap()
            .contains("audio 0 RTP/SAVP")
    );
}

#[test]
fn optional_srtp_is_answered_in_kind() {
    let offered = body(1, &[AVP, &gcm(1)]);
    assert!(exchange(&offered, &body(1, &[AVP, &gcm(1)]), &SECURE).unwrap().contains("a=crypto:1"));
    assert!(!exchange(&offered, &body(1, &[AVP]), &SECURE).unwrap().contains("crypto"));
    // Lines that nobody offered, or several, agree on nothing and do not pass.
    assert!(!exchange(&offered, &body(1, &[AVP, &gcm(9)]), &SECURE).unwrap().contains("crypto"));
    assert!(!exchange(&body(1, &[AVP]), &offered, &SECURE).unwrap().contains("crypto"));
    assert!(!exchange(&offered, &offered, &CLEAR).unwrap().contains("crypto"));
}

#[test]
fn the_old_hold_never_leaves() {
    let mut leg = LegSession::new(2);
    offer(&body(1, &[AVP]), &mut leg, &SECURE).unwrap();
    let old = body(2, &[AVP]).replace("c=IN IP4 192.0.2.7", "c=IN IP4 0.0.0.0");
    let elsewhere = old.replace("o=alice 1 2 IN IP4 192.0.2.7", "o=alice 1 2 IN IP4 198.51.100.1");
    let out = offer(&elsewhere, &mut leg, &SECURE).unwrap();
    assert!(
        !out.contains("0.0.0.0") && out.contains("c=IN IP4 192.0.2.7") && out.contains("a=sendonly"),
        "{out}"
    );
    // On a fresh leg the peer's origin line is the next best.
    let out = offer(&elsewhere, &mut LegSession::new(2), &SECURE).unwrap();
    assert!(out.contains("c=IN IP4 198.51.100.1") && out.contains("a=sendonly"), "{out}");
}

#[test]
fn rfc8840_no_default_address_is_no_hold() {
    const WEB: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
                       a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 00:11\r\na=sendrecv\r\n";
    let offered = body(1, &[WEB]);
    assert_eq!(sdp(&offered).summary().streams[0].direction, Direction::SendRecv);
    let out = offer(&offered, &mut LegSession::new(2), &CLEAR).unwrap();
    assert!(
        out.contains("a=sendrecv") && out.contains("c=IN IP4 0.0.0.0") && out.contains("a=fingerprint:"),
        "{out}"
    );
    // Beside it the old hold is one still.
    let plain = AVP.replace("m=audio", "m=video");
    let held = plain.replacen("\r\n", "\r\nc=IN IP4 0.0.0.0\r\n", 1);
    let out = offer(&body(2, &[WEB, &held]), &mut LegSession::new(2), &CLEAR).unwrap();
    assert!(out.contains("a=sendrecv") && out.contains("a=sendonly"), "{out}");
    assert_eq!(out.matches("c=IN IP4 0.0.0.0").count(), 1, "{out}");
}

proptest! {
    #[test]
    fn nothing_of_a_key_reaches_a_clear_leg(offered in super::model::description()) {
        let mut leg = LegSession::new(2);
        if let Ok(out) = rewrite(offered.clone(), Role::Offer, &mut leg, &CLEAR) {
            let out = text(out);
            prop_assert!(!out.contains("inline:"));
            let sent = sdp(&out);
            prop_assert_eq!(sent.media.len(), offered.media.len());
            for (sent, offered) in sent.media.iter().zip(&offered.media) {
                prop_assert_eq!(&sent.proto, &offered.proto);
                prop_assert_eq!(&sent.formats, &offered.formats);
                prop_assert!(!(sent.is_active() && sent.proto.contains("SAVP")));
            }
            let again = text(rewrite(offered.clone(), Role::Offer, &mut leg, &CLEAR).unwrap());
            prop_assert_eq!(&sdp(&again).origin.version, &sent.origin.version);
        }
    }
}
