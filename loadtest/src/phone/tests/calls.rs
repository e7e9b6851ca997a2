//! Calls between two phones.

use std::time::Duration;

use keyline_wire::sdp::{CryptoSuite, Direction};

use super::super::{Answer, Call, End, Invite, OfferChoice, Phase, Phone, PhoneError, Reaction, Srtp};

use super::{board, config, guarded, phone};
use crate::switchboard::Rules;

async fn connect(from: &Phone, to: &Phone) -> (Call, Call) {
    let out = from.invite(to.dn()).unwrap();
    let inn = to.incoming().await.unwrap();
    out.answered().await.unwrap();
    inn.acked(1).await.unwrap();
    (out, inn)
}

#[tokio::test]
async fn a_call_over_any_pair_of_transports() {
    let board = board(guarded()).await;
    for (from, to) in [("udp", "udp"), ("tcp", "udp"), ("tls", "tcp"), ("tls", "tls"), ("udp", "tls")] {
        let (alice, bob) = (phone(&board, from, "1001").await, phone(&board, to, "1002").await);
        let (out, inn) = connect(&alice, &bob).await;
        assert_eq!(out.remote_tag().as_deref(), Some(inn.local_tag()));
        let mut statuses = out.statuses();
        // A slow machine may have repeated the INVITE and with it the 100.
        statuses.dedup();
        assert_eq!(statuses, [100, 180, 200]);
        assert_eq!(out.remote_sdp(), inn.local_sdp());

        assert_eq!(out.info('5').await.unwrap().status(), Some(200));
        assert_eq!(inn.hang_up().await.unwrap().status(), Some(200));
        assert_eq!(out.ended().await.unwrap().how, End::PeerBye);
        assert_eq!((out.phase(), inn.phase()), (Phase::Ended, Phase::Ended));
    }
}

#[tokio::test]
async fn srtp_both_ends_and_hold() {
    let board = board(Rules::default()).await;
    let start = async |dn| {
        let phone = Phone::start(config(&board, "tls", dn).srtp(Srtp::savp())).await.unwrap();
        phone.register().await.unwrap();
        phone
    };
    let (alice, bob) = (start("1001").await, start("1002").await);
    let (out, inn) = connect(&alice, &bob).await;
    assert_eq!(out.remote_sdp().unwrap().media[0].crypto[0].suite, CryptoSuite::AeadAes256Gcm);

    let held = out.hold(Direction::SendOnly).await.unwrap().unwrap();
    assert_eq!(held.direction_of(&held.media[0]), Direction::RecvOnly);
    assert_eq!(held.media[0].crypto.len(), 1);
    let back = out.resume().await.unwrap().unwrap();
    assert_eq!(back.direction_of(&back.media[0]), Direction::SendRecv);
    let inactive = inn.hold(Direction::Inactive).await.unwrap().unwrap();
    assert_eq!(inactive.direction_of(&inactive.media[0]), Direction::Inactive);
    inn.resume().await.unwrap();

    let before = inn.remote_sdp().unwrap();
    out.move_media().await.unwrap();
    let after = inn.remote_sdp_until(|sdp| sdp.origin.version != before.origin.version).await.unwrap();
    assert_ne!(before.media[0].crypto, after.media[0].crypto);
}

#[tokio::test]
async fn a_late_offer_is_answered_in_the_ack() {
    let board = board(Rules::default()).await;
    let (alice, bob) = (phone(&board, "udp", "1001").await, phone(&board, "tcp", "1002").await);
    let late = Invite { offer: OfferChoice::Late, ..Invite::default() };
    let out = alice.invite_with("1002", late).unwrap();
    let inn = bob.incoming().await.unwrap();
    out.answered().await.unwrap();
    inn.acked(1).await.unwrap();
    let ack = bob.record().request(0, "ACK").await.unwrap();
    assert_eq!(ack.sdp(), inn.remote_sdp());
    assert!(ack.sdp().is_some());
    assert_eq!(out.remote_sdp(), inn.local_sdp());

    out.reinvite(OfferChoice::Late).await.unwrap().unwrap();
    inn.acked(2).await.unwrap();
}

#[tokio::test]
async fn calls_that_are_not_answered() {
    let board = board(Rules::default()).await;
    let (alice, bob) = (phone(&board, "udp", "1001").await, phone(&board, "udp", "1002").await);

    bob.set_answer(Answer::Reject(486, Duration::ZERO));
    let busy = alice.invite("1002").unwrap();
    assert!(matches!(busy.answered().await, Err(PhoneError::Refused { status: 486, .. })));
    alice.record().wait(0, "ACK", |e| e.is_request("ACK")).await.unwrap();
    bob.incoming().await.unwrap();

    bob.set_answer(Answer::Ring);
    let rung = alice.invite("1002").unwrap();
    rung.ringing().await.unwrap();
    rung.cancel().unwrap();
    assert_eq!(rung.ended().await.unwrap().how, End::Status(487));
    assert_eq!(bob.incoming().await.unwrap().ended().await.unwrap().how, End::PeerCancel);

    // The CANCEL waits for the first response: nothing but the INVITE is on the way before.
    bob.set_answer(Answer::Manual);
    let mark = alice.record().mark();
    let early = alice.invite("1002").unwrap();
    let asked = bob.incoming().await.unwrap();
    early.cancel().ok();
    assert_eq!(asked.ended().await.unwrap().how, End::PeerCancel);
    let first = alice.record().wait(mark, "response", |e| e.is_received()).await.unwrap();
    let cancel = alice.record().wait(mark, "CANCEL", |e| e.is_request("CANCEL")).await.unwrap();
    assert!(first.number < cancel.number);

    let none = alice.invite("1999").unwrap();
    assert_eq!(none.ended().await.unwrap().how, End::Status(404));
}

#[tokio::test]
async fn answers_are_repeated_until_acknowledged() {
    let board = board(Rules::default()).await;
    let (alice, bob) = (phone(&board, "udp", "1001").await, phone(&board, "udp", "1002").await);
    board.rules.lock().unwrap().lose.insert("ACK".into(), 2);
    let (out, _inn) = connect(&alice, &bob).await;
    assert!(bob.record().find(0, |e| e.is_response(200, "INVITE")).len() >= 3);
    let acks = alice.record().find(0, |e| e.is_request("ACK"));
    assert!(acks.len() >= 3 && acks.iter().all(|ack| ack.bytes == acks[0].bytes));
    out.hang_up().await.unwrap();

    board.rules.lock().unwrap().lose.insert("486".into(), 1);
    bob.set_answer(Answer::Reject(486, Duration::ZERO));
    let busy = alice.invite("1002").unwrap();
    assert_eq!(busy.ended().await.unwrap().how, End::Status(486));
}

#[tokio::test]
async fn glare_and_unknown_dialogs() {
    let board = board(Rules::default()).await;
    let (alice, bob) = (phone(&board, "tcp", "1001").await, phone(&board, "tcp", "1002").await);
    let (out, inn) = connect(&alice, &bob).await;
    // Each has an INVITE of its own out when the other's comes in.
    bob.react("INVITE", Reaction::Ignore);
    let (one, two) = (out.clone(), inn.clone());
    let waiting = tokio::spawn(async move { one.reinvite(OfferChoice::Own).await });
    bob.record()
        .wait(0, "re-INVITE", |e| e.is_received() && e.is_request("INVITE") && in_dialog(e))
        .await
        .unwrap();
    let glare = two.reinvite(OfferChoice::Own).await;
    assert!(matches!(glare, Err(PhoneError::Refused { status: 491, .. })), "{glare:?}");
    waiting.abort();

    bob.react("INFO", Reaction::Status(500));
    assert_eq!(out.info('1').await.unwrap().status(), Some(500));
    inn.hang_up().await.unwrap();
    out.ended().await.unwrap();
    // The dialog is gone on both sides: a BYE by hand gets 481.
    let bye = format!(
        "BYE sip:1002@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKlate\r\n\
         From: <sip:1001@127.0.0.1>;tag={}\r\nTo: <sip:1002@127.0.0.1>;tag={}\r\nCall-ID: {}\r\n\
         CSeq: 999 BYE\r\nContent-Length: 0\r\n\r\n",
        out.local_tag(),
        inn.local_tag(),
        out.call_id()
    );
    let mark = alice.record().mark();
    alice.send_raw(bye.as_bytes()).unwrap();
    alice.record().response(mark, 481, "BYE").await.unwrap();
}

fn in_dialog(event: &super::Event) -> bool {
    event.message.as_ref().is_some_and(|m| m.to_tag().is_some())
}

#[tokio::test]
async fn messages_and_options_reach_the_other_phone() {
    let board = board(Rules::default()).await;
    let (alice, bob) = (phone(&board, "udp", "1001").await, phone(&board, "tls", "1002").await);
    assert_eq!(alice.message("1002", "hello").await.unwrap().status(), Some(200));
    let got = bob.record().request(0, "MESSAGE").await.unwrap();
    assert_eq!(got.message.unwrap().body(), b"hello");
    let options = alice.request("OPTIONS", "sip:1002@127.0.0.1", &[], None).await.unwrap();
    assert_eq!(options.status(), Some(200));
}
