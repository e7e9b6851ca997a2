//! Calls between two simulated phones: made, refused, cancelled, ended.

use std::time::Duration;

use keyline_loadtest::phone::{Answer, End, Invite, OfferChoice, Phone, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::Builder;
use keyline_tests::place::device_on;
use keyline_tests::sip::{Line, Request, audio, contact, respond};
use keyline_tests::wait;
use keyline_wire::sip::HeaderName;

use crate::common::{CALLEE, Pair, connect, pair, pair_answering, pair_with, refused_with, registered};

on_shards!(
    a_call_over_every_pair_of_transports,
    calls_that_are_not_answered,
    an_early_session_reaches_the_caller,
    a_late_offer_is_answered_in_the_ack,
    a_call_that_nobody_answers_ends_in_time,
    messages_pass_between_phones,
);

fn a_call_over_every_pair_of_transports(shards: u16) {
    let pairs = [
        (Transport::Udp, Transport::Udp),
        (Transport::Tcp, Transport::Udp),
        (Transport::Tcp, Transport::Tcp),
    ];
    for (from, to) in pairs {
        wait::run(async {
            let Pair { node, caller, callee } = pair_with(shards, from, to, |i| i, |a| a, |b| b).await;
            let (out, inn) = connect(&caller, &callee).await;
            assert!(out.statuses().contains(&180), "{:?}", out.statuses());
            assert!(inn.peer().contains("sip:1001@"), "{}", inn.peer());
            assert_ne!(out.call_id(), inn.call_id(), "the legs are dialogs of their own");
            assert_eq!(node.calls().len(), 1);
            assert_eq!(out.hang_up().await.unwrap().status(), Some(200));
            assert_eq!(inn.ended().await.unwrap().how, End::PeerBye);

            let (back, other) = connect(&callee, &caller).await;
            assert_eq!(other.hang_up().await.unwrap().status(), Some(200));
            assert_eq!(back.ended().await.unwrap().how, End::PeerBye);
            wait::until("end of all calls", || node.calls().is_empty().then_some(()));
        });
    }
}

fn calls_that_are_not_answered(shards: u16) {
    wait::run(async {
        let Pair { node, caller, callee } = pair_answering(shards, Answer::Ring).await;
        for (sent, seen) in [(486, 486), (603, 603), (404, 404), (503, 500)] {
            callee.set_answer(Answer::Reject(sent, Duration::ZERO));
            assert_eq!(refused_with(&caller.invite(CALLEE).unwrap()).await, seen);
            callee.incoming().await.unwrap().ended().await.unwrap();
        }

        callee.set_answer(Answer::Ring);
        let rung = caller.invite(CALLEE).unwrap();
        rung.ringing().await.unwrap();
        rung.cancel().unwrap();
        assert_eq!(rung.ended().await.unwrap().how, End::Status(487));
        assert_eq!(callee.incoming().await.unwrap().ended().await.unwrap().how, End::PeerCancel);

        // Before it rings.
        callee.set_answer(Answer::Manual);
        let early = caller.invite(CALLEE).unwrap();
        let asked = callee.incoming().await.unwrap();
        early.cancel().unwrap();
        assert_eq!(early.ended().await.unwrap().how, End::Status(487));
        assert_eq!(asked.ended().await.unwrap().how, End::PeerCancel);

        assert_eq!(refused_with(&caller.invite("1999").unwrap()).await, 404);
        callee.unregister().await.unwrap();
        assert_eq!(refused_with(&caller.invite(CALLEE).unwrap()).await, 480);
        wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    });
}

fn an_early_session_reaches_the_caller(shards: u16) {
    let (a, b) = (device_on(0, shards, 1), device_on(shards - 1, shards, 2));
    let mut inventory = Inventory::new();
    inventory.plain_phone(&a, "1001").plain_phone(&b, CALLEE);
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    wait::run(async {
        let caller = registered(node.phone(Transport::Udp, &a, "1001")).await;
        let mut callee = Line::udp(node.udp());
        assert_eq!(callee.exchange(&Request::register_from(CALLEE, &callee)).status(), Some(200));
        let call = caller.invite(CALLEE).unwrap();
        let invite = tokio::task::block_in_place(|| callee.receive());
        callee.send(&respond(&callee, &invite, 183, "early", Some(&audio(40_000))));
        let early = caller.record().response(0, 183, "INVITE").await.unwrap();
        let sdp = early.sdp().expect("the early session");
        assert_eq!(sdp.media[0].port, 40_000);
        callee.send(&respond(&callee, &invite, 200, "early", Some(&audio(40_000))));
        call.answered().await.unwrap();
        let ack = tokio::task::block_in_place(|| callee.receive());
        assert_eq!(ack.method().map(|m| m.as_str().to_owned()).as_deref(), Some("ACK"));
    });
}

fn a_late_offer_is_answered_in_the_ack(shards: u16) {
    wait::run(async {
        let Pair { node: _node, caller, callee } = pair(shards).await;
        let late = Invite { offer: OfferChoice::Late, ..Invite::default() };
        let out = caller.invite_with(CALLEE, late).unwrap();
        let inn = callee.incoming().await.unwrap();
        out.answered().await.unwrap();
        inn.acked(1).await.unwrap();
        let offered = caller.record().response(0, 200, "INVITE").await.unwrap();
        let port = inn.local_sdp().unwrap().media[0].port;
        assert_eq!(offered.sdp().expect("the callee's offer").media[0].port, port);
        let ack = callee.record().request(0, "ACK").await.unwrap();
        let answer = ack.sdp().expect("the answer in the ACK");
        assert_eq!(answer.media[0].port, out.local_sdp().unwrap().media[0].port);
        out.hang_up().await.unwrap();
    });
}

fn a_call_that_nobody_answers_ends_in_time(shards: u16) {
    wait::run(async {
        let brief = |mut inventory: Inventory| {
            inventory.parameter("no_answer_s", 1);
            inventory
        };
        let ring = Answer::Ring;
        let Pair { node: _node, caller, callee } =
            pair_with(shards, Transport::Udp, Transport::Tcp, brief, |a| a, |b| b.answering(ring)).await;
        let call = caller.invite(CALLEE).unwrap();
        call.ringing().await.unwrap();
        let status = refused_with(&call).await;
        assert!(matches!(status, 408 | 480), "{status}");
        assert_eq!(callee.incoming().await.unwrap().ended().await.unwrap().how, End::PeerCancel);
    });
}

fn messages_pass_between_phones(shards: u16) {
    wait::run(async {
        let Pair { node: _node, caller, callee } = pair(shards).await;
        assert_eq!(caller.message(CALLEE, "Grüße").await.unwrap().status(), Some(200));
        let got = callee.record().request(0, "MESSAGE").await.unwrap();
        assert_eq!(got.message.as_ref().unwrap().body(), "Grüße".as_bytes());
        assert_eq!(caller.message("1999", "nobody").await.unwrap().status(), Some(404));
        callee.unregister().await.unwrap();
        assert_eq!(caller.message(CALLEE, "nobody").await.unwrap().status(), Some(480));
    });
}

#[test]
fn a_phone_whose_connection_was_lost_is_waited_for() {
    wait::run(async {
        let Pair { node, caller, callee } =
            pair_with(2, Transport::Udp, Transport::Tcp, |i| i, |a| a, |b| b).await;
        let device = callee.config().device.clone().unwrap();
        callee.disconnect();
        let lost = || {
            wait::until("lost flow", || {
                node.registrations_of(&device).iter().any(|row| row["flow"] == "lost").then_some(())
            });
        };
        lost();
        let call = caller.invite(CALLEE).unwrap();
        caller.record().response(0, 100, "INVITE").await.unwrap();
        callee.reconnect().await.unwrap();
        callee.register().await.unwrap();
        call.answered().await.unwrap();
        call.hang_up().await.unwrap();
        // One that does not come back is not waited for for ever.
        callee.disconnect();
        lost();
        assert_eq!(refused_with(&caller.invite(CALLEE).unwrap()).await, 480);
    });
}

#[test]
fn requests_in_no_dialog_are_refused_by_481() {
    wait::run(async {
        let Pair { node, caller, callee } = pair(2).await;
        let (out, _inn) = connect(&caller, &callee).await;
        let tag = out.remote_tag().unwrap();
        // Another tag than ours, and ours with its last character changed: the mac is wrong.
        let mut changed = tag.clone();
        let last = changed.pop().unwrap();
        changed.push(if last == '0' { '1' } else { '0' });
        for wrong in ["nonsense".to_owned(), changed] {
            for method in ["BYE", "INFO", "UPDATE", "INVITE"] {
                let mut line = Line::udp(node.udp());
                let mut request = Request::new(method, &out.target(), "1001");
                request.from = format!("<sip:1001@keyline.local>;tag={}", out.local_tag());
                request.to = format!("<sip:1002@keyline.local>;tag={wrong}");
                request.call_id = out.call_id().to_owned();
                request.cseq = 9000;
                request.set("Contact", &contact("1001", &line));
                assert_eq!(line.exchange(&request).status(), Some(481), "{method} with tag {wrong}");
            }
        }
        assert!(out.end().is_none(), "the call goes on");
        out.hang_up().await.unwrap();
    });
}

#[test]
fn an_unacknowledged_answer_is_repeated_over_any_transport() {
    let device = device_on(0, 1, 1);
    let mut inventory = Inventory::new();
    inventory.plain_phone(&device, "1001").plain_phone(&device_on(0, 1, 2), CALLEE);
    let node = Builder::new().inventory(&inventory).start();
    wait::run(async {
        let callee: Phone = registered(node.phone(Transport::Udp, &device_on(0, 1, 2), CALLEE)).await;
        let mut line = Line::tcp(node.tcp());
        assert_eq!(line.exchange(&Request::register_from("1001", &line)).status(), Some(200));
        let mut invite = Request::new("INVITE", "sip:1002@keyline.local", "1001");
        invite.set("Contact", &contact("1001", &line));
        invite.body = Some(("application/sdp".into(), audio(40_000)));
        let first = tokio::task::block_in_place(|| line.exchange(&invite));
        assert_eq!(first.status(), Some(200));
        let second = tokio::task::block_in_place(|| line.receive());
        assert_eq!(second.status(), Some(200), "RFC 3261 §13.3.1.4");
        assert_eq!(first.to_tag(), second.to_tag());
        let mut ack = Request::new("ACK", "sip:1002@keyline.local", "1001");
        ack.uri = first.contact().unwrap().uri.raw.to_owned();
        (ack.from, ack.call_id, ack.cseq) = (invite.from.clone(), invite.call_id.clone(), invite.cseq);
        ack.to = first.first(HeaderName::To).unwrap().to_owned();
        line.send(&ack.print(&line));
        callee.incoming().await.unwrap().acked(1).await.unwrap();
    });
}
