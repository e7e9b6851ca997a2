use serde_json::json;

use super::*;

#[test]
fn the_api_shows_every_failing_criterion_with_cause_and_setting() {
    let mut leg = plain(2);
    leg.trusted = false;
    leg.cluster = ClusterMode::NonSecure;
    let shown = serde_json::to_value(class_of_call(&[secure(1), leg])).unwrap();
    assert_eq!((&shown["class"], &shown["icon"]), (&json!("non_secure"), &json!("none")));
    assert_eq!(shown["legs"][0]["device"], "SEP000000000001");
    assert_eq!(
        shown["legs"][0]["criteria"][1],
        json!({"name": "signaling", "pass": true, "cause": null, "setting": null})
    );
    assert_eq!(
        shown["legs"][1]["criteria"],
        json!([
            {"name": "trusted", "pass": false, "cause": "device model not trusted",
             "setting": "phone_model `Cisco 8845`: trusted = false"},
            {"name": "signaling", "pass": false, "cause": "signaling not TLS",
             "setting": "security_profile `8845 plain`: device_security_mode = non_secure",
             "also": [
                {"cause": "profile mode non_secure",
                 "setting": "security_profile `8845 plain`: device_security_mode = non_secure"},
                {"cause": "cluster non-secure", "setting": "parameter cluster_security_mode = non_secure"}]},
            {"name": "media", "pass": false, "cause": "stream 1 not under SRTP in the answer",
             "setting": "the phones' SRTP setting; parameter srtp_ciphers"},
        ])
    );
}

#[test]
fn tls_admitted_by_digest_says_so() {
    let leg = LegFacts { proof: PeerProof::Digest, digest_authentication: true, ..secure(1) };
    let finding = class_of_leg(&leg).criteria[1].findings[0].clone();
    assert_eq!(finding.cause, Cause::NoDeviceCertificate);
    assert_eq!(finding.setting, "security_profile `8845 secure`: digest_authentication = true");
}

#[test]
fn the_operator_s_text() {
    let mut held = secure(2);
    held.media.streams.push(StreamProtection::Weakened);
    held.media.hold = Hold::On(HoldSource::PlainRtp);
    let text = explain_text("0a.17", &class_of_call(&[secure(1), held]));
    assert_eq!(
        text,
        "call 0a.17: authenticated, icon shield (lowest of 2 answered legs)\n\
         \x20 SEP000000000001: encrypted\n\
         \x20   trusted    pass\n\
         \x20   signaling  pass\n\
         \x20   media      pass\n\
         \x20 SEP000000000002: authenticated <- keeps the call at this class\n\
         \x20   trusted    pass\n\
         \x20   signaling  pass\n\
         \x20   media      FAIL  stream 2 agreed on UNENCRYPTED_SRTP, UNENCRYPTED_SRTCP or UNAUTHENTICATED_SRTP \
         (the phones' SRTP setting; parameter srtp_ciphers)\n\
         \x20                    hold source is plain RTP (the hold source)\n"
    );
}

#[test]
fn causes_have_names_of_a_closed_set() {
    let all = [
        Cause::DeviceNotTrusted,
        Cause::SignalingNotTls,
        Cause::NoDeviceCertificate,
        Cause::TokenOffOauthPort,
        Cause::ProfileNonSecure,
        Cause::ClusterNonSecure,
        Cause::IntegrityOnlySuite,
        Cause::NoMedia,
        Cause::StreamNotSrtp { stream: 1 },
        Cause::StreamWeakened { stream: 1 },
        Cause::KeysExposed { stream: 1 },
        Cause::PlainHoldSource,
    ];
    let names: std::collections::HashSet<_> = all.iter().map(|c| c.as_str()).collect();
    assert_eq!(names.len(), all.len());
    assert!(names.iter().all(|n| n.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())));
}
