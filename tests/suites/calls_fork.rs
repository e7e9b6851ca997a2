//! Several phones on one line: all ring, one answers.

use std::time::Duration;

use keyline_loadtest::phone::{Answer, End, Phone, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::wait;

use crate::common::{refused_with, registered};

on_shards!(
    the_first_answer_wins_and_the_others_are_told_so,
    the_best_refusal_is_passed_on,
    a_cancelled_fork_stops_ringing_everywhere,
);

struct Fork {
    node: Node,
    caller: Phone,
    one: Phone,
    two: Phone,
}

async fn fork(shards: u16) -> Fork {
    let devices = [1, 2, 3].map(|n| device_on(n as u16 % shards, shards, n));
    let mut inventory = Inventory::new();
    inventory.plain_phone(&devices[0], "1001");
    inventory.plain_phone(&devices[1], "2000").plain_phone(&devices[2], "2000");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let caller = registered(node.phone(Transport::Udp, &devices[0], "1001")).await;
    let one = registered(node.phone(Transport::Udp, &devices[1], "2000").answering(Answer::Ring)).await;
    let two = registered(node.phone(Transport::Tcp, &devices[2], "2000").answering(Answer::Ring)).await;
    Fork { node, caller, one, two }
}

fn the_first_answer_wins_and_the_others_are_told_so(shards: u16) {
    wait::run(async {
        let Fork { node, caller, one, two } = fork(shards).await;
        let out = caller.invite("2000").unwrap();
        let (first, second) = (one.incoming().await.unwrap(), two.incoming().await.unwrap());
        out.ringing().await.unwrap();
        second.accept().unwrap();
        out.answered().await.unwrap();
        second.acked(1).await.unwrap();
        let lost = first.ended().await.unwrap();
        assert_eq!(lost.how, End::PeerCancel);
        let reason = lost.reason.expect("a Reason, or the phone logs a missed call (RFC 3326)");
        assert!(reason.contains("cause=200") && reason.starts_with("SIP"), "{reason}");
        out.hang_up().await.unwrap();
        assert_eq!(second.ended().await.unwrap().how, End::PeerBye);
        wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    });
}

fn the_best_refusal_is_passed_on(shards: u16) {
    wait::run(async {
        let Fork { node: _node, caller, one, two } = fork(shards).await;
        let reject = |status| Answer::Reject(status, Duration::ZERO);
        one.set_answer(reject(486));
        two.set_answer(reject(480));
        assert_eq!(refused_with(&caller.invite("2000").unwrap()).await, 486);
        // 6xx ends all at once (RFC 3261 §16.7).
        one.set_answer(Answer::Ring);
        two.set_answer(reject(603));
        assert_eq!(refused_with(&caller.invite("2000").unwrap()).await, 603);
        one.incoming().await.unwrap();
        assert_eq!(one.incoming().await.unwrap().ended().await.unwrap().how, End::PeerCancel);
    });
}

fn a_cancelled_fork_stops_ringing_everywhere(shards: u16) {
    wait::run(async {
        let Fork { node: _node, caller, one, two } = fork(shards).await;
        let out = caller.invite("2000").unwrap();
        let (first, second) = (one.incoming().await.unwrap(), two.incoming().await.unwrap());
        out.ringing().await.unwrap();
        out.cancel().unwrap();
        assert_eq!(out.ended().await.unwrap().how, End::Status(487));
        for call in [first, second] {
            let ended = call.ended().await.unwrap();
            assert_eq!(ended.how, End::PeerCancel);
            // Nobody took it: it is a missed call.
            assert!(!ended.reason.unwrap_or_default().contains("cause=200"));
        }
    });
}
