//! The class of a call with the reasons for it: computed at every change of a call's parties or media.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot run must say so")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use keyline_domain::class::{LegFacts, class_of_call};
use keyline_domain::ids::DeviceName;
use keyline_domain::media::{LegMedia, StreamProtection};
use keyline_domain::mode::{ClusterMode, DeviceSecurityMode, PeerProof, SecurityClass, SuiteKind, Transport};
use smallvec::smallvec;

fn leg(n: usize, secure: bool) -> LegFacts {
    LegFacts {
        device: DeviceName::parse(&format!("SEP{n:012X}")).unwrap(),
        model: "Cisco 8845".into(),
        trusted: true,
        transport: if secure { Transport::Tls } else { Transport::Udp },
        suite: if secure { SuiteKind::Encrypting } else { SuiteKind::None },
        proof: if secure { PeerProof::Certificate } else { PeerProof::None },
        profile: "8845 encrypted".into(),
        applied_mode: if secure { DeviceSecurityMode::Encrypted } else { DeviceSecurityMode::NonSecure },
        digest_authentication: false,
        cluster: ClusterMode::Mixed,
        answered: true,
        media: LegMedia {
            streams: smallvec![if secure { StreamProtection::Sdes } else { StreamProtection::Plain }],
            ..LegMedia::default()
        },
    }
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("classification");
    for legs in [2, 8, 64] {
        let secure: Vec<LegFacts> = (0..legs).map(|n| leg(n, true)).collect();
        assert_eq!(class_of_call(&secure).class, SecurityClass::Encrypted);
        group.bench_function(BenchmarkId::new("all_encrypted", legs), |b| {
            b.iter(|| black_box(class_of_call(black_box(&secure))));
        });
        let mut mixed = secure;
        mixed[0] = leg(0, false);
        assert_eq!(class_of_call(&mixed).class, SecurityClass::NonSecure);
        group.bench_function(BenchmarkId::new("one_not_secure", legs), |b| {
            b.iter(|| black_box(class_of_call(black_box(&mixed))));
        });
    }
    group.finish();
}

criterion_group!(classification, benches);
criterion_main!(classification);
