//! Reading a REGISTER as phones send it, and writing the 200 to it.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot run must say so")]

use std::hint::black_box;
use std::net::SocketAddr;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ezk_sip_types::header::typed::{CSeq, CallID, Contact, FromTo, Via};
use ezk_sip_types::msg::{Line, MessageLine, PullParser};
use ezk_sip_types::parse::Parse;
use ezk_sip_types::{Headers, Name};
use keyline_benches::REGISTER;
use keyline_wire::sip::stream::{Framer, Side};
use keyline_wire::sip::{Message, ReplyHead};

/// Start line and headers by a published parser (`ezk-sip-types`), which the tests take as a judge too.
fn read_by_ezk(source: &Bytes) -> (bool, Headers) {
    let mut lines = PullParser::new(source, 0);
    let first = std::str::from_utf8(lines.next().unwrap().unwrap()).unwrap();
    let (_, start) = MessageLine::parse(source)(first).unwrap();
    let mut headers = Headers::new();
    for line in lines {
        let line = std::str::from_utf8(line.unwrap()).unwrap();
        let (_, line) = Line::parse(source, line).unwrap();
        headers.insert(line.name, line.value);
    }
    (matches!(start, MessageLine::Request(_)), headers)
}

fn benches(c: &mut Criterion) {
    let bytes = REGISTER.as_bytes();
    let mut group = c.benchmark_group("sip_parse");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("index_and_check", |b| {
        b.iter(|| black_box(Message::parse(black_box(bytes)).unwrap().is_request()));
    });
    group.bench_function("with_typed_views", |b| {
        b.iter(|| {
            let m = Message::parse(black_box(bytes)).unwrap();
            let via = m.top_via().is_some();
            let from = m.from_tag().map(str::len);
            let to = m.to().is_some();
            let uri = m.uri().is_some();
            let cseq = m.cseq().map(|c| c.number);
            let contact = m.contact().is_some();
            let auth = m.authorizations().filter_map(Result::ok).count();
            black_box((via, from, to, uri, cseq, contact, auth, m.expires().is_some(), m.call_id().is_some()))
        });
    });
    let shared = Bytes::copy_from_slice(bytes);
    group.bench_function("ezk_sip_types_lines", |b| {
        b.iter(|| black_box(read_by_ezk(black_box(&shared))).0);
    });
    group.bench_function("ezk_sip_types_with_typed_views", |b| {
        b.iter(|| {
            let (_, headers) = read_by_ezk(black_box(&shared));
            let via = headers.get_named::<Vec<Via>>().is_ok();
            let from = headers.get::<FromTo>(Name::FROM).is_ok();
            let to = headers.get::<FromTo>(Name::TO).is_ok();
            let cseq = headers.get_named::<CSeq>().is_ok();
            let contact = headers.get_named::<Vec<Contact>>().is_ok();
            black_box((via, from, to, cseq, contact, headers.get_named::<CallID>().is_ok()))
        });
    });
    group.bench_function("from_a_stream", |b| {
        let mut framer = Framer::new(Side::Acceptor);
        b.iter(|| {
            framer.push(black_box(bytes));
            let _ = black_box(framer.next());
        });
    });
    group.finish();

    let mut group = c.benchmark_group("sip_print");
    let message = Message::parse(bytes).unwrap();
    let source: SocketAddr = "10.1.2.3:52310".parse().unwrap();
    group.bench_function("200_to_register", |b| {
        b.iter(|| {
            let head = ReplyHead::capture(black_box(&message), source, true).unwrap();
            let headers = [
                ("Contact", "<sip:1001@10.1.2.3:52310;transport=tcp>;expires=3600"),
                ("Expires", "3600"),
                ("Date", "Mon, 23 Nov 2026 08:00:00 GMT"),
            ];
            black_box(head.respond(200, "OK", Some("03.00001a2b.0001.c5d6e7f8"), &headers, None))
        });
    });
    group.finish();
}

criterion_group!(sip_parse, benches);
criterion_main!(sip_parse);
