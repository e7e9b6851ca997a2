//! What happens within a call: hold, glare, media that moves, requests that pass through.

use keyline_loadtest::phone::{End, OfferChoice, Phase, PhoneError, Reaction, Transport};
use keyline_tests::wait;
use keyline_wire::sdp::Direction;
use keyline_wire::sip::HeaderName;

use crate::common::{Pair, connect, pair, pair_with, version};

on_shards!(
    hold_and_resume_from_both_sides,
    requests_pass_through_the_call,
    a_refused_reinvite_leaves_the_call,
    a_dialog_that_the_phone_forgot_ends_the_call,
);

fn hold_and_resume_from_both_sides(shards: u16) {
    wait::run(async {
        let Pair { node: _node, caller, callee } = pair(shards).await;
        let (out, inn) = connect(&caller, &callee).await;
        for (one, other) in [(&out, &inn), (&inn, &out)] {
            let held = one.hold(Direction::SendOnly).await.unwrap().unwrap();
            assert_eq!(held.direction_of(&held.media[0]), Direction::RecvOnly);
            let seen = other
                .remote_sdp_until(|sdp| sdp.direction_of(&sdp.media[0]) == Direction::SendOnly)
                .await
                .unwrap();
            assert_eq!(seen.media.len(), 1);
            let back = one.resume().await.unwrap().unwrap();
            assert_eq!(back.direction_of(&back.media[0]), Direction::SendRecv);
        }
        let inactive = out.hold(Direction::Inactive).await.unwrap().unwrap();
        assert_eq!(inactive.direction_of(&inactive.media[0]), Direction::Inactive);
        out.resume().await.unwrap();
        out.hang_up().await.unwrap();
        assert_eq!(inn.ended().await.unwrap().how, End::PeerBye);
    });
}

fn requests_pass_through_the_call(shards: u16) {
    wait::run(async {
        let Pair { node: _node, caller, callee } =
            pair_with(shards, Transport::Tcp, Transport::Udp, |i| i, |a| a, |b| b).await;
        let (out, inn) = connect(&caller, &callee).await;
        assert_eq!(out.info('5').await.unwrap().status(), Some(200));
        let info = callee.record().request(0, "INFO").await.unwrap();
        assert!(info.text().contains("Signal=5"));
        assert_eq!(info.header("Content-Type"), Some("application/dtmf-relay"));

        let text = Some(("text/plain".to_owned(), b"in the call".to_vec()));
        assert_eq!(inn.request("MESSAGE", &[], text).await.unwrap().status(), Some(200));
        let message = caller.record().request(0, "MESSAGE").await.unwrap();
        assert!(message.text().ends_with("in the call"));

        assert_eq!(out.request("OPTIONS", &[], None).await.unwrap().status(), Some(200));
        out.hang_up().await.unwrap();
        assert_eq!(inn.ended().await.unwrap().how, End::PeerBye);
    });
}

fn a_refused_reinvite_leaves_the_call(shards: u16) {
    wait::run(async {
        let Pair { node: _node, caller, callee } = pair(shards).await;
        let (out, inn) = connect(&caller, &callee).await;
        callee.react("INVITE", Reaction::Status(488));
        let refused = out.reinvite(OfferChoice::Own).await;
        assert!(matches!(refused, Err(PhoneError::Refused { status: 488, .. })), "{refused:?}");
        assert_eq!((out.phase(), inn.phase()), (Phase::Answered, Phase::Answered));
        callee.react("INVITE", Reaction::Proper);
        out.reinvite(OfferChoice::Own).await.unwrap();
        assert_eq!(out.info('1').await.unwrap().status(), Some(200));
        out.hang_up().await.unwrap();
    });
}

fn a_dialog_that_the_phone_forgot_ends_the_call(shards: u16) {
    wait::run(async {
        let Pair { node, caller, callee } = pair(shards).await;
        let (out, _inn) = connect(&caller, &callee).await;
        callee.react("INVITE", Reaction::Status(481));
        // RFC 6141 §3.1: 481 to a re-INVITE ends the dialog.
        assert!(out.reinvite(OfferChoice::Own).await.is_err());
        out.ended().await.unwrap();
        wait::until("end of the call", || node.calls().is_empty().then_some(()));
    });
}

#[test]
fn glare_is_answered_by_491() {
    wait::run(async {
        let Pair { node: _node, caller, callee } =
            pair_with(2, Transport::Tcp, Transport::Tcp, |i| i, |a| a, |b| b).await;
        let (out, inn) = connect(&caller, &callee).await;
        // The callee leaves the first re-INVITE open and sends one of its own.
        callee.react("INVITE", Reaction::Ignore);
        let mark = callee.record().mark();
        let first = out.clone();
        let waiting = tokio::spawn(async move { first.reinvite(OfferChoice::Own).await });
        callee.record().request(mark, "INVITE").await.unwrap();
        let glare = inn.reinvite(OfferChoice::Own).await;
        assert!(matches!(glare, Err(PhoneError::Refused { status: 491, .. })), "{glare:?}");
        waiting.abort();
    });
}

#[test]
fn media_may_move_and_the_version_of_the_session_follows() {
    wait::run(async {
        let Pair { node: _node, caller, callee } = pair(2).await;
        let (out, inn) = connect(&caller, &callee).await;
        let before = inn.remote_sdp().unwrap();
        out.move_media().await.unwrap();
        let moved = inn.remote_sdp_until(|sdp| sdp.media[0].port != before.media[0].port).await.unwrap();
        assert_eq!(moved.origin.session_id, before.origin.session_id);
        assert_eq!(version(&moved), version(&before) + 1, "RFC 3264 §8");
        out.hang_up().await.unwrap();
    });
}

#[test]
fn update_without_sdp_and_its_answers() {
    wait::run(async {
        let Pair { node: _node, caller, callee } = pair(2).await;
        let (out, _inn) = connect(&caller, &callee).await;
        assert_eq!(out.request("UPDATE", &[], None).await.unwrap().status(), Some(200));
        // What nobody knows is told with what is known.
        let strange = out.request("FROBNICATE", &[], None).await.unwrap();
        assert!(matches!(strange.status(), Some(405 | 501)), "{:?}", strange.status());
        assert!(strange.status() != Some(405) || strange.has(HeaderName::Allow));
        out.hang_up().await.unwrap();
    });
}
