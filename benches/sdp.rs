//! An offer with SRTP keys: read, and carried from one leg of a call to the other.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot run must say so")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keyline_wire::sdp::bridge::{BridgePolicy, LegSession, Role, rewrite};
use keyline_wire::sdp::{self, SuiteSet};

const OFFER: &str = "v=0\r\n\
    o=Cisco-SIPUA 12345 0 IN IP4 10.1.2.3\r\n\
    s=SIP Call\r\n\
    c=IN IP4 10.1.2.3\r\n\
    t=0 0\r\n\
    m=audio 16384 RTP/SAVP 9 0 8 101\r\n\
    a=crypto:1 AEAD_AES_256_GCM inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis=\r\n\
    a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\r\n\
    a=rtpmap:9 G722/8000\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\n\
    a=sendrecv\r\n";

fn benches(c: &mut Criterion) {
    let policy = BridgePolicy { carry_crypto: true, suites: SuiteSet::ALL };
    let parsed = sdp::parse(OFFER.as_bytes()).unwrap();
    assert_eq!(parsed.media[0].crypto.len(), 2, "both key lines are usable");
    let mut group = c.benchmark_group("sdp");
    group.throughput(Throughput::Bytes(OFFER.len() as u64));
    group.bench_function("parse", |b| b.iter(|| black_box(sdp::parse(black_box(OFFER.as_bytes())).unwrap())));
    group.bench_function("rewrite_for_the_other_leg", |b| {
        b.iter(|| {
            let mut leg = LegSession::new(77);
            black_box(rewrite(black_box(parsed.clone()), Role::Offer, &mut leg, &policy).unwrap())
        });
    });
    group.finish();
}

criterion_group!(benches_of_sdp, benches);
criterion_main!(benches_of_sdp);
