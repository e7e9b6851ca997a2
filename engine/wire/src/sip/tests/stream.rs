//! Framing of byte streams.

use crate::sip::stream::{Frame, Framer, Side};
use crate::sip::{Limits, Message, ParseError};

use super::request;

#[test]
fn messages_are_cut_wherever_the_chunks_end() {
    let first = request("MESSAGE", "", "first\r\n\r\nbody");
    let second = request("OPTIONS", "", "");
    let stream = [&b"\r\n\r\n"[..], &first, &second, b"\r\n\r\n"].concat();
    for size in 1..stream.len() {
        let mut framer = Framer::new(Side::Acceptor);
        let mut seen = Vec::new();
        for chunk in stream.chunks(size) {
            framer.push(chunk);
            loop {
                match framer.next() {
                    Frame::Message(bytes) => seen.push(bytes.to_vec()),
                    Frame::Ping => seen.push(b"ping".to_vec()),
                    Frame::NeedMore => break,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(seen, [b"ping".to_vec(), first.clone(), second.clone(), b"ping".to_vec()], "{size}");
        assert!(!framer.is_partial() && framer.buffered() == 0);
    }
}

#[test]
fn the_opener_counts_each_line_end_as_a_pong() {
    let mut framer = Framer::new(Side::Opener);
    framer.push(b"\r\n\r");
    assert_eq!(framer.next(), Frame::Pong);
    assert!(framer.is_partial());
    assert_eq!(framer.next(), Frame::NeedMore);
    framer.push(b"\n");
    assert_eq!(framer.next(), Frame::Pong);
    assert_eq!(framer.next(), Frame::NeedMore);
    assert!(!framer.is_partial());
}

#[test]
fn a_started_message_shows_as_partial_until_it_is_whole() {
    let bytes = request("MESSAGE", "", "hello");
    let mut framer = Framer::new(Side::Acceptor);
    framer.push(&bytes[..bytes.len() - 1]);
    assert_eq!(framer.next(), Frame::NeedMore);
    assert!(framer.is_partial());
    framer.push(&bytes[bytes.len() - 1..]);
    assert_eq!(framer.next(), Frame::Message(&bytes));
    assert_eq!(framer.next(), Frame::NeedMore);
    assert!(!framer.is_partial());
}

#[test]
fn bytes_that_begin_no_message_break_the_stream_at_once() {
    for noise in
        [&b"\x16\x03\x01\x02\x00\x01"[..], b" OPTIONS", b"\n", b"\xff\xff", b"\0", b"\r\r", b": x\r\n"]
    {
        let mut framer = Framer::new(Side::Acceptor);
        framer.push(noise);
        assert!(matches!(framer.next(), Frame::Broken { .. }), "{noise:?}");
        framer.push(&request("OPTIONS", "", ""));
        assert!(matches!(framer.next(), Frame::Broken { .. }), "{noise:?}");
    }
}

#[test]
fn sizes_are_bounded_before_anything_is_buffered_for_them() {
    let announced = String::from_utf8(request("MESSAGE", "", "")).unwrap();
    for length in ["262145", "4294967296", "99999999999999999999999999"] {
        let mut framer = Framer::new(Side::Acceptor);
        framer.push(announced.replace("Length: 0", &format!("Length: {length}")).as_bytes());
        let Frame::Broken { error, head } = framer.next() else { panic!("{length} was taken") };
        assert!(matches!(error, ParseError::BodyTooLarge { .. }));
        assert!(Message::parse(head).unwrap_err().answerable().is_some());
    }
    let mut framer = Framer::new(Side::Acceptor);
    framer.push(b"OPTIONS sip:");
    let mut pushed = 0;
    while matches!(framer.next(), Frame::NeedMore) {
        framer.push(&[b'x'; 1000]);
        pushed += 1000;
        assert!(pushed < 70_000);
    }
    let mut framer = Framer::new(Side::Acceptor);
    framer.push(b"OPTIONS sip:a SIP/2.0\r\n");
    let mut pushed = 0;
    while matches!(framer.next(), Frame::NeedMore) {
        framer.push(&b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(20));
        pushed += 1000;
        assert!(pushed < 80_000);
    }
    let Frame::Broken { error, .. } = framer.next() else { panic!("not broken") };
    assert_eq!(error, ParseError::HeadTooLarge { limit: Limits::DEFAULT.head_bytes });
}

#[test]
fn a_header_line_above_the_limit_ends_the_connection_however_it_arrives() {
    let limits = Limits { header_bytes: 100, ..Limits::DEFAULT };
    for (length, fits) in [(100, true), (101, false)] {
        let line = format!("X-Long: {}\r\n", "x".repeat(length - 8));
        let bytes = request("MESSAGE", &line, "");
        for size in [1, 7, 50, bytes.len()] {
            let mut framer = Framer::with_limits(Side::Acceptor, limits);
            let mut seen = None;
            for chunk in bytes.chunks(size) {
                framer.push(chunk);
                match framer.next() {
                    Frame::NeedMore => {}
                    Frame::Message(_) => seen = seen.or(Some(true)),
                    Frame::Broken { error, .. } => {
                        assert_eq!(error, ParseError::HeaderTooLarge { limit: 100 });
                        seen = seen.or(Some(false));
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(seen, Some(fits), "{length} bytes in chunks of {size}");
        }
    }
}
