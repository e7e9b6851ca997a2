//! Transfers between three simulated phones: blind, attended, refused, and what goes wrong in between.

use std::time::Duration;

use keyline_loadtest::phone::{Answer, Call, End, Phase, Phone, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::wait;
use keyline_wire::sdp::Direction;

use crate::common::{connect, registered};

on_shards!(
    a_blind_transfer_by_either_side,
    a_blind_transfer_that_fails_leaves_the_call,
    an_attended_transfer_joins_two_calls,
    an_attended_transfer_whose_consultation_still_rings,
    a_transferor_that_hangs_up_at_once_has_transferred,
    refused_references,
);

/// Line of the transfer's target.
pub const TARGET: &str = "1003";

/// A node with three phones over UDP, each on a shard of its own where there are three.
pub struct Trio {
    pub node: Node,
    pub a: Phone,
    pub b: Phone,
    pub c: Phone,
}

pub fn inventory(shards: u16) -> (Inventory, [String; 3]) {
    let devices = [device_on(0, shards, 1), device_on(1, shards, 2), device_on(2, shards, 3)];
    let mut inventory = Inventory::new();
    for (device, dn) in devices.iter().zip(["1001", "1002", TARGET]) {
        inventory.plain_phone(device, dn);
    }
    (inventory, devices)
}

async fn trio(shards: u16) -> Trio {
    let (inventory, [a, b, c]) = inventory(shards);
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let (udp, tcp) = (Transport::Udp, Transport::Tcp);
    let a = registered(node.phone(udp.clone(), &a, "1001")).await;
    let b = registered(node.phone(tcp, &b, "1002")).await;
    let c = registered(node.phone(udp, &c, TARGET)).await;
    Trio { node, a, b, c }
}

/// Sends a REFER to that address in a call; its status.
pub async fn refer(call: &Call, to: &str) -> u16 {
    call.request("REFER", &[("Refer-To", to)], None).await.unwrap().status().unwrap()
}

/// Waits for the NOTIFY that ends a transfer; its status line.
pub async fn outcome(phone: &Phone, from: u64) -> String {
    let last = phone
        .record()
        .wait(from, "the last NOTIFY", |e| {
            let ended = e.header("Subscription-State").is_some_and(|s| s.starts_with("terminated"));
            e.is_received() && e.is_request("NOTIFY") && ended
        })
        .await
        .unwrap();
    assert_eq!(last.header("Subscription-State"), Some("terminated;reason=noresource"));
    assert_eq!(last.header("Content-Type"), Some("message/sipfrag;version=2.0"));
    last.text().rsplit("\r\n\r\n").next().unwrap_or_default().trim_end().to_owned()
}

/// Address of a Refer-To that replaces the dialog of `call` at the other end of it.
pub fn replacing(dn: &str, call: &Call) -> String {
    let escaped: String = call.call_id().replace('@', "%40");
    let (to, from) = (call.remote_tag().unwrap(), call.local_tag().to_owned());
    format!("<sip:{dn}@keyline.local?Replaces={escaped}%3Bto-tag%3D{to}%3Bfrom-tag%3D{from}>")
}

/// The two phones have each other's media address.
pub async fn talks(one: &Call, other: &Call) {
    for (here, there) in [(one, other), (other, one)] {
        let port = there.local_sdp().unwrap().media[0].port;
        here.remote_sdp_until(|sdp| {
            sdp.media[0].port == port && sdp.direction_of(&sdp.media[0]) == Direction::SendRecv
        })
        .await
        .unwrap();
    }
}

fn a_blind_transfer_by_either_side(shards: u16) {
    wait::run(async {
        let Trio { node, a, b, c } = trio(shards).await;
        // The callee transfers the caller, then the caller the callee.
        for by_callee in [true, false] {
            let (out, inn) = connect(&a, &b).await;
            let (by, by_phone, kept, target) =
                if by_callee { (&inn, &b, &out, &c) } else { (&out, &a, &inn, &c) };
            let (mark, rung) = (by_phone.record().mark(), target.record().mark());
            let version = kept.remote_sdp().unwrap().origin.version.parse::<u64>().unwrap();
            assert_eq!(refer(by, "<sip:1003@keyline.local>").await, 202);
            let first = by_phone.record().request(mark, "NOTIFY").await.unwrap();
            assert!(first.text().ends_with("SIP/2.0 100 Trying\r\n"), "{}", first.text());
            assert_eq!(first.header("Event"), Some("refer"));
            assert!(first.header("Subscription-State").unwrap().starts_with("active;expires="));
            let came = target.incoming().await.unwrap();
            came.answered().await.unwrap();
            assert_eq!(outcome(by_phone, mark).await, "SIP/2.0 200 OK");
            assert_eq!(by.ended().await.unwrap().how, End::PeerBye);
            talks(kept, &came).await;
            let now = kept.remote_sdp().unwrap().origin.version.parse::<u64>().unwrap();
            assert_eq!(now, version + 1, "one more version of the same session");
            let invite = target.record().request(rung, "INVITE").await.unwrap();
            assert!(invite.header("Referred-By").is_some_and(|r| r.contains(by_phone.dn())));
            assert_eq!(node.calls().len(), 1);
            // Both ends of the new call work.
            assert_eq!(came.info('7').await.unwrap().status(), Some(200));
            kept.hold(Direction::SendOnly).await.unwrap();
            kept.resume().await.unwrap();
            assert_eq!(kept.hang_up().await.unwrap().status(), Some(200));
            assert_eq!(came.ended().await.unwrap().how, End::PeerBye);
            wait::until("end of all calls", || node.calls().is_empty().then_some(()));
        }
    });
}

fn a_blind_transfer_that_fails_leaves_the_call(shards: u16) {
    wait::run(async {
        let Trio { node, a, b, c } = trio(shards).await;
        let (out, inn) = connect(&a, &b).await;
        let touched = a.record().received_requests("INVITE");
        for (status, told) in [(486, "SIP/2.0 486 Busy Here"), (603, "SIP/2.0 603 Decline")] {
            c.set_answer(Answer::Reject(status, Duration::ZERO));
            let mark = b.record().mark();
            assert_eq!(refer(&inn, "<sip:1003@keyline.local>").await, 202);
            assert_eq!(outcome(&b, mark).await, told);
            c.incoming().await.unwrap().ended().await.unwrap();
        }
        let again = b.record().find(0, |e| e.is_received() && e.is_request("NOTIFY"));
        assert!(again.last().unwrap().header("Event").unwrap().starts_with("refer;id="), "RFC 3515 §2.4.6");
        c.unregister().await.unwrap();
        let mark = b.record().mark();
        assert_eq!(refer(&inn, "<sip:1003@keyline.local>").await, 202);
        assert_eq!(outcome(&b, mark).await, "SIP/2.0 480 Temporarily Unavailable");
        assert_eq!(a.record().received_requests("INVITE"), touched, "the transferee was not touched");
        assert_eq!((out.phase(), inn.phase()), (Phase::Answered, Phase::Answered));
        assert_eq!(inn.info('1').await.unwrap().status(), Some(200));
        out.hang_up().await.unwrap();
        assert_eq!(inn.ended().await.unwrap().how, End::PeerBye);
        wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    });
}

fn an_attended_transfer_joins_two_calls(shards: u16) {
    wait::run(async {
        let Trio { node, a, b, c } = trio(shards).await;
        // B was called by A and calls C; then B was called by both.
        for consults in [true, false] {
            let (out, inn) = connect(&a, &b).await;
            inn.hold(Direction::SendOnly).await.unwrap();
            let (consult, far) = if consults {
                connect(&b, &c).await
            } else {
                let (there, here) = connect(&c, &b).await;
                (here, there)
            };
            consult.hold(Direction::SendOnly).await.unwrap();
            assert_eq!(node.calls().len(), 2);
            let mark = b.record().mark();
            assert_eq!(refer(&inn, &replacing("1003", &consult)).await, 202);
            assert_eq!(outcome(&b, mark).await, "SIP/2.0 200 OK");
            assert_eq!(inn.ended().await.unwrap().how, End::PeerBye);
            assert_eq!(consult.ended().await.unwrap().how, End::PeerBye);
            talks(&out, &far).await;
            wait::until("one call", || (node.calls().len() == 1).then_some(()));
            // Requests find the leg by a tag that another call made.
            assert_eq!(far.info('1').await.unwrap().status(), Some(200));
            far.hold(Direction::SendOnly).await.unwrap();
            far.resume().await.unwrap();
            out.hold(Direction::Inactive).await.unwrap();
            out.resume().await.unwrap();
            if consults {
                far.hang_up().await.unwrap();
                assert_eq!(out.ended().await.unwrap().how, End::PeerBye);
            } else {
                out.hang_up().await.unwrap();
                assert_eq!(far.ended().await.unwrap().how, End::PeerBye);
            }
            wait::until("end of all calls", || node.calls().is_empty().then_some(()));
        }
    });
}

fn an_attended_transfer_whose_consultation_still_rings(shards: u16) {
    wait::run(async {
        let Trio { node, a, b, c } = trio(shards).await;
        c.set_answer(Answer::Ring);
        let (out, inn) = connect(&a, &b).await;
        let consult = b.invite(TARGET).unwrap();
        consult.ringing().await.unwrap();
        let first = c.incoming().await.unwrap();
        c.set_answer(Answer::AtOnce);
        let mark = b.record().mark();
        assert_eq!(refer(&inn, &replacing(TARGET, &consult)).await, 202);
        assert_eq!(consult.ended().await.unwrap().how, End::Status(487));
        assert_eq!(first.ended().await.unwrap().how, End::PeerCancel);
        let cancel = c.record().request(0, "CANCEL").await.unwrap();
        assert!(cancel.header("Reason").is_some_and(|r| r.contains("elsewhere")), "no missed call is logged");
        let came = c.incoming().await.unwrap();
        assert_eq!(outcome(&b, mark).await, "SIP/2.0 200 OK");
        talks(&out, &came).await;
        came.hang_up().await.unwrap();
        out.ended().await.unwrap();
        wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    });
}

fn a_transferor_that_hangs_up_at_once_has_transferred(shards: u16) {
    wait::run(async {
        let Trio { node, a, b, c } = trio(shards).await;
        c.set_answer(Answer::Ring);
        let (out, inn) = connect(&a, &b).await;
        assert_eq!(refer(&inn, "<sip:1003@keyline.local>").await, 202);
        let came = c.incoming().await.unwrap();
        inn.hang_up().await.unwrap();
        came.accept().unwrap();
        talks(&out, &came).await;
        came.hang_up().await.unwrap();
        out.ended().await.unwrap();

        // The same, but nobody takes it: there is no call to go back to.
        let (out, inn) = connect(&a, &b).await;
        assert_eq!(refer(&inn, "<sip:1003@keyline.local>").await, 202);
        let came = c.incoming().await.unwrap();
        inn.hang_up().await.unwrap();
        came.reject(486).unwrap();
        assert_eq!(out.ended().await.unwrap().how, End::PeerBye);

        // The transferee hangs up: the target stops ringing.
        let (out, inn) = connect(&a, &b).await;
        let mark = b.record().mark();
        assert_eq!(refer(&inn, "<sip:1003@keyline.local>").await, 202);
        let came = c.incoming().await.unwrap();
        out.hang_up().await.unwrap();
        assert_eq!(came.ended().await.unwrap().how, End::PeerCancel);
        assert_eq!(outcome(&b, mark).await, "SIP/2.0 487 Request Terminated");
        assert_eq!(inn.ended().await.unwrap().how, End::PeerBye);
        wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    });
}

fn refused_references(shards: u16) {
    wait::run(async {
        let Trio { node, a, b, c } = trio(shards).await;
        let (out, inn) = connect(&a, &b).await;
        for (to, status) in [
            ("<sip:1999@keyline.local>", 404),
            ("<sip:1003@elsewhere.example>", 403),
            ("<mailto:a@keyline.local>", 416),
            ("<sip:1003@keyline.local;method=BYE>", 403),
            ("<sip:1003@keyline.local?Replaces=nonsense>", 400),
            ("<sip:1003@keyline.local?Require=100rel>", 420),
            ("<sip:1003@keyline.local>, <sip:1001@keyline.local>", 400),
            ("<sip:keyline.local>", 404),
        ] {
            assert_eq!(refer(&inn, to).await, status, "{to}");
        }
        assert_eq!(inn.request("REFER", &[], None).await.unwrap().status(), Some(400));
        // Dialogs that are not there, or not the sender's.
        let none = "<sip:1003@keyline.local?Replaces=x%3Bto-tag%3Dy%3Bfrom-tag%3Dz>";
        let mark = b.record().mark();
        assert_eq!(refer(&inn, none).await, 202);
        assert_eq!(outcome(&b, mark).await, "SIP/2.0 481 Call/Transaction Does Not Exist");
        let (other, far) = connect(&c, &a).await;
        let mark = b.record().mark();
        assert_eq!(refer(&inn, &replacing("1003", &other)).await, 202);
        assert_eq!(outcome(&b, mark).await, "SIP/2.0 403 Forbidden");
        other.hang_up().await.unwrap();
        far.ended().await.unwrap();
        // Only an early dialog may be replaced, but it is answered.
        let (consult, far) = connect(&b, &c).await;
        let early = replacing("1003", &consult).replace("from-tag", "early-only%3Bfrom-tag");
        let mark = b.record().mark();
        assert_eq!(refer(&inn, &early).await, 202);
        assert_eq!(outcome(&b, mark).await, "SIP/2.0 486 Busy Here");
        assert_eq!(far.info('1').await.unwrap().status(), Some(200));
        consult.hang_up().await.unwrap();
        // Without a subscription (RFC 4488).
        let quiet =
            [("Refer-To", "<sip:1003@keyline.local>"), ("Refer-Sub", "false"), ("Require", "norefersub")];
        let mark = b.record().mark();
        let taken = inn.request("REFER", &quiet, None).await.unwrap();
        assert_eq!(taken.status(), Some(202));
        assert_eq!(keyline_loadtest::phone::header(&taken, "Refer-Sub"), Some("false"));
        assert_eq!(inn.ended().await.unwrap().how, End::PeerBye);
        assert!(b.record().find(mark, |e| e.is_received() && e.is_request("NOTIFY")).is_empty());
        out.hang_up().await.unwrap();
        wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    });
}
