//! One step of the phone's state machine: what a shard does for each REGISTER, without I/O.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot run must say so")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use keyline_domain::flow::Flow;
use keyline_domain::ids::{Dn, ProfileId, ProfileVersion, UnixMillis};
use keyline_domain::phone::{
    AppliedVersion, ContactFact, Context, ExpiryLimits, NonceUse, Peer, Register, Row, Write, on,
};
use smallvec::smallvec;

const START: UnixMillis = UnixMillis(1_795_000_000_000);

fn register(cseq: u32) -> Register {
    Register {
        lines: smallvec![Dn::parse("1001").unwrap()],
        contacts: smallvec![ContactFact {
            uri: "sip:1001@10.1.2.3:52310;transport=tcp".into(),
            uri_key: "sip:1001@10.1.2.3:52310;transport=tcp".to_owned(),
            q: None,
            expires: None,
            instance: Some("<urn:uuid:00000000-0000-0000-0000-001122334455>".into()),
            reg_id: None,
            model: Some(622),
        }],
        star: false,
        expires: Some(3600),
        call_id: "00112233-44550002-5a6b7c8d-9eafb0c1@10.1.2.3".into(),
        cseq,
        nonce: Some(NonceUse { id: 99, nc: cseq }),
        flow: Flow::Udp {
            local: "10.20.30.40:5060".parse().unwrap(),
            remote: "10.1.2.3:52310".parse().unwrap(),
        },
        peer: Peer::default(),
        path: Default::default(),
        keepalive: false,
    }
}

fn context(after_s: u64) -> Context {
    Context {
        now: START.plus_secs(after_s),
        expiry: ExpiryLimits::default(),
        proof_due: true,
        allow_unproven_move: false,
    }
}

fn benches(c: &mut Criterion) {
    let applied = AppliedVersion { profile: ProfileId(1), version: ProfileVersion(1) };
    let blank = Row::new(applied);
    let first = register(1);
    let step = on(&blank, &first, &context(0));
    assert_eq!(step.write, Write::Put, "a first registration is durable before it is answered");
    let registered = step.row.unwrap();
    let again = register(2);
    let refresh = on(&registered, &again, &context(1800));
    assert_ne!(refresh.write, Write::Put, "a refresh within the horizon is answered without a write");

    let mut group = c.benchmark_group("phone_step");
    group.bench_function("initial", |b| b.iter(|| black_box(on(black_box(&blank), &first, &context(0)))));
    group.bench_function("refresh_without_write", |b| {
        b.iter(|| black_box(on(black_box(&registered), &again, &context(1800))));
    });
    group.bench_function("retransmission", |b| {
        b.iter(|| black_box(on(black_box(&registered), &first, &context(1))));
    });
    let bytes = registered.encode();
    assert!(bytes.len() < 400, "a row stays small: {} bytes", bytes.len());
    group.bench_function("encode_row", |b| b.iter(|| black_box(black_box(&registered).encode())));
    group.bench_function("decode_row", |b| b.iter(|| black_box(Row::decode(black_box(&bytes)).unwrap())));
    group.finish();
}

criterion_group!(phone_step, benches);
criterion_main!(phone_step);
