//! What passes from one leg's session description to the other's, and what never does.

use keyline_loadtest::phone::{Phone, Srtp, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::wait;
use keyline_wire::sdp::Direction;

use crate::common::{Pair, connect, pair, pair_with, version};

on_shards!(the_session_is_the_engines_own_and_the_media_the_phones, keys_never_pass_over_udp);

fn the_session_is_the_engines_own_and_the_media_the_phones(shards: u16) {
    wait::run(async {
        let Pair { node: _node, caller, callee } = pair(shards).await;
        let (out, inn) = connect(&caller, &callee).await;
        for (sender, receiver) in [(&out, &inn), (&inn, &out)] {
            let (sent, got) = (sender.local_sdp().unwrap(), receiver.remote_sdp().unwrap());
            assert_eq!(got.media[0].port, sent.media[0].port, "media flows from phone to phone");
            assert_eq!(got.connection_of(&got.media[0]), sent.connection_of(&sent.media[0]));
            assert_eq!(got.media[0].formats, sent.media[0].formats);
            assert_ne!(got.origin.session_id, sent.origin.session_id, "o= is the leg's own");
        }
        // Nothing of one leg's identifiers is on the other.
        let invite = callee.record().request(0, "INVITE").await.unwrap();
        let text = invite.text();
        assert!(!text.contains(out.call_id()) && !text.contains(out.local_tag()), "{text}");
        assert!(!invite.header("Contact").unwrap().contains(&caller.local_addr().unwrap().to_string()));
        let hops: u32 = invite.header("Max-Forwards").unwrap().trim().parse().unwrap();
        assert!(hops < 70, "{hops}");
        // An unchanged session keeps its version.
        let before = version(&inn.remote_sdp().unwrap());
        out.hold(Direction::SendOnly).await.unwrap();
        let held =
            inn.remote_sdp_until(|s| s.direction_of(&s.media[0]) == Direction::SendOnly).await.unwrap();
        assert_eq!(version(&held), before + 1);
        out.hang_up().await.unwrap();
    });
}

fn keys_never_pass_over_udp(shards: u16) {
    wait::run(async {
        let fallback = Srtp::fallback();
        let Pair { node: _node, caller, callee } = pair_with(
            shards,
            Transport::Udp,
            Transport::Tcp,
            |inventory: Inventory| inventory,
            |a| a.srtp(fallback.clone()),
            |b| b.srtp(fallback.clone()),
        )
        .await;
        let (out, inn) = connect(&caller, &callee).await;
        // Keys that crossed a hop without TLS are none: what remains is plain RTP.
        for call in [&out, &inn] {
            let sdp = call.remote_sdp().unwrap();
            assert!(sdp.media.iter().all(|m| m.crypto.is_empty() && &*m.proto == "RTP/AVP"));
        }
        assert!(no_keys(&caller) && no_keys(&callee));
        out.hang_up().await.unwrap();
    });
}

/// No message that came from the engine holds key material.
fn no_keys(phone: &Phone) -> bool {
    phone.record().find(0, |event| event.is_received() && event.text().contains("inline:")).is_empty()
}

#[test]
fn a_session_that_demands_srtp_is_refused_where_it_cannot_be_had() {
    wait::run(async {
        let Pair { node: _node, caller, callee: _callee } =
            pair_with(2, Transport::Udp, Transport::Udp, |i| i, |a| a.srtp(Srtp::savp()), |b| b).await;
        let call = caller.invite("1002").unwrap();
        assert_eq!(crate::common::refused_with(&call).await, 488);
    });
}
